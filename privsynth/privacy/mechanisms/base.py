"""What a mechanism is: a query that sees the rows, noise, and a release that sees only the noisy answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from privsynth.privacy.events import Event
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows

Exact = TypeVar("Exact")
Noisy = TypeVar("Noisy")
Released = TypeVar("Released", covariant=True)


class Mechanism(ABC, Generic[Exact, Noisy, Released]):
    """Configured and calibrated before it runs: all fields are public, and its event is known.

    The claim of each: for neighbouring tables `distance` of the two exact answers is at most 1, and `noised` adds the
    noise that `event` states for an input of sensitivity 1 in that distance.
    """

    name: str
    event: Any  # Any: each mechanism narrows it to its own kinds of Event, which a mutable attribute of type Event would not allow

    @abstractmethod
    def query(self, rows: Rows[Any]) -> Exact:
        """The exact answer. The only step that sees rows, and it draws no random numbers."""

    @abstractmethod
    def noised(self, exact: Exact, randomness: Randomness) -> Noisy:
        """The answer with noise."""

    @abstractmethod
    def released(self, noisy: Noisy) -> Released:
        """What leaves the fence: post-processing of the noisy answer and of public fields."""

    @abstractmethod
    def distance(self, one: Exact, other: Exact) -> float:
        """The distance of two exact answers, in units of the stated sensitivity."""

    def answer(self, rows: Rows[Any], randomness: Randomness) -> Released:
        """The three steps in turn. `PrivateTable.measure` calls it after the event has been charged."""
        return self.released(self.noised(self.query(rows), randomness))


__all__ = ["Event", "Mechanism"]
