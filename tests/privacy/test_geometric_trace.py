"""The law of diffprivlib's geometric sampler, counted out exactly, against what the accountant says of it."""

from __future__ import annotations

import numpy as np
import pytest
from diffprivlib.mechanisms import Geometric

from privsynth.privacy.accountant import NUMERICAL_SLACK, geometric_trace

HALF = 2**52  # of the 53-bit numbers that the sampler inverts, those below one half


class Fixed:
    """A source that gives one chosen number."""

    def __init__(self) -> None:
        self.number = 0

    def random(self) -> float:
        return self.number * 2.0**-53


def law(epsilon: float) -> np.ndarray:
    """P(noise = k) for k = -n..n: how many of the 2^53 numbers give it, by bisection, since the sampler is monotone."""
    source, sampler = Fixed(), Geometric(epsilon=epsilon, sensitivity=1)
    sampler._rng = source

    def size(number: int) -> int:
        source.number = number
        return abs(sampler.randomise(0))

    def reaching(least: int, sign: int) -> int:
        """How many numbers on this side of one half give a noise of this size at least. Those near one half do."""
        low, high = 0, HALF - (sign > 0)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if size(HALF + sign * middle) >= least else (low, middle - 1)
        return low

    ends = int(37.5 / epsilon) + 2
    sides = [-np.diff([reaching(k, sign) for k in range(ends + 1)]) for sign in (-1, 1)]
    counts = np.concatenate([sides[0][:0:-1], [sides[0][0] + sides[1][0]], sides[1][1:]])
    assert counts.sum() == 2**53 - 1  # the number one half itself has no logarithm: the sampler fails
    return counts * 2.0**-53


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0])
def test_the_trace_covers_the_sampler(epsilon: float) -> None:
    """For counts that differ by 1, whatever is left above epsilon, the one number that fails included, is the trace."""
    p = np.concatenate([[0.0], law(epsilon), [0.0]])
    left = max(
        np.maximum(one - np.exp(epsilon + NUMERICAL_SLACK / 10) * other, 0).sum()
        for one, other in ((p[1:], p[:-1]), (p[:-1], p[1:]))
    )
    trace = geometric_trace(epsilon)
    assert 0.02 * trace < left + 2.0**-53 <= trace
