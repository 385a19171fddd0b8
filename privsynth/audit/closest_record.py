"""Membership inference by distance to the closest record: the oldest attack.

It misses leaks (arXiv 2505.01524, 2312.05114): a model can reveal who was in the data without generating a row near
them. So a high figure fails a release, and a low one proves nothing.
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


class ClosestRecord(Attack):
    """Predicts "member" for a person who has a synthetic record very close to them."""

    name = "membership: closest record"
    family: Family = "membership"
    statistic = STATISTIC
    threshold_key = "membership_tpr_at_1pct_fpr"
    assumes = "An attacker who has the synthetic table and knows the record that is looked for."
    diagnostic = True
    meaning = (
        "Share of the people in the training data who are identified as such, at a false-positive rate of 1 %, because a "
        "synthetic record lies closer to them than to people who were not in the data. A high figure shows copying; "
        "a low one proves nothing, since leaks without close records escape it: it can fail a table but never pass it."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        if len(released) == 0:
            return measure_scores(np.empty(0), np.empty(0), confidence)
        members, non_members = (
            -nearest(side.close[: scene.targets], released.close, np.int32(SCALE))[0].astype(float)
            for side in (scene.members, scene.non_members)
        )
        return measure_scores(members, non_members, confidence)


def attacks(scene: Scene) -> list[Attack]:
    """Always one attack."""
    return [ClosestRecord()]
