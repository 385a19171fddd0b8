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
FITTING_ROUNDS = 500  # of proportional fitting; most are done by then
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
        rows = rows.copy()
        for tied in self.tied:
            own = rows[:, tied.columns]
            wrong = np.flatnonzero(~tied.holds(own))
            if len(wrong):
                fixed = (
                    np.zeros((len(wrong), len(tied.columns)), bool) if known is None else known[wrong][:, tied.columns]
                )
                rows[np.ix_(wrong, np.array(tied.columns))] = tied.repair(own[wrong], fixed, rng)
        return rows

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
    """A component. columns: places. chances: (combinations,) share of each of its combinations of classes. inside: of each column
    (codes,) share of each code within its class."""

    columns: tuple[int, ...]
    component: Component
    chances: Floats
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
        chances = _fitted(component.possible, [m / m.sum() for m in mass], precision / precision.sum())
        return cls(columns, component, chances, inside)

    def code_shares(self, at: int) -> Floats:
        """(codes,) of one of its columns."""
        mass = np.bincount(self.component.possible[:, at], self.chances, self.component.sizes[at])
        found = self.inside[at] * mass[self.component.classes[at]]
        return np.asarray(found / found.sum())

    def holds(self, codes: Codes) -> Bools:
        """(rows,) True for codes whose combination of classes is possible."""
        return np.isin(_as_keys(self._classes(codes)), self._keys)

    def draw(self, n: int, rng: np.random.Generator) -> Codes:
        """(n, columns) codes: as many rows of each combination as its share says, up to chance of one, in random order."""
        chosen = rng.permutation(np.repeat(np.arange(len(self.chances)), self._counts(n, rng)))
        return self._codes(self.component.possible[chosen], np.full((n, len(self.columns)), -1, np.int32), rng)

    def repair(self, codes: Codes, fixed: Bools, rng: np.random.Generator) -> Codes:
        """(rows, columns) codes: the classes that agree with most of a row's, one of these by its share."""
        classes, found = self._classes(codes), codes.copy()
        patterns, which = np.unique(np.hstack([classes, fixed]), axis=0, return_inverse=True)
        order = np.argsort(which.ravel(), kind="stable")
        starts = np.searchsorted(which.ravel()[order], np.arange(len(patterns) + 1))
        k = len(self.columns)
        for p, pattern in enumerate(patterns):
            mine = order[starts[p] : starts[p + 1]]
            same = self.component.possible == pattern[:k]
            allowed = np.flatnonzero(same[:, pattern[k:].astype(bool)].all(1))
            if len(allowed) == 0:
                continue
            agree = same[allowed].sum(1)
            best = allowed[agree == agree.max()]
            chance = self.chances[best] + NOWHERE
            wanted = self.component.possible[rng.choice(best, len(mine), p=chance / chance.sum())]
            kept = np.where(wanted == classes[mine], codes[mine], -1)
            found[mine] = self._codes(wanted, kept.astype(np.int32), rng)
        return found

    def apportion(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """(rows, columns) codes with as many rows of each combination as `draw` gives."""
        classes = self._classes(codes)
        every = np.unique(np.vstack([self.component.possible, classes]), axis=0, return_inverse=True)[1].ravel()
        place = np.full(every.max() + 1, -1, np.int64)
        place[every[: len(self.chances)]] = np.arange(len(self.chances))
        held = place[every[len(self.chances) :]]
        wanted = self._counts(len(codes), rng)
        order = rng.permutation(len(codes))
        order = order[np.argsort(held[order], kind="stable")]
        rank = np.arange(len(codes)) - np.searchsorted(held[order], held[order])  # among rows of the same combination
        moved = order[(held[order] < 0) | (rank >= wanted[held[order]])]
        lacking = np.repeat(
            np.arange(len(wanted)), np.maximum(wanted - np.bincount(held[held >= 0], minlength=len(wanted)), 0)
        )
        moved = moved[np.lexsort(classes[moved].T[::-1])]  # like to like, as far as it goes
        lacking = lacking[np.lexsort(self.component.possible[lacking].T[::-1])]
        goal = self.component.possible[lacking]
        found = codes.copy()
        found[moved] = self._codes(goal, np.where(goal == classes[moved], codes[moved], -1).astype(np.int32), rng)
        return found

    def _counts(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """(combinations,) rows of n, rounded up or down by chance so that each is right on average."""
        reach = np.concatenate([[0.0], np.cumsum(self.chances)])
        return np.asarray(np.diff(np.floor(reach / reach[-1] * n + rng.random()).astype(np.int64)))

    def completions(self, codes: Codes, fixed: Bools) -> Bools:
        """(rows,) True where some possible combination has the classes of the fixed cells."""
        classes = self._classes(np.maximum(codes, 0))
        patterns, which = np.unique(np.hstack([np.where(fixed, classes, -1), fixed]), axis=0, return_inverse=True)
        k = len(self.columns)
        ok = [bool((self.component.possible == row[:k])[:, row[k:].astype(bool)].all(1).any()) for row in patterns]
        return np.array(ok, bool)[which.ravel()]

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

    @cached_property
    def _keys(self) -> NDArray[np.void]:
        return _as_keys(self.component.possible)


def _as_keys(classes: NDArray[np.int64]) -> NDArray[np.void]:
    """(rows,) one comparable value for each row."""
    rows = np.ascontiguousarray(classes, np.int64)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _fitted(possible: NDArray[np.int64], margins: list[Floats], weights: Floats) -> Floats:
    """(combinations,) shares with these margins: iterative proportional fitting (Deming, Stephan 1940) from independent columns.

    Noisy margins contradict each other where constraints tie columns together. All are fitted at once, each by its weight, so that
    what comes out is a compromise between them: weights sum to 1.
    """
    chances = np.prod([margin[possible[:, i]] for i, margin in enumerate(margins)], axis=0)
    chances = chances / max(chances.sum(), 1e-300)
    for _ in range(FITTING_ROUNDS):
        before, change = chances, np.zeros(len(possible))
        for i, (margin, weight) in enumerate(zip(margins, weights, strict=True)):
            now = np.bincount(possible[:, i], chances, len(margin))
            ratio = np.log(np.maximum(margin, NOWHERE)) - np.log(np.maximum(now, NOWHERE))
            change += weight * ratio[possible[:, i]]
        chances = chances * np.exp(change)
        chances = chances / max(chances.sum(), 1e-300)
        if np.abs(chances - before).sum() < 1e-9:
            break
    return np.asarray(chances)
