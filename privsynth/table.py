"""The private table: read strictly, typed by the policy, bounded by unit, and from then on behind a fence.

The fence in time: while a run may still learn, rows are reached by a charged mechanism alone, and only by one that
`privacy.mechanisms` lists; once it can learn no more, the audit may open them, and nothing can be charged any longer.
Python cannot stop code that means to climb over; the fence stops mistakes, and shows a reviewer the few gates.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from privsynth.errors import InputError, PrivsynthError, Problem, Refused
from privsynth.policy import Policy
from privsynth.privacy.ledger import Run
from privsynth.privacy.mechanisms import MECHANISMS
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows
from privsynth.reader import RawTable

LEAST_ROWS = 50
MOST_TOLD = 20  # undeclared columns that are told by name
ENCODERS = frozenset(
    {"privsynth.domain.Domain", "privsynth.scales.Scales", "privsynth.codec.Codec", "privsynth.codec.Groups"}
)

Values = TypeVar("Values")
Released = TypeVar("Released")


class Encoder(Protocol):
    """Rows to codes, each row by itself, and each unit's stratum from its own rows."""

    def encode(self, rows: Rows[Any]) -> Rows[np.ndarray]: ...


_FENCED: WeakKeyDictionary[Any, Rows[Any]] = WeakKeyDictionary()  # what private tables hold: not on the objects


class PrivateTable(Generic[Values]):
    """Rows behind a fence."""

    __slots__ = ("__weakref__",)

    def __init__(self, rows: Rows[Values]):
        _FENCED[self] = rows

    def ask(self, mechanism: Mechanism[Any, Any, Released], run: Run) -> Released:
        """Charges the mechanism, then runs it. What comes back is released: free to be saved, printed, processed.

        Raises Refused for a mechanism that is not one of `MECHANISMS`, or that the plan has not paid for.
        """
        if not _is_listed(mechanism, MECHANISMS):
            raise Refused(Problem("private rows", f"{_place(mechanism)} is not a listed mechanism", _GATES))
        run.charge(mechanism.name, mechanism.event)
        with without_values(mechanism.name):
            return mechanism.measure(_FENCED[self], run.randomness)

    def encoded(self, encoder: Encoder) -> PrivateTable[np.ndarray]:
        """The same rows as codes, still behind the fence. Raises Refused for anything but `ENCODERS`."""
        if not _is_listed(encoder, ENCODERS):
            raise Refused(Problem("private rows", f"{_place(encoder)} is not an encoder", _GATES))
        with without_values("encoding"):
            return PrivateTable(encoder.encode(_FENCED[self]))

    def __reduce__(self) -> Any:
        raise TypeError("a private table is neither copied nor pickled")

    def __repr__(self) -> str:
        return "PrivateTable(...)"


_GATES = "rows are reached by a mechanism listed in privacy/mechanisms/__init__.py, or by the audit after learning"


