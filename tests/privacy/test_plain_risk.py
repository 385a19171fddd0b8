"""What an attacker can reach at most: against the closed form and against riskcal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.privacy.accountant import compose
from privsynth.privacy.events import ApproximateDP, Gaussian, Geometric, SampledGaussian
from privsynth.privacy.risk import at_most, gaussian_max_tpr, max_tpr, percent, plain_risk

FPR = np.array([1e-4, 0.001, 0.01, 0.05, 0.1, 0.3, 0.5, 0.9])
MIX = [SampledGaussian(1.0, 0.02, 50), Gaussian(2.5), Geometric(0.1), ApproximateDP(0.05, 1e-7)]


@pytest.mark.parametrize("mu", [0.05, 0.5, 1.0])
def test_gaussian_risk_is_the_closed_form_and_never_below(mu: float) -> None:
    exact = np.array([gaussian_max_tpr(mu, a) for a in FPR])
    found = max_tpr(compose([Gaussian(1 / mu)]), FPR)
    assert np.all(found >= exact - 1e-9)
    assert np.all(found <= exact + 1e-3)


def test_composition_agrees_with_riskcal() -> None:
    from riskcal.analysis import get_advantage_from_pld, get_beta_from_pld

    loss = compose(MIX)
    theirs = 1 - np.asarray(get_beta_from_pld(loss.distribution, alpha=FPR))
    ours = max_tpr(loss, FPR)
    assert np.all(ours >= theirs - 1e-4)
    assert np.all(ours <= theirs + 2e-3)
    assert plain_risk(loss).advantage == pytest.approx(get_advantage_from_pld(loss.distribution), abs=1e-6)


def test_roc_rises_and_stays_above_guessing() -> None:
    risk = plain_risk(compose(MIX))
    fpr, tpr = np.array(risk.roc).T
    assert np.all(np.diff(fpr) > 0) and np.all(np.diff(tpr) >= -1e-12)
    assert np.all(tpr >= fpr) and tpr.max() <= 1
    assert risk.advantage >= (tpr - fpr).max() - 1e-3  # no point of the curve beats the advantage
    assert risk.advantage > 0.1 and tpr[fpr == 0][0] >= 1e-7  # delta alone is reached at no false alarm at all
    assert risk.max_tpr["0.01"] == risk.attribute_inference["0.01"]


def test_less_noise_is_more_risk() -> None:
    weak, strong = (max_tpr(compose([Gaussian(s)]), FPR) for s in (3.0, 2.0))
    assert np.all(strong > weak)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(value=st.floats(1e-9, 1e5), digits=st.integers(1, 5))
def test_a_bound_is_never_rounded_down(value: float, digits: int) -> None:
    shown = float(at_most(value, digits))
    step = 10.0 ** (math.floor(math.log10(value)) + 1 - digits)
    assert value - 2e-9 * step <= shown <= value + 1.000001 * step  # less is taken as rounding noise


@settings(max_examples=300, deadline=None, derandomize=True)
@given(share=st.floats(1e-7, 1.0))
def test_a_share_is_never_rounded_down(share: float) -> None:
    text = percent(share)
    assert text.endswith(" %")
    assert float(text[:-2]) >= 100 * share * (1 - 1e-9)


def test_whole_figures_read_as_people_write_them() -> None:
    assert percent(1.0) == "100 %" and percent(0.9999) == "100 %" and at_most(1234.0) == "1240"
    assert at_most(0.0) == "0" and at_most(math.inf) == "inf" and at_most(2.9951) == "3"
