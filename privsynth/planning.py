"""The plan: every mechanism that will touch the table, its event and its share, fixed before any data is read.

A share is a share of mu squared, the parameter of Gaussian differential privacy, which adds up over independent mechanisms.
Shares only divide the budget; the noise of all mechanisms is then scaled together until the exact composed total meets
the policy's claim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from privsynth.encoding.requests import domain_requests, hidden_units, histogram_request, readable_requests
from privsynth.encoding.wide import wide_bounds
from privsynth.errors import PolicyError, Problem
from privsynth.marginals.choice import Facts, expected_signal
from privsynth.policy.knowledge import saved_by
from privsynth.policy.load import Policy
from privsynth.policy.rules import CAP_HINT, above_cap, shared_number
from privsynth.privacy.accountant import calibrate, compose, slack_of
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
from privsynth.privacy.mechanisms.counts import UNIT_SIZES
from privsynth.privacy.mechanisms.tables import HISTOGRAMS
from privsynth.privacy.noise import MAX_MOVED
from privsynth.privacy.plan import Item, Lifetime, Plan, Request, RiskCost
from privsynth.privacy.risk import generic_epsilon, max_tpr, plain_risk, small
from privsynth.trainers import choose

Events = Callable[[float], list[Event]]  # GDP parameter mu -> the events of the whole run


def make_plan(policy: Policy) -> Plan:
    """Calibrates every mechanism of a policy's run. Reads no data.

    Raises PolicyError if delta is too small to be met, if a risk target comes to more than the hard cap, or if one unit
    may move more cells than floating-point noise is known to be exact enough for.
    """
    trainer, reasons, requests = _requests(policy)
    _refuse_too_many_cells(policy, sum(request.tables for request in requests))
    delta = policy.model.budget.delta

    def events(mu: float) -> list[Event]:
        return [request.event(mu * math.sqrt(request.share)) for request in requests]

    mu = _gdp_mu(policy, events)
    total = compose(events(mu))
    items = tuple(
        Item(r.name, r.purpose, r.share, e, noise_in_words(e, r.tables, r.at_most))
        for r, e in zip(requests, events(mu), strict=True)
    )
    epsilon, lifetime = total.epsilon(delta), policy.model.budget.lifetime
    return Plan(
        items, trainer, epsilon, delta, plain_risk(total), policy.unit_column or "row", policy.max_rows,
        policy.unit_called, tuple(reasons), policy.model.seed, _risk_cost(policy, events, mu, epsilon),
        trainer_options=dict(policy.model.trainer.options), dataset=policy.model.dataset.id, policy_sha256=policy.sha256,
        lifetime=Lifetime(lifetime.epsilon, lifetime.delta, lifetime.locked) if lifetime else None,
        signal=_signal(policy, requests, events(mu)), knowledge=tuple(saved_by(policy.knowledge)),
    )  # fmt: skip


def _signal(policy: Policy, requests: list[Request], events: list[Event]) -> tuple[str, ...]:
    """What the counts of tables will be worth, by public facts."""
    noise = {
        request.name: event.noise_multiplier * math.sqrt(request.tables)
        for request, event in zip(requests, events, strict=True) if isinstance(event, Gaussian) and request.tables
    }  # fmt: skip
    found = expected_signal(Facts.of(policy), noise)
    told = [f"{'Lost in noise: ' if one.drowns else ''}{one.sentence}" for one in found]
    sizes = {request.name: event for request, event in zip(requests, events, strict=True)}.get(UNIT_SIZES)
    if (hidden := hidden_units(policy, sizes)) is not None:
        told.append(f"numbers of rows: {hidden}")
    if HISTOGRAMS in noise:
        told += wide_bounds(policy, noise[HISTOGRAMS])
    return tuple(told)


def _refuse_too_many_cells(policy: Policy, tables: int) -> None:
    if policy.max_rows * tables > MAX_MOVED:
        rule = (
            f"one unit could move {policy.max_rows * tables:,} cells of {tables:,} tables; floating-point noise is known to be "
            f"exact enough for {MAX_MOVED:,}"
        )
        hint = f"let `max_rows` be at most {max(1, MAX_MOVED // tables)}, or release fewer columns"
        raise PolicyError(Problem(policy.place("unit"), rule, hint))


def _gdp_mu(policy: Policy, events: Events) -> float:
    """The largest GDP parameter mu that keeps to the epsilon or the risk that the policy states."""
    budget = policy.model.budget
    try:
        if budget.risk is None:
            return calibrate(events, lambda loss: loss.epsilon(budget.delta), budget.epsilon or 0.0)
        fpr = budget.risk.fpr
        return calibrate(events, lambda loss: float(max_tpr(loss, [fpr])[0]) - fpr, budget.risk.max_tpr - fpr)
    except ArithmeticError:
        floor = slack_of(events(1e-3))
        rule = (
            f"no amount of noise in these mechanisms meets the target at delta {budget.delta:g}: whatever the noise, "
            f"floating-point arithmetic alone is counted as epsilon {floor:.1e} here"
        )
        hint = "ask for a larger epsilon or risk or a larger delta, or take fewer steps of DP-SGD"
        raise PolicyError(Problem(policy.place("budget"), rule, hint)) from None


def _risk_cost(policy: Policy, events: Events, mu: float, epsilon: float) -> RiskCost | None:
    """What the policy's risk target costs in epsilon, if it has one. Raises PolicyError if that is above the hard cap."""
    budget = policy.model.budget
    if budget.risk is None:
        return None
    if rule := above_cap(budget, epsilon, "this risk comes to epsilon"):
        raise PolicyError(Problem(policy.place("budget", "risk"), rule, CAP_HINT))
    fpr, tpr = budget.risk.fpr, budget.risk.max_tpr
    generic = generic_epsilon(fpr, tpr, budget.delta)
    try:
        weaker = calibrate(events, lambda loss: loss.epsilon(budget.delta), generic) if generic > 0 else 0.0
    except ArithmeticError:  # no amount of noise meets the generic epsilon
        weaker = 0.0
    return RiskCost(fpr, tpr, epsilon, generic, max(0.0, 1 - weaker / mu))


