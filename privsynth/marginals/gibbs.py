"""The kernel of the anchor: rows redraw one cell at a time so that their counts come near the noisy tables.

p(value) is proportional to prior(value) * exp(-energy * warmth), energy = sum over tables of weight * (count - goal)^2
/ 2. The prior is the released share of the value in its column: without it, a value that hardly anybody has would fill
up until the energy pushed back. Everything here is post-processing of released tables.

Tables are of two to four columns. Each is laid out once for every one of its columns, with that column last: what a
cell looks up for all values of its column then lies side by side. `Layout` says where.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np

from privsynth.privacy.unit import MOST_WAYS


@dataclass(frozen=True)
class Layout:
    """Where tables lie in one flat array.

    Entries belong to columns: column u's are first[u]:first[u + 1], one for each table that u takes part in. others:
    (entries, MOST_WAYS - 1) the table's other columns, filled up with any of them. steps: (entries, MOST_WAYS, 1 +
    MOST_WAYS) for each copy of the table its start and the strides of u and of the others, zero for what is filled up;
    copy 0 has u last. table: (entries,) which table. copies: (entries,) how many the table has, one for each column.
    once: (tables,) one entry of each table. span: (tables,) where each table's copies begin; length: of the flat array.
    """

    first: np.ndarray
    others: np.ndarray
    steps: np.ndarray
    table: np.ndarray
    copies: np.ndarray
    once: np.ndarray
    span: np.ndarray
    length: int

    @classmethod
    def of(cls, sizes: tuple[int, ...], tables: list[tuple[int, ...]]) -> Layout:
        """sizes: codes of each column; tables: two to MOST_WAYS different columns each."""
        found: list[list[tuple[int, list[int], list[list[int]]]]] = [[] for _ in sizes]
        span, at = [], 0
        for t, columns in enumerate(tables):
            span.append(at)
            strides = {}
            for last in columns:
                shape = [c for c in columns if c != last] + [last]
                steps = np.cumprod([1] + [sizes[c] for c in reversed(shape[1:])])[::-1]
                strides[last] = (at, dict(zip(shape, steps.tolist(), strict=True)))
                at += int(np.prod([sizes[c] for c in columns]))
            for u in columns:
                rest = [c for c in columns if c != u]
                spare = MOST_WAYS - len(columns)
                places = [strides[last] for last in [u, *rest]]
                copies = [[s, by[u], *[by[c] for c in rest], *[0] * spare] for s, by in places]
                found[u].append((t, rest + rest[:1] * spare, copies + [[0] * (1 + MOST_WAYS)] * spare))
        entries = [entry for column in found for entry in column]
        table = np.array([t for t, _, _ in entries], np.int32)
        return cls(
            np.concatenate([[0], np.cumsum([len(column) for column in found])]).astype(np.int32),
            np.array([rest for _, rest, _ in entries], np.int32).reshape(-1, MOST_WAYS - 1),
            np.array([copies for _, _, copies in entries], np.int64).reshape(-1, MOST_WAYS, 1 + MOST_WAYS),
            table,
            np.array([len(tables[t]) for t in table], np.int32),
            np.unique(table, return_index=True)[1].astype(np.int32),
            np.array(span, np.int64),
            at,
        )

    def flat(self, shares: list[np.ndarray]) -> np.ndarray:
        """The tables' values (axes as their columns stand), laid out: (length,) float32."""
        copies = (np.moveaxis(share, axis, -1).ravel() for share in shares for axis in range(share.ndim))
        return np.concatenate([*copies, np.zeros(0)], dtype=np.float32, casting="same_kind")

    @property
    def tables(self) -> list[slice]:
        """Where all copies of each table lie."""
        return [slice(int(start), int(end)) for start, end in pairwise([*self.span, self.length])]

    def count(self, rows: np.ndarray) -> np.ndarray:
        """(length,) float32 counts of rows in every cell; exact below 2^24 rows."""
        counts = np.zeros(self.length, np.float32)
        column = np.searchsorted(self.first, self.once, side="right") - 1
        _count(rows, self.once, column, self.others, self.steps, self.copies, counts)
        return counts


@numba.njit(cache=True, nogil=True)
def _count(
    rows: np.ndarray, once: np.ndarray, column: np.ndarray, others: np.ndarray, steps: np.ndarray, copies: np.ndarray,
    counts: np.ndarray,
) -> None:  # fmt: skip
    for i in range(len(rows)):
        row = rows[i]
        for t in range(len(once)):
            e = once[t]
            v, o = row[column[t]], others[e]
            for c in range(copies[e]):
                s = steps[e, c]
                counts[s[0] + s[1] * v + s[2] * row[o[0]] + s[3] * row[o[1]] + s[4] * row[o[2]]] += 1


