"""The plan: every mechanism that will touch the table, its event and its share, fixed before any data is read.

A share is a share of mu squared, the budget of Gaussian differential privacy, in which independent mechanisms add up.
It only divides; the noise of all is then scaled together until the exact composed total meets the policy's claim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from privsynth.evidence import MechanismRecord, Privacy, Risk
from privsynth.policy.load import Policy
from privsynth.privacy.accountant import PrivacyLoss, calibrate, compose
from privsynth.privacy.events import Event, Geometric, ThresholdedGaussian, gaussian_of_strength, to_json
from privsynth.privacy.risk import at_most, max_tpr, percent, plain_risk

COUNT_SHARE = 0.01  # row count, or how many rows units have
DOMAIN_SHARE = 0.03  # each bought range or category set ...
DOMAIN_MOST = 0.15  # ... and all of them together
HISTOGRAM_SHARE = 0.10  # of what is left
CATEGORY_DELTA = 0.1  # share of delta for all bought category sets

COMPOSITION = (
    "privacy loss distributions of all mechanisms, convolved (dp_accounting, pessimistic estimate); adding or removing "
    "one unit; noise calibrated so that this total meets the policy"
)


@dataclass(frozen=True)
class Request:
    """One mechanism that a stage wants: what it is for, its share, and its event at a given strength."""

    name: str
    purpose: str
    share: float
    event: Callable[[float], Event]  # strength mu -> event


@dataclass(frozen=True)
class Item:
    """One calibrated line of the plan."""

    name: str
    purpose: str
    share: float
    event: Event


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

    def __getitem__(self, name: str) -> Event:
        return next(item.event for item in self.items if item.name == name)

    def __contains__(self, name: str) -> bool:
        return any(item.name == name for item in self.items)

    @property
    def sentence(self) -> str:
        """The claim in words that a release board can weigh."""
        if self.seeded:
            return "Made with a seed: whoever knows it can subtract the noise, so there is no privacy claim."
        who = (
            "one row"
            if self.unit == "row"
            else f"one {self.unit_called or self.unit} (all its rows, {self.max_rows} used at most)"
        )
        return (
            f"Whether {who} is in the table or not changes what comes out by so little that an attacker who knows "
            f"everybody else's data, and who accepts 1 % false alarms, recognises a member with a chance of at most "
            f"{percent(self.risk.max_tpr['0.01'])} (1 % would be pure guessing). In technical terms: epsilon = "
            f"{at_most(self.epsilon)} at delta = {self.delta:.1e}."
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

    def to_json(self) -> list[dict[str, Any]]:
        return [{"name": i.name, "share": i.share, "event": to_json(i.event)} for i in self.items]


def make_plan(policy: Policy) -> Plan:
    """Calibrates every mechanism of a policy's run. Reads no data."""
    from privsynth.trainers import trainer_requests

    requests = _domain_requests(policy)
    left = 1 - sum(request.share for request in requests)
    requests.append(
        Request("histograms", "how each column is distributed, for bins and spikes", HISTOGRAM_SHARE * left,
                gaussian_of_strength)
    )  # fmt: skip
    left -= HISTOGRAM_SHARE * left
    name, reasons, wanted = trainer_requests(policy)
    requests += [Request(r.name, r.purpose, r.share * left, r.event) for r in wanted]
    budget = policy.model.budget

    def events(mu: float) -> list[Event]:
        return [request.event(mu * math.sqrt(request.share)) for request in requests]

    if budget.epsilon is not None:
        mu = calibrate(events, lambda loss: loss.epsilon(budget.delta), budget.epsilon)
    else:
        assert budget.risk is not None  # the model holds exactly one of the two
        fpr = budget.risk.fpr

        def excess(loss: PrivacyLoss) -> float:
            return float(max_tpr(loss, [fpr])[0]) - fpr

        mu = calibrate(events, excess, budget.risk.max_tpr - fpr)
    total = compose(events(mu))
    items = tuple(Item(r.name, r.purpose, r.share, e) for r, e in zip(requests, events(mu), strict=True))
    return Plan(
        items, name, total.epsilon(budget.delta), budget.delta, plain_risk(total), policy.unit_column or "row",
        policy.max_rows, policy.unit_called, tuple(reasons), policy.model.seed is not None,
    )  # fmt: skip


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
            requests.append(Request(f"bounds: {name}", f"the range in which {name} lies", share, Geometric))
    return requests


def _alone(event: Event, delta: float) -> float:
    """epsilon that this event would claim by itself at delta."""
    value = compose([event], interval=1e-3).epsilon(delta)
    return value if math.isfinite(value) else compose([event]).epsilon(delta)