def _place(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _is_listed(thing: object, places: frozenset[str]) -> bool:
    """True for exactly the classes that stand at these places: a class that only calls itself so is another one."""
    kind = type(thing)
    return _place(thing) in places and getattr(sys.modules[kind.__module__], kind.__qualname__, None) is kind


@contextmanager
def without_values(what: str) -> Iterator[None]:
    """An error raised behind the fence may quote a value in its own words: only its kind gets out.

    No warning gets out at all: one row with a number like 1e305 would decide whether arithmetic warns.
    """
    shown = bool(os.environ.get("PRIVSYNTH_TRACEBACK"))
    try:
        with np.errstate(all=None if shown else "ignore"), warnings.catch_warnings():
            if not shown:
                warnings.simplefilter("ignore")
            yield
    except PrivsynthError:
        raise
    except Exception as error:
        if shown:
            raise
        raise RuntimeError(f"{what} failed: {type(error).__name__}; PRIVSYNTH_TRACEBACK=1 shows more") from None


def open_rows(table: PrivateTable[Values], run: Run) -> Rows[Values]:
    """The rows themselves, for the audit and utility figures that stay in the dossier.

    Raises Refused while the run may still learn: what has seen open rows must never reach a model.
    """
    if not run.learned:
        raise Refused(Problem("private rows", "are closed while the run may still learn from them", _GATES))
    return _FENCED[table]


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
    if len(raw) > policy.most_rows:  # the chance that two units share a number is in the plan for so many
        rule = f"has more than {policy.most_rows:,} rows, four times what the policy declares and more than the plan counts on"
        raise InputError(Problem("table", rule, "declare in `dataset.rows` how many rows it has, roughly"))
    frame, unexpected = typed(raw, policy)
    if len(frame) < LEAST_ROWS:
        raise InputError(
            Problem(
                "table", f"has fewer than {LEAST_ROWS} rows", "a handful of people cannot be hidden among each other"
            )
        )
    share = policy.model.audit.holdout if holdout is None else holdout
    owners = raw.cells(policy.unit_column, policy.model.dataset.missing).words() if policy.unit_column else None
    known = np.ones(len(frame), bool) if owners is None else np.array([owner is not None for owner in owners])
    frame = frame[known].reset_index(drop=True)
    numbered = number_units(frame, None if owners is None else list(owners[known]), randomness.bytes(32))
    rows_of_unit = np.unique(numbered.units, return_counts=True)[1]
    if len(rows_of_unit) < LEAST_ROWS:
        rule = f"has rows of fewer than {LEAST_ROWS} units ({policy.unit_column})"
        mend = "a handful of people cannot be hidden among each other; a name that holds a control character is none"
        raise InputError(Problem("table", rule, mend))
    kept = numbered.rank < policy.max_rows
    held_out = numbered.coin < share
    sides = [_side(frame, numbered, kept & side) for side in (~held_out, held_out)]
    return Intake(
        PrivateTable(sides[0]), PrivateTable(sides[1]) if share > 0 else None, len(known), len(rows_of_unit),
        len(sides[0]), len(sides[1]), int((~kept).sum()), int((~known).sum()), unexpected,
    )  # fmt: skip


@dataclass(frozen=True)
class Numbered:
    """What keyed hashes say of each row. All (rows,).

    units: number of its unit. coin: uniform on [0, 1), one for each unit. rank: 0, 1, ... in random order in its unit.
    """

    units: np.ndarray
    coin: np.ndarray
    rank: np.ndarray


def number_units(frame: pd.DataFrame, owners: list[str] | None, key: bytes) -> Numbered:
    """Numbers and coins that hang on a unit's own name or rows alone, so that one unit more moves nobody else.

    owners: the unit of each row by name; None: each row is a unit. Equal rows are told apart by counting them, which
    changes nothing but who of equals is who. Hashes are BLAKE2b under a fresh key: nobody can choose a row that shares
    another's number. By chance one does with a probability below rows / 2^62, which the plan's first item, `unit numbers`,
    pays for.
    """
    content = _content(frame, key)
    unit = [b""] * len(frame) if owners is None else [name.encode() for name in owners]
    rows, seen = [], Counter[tuple[bytes, bytes]]()
    for pair in zip(unit, content, strict=True):
        rows.append(f"{pair[0]!r}/{pair[1]!r}/{seen[pair]}".encode())
        seen[pair] += 1
    units, coin = _hashes(rows if owners is None else unit, key, b"unit")
    if owners is None:
        return Numbered(units, coin, np.zeros(len(frame), np.int64))
    order = np.lexsort((_hashes(rows, key, b"row")[1], units))
    rank = np.empty(len(frame), np.int64)
    rank[order] = np.arange(len(frame)) - np.searchsorted(units[order], units[order])
    return Numbered(units, coin, rank)


def _content(frame: pd.DataFrame, key: bytes) -> list[bytes]:
    """(rows,) keyed hash of each row's values: the same whatever other rows there are."""
    words = [word for name in frame for word in _words_of(frame[name], key)]
    packed = np.ascontiguousarray(np.stack(words, 1) if words else np.zeros((len(frame), 0), np.uint64))
    return [hashlib.blake2b(row.tobytes(), key=key, digest_size=16, person=b"content").digest() for row in packed]


def _words_of(values: pd.Series, key: bytes) -> list[np.ndarray]:
    """One or two (rows,) uint64 for the values of a typed column: a keyed hash of text, the bits of a number.

    A text's hash has 128 bits, so that two rows that differ have one content far less often than two units have one number.
    """
    if values.dtype != object:
        numbers = values.to_numpy(float) + 0.0  # -0.0 is 0.0
        return [np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)]
    hashed: dict[str | None, bytes] = {None: bytes(16)}
    for text in values:
        if text not in hashed:
            hashed[text] = hashlib.blake2b(text.encode(), key=key, digest_size=16, person=b"text").digest()
    both = np.frombuffer(b"".join([hashed[text] for text in values]), np.uint64).reshape(-1, 2)
    return [both[:, 0], both[:, 1]]


def _hashes(tickets: list[bytes], key: bytes, purpose: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(a number, a uniform number on [0, 1)) for each ticket."""
    each = b"".join(hashlib.blake2b(t, key=key, digest_size=16, person=purpose).digest() for t in tickets)
    words = np.frombuffer(each, np.uint64).reshape(-1, 2)
    return (words[:, 0] >> np.uint64(1)).astype(np.int64), (words[:, 1] >> np.uint64(11)) * 2.0**-53


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
            mend = "mend the declaration in the policy, or the table; a cell that holds a control character has no value"
            problems.append(Problem(f"column {name!r}", rule, mend))
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
    """Raises InputError unless the table's columns are those of the policy. Names are public; no row is looked at."""
    declared, there = list(policy.model.columns), set(columns)
    missing, extra = [c for c in declared if c not in there], [c for c in columns if c not in policy.model.columns]
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
        for c in told[:MOST_TOLD]
    ]
    if len(told) > MOST_TOLD:
        problems.append(Problem("table", f"and {len(told) - MOST_TOLD:,} more columns are not declared in the policy"))
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
    """What makes a code the category that the policy declares for it; None if there is none."""
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


__all__ = ["Intake", "Mechanism", "PrivateTable", "Rows", "open_rows", "take_in", "typed"]
