"""Conditions on one column: a value, a list of values, "<15", ">=18", [low, high], missing, present."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from privsynth.policy.column import TRUTHS, Column, Strict
from privsynth.policy.moments import YEAR, clock_of, duration_of

Scalar = bool | int | float | date | str


class AgeOf(Strict):
    """A condition on the age in whole years that a date of birth comes to, where the column says at which date ages count."""

    age: Scalar | list[Scalar]


Written = Scalar | list[Scalar] | AgeOf  # a condition as it stands in a policy
YEARS = Column(kind="integer", bounds=(0, 150))  # what conditions on ages are about
MISSING, PRESENT = "missing", "present"
_SIGN = re.compile(r"\s*(<=|>=|<|>)\s*(.+?)\s*")
_LIMIT = re.compile(r"[0-9]+(?:[.,][0-9]+)?")
END = 2**62  # beyond every grid value


class Cell(NamedTuple):
    """What is modelled as one: numbers from low to high in grid units, a text, or a cell without a value."""

    low: int = 0
    high: int = 0
    text: str | None = None
    absent: bool = False


@dataclass(frozen=True)
class Condition:
    """Holds for cells without a value (absent), with any (present), with one of these texts, or with a number in one of these
    ranges of grid units, both ends included."""

    ranges: tuple[tuple[int, int], ...] = ()
    texts: frozenset[str] = frozenset()
    absent: bool = False
    present: bool = False

    def holds(self, cell: Cell) -> bool:
        """True if it holds for all of a cell. Cells do not reach across the ends of ranges (`cuts`)."""
        if cell.absent:
            return self.absent or cell.text in self.texts
        if self.present:
            return True
        if cell.text is not None:
            if cell.text in self.texts:
                return True
            if cell.low > cell.high:
                return False  # a category: it is no number
        return any(low <= cell.low and cell.high <= high for low, high in self.ranges)

    def cuts(self) -> Iterator[int]:
        """The first grid unit of every range and the first one behind it."""
        for low, high in self.ranges:
            yield from (end for end in (low, high + 1) if abs(end) < END)


def condition_of(written: Written, column: Column) -> Condition:
    """Reads a condition on a column. Raises ValueError with the reason, for the writer of the policy."""
    if isinstance(written, AgeOf):
        return _of_age(written, column)
    if isinstance(written, str) and written in (MISSING, PRESENT):
        if column.public_categories and written in column.public_categories:
            raise ValueError(f"{written!r} is a category of the column; write `[{written}]` for the category")
        return Condition(absent=written == MISSING, present=written == PRESENT)
    if isinstance(written, list):
        if not written:
            raise ValueError("the list is empty: no row could meet it")
        range_of_two = not column.categorical and len(written) == 2
        if range_of_two and (tokens := [str(v) for v in written if str(v) in column.inherited and _is_number(v)]):
            raise ValueError(f"{tokens[0]!r} means missing by `dataset.missing`, so it is no end of a range")
        if range_of_two and not any(_is_token(value, column) for value in written):
            low, high = _units(written[0], column, up=True), _units(written[1], column, last=True)
            if low > high:
                raise ValueError("the range falls, or lies between two values of the column: write `[low, high]`")
            return Condition(ranges=((low, high),))
        parts = [_value(value, column) for value in written]
        return Condition(
            tuple(r for part in parts for r in part.ranges), frozenset[str]().union(*(part.texts for part in parts))
        )
    if isinstance(written, str) and not _is_token(written, column) and (found := _SIGN.fullmatch(written)):
        if column.categorical:
            raise ValueError("categories have no order that a condition could use; list the values")
        return Condition(ranges=(_compared(found[1], found[2], column),))
    return _value(written, column)


def is_word(written: Written) -> bool:
    """True for `missing` and `present`, which are about no value."""
    return (written.age if isinstance(written, AgeOf) else written) in (MISSING, PRESENT)


def _of_age(written: AgeOf, column: Column) -> Condition:
    """In units of `ages`: a year of age lasts from one birthday to the next."""
    if column.ages is None:
        what = "no date of birth" if column.kind != "date" else "modelled as a day and not as an age"
        raise ValueError(f"it is {what}; write `kind: date` with `cuts: {{at: DATE}}`, the date at which ages count")
    years = condition_of(written.age, YEARS)
    ends = (
        (low if low == -END else low * YEAR, high if high == END else high * YEAR + YEAR - 1)
        for low, high in years.ranges
    )
    return Condition(tuple(ends), frozenset(), years.absent, years.present)


def token_cells(column: Column, tokens: tuple[str, ...]) -> Iterator[Cell]:
    """A cell for each text in place of a value: codes for missing have none, a censored value counts as its limit."""
    below = column.censored.lower if column.censored else ()
    above = column.censored.upper if column.censored else ()
    for token in tokens:
        if token not in (*below, *above):
            yield Cell(text=token, absent=True)
            continue
        low, high = column.steps or (-END, END)
        stated = _LIMIT.search(token)
        limit = math.ceil(float(stated[0].replace(",", ".")) / column.step - 1e-6) if stated else None
        unit = (low if limit is None else limit) - 1 if token in below else (high if limit is None else limit)
        yield Cell(unit, unit, token)


def word_cell(text: str) -> Cell:
    """The cell of a category."""
    return Cell(1, 0, text)


def _is_token(value: Scalar, column: Column) -> bool:
    """True for a declared text in place of a number, such as <0.6."""
    return str(value) in {
        *(column.missing or ()), *column.inherited, *(column.censored.texts if column.censored else ()),
    }  # fmt: skip


def _is_number(value: Scalar) -> bool:
    try:
        return math.isfinite(float(str(value)))
    except ValueError:
        return False


def _value(value: Scalar, column: Column) -> Condition:
    if column.kind == "boolean":
        return Condition(texts=frozenset(_truth(value, column)))
    text = str(value)
    if column.kind == "category":
        known = column.public_categories
        if known is not None and text not in known and not _is_token(value, column):
            raise ValueError(f"{text!r} is not among the categories of the column")
        return Condition(texts=frozenset([text]))
    if _is_token(value, column):
        return Condition(texts=frozenset([text]))
    low, high = _units(value, column, up=True), _units(value, column, last=True)
    if low > high:
        raise ValueError(f"{value!r} lies between two values of the column, of which none could meet it")
    return Condition(ranges=((low, high),))


def _truth(value: Scalar, column: Column) -> Iterator[str]:
    """All spellings of a truth value that the column may have."""
    pairs = TRUTHS if column.categories is None else [tuple(column.public_categories or ())]
    for no, yes in pairs:
        if value is True or value is False:
            yield yes if value else no
        elif str(value) in (no, yes):
            for other in pairs:
                yield other[str(value) == yes]
            return
    if value not in (True, False):
        raise ValueError(f"{value!r} is no truth value of the column; write `true` or `false`")


def _compared(sign: str, text: str, column: Column) -> tuple[int, int]:
    if sign in (">=", "<"):
        edge = _units(text, column, up=True)
        return (edge, END) if sign == ">=" else (-END, edge - 1)
    edge = _units(text, column, last=True)
    return (-END, edge) if sign == "<=" else (edge + 1, END)


def _units(value: Scalar, column: Column, last: bool = False, up: bool = False) -> int:
    """A value in grid units: the next one below, or above if `up`. last: of a date the last moment of it, of a datetime."""
    read = _read(value, column)
    if isinstance(read, bool) or isinstance(read, date) != (column.kind in ("date", "datetime")):
        raise ValueError(f"{value!r} is no {column.kind}")
    units = column.value_of(read, last=last) / column.step
    return math.ceil(units - 1e-6) if up else math.floor(units + 1e-6)


def _read(value: Scalar, column: Column) -> bool | int | float | date:
    if not isinstance(value, str):
        return value
    readers = {"time": clock_of, "duration": duration_of}
    try:
        if column.kind in readers:
            seconds = readers[column.kind](value)
            if math.isnan(seconds):
                raise ValueError
            return seconds
        return date.fromisoformat(value) if column.kind in ("date", "datetime") else float(value)
    except ValueError:
        like = {"date": "2020-01-31", "datetime": "2020-01-31", "time": "07:45", "duration": "36:15:00"}
        raise ValueError(f"{value!r} is no {column.kind}; write it like {like.get(column.kind, '15')}") from None
