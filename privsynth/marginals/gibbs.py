"""The Gibbs kernel that fits synthetic records to the target marginals: each record redraws one cell at a time.

p(value) is proportional to prior(value) * exp(-energy * inverse temperature), with energy = sum over tables of weight *
(count - target)^2 / 2. The prior is the released share of the value in its column: without it, a value that hardly
anybody has would fill up until the energy pushed back. Everything here is post-processing of released tables.

A sweep does not keep how many rows have each value: the rows that crowd a cell flee to values that hardly anybody has, whose
cells are empty and cost nothing, and come back in the next sweep at best. `rake` mends that at the end.

Tables are of two to four columns. Each is laid out once for every one of its columns, with that column last: what the
kernel looks up for all values of that column then lies side by side. `Layout` says where.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numba
import numpy as np

from privsynth.privacy.unit import MAX_WAYS


class Views(NamedTuple):
    """What a record holds: the codes of the d columns, then the groups of those columns whose groups some tables use.

    sizes: (views,) number of codes, or of groups; offset: (d,) where each column starts in arrays of all codes; coarse:
    (d,) the view that holds a column's groups, or -1; group: (width,) group of each code.
    """

    sizes: np.ndarray
    offset: np.ndarray
    coarse: np.ndarray
    group: np.ndarray


class Entries(NamedTuple):
    """Which tables each view takes part in, and where their cells lie: one entry for each pair of a view and a table.

    first: (views + 1,) view u has the entries first[u]:first[u + 1]. others: (entries, MAX_WAYS - 1) the table's other
    views, padded with any of them. strides: (entries, MAX_WAYS, 1 + MAX_WAYS) for each copy of the table its start, then
    the strides of u and of the others, zero for padding; copy 0 has u last. copies: (entries,) how many the table has, one
    for each of its columns.
    """

    first: np.ndarray
    others: np.ndarray
    strides: np.ndarray
    copies: np.ndarray


class Energy(NamedTuple):
    """weight: (entries,) of each entry's table. residual: of every cell of the layout, weight * (count - target), kept
    current. weight1, residual1: (width,) the same for single columns; prior: (width,) zero for what must not be drawn. All
    are float32."""

    weight: np.ndarray
    residual: np.ndarray
    weight1: np.ndarray
    residual1: np.ndarray
    prior: np.ndarray


class Blocks(NamedTuple):
    """Columns that constraints tie together: block b has the columns columns[first[b]:first[b + 1]]."""

    first: np.ndarray
    columns: np.ndarray

    @classmethod
    def of(cls, blocks: list[tuple[int, ...]]) -> Blocks:
        first = np.concatenate([[0], np.cumsum([len(block) for block in blocks])])
        return cls(first.astype(np.int64), np.array([j for block in blocks for j in block], np.int64))


@dataclass(frozen=True)
class Layout:
    """Where tables lie in one flat array.

    table: (entries,) which table each entry is about. once: (tables,) one entry of each table. span: (tables,) where each
    table's copies begin; length: of the flat array.
    """

    entries: Entries
    table: np.ndarray
    once: np.ndarray
    span: np.ndarray
    length: int

    @classmethod
    def of(cls, sizes: tuple[int, ...], tables: list[tuple[int, ...]]) -> Layout:
        """sizes: codes of each view; tables: two to MAX_WAYS different views each."""
        found: list[list[tuple[int, list[int], list[list[int]]]]] = [[] for _ in sizes]
        span, at = [], 0
        for t, columns in enumerate(tables):
            span.append(at)
            copy_of = {}  # for each column the copy in which it is last: its start, and the stride of each column
            for last in columns:
                shape = [c for c in columns if c != last] + [last]
                strides = np.cumprod([1] + [sizes[c] for c in reversed(shape[1:])])[::-1]
                copy_of[last] = (at, dict(zip(shape, strides.tolist(), strict=True)))
                at += int(np.prod([sizes[c] for c in columns]))
            for u in columns:
                rest = [c for c in columns if c != u]
                spare = MAX_WAYS - len(columns)
                places = [copy_of[last] for last in [u, *rest]]
                copies = [[start, stride[u], *[stride[c] for c in rest], *[0] * spare] for start, stride in places]
                found[u].append((t, rest + rest[:1] * spare, copies + [[0] * (1 + MAX_WAYS)] * spare))
        flat = [entry for column in found for entry in column]
        table = np.array([t for t, _, _ in flat], np.int32)
        entries = Entries(
            np.concatenate([[0], np.cumsum([len(column) for column in found])]).astype(np.int32),
            np.array([rest for _, rest, _ in flat], np.int32).reshape(-1, MAX_WAYS - 1),
            np.array([copies for _, _, copies in flat], np.int64).reshape(-1, MAX_WAYS, 1 + MAX_WAYS),
            np.array([len(tables[t]) for t in table], np.int32),
        )
        once = np.unique(table, return_index=True)[1].astype(np.int32)
        return cls(entries, table, once, np.array(span, np.int64), at)

    def flat(self, shares: list[np.ndarray]) -> np.ndarray:
        """The tables' values (axes in the order of their columns), laid out: (length,) float32."""
        copies = (np.moveaxis(share, axis, -1).ravel() for share in shares for axis in range(share.ndim))
        return np.concatenate([*copies, np.zeros(0)], dtype=np.float32, casting="same_kind")

    @property
    def tables(self) -> list[slice]:
        """Where all copies of each table lie."""
        return [slice(int(start), int(end)) for start, end in pairwise([*self.span, self.length])]

    def count(self, rows: np.ndarray) -> np.ndarray:
        """(length,) float32 counts of rows in every cell; exact below 2^24 rows."""
        counts = np.zeros(self.length, np.float32)
        view = np.searchsorted(self.entries.first, self.once, side="right") - 1
        _count(rows, self.once, view, self.entries, counts)
        return counts


