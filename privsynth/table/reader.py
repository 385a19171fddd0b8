"""Reads CSV(.gz), Parquet and data frames strictly. Messages name files, lines and columns, never a value.

How one cell is read must not depend on other cells of its column, or adding one person would change everybody. So every
cell becomes text by itself, equal texts are found by their exact bytes (`Cells`), and a typed value is a function of one
text. No routine that groups, hashes, caches or infers over a column is used in between: pandas' string hashing stops at a
NUL byte, and its `to_datetime` and `to_numeric` read all cells differently if one is odd.

A cell that holds a control character (Unicode category Cc) other than a tab or a line end holds no value: it is
`UNREADABLE`, whatever else it holds. So is what is not text at all, such as bytes that are not UTF-8.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import math
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from privsynth.errors import InputError, Problem

PART = 1 << 28  # bytes, about, of a CSV that are parsed together
LONGEST_PART = 2**31 - 2  # bytes, for Arrow
SCANNED = 1 << 26  # bytes of a CSV that are scanned together
A_CELL = 48  # bytes of memory, about, that a cell takes while it is typed, in addition to its text
MISSING, UNREADABLE = -1, -2  # codes of cells without a value
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NO_TEXT = "\0"  # stands for an object that is no text: unreadable by the rule on control characters


@dataclass(frozen=True)
class Cells:
    """One column as text. codes: (rows,) int64, the place of each cell's text in `distinct`, or MISSING, or UNREADABLE.

    distinct: texts without white space at their ends, each once; two cells share a code only if their texts' bytes are
    equal. A list by place with two more entries, for UNREADABLE and MISSING, can be indexed by `codes` directly.
    """

    codes: np.ndarray
    distinct: list[str]

    @cached_property
    def present(self) -> int:
        """Cells that are not missing."""
        return int(np.count_nonzero(self.codes != MISSING))

    def numbers(self, read: Callable[[str], float]) -> np.ndarray:
        """(rows,) float64: each cell as `read` reads its text; NaN without one."""
        return np.asarray(np.array([*map(read, self.distinct), np.nan, np.nan])[self.codes])

    def words(self, read: Callable[[str], str | None] = str) -> np.ndarray:
        """(rows,) objects: each cell as `read` gives its text; None without one."""
        found = np.empty(len(self.distinct) + 2, object)  # the last two stay None
        found[:-2] = [read(text) for text in self.distinct]
        return np.asarray(found[self.codes])

    @classmethod
    def of(cls, values: pa.ChunkedArray, missing: Iterable[str]) -> Cells:
        """values: text or bytes, perhaps as a dictionary. missing: texts that mean that there is no value."""
        places, raw = _exactly_coded(values)
        place_of: dict[str, int] = dict.fromkeys(("", *(token.strip() for token in missing)), MISSING)
        distinct: list[str] = []
        codes = np.full(len(raw) + 1, MISSING)  # the last for null, whose place is -1
        for place, written in enumerate(raw):
            text = _decoded(written)
            if text is None:
                codes[place] = UNREADABLE
                continue
            codes[place] = place_of.setdefault(text, len(distinct))
            if codes[place] == len(distinct):
                distinct.append(text)
        return cls(codes[places], distinct)


def _exactly_coded(values: pa.ChunkedArray) -> tuple[np.ndarray, list[bytes | None]]:
    """((rows,) place of each cell, -1 for null; the bytes at each place). Arrow compares bytes with their lengths.

    Chunk by chunk: Arrow cannot unify dictionaries that hold nulls, or more texts together than their index type can number.
    """
    place_of: dict[bytes | None, int] = {}
    places = [np.zeros(0, np.int64)]
    for chunk in values.chunks:
        coded = chunk if pa.types.is_dictionary(chunk.type) else chunk.cast(pa.large_binary()).dictionary_encode()
        written = coded.dictionary.cast(pa.large_binary()).to_pylist()
        place = np.array([*(place_of.setdefault(text, len(place_of)) for text in written), -1])
        places.append(place[coded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)])
    return np.concatenate(places), list(place_of)


def _decoded(written: bytes | None) -> str | None:
    """A cell's text without white space at its ends; None if it is not text, or holds a control character."""
    if written is None:  # a null inside of a dictionary
        return ""
    try:
        text = written.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text.strip()


