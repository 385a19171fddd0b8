"""What an attack is, and the comparison of members with non-members that three of the families use."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.stats import norm

from privsynth.audit.coding import Coded
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement, newcombe
from privsynth.evidence import Family


class Attack(ABC):
    """One way to attack a released table. A module defines `attacks(scene) -> list[Attack]`, and `attack.py` lists it.

    diagnostic: it can fail a table but never pass it, since a low figure proves nothing.
    """

    diagnostic = False

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def family(self) -> Family: ...

    @property
    @abstractmethod
    def statistic(self) -> str:
        """What the value is."""

    @property
    @abstractmethod
    def threshold_key(self) -> str: ...

    @property
    @abstractmethod
    def assumes(self) -> str:
        """What the attacker knows: the threat model."""

    @property
    @abstractmethod
    def meaning(self) -> str:
        """What the figure proves, and what it does not."""

    @property
    def question(self) -> str:
        """What is to be found out. Attacks with the same question can stand in for each other."""
        return self.family

    def needs(self, scene: Scene) -> str:
        """Why it cannot find anything on these rows, as a sentence; empty if it can."""
        return ""

    @abstractmethod
    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        """Attacks one table. `confidence` is that of the interval, e.g. 0.95."""


def advantage(
    members: np.ndarray, non_members: np.ndarray, confidence: float, effective: tuple[float, float] | None = None
) -> Measurement:
    """Success rate of members minus that of non-members; each person's success lies in 0..1 (share of trials that worked).

    `effective`: effective numbers of independent trials, where they are fewer than people. Fractional successes have a
    smaller variance than Wilson's interval assumes, so the interval is never too short. `Measurement.nothing()` if
    either group is empty.
    """
    if len(members) == 0 or len(non_members) == 0:
        return Measurement.nothing()
    member_rate, baseline = float(members.mean()), float(non_members.mean())
    n1, n2 = effective or (len(members), len(non_members))
    low, high = newcombe(member_rate * n1, n1, baseline * n2, n2, confidence)
    value = member_rate - baseline
    error = float((value - low) / norm.isf((1 - confidence) / 2))
    return Measurement(value, low, high, baseline=baseline, error=error, people=min(len(members), len(non_members)))
