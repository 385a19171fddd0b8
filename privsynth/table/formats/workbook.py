"""Sheets of Excel and OpenDocument workbooks, by calamine. Each cell is text by itself, since columns have no types.

What a cell shows by its number format alone is not read: 01067 that is the number 1067 is `1067`, 85 % is `0.85`. A
formula counts as the value that was saved with it; one without cannot be read (`formulas.py`), and an error such as #N/A is
missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import python_calamine as calamine

from privsynth.errors import InputError, Problem
from privsynth.policy.model import DatasetSpec
from privsynth.table.cells import CONTROL
from privsynth.table.formats.encodings import declare
from privsynth.table.formats.formulas import uncomputed
from privsynth.table.formats.texts import NO_TEXT, text_of
from privsynth.table.limits import check_names, check_size
from privsynth.table.raw import RawTable

SHOWN = 10  # names of sheets in a message


def header(path: Path, dataset: DatasetSpec) -> list[str]:
    """The whole sheet is unpacked, since calamine cannot do less, but no row is looked at."""
    with _sheet(path, dataset) as (sheet, place):
        return list(_named(sheet, dataset.csv.skip_rows, place)[1].values())


def read(path: Path, dataset: DatasetSpec) -> RawTable:
    """Rows and columns without anything in them are no part of the table, wherever they are."""
    with _sheet(path, dataset) as (sheet, place):
        if sheet.end is not None:
            check_size(0, (sheet.end[0] + 1) * (sheet.end[1] + 1), path)
        top, names = _named(sheet, dataset.csv.skip_rows, place)
        last, no_value = top, uncomputed(path, sheet.name)
        columns: dict[int, list[str | None]] = {column: [] for column in names}
        for number, row in _rows(sheet):
            if number <= top:
                continue
            last = number
            odd = next((column for column, value in row.items() if column not in names), None)
            if odd is not None:
                rule = f"row {number} has a value in column {_letters(odd)}, which has no name"
                raise InputError(Problem(place, rule, "name the column in the header, or take it out"))
            for column, texts in columns.items():
                text = text_of(row.get(column), dataset.csv.decimal)
                texts.append(NO_TEXT if (number, column) in no_value else text)
        _check_merged(sheet, top, last, place)
        arrays = [pa.array(texts, pa.large_string()) for texts in columns.values()]
        return RawTable(pa.table(arrays, list(names.values())), typed=False)


@contextmanager
def _sheet(path: Path, dataset: DatasetSpec) -> Iterator[tuple[calamine.CalamineSheet, str]]:
    try:
        with calamine.load_workbook(str(path)) as book:
            kind = calamine.SheetTypeEnum.WorkSheet
            visible = calamine.SheetVisibleEnum.Visible
            sheets = [sheet.name for sheet in book.sheets_metadata if sheet.typ == kind]
            seen = [sheet.name for sheet in book.sheets_metadata if sheet.typ == kind and sheet.visible == visible]
            if not sheets:
                raise InputError(Problem(str(path), "is a workbook without a sheet", "name a workbook with a table"))
            name = dataset.table if dataset.table is not None else (seen or sheets)[0]
            if name not in sheets:
                shown = ", ".join(map(repr, sheets[:SHOWN])) + (", ..." if len(sheets) > SHOWN else "")
                hint = f"correct `dataset.table`; its sheets: {shown}"
                raise InputError(Problem(str(path), f"has no sheet {name!r}", hint))
            sheet, place = book.get_sheet_by_name(name), f"{path}, sheet {name!r}"
            if dataset.table is None:
                _check_alone(book, sheet, [other for other in seen if other != name], dataset.csv.skip_rows, place)
            yield sheet, place
    except calamine.PasswordError:
        raise InputError(Problem(str(path), "is protected by a password", "save it without one")) from None
    except (calamine.CalamineError, OSError) as error:
        rule = f"is not a readable Excel or OpenDocument workbook ({type(error).__name__})"
        raise InputError(Problem(str(path), rule, "open it in a spreadsheet and save it as .xlsx")) from None


def _check_alone(
    book: calamine.CalamineWorkbook, sheet: calamine.CalamineSheet, others: list[str], skip: int, place: str
) -> None:
    """Raises InputError if another sheet has the same header: the table goes on there, a sheet for each year or ward."""
    mine = _first(sheet, skip)
    also = [name for name in others if len(mine) > 1 and _first(book.get_sheet_by_name(name), skip) == mine]
    if also:
        shown = ", ".join(map(repr, also[:SHOWN])) + (", ..." if len(also) > SHOWN else "")
        hint = "put all rows into one sheet, or name the one to read by `dataset.table`"
        raise InputError(Problem(place, f"has the same header as other sheets: {shown}", hint))


def _first(sheet: calamine.CalamineSheet, skip: int) -> list[Any]:
    """The first row that is not empty."""
    return next((list(cells.values()) for number, cells in _rows(sheet) if number > skip), [])


def _rows(sheet: calamine.CalamineSheet) -> Iterator[tuple[int, dict[int, Any]]]:
    """Number and cells, by column, of each row in which there are any. calamine leaves out columns before the first cell."""
    if sheet.start is not None:
        for number, row in enumerate(sheet.iter_rows(), 1):
            cells = {column: value for column, value in enumerate(row, sheet.start[1]) if _is_there(value)}
            if cells:
                yield number, cells


def _is_there(value: Any) -> bool:
    return not isinstance(value, str) or bool(value.strip())


def _named(sheet: calamine.CalamineSheet, skip: int, place: str) -> tuple[int, dict[int, str]]:
    """(number of the header's row, the name of each column that has one). It is the first row that is not empty."""
    rows = (row for row in _rows(sheet) if row[0] > skip)
    top, cells = next(rows, (0, {}))
    if not top:
        raise InputError(
            Problem(place, "has no header", "name a sheet with a table, or correct `dataset.csv.skip_rows`")
        )
    names = {column: (text_of(value) or "").replace("\r\n", "\n").strip() for column, value in cells.items()}
    if len(names) == 1 < len(next(rows, (0, {}))[1]):
        rule = f"row {top} has a value in one cell alone, so it is a title rather than a header"
        raise InputError(Problem(place, rule, declare(f"skip_rows: {top}")))
    if any(CONTROL.search(name) for name in names.values()):
        raise InputError(Problem(place, "has a control character in its header", "name the columns in plain text"))
    check_names(list(names.values()), place)
    return top, names


def _check_merged(sheet: calamine.CalamineSheet, top: int, last: int, place: str) -> None:
    """Of merged cells only the first has the value: for the others it would be missing, although all show it."""
    ranges = sheet.merged_cell_ranges or ()
    merged = sorted((start, end) for start, end in ranges if end[0] + 1 >= top and start[0] < last)
    if merged:
        (first, left), (last, right) = merged[0]
        cells = f"{_letters(left)}{first + 1}:{_letters(right)}{last + 1}"
        more = f", and {len(merged) - 1} more" if len(merged) > 1 else ""
        rule = f"has merged cells in the table or its header: {cells}{more}"
        raise InputError(Problem(place, rule, "split them, and write the value into each cell"))


def _letters(column: int) -> str:
    """The name of a column as a spreadsheet shows it.

    >>> _letters(0), _letters(27)
    ('A', 'AB')
    """
    text = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text
