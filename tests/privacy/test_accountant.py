"""The composed total against closed forms, Opacus and dp_accounting's RDP; LEAKS 12 to 14 and 16."""

from __future__ import annotations

import json
import math
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.privacy.accountant import COARSE, compose, epsilon_of
from privsynth.privacy.events import (
    ApproximateDP,
    Event,
    Gaussian,
    Geometric,
    SampledGaussian,
    ThresholdedGaussian,
    from_json,
    gaussian_of_strength,
    sampled_gaussian_of_strength,
    to_json,
)

DELTA = 1e-5
PHI = NormalDist().cdf
GRID = [(0.01, 1.0, 300), (0.05, 2.0, 100), (0.004, 0.6, 200), (1.0, 4.0, 10)]  # (q, sigma, steps)


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Balle & Wang 2018, Theorem 8."""
    return PHI(mu / 2 - epsilon / mu) - math.exp(epsilon) * PHI(-mu / 2 - epsilon / mu)


@pytest.mark.parametrize("sigmas", [(1.0,), (4.0, 3.0), (2.0, 2.0, 2.0, 2.0), (50.0, 0.8)])
def test_gaussians_follow_the_closed_form(sigmas: tuple[float, ...]) -> None:
    mu = math.sqrt(sum(s**-2 for s in sigmas))
    loss = compose([Gaussian(s) for s in sigmas])
    for epsilon in (0.0, 0.1, 0.5, 1.0, 2.0):
        exact = gaussian_delta(mu, epsilon)
        assert exact - 1e-12 <= loss.delta(epsilon) <= exact * (1 + 1e-3) + 1e-9


def test_merging_gaussians_equals_convolving_them() -> None:
    merged = epsilon_of([Gaussian(3.0), Gaussian(4.0)], DELTA)
    convolved = epsilon_of([Gaussian(3.0), SampledGaussian(4.0, 1.0, 1)], DELTA)  # q = 1 is not merged
    assert merged == pytest.approx(convolved, rel=2e-3)


@pytest.mark.parametrize("q, sigma, steps", GRID)
def test_dp_sgd_agrees_with_other_accountants(q: float, sigma: float, steps: int) -> None:
    import dp_accounting
    from dp_accounting import rdp
    from dp_accounting.pld import privacy_loss_distribution as pld
    from opacus.accountants import PRVAccountant, RDPAccountant

    ours = epsilon_of([SampledGaussian(sigma, q, steps)], DELTA)
    optimistic = pld.from_gaussian_mechanism(
        sigma, sampling_prob=q, value_discretization_interval=1e-4, pessimistic_estimate=False, use_connect_dots=False
    ).self_compose(steps)  # fmt: skip
    assert ours >= optimistic.get_epsilon_for_delta(DELTA) - 1e-9
    prv, opacus = PRVAccountant(), RDPAccountant()
    prv.history = opacus.history = [(sigma, q, steps)]
    assert ours <= 1.01 * prv.get_epsilon(DELTA, eps_error=0.01)
    assert ours >= 0.97 * prv.get_epsilon(DELTA, eps_error=0.01) - 0.02  # its own error is 0.01 either way
    assert ours <= opacus.get_epsilon(DELTA) * 1.001
    google = rdp.RdpAccountant()
    step = dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(sigma))
    google.compose(dp_accounting.SelfComposedDpEvent(step, steps))
    assert ours <= google.get_epsilon(DELTA) * 1.001


def test_sampling_rate_and_steps_are_not_forgotten() -> None:
    """A twin that drops the steps, or forgets accumulation in q (LEAKS 14), lands far off."""
    right = epsilon_of([SampledGaussian(1.0, 0.01, 300)], DELTA)
    assert epsilon_of([SampledGaussian(1.0, 0.01, 1)], DELTA) < 0.8 * right
    assert epsilon_of([SampledGaussian(1.0, 0.04, 300)], DELTA) > 2 * right


rates, sigmas_, steps_ = st.floats(0.001, 0.3), st.floats(0.6, 6.0), st.integers(1, 300)
more = st.floats(1.25, 3.0)


def coarse(q: float, sigma: float, steps: int, delta: float = DELTA) -> float:
    return compose([SampledGaussian(sigma, q, steps)], COARSE).epsilon(delta)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(q=rates, sigma=sigmas_, steps=steps_, factor=more)
def test_epsilon_grows_with_rate_steps_and_less_noise(q: float, sigma: float, steps: int, factor: float) -> None:
    base = coarse(q, sigma, steps)
    slack = 1e-3 * base + 1e-6  # of the grid
    assert base >= 0
    assert coarse(min(1.0, q * factor), sigma, steps) >= base - slack
    assert coarse(q, sigma, math.ceil(steps * factor)) >= base - slack
    assert coarse(q, sigma / factor, steps) >= base - slack
    assert coarse(q, sigma, steps, DELTA / 10) >= base - slack


@settings(max_examples=30, deadline=None, derandomize=True)
@given(mu=st.floats(0.01, 2.0), factor=more, delta=st.floats(1e-9, 1e-2))
def test_epsilon_of_a_gaussian_is_monotone(mu: float, factor: float, delta: float) -> None:
    weak, strong = (compose([gaussian_of_strength(m)], COARSE) for m in (mu, mu * factor))
    assert 0 <= weak.epsilon(delta) <= strong.epsilon(delta) + 1e-6
    assert weak.epsilon(delta) <= weak.epsilon(delta / 2) + 1e-9


def test_epsilon_is_never_negative() -> None:
    assert epsilon_of([Gaussian(1e4)], 0.5) == 0.0
    assert epsilon_of([SampledGaussian(50.0, 0.001, 1)], 0.1) == 0.0


MIXES: list[list[Event]] = [
    [Gaussian(2.0), Geometric(0.1)],
    [Geometric(0.3), Geometric(0.2)],
    [Gaussian(5.0), ApproximateDP(0.2, 1e-7)],
    [SampledGaussian(1.0, 0.01, 50), Gaussian(3.0), Geometric(0.05), ApproximateDP(0.1, 1e-7)],
    [Geometric(0.1), ThresholdedGaussian(2.0, 1e-6), Gaussian(2.0)],
]


@pytest.mark.parametrize("events", MIXES, ids=str)
def test_a_mix_costs_more_than_each_part_and_at_most_their_sum(events: list[Event]) -> None:
    total = epsilon_of(events, DELTA)
    alone = [epsilon_of([event], DELTA) for event in events]
    assert total > max(alone) + 1e-3  # every part of these mixes weighs more than the grid's error
    worst = sum(epsilon_of([event], DELTA / len(events)) for event in events)  # basic composition
    assert total <= worst + 1e-3


def test_pure_and_approximate_events_keep_their_own_claims() -> None:
    assert epsilon_of([Geometric(0.7)], 1e-12) == pytest.approx(0.7, abs=2e-4)
    assert epsilon_of([Geometric(0.3), Geometric(0.4)], 1e-12) == pytest.approx(0.7, abs=4e-4)
    loss = compose([ApproximateDP(0.5, 1e-6)])
    assert loss.epsilon(1.001e-6) == pytest.approx(0.5, abs=2e-4)
    assert loss.epsilon(0.9e-6) == math.inf  # no epsilon covers a smaller delta
    assert math.isinf(epsilon_of([Gaussian(2.0), ApproximateDP(0.5, 1e-6)], 0.5e-6))


def test_a_thresholded_gaussian_costs_its_gaussian_and_its_delta() -> None:
    sigma, delta = 2.0, 1e-6
    loss = compose([ThresholdedGaussian(sigma, delta)])
    for epsilon in (0.0, 0.5, 1.0, 2.0):
        exact = gaussian_delta(1 / sigma, epsilon)
        both = delta + (1 - delta) * exact  # seen outright, or told apart by the noisy count
        assert both - 1e-12 <= loss.delta(epsilon) <= both * (1 + 1e-3) + 1e-9
    assert loss.epsilon(0.9 * delta) == math.inf
    two = [ThresholdedGaussian(2.0, 1e-7), ThresholdedGaussian(3.0, 1e-7), Gaussian(1.5)]
    mu = math.sqrt(1 / 4 + 1 / 9 + 1 / 2.25)
    exact = gaussian_delta(mu, 3.0)
    both = exact + (1 - exact) * (1 - (1 - 1e-7) ** 2)
    assert both - 1e-12 <= compose(two).delta(3.0) <= both * (1 + 1e-3)


def test_composing_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no events"):
        compose([])


EVENTS: list[Event] = [
    Gaussian(1.5), Geometric(0.2), ApproximateDP(0.1, 1e-8), SampledGaussian(0.9, 0.02, 7), ThresholdedGaussian(3.0, 1e-9),
]  # fmt: skip


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_events_survive_json(event: Event) -> None:
    assert from_json(json.loads(json.dumps(to_json(event)))) == event


def test_unknown_and_damaged_events_are_refused() -> None:
    with pytest.raises(KeyError):
        from_json({"kind": "Laplace", "epsilon": 1.0})
    with pytest.raises(TypeError):
        from_json({"kind": "Gaussian", "noise_multiplier": 1.0, "epsilon": 1.0})
    with pytest.raises(ValueError):
        from_json({"kind": "Gaussian", "noise_multiplier": math.nan})


BAD = [math.nan, 0.0, math.inf, -math.inf, -1.0]


@pytest.mark.parametrize("bad", BAD)
def test_bad_figures_are_refused(bad: float) -> None:
    for make in (
        lambda: Gaussian(bad), lambda: Geometric(bad), lambda: ApproximateDP(1.0, bad),
        lambda: ApproximateDP(bad or -0.1, 1e-6),  # 0 is an epsilon: delta alone
        lambda: ThresholdedGaussian(bad, 1e-6), lambda: ThresholdedGaussian(1.0, bad),
        lambda: SampledGaussian(bad, 0.1, 1), lambda: SampledGaussian(1.0, bad, 1),
        lambda: SampledGaussian(1.0, 0.1, bad),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            make()


def test_figures_out_of_range_are_refused() -> None:
    for make in (
        lambda: ApproximateDP(1.0, 1.0), lambda: SampledGaussian(1.0, 1.01, 1),
        lambda: SampledGaussian(1.0, 0.1, 2.5),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            make()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(mu=st.floats(1e-3, 20.0), factor=more, q=rates, steps=steps_)
def test_strength_grows_with_mu(mu: float, factor: float, q: float, steps: int) -> None:
    weak, strong = (sampled_gaussian_of_strength(m, q, steps) for m in (mu, mu * factor))
    assert strong.noise_multiplier < weak.noise_multiplier
