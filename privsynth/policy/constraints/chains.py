"""What inequalities rule out in cells, those of two columns and those that follow through others: a <= b <= c."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from privsynth.policy.column import decimals_of
from privsynth.policy.constraints.base import MOST_WAYS, Impossible
from privsynth.policy.constraints.conditions import Cell

Floats = NDArray[np.float64]
Rule = tuple[str, str, bool]  # (smaller column, larger column, strict)
TINY = 1e-6  # of a step: what floating-point arithmetic may be off by


class Ordered(NamedTuple):
    """A column in inequalities: its cells, grid step, bounds in grid units, whether it may be missing; fixed: values stay in their
    cells, since there are conditions on them. Those of others may leave them for a chain's sake."""

    cells: Sequence[Cell]
    step: float
    low: float
    high: float
    nullable: bool
    fixed: bool

    def lowest(self, exact: bool) -> Floats:
        """(cells,) the lowest value of each; -inf of those without one. exact: also where values may leave their cells."""
        ends = np.array([c.low if exact or self.fixed else self.low for c in self.cells], float)
        return np.asarray(ends * self.step - self._without)

    def highest(self, exact: bool) -> Floats:
        """(cells,) the highest one; inf of those without a value."""
        ends = np.array([c.high if exact or self.fixed else self.high for c in self.cells], float)
        return np.asarray(ends * self.step + self._without)

    @property
    def _without(self) -> Floats:
        return np.array([np.inf if c.absent or c.low > c.high else 0.0 for c in self.cells])


def falling(rules: Sequence[Rule], columns: Mapping[str, Ordered]) -> Iterator[Impossible]:
    """Cells all of whose values would break an inequality. Through columns that may be missing, which then say nothing, two at
    most: they are axes, too. Where values may leave their cells, chains are about bounds alone."""
    below: dict[str, list[tuple[str, bool]]] = {}
    alone: dict[tuple[str, ...], NDArray[np.bool_]] = {}
    for small, large, strict in rules:
        below.setdefault(large, []).append((small, strict))
        own, other = columns[small], columns[large]
        least = at_least(own.lowest(True), other.step, strict)
        alone[small, large] = _above(least, other.highest(True), other.step)
        yield Impossible((small, large), alone[small, large])
    order = list(TopologicalSorter({large: [n for n, _ in own] for large, own in below.items()}).static_order())
    for start in order:
        for (end, between), least in _reached(start, order, below, columns).items():
            last, axes = columns[end], [np.array([not c.absent for c in columns[n].cells], bool) for n in between]
            cells = _above(least, last.highest(False), last.step)
            for axis in axes:
                cells = np.multiply.outer(cells, axis)
            if (cells & ~alone.get((start, end, *between), np.array(False))).any():
                yield Impossible((start, end, *between), cells)


def _reached(
    start: str, order: Sequence[str], below: Mapping[str, Sequence[tuple[str, bool]]], columns: Mapping[str, Ordered]
) -> dict[tuple[str, tuple[str, ...]], Floats]:
    """{(a column above through others, those of these that may be missing): (cells of the first,) the least it can be}"""
    found: dict[tuple[str, tuple[str, ...]], Floats] = {(start, ()): columns[start].lowest(False)}
    for large in order:
        for small, strict in below.get(large, ()):
            for (at, between), least in list(found.items()):
                through = (*between, *([small] if small != start and columns[small].nullable else []))
                if at != small or len(through) > MOST_WAYS - 2:
                    continue
                key, more = (large, tuple(sorted(through))), at_least(least, columns[large].step, strict)
                found[key] = np.maximum(found.get(key, -np.inf), more)
    return {key: least for key, least in found.items() if key[0] != start}


def _above(least: Floats, highest: Floats, step: float) -> NDArray[np.bool_]:
    return np.asarray(least[:, None] > highest[None] + step * TINY)


def at_least(small: Floats, step: float, strict: bool) -> Floats:
    """The lowest multiples of a step that are not below, or above if strict."""
    units = np.ceil(small / step - TINY)
    units = units + (strict & (units * step <= small + step * TINY))
    return np.asarray(np.round(units * step, decimals_of(step)))


def at_most(large: Floats, step: float, strict: bool) -> Floats:
    """The highest multiples of a step that are not above, or below if strict."""
    units = np.floor(large / step + TINY)
    units = units - (strict & (units * step >= large - step * TINY))
    return np.asarray(np.round(units * step, decimals_of(step)))
