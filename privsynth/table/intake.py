"""From a table as read to private rows: typed by the policy, with bounded rows per unit, split into train and holdout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from privsynth.errors import InputError, Problem
from privsynth.policy import Policy
from privsynth.policy.column import Column
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import UNIT_ROWS, Rows
from privsynth.table.broken import broken_rows
from privsynth.table.cells import MISSING, UNREADABLE, is_text
from privsynth.table.names import case_of, state_of
from privsynth.table.private import PrivateTable
from privsynth.table.raw import BLANK, NO_VALUE, NOT_ALLOWED, REGULAR, RawTable
from privsynth.table.units import Numbered, number_units
from privsynth.table.values import NumberReader

MIN_ROWS = 50
SHORT = 1e-7  # relative error of a 32-bit float: 36.599998 was not finer than 36.6
MAX_LISTED = 20  # undeclared columns that a message lists by name


@dataclass
class Intake:
    """A table after intake: train and holdout behind the fence, and exact, internal counts of what was done to it."""

    train: PrivateTable[pd.DataFrame]
    holdout: PrivateTable[pd.DataFrame] | None
    rows_read: int
    units: int
    rows_trained: int
    rows_held_out: int
    rows_over_bound: int
    rows_without_unit: int
    counts: dict[str, Counts] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)  # constraint -> rows that break it


def take_in(raw: RawTable, policy: Policy, randomness: Randomness, holdout: float | None = None) -> Intake:
    """Types, bounds and splits a raw table. Raises InputError if it cannot be the table that the policy describes.

    holdout: share of units that go to the holdout; None: the policy's; 0: no holdout.
    """
    if len(raw) > policy.most_rows:  # the plan covers collisions of unit numbers among at most so many
        rule = f"has more than {policy.most_rows:,} rows, four times what the policy declares and more than the plan counts on"
        raise InputError(Problem("table", rule, "declare in `dataset.rows` how many rows it has, roughly"))
    frame, counts = typed(raw, policy)
    if len(frame) < MIN_ROWS:
        raise InputError(
            Problem("table", f"has fewer than {MIN_ROWS} rows", "a handful of people cannot be hidden among each other")
        )
    broken = broken_rows(frame, policy.knowledge)
    share = policy.model.audit.holdout if holdout is None else holdout
    owners = raw.cells(policy.unit_column, policy.missing(policy.unit_column)).words() if policy.unit_column else None
    known = np.ones(len(frame), bool) if owners is None else np.array([owner is not None for owner in owners])
    frame = frame[known].reset_index(drop=True)
    numbered = number_units(frame, None if owners is None else list(owners[known]), randomness.bytes(32))
    _, unit_of_row, rows_of_unit = np.unique(numbered.units, return_inverse=True, return_counts=True)
    if owners is not None:
        frame[UNIT_ROWS] = rows_of_unit[unit_of_row]
    if len(rows_of_unit) < MIN_ROWS:
        rule = f"has rows of fewer than {MIN_ROWS} units ({policy.unit_column})"
        hint = "a handful of people cannot be hidden among each other; a name that holds a control character does not count"
        raise InputError(Problem("table", rule, hint))
    kept = numbered.rank < policy.max_rows
    held_out = numbered.uniform < share
    sides = [_side(frame, numbered, kept & side) for side in (~held_out, held_out)]
    return Intake(
        PrivateTable(sides[0]), PrivateTable(sides[1]) if share > 0 else None, len(known), len(rows_of_unit),
        len(sides[0]), len(sides[1]), int((~kept).sum()), int((~known).sum()), counts, broken,
    )  # fmt: skip


def letter_case(text: str) -> float:
    """The place of a text in LETTER_CASES; -1 if it has no letters.

    >>> letter_case("12-MAR-97"), letter_case("12-Mar-97"), letter_case("3 mars 1997"), letter_case("12-03-97")
    (1, 0, 2, -1)
    """
    if text.upper() == text.lower():
        return -1
    return 1 if text == text.upper() else 2 if text == text.lower() else 0


@dataclass(frozen=True)
class Counts:
    """Exact counts of what was done to the cells of one column. Internal.

    unreadable: cells that are not of the column's kind; they became missing. not_allowed: values that the policy does not
    allow; they were clipped or became missing. rounded: to the column's resolution. unforeseen: missing in a column that
    is declared `nullable: false`; such cells stay missing for the trainer, and no synthetic row has them. present: cells with
    a value.
    """

    present: int
    unreadable: int = 0
    not_allowed: int = 0
    rounded: int = 0
    unforeseen: int = 0

    @property
    def odd(self) -> int:
        return self.unreadable + self.not_allowed


def typed(raw: RawTable, policy: Policy) -> tuple[pd.DataFrame, dict[str, Counts]]:
    """Modelled columns as the policy declares them, and what was done to the cells of each.

    Categories are text or None; numbers float64 or NaN, dates in days and moments in seconds since 1970, times and durations
    in seconds, each with a column of states (`state_of`). Raises InputError with every column that is not in the policy, not
    in the table, or holds no usable value at all.
    """
    check_header(raw.columns, policy)
    frame: dict[str, Any] = {}
    counts, problems = {}, []
    for name, column in policy.model.columns.items():
        if not column.modelled:
            continue
        values, states, found = (_categories if column.categorical else _numbers)(raw, name, policy)
        if found.present == 0:
            problems.append(Problem(f"column {name!r}", "has no value at all", "drop the column in the policy"))
        elif found.odd == found.present:
            rule = f"is declared as {column.kind}, but none of its values {_EXPECTED[column.kind]}"
            hint = "correct the declaration in the policy, or the table; `privsynth doctor` shows what is in it"
            problems.append(Problem(f"column {name!r}", rule, hint))
        elif found.odd and policy.unexpected(name) == "refuse":
            rule, hint = "holds a value that the policy does not allow", "its rule is `unexpected: refuse`"
            problems.append(Problem(f"column {name!r}", rule, hint))
        counts[name] = found
        frame[name] = pd.Series(values, dtype=values.dtype)  # as it is: pandas may be set to infer text
        if states is not None:
            frame[state_of(name)] = states
        if column.named and is_text_column(raw, name):
            frame[case_of(name)] = np.nan_to_num(raw.cells(name, ()).numbers(letter_case), nan=-1).astype(np.int8)
    if problems:
        raise InputError(problems)
    return pd.DataFrame(frame), counts


def is_text_column(raw: RawTable, name: str) -> bool:
    """True if the column is text by its declared type, or by its format's having no types."""
    kind = raw.frame.schema.field(name).type
    return is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)


