"""Reads tables strictly, whatever their format. Messages name files, lines and columns, never a value."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

from privsynth.errors import InputError, Problem
from privsynth.policy.model import DatasetSpec
from privsynth.table.formats import apart
from privsynth.table.formats.registry import DATABASE, FOLDER, FRAME, READABLE, Format, format_of, start_of
from privsynth.table.limits import check_names
from privsynth.table.raw import RawTable

Source: TypeAlias = str | os.PathLike[str] | pd.DataFrame  # the URL of a database is a str


def read_header(source: Source, dataset: DatasetSpec | None = None) -> list[str]:
    """Column names alone; no row is read. Raises InputError if there are none to read."""
    with _opened(source) as (found, place, where):
        names = apart.header if found.apart else _module(found).header
        return check_names(names(*_arguments(found, place, dataset)), where)


def read_types(source: Source, dataset: DatasetSpec | None = None) -> dict[str, pa.DataType]:
    """The type of each column that the source declares, without a look at its rows; empty for formats without types."""
    with _opened(source) as (found, place, _):
        types = None if found.apart else getattr(_module(found), "types", None)
        return {} if types is None else types(*_arguments(found, place, dataset))


def read_table(source: Source, dataset: DatasetSpec | None = None) -> RawTable:
    """Reads a table as `dataset` says that it is written, or takes a data frame. Raises InputError if it cannot be one."""
    with _opened(source) as (found, place, where):
        read = apart.read if found.apart else _module(found).read
        raw: RawTable = read(*_arguments(found, place, dataset))
        check_names(raw.columns, where)
    if len(raw) == 0:
        raise InputError(Problem(where, "has a header but no rows", "name a table with rows"))
    return raw


def _module(found: Format) -> Any:
    return import_module(f"privsynth.table.formats.{found.module}")


def _arguments(found: Format, place: Any, dataset: DatasetSpec | None) -> tuple[Any, ...]:
    how = dataset or DatasetSpec(id="table")
    return (found.module, place, how) if found.apart else (place, how)


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Format, Any, str]]:
    """(its format, what the format's module takes, how messages name it); errors of reading within the block become InputError."""
    if isinstance(source, pd.DataFrame):
        yield FRAME, source, "data frame"
        return
    if isinstance(source, str) and _URL.match(source):
        yield DATABASE, source, "the database"
        return
    path = Path(source)
    try:
        yield _format(path), path, str(path)
    except (OSError, EOFError, MemoryError, zlib.error) as error:
        raise InputError(Problem(str(path), f"cannot be read ({type(error).__name__})", "check the file")) from None


_URL = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\+[A-Za-z0-9_]+)?://")


def _format(path: Path) -> Format:
    if not path.exists():
        raise InputError(Problem(str(path), "no such file", "check --data"))
    if path.is_dir():
        return FOLDER
    if not path.is_file():  # reading would consume the first bytes of a pipe, or never end
        raise InputError(Problem(str(path), "is not a regular file", f"name one table: {READABLE}"))
    start = start_of(path)
    if not start:
        raise InputError(Problem(str(path), "the file is empty", f"name a table: {READABLE}"))
    return format_of(start, path)
