"""What lies beyond the cells that stand out of noise: how much, and how far out. Post-processing of released counts.

Beyond them each cell holds less than its noise, yet all of them together may hold many rows, and large values. Positive noise
of hundreds of empty cells, summed up, would be a tail that nobody has; no tail at all would be too small a mean. So mass out
there follows a power of the distance from the median (Pareto), and the counts say how much it is and how fast it falls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

Floats = NDArray[np.float64]

DECAYS = (2.0, 4.0, 8.0, 16.0)  # powers of the distance by which the mass farther out falls, equally likely
NO_TAIL = 0.5  # prior probability that nothing lies in a tail
MOST = 10.0  # standard deviations of a tail's noise up to which its mass may be anything: more would stand out


def power_laws(apart: Floats, widths: Floats) -> Floats:
    """(decays, cells) distributions of a tail's mass over its cells. apart: (cells,) distances from the median, in those of
    the tail's start; widths: how many values, or how much of them, each cell holds.

    >>> power_laws(np.array([1.0, 2.0]), np.ones(2))[0].round(3).tolist()
    [0.889, 0.111]
    """
    shapes = widths * np.maximum(apart, 1.0) ** -(1 + np.array(DECAYS)[:, None])
    total = shapes.sum(1, keepdims=True)
    return np.asarray(np.divide(shapes, total, out=np.zeros_like(shapes), where=total > 0))


def expected_masses(mass: Floats, sigma: Floats) -> Floats:
    """(decays,) what each contributes to the expected counts of a tail: its probability times its mass, given the counts.

    mass: (decays,) of a tail by least squares, if that is its distribution; sigma: its standard deviation. A priori there is
    no tail with probability NO_TAIL, else any mass above zero, up to MOST standard deviations, by any of the decays.

    >>> expected_masses(np.array([-100.0]), np.array([50.0])).round(1).tolist()   # nothing but noise
    [0.8]
    >>> expected_masses(np.array([500.0]), np.array([50.0])).round(1).tolist()    # as measured
    [500.0]
    """
    z = mass / sigma
    logs = z**2 / 2 + log_ndtr(z) + np.log(np.sqrt(2 * np.pi) / MOST * (1 - NO_TAIL) / len(z))
    top = max(float(logs.max()), np.log(NO_TAIL))
    weights = np.exp(logs - top)
    above_zero = z + np.exp(-(z**2) / 2 - log_ndtr(z)) / np.sqrt(
        2 * np.pi
    )  # mean of a normal number that is not below zero
    return np.asarray(weights / (weights.sum() + np.exp(np.log(NO_TAIL) - top)) * above_zero * sigma)
