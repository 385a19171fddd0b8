"""Public cells of numbers, dates and moments: which whole numbers of grid units lie in which cell. No data is needed.

A cell is an interval of values, or those values of an interval that are round in the same way: first days of a month, full
hours. People record on round values, so each kind of them has cells of its own, as round numbers have. `kinds` says of which
kind each cell is; how many values are of each kind is measured as well, since over many cells noise adds up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from privsynth.policy.moments import DAY

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FEW = 400  # grid values that each get a cell of their own
MONTHS = 1_500  # up to so many months are cells; beyond, quarters and years
NEAR = (
    -25_567,
    47_482,
)  # 1900 to 2099, in days since 1970: where months are cells, even if the bounds reach far beyond
GRANULES = (
    DAY,
    3_600,
    1_800,
    900,
    300,
    60,
    1,
)  # seconds: what moments and durations are rounded to, each a part of the one before


class Grid(Protocol):
    """Cells of whole numbers from `low` to `high`."""

    @property
    def widths(self) -> Ints:
        """(cells,) how many values each cell holds, at least 1."""

    @property
    def kinds(self) -> Ints:
        """(cells,) how the values of each cell are round: numbers from 0 on, 0 alone where nothing is distinguished."""

    @property
    def starts(self) -> NDArray[np.bool_]:
        """(cells,) True where a public breakpoint lies at the cell's start: no bin may reach across it."""

    @property
    def far(self) -> NDArray[np.bool_]:
        """(cells,) True where hardly any value lies, as everybody knows: what noise alone explains there counts as none."""

    def cell_of(self, values: Floats) -> Ints:
        """(rows,) the cell of each value, clipped to the bounds; -1 for NaN."""

    def value_at(self, cells: Ints, places: Floats) -> Floats:
        """Values at places from 0 to below 1 inside cells, as whole numbers."""


def runs_of(cells: int, scales: int, alone: int = 1) -> tuple[Ints, ...]:
    """For each of `scales` coarser scales, the run in which each cell of the scale below lies. The last cells, those of marks
    and the blank one, are each alone.

    >>> [inside.tolist() for inside in runs_of(8, 2)]
    [[0, 0, 1, 1, 2, 2, 3, 3, 4], [0, 0, 1, 1, 2]]
    """
    length, found = math.ceil(round(cells ** (1 / (scales + 1)), 9)), []
    for _ in range(scales):
        inside = np.arange(cells) // length
        cells = int(inside[-1]) + 1
        found.append(np.concatenate([inside, cells + np.arange(alone)]))
    return tuple(found)


@dataclass(frozen=True)
class Intervals:
    """Cell i holds edges[i] <= value < edges[i + 1]."""

    edges: Ints
    cuts: tuple[int, ...] = ()

    @property
    def widths(self) -> Ints:
        return np.diff(self.edges)

    @property
    def kinds(self) -> Ints:
        return np.zeros(len(self.edges) - 1, np.int64)

    @property
    def starts(self) -> NDArray[np.bool_]:
        return np.isin(self.edges[:-1], self.cuts)

    @property
    def far(self) -> NDArray[np.bool_]:
        return np.zeros(len(self.edges) - 1, bool)

    def cell_of(self, values: Floats) -> Ints:
        inside = np.clip(values, self.edges[0], self.edges[-1] - 1)
        return np.where(np.isnan(values), -1, np.searchsorted(self.edges, inside, side="right") - 1)

    def value_at(self, cells: Ints, places: Floats) -> Floats:
        first, after = self.edges[cells], self.edges[cells + 1]
        return np.asarray(np.minimum(np.floor(first + places * (after - first)), after - 1))


