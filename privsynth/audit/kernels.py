"""Searches over whole tables, compiled. All distances are in units of 1 / SCALE of a column (see `coding`)."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

_FAR = np.int32(2**31 - 1)
_CHUNK = 16  # targets that are compared in one pass over a block of the table
_BLOCK = 256  # rows of a block: with 50 columns about 50 KB, which stays in the cache


@njit(inline="always")
def _distance(x: np.ndarray, y: np.ndarray, scale: np.int32) -> np.int32:
    total = np.int32(0)
    for c in range(x.shape[0]):
        step = abs(x[c] - y[c])
        total += min(step, scale)
    return total


@njit(cache=True, nogil=True, parallel=True)
def nearest(targets: np.ndarray, table: np.ndarray, scale: np.int32) -> tuple[np.ndarray, np.ndarray]:
    """Closest row of `table` for each target: (int32[t] distance, int64[t] row number); of tied rows the first.

    `targets`: int32[t, w], `table`: int32[m, w] with m >= 1, `scale`: int32.
    """
    count, rows = targets.shape[0], table.shape[0]
    found, where = np.full(count, _FAR, np.int32), np.zeros(count, np.int64)
    for chunk in prange((count + _CHUNK - 1) // _CHUNK):
        first, last = chunk * _CHUNK, min(count, (chunk + 1) * _CHUNK)
        for start in range(0, rows, _BLOCK):
            stop = min(rows, start + _BLOCK)
            for i in range(first, last):
                best, row = found[i], where[i]
                for r in range(start, stop):
                    distance = _distance(targets[i], table[r], scale)
                    if distance < best:
                        best, row = distance, r
                found[i], where[i] = best, row
    return found, where


@njit(cache=True, nogil=True, parallel=True)
def vote(targets: np.ndarray, table: np.ndarray, secret: np.ndarray, values: int, scale: np.int32) -> np.ndarray:
    """Most common `secret` among all rows of `table` that are closest to each target: int32[t].

    `secret`: int32[m] in 0..values-1. Of equally common values the lowest.
    """
    count, rows = targets.shape[0], table.shape[0]
    guess = np.zeros(count, np.int32)
    for chunk in prange((count + _CHUNK - 1) // _CHUNK):
        first, last = chunk * _CHUNK, min(count, (chunk + 1) * _CHUNK)
        best = np.full(_CHUNK, _FAR, np.int32)
        votes = np.zeros((_CHUNK, values), np.int32)
        for start in range(0, rows, _BLOCK):
            stop = min(rows, start + _BLOCK)
            for i in range(first, last):
                k = i - first
                for r in range(start, stop):
                    distance = _distance(targets[i], table[r], scale)
                    if distance < best[k]:
                        best[k] = distance
                        votes[k, :] = 0
                    if distance == best[k]:
                        votes[k, secret[r]] += 1
        for i in range(first, last):
            guess[i] = np.argmax(votes[i - first])
    return guess


@njit(cache=True, nogil=True, parallel=True)
def joined(
    left: np.ndarray, right: np.ndarray, table_left: np.ndarray, table_right: np.ndarray, group: int, scale: np.int32
) -> np.ndarray:  # fmt: skip
    """Distance to the table of every left half joined to every right half of the same group.

    `left`: int32[g * group, w1], `right`: int32[g * group, w2]; the table is split in the same columns.
    Returns int32[g, group, group]: entry [k, i, j] is the least distance of (left i, right j) to a row.
    """
    groups, rows = left.shape[0] // group, table_left.shape[0]
    best = np.full((groups, group, group), _FAR, np.int32)
    for g in prange(groups):
        one, two = np.empty(group, np.int32), np.empty(group, np.int32)
        least = np.full((group, group), _FAR, np.int32)
        for r in range(rows):
            for i in range(group):
                one[i] = _distance(left[g * group + i], table_left[r], scale)
                two[i] = _distance(right[g * group + i], table_right[r], scale)
            for i in range(group):
                for j in range(group):
                    least[i, j] = min(least[i, j], one[i] + two[j])
        best[g] = least
    return best


@njit(cache=True, nogil=True, parallel=True)
def isolations(columns: np.ndarray, source_rows: np.ndarray, orders: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Number of people who match a predicate derived from a row of the table.

    The predicate of row s is a conjunction of "column = its cell in s", over the columns in the order of `orders`, until
    only one row of the table matches. `columns`: int32[d, m] cells of the table; `source_rows`: int64[p] row numbers;
    `orders`: int64[p, d]; `people`: int32[d, t]. Returns int32[p]: matching people, -1 if no conjunction isolates the row.
    """
    width, rows = columns.shape
    hits = np.full(source_rows.shape[0], -1, np.int32)
    for p in prange(source_rows.shape[0]):
        source, left, used = source_rows[p], np.arange(rows), 0
        count = rows
        while count > 1 and used < width:
            column = orders[p, used]
            value, kept = columns[column, source], 0
            for k in range(count):
                if columns[column, left[k]] == value:
                    left[kept] = left[k]
                    kept += 1
            count, used = kept, used + 1
        if count > 1:
            continue
        hits[p] = 0
        for person in range(people.shape[1]):
            match = True
            for k in range(used):
                column = orders[p, k]
                if people[column, person] != columns[column, source]:
                    match = False
                    break
            hits[p] += match
    return hits


@njit(cache=True, nogil=True, parallel=True)
def heaviest(
    below: np.ndarray, upto: np.ndarray, table_below: np.ndarray, table_upto: np.ndarray, categorical: np.ndarray,
    weights: np.ndarray, without: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The heaviest match of each target with a row of the table (`linked_records`): (float32[t] weight, int64[t] row number).

    `below`, `upto`: int32[t, d], those of the table int32[m, d]; `categorical`: bool[d]; `weights`: float32[real + 1] by the
    number of real values between two; `without`: int64[t] number of the row that does not count for each target, -1 for none.
    (0, 0) where no row has anything in common. Fastest if columns with large weights come first.
    """
    count, width = below.shape
    found, where = np.zeros(count, np.float32), np.zeros(count, np.int64)
    for i in prange(count):
        rest = np.zeros(width + 1, np.float32)  # what the columns from each one on can add at most
        for c in range(width - 1, -1, -1):
            rest[c] = rest[c + 1] + weights[upto[i, c] - below[i, c]]
        best, row = np.float32(0), 0
        for r in range(table_below.shape[0]):
            if r == without[i]:
                continue
            total = np.float32(0)
            for c in range(width):
                if not categorical[c]:
                    first, last = min(below[i, c], table_below[r, c]), max(upto[i, c], table_upto[r, c])
                    total += weights[last - first]
                elif below[i, c] == table_below[r, c]:
                    total += weights[upto[i, c] - below[i, c]]
                if total + rest[c + 1] <= best:
                    break
            if total > best:
                best, row = total, r
        found[i], where[i] = best, row
    return found, where
