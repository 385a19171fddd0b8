"""From a table as read to private rows: typed by the policy, with bounded rows per unit, split into train and holdout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import InputError, Problem
from privsynth.policy import Policy
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows
from privsynth.table.private import PrivateTable
from privsynth.table.raw import RawTable
from privsynth.table.units import Numbered, number_units

MIN_ROWS = 50
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
    unexpected: dict[str, int] = field(default_factory=dict)


def take_in(raw: RawTable, policy: Policy, randomness: Randomness, holdout: float | None = None) -> Intake:
    """Types, bounds and splits a raw table. Raises InputError if it cannot be the table that the policy describes.

    holdout: share of units that go to the holdout; None: the policy's; 0: no holdout.
    """
    if len(raw) > policy.most_rows:  # the plan covers collisions of unit numbers among at most so many
        rule = f"has more than {policy.most_rows:,} rows, four times what the policy declares and more than the plan counts on"
        raise InputError(Problem("table", rule, "declare in `dataset.rows` how many rows it has, roughly"))
    frame, unexpected = typed(raw, policy)
    if len(frame) < MIN_ROWS:
        raise InputError(
            Problem("table", f"has fewer than {MIN_ROWS} rows", "a handful of people cannot be hidden among each other")
        )
    share = policy.model.audit.holdout if holdout is None else holdout
    owners = raw.cells(policy.unit_column, policy.model.dataset.missing).words() if policy.unit_column else None
    known = np.ones(len(frame), bool) if owners is None else np.array([owner is not None for owner in owners])
    frame = frame[known].reset_index(drop=True)
    numbered = number_units(frame, None if owners is None else list(owners[known]), randomness.bytes(32))
    rows_of_unit = np.unique(numbered.units, return_counts=True)[1]
    if len(rows_of_unit) < MIN_ROWS:
        rule = f"has rows of fewer than {MIN_ROWS} units ({policy.unit_column})"
        hint = "a handful of people cannot be hidden among each other; a name that holds a control character does not count"
        raise InputError(Problem("table", rule, hint))
    kept = numbered.rank < policy.max_rows
    held_out = numbered.uniform < share
    sides = [_side(frame, numbered, kept & side) for side in (~held_out, held_out)]
    return Intake(
        PrivateTable(sides[0]), PrivateTable(sides[1]) if share > 0 else None, len(known), len(rows_of_unit),
        len(sides[0]), len(sides[1]), int((~kept).sum()), int((~known).sum()), unexpected,
    )  # fmt: skip


def typed(raw: RawTable, policy: Policy) -> tuple[pd.DataFrame, dict[str, int]]:
    """Modelled columns as the policy declares them, and how many values of each it did not allow.

    Categories are text or None; numbers float64; dates float64 days since 1970; missing is None or NaN. Raises
    InputError with every column that is not in the policy, not in the table, or holds no usable value at all.
    """
    check_header(raw.columns, policy)
    frame, unexpected, problems = {}, {}, []
    for name, column in policy.model.columns.items():
        if not column.modelled:
            continue
        values, odd, present = _typed_column(raw, name, policy)
        if present == 0:
            problems.append(Problem(f"column {name!r}", "has no value at all", "drop the column in the policy"))
        elif odd == present:
            what = {"category": "is among its categories", "integer": "is a whole number within its bounds"}
            what |= {"number": "is a number within its bounds", "date": "is a date in its format and bounds"}
            rule = f"is declared as {column.kind}, but none of its values {what[column.kind]}"
            hint = "correct the declaration in the policy, or the table; a cell that holds a control character has no value"
            problems.append(Problem(f"column {name!r}", rule, hint))
        elif odd and policy.unexpected(name) == "refuse":
            problems.append(
                Problem(
                    f"column {name!r}",
                    "holds a value that the policy does not allow",
                    "its rule is `unexpected: refuse`",
                )
            )
        if odd:
            unexpected[name] = odd
        frame[name] = pd.Series(values, dtype=values.dtype)  # as it is: pandas may be set to infer text
    if problems:
        raise InputError(problems)
    return pd.DataFrame(frame), unexpected


def check_header(columns: list[str], policy: Policy) -> None:
    """Raises InputError unless the table's columns are those of the policy. Names are public; no row is read."""
    declared, there = list(policy.model.columns), set(columns)
    missing, extra = [c for c in declared if c not in there], [c for c in columns if c not in policy.model.columns]
    problems = [
        Problem("table", f"column {c!r} of the policy is missing", "name the right table, or take it out of the policy")
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
        problems = [
            Problem(
                "table", "none of the policy's columns is in it", "is this the right file? a CSV needs a header line"
            )
        ]
    for index, constraint in enumerate(policy.model.constraints):
        for name in constraint.inequality[::2]:
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


def _typed_column(raw: RawTable, name: str, policy: Policy) -> tuple[Any, int, int]:
    """(values, how many the policy does not allow, how many are present)."""
    column = policy.model.columns[name]
    clip = policy.unexpected(name) == "clip"
    if column.kind == "category":
        cells = raw.cells(name, policy.model.dataset.missing)
        kept = cells.words(_category(name, policy))
        return kept, cells.present - sum(value is not None for value in kept), cells.present
    numbers, present = raw.numbers(name, policy.model.dataset.missing, column.kind == "date", column.format)
    result = numbers.copy()
    result[~np.isfinite(result)] = np.nan
    if column.kind == "integer":
        whole = result == np.round(result)
        result = np.round(result) if clip else np.where(whole, result, np.nan)
    if column.limits is not None:
        clipped = np.clip(result, *column.limits)
        result = clipped if clip else np.where(clipped == result, result, np.nan)
    odd = present - int(np.sum(result == numbers))  # NaN equals nothing: unreadable, infinite and changed values count
    return result, odd, present


def _category(name: str, policy: Policy) -> Callable[[str], str | None]:
    """The function from a code to the category that the policy declares for it, or None if there is none."""
    if name in policy.groupings:
        return policy.groupings[name]
    categories = policy.model.columns[name].categories
    if not isinstance(categories, list):
        return str
    declared = {category: category for category in categories}
    return declared.get


def _side(frame: pd.DataFrame, numbered: Numbered, chosen: np.ndarray) -> Rows[pd.DataFrame]:
    """The chosen rows, by unit, those of a unit in random order."""
    order = np.flatnonzero(chosen)
    order = order[np.lexsort((numbered.rank[order], numbered.units[order]))]
    return Rows(frame.iloc[order].reset_index(drop=True), numbered.units[order])