@dataclass(frozen=True)
class Calendar:
    """Days since 1970. A cell holds the days of a period that begin a year or a month, that end one, or the others.

    edges: as of `Intervals`, where periods begin.
    """

    edges: Ints
    cuts: tuple[int, ...] = ()

    @cached_property
    def _order(self) -> tuple[Ints, Ints, Ints]:
        """((cells,) first place, (days,) days by cell, (days,) cell of each day from the first on)."""
        days = np.arange(self.edges[0], self.edges[-1])
        key = (np.searchsorted(self.edges, days, side="right") - 1) * len(KINDS_OF_DAYS) + kind_of_days(days)
        _, cell = np.unique(key, return_inverse=True)
        ordered = np.argsort(cell, kind="stable")
        first = np.searchsorted(cell[ordered], np.arange(cell.max() + 2))
        return first, days[ordered], cell

    @property
    def widths(self) -> Ints:
        return np.diff(self._order[0])

    @cached_property
    def kinds(self) -> Ints:
        first, days, _ = self._order
        return kind_of_days(days[first[:-1]])

    @cached_property
    def starts(self) -> NDArray[np.bool_]:
        first, days, _ = self._order
        period = np.searchsorted(self.edges, days[first[:-1]], side="right") - 1
        new = np.diff(period, prepend=-1) > 0
        return np.asarray(new & np.isin(self.edges[period], self.cuts))

    @property
    def far(self) -> NDArray[np.bool_]:
        first, days, _ = self._order
        return np.asarray((days[first[:-1]] < NEAR[0]) | (days[first[:-1]] > NEAR[1]))

    def cell_of(self, values: Floats) -> Ints:
        there = ~np.isnan(values)
        at = np.where(there, np.clip(values, self.edges[0], self.edges[-1] - 1), self.edges[0]).astype(np.int64)
        return np.where(there, self._order[2][at - self.edges[0]], -1)

    def value_at(self, cells: Ints, places: Floats) -> Floats:
        first, days, _ = self._order
        at = np.floor(first[cells] + places * (first[cells + 1] - first[cells])).astype(np.int64)
        return days[np.minimum(at, first[cells + 1] - 1)].astype(float)


KINDS_OF_DAYS = (
    "1 January", "first of another quarter", "first of another month", "another day", "end of another month",
    "end of another quarter", "31 December",
)  # fmt: skip


def kind_of_days(days: Ints) -> Ints:
    """(days,) place in KINDS_OF_DAYS, in the order in which they come within a month.

    >>> kind_of_days(np.array([0, 1, 30, 31, 89, 90, 364])).tolist()   # 1970: 1, 2, 31 January, 1 February, 31 March, 1 April ...
    [0, 3, 4, 2, 5, 1, 6]
    """
    moments = days.astype("datetime64[D]")
    months = moments.astype("datetime64[M]")
    month = months.astype(np.int64) % 12
    first, last = months.astype("datetime64[D]") == moments, (months + 1).astype("datetime64[D]") - 1 == moments
    opening = np.where(month == 0, 0, np.where(month % 3 == 0, 1, 2))
    closing = np.where(month == 11, 6, np.where(month % 3 == 2, 5, 4))
    kinds = np.where(first, opening, np.where(last, closing, 3))
    return kinds.astype(np.int64)


