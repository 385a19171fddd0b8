"""Pairs whose structure stands out of noise cell by cell: cells that are empty, codes that determine another column's code.

A linear estimate shrinks all deviations from independence alike. Of a table in which most cells are empty, or each code of one
column goes with one code of the other, that loses what is certain: a row of an obstetric ward with 270 +- 27 women and -7 +- 27
men says that there are none. Here each cell has a prior of several parts, whose weights are fitted to the released table by
maximum marginal likelihood: empirical Bayes (Robbins 1956), with EM (Dempster, Laird, Rubin 1977). The parts are Gaussians of
several widths around the table of independent columns (Stephens 2017, Biostatistics 18), an empty cell, and a full one (George,
McCulloch 1993: spike and slab). A code of one column may besides determine the other's, which is one choice for the whole line.

Post-processing: it reads a released table, the stated noise and released shares of codes, and nothing else. A table is taken
as it was unless this prior is more likely than a single Gaussian by CLEARLY in log likelihood.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

WIDTHS = (0.05, 0.25, 1.0, 4.0)  # variances of the Gaussian parts, in that of the table's deviations on average
CLEARLY = 3.0  # log likelihood: what five weights more bring by chance is about two
ROUNDS, LINE_ROUNDS, MARGIN_ROUNDS = 60, 40, 40
BORROWED = 2.0  # cells that the whole table's weights count for in a line's own
LEAST_LEFT = 0.25  # of the noise, which is stated for a denoised table at least


class Sparse(NamedTuple):
    """share: of each cell. sigma: what is left of noise. certain: True if cells are empty or codes determine codes by more than
    CLEARLY, and not only deviations have more than one width."""

    share: np.ndarray
    sigma: float
    certain: bool


class _Determined(NamedTuple):
    """chance: (codes,) that a code determines the other column's. mean, variance: of its cells if so. fit: log likelihood of the
    whole table."""

    chance: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    fit: float


def sparse(beyond: np.ndarray, sigma: float, one: np.ndarray, other: np.ndarray, low_rank: np.ndarray) -> Sparse | None:
    """The pair with less noise, or None if a single Gaussian is as likely.

    beyond: released deviation from independence. one, other: shares of the columns' codes. low_rank: what other pairs say of it.
    """
    alone = np.outer(one, other)
    free = (len(one) - 1) * (len(other) - 1)
    width = max(float((beyond**2).sum()) - sigma**2 * free, 0.0) / max(float(alone.sum()), 1e-300)
    if width <= 0 or sigma <= 0:
        return None
    full, noisy = np.minimum.outer(one, other), alone + beyond
    variances = [width * scale * alone for scale in WIDTHS]
    parts = [_log_normal(beyond, sigma**2 + v) for v in variances]
    parts += [
        _log_normal(noisy, np.full_like(noisy, sigma**2)),
        _log_normal(noisy - full, np.full_like(noisy, sigma**2)),
    ]
    smooth, logs = np.stack(parts[: len(WIDTHS)]), np.stack(parts)
    plain = float(_log_normal(beyond, sigma**2 + width * alone).sum())
    weights = _weights(logs)
    cells = _mixed(logs, weights)
    ways = [_determined(noisy, sigma, one, other, cells), _turned(_determined(noisy.T, sigma, other, one, cells.T))]
    way = max(ways, key=lambda found: found.fit)
    fit = max(float(cells.sum()), way.fit)
    if fit - plain < CLEARLY:
        return None
    mean, square = _moments(_by_line(logs, weights), beyond, alone, low_rank, sigma, variances, full)
    if way.fit > float(cells.sum()) + CLEARLY:
        square = (1 - way.chance) * square + way.chance * (way.mean**2 + way.variance)
        mean = (1 - way.chance) * mean + way.chance * way.mean
    variance = np.maximum(square - mean**2, 0.0)
    left = min(sigma, max(float(np.sqrt(variance.mean())), LEAST_LEFT * sigma))
    certain = fit - float(_mixed(smooth, _weights(smooth)).sum()) > CLEARLY
    return Sparse(with_margins(mean, variance + 1e-3 * sigma**2, one, other), left, certain)


def with_margins(table: np.ndarray, variance: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The table with these margins and no cell below zero: what a line has too much or too little is shared among its cells in
    proportion to their variance, as the conditional mean of Gaussian cells given their sum would be, so that a cell known to be
    empty stays so. Scaling all cells of a line instead took from the sure ones what the unsure had in excess."""
    for _ in range(MARGIN_ROUNDS):
        table = np.maximum(table + variance * ((one - table.sum(1)) / variance.sum(1))[:, None], 0.0)
        table = np.maximum(table + variance * ((other - table.sum(0)) / variance.sum(0))[None, :], 0.0)
    for _ in range(MARGIN_ROUNDS):  # exactly: iterative proportional fitting (Deming, Stephan 1940)
        table = table * (one / np.maximum(table.sum(1), 1e-12))[:, None]
        table = table * (other / np.maximum(table.sum(0), 1e-12))[None, :]
    return table