_EXPECTED = {
    "category": "is among its categories", "boolean": "is a truth value",
    "integer": "is a whole number within its bounds", "number": "is a number within its bounds",
    "date": "is a date in its format and bounds", "datetime": "is a moment in its format and bounds",
    "time": "is a time of day in its format and bounds", "duration": "is a duration within its bounds",
}  # fmt: skip


def check_header(columns: list[str], policy: Policy) -> None:
    """Raises InputError unless the table's columns are those of the policy. Names are public; no row is read."""
    declared, there = list(policy.model.columns), set(columns)
    missing, extra = [c for c in declared if c not in there], [c for c in columns if c not in policy.model.columns]
    problems = [
        Problem("table", f"column {c!r} of the policy is missing", _near(c, extra, policy.model.dataset.csv.encoding))
        for c in missing
    ]
    listed = extra if 2 * len(missing) <= len(declared) else []  # else the "names" may be the first person's data
    problems += [
        Problem(
            "table",
            f"column {c!r} is not declared in the policy" if c else f"column {columns.index(c) + 1} has no name",
            "declare it; `release: drop` is enough" if c else "name it, or leave it out (a saved row index?)",
        )
        for c in listed[:MAX_LISTED]
    ]
    if len(listed) > MAX_LISTED:
        problems.append(
            Problem("table", f"and {len(listed) - MAX_LISTED:,} more columns are not declared in the policy")
        )
    if len(missing) == len(declared):
        hint = next(
            (near for c in missing if (near := _near(c, extra, policy.model.dataset.csv.encoding)) != _NOT_THERE), None
        )
        if hint is None and len(columns) == 1 < len(declared):
            hint = "its header is one field: correct `dataset.csv.delimiter` if another character splits it"
        hint = hint or "is this the right file? a CSV needs a header line"
        problems = [Problem("table", "none of the policy's columns is in it", hint)]
    for index, constraint in enumerate(policy.model.constraints):
        for name in constraint.columns:
            if name not in declared:
                problems.append(
                    Problem(
                        f"constraint {index + 1}",
                        f"column {name!r} is not declared",
                        "declare it, or drop the constraint",
                    )
                )
    if problems:
        raise InputError(problems)


