"""The plan: every mechanism that will touch the table, its event and its share, fixed before any data is read.

A share is a share of mu squared, the budget of Gaussian differential privacy, in which independent mechanisms add up.
It only divides; the noise of all is then scaled together until the exact composed total meets the policy's claim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from privsynth.errors import PolicyError, Problem
from privsynth.evidence import MechanismRecord, Privacy, Risk
from privsynth.policy.load import Policy
from privsynth.policy.rules import CAP_MEND, above_cap, shared_number
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
    gaussian_of_strength,
    to_json,
)
from privsynth.privacy.noise import MOST_MOVED
from privsynth.privacy.risk import at_most, generic_epsilon, max_tpr, percent, plain_risk, small

COUNT_SHARE = 0.01  # row count, or how many rows units have
DOMAIN_SHARE = 0.03  # each bought range or category set ...
DOMAIN_MOST = 0.15  # ... and all of them together
CATEGORY_DELTA = 0.1  # share of delta for all bought category sets

COMPOSITION = (
    "privacy loss distributions of all mechanisms, convolved (dp_accounting, pessimistic estimate), later ones free to "
    "build on earlier ones; adding or removing one unit; noise calibrated so that this total meets the policy"
)


Events = Callable[[float], list[Event]]  # strength mu -> the events of the whole run


@dataclass(frozen=True)
class Request:
    """One mechanism that a stage wants: what it is for, its share, and its event at a given strength."""

    name: str
    purpose: str
    share: float
    event: Callable[[float], Event]  # strength mu -> event
    tables: int = 0  # that share its noise; 0 for what releases no tables
    at_most: bool = False  # whether there may be fewer: which ones fit hangs on what is released before


@dataclass(frozen=True)
class Item:
    """One calibrated line of the plan. noise: what the event does, in words of a statistician."""

    name: str
    purpose: str
    share: float
    event: Event
    noise: str = ""


@dataclass(frozen=True)
class RiskCost:
    """What a risk target came to: epsilon, and what going through (epsilon, delta) would have cost instead.

    epsilon_generic: the largest epsilon that keeps the target by (epsilon, delta) alone. noise_saved: how much smaller
    the noise multipliers are than under that epsilon, 0..1.
    """

    fpr: float
    max_tpr: float
    epsilon: float
    epsilon_generic: float
    noise_saved: float

    @property
    def sentence(self) -> str:
        return (
            f"The policy asks that an attack with {percent(self.fpr)} false alarms find at most "
            f"{percent(self.max_tpr)} of members. That is epsilon = {at_most(self.epsilon)} here, with "
            f"{100 * self.noise_saved:.0f} % less noise than under the epsilon = {self.epsilon_generic:.3g} that promises "
            f"the same by itself."
        )


@dataclass(frozen=True)
class Plan:
    """What will be spent. `reasons` tells why the trainer was chosen, where it was chosen by rule."""

    items: tuple[Item, ...]
    trainer: str
    epsilon: float
    delta: float
    risk: Risk
    unit: str
    max_rows: int
    unit_called: str | None = None
    reasons: tuple[str, ...] = ()
    seeded: bool = False
    risk_target: RiskCost | None = None

    def __contains__(self, name: str) -> bool:
        return any(item.name == name for item in self.items)

    def __getitem__(self, name: str) -> Event:
        return next(item.event for item in self.items if item.name == name)

    @property
    def one_unit(self) -> str:
        """Whom the claim protects, as a reader calls it."""
        return "one row" if self.unit == "row" else f"one {self.unit_called or self.unit}"

    @property
    def sentence(self) -> str:
        """The claim in words that a release board can weigh."""
        if self.seeded:
            return "Made with a seed: whoever knows it can subtract the noise, so there is no privacy claim."
        rows = "" if self.unit == "row" else f" (all its rows, {self.max_rows} used at most)"
        return (
            f"Whether {self.one_unit}{rows} is in the table or not changes what comes out by so little that an attacker who knows "
            f"everybody else's data, and who accepts 1 % false alarms, recognises a member with a chance of at most "
            f"{percent(self.risk.max_tpr['0.01'])} (1 % would be pure guessing). In technical terms: epsilon = "
            f"{at_most(self.epsilon)} at delta = {small(self.delta)}."
        )

    def privacy(self) -> Privacy:
        """The claim as evidence."""
        records = [
            MechanismRecord(
                name=item.name, event=str(item.event), share=item.share, purpose=item.purpose,
                epsilon_alone=_alone(item.event, self.delta),
            )
            for item in self.items
        ]  # fmt: skip
        return Privacy(
            epsilon=self.epsilon, delta=self.delta, unit=self.unit, unit_called=self.unit_called, max_rows=self.max_rows,
            composition=COMPOSITION,
            mechanisms=records, risk=self.risk, sentence=self.sentence,
        )  # fmt: skip

    def as_checked(self) -> dict[str, Any]:
        """The whole plan as plain values, as `check --json` prints it."""
        return {
            "epsilon": self.epsilon, "delta": self.delta, "unit": self.unit, "max_rows": self.max_rows,
            "trainer": self.trainer, "reasons": list(self.reasons), "risk": self.risk.model_dump(), "sentence": self.sentence,
            "risk_target": None if self.risk_target is None else asdict(self.risk_target),
            "mechanisms": [
                {"name": i.name, "event": to_json(i.event), "share": i.share, "purpose": i.purpose, "noise": i.noise}
                for i in self.items
            ],
        }  # fmt: skip

    def to_json(self) -> list[dict[str, Any]]:
        """What the ledger writes down of each mechanism."""
        return [{"name": i.name, "share": i.share, "event": to_json(i.event)} for i in self.items]


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

    mu = _strength(policy, events)
    total = compose(events(mu))
    items = tuple(
        Item(r.name, r.purpose, r.share, e, noise_in_words(e, r.tables, r.at_most))
        for r, e in zip(requests, events(mu), strict=True)
    )
    return Plan(
        items, trainer, total.epsilon(delta), delta, plain_risk(total), policy.unit_column or "row", policy.max_rows,
        policy.unit_called, tuple(reasons), policy.model.seed is not None,
        _risk_cost(policy, events, mu, total.epsilon(delta)),
    )  # fmt: skip


def _refuse_too_many_cells(policy: Policy, tables: int) -> None:
    if policy.max_rows * tables > MOST_MOVED:
        rule = (
            f"one unit could move {policy.max_rows * tables:,} cells of {tables:,} tables; floating-point noise is known to be "
            f"exact enough for {MOST_MOVED:,}"
        )
        mend = f"let `max_rows` be at most {max(1, MOST_MOVED // tables)}, or release fewer columns"
        raise PolicyError(Problem(policy.place("unit"), rule, mend))


def _strength(policy: Policy, events: Events) -> float:
    """The largest strength that keeps what the policy asks: its epsilon or its risk."""
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
        mend = "ask for a larger epsilon or risk or a larger delta, or take fewer steps of DP-SGD"
        raise PolicyError(Problem(policy.place("budget"), rule, mend)) from None


def _risk_cost(policy: Policy, events: Events, mu: float, epsilon: float) -> RiskCost | None:
    """What the policy's risk target comes to, if it has one. Raises PolicyError if that is above the hard cap."""
    budget = policy.model.budget
    if budget.risk is None:
        return None
    if rule := above_cap(budget, epsilon, "this risk comes to epsilon"):
        raise PolicyError(Problem(policy.place("budget", "risk"), rule, CAP_MEND))
    fpr, tpr = budget.risk.fpr, budget.risk.max_tpr
    generic = generic_epsilon(fpr, tpr, budget.delta)
    try:
        weaker = calibrate(events, lambda loss: loss.epsilon(budget.delta), generic) if generic > 0 else 0.0
    except ArithmeticError:  # no noise is enough to go that way
        weaker = 0.0
    return RiskCost(fpr, tpr, epsilon, generic, max(0.0, 1 - weaker / mu))


