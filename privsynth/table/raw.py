"""A table as read, and how values of the source's types become text, each by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from privsynth.errors import InputError, Problem
from privsynth.table.cells import Cells, is_text
from privsynth.table.values import PER_SECOND, NumberReader

UNREAD = b"privsynth.unread"  # key of a field's metadata: the type of a column that was left out of the read


@dataclass(frozen=True)
class RawTable:
    """A table as read: all text from CSV; with the source's types from Parquet (text as a dictionary) or a data frame.

    labels: for each column whose file declares labels (SPSS, Stata, SAS) the label of each code, both as text.
    dtypes: for each column of a data frame its pandas dtype, by name. bom: a CSV that began with a byte order mark;
    crlf: one whose header ends as lines of Windows do.
    typed: False where all is text since the format has no types. iso: False where a day can only be text, which somebody wrote
    in a format; elsewhere it may have been a day, which was written in ISO 8601 here. types: as declared, where `frame`
    stores a column otherwise. notes: what this format does not give, for `doctor`.
    """

    frame: pa.Table
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    bom: bool = False
    crlf: bool = False
    typed: bool = True
    iso: bool = True
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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
            elif pa.types.is_duration(kind):
                values = chunked(_durations_as_written(values))
            elif pa.types.is_time(kind):
                moments = values.cast(pa.time64("us"), safe=False).to_pylist()
                values = chunked([None if moment is None else str(moment) for moment in moments])
            elif not (pa.types.is_dictionary(kind) or is_text(kind)):
                values = values.cast(pa.string())
            return Cells.of(values, missing)

    def type_of(self, name: str) -> pa.DataType | None:
        """The declared type of a column; None where the format has none."""
        if not self.typed:
            return None
        return self.types.get(name, self.frame.schema.field(name).type)

    def _readable(self, name: str) -> pa.ChunkedArray:
        """A column of a type whose values can be written as text one by one. Raises InputError for any other."""
        field = self.frame.schema.field(name)
        kind = field.metadata[UNREAD].decode() if field.metadata and UNREAD in field.metadata else field.type
        if isinstance(kind, (str, pa.BaseExtensionType)) or pa.types.is_nested(kind):
            raise _not_cells(name, kind)
        return self.frame.column(name)

    def numbers(self, name: str, reader: NumberReader) -> Numbers:
        """A column of numbers, dates or moments, each cell by itself."""
        values = self._readable(name)
        with _type_errors(name, values.type):
            typed = reader.of_arrow(values)
        if typed is not None:
            return Numbers.typed(typed, reader)
        return Numbers.read(self.cells(name, ()), replace(reader, or_iso=self.iso))


REGULAR, BLANK, NO_VALUE, NOT_ALLOWED = -1, -2, -3, -4  # states of a cell; from 0 on, the place of its mark


@dataclass(frozen=True)
class Numbers:
    """values: (rows,) float64, NaN where the state is not REGULAR. states: (rows,) int8."""

    values: np.ndarray
    states: np.ndarray

    @classmethod
    def typed(cls, values: np.ndarray, reader: NumberReader) -> Numbers:
        """values: as the source's type gives them, NaN for null."""
        states = np.where(np.isnan(values), BLANK, np.where(np.isfinite(values), REGULAR, NO_VALUE)).astype(np.int8)
        for value, place in reader.marked_numbers.items():
            states[values == value] = place
        return cls(np.where(states == REGULAR, values, np.nan), states)

    @classmethod
    def read(cls, cells: Cells, reader: NumberReader) -> Numbers:
        """The last two entries of the look-up tables are those of UNREADABLE and MISSING cells."""
        found = [reader(text) for text in cells.distinct]
        values = np.array([*(value for value, _ in found), np.nan, np.nan])
        readable = np.isfinite(values[:-2])
        states = np.where(readable, REGULAR, [mark if mark >= 0 else NO_VALUE for _, mark in found])
        states = np.append(states, [NO_VALUE, BLANK]).astype(np.int8)
        return cls(np.where(states == REGULAR, values, np.nan)[cells.codes], states[cells.codes])

    @classmethod
    def none(cls, rows: int) -> Numbers:
        return cls(np.full(rows, np.nan), np.full(rows, BLANK, np.int8))

    @property
    def present(self) -> int:
        """Cells that are neither blank nor a mark."""
        return int(np.count_nonzero((self.states != BLANK) & (self.states < 0)))

    @property
    def unreadable(self) -> int:
        """Cells that hold something else than a value of their kind."""
        return int(np.count_nonzero(self.states == NO_VALUE))


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
    seconds = pc.divide(ahead, PER_SECOND[kind.unit]).to_pylist()
    return [None if text is None else text + _offset(after) for text, after in zip(texts, seconds, strict=True)]


def _durations_as_written(values: pa.ChunkedArray) -> list[str | None]:
    """ISO 8601 in seconds, such as PT5400S."""
    per_second = PER_SECOND[values.type.unit]
    digits = len(str(per_second)) - 1

    def written(units: int) -> str:
        seconds, rest = divmod(abs(units), per_second)
        part = f".{rest:0{digits}d}".rstrip("0") if rest else ""
        return f"{'-' if units < 0 else ''}PT{seconds}{part}S"

    return [None if units is None else written(units) for units in values.cast(pa.int64()).to_pylist()]


def _offset(seconds: float) -> str:
    """Of local time from UTC, as ISO 8601 writes it: +05:30, with seconds where there are some."""
    minutes, rest = divmod(int(abs(seconds)), 60)
    text = f"{'-' if seconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{rest:02}" if rest else text