_NOT_THERE = "name the right table, or take it out of the policy"
_ENCODINGS = (
    "utf-8",
    "cp1252",
    "cp1250",
    "iso8859-2",
    "cp1251",
    "koi8-r",
    "cp1253",
    "iso8859-15",
    "mac-roman",
    "cp850",
    "cp437",
    "cp852",
    "cp866",
)


def _near(name: str, extra: list[str], encoding: str) -> str:
    """What to do about a name that is not in the header, where one there differs in letter case, spaces or encoding alone."""
    for other in extra:
        if " ".join(name.split()).casefold() == " ".join(other.split()).casefold():
            return f"the table has {other!r}: write names exactly as they stand there"
    for right in _ENCODINGS:
        if any(_decoded(other, encoding, right) == name for other in extra):
            return f"its letters are right if the file is read as {right}: declare `dataset: {{csv: {{encoding: {right}}}}}`"
    return _NOT_THERE


def _decoded(name: str, encoding: str, right: str) -> str | None:
    try:
        return name.encode(encoding).decode(right)
    except UnicodeError:
        return None


def check_types(types: Mapping[str, pa.DataType], policy: Policy) -> None:
    """Raises InputError for columns whose declared type cannot hold their kind. types: of the source; no row is read."""
    problems = []
    for name, kind in types.items():
        column = policy.model.columns.get(name)
        if column is None or not column.modelled:
            continue
        held = kind.value_type if pa.types.is_dictionary(kind) else kind
        fits = next((kinds for is_one, kinds in _HELD if is_one(held)), ())
        if column.kind not in fits:
            called = f"declare it as {_in_words(fits)}" if fits else "declare `release: drop`"
            rule = f"is declared as {column.kind}, and its type in the table is {kind}"
            problems.append(Problem(f"column {name!r}", rule, f"{called}, or convert it"))
    if problems:
        raise InputError(problems)


def _in_words(kinds: tuple[str, ...]) -> str:
    return kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} or {kinds[-1]}"


_ANY = ("category", "boolean", "integer", "number", "date", "datetime", "time", "duration")
_HELD: tuple[tuple[Callable[[pa.DataType], bool], tuple[str, ...]], ...] = (  # the kinds that values of a type may be
    (is_text, _ANY),
    (pa.types.is_boolean, ("category", "boolean")),
    (pa.types.is_integer, ("category", "boolean", "integer", "number", "date", "datetime")),  # 20240131 by a format
    (pa.types.is_floating, ("category", "boolean", "integer", "number")),
    (pa.types.is_decimal, ("category", "integer", "number")),
    (pa.types.is_date, ("category", "date", "datetime")),
    (pa.types.is_timestamp, ("category", "date", "datetime")),
    (pa.types.is_time, ("category", "time")),
    (pa.types.is_duration, ("category", "duration")),
    (pa.types.is_null, _ANY),
)


