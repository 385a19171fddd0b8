"""Membership inference by density ratio: is the synthetic table denser around a person than the population is?

After DOMIAS (van Breugel, Sun, Qian, van der Schaar, AISTATS 2023), score = p_synthetic(x) / p_reference(x). Both
densities are estimated by nearest neighbours, p(x) ~ 1 / distance to the closest row. That detects a single copied
row, which a classifier or a normalising flow would smooth away, and needs no training.
"""

from __future__ import annotations

import numpy as np

from privsynth.audit.base import Attack
from privsynth.audit.coding import SCALE, Coded
from privsynth.audit.kernels import nearest
from privsynth.audit.membership import STATISTIC, measure_scores
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement
from privsynth.evidence import Family

_SMALLEST = SCALE / 4  # a quarter of a column, added to both distances: avoids division by zero and reduces noise


class DensityRatio(Attack):
    """Predicts "member" for a person to whom the synthetic table is closer than a sample of the population is."""

    name = "membership: density ratio"
    family: Family = "membership"
    statistic = STATISTIC
    threshold_key = "membership_tpr_at_1pct_fpr"
    assumes = "An attacker who has the synthetic table and other people's records of the same population, and knows the record."
    meaning = (
        "Share of the people in the training data who are identified as such, at a false-positive rate of 1 %, by an "
        "attacker who compares the synthetic table with other people of the same population. The attack detects where "
        "the table is too dense around a person; attackers who hold the model or train their own may detect more."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        if len(released) == 0 or len(scene.reference) == 0:
            return measure_scores(np.empty(0), np.empty(0), confidence)
        sides = (side.close[: scene.targets] for side in (scene.members, scene.non_members))
        members, non_members = (_score(targets, released, scene) for targets in sides)
        return measure_scores(members, non_members, confidence)


def _score(targets: np.ndarray, released: Coded, scene: Scene) -> np.ndarray:
    """log p_synthetic - log p_reference of each target, up to a constant: float[t]."""
    here = nearest(targets, released.close, np.int32(SCALE))[0]
    there = nearest(targets, scene.reference.close, np.int32(SCALE))[0]
    ratio: np.ndarray = np.log(there + _SMALLEST) - np.log(here + _SMALLEST)
    return ratio


def attacks(scene: Scene) -> list[Attack]:
    """Always one attack."""
    return [DensityRatio()]