def _requests(policy: Policy) -> tuple[str, list[str], list[Request]]:
    """(trainer, reasons for its choice, requests for every mechanism of the run). The shares sum to 1."""
    facts, spec = Facts.of(policy), policy.model.trainer
    trainer, reasons = choose(spec.name, spec.options, facts)
    requests = [_unit_numbers(policy), *readable_requests(policy), *domain_requests(policy)]
    left = 1 - sum(request.share for request in requests)
    histograms = histogram_request(policy, left)
    left -= histograms.share
    wanted = [replace(request, share=request.share * left) for request in trainer.requests(facts)]
    return trainer.name, reasons, [*requests, histograms, *wanted]


def _unit_numbers(policy: Policy) -> Request:
    """The cost of a collision in `units.number_units`, which may give two units the same number: no noise, a part of delta."""
    purpose = "which rows belong together: units get numbers by a keyed hash, and two share one with a tiny chance"
    event = ApproximateDP(0.0, shared_number(policy.most_rows))
    return Request("unit numbers", purpose, 0.0, lambda mu: event)


def noise_in_words(event: Event, tables: int = 0, at_most: bool = False) -> str:
    """What a mechanism does to what it releases. tables: how many tables share its noise, or at most how many.

    >>> noise_in_words(Geometric(0.5))
    'counts, off by 2.8 (standard deviation)'
    """
    match event:
        case Geometric(epsilon):
            return f"counts, off by {_figure(math.sqrt(0.5) / math.sinh(epsilon / 2))} (standard deviation)"
        case DiscreteGaussian(sigma):
            return f"counts, off by {_figure(sigma)} (standard deviation)"
        case ThresholdedGaussian(sigma, delta):
            return (
                f"counts, off by {_figure(sigma)} (standard deviation); a value that one alone has shows with a chance of "
                f"at most {small(delta)}"
            )
        case Gaussian(sigma) if tables:
            typical = _figure(sigma * math.sqrt(tables))
            most = "at most " if at_most else ""
            return f"{most}{tables:,} tables, each count off by {most}{typical} (standard deviation, on average)"
        case SampledGaussian(sigma, rate, steps):
            return (
                f"{steps:,} steps, each on {100 * rate:.2g} % of units drawn at random; the sum of clipped gradients is off "
                f"by {_figure(sigma)} clip norms in each coordinate (standard deviation)"
            )
        case ApproximateDP(0.0, delta):
            return (
                f"no noise: nothing is released, but with a chance of at most {small(delta)} everything about one unit"
            )
        case PureDP(epsilon):
            return f"choices whose odds one unit changes by a factor of {_figure(math.exp(epsilon))} at most"
        case Gaussian(sigma):
            return f"figures, off by {_figure(sigma)} times what one unit moves them all (standard deviation)"
    return str(event)


def _figure(value: float) -> str:
    """Two digits, as people write them."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
