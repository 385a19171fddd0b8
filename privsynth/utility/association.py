"""Association of columns, in one matrix for mixed columns.

Two numeric columns: Spearman's rank correlation, -1..1. A category and anything else: Cramér's V with Bergsma's correction for
bias (J. Korean Stat. Soc. 42, 2013), 0..1, numbers in ten quantile bins. Missing is a cell of its own for V and is
left out for ranks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from privsynth.evidence import PairUtility, Retention
from privsynth.utility.cells import Grid, is_category, numbers

STRONG = 0.3  # real association above which a pair counts as strong: what Cohen calls a medium effect
KEPT = 0.8  # share of it from which it counts as kept
MAX_COLUMNS = 30
MAX_ROWS = 20_000
_BINS = 10
_MAX_CATEGORIES = 200  # with more, a table of counts is mostly empty and V is meaningless


def correlations(synthetic: pd.DataFrame, real: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    """{"columns": names, "synthetic": matrix, "reference": matrix}; the first 30 columns, on 20,000 random rows."""
    usable = [n for n in real.columns if not (is_category(real[n]) and len(real[n].cat.categories) > _MAX_CATEGORIES)]
    names = usable[:MAX_COLUMNS]
    grid = Grid.fit(real[names], _BINS)
    matrices = []
    for frame in (synthetic, real):
        rows = np.sort(rng.permutation(len(frame))[:MAX_ROWS])
        matrices.append(_matrix(frame[names].iloc[rows], grid))
    return {"columns": names, "synthetic": matrices[0], "reference": matrices[1]}


def retention(correlations: dict[str, Any]) -> Retention:
    """How much of the strong associations of the real table the synthetic one has.

    correlations: from `correlations`. Strong: a real value above .3 in size, a medium effect in the words of Cohen (Statistical
    Power Analysis, 2nd ed. 1988, ch. 3 and 7). What is left of a pair: synthetic / real, from 0 (none, or of the other sign)
    to 1; it is kept from .8 on. Says nothing of associations that the synthetic table has and the real one has not.
    """
    names, made, real = correlations["columns"], correlations["synthetic"], correlations["reference"]
    pairs = [
        PairUtility(pair=(names[j], names[i]), real=real[i][j], synthetic=made[i][j])
        for i in range(len(names)) for j in range(i) if abs(real[i][j]) > STRONG
    ]  # fmt: skip
    pairs.sort(key=lambda pair: min(pair.synthetic / pair.real, 1.0))
    left = [float(np.clip(pair.synthetic / pair.real, 0, 1)) for pair in pairs]
    return Retention(
        strong=len(left), kept=sum(share >= KEPT for share in left), pairs=pairs,
        median=float(np.median(left)) if left else None, worst=left[0] if left else None,
    )  # fmt: skip


def _matrix(frame: pd.DataFrame, grid: Grid) -> list[list[float]]:
    cells = grid.encode(frame)
    pairs = zip(grid.names, grid.edges, strict=True)
    values = [None if edges is None else numbers(frame[name]) for name, edges in pairs]
    ranks = [None if column is None else _ranks(column) for column in values]
    width = len(grid.names)
    matrix = np.eye(width)
    for i in range(width):
        for j in range(i):
            x, y = values[i], values[j]
            if x is not None and y is not None:
                found = _spearman(x, y, ranks[i], ranks[j])
            else:
                found = cramers_v(cells[i], cells[j], grid.sizes[i], grid.sizes[j])
            matrix[i, j] = matrix[j, i] = round(found, 4)
    rows: list[list[float]] = matrix.tolist()
    return rows


def cramers_v(one: np.ndarray, two: np.ndarray, size_one: int, size_two: int) -> float:
    """Bias-corrected Cramér's V of int[n] cell numbers, 0..1; 0 if a column is constant."""
    n = len(one)
    counts = np.bincount(one * size_two + two, minlength=size_one * size_two).reshape(size_one, size_two)
    counts = counts[counts.any(axis=1)][:, counts.any(axis=0)].astype(float)
    r, c = counts.shape
    if n < 2 or min(r, c) < 2:
        return 0.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    phi = max(0.0, float(((counts - expected) ** 2 / expected).sum()) / n - (r - 1) * (c - 1) / (n - 1))
    least = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return min(1.0, float(np.sqrt(phi / least))) if least > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray | None:
    return None if np.isnan(values).any() else rankdata(values)


def _spearman(x: np.ndarray, y: np.ndarray, x_ranks: np.ndarray | None, y_ranks: np.ndarray | None) -> float:
    if x_ranks is None or y_ranks is None:
        both = ~(np.isnan(x) | np.isnan(y))
        x_ranks, y_ranks = rankdata(x[both]), rankdata(y[both])
    if len(x_ranks) < 2 or x_ranks.std() == 0 or y_ranks.std() == 0:
        return 0.0
    return float(np.corrcoef(x_ranks, y_ranks)[0, 1])
