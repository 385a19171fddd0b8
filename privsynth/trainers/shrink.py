"""Noise taken out of released pairs before anything is fitted to them: post-processing, so free.

Columns of people go together in few ways: what all pairs say beyond independent columns, written as one symmetric matrix
over codes, is close to one of low rank, while noise fills every direction. Scaled so that noise is equal everywhere, its
eigenvalues below the edge of pure noise are dropped and the others shortened. How far a pair then moves towards this
estimate depends on how much of what was released about it is noise: with a large budget, hardly at all.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 4  # the blocks of a column with itself are not measured: they are filled in from the estimate, again and again
WIDEST = 2_500  # codes: beyond, the decomposition takes minutes
TRUST = 0.5  # noise of a pair that is replaced altogether, as a part of what it was


def shrunk(
    goal: np.ndarray, sigma: np.ndarray, shares: np.ndarray, sizes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """(goal, sigma) with less noise.

    goal: (width, width) released share of every pair of codes, symmetric, zero within a column. sigma: (columns,
    columns) noise of a share in each pair. shares: (width,) released shares of codes.
    """
    column = np.repeat(np.arange(len(sizes)), sizes)
    within = column[:, None] == column[None, :]
    alone = np.outer(shares, shares)
    with_margins = np.where(within, 0.0, _to_margins(goal - alone, sizes))
    if len(shares) > WIDEST or len(sizes) < 3:
        return np.where(within, 0.0, alone + with_margins), sigma
    estimate = low_rank(with_margins, sigma, within, column)
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    told = _block_sums(with_margins**2, start)  # squared distance of each pair from independence, noise included
    noise = sigma**2 * np.outer(sizes, sizes)
    part = np.minimum(1.0, noise / np.maximum(told, 1e-300))  # James, Stein 1961: towards a fixed point, by noise / all
    spread = part[column][:, column]
    better = alone + spread * estimate + (1 - spread) * with_margins
    return np.where(within, 0.0, better), sigma * (1 - (1 - TRUST) * part)


def low_rank(beyond: np.ndarray, sigma: np.ndarray, within: np.ndarray, column: np.ndarray) -> np.ndarray:
    """(width, width) low-rank part of what pairs say beyond independence.

    Eigenvalues of noise of variance 1 end at 2 sqrt(width); a larger one, v, comes from a true sqrt(v^2 - 4 width) at
    the least squared error (Gavish, Donoho 2017, IEEE Trans. Inf. Theory 63, section III: Frobenius loss).
    """
    scale = np.exp(-_log_scales(sigma))[column]
    scaled = beyond * scale[:, None] * scale[None, :]
    edge = 4.0 * len(column)
    found = np.zeros_like(scaled)
    for _ in range(ROUNDS):
        values, vectors = np.linalg.eigh(np.where(within, found, scaled))
        kept = values**2 > edge
        shorter = np.sign(values[kept]) * np.sqrt(values[kept] ** 2 - edge)
        found = (vectors[:, kept] * shorter) @ vectors[:, kept].T
    return np.asarray(found / (scale[:, None] * scale[None, :]))


def _log_scales(sigma: np.ndarray) -> np.ndarray:
    """(columns,) s with s_j + s_k near log sigma_jk for j != k, by least squares."""
    d = len(sigma)
    logs = np.log(np.where(np.eye(d, dtype=bool), 1.0, sigma))
    sums = logs.sum(1)
    return np.asarray((sums - sums.sum() / (2 * (d - 1))) / (d - 2))


def _to_margins(beyond: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """What pairs say beyond independence, moved so that no pair changes its columns' released shares."""
    start, count = np.concatenate([[0], np.cumsum(sizes)[:-1]]), np.array(sizes)
    rows = np.add.reduceat(beyond, start, 1) / count  # (width, columns) mean over the codes of the other column
    means = np.add.reduceat(rows, start, 0) / count[:, None]
    column = np.repeat(np.arange(len(sizes)), sizes)
    return np.asarray(beyond - rows[:, column] - rows.T[column] + means[column][:, column])


def _block_sums(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    return np.asarray(np.add.reduceat(np.add.reduceat(values, start, 0), start, 1))
