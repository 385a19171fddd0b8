"""One total: all events of a run compose into one privacy loss distribution, and every claim is read off it.

Computed by `dp_accounting` (Google), pessimistic throughout: discretisation and truncation only ever add to epsilon
(Doroshenko et al. 2022, connect-the-dots). Neighbours: add or remove one unit; both directions are covered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from privsynth.privacy.events import ApproximateDP, Event, Gaussian, Geometric, SampledGaussian, ThresholdedGaussian

INTERVAL = 1e-4  # grid of privacy losses
COARSE = 2e-3  # for searches: what they find is checked on the fine grid


def _distribution(event: Event, interval: float) -> Any:
    from dp_accounting.pld import common
    from dp_accounting.pld import privacy_loss_distribution as pld

    if isinstance(event, Gaussian):
        return pld.from_gaussian_mechanism(event.noise_multiplier, value_discretization_interval=interval)
    if isinstance(event, Geometric):
        return pld.from_discrete_laplace_mechanism(event.epsilon, value_discretization_interval=interval)
    if isinstance(event, ApproximateDP):
        parameters = common.DifferentialPrivacyParameters(event.epsilon, event.delta)
        return pld.from_privacy_parameters(parameters, value_discretization_interval=interval)
    assert isinstance(event, SampledGaussian)  # `_merged` has taken every other kind apart
    one = pld.from_gaussian_mechanism(
        event.noise_multiplier, sampling_prob=event.sampling_rate, value_discretization_interval=interval
    )
    return one.self_compose(event.steps)


def _merged(events: Iterable[Event]) -> list[Event]:
    """Gaussians merge exactly into one: their mu add up in squares (Dong, Roth, Su 2022, Corollary 2)."""
    events = [part for event in events for part in _parts(event)]
    mu = math.sqrt(sum(event.mu**2 for event in events if isinstance(event, Gaussian)))
    rest: list[Event] = [event for event in events if not isinstance(event, Gaussian)]
    return rest + ([Gaussian(1 / mu)] if mu > 0 else [])


def _parts(event: Event) -> list[Event]:
    if isinstance(event, ThresholdedGaussian):
        return [Gaussian(event.noise_multiplier), ApproximateDP(0.0, event.delta)]
    return [event]


@dataclass(frozen=True)
class PrivacyLoss:
    """The composed privacy loss distribution of a list of events."""

    distribution: Any

    def epsilon(self, delta: float) -> float:
        """The smallest epsilon at which the whole is (epsilon, delta)-differentially private; never below 0."""
        return max(0.0, float(self.distribution.get_epsilon_for_delta(delta)))

    def delta(self, epsilon: float | Sequence[float]) -> Any:
        """delta for one epsilon or for an increasing list of them."""
        if isinstance(epsilon, (int, float)):
            return float(self.distribution.get_delta_for_epsilon(epsilon))
        return np.asarray(self.distribution.get_delta_for_epsilon(list(epsilon)))


def compose(events: Iterable[Event], interval: float = INTERVAL) -> PrivacyLoss:
    """Composes events. Raises ValueError if there are none: a claim about nothing would be vacuous."""
    merged = _merged(events)
    if not merged:
        raise ValueError("no events to compose")
    total = _distribution(merged[0], interval)
    for event in merged[1:]:
        total = total.compose(_distribution(event, interval))
    return PrivacyLoss(total)


def epsilon_of(events: Iterable[Event], delta: float) -> float:
    """epsilon of the composition at delta.

    >>> round(epsilon_of([Gaussian(1.0)], 1e-5), 2)
    4.38
    """
    return compose(events).epsilon(delta)


def calibrate(events_of: Callable[[float], list[Event]], cost: Callable[[PrivacyLoss], float], target: float) -> float:
    """The largest strength mu whose composed cost is at most `target`, and at least 0.998 of it.

    events_of(mu) must grow stronger (less private) with mu, and so cost. Searched on a coarse grid of privacy losses,
    then finished on the fine one, on which every claim is made.
    """
    low, high = 1e-4, 1.0
    while cost(compose(events_of(high), COARSE)) < target:
        low, high = high, 2 * high
    for _ in range(14):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if cost(compose(events_of(middle), COARSE)) <= target else (low, middle)
    reached = cost(compose(events_of(low)))
    for _ in range(60):
        if 0.998 * target <= reached <= target:
            return low
        low *= 1 + 0.7 * (0.9995 * target / max(reached, 1e-9) - 1)
        reached = cost(compose(events_of(low)))
    while reached > target:  # never above: the grid may be too rough for very small targets
        low *= 0.98
        reached = cost(compose(events_of(low)))
    return low


__all__ = ["PrivacyLoss", "SampledGaussian", "calibrate", "compose", "epsilon_of"]
