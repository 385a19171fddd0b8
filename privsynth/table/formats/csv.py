"""CSV files, taken strictly, so that no line can change how another is read."""

from __future__ import annotations

import gzip
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from privsynth.errors import InputError, Problem
from privsynth.policy.model import CsvSpec, DatasetSpec
from privsynth.table.formats import causes
from privsynth.table.formats.encodings import LONGEST_LINE, UTF8, as_utf8, check_mark, check_utf8, lines_of
from privsynth.table.formats.header import Header, called, header_of
from privsynth.table.formats.registry import GZIP
from privsynth.table.limits import check_size
from privsynth.table.raw import RawTable

PART = 1 << 28  # bytes, about, that are parsed together
LONGEST_PART = 2**31 - 2  # bytes, for Arrow
SCANNED = 1 << 26  # bytes that are scanned together


def header(path: Path, dataset: DatasetSpec) -> list[str]:
    """The names in the header. No row is read; where the header has one field, the fields of the lines below are counted."""
    spec, place = dataset.csv, str(path)
    with _opened(path) as file:
        check_mark(file.read(4), spec.encoding, place)
    with _opened(path) as file:
        return header_of(lines_of(file, spec.encoding, place), spec, place).names


def read(path: Path, dataset: DatasetSpec) -> RawTable:
    """A CSV in the dialect that the policy declares, perhaps packed by gzip."""
    spec = dataset.csv
    text, marked = as_utf8(_whole(path), spec.encoding, str(path))
    return replace(read_csv(text, path, spec), bom=marked)


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _whole(path: Path) -> bytes:
    buffer = io.BytesIO()
    with _opened(path) as file:
        if not isinstance(file, gzip.GzipFile):
            check_size(os.fstat(file.fileno()).st_size, 0, path)
            return file.read()
        while part := file.read(1 << 24):
            check_size(buffer.tell() + len(part), 0, path)
            buffer.write(part)
    return buffer.getvalue()


def read_csv(data: bytes, path: Path, spec: CsvSpec = CsvSpec()) -> RawTable:  # noqa: B008 (a frozen value)
    """Parses a CSV in UTF-8 with Arrow. The rules of `check_grammar` leave only one way to parse it."""
    place = str(path)
    if spec.encoding in UTF8:  # what was decoded from another is text
        check_utf8(data, place)
    lines = io.BytesIO(data)
    top = header_of(iter(lambda: lines.readline(LONGEST_LINE + 4), b""), spec, place)
    if top.end == len(data):
        raise _no_rows(place)
    check_size(len(data), data.count(b"\n", top.end) * top.width, path)
    check_grammar(data[top.start :] if top.start else data, path, spec, causes.lines_before(data, top))
    tables, ragged = _parsed(data, top, path, spec)
    if ragged:
        raise causes.of_ragged_rows(data, top, spec, place, ragged)
    if not tables:
        raise _no_rows(place)
    table = _without_unnamed(pa.concat_tables(tables), data, top, spec, place)
    return RawTable(table, typed=False, iso=False, crlf=data[: top.end].endswith(b"\r\n"))


def _no_rows(place: str) -> InputError:
    return InputError(Problem(place, "has a header but no rows", "name a table with rows"))


def _parsed(data: bytes, top: Header, path: Path, spec: CsvSpec) -> tuple[list[pa.Table], Counter[int]]:
    """(the rows of each part, with a name for each unnamed column, too; how many rows have another number of fields, by that)."""
    ragged: Counter[int] = Counter()

    def note(row: Any) -> str:
        ragged[row.actual_columns] += 1
        return "skip"

    names = [*top.names, *(f"\0{i}" for i in range(top.unnamed))]  # no name in a header holds a NUL
    parsing = pyarrow.csv.ParseOptions(
        delimiter=spec.delimiter, quote_char=spec.quote or False, newlines_in_values=bool(spec.quote),
        invalid_row_handler=note,
    )  # fmt: skip
    converting = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
    )
    tables = []
    for start, end in _parts(data, top.end, spec.quote):
        if end - start > LONGEST_PART:
            raise InputError(Problem(str(path), "has a row of more than 1.5 GiB", "leave the column out"))
        # all in one block: at the start of a further block Arrow skips a line feed if the block before ended in a carriage
        # return, even inside quotes. The line end before the part is included, as an empty line: at the start of its input
        # Arrow would strip a byte order mark
        reading = pyarrow.csv.ReadOptions(use_threads=False, column_names=names, block_size=end - start + 1)
        try:
            part = pa.BufferReader(memoryview(data)[start - 1 : end])
            tables.append(pyarrow.csv.read_csv(part, reading, parsing, converting))
        except pa.ArrowException as error:
            if "Empty CSV file" not in str(error):
                hint = f"save it as CSV in UTF-8, separated by a {called(spec.delimiter)}"
                raise InputError(Problem(str(path), "is not a well-formed CSV file", hint)) from None
    return tables, ragged


