"""The kernel of the anchor: rows redraw one cell at a time so that their pair counts come near the noisy ones.

p(value) is proportional to prior(value) * exp(-energy * warmth), energy = sum over tables of weight * (count - goal)^2
/ 2. The prior is the released share of the value in its column: without it, a value that hardly anybody has would fill
up until the energy pushed back. Everything here is post-processing of released tables.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(fastmath=True, cache=True, nogil=True)
def sweep(
    rows: np.ndarray, order: np.ndarray, offset: np.ndarray, sizes: np.ndarray, residual: np.ndarray,
    weight: np.ndarray, residual1: np.ndarray, weight1: np.ndarray, prior: np.ndarray, warmth: float, seed: int,
) -> None:  # fmt: skip
    """One pass over the rows in `order`; each redraws as many cells as it has columns.

    rows: (n, d) int32, changed in place. residual: (width, width) float32, weight * (count - goal) of every pair of
    codes, kept current; weight: (d, d) float32; residual1, weight1: (width,) float32, the same for single columns;
    prior: (width,) float32, zero for what must not be drawn.
    """
    np.random.seed(seed)
    d = len(sizes)
    energy = np.zeros(sizes.max(), np.float32)
    for i in order:
        row = rows[i]
        for _ in range(d):
            j = np.random.randint(d)
            size, start, old = sizes[j], offset[j], row[j]
            for v in range(size):
                energy[v] = residual1[start + v]
            own = weight1[start + old]
            for k in range(d):
                if k != j:
                    line = residual[offset[k] + row[k]]
                    for v in range(size):
                        energy[v] += line[start + v]
                    own += weight[k, j]
            energy[old] -= own  # the row itself does not count as one more
            new = _draw(energy, prior[start : start + size], warmth)
            if new == old:
                continue
            residual1[start + old] -= weight1[start + old]
            residual1[start + new] += weight1[start + new]
            for k in range(d):
                if k != j:
                    at, w = offset[k] + row[k], weight[k, j]
                    residual[at, start + old] -= w
                    residual[start + old, at] -= w
                    residual[at, start + new] += w
                    residual[start + new, at] += w
            row[j] = new


@numba.njit(fastmath=True, cache=True, nogil=True)
def _draw(energy: np.ndarray, prior: np.ndarray, warmth: float) -> int:
    """A value with probability proportional to prior * exp(-energy * warmth); overwrites energy."""
    least, size = np.float32(np.inf), len(prior)
    for v in range(size):
        if prior[v] > 0 and energy[v] < least:
            least = energy[v]
    total = np.float32(0.0)
    for v in range(size):
        energy[v] = prior[v] * np.exp((least - energy[v]) * warmth) if prior[v] > 0 else np.float32(0)
        total += energy[v]
    u, new = np.random.random() * total, 0
    while new < size - 1 and u > energy[new]:
        u -= energy[new]
        new += 1
    return new


@numba.njit(cache=True, nogil=True)
def pair_counts(rows: np.ndarray, offset: np.ndarray, width: int) -> np.ndarray:
    """(width, width) float32 counts of every pair of codes of two different columns; exact below 2^24 rows."""
    counts = np.zeros((width, width), np.float32)
    n, d = rows.shape
    for i in range(n):
        for j in range(d):
            a = offset[j] + rows[i, j]
            for k in range(j + 1, d):
                b = offset[k] + rows[i, k]
                counts[a, b] += 1
                counts[b, a] += 1
    return counts
