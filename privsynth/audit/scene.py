"""Who is attacked, and what the attacker has besides the released table. Drawn once, for all attacks and controls.

The people of the holdout are split at random into three parts: those attacked (at most 60 %), a reference sample (what
an attacker may know about the population), and the negative control. One row per person is attacked, so that targets
are independent, and as many members as non-members.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privsynth.audit.coding import Coded, Coder
from privsynth.audit.tables import AuditTables

TARGETS = {"quick": 500, "standard": 2000, "thorough": 5000}
REPEATS = {"quick": 2, "standard": 4, "thorough": 8}
PLANTED_SHARE = 0.4
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
    positive_control: Coded  # the synthetic table with copies of members planted in it
    negative_control: Coded  # real rows of people who were neither trained on nor attacked
    train: Coded  # all training people, one row each
    members: Coded
    non_members: Coded
    reference: Coded
    targets: int  # attacks that do not select people use the first so many `members` and `non_members`
    repeats: int  # predicates per person in the singling-out attack

    def index(self, *roles: str) -> list[int]:
        """Numbers of the columns with one of these roles: by role as given, then as in the table."""
        return [i for role in roles for i, name in enumerate(self.names) if self.roles.get(name) == role]


def prepare(tables: AuditTables, effort: str, rng: np.random.Generator) -> Scene:
    """Draws targets, reference and controls. `effort`: a key of `TARGETS`.

    Raises:
        ValueError: an unknown effort.
    """
    if effort not in TARGETS:
        raise ValueError(f"effort is one of {', '.join(TARGETS)}")
    coder = Coder.fit(tables.synthetic)
    synthetic, train, holdout = (coder.encode(f) for f in (tables.synthetic, tables.train, tables.holdout))
    train_units = _units(tables.train_units, len(train))
    people, rest = one_row_each(train_units, rng), one_row_each(_units(tables.holdout_units, len(holdout)), rng)
    pool = min(_POOL * TARGETS[effort], len(synthetic), len(people), int(np.ceil(_ATTACKED * len(rest))))
    reference, negative_control = _part(rest[pool:], _units(tables.holdout_units, len(holdout)))
    members = people[:pool]
    return Scene(
        names=coder.names,
        sizes=coder.sizes,
        categorical=[values is None for values in coder.sorted_values],
        roles=tables.roles,
        synthetic=synthetic,
        positive_control=plant_members(synthetic, train, members, people[pool:], rng),
        negative_control=holdout.take(negative_control),
        train=train.take(people),
        members=train.take(members),
        non_members=holdout.take(rest[:pool]),
        reference=holdout.take(reference),
        targets=min(TARGETS[effort], pool),
        repeats=REPEATS[effort],
    )


def one_row_each(units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One random row of every unit, units in random order: int64[number of units]."""
    shuffled = rng.permutation(len(units))
    _, first = np.unique(units[shuffled], return_index=True)
    rows: np.ndarray = shuffled[rng.permutation(first)]
    return rows


def plant_members(
    synthetic: Coded, train: Coded, members: np.ndarray, more: np.ndarray, rng: np.random.Generator
) -> Coded:
    """The positive control: the synthetic table with rows replaced by copies of training rows, a leak to be found.

    Each attacked member is copied with a probability of about `PLANTED_SHARE`, and so is each other person in the
    training data (`more`), as long as no more than that share of the table is replaced. `members`, `more`: row numbers
    in `train`.
    """
    capacity = round(PLANTED_SHARE * len(synthetic))
    attacked = rng.permutation(members)[: min(capacity, round(PLANTED_SHARE * len(members)))]
    not_attacked = rng.permutation(more)[: min(capacity - len(attacked), round(PLANTED_SHARE * len(more)))]
    source = np.concatenate([attacked, not_attacked])
    place = rng.permutation(len(synthetic))[: len(source)]
    close, cells = synthetic.close.copy(), synthetic.cells.copy()
    close[place], cells[place] = train.close[source], train.cells[source]
    return Coded(close, cells)


def _units(units: np.ndarray | None, rows: int) -> np.ndarray:
    return np.arange(rows) if units is None else np.asarray(units)


def _part(rows: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint halves of the people behind `rows`, with all their rows: row numbers of each."""
    half = len(rows) // 2
    first, second = (np.flatnonzero(np.isin(units, units[part])) for part in (rows[:half], rows[half:]))
    return first, second
