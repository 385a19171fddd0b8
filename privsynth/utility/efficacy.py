"""Usefulness for a model: trained on the synthetic table (TSTR) or the real one (TRTR), tested on real people."""

from __future__ import annotations

import numpy as np
import pandas as pd

from privsynth.utility.cells import is_category, known_numbers, numbers

MAX_ROWS = 30_000
MAX_CLASSES = 20
_MAX_CATEGORIES = 254  # scikit-learn's limit for a categorical feature, less one for missing


def efficacy(
    synthetic: pd.DataFrame, train: pd.DataFrame, holdout: pd.DataFrame, target: str, rng: np.random.Generator
) -> tuple[float | None, float | None]:
    """(TSTR, TRTR): area under the ROC curve on the holdout, one class against the rest, averaged over classes.

    The model is scikit-learn's HistGradientBoostingClassifier on at most 30,000 rows. A numeric target is turned into
    "above the training median or not". (None, None) if the target has more than 20 classes, if the holdout shows one class
    only, or if there is no other column.
    """
    labels = _labels(synthetic[target], train[target], holdout[target])
    if labels is None or len(train.columns) < 2:
        return None, None
    features = [_features(frame.drop(columns=target)) for frame in (synthetic, train, holdout)]
    keep = labels[2] >= 0
    if len(np.unique(labels[2][keep])) < 2:
        return None, None
    seed = int(rng.integers(2**31))
    found = []
    for index in (0, 1):
        labelled = np.flatnonzero(labels[index] >= 0)
        rows = np.sort(rng.permutation(labelled)[:MAX_ROWS])
        found.append(
            _area(features[index].iloc[rows], labels[index][rows], features[2].iloc[keep], labels[2][keep], seed)
        )
    return found[0], found[1]


def _labels(synthetic: pd.Series, train: pd.Series, holdout: pd.Series) -> list[np.ndarray] | None:
    """Class numbers of the three tables, -1 for missing; None if there are too many classes."""
    if is_category(train):
        if train.nunique() > MAX_CLASSES:
            return None
        return [column.cat.codes.to_numpy().astype(np.int64) for column in (synthetic, train, holdout)]
    known = known_numbers(train)
    if len(known) == 0:
        return None
    middle = np.median(known)
    middle = middle if (known > middle).any() else known.max() - 1e-9  # most have the largest value: it is one class
    tables = [numbers(column) for column in (synthetic, train, holdout)]
    return [np.where(np.isnan(values), -1, (values > middle).astype(np.int64)) for values in tables]


def _features(frame: pd.DataFrame) -> pd.DataFrame:
    """Categories stay categories; where there are too many, their code becomes a number (all tables share the codes)."""
    columns = {}
    for name in frame.columns:
        column = frame[name]
        wide = is_category(column) and len(column.cat.categories) > _MAX_CATEGORIES
        columns[name] = column.cat.codes.astype(float) if wide else column
    return pd.DataFrame(columns, index=frame.index)


def _area(x: pd.DataFrame, y: np.ndarray, x_real: pd.DataFrame, y_real: np.ndarray, seed: int) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    classes = np.unique(y)
    if len(classes) < 2:
        return 0.5
    trees = 100 if len(classes) <= 5 else 30  # one tree a class and round
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=seed, max_iter=trees)
    with threadpool_limits(1, user_api="openmp"):  # on busy cores its threads wait actively: 66 s instead of 2
        probabilities = model.fit(x, y).predict_proba(x_real)
    areas = [
        roc_auc_score(y_real == value, probabilities[:, i])
        for i, value in enumerate(model.classes_)
        if 0 < (y_real == value).sum() < len(y_real)
    ]
    return float(np.mean(areas)) if areas else 0.5
