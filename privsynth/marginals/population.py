"""The marginal model that all trainers share: synthetic records fitted to noisy tables that were measured once.

A population of synthetic records starts from independent columns and is annealed towards the released tables, cell by cell.
The weight of a table is its signal, what it says beyond simpler ones, divided by its noise variance, so that a noisy table
without signal weighs little: that keeps noise out of the records. All of this is post-processing; `measure` measures the
tables.

The shares of single codes are the model's own, `MarginalModel.shares`: rows that leave have them exactly, whatever else they
follow. They are the released ones, which the records that fit all tables best may move by no more than their noise.
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
from privsynth.marginals.answers import LARGEST_SHARE, LARGEST_SIGMA, MAX_TABLES, Tables, from_tensors, to_tensors
from privsynth.marginals.choice import MAX_COLUMNS
from privsynth.parallel import ReportShare, in_blocks
from privsynth.privacy.unit import MAX_WAYS
from privsynth.progress import Progress, silent

if TYPE_CHECKING:
    from privsynth.marginals.gibbs import Energy, Layout

# of the share of a code: over its noise variance, but at least over its number of rows, or the noise of cells that should be
# empty, which only adds rows, fills up rare codes. 30 for the latter: .42 % became .48 %; 100: .45 %; tvd3 alike
ONE_WAY_WEIGHT, RELATIVE_WEIGHT = 30.0, 100.0
CANDIDATES = 32  # rows looked at for each that a code has too many: with 8 tvd2 of Adult was .6 % higher, with one 1 %
MIN_WEIGHT = 16.0  # of a table with little signal: it was denoised before, so what is left is followed closely
CALIBRATION_SWEEPS = 8  # of rows that a network made
# inverse temperature of the first sweep: tvd3 came out lower by 1 to 7 % than with 1 throughout
CALIBRATION_START = 0.05
FEWER_SWEEPS = 3  # of more rows than LONG, where time matters: tvd3 is 5 % higher than with four
RESAMPLING_SWEEPS = 3  # of records that were fitted already: with two tvd3 was 1.5 % higher at epsilon 1
# leaves one record in 2,000 as it was, and tvd3 unchanged; with an inverse temperature of 1 throughout most stayed
RESAMPLING_START = 0.05
MOST_FORCE = 8.0  # on one cell, in units of log odds
POPULATION_START = 0.02  # inverse temperature of the first sweep
MIN_FITTED = 2_000  # rows
LARGEST = 100_000  # synthetic records of a population
LONG = 160_000  # rows of a sample: above what is drawn for LARGEST rows in a table's mix of strata
SHORT = 110_000  # rows of a sample in which chance shows: above what is drawn for 70,000 in a table's mix of strata
POOL, NETWORK_POOL = 320_000, 160_000  # rows that a sample is balanced against, about; those of a network take longer
POOL_CODES = 16_000_000  # of all columns, about: for memory
MAX_LOOKUPS = 250_000_000  # of a wide table: rows times tables of each column in a sweep, of about 25 ns each
MAX_OVERSAMPLING = 8  # times the sample's own rows: with four tvd3 came out 1 % higher
TRIPLES, TRIPLE_CELLS = 1_200, 16_000_000  # that it is balanced by, and their cells, at most
TRIPLE_SIGMA = 2.0  # rows of noise, which set their weight: with four tvd3 came out 1 % higher
LARGEST_SIGNAL, LARGEST_SIGNAL_WEIGHT = 1e9, 1e3  # of tables that are loaded, as `LARGEST_SHARE`
WALL = (
    1e12  # energy of what no row has: far beyond that of all tables together, also at the start, when rows are far off
)
BLOCK = 50_000  # rows that are fitted together: two blocks of 20,000 came out worse than one of 40,000, 40,000 as well as 80,000


def annealed(sweeps: int, start: float) -> list[float]:
    """Inverse temperature of each sweep: it rises by equal factors from start to 1, and stays there for the last fifth."""
    rising = max(1, round(0.8 * sweeps) - 1)
    return [start ** (1 - min(1.0, turn / rising)) for turn in range(sweeps)]


def whole_counts(shares: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """(codes,) n * share of each code, rounded up or down by chance so that it is right on average; n in sum."""
    reach = np.concatenate([[0.0], np.cumsum(shares)])
    reach = reach / reach[-1] * n + rng.random()
    return np.asarray(np.diff(np.floor(reach)), np.int64)


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
    """One released table for synthetic records to follow. columns: two to four; numbers from the number of columns on stand for
    groups of codes.

    share: released share of each cell, one axis for each column. sigma: its noise. signal: squared distance of the table
    from what simpler tables lead to, less noise. certain: its cells are met, not only come near to: see `force`.

    force: energy that a row has in each cell besides, as learnt with a population; None before, and where none is needed. What
    pulls counts towards a target leaves them short of it by the force it takes to hold them there, which of cells that are
    empty is all of it: half of the men that independence puts into an obstetric ward stayed. As in the method of multipliers
    (Hestenes 1969; Powell 1969) that force is added to the energy, so that nothing is short any more.
    """

    columns: tuple[int, ...]
    share: np.ndarray
    sigma: float
    signal: float
    certain: bool = False
    force: np.ndarray | None = None

    def weight(self, n: int, signal_weight: float) -> float:
        """Weight in the energy of n rows."""
        return float(max(signal_weight * n * self.signal, MIN_WEIGHT) / max(self.sigma * n, 0.5) ** 2)


@dataclass(frozen=True)
class MarginalModel:
    """The target marginals and what it takes to fit rows to them.

    signal_weight: how much signal weighs against noise, from epsilon. groups: {column: (codes,) group of each code}. answers: the
    pairs as they were measured in full, which nothing is fitted to: `suggest` reads them.
    """

    codec: Codec
    targets: tuple[TargetMarginal, ...]
    signal_weight: float
    groups: dict[int, np.ndarray] = field(default_factory=dict)
    answers: Tables = field(default_factory=dict)

    @property
    def shares(self) -> list[np.ndarray]:
        """(codes,) for each column the share of rows that each code has in the model, and in every sample but for rounding; in
        one of fewer than MIN_FITTED rows but for chance. Where a unit has several rows: of rows that weigh as in training.
        """
        return [column.shares for column in self.codec.columns]

    @property
    def natural_size(self) -> int:
        """Rows of a population: as many as the table is known to have, within what a machine fits in minutes."""
        rows = self.codec.domain.rows or round(self.codec.total)
        most = min(LARGEST, self._affordable)
        return int(np.clip(rows * (1.5 if self.codec.domain.stratified else 1), MIN_FITTED, most))

    @property
    def _affordable(self) -> int:
        """How many rows can be moved together in a time that does not depend on how many tables a wide table has."""
        lookups = sum(len(target.columns) for target in self.targets)
        return max(MIN_FITTED, MAX_LOOKUPS // max(1, lookups)) if len(self.codec.sizes) > MAX_COLUMNS else POOL

    def independent(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n, columns) rows of independent columns, each as released, but for what constraints tie together."""
        columns = [rng.choice(len(shares), n, p=shares / shares.sum()) for shares in self.shares]
        return self.codec.possible.start(np.stack(columns, 1).astype(np.int32), rng)

    def population(self, n: int, rng: np.random.Generator, sweeps: int, progress: Progress = silent) -> np.ndarray:
        """(n, columns) synthetic records, annealed from independent columns towards the released tables.

        Tables that hang together tell more of a share than those of one column do, so here it may move: see `settled`.
        """
        return self.fitted(n, rng, sweeps, progress)[1]

    def fitted(
        self, n: int, rng: np.random.Generator, sweeps: int, progress: Progress = silent
    ) -> tuple[MarginalModel, np.ndarray]:
        """A population, and the model with the forces that hold its cells where tables are certain, as well as with its shares."""
        schedule, learnt = annealed(sweeps, POPULATION_START), dict[int, np.ndarray]()
        rows = self._in_blocks(
            self.independent(n, rng), schedule, rng, lambda s: progress("fitting synthetic records", s), learnt
        )
        force = np.mean([learnt[block] for block in sorted(learnt)], axis=0)
        targets = (
            replace(target, force=force[cells][-target.share.size :].reshape(target.share.shape))
            if target.certain
            else target
            for target, cells in zip(self.targets, self._layout.tables, strict=False)  # walls come behind them
        )
        return replace(self, targets=tuple(targets)).settled(rows), rows

    def settled(self, population: np.ndarray) -> MarginalModel:
        """The model with the shares of a population of its own, each moved by one standard deviation of its noise at most."""
        tied = {j for own in self.codec.possible.tied for j in own.columns}
        columns = []
        for j, (column, codes) in enumerate(zip(self.codec.columns, population.T, strict=True)):
            old = column.shares
            moved = np.bincount(codes, minlength=column.size) / len(population) - old
            if j not in tied:  # else the shares of all of them have to agree: they are those of the population
                moved = np.clip(moved, -column.noise, column.noise)
            new = np.where(old > 0, np.maximum(old + moved, 0), 0)
            columns.append(column.with_density(new / new.sum()))
        return replace(self, codec=replace(self.codec, columns=tuple(columns)))

    def calibrated(
        self, rows: np.ndarray, rng: np.random.Generator, progress: Progress = silent, n: int | None = None
    ) -> np.ndarray:
        """Rows that a network made, moved towards the released tables; what they say beyond these is mostly kept.

        n: the size of the sample that they are for, if there are more of them.
        """
        schedule = annealed(CALIBRATION_SWEEPS if (n or len(rows)) <= LONG else FEWER_SWEEPS, CALIBRATION_START)
        return self._moved(rows, schedule, rng, lambda s: progress("calibrating", s))

    def resampled(self, rows: np.ndarray, rng: np.random.Generator, progress: Progress = silent) -> np.ndarray:
        """New records from copies of fitted ones: each cell is redrawn, so that hardly any record stays the same."""
        return self._moved(
            rows, annealed(RESAMPLING_SWEEPS, RESAMPLING_START), rng, lambda s: progress("calibrating", s)
        )

    def oversampling_factor(self, n: int, pool: int = POOL) -> int:
        """How many times n rows to draw for `balanced`: once where a sample is so large that sampling error hardly matters, or
        so small that it is drawn at random from MIN_FITTED fitted rows."""
        columns = len(self.codec.sizes)
        if not MIN_FITTED < n <= SHORT or columns < 3:
            return 1
        return max(2, min(MAX_OVERSAMPLING, pool // n, POOL_CODES // (n * columns), self._affordable // n))

    def balanced(self, rows: np.ndarray, n: int, rng: np.random.Generator, progress: Progress = silent) -> np.ndarray:
        """The first n of rows, moved so that their tables of three columns come closer to those of all rows.

        Which of many equally likely rows a sample of n holds is chance, and in tables of three columns that is a large
        part of the error. It goes down as in a balanced sample of a survey (Deville and Tille 2004), here by redrawing
        every cell once with such tables, counted in all rows, as targets beside the released ones.
        """
        if len(rows) <= n or self.oversampling_factor(n) == 1:
            return rows[:n]
        targets = self.targets + tuple(self._triples(rows, n, rng))
        return replace(self, targets=targets)._moved(rows[:n], [1.0], rng, lambda s: progress("balancing", s))

    def _triples(self, rows: np.ndarray, n: int, rng: np.random.Generator) -> Iterator[TargetMarginal]:
        """Tables of three columns as counted in rows, for n rows to follow: all, or as many as fit, chosen at random."""
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

    def _moved(
        self, rows: np.ndarray, schedule: list[float], rng: np.random.Generator, report: ReportShare
    ) -> np.ndarray:
        """Rows after these sweeps. Large samples are moved in independent blocks; a small one is filled up with rows of its
        own and moved together with these."""
        if len(rows) == 0:
            return rows
        more = max(0, MIN_FITTED - len(rows))
        filled = np.concatenate([rows, rows[rng.integers(0, len(rows), more)]])
        return self._in_blocks(filled, schedule, rng, report)[: len(rows)]

    def _in_blocks(
        self,
        rows: np.ndarray,
        schedule: list[float],
        rng: np.random.Generator,
        report: ReportShare,
        learnt: dict[int, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Rows fitted in independent blocks. Each ends with the model's shares, unless learnt is given, which gets its forces."""
        count = blocks_of(len(rows))
        blocks, rngs = np.array_split(rows, count), rng.spawn(count)
        walls = [np.where(wall.cells, WALL, 0.0) for wall in self.codec.walls if len(wall.columns) > 1]
        wanted = self._layout.flat([*(target.share for target in self.targets), *walls])

        def fitted(i: int, own: ReportShare) -> np.ndarray:
            rows, force = self._fitted(blocks[i], wanted, schedule, rngs[i], own, learnt is None)
            if learnt is not None:
                learnt[i] = force
            return rows

        return in_blocks(fitted, count, report)

    def _fitted(
        self,
        rows: np.ndarray,
        wanted: np.ndarray,
        schedule: list[float],
        rng: np.random.Generator,
        progress: ReportShare,
        keeping: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows after these sweeps, and the forces on the tables' cells. wanted: the target marginals' shares, laid out."""
        from privsynth.marginals.gibbs import Blocks, Views, rake, sweep

        n, d, entries = len(rows), len(self.codec.sizes), self._layout.entries
        views = Views(self._sizes, self._offset, *self._coarse)
        viewed = np.ascontiguousarray(
            np.hstack([rows, *(self.groups[j][rows[:, [j]]] for j in sorted(self.groups))]), np.int32
        )
        blocks = Blocks.of([tied.columns for tied in self.codec.possible.tied])
        force, certain = self._force(), self._certain() and not keeping
        for turn, inverse_temperature in enumerate(schedule):
            energy = self._energy(viewed, wanted)  # counted afresh each sweep, so that float32 sums do not drift
            if turn and certain:
                self._learn(force, energy, inverse_temperature)
            # forces are not annealed: what is learnt in one sweep would be too much in the next
            energy.residual[:] += force / np.float32(1 if keeping else inverse_temperature)
            order, seed = rng.permutation(n), int(rng.integers(2**31))
            sweep(viewed, order, views, entries, energy, blocks, np.float32(inverse_temperature), seed)
            progress((turn + 1) / len(schedule))
        if keeping:
            surplus = self._counts(viewed) - np.concatenate([whole_counts(shares, n, rng) for shares in self.shares])
            rake(viewed, surplus, views, entries, energy, CANDIDATES, np.float32(WALL / 2), int(rng.integers(2**31)))
        return viewed[:, :d].copy(), force

    def _certain(self) -> bool:
        return any(target.certain for target in self.targets)

    def _force(self) -> np.ndarray:
        """The forces on the tables' cells, laid out."""
        none = np.float32(0)
        forces = [np.broadcast_to(none, t.share.shape) if t.force is None else t.force for t in self.targets]
        walls = [np.broadcast_to(none, wall.cells.shape) for wall in self.codec.walls if len(wall.columns) > 1]
        return self._layout.flat([*forces, *walls])

    def _learn(self, force: np.ndarray, energy: Energy, inverse_temperature: float) -> None:
        """Adds to the forces what the last sweep's rows were short of in cells of tables that are certain."""
        for target, cells in zip(self.targets, self._layout.tables, strict=False):  # walls come behind them
            if target.certain:
                more = force[cells] + np.float32(inverse_temperature) * energy.residual[cells]
                force[cells] = np.clip(more, -MOST_FORCE, MOST_FORCE)

    def _energy(self, viewed: np.ndarray, wanted: np.ndarray) -> Energy:
        """What rows cost, by the tables' shares and the walls, laid out."""
        from privsynth.marginals.gibbs import Energy

        n, layout = len(viewed), self._layout
        weights = np.array([target.weight(n, self.signal_weight) for target in self.targets], np.float32)
        residual = layout.count(viewed)
        followed = layout.tables[: len(self.targets)]
        for weight, cells in zip(weights, followed, strict=True):  # table by table, which spares large arrays
            residual[cells] = (residual[cells] - n * wanted[cells]) * weight
        weights = np.append(
            weights, np.zeros(len(layout.tables) - len(self.targets), np.float32)
        )  # a wall stays where it is
        for cells in layout.tables[len(self.targets) :]:
            residual[cells] = wanted[cells]
        share1 = np.concatenate(self.shares)
        noise1 = np.concatenate([c.noise for c in self.codec.columns]) * n
        weight1 = np.maximum(ONE_WAY_WEIGHT / np.maximum(noise1, 1) ** 2, RELATIVE_WEIGHT / (n * share1 + 1))
        residual1 = (weight1 * (self._counts(viewed) - n * share1)).astype(np.float32)
        return Energy(weights[layout.table], residual, weight1.astype(np.float32), residual1, share1.astype(np.float32))

    def _counts(self, viewed: np.ndarray) -> np.ndarray:
        """(width,) int64 rows of each code of each column."""
        d, width = len(self.codec.sizes), sum(self.codec.sizes)
        return np.bincount((viewed[:, :d] + self._offset).ravel(), minlength=width)

    @cached_property
    def _offset(self) -> np.ndarray:
        """(columns,) where each column starts in arrays of all codes."""
        return np.concatenate([[0], np.cumsum(self.codec.sizes)[:-1]]).astype(np.int64)

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

        walls = [wall.columns for wall in self.codec.walls if len(wall.columns) > 1]
        return Layout.of(tuple(self._sizes.tolist()), [*(target.columns for target in self.targets), *walls])

    def tensors(self) -> Tensors:
        columns = np.full((len(self.targets), MAX_WAYS), -1, np.int32)
        for line, target in zip(columns, self.targets, strict=True):
            line[: len(target.columns)] = target.columns
        return (
            {
                "goal": np.concatenate([*(each.share.ravel() for each in self.targets), np.zeros(0)]).astype(
                    np.float32
                ),
                "goal_columns": columns,
                "goal_sigma": np.array([target.sigma for target in self.targets]),
                "goal_signal": np.array([target.signal for target in self.targets]),
                "strength": np.array([self.signal_weight]),
            }
            | ({"goal_force": self._saved_force()} if any(t.force is not None for t in self.targets) else {})
            | {f"groups.{j}": group.astype(np.int32) for j, group in self.groups.items()}
            | to_tensors(self.answers)
        )

    def _saved_force(self) -> np.ndarray:
        """Of each cell of each table, in the order of `goal`; zero where none was learnt."""
        forces = (np.zeros(t.share.size) if t.force is None else t.force.ravel() for t in self.targets)
        return np.concatenate(list(forces)).astype(np.float32)

    @classmethod
    def restore(cls, codec: Codec, tensors: Tensors) -> MarginalModel:
        """From what `tensors` returned. Raises Damaged."""
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
        weight = take(tensors, "strength", "float64", (1,), 0.0, LARGEST_SIGNAL_WEIGHT)
        shares = np.split(share, np.cumsum(cells)[:-1]) if cells else []
        forces: list[np.ndarray | None] = [None] * len(tables)
        if "goal_force" in tensors:
            force = take(tensors, "goal_force", "float32", (sum(cells),), -MOST_FORCE, MOST_FORCE)
            parts = np.split(force, np.cumsum(cells)[:-1]) if cells else []
            forces = [own.reshape(shape) for own, shape in zip(parts, shapes, strict=True)]
        targets = (
            TargetMarginal(columns, part.reshape(shape), float(s), float(g), force=own)
            for columns, part, shape, s, g, own in zip(tables, shares, shapes, sigma, signal, forces, strict=True)
        )
        return cls(codec, tuple(targets), float(weight[0]), groups, from_tensors(tensors, codec.sizes))


def _tables(tensors: Tensors, views: int) -> list[tuple[int, ...]]:
    """Columns, or groups of some, of each released table. Raises Damaged."""
    lines = take(tensors, "goal_columns", "int32", (None, MAX_WAYS), -1, views - 1)
    if len(lines) > MAX_TABLES:
        raise Damaged(f"tensor `goal_columns` names more than {MAX_TABLES:,} tables")
    tables = [tuple(c for c in line if c >= 0) for line in lines.tolist()]
    distinct = len({frozenset(columns) for columns in tables}) == len(tables)
    if not distinct or any(len(columns) < 2 or len(set(columns)) < len(columns) for columns in tables):
        raise Damaged(f"tensor `goal_columns` must name tables of two to {MAX_WAYS} different columns, each table once")
    return tables
