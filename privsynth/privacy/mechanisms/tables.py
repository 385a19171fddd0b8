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
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import unit_weights

Floats = NDArray[np.float64]
SLACK = 1e-12


@dataclass(frozen=True)
class Histograms:
    """1-way histograms over the cells of every column, equal shares. sizes: cells of each column (public).

    Released: one array of noisy weighted counts per column.
    """

    event: Gaussian
    sizes: tuple[int, ...]
    name: str = "histograms"

    @property
    def share(self) -> float:
        """Of each histogram; a hair below 1 / columns, so that rounding never makes the shares sum to more than 1."""
        return (1 - SLACK) / len(self.sizes)

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise on each count."""
        return float(self.event.noise_multiplier / np.sqrt(self.share))

    def measure(self, rows: Any, randomness: Randomness) -> list[Floats]:
        cells, d = rows.values, len(self.sizes)
        weights = unit_weights(cells, rows.units, np.full(d, self.share), np.zeros((d, d)))
        return [
            np.bincount(cells[:, j], weights, minlength=size) + randomness.lattice_gaussian(self.sigma, size)
            for j, size in enumerate(self.sizes)
        ]


@dataclass(frozen=True)
class Pairs:
    """All 2-way tables. sizes: codes of each column; shares: (columns, columns) upper triangle, summing to 1 (public).

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

    def sigma(self, j: int, k: int) -> float:
        """Standard deviation of the noise on each count of one table."""
        return float(self.event.noise_multiplier / np.sqrt(self.shares[j][k]))

    def measure(self, rows: Any, randomness: Randomness) -> dict[tuple[int, int], Floats]:
        codes, d = rows.values, len(self.sizes)
        weights = unit_weights(codes, rows.units, np.zeros(d), np.array(self.shares))
        released = {}
        for j in range(d):
            for k in range(j + 1, d):
                shape = (self.sizes[j], self.sizes[k])
                cell = codes[:, j].astype(np.int64) * shape[1] + codes[:, k]
                counts = np.bincount(cell, weights, minlength=shape[0] * shape[1]).reshape(shape)
                released[j, k] = counts + randomness.lattice_gaussian(self.sigma(j, k), shape)
        return released
