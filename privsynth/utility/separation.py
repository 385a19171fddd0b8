"""Can a classifier tell synthetic rows from real ones, and by how much better than real rows from other real rows?

The classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017), by the area under the ROC curve of its predictions for rows that
it was not trained on. The floor is the same test between training rows and the holdout, other people from the same table: what
the classifier reaches where there is nothing to tell. Categories are numbers in the order of the policy: scikit-learn's own splits
of categories, which are made for few of them, found half as much in a table of 143 diagnoses.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from privsynth.evidence import Separation
from privsynth.utility.cells import is_category, numbers

MAX_ROWS = 5_000  # of each of the two groups
MIN_UNITS = 50  # of a group
FOLDS = 3
Units = tuple[np.ndarray, np.ndarray]  # of the training rows, of the holdout


def separation(
    synthetic: pd.DataFrame, train: pd.DataFrame, holdout: pd.DataFrame, units: Units | None, rng: np.random.Generator
) -> Separation | None:
    """Synthetic from training rows, and the holdout from training rows: as many of both, at most 5,000 each.

    Cross-validated in three folds with all rows of a unit in one. The area is the mean over folds, its 95 % interval takes units as
    what was drawn (`_area`). None where one of the tables has rows of fewer than 50 units: no area would mean anything.
    """
    of_train, of_holdout = units or (np.arange(len(train)), np.arange(len(holdout)))
    made, other = (synthetic, np.arange(len(synthetic))), (holdout, of_holdout)
    found = [_between(side, (train, of_train), rng) for side in (made, other)]
    if found[0] is None or found[1] is None:
        return None
    (area, low, high), (floor, floor_low, floor_high) = found[0], found[1]
    rows = min(MAX_ROWS, len(synthetic), len(train))
    return Separation(
        area=area, low=low, high=high, floor=floor, floor_low=floor_low, floor_high=floor_high, rows=rows,
        floor_rows=min(MAX_ROWS, len(train), len(holdout)),
    )  # fmt: skip


Group = tuple[pd.DataFrame, np.ndarray]  # rows, and the number of the unit of each


def _between(one: Group, two: Group, rng: np.random.Generator) -> tuple[float, float, float] | None:
    """(area, low, high) of a classifier that tells the rows of `one` from those of `two`."""
    rows = min(MAX_ROWS, len(one[0]), len(two[0]))
    drawn = [rng.permutation(len(table))[:rows] for table, _ in (one, two)]
    owners = [np.unique(own[at], return_inverse=True)[1] for (_, own), at in zip((one, two), drawn, strict=True)]
    if rows == 0 or min(own.max() + 1 for own in owners) < MIN_UNITS:
        return None
    values = np.concatenate([_numbers(table.iloc[at]) for (table, _), at in zip((one, two), drawn, strict=True)])
    units = np.concatenate([owners[0], owners[1] + owners[0].max() + 1])
    folds = np.concatenate([rng.permutation(own.max() + 1) % FOLDS for own in owners])[units]
    of_one = np.arange(len(values)) < rows
    found = []
    for fold in range(FOLDS):
        here = folds == fold
        scores = _scores(values[~here], of_one[~here], values[here], int(rng.integers(2**31)))
        found.append(_area(scores[of_one[here]], scores[~of_one[here]], units[here & of_one], units[here & ~of_one]))
    area = float(np.mean([value for value, _ in found]))
    margin = float(norm.isf(0.025) * np.sqrt(sum(variance for _, variance in found)) / FOLDS)
    return area, max(0.0, area - margin), min(1.0, area + margin)


def _numbers(frame: pd.DataFrame) -> np.ndarray:
    """(rows, columns) numbers, codes of categories; NaN for missing."""
    columns = [
        np.where(c.cat.codes < 0, np.nan, c.cat.codes) if is_category(c) else numbers(c)
        for c in (frame[name] for name in frame)
    ]
    return np.stack(columns, 1)


def _scores(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    model = HistGradientBoostingClassifier(random_state=seed)
    with threadpool_limits(1, user_api="openmp"):  # on busy cores its threads wait actively
        scores: np.ndarray = model.fit(train, labels).predict_proba(test)[:, 1]
    return scores


def _area(one: np.ndarray, two: np.ndarray, units_one: np.ndarray, units_two: np.ndarray) -> tuple[float, float]:
    """(area, its variance): the chance that a row of `one` scores above one of `two`, ties count half.

    Obuchowski (Biometrics 53, 1997) for rows that come in units, no unit on both sides; with one row a unit this is DeLong's.
    """
    above = (np.searchsorted(np.sort(two), one) + np.searchsorted(np.sort(two), one, "right")) / (2 * len(two))
    below = 1 - (np.searchsorted(np.sort(one), two) + np.searchsorted(np.sort(one), two, "right")) / (2 * len(one))
    area, variance = float(above.mean()), 0.0
    for places, units in ((above, units_one), (below, units_two)):
        _, of_row = np.unique(units, return_inverse=True)
        sums = np.bincount(of_row, places - area)
        variance += len(sums) / max(1, len(sums) - 1) * float((sums**2).sum()) / len(places) ** 2
    if area in (0.0, 1.0):  # all is told apart: the formula gives 0
        variance = (0.5 / (len(one) + len(two))) ** 2
    return area, variance
