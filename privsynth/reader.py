"""Reads CSV(.gz) and Parquet strictly. Messages name files, lines and columns, never a value."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from privsynth.errors import InputError, Problem


@dataclass(frozen=True)
class RawTable:
    """A table as read. `types`: the column types of a typed source (Parquet, a data frame); None for text."""

    frame: pa.Table
    types: dict[str, pa.DataType] | None

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
        if pa.types.is_floating(values.type):
            found = values.to_pandas().map(_as_written, na_action="ignore").astype(object)
            return found.where(~found.isin({"", *missing}))
        if pa.types.is_boolean(values.type):
            return values.to_pandas().map({True: "True", False: "False"}).astype(object)
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
        """(values as float64, NaN where missing or unreadable; how many are present). Dates are days since 1970."""
        kind = self.frame.column(name).type
        if dates and (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
            days = self.frame.column(name).cast(pa.timestamp("s"), safe=False).to_pandas()
            return _days(days), int(days.notna().sum())
        if not dates and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            values = (
                self.frame.column(name)
                .cast(pa.float64(), safe=False)
                .to_pandas()
                .to_numpy(dtype=float, na_value=np.nan)
            )
            tokens = [float(token) for token in missing if _is_number(token)]
            values = np.where(np.isin(values, tokens), np.nan, values)
            return values, int((~np.isnan(values)).sum())
        text = self.text(name, missing)
        present = int(text.notna().sum())
        text = text.where(~text.str.lower().isin(["now", "today"]))  # pandas would read the clock
        if not dates:
            return pd.to_numeric(text, errors="coerce").to_numpy(dtype=float, na_value=np.nan), present
        return _parsed_days(text, form), present


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


def _as_written(value: float) -> str:
    """A number as text, by itself: how the others of its column look must not change it. 1.0 was written 1."""
    return str(int(value)) if math.isfinite(value) and value == round(value) else repr(float(value))


def _is_number(token: str) -> bool:
    try:
        return bool(np.isfinite(float(token)))
    except ValueError:
        return False


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
        return _checked(RawTable(table, dict(zip(table.column_names, table.schema.types, strict=True))), "data frame")
    path = Path(source)
    if not path.exists():
        raise InputError(Problem(str(path), "no such file", "check --data"))
    if path.is_dir():
        raise InputError(Problem(str(path), "is a folder", "name one CSV or Parquet file"))
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if not start:
            raise InputError(Problem(str(path), "the file is empty", "name a CSV with a header, or a Parquet file"))
        raw = _read_parquet(path) if start == b"PAR1" else _read_csv(path, start[:2] == b"\x1f\x8b")
    except (OSError, EOFError, MemoryError, zlib.error) as error:
        raise InputError(Problem(str(path), f"cannot be read ({type(error).__name__})", "check the file")) from None
    return _checked(raw, str(path))


def _uniform(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of mixed objects as text, so that Arrow takes them without naming a value."""
    mixed = [
        c
        for c in frame
        if frame[c].dtype == object and pd.api.types.infer_dtype(frame[c], skipna=True) not in ("string", "date")
    ]
    return frame.assign(**{c: frame[c].map(str, na_action="ignore") for c in mixed})


def _checked(raw: RawTable, place: str) -> RawTable:
    _check_names(raw.columns, place)
    if len(raw) == 0:
        raise InputError(Problem(place, "has a header but no rows", "name a table with rows"))
    return raw


def _check_names(names: list[str], place: str) -> None:
    twice = [str(i + 1) for i, name in enumerate(names) if names.count(name) > 1]
    if len(twice) > 5:
        twice = [*twice[:5], f"and {len(twice) - 5} more"]
    if twice:  # by position: in a file without a header the "names" are somebody's data
        raise InputError(
            Problem(place, f"column names repeat: columns {', '.join(twice)}", "give each column its own name")
        )


def _read_parquet(path: Path) -> RawTable:
    try:
        table = pyarrow.parquet.read_table(path)
    except pa.ArrowException as error:
        raise InputError(
            Problem(str(path), f"is not a readable Parquet file ({type(error).__name__})", "check the file")
        ) from None
    return RawTable(table, dict(zip(table.column_names, table.schema.types, strict=True)))


def _read_csv(path: Path, zipped: bool) -> RawTable:
    ragged: list[tuple[int, int, int]] = []

    def note(row: Any) -> str:
        ragged.append((row.number or 0, row.expected_columns, row.actual_columns))
        return "skip"

    header = _header(path, zipped)
    _check_names(header, str(path))
    options = {
        "read_options": pyarrow.csv.ReadOptions(use_threads=False, encoding="utf8", column_names=header, skip_rows=1),
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
    return RawTable(table, None)


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
