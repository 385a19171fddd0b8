"""The anchor that all trainers share: populations of whole rows fitted to noisy tables that were bought once.

A population starts from independent columns and is annealed towards the released tables, cell by cell. A table pulls
with what it says beyond simpler ones, divided by its noise variance, so that a noisy table without signal pulls little:
that keeps noise out of the rows. All of this is post-processing; `measure` buys the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from math import comb, prod
from typing import TYPE_CHECKING

import numpy as np

from privsynth.encoding.codec import Codec
from privsynth.loading import Damaged, Tensors, take
from privsynth.parallel import ReportShare, in_blocks
from privsynth.privacy.unit import MOST_WAYS
from privsynth.progress import Progress, silent

if TYPE_CHECKING:
    from privsynth.marginals.gibbs import Layout

ONE_WAY_WEIGHT = 30.0
LEAST_WEIGHT = 16.0  # of a table that says little: its noise was taken out before, so what is left is followed closely
LIVE_SWEEPS = 8  # of rows that a network made
LIVE_START = 0.05  # from here tvd3 came out lower by 1 to 7 % than at full strength throughout
FEWER_SWEEPS = 3  # of more rows than LONG, where time counts: tvd3 5 % above what four leave
COPY_SWEEPS = 3  # of rows of a population that was fitted already: with two tvd3 was 1.5 % higher at epsilon 1
COPY_START = 0.05  # leaves one row in 2,000 as it was, and tvd3 too; at full strength throughout most stayed
POPULATION_START = 0.02
LEAST_FITTED = 2_000  # rows
LARGEST = 100_000  # rows of a population
LONG = 160_000  # rows of a sample: above what is drawn for LARGEST rows in a table's mix of strata
SHORT = 110_000  # rows of a sample in which chance shows: above what is drawn for 70,000 in a table's mix of strata
POOL, NETWORK_POOL = 320_000, 160_000  # rows that a sample is balanced against, about; of a network each takes longer
POOL_CODES = 16_000_000  # of all columns, about: for memory
MOST_TIMES = 8  # its own number, at most: with four tvd3 came out 1 % higher
TRIPLES, TRIPLE_CELLS = 1_200, 16_000_000  # that it is balanced by, and their cells, at most
TRIPLE_SIGMA = 2.0  # rows of noise that they pull as if they had: with four tvd3 came out 1 % higher
# of tables that are loaded: whatever is computed of them stays finite in single precision, which kernels rely on
MOST_GOALS, LARGEST_SHARE, LARGEST_SIGMA, LARGEST_SIGNAL, LARGEST_STRENGTH = 30_000, 1e6, 1e9, 1e9, 1e3
BLOCK = 50_000  # rows that are fitted together: two blocks of 20,000 came out worse than one of 40,000, 40,000 as well as 80,000


def annealed(sweeps: int, start: float) -> list[float]:
    """Warmth of each sweep: it rises by equal factors from start to 1, and stays there for the last fifth."""
    warm = max(1, round(0.8 * sweeps) - 1)
    return [start ** (1 - min(1.0, turn / warm)) for turn in range(sweeps)]


def blocks_of(n: int) -> int:
    """In how many blocks n rows are fitted."""
    return max(1, -(-n // BLOCK))


def some_triples(columns: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Sets of three of so many columns in random order: all, or about TRIPLES of them."""
    if comb(columns, 3) <= TRIPLES:
        every = np.array(list(combinations(range(columns), 3)))
    else:
        every = np.unique(np.sort(rng.random((2 * TRIPLES, columns)).argsort(1)[:, :3], 1), axis=0)
    return [(int(a), int(b), int(c)) for a, b, c in rng.permutation(every)[:TRIPLES]]


@dataclass(frozen=True)
class TargetMarginal:
    """One released table. columns: two to four; from the number of columns on, they stand for groups of codes.

    share: released share of each cell, one axis a column. sigma: its noise. signal: squared distance of the table from
    what simpler tables say, noise taken off: what it has to say.
    """

    columns: tuple[int, ...]
    share: np.ndarray
    sigma: float
    signal: float

    def weight(self, n: int, strength: float) -> float:
        """Pull on a population of n rows."""
        return float(max(strength * n * self.signal, LEAST_WEIGHT) / max(self.sigma * n, 0.5) ** 2)


