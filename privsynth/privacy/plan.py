"""The plan of a run: every mechanism that will touch the table, its event and its share. `planning` makes it.

It also says what the ledger writes down of a run (the data set, its lifetime budget, the policy's hash, the seed) and which
trainer was chosen, so that later stages do not need the policy for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar, overload

from privsynth.evidence import MechanismRecord, Privacy, Risk
from privsynth.privacy.accountant import compose
from privsynth.privacy.events import Event, to_json
from privsynth.privacy.risk import at_most, percent, small

COMPOSITION = (
    "privacy loss distributions of all mechanisms, convolved (dp_accounting, pessimistic estimate), later ones free to "
    "build on earlier ones; adding or removing one unit; noise calibrated so that this total meets the policy"
)


Kind = TypeVar("Kind", bound=Event)
OtherKind = TypeVar("OtherKind", bound=Event)


@dataclass(frozen=True)
class Request:
    """One mechanism that a stage requests: its purpose, its share of the budget, and its event at a given GDP parameter mu."""

    name: str
    purpose: str
    share: float
    event: Callable[[float], Event]  # GDP parameter mu -> event
    tables: int = 0  # how many tables share its noise; 0 if it releases no tables
    at_most: bool = False  # there may be fewer: which ones fit depends on earlier releases


@dataclass(frozen=True)
class Item:
    """One calibrated line of the plan. noise: the effect of the event, in a statistician's words."""

    name: str
    purpose: str
    share: float
    event: Event
    noise: str = ""


@dataclass(frozen=True)
class RiskCost:
    """What a risk target costs: its epsilon, and what the conversion through (epsilon, delta) would have cost instead.

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
class Lifetime:
    """What all runs on a data set together may claim, as a policy states it. locked: no later policy may raise it."""

    epsilon: float
    delta: float
    locked: bool = False


@dataclass(frozen=True)
class Plan:
    """What will be spent. reasons: why the trainer was chosen, if a rule chose it. seed: of a development run.

    dataset, lifetime, policy_sha256: what the ledger writes down. signal: what the counts will be worth, in sentences; that of
    what will mostly be lost in noise begins with "Lost in noise: ". knowledge: what each constraint saves, in sentences.
    """

    items: tuple[Item, ...]
    trainer: str
    epsilon: float
    delta: float
    risk: Risk
    unit: str
    max_rows: int
    unit_called: str | None = None
    reasons: tuple[str, ...] = ()
    seed: int | None = None
    risk_target: RiskCost | None = None
    trainer_options: Mapping[str, Any] = field(default_factory=dict)
    dataset: str = ""
    policy_sha256: str = ""
    lifetime: Lifetime | None = None
    signal: tuple[str, ...] = ()
    knowledge: tuple[str, ...] = ()

    @property
    def seeded(self) -> bool:
        return self.seed is not None

    def __contains__(self, name: str) -> bool:
        return any(item.name == name for item in self.items)

    def __getitem__(self, name: str) -> Event:
        return next(item.event for item in self.items if item.name == name)

    @overload
    def event(self, name: str, kind: type[Kind], /) -> Kind: ...

    @overload
    def event(self, name: str, kind: type[Kind], other: type[OtherKind], /) -> Kind | OtherKind: ...

    def event(self, name: str, /, *kinds: type[object]) -> Event:
        """The event of a mechanism that is of one of these kinds. Raises TypeError if the plan has another."""
        event = self[name]
        if not isinstance(event, kinds):
            raise TypeError(f"the plan has no {' or '.join(kind.__name__ for kind in kinds)} for {name!r}")
        return event

    @property
    def one_unit(self) -> str:
        """Whom the claim protects, in the reader's words."""
        return "one row" if self.unit == "row" else f"one {self.unit_called or self.unit}"

    @property
    def sentence(self) -> str:
        """The claim in words for a release board."""
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
            "signal": list(self.signal), "knowledge": list(self.knowledge),
        }  # fmt: skip

    def to_json(self) -> list[dict[str, Any]]:
        """What the ledger writes down of each mechanism."""
        return [{"name": i.name, "share": i.share, "event": to_json(i.event)} for i in self.items]


def _alone(event: Event, delta: float) -> float | None:
    """The epsilon of this event by itself at delta; None if there is none."""
    value = compose([event]).epsilon(delta)
    return value if math.isfinite(value) else None
