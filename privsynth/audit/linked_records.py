"""Record linkage: is a synthetic row more like a person than any other real person is?

Two records have in common, in each column, what few people share: -log of the share of real values that lie between the two
(numbers; the two included) or equal them (categories; nothing if they differ). The sum over columns is the weight of a match in
the manner of Fellegi and Sunter ("A theory for record linkage", JASA 64, 1969), with columns taken as independent. A person's
score is the largest weight of a synthetic row minus the largest weight of another real person: how much better the table knows
them than the population does. Since it adds up over columns, it sees records of which half is copied, and numbers that were
shifted a little.

The people a target is compared with are members, non-members and others alike, without the target, so that scores of members and
non-members are exchangeable if the table does not depend on who was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privsynth.audit.base import Attack
from privsynth.audit.coding import Coded
from privsynth.audit.kernels import heaviest
from privsynth.audit.membership import STATISTIC, measure_scores
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement, newcombe, share_at_least
from privsynth.evidence import Family

# Shares of all scores, of members and non-members together, that are taken as recognised
LEVELS = (0.0025, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.8)
ASSUMES = (
    "An attacker who has the synthetic table and the records of everybody else whose data the audit has, knows the record that is "
    "looked for, and trains nothing."
)


class Scores:
    """Scores of the people tested on one table after another; those of the last one are kept for the next attack."""

    def __init__(self) -> None:
        self._last: tuple[Coded, np.ndarray] | None = None
        self._there: np.ndarray | None = None
        self._first: tuple[Coded, np.ndarray, np.ndarray] | None = (
            None  # a table, the largest weights in it, and their rows
        )

    @classmethod
    def shared(cls, scene: Scene) -> Scores:
        """The one of this scene: several attacks judge the same scores."""
        scores: Scores = scene.memo.setdefault("linked records", cls())
        return scores

    def of(self, released: Coded, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Of the members and non-members in `scene.tested`: float[m], float[n]; empty if there is nothing to compare."""
        members, non_members = map(len, scene.tested)
        if not (len(released) and members and non_members):
            return np.empty(0), np.empty(0)
        if self._last is None or self._last[0] is not released:
            linkage, people = Linkage(scene), np.arange(members + non_members)
            if self._there is None:
                self._there = linkage.heaviest(people, scene.everybody, people)[0]
            self._last = released, self._here(linkage, people, released) - self._there
        return self._last[1][:members], self._last[1][members:]

    def _here(self, linkage: Linkage, people: np.ndarray, released: Coded) -> np.ndarray:
        """The largest weights in a table. Of one that has most rows of the first table, only what differs is searched anew."""
        if self._first is None:
            self._first = released, *linkage.heaviest(people, released)
        first, best, rows = self._first
        changed = first.changed(released)
        if len(changed) > len(first) / 2:
            return linkage.heaviest(people, released)[0]
        best, lost = best.copy(), np.flatnonzero(np.isin(rows, changed))
        best[lost] = linkage.heaviest(lost, released.take(np.setdiff1d(np.arange(len(first)), changed)))[0]
        larger: np.ndarray = np.maximum(best, linkage.heaviest(people, released.take(changed))[0])
        return larger


class Linkage:
    """Compares people with tables. Columns in which a match can weigh most come first: that is fastest."""

    def __init__(self, scene: Scene) -> None:
        between = np.maximum(np.arange(scene.real + 1), 1)
        self._weights = (-np.log(between / scene.real)).astype(
            np.float32
        )  # by the number of real values between; none is as one
        people = scene.everybody
        self._order = np.argsort(-self._weights[people.upto - people.below].mean(axis=0), kind="stable")
        self._categorical = np.array(scene.categorical)[self._order]
        self._people = self._ordered(people)

    def heaviest(
        self, people: np.ndarray, table: Coded, without: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of people, as numbers in `everybody`: (the largest weight of a match, its row). without: the row that does not count."""
        without = np.full(len(people), -1) if without is None else without
        below, upto = (part[people] for part in self._people)
        found, rows = heaviest(below, upto, *self._ordered(table), self._categorical, self._weights, without)
        return found.astype(float), rows

    def _ordered(self, table: Coded) -> tuple[np.ndarray, np.ndarray]:
        return np.ascontiguousarray(table.below[:, self._order]), np.ascontiguousarray(table.upto[:, self._order])


@dataclass(frozen=True)
class LinkedMembers(Attack):
    """Predicts "member" for a person to whom a synthetic row is more alike than any other person is."""

    scores: Scores

    name = "membership: linked records"
    family: Family = "membership"
    statistic = STATISTIC
    threshold_key = "membership_tpr_at_1pct_fpr"
    assumes = ASSUMES
    meaning = (
        "Share of the people in the training data who are identified as such, at a false-positive rate of 1 %, because a synthetic "
        "row is more alike to them, weighted by how few people share what they have in common, than any other person is. It finds "
        "whole and partial copies and small shifts of values; not what a model reveals without rows like the person."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        members, non_members = self.scores.of(released, scene)
        return measure_scores(members[: len(scene.members)], non_members[: len(scene.non_members)], confidence)


@dataclass(frozen=True)
class Recognised(Attack):
    """Estimates how many people of the training data are recognised in the table, at the level that shows most."""

    scores: Scores

    name = "copying: recognised people"
    family: Family = "copying"
    statistic = "share of people recognised, beyond chance"
    threshold_key = "copied"
    assumes = ASSUMES
    diagnostic = True
    meaning = (
        "How many more people of the training data than people who were not in it have a synthetic row that is more alike to them "
        "than any other person is: an estimate of the share of people whose records were copied, wholly or in part. To show that "
        "nobody was would take tens of thousands of people, so this can fail a table but never pass it."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        return recognised(*self.scores.of(released, scene), confidence)


def recognised(members: np.ndarray, non_members: np.ndarray, confidence: float) -> Measurement:
    """The share c of members for which (share marked) = c + (1 - c) (share marked by chance), at the level where it stands out
    most; and the highest lower bound of all levels (`share_at_least`), which share the error. Cutoffs are scores of members and
    non-members together. A level at which fewer people are marked than were copied shows too small a share, hence several.

    members, non_members: scores, float[m] and float[n].
    """
    if not (len(members) and len(non_members)):
        return Measurement.nothing()
    m, n, tail = len(members), len(non_members), (1 - confidence) / 2 / len(LEVELS)
    ordered = np.sort(np.concatenate([members, non_members]))[::-1]
    found: list[tuple[float, float, float, float, float]] = []  # (how far it stands out, value, high, baseline, error)
    low = 0.0
    for level in LEVELS:
        cutoff = ordered[min(int(level * (m + n)), m + n - 1)]
        a, b = (int(np.count_nonzero(side > cutoff)) for side in (members, non_members))
        low = max(low, share_at_least(a, m, b, n, tail))
        rest = max(1 - b / n, 1 / n)  # those who are not recognised by chance
        value = (a / m - b / n) / rest
        high = min(1.0, newcombe(a, m, b, n, 1 - 2 * tail)[1] / rest)
        error = float(np.sqrt(a / m * (1 - a / m) / m + b / n * (1 - b / n) / n)) / rest
        found.append((value - 2 * error, value, high, b / n, error))
    _, value, high, baseline, error = max(found)
    return Measurement(value, min(low, value), max(high, value), baseline=baseline, error=error, people=min(m, n))


def attacks(scene: Scene) -> list[Attack]:
    """The same scores as membership and as a share of people."""
    scores = Scores.shared(scene)
    return [LinkedMembers(scores), Recognised(scores)]