@dataclass(frozen=True)
class MarginalModel:
    """strength: how much signal counts against noise, from epsilon. groups: {column: (codes,) group of each code}."""

    codec: Codec
    targets: tuple[TargetMarginal, ...]
    strength: float
    groups: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def natural_size(self) -> int:
        """Rows of a population: as many as the table is known to have, within what a machine fits in minutes."""
        rows = self.codec.domain.rows or round(self.codec.total)
        return int(np.clip(rows * (1.5 if self.codec.domain.stratified else 1), LEAST_FITTED, LARGEST))

    def independent(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n, columns) rows of independent columns, each as released."""
        columns = [rng.choice(c.size, n, p=c.shares / c.shares.sum()) for c in self.codec.columns]
        return np.stack(columns, 1).astype(np.int32)

    def population(self, n: int, rng: np.random.Generator, sweeps: int, progress: Progress = silent) -> np.ndarray:
        """(n, columns) rows annealed from independence to the released tables."""
        schedule = annealed(sweeps, POPULATION_START)
        return self._in_blocks(self.independent(n, rng), schedule, rng, lambda s: progress("fitting a population", s))

    def calibrated(
        self, rows: np.ndarray, rng: np.random.Generator, progress: Progress = silent, n: int | None = None
    ) -> np.ndarray:
        """Rows that a network made, moved towards the released tables; what they say beyond those is mostly kept.

        n: the size of the sample that they are for, if they are more.
        """
        schedule = annealed(LIVE_SWEEPS if (n or len(rows)) <= LONG else FEWER_SWEEPS, LIVE_START)
        return self._moved(rows, schedule, rng, lambda s: progress("calibrating", s))

    def resampled(self, rows: np.ndarray, rng: np.random.Generator, progress: Progress = silent) -> np.ndarray:
        """Copies of rows that were fitted already, moved so that they are rows of their own."""
        return self._moved(rows, annealed(COPY_SWEEPS, COPY_START), rng, lambda s: progress("calibrating", s))

    def times(self, n: int, pool: int = POOL) -> int:
        """How many times n rows to draw, for `balanced`: once where a sample is so large that chance hardly shows, or so
        small that it is one of LEAST_FITTED rows or cut out of them by chance."""
        columns = len(self.codec.sizes)
        if not LEAST_FITTED < n <= SHORT or columns < 3:
            return 1
        return max(2, min(MOST_TIMES, pool // n, POOL_CODES // (n * columns)))

    def balanced(self, rows: np.ndarray, n: int, rng: np.random.Generator, progress: Progress = silent) -> np.ndarray:
        """The first n of rows, moved so that three columns together come more nearly as often as in all of them.

        Which of many equally likely rows a sample of n holds is chance, and in tables of three columns that is a large
        part of the error. It goes down as in a balanced sample of a survey (Deville and Tille 2004), here by redrawing
        every cell once with such tables, counted in all rows, as goals beside the released ones.
        """
        if len(rows) <= n or self.times(n) == 1:
            return rows[:n]
        targets = self.targets + tuple(self._triples(rows, n, rng))
        return replace(self, targets=targets)._moved(rows[:n], [1.0], rng, lambda s: progress("balancing", s))

    def _triples(self, rows: np.ndarray, n: int, rng: np.random.Generator) -> Iterator[TargetMarginal]:
        """Tables of three columns as counted in rows, for n rows to follow: all, or by chance as many as fit."""
        sizes, cells, sigma = self.codec.sizes, 0, TRIPLE_SIGMA * blocks_of(n) / n
        codes = np.ascontiguousarray(rows.T)
        for a, b, c in some_triples(len(sizes), rng):
            shape = (sizes[a], sizes[b], sizes[c])
            if cells + prod(shape) > TRIPLE_CELLS:
                continue
            cells += prod(shape)
            place = (codes[a].astype(np.int64) * shape[1] + codes[b]) * shape[2] + codes[c]
            counts = np.bincount(place, minlength=prod(shape))
            share = (counts / len(rows)).astype(np.float32).reshape(shape)
            yield TargetMarginal((a, b, c), share, sigma, 0.0)

    def _moved(self, rows: np.ndarray, schedule: list[float], rng: np.random.Generator, tell: ReportShare) -> np.ndarray:
        """Large samples are moved in independent blocks; a small one is moved among more rows of its own kind."""
        if len(rows) == 0:
            return rows
        more = max(0, LEAST_FITTED - len(rows))
        filled = np.concatenate([rows, rows[rng.integers(0, len(rows), more)]])
        return self._in_blocks(filled, schedule, rng, tell)[: len(rows)]

    def _in_blocks(self, rows: np.ndarray, schedule: list[float], rng: np.random.Generator, tell: ReportShare) -> np.ndarray:
        """Rows fitted in independent blocks."""
        count = blocks_of(len(rows))
        blocks, rngs = np.array_split(rows, count), rng.spawn(count)
        wanted = self._layout.flat([target_marginal.share for target_marginal in self.targets])
        return in_blocks(lambda i, told: self._fitted(blocks[i], wanted, schedule, rngs[i], told), count, tell)

    def _fitted(
        self, rows: np.ndarray, wanted: np.ndarray, schedule: list[float], rng: np.random.Generator, progress: ReportShare
    ) -> np.ndarray:
        """Rows after these sweeps. wanted: the goals' shares, laid out."""
        from privsynth.marginals.gibbs import Energy, Views, sweep

        n, d, layout = len(rows), len(self.codec.sizes), self._layout
        offset = np.concatenate([[0], np.cumsum(self.codec.sizes)[:-1]]).astype(np.int64)
        views = Views(self._sizes, offset, *self._coarse)
        viewed = np.ascontiguousarray(
            np.hstack([rows, *(self.groups[j][rows[:, [j]]] for j in sorted(self.groups))]), np.int32
        )
        weights = np.array([target_marginal.weight(n, self.strength) for target_marginal in self.targets], np.float32)
        by_entry = weights[layout.table]
        share1 = np.concatenate([c.shares for c in self.codec.columns])
        noise1 = np.concatenate([c.noise for c in self.codec.columns]) * n
        weight1 = (ONE_WAY_WEIGHT / np.maximum(noise1, 1) ** 2).astype(np.float32)
        prior = share1.astype(np.float32)
        for turn, inverse_temperature in enumerate(schedule):
            # counted afresh each sweep, so that float32 sums do not drift
            residual = layout.count(viewed)
            for weight, cells in zip(weights, layout.tables, strict=True):  # table by table, which spares large arrays
                residual[cells] = (residual[cells] - n * wanted[cells]) * weight
            flat = (viewed[:, :d] + offset).ravel()
            residual1 = (weight1 * (np.bincount(flat, minlength=len(share1)) - n * share1)).astype(np.float32)
            order = rng.permutation(n)
            energy = Energy(by_entry, residual, weight1, residual1, prior)
            seed = int(rng.integers(2**31))
            sweep(viewed, order, views, layout.entries, energy, np.float32(inverse_temperature), seed)
            progress((turn + 1) / len(schedule))
        return viewed[:, :d].copy()

    @cached_property
    def _sizes(self) -> np.ndarray:
        """(views,) codes of each column, then groups of each column that has some."""
        return np.array([*self.codec.sizes, *(self.groups[j].max() + 1 for j in sorted(self.groups))], np.int64)

    @cached_property
    def _coarse(self) -> tuple[np.ndarray, np.ndarray]:
        """(columns,) view of each column's groups or -1, (width,) group of each code."""
        d = len(self.codec.sizes)
        coarse = np.full(d, -1, np.int32)
        coarse[sorted(self.groups)] = d + np.arange(len(self.groups))
        none = [np.zeros(size, np.int32) for size in self.codec.sizes]
        return coarse, np.concatenate([self.groups.get(j, none[j]) for j in range(d)]).astype(np.int32)

    @cached_property
    def _layout(self) -> Layout:
        from privsynth.marginals.gibbs import Layout

        return Layout.of(tuple(self._sizes.tolist()), [target_marginal.columns for target_marginal in self.targets])

    def tensors(self) -> Tensors:
        columns = np.full((len(self.targets), MOST_WAYS), -1, np.int32)
        for line, target_marginal in zip(columns, self.targets, strict=True):
            line[: len(target_marginal.columns)] = target_marginal.columns
        return {
            "goal": np.concatenate([*(each.share.ravel() for each in self.targets), np.zeros(0)]).astype(np.float32),
            "goal_columns": columns,
            "goal_sigma": np.array([target_marginal.sigma for target_marginal in self.targets]),
            "goal_signal": np.array([target_marginal.signal for target_marginal in self.targets]),
            "strength": np.array([self.strength]),
        } | {f"groups.{j}": group.astype(np.int32) for j, group in self.groups.items()}

    @classmethod
    def restore(cls, codec: Codec, tensors: Tensors) -> MarginalModel:
        """What `tensors` gave. Raises Damaged."""
        groups = {
            j: take(tensors, f"groups.{j}", "int32", (size,), 0, size - 1)
            for j, size in enumerate(codec.sizes) if f"groups.{j}" in tensors
        }  # fmt: skip
        sizes = [*codec.sizes, *(int(group.max()) + 1 for group in groups.values())]
        tables = _tables(tensors, len(sizes))
        shapes = [tuple(sizes[c] for c in columns) for columns in tables]
        cells = [prod(shape) for shape in shapes]
        share = take(tensors, "goal", "float32", (sum(cells),), -LARGEST_SHARE, LARGEST_SHARE)
        sigma = take(tensors, "goal_sigma", "float64", (len(tables),), np.finfo(float).tiny, LARGEST_SIGMA)
        signal = take(tensors, "goal_signal", "float64", (len(tables),), -LARGEST_SIGNAL, LARGEST_SIGNAL)
        strength = take(tensors, "strength", "float64", (1,), 0.0, LARGEST_STRENGTH)
        shares = np.split(share, np.cumsum(cells)[:-1]) if cells else []
        targets = (
            TargetMarginal(columns, part.reshape(shape), float(s), float(g))
            for columns, part, shape, s, g in zip(tables, shares, shapes, sigma, signal, strict=True)
        )
        return cls(codec, tuple(targets), float(strength[0]), groups)


def _tables(tensors: Tensors, views: int) -> list[tuple[int, ...]]:
    """Columns, or groups of some, of each released table. Raises Damaged."""
    lines = take(tensors, "goal_columns", "int32", (None, MOST_WAYS), -1, views - 1)
    if len(lines) > MOST_GOALS:
        raise Damaged(f"tensor `goal_columns` names more than {MOST_GOALS:,} tables")
    tables = [tuple(c for c in line if c >= 0) for line in lines.tolist()]
    distinct = len({frozenset(columns) for columns in tables}) == len(tables)
    if not distinct or any(len(columns) < 2 or len(set(columns)) < len(columns) for columns in tables):
        raise Damaged(f"tensor `goal_columns` must name tables of two to {MOST_WAYS} different columns, each table once")
    return tables
