"""The privacy accountant: all events of a run compose into one privacy loss distribution, from which every claim is read.

Computed by `dp_accounting` (Google), pessimistic throughout: discretisation and truncation only ever add to epsilon
(connect-the-dots, Doroshenko et al. 2022). Neighbours: add or remove one unit; both directions are kept apart through
the composition, and every figure is the worse of the two.

Stages of a run may use what earlier ones released: tables use measured bounds, DP-SGD starts from noisy tables. The total
covers that. What is fixed before any data is read is the list of events, and with it, for each stage, a pair
of distributions that dominates the stage whatever earlier releases it was fed with, since noise is stated relative to
the stage's own sensitivity. The composition of such a list of pairs dominates the adaptive composition of the stages
(Zhu, Dong, Wang 2022, Theorem 10). It would not if a released value chose how much noise a later stage adds, or whether
there is a later stage: that takes a privacy filter.

What dominates each kind of event:
- Gaussian: itself. Gaussians compose exactly: their mu squared adds up (Dong, Roth, Su 2022, Corollary 2).
- DiscreteGaussian: the Gaussian of `dominating_mu`.
- PureDP: randomised response (Kairouz, Oh, Viswanath 2015). Geometric: the same, as its privacy loss takes the same
  two values with the same probabilities; and a small delta, since diffprivlib draws it by inverting one 53-bit number, so
  that its support ends at about 36 / epsilon and has gaps before that.
- ApproximateDP: randomised response and, with probability delta, a release of everything (the same source).
- ThresholdedGaussian: its Gaussian and, with probability delta, a release of everything.
- SampledGaussian: a Poisson-sampled Gaussian at each step, in each direction (Zhu, Dong, Wang 2022, Theorem 11).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privsynth.privacy.events import (
    ApproximateDP,
    DiscreteGaussian,
    Event,
    Gaussian,
    Geometric,
    PureDP,
    SampledGaussian,
    ThresholdedGaussian,
)

# in epsilon, part of every total: how closely floating-point samplers follow their exact distribution (`noise`)
NUMERICAL_SLACK = 1e-5
STEP_SLACK = 3e-7  # in epsilon, for each step of DP-SGD: its sums and noise are doubles (`dpsgd.DPSGD.granularity`)
ROUNDING = 1e-15  # in delta, added for each composition: about ten times what its Fourier transforms were seen to round
LONG_SUM = 10_000.0  # noise multiplier up to which `dominating_mu` adds up all of the discrete Gaussian


def geometric_trace(epsilon: float) -> float:
    """delta of diffprivlib's two-sided geometric noise: it inverts one 53-bit number, so its support ends near 36 / epsilon."""
    return min(0.5, 36 / epsilon * (1 + math.exp(min(epsilon, 50.0))) * 2.0**-53)


def slack_of(events: Iterable[Event]) -> float:
    """What floating-point samplers and sums may add to epsilon in one composition."""
    return NUMERICAL_SLACK + STEP_SLACK * sum(event.steps for event in events if isinstance(event, SampledGaussian))


def dominating_mu(noise_multiplier: float) -> float:
    """mu of a Gaussian that dominates discrete Gaussian noise of this parameter on integers that move by 1.

    About 1/sigma (1 + 1/(24 sigma^2)). With z(k) = Phi^-1(P[Y <= k]), the trade-off curve of Y against Y + 1 is linear
    between its corners (P[Y > k], P[Y <= k - 1]), and a corner lies above the curve of a Gaussian of parameter mu
    exactly if z(k) - z(k - 1) <= mu. That curve is convex: if no corner lies below it, nothing does. So the largest step
    of z is a mu that dominates (corners of less than 1e-290 are left to `ROUNDING`).

    Above `LONG_SUM` the sum is long and a bound does: z(k) - z(k - 1) <= P[Y = k] / phi(z(k)), where P[Y = k] is at most
    phi(k/sigma)/sigma and P[Y > k], comparing the sum with an integral, at least Phi(-(k+1)/sigma) / (1 + 0.4/sigma).
    As phi(Phi^-1) is concave and 0 at 0, the step is at most (1 + 0.4/sigma) exp((k + 1/2)/sigma^2) / sigma, which is
    below 1/(sigma - 39) for all k <= 37 sigma.

    >>> round(dominating_mu(2.0), 4), dominating_mu(1e6) < 1.00004e-6
    (0.5053, True)
    """
    sigma = noise_multiplier
    return _largest_step(sigma) if sigma <= LONG_SUM else 1 / (sigma - 39)


