"""Membership inference by a classifier that has learned from other people what the surroundings of a member look like.

What is seen of a person: how far the nearest synthetic rows and the nearest people of the reference are, how many cells
the nearest ones share with them, how strongly a row points at them (`agreement`), how rare they are. No single one of these
sees every leak (arXiv 2509.18014); gradient-boosted trees weigh them for this very table.

The classifier learns from members and non-members of the pool who are not scored. Learning from one half, scoring the
other, and then the reverse would use everybody twice, but leaves the two halves' results dependent: where by chance
members lie nearer in both halves, both classifiers learn that and both are right; where in one only, both are wrong. So a
table that leaks nothing would be reported up to twice as often as stated. With one
classifier, fixed before the scored people are looked at, members and non-members among them are exchangeable, and the
test is exact.
"""

from __future__ import annotations

import numpy as np

from privsynth.audit.agreement import closest, weights
from privsynth.audit.base import Attack
from privsynth.audit.coding import SCALE, Coded
from privsynth.audit.exposed import rarity
from privsynth.audit.membership import STATISTIC, measure_scores
from privsynth.audit.neighbours import k_nearest
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement
from privsynth.evidence import Family

NEAREST = (1, 5, 20)
_FEWEST = 50  # members and as many non-members to learn from: with fewer no classifier is better than a guess
_MOST = 2000  # members, and as many non-members, to learn from; the cost is theirs as much as that of those scored
_SMALLEST = SCALE / 4  # as in `density_ratio`


class Neighbourhood(Attack):
    """Predicts "member" for a person whose surroundings look like those of known members."""

    name = "membership: neighbourhood"
    family: Family = "membership"
    statistic = STATISTIC
    threshold_key = "membership_tpr_at_1pct_fpr"
    assumes = "An attacker who has the synthetic table, knows the record, and of thousands of others whether they were in the data."
    meaning = (
        "Share of the people in the training data who are identified as such, at a false-positive rate of 1 %, by an "
        "attacker who knows of other people whether they are in the data, and has learned from them how the synthetic "
        "records around a member differ from those around anybody else. Such an attacker knows more than most; who "
        "knows the generator and can train it may know still more."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        scored, learned = division(scene)
        if len(released) == 0 or len(scene.reference) == 0 or learned < _FEWEST:
            return measure_scores(np.empty(0), np.empty(0), confidence)
        used = np.arange(scored + learned)
        members, non_members = (
            surroundings(side.take(used), released, scene) for side in (scene.members, scene.non_members)
        )
        model = _learn(members[scored:], non_members[scored:], int(rng.integers(2**31)))
        members, non_members = (model.predict_proba(side[:scored])[:, 1] for side in (members, non_members))
        return measure_scores(members, non_members, confidence)


def division(scene: Scene) -> tuple[int, int]:
    """Of the members (and as many non-members) how many are scored, the first, and how many are learned from, the next."""
    pool = len(scene.members)
    scored = min(scene.targets, pool // 2)
    return scored, min(pool - scored, _MOST)


def surroundings(people: Coded, released: Coded, scene: Scene) -> np.ndarray:
    """What is seen of each person: float[t, features]."""
    others, scale = scene.reference, np.int32(SCALE)
    (here, row), (there, other) = (
        k_nearest(people.close, table.close, min(NEAREST[-1], len(table)), scale) for table in (released, others)
    )
    ranks = [min(k, here.shape[1], there.shape[1]) - 1 for k in NEAREST]
    near, far = (np.log(distance[:, ranks] + _SMALLEST) for distance in (here, there))
    worth = weights(people.close, others.close)
    pointed, baseline = (closest(people.close, table.close, worth)[0][:, 0] for table in (released, others))
    same, same_there = (
        (people.cells == table.cells[which[:, 0]]).mean(axis=1) for table, which in ((released, row), (others, other))
    )
    return np.column_stack(
        [
            near,
            far,
            far - near,
            same,
            same_there,
            pointed,
            baseline,
            pointed - baseline,
            rarity(people, scene),
        ]
    )


def _learn(members: np.ndarray, non_members: np.ndarray, seed: int):  # type: ignore[no-untyped-def]  # sklearn is untyped
    """Gradient-boosted trees that tell the two apart: few and small, since most members leave no trace."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=0.05,
        max_leaf_nodes=6,
        min_samples_leaf=min(20, len(members) // 4),
        l2_regularization=5.0,
        early_stopping=False,
        random_state=seed,
    )
    return model.fit(np.concatenate([members, non_members]), np.repeat([1, 0], [len(members), len(non_members)]))


def attacks(scene: Scene) -> list[Attack]:
    """Always one attack."""
    return [Neighbourhood()]