def _log_normal(value: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return np.asarray(-0.5 * (value**2 / variance + np.log(2 * np.pi * variance)))


def _weights(logs: np.ndarray) -> np.ndarray:
    """(parts,) weights of the parts that make the table most likely. logs: (parts, ...) log likelihood of each cell."""
    flat = logs.reshape(len(logs), -1)
    likely, weights = np.exp(flat - flat.max(0)), np.full(len(logs), 1 / len(logs))
    for _ in range(ROUNDS):
        share = weights[:, None] * likely
        weights = np.maximum((share / share.sum(0)).mean(1), 1e-6)
        weights /= weights.sum()
    return weights


def _mixed(logs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Log likelihood of each cell."""
    most = logs.max(0)
    return np.asarray(np.log(np.tensordot(weights, np.exp(logs - most), 1)) + most)


def _by_line(logs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(parts, ...) chance of each part in each cell, where each code of the second column has weights of its own: an empty ward
    is told by all its cells together. They are drawn to the table's as if these were BORROWED cells more."""
    likely, own = np.exp(logs - logs.max(0)), weights[:, None]
    for _ in range(LINE_ROUNDS):
        share = own[:, None, :] * likely
        share /= share.sum(0)
        own = (BORROWED * weights[:, None] + share.sum(1)) / (BORROWED + logs.shape[1])
    share = own[:, None, :] * likely
    return np.asarray(share / share.sum(0))


def _moments(
    chances: np.ndarray, beyond: np.ndarray, alone: np.ndarray, low_rank: np.ndarray, sigma: float,
    variances: list[np.ndarray], full: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Mean and mean square of each cell. Gaussian parts shrink towards what other pairs say, as without this prior."""
    mean, square = chances[-1] * full, chances[-1] * full**2
    for chance, variance in zip(chances, variances, strict=False):
        kept = variance / (variance + sigma**2)
        centre = alone + low_rank + kept * (beyond - low_rank)
        mean, square = mean + chance * centre, square + chance * (centre**2 + kept * sigma**2)
    return mean, square


def _determined(noisy: np.ndarray, sigma: float, one: np.ndarray, other: np.ndarray, cells: np.ndarray) -> _Determined:
    """Which codes of the first column determine the second's. cells: log likelihood of each cell if they do not.

    If code a of share p goes with b alone, its line is p in b and 0 elsewhere, and b is as likely as frequent.
    """
    share = one[:, None]
    logs = np.log(np.maximum(other, 1e-9)) + (2 * noisy * share - share**2) / (2 * sigma**2)
    most = logs.max(1, keepdims=True)
    which = np.exp(logs - most)
    total = which.sum(1)
    yes = _log_normal(noisy, np.full_like(noisy, sigma**2)).sum(1) + most[:, 0] + np.log(total)
    no, part = cells.sum(1), 0.5
    for _ in range(ROUNDS):
        odds = np.clip(yes + np.log(part) - no - np.log(1 - part), -500, 500)
        chance = 1 / (1 + np.exp(-odds))
        part = float(np.clip(chance.mean(), 1e-6, 1 - 1e-6))
    which = which / total[:, None]
    fit = float(np.logaddexp(yes + np.log(part), no + np.log(1 - part)).sum())
    return _Determined(chance[:, None], which * share, share**2 * which * (1 - which), fit)


def _turned(found: _Determined) -> _Determined:
    return _Determined(found.chance.T, found.mean.T, found.variance.T, found.fit)