@lru_cache(maxsize=256)
def _largest_step(sigma: float) -> float:
    from scipy.special import ndtri

    k = np.arange(math.ceil(39 * sigma) + 2, dtype=float)
    mass = np.exp(-0.5 * (k / sigma) ** 2)  # 0 before its end: nothing is cut off
    at_least = np.cumsum(mass[::-1])[::-1]  # from the small end, so that the tail keeps its digits
    above = at_least[1:] / (2 * at_least[0] - 1)  # P[Y > k], k >= 0
    z = -ndtri(np.maximum(above, 1e-290))
    return float(max(2 * z[0], np.diff(z, prepend=z[0]).max()))  # z(-1) = -z(0), and so on by symmetry


def _dominating(event: Event) -> Iterator[tuple[Event, int]]:
    """(event, times) that together dominate one event: Gaussian, PureDP, one step of DP-SGD, or ApproximateDP(0, delta)."""
    match event:
        case DiscreteGaussian(sigma):
            yield Gaussian(1 / dominating_mu(sigma)), 1
        case ThresholdedGaussian(sigma, delta):
            yield Gaussian(1 / dominating_mu(sigma)), 1
            yield ApproximateDP(0.0, delta), 1
        case Geometric(epsilon):
            yield PureDP(epsilon), 1
            yield ApproximateDP(0.0, geometric_trace(epsilon)), 1
        case ApproximateDP(epsilon, delta) if epsilon > 0:
            yield PureDP(epsilon), 1
            yield ApproximateDP(0.0, delta), 1
        case SampledGaussian(sigma, rate, steps) if rate == 1:
            yield Gaussian(sigma / math.sqrt(steps)), 1
        case SampledGaussian(sigma, rate, steps):
            yield SampledGaussian(sigma, rate, 1), steps
        case _:
            yield event, 1


def _merged(events: Iterable[Event]) -> Counter[Event]:
    """Events that dominate the given ones, with their multiplicities: all Gaussians as one, all delta as one. In a fixed order."""
    counted: Counter[Event] = Counter()
    for event in events:
        for part, times in _dominating(event):
            counted[part] += times
    squares = [event.mu**2 * n for event, n in counted.items() if isinstance(event, Gaussian)]
    lost = [math.log1p(-event.delta) * n for event, n in counted.items() if isinstance(event, ApproximateDP)]
    lost += [-ROUNDING * n for event, n in counted.items() if not isinstance(event, ApproximateDP)]
    merged: Counter[Event] = Counter()
    for event, n in sorted(counted.items(), key=lambda item: repr(item[0])):
        if not isinstance(event, (Gaussian, ApproximateDP)):
            merged[event] = n
    if squares:
        merged[Gaussian(1 / math.sqrt(math.fsum(squares)))] = 1
    if lost:
        merged[ApproximateDP(0.0, -math.expm1(math.fsum(lost)))] = 1
    return merged


def _spread(event: Event) -> float:
    """Approximately the standard deviation of the event's privacy loss."""
    match event:
        case Gaussian():
            return event.mu
        case SampledGaussian(sigma, rate, _):
            return rate / sigma
        case PureDP(epsilon):
            return epsilon
    return 0.0


def _interval(merged: Counter[Event]) -> float:
    """The grid spacing of privacy losses: fine enough for the whole composition, whatever its size.

    Connect-the-dots puts a loss on its two neighbours on the grid, which adds at most interval^2 / 4 to the variance:
    one part in 2,500 here over all compositions, and one in a million where they are few.
    """
    variance = sum(_spread(event) ** 2 * n for event, n in merged.items())
    times = max(1, sum(n for event, n in merged.items() if not isinstance(event, ApproximateDP)))
    return math.sqrt(variance or 1.0) * min(2e-3, 0.04 / math.sqrt(times))


def _distribution(event: Event, interval: float) -> Any:
    from dp_accounting.pld import common
    from dp_accounting.pld import privacy_loss_distribution as pld

    match event:
        case Gaussian(sigma):
            return pld.from_gaussian_mechanism(sigma, value_discretization_interval=interval)
        case SampledGaussian(sigma, rate, _):
            return pld.from_gaussian_mechanism(sigma, sampling_prob=rate, value_discretization_interval=interval)
        case PureDP(epsilon):
            return pld.from_discrete_laplace_mechanism(
                epsilon, value_discretization_interval=interval, use_connect_dots=True
            )
        case ApproximateDP(epsilon, delta):
            parameters = common.DifferentialPrivacyParameters(epsilon, delta)
            return pld.from_privacy_parameters(parameters, value_discretization_interval=interval)
    raise TypeError(f"no privacy loss distribution of {event}")