@dataclass(frozen=True)
class RawTable:
    """A table as read: all text from CSV; with the source's types from Parquet (text as a dictionary) or a data frame."""

    frame: pa.Table

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
                values = _chunked(_moments_as_written(values))
            elif pa.types.is_floating(kind) or pa.types.is_boolean(kind):
                values = _chunked([None if v is None or v != v else _as_written(v) for v in values.to_pylist()])
            elif pa.types.is_time(kind):
                moments = values.cast(pa.time64("us"), safe=False).to_pylist()
                values = _chunked([None if moment is None else str(moment) for moment in moments])
            elif not (pa.types.is_dictionary(kind) or is_text(kind)):
                values = values.cast(pa.string())
            return Cells.of(values, missing)

    def _readable(self, name: str) -> pa.ChunkedArray:
        """A column of a type whose values can be written as text one by one. Raises InputError for any other."""
        field = self.frame.schema.field(name)
        kind = field.metadata[_UNREAD].decode() if field.metadata and _UNREAD in field.metadata else field.type
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


_UNREAD = b"privsynth.unread"  # key of a field's metadata: the type of a column that was left out of the read


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


def is_text(kind: pa.DataType) -> bool:
    """True for text and bytes, however Arrow stores them."""
    return any(
        is_one(kind)
        for is_one in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
                       pa.types.is_fixed_size_binary, pa.types.is_string_view, pa.types.is_binary_view)
    )  # fmt: skip


