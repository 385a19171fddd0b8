"""Membership inference on the most exposed people by themselves, and on the people of each declared group by themselves.

An average over randomly drawn people hides a table that copies one in two hundred, those with the rarest records. So the
rarest records of the pool are attacked alone: the hundredth part, or fifty members and fifty non-members where that
is more. Rarity is public: the sum over columns of -log of the value's share of the reference. One cutoff, taken over members
and non-members together, chooses both, so the choice favours neither.

Groups are the categories of the declared quasi-identifiers that have at least fifty attacked people on either side. All
are attacked, each at a level divided by their number, and the figure is that of the group where most is found: the highest
of the significant values, else the highest. The interval ends at the highest upper end, since a pass speaks for all.

Scores: of the density ratio and the likelihood ratio that which ranks the person higher among all who are attacked. With so
few people a low figure proves nothing: both attacks can fail a table, and hardly ever clear it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from privsynth.audit.base import Attack, Family
from privsynth.audit.coding import SCALE, Coded
from privsynth.audit.gen_lra import likelihood_ratio
from privsynth.audit.kernels import nearest
from privsynth.audit.membership import STATISTIC, measure_scores
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement

SHARE = 0.01  # of the pool's people
FEWEST = 50  # members, and as many non-members: with fewer only a table that copies most of them is found
_SMALLEST = SCALE / 4  # as in `density_ratio`


@dataclass(frozen=True)
class Exposed:
    """Predicts "member" among the people with the rarest records."""

    name: str = "membership: most exposed people"
    family: Family = "membership"
    statistic: str = STATISTIC
    threshold_key: str = "membership_tpr_at_1pct_fpr"
    meaning: str = (
        f"Of the people with the rarest records ({SHARE:.0%} of those who may be attacked, at least {FEWEST} in the training "
        "data), the share of those in the training data who are identified as such, at a false-positive rate of 1 %. An "
        "average over randomly drawn people hides it if only such people are exposed. There are few of them, so a low "
        "figure alone proves little."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        members, non_members = (
            side.take(rows) for side, rows in zip((scene.members, scene.non_members), rarest(scene), strict=True)
        )
        return measure_scores(*_scores(members, non_members, released, scene), confidence)


@dataclass(frozen=True)
class Groups:
    """Predicts "member" within each group of people, and reports the group in which that succeeds best."""

    columns: tuple[int, ...]
    name: str = "membership: groups of people"
    family: Family = "membership"
    statistic: str = STATISTIC
    threshold_key: str = "membership_tpr_at_1pct_fpr"
    meaning: str = (
        "Share of the people in the training data who are identified as such, at a false-positive rate of 1 %, in the "
        f"group of people, by one quasi-identifier, where that succeeds best. Groups of fewer than {FEWEST} attacked people are "
        "left out. The level of each group is divided by their number, since the worst one is reported."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        found = [each for _, _, each in by_group(self.columns, released, scene, confidence)]
        if not found:
            return Measurement.nothing()
        worst = max(found, key=lambda each: (each.significant, each.value or 0.0))
        return dataclasses.replace(worst, high=max(each.high for each in found if each.high is not None))


def rarity(people: Coded, scene: Scene) -> np.ndarray:
    """Sum over columns of -log of the share of the reference in the person's cell: float[t].

    Every person counts themselves as one more, so that a value which nobody in the reference has is finitely rare.
    """
    total, count = np.zeros(len(people)), len(scene.reference)
    for column, size in enumerate(scene.sizes):
        held = np.bincount(scene.reference.cells[:, column], minlength=size)
        total += np.log(count + 1) - np.log(held[people.cells[:, column]] + 1)
    return total


def rarest(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """The members and non-members with the rarest records, by one cutoff for both: row numbers of each."""
    members, non_members = (rarity(side, scene) for side in (scene.members, scene.non_members))
    both = np.sort(np.concatenate([members, non_members]))[::-1]
    wanted = min(len(both), max(round(SHARE * len(both)), 2 * FEWEST))
    cutoff = both[wanted - 1] if wanted else np.inf
    return np.flatnonzero(members >= cutoff), np.flatnonzero(non_members >= cutoff)


def by_group(
    columns: tuple[int, ...], released: Coded, scene: Scene, confidence: float
) -> list[tuple[int, int, Measurement]]:
    """(column, cell, measurement) of each category with enough people. All intervals hold together at `confidence`."""
    members, non_members = (side.take(np.arange(scene.targets)) for side in (scene.members, scene.non_members))
    held = [
        (column, cell, *chosen)
        for column in columns
        for cell in range(scene.sizes[column])
        if min(map(np.count_nonzero, chosen := [side.cells[:, column] == cell for side in (members, non_members)]))
        >= FEWEST
    ]
    if not held:
        return []
    one, two = _scores(members, non_members, released, scene)
    level = 1 - (1 - confidence) / len(held)
    return [(column, cell, measure_scores(one[some], two[others], level)) for column, cell, some, others in held]


def _scores(members: Coded, non_members: Coded, released: Coded, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """The higher of a person's ranks by two attacks, among all people given: float[a], float[b]; empty if nothing can be."""
    if not (len(released) and len(scene.reference) and len(members) and len(non_members)):
        return np.empty(0), np.empty(0)
    people, reference = np.concatenate([members.close, non_members.close]), scene.reference.close
    here, there = (nearest(people, table, np.int32(SCALE))[0] + _SMALLEST for table in (released.close, reference))
    ranks = np.maximum(rankdata(there / here), rankdata(likelihood_ratio(people, released.close, reference)))
    return ranks[: len(members)], ranks[len(members) :]


def attacks(scene: Scene) -> list[Attack]:
    """The most exposed people; and groups, if any quasi-identifier is a category."""
    columns = tuple(i for i in scene.index("quasi_identifier") if scene.categorical[i])
    return [Exposed(), Groups(columns)] if columns else [Exposed()]
