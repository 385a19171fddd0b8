"""Lower bounds on epsilon and mu: known values, jax_privacy's figures, coverage, and that they rise to the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from privsynth.audit.epsilon import (
    OneRun,
    gaussian_epsilon,
    one_run,
    one_run_chance,
    one_run_epsilon,
    one_run_mu,
    right_guesses,
)
from privsynth.audit.worlds import (
    Worlds,
    epsilon_at,
    estimated_mu,
    mu_at,
    ranked_thresholds,
    two_worlds,
    upper_rate,
    upper_rates,
)
from privsynth.privacy.accountant import epsilon_of, gaussian_mu
from privsynth.privacy.events import Gaussian

DELTA = 1e-5
FALSE_ALARM = 1e-7  # of each test of coverage
# jax_privacy 2.0.0, `auditing._epsilon_one_run` and `_epsilon_one_run_fdp`: (canaries, guesses, right, delta) -> both epsilon
JAX_ONE_RUN = {
    (1000, 300, 260, 1e-5): (1.5841403174587132, 2.6350244881919895),
    (10_000, 900, 800, 1e-5): (1.8961239077643701, 2.613682551272416),
    (1000, 1000, 600, 1e-4): (0.2950124696845929, 0.4807616188070369),
    (1000, 200, 195, 1e-3): (1.5615459405959977, 3.469912396307358),
}
CLOPPER_PEARSON_AT_2, JAX_FROM_GDP = 1.78830101332453, 6.967538245125246
JAX_THRESHOLDS = np.array(
    [
        -2.7802932151547175,
        -1.0551619713218798,
        -0.8576614188942937,
        -0.6064921954239675,
        -0.12603217901329256,
        -0.0014233495161815046,
        0.010160598615813976,
        0.06356621375931204,
        0.31062858603954413,
        0.3764655383941853,
        0.41689072826738216,
        0.6566880981646176,
        0.816475136199617,
        1.0692563288765835,
        1.2128496703178187,
        1.617960975134802,
        1.6340780626848175,
        1.7455828113203635,
        2.0812936642451385,
        2.7239506500774198,
        2.8296386057077334,
        np.inf,
    ]
)


def canaries(mu: float, m: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(scores, coins) of the Gaussian mechanism on m orthogonal canaries."""
    rng = np.random.default_rng(seed)
    included = rng.random(m) < 0.5
    return rng.normal(size=m) + mu * included, included


