"""The header of a CSV: its names, where it ends, and what is wrong with it.

All that a message says comes from the header, which is public, and from the structure of the lines right below it: how many
fields they have, never what is in them.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from privsynth.errors import InputError, Problem
from privsynth.policy.model import CsvSpec
from privsynth.table.cells import CONTROL
from privsynth.table.formats.encodings import LONGEST_LINE, declare
from privsynth.table.limits import check_names

LINES_BELOW = 20  # that are searched for the header, below what may be a title
OTHERS = (";", ",", "\t", "|")  # delimiters that a message may name
_SEPARATOR = re.compile(rb"\"?sep=([;,|\t])\"?\r?\n", re.I)
BREAKS = 10  # line breaks in one name: more mean that a quote was never closed, and rows are behind it
CALLED = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar", " ": "space", ":": "colon"}


@dataclass(frozen=True)
class Header:
    """names: of the columns. unnamed: how many more the header has behind them, without names, as where lines end with a
    delimiter. start, end: its place in the text, in bytes. line: the number of the first line behind it."""

    names: list[str]
    unnamed: int
    start: int
    end: int
    line: int

    @property
    def width(self) -> int:
        return len(self.names) + self.unnamed


def called(delimiter: str) -> str:
    return CALLED.get(delimiter, repr(delimiter))


def header_of(lines: Iterator[bytes], spec: CsvSpec, place: str) -> Header:
    """The header below `skip_rows` lines, at the first line that is not empty. Raises InputError if there is none.

    lines: of UTF-8 text, with their ends. Where a quote is open at the end of a line the header goes on.
    """
    start = number = 0
    for number, line in enumerate(lines, 1):
        if number > spec.skip_rows and line.strip(b"\r\n"):
            break
        start += len(line)
    else:
        if number < spec.skip_rows:
            raise InputError(
                Problem(place, f"has fewer than the {spec.skip_rows:,} lines of `skip_rows`", "state fewer")
            )
        raise _no_header(place)
    first, quote = number, spec.quote.encode()
    while quote and line.count(quote) % 2:
        more = next(lines, b"")
        if not more or len(line) > LONGEST_LINE:
            raise _unreadable(place, line)
        line, number = line + more, number + 1
    if len(line) > LONGEST_LINE:
        raise _unreadable(place, line)
    if note := _SEPARATOR.match(line):
        keys = f'delimiter: "{_shown(note[1].decode())}", skip_rows: {first}'
        raise InputError(Problem(place, f"line {first} is a note for Excel, `sep=`, and no header", declare(keys)))
    names = _names(line, spec, place)
    if len(names) == 1:
        _check_one_name(line, number, lines, spec, place)
    kept = len(names)
    while kept > 1 and not names[kept - 1]:
        kept -= 1
    if kept == 1 < len(names):
        rule = f"line {first} has a value in its first field alone, so it is a title rather than a header"
        hint = f"{declare(f'skip_rows: {first}')}; if it is the header, name its other columns"
        raise InputError(Problem(place, rule, hint))
    return Header(check_names(names[:kept], place), len(names) - kept, start, start + len(line), number + 1)


def rows_of(lines: Iterable[str], spec: CsvSpec, strict: bool = False) -> Any:
    """Python's reader of CSV, for this dialect."""
    if not spec.quote:
        return csv.reader(lines, delimiter=spec.delimiter, strict=strict, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=spec.delimiter, strict=strict, quotechar=spec.quote)


def width_of(line: bytes, delimiter: str, quote: str) -> int:
    """How many fields a row has."""
    unquoted = line.split(quote.encode())[::2] if quote else [line]
    return 1 + sum(part.count(delimiter.encode()) for part in unquoted)


def _names(line: bytes, spec: CsvSpec, place: str) -> list[str]:
    try:
        found = next(rows_of([line.decode().rstrip("\r\n")], spec, strict=True))
    except csv.Error:
        found = _split_otherwise(line, spec)
        if not found:
            raise _unreadable(place, line) from None
    names = [name.replace("\r\n", "\n").replace("\r", "\n").strip() for name in found]
    if any(name.count("\n") > BREAKS for name in names):
        raise _unreadable(place, line)
    if not any(names):
        raise _no_header(place)
    odd = next((match.group() for name in names if (match := CONTROL.search(name))), None)
    if odd == "\0":
        rule, hint = "has NUL bytes in its header, as UTF-16 without a byte order mark has", "encoding: utf-16-le"
        raise InputError(Problem(place, rule, declare(hint) + ", or utf-16-be; if it is no text, name the table"))
    if odd is not None and odd >= "\x80" and spec.encoding.startswith("iso8859"):
        rule = f"has a control character in its header if it is read as {spec.encoding}"
        raise InputError(Problem(place, rule, declare("encoding: cp1252") + " if it was written on Windows"))
    if odd is not None:
        raise _no_header(place)
    return names


def _split_otherwise(line: bytes, spec: CsvSpec) -> list[str]:
    """One field, if a header of quoted names is split by another delimiter: `_check_one_name` then says by which."""
    text = line.decode().rstrip("\r\n")
    for mark in OTHERS:
        try:
            if (
                mark != spec.delimiter
                and len(next(csv.reader([text], delimiter=mark, quotechar=spec.quote, strict=True))) > 1
            ):
                return [text]
        except csv.Error:
            continue
    return []


def _shown(delimiter: str) -> str:
    """As YAML writes it in double quotes."""
    return "\\t" if delimiter == "\t" else delimiter


def _check_one_name(line: bytes, number: int, lines: Iterator[bytes], spec: CsvSpec, place: str) -> None:
    """Raises InputError if a header of one field is split by another delimiter, or is a title above the header."""
    widths = {mark: width_of(line, mark, spec.quote) for mark in OTHERS if mark != spec.delimiter}
    below = b""
    for further, following in enumerate(itertools.islice(lines, LINES_BELOW), number + 1):
        below = below or following.strip(b"\r\n")
        if any(width > 1 and width == width_of(below, mark, spec.quote) for mark, width in widths.items()):
            break  # the first line below is split alike
        if width_of(following, spec.delimiter, spec.quote) > 1:
            rule = f"line {number} has one field where line {further} has more, so it is a title rather than a header"
            raise InputError(Problem(place, rule, declare(f"skip_rows: {further - 1}")))
    best = max(widths, key=lambda mark: widths[mark])
    if widths[best] > 1:
        count = widths[best] - 1
        rule = f"the header holds no {called(spec.delimiter)}, but {count} {called(best)}{'s' if count > 1 else ''}"
        raise InputError(Problem(place, rule, declare(f'delimiter: "{_shown(best)}"')))
    if spec.delimiter != CsvSpec().delimiter:
        rule = f"the header does not hold the declared delimiter, a {called(spec.delimiter)}"
        raise InputError(Problem(place, rule, "correct `dataset.csv.delimiter`"))


def _no_header(place: str) -> InputError:
    return InputError(
        Problem(place, "is not a CSV file with a header line", "name a CSV with a header, or another table")
    )


def _unreadable(place: str, line: bytes) -> InputError:
    rule, inner = "has no header line that can be read", line.rstrip(b"\r\n")
    if inner.count(b"\r") > inner.count(b"\r\n"):
        rule += ": a carriage return stands in it without a line feed, as on an old Macintosh"
    return InputError(Problem(place, rule, "save it as CSV, a line a row, and close every quote in the header"))
