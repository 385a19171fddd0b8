"""Which rows constraints leave, in codes: start rows that break none, repairs that change as little as it takes.

A constraint is a table of combinations of codes that no row has (`Wall`). The fit never steps on one, since its energy there is
beyond all others; what networks draw is repaired by one exact step. Both follow from the policy and released shares alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from privsynth.policy.constraints.base import Impossible
from privsynth.policy.constraints.feasible import Component, components

Codes = NDArray[np.int32]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
FITTING_ROUNDS, CLOSE = 300, 1e-7  # of proportional fitting, and the change of a share at which it ends
KEPT = 1e6  # weight of a class that a row has already: beyond that of all others together
BATCH = 64  # patterns of classes that are repaired together
BATCH_CELLS = 4_000_000  # cells of a table of all of these
NOWHERE = 1e-12  # share of a code that is drawn where nothing else is possible


class Wall(NamedTuple):
    """Combinations of codes that no row has. columns: places; cells: True for these, one axis for each of the columns."""

    columns: tuple[int, ...]
    cells: Bools


@dataclass(frozen=True)
class Possible:
    """walls: of the whole table. shares: (codes,) of each column; noise: their standard deviations."""

    walls: tuple[Wall, ...]
    shares: Sequence[Floats]
    noise: Sequence[Floats]

    @cached_property
    def tied(self) -> list[Tied]:
        """Columns that walls tie together."""
        names = [str(j) for j in range(len(self.shares))]
        rules = [Impossible(tuple(names[j] for j in wall.columns), wall.cells) for wall in self.walls]
        found = components(rules, {name: len(own) for name, own in zip(names, self.shares, strict=True)})
        return [Tied.of(component, self.shares, self.noise) for component in found]

    def agreed(self) -> list[Floats]:
        """(codes,) for each column shares that rows within the walls can have, as close to the released ones as that."""
        found = [own.copy() for own in self.shares]
        for tied in self.tied:
            for at, column in enumerate(tied.columns):
                found[column] = tied.code_shares(at)
        return found

    def start(self, rows: Codes, rng: np.random.Generator) -> Codes:
        """Rows of independent columns with those that are tied together drawn anew, within the walls."""
        rows = rows.copy()
        for tied in self.tied:
            rows[:, tied.columns] = tied.draw(len(rows), rng)
        return rows

    def repaired(self, rows: Codes, rng: np.random.Generator, known: Bools | None = None) -> Codes:
        """Rows within the walls: of those that are not, as few columns as it takes are drawn anew. known: (rows, columns) cells
        that stay; where they leave nothing possible, a row stays as it is."""
        rows, wrong = rows.copy(), np.flatnonzero(self.broken(rows))
        for tied in self.tied if len(wrong) else ():
            own = rows[np.ix_(wrong, np.array(tied.columns))]
            fixed = np.zeros(own.shape, bool) if known is None else known[np.ix_(wrong, np.array(tied.columns))]
            rows[np.ix_(wrong, np.array(tied.columns))] = tied.repair(own, fixed, rng)
        return rows

    def completable(self, rows: Codes, known: Bools) -> Bools:
        """(rows,) True where what is known of a row leaves some possible one."""
        found = np.ones(len(rows), bool)
        for tied in self.tied:
            found &= tied.is_completable(np.maximum(rows[:, tied.columns], 0), known[:, tied.columns])
        return found

    def apportioned(self, rows: Codes, rng: np.random.Generator) -> Codes:
        """Rows within the walls in which each combination of classes has its share: of those in excess, and of those on a wall, as
        many as it takes go to combinations that are lacking. To repair alone would move shares: a child that is married becomes an
        adult as often as it becomes single."""
        rows = rows.copy()
        for tied in self.tied:
            rows[:, tied.columns] = tied.apportion(rows[:, tied.columns], rng)
        return rows

    def broken(self, rows: Codes) -> Bools:
        """(rows,) True for rows on a wall."""
        found = np.zeros(len(rows), bool)
        for wall in self.walls:
            found |= wall.cells[tuple(rows[:, j] for j in wall.columns)]
        return found


@dataclass(frozen=True)
class Tied:
    """A component. columns: places. weights: of each column (classes,), with which all possible combinations have the agreed
    shares; mass: (classes,) these. inside: of each column (codes,) share of each code within its class."""

    columns: tuple[int, ...]
    component: Component
    weights: tuple[Floats, ...]
    mass: tuple[Floats, ...]
    inside: tuple[Floats, ...]

    @classmethod
    def of(cls, component: Component, shares: Sequence[Floats], noise: Sequence[Floats]) -> Tied:
        columns = tuple(int(name) for name in component.columns)
        own = [np.maximum(shares[j], NOWHERE) for j in columns]
        classes = component.classes
        mass = [np.bincount(c, share) for c, share in zip(classes, own, strict=True)]
        inside = tuple(share / m[c] for share, m, c in zip(own, mass, classes, strict=True))
        variance = [float(np.mean(np.bincount(c, noise[j] ** 2))) for j, c in zip(columns, classes, strict=True)]
        precision = 1 / np.maximum(variance, NOWHERE**2)
        weights, agreed = _fitted(component, [m / m.sum() for m in mass], precision / precision.sum())
        return cls(columns, component, tuple(weights), tuple(agreed), inside)

    def code_shares(self, at: int) -> Floats:
        """(codes,) of one of its columns."""
        found = self.inside[at] * self.mass[at][self.component.classes[at]]
        return np.asarray(found / found.sum())

    def draw(self, n: int, rng: np.random.Generator) -> Codes:
        """(n, columns) codes of possible rows, in which classes have the agreed shares up to roundings."""
        classes = self.component.draw([w[None] for w in self.weights], np.zeros(n, np.int64), rng)
        return self._codes(classes, np.full((n, len(self.columns)), -1, np.int32), rng)

    def repair(self, codes: Codes, fixed: Bools, rng: np.random.Generator) -> Codes:
        """(rows, columns) codes of possible rows that have as many of each row's classes as any, and all of the fixed ones. A row
        of which the fixed ones are impossible stays as it is."""
        patterns, which = self._patterns(codes, fixed)
        classes, found = self._classes(codes), codes.copy()
        for begin in range(0, len(patterns), self._batch):
            mine = np.flatnonzero((which >= begin) & (which < begin + self._batch))
            weights = self._near(patterns[begin : begin + self._batch])
            mine = mine[self.component.is_possible(weights)[which[mine] - begin]]
            wanted = self.component.draw(weights, which[mine] - begin, rng)
            kept = np.where(wanted == classes[mine], codes[mine], -1).astype(np.int32)
            found[mine] = self._codes(wanted, kept, rng)
        return found

    def is_completable(self, codes: Codes, fixed: Bools) -> Bools:
        """(rows,) True where the fixed codes of a row are those of a possible one."""
        patterns, which = self._patterns(np.where(fixed, codes, 0).astype(np.int32), fixed)
        batches = range(0, len(patterns), self._batch)
        left = [self.component.is_possible(self._near(patterns[begin : begin + self._batch])) for begin in batches]
        return np.asarray(np.concatenate([*left, np.zeros(0, bool)])[which])

    @property
    def _batch(self) -> int:
        return max(1, min(BATCH, BATCH_CELLS // max(step.table.size for step in self.component.steps)))

    def apportion(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """(rows, columns) codes of as many rows of each combination as `draw` gives, alike to those given as far as that goes."""
        classes = self._classes(codes)
        wanted = self.component.draw([w[None] for w in self.weights], np.zeros(len(codes), np.int64), rng)
        goal = np.empty_like(wanted)
        goal[np.lexsort(classes.T[::-1])] = wanted[np.lexsort(wanted.T[::-1])]
        return self._codes(goal, np.where(goal == classes, codes, -1).astype(np.int32), rng)

    def _patterns(self, codes: Codes, fixed: Bools) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """((patterns, 2 * columns) different classes and which of them are fixed, (rows,) the pattern of each row)"""
        found, which = np.unique(np.hstack([self._classes(codes), fixed]), axis=0, return_inverse=True)
        return found, which.ravel()

    def _near(self, patterns: NDArray[np.int64]) -> list[Floats]:
        """Weights by which combinations that share more classes with a pattern come first, and by which fixed ones stay."""
        k, found = len(self.columns), []
        for at in range(k):
            same = np.arange(self.component.sizes[at])[None] == patterns[:, [at]]
            fixed = patterns[:, [k + at]].astype(bool)
            weight = np.maximum(self.weights[at] / max(self.weights[at].max(), NOWHERE), NOWHERE)
            found.append(np.where(same, KEPT, np.where(fixed, 0.0, weight[None])))
        return found

    def _classes(self, codes: Codes) -> NDArray[np.int64]:
        return np.stack([own[codes[:, i]] for i, own in enumerate(self.component.classes)], 1)

    def _codes(self, classes: NDArray[np.int64], kept: Codes, rng: np.random.Generator) -> Codes:
        """Codes of these classes; kept: those that stay, else -1."""
        found = kept.copy()
        for i, own in enumerate(self.component.classes):
            new = kept[:, i] < 0
            order = np.argsort(own, kind="stable")
            reach = np.cumsum(self.inside[i][order])
            first = np.searchsorted(own[order], np.arange(self.component.sizes[i] + 1))
            start, wanted = np.concatenate([[0.0], reach])[first], classes[new, i]
            at = start[wanted] + rng.random(len(wanted)) * (start[wanted + 1] - start[wanted])
            place = np.clip(np.searchsorted(reach, at, side="right"), first[wanted], first[wanted + 1] - 1)
            found[new, i] = order[place]
        return found


def _fitted(component: Component, margins: list[Floats], precision: Floats) -> tuple[list[Floats], list[Floats]]:
    """(weights, margins): weights of classes with which all possible combinations have these margins: iterative proportional
    fitting (Deming, Stephan 1940).

    Noisy margins contradict each other where constraints tie columns together. All are fitted at once, each by its precision, which
    sum to 1, so that what comes out is a compromise between them.
    """
    weights = [margin.copy() for margin in margins]
    now = component.margins([w[None] for w in weights])
    for _ in range(FITTING_ROUNDS):
        before = now
        for at, (margin, share) in enumerate(zip(margins, precision, strict=True)):
            ratio = np.maximum(margin, NOWHERE) / np.maximum(now[at], NOWHERE)
            weights[at] = weights[at] * np.where(now[at] > 0, ratio**share, 1.0)
            # never 0: margins that contradict each other would end in 0 / 0
            weights[at] = np.maximum(weights[at] / weights[at].max(), NOWHERE)
        now = component.margins([w[None] for w in weights])
        if max(np.abs(a - b).max() for a, b in zip(now, before, strict=True)) < CLOSE:
            break
    return weights, now
