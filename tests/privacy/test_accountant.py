"""The composed total against closed forms, Opacus and dp_accounting, on grids; LEAKS 12 to 14 and 16."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repeated import examples
from scipy.special import log_ndtr, ndtr

from privsynth.privacy.accountant import (
    LONG_SUM,
    NUMERICAL_SLACK,
    STEP_SLACK,
    PrivacyLoss,
    calibrate,
    compose,
    dominating_mu,
    epsilon_of,
)
from privsynth.privacy.events import (
    ApproximateDP,
    DiscreteGaussian,
    Event,
    Gaussian,
    Geometric,
    PureDP,
    SampledGaussian,
    ThresholdedGaussian,
    from_json,
    sampled_gaussian_of_mu,
    to_json,
)

DELTA = 1e-5
FINE = 1e-4  # interval of the independent distributions


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Balle & Wang 2018, Theorem 8; tails by their logarithm, which keeps their digits."""
    return float(ndtr(mu / 2 - epsilon / mu) - np.exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu)))


def outright(event: ApproximateDP | ThresholdedGaussian, pessimistic: bool) -> Any:
    """With chance delta, everything is released."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    kept = pld.PrivacyLossDistribution.create_from_rounded_probability
    return kept({0: 1 - event.delta}, event.delta, FINE, pessimistic)


def by_hand(events: list[Event], pessimistic: bool) -> PrivacyLoss:
    """Every event by the library's own function for it, convolved one by one; a bound from above or from below."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    how = {"value_discretization_interval": FINE, "pessimistic_estimate": pessimistic, "use_connect_dots": False}
    total = pld.PrivacyLossDistribution.create_from_rounded_probability({0: 1.0}, 0.0, FINE, pessimistic)
    for event in events:
        parts: list[Any] = []
        if isinstance(event, (ApproximateDP, ThresholdedGaussian)):
            parts.append(outright(event, pessimistic))
        if isinstance(event, Gaussian):
            parts.append(pld.from_gaussian_mechanism(event.noise_multiplier, **how))
        elif isinstance(event, (DiscreteGaussian, ThresholdedGaussian)):
            parts.append(pld.from_discrete_gaussian_mechanism(event.noise_multiplier, **how))
        elif isinstance(event, SampledGaussian):
            q, steps = event.sampling_rate, event.steps
            parts.append(
                pld.from_gaussian_mechanism(event.noise_multiplier, sampling_prob=q, **how).self_compose(steps)
            )
        else:
            parts.append(pld.from_discrete_laplace_mechanism(event.epsilon, **how))
        for part in parts:
            total = total.compose(part)
    return PrivacyLoss(total)


@pytest.mark.parametrize("sigmas", [(1.0,), (4.0, 3.0), (2.0, 2.0, 2.0, 2.0), (50.0, 0.8), (1e4,), (0.12,)])
def test_gaussians_follow_the_closed_form(sigmas: tuple[float, ...]) -> None:
    mu = math.sqrt(sum(s**-2 for s in sigmas))
    loss = compose([Gaussian(s) for s in sigmas])
    for spread in (0.0, 0.5, 1.0, 2.0, 4.0):
        epsilon = mu**2 / 2 + spread * mu
        exact = gaussian_delta(mu, epsilon)
        assert exact * (1 - 1e-9) <= loss.delta(epsilon) <= exact * (1 + 1e-3) + 2 * NUMERICAL_SLACK
        assert 0 <= loss.epsilon(exact) - epsilon <= 1e-4 * epsilon + 2 * NUMERICAL_SLACK


