"""All utility figures of the report, in one call."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from privsynth.evidence import ColumnUtility, Utility
from privsynth.progress import Progress, silent
from privsynth.utility.association import correlations, retention
from privsynth.utility.cells import Grid, Marked, is_category, marginal_distance, tvd
from privsynth.utility.efficacy import efficacy
from privsynth.utility.histograms import histogram
from privsynth.utility.numbers import means_and_totals
from privsynth.utility.sdmetrics_scores import quality
from privsynth.utility.separation import Units, separation
from privsynth.utility.subgroups import subgroups


def measure(
    synthetic: pd.DataFrame,
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    target: str | None,
    kinds: dict[str, str],
    groups: list[str],
    rng: np.random.Generator,
    progress: Progress | None = None,
    marked: Marked | None = None,
    units: Units | None = None,
    noise: Mapping[str, tuple[float, float] | None] | None = None,
) -> Utility:
    """Fidelity and usefulness of a synthetic table compared with the real one. Internal: exact figures of private rows.

    Args:
        synthetic, train, holdout: the same columns in the same order; category columns have dtype "category" with the
            same categories in all three, numbers and dates (days since 1970) are float64; missing is NaN.
        target: the column a model is to predict, or None.
        kinds: column -> kind as in the policy; "date" is labelled as dates, anything else by its dtype.
        groups: quasi-identifiers; fidelity is measured within the levels of the first two.
        rng: source of all randomness here: subsamples and the classifier's seed.
        progress: called with a name and the share done, 0..1.
        marked: texts in place of numbers; each counts as a value of its own in distances and histograms.
        units: of the rows of `train` and `holdout`, if some have several rows.
        noise: the columns whose means and totals are compared, as in `means_and_totals`; by default none.

    Returns:
        All figures of `Utility` except those against noisy histograms and the rules. A figure that is undefined (no target,
        no rows) is None.

    Raises:
        ValueError: the tables' columns differ, or a table is empty.
    """
    _check(synthetic, train, holdout)
    report_progress = progress or silent
    report_progress("marginals", 0.0)
    marked = marked or Marked()
    grid = Grid.fit(train, marked=marked)
    made, real = grid.encode(synthetic, marked.synthetic), grid.encode(train, marked.train)
    found = {ways: tvd(made, real, grid.sizes, ways) for ways in (1, 2, 3)}
    report_progress("columns", 0.25)
    columns = _columns(synthetic, train, kinds, grid, made, real, marked)
    parts = subgroups(synthetic, train, groups, kinds)
    report_progress("correlations", 0.3)
    matrices = correlations(synthetic, train, rng)
    report_progress("model", 0.4)
    tstr, trtr = None, None
    if target is not None and target in train.columns:
        tstr, trtr = efficacy(synthetic, train, holdout, target, rng)
    report_progress("real or synthetic", 0.6)
    told_apart = separation(synthetic, train, holdout, units, rng)
    report_progress("sdmetrics", 0.75)
    shapes, trends = quality(synthetic, train, kinds, rng)
    report_progress("done", 1.0)
    return Utility(
        tvd1=found[1],
        tvd2=found[2],
        tvd3=found[3],
        tstr_auc=tstr,
        trtr_auc=trtr,
        target=target,
        column_shapes=shapes,
        column_pair_trends=trends,
        columns=columns,
        correlations=matrices,
        groups=parts,
        retention=retention(matrices),
        separation=told_apart,
        numbers=means_and_totals(synthetic, train, noise or {}),
    )


def distances(synthetic: pd.DataFrame, train: pd.DataFrame, marked: Marked) -> dict[int, float | None]:
    """{ways: mean total variation distance over the marginals of so many columns}, as in `measure`."""
    grid = Grid.fit(train, marked=marked)
    made, real = grid.encode(synthetic, marked.synthetic), grid.encode(train, marked.train)
    return {ways: tvd(made, real, grid.sizes, ways) for ways in (1, 2, 3)}


def _check(synthetic: pd.DataFrame, train: pd.DataFrame, holdout: pd.DataFrame) -> None:
    for title, frame in (("synthetic", synthetic), ("holdout", holdout)):
        if list(frame.columns) != list(train.columns):
            raise ValueError(f"the {title} table does not have the columns of the training table, in its order")
    if len(synthetic) == 0 or len(train) == 0 or len(train.columns) == 0:
        raise ValueError("a table without rows or columns has no utility to measure")


def _columns(
    synthetic: pd.DataFrame,
    train: pd.DataFrame,
    kinds: dict[str, str],
    grid: Grid,
    made: np.ndarray,
    real: np.ndarray,
    marked: Marked,
) -> list[ColumnUtility]:
    return [
        histogram(
            name,
            _kind(name, train, kinds),
            synthetic[name],
            train[name],
            marginal_distance(made, real, grid.sizes, (i,)),
            marked,
        )
        for i, name in enumerate(grid.names)
    ]


def _kind(name: str, train: pd.DataFrame, kinds: dict[str, str]) -> str:
    return kinds.get(name, "category" if is_category(train[name]) else "number")
