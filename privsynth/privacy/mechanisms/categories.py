"""Which values a column has, where the policy leaves its categories private: stability-based selection with a threshold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy.special import ndtri

from privsynth.privacy.events import ThresholdedGaussian
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows

Tally = Mapping[str, int]  # how many units have each value; only values that occur


def categories_of(column: str) -> str:
    """The name of the mechanism that measures which values this column has."""
    return f"categories: {column}"


@dataclass(frozen=True)
class OpenCategories(Mechanism[Tally, Tally, list[str]]):
    """The values of a column that enough units share (stability-based selection; Korolova et al. 2009, Theorem 1).

    One row of each unit is counted; a value that occurs is released if its count with discrete Gaussian noise reaches
    the threshold. Neighbours either share all values and differ by 1 in one count, or one of them has one value more,
    that of the lone unit: its count is 1, and it is released with probability delta at most (Wilkins et al. 2024,
    Theorem 1, for one value per unit). Released: the values, sorted, without counts.
    """

    event: ThresholdedGaussian
    column: str

    @property
    def name(self) -> str:  # type: ignore[override]  # a mechanism's name is never set
        return categories_of(self.column)

    @property
    def threshold(self) -> int:
        """The noisy count that a value must reach: P(1 + Z >= threshold) <= delta.

        P(Z >= m) <= P(N(0, sigma^2) >= m - 1) for discrete Gaussian Z (Canonne, Kamath, Steinke 2020, Proposition 25).
        """
        return 2 + math.ceil(-self.event.noise_multiplier * float(ndtri(self.event.delta)))

    def query(self, rows: Rows[Any]) -> Tally:
        values = rows.values[self.column].iloc[rows.one_of_each]
        return Counter(value for value in values if isinstance(value, str))  # by exact text: pandas stops at a NUL byte

    def noised(self, exact: Tally, randomness: Randomness) -> Tally:
        noise = randomness.discrete_gaussian(self.event.noise_multiplier, len(exact))
        return {value: count + int(extra) for (value, count), extra in zip(exact.items(), noise, strict=True)}

    def released(self, noisy: Tally) -> list[str]:
        return sorted(value for value, count in noisy.items() if count >= self.threshold)

    def distance(self, one: Tally, other: Tally) -> float:
        """L1 over all values that occur in either."""
        return float(sum(abs(one.get(value, 0) - other.get(value, 0)) for value in {*one, *other}))
