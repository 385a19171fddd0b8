"""The private table: read strictly, typed by the policy, bounded by unit, and from then on behind a fence.

`PrivateTable` hands its rows to a mechanism that has been charged, and to nothing else by accident: the few modules
that may look (`codec`, `privacy`, `trainers`, `audit`, `utility`) call `open_rows`, which a reviewer can search for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import pandas as pd

from privsynth.errors import InputError, Problem
from privsynth.policy import Policy
from privsynth.privacy.events import Event
from privsynth.privacy.ledger import Run
from privsynth.privacy.noise import Randomness
from privsynth.reader import RawTable

LEAST_ROWS = 50

Values = TypeVar("Values", pd.DataFrame, np.ndarray)
Released = TypeVar("Released", covariant=True)


@dataclass(frozen=True)
class Rows(Generic[Values]):
    """values: one row per record, sorted by unit. units: (rows,) int64, equal for rows of one unit."""

    values: Values
    units: np.ndarray

    def __len__(self) -> int:
        return len(self.units)


class Mechanism(Protocol[Released]):
    """Configured and calibrated: all fields public, its event known before it runs."""

    @property
    def name(self) -> str: ...

    @property
    def event(self) -> Event: ...

    def measure(self, rows: Rows[Any], randomness: Randomness) -> Released: ...


class PrivateTable(Generic[Values]):
    """Rows behind a fence."""

    def __init__(self, rows: Rows[Values]):
        self.__rows = rows

    def ask(self, mechanism: Mechanism[Released], run: Run) -> Released:
        """Charges the mechanism, then runs it. What comes back is released: free to be saved, printed, processed."""
        run.charge(mechanism.name, mechanism.event)
        return mechanism.measure(self.__rows, run.randomness)

    def transformed(self, step: Callable[[Rows[Values]], Rows[Any]]) -> PrivateTable[Any]:
        """A step that stays behind the fence; `step` must treat each unit by itself."""
        return PrivateTable(step(self.__rows))

    def _open(self) -> Rows[Values]:
        return self.__rows

    def __repr__(self) -> str:
        return "PrivateTable(...)"


def open_rows(table: PrivateTable[Values]) -> Rows[Values]:
    """The rows themselves. Only for the audit, and utility figures that stay in the dossier."""
    return table._open()


@dataclass
class Intake:
    """A table on its way in: train and holdout behind the fence, and what was done to it (exact, internal)."""

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
    """Types, bounds and splits a raw table. Raises InputError if it cannot be the table the policy speaks of.

    holdout: share of units that go to the other side; None: the policy's; 0: none.
    """
    frame, unexpected = typed(raw, policy)
    if len(frame) < LEAST_ROWS:
        raise InputError(
            Problem(
                "table", f"has fewer than {LEAST_ROWS} rows", "a handful of people cannot be hidden among each other"
            )
        )
    share = policy.model.audit.holdout if holdout is None else holdout
    names = raw.text(policy.unit_column, policy.model.dataset.missing) if policy.unit_column else None
    known = np.ones(len(frame), bool) if names is None else names.notna().to_numpy()
    frame = frame[known].reset_index(drop=True)
    content = (
        pd.util.hash_pandas_object(frame, index=False).to_numpy()
        if len(frame.columns)
        else np.zeros(len(frame), np.uint64)
    )
    key = randomness.bytes(32)
    if names is None:
        repeat = pd.Series(content).groupby(content).cumcount().to_numpy()
        units = np.arange(len(frame))
        tickets = [f"{c}/{r}" for c, r in zip(content, repeat, strict=True)]
    else:
        owners = names[known].to_numpy()
        units = pd.factorize(owners)[0]
        tickets = list(owners)
    if len(np.unique(units)) < LEAST_ROWS:
        rule = f"has rows of fewer than {LEAST_ROWS} units ({policy.unit_column})"
        raise InputError(Problem("table", rule, "a handful of people cannot be hidden among each other"))
    kept = _bounded(units, content, policy.max_rows, key)
    held_out = _coins(tickets, key) < share
    sides = [_side(frame, units, kept & side) for side in (~held_out, held_out)]
    return Intake(
        PrivateTable(sides[0]), PrivateTable(sides[1]) if share > 0 else None, len(known), len(np.unique(units)),
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
            problems.append(Problem(f"column {name!r}", rule, "mend the declaration in the policy, or the table"))
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
        frame[name] = values
    if problems:
        raise InputError(problems)
    return pd.DataFrame(frame), unexpected


def check_header(columns: list[str], policy: Policy) -> None:
    """Raises InputError unless the table's columns are those of the policy. Names are public; no row is looked at."""
    declared = list(policy.model.columns)
    missing, extra = [c for c in declared if c not in columns], [c for c in columns if c not in declared]
    problems = [
        Problem("table", f"column {c!r} of the policy is missing", "name the right table, or take it out of the policy")
        for c in missing
    ]
    told = extra if 2 * len(missing) <= len(declared) else []  # else the "names" may be the first person's data
    problems += [
        Problem(
            "table",
            f"column {c!r} is not declared in the policy" if c else f"column {columns.index(c) + 1} has no name",
            "declare it; `release: drop` is enough" if c else "name it, or leave it out (a saved row index?)",
        )
        for c in told
    ]
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
        values = raw.text(name, policy.model.dataset.missing)
        present = int(values.notna().sum())
        if name in policy.groupings:
            groups = {code: policy.groupings[name](code) for code in values.dropna().unique()}
            kept = values.map(groups)
        elif isinstance(column.categories, list):
            kept = values.where(values.isin(column.categories))
        else:
            kept = values
        kept = kept.astype(object).where(kept.notna(), None)
        return kept, present - int(kept.notna().sum()), present
    numbers, present = raw.numbers(name, policy.model.dataset.missing, column.kind == "date", column.format)
    result = numbers.copy()
    result[~np.isfinite(result)] = np.nan
    if column.kind == "integer":
        whole = result == np.round(result)
        result = np.round(result) if clip else np.where(whole, result, np.nan)
    if isinstance(column.bounds, tuple):
        low, high = (float(b if not hasattr(b, "toordinal") else b.toordinal() - EPOCH) for b in column.bounds)
        clipped = np.clip(result, low, high)
        result = clipped if clip else np.where(clipped == result, result, np.nan)
    odd = present - int(np.sum(result == numbers))  # NaN equals nothing: unreadable, infinite and changed values count
    return result, odd, present


