"""Intervals cover as often as they say, simulated; and a few values from the sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from privsynth.audit.statistics import (
    auc_delong,
    clopper_pearson,
    newcombe,
    roc_points,
    share_at_least,
    tpr_at_fpr,
    tpr_error,
    wilson,
)

SCORES = st.lists(st.integers(0, 12), min_size=2, max_size=40).map(lambda x: np.array(x, float))


def test_known_values() -> None:
    assert np.allclose(clopper_pearson(0, 10), (0.0, 0.30850), atol=1e-4)
    assert np.allclose(wilson(81, 263), (0.2553, 0.3662), atol=1e-4)  # Newcombe 1998, Stat. Med. 17:857, table I
    assert np.allclose(newcombe(56, 70, 48, 80), (0.0524, 0.3339), atol=1e-4)  # Newcombe 1998, 17:873, example (a)
    assert np.allclose(newcombe(9, 10, 3, 10), (0.1705, 0.8090), atol=1e-4)  # example (b)
    assert clopper_pearson(0, 0) == wilson(0, 0) == (0.0, 1.0)
    assert newcombe(0, 0, 1, 2) == (-1.0, 1.0)


@given(st.integers(0, 200), st.integers(1, 200), st.sampled_from([0.8, 0.95, 0.99]))
def test_rate_intervals_hold_the_rate(successes: int, trials: int, confidence: float) -> None:
    successes = min(successes, trials)
    for interval in (clopper_pearson, wilson):
        low, high = interval(successes, trials, confidence)
        assert 0 <= low <= successes / trials + 1e-12
        assert successes / trials - 1e-12 <= high <= 1
        wider = interval(successes, trials, 0.999)
        assert wider[0] <= low + 1e-12 and high <= wider[1] + 1e-12


@given(st.integers(1, 50), st.integers(1, 50), st.floats(0, 1), st.floats(0, 1))
def test_newcombe_is_antisymmetric(n: int, m: int, p: float, q: float) -> None:
    low, high = newcombe(p * n, n, q * m, m)
    back = newcombe(q * m, m, p * n, n)
    assert low - 1e-9 <= p - q <= high + 1e-9
    assert np.allclose((low, high), (-back[1], -back[0]), atol=1e-9)


@given(SCORES, SCORES)
@settings(deadline=None)
def test_area_is_that_of_scikit_learn(members: np.ndarray, non_members: np.ndarray) -> None:
    truth = np.r_[np.ones(len(members)), np.zeros(len(non_members))]
    area, low, high = auc_delong(members, non_members)
    assert area == pytest.approx(roc_auc_score(truth, np.r_[members, non_members]))
    assert 0 <= low <= high <= 1


@given(SCORES, SCORES)
@settings(deadline=None)
def test_curve_is_that_of_scikit_learn(members: np.ndarray, non_members: np.ndarray) -> None:
    truth = np.r_[np.ones(len(members)), np.zeros(len(non_members))]
    fpr, tpr, _ = roc_curve(truth, np.r_[members, non_members], drop_intermediate=False)
    points = roc_points(members, non_members)
    assert len(points) <= 60 and {0.001, 0.01, 0.1} <= {x for x, _ in points}
    for x, y in points:
        upper = tpr[fpr <= x + 1e-12].max()  # a vertical step may be taken at either end by interpolation
        if not np.isclose(fpr, x).any():
            assert y == pytest.approx(np.interp(x, fpr, tpr), abs=1e-5)
        else:
            assert y == pytest.approx(upper, abs=1e-5)
    assert [y for _, y in points] == sorted(y for _, y in points)


@given(SCORES, SCORES)
@settings(deadline=None)
def test_true_positive_rate_lies_in_its_interval(members: np.ndarray, non_members: np.ndarray) -> None:
    value, low, high = tpr_at_fpr(members, non_members, 0.1)
    assert 0 <= low <= value <= high <= 1
    assert tpr_error(members, non_members, 0.1) >= 0


@pytest.mark.statistical
@pytest.mark.parametrize(("rate", "trials"), [(0.02, 50), (0.3, 40), (0.5, 200), (0.99, 100)])
def test_clopper_pearson_covers(rate: float, trials: int) -> None:
    """Seeded. Coverage of the exact interval is at least 95 % for any rate; 4,000 draws give 0.4 % of noise."""
    draws = np.random.default_rng(0).binomial(trials, rate, 4000)
    hit = [low <= rate <= high for low, high in (clopper_pearson(k, trials) for k in draws)]
    assert np.mean(hit) >= 0.94


@pytest.mark.statistical
@pytest.mark.parametrize(("one", "two", "n"), [(0.1, 0.1, 30), (0.5, 0.4, 100), (0.02, 0.02, 500), (0.9, 0.9, 60)])
def test_newcombe_covers_with_few_false_alarms(one: float, two: float, n: int) -> None:
    """Seeded. Two-sided coverage about 95 %, so one-sided false alarms about 2.5 %."""
    rng = np.random.default_rng(1)
    draws = zip(rng.binomial(n, one, 4000), rng.binomial(n, two, 4000), strict=True)
    ends = np.array([newcombe(a, n, b, n) for a, b in draws])
    assert np.mean((ends[:, 0] <= one - two) & (one - two <= ends[:, 1])) >= 0.94
    assert np.mean(ends[:, 0] > one - two) <= 0.032


@pytest.mark.statistical
@pytest.mark.parametrize(("shift", "n"), [(0.0, 100), (1.0, 60), (2.0, 200)])
def test_delong_covers(shift: float, n: int) -> None:
    """Seeded; normal scores, whose area is Phi(shift / sqrt 2)."""
    rng, truth = np.random.default_rng(2), norm.cdf(shift / np.sqrt(2))
    found = [auc_delong(rng.normal(shift, 1, n), rng.normal(size=n))[1:] for _ in range(2000)]
    assert 0.93 <= np.mean([low <= truth <= high for low, high in found]) <= 0.98


@pytest.mark.statistical
@pytest.mark.parametrize(("shift", "n"), [(0.0, 300), (0.0, 2000), (1.5, 1000), (1.5, 50)])
def test_tpr_at_fpr_covers(shift: float, n: int) -> None:
    """Seeded. The cutoff is estimated too; coverage is at least 95 % all the same."""
    rng, truth = np.random.default_rng(3), norm.sf(norm.isf(0.01) - shift)
    found = [tpr_at_fpr(rng.normal(shift, 1, n), rng.normal(size=n))[1:] for _ in range(1000)]
    assert np.mean([low <= truth <= high for low, high in found]) >= 0.94


@pytest.mark.statistical
@pytest.mark.parametrize("share", [0.0, 0.002, 0.05])
def test_share_at_least_covers(share: float) -> None:
    """Seeded. Of 2,000 members a share leaks and is marked, all others are marked alike; the bound exceeds the share in at most
    2.5 % of tables, here with a margin of 3.3 standard errors."""
    rng, above = np.random.default_rng(6), []
    for _ in range(400):
        leaked = rng.binomial(2000, share)
        marks = leaked + rng.binomial(2000 - leaked, 0.01), rng.binomial(800, 0.01)
        above.append(share_at_least(marks[0], 2000, marks[1], 800, 0.025) > share)
    assert np.mean(above) <= 0.025 + 3.3 * np.sqrt(0.025 * 0.975 / 400)


def test_share_at_least_at_its_ends() -> None:
    assert (
        share_at_least(0, 100, 0, 100, 0.025)
        == share_at_least(5, 0, 0, 10, 0.025)
        == share_at_least(3, 9, 0, 0, 0.025)
        == 0.0
    )
    assert share_at_least(60, 60, 0, 60, 0.025) > 0.85  # full copies of few people
    assert 0 < share_at_least(50, 5000, 0, 2000, 0.005) < 0.01  # one in a hundred of 5,000
