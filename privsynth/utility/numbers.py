"""Means and totals of numbers, the figures that most tables of counts and sums are made of, with intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import norm

from privsynth.evidence import NumberUtility
from privsynth.utility.cells import numbers

PER = 1_000  # rows that a total is of, so that tables of different sizes can be compared
LARGEST = 1e15  # of a figure that evidence may hold (`report/check.py`); columns beyond are left out
Z = float(norm.isf(0.025))


def means_and_totals(
    synthetic: pd.DataFrame, real: pd.DataFrame, noise: Mapping[str, tuple[float, float] | None]
) -> list[NumberUtility]:
    """Mean of the values and total per 1,000 rows (cells without a value add nothing) of both tables, for the columns of `noise`
    with a value in both. Codes for missing answers and texts in place of a number count as no value.

    noise: of each numeric column the standard deviations of its mean, and of its total per row, that the noise of its histogram
    causes; None if not known. Intervals (95 %) are normal ones around the synthetic figures; the variance is that of drawing so
    many synthetic rows, plus that of the noise. They hold neither how values lie inside of bins nor what constraints
    and the fit change.
    """
    found = []
    for name, deviations in noise.items():
        made, truth = numbers(synthetic[name]), numbers(real[name])
        if np.isnan(made).all() or np.isnan(truth).all():
            continue
        of_mean, of_total = deviations or (0.0, 0.0)
        mean, margin = _estimate(made[~np.isnan(made)], of_mean)
        total, around = _estimate(np.nan_to_num(made), of_total)
        figures = NumberUtility(
            name=name, real_mean=float(np.nanmean(truth)), mean=mean, mean_low=mean - margin, mean_high=mean + margin,
            real_total=PER * float(np.nan_to_num(truth).mean()), total=PER * total, total_low=PER * (total - around),
            total_high=PER * (total + around), noise=deviations is not None,
        )  # fmt: skip
        if all(abs(value) <= LARGEST for value in figures.model_dump(exclude={"name", "noise"}).values()):
            found.append(figures)
    return found


def _estimate(values: np.ndarray, noise: float) -> tuple[float, float]:
    """(mean, margin)"""
    with np.errstate(over="ignore", invalid="ignore"):  # such a column is left out
        sampling = float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
        return float(values.mean()), Z * float(np.hypot(np.sqrt(sampling), noise))
