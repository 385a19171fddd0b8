"""What a room needs of a run to charge a mechanism: no more than this, so that only the pipeline knows the ledger."""

from __future__ import annotations

from typing import Protocol

from privsynth.privacy.events import Event
from privsynth.privacy.noise import Randomness
from privsynth.privacy.plan import Plan


class Run(Protocol):
    """One run that spends what its plan reserved. `ledger.ledger.Reservation` is one."""

    @property
    def plan(self) -> Plan: ...

    @property
    def randomness(self) -> Randomness: ...

    @property
    def learned(self) -> bool:
        """True once no mechanism may run any more; what reads rows from here on is the audit."""

    def charge(self, name: str, event: Event) -> None:
        """Writes down that mechanism `name` is about to run. Raises Refused unless the plan paid for exactly this."""