EPOCH = 719163  # date(1970, 1, 1).toordinal()


def _coins(tickets: list[str], key: bytes) -> np.ndarray:
    """One uniform number for each ticket by a keyed hash: it hangs on the unit's own name or content alone."""
    digests = b"".join(hashlib.blake2b(t.encode(), key=key, digest_size=8).digest() for t in tickets)
    return np.frombuffer(digests, dtype=np.uint64) / 2.0**64


def _bounded(units: np.ndarray, content: np.ndarray, max_rows: int, key: bytes) -> np.ndarray:
    """True for at most max_rows rows of each unit, chosen at random by coins of the unit's own rows."""
    if len(units) == 0 or np.bincount(units).max() <= max_rows:
        return np.ones(len(units), bool)
    repeat = pd.DataFrame({"u": units, "c": content}).groupby(["u", "c"]).cumcount().to_numpy()
    coins = _coins([f"{c}#{r}" for c, r in zip(content, repeat, strict=True)], key)
    rank = pd.Series(coins).groupby(units).rank(method="first").to_numpy()
    return np.asarray(rank <= max_rows)


def _side(frame: pd.DataFrame, units: np.ndarray, chosen: np.ndarray) -> Rows[pd.DataFrame]:
    order = np.flatnonzero(chosen)
    order = order[np.argsort(units[order], kind="stable")]
    return Rows(frame.iloc[order].reset_index(drop=True), units[order].astype(np.int64))


__all__ = ["Intake", "Mechanism", "PrivateTable", "Rows", "open_rows", "take_in", "typed"]
