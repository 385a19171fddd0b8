"""What every attack is, and the one comparison that three of the four families make."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from scipy.stats import norm

from privsynth.audit.coding import Coded
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement, newcombe

Family = Literal["membership", "singling_out", "linkability", "inference"]


class Attack(Protocol):
    """One way to attack a released table. A module offers `attacks(scene) -> list[Attack]`, `attack.py` lists it."""

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
    members: np.ndarray, others: np.ndarray, confidence: float, effective: tuple[float, float] | None = None
) -> Measurement:
    """Success of members less success of others, each success in 0..1 (a person's share of trials that worked).

    `effective`: numbers of independent trials if they are fewer than people. Shares of a success have a smaller
    variance than Wilson's interval assumes, so the interval is never too short. Nothing if a side is empty.
    """
    if len(members) == 0 or len(others) == 0:
        return Measurement.nothing()
    one, two = float(members.mean()), float(others.mean())
    n1, n2 = effective or (len(members), len(others))
    low, high = newcombe(one * n1, n1, two * n2, n2, confidence)
    reach = one - two - low
    error = float(reach / norm.isf((1 - confidence) / 2))
    return Measurement(one - two, low, high, baseline=two, significant=low > 0, error=error, critical_value=reach)
