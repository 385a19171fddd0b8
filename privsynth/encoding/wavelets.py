"""Wavelet denoising of a released histogram: post-processing, so it costs no budget.

Most numeric columns are smooth with a few jumps and spikes, and a fine grid of cells holds far more noise than rows. So a
histogram is written as averages and differences of neighbouring blocks of all sizes and positions (Haar wavelets), and
differences that noise alone could explain are dropped (Donoho, Johnstone 1994: the universal threshold; Coifman, Donoho
1995: over all shifts, so that no position of a block is preferred).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def denoise(values: Floats, sigma: float) -> Floats:
    """(cells,) values with independent noise of standard deviation sigma -> (cells,) with less of it.

    The sequence is mirrored at its ends. O(cells * log cells).
    """
    levels = int(np.ceil(np.log2(max(len(values), 1))))
    if levels < 2:
        return values
    half = np.pad(values, (0, (1 << levels) - len(values)), mode="symmetric")
    average = np.concatenate([half, half[::-1]])  # mirrored at both ends, so that neither has a jump
    differences = []
    for level in range(levels):
        beside = np.roll(average, -(1 << level))
        average, difference = (average + beside) / 2, (average - beside) / 2
        noise = sigma / np.sqrt(2 << level)
        threshold = noise * np.sqrt(2 * np.log(2 ** (levels - level) + 1))  # for that many independent differences
        differences.append(np.where(np.abs(difference) > threshold, difference, 0.0))
    for level in reversed(range(levels)):
        kept = differences[level]
        average = (average + kept + np.roll(average - kept, 1 << level)) / 2
    return np.asarray(average[: len(values)])


def wavelet_denoised(shares: Floats, alike: NDArray[np.int64], sigma: float) -> Floats:
    """(cells,) released shares of the cells of a grid -> the same with less noise. alike: (cells,) equal for cells of one kind.

    Round values have cells of their own between wide ones. Cells of different kinds are separate sequences, since many
    people report 500 and few 501 to 509.
    """
    denoised = shares.copy()
    for kind in np.unique(alike):
        denoised[alike == kind] = denoise(shares[alike == kind], sigma)
    return denoised