@numba.njit(cache=True, nogil=True)
def _count(rows: np.ndarray, once: np.ndarray, view: np.ndarray, entries: Entries, counts: np.ndarray) -> None:
    for i in range(len(rows)):
        row = rows[i]
        for t in range(len(once)):
            e = once[t]
            v, o = row[view[t]], entries.others[e]
            for c in range(entries.copies[e]):
                s = entries.strides[e, c]
                counts[s[0] + s[1] * v + s[2] * row[o[0]] + s[3] * row[o[1]] + s[4] * row[o[2]]] += 1


@numba.njit(fastmath=True, cache=True, nogil=True)
def sweep(
    rows: np.ndarray, order: np.ndarray, views: Views, entries: Entries, terms: Energy, blocks: Blocks,
    inverse_temperature: np.float32, seed: int,
) -> None:  # fmt: skip
    """One pass over the rows in `order`; each redraws every cell once, in a random order of its own. With cells picked
    at random, of which a pass leaves out a third, it took one and a half times as many passes to come as near.

    Columns that constraints tie together cannot change one by one: a child that grows up needs an income at once. So each row
    may also take all of them from another row, by the energy that this changes (Metropolis et al. 1953).

    rows: (n, views) int32; they, and the residuals in `terms`, are changed in place.
    """
    np.random.seed(seed)
    # unpacked once: with the tuples passed on to the functions below, a sweep took 5 % longer; so it takes no longer than
    # with 17 separate arguments
    sizes, offset, coarse, group = views.sizes, views.offset, views.coarse, views.group
    first, others, strides, copies = entries.first, entries.others, entries.strides, entries.copies
    weight, residual, weight1, residual1, prior = (
        terms.weight,
        terms.residual,
        terms.weight1,
        terms.residual1,
        terms.prior,
    )
    d = len(coarse)
    energy, part = np.zeros(sizes.max(), np.float32), np.zeros(sizes.max(), np.float32)
    turn, before, wanted = np.arange(d), np.zeros(d, np.int64), np.zeros(d, np.int64)
    for i in order:
        row = rows[i]
        for k in range(d):
            pick = k + np.random.randint(d - k)
            j, turn[pick] = turn[pick], turn[k]
            turn[k] = j
            size, start, old = sizes[j], offset[j], row[j]
            for v in range(size):
                energy[v] = residual1[start + v]
            own = _add(energy, size, row, j, first, others, strides, weight, residual)
            energy[old] -= own + weight1[start + old]  # the row itself does not count as one more
            if coarse[j] >= 0:
                part[: sizes[coarse[j]]] = 0
                own = _add(part, sizes[coarse[j]], row, coarse[j], first, others, strides, weight, residual)
                part[row[coarse[j]]] -= own
                for v in range(size):
                    energy[v] += part[group[start + v]]
            new = _draw(energy, prior[start : start + size], inverse_temperature)
            if new == old:
                continue
            residual1[start + old] -= weight1[start + old]
            residual1[start + new] += weight1[start + new]
            _move(row, j, old, new, first, others, strides, copies, weight, residual)
            if coarse[j] >= 0:
                _move(
                    row, coarse[j], row[coarse[j]], group[start + new], first, others, strides, copies, weight, residual
                )
        for b in range(len(blocks.first) - 1):
            tied, donor = blocks.columns[blocks.first[b] : blocks.first[b + 1]], rows[np.random.randint(len(rows))]
            change = np.float32(0)
            for j in tied:
                before[j], wanted[j] = row[j], donor[j]
            for j in tied:
                change += _go(row, j, wanted[j], views, entries, terms)
            if change > 0 and np.random.random() >= np.exp(-change * inverse_temperature):
                for j in tied:
                    _go(row, j, before[j], views, entries, terms)


