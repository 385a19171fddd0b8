"""Record linkage on the most exposed people by themselves, and on the people of each declared group by themselves.

An average over randomly drawn people hides a table that copies one in two hundred, those with the rarest records. So the
rarest records are attacked alone: the hundredth part, or fifty members and fifty non-members where that is more. Rarity is
public: the sum over columns of -log of the value's share of the reference. One cutoff, taken over members and non-members
together, chooses both, so the choice favours neither.

Groups are the categories of the declared quasi-identifiers that have at least fifty people on either side. All are attacked,
each at a level divided by their number, and the figure is that of the group with the highest lower bound. The interval ends
at the highest upper end.

With so few people a low figure proves nothing: both attacks are diagnostics, which can fail a table and never pass it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from privsynth.audit.base import Attack
from privsynth.audit.coding import Coded
from privsynth.audit.linked_records import ASSUMES, Scores, recognised
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement
from privsynth.evidence import Family

SHARE = 0.01  # of the people tested
FEWEST = 50  # members, and as many non-members: with fewer only a table that copies most of them is found
STATISTIC = "share of people recognised, beyond chance"


@dataclass(frozen=True)
class Exposed(Attack):
    """Recognises people among those with the rarest records."""

    scores: Scores

    name = "exposed: rarest people"
    family: Family = "exposed"
    statistic = STATISTIC
    threshold_key = "membership_tpr_at_1pct_fpr"
    assumes = ASSUMES
    diagnostic = True
    meaning = (
        f"Of the people with the rarest records ({SHARE:.0%} of those tested, at least {FEWEST} on either side), how many more of "
        "those in the training data than of the others have a synthetic row that is more alike to them than any other person is. "
        "An average over randomly drawn people hides it if only such people are exposed. There are few of them, so a low figure "
        "proves little."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        members, non_members = self.scores.of(released, scene)
        if len(members) == 0:
            return Measurement.nothing()
        some, others = rarest(scene)
        return recognised(members[some], non_members[others], confidence)


@dataclass(frozen=True)
class Groups(Attack):
    """Recognises people within each group, and reports the group in which that succeeds best."""

    scores: Scores
    columns: tuple[int, ...]

    name = "exposed: groups of people"
    family: Family = "exposed"
    statistic = STATISTIC
    threshold_key = "membership_tpr_at_1pct_fpr"
    assumes = ASSUMES
    diagnostic = True
    meaning = (
        "How many more people of the training data than others are recognised in the group, by one quasi-identifier, where "
        f"that succeeds best. Groups of fewer than {FEWEST} people on a side are left out. The level of each group is divided by "
        "their number, since the worst one is reported."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        found = [each for _, _, each in self.by_group(released, scene, confidence)]
        if not found:
            return Measurement.nothing()
        worst = max(found, key=lambda each: (each.low or 0.0, each.value or 0.0))
        return dataclasses.replace(worst, high=max(each.high for each in found if each.high is not None))

    def by_group(self, released: Coded, scene: Scene, confidence: float) -> list[tuple[int, int, Measurement]]:
        """(column, cell, measurement) of each category with enough people. All intervals hold together at `confidence`."""
        one, two = self.scores.of(released, scene)
        if len(one) == 0:
            return []
        held = [
            (column, cell, chosen)
            for column in self.columns
            for cell in range(scene.sizes[column])
            if min(map(np.count_nonzero, chosen := [side.cells[:, column] == cell for side in scene.tested])) >= FEWEST
        ]
        level = 1 - (1 - confidence) / max(len(held), 1)
        return [(column, cell, recognised(one[some], two[others], level)) for column, cell, (some, others) in held]


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
    """The members and non-members tested with the rarest records, by one cutoff for both: row numbers of each."""
    members, non_members = (rarity(side, scene) for side in scene.tested)
    both = np.sort(np.concatenate([members, non_members]))[::-1]
    wanted = min(len(both), max(round(SHARE * len(both)), 2 * FEWEST))
    cutoff = both[wanted - 1] if wanted else np.inf
    return np.flatnonzero(members >= cutoff), np.flatnonzero(non_members >= cutoff)


def attacks(scene: Scene) -> list[Attack]:
    """The most exposed people; and groups, if any quasi-identifier is a category."""
    scores, columns = Scores.shared(scene), tuple(i for i in scene.index("quasi_identifier") if scene.categorical[i])
    return [Exposed(scores), Groups(scores, columns)] if columns else [Exposed(scores)]
