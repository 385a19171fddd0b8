"""Searches for several closest rows, compiled. Distances as in `kernels`; memory is that of the answer, however long the table."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from privsynth.audit.kernels import _BLOCK, _CHUNK, _FAR, _distance


@njit(cache=True, nogil=True, parallel=True)
def k_nearest(targets: np.ndarray, table: np.ndarray, k: int, scale: np.int32) -> tuple[np.ndarray, np.ndarray]:
    """The k closest rows of `table` for each target, nearest first: (int32[t, k] distance, int64[t, k] row number).

    `targets`: int32[t, w], `table`: int32[m, w] with m >= k, `scale`: int32. Of tied rows those that stand first.
    """
    count, rows = targets.shape[0], table.shape[0]
    found, where = np.full((count, k), _FAR, np.int32), np.zeros((count, k), np.int64)
    for chunk in prange((count + _CHUNK - 1) // _CHUNK):
        first, last = chunk * _CHUNK, min(count, (chunk + 1) * _CHUNK)
        for start in range(0, rows, _BLOCK):
            stop = min(rows, start + _BLOCK)
            for i in range(first, last):
                worst = found[i, k - 1]
                for r in range(start, stop):
                    distance = _distance(targets[i], table[r], scale)
                    if distance < worst:
                        place = k - 1
                        while place > 0 and found[i, place - 1] > distance:
                            found[i, place], where[i, place] = found[i, place - 1], where[i, place - 1]
                            place -= 1
                        found[i, place], where[i, place] = distance, r
                        worst = found[i, k - 1]
    return found, where


@njit(cache=True, nogil=True, parallel=True)
def within(targets: np.ndarray, table: np.ndarray, radii: np.ndarray, scale: np.int32) -> np.ndarray:
    """Number of rows of `table` at most so far from each target: int64[t, q].

    `targets`: int32[t, w], `table`: int32[m, w], `radii`: int32[t, q], increasing in each row; `scale`: int32.
    """
    count, rows, several = targets.shape[0], table.shape[0], radii.shape[1]
    inside = np.zeros((count, several), np.int64)
    for chunk in prange((count + _CHUNK - 1) // _CHUNK):
        first, last = chunk * _CHUNK, min(count, (chunk + 1) * _CHUNK)
        for start in range(0, rows, _BLOCK):
            stop = min(rows, start + _BLOCK)
            for i in range(first, last):
                for r in range(start, stop):
                    distance = _distance(targets[i], table[r], scale)
                    q = several - 1
                    while q >= 0 and distance <= radii[i, q]:
                        inside[i, q] += 1
                        q -= 1
    return inside


@njit(cache=True, nogil=True, parallel=True)
def best_agreement(targets: np.ndarray, table: np.ndarray, weight: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The largest sum of agreement weights that any row of `table` reaches with each target: float32[t].

    `targets`: int32[t, d], `table`: int32[m, d]; `weight`: float32[t, d, q], what agreement at each level is worth;
    `level`: int64[s], the level of each distance, the last for all that are farther.
    """
    count, rows, width, far = targets.shape[0], table.shape[0], targets.shape[1], level.shape[0] - 1
    found = np.full(count, -np.inf, np.float32)
    for chunk in prange((count + _CHUNK - 1) // _CHUNK):
        first, last = chunk * _CHUNK, min(count, (chunk + 1) * _CHUNK)
        for start in range(0, rows, _BLOCK):
            stop = min(rows, start + _BLOCK)
            for i in range(first, last):
                best = found[i]
                for r in range(start, stop):
                    total = np.float32(0)
                    for c in range(width):
                        total += weight[i, c, level[min(abs(targets[i, c] - table[r, c]), far)]]
                    best = max(best, total)
                found[i] = best
    return found
