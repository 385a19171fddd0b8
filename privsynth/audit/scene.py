"""Who is attacked, and what the attacker has besides the released table. Drawn once, for all attacks and controls.

The people of the holdout are split at random into three parts: those attacked (at most 60 %), a reference sample (what
an attacker may know about the population), and the negative control. One row per person is attacked, so that targets
are independent, and as many members as non-members. The positive controls are twins of the release: a known share of the training
people is planted in each, those of a smaller share in all with a larger one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from privsynth.audit.coding import Coded, Coder
from privsynth.audit.tables import AuditTables

TARGETS = {"quick": 500, "standard": 2000, "thorough": 5000}
REPEATS = {"quick": 2, "standard": 4, "thorough": 8}
PLANTED_SHARES = (0.4, 0.1, 0.03, 0.01, 0.003, 0.001)  # of the training people, in the twins
MOST_PEOPLE = 40_000  # with whom a target is compared
_ATTACKED = 0.6  # share of the holdout's people; half of the rest is the reference, half the negative control
_POOL = 4  # people per target to select from: some attacks use only people with a rare secret


@dataclass(frozen=True)
class Scene:
    """People, references and controls, coded. There are as many `members` as `non_members` (the pool)."""

    names: list[str]
    sizes: list[int]  # cells of each column, the last is "missing"
    categorical: list[bool]
    roles: dict[str, str]
    synthetic: Coded
    negative_control: Coded  # real rows of people who were neither trained on nor attacked
    train: Coded  # all training people, one row each: first the members
    members: Coded
    non_members: Coded
    reference: Coded  # all rows of these people
    reference_people: Coded  # one row each
    targets: int  # attacks that do not select people use the first so many `members` and `non_members`
    most: int  # people who are attacked on each side by attacks that need many
    repeats: int  # predicates per person in the singling-out attack
    places: np.ndarray  # rows of the synthetic table in random order: where people are planted
    order: np.ndarray  # of the members, and of the other training people: who is planted first
    real: int  # real rows that `below` and `upto` count
    memo: dict[str, Any] = field(default_factory=dict)  # what several attacks use, by what it is

    def index(self, *roles: str) -> list[int]:
        """Numbers of the columns with one of these roles: by role as given, then as in the table."""
        return [i for role in roles for i, name in enumerate(self.names) if self.roles.get(name) == role]

    def twin(self, share: float) -> Coded:
        """The synthetic table with rows replaced by copies of training rows, a leak to be found.

        Each attacked member is copied with a probability of about `share`, and so is each other person in the training data, as
        long as no more than that share of the table is replaced.
        """
        members, capacity = len(self.members), round(share * len(self.synthetic))
        attacked = self.order[:members][: min(capacity, round(share * members))]
        others = self.order[members:][: min(capacity - len(attacked), round(share * (len(self.train) - members)))]
        chosen = np.concatenate([attacked, others])
        return self.synthetic.planted(self.places[: len(chosen)], self.train.take(chosen))

    def twins(self) -> Iterator[tuple[float, Coded]]:
        """(share of the training people who are planted, table), the largest share first; none in which nobody would be."""
        yield from ((share, self.twin(share)) for share in PLANTED_SHARES if round(share * len(self.members)) > 0)

    @cached_property
    def tested(self) -> tuple[Coded, Coded]:
        """All people of the training data, and all that were held out as targets or as the reference, up to `most` each: one row of
        each, since a person's rows are alike. They begin with `members` and `non_members`."""
        members = self.train.take(np.arange(min(len(self.train), self.most)))
        others = self.reference_people
        others = others.take(np.arange(min(len(others), max(0, self.most - len(self.non_members)))))
        return members, Coded.joined([self.non_members, others])

    @cached_property
    def everybody(self) -> Coded:
        """With whom a target is compared: first those tested, members and then non-members, so that each can be left out."""
        members, others = self.tested
        more = np.arange(len(members), max(len(members), min(len(self.train), MOST_PEOPLE - len(others))))
        return Coded.joined([members, others, self.train.take(more)])


def prepare(tables: AuditTables, effort: str, rng: np.random.Generator) -> Scene:
    """Draws targets, reference and controls. `effort`: a key of `TARGETS`.

    Raises:
        ValueError: an unknown effort.
    """
    if effort not in TARGETS:
        raise ValueError(f"effort is one of {', '.join(TARGETS)}")
    coder = Coder.fit(tables.synthetic, (tables.train, tables.holdout))
    synthetic, train, holdout = (coder.encode(f) for f in (tables.synthetic, tables.train, tables.holdout))
    train_units = _units(tables.train_units, len(train))
    people, rest = one_row_each(train_units, rng), one_row_each(_units(tables.holdout_units, len(holdout)), rng)
    pool = min(_POOL * TARGETS[effort], len(synthetic), len(people), int(np.ceil(_ATTACKED * len(rest))))
    reference, negative_control = _part(rest[pool:], _units(tables.holdout_units, len(holdout)))
    targets = min(TARGETS[effort], pool)
    return Scene(
        names=coder.names,
        sizes=coder.sizes,
        categorical=[values is None for values in coder.sorted_values],
        roles=tables.roles,
        synthetic=synthetic,
        negative_control=holdout.take(negative_control),
        train=train.take(people),
        members=train.take(people[:pool]),
        non_members=holdout.take(rest[:pool]),
        reference=holdout.take(reference),
        reference_people=holdout.take(rest[pool:][: (len(rest) - pool) // 2]),
        targets=targets,
        most=_POOL * TARGETS[effort],
        repeats=REPEATS[effort],
        places=rng.permutation(len(synthetic)),
        order=np.concatenate([spread(targets, pool, rng), pool + rng.permutation(len(people) - pool)]),
        real=len(train) + len(holdout),
    )


def one_row_each(units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One random row of every unit, units in random order: int64[number of units]."""
    shuffled = rng.permutation(len(units))
    _, first = np.unique(units[shuffled], return_index=True)
    rows: np.ndarray = shuffled[rng.permutation(first)]
    return rows


def spread(targets: int, pool: int, rng: np.random.Generator) -> np.ndarray:
    """A random order of the pool in which every beginning holds about the same share of the targets, who are its first."""
    first, rest = rng.permutation(targets), targets + rng.permutation(pool - targets)
    at = np.concatenate([(np.arange(len(part)) + rng.random()) / max(len(part), 1) for part in (first, rest)])
    order: np.ndarray = np.concatenate([first, rest])[np.argsort(at, kind="stable")]
    return order


def _units(units: np.ndarray | None, rows: int) -> np.ndarray:
    return np.arange(rows) if units is None else np.asarray(units)


def _part(rows: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint halves of the people behind `rows`, with all their rows: row numbers of each."""
    half = len(rows) // 2
    first, second = (np.flatnonzero(np.isin(units, units[part])) for part in (rows[:half], rows[half:]))
    return first, second
