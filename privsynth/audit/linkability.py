"""Linkability: two halves of a person's record, known from two sources, are joined with the synthetic table's help.

Distance-based record linkage (Domingo-Ferrer and Torra 2001; Torra and Domingo-Ferrer 2003): the attacker holds half
A of a person and ten candidate halves B, one of them that person's, and chooses the candidate whose joined record lies
closest to a synthetic row. A table that only reflects the population helps as much with non-members as with members;
the difference between the two is the leak.

People are tested in groups of ten who are each other's candidates. Results within a group may be correlated, so
intervals use the effective number of independent trials, estimated from the variance between groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privsynth.audit.base import Attack, advantage
from privsynth.audit.coding import SCALE, Coded
from privsynth.audit.kernels import joined
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement
from privsynth.evidence import Family

CANDIDATES = 10
_MIN_GROUPS = 5  # with fewer, the variance between groups cannot be estimated


@dataclass(frozen=True)
class Linkage(Attack):
    """Joins half A to one of ten halves B. `left`, `right`: column numbers; `what` names half A."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    what: str
    family: Family = "linkability"
    statistic = "success rate, members minus non-members"
    threshold_key = "linkability"

    @property
    def question(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return f"linkability: {self.what}"

    @property
    def assumes(self) -> str:
        return (
            f"An attacker who has the synthetic table, knows {self.what} of a person from one source, and from another the rest "
            f"of {CANDIDATES} records, one of them that person's."
        )

    @property
    def meaning(self) -> str:
        return (
            f"How much more often an attacker who knows {self.what} of a person picks the rest of that person's record "
            f"out of {CANDIDATES} candidates, for people in the training data than for people who were not in the data. "
            f"Guessing at random is right in one case of {CANDIDATES}; success above that for people who were not in the "
            "data is knowledge about the population, not a leak."
        )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        groups = scene.targets // CANDIDATES
        if len(released) == 0 or groups < _MIN_GROUPS:
            return Measurement.nothing()
        members, non_members = (self._success(side, released, groups) for side in (scene.members, scene.non_members))
        return advantage(
            members.ravel(), non_members.ravel(), confidence, (_independent(members), _independent(non_members))
        )

    def _success(self, people: Coded, released: Coded, groups: int) -> np.ndarray:
        """float[groups, CANDIDATES]: 1 if the right half is the closest, a fraction if it is tied with others."""
        some, left, right = people.take(np.arange(groups * CANDIDATES)), list(self.left), list(self.right)
        best = joined(
            some.columns(left),
            some.columns(right),
            released.columns(left),
            released.columns(right),
            CANDIDATES,
            np.int32(SCALE),
        )
        closest = best == best.min(axis=2, keepdims=True)
        success: np.ndarray = np.einsum("gii->gi", closest) / closest.sum(axis=2)
        return success


def _independent(success: np.ndarray) -> float:
    """Effective number of independent trials of float[g, c] results: binomial variance over variance of group means."""
    rate, observed = success.mean(), success.mean(axis=1).var(ddof=1)
    binomial = rate * (1 - rate) / success.shape[1]
    return success.size * min(1.0, binomial / observed) if observed > 0 and binomial > 0 else float(success.size)


def attacks(scene: Scene) -> list[Attack]:
    """Quasi-identifiers to the rest if there are any, and every second column to the rest; none for one column."""
    width, known = len(scene.names), scene.index("quasi_identifier")
    found: list[Attack] = []
    if known and len(known) < width:
        found.append(Linkage(tuple(known), tuple(i for i in range(width) if i not in known), "the quasi-identifiers"))
    if width >= 2:
        found.append(Linkage(tuple(range(0, width, 2)), tuple(range(1, width, 2)), "every second column"))
    return found
