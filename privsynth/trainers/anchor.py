"""The anchor that all trainers share: noisy pairs bought once, and populations of whole rows fitted to them.

All pairs are measured by one Gaussian mechanism, and some of the noise is taken out again (`shrink`). A population then
starts from independent columns and is annealed towards the noisy counts, cell by cell. A table pulls with its signal
over independence divided by its noise variance, so that a noisy table without signal pulls little: that keeps noise out
of the rows. All fits are post-processing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from privsynth.codec import Codec
from privsynth.privacy.ledger import Run
from privsynth.privacy.mechanisms.tables import Pairs
from privsynth.privacy.unit import to_shares
from privsynth.table import PrivateTable
from privsynth.trainers.base import Progress, silent
from privsynth.trainers.shrink import shrunk

TARGET_FACTOR = 3.0  # pairs with the policy's target count so many times
SIZE_POWER = 0.33  # a table's share grows with its cells to this power
ONE_WAY_WEIGHT = 30.0
LIVE_SWEEPS = 6  # of rows that a network made
COPY_SWEEPS = 3  # of rows of a population that was fitted already
LEAST_FITTED = 2_000
BLOCK, SMALL_BLOCK = 100_000, 15_000  # rows that are fitted together: at most, and at least where cores share them


@dataclass(frozen=True)
class Anchor:
    """goal: (width, width) float32 released share of every pair of codes; sigma: (columns, columns) noise of a share.

    strength: how much signal counts against noise, from epsilon.
    """

    codec: Codec
    goal: np.ndarray
    sigma: np.ndarray
    strength: float

    @property
    def natural_size(self) -> int:
        """Rows of a population: as many as the table is known to have, within what a machine fits in minutes."""
        rows = self.codec.domain.rows or round(self.codec.total)
        return int(np.clip(rows * (1.5 if self.codec.domain.stratified else 1), 2_000, BLOCK))

    @property
    def offset(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.codec.sizes)[:-1]]).astype(np.int64)

    def independent(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n, columns) rows of independent columns, each as released."""
        columns = [rng.choice(c.size, n, p=c.shares / c.shares.sum()) for c in self.codec.columns]
        return np.stack(columns, 1).astype(np.int32)

    def population(self, n: int, rng: np.random.Generator, sweeps: int, progress: Progress = silent) -> np.ndarray:
        """(n, columns) rows annealed from independence to the noisy pairs."""
        warm = np.maximum(1, round(0.8 * sweeps) - 1)
        schedule = [0.02 * 50 ** min(1.0, turn / warm) for turn in range(sweeps)]
        return self._in_blocks(self.independent(n, rng), schedule, rng, lambda s: progress("fitting a population", s))

    def refined(
        self, rows: np.ndarray, rng: np.random.Generator, sweeps: int = LIVE_SWEEPS, progress: Progress = silent
    ) -> np.ndarray:
        """Rows moved by a few sweeps towards the noisy pairs; what they say beyond pairs is mostly kept.

        Large samples are moved in independent blocks; a small one is moved among more rows of its own kind.
        """
        if len(rows) == 0:
            return rows
        more = max(0, LEAST_FITTED - len(rows))
        filled = np.concatenate([rows, rows[rng.integers(0, len(rows), more)]])
        return self._in_blocks(filled, [1.0] * sweeps, rng, lambda s: progress("calibrating", s))[: len(rows)]

    def _in_blocks(self, rows: np.ndarray, schedule: list[float], rng: np.random.Generator, tell: Any) -> np.ndarray:
        """Rows fitted in independent blocks, as many at once as there are cores: the kernel lets go of the lock."""
        from concurrent.futures import ThreadPoolExecutor

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        count = max(-(-len(rows) // BLOCK), min(cores, len(rows) // SMALL_BLOCK), 1)
        blocks, coins = np.array_split(rows, count), rng.spawn(count)
        done = np.zeros(count)

        def work(i: int) -> np.ndarray:
            def told(share: float) -> None:
                done[i] = share
                tell(float(done.mean()))

            return self._fitted(blocks[i], schedule, coins[i], told)

        with ThreadPoolExecutor(cores) as pool:
            return np.concatenate(list(pool.map(work, range(count))))

    def _fitted(self, rows: np.ndarray, schedule: list[float], rng: np.random.Generator, progress: Any) -> np.ndarray:
        from privsynth.trainers.gibbs import pair_counts, sweep

        rows, n = np.ascontiguousarray(rows, np.int32).copy(), len(rows)
        sizes, offset = np.array(self.codec.sizes, np.int64), self.offset
        weight, cell_weight = self._weights(n)
        share1 = np.concatenate([c.shares for c in self.codec.columns])
        noise1 = np.concatenate([c.noise for c in self.codec.columns]) * n
        weight1 = (ONE_WAY_WEIGHT / np.maximum(noise1, 1) ** 2).astype(np.float32)
        prior = share1.astype(np.float32)
        for turn, warmth in enumerate(schedule):
            # counted afresh each sweep, so that float32 sums do not drift
            residual = (pair_counts(rows, offset, len(self.goal)) - n * self.goal) * cell_weight
            flat = (rows + offset).ravel()
            residual1 = (weight1 * (np.bincount(flat, minlength=len(self.goal)) - n * share1)).astype(np.float32)
            sweep(
                rows, rng.permutation(n), offset, sizes, residual, weight, residual1, np.float32(weight1),
                prior,
                np.float32(warmth), int(rng.integers(2**31)),
            )  # fmt: skip
            progress((turn + 1) / len(schedule))
        return rows

    def _weights(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """((columns, columns), (width, width)) weights of pairs for a population of n rows, zero on the diagonal."""
        sizes, offset = self.codec.sizes, self.offset
        weight = np.zeros((len(sizes),) * 2, np.float32)
        shares = [c.shares for c in self.codec.columns]
        for j in range(len(sizes)):
            for k in range(j + 1, len(sizes)):
                noisy = self.goal[offset[j] : offset[j] + sizes[j], offset[k] : offset[k] + sizes[k]]
                noise = self.sigma[j, k]
                signal = n * float(((noisy - np.outer(shares[j], shares[k])) ** 2).sum() - noisy.size * noise**2)
                weight[j, k] = weight[k, j] = max(self.strength * signal, 0.5) / max(noise * n, 0.5) ** 2
        return weight, np.repeat(np.repeat(weight, sizes, 0), sizes, 1)

    def tensors(self) -> dict[str, np.ndarray]:
        return {
            "goal": self.goal,
            "sigma": self.sigma.astype(np.float32),
            "strength": np.array([self.strength], np.float32),
        }

    @classmethod
    def restore(cls, codec: Codec, tensors: dict[str, np.ndarray]) -> Anchor:
        return cls(codec, tensors["goal"], tensors["sigma"].astype(float), float(tensors["strength"][0]))


def measure_anchor(table: PrivateTable[np.ndarray], codec: Codec, target: str | None, run: Run) -> Anchor:
    """Buys all pairs. How the budget is split among them hangs on released sizes and the public target alone."""
    sizes, names = codec.sizes, codec.names
    d = len(sizes)
    wanted = np.zeros((d, d))
    for j in range(d):
        for k in range(j + 1, d):
            factor = TARGET_FACTOR if target in (names[j], names[k]) else 1.0
            wanted[j, k] = factor * float(sizes[j] * sizes[k]) ** SIZE_POWER
    mechanism = Pairs(run.plan["marginals"], sizes, tuple(map(tuple, to_shares(wanted).tolist())))
    noisy = table.ask(mechanism, run)
    offset = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    goal = np.zeros((sum(sizes),) * 2, np.float32)
    sigma = np.zeros((d, d))
    total = pair_total(noisy, codec)
    for (j, k), counts in noisy.items():
        goal[offset[j] : offset[j] + sizes[j], offset[k] : offset[k] + sizes[k]] = counts / total
        goal[offset[k] : offset[k] + sizes[k], offset[j] : offset[j] + sizes[j]] = counts.T / total
        sigma[j, k] = sigma[k, j] = mechanism.sigma(j, k) / total
    codec = told_by_pairs(codec, noisy, total, mechanism)
    shares = np.concatenate([column.shares for column in codec.columns])
    goal, sigma = shrunk(goal.astype(float), sigma, shares, sizes)
    return Anchor(codec, goal.astype(np.float32), sigma, strength(run.plan.epsilon))


def strength(epsilon: float) -> float:
    """How much a table's signal counts against its noise: with more noise, trusting it less was seen to pay."""
    return max(0.5, 0.5 + 0.215 * float(np.log(epsilon)))


def told_by_pairs(codec: Codec, noisy: dict[tuple[int, int], np.ndarray], total: float, mechanism: Pairs) -> Codec:
    """The codec with shares of codes from the pairs' margins as well, each weighted by its precision.

    Where units have several rows the pairs weigh them otherwise than the histograms do, so the pairs alone count.
    """
    d = len(codec.columns)
    precision = [np.zeros(c.size) if codec.domain.stratified else c.noise**-2.0 for c in codec.columns]
    sums = [p * c.raw for p, c in zip(precision, codec.columns, strict=True)]
    for (j, k), counts in noisy.items():
        for column, margin in ((j, counts.sum(1)), (k, counts.sum(0))):
            weight = (total / mechanism.sigma(j, k)) ** 2 * len(margin) / counts.size
            precision[column] = precision[column] + weight
            sums[column] = sums[column] + weight * margin / total
    better = [codec.columns[j].told(sums[j] / precision[j], precision[j] ** -0.5) for j in range(d)]
    return replace(codec, columns=tuple(better))


def pair_total(noisy: dict[tuple[int, int], np.ndarray], codec: Codec) -> float:
    """Weighted rows behind the pairs: the released number, or the precise tables' mean sum where units are weighted."""
    if not codec.domain.stratified and codec.domain.rows is not None:
        return codec.total
    weights = np.array([1 / table.size for table in noisy.values()])
    return float(max(1.0, np.average([table.sum() for table in noisy.values()], weights=weights)))
