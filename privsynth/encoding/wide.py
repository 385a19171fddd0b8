"""What noise does to the mean of a number whose bounds are wide: for the plan, by public facts alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from privsynth.encoding.grids import grid_of, runs_of
from privsynth.encoding.requests import coarser_scales
from privsynth.policy import Policy

ORDERS = 1_000  # how many times a larger bound is as far from zero as the smaller one, or as 1, that are called wide
MATTERS = 0.003  # of the range: the standard deviation of a mean from which it is told


def wide_bounds(policy: Policy, noise: float) -> Iterator[str]:
    """A sentence for each number whose declared bounds are so wide that noise where nobody may be moves its mean.

    noise: standard deviation of a count of the histograms, on average. That of a mean is noise * sqrt(sum of (v - median v)^2) /
    rows, over the middle values v of the column's longest runs of cells. Less of it stays: ends that hold no more than noise are
    cut off (`tails`).
    """
    for name, column in policy.model.columns.items():
        if column.kind not in ("integer", "number") or not policy.knowledge.is_stored(name) or not column.modelled:
            continue
        rows = policy.model.dataset.rows
        if rows is None or column.steps is None or column.limits is None:
            continue
        (low, high), step, (least, most) = column.steps, column.step, column.limits
        scales, smallest = coarser_scales(column.kind, (low, high)), max(1.0, least, -most)  # 1 if zero lies between
        if not scales or max(abs(least), abs(most)) < ORDERS * smallest:
            continue
        middle = _middles(low, high, column.kind, step, scales)
        moved = noise * float(np.sqrt(((middle - np.median(middle)) ** 2).sum())) / rows
        if moved >= MATTERS * (high - low):
            ends = " to ".join(f"{end:,.{0 if step >= 1 else 1}f}" for end in (least, most))
            yield (
                f"{name}: bounds from {ends} are wide; noise where perhaps nobody is can move the mean by about "
                f"{float(f'{moved * step:.2g}'):,g} (standard deviation). Declare the largest value that is publicly possible, if "
                "it is smaller"
            )


def _middles(low: int, high: int, kind: str, step: float, scales: int) -> np.ndarray:
    """(runs,) the middle value of each of the longest runs of cells, in steps."""
    grid = grid_of(kind, low, high, step)
    middle = grid.value_at(np.arange(len(grid.widths)), np.full(len(grid.widths), 0.5))
    for inside in runs_of(len(middle), scales):
        first = np.flatnonzero(np.diff(inside[: len(middle)], prepend=-1))
        middle = np.add.reduceat(middle, first) / np.diff([*first, len(middle)])
    return np.asarray(middle)