@numba.njit(fastmath=True, cache=True, nogil=True)
def _go(row: np.ndarray, j: int, new: int, views: Views, entries: Entries, terms: Energy) -> np.float32:
    """Column j of the row takes another code; returns the change of energy, in which walls, of weight 0, do not count."""
    old, start = row[j], views.offset[j]
    if new == old:
        return np.float32(0)
    residual1, weight1 = terms.residual1, terms.weight1
    change = residual1[start + new] - residual1[start + old] + (weight1[start + new] + weight1[start + old]) / 2
    residual1[start + old] -= weight1[start + old]
    residual1[start + new] += weight1[start + new]
    change += _step(row, j, old, new, entries, terms)
    u = views.coarse[j]
    if u >= 0 and row[u] != views.group[start + new]:
        change += _step(row, u, row[u], views.group[start + new], entries, terms)
    return np.float32(change)


@numba.njit(fastmath=True, cache=True, nogil=True)
def _step(row: np.ndarray, u: int, old: int, new: int, entries: Entries, terms: Energy) -> np.float32:
    """View u of the row goes from old to new; returns the change of energy."""
    change = np.float32(0)
    for e in range(entries.first[u], entries.first[u + 1]):
        w = terms.weight[e]
        if w > 0:
            s, o = entries.strides[e, 0], entries.others[e]
            base = s[0] + s[2] * row[o[0]] + s[3] * row[o[1]] + s[4] * row[o[2]]
            change += terms.residual[base + s[1] * new] - terms.residual[base + s[1] * old] + w
    _move(
        row, u, old, new, entries.first, entries.others, entries.strides, entries.copies, terms.weight, terms.residual
    )
    return change