def _numbers(raw: RawTable, name: str, policy: Policy) -> tuple[np.ndarray, np.ndarray | None, Counts]:
    column, clip = policy.model.columns[name], policy.unexpected(name) == "clip"
    found = raw.numbers(name, NumberReader.of(policy, name))
    values, states = found.values.copy(), found.states.copy()
    there = states == REGULAR
    if column.kind == "integer":
        whole = values == np.round(values)
        values = np.round(values) if clip else np.where(whole, values, np.nan)
    if column.limits is not None:
        clipped = np.clip(values, *column.limits)
        values = clipped if clip else np.where(clipped == values, values, np.nan)
    changed = there & ~(values == found.values)
    rounded = int(np.count_nonzero(there & ~changed & finer(values, column))) if column.kind != "integer" else 0
    states[there & np.isnan(values)] = NOT_ALLOWED
    unforeseen = 0 if column.nullable else int(np.count_nonzero(states == BLANK))
    return values, states, Counts(found.present, found.unreadable, int(changed.sum()), rounded, unforeseen)


def finer(values: np.ndarray, column: Column) -> np.ndarray:
    """(rows,) True for values that are finer than the column's resolution, more than its source's floats are inexact."""
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(values - np.round(values / column.step) * column.step)
        inexact = SHORT * np.abs(values) if column.kind in ("integer", "number") else 4 * np.spacing(np.abs(values))
        return np.asarray((off > 1e-6 * column.step) & (off > inexact))


def _categories(raw: RawTable, name: str, policy: Policy) -> tuple[np.ndarray, np.ndarray | None, Counts]:
    """Text or None; the states of a boolean's cells, since only these can be unreadable."""
    column, marks = policy.model.columns[name], policy.marks(name)
    cells, places = raw.cells(name, ()), {mark: place for place, mark in enumerate(marks)}
    category = category_reader(name, policy, raw.labels.get(name, {}))
    kept = cells.words(lambda text: text if text in places else category(text))
    marked = cells.words(lambda text: text if text in places else None) if marks else np.full(len(kept), None)
    present = cells.present - int(np.count_nonzero(marked != None))  # noqa: E711  # element by element
    lost = cells.present - int(np.count_nonzero(kept != None))  # noqa: E711
    no_text = int(np.count_nonzero(cells.codes == UNREADABLE))
    unforeseen = 0 if column.nullable else int(np.count_nonzero(cells.codes == MISSING))
    if column.kind == "category":
        return kept, None, Counts(present, no_text, lost - no_text, 0, unforeseen)
    states = np.where(kept != None, REGULAR, np.where(cells.codes == MISSING, BLANK, NO_VALUE)).astype(np.int8)  # noqa: E711
    for mark, place in places.items():
        states[kept == mark] = place
    return kept, states, Counts(present, lost, 0, 0, unforeseen)


def category_reader(name: str, policy: Policy, labels: Mapping[str, str]) -> Callable[[str], str | None]:
    """The function from a code to the category that the policy declares for it, or None if there is none.

    labels: of the file, if it has some; a policy may name either the codes or their labels.
    """
    if name in policy.groupings:
        grouping = policy.groupings[name]
        return lambda text: found if (found := grouping(text)) is not None else grouping(labels.get(text, text))
    declared = policy.model.columns[name].public_categories
    if declared is None:
        return lambda text: labels.get(text, text)
    known = {category: category for category in declared}
    if policy.model.columns[name].kind == "boolean" and len(declared) == 2:  # of a source that has truth values
        known = {"False": declared[0], "True": declared[1]} | known
    return lambda text: known.get(text) or known.get(labels.get(text, text))


def _side(frame: pd.DataFrame, numbered: Numbered, chosen: np.ndarray) -> Rows[pd.DataFrame]:
    """The chosen rows, by unit, those of a unit in random order."""
    order = np.flatnonzero(chosen)
    order = order[np.lexsort((numbered.rank[order], numbered.units[order]))]
    return Rows(frame.iloc[order].reset_index(drop=True), numbered.units[order])
