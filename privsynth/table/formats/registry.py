"""Which format a source has. A format is one module beside this one, and one line here.

A module offers `header(source, dataset)`, the names of the columns without a look at the rows, and `read(source, dataset)`,
the table. It is imported when a source has its format. Those marked `apart` hand bytes that anybody may have made to a
library of C or Rust that a damaged file can crash or fill with memory: they run in a process of their own (`apart.py`).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from privsynth.errors import InputError, Problem
from privsynth.table.formats.known import SEEN, names_in_zip, what_is

GZIP = b"\x1f\x8b"
READABLE = "CSV, Parquet, Feather, Excel, OpenDocument, SAS, Stata or SPSS, or a database by its URL"


@dataclass(frozen=True)
class Format:
    """name: as a message says it. fits: whether a file is of this format, by its first bytes and its place."""

    name: str
    module: str
    fits: Callable[[bytes, Path], bool]
    apart: bool = False


def _starts(*marks: bytes) -> Callable[[bytes, Path], bool]:
    return lambda start, path: start.startswith(marks)


def _zip_with(*names: str) -> Callable[[bytes, Path], bool]:
    return lambda start, path: start.startswith(b"PK\x03\x04") and not {*names}.isdisjoint(names_in_zip(path))


def _stata(start: bytes, path: Path) -> bool:
    old = len(start) > 4 and 104 <= start[0] <= 115 and start[1] in (1, 2) and start[2] == 1 and start[3] == 0
    return old or start.startswith(b"<stata_dta>")


_SAS7BDAT = bytes(12) + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf\xbd\x92\x08\x00\x09\xc7\x31\x8c\x18\x1f\x10\x11"
_WORKBOOKS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")

FORMATS = (
    Format("a Parquet file", "parquet", _starts(b"PAR1")),
    Format("an Arrow file", "arrow", _starts(b"ARROW1", b"FEA1", b"\xff\xff\xff\xff"), apart=True),
    Format("a workbook", "workbook", _zip_with(*_WORKBOOKS), apart=True),
    Format("a workbook", "workbook", _starts(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), apart=True),
    Format("a SAS file", "readstat", _starts(_SAS7BDAT, b"HEADER RECORD*******"), apart=True),
    Format("a Stata file", "readstat", _stata, apart=True),
    Format("an SPSS file", "readstat", _starts(b"$FL2", b"$FL3"), apart=True),
    Format("an SPSS file", "readstat", lambda start, path: b"SPSS PORT FILE" in start[:200], apart=True),
)
CSV = Format("a CSV file", "csv", lambda start, path: True)
FOLDER = Format("a folder of Parquet files", "folder", lambda start, path: path.is_dir())
DATABASE = Format("a database", "database", lambda start, path: False)
FRAME = Format("a data frame", "frame", lambda start, path: False)


def format_of(start: bytes, path: Path) -> Format:
    """start: the first `SEEN` bytes of the file. Raises InputError for what is known to be no table that can be read."""
    found = next((one for one in FORMATS if one.fits(start, path)), None)
    what = None if found else what_is(start, path)
    if start.startswith(GZIP):
        what = _packed(path)
    if what:
        name, hint = what
        raise InputError(Problem(str(path), f"is {name}", hint))
    return found or CSV


def _packed(path: Path) -> tuple[str, str] | None:
    """What a file packed by gzip is, if it is no CSV."""
    try:
        with gzip.open(path, "rb") as file:
            start = file.read(SEEN)
    except (OSError, EOFError, zlib.error):  # damaged: the reader of CSV says so
        return None
    found = next((one for one in FORMATS if one.fits(start, path)), None)
    name, hint = (found.name, "unpack it first") if found else what_is(start) or ("", "")
    return (f"{name}, packed by gzip", hint) if name else None


def start_of(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(SEEN)
