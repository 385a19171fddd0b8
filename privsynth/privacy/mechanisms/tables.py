"""Noisy contingency tables: 1-way histograms of all columns, and marginals of two to four columns, each family by one
Gaussian mechanism.

Both divide one budget among many tables: table t with share a_t (the shares sum to 1) gets noise of standard deviation
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
from privsynth.privacy.unit import MAX_WAYS, SHARE_UNIT, Rows, to_shares, unit_weights

Floats = NDArray[np.float64]
HISTOGRAMS, MARGINALS = "histograms", "marginals"  # the mechanisms' names in plans and ledgers
Tables = dict[tuple[int, ...], Floats]
CELLS_POWER = 1 / 3  # a histogram's share grows with its cells to this power


def _weighted(cells: NDArray[np.integer[Any]], weights: Floats, size: int) -> Floats:
    """(size,) sum of weights in each cell: exact, since weights are multiples of the noise lattice."""
    return np.asarray(np.bincount(cells, weights, minlength=size), np.float64)


@dataclass(frozen=True)
class Histograms(Mechanism[list[Floats], list[Floats], list[Floats]]):
    """1-way histograms over the cells of every column. sizes: cells of each column (public).

    Released: one array of noisy weighted counts per column.
    """

    event: Gaussian
    sizes: tuple[int, ...]
    name: str = HISTOGRAMS

    @property
    def shares(self) -> Floats:
        """(columns,) share of each histogram: larger where noise adds up over more cells."""
        return to_shares(np.array(self.sizes, np.float64) ** CELLS_POWER)

    @property
    def sigmas(self) -> Floats:
        """(columns,) standard deviation of the noise on each count."""
        return np.asarray(self.event.noise_multiplier / np.sqrt(self.shares))

    def query(self, rows: Rows[Any]) -> list[Floats]:
        cells, d = rows.values, len(self.sizes)
        weights = unit_weights(cells, rows.units, [(j,) for j in range(d)], self.shares)
        return [_weighted(cells[:, j], weights, size) for j, size in enumerate(self.sizes)]

    def noised(self, exact: list[Floats], randomness: Randomness) -> list[Floats]:
        return [c + randomness.lattice_gaussian(s, len(c)) for c, s in zip(exact, self.sigmas.tolist(), strict=True)]

    def released(self, noisy: list[Floats]) -> list[Floats]:
        return noisy

    def distance(self, one: list[Floats], other: list[Floats]) -> float:
        """L2 of all histograms side by side, each scaled by the root of its share."""
        squares = [((a - b) ** 2).sum() for a, b in zip(one, other, strict=True)]
        return float(np.sqrt(self.shares @ np.array(squares)))


@dataclass(frozen=True)
class Marginals(Mechanism[Tables, Tables, Tables]):
    """Tables of two to MAX_WAYS columns. sizes: number of codes of each column; shares: one for each table, from
    `to_shares`. All are public, or follow from earlier releases.

    Released: {columns: noisy weighted counts, one axis a column}.
    """

    event: Gaussian
    sizes: tuple[int, ...]
    tables: tuple[tuple[int, ...], ...]
    shares: tuple[float, ...]
    name: str = MARGINALS

    def __post_init__(self) -> None:
        columns = range(len(self.sizes))
        for table in self.tables:
            if len(set(table)) != len(table) or not 2 <= len(table) <= MAX_WAYS or not all(c in columns for c in table):
                raise ValueError("a table has two to four different columns")
        shares = np.array(self.shares)
        if len(set(self.tables)) != len(shares) or len(self.tables) != len(shares):
            raise ValueError("every table is there once, with a share")
        if np.any(shares <= 0) or shares.sum() > 1:
            raise ValueError("shares must be positive and sum to at most 1")
        if np.any(shares / SHARE_UNIT != np.rint(shares / SHARE_UNIT)):
            raise ValueError("shares must be multiples of SHARE_UNIT; take `to_shares`")

    @property
    def sigmas(self) -> Floats:
        """(tables,) standard deviation of the noise on each count."""
        return np.asarray(self.event.noise_multiplier / np.sqrt(np.array(self.shares)))

    def query(self, rows: Rows[Any]) -> Tables:
        codes = rows.values.astype(np.int64)
        weights = unit_weights(rows.values, rows.units, self.tables, np.array(self.shares))
        counted = {}
        for table in self.tables:
            shape = tuple(self.sizes[c] for c in table)
            cell = codes[:, table[0]]
            for column, size in zip(table[1:], shape[1:], strict=True):
                cell = cell * size + codes[:, column]
            counted[table] = _weighted(cell, weights, int(np.prod(shape))).reshape(shape)
        return counted

    def noised(self, exact: Tables, randomness: Randomness) -> Tables:
        noises = zip(self.tables, self.sigmas, strict=True)
        return {table: exact[table] + randomness.lattice_gaussian(s, exact[table].shape) for table, s in noises}

    def released(self, noisy: Tables) -> Tables:
        return noisy

    def distance(self, one: Tables, other: Tables) -> float:
        """L2 of all tables side by side, each scaled by the root of its share."""
        shares = zip(self.tables, self.shares, strict=True)
        return float(np.sqrt(sum(share * ((one[table] - other[table]) ** 2).sum() for table, share in shares)))
