"""Files of SAS, Stata and SPSS, by ReadStat. Codes stay codes; what they mean is in `RawTable.labels`.

ReadStat gives each cell by itself: a number, a text, or the letter of a missing value that the user defined. What becomes
of it depends on the column's place in the file's dictionary alone (its type and its format), never on other cells:

- days and moments by the format (`calendars.py`), times and durations as text such as 07:45:00 or 30:15:00;
- numbers of SPSS as numbers; codes that it lists as missing are kept;
- numbers of SAS and Stata as text, since a column may also hold their `.a` to `.z`, which are kept, too. `.` is missing.
  Stata's short floats are the decimal that they show: 36.6, not 36.599998. They are written as `csv.decimal` says
  (see `texts.py`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyreadstat

from privsynth.errors import InputError, Problem
from privsynth.policy.model import DatasetSpec
from privsynth.table.formats import calendars
from privsynth.table.formats.registry import start_of
from privsynth.table.limits import check_names, check_size
from privsynth.table.raw import RawTable, as_written


@dataclass(frozen=True)
class _Product:
    """read: pyreadstat's function. calendar: by the format of a column. options: of `read`. lost: what it does not give."""

    name: str
    read: Callable[..., Any]
    calendar: Callable[[str], calendars.Calendar | None]
    options: dict[str, Any]
    lost: str = ""


_KEPT = {"user_missing": True}
_SPSS, _PORTABLE = (
    _Product("SPSS", pyreadstat.read_sav, calendars.spss, _KEPT),
    _Product(
        "SPSS",
        pyreadstat.read_por,
        calendars.spss,
        {},
        "in a .por file codes that SPSS lists as missing are read as blank: a .sav file keeps them",
    ),
)
_SAS, _XPORT = (
    _Product("SAS", pyreadstat.read_sas7bdat, calendars.sas, _KEPT),
    _Product(
        "SAS",
        pyreadstat.read_xport,
        calendars.sas,
        {},
        "in a .xpt file .A to .Z and ._ are read as blank: a .sas7bdat file keeps them",
    ),
)
_STATA = _Product("Stata", pyreadstat.read_dta, calendars.stata, _KEPT)


def header(path: Path, dataset: DatasetSpec) -> list[str]:
    product = _product(path)
    with _errors(path, product):
        return list(_read(path, product, metadataonly=True)[1].column_names)


def read(path: Path, dataset: DatasetSpec) -> RawTable:
    product = _product(path)
    with _errors(path, product):
        about = _read(path, product, metadataonly=True)[1]
        check_names(about.column_names, str(path))
        check_size(0, max(about.number_rows or 0, 0) * len(about.column_names), path)
        cells, about = _read(path, product)
        names, arrays, labels, types = list(about.column_names), [], {}, {}
        for name in names:
            column = _Column.of(about, name, product, dataset.csv.decimal)
            if (declared := column.declared) is not None:
                types[name] = declared
            arrays.append(column.array(cells.pop(name)))
            if known := about.variable_value_labels.get(name):
                labels[name] = {str(column.code(code)): str(label) for code, label in known.items()}
        return RawTable(pa.table(arrays, names), labels, types=types, notes=(product.lost,) if product.lost else ())


@dataclass(frozen=True)
class _Column:
    """calendar: of days, moments or times, else None. storage: as ReadStat calls it. decimal: how numbers are written."""

    product: str
    calendar: calendars.Calendar | None
    storage: str
    decimal: str

    @classmethod
    def of(cls, about: Any, name: str, product: _Product, decimal: str) -> _Column:
        kind = about.readstat_variable_types[name]
        calendar = product.calendar(about.original_variable_types[name] or "") if kind != "string" else None
        return cls(product.name, calendar, kind, decimal)

    @property
    def text(self) -> bool:
        return self.storage == "string"

    @property
    def declared(self) -> pa.DataType | None:
        """The type that the file declares where its cells are kept as text."""
        if self.calendar is not None:
            return pa.time64("us") if self.calendar.kind == pa.large_string() else None
        return None if self.text or self.product == "SPSS" else pa.type_for_alias(self.storage)

    def array(self, cells: Any) -> pa.Array:
        if self.calendar is not None:
            of, kind = self.calendar.of, self.calendar.kind
            stored = [None if isinstance(cell, str) or not _is_number(cell) else of(float(cell)) for cell in cells]
            whole = pa.int32() if kind == pa.date32() else pa.int64()
            return pa.array(stored, kind) if kind == pa.large_string() else pa.array(stored, whole).cast(kind)
        if self.product == "SPSS" and not self.text:
            return pa.array([float(cell) if _is_number(cell) else None for cell in cells], pa.float64())
        texts = (self.code(cell) for cell in cells)
        return pa.array([None if t is None else self._as_declared(t) for t in texts], pa.large_string())

    def _as_declared(self, text: str) -> str:
        return text if self.text or text[0] == "." else text.replace(".", self.decimal)

    def code(self, cell: Any) -> str | None:
        """A cell that is no day, or a code that has a label, as text."""
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return None
        if isinstance(cell, str):
            return cell if self.text else f".{cell}"
        return as_written(float(str(np.float32(cell))) if self.storage == "float" else cell)


def _is_number(cell: Any) -> bool:
    return cell is not None and not isinstance(cell, str) and math.isfinite(cell)


def _product(path: Path) -> _Product:
    start = start_of(path)
    if start.startswith((b"$FL2", b"$FL3")):
        return _SPSS
    if b"SPSS PORT FILE" in start:
        return _PORTABLE
    if start.startswith(b"HEADER RECORD"):
        return _XPORT
    return _SAS if start[:1] == b"\0" else _STATA


def _read(path: Path, product: _Product, **how: Any) -> tuple[dict[str, Any], Any]:
    """(the cells of each column, what the file says about columns). Dates stay numbers: pyreadstat knows few formats, cuts
    times at 24 hours, and ends the whole read at one day beyond the year 9999."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a name that occurs twice
        found: tuple[dict[str, Any], Any] = product.read(
            str(path.absolute()), output_format="dict", disable_datetime_conversion=True, **product.options, **how
        )
    return found


@contextmanager
def _errors(path: Path, product: _Product) -> Any:
    try:
        yield
    except pyreadstat.ReadstatError as error:  # its words are ReadStat's own, none from the file
        rule = f"is not a readable {product.name} file: {str(error)[:100].lower()}"
        raise InputError(Problem(str(path), rule, "check the file, or save the table as CSV or Parquet")) from None
    except UserWarning:
        raise InputError(Problem(str(path), "column names repeat", "give each column its own name")) from None
    except (
        pyreadstat.PyreadstatError,
        ValueError,
        OverflowError,
        ArithmeticError,
        LookupError,
        pa.ArrowException,
    ) as error:
        rule = f"is not a readable {product.name} file ({type(error).__name__})"
        raise InputError(Problem(str(path), rule, "check the file, or save the table as CSV or Parquet")) from None