@numba.njit(fastmath=True, cache=True, nogil=True)
def sweep(
    rows: np.ndarray, order: np.ndarray, offset: np.ndarray, sizes: np.ndarray, coarse: np.ndarray, group: np.ndarray,
    first: np.ndarray, others: np.ndarray, steps: np.ndarray, copies: np.ndarray, weight: np.ndarray,
    residual: np.ndarray, residual1: np.ndarray, weight1: np.ndarray, prior: np.ndarray, inverse_temperature: float, seed: int,
) -> None:  # fmt: skip
    """One pass over the rows in `order`; each redraws every cell once, in a random order of its own. With cells picked
    by chance, of which a pass leaves out a third, it took one and a half times as many passes to come as near.

    rows: (n, views) int32, changed in place: codes of the d columns, then of those columns of whose groups of codes some
    tables speak the groups. sizes: (views,); coarse: (d,) the view of a column's groups, or -1; group: (width,) group of
    each code. residual:
    float32, weight * (count - goal) of every cell of the `Layout`, kept current; weight: (entries,) float32; residual1,
    weight1: (width,) float32, the same for single columns; prior: (width,) float32, zero for what must not be drawn.
    """
    np.random.seed(seed)
    d = len(coarse)
    energy, part = np.zeros(sizes.max(), np.float32), np.zeros(sizes.max(), np.float32)
    turn = np.arange(d)
    for i in order:
        row = rows[i]
        for k in range(d):
            pick = k + np.random.randint(d - k)
            j, turn[pick] = turn[pick], turn[k]
            turn[k] = j
            size, start, old = sizes[j], offset[j], row[j]
            for v in range(size):
                energy[v] = residual1[start + v]
            own = _add(energy, size, row, j, first, others, steps, weight, residual)
            energy[old] -= own + weight1[start + old]  # the row itself does not count as one more
            if coarse[j] >= 0:
                part[: sizes[coarse[j]]] = 0
                own = _add(part, sizes[coarse[j]], row, coarse[j], first, others, steps, weight, residual)
                part[row[coarse[j]]] -= own
                for v in range(size):
                    energy[v] += part[group[start + v]]
            new = _draw(energy, prior[start : start + size], inverse_temperature)
            if new == old:
                continue
            residual1[start + old] -= weight1[start + old]
            residual1[start + new] += weight1[start + new]
            _move(row, j, old, new, first, others, steps, copies, weight, residual)
            if coarse[j] >= 0:
                _move(
                    row, coarse[j], row[coarse[j]], group[start + new], first, others, steps, copies, weight, residual
                )


@numba.njit(fastmath=True, cache=True, nogil=True)
def _add(
    energy: np.ndarray, size: int, row: np.ndarray, u: int, first: np.ndarray, others: np.ndarray, steps: np.ndarray,
    weight: np.ndarray, residual: np.ndarray,
) -> float:  # fmt: skip
    """Adds what all tables of view u say of each of its values; returns the sum of their weights."""
    own = np.float32(0)
    for e in range(first[u], first[u + 1]):
        s, o = steps[e, 0], others[e]
        line = residual[s[0] + s[2] * row[o[0]] + s[3] * row[o[1]] + s[4] * row[o[2]] :]
        for v in range(size):
            energy[v] += line[v]
        own += weight[e]
    return own


@numba.njit(fastmath=True, cache=True, nogil=True)
def _move(
    row: np.ndarray, u: int, old: int, new: int, first: np.ndarray, others: np.ndarray, steps: np.ndarray,
    copies: np.ndarray, weight: np.ndarray, residual: np.ndarray,
) -> None:  # fmt: skip
    """View u of the row goes from old to new, in every copy of every table."""
    for e in range(first[u], first[u + 1]):
        o, w = others[e], weight[e]
        x, y, z = row[o[0]], row[o[1]], row[o[2]]
        for c in range(copies[e]):
            s = steps[e, c]
            base = s[0] + s[2] * x + s[3] * y + s[4] * z
            residual[base + s[1] * old] -= w
            residual[base + s[1] * new] += w
    row[u] = new


@numba.njit(fastmath=True, cache=True, nogil=True)
def _draw(energy: np.ndarray, prior: np.ndarray, inverse_temperature: float) -> int:
    """A value with probability proportional to prior * exp(-energy * warmth); overwrites energy."""
    least, size = np.float32(np.inf), len(prior)
    for v in range(size):
        if prior[v] > 0 and energy[v] < least:
            least = energy[v]
    total = np.float32(0.0)
    for v in range(size):
        energy[v] = prior[v] * np.exp((least - energy[v]) * inverse_temperature) if prior[v] > 0 else np.float32(0)
        total += energy[v]
    u, new = np.random.random() * total, 0
    while new < size - 1 and u > energy[new]:
        u -= energy[new]
        new += 1
    return new
