"""Denoising of released tables before anything is fitted to them: post-processing, so it costs no budget.

Columns of people depend on each other in few ways: the deviations of all pairs from independence, written as one symmetric
matrix over codes, are close to one of low rank, while noise fills every direction. The matrix is scaled so that noise is
equal everywhere; then eigenvalues below the edge of pure noise are dropped and the others shrunk. How far a cell moves
towards this estimate depends on how much of its released deviation is noise: with a large budget, hardly at all.

Of a wide table only some pairs are measured, so there is no such matrix. Each pair is then judged by itself, among all others:
one that says no more than noise would is taken for independent, and the others shrink towards independence.

Tables of many empty cells are no such sums of few directions: `sparse` takes those that say so themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincc, ndtri

from privsynth.marginals.choice import FALSE_SHARE
from privsynth.marginals.sparse import sparse

ROUNDS = 4  # the blocks of a column with itself are not measured: each round fills them in from the last estimate
WIDEST = 2_500  # codes: beyond, the decomposition takes minutes
TRUST = 0.5  # noise that is stated for a table whose cells are all replaced, as a part of what it was
FITTING_ROUNDS = 30
# standard deviations of noise that a cell holds on average, in most pairs, up to which structure is sought by a prior: all of Adult
# (6.6 at epsilon 1, 12 at 3) lost 2 % of tvd3 by it; credit (1.7 and 3.2) and a hospital of 8,000 patients (3.3) gained
DROWNED = 5.0
UNLIKELY = 0.03  # probability of noise as large as a table's deviation, at most: two standard deviations of a sum of many cells

Columns = tuple[int, ...]
Pairs = dict[Columns, tuple[np.ndarray, float]]  # {two columns: (released share of each cell, its noise)}


class Denoised(NamedTuple):
    """A table with less noise. sigma: what is left of it in a share. signal: squared size of the released deviation from simpler
    tables, less that of noise. chance: probability that noise alone deviates so far. certain: cells are seen to be empty, or codes
    to determine codes."""

    share: np.ndarray
    sigma: float
    signal: float
    chance: float
    certain: bool = False


def denoised(pairs: Pairs, shares: list[np.ndarray]) -> dict[Columns, Denoised]:
    """The pairs that exceed noise, with less of it. shares: released share of each code of each column."""
    if sum(map(len, shares)) <= WIDEST and len(shares) > 2 and len(pairs) == len(shares) * (len(shares) - 1) // 2:
        return _jointly_denoised(pairs, shares)
    found: dict[Columns, Denoised] = {
        (j, k): denoised_pair(share, sigma, shares[j], shares[k]) for (j, k), (share, sigma) in pairs.items()
    }
    return exceeding(found)


def denoised_pair(share: np.ndarray, sigma: float, one: np.ndarray, other: np.ndarray) -> Denoised:
    """One pair by itself, with less noise. one, other: shares of its columns' codes.

    As for all pairs together: what is of low rank, and of the rest in each cell what is not noise. A dependence that runs through
    the whole table, as a correlation does, so stays where every single cell is mostly noise.
    """
    plain = beyond_margins(share, sigma, [other, one])
    alone = np.outer(one, other)
    beyond, free = to_margins(share - alone), float((len(one) - 1) * (len(other) - 1))
    by_cell, _ = noise_part(beyond, sigma, free, alone)
    return plain._replace(share=plain.share + to_margins(by_cell * of_low_rank(beyond, sigma)))


def of_low_rank(beyond: np.ndarray, sigma: float) -> np.ndarray:
    """The low-rank part of one pair's deviation from independence, whose rows and columns sum to zero.

    Singular values of noise of variance 1 in m x n cells end at sqrt(m) + sqrt(n); a larger one, y sqrt(n), is replaced by
    sqrt((y^2 - m/n - 1)^2 - 4 m/n) / y sqrt(n) (Gavish, Donoho 2017, IEEE Trans. Inf. Theory 63: Frobenius loss).
    """
    m, n = sorted(size - 1 for size in beyond.shape)
    left, values, right = np.linalg.svd(beyond, full_matrices=False)
    ratio, y = m / n, values / (max(sigma, 1e-12) * np.sqrt(n))
    kept = y > 1 + np.sqrt(ratio)
    shrunk = np.sqrt((y[kept] ** 2 - ratio - 1) ** 2 - 4 * ratio) / y[kept] * sigma * np.sqrt(n)
    return np.asarray((left[:, kept] * shrunk) @ right[kept])


def exceeding(tables: dict[Columns, Denoised], together: bool = False) -> dict[Columns, Denoised]:
    """Those of these tables that exceed noise, so many that about FALSE_SHARE of them are noise alone (Benjamini, Hochberg 1995).

    If all are noise alone, there is one among them with a probability of about FALSE_SHARE, however many they are. together: if
    the tables deviate in sum by more than noise does (with that same chance), many of them do so a little: then all that are
    UNLIKELY to be noise alone are kept.
    """
    chances = [table.chance for table in tables.values()]
    kept = standing_out(chances)
    if together and -ndtri(np.clip(chances, 1e-12, 1 - 1e-12)).sum() > -ndtri(FALSE_SHARE) * np.sqrt(len(chances)):
        kept |= np.array(chances) <= UNLIKELY
    return {c: table for (c, table), stands_out in zip(tables.items(), kept, strict=True) if stands_out}


def standing_out(chances: Sequence[float] | np.ndarray) -> np.ndarray:
    """Which of these chances are so small that about FALSE_SHARE of those are false alarms.

    >>> standing_out([0.2, 0.001, 0.02, 0.9]).tolist()
    [False, True, True, False]
    """
    ranked = np.sort(chances)
    small = ranked[ranked <= FALSE_SHARE * np.arange(1, len(ranked) + 1) / max(len(ranked), 1)]
    return np.asarray(np.array(chances) <= (small[-1] if len(small) else -1.0))


def chance_of(deviation: np.ndarray | float, free: np.ndarray | float) -> np.ndarray:
    """Probability that noise alone is as large. deviation: its squared size in variances of noise. free: degrees of freedom."""
    return np.asarray(gammaincc(np.asarray(free) / 2, np.maximum(deviation, 0) / 2))


def _jointly_denoised(pairs: Pairs, shares: list[np.ndarray]) -> dict[Columns, Denoised]:
    """All pairs, by what they have in common."""
    alone: dict[Columns, np.ndarray] = {(j, k): np.outer(shares[j], shares[k]) for j, k in pairs}
    beyond = {c: to_margins(share - alone[c]) for c, (share, _) in pairs.items()}
    noise = {c: sigma for c, (_, sigma) in pairs.items()}
    estimate = _low_rank_pairs(beyond, noise, [len(share) for share in shares])
    found = {}
    # a cell's mean number of rows in standard deviations of its noise; noise is released, so this is post-processing
    drowned = float(np.median([1 / (share.size * sigma) for share, sigma in pairs.values()])) <= DROWNED
    for c, released in beyond.items():
        by_cell, part = noise_part(released, noise[c], float(released.size), alone[c])
        cells = sparse(released, noise[c], shares[c[0]], shares[c[1]], estimate[c]) if drowned else None
        share = alone[c] + to_margins(by_cell * estimate[c] + (1 - by_cell) * released)
        sigma = noise[c] * (1 - (1 - TRUST) * part)
        signal = float(((share - alone[c]) ** 2).sum() - share.size * sigma**2)
        found[c] = Denoised(share, sigma, signal, 0.0)
        if cells is not None:
            own = float(((cells.share - alone[c]) ** 2).sum() - share.size * cells.sigma**2)
            found[c] = Denoised(cells.share, cells.sigma, max(signal, own), 0.0, cells.certain)
    return found


def noise_part(beyond: np.ndarray, sigma: float, free: float, alone: np.ndarray) -> tuple[np.ndarray, float]:
    """Which part of a table's deviation from simpler ones is noise, in each cell and in the whole table.

    The variance of the true deviation is taken to grow with the share that simpler tables give a cell, `alone`: the best
    linear estimate of a cell then depends on its own ratio of noise (Wiener 1949), while one ratio for the whole table would
    be the estimator of James and Stein (1961). free: degrees of freedom of the noise.
    """
    observed, noise = float((beyond**2).sum()), sigma**2 * free
    true = max(observed - noise, 0.0) * alone / max(float(alone.sum()), 1e-300)
    return sigma**2 / np.maximum(true + sigma**2, 1e-300), min(1.0, noise / max(observed, 1e-300))


def beyond_margins(share: np.ndarray, sigma: float, margins: list[np.ndarray]) -> Denoised:
    """A table with less noise. margins: for each axis, the estimate of the table without it.

    Its deviation from the table that those margins alone lead to is kept to the extent that it is not noise.
    """
    expected = without_interaction(margins)
    beyond = to_margins(share - expected)
    free = float(np.prod([size - 1 for size in share.shape]))
    observed, noise = float((beyond**2).sum()), sigma**2 * free
    by_cell, part = noise_part(beyond, sigma, free, expected)
    better, left = expected + to_margins((1 - by_cell) * beyond), sigma * (1 - (1 - TRUST) * part)
    return Denoised(better, left, observed - noise, float(chance_of(observed / max(sigma**2, 1e-300), free)))


def without_interaction(margins: list[np.ndarray]) -> np.ndarray:
    """The table with these margins, one without each axis, and no interaction of all columns: iterative proportional
    fitting (Deming, Stephan 1940), from cells that are all slightly positive at least."""
    if len(margins) == 2:
        return np.asarray(np.outer(margins[1], margins[0]))
    positive = [np.maximum(margin, 1e-9) for margin in margins]
    total = positive[0].sum()
    positive = [margin * (total / margin.sum()) for margin in positive]
    shape = (positive[1].shape[0], *positive[0].shape)
    table = np.full(shape, total / np.prod(shape))
    for _ in range(FITTING_ROUNDS):
        for axis, margin in enumerate(positive):
            table *= np.expand_dims(margin / table.sum(axis), axis)
    return table


def _low_rank_pairs(
    beyond: dict[Columns, np.ndarray], noise: dict[Columns, float], sizes: list[int]
) -> dict[Columns, np.ndarray]:
    """The low-rank part of all pairs together."""
    start, d = np.concatenate([[0], np.cumsum(sizes)]), len(sizes)
    place = [slice(start[j], start[j + 1]) for j in range(d)]
    whole, sigma = np.zeros((start[-1],) * 2), np.zeros((d, d))
    for j, k in beyond:
        whole[place[j], place[k]], whole[place[k], place[j]] = beyond[j, k], beyond[j, k].T
        sigma[j, k] = sigma[k, j] = noise[j, k]
    estimate = low_rank(whole, sigma, np.repeat(np.arange(d), sizes))
    return {(j, k): estimate[place[j], place[k]] for j, k in beyond}


def low_rank(beyond: np.ndarray, sigma: np.ndarray, column: np.ndarray) -> np.ndarray:
    """(width, width) low-rank part of the pairs' deviations from independence.

    Eigenvalues of noise of variance 1 end at 2 sqrt(width); a larger one, v, is replaced by sqrt(v^2 - 4 width), which
    has the least squared error (Gavish, Donoho 2017, IEEE Trans. Inf. Theory 63, section III: Frobenius loss).
    """
    scale, same = np.exp(-_log_scales(sigma))[column], column[:, None] == column[None, :]
    scaled = beyond * scale[:, None] * scale[None, :]
    edge = 4.0 * len(column)
    found = np.zeros_like(scaled)
    for _ in range(ROUNDS):
        values, vectors = np.linalg.eigh(np.where(same, found, scaled))
        kept = values**2 > edge
        shrunk = np.sign(values[kept]) * np.sqrt(values[kept] ** 2 - edge)
        found = (vectors[:, kept] * shrunk) @ vectors[:, kept].T
    return np.asarray(found / (scale[:, None] * scale[None, :]))


def _log_scales(sigma: np.ndarray) -> np.ndarray:
    """(columns,) s with s_j + s_k near log sigma_jk for j != k, by least squares."""
    d = len(sigma)
    logs = np.log(np.where(np.eye(d, dtype=bool), 1.0, sigma))
    sums = logs.sum(1)
    return np.asarray((sums - sums.sum() / (2 * (d - 1))) / (d - 2))


def to_margins(beyond: np.ndarray) -> np.ndarray:
    """Deviations moved so that they do not change the table's margins."""
    for axis in range(beyond.ndim):
        beyond = beyond - beyond.mean(axis, keepdims=True)
    return beyond
