"""Reads tables strictly, whatever their format. Messages name files, lines and columns, never a value."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow.parquet

from privsynth.errors import InputError, Problem
from privsynth.table.formats.csv import LONGEST_HEADER, names_in, read_csv, unpacked, whole
from privsynth.table.formats.frame import read_frame
from privsynth.table.formats.parquet import parquet_errors, read_parquet
from privsynth.table.limits import check_names
from privsynth.table.raw import RawTable


def read_header(source: str | Path | pd.DataFrame) -> list[str]:
    """Column names alone; no row is read. Raises InputError if there are none to read."""
    if isinstance(source, pd.DataFrame):
        return check_names([str(name) for name in source.columns], "data frame")
    path = Path(source)
    with _readable(path) as start, parquet_errors(path):
        if start == b"PAR1":
            return check_names(pyarrow.parquet.read_schema(path).names, str(path))
        with gzip.open(path, "rb") if start[:2] == _GZIP else path.open("rb") as file:
            return names_in(file.readline(LONGEST_HEADER + 4).removeprefix(codecs.BOM_UTF8), str(path))


def read_table(source: str | Path | pd.DataFrame) -> RawTable:
    """Reads a table from a CSV(.gz) or Parquet file, or takes a data frame. Raises InputError if it cannot be one."""
    if isinstance(source, pd.DataFrame):
        return _checked(read_frame(source), "data frame")
    path = Path(source)
    with _readable(path) as start:
        if start == b"PAR1":
            return _checked(read_parquet(path), str(path))
        data = unpacked(path) if start[:2] == _GZIP else whole(path)
        return _checked(read_csv(data, path), str(path))


@contextmanager
def _readable(path: Path) -> Iterator[bytes]:
    """The first bytes of a file; errors of reading it within the block become InputError."""
    try:
        if not path.exists():
            raise InputError(Problem(str(path), "no such file", "check --data"))
        if not path.is_file():  # reading would consume the first bytes of a pipe, or never end
            what = "is a folder" if path.is_dir() else "is not a regular file"
            raise InputError(Problem(str(path), what, "name one CSV or Parquet file"))
        with path.open("rb") as file:
            start = file.read(4)
        if not start:
            raise InputError(Problem(str(path), "the file is empty", "name a CSV with a header, or a Parquet file"))
        yield start
    except (OSError, EOFError, MemoryError, zlib.error) as error:
        raise InputError(Problem(str(path), f"cannot be read ({type(error).__name__})", "check the file")) from None


_GZIP = b"\x1f\x8b"


def _checked(raw: RawTable, place: str) -> RawTable:
    if len(raw) == 0:
        raise InputError(Problem(place, "has a header but no rows", "name a table with rows"))
    return raw
