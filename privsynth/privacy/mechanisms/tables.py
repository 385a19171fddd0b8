"""Noisy contingency tables: 1-way histograms of all columns, and all pairs, each family by one Gaussian mechanism.

Both split one budget over many tables: table t with share a_t (the shares sum to 1) gets noise of standard deviation
noise_multiplier / sqrt(a_t). Scaled by sqrt(a_t), all tables together are one vector to which a unit contributes at
most 1 in L2 (`unit_weights`), with noise of one standard deviation: one Gaussian mechanism (Dwork & Roth 2014, App. A;
the shares are the weighted Gaussian mechanism of McKenna et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import SHARE_UNIT, Rows, to_shares, unit_weights

Floats = NDArray[np.float64]
Tables = dict[tuple[int, int], Floats]


def _weighted(cells: NDArray[np.integer[Any]], weights: Floats, size: int) -> Floats:
    """(size,) sum of weights in each cell: exact, since weights are multiples of the noise lattice."""
    return np.asarray(np.bincount(cells, weights, minlength=size), np.float64)


@dataclass(frozen=True)
class Histograms(Mechanism[list[Floats], list[Floats], list[Floats]]):
    """1-way histograms over the cells of every column, equal shares. sizes: cells of each column (public).

    Released: one array of noisy weighted counts per column.
    """

    event: Gaussian
    sizes: tuple[int, ...]
    name: str = "histograms"

    @property
    def share(self) -> float:
        """Of each histogram."""
        return float(to_shares(np.ones(len(self.sizes)))[0])

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise on each count."""
        return float(self.event.noise_multiplier / np.sqrt(self.share))

    def query(self, rows: Rows[Any]) -> list[Floats]:
        cells, d = rows.values, len(self.sizes)
        weights = unit_weights(cells, rows.units, np.full(d, self.share), np.zeros((d, d)))
        return [_weighted(cells[:, j], weights, size) for j, size in enumerate(self.sizes)]

    def noised(self, exact: list[Floats], randomness: Randomness) -> list[Floats]:
        return [counts + randomness.lattice_gaussian(self.sigma, len(counts)) for counts in exact]

    def released(self, noisy: list[Floats]) -> list[Floats]:
        return noisy

    def distance(self, one: list[Floats], other: list[Floats]) -> float:
        """L2 of all histograms side by side, each scaled by the root of its share."""
        return float(np.sqrt(self.share * sum(((a - b) ** 2).sum() for a, b in zip(one, other, strict=True))))


@dataclass(frozen=True)
class Pairs(Mechanism[Tables, Tables, Tables]):
    """All 2-way tables. sizes: codes of each column; shares: (columns, columns) upper triangle of `to_shares` (public).

    Released: {(j, k): (size_j, size_k) noisy weighted counts} for j < k.
    """

    event: Gaussian
    sizes: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]
    name: str = "marginals"

    def __post_init__(self) -> None:
        shares = np.array(self.shares)
        if shares.shape != (len(self.sizes),) * 2 or np.any(np.tril(shares) != 0) or shares.sum() > 1:
            raise ValueError("shares must be an upper triangle that sums to at most 1")
        if np.any(shares / SHARE_UNIT != np.rint(shares / SHARE_UNIT)):
            raise ValueError("shares must be multiples of SHARE_UNIT; take `to_shares`")

    def sigma(self, j: int, k: int) -> float:
        """Standard deviation of the noise on each count of one table."""
        return float(self.event.noise_multiplier / np.sqrt(self.shares[j][k]))

    def query(self, rows: Rows[Any]) -> Tables:
        codes, d = rows.values, len(self.sizes)
        weights = unit_weights(codes, rows.units, np.zeros(d), np.array(self.shares))
        counted = {}
        for j in range(d):
            for k in range(j + 1, d):
                shape = (self.sizes[j], self.sizes[k])
                cell = codes[:, j].astype(np.int64) * shape[1] + codes[:, k]
                counted[j, k] = _weighted(cell, weights, shape[0] * shape[1]).reshape(shape)
        return counted

    def noised(self, exact: Tables, randomness: Randomness) -> Tables:
        return {
            pair: counts + randomness.lattice_gaussian(self.sigma(*pair), counts.shape) for pair, counts in exact.items()
        }

    def released(self, noisy: Tables) -> Tables:
        return noisy

    def distance(self, one: Tables, other: Tables) -> float:
        """L2 of all tables side by side, each scaled by the root of its share."""
        return float(np.sqrt(sum(self.shares[j][k] * ((one[j, k] - other[j, k]) ** 2).sum() for j, k in one)))
