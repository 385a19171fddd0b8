"""Formulas of an Excel workbook (.xlsx) that were never computed: a program wrote them. calamine shows empty cells there."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

_LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_PLACE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")


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
    """Cells with a formula, and without a value or with an empty one. A text that is empty (`t="str"`) is a value.

    By an XML parser: a text may hold what looks like another row's cell, and a search in the bytes would take it for one.
    """
    try:
        for _, cell in ElementTree.iterparse(file):
            if cell.tag.endswith("}c"):
                inside = {part.tag.rpartition("}")[2]: part for part in cell}
                value, place = inside.get("v"), _PLACE.fullmatch(cell.get("r", ""))
                empty = value is None or not (value.text or "").strip()
                if "f" in inside and empty and place and cell.get("t") != "str":
                    yield int(place[2]), _column(place[1])
            if cell.tag.endswith("}row"):
                cell.clear()
    except ElementTree.ParseError:  # of a damaged file, which the reader of its values complains of
        return


def _column(letters: str) -> int:
    """
    >>> _column("A"), _column("AB")
    (0, 27)
    """
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
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
