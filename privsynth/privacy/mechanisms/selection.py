"""Choosing one of several public candidates by a score that a unit moves by at most 1.

Permute-and-flip by diffprivlib (McKenna & Sheldon 2020, Theorem 1): epsilon-differentially private, and never worse than
the exponential mechanism (McSherry & Talwar 2007) or report-noisy-max with exponential noise, which it equals (Ding et
al. 2021). Its coins are Bernoulli(exp(-x)) from uniform numbers of the operating system; nothing but the candidate's
place comes out, so that there are no low bits to read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privsynth.privacy.events import PureDP
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows

Floats = NDArray[np.float64]


class Selection(Mechanism[Floats, int, Any]):
    """`query` gives (candidates,) scores. monotonic: one unit more lowers no score, which halves the cost."""

    event: PureDP
    monotonic = False

    def noised(self, exact: Floats, randomness: Randomness) -> int:
        from diffprivlib.mechanisms import PermuteAndFlip

        choice = PermuteAndFlip(
            epsilon=self.event.epsilon, sensitivity=1, utility=exact.tolist(), monotonic=self.monotonic,
            random_state=randomness.integer_source(),
        )  # fmt: skip
        return int(choice.randomise())

    def distance(self, one: Floats, other: Floats) -> float:
        return float(np.abs(one - other).max())


@dataclass(frozen=True)
class Quantile(Selection):
    """The quantile q of a numeric column, as one of the public rising `candidates` (at least one).

    Score of candidate e: -|(1 - q) #(values < e) - q #(values >= e)| / max(q, 1 - q) over one row of each unit (Smith
    2011, section 3, on a public grid). One unit more moves it by 1 at most. Missing values do not count.
    """

    event: PureDP
    column: str
    q: float
    candidates: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.q <= 1:
            raise ValueError("q must lie in [0, 1]")
        if not self.candidates or np.any(np.diff(self.candidates) <= 0) or not np.all(np.isfinite(self.candidates)):
            raise ValueError("candidates must be finite and rise")

    @property
    def name(self) -> str:  # type: ignore[override]  # a mechanism's name is never set
        return f"quantile {self.q:g}: {self.column}"

    def query(self, rows: Rows[Any]) -> Floats:
        values = rows.values[self.column].to_numpy(float)[rows.one_of_each]
        values = np.sort(values[~np.isnan(values)])
        below = np.searchsorted(values, self.candidates, side="left")
        return np.asarray(-np.abs((1 - self.q) * below - self.q * (len(values) - below)) / max(self.q, 1 - self.q))

    def released(self, noisy: int) -> float:
        return self.candidates[noisy]


@dataclass(frozen=True)
class MostCommon(Selection):
    """The value that most units have, among public `candidates`. Counts only grow with one unit more: monotonic."""

    event: PureDP
    column: str
    candidates: tuple[str, ...]
    monotonic = True

    def __post_init__(self) -> None:
        if not self.candidates or len(set(self.candidates)) < len(self.candidates):
            raise ValueError("candidates must be distinct, and there must be one")

    @property
    def name(self) -> str:  # type: ignore[override]  # a mechanism's name is never set
        return f"most common: {self.column}"

    def query(self, rows: Rows[Any]) -> Floats:
        values = rows.values[self.column].iloc[rows.one_of_each]
        counts = Counter(value for value in values if isinstance(value, str))
        return np.array([float(counts[candidate]) for candidate in self.candidates])

    def released(self, noisy: int) -> str:
        return self.candidates[noisy]
