"""Detection rates of a membership attack at several false-positive rates, with intervals, and the area under its curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privsynth.audit.statistics import auc_delong, tpr_at_fpr

FALSE_POSITIVE_RATES = (0.1, 0.01, 0.001)


@dataclass(frozen=True)
class Rate:
    """Share of members detected when `false_positives` of the non-members are: value, and an interval for it."""

    false_positives: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Rates:
    """What scores tell of membership. Each interval has the confidence asked for, by itself."""

    detected: tuple[Rate, ...]
    auc: tuple[float, float, float]  # (value, low, high)


def rates(members: np.ndarray, non_members: np.ndarray, confidence: float = 0.95) -> Rates | None:
    """Scores (higher: more likely a member), float[n] each -> rates at 10, 1 and .1 %. None if either group is empty.

    A rate at .1 % needs thousands of people: with fewer the interval is as wide as it has to be, up to (0, 1).

    >>> found = rates(np.arange(1000.0) + 500, np.arange(1000.0))
    >>> [round(rate.value, 2) for rate in found.detected], round(found.auc[0], 3)
    ([0.6, 0.51, 0.5], 0.875)
    """
    if len(members) == 0 or len(non_members) == 0:
        return None
    detected = (Rate(fpr, *tpr_at_fpr(members, non_members, fpr, confidence)) for fpr in FALSE_POSITIVE_RATES)
    return Rates(tuple(detected), auc_delong(members, non_members, confidence))