@dataclass(frozen=True)
class Granular:
    """Times and durations. A cell holds the multiples of one granule in an interval that are none of a coarser one.

    edges: as of `Intervals`. granules: in grid units, falling, each a multiple of the next; the last is 1.
    """

    edges: Ints
    granules: tuple[int, ...]
    cuts: tuple[int, ...] = ()

    @cached_property
    def _cells(self) -> tuple[Ints, Ints, Ints]:
        """(cells,) of each its interval, its kind and how many values it holds; empty ones are left out."""
        sizes = np.stack(
            [self._below(self.edges[1:], k) - self._below(self.edges[:-1], k) for k in range(len(self.granules))], 1
        )
        interval, kind = np.nonzero(sizes)
        return interval, kind, sizes[interval, kind]

    def _below(self, values: Ints, kind: int) -> Ints:
        """How many values of a kind lie below each value, counted from a common start."""
        multiples = -(-values // self.granules[kind])
        if kind == 0:
            return multiples
        ratio = self.granules[kind - 1] // self.granules[kind]
        return multiples - -(-multiples // ratio)

    def kind_of(self, values: Ints) -> Ints:
        """The place of the coarsest granule of which each value is a multiple."""
        found = np.full(values.shape, len(self.granules) - 1, np.int64)
        for kind in reversed(range(len(self.granules))):
            found[values % self.granules[kind] == 0] = kind
        return found

    @property
    def widths(self) -> Ints:
        return self._cells[2]

    @property
    def kinds(self) -> Ints:
        return self._cells[1]

    @property
    def starts(self) -> NDArray[np.bool_]:
        interval = self._cells[0]
        return np.asarray((np.diff(interval, prepend=-1) > 0) & np.isin(self.edges[interval], self.cuts))

    @property
    def far(self) -> NDArray[np.bool_]:
        return np.zeros(len(self.widths), bool)

    @cached_property
    def _place(self) -> Ints:
        """(intervals, kinds) number of the cell."""
        interval, kind, _ = self._cells
        table = np.zeros((len(self.edges) - 1, len(self.granules)), np.int64)
        table[interval, kind] = np.arange(len(interval))
        return table

    def cell_of(self, values: Floats) -> Ints:
        there = ~np.isnan(values)
        at = np.where(there, np.clip(values, self.edges[0], self.edges[-1] - 1), self.edges[0]).astype(np.int64)
        interval = np.searchsorted(self.edges, at, side="right") - 1
        return np.where(there, self._place[interval, self.kind_of(at)], -1)

    def value_at(self, cells: Ints, places: Floats) -> Floats:
        interval, kind, sizes = (part[cells] for part in self._cells)
        wanted = np.minimum(np.floor(places * sizes).astype(np.int64), sizes - 1)
        found = np.empty(len(cells), np.int64)
        for k, granule in enumerate(self.granules):
            mine = kind == k
            target = (
                self._below(self.edges[interval[mine]], k) + wanted[mine]
            )  # that many values of the kind come before
            if k == 0:
                found[mine] = target * granule
            else:
                ratio = self.granules[k - 1] // granule
                found[mine] = (target // (ratio - 1) * ratio + target % (ratio - 1) + 1) * granule
        return found.astype(float)


def grid_of(kind: str, low: int, high: int, step: float, cuts: Iterable[int] = (), spikes: Iterable[int] = ()) -> Grid:
    """The grid of a column between its bounds, in grid units. kind: as in the policy; "time" for the clock of a datetime.

    The bounds of dates and moments are cells of their own, since defaults and open ends are often put there.
    """
    stops, alone = tuple(sorted(set(cuts))), set(spikes)
    if kind in ("time", "duration"):
        granules = tuple(sorted({1, *(max(1, round(granule / step)) for granule in GRANULES)}, reverse=True))
        edges = clock_edges(low, high, step) if kind == "time" else span_edges(low, high)
        return Granular(with_edges(edges, stops, alone | {low, high}), granules, stops)
    if kind in ("date", "datetime"):
        return Calendar(with_edges(date_edges(low, high), stops, alone | {low, high}), stops)
    return Intervals(with_edges(number_edges(low, high), stops, alone), stops)


def with_edges(edges: Ints, cuts: Sequence[int], alone: Iterable[int]) -> Ints:
    """Edges with cuts among them, and with cells for single values."""
    more = [*cuts, *(edge for value in alone for edge in (value, value + 1))]
    inside = [edge for edge in more if edges[0] <= edge <= edges[-1]]
    return np.unique(np.concatenate([edges, np.array(inside, np.int64)]))


def number_edges(low: int, high: int) -> Ints:
    """Cell edges of numbers: each value if they are few, else two significant digits, round ones apart.

    (cells + 1,) whole numbers from low to high + 1.

    >>> number_edges(0, 3).tolist()
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


def span_edges(low: int, high: int) -> Ints:
    """Cell edges of durations: two significant digits, without cells for round values, which `Granular` has.

    >>> len(span_edges(0, 86_400))
    358
    """
    if high - low <= FEW:
        return np.arange(low, high + 2, dtype=np.int64)
    edges = {low, high + 1} | {e for e in range(-10, 11) if low <= e <= high}
    scale, largest = 1, max(abs(low), abs(high))
    while scale <= largest:
        edges |= {v for digits in range(10, 100) for v in (digits * scale, -digits * scale) if low <= v <= high}
        scale *= 10
    return np.array(sorted(edges), dtype=np.int64)


def clock_edges(low: int, high: int, step: float) -> Ints:
    """Cell edges of times of day: half hours. step: seconds of a grid unit."""
    half_hour = max(1, round(1_800 / step))
    inner = np.arange(-(-low // half_hour), high // half_hour + 1) * half_hour
    return np.unique(np.concatenate([[low], inner, [high + 1]])).astype(np.int64)


def date_edges(low: int, high: int) -> Ints:
    """Cell edges of dates, in days since 1970: every day if they are few, else months from 1900 to 2099, and farther away, or
    where there would be more than MONTHS, years.

    >>> date_edges(0, 1460)[:3].tolist()
    [0, 31, 59]
    """
    if high - low <= FEW:
        return np.arange(low, high + 2, dtype=np.int64)
    months = np.arange(
        np.datetime64(low, "D").astype("datetime64[M]"), np.datetime64(high, "D").astype("datetime64[M]") + 1
    )
    days = months.astype("datetime64[D]").astype(np.int64)
    near = (days >= NEAR[0]) & (days <= NEAR[1]) if len(months) > MONTHS else np.ones(len(days), bool)
    every = 12 if len(months) <= MONTHS * 12 else 120
    kept = days[near | (months.astype(np.int64) % every == 0)]
    return np.unique(np.concatenate([[low], kept[(kept > low) & (kept <= high)], [high + 1]]))
