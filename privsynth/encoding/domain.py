"""What is released about columns: their public cells. Bounds and categories come from the policy or are measured.

A number, an integer and a date are all whole numbers of grid units here (cents, units, days), so that one kind of public
grid serves all: every value if there are few, else two significant digits, with round values as cells of their own, since
people report 500 and 1,000. The larger side of an inequality is stored as its gap from the smaller side (a length of stay
instead of a discharge date), which keeps the rule and the distribution of the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from privsynth.policy import Column, Policy
from privsynth.privacy.events import DiscreteGaussian, Geometric, ThresholdedGaussian
from privsynth.privacy.mechanisms.categories import OpenCategories, categories_of
from privsynth.privacy.mechanisms.counts import ROW_COUNT, UNIT_SIZES, PrivateBounds, RowCount, UnitSizes, bounds_of
from privsynth.privacy.run import Run
from privsynth.privacy.unit import Rows
from privsynth.table.private import PrivateTable

OTHER = "__other__"
STRATUM = "__rows__"
STRATA = (1, 2, 3, 4, 5, 7, 10, 15, 25, 50)  # smallest number of rows of each stratum of units
FEW = 400  # grid values that each get a cell of their own


@dataclass(frozen=True)
class ColumnDomain:
    """One column's public cells.

    categories: for kind category. low, high: bounds in grid units; step: size of a grid unit in the column's units.
    gap_from: the smaller column of an inequality, if this one is stored as its gap; least_gap: 1 if strict.
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
    source: str = "public"

    @property
    def edges(self) -> np.ndarray:
        """(cells + 1,) rising whole numbers; cell i holds edges[i] <= value < edges[i + 1]."""
        if self.gap_from is None:
            return (date_grid if self.kind == "date" else public_grid)(self.low, self.high)
        return public_grid(self.least_gap, max(self.high - self.low, self.least_gap + 1))

    @property
    def cells(self) -> int:
        """Cells without the one for missing, which comes last."""
        return len(self.categories) if self.kind == "category" else len(self.edges) - 1

    @property
    def described(self) -> str:
        if self.kind == "category":
            return f"{len(self.categories)} categories ({self.source})"
        low, high = self.low * self.step, self.high * self.step
        if self.kind == "date":
            return f"{_iso(self.low)} to {_iso(self.high)} ({self.source})"
        return f"{low:g} to {high:g} ({self.source})"


@dataclass(frozen=True)
class Domain:
    """All columns; the last may be the hidden stratum of rows per unit.

    rows, units: released numbers, if measured or declared. mix: (strata,) measured share of rows of each stratum.
    """

    columns: tuple[ColumnDomain, ...]
    rows: int | None
    mix: tuple[float, ...] = ()
    units: int | None = None

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
        in_units = {c.name: _grid_values(rows.values, c) for c in self.columns if c.kind != "category"}
        for j, column in enumerate(self.columns):
            if column.name == STRATUM:
                sizes = np.repeat(rows.spans[1], rows.spans[1])
                lowest = [int(name) for name in column.categories]
                out[:, j] = np.searchsorted(lowest, sizes, side="right") - 1
                continue
            if column.kind == "category":
                place = {name: at for at, name in enumerate(column.categories)}
                unknown = len(column.categories) - 1 if column.categories[-1] == OTHER else -1
                values = rows.values[column.name]
                cell = np.array([place.get(v, unknown) if isinstance(v, str) else -1 for v in values], np.int32)
            else:
                value = in_units[column.name]
                if column.gap_from is not None:
                    value = np.maximum(value - in_units[column.gap_from], column.least_gap)
                edges = column.edges
                cell = (np.searchsorted(edges, np.clip(value, edges[0], edges[-1] - 1), side="right") - 1).astype(
                    np.int32
                )
                cell[np.isnan(value)] = -1
            out[:, j] = np.where(cell < 0, column.cells if column.nullable else 0, cell)
        return Rows(out, rows.units)

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": [asdict(c) for c in self.columns],
            "rows": self.rows,
            "mix": list(self.mix),
            "units": self.units,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Domain:
        columns = tuple(ColumnDomain(**(c | {"categories": tuple(c["categories"])})) for c in data["columns"])
        return cls(columns, data["rows"], tuple(data["mix"]), data["units"])


def learn_domain(policy: Policy, table: PrivateTable[pd.DataFrame], run: Run, trained: float = 1.0) -> Domain:
    """Takes what is declared and measures the rest. trained: public share of the declared rows that the trainer sees.

    Raises Refused if delta is not below one over the number of units, once that is measured.
    """
    columns = [
        _column_domain(name, column, policy, table, run)
        for name, column in policy.model.columns.items()
        if column.modelled
    ]
    columns = _with_gaps(columns, policy)
    declared, units = policy.model.dataset.rows, None
    mix: tuple[float, ...] = ()
    rows = round(declared * trained) if declared is not None else None
    if policy.unit_column is not None:
        lowest = strata(policy.max_rows)
        counts = table.measure(UnitSizes(run.plan.event(UNIT_SIZES, Geometric, DiscreteGaussian), lowest), run)
        in_rows = counts * _middle(lowest, policy.max_rows)
        rows, units = max(1, int(in_rows.sum())), max(1, int(counts.sum()))
        policy.refuse_large_delta(round(units / trained))
        if policy.max_rows > 1:
            mix = tuple(float(x) for x in (in_rows + 1e-9) / (in_rows + 1e-9).sum())
            columns.append(ColumnDomain(STRATUM, "category", tuple(str(x) for x in lowest), nullable=False))
    elif declared is None:
        rows = table.measure(RowCount(run.plan.event(ROW_COUNT, Geometric, DiscreteGaussian)), run)
        policy.refuse_large_delta(round(rows / trained))
    return Domain(tuple(columns), rows, mix, units)