@numba.njit(fastmath=True, cache=True, nogil=True)
def rake(
    rows: np.ndarray, surplus: np.ndarray, views: Views, entries: Entries, terms: Energy, candidates: int, most: np.float32,
    seed: int,
) -> None:  # fmt: skip
    """Changes as few cells as it takes for each code to have as many rows as wanted, those that cost least.

    surplus: (width,) how many rows more than wanted have each code, 0 in sum for every column. As long as a code has some, the
    best of `candidates` of its rows, picked at random, goes to a code that lacks rows: best is what lowers the energy most.
    Which codes have how many rows then no longer depends on how the tables of several columns were followed. most: energy that
    a move may cost: one into what no row has costs more, and where none of the candidates has another, the rest stays.
    """
    np.random.seed(seed)
    sizes, offset, coarse, group = views.sizes, views.offset, views.coarse, views.group
    first, others, strides, copies = entries.first, entries.others, entries.strides, entries.copies
    weight, residual = terms.weight, terms.residual
    energy, part = np.zeros(sizes.max(), np.float32), np.zeros(sizes.max(), np.float32)
    for j in np.random.permutation(len(coarse)):
        size, lacking = sizes[j], surplus[offset[j] : offset[j] + sizes[j]]
        if lacking.max() <= 0:
            continue
        by_code = np.argsort(rows[:, j], kind="mergesort")
        end = np.cumsum(np.bincount(rows[:, j], minlength=size))
        for old in range(size):
            begin, held = (end[old - 1] if old > 0 else 0), end[old]
            while lacking[old] > 0:
                least, best, new = np.float32(np.inf), begin, int(np.argmin(lacking))
                for _ in range(candidates):
                    k = begin + np.random.randint(held - begin)
                    row = rows[by_code[k]]
                    _look_up(
                        energy,
                        part,
                        row,
                        j,
                        size,
                        offset[j],
                        sizes,
                        coarse,
                        group,
                        first,
                        others,
                        strides,
                        weight,
                        residual,
                    )
                    for v in range(size):
                        if lacking[v] < 0 and energy[v] - energy[old] < least:
                            least, best, new = energy[v] - energy[old], k, v
                if least > most and least < np.float32(np.inf):
                    break
                row = rows[by_code[best]]
                lacking[old] -= 1
                lacking[new] += 1
                _move(row, j, old, new, first, others, strides, copies, weight, residual)
                if coarse[j] >= 0:
                    before, after = row[coarse[j]], group[offset[j] + new]
                    _move(row, coarse[j], before, after, first, others, strides, copies, weight, residual)
                held -= 1
                by_code[best] = by_code[held]


@numba.njit(fastmath=True, cache=True, nogil=True)
def _look_up(
    energy: np.ndarray, part: np.ndarray, row: np.ndarray, j: int, size: int, start: int, sizes: np.ndarray,
    coarse: np.ndarray, group: np.ndarray, first: np.ndarray, others: np.ndarray, strides: np.ndarray,
    weight: np.ndarray, residual: np.ndarray,
) -> None:  # fmt: skip
    """What all tables say of each value of column j in this row, which itself does not count as one more."""
    energy[:size] = 0
    own = _add(energy, size, row, j, first, others, strides, weight, residual)
    energy[row[j]] -= own
    if coarse[j] >= 0:
        part[: sizes[coarse[j]]] = 0
        own = _add(part, sizes[coarse[j]], row, coarse[j], first, others, strides, weight, residual)
        part[row[coarse[j]]] -= own
        for v in range(size):
            energy[v] += part[group[start + v]]


@numba.njit(fastmath=True, cache=True, nogil=True)
def _add(
    energy: np.ndarray, size: int, row: np.ndarray, u: int, first: np.ndarray, others: np.ndarray, strides: np.ndarray,
    weight: np.ndarray, residual: np.ndarray,
) -> np.float32:  # fmt: skip
    """Adds what all tables of view u say of each of its values; returns the sum of their weights."""
    own = np.float32(0)
    for e in range(first[u], first[u + 1]):
        s, o = strides[e, 0], others[e]
        line = residual[s[0] + s[2] * row[o[0]] + s[3] * row[o[1]] + s[4] * row[o[2]] :]
        for v in range(size):
            energy[v] += line[v]
        own += weight[e]
    return own


@numba.njit(fastmath=True, cache=True, nogil=True)
def _move(
    row: np.ndarray, u: int, old: int, new: int, first: np.ndarray, others: np.ndarray, strides: np.ndarray,
    copies: np.ndarray, weight: np.ndarray, residual: np.ndarray,
) -> None:  # fmt: skip
    """View u of the row goes from old to new, in every copy of every table."""
    for e in range(first[u], first[u + 1]):
        o, w = others[e], weight[e]
        x, y, z = row[o[0]], row[o[1]], row[o[2]]
        for c in range(copies[e]):
            s = strides[e, c]
            base = s[0] + s[2] * x + s[3] * y + s[4] * z
            residual[base + s[1] * old] -= w
            residual[base + s[1] * new] += w
    row[u] = new


@numba.njit(fastmath=True, cache=True, nogil=True)
def _draw(energy: np.ndarray, prior: np.ndarray, inverse_temperature: np.float32) -> int:
    """A value with probability proportional to prior * exp(-energy * inverse_temperature); overwrites energy."""
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
