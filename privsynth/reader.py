"""Reads CSV(.gz), Parquet and data frames strictly. Messages name files, lines and columns, never a value.

How one cell is read must not hang on the others of its column, or one person more would change everybody: a number is
read from its own text, and a cell of a mixed column as it would be in a column of its own kind.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from privsynth.errors import InputError, Problem

LONGEST_LINE = 1 << 28  # bytes that are parsed together: whether a longer line is read hangs on where it stands


@dataclass(frozen=True)
class RawTable:
    """A table as read: all text from CSV; with the source's types from Parquet or a data frame."""

    frame: pa.Table

    @property
    def columns(self) -> list[str]:
        return list(self.frame.column_names)

    def __len__(self) -> int:
        return int(self.frame.num_rows)

    def text(self, name: str, missing: list[str]) -> pd.Series:
        """A column as text as written; missing is NaN."""
        values = self.frame.column(name)
        if pa.types.is_dictionary(values.type):
            values = self._cast(values, values.type.value_type, name)
        if any(one_of(values.type) for one_of in _BY_CELL):
            timed = pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)
            found = _moments_as_written(values) if timed else values.to_pandas().map(_as_written, na_action="ignore")
            found = found.astype(object)
            return found.where(~found.isin({"", *missing}))
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            values = self._cast(values, pa.string(), name)
        found = values.to_pandas().astype(object)
        found = found.str.strip()
        return found.where(~found.isin({"", *missing}))

    @staticmethod
    def _cast(values: pa.ChunkedArray, wanted: pa.DataType, name: str) -> pa.ChunkedArray:
        try:
            return values.cast(wanted)
        except pa.ArrowException:  # lists, structures, bytes that are no text
            rule = f"is of type {values.type}, which cannot be read as text or numbers"
            raise InputError(Problem(f"column {name!r}", rule, "declare `release: drop`, or convert it")) from None

    def numbers(self, name: str, missing: list[str], dates: bool, form: str | None) -> tuple[np.ndarray, int]:
        """(values as float64, NaN where missing or unreadable; how many are present). Dates are days since 1970: the
        day that is written, whatever offset from UTC stands behind it."""
        kind = self.frame.column(name).type
        if dates and (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
            moments = self.frame.column(name)
            moments = pc.local_timestamp(moments) if pa.types.is_timestamp(kind) and kind.tz else moments
            days = moments.cast(pa.timestamp("s"), safe=False).to_pandas()
            return _days(days), int(days.notna().sum())
        tokens = [float(token) for token in missing if _is_number(token)]
        if not dates and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            values = (
                self.frame.column(name)
                .cast(pa.float64(), safe=False)
                .to_pandas()
                .to_numpy(dtype=float, na_value=np.nan)
            )
            values = np.where(np.isin(values, tokens), np.nan, values)
            return values, int((~np.isnan(values)).sum())
        text = self.text(name, missing)
        present = int(text.notna().sum())
        if dates:
            text = text.where(~text.str.lower().isin(["now", "today"]))  # pandas would read the clock
            return _parsed_days(text, form), present
        values = _parsed_numbers(text)
        absent = np.isin(values, tokens)
        return np.where(absent, np.nan, values), present - int(absent.sum())


def _parsed_numbers(text: pd.Series) -> np.ndarray:
    """float64, NaN where there is no number. Each text by itself: pandas would read all otherwise if one is odd."""
    place, distinct = pd.factorize(text)
    values = np.array([float(t) if _NUMBER.match(t) else np.nan for t in distinct] + [np.nan])
    return values[place]  # the place of what is missing is -1


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_BY_CELL = (pa.types.is_floating, pa.types.is_boolean, pa.types.is_timestamp, pa.types.is_date)


def _parsed_days(text: pd.Series, form: str | None) -> np.ndarray:
    """Days since 1970; the day is the one that is written, whatever offset from UTC stands behind it."""
    if form is None:
        text = text.str.replace(_OFFSET, r"\1", regex=True)
    moments = pd.to_datetime(text, format=form or "ISO8601", errors="coerce", utc=True)
    days = _days(moments.dt.tz_localize(None))
    for place in np.flatnonzero(np.isnan(days) & text.notna().to_numpy()):  # years that pandas does not reach, as 9999
        with suppress(ValueError):
            value = text.iloc[place]
            day = datetime.strptime(value, form) if form else datetime.fromisoformat(value)
            days[place] = day.toordinal() - date(1970, 1, 1).toordinal()
    return days


_OFFSET = re.compile(r"(:\d\d(?:\.\d+)?) ?(?:Z|[+-]\d\d:?\d\d)$")


def _days(moments: pd.Series) -> np.ndarray:
    stamps = moments.astype("datetime64[s]")
    days = np.floor(stamps.astype("int64").to_numpy() / 86400)
    return np.where(stamps.isna().to_numpy(), np.nan, days)


def _as_written(value: Any) -> str:
    """A cell as text, by itself: how the others of its column look must not change it. 1.0 was written 1."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)):
        return str(int(value)) if math.isfinite(value) and value == round(value) else repr(float(value))
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date) else str(value)


def _moments_as_written(values: pa.ChunkedArray) -> pd.Series:
    """Dates or moments as text, with the offset from UTC where there is a time zone.

    pandas gets times of day without a zone alone: it ends the process at a zone's moment of the year 50, and Python has
    no date in the year 10000, so one row would decide whether a run ends.
    """
    kind = values.type
    if pa.types.is_date(kind):
        days = values.cast(pa.timestamp("ms" if kind == pa.date64() else "s"), safe=False).to_pandas()
        return days.map(lambda day: day.isoformat(sep=" ").partition(" ")[0], na_action="ignore")
    if kind.tz is None:
        return values.to_pandas().map(_as_written, na_action="ignore")
    local = pc.local_timestamp(values)
    ahead = pc.subtract(local.cast(pa.int64()), values.cast(pa.int64()))
    seconds = pc.divide(ahead, {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]).to_pandas()
    return local.to_pandas().map(_as_written, na_action="ignore") + seconds.map(_offset, na_action="ignore")


def _offset(seconds: float) -> str:
    """Of local time from UTC, as ISO 8601 writes it: +05:30, with seconds where there are some."""
    minutes, rest = divmod(int(abs(seconds)), 60)
    text = f"{'-' if seconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{rest:02}" if rest else text


def _is_number(token: str) -> bool:
    try:
        return bool(np.isfinite(float(token)))
    except ValueError:
        return False


def read_header(source: str | Path | pd.DataFrame) -> list[str]:
    """Column names alone; no row is looked at. Raises InputError if there are none to read."""
    if isinstance(source, pd.DataFrame):
        return _check_names([str(name) for name in source.columns], "data frame")
    path = Path(source)
    with _readable(path) as start, _told_as_parquet(path):
        names = pyarrow.parquet.read_schema(path).names if start == b"PAR1" else _header(path, start[:2] == b"\x1f\x8b")
        return _check_names(names, str(path))


def read_table(source: str | Path | pd.DataFrame) -> RawTable:
    """Reads a table from a CSV(.gz) or Parquet file, or takes a data frame. Raises InputError if it cannot be one."""
    if isinstance(source, pd.DataFrame):
        _check_names([str(name) for name in source.columns], "data frame")
        frame = source.rename(columns=str).reset_index(drop=True)
        try:
            table = pa.Table.from_pandas(_uniform(frame), preserve_index=False)
        except (pa.ArrowException, TypeError, ValueError) as error:  # the error's own words may quote a value
            rule = f"has a column whose type cannot be taken ({type(error).__name__})"
            raise InputError(Problem("data frame", rule, "make every column text, numbers or dates")) from None
        return _checked(RawTable(table), "data frame")
    path = Path(source)
    with _readable(path) as start:
        raw = _read_parquet(path) if start == b"PAR1" else _read_csv(path, start[:2] == b"\x1f\x8b")
    return _checked(raw, str(path))


@contextmanager
def _readable(path: Path) -> Iterator[bytes]:
    """The first bytes of a file; what stops the block from reading it is told as InputError."""
    if not path.exists():
        raise InputError(Problem(str(path), "no such file", "check --data"))
    if path.is_dir():
        raise InputError(Problem(str(path), "is a folder", "name one CSV or Parquet file"))
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if not start:
            raise InputError(Problem(str(path), "the file is empty", "name a CSV with a header, or a Parquet file"))
        yield start
    except (OSError, EOFError, MemoryError, zlib.error) as error:
        raise InputError(Problem(str(path), f"cannot be read ({type(error).__name__})", "check the file")) from None


def _uniform(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of mixed objects as text, each cell as it would be in a column of its kind, so that Arrow takes them."""
    mixed = [
        c for c in frame if frame[c].dtype == object and pd.api.types.infer_dtype(frame[c], skipna=True) != "string"
    ]
    return frame.assign(**{c: frame[c].map(_as_written, na_action="ignore") for c in mixed})


def _checked(raw: RawTable, place: str) -> RawTable:
    _check_names(raw.columns, place)
    if len(raw) == 0:
        raise InputError(Problem(place, "has a header but no rows", "name a table with rows"))
    return raw


def _check_names(names: list[str], place: str) -> list[str]:
    twice = [str(i + 1) for i, name in enumerate(names) if names.count(name) > 1]
    if len(twice) > 5:
        twice = [*twice[:5], f"and {len(twice) - 5} more"]
    if twice:  # by position: in a file without a header the "names" are somebody's data
        raise InputError(
            Problem(place, f"column names repeat: columns {', '.join(twice)}", "give each column its own name")
        )
    return names


@contextmanager
def _told_as_parquet(path: Path) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        rule = f"is not a readable Parquet file ({type(error).__name__})"
        raise InputError(Problem(str(path), rule, "check the file")) from None


def _read_parquet(path: Path) -> RawTable:
    with _told_as_parquet(path):
        return RawTable(pyarrow.parquet.read_table(path))


def _read_csv(path: Path, zipped: bool) -> RawTable:
    ragged: list[tuple[int, int, int]] = []

    def note(row: Any) -> str:
        ragged.append((row.number or 0, row.expected_columns, row.actual_columns))
        return "skip"

    header = _header(path, zipped)
    _check_names(header, str(path))
    options = {
        "read_options": pyarrow.csv.ReadOptions(
            use_threads=False, encoding="utf8", column_names=header, skip_rows=1, block_size=LONGEST_LINE
        ),
        "parse_options": pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False, check_utf8=True
        ),
    }
    try:
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            table = pyarrow.csv.read_csv(file, **options)
    except pa.ArrowException as error:
        if "Empty CSV file" in str(error) or "Could not skip" in str(error):
            raise InputError(Problem(str(path), "has a header but no rows", "name a table with rows")) from None
        what = "is not UTF-8 text" if "UTF8" in str(error) else "is not a well-formed CSV file"
        raise InputError(Problem(str(path), what, "save it as CSV in UTF-8, separated by commas")) from None
    if ragged:
        line, expected, actual = ragged[0]
        rule = f"line {line} has {actual} fields where the header has {expected}"
        more = f"; {len(ragged)} such lines in all" if len(ragged) > 1 else ""
        raise InputError(Problem(str(path), rule + more, "put values that hold a comma in quotes"))
    _check_quotes(path, zipped)
    return RawTable(table)


