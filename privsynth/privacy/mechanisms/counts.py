"""How many rows or units there are, and what is learned of domains that the policy leaves private.

Every mechanism here sees one number or one histogram to which a unit contributes exactly 1. Integer geometric noise of
parameter epsilon (diffprivlib) makes a count epsilon-differentially private (Ghosh, Roughgarden, Sundararajan 2009);
open categories use Gaussian noise, whose thin tail lets the threshold be a third as high.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from privsynth.privacy.events import Geometric, ThresholdedGaussian
from privsynth.privacy.noise import LATTICE, Randomness

Ints = NDArray[np.int64]


def geometric(counts: Ints, epsilon: float, randomness: Randomness) -> Ints:
    """counts + two-sided geometric noise by diffprivlib (integers throughout; its source is the operating system)."""
    from diffprivlib.mechanisms import Geometric as Noise

    source = randomness.integer_source()
    noise = Noise(epsilon=epsilon, sensitivity=1, random_state=source)
    return np.array([noise.randomise(int(count)) for count in counts], dtype=np.int64)


def one_row_each(units: Ints, randomness: Randomness) -> Ints:
    """Positions of one row of each unit, drawn uniformly; one unit's draw moves no other's."""
    order = np.lexsort((randomness.uniform(len(units)), units))
    sorted_units = units[order]
    return order[np.concatenate([[True], sorted_units[1:] != sorted_units[:-1]])] if len(units) else order


@dataclass(frozen=True)
class RowCount:
    """The number of rows; the unit is the row. Released: an integer of at least 1."""

    event: Geometric
    name: str = "row count"

    def measure(self, rows: Any, randomness: Randomness) -> int:
        return max(1, int(geometric(np.array([len(rows)]), self.event.epsilon, randomness)[0]))


@dataclass(frozen=True)
class UnitSizes:
    """How many units have how many rows, by stratum. lowest: (strata,) smallest number of rows of each stratum.

    Released: (strata,) non-negative counts. A unit lies in one stratum: L1 sensitivity 1.
    """

    event: Geometric
    lowest: tuple[int, ...]
    name: str = "unit sizes"

    def measure(self, rows: Any, randomness: Randomness) -> Ints:
        sizes = np.unique(rows.units, return_counts=True)[1]
        stratum = np.searchsorted(self.lowest, sizes, side="right") - 1
        counts = np.bincount(stratum, minlength=len(self.lowest))
        return np.maximum(geometric(counts, self.event.epsilon, randomness), 0)


@dataclass(frozen=True)
class PrivateBounds:
    """The range of a numeric column, in whole steps: from the lowest to the highest power-of-two bucket in use.

    One row of each unit goes into one of 126 public buckets; a bucket counts as in use if its noisy count passes
    `threshold`, which an empty bucket does with a chance below 0.1 %. Released: (low, high).
    """

    event: Geometric
    column: str
    step: float  # one whole step in units of the column, e.g. 0.01

    @property
    def name(self) -> str:
        return f"bounds: {self.column}"

    @property
    def threshold(self) -> float:
        return math.log(len(_EDGES) / 0.001) / self.event.epsilon

    def measure(self, rows: Any, randomness: Randomness) -> tuple[int, int]:
        values = rows.values[self.column].to_numpy(float)[one_row_each(rows.units, randomness)]
        values = np.clip(values[np.isfinite(values)] / self.step, -_MOST, _MOST)
        bucket = np.searchsorted(_EDGES, np.round(values), side="right") - 1
        noisy = geometric(np.bincount(bucket, minlength=len(_EDGES)), self.event.epsilon, randomness)
        used = np.flatnonzero(noisy > self.threshold)
        used = used if len(used) else np.array([np.argmax(noisy)])
        high = int(_EDGES[used[-1] + 1]) - 1 if used[-1] + 1 < len(_EDGES) else int(_MOST)
        low = int(_EDGES[used[0]])
        return low, max(high, low + 1)


_MOST = 2.0**62
_POWERS = [2**k for k in range(63)]
_EDGES = np.array([1 - p for p in reversed(_POWERS)] + _POWERS, dtype=np.int64)  # ... -3 -1 0 1 2 4 8 ...


@dataclass(frozen=True)
class OpenCategories:
    """The values of a column that enough units share (stability-based selection; Korolova et al. 2009).

    One row of each unit is counted; a value that occurs is released if its count with Gaussian noise passes the
    threshold t = 1 + sigma * Phi^-1(1 - delta): a value that only one unit has passes with probability delta (Wilkins
    et al. 2024, Theorem 1, for one value a unit). Released: the values, sorted; no count.
    """

    event: ThresholdedGaussian
    column: str

    @property
    def name(self) -> str:
        return f"categories: {self.column}"

    @property
    def threshold(self) -> float:
        """Noisy units that a value needs; one lattice step more, for the rounding of the noise."""
        return 1 - self.event.noise_multiplier * float(ndtri(self.event.delta)) + LATTICE

    def measure(self, rows: Any, randomness: Randomness) -> list[str]:
        values = rows.values[self.column].iloc[one_row_each(rows.units, randomness)]
        counts = values.dropna().value_counts()
        noisy = counts.to_numpy() + randomness.lattice_gaussian(self.event.noise_multiplier, len(counts))
        return sorted(str(value) for value, count in zip(counts.index, noisy, strict=True) if count > self.threshold)
