"""Membership inference by likelihood ratio: is the synthetic row near a person likelier once that person is added?

After Gen-LRA (Ward, Lin, Wang, Cheng: "Privacy auditing synthetic data release through local likelihood attacks", 2025).
The attacker estimates the density of the population from the reference, once without and once with the target x, and
asks under which of the two the synthetic rows near x are likelier. With a kernel estimate p(s) = sum over the reference of
K(s, r) / n nothing has to be fitted twice: adding x gives (n p(s) + K(s, x)) / (n + 1), so the log-likelihood ratio of s is,
up to a constant,

    log(1 + K(s, x) / sum over r of K(s, r)).

K is the product kernel of `agreement`, for numbers and categories alike, which a Gaussian kernel is not. One synthetic
row is judged, that which points most strongly at x: more of them dilute the trace of a single copy (of five rows, by a kernel
on Gower's distance, less than a fifth of what one finds in a copied table). Only the order of scores counts, so the
`1 +` is left out.
"""

from __future__ import annotations

import numpy as np

from privsynth.audit.agreement import closest, log_density, weights
from privsynth.audit.base import Attack
from privsynth.audit.coding import Coded
from privsynth.audit.membership import STATISTIC, measure_scores
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement
from privsynth.evidence import Family


class LikelihoodRatio(Attack):
    """Predicts "member" for a person whose presence makes the synthetic row that points at them likelier."""

    name = "membership: likelihood ratio"
    family: Family = "membership"
    statistic = STATISTIC
    threshold_key = "membership_tpr_at_1pct_fpr"
    assumes = "An attacker who has the synthetic table and other people's records of the same population, and knows the record."
    meaning = (
        "Share of the people in the training data who are identified as such, at a false-positive rate of 1 %, by an "
        "attacker who asks whether the synthetic record that agrees best with a person, rare values counting more, is "
        "explained better by that person than by other people of the same population. The attack detects copies, those "
        "with some columns changed too; leaks that leave no such record escape it."
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
    """Log-likelihood ratio of the synthetic row near each target, up to a constant: float[t]. All in `Coded.close`."""
    strength, row = closest(targets, released, weights(targets, reference))
    rows, number = np.unique(row[:, 0], return_inverse=True)
    ratio: np.ndarray = strength[:, 0] - log_density(released[rows], reference)[number]
    return ratio


def attacks(scene: Scene) -> list[Attack]:
    """Always one attack."""
    return [LikelihoodRatio()]
