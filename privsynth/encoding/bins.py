"""Which cells of a column share a code, by the noisy histogram of the cells: bins of numbers, rare categories, marks."""

from __future__ import annotations

import numpy as np

from privsynth.encoding.histograms import SIGNIFICANT

MAX_BINS, MIN_BINS = 32, 8
BINS = 0.62  # of a numeric column: so many times the square root of rows over the noise of a cell
FAINT = 1.0  # standard deviations of its histogram's noise below which a mark has no code of its own
RARE = 4.0  # standard deviations of its histogram's noise below which a category counts as rare
# share of rows in the code of rare ones from which they get their own, as long as the column has at most so many codes then
MOST_SHARED, MOST_APART = 0.1, 256


def marks_apart(shares: np.ndarray, sigma: float, few: bool = False, classes: np.ndarray | None = None) -> np.ndarray:
    """(marks + 1,) code of each mark and of the blank cell, from 0 on. A mark that may well be noise goes with the blank,
    if constraints do not tell it from the blank: those of other `classes` have codes of their own.

    Which of the others are more than noise is decided where their shares are known best (`ColumnCodec.of`). few: the column
    has few codes, so that each mark can have its own (if they are at most MAX_BINS).

    >>> marks_apart(np.array([0.2, 0.001, 0.1]), 0.01).tolist()
    [0, 1, 1]
    """
    common = (shares[:-1] >= FAINT * sigma) | (few and len(shares) <= MAX_BINS)
    if classes is not None:
        common |= classes[:-1] != classes[-1]
    return np.append(np.where(common, np.cumsum(common) - 1, common.sum()), common.sum())


def spellings(shares: np.ndarray, sigma: float) -> np.ndarray:
    """(categories,) code of each spelling of a truth value that is more than noise; -1 for the others, which go with the blank
    cell, so that none of them is invented.

    >>> spellings(np.array([0.0, 0.01, 0.6, 0.4]), 0.01).tolist()
    [-1, -1, 0, 1]
    """
    common = shares >= SIGNIFICANT * sigma
    common[np.argmax(shares)] = True
    return np.where(common, np.cumsum(common) - 1, -1)


def rare_together(shares: np.ndarray, sigma: float, classes: np.ndarray | None = None) -> np.ndarray:
    """(cells,) code of each category. In a column of many, those close to the noise level share one; of each class, if constraints
    distinguish some.

    Inside it they are as frequent as their histogram says; how each depends on other columns could hardly be estimated. If they
    are more than MOST_SHARED of the rows together, those that were seen at all have codes of their own: of 143 diagnoses 112
    shared a code with 47 % of the rows, which lost what they say of the department.
    """
    rare = shares < RARE * sigma
    if shares[rare].sum() > MOST_SHARED:
        rare[np.argsort(-shares, kind="stable")[:MOST_APART]] = False
        rare |= shares <= 0
    if len(shares) <= MAX_BINS or rare.sum() < 2:
        return np.arange(len(shares))
    kind = (
        np.zeros(len(shares), np.int64)
        if classes is None
        else np.unique(classes[rare], return_inverse=True)[1][np.cumsum(rare) - 1]
    )
    return np.where(rare, int((~rare).sum()) + kind, np.cumsum(~rare) - 1)


def bin_cells(share: np.ndarray, most: int = MAX_BINS, starts: np.ndarray | None = None) -> np.ndarray:
    """(cells,) bin of each cell: a spike stands alone, the cells between are cut into runs of about equal share.

    starts: (cells,) True where a bin must begin.
    """
    step = 1 / most
    step = min(step, max(1 - share[share >= step].sum(), 1e-3) / (0.62 * most))
    spike = max(step, 1.5 / most / 4)
    bins, label, filled = np.zeros(len(share), np.int64), 0, 0.0
    for cell, mass in enumerate(share):
        if filled and (mass >= spike or filled + mass > step * 1.0001 or (starts is not None and starts[cell])):
            label, filled = label + 1, 0.0
        bins[cell] = label
        filled += mass + 1e-12
        if mass >= spike:
            label, filled = label + 1, 0.0
    return np.unique(bins, return_inverse=True)[1]
