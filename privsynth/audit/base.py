"""The interface of an attack, and the comparison of members with non-members that three of the four families use."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from scipy.stats import norm

from privsynth.audit.coding import Coded
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement, newcombe

Family = Literal["membership", "singling_out", "linkability", "inference"]


class Attack(Protocol):
    """One way to attack a released table. A module defines `attacks(scene) -> list[Attack]`, and `attack.py` lists it."""

    @property
    def name(self) -> str: ...
    @property
    def family(self) -> Family: ...
    @property
    def statistic(self) -> str: ...
    @property
    def threshold_key(self) -> str: ...
    @property
    def meaning(self) -> str: ...

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        """Attacks one table. `confidence` is that of the interval, e.g. 0.95."""
        ...


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
    margin = value - low
    error = float(margin / norm.isf((1 - confidence) / 2))
    return Measurement(value, low, high, baseline=baseline, significant=low > 0, error=error, critical_value=margin)
