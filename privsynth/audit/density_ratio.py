"""Membership by density ratio: is the synthetic table denser at a person than the population is?

After DOMIAS (van Breugel, Sun, Qian, van der Schaar, AISTATS 2023), score = p_synthetic(x) / p_reference(x). Both
densities are estimated by nearest neighbours, p(x) ~ 1 / distance to the closest row: that sees a single row too
many, where a classifier or a flow smooths it away, and needs no training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privsynth.audit.base import Attack, Family
from privsynth.audit.coding import SCALE, Coded
from privsynth.audit.kernels import nearest
from privsynth.audit.membership import STATISTIC, measure_scores
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement

_SMALLEST = SCALE / 4  # a quarter of a column is added to both distances: no division by zero, less noise


@dataclass(frozen=True)
class DensityRatio:
    """Says "member" of whoever the synthetic table is closer to than a sample of the population is."""

    name: str = "membership: density ratio"
    family: Family = "membership"
    statistic: str = STATISTIC
    threshold_key: str = "membership_tpr_at_1pct_fpr"
    meaning: str = (
        "How many training people are recognised, at one false accusation in a hundred, by an attacker who compares "
        "the synthetic table with other people of the same population. It sees where the table is too dense around "
        "a person; attackers who know the model or train models of their own may see more."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        if len(released) == 0 or len(scene.reference) == 0:
            return measure_scores(np.empty(0), np.empty(0), confidence)
        sides = (side.close[: scene.targets] for side in (scene.members, scene.others))
        members, others = (_score(targets, released, scene) for targets in sides)
        return measure_scores(members, others, confidence)


def _score(targets: np.ndarray, released: Coded, scene: Scene) -> np.ndarray:
    """log p_synthetic - log p_reference of each target, up to a constant: float[t]."""
    here = nearest(targets, released.close, np.int32(SCALE))[0]
    there = nearest(targets, scene.reference.close, np.int32(SCALE))[0]
    ratio: np.ndarray = np.log(there + _SMALLEST) - np.log(here + _SMALLEST)
    return ratio


def attacks(scene: Scene) -> list[Attack]:
    """Always one."""
    return [DensityRatio()]
