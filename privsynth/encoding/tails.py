"""The tails of a number's distribution: what lies beyond the last cell that stands out of noise.

Bounds are often far wider than values. Hundreds of empty cells hold noise, and what is positive of it would add up to people of
a thousand years; but a faint tail cut off takes a mean with it. So cells that may be noise alone are not used one by one
(`between_tails`). What lies beyond is estimated as a whole, and fades away as the distribution does up to there (`Tail`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

FALSE_END = 0.001  # chance that noise alone makes an end of a column longer, at one scale
SLOPE = 1.1  # standard deviations of a cell's noise by which a cumulated count has to rise from cell to cell
LIKELY = 3.0  # standard deviations of its noise by which a sum of cells has to exceed it near those that stand out
CLEAR = 40.0  # standard deviations of a cell's noise that the part holds from whose fading the tail is told
MOST_EVEN = 0.46  # mean of the part next to the end, in its length, up to which the part is seen to fade; half is even
REACH = 6.0  # scales of the tail beyond which nothing is placed: e^-6 of it
STEPS = 60  # of bisection


def between_tails(counts: Floats, low: Floats, high: Floats, sigma: float) -> Mask:
    """True between the empty tails of a column. low, high: (cells,) least and largest value of each; sigma: noise of one count.

    Far beyond the cells that stand out of noise one by one, none is used unless the sum of all beyond stands out. Near them, as far
    away as they reach themselves, noise would move a mean by little and values are likely, so that less is asked.
    """
    rise = NormalDist().inv_cdf(1 - FALSE_END / (1 + math.log2(len(counts)))) * sigma
    certain = np.flatnonzero(counts > rise)
    inside = np.ones(len(counts), bool)
    first, last = (certain[0], certain[-1]) if len(certain) else (len(counts), -1)
    reach = high[last] - low[first] + 1 if len(certain) else np.inf
    before, after = np.flatnonzero(low >= low[first % len(low)] - reach), np.flatnonzero(high <= high[last] + reach)
    from_start = _empty(counts, int(before[0]), int(first), sigma, rise)
    from_end = _empty(counts[::-1], len(counts) - 1 - int(after[-1]), len(counts) - 1 - int(last), sigma, rise)
    inside[:from_start] = inside[len(counts) - from_end :] = False
    return inside if inside.any() else np.ones(len(counts), bool)


def _empty(counts: Floats, near: int, certain: int, sigma: float, rise: float) -> int:
    """How many cells from the start hold noise alone. near, certain: the first cell near those that stand out, and of these."""
    risen = np.flatnonzero(np.cumsum(counts[:certain]) > rise * np.sqrt(np.arange(1, certain + 1)))
    if len(risen):
        return _start_of_rise(counts[: risen[0] + 1], sigma)
    total = np.cumsum(counts[near:])
    risen = np.flatnonzero(total > LIKELY * sigma * np.sqrt(np.arange(1, len(total) + 1)))
    return near + _start_of_rise(counts[near : near + risen[0] + 1], sigma) if len(risen) else near


def _start_of_rise(counts: Floats, sigma: float) -> int:
    """Where the cumulated count begins the rise that its end is part of: the change point (Page 1954). A slope is subtracted, since
    the lowest point of the sum of noise alone can lie anywhere, and half of all empty cells would stay."""
    return int(np.argmin(np.concatenate([[0.0], np.cumsum(counts - SLOPE * sigma)[:-1]])))


@dataclass(frozen=True)
class Tail:
    """What lies beyond one end of the used cells, if the part next to that end fades away: a piece of an exponential distribution.

    guess: share beyond the end by that distribution. cells: those that may get it. away: of each, the distance from the
    end, in scales.
    """

    guess: float
    cells: NDArray[np.int64]
    away: Floats

    @classmethod
    def of(cls, share: Floats, at: Floats, allowed: Mask, clear: float) -> Tail | None:
        """share: (cells,) of the used part, 0 beyond it. at: (cells,) middle value of each, rising. allowed: cells that may get
        some. clear: share from which a part is known well. None where nothing lies beyond, or nothing fades.

        Of the part next to the end that holds `clear`, the mean tells the scale.
        """
        end, above = int(np.flatnonzero(share > 0)[-1]), np.cumsum(share[::-1])[::-1]
        start = int(np.flatnonzero(above >= min(clear, above[0] / 2))[-1])
        first = (at[max(start - 1, 0)] + at[start]) / 2
        last = (at[end] + at[min(end + 1, len(at) - 1)]) / 2
        part = share[start : end + 1]
        length, mean = last - first, float(np.average(at[start : end + 1], weights=part)) - first
        if not 0 < mean < MOST_EVEN * length:
            return None
        scale = _scale(mean, length)
        cells = np.flatnonzero(allowed & (np.arange(len(share)) > end) & (at - last <= REACH * scale))
        guess = float(part.sum()) / math.expm1(length / scale) if length < 700 * scale else 0.0
        return cls(guess, cells, np.maximum(at[cells] - last, 0.0) / scale) if len(cells) and guess > 0 else None

    def shares(self, widths: Floats, counted: float, noise: float) -> Floats:
        """(cells,) shares. widths: how many values each of its cells holds. counted: released share of them all; noise: of that.

        The guess, which is as uncertain as it is large, and the count are averaged by their precision.
        """
        mass = self.guess * (noise**2 + counted * self.guess) / (noise**2 + self.guess**2)
        shape = widths * np.exp(-self.away)
        return np.asarray(max(mass, 0.0) * shape / max(float(shape.sum()), 1e-300))


def _scale(mean: float, length: float) -> float:
    """The scale of an exponential distribution whose part below `length` has this mean, less than length / 2."""
    low, high = mean, 1e6 * length
    for _ in range(STEPS):
        scale = math.sqrt(low * high)
        if scale - length / math.expm1(min(length / scale, 700.0)) < mean:
            low = scale
        else:
            high = scale
    return low