def _chunked(texts: list[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def number_of(text: str) -> float:
    """The decimal number that a text is, as Python reads it; NaN if it is not a number.

    >>> number_of("-4e2"), number_of("1_000")
    (-400.0, nan)
    """
    return float(text) if _NUMBER.match(text) else math.nan


_NUMBER = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)  # each digit matches in one way only


def day_of(text: str, form: str | None) -> float:
    """The day that a text states, in days since 1970, whatever time and offset follow it; NaN if it is none.

    form: as in strptime; None: ISO 8601, also without the day or the month, which then are the first.

    >>> day_of("1970-01-02T00+05:30", None), day_of("31.12.1969", "%d.%m.%Y"), day_of("1970-02-30", None)
    (1.0, -1.0, nan)
    """
    try:
        if form is not None:
            return float(datetime.strptime(text, form).toordinal() - _EPOCH)
        found = _ISO.match(text)
        if found is None:  # a week of ISO 8601, if it is a date at all
            return float(date.fromisoformat(text).toordinal() - _EPOCH)
        year, _, month, day, *without_separators = found.groups()
        month, day = (month, day) if month else without_separators
        return float(date(int(year), int(month or 1), int(day or 1)).toordinal() - _EPOCH)
    except (ValueError, OverflowError):  # no such day
        return math.nan


_EPOCH = date(1970, 1, 1).toordinal()
_HOUR, _MINUTE, _PART = r"(?:[01]?\d|2[0-3])", r"[0-5]?\d", r"(?:[.,]\d+)?"
_CLOCK = rf"(?:{_HOUR}(?::{_MINUTE}(?::{_MINUTE}{_PART})?)?|(?:[01]\d|2[0-3])(?:[0-5]\d){{1,2}}{_PART})"
_OFFSET = rf" ?(?:Z|[+-]{_CLOCK})"  # from UTC; of old zones with seconds
_TIME = rf"(?:[T ]{_CLOCK})?(?:{_OFFSET})?"
_ISO = re.compile(rf"(\d{{4}})(?:([-./\\ ])(\d\d?)(?:\2(\d\d?){_TIME})?|(\d\d)(\d\d){_TIME})?\Z", re.ASCII)


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


def _as_written(value: Any) -> str:
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


def _object_as_text(value: Any) -> str | None:
    """Any object of a data frame as text; None where it means a missing value. What is not text is `_NO_TEXT`, not an error:
    a signalling NaN, a whole number too long to print, half a surrogate pair, bytes that are not UTF-8."""
    if type(value) is str and value.isascii():
        return value
    try:
        if pd.api.types.is_scalar(value) and pd.isna(value):
            return None
        text = _as_written(value)
        text.encode()
        return text
    except Exception:  # an object may raise anything when it is printed
        return _NO_TEXT


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
    texts = [None if moment is pd.NaT else _as_written(moment) for moment in local.to_pandas()]
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


def read_header(source: str | Path | pd.DataFrame) -> list[str]:
    """Column names alone; no row is read. Raises InputError if there are none to read."""
    if isinstance(source, pd.DataFrame):
        return _check_names([str(name) for name in source.columns], "data frame")
    path = Path(source)
    with _readable(path) as start, _parquet_errors(path):
        if start == b"PAR1":
            return _check_names(pyarrow.parquet.read_schema(path).names, str(path))
        with gzip.open(path, "rb") if start[:2] == _GZIP else path.open("rb") as file:
            return _names_in(file.readline(LONGEST_HEADER + 4).removeprefix(codecs.BOM_UTF8), str(path))


def read_table(source: str | Path | pd.DataFrame) -> RawTable:
    """Reads a table from a CSV(.gz) or Parquet file, or takes a data frame. Raises InputError if it cannot be one."""
    if isinstance(source, pd.DataFrame):
        return _checked(_taken(source), "data frame")
    path = Path(source)
    with _readable(path) as start:
        if start == b"PAR1":
            return _checked(_read_parquet(path), str(path))
        data = _unpacked(path) if start[:2] == _GZIP else _whole(path)
        return _checked(_read_csv(data, path), str(path))


@contextmanager
def _readable(path: Path) -> Iterator[bytes]:
    """The first bytes of a file; errors of reading it within the block become InputError."""
    try:
        if not path.exists():
            raise InputError(Problem(str(path), "no such file", "check --data"))
        if not path.is_file():  # reading would consume the first bytes of a pipe, or never end
            what = "is a folder" if path.is_dir() else "is no file on a disk"
            raise InputError(Problem(str(path), what, "name one CSV or Parquet file"))
        with path.open("rb") as file:
            start = file.read(4)
        if not start:
            raise InputError(Problem(str(path), "the file is empty", "name a CSV with a header, or a Parquet file"))
        yield start
    except (OSError, EOFError, MemoryError, zlib.error) as error:
        raise InputError(Problem(str(path), f"cannot be read ({type(error).__name__})", "check the file")) from None


_GZIP = b"\x1f\x8b"


def memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _check_size(size: int, cells: int, path: Path) -> None:
    """Raises InputError for what would not fit into memory, so that no small file can crash the process by unpacking to much.

    size: of the unpacked text, which is held about three times while it is read; cells: that are in it.
    """
    if 3 * size + A_CELL * cells > memory():
        rule = f"unpacks to more than fits into this machine's {memory() / 2**30:.1f} GiB of memory"
        raise InputError(Problem(str(path), rule, "read it on a larger machine, or leave columns out"))


def _checked(raw: RawTable, place: str) -> RawTable:
    if len(raw) == 0:
        raise InputError(Problem(place, "has a header but no rows", "name a table with rows"))
    return raw


def _check_names(names: list[str], place: str) -> list[str]:
    often = Counter(names)
    twice = [str(i + 1) for i, name in enumerate(names) if often[name] > 1]
    if len(twice) > 5:
        twice = [*twice[:5], f"and {len(twice) - 5} more"]
    if twice:  # by position: in a file without a header the "names" are somebody's data
        raise InputError(
            Problem(place, f"column names repeat: columns {', '.join(twice)}", "give each column its own name")
        )
    return names


# --- data frames ------------------------------------------------------------------------------------------------------


def _taken(frame: pd.DataFrame) -> RawTable:
    """A data frame as an Arrow table: columns of objects as text, object by object, other columns with their own type."""
    names = _check_names([str(name) for name in frame.columns], "data frame")
    try:
        columns = [_as_arrow(frame.iloc[:, j]) for j in range(len(names))]
        return RawTable(pa.table(columns, names) if names else pa.table({}))
    except (pa.ArrowException, TypeError, ValueError) as error:  # the error's own words may quote a value
        rule = f"has a column whose type cannot be taken ({type(error).__name__})"
        raise InputError(Problem("data frame", rule, "make every column text, numbers or dates")) from None


def _as_texts(column: pd.Series) -> pa.ChunkedArray:
    """Objects as text, object by object; where all are text, or nothing, Arrow takes them as they are, which is the same."""
    try:
        return pa.chunked_array([pa.array(column.to_numpy(object), pa.large_string(), from_pandas=True)])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # an odd object, or half a surrogate pair
        return _chunked([_object_as_text(value) for value in column])


def _as_arrow(column: pd.Series) -> pa.ChunkedArray:
    one_by_one = (pd.StringDtype, pd.PeriodDtype, pd.IntervalDtype)
    if column.dtype == object or isinstance(column.dtype, one_by_one) or column.dtype.kind == "m":
        return _as_texts(column)
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.categories.dtype == object:
        texts = pa.array([_object_as_text(value) for value in column.cat.categories], pa.large_string())
        codes = pa.array(column.cat.codes.to_numpy(np.int64), mask=column.isna().to_numpy())
        return pa.chunked_array([pa.DictionaryArray.from_arrays(codes, texts)])
    return pa.Table.from_pandas(column.to_frame("x"), preserve_index=False).column(0)


# --- Parquet ----------------------------------------------------------------------------------------------------------


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        rule = f"is not a readable Parquet file ({type(error).__name__})"
        raise InputError(Problem(str(path), rule, "check the file")) from None


def _read_parquet(path: Path) -> RawTable:
    """Text stays dictionary-encoded, as in most files: what is small in a file is then small in memory, too. Columns of
    lists, structures and extension types, which no run can use, are not read: they may hold any number of values."""
    with _parquet_errors(path), pyarrow.parquet.ParquetFile(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
        _check_names(schema.names, str(path))
        flat = [f for f in schema if not (pa.types.is_nested(f.type) or isinstance(f.type, pa.BaseExtensionType))]
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        width = sum(A_CELL + _width(field.type) for field in flat)
        _check_size(sum(max(group.total_byte_size, 0) for group in groups), 0, path)
        _check_size(0, metadata.num_rows * width // A_CELL, path)
        read = _flat_columns(path, flat)
        nothing = pa.nulls(metadata.num_rows)
        fields = [f if f in flat else pa.field(f.name, pa.null(), metadata={_UNREAD: str(f.type)}) for f in schema]
        columns = [read.column(f.name) if f in flat else nothing for f in schema]
        return RawTable(
            pa.table(columns, pa.schema([f.with_type(c.type) for f, c in zip(fields, columns, strict=True)]))
        )


def _width(kind: pa.DataType) -> int:
    """Bytes of a value; 0 for text, whose size the pages state."""
    try:
        return int(kind.byte_width)
    except ValueError:
        return 0


def _flat_columns(path: Path, fields: list[pa.Field]) -> pa.Table:
    names = [field.name for field in fields]
    texts = [field.name for field in fields if is_text(field.type) and not pa.types.is_fixed_size_binary(field.type)]
    try:
        with pyarrow.parquet.ParquetFile(path, read_dictionary=texts) as file:
            return file.read(names)
    except (
        OSError,
        pa.ArrowException,
    ):  # delta-encoded text, or more texts than the type of their index can number
        with pyarrow.parquet.ParquetFile(path) as file:
            batches, size = [], 0
            for batch in file.iter_batches(1024, columns=names):
                size += batch.nbytes
                _check_size(size, 0, path)
                batches.append(batch)
            return pa.Table.from_batches(batches, file.schema_arrow if not batches else None).select(names)


# --- CSV --------------------------------------------------------------------------------------------------------------


def _read_csv(data: bytes, path: Path) -> RawTable:
    """Parses a CSV with Arrow. The rules of `_check_grammar` leave only one way to parse it."""
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    header = data[: data.find(b"\n") + 1 or len(data)]
    names = _names_in(header, str(path))
    if len(header) == len(data):
        raise InputError(Problem(str(path), "has a header but no rows", "name a table with rows"))
    _check_size(len(data), data.count(b"\n") * len(names), path)
    _check_text(data, path)
    _check_grammar(data, path)
    how = {
        "parse_options": pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
        ),
    }
    tables = []
    for start, end in _parts(data, len(header)):
        if end - start > LONGEST_PART:
            raise InputError(Problem(str(path), "has a row of more than 1.5 GiB", "leave the column out"))
        # all in one block: at the start of a further block Arrow skips a line feed if the block before ended in a carriage
        # return, even inside quotes. The line end before the part is included, as an empty line: at the start of its input
        # Arrow would strip a byte order mark
        options = pyarrow.csv.ReadOptions(use_threads=False, column_names=names, block_size=end - start + 1)
        try:
            part = pa.BufferReader(memoryview(data)[start - 1 : end])
            tables.append(pyarrow.csv.read_csv(part, read_options=options, **how))
        except pa.ArrowException as error:
            if "Empty CSV file" not in str(error):
                raise InputError(Problem(str(path), "is not a well-formed CSV file", _SAVE_AS_CSV)) from None
    if ragged:
        line, fields = _first_ragged(data, len(names))
        rule = f"line {line} has {fields} fields where the header has {len(names)}"
        more = f"; {len(ragged)} such lines in all" if len(ragged) > 1 else ""
        raise InputError(Problem(str(path), rule + more, "put values that hold a comma in quotes"))
    if not tables:
        raise InputError(Problem(str(path), "has a header but no rows", "name a table with rows"))
    return RawTable(pa.concat_tables(tables))


def _parts(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Where parts of about PART bytes start and end, from `start` on: each at a line end outside of quotes."""
    while start < len(data):
        end, quotes = start, 0
        while end < len(data):
            line_end = data.find(b"\n", min(max(end, start + PART), len(data)))
            stop = line_end + 1 if line_end >= 0 else len(data)
            quotes += data.count(b'"', end, stop)
            end = stop
            if quotes % 2 == 0:
                break
        yield start, end
        start = end


def _check_text(data: bytes, path: Path) -> None:
    """Raises InputError with the line of the first bytes that are not UTF-8."""
    if data.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), SCANNED):
            decoder.decode(data[start : start + SCANNED])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        line = 1 + data.count(b"\n", 0, _first_no_text(data))
        rule = f"line {line} is not UTF-8 text"
        raise InputError(Problem(str(path), rule, _SAVE_AS_CSV)) from None


def _first_no_text(data: bytes) -> int:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return len(data)


_SAVE_AS_CSV = "save it as CSV in UTF-8, separated by commas"
LONGEST_HEADER = 1_000_000  # bytes


def _whole(path: Path) -> bytes:
    _check_size(path.stat().st_size, 0, path)
    return path.read_bytes().removeprefix(codecs.BOM_UTF8)


def _unpacked(path: Path) -> bytes:
    buffer = io.BytesIO()
    with gzip.open(path, "rb") as file:
        while part := file.read(1 << 24):
            _check_size(buffer.tell() + len(part), 0, path)
            buffer.write(part)
    return buffer.getvalue().removeprefix(codecs.BOM_UTF8)


def _names_in(line: bytes, place: str) -> list[str]:
    """The column names in the first line. A quote that does not close in it is an error: rows might follow in it."""
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError(Problem(place, "is not UTF-8 text", _SAVE_AS_CSV)) from None
    if len(line) > LONGEST_HEADER or _CONTROL.search(text) or not text.strip():
        raise InputError(Problem(place, "is not a CSV file with a header line", "name a CSV or Parquet file"))
    try:
        names = [name.strip() for name in next(csv.reader([text], strict=True))]
    except csv.Error:  # an open quote, one endless line, or lines that end as on an old Macintosh
        rule = "has no header line that can be read"
        raise InputError(Problem(place, rule, "save it as CSV, a line a row, separated by commas")) from None
    return _check_names(names, place)


_COMMA, _QUOTE, _FEED, _RETURN = b',"\n\r'
_OPENS_AFTER, _CLOSES_BEFORE = np.zeros((2, 256), bool)
_OPENS_AFTER[[_COMMA, _FEED, _QUOTE]] = _CLOSES_BEFORE[[_COMMA, _FEED, _RETURN, _QUOTE]] = True


def _check_grammar(written: bytes, path: Path) -> None:
    """Raises InputError for a CSV that two readers could parse differently (RFC 4180, section 2, taken strictly).

    A quote opens where a field starts, closes where it ends, and is doubled inside of it; a carriage return outside of quotes
    is followed by a line feed. Then quotes open and close in turn, a doubled one closing and opening again. So an additional
    line with an even number of quotes leaves the parse of all other lines unchanged, and one with an odd number leaves a
    quote open at the end: in a file that is accepted no line can swallow others.
    """
    if b'"' not in written and (b"\r" not in written or written.count(b"\r") == written.count(b"\r\n")):
        return
    data, quotes = np.frombuffer(written, np.uint8), 0
    for start in range(0, len(data), SCANNED):
        block = data[start : start + SCANNED]
        at = start + np.flatnonzero(block == _QUOTE)
        opening, closing = at[quotes % 2 :: 2], at[1 - quotes % 2 :: 2]
        returns = start + np.flatnonzero(block == _RETURN)
        lone = returns[_next_to(data, returns, 1) != _FEED]
        lone = lone[(quotes + np.searchsorted(at, lone)) % 2 == 0]
        inside = opening[~_OPENS_AFTER[_next_to(data, opening, -1)]]
        behind = closing[~_CLOSES_BEFORE[_next_to(data, closing, 1)]]
        wrong = [
            (int(found[0]), rule) for found, rule in zip((inside, behind, lone), _RULES, strict=True) if len(found)
        ]
        if wrong:
            raise _ungrammatical(data, path, *min(wrong))
        quotes += len(at)
    if quotes % 2:
        at, last = np.flatnonzero(data == _QUOTE), quotes - 1
        while last > 0 and at[last] == at[last - 1] + 1:  # a doubled quote, inside the value
            last -= 2
        raise _ungrammatical(data, path, int(at[last]), "a quoted value opens that is still open at the end")


_RULES = (
    "a quote occurs inside a value that does not begin with one",
    "text follows a closing quote, or a quote before it was never closed",
    "a carriage return is not followed by a line feed",
)


def _next_to(data: np.ndarray, places: np.ndarray, step: int) -> np.ndarray:
    """(places,) the byte beside each; at the ends of the file a line feed."""
    beside = places + step
    outside = (beside < 0) | (beside >= len(data))
    return np.where(outside, _FEED, data[np.where(outside, 0, beside)])


def _ungrammatical(data: np.ndarray, path: Path, place: int, rule: str) -> InputError:
    line = 1 + int(np.count_nonzero(data[:place] == _FEED))
    hint = "put values that hold a comma, a quote or a line break in quotes, and write a quote inside of them twice"
    return InputError(Problem(str(path), f"line {line}: {rule}", hint))


def _first_ragged(data: bytes, width: int) -> tuple[int, int]:
    """(the line on which it ends, number of fields) of the first row of a different width, in a file of valid grammar."""
    before = csv.field_size_limit(1 << 30)  # a setting of the whole process, restored below
    try:
        rows = csv.reader(line.decode(errors="replace") for line in io.BytesIO(data))
        return next((rows.line_num, len(row)) for row in rows if row and len(row) != width)
    finally:
        csv.field_size_limit(before)
