"""Denoising of released tables before anything is fitted to them: post-processing, so it costs no budget.

Columns of people depend on each other in few ways: the deviations of all pairs from independence, written as one symmetric
matrix over codes, are close to one of low rank, while noise fills every direction. The matrix is scaled so that noise is
equal everywhere; then eigenvalues below the edge of pure noise are dropped and the others shrunk. How far a cell moves
towards this estimate depends on how much of its released deviation is noise: with a large budget, hardly at all.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 4  # the blocks of a column with itself are not measured: each round fills them in from the last estimate
WIDEST = 2_500  # codes: beyond, the decomposition takes minutes
TRUST = 0.5  # noise that is stated for a table whose cells are all replaced, as a part of what it was
FITTING_ROUNDS = 30
SIGNIFICANT = 2.0  # standard deviations by which a table has to exceed noise

Columns = tuple[int, ...]
Pairs = dict[Columns, tuple[np.ndarray, float]]  # {two columns: (released share of each cell, its noise)}


def denoised(pairs: Pairs, shares: list[np.ndarray]) -> Pairs:
    """The pairs with less noise. shares: released share of each code of each column."""
    alone: dict[Columns, np.ndarray] = {(j, k): np.outer(shares[j], shares[k]) for j, k in pairs}
    beyond = {c: _to_margins(share - alone[c]) for c, (share, _) in pairs.items()}
    sizes = [len(share) for share in shares]
    noise = {c: sigma for c, (_, sigma) in pairs.items()}
    kept = beyond
    if sum(sizes) <= WIDEST and len(sizes) > 2 and len(pairs) == len(sizes) * (len(sizes) - 1) // 2:
        estimate = _low_rank_pairs(beyond, noise, sizes)
        part = {c: noise_part(b, noise[c], float(b.size), alone[c]) for c, b in beyond.items()}
        kept = {c: _to_margins(part[c][0] * estimate[c] + (1 - part[c][0]) * b) for c, b in beyond.items()}
        noise = {c: sigma * (1 - (1 - TRUST) * part[c][1]) for c, sigma in noise.items()}
    return {c: (alone[c] + kept[c], noise[c]) for c in pairs}


def noise_part(beyond: np.ndarray, sigma: float, free: float, alone: np.ndarray) -> tuple[np.ndarray, float]:
    """Which part of a table's deviation from simpler ones is noise, in each cell and in the whole table.

    The variance of the true deviation is taken to grow with the share that simpler tables give a cell, `alone`: the best
    linear estimate of a cell then depends on its own ratio of noise (Wiener 1949), while one ratio for the whole table would
    be the estimator of James and Stein (1961). free: degrees of freedom of the noise.
    """
    observed, noise = float((beyond**2).sum()), sigma**2 * free
    true = max(observed - noise, 0.0) * alone / max(float(alone.sum()), 1e-300)
    return sigma**2 / np.maximum(true + sigma**2, 1e-300), min(1.0, noise / max(observed, 1e-300))


def beyond_margins(
    share: np.ndarray, sigma: float, margins: list[np.ndarray], significant: float = SIGNIFICANT
) -> tuple[np.ndarray, float, float]:
    """(share, sigma, signal) of a table with less noise. margins: for each axis, the estimate of the table without it.

    Its deviation from the table that those margins alone lead to is kept to the extent that it is not noise. signal: the
    squared size of that deviation, less noise, or 0 where it does not exceed noise by `significant` standard deviations.
    """
    expected = without_interaction(margins)
    beyond = _to_margins(share - expected)
    free = float(np.prod([size - 1 for size in share.shape]))
    observed, noise = float((beyond**2).sum()), sigma**2 * free
    by_cell, part = noise_part(beyond, sigma, free, expected)
    signal = observed - noise if observed > noise + significant * sigma**2 * np.sqrt(2 * free) else 0.0
    return expected + _to_margins((1 - by_cell) * beyond), sigma * (1 - (1 - TRUST) * part), signal


def without_interaction(margins: list[np.ndarray]) -> np.ndarray:
    """The table with these margins, one without each axis, and no interaction of all columns: iterative proportional
    fitting (Deming, Stephan 1940), from cells that are all slightly positive at least."""
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


def _to_margins(beyond: np.ndarray) -> np.ndarray:
    """Deviations moved so that they do not change the table's margins."""
    for axis in range(beyond.ndim):
        beyond = beyond - beyond.mean(axis, keepdims=True)
    return beyond