def test_convolved_gaussians_follow_the_closed_form_too() -> None:
    """Even at the smallest delta, where rounding counts most: two halves that are not merged."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    half = pld.from_gaussian_mechanism(math.sqrt(2) * 2, value_discretization_interval=1e-3)
    merged = compose([Gaussian(2.0)])
    for delta in (1e-3, 1e-6, 1e-10):
        assert merged.epsilon(delta) == pytest.approx(half.compose(half).get_epsilon_for_delta(delta), rel=1e-4)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 1.7, 5.0, 40.0, 777.7])
def test_a_gaussian_dominates_the_discrete_one(sigma: float) -> None:
    """delta(epsilon) by its formula (Canonne, Kamath, Steinke 2020, Theorem 7), at and between all its kinks."""
    top = math.ceil(40 * sigma)
    mass = np.exp(-0.5 * (np.arange(-top, top + 1) / sigma) ** 2)
    above = np.append(np.cumsum(mass[::-1])[::-1], 0) / mass.sum()  # P[Y >= m], m = -top ...
    mu = dominating_mu(sigma)
    kinks = (np.arange(1, 8 * sigma + 2) - 0.5) / sigma**2
    for epsilon in np.concatenate([np.linspace(0, 8 / sigma, 300), kinks[:300]]):
        m = math.floor(epsilon * sigma**2 - 0.5) + 1  # Y > epsilon sigma^2 - 1/2
        exact = above[min(m + top, 2 * top + 1)] - math.exp(epsilon) * above[min(m + 1 + top, 2 * top + 1)]
        assert exact <= gaussian_delta(mu, epsilon) + 1e-14
    assert mu <= 1.6 / sigma and (sigma < 1 or mu == pytest.approx((1 + 1 / (24 * sigma**2)) / sigma, rel=0.005))


def test_the_bound_for_much_noise_joins_the_computed_one() -> None:
    last, first = dominating_mu(LONG_SUM), dominating_mu(LONG_SUM * (1 + 1e-9))
    assert last < first < 1.005 * last
    assert dominating_mu(1e7) == pytest.approx(1e-7, rel=1e-5)
    assert epsilon_of([DiscreteGaussian(0.01)], DELTA) > 100  # next to no noise: no claim, and no error either


@settings(max_examples=100, deadline=None, derandomize=True)
@given(sigma=st.floats(0.1, 3e4), factor=st.floats(1.01, 2.0))
def test_the_dominating_gaussian_falls_with_noise(sigma: float, factor: float) -> None:
    assert dominating_mu(sigma * factor) < dominating_mu(sigma)


# (q, sigma, steps): little and much noise, rare and frequent rows, one step and thousands
GRID = [
    (0.001, 0.6, 1000), (0.01, 1.0, 300), (0.01, 1.0, 3000), (0.05, 2.0, 100), (0.004, 0.6, 200), (0.2, 4.0, 500),
    (0.01, 0.5, 50), (0.1, 1.0, 20), (0.5, 3.0, 100), (1.0, 4.0, 10), (0.02, 10.0, 1000), (0.3, 1.2, 1),
]  # fmt: skip


@pytest.mark.parametrize("q, sigma, steps", GRID)
def test_dp_sgd_agrees_with_other_accountants(
    q: float, sigma: float, steps: int, caplog: pytest.LogCaptureFixture
) -> None:
    import dp_accounting
    from dp_accounting import rdp
    from opacus.accountants import PRVAccountant, RDPAccountant

    caplog.set_level(logging.ERROR)  # RDP's orders that do not converge
    events: list[Event] = [SampledGaussian(sigma, q, steps)]
    ours = epsilon_of(events, DELTA)
    assert ours >= by_hand(events, pessimistic=False).epsilon(DELTA)
    prv, opacus, google = PRVAccountant(), RDPAccountant(), rdp.RdpAccountant()
    prv.history = opacus.history = [(sigma, q, steps)]
    error = min(0.01, 0.01 * ours)
    distribution = prv._get_dprv(eps_error=error, delta_error=DELTA / 1000)
    low, estimate, high = distribution.compute_epsilon(DELTA, DELTA / 1000, error)
    assert low <= ours <= high
    assert ours == pytest.approx(estimate, rel=0.002)
    step = dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(sigma))
    google.compose(dp_accounting.SelfComposedDpEvent(step, steps))
    assert ours <= min(opacus.get_epsilon(DELTA), google.get_epsilon(DELTA)) * 1.0001


MIXES: list[list[Event]] = [
    [Gaussian(2.0), Geometric(0.1)],
    [Geometric(0.3), Geometric(0.2)],
    [PureDP(0.4), Geometric(0.4), PureDP(0.4)],
    [Gaussian(5.0), ApproximateDP(0.2, 1e-7)],
    [DiscreteGaussian(3.0), DiscreteGaussian(8.0), Gaussian(2.5)],
    [SampledGaussian(1.0, 0.01, 50), Gaussian(3.0), Geometric(0.05), ApproximateDP(0.1, 1e-7)],
    [Geometric(0.1), ThresholdedGaussian(2.0, 1e-6), Gaussian(2.0)],
    [SampledGaussian(0.9, 0.01, 300), Gaussian(1.9), Gaussian(5.2), Geometric(0.06), ThresholdedGaussian(9.2, 1e-7)],
    [SampledGaussian(2.0, 0.1, 40), SampledGaussian(0.8, 0.002, 500), PureDP(0.3), DiscreteGaussian(4.0)],
]


def rdp_epsilon(events: list[Event]) -> float:
    """The whole by Renyi divergences (Mironov 2017), an accountant of another kind; chances delta come off first."""
    from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent

    orders = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64))
    total, delta = np.zeros(len(orders)), DELTA
    for event in events:
        if isinstance(event, (ApproximateDP, ThresholdedGaussian)):
            delta -= event.delta
        if isinstance(event, SampledGaussian):
            q, sigma, steps = event.sampling_rate, event.noise_multiplier, event.steps
            total += compute_rdp(q=q, noise_multiplier=sigma, steps=steps, orders=orders)
        elif isinstance(event, (Gaussian, DiscreteGaussian, ThresholdedGaussian)):
            total += np.array(orders) / (2 * event.noise_multiplier**2)
        else:
            p, a = 1 / (1 + math.exp(-event.epsilon)), np.array(orders)
            total += np.log(p**a * (1 - p) ** (1 - a) + (1 - p) ** a * p ** (1 - a)) / (a - 1)
    return float(get_privacy_spent(orders=orders, rdp=total, delta=delta)[0])


@pytest.mark.parametrize("events", MIXES, ids=str)
def test_mixes_lie_between_bounds(events: list[Event]) -> None:
    ours = epsilon_of(events, DELTA)
    least, most = (by_hand(events, pessimistic=which).epsilon(DELTA) for which in (False, True))
    assert (
        least <= ours <= most * 1.008
    )  # a discrete Gaussian is dominated, not followed: by 1.1 % of its mu at sigma 2
    assert ours <= rdp_epsilon(events) * 1.0001
    alone = [epsilon_of([event], DELTA) for event in events]
    assert ours > max(alone) + 1e-3
    assert ours <= sum(epsilon_of([event], DELTA / len(events)) for event in events) * 1.003  # basic composition


def test_the_order_of_events_and_their_grouping_do_not_matter() -> None:
    events = [*MIXES[-1], *MIXES[-2], Gaussian(7.0)]
    assert epsilon_of(events, DELTA) == epsilon_of(events[::-1], DELTA)
    split: list[Event] = [SampledGaussian(1.0, 0.02, 30), Gaussian(4.0), SampledGaussian(1.0, 0.02, 70), Gaussian(3.0)]
    whole = epsilon_of([SampledGaussian(1.0, 0.02, 100), Gaussian(2.4)], DELTA)
    assert epsilon_of(split, DELTA) == pytest.approx(whole, rel=1e-9)


def test_at_rate_one_dp_sgd_is_plain_gaussians() -> None:
    plain = epsilon_of([Gaussian(1.0)], DELTA) + 16 * STEP_SLACK
    assert epsilon_of([SampledGaussian(4.0, 1.0, 16)], DELTA) == pytest.approx(plain, abs=1e-12)
    nearly = epsilon_of([SampledGaussian(4.0, 1 - 1e-9, 16)], DELTA)
    assert nearly == pytest.approx(epsilon_of([Gaussian(4.0)] * 16, DELTA), rel=2e-3)


def test_many_equal_events_cost_one_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    from dp_accounting.pld import privacy_loss_distribution as pld

    made: list[str] = []
    for name in ("from_gaussian_mechanism", "from_discrete_laplace_mechanism", "from_privacy_parameters"):
        original = getattr(pld, name)
        monkeypatch.setattr(pld, name, lambda *a, _n=name, _o=original, **k: made.append(_n) or _o(*a, **k))
    compose(
        [ThresholdedGaussian(20.0, 1e-8)] * 15 + [DiscreteGaussian(20.0)] * 5 + [Geometric(0.1)] * 9 + [Gaussian(2.0)]
    )
    assert sorted(made) == ["from_discrete_laplace_mechanism", "from_gaussian_mechanism", "from_privacy_parameters"]


def test_sampling_rate_and_steps_are_not_forgotten() -> None:
    """A variant that drops the steps, or forgets accumulation in q (LEAKS 14), lands far off."""
    right = epsilon_of([SampledGaussian(1.0, 0.01, 300)], DELTA)
    assert epsilon_of([SampledGaussian(1.0, 0.01, 1)], DELTA) < 0.8 * right
    assert epsilon_of([SampledGaussian(1.0, 0.04, 300)], DELTA) > 2 * right


rates, sigmas_, steps_ = st.floats(0.005, 0.3), st.floats(1.5, 6.0), st.integers(1, 300)
more = st.floats(1.25, 3.0)


@settings(max_examples=examples(3, full=6), deadline=None, derandomize=True)
@given(q=rates, sigma=sigmas_, steps=steps_, factor=more)
def test_epsilon_grows_with_rate_steps_and_less_noise(q: float, sigma: float, steps: int, factor: float) -> None:
    def found(q: float, sigma: float, steps: int, delta: float = DELTA) -> float:
        return epsilon_of([SampledGaussian(sigma, q, steps)], delta)

    base = found(q, sigma, steps)
    slack = 1e-3 * base  # of the grid
    assert base >= 0
    assert found(min(1.0, q * factor), sigma, steps) >= base - slack
    assert found(q, sigma, math.ceil(steps * factor)) >= base - slack
    assert found(q, sigma / factor, steps) >= base - slack
    assert found(q, sigma, steps, DELTA / 10) >= base - slack


weak_and_strong = st.sampled_from([
    lambda s: [Gaussian(1 / s)], lambda s: [DiscreteGaussian(1 / s)], lambda s: [Geometric(s)], lambda s: [PureDP(s)],
    lambda s: [ApproximateDP(s, 1e-12)], lambda s: [ThresholdedGaussian(1 / s, 1e-12)],
    lambda s: [SampledGaussian(1 / s, 0.05, 20), Geometric(s), Gaussian(3 / s)],
])  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(events=weak_and_strong, mu=st.floats(0.01, 2.0), factor=more, delta=st.floats(1e-9, 1e-2))
def test_epsilon_grows_with_every_mu(events: Any, mu: float, factor: float, delta: float) -> None:
    weak, strong = compose(events(mu)), compose(events(mu * factor))
    assert 0 <= weak.epsilon(delta) <= strong.epsilon(delta) * 1.001
    assert weak.epsilon(delta) <= weak.epsilon(delta / 2)
    assert weak.epsilon(delta) <= compose([*events(mu), PureDP(0.3)]).epsilon(delta) * 1.001


def test_epsilon_is_never_negative() -> None:
    assert epsilon_of([Gaussian(1e4)], 0.5) == NUMERICAL_SLACK
    assert epsilon_of([SampledGaussian(50.0, 0.001, 1)], 0.1) == NUMERICAL_SLACK + STEP_SLACK


def test_pure_and_approximate_events_keep_their_own_claims() -> None:
    for pure in (Geometric(0.7), PureDP(0.7)):
        assert 0.7 <= epsilon_of([pure], 1e-12) <= 0.7 * 1.003
    assert 0.7 <= epsilon_of([Geometric(0.3), PureDP(0.4)], 1e-12) <= 0.7 * 1.006
    loss = compose([ApproximateDP(0.5, 1e-6)])
    assert 0.5 <= loss.epsilon(1.001e-6) <= 0.5 * 1.003
    assert loss.epsilon(0.9e-6) == math.inf  # no epsilon covers a smaller delta
    assert math.isinf(epsilon_of([Gaussian(2.0), ApproximateDP(0.5, 1e-6)], 0.5e-6))


def test_the_geometric_mechanism_is_randomised_response() -> None:
    """delta(0) is its total variation, tanh(epsilon / 2), and delta(x) = (e^epsilon - e^x) / (1 + e^epsilon)."""
    for epsilon in (0.01, 0.5, 3.0):
        loss = compose([Geometric(epsilon)])
        for x in (0.0, 0.3 * epsilon, 0.9 * epsilon):
            exact = (math.exp(epsilon) - math.exp(x)) / (1 + math.exp(epsilon))
            assert exact - 1e-12 <= loss.delta(x) <= exact + 2e-3 * epsilon + 1e-6


def test_a_thresholded_gaussian_costs_its_gaussian_and_its_delta() -> None:
    sigma, delta = 20.0, 1e-6
    mu = dominating_mu(sigma)
    loss = compose([ThresholdedGaussian(sigma, delta)])
    for epsilon in (0.0, 0.05, 0.1, 0.2):
        both = delta + (1 - delta) * gaussian_delta(mu, epsilon)  # seen outright, or distinguished by the noisy count
        assert both - 1e-12 <= loss.delta(epsilon) <= both * (1 + 1e-3) + NUMERICAL_SLACK
    assert loss.epsilon(0.9 * delta) == math.inf
    two: list[Event] = [ThresholdedGaussian(2.0, 1e-7), ThresholdedGaussian(3.0, 1e-7), Gaussian(1.5)]
    mu = math.sqrt(dominating_mu(2.0) ** 2 + dominating_mu(3.0) ** 2 + 1 / 2.25)
    exact = gaussian_delta(mu, 3.0)
    both = exact + (1 - exact) * (1 - (1 - 1e-7) ** 2)
    assert both - 1e-12 <= compose(two).delta(3.0) <= both * (1 + 1e-3)


@pytest.mark.parametrize("target", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("mix", [0, 1, 2])
def test_calibration_meets_its_target_in_few_steps(target: float, mix: int) -> None:
    asked: list[float] = []

    def events(mu: float) -> list[Event]:
        asked.append(mu)
        first: Event = [SampledGaussian(1 / (8 * mu), 0.01, 200), Geometric(0.3 * mu), DiscreteGaussian(4 / mu)][mix]
        return [first, Gaussian(1 / mu), ThresholdedGaussian(5 / mu, 1e-8)]

    mu = calibrate(events, lambda loss: loss.epsilon(1e-6), target)
    assert 0.999 * target <= epsilon_of(events(mu), 1e-6) <= target
    assert len(asked) <= 14


def test_calibration_says_when_no_noise_is_enough() -> None:
    with pytest.raises(ArithmeticError, match="no amount of noise"):
        calibrate(lambda mu: [Gaussian(1 / mu), ApproximateDP(0.0, 1e-6)], lambda loss: loss.epsilon(1e-7), 1.0)


def test_composing_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no events"):
        compose([])


EVENTS: list[Event] = [
    Gaussian(1.5), DiscreteGaussian(2.5), Geometric(0.2), PureDP(0.3), ApproximateDP(0.1, 1e-8),
    SampledGaussian(0.9, 0.02, 7), ThresholdedGaussian(3.0, 1e-9),
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
        lambda: DiscreteGaussian(bad), lambda: PureDP(bad),
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
    weak, strong = (sampled_gaussian_of_mu(m, q, steps) for m in (mu, mu * factor))
    assert strong.noise_multiplier < weak.noise_multiplier
