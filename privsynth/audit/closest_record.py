"""Membership by distance to the closest record, the oldest attack and a diagnostic.

It misses leaks (arXiv 2505.01524, 2312.05114): a model can betray people without putting a row near them. So a high
figure fails a release, and a low one is no proof.
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


@dataclass(frozen=True)
class ClosestRecord:
    """Says "member" of whoever has a synthetic record very close to them."""

    name: str = "membership: closest record"
    family: Family = "membership"
    statistic: str = STATISTIC
    threshold_key: str = "membership_tpr_at_1pct_fpr"
    meaning: str = (
        "How many training people are recognised, at one false accusation in a hundred, because a synthetic record "
        "lies closer to them than to people who were not in the data. A diagnostic: a high figure shows copying; "
        "a low one alone proves nothing, since leaks without close records escape it."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        if len(released) == 0:
            return measure_scores(np.empty(0), np.empty(0), confidence)
        members, others = (
            -nearest(side.close[: scene.targets], released.close, np.int32(SCALE))[0].astype(float)
            for side in (scene.members, scene.others)
        )
        return measure_scores(members, others, confidence)


def attacks(scene: Scene) -> list[Attack]:
    """Always one."""
    return [ClosestRecord()]