def _requests(policy: Policy) -> tuple[str, list[str], list[Request]]:
    """(trainer, why it was chosen, every mechanism of the run); shares sum to 1."""
    from privsynth.trainers import trainer_requests
    from privsynth.trainers.rules import histogram_share, histogram_tables

    requests = [_unit_numbers(policy), *_domain_requests(policy)]
    left = 1 - sum(request.share for request in requests)
    share = histogram_share(policy) * left
    requests.append(
        Request("histograms", "how each column is distributed, for bins and spikes", share, gaussian_of_strength,
                histogram_tables(policy))
    )  # fmt: skip
    left -= share
    name, reasons, wanted = trainer_requests(policy)
    requests += [replace(r, share=r.share * left) for r in wanted]
    return name, reasons, requests


def _unit_numbers(policy: Policy) -> Request:
    """What it costs that `table.number_units` may give two units one number: no noise, a part of delta."""
    purpose = "which rows belong together: units get numbers by a keyed hash, and two share one with a tiny chance"
    event = ApproximateDP(0.0, shared_number(policy.most_rows))
    return Request("unit numbers", purpose, 0.0, lambda mu: event)


def _domain_requests(policy: Policy) -> list[Request]:
    """What must be bought before rows can be encoded."""
    columns = policy.model.columns
    requests = []
    if policy.unit_column is not None:
        requests.append(Request("unit sizes", "how many units there are, by number of rows", COUNT_SHARE, Geometric))
    elif policy.model.dataset.rows is None:
        requests.append(Request("row count", "how many rows the table has", COUNT_SHARE, Geometric))
    bought = [n for n, c in columns.items() if c.modelled and "private" in (c.bounds, c.categories)]
    open_sets = [n for n in bought if columns[n].categories == "private"]
    share = min(DOMAIN_SHARE, DOMAIN_MOST / len(bought)) if bought else 0.0
    delta = policy.model.budget.delta * CATEGORY_DELTA / max(len(open_sets), 1)
    for name in bought:
        if name in open_sets:
            requests.append(
                Request(f"categories: {name}", f"which values of {name} many units share", share,
                        lambda mu: ThresholdedGaussian(1 / mu, delta))
            )  # fmt: skip
        else:
            requests.append(
                Request(
                    f"bounds: {name}", f"the range in which {name} lies", share, lambda mu: DiscreteGaussian(1 / mu)
                )
            )
    return requests


def noise_in_words(event: Event, tables: int = 0, at_most: bool = False) -> str:
    """What a mechanism does to what it releases; tables: how many share its noise, or how many at most.

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
            return f"no noise: nothing is told, but with a chance of at most {small(delta)} all of one unit"
        case PureDP(epsilon):
            return f"choices whose odds one unit changes by a factor of {_figure(math.exp(epsilon))} at most"
        case Gaussian(sigma):
            return f"figures, off by {_figure(sigma)} times what one unit moves them all (standard deviation)"
    return str(event)


def _figure(value: float) -> str:
    """Two digits, as people write them."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _alone(event: Event, delta: float) -> float | None:
    """epsilon that this event would claim by itself at delta; None if it would claim none."""
    value = compose([event]).epsilon(delta)
    return value if math.isfinite(value) else None