def _without_unnamed(table: pa.Table, data: bytes, top: Header, spec: CsvSpec, place: str) -> pa.Table:
    """Where lines end with a delimiter, the header too, there is nothing behind it. Raises InputError if there is."""
    for extra in table.column_names[len(top.names) :]:
        longest = pc.max(pc.binary_length(pc.utf8_trim_whitespace(table.column(extra)))).as_py()
        if longest:
            raise causes.of_a_value_without_name(data, top, spec, place)
    return table.select(top.names)


def _parts(data: bytes, start: int, quote: str = '"') -> Iterator[tuple[int, int]]:
    """Where parts of about PART bytes start and end, from `start` on: each at a line end outside of quotes."""
    while start < len(data):
        end, quotes = start, 0
        while end < len(data):
            line_end = data.find(b"\n", min(max(end, start + PART), len(data)))
            stop = line_end + 1 if line_end >= 0 else len(data)
            quotes += data.count(quote.encode(), end, stop) if quote else 0
            end = stop
            if quotes % 2 == 0:
                break
        yield start, end
        start = end


_FEED, _RETURN = b"\n\r"


def check_grammar(written: bytes, path: Path, spec: CsvSpec = CsvSpec(), before: int = 0) -> None:  # noqa: B008
    """Raises InputError for a CSV that two readers could parse differently (RFC 4180, section 2, taken strictly).

    A quote opens where a field starts, closes where it ends, and is doubled inside of it; a carriage return outside of quotes
    is followed by a line feed. Then quotes open and close in turn, a doubled one closing and opening again. So an additional
    line with an even number of quotes leaves the parse of all other lines unchanged, and one with an odd number leaves a
    quote open at the end: in a file that is accepted no line can swallow others.

    This holds for every delimiter and quote that are two different ASCII characters, neither of them a line end: no byte
    of another character of UTF-8 is one of these four. Where no character quotes (`quote: ""`) every line feed ends a row,
    and each line is parsed by itself. before: lines above the text, for messages.
    """
    sound = b"\r" not in written or written.count(b"\r") == written.count(b"\r\n")
    if sound and (not spec.quote or spec.quote.encode() not in written):
        return
    quote = ord(spec.quote) if spec.quote else -1
    opens_after, closes_before = np.zeros((2, 256), bool)
    opens_after[[ord(spec.delimiter), _FEED, quote]] = True
    closes_before[[ord(spec.delimiter), _FEED, _RETURN, quote]] = True
    data, quotes = np.frombuffer(written, np.uint8), 0
    for start in range(0, len(data), SCANNED):
        block = data[start : start + SCANNED]
        at = start + np.flatnonzero(block == quote)
        opening, closing = at[quotes % 2 :: 2], at[1 - quotes % 2 :: 2]
        returns = start + np.flatnonzero(block == _RETURN)
        lone = returns[_next_to(data, returns, 1) != _FEED]
        lone = lone[(quotes + np.searchsorted(at, lone)) % 2 == 0]
        inside = opening[~opens_after[_next_to(data, opening, -1)]]
        behind = closing[~closes_before[_next_to(data, closing, 1)]]
        wrong = [
            (int(found[0]), rule) for found, rule in zip((inside, behind, lone), _RULES, strict=True) if len(found)
        ]
        if wrong:
            raise _ungrammatical(data, path, *min(wrong), spec, before)
        quotes += len(at)
    if quotes % 2:
        at, last = np.flatnonzero(data == quote), quotes - 1
        while last > 0 and at[last] == at[last - 1] + 1:  # a doubled quote, inside the value
            last -= 2
        rule = "a quoted value opens that is still open at the end"
        raise _ungrammatical(data, path, int(at[last]), rule, spec, before)


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


def _ungrammatical(data: np.ndarray, path: Path, place: int, rule: str, spec: CsvSpec, before: int) -> InputError:
    line = 1 + before + int(np.count_nonzero(data[:place] == _FEED))
    wrapped = f"a {called(spec.delimiter)}, a quote or a line break"
    hint = f"put values that hold {wrapped} in quotes, and write a quote inside of them twice"
    if spec.quote:
        hint += '; if no character quotes in this file, declare `dataset: {csv: {quote: ""}}`'
    return InputError(Problem(str(path), f"line {line}: {rule}", hint))
