"""How many rows or units there are, and the ranges of columns whose bounds the policy leaves private.

Every mechanism here counts units in public cells, and a unit lies in one cell: adding or removing it moves one count by
1. The event says which noise: two-sided geometric noise of parameter epsilon by diffprivlib (epsilon-differentially
private; Ghosh, Roughgarden, Sundararajan 2009, Theorem 3.2) or discrete Gaussian noise (Canonne, Kamath, Steinke 2020,
Theorem 4), whose light tail keeps thresholds low. Both are integers, so that no low bit reveals anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from privsynth.privacy.events import DiscreteGaussian, Geometric
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows

Ints = NDArray[np.int64]
ALONE = 3.5  # standard deviations above which the count of a stratum of many rows is more than noise, by itself
ROW_COUNT, UNIT_SIZES = "row count", "unit sizes"  # the mechanisms' names in plans and ledgers


class Counts(Mechanism[Ints, Ints, Any]):
    """(cells,) counts of units, each unit in one cell."""

    event: Geometric | DiscreteGaussian

    def noised(self, exact: Ints, randomness: Randomness) -> Ints:
        if isinstance(self.event, DiscreteGaussian):
            return np.asarray(exact + randomness.discrete_gaussian(self.event.noise_multiplier, len(exact)))
        return geometric(exact, self.event.epsilon, randomness)

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise of a count."""
        if isinstance(self.event, DiscreteGaussian):
            return float(self.event.noise_multiplier)
        return math.sqrt(0.5) / math.sinh(self.event.epsilon / 2)

    def distance(self, one: Ints, other: Ints) -> float:
        """L1, which is L2 as well where one count moves."""
        return float(np.abs(one - other).sum())


def geometric(counts: Ints, epsilon: float, randomness: Randomness) -> Ints:
    """counts + two-sided geometric noise by diffprivlib (integers throughout; its source is the operating system)."""
    from diffprivlib.mechanisms import Geometric as Noise

    source = randomness.integer_source()
    noise = Noise(epsilon=epsilon, sensitivity=1, random_state=source)
    return np.array([noise.randomise(int(count)) for count in counts], dtype=np.int64)


@dataclass(frozen=True)
class RowCount(Counts):
    """The number of rows; the unit is the row. Released: an integer of at least 1."""

    event: Geometric | DiscreteGaussian
    name: str = ROW_COUNT

    def query(self, rows: Rows[Any]) -> Ints:
        return np.array([len(rows)], np.int64)

    def released(self, noisy: Ints) -> int:
        return max(1, int(noisy[0]))


@dataclass(frozen=True)
class UnitSizes(Counts):
    """How many units have how many rows, before they were bounded, by stratum. lowest: (strata,) smallest number of rows of
    each stratum.

    Released: (strata,) non-negative counts.
    """

    event: Geometric | DiscreteGaussian
    lowest: tuple[int, ...]
    name: str = UNIT_SIZES

    def query(self, rows: Rows[Any]) -> Ints:
        stratum = np.searchsorted(self.lowest, rows.sizes, side="right") - 1
        return np.bincount(stratum, minlength=len(self.lowest))

    def released(self, noisy: Ints) -> Ints:
        """The largest strata are mostly empty: down to the first one that rises above noise, by itself or with those above it,
        they count as such."""
        above = noisy[::-1]
        sums = np.cumsum(above) > 3 * self.sigma * np.sqrt(np.arange(1, len(noisy) + 1))
        risen = np.flatnonzero(sums | (above > ALONE * self.sigma))
        kept = len(noisy) - (int(risen[0]) if len(risen) else len(noisy) - 1)
        return np.where(np.arange(len(noisy)) < kept, np.maximum(noisy, 0), 0)


def bounds_of(column: str) -> str:
    """The name of the mechanism that measures this column's bounds."""
    return f"bounds: {column}"


@dataclass(frozen=True)
class PrivateBounds(Counts):
    """The range of a numeric column, in steps of its resolution: from the lowest to the highest power-of-two bucket in use.

    One row of each unit goes into one of 126 public buckets; a bucket counts as in use if its noisy count passes
    `threshold`, which an empty bucket does with a chance below 0.1 %. Released: (low, high).
    """

    event: Geometric | DiscreteGaussian
    column: str
    step: float  # the column's resolution, e.g. 0.01

    @property
    def name(self) -> str:  # type: ignore[override]  # a mechanism's name is never set
        return bounds_of(self.column)

    @property
    def threshold(self) -> float:
        if isinstance(self.event, DiscreteGaussian):  # P(Z >= m) <= P(N(0, sigma^2) >= m - 1), as for OpenCategories
            return 1 - self.event.noise_multiplier * float(ndtri(0.001 / len(_EDGES)))
        return math.log(len(_EDGES) / 0.001) / self.event.epsilon

    def _used(self, noisy: Ints) -> NDArray[np.bool_]:
        """(buckets,) True where values lie: single buckets above the threshold, then runs of 2 to 16 whose sum is.

        Values of a skewed column are spread over many buckets, each no more than noise. A run counts by what no used bucket
        in it explains; its noise grows with the root of its length, so that the threshold does. All lengths together cost at
        most five times the probability that an empty bucket is taken for one in use.
        """
        used = noisy > self.threshold
        for length in (2, 4, 8, 16):
            rest = np.where(used, 0, noisy)
            sums = np.convolve(rest, np.ones(length, np.int64), "valid")
            for start in np.flatnonzero(sums > self.threshold * math.sqrt(length)):
                used[start : start + length] = True
        return used

    def query(self, rows: Rows[Any]) -> Ints:
        values = rows.values[self.column].to_numpy(float)[rows.one_of_each]
        with np.errstate(over="ignore"):  # what is too large for a float is beyond the last bucket anyway
            values = np.clip(values[np.isfinite(values)] / self.step, -_MOST, _MOST)
        bucket = np.searchsorted(_EDGES, np.round(values), side="right") - 1
        return np.bincount(bucket, minlength=len(_EDGES))

    def released(self, noisy: Ints) -> tuple[int, int]:
        used = np.flatnonzero(self._used(noisy))
        used = used if len(used) else np.array([np.argmax(noisy)])
        high = int(_EDGES[used[-1] + 1]) - 1 if used[-1] + 1 < len(_EDGES) else int(_MOST)
        low = int(_EDGES[used[0]])
        return low, max(high, low + 1)


_MOST = 2.0**62
_POWERS = [2**k for k in range(63)]
_EDGES = np.array([1 - p for p in reversed(_POWERS)] + _POWERS, dtype=np.int64)  # ... -3 -1 0 1 2 4 8 ...
