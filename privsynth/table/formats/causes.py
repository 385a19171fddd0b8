"""Why the rows of a CSV do not fit its header, in the words of the policy. Looks at lines and numbers of fields alone."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator

from privsynth.errors import InputError, Problem
from privsynth.policy.model import CsvSpec
from privsynth.table.formats.encodings import declare
from privsynth.table.formats.header import Header, called, rows_of

FOOTER = 100  # lines, at most, that may stand below a table


def lines_before(data: bytes, top: Header) -> int:
    """Lines above the header."""
    return data.count(b"\n", 0, top.start)


def of_ragged_rows(data: bytes, top: Header, spec: CsvSpec, place: str, ragged: Counter[int]) -> InputError:
    """ragged: how many rows have another number of fields than the header, by that number."""
    rows = _rows(data, top, spec)
    line, row = next((line, row) for line, row in rows if len(row) != top.width)
    many, mark = ragged.total(), called(spec.delimiter)
    more = f"; {many} such lines in all" if many > 1 else ""
    rule = f"line {line} has {len(row)} fields where the header has {top.width}{more}"
    hint = f"put values that hold a {mark} in quotes"
    if top.unnamed and len(row) == len(top.names):
        rule = f"the header ends with a {mark}, and line {line} does not{more}"
        hint = "take it off the header, or name the column that it stands for"
    elif len(row) == top.width + 1 and not row[-1]:
        rule = f"line {line} ends with a {mark}, and the header does not{more}"
        hint = "take it off the lines, or put one behind the header, too"
    elif len(row) == 1 and many <= FOOTER and _ends(rows, top.width):
        rule = f"line {line} has 1 fields where the header has {top.width}, and no row follows: it is a footer"
        hint = "take the lines below the table out of the file"
    elif top.width == 1:
        rule = f"the header, line {lines_before(data, top) + 1}, has one field where line {line} has {len(row)}{more}"
        hint = f"if it is a title above the header, {declare('skip_rows: 1')}"
    elif spec.delimiter == ",":
        hint += ", also numbers with a decimal comma"
    return InputError(Problem(place, rule, hint))


def of_a_value_without_name(data: bytes, top: Header, spec: CsvSpec, place: str) -> InputError:
    named = len(top.names)
    line, row = next((line, row) for line, row in _rows(data, top, spec) if any(cell.strip() for cell in row[named:]))
    column = next(i for i, cell in enumerate(row) if i >= named and cell.strip()) + 1
    hint = "name the column in the header, or take it out"
    return InputError(Problem(place, f"line {line} has a value in column {column}, which has no name", hint))


def _rows(data: bytes, top: Header, spec: CsvSpec) -> Iterator[tuple[int, list[str]]]:
    """(the line on which it ends, its fields) of each row, in a file of valid grammar."""
    before = csv.field_size_limit(1 << 30)  # a setting of the whole process, restored below
    try:
        text = io.BytesIO(data)
        text.seek(top.end)
        rows = rows_of((line.decode(errors="replace") for line in text), spec)
        for row in rows:
            if row:
                yield top.line - 1 + rows.line_num, row
    finally:
        csv.field_size_limit(before)


def _ends(rows: Iterator[tuple[int, list[str]]], width: int) -> bool:
    """True if few rows follow, and none of them has the width of the header."""
    following = list(itertools.islice(rows, FOOTER))
    return len(following) < FOOTER and all(len(row) != width for _, row in following)
