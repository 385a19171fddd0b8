"""What lies beyond the cells that stand out of noise: how much, and how far out. Post-processing of released counts.

Each cell out there holds less than its noise, yet all of them together may hold many rows, and large values. Summed up, the
positive noise of hundreds of empty cells would be a tail that nobody has; without any tail the mean would be too small. So the
mass out there falls by a power of the distance (Lomax 1954), and the counts tell how much it is and how fast it falls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

Floats = NDArray[np.float64]

POWERS = (
    2.0,
    4.0,
    8.0,
    16.0,
)  # of the distance by which the mass farther out falls; a lower one has no finite variance
WIDER = 4.0  # by which the scales of a tail differ, where more than one is considered
NO_TAIL = 0.5  # prior probability that nothing lies in a tail
MOST = 10.0  # standard deviations of its noise up to which a tail's mass may be anything: more would stand out


def power_laws(apart: Floats, often: Floats, heap: bool = False) -> Floats:
    """(laws, cells) distributions of a tail's mass. apart: (cells,) distance from what stands out, as a multiple of how wide
    that is; often: what each cell would hold if all values were equally frequent; heap: what stands out is one heap of values,
    whose width says nothing of the scale of others.

    >>> power_laws(np.array([1.0, 3.0]), np.ones(2))[:2].round(3).tolist()
    [[0.889, 0.111], [0.97, 0.03]]
    """
    scales = WIDER ** np.arange(1 + (np.log(max(apart.max(), 1.0)) // np.log(WIDER) if heap else 0))
    falling = (1 + apart / scales[:, None])[:, None] ** -(1 + np.array(POWERS)[:, None])
    laws = often * falling.reshape(-1, len(apart))
    return np.asarray(laws / laws.sum(1, keepdims=True))


def expected_masses(mass: Floats, sigma: Floats) -> Floats:
    """(laws,) what each contributes to the expected counts of a tail: its probability times its mass, given the counts.

    mass: (laws,) of the tail by least squares, if it follows that law; sigma: its standard deviation. A priori there is no tail
    with probability NO_TAIL, else any mass above zero, up to MOST standard deviations, by any of the laws.

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
    )  # mean of a normal number that is not below it
    return np.asarray(weights / (weights.sum() + np.exp(np.log(NO_TAIL) - top)) * above_zero * sigma)
