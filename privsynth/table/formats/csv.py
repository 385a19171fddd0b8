"""CSV files, taken strictly, so that no line can change how another is read."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from privsynth.errors import InputError, Problem
from privsynth.table.cells import CONTROL
from privsynth.table.limits import check_names, check_size
from privsynth.table.raw import RawTable

PART = 1 << 28  # bytes, about, that are parsed together
LONGEST_PART = 2**31 - 2  # bytes, for Arrow
SCANNED = 1 << 26  # bytes that are scanned together
LONGEST_HEADER = 1_000_000  # bytes


def read_csv(data: bytes, path: Path) -> RawTable:
    """Parses a CSV with Arrow. The rules of `check_grammar` leave only one way to parse it."""
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    header = data[: data.find(b"\n") + 1 or len(data)]
    names = names_in(header, str(path))
    if len(header) == len(data):
        raise InputError(Problem(str(path), "has a header but no rows", "name a table with rows"))
    check_size(len(data), data.count(b"\n") * len(names), path)
    _check_text(data, path)
    check_grammar(data, path)
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


def whole(path: Path) -> bytes:
    check_size(path.stat().st_size, 0, path)
    return path.read_bytes().removeprefix(codecs.BOM_UTF8)


def unpacked(path: Path) -> bytes:
    buffer = io.BytesIO()
    with gzip.open(path, "rb") as file:
        while part := file.read(1 << 24):
            check_size(buffer.tell() + len(part), 0, path)
            buffer.write(part)
    return buffer.getvalue().removeprefix(codecs.BOM_UTF8)


def names_in(line: bytes, place: str) -> list[str]:
    """The column names in the first line. A quote that does not close in it is an error: rows might follow in it."""
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError(Problem(place, "is not UTF-8 text", _SAVE_AS_CSV)) from None
    if len(line) > LONGEST_HEADER or CONTROL.search(text) or not text.strip():
        raise InputError(Problem(place, "is not a CSV file with a header line", "name a CSV or Parquet file"))
    try:
        names = [name.strip() for name in next(csv.reader([text], strict=True))]
    except csv.Error:  # an open quote, one endless line, or lines that end as on an old Macintosh
        rule = "has no header line that can be read"
        raise InputError(Problem(place, rule, "save it as CSV, a line a row, separated by commas")) from None
    return check_names(names, place)


_COMMA, _QUOTE, _FEED, _RETURN = b',"\n\r'
_OPENS_AFTER, _CLOSES_BEFORE = np.zeros((2, 256), bool)
_OPENS_AFTER[[_COMMA, _FEED, _QUOTE]] = _CLOSES_BEFORE[[_COMMA, _FEED, _RETURN, _QUOTE]] = True


def check_grammar(written: bytes, path: Path) -> None:
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