def worlds(mu: float, runs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood ratios of `runs` runs in each world of a Gaussian mechanism."""
    rng = np.random.default_rng(seed)
    return mu * rng.normal(size=runs) - mu**2 / 2, mu * rng.normal(size=runs) + mu**2 / 2


@pytest.mark.parametrize(("m", "epsilon"), [(100, 3.49), (1000, 5.81)])
def test_perfect_guesses(m: int, epsilon: float) -> None:
    """The most that one run can show: q^m = .05."""
    assert one_run_epsilon(m, m, m) == pytest.approx(epsilon, abs=0.005)
    q = 0.05 ** (1 / m)
    assert one_run_epsilon(m, m, m) == pytest.approx(math.log(q / (1 - q)), abs=1e-8)


@pytest.mark.parametrize("guessed", list(JAX_ONE_RUN))
def test_one_run_agrees_with_jax_privacy(guessed: tuple[int, int, int, float]) -> None:
    *counts, delta = guessed
    epsilon, by_mu = JAX_ONE_RUN[guessed]
    assert one_run_epsilon(*counts, delta) == pytest.approx(epsilon, abs=1e-6)
    assert gaussian_epsilon(one_run_mu(*counts), delta) == pytest.approx(by_mu, abs=1e-6)


def test_two_worlds_agree_with_jax_privacy() -> None:
    """Its `epsilon_clopper_pearson` at a threshold of 2, in both directions, and `epsilon_from_gdp` over its 22 thresholds."""
    scores, included = canaries(1.6, 1000, 7)
    without, with_canary = scores[~included], scores[included]
    rates = upper_rates(without, with_canary, np.array([np.nextafter(2.0, 0)]), 0.05)
    assert epsilon_at(*rates, DELTA)[0] == pytest.approx(CLOPPER_PEARSON_AT_2, abs=1e-6)
    thresholds = np.nextafter(JAX_THRESHOLDS, -np.inf)  # it counts a score that equals the threshold as above
    mu = mu_at(*upper_rates(without, with_canary, thresholds, 0.05 / len(thresholds))).max()
    assert gaussian_epsilon(mu, DELTA) == pytest.approx(JAX_FROM_GDP, abs=1e-6)


@pytest.mark.parametrize("mu", [0.05, 1.0, 6.0])
def test_epsilon_of_a_gaussian(mu: float) -> None:
    assert gaussian_epsilon(mu, DELTA) == pytest.approx(epsilon_of([Gaussian(1 / mu)], DELTA), abs=2e-4)
    assert gaussian_mu(gaussian_epsilon(mu, DELTA), DELTA) == pytest.approx(mu, rel=1e-6)


def test_the_chance_is_exact_without_delta_and_grows_with_it() -> None:
    assert one_run_chance(50, 20, 15, 1.0, 0.0) == pytest.approx(binom.sf(14, 20, 1 / (1 + math.exp(-1))))
    chances = [one_run_chance(50, 20, 15, 1.0, delta) for delta in (0.0, 1e-4, 1e-3, 1e-2, 0.5)]
    assert chances == sorted(chances) and chances[-1] == 1.0


@pytest.mark.parametrize("delta", [0.0, 1e-5, 1e-3, 5e-3, 0.03])
def test_the_chance_grows_with_epsilon(delta: float) -> None:
    """Else the largest epsilon that is refuted would be no bound. At the last delta 2 m delta is far above 1."""
    for guesses, right in ((200, 200), (200, 150), (10, 9), (10, 0)):
        chances = [one_run_chance(200, guesses, right, epsilon, delta) for epsilon in np.linspace(0, 8, 60)]
        assert np.all(np.diff(chances) >= -1e-12)


def violations(bounds: list[OneRun] | list[Worlds], mu: float) -> dict[str, int]:
    epsilon = gaussian_epsilon(mu, DELTA)
    return {
        "epsilon": sum(bound.epsilon > epsilon for bound in bounds),
        "mu": sum(bound.mu > mu for bound in bounds),
    }


@pytest.mark.statistical
@pytest.mark.parametrize("mu", [0.3, 1.6])
def test_bounds_of_one_run_cover(mu: float) -> None:
    """100 audits of 100 canaries: above the truth in at most 5 %. False alarm: 1e-7 for each."""
    found = [one_run(*canaries(mu, 100, seed), DELTA) for seed in range(100)]
    assert max(violations(found, mu).values()) <= binom.isf(FALSE_ALARM, len(found), 0.05)


@pytest.mark.statistical
@pytest.mark.parametrize("threshold", [None, 0.0])
@pytest.mark.parametrize("mu", [0.3, 1.6])
def test_bounds_of_two_worlds_cover(mu: float, threshold: float | None) -> None:
    """300 audits of 200 runs a world: above the truth in at most 5 %. False alarm: 1e-7 for each."""
    found = [two_worlds(*worlds(mu, 200, seed), DELTA, threshold=threshold) for seed in range(300)]
    assert max(violations(found, mu).values()) <= binom.isf(FALSE_ALARM, len(found), 0.05)


@pytest.mark.statistical
def test_estimates_of_mu_have_the_stated_error() -> None:
    """False alarm: 1e-6 for the mean, about 1e-6 for the deviation of 400 estimates."""
    found = np.array([estimated_mu(*worlds(1.6, 300, seed)) for seed in range(400)])
    errors = (found[:, 0] - 1.6) / found[:, 1]
    assert abs(errors.mean()) < 5 / math.sqrt(400)
    assert abs(errors.std() - 1) < 5 / math.sqrt(2 * 400)


def test_several_numbers_of_guesses_share_the_error() -> None:
    scores, included = canaries(1.6, 400, 3)
    numbers = [400, 100, 25]
    rights = [right_guesses(scores, included, n - n // 2, n // 2) for n in numbers]
    found, each = one_run(scores, included, DELTA, numbers), 1 - 0.05 / 3
    bounds = [one_run_epsilon(400, n, right, DELTA, each) for n, right in zip(numbers, rights, strict=True)]
    assert found.epsilon == max(bounds) > 0
    assert (found.guesses, found.right) == list(zip(numbers, rights, strict=True))[int(np.argmax(bounds))]
    assert found.mu == max(one_run_mu(400, n, right, each) for n, right in zip(numbers, rights, strict=True))


def test_bounds_rise_to_the_truth() -> None:
    """A bound that is always 0 would cover as well. Seeded."""
    scores, included = canaries(1.6, 10_000, 1)
    one = one_run(scores, included, DELTA)
    many = two_worlds(*worlds(1.6, 50_000, 1), DELTA)
    stated = two_worlds(*worlds(1.6, 50_000, 1), DELTA, threshold=0.0)
    assert 1.0 < one.mu <= 1.6
    assert 1.55 < many.mu < stated.mu <= 1.6
    assert one.epsilon < one.epsilon_of_mu
    assert 3.5 < many.epsilon < many.epsilon_of_mu <= gaussian_epsilon(1.6, DELTA)


def test_noise_of_half_its_size_shows() -> None:
    """Claimed mu = .91 (epsilon = 4), true 1.82: by 100 runs a world (seeded)."""
    claimed = gaussian_mu(4.0, DELTA)
    assert two_worlds(*worlds(2 * claimed, 100, 5), DELTA, threshold=0.0).mu > claimed
    assert two_worlds(*worlds(claimed, 100, 5), DELTA, threshold=0.0).mu < claimed


# --- ends -------------------------------------------------------------------------------------------------------------


def test_nothing_right_says_nothing() -> None:
    assert one_run_epsilon(10, 10, 0) == one_run_mu(10, 10, 0) == 0.0
    assert one_run_epsilon(1, 1, 1) == 0.0  # one right guess has a chance of one half
    included = np.arange(40) % 2 == 0
    assert one_run(np.where(included, 0.0, 1.0), included, DELTA).epsilon == 0.0  # all wrong
    same = one_run(np.zeros(40), included, DELTA)
    assert (same.epsilon, same.mu, same.epsilon_of_mu) == (0.0, 0.0, 0.0)


def test_scores_that_are_all_equal() -> None:
    equal = two_worlds(np.zeros(50), np.zeros(50), DELTA)
    assert (equal.epsilon, equal.mu, equal.estimate) == (0.0, 0.0, 0.0)
    apart = two_worlds(np.zeros(50), np.ones(50), DELTA)
    assert 0 < apart.epsilon < 5 and 0 < apart.mu < 5 and apart.estimate == math.inf


def test_a_reversed_score_is_a_leak_by_epsilon() -> None:
    """A canary that lowers the score tells as much; mu and the estimate look for a higher one, as they say."""
    without, with_canary = worlds(3.0, 1000, 2)
    assert two_worlds(with_canary, without, DELTA).mu == 0.0
    assert estimated_mu(with_canary, without)[0] < 0


def test_rates_at_their_ends() -> None:
    assert upper_rate(np.array([0, 10]), 10, 0.05).tolist() == pytest.approx([1 - 0.05**0.1, 1.0])
    assert len(ranked_thresholds(np.arange(2.0))) == len(ranked_thresholds(np.arange(5000.0)))
    assert (
        gaussian_epsilon(0.0, DELTA) == 0.0
        and gaussian_epsilon(1.0, 0.5) == 0.0
        and gaussian_epsilon(1.0, 0.0) == math.inf
    )


def test_guesses_are_counted() -> None:
    scores, included = np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, False, False, True])
    assert right_guesses(scores, included, 1, 0) == 1
    assert right_guesses(scores, included, 2, 2) == 2
    assert right_guesses(scores, included, 0, 1) == 0


@pytest.mark.parametrize(
    ("scores", "included", "says"),
    [
        (np.zeros(3), np.zeros(4, bool), "one score and one coin"),
        (np.zeros(0), np.zeros(0, bool), "one score and one coin"),
        (np.zeros(3), np.zeros(3), "booleans"),
        (np.array([np.nan, 0.0]), np.zeros(2, bool), "finite"),
    ],
)
def test_what_is_no_audit_is_refused(scores: np.ndarray, included: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        one_run(scores, included, DELTA)


def test_wrong_counts_and_levels_are_refused() -> None:
    scores, included = canaries(1.0, 20, 0)
    with pytest.raises(ValueError, match="numbers of guesses"):
        one_run(scores, included, DELTA, numbers=[21])
    with pytest.raises(ValueError, match="confidence"):
        one_run(scores, included, DELTA, confidence=0.05)
    with pytest.raises(ValueError, match="among the guesses"):
        one_run_epsilon(10, 5, 6)
    with pytest.raises(ValueError, match="two runs or more"):
        two_worlds(np.zeros(1), np.zeros(5), DELTA)
    with pytest.raises(ValueError, match="delta"):
        two_worlds(np.zeros(5), np.zeros(5), 1.0)
