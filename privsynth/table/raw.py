"""A table as read, and how values of the source's types become text, each by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from privsynth.errors import InputError, Problem
from privsynth.table.cells import Cells, is_text
from privsynth.table.parse import day_of, number_of

UNREAD = b"privsynth.unread"  # key of a field's metadata: the type of a column that was left out of the read


@dataclass(frozen=True)
class RawTable:
    """A table as read: all text from CSV; with the source's types from Parquet (text as a dictionary) or a data frame.

    labels: for each column whose file declares labels (SPSS, Stata, SAS) the label of each code, both as text.
    dtypes: for each column of a data frame its pandas dtype, by name. bom: a CSV that began with a byte order mark.
    typed: False where all is text since the format has no types.
    """

    frame: pa.Table
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    bom: bool = False
    typed: bool = True

    @property
    def columns(self) -> list[str]:
        return list(self.frame.column_names)

    def __len__(self) -> int:
        return int(self.frame.num_rows)

    def cells(self, name: str, missing: Iterable[str]) -> Cells:
        """A column as text as written. missing: texts that mean that there is no value, beside the empty one."""
        values = self._readable(name)
        kind = values.type
        with _type_errors(name, kind):
            if pa.types.is_dictionary(kind) and not is_text(kind.value_type):
                values, kind = values.cast(kind.value_type), kind.value_type
            if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
                values = chunked(_moments_as_written(values))
            elif pa.types.is_floating(kind) or pa.types.is_boolean(kind):
                values = chunked([None if v is None or v != v else as_written(v) for v in values.to_pylist()])
            elif pa.types.is_time(kind):
                moments = values.cast(pa.time64("us"), safe=False).to_pylist()
                values = chunked([None if moment is None else str(moment) for moment in moments])
            elif not (pa.types.is_dictionary(kind) or is_text(kind)):
                values = values.cast(pa.string())
            return Cells.of(values, missing)

    def _readable(self, name: str) -> pa.ChunkedArray:
        """A column of a type whose values can be written as text one by one. Raises InputError for any other."""
        field = self.frame.schema.field(name)
        kind = field.metadata[UNREAD].decode() if field.metadata and UNREAD in field.metadata else field.type
        if isinstance(kind, (str, pa.BaseExtensionType)) or pa.types.is_duration(kind) or pa.types.is_nested(kind):
            raise _not_cells(name, kind)
        return self.frame.column(name)

    def numbers(self, name: str, missing: list[str], dates: bool, form: str | None) -> tuple[np.ndarray, int]:
        """(values as float64, NaN where missing or unreadable; how many are present). Dates are days since 1970: the
        day that is written, whatever offset from UTC follows it."""
        values = self._readable(name)
        kind = values.type
        if dates and (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
            with _type_errors(name, kind):
                return _days_of_moments(values, [day_of(token.strip(), form) for token in missing])
        tokens = [number for token in missing if not math.isnan(number := number_of(token.strip()))]
        if not dates and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            found = values.cast(pa.float64(), safe=False).to_pandas().to_numpy(dtype=float, na_value=np.nan)
            found = np.where(np.isin(found, tokens), np.nan, found)
            return found, int((~np.isnan(found)).sum())
        cells = self.cells(name, missing)
        if dates:
            return cells.numbers(lambda text: day_of(text, form)), cells.present
        found = cells.numbers(number_of)
        absent = np.isin(found, tokens)
        return np.where(absent, np.nan, found), cells.present - int(absent.sum())


def _not_cells(name: str, kind: object) -> InputError:
    try:
        shown = str(kind)
    except UnicodeDecodeError:  # of a damaged file, in the name of a time zone
        shown = "unknown"
    rule = f"is of type {shown}, which cannot be read as text or numbers"
    return InputError(Problem(f"column {name!r}", rule, "declare `release: drop`, or convert it"))


@contextmanager
def _type_errors(name: str, kind: pa.DataType) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError):  # a time zone that is not known here, or a type that has no text
        raise _not_cells(name, kind) from None


def chunked(texts: list[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def _days_of_moments(values: pa.ChunkedArray, missing: list[float]) -> tuple[np.ndarray, int]:
    """((rows,) float64 days since 1970 of dates or moments, as a clock in their time zone shows them, NaN where there is
    none; how many there are). missing: days whose first moment means that there is no value."""
    kind = values.type
    if pa.types.is_timestamp(kind) and kind.tz:
        values = pc.local_timestamp(values)
    whole = values.cast(pa.int32() if kind == pa.date32() else pa.int64())
    a_day = 1 if kind == pa.date32() else 86400 * _PER_SECOND["ms" if kind == pa.date64() else kind.unit]
    days, rest = np.divmod(whole.cast(pa.int64()).fill_null(0).to_numpy(), a_day)
    absent = values.is_null().to_numpy() | ((rest == 0) & np.isin(days, missing))
    return np.where(absent, np.nan, days.astype(float)), int(np.count_nonzero(~absent))


_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def as_written(value: Any) -> str:
    """An object as text, by itself: it must not depend on other cells of its column. 1.0 was written 1."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)):
        return str(int(value)) if math.isfinite(value) and value == round(value) else repr(float(value))
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, bytes):
        return value.decode()
    return value.isoformat() if isinstance(value, date) else str(value)


def _moments_as_written(values: pa.ChunkedArray) -> list[str | None]:
    """Dates or moments as text, with the offset from UTC where there is a time zone.

    pandas gets only times without a zone: it crashes the process at a moment with a zone in the year 50, and Python has
    no dates in the year 10000, so that one row would decide whether a run ends.
    """
    kind = values.type
    if pa.types.is_date(kind):
        days = values.cast(pa.timestamp("ms" if kind == pa.date64() else "s"), safe=False).to_pandas()
        return [None if day is pd.NaT else day.isoformat(sep=" ").partition(" ")[0] for day in days]
    local = pc.local_timestamp(values) if kind.tz else values
    texts = [None if moment is pd.NaT else as_written(moment) for moment in local.to_pandas()]
    if not kind.tz:
        return texts
    ahead = pc.subtract(local.cast(pa.int64()), values.cast(pa.int64()))
    seconds = pc.divide(ahead, _PER_SECOND[kind.unit]).to_pylist()
    return [None if text is None else text + _offset(after) for text, after in zip(texts, seconds, strict=True)]


def _offset(seconds: float) -> str:
    """Of local time from UTC, as ISO 8601 writes it: +05:30, with seconds where there are some."""
    minutes, rest = divmod(int(abs(seconds)), 60)
    text = f"{'-' if seconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{rest:02}" if rest else text