def strata(max_rows: int) -> tuple[int, ...]:
    """Smallest number of rows of each stratum, up to the bound."""
    return tuple(lowest for lowest in STRATA if lowest <= max_rows)


def _middle(lowest: Sequence[int], max_rows: int) -> np.ndarray:
    """Typical number of rows of a unit of each stratum."""
    highest = [*[nxt - 1 for nxt in lowest[1:]], max_rows]
    return np.array([lo + (hi - lo) * 0.4 for lo, hi in zip(lowest, highest, strict=True)])


def _column_domain(
    name: str, column: Column, policy: Policy, table: PrivateTable[pd.DataFrame], run: Run
) -> ColumnDomain:
    if column.kind == "category":
        if name in policy.groupings:
            return ColumnDomain(
                name, "category", tuple(policy.groupings[name].groups), nullable=column.nullable, source="public groups"
            )
        if column.categories == "private":
            found = table.measure(OpenCategories(run.plan.event(categories_of(name), ThresholdedGaussian), name), run)
            names = (*(value for value in found if value != OTHER), OTHER)
            return ColumnDomain(name, "category", names, nullable=column.nullable, source="measured")
        assert isinstance(column.categories, list)  # the policy's rules ensure it
        return ColumnDomain(name, "category", tuple(column.categories), nullable=column.nullable)
    step = 10.0**-column.places
    if column.bounds == "private":
        low, high = table.measure(
            PrivateBounds(run.plan.event(bounds_of(name), Geometric, DiscreteGaussian), name, step), run
        )
        return ColumnDomain(name, column.kind, (), low, high, step, column.nullable, source="measured")
    assert column.steps is not None
    return ColumnDomain(name, column.kind, (), *column.steps, step, column.nullable)


def _with_gaps(columns: list[ColumnDomain], policy: Policy) -> list[ColumnDomain]:
    """Stores the larger side of each inequality as a gap; a column is the larger side of one rule at most."""
    by_name = {column.name: column for column in columns}
    for constraint in policy.model.constraints:
        small, large, strict = constraint.rising
        a, b = by_name[small], by_name[large]
        # a gap says more than a bound only where both columns span a similar range: a length of stay does, an age does not
        alike = 0.5 <= (a.high - a.low) / (b.high - b.low) <= 2
        known = b.nullable or not a.nullable  # a gap is missing wherever the smaller side is
        if alike and known and b.gap_from is None and a.step == b.step:
            by_name[large] = replace(b, gap_from=small, least_gap=int(strict), low=min(a.low, b.low))
    return [by_name[column.name] for column in columns]


def _grid_values(frame: pd.DataFrame, column: ColumnDomain) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinity is clipped to the last cell, as is any value beyond it
        return np.asarray(np.round(frame[column.name].to_numpy(float) / column.step))


def public_grid(low: int, high: int) -> np.ndarray:
    """Cell edges that need no data: (cells + 1,) whole numbers from low to high + 1.

    >>> public_grid(0, 3).tolist()
    [0, 1, 2, 3, 4]
    """
    if high - low <= FEW:
        return np.arange(low, high + 2, dtype=np.int64)
    edges = {low, high, high + 1} | {e for e in range(-10, 12) if low <= e <= high}
    scale, largest = 1, max(abs(low), abs(high))
    while scale <= largest:
        for digits in range(10, 100):
            for value in (digits * scale, -digits * scale):
                edges |= {edge for edge in (value, value + 1) if low <= edge <= high}
        scale *= 10
    if len(edges) < FEW // 4:  # far from zero two digits give few cells: add cells of equal width
        edges |= set(np.linspace(low, high + 1, FEW // 2 + 1).astype(np.int64).tolist())
    return np.array(sorted(edges), dtype=np.int64)


def date_grid(low: int, high: int) -> np.ndarray:
    """Cell edges of dates, in days since 1970: every day if they are few, else calendar months, quarters or years.

    >>> date_grid(0, 1460)[:3].tolist()
    [0, 31, 59]
    """
    if high - low <= FEW:
        return np.arange(low, high + 2, dtype=np.int64)
    months = np.arange(
        np.datetime64(low, "D").astype("datetime64[M]"), np.datetime64(high, "D").astype("datetime64[M]") + 1
    )
    step = next((s for s in (1, 3) if len(months) <= s * FEW // 3), 12)
    starts = months[months.astype(np.int64) % step == 0].astype("datetime64[D]").astype(np.int64)
    return np.unique(np.concatenate([[low], starts[(starts > low) & (starts <= high)], [high + 1]]))


def _iso(day: int) -> str:
    return str(np.datetime64(int(day), "D"))