@dataclass(frozen=True)
class PrivacyLoss:
    """The composed privacy loss distribution of a list of events. slack: in epsilon, included in every figure."""

    distribution: Any
    slack: float = NUMERICAL_SLACK

    def epsilon(self, delta: float) -> float:
        """The smallest epsilon at which the whole is (epsilon, delta)-differentially private; infinite if none is."""
        return float(self.distribution.get_epsilon_for_delta(delta)) + self.slack

    def delta(self, epsilon: float | Sequence[float] | NDArray[np.float64]) -> Any:
        """delta for one epsilon or for an increasing list of them."""
        shifted = np.asarray(epsilon, dtype=float) - self.slack
        if shifted.ndim == 0:
            return float(self.distribution.get_delta_for_epsilon(float(shifted)))
        return np.asarray(self.distribution.get_delta_for_epsilon(shifted.tolist()))


def compose(events: Iterable[Event], interval: float | None = None) -> PrivacyLoss:
    """Composes events; their order does not matter. interval: of the grid of privacy losses, chosen if not given.

    Raises ValueError if there are none: a claim about nothing would be vacuous.
    """
    events = list(events)
    merged = _merged(events)
    if not merged:
        raise ValueError("no events to compose")
    interval = interval or _interval(merged)
    total = None
    for event, times in merged.items():
        one = _distribution(event, interval)
        many = one.self_compose(times) if times > 1 else one
        total = many if total is None else total.compose(many)
    return PrivacyLoss(total, slack_of(events))


def epsilon_of(events: Iterable[Event], delta: float) -> float:
    """epsilon of the composition at delta.

    >>> round(epsilon_of([Gaussian(1.0)], 1e-5), 2)
    4.38
    """
    return compose(events).epsilon(delta)


def calibrate(events_of: Callable[[float], list[Event]], cost: Callable[[PrivacyLoss], float], target: float) -> float:
    """The largest GDP parameter mu whose composed cost is at most `target`, and at least 0.999 of it.

    events_of(mu) must become less private as mu grows, and so cost must grow. Raises ArithmeticError if no mu meets the
    target, as where the delta of the events alone exceeds it.
    """
    low, high = (0.0, 0.0), (math.inf, math.inf)  # (mu, cost); the target lies between the two costs
    mu = 1.0
    for turn in range(100):
        reached = cost(compose(events_of(mu)))
        if 0.999 * target <= reached <= target:
            return mu
        low, high = ((mu, reached), high) if reached <= target else (low, (mu, reached))
        mu = _between(low, high, 0.9996 * target, halve=turn % 6 == 5)
        if mu < 1e-9:
            break
    raise ArithmeticError("no amount of noise meets the target")


def _between(low: tuple[float, float], high: tuple[float, float], aim: float, halve: bool) -> float:
    """The next mu to try. Cost is about a power of mu: where both ends are known, interpolates linearly on a log-log scale."""
    (lower, less), (upper, more) = low, high
    if math.isinf(upper):
        return lower * min(8.0, max(1.2, aim / less if less > 0 else 8.0))
    if lower == 0:
        return upper * min(0.9, max(0.125, aim / more))
    part = 0.5 if halve or less <= 0 or math.isinf(more) else math.log(aim / less) / math.log(more / less)
    return float(lower * (upper / lower) ** min(0.98, max(0.02, part)))


@lru_cache(maxsize=256)  # a plan needs it more than once
def gaussian_mu(epsilon: float, delta: float) -> float:
    """mu of the Gaussian mechanism that is (epsilon, delta)-private (Balle, Wang 2018, Theorem 8), by dp_accounting."""
    from dp_accounting.pld.accountant import get_smallest_gaussian_noise
    from dp_accounting.pld.common import DifferentialPrivacyParameters

    return 1 / float(get_smallest_gaussian_noise(DifferentialPrivacyParameters(epsilon, delta)))


def mu_of_risk(fpr: float, tpr: float) -> float:
    """mu of the Gaussian mechanism whose trade-off curve passes through this point (fpr, tpr)."""
    from scipy.special import ndtri

    return float(ndtri(tpr) - ndtri(fpr))
