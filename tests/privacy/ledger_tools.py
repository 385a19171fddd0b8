"""What the tests of the ledger share: policies and plans that cost a stated amount, and a mechanism that records whether it ran."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import postgres
import pytest

from privsynth.evidence import Risk
from privsynth.ledger.ledger import Ledger
from privsynth.policy import Policy
from privsynth.privacy.events import Event, Gaussian
from privsynth.privacy.noise import Randomness
from privsynth.privacy.plan import Item, Lifetime, Plan
from privsynth.privacy.unit import Rows
from privsynth.table import private
from privsynth.table.private import PrivateTable

POLICY = """\
privsynth: 1
dataset: {{id: {id}, rows: 100}}
unit: row
budget: {{epsilon: 1.0, delta: 1.0e-6{lifetime}}}
columns: {{a: {{kind: category, categories: [x, y]}}, b: {{kind: category, categories: [x, y]}}}}
trainer: {{name: marginals}}
"""
CAP = ", lifetime: {epsilon: 3.0, delta: 1.0e-5}"


def policy(name: str = "books", lifetime: str = CAP) -> Policy:
    return Policy.from_text(POLICY.format(id=name, lifetime=lifetime))


def plan(epsilon: float = 1.0, delta: float = 1e-6) -> Plan:
    items = (Item("histograms", "", 0.4, Gaussian(3.0)), Item("marginals", "", 0.6, Gaussian(2.0)))
    return Plan(items, "marginals", epsilon, delta, Risk(max_tpr={}, advantage=0.0), "row", 1)


def planned(policy: Policy, plan: Plan) -> Plan:
    """The plan as one of this policy: with all that the ledger writes down of it."""
    budget = policy.model.budget.lifetime
    lifetime = Lifetime(budget.epsilon, budget.delta, budget.locked) if budget else None
    return replace(
        plan, dataset=policy.model.dataset.id, policy_sha256=policy.sha256, lifetime=lifetime, seed=policy.model.seed
    )


def fresh_ledger(kind: str, folder: Path) -> str:
    """The URL of a ledger that does not exist yet, on either database."""
    return postgres.fresh_database() if kind == "postgresql" else f"sqlite:///{folder / 'new' / 'ledger.sqlite'}"


def kinds(ledger: Ledger) -> list[str]:
    return [entry["kind"] for entry in ledger.entries()]


class Spy:
    """A mechanism that records whether it saw the rows."""

    def __init__(self, name: str = "histograms", event: Event = Gaussian(3.0)):  # noqa: B008
        self.name, self.event, self.saw = name, event, 0

    def answer(self, rows: Rows[Any], randomness: Randomness) -> int:
        self.saw += 1
        return len(rows)


TABLE: PrivateTable[np.ndarray] = PrivateTable(Rows(np.zeros((5, 1)), np.arange(5)))


class Broken(Spy):
    def answer(self, rows: Rows[Any], randomness: Randomness) -> int:
        raise RuntimeError("after looking")


def admit(mechanism: type[Spy], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a mechanism of the tests through the fence."""
    place = f"{mechanism.__module__}.{mechanism.__qualname__}"
    monkeypatch.setattr(private, "MECHANISMS", private.MECHANISMS | {place})
