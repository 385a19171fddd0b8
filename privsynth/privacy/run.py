"""What a stage needs of a run to charge a mechanism. It is no more than this, so that only the pipeline knows the ledger."""

from __future__ import annotations

from typing import Protocol

from privsynth.privacy.events import Event
from privsynth.privacy.noise import Randomness
from privsynth.privacy.plan import Plan


class Run(Protocol):
    """One run that spends what its plan reserved. `ledger.ledger.Reservation` implements it."""

    @property
    def plan(self) -> Plan: ...

    @property
    def randomness(self) -> Randomness: ...

    @property
    def learned(self) -> bool:
        """True once no mechanism may run any more. From then on only the audit reads rows."""

    def charge(self, name: str, event: Event) -> None:
        """Records that mechanism `name` is about to run. Raises Refused unless the plan contains exactly this."""