def _check_quotes(path: Path, zipped: bool) -> None:
    """Refuses a quoted field that never ends: pyarrow would take all rows behind it for one person's value."""
    with gzip.open(path, "rb") if zipped else path.open("rb") as file:
        if not any(b'"' in block for block in iter(lambda: file.read(1 << 20), b"")):
            return
        file.seek(0)
        lines = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), strict=True)
        before = csv.field_size_limit(1 << 30)  # the whole process's: put back, since a header is read by the usual one
        try:
            for _ in lines:
                pass
        except csv.Error as error:  # other strictness, as text behind a closing quote, pyarrow sees to
            if "unexpected end of data" in str(error):
                mend = "close the quotes; a quote inside a quoted value is written twice"
                raise InputError(Problem(str(path), "a quoted value is still open at the end", mend)) from None
        finally:
            csv.field_size_limit(before)


def _header(path: Path, zipped: bool) -> list[str]:
    with gzip.open(path, "rb") if zipped else path.open("rb") as file:
        line = file.readline(1_000_000)
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError(
            Problem(str(path), "is not UTF-8 text", "save it as CSV in UTF-8, separated by commas")
        ) from None
    if "\0" in text or not text.strip():
        raise InputError(Problem(str(path), "is not a CSV file with a header line", "name a CSV or Parquet file"))
    try:
        return [name.strip() for name in next(csv.reader(io.StringIO(text)))]
    except csv.Error:  # one endless line, or lines that end as on an old Macintosh
        rule = "has no header line that can be read"
        raise InputError(Problem(str(path), rule, "save it as CSV, a line a row, separated by commas")) from None
