"""What is released about columns: their public cells. Bounds and categories come from the policy or are measured.

Numbers, dates and moments are all whole numbers of grid units here (cents, units, days, seconds), in public cells (`grids`).
The larger side of an inequality is stored as its gap from the smaller side (a length of stay
instead of a discharge date), which keeps the rule and the distribution of the gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from privsynth.encoding.grids import Grid, Intervals, grid_of
from privsynth.policy import Column, Policy
from privsynth.policy.ages import age_edges, ages_at
from privsynth.policy.column import CATEGORICAL, TEMPORAL, TRUTHS
from privsynth.policy.constraints.conditions import Cell, token_cells, word_cell
from privsynth.policy.constraints.one_hot import truths_of
from privsynth.policy.gaps import gaps_of
from privsynth.policy.knowledge import Knowledge, group_cells
from privsynth.policy.moments import DAY, YEAR
from privsynth.privacy.events import DiscreteGaussian, Geometric, ThresholdedGaussian
from privsynth.privacy.mechanisms.categories import OpenCategories, categories_of
from privsynth.privacy.mechanisms.counts import ROW_COUNT, UNIT_SIZES, PrivateBounds, RowCount, UnitSizes, bounds_of
from privsynth.privacy.run import Run
from privsynth.privacy.unit import Rows
from privsynth.table.names import state_of
from privsynth.table.private import PrivateTable
from privsynth.table.written import writer_of

OTHER = "__other__"
MEASURED = "measured"  # the source of bounds and categories that the policy leaves private
STRATUM = "__rows__"
# smallest number of rows of each stratum of units
STRATA = (1, 2, 3, 4, 5, 7, 10, 15, 25, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


@dataclass(frozen=True)
class ColumnDomain:
    """One column's public cells: those of its values, one for each mark, and one for the blank cell, which comes last.

    categories: of a category or a boolean. low, high: bounds in grid units; step: size of a grid unit in the column's units.
    marks: texts in place of a value, as in `Policy.marks`. cuts, spikes: in grid units. members: the columns of
    which one is true, if this one is stored for them; words: of each those for false and true. gap_from: the smaller column of an
    inequality, if this one is stored as its gap; least_gap: 1 if strict; floor: its own lower bound, low being that of both.
    age_at: the date at which this one, a date of birth, is stored as an age, with so many grid units a day; ages: the lowest and
    the highest one, in units of `policy.ages`, as its cuts then are. clock_of: the datetime of which this is the time of
    day; the datetime itself is stored as its day. letter_case: of names in dates, one of LETTER_CASES once it was measured,
    and before that the empty text; None where there are none. unreadable: measured share of its cells that cannot be read as its
    kind, and count as missing; 0 where noise explains it.
    """

    name: str
    kind: str
    categories: tuple[str, ...] = ()
    low: int = 0
    high: int = 0
    step: float = 1.0
    nullable: bool = True
    gap_from: str | None = None
    least_gap: int = 0
    floor: int = 0
    age_at: str | None = None
    age_units: int = 1
    ages: tuple[int, int] = (0, 0)
    source: str = "public"
    marks: tuple[str, ...] = ()
    cuts: tuple[int, ...] = ()
    spikes: tuple[int, ...] = ()
    members: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    clock_of: str | None = None
    letter_case: str | None = None
    unreadable: float = 0.0

    @property
    def categorical(self) -> bool:
        return self.kind in CATEGORICAL

    @property
    def by_day(self) -> bool:
        """True for a datetime that is stored as its day; its time of day is a column of its own."""
        return self.kind == "datetime" and self.gap_from is None

    @property
    def beyond(self) -> bool:
        """True for a number whose range was measured: values may lie beyond it."""
        return self.source == MEASURED and not self.categorical and self.gap_from is None

    @property
    def relative(self) -> bool:
        """True if it is stored as a gap or an age: its values start from another column's."""
        return self.gap_from is not None or self.age_at is not None

    @property
    def fixed(self) -> bool:
        """True if its values stay in their bins whatever inequalities want, since constraints, or cuts, tell bins apart."""
        return bool(self.cuts)

    @property
    def a_day(self) -> int:
        """Grid units of a day, for moments."""
        return round(DAY / self.step)

    @cached_property
    def grid(self) -> Grid:
        """The cells of a column that is not categorical: of values, of gaps, of ages, or of days."""
        if self.age_at is not None:
            return Intervals(age_edges(*self.ages), self.cuts)
        if self.gap_from is not None:
            kind = "number" if self.kind in ("date", "integer", "number") else "duration"
            return grid_of(kind, self.least_gap, max(self.high - self.low, self.least_gap + 1), self.step)
        low, high, cuts, spikes = self.low, self.high, self.cuts, self.spikes
        if self.beyond:  # a cell on either side for what lies outside, so that it is counted
            low, high = low - 1, high + 1
        if self.by_day:
            low, high = low // self.a_day, high // self.a_day
            cuts, spikes = (tuple(value // self.a_day for value in values) for values in (cuts, spikes))
        return grid_of(self.kind, low, high, self.step, cuts, spikes)

    @cached_property
    def regular(self) -> int:
        """Cells of values."""
        return len(self.categories) if self.categorical else len(self.grid.widths)

    @property
    def span(self) -> tuple[int, int]:
        """Its bounds in the units of its cells: ages, days of a datetime, else grid units."""
        if self.age_at is not None:
            return self.ages
        return (self.low // self.a_day, self.high // self.a_day) if self.by_day else (self.low, self.high)

    @property
    def cells(self) -> int:
        """Cells without the one for the blank cell, which comes last."""
        return self.regular + len(self.marks)

    @property
    def title(self) -> str:
        """Its name for a reader."""
        return self.name if self.clock_of is None else f"{self.clock_of}, time of day"

    @property
    def described(self) -> str:
        if self.categorical:
            merged = self.categories[-1] == OTHER
            known = len(self.categories) - merged
            rest = f", all others as {OTHER}" if merged else ""
            return f"{known} categor{'y' if known == 1 else 'ies'} ({self.source}){rest}"
        return f"{self.text_of(self.low)} to {self.text_of(self.high)} ({self.source})"

    def text_of(self, units: int) -> str:
        """A value in grid units for a reader."""
        if self.kind in TEMPORAL:
            return writer_of(self.kind, step=self.step)(units * self.step)
        return f"{units * self.step:.12g}"

    def places_of(self, rows: pd.DataFrame, units: Mapping[str, np.ndarray]) -> np.ndarray:
        """(rows,) the cell of each row. units: (rows,) grid values of numbers and moments by name."""
        if self.members:
            return self._places_of_members(rows)
        if self.categorical:
            place = {name: at for at, name in enumerate((*self.categories, *self.marks))}
            unknown = len(self.categories) - 1 if self.categories[-1] == OTHER else -1
            values = rows[self.name]
            found = np.array([place.get(v, unknown) if isinstance(v, str) else -1 for v in values], np.int32)
            return np.where(found < 0, self.cells, found)
        if self.clock_of is not None:
            value = np.mod(units[self.clock_of], self.a_day)
        elif self.gap_from is not None:
            value = np.maximum(units[self.name] - units[self.gap_from], self.least_gap)
        elif self.age_at is not None:
            value = ages_at(units[self.name], np.floor(units[self.age_at] / self.age_units))
        else:
            value = np.floor(units[self.name] / self.a_day) if self.by_day else units[self.name]
        cell: np.ndarray = self.grid.cell_of(value)
        if self.marks and (states := rows.get(state_of(self.name))) is not None:
            marked = states.to_numpy(np.int64)
            cell = np.where(marked >= 0, self.regular + marked, cell)
        return np.where(cell < 0, self.cells, cell)

    def _places_of_members(self, rows: pd.DataFrame) -> np.ndarray:
        """The member that is true in each row. The blank cell where more are, where none is though one must be, and where some
        member is missing."""
        true = np.zeros((len(self.members), len(rows)), bool)
        known = np.ones(len(rows), bool)
        for at, (name, pair) in enumerate(zip(self.members, self.words, strict=True)):
            pairs = (pair, *TRUTHS)  # a boolean may be spelled in any way
            place = {word: truth for spelled in reversed(pairs) for truth, word in enumerate(spelled)}
            found = np.array([place.get(v, -1) if isinstance(v, str) else -1 for v in rows[name]], np.int8)
            known &= found >= 0
            true[at] = found == 1
        count = true.sum(0)
        cell = np.where(count == 1, true.argmax(0), len(self.members))
        fits = known & ((count == 1) | ((count == 0) & (len(self.categories) > len(self.members))))
        return np.where(fits, cell, self.cells).astype(np.int32)

    def as_cells(self, column: Column | None) -> list[Cell]:
        """What constraints see of its cells, the blank one last. column: of the policy, if it has one there."""
        if self.categorical:
            found = [word_cell(name) for name in self.categories]
        else:
            every = np.arange(self.regular)
            ends = (self.grid.value_at(every, np.full(self.regular, place)) for place in (0.0, 1 - 1e-12))
            scale = self.a_day if self.by_day else 1
            ends = (np.clip(end, self.low, self.high) if self.beyond else end for end in ends)  # as they leave
            low, high = (end.astype(np.int64) * scale for end in ends)
            found = [Cell(int(a), int(b) + scale - 1) for a, b in zip(low, high, strict=True)]
        tokens = list(token_cells(column, self.marks)) if column is not None else []
        return [*found, *tokens, Cell(absent=True)]


@dataclass(frozen=True)
class Domain:
    """All columns; the last may be the hidden stratum of rows per unit.

    rows, units: released numbers, if measured or declared. mix: (strata,) measured share of rows of each stratum in the table
    that leaves. dropped: measured share of the rows of units that bounding left out. rising: inequalities between columns that are
    stored as themselves: (smaller, larger, strict).
    """

    columns: tuple[ColumnDomain, ...]
    rows: int | None
    mix: tuple[float, ...] = ()
    units: int | None = None
    dropped: float = 0.0
    rising: tuple[tuple[str, str, bool], ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Cells of each column with the one for missing."""
        return tuple(column.cells + 1 for column in self.columns)

    def __getitem__(self, name: str) -> ColumnDomain:
        return next(column for column in self.columns if column.name == name)

    @property
    def stratified(self) -> bool:
        return bool(self.mix)

    def encode(self, rows: Rows[pd.DataFrame]) -> Rows[np.ndarray]:
        """(rows, columns) int32 cell numbers. Each row is encoded on its own; the stratum depends on its unit's rows alone."""
        out = np.empty((len(rows), len(self.columns)), np.int32)
        units = {c.name: _grid_values(rows.values, c) for c in self.columns if not c.categorical and c.clock_of is None}
        for j, column in enumerate(self.columns):
            if column.name == STRATUM:
                sizes = np.repeat(rows.sizes, rows.spans[1])
                out[:, j] = np.searchsorted([int(name) for name in column.categories], sizes, side="right") - 1
            else:
                out[:, j] = column.places_of(rows.values, units)
        return Rows(out, rows.units)

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": [asdict(c) for c in self.columns],
            "rows": self.rows,
            "mix": list(self.mix),
            "units": self.units,
            "dropped": self.dropped,
            "rising": [list(rule) for rule in self.rising],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Domain:
        listed = ("categories", "marks", "cuts", "spikes", "ages", "members")
        columns = tuple(
            ColumnDomain(**(c | {name: tuple(c[name]) for name in listed} | {"words": tuple(map(tuple, c["words"]))}))
            for c in data["columns"]
        )
        rising = tuple((a, b, bool(strict)) for a, b, strict in data["rising"])
        return cls(columns, data["rows"], tuple(data["mix"]), data["units"], data["dropped"], rising)


def learn_domain(
    policy: Policy, table: PrivateTable[pd.DataFrame], run: Run, trained: float = 1.0,
    unreadable: Mapping[str, float] | None = None,
) -> Domain:  # fmt: skip
    """Takes what is declared and measures the rest. trained: public share of the declared rows that the trainer sees;
    unreadable: measured shares of cells, as from `readable.refuse_unreadable`.

    Raises Refused if delta is not below one over the number of units, once that is measured.
    """
    columns = list(_column_domains(policy, table, run))
    columns = [replace(column, unreadable=(unreadable or {}).get(column.name, 0.0)) for column in columns]
    columns = _with_clocks(_with_gaps(columns, policy.knowledge))
    stored = {c.name for c in columns if c.gap_from is None and c.age_at is None and not c.by_day}
    rising = tuple(rule for rule in policy.knowledge.rising if set(rule[:2]) <= stored)
    declared = policy.model.dataset.rows
    rows = round(declared * trained) if declared is not None else None
    if policy.unit_column is not None:
        units = table.measure(UnitSizes(run.plan.event(UNIT_SIZES, Geometric, DiscreteGaussian), STRATA), run)
        policy.refuse_large_delta(round(max(1, int(units.sum())) / trained))
        return replace(_by_units(columns, units, policy), rising=rising)
    if declared is None:
        rows = table.measure(RowCount(run.plan.event(ROW_COUNT, Geometric, DiscreteGaussian)), run)
        policy.refuse_large_delta(round(rows / trained))
    return Domain(tuple(columns), rows, rising=rising)


def _column_domains(policy: Policy, table: PrivateTable[pd.DataFrame], run: Run) -> Iterator[ColumnDomain]:
    """Of modelled columns; those of which one is true are stored as one, at the place of the first."""
    known, seen = policy.knowledge, set[str]()
    for name, column in policy.model.columns.items():
        if not column.modelled:
            continue
        stored = known.group_of.get(name)
        if stored is None:
            yield _column_domain(name, column, policy, table, run)
        elif stored not in seen:
            seen.add(stored)
            group = known.groups[stored]
            words = tuple(truths_of(policy.model.columns[member]) or TRUTHS[0] for member in group.one_hot)
            nullable = any(policy.model.columns[member].nullable for member in group.one_hot)
            names = tuple(cell.text or "" for cell in group_cells(group) if not cell.absent)
            yield ColumnDomain(stored, "category", names, nullable=nullable, members=tuple(group.one_hot), words=words)


def _by_units(columns: list[ColumnDomain], units: np.ndarray, policy: Policy) -> Domain:
    """The domain of a table in which units have several rows. units: (strata,) noisy number of units with so many rows.

    The table that leaves follows the rows that training keeps, or whatever `release.weights` says: all rows that the units
    had, or each unit alike.
    """
    typical = _typical(STRATA)
    before, after = units * typical, units * np.minimum(typical, policy.max_rows)
    weights = policy.model.release.weights
    lowest = STRATA if weights == "rows" else strata(policy.max_rows)
    stratum = np.minimum(np.arange(len(STRATA)), len(lowest) - 1)
    kept = np.bincount(stratum, units) * _middle(lowest, policy.max_rows) if weights != "rows" else before
    share = np.bincount(stratum, units) if weights == "units" else kept
    dropped = float(np.clip(1 - after.sum() / max(before.sum(), 1.0), 0.0, 1.0))
    total = max(1, int((after if weights == "rows" else kept).sum()))
    mix: tuple[float, ...] = ()
    if policy.stratified:
        mix = tuple(float(x) for x in (share + 1e-9) / (share + 1e-9).sum())
        columns = [*columns, ColumnDomain(STRATUM, "category", tuple(str(x) for x in lowest), nullable=False)]
    return Domain(tuple(columns), total, mix, max(1, int(units.sum())), dropped)


def strata(max_rows: int) -> tuple[int, ...]:
    """Smallest number of rows of each stratum, up to the bound."""
    return tuple(lowest for lowest in STRATA if lowest <= max_rows)


def _middle(lowest: Sequence[int], max_rows: int) -> np.ndarray:
    """Typical number of rows that are kept of a unit of each stratum."""
    highest = [*[nxt - 1 for nxt in lowest[1:]], max_rows]
    return np.array([lo + (hi - lo) * 0.4 for lo, hi in zip(lowest, highest, strict=True)])


def _typical(lowest: Sequence[int]) -> np.ndarray:
    """Typical number of rows of a unit of each stratum, the last of which has no end."""
    return _middle(lowest, 2 * lowest[-1])


def _column_domain(
    name: str, column: Column, policy: Policy, table: PrivateTable[pd.DataFrame], run: Run
) -> ColumnDomain:
    own = ColumnDomain(
        name, column.kind, step=column.step, nullable=column.nullable, marks=policy.marks(name),
        letter_case="" if column.named else None,
    )  # fmt: skip
    if column.categorical:
        if name in policy.groupings:
            return replace(own, categories=tuple(policy.groupings[name].groups), source="public groups")
        if column.categories == "private":
            found = table.measure(OpenCategories(run.plan.event(categories_of(name), ThresholdedGaussian), name), run)
            names = [value for value in found if value != OTHER and value not in own.marks]
            return replace(own, categories=(*names, OTHER), source=MEASURED)
        declared = [value for value in column.public_categories or () if value not in own.marks]
        return replace(own, categories=tuple(declared))
    if column.bounds == "private":
        event = run.plan.event(bounds_of(name), Geometric, DiscreteGaussian)
        low, high = table.measure(PrivateBounds(event, name, column.step), run)
        own = replace(own, source=MEASURED)
    else:
        assert column.steps is not None
        low, high = column.steps
    if column.ages:
        known = {*(YEAR * age for age in column.ages.ages), *policy.knowledge.cuts.get(name, ())}
        cuts, ages = tuple(sorted(known)), policy.knowledge.age_bounds(name)
        at = policy.model.columns[column.ages.at]
        return replace(own, low=low, high=high, cuts=cuts, age_at=column.ages.at, age_units=at.a_day, ages=ages)
    known = {*column.in_steps(column.stops), *policy.knowledge.cuts.get(name, ())}
    cuts, spikes = (  # of a measured range those that lie within
        tuple(value for value in sorted(values) if low <= value <= high)
        for values in (known, column.in_steps(column.spikes))
    )
    return replace(own, low=low, high=high, cuts=cuts, spikes=spikes)


def _with_gaps(columns: list[ColumnDomain], known: Knowledge) -> list[ColumnDomain]:
    """Stores the larger side of an inequality as a gap where that says more; a column is so in one rule at most."""
    by_name = {column.name: column for column in columns}
    ends = {name: by_name[name] for rule in known.rising for name in rule[:2]}
    gaps = gaps_of(known.rising, {name: known.side(name, c.low, c.high) for name, c in ends.items()})
    for large, small in gaps.items():
        strict = next(strict for *own, strict in known.rising if own == [small, large])
        a, b = ends[small], ends[large]
        by_name[large] = replace(b, gap_from=small, least_gap=int(strict), low=min(a.low, b.low), floor=b.low)
    return [by_name[column.name] for column in columns]


def _with_clocks(columns: list[ColumnDomain]) -> list[ColumnDomain]:
    """With a column for the time of day behind each datetime that is not stored as a gap."""
    found = []
    for column in columns:
        found.append(column)
        if column.by_day:
            clock = ColumnDomain(f"__clock of {column.name}__", "time", high=column.a_day - 1, step=column.step)
            found.append(replace(clock, nullable=column.nullable, clock_of=column.name))
    return found


def _grid_values(frame: pd.DataFrame, column: ColumnDomain) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinity is clipped to the last cell, as is any value beyond it
        return np.asarray(np.round(frame[column.name].to_numpy(float) / column.step))
