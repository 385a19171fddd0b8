"""Rates at several false-positive rates."""

from __future__ import annotations

import numpy as np

from privsynth.audit.rates import FALSE_POSITIVE_RATES, rates
from privsynth.audit.statistics import tpr_at_fpr


def test_each_rate_is_that_of_the_curve() -> None:
    rng = np.random.default_rng(0)
    members, non_members = rng.normal(1, 1, 3000), rng.normal(0, 1, 3000)
    found = rates(members, non_members, 0.99)
    assert [rate.false_positives for rate in found.detected] == [0.1, 0.01, 0.001] == list(FALSE_POSITIVE_RATES)
    for rate in found.detected:
        assert (rate.value, rate.low, rate.high) == tpr_at_fpr(members, non_members, rate.false_positives, 0.99)
        assert rate.low <= rate.value <= rate.high
    assert found.detected[0].value > found.detected[1].value > found.detected[2].value
    assert found.auc[1] < 0.76 < found.auc[2]


def test_nobody_is_no_rate() -> None:
    assert rates(np.empty(0), np.ones(3)) is None and rates(np.ones(3), np.empty(0)) is None
