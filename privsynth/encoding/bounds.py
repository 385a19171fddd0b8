"""Bounds so wide that noise alone could move a column's mean: told by `check`, from public facts alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from privsynth.encoding.grids import grid_of, number_edges, runs_of
from privsynth.encoding.requests import coarser_scales

if TYPE_CHECKING:
    from privsynth.policy import Policy

Floats = NDArray[np.float64]

WIDE = 0.1  # noise of the mean, as a share of how far values lie apart, from which bounds count as too wide


def noise_of_sum(weights: Floats, runs: Sequence[NDArray[np.int64]], sigmas: Sequence[float]) -> float:
    """Standard deviation of the weighted sum of a column's counts by least squares over all scales (`ConsistentCounts`).

    weights: (cells,); runs: as from `runs_of`; sigmas: noise of one count at each scale, fine first.

    >>> noise_of_sum(np.array([1.0, -2.0]), (), [3.0]) ** 2
    45.0
    """
    variances, variance = np.full(len(weights), float(sigmas[0]) ** 2), 0.0
    for inside, sigma in zip(runs, sigmas[1:], strict=True):
        weighted, total = np.bincount(inside, weights * variances), np.bincount(inside, variances)
        variance += float((weights**2 * variances).sum() - (weighted**2 / total).sum())
        weights, variances = weighted / total, 1 / (1 / total + float(sigma) ** -2)
    return float(np.sqrt(variance + (weights**2 * variances).sum()))


def too_wide(policy: Policy, sigma: float) -> Iterator[str]:
    """A sentence for each number with declared bounds that are so wide; none where the number of rows is not public.

    sigma: standard deviation of a count of the histograms, on average.
    """
    for name, column in policy.model.columns.items():
        if not column.modelled or column.kind not in ("integer", "number") or name in policy.knowledge.gaps:
            continue
        if policy.model.dataset.rows is None or column.steps is None:
            continue
        off, usual = noise_of_mean(*column.steps, sigma / policy.model.dataset.rows)
        if off > WIDE * usual:
            low, high, by = (
                _figure(value * column.step, digits)
                for value, digits in zip((*column.steps, off), (12, 12, 2), strict=True)
            )
            yield (
                f"bounds of `{name}`: between {low} and {high} noise may hide or make up rows that move its mean by about {by}; "
                "declare the smallest and the largest value that are publicly possible"
            )


def noise_of_mean(low: int, high: int, sigma: float) -> tuple[float, float]:
    """(standard deviation of a number's mean by noise in all of its cells, how far its values lie apart if every cell of the
    grid is as likely) in grid units. sigma: noise of the share of a cell or run."""
    values = grid_of("integer", low, high, 1.0).value_at(np.arange(len(number_edges(low, high)) - 1), np.array(0.5))
    apart = values - values[len(values) // 2]
    runs = runs_of(len(values), coarser_scales("integer", (low, high)))
    return noise_of_sum(np.append(apart, 0.0), runs, [sigma] * (1 + len(runs))), float(np.median(np.abs(apart)))


def _figure(value: float, digits: int) -> str:
    """So many digits, as people write them: 0.012, 89, 25,000."""
    return f"{float(f'{value:.{digits}g}'):,.12g}"
