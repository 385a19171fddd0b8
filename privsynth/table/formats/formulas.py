"""Formulas of an Excel workbook (.xlsx) that were never computed: a program wrote them. calamine shows empty cells there."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

BLOCK = 1 << 20  # bytes that are searched together
LONGEST = 100_000  # bytes of a cell
_LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
# A cell with a formula, and without a value or with an empty one. A text that is empty (`t="str"`) is a value.
_CELL = re.compile(
    rb"""<(?:\w+:)?c\b(?=[^>]*\br="([A-Z]{1,3})([0-9]{1,7})")(?![^>]*\bt="str")[^>]*>\s*
    <(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*
    (?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>""",
    re.VERBOSE,
)


def uncomputed(path: Path, sheet: str) -> set[tuple[int, int]]:
    """(row from 1 on, column from 0 on) of each; none in workbooks of other formats, whose programs compute them."""
    if not zipfile.is_zipfile(path):
        return set()
    with zipfile.ZipFile(path) as archive:
        name = _file_of(archive, sheet)
        if name is None:
            return set()
        with archive.open(name) as file:
            return set(_places(file))


def _places(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    rest = b""
    while block := file.read(BLOCK):
        rest += block
        end = 0
        for found in _CELL.finditer(rest):
            yield int(found[2]), _column(found[1])
            end = found.end()
        rest = rest[max(end, len(rest) - LONGEST) :]


def _column(letters: bytes) -> int:
    """
    >>> _column(b"A"), _column(b"AB")
    (0, 27)
    """
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number - 1


def _file_of(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The part of the archive that holds a sheet."""
    try:
        book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
        links = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    except (KeyError, ElementTree.ParseError):
        return None
    link = next((e.get(_LINK) for e in book.iter() if e.tag.endswith("}sheet") and e.get("name") == sheet), None)
    target = next((e.get("Target", "") for e in links.iter() if link and e.get("Id") == link), "")
    name = posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")
    return name if name in archive.namelist() else None
