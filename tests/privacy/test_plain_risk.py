"""What an attacker can reach at most: against closed forms, against riskcal, and against attacks that are known exactly."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from privsynth.evidence import Risk
from privsynth.privacy.accountant import compose
from privsynth.privacy.events import ApproximateDP, Event, Gaussian, Geometric, PureDP, SampledGaussian
from privsynth.privacy.risk import (
    at_most,
    chance,
    generic_epsilon,
    in_words,
    max_tpr,
    of_anyone,
    percent,
    plain_risk,
)

FPR = np.array([1e-4, 0.001, 0.01, 0.05, 0.1, 0.3, 0.5, 0.9])
MIX: list[Event] = [SampledGaussian(1.0, 0.02, 50), Gaussian(2.5), Geometric(0.1), ApproximateDP(0.05, 1e-7)]


def gaussian_max_tpr(mu: float, fpr: float) -> float:
    """The closed form for one Gaussian mechanism of parameter mu (Dong, Roth, Su 2022, equation 6)."""
    return float(ndtr(mu + ndtri(fpr)))


@pytest.mark.parametrize("mu", [0.01, 0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0])
def test_gaussian_risk_is_the_closed_form_and_never_below(mu: float) -> None:
    rates = np.array([1e-9, 1e-6, *FPR])
    exact = np.array([gaussian_max_tpr(mu, a) for a in rates])
    found = max_tpr(compose([Gaussian(1 / mu)]), rates)
    assert np.all(found >= exact)
    assert np.all(found <= 1.0001 * exact)


@pytest.mark.parametrize("events", [
    MIX, [SampledGaussian(0.7, 0.01, 300)], [SampledGaussian(1.0, 0.3, 10)], [PureDP(0.3), Gaussian(4.0)], [Geometric(1.0)],
], ids=str)  # fmt: skip
def test_composition_agrees_with_riskcal(events: list[Event]) -> None:
    """From 0.1 % on: below, riskcal reads one direction off the other, whose rounding weighs more than the rates."""
    from riskcal.analysis import get_advantage_from_pld, get_beta_from_pld

    loss = compose(events)
    theirs = 1 - np.asarray(get_beta_from_pld(loss.distribution, alpha=FPR[1:]))
    ours = max_tpr(loss, FPR[1:])
    assert np.all(ours >= theirs * (1 - 1e-9))
    assert np.all(ours <= theirs * 1.01)
    assert plain_risk(loss).advantage == pytest.approx(get_advantage_from_pld(loss.distribution), abs=1e-5 + loss.slack)


@pytest.mark.parametrize("q, sigma", [(0.3, 1.0), (0.02, 0.7), (0.7, 0.5)])
def test_both_directions_of_poisson_sampling_are_covered(q: float, sigma: float) -> None:
    """One step, where both optimal tests are known: the bound is above either's ROC, and touches the worse somewhere."""
    cuts = np.linspace(-4 * sigma, 1 + 4 * sigma, 200)
    out = ndtr(-cuts / sigma)  # P[x > cut]
    member = (1 - q) * out + q * ndtr((1 - cuts) / sigma)
    loss = compose([SampledGaussian(sigma, q, 1)])
    for alarms, found in ((out, member), (1 - member, 1 - out)):  # "in" is decided from above, "out" from below
        assert np.all(max_tpr(loss, alarms) >= found * (1 - 1e-9))
    assert np.min(max_tpr(loss, out) / member) < 1.001
    assert max_tpr(loss, [0.01])[0] > np.interp(0.01, 1 - member, 1 - out) * 1.001, "one direction is not both"


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
def test_baselines_of_a_pure_guarantee(epsilon: float) -> None:
    """Randomised response reaches both lines: b e^epsilon, and 1 - (1 - b) e^-epsilon."""
    risk = plain_risk(compose([PureDP(epsilon)]))
    for bounds in (risk.singling_out, risk.reconstruction, risk.attribute_inference, risk.max_tpr):
        for rate, bound in bounds.items():
            b = float(rate)
            exact = min(b * math.exp(epsilon), 1 - (1 - b) * math.exp(-epsilon))
            assert exact <= bound <= 1.01 * exact


def test_every_figure_is_read_off_one_curve() -> None:
    risk = plain_risk(compose(MIX))
    assert list(risk.singling_out) == ["1e-09", "1e-06", "0.0001"]
    assert list(risk.reconstruction) == ["0.0001", "0.001", "0.01"]
    assert risk.singling_out["0.0001"] == risk.reconstruction["0.0001"]
    assert risk.reconstruction["0.01"] == risk.attribute_inference["0.01"] == risk.max_tpr["0.01"]
    assert Risk(max_tpr={}, advantage=0.0).singling_out == {}, "evidence from before can still be read"


def test_somebody_among_many() -> None:
    assert of_anyone(1e-6, 1000) == pytest.approx(1e-3)
    assert of_anyone(0.3, 100) == 1.0


@settings(max_examples=200, deadline=None, derandomize=True)
@given(fpr=st.floats(1e-5, 0.5), gap=st.floats(1e-4, 0.49), delta=st.floats(1e-12, 1e-5))
def test_the_generic_epsilon_is_the_largest_that_keeps_the_risk(fpr: float, gap: float, delta: float) -> None:
    tpr = fpr + gap

    def reached(epsilon: float) -> float:
        return min(math.exp(epsilon) * fpr + delta, 1 - math.exp(-epsilon) * (1 - delta - fpr))

    epsilon = generic_epsilon(fpr, tpr, delta)
    assert reached(epsilon) <= tpr * (1 + 1e-9) < reached(epsilon + 1e-3)


def test_no_generic_epsilon_beats_delta() -> None:
    assert generic_epsilon(0.01, 0.0100001, 1e-6) == 0.0


def test_the_board_reads_every_figure() -> None:
    risk = plain_risk(compose([Gaussian(1.5)]))
    lines = in_words(risk, 1000)
    assert len(lines) == 5 and "of 1,000" in lines[-1] and len(in_words(risk)) == 4
    assert all(line.count(" -> ") >= 3 for line in lines)
    assert chance(risk.singling_out["1e-06"]) in lines[3] and percent(risk.max_tpr["0.1"]) in lines[0]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(share=st.floats(1e-12, 1.0))
def test_a_chance_is_never_belittled(share: float) -> None:
    text = chance(share)
    shown = 1 / float(text[5:].replace(",", "")) if text.startswith("1 in") else float(text[:-2]) / 100
    assert share * (1 - 1e-8) <= shown <= share * 1.12


def test_the_report_shows_the_bounds() -> None:
    from privsynth.report import facts, tables

    evidence: Any = SimpleNamespace(
        privacy=SimpleNamespace(risk=plain_risk(compose([Gaussian(2.0)])), unit="row", unit_called="patient"),
        dataset=SimpleNamespace(rows=5000),
    )  # fmt: skip
    said = " ".join(facts.bounds(evidence)).replace("\N{NO-BREAK SPACE}", " ")
    assert "one in 1,000,000 by chance" in said and "at most 1 in" in said and "one patient" in said
    table = tables.singling_out(evidence)
    assert table.heads[-1] == "Singles out anybody of 5,000, at most" and len(table.rows) == 3
    assert "1,000,000,000<" in str(table.rows[0].cells[0])
    assert len(tables.reconstruction(evidence).rows) == 3
    evidence.dataset.rows, evidence.privacy.risk = None, Risk(max_tpr={}, advantage=0.1)
    assert not tables.singling_out(evidence).rows and facts.bounds(evidence) == []


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
