"""Membership inference by likelihood ratio: do synthetic rows near a person become likelier once that person is added?

After Gen-LRA (Ward, Wang, Cheng: "Data plagiarism index" and "Ensembling membership inference attacks against tabular
generative models", 2024/25). The attacker estimates the density of the population from the reference, once without
and once with the target x, and asks under which of the two the k synthetic rows closest to x are likelier.

With a kernel estimate no density has to be fitted twice. If p(s) = sum over reference rows r of K(s, r) / n, adding x
gives (n p(s) + K(s, x)) / (n + 1), so the log-likelihood ratio is, up to a constant,

    sum over the k closest s of  log(1 + K(s, x) / sum over r of K(s, r)).

K(s, r) = exp(-d(s, r) / h(s)) with Gower's distance d is a product of one kernel a column, for numbers and for categories
(Aitchison and Aitken, Biometrika 63, 1976). Its width h(s) is local: that at which the reference is seen at s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privsynth.audit.base import Attack, Family
from privsynth.audit.coding import SCALE, Coded
from privsynth.audit.membership import STATISTIC, measure_scores
from privsynth.audit.neighbours import k_nearest
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement

NEIGHBOURS = 5  # synthetic rows judged for each target
_KERNELS = 10  # reference rows that make the density at a synthetic row: those farther away add next to nothing
_WIDTH = 0.25  # of the distance to the farthest of them
_SMALLEST = SCALE / 8  # the least width: an eighth of a column


@dataclass(frozen=True)
class LikelihoodRatio:
    """Predicts "member" for a person whose presence makes the synthetic rows near them likelier."""

    name: str = "membership: likelihood ratio"
    family: Family = "membership"
    statistic: str = STATISTIC
    threshold_key: str = "membership_tpr_at_1pct_fpr"
    meaning: str = (
        "Share of the people in the training data who are identified as such, at a false-positive rate of 1 %, by an "
        "attacker who asks whether the synthetic records near a person are explained better by other people of the same "
        "population alone or together with that person. The attack detects where the table follows single people."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        if len(released) == 0 or len(scene.reference) == 0:
            return measure_scores(np.empty(0), np.empty(0), confidence)
        members, non_members = (
            likelihood_ratio(side.close[: scene.targets], released.close, scene.reference.close)
            for side in (scene.members, scene.non_members)
        )
        return measure_scores(members, non_members, confidence)


def likelihood_ratio(targets: np.ndarray, released: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of the synthetic rows near each target, up to a constant: float[t]. All in `Coded.close`."""
    distance, rows = k_nearest(targets, released, min(NEIGHBOURS, len(released)), np.int32(SCALE))
    near, number = np.unique(rows, return_inverse=True)
    there = k_nearest(released[near], reference, min(_KERNELS, len(reference)), np.int32(SCALE))[0]
    width = np.maximum(_WIDTH * there[:, -1], _SMALLEST)
    density = np.log(np.exp(-there / width[:, None]).sum(axis=1))
    number = number.reshape(rows.shape)
    ratio: np.ndarray = np.logaddexp(0, -distance / width[number] - density[number]).sum(axis=1)
    return ratio


def attacks(scene: Scene) -> list[Attack]:
    """Always one attack."""
    return [LikelihoodRatio()]
