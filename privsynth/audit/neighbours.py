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
def best_agreement(
    targets: np.ndarray, table: np.ndarray, weight: np.ndarray, order: np.ndarray, level: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of `table` that agree best with each target: (float32[t, k] sums of weights, int64[t, k] row numbers).

    `targets`: int32[t, w], `table`: int32[m, w] with m >= k; `weight`: float32[t, w, q], what a distance of each level is
    worth, nowhere more than level 0; `order`: int64[t, w], columns by what they are worth at level 0, the most first;
    `level`: int64[s], the level of each distance, the last for all that are farther. Of tied rows the first.
    """
    count, rows, width, far = targets.shape[0], table.shape[0], targets.shape[1], level.shape[0] - 1
    found, where = np.full((count, k), -np.inf, np.float32), np.zeros((count, k), np.int64)
    rest = np.zeros((count, width + 1), np.float32)  # what the columns that come later are worth at most
    for i in range(count):
        for c in range(width - 1, -1, -1):
            rest[i, c] = rest[i, c + 1] + weight[i, order[i, c], 0]
    for chunk in prange((count + _CHUNK - 1) // _CHUNK):
        first, last = chunk * _CHUNK, min(count, (chunk + 1) * _CHUNK)
        for start in range(0, rows, _BLOCK):
            stop = min(rows, start + _BLOCK)
            for i in range(first, last):
                least = found[i, k - 1]
                for r in range(start, stop):
                    total = np.float32(0)
                    for c in range(width):
                        if total + rest[i, c] <= least:
                            break
                        column = order[i, c]
                        total += weight[i, column, level[min(abs(targets[i, column] - table[r, column]), far)]]
                    if total > least:
                        place = k - 1
                        while place > 0 and found[i, place - 1] < total:
                            found[i, place], where[i, place] = found[i, place - 1], where[i, place - 1]
                            place -= 1
                        found[i, place], where[i, place] = total, r
                        least = found[i, k - 1]
    return found, where


@njit(cache=True, nogil=True, parallel=True)
def log_sum_agreement(rows: np.ndarray, people: np.ndarray, weight: np.ndarray, level: np.ndarray) -> np.ndarray:
    """log of the sum over `people` of exp(sum of weights with which they agree with each row): float64[m].

    `rows`: int32[m, w], `people`: int32[n, w], `weight`: float32[n, w, q], `level` as above.
    """
    count, others, width, far = rows.shape[0], people.shape[0], rows.shape[1], level.shape[0] - 1
    result = np.empty(count)
    for r in prange(count):
        top, total = np.float32(-np.inf), 0.0
        for i in range(others):
            agreed = np.float32(0)
            for c in range(width):
                agreed += weight[i, c, level[min(abs(people[i, c] - rows[r, c]), far)]]
            if agreed > top:
                total, top = total * np.exp(top - agreed) + 1, agreed
            else:
                total += np.exp(agreed - top)
        result[r] = top + np.log(total)
    return result
