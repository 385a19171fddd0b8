"""Singling out: a predicate read from the synthetic table that is true of exactly one person.

After Cohen and Nissim, "Towards formalizing the GDPR's notion of singling out" (PNAS 2020): a predicate isolates if
exactly one of the data's people satisfies it, and what counts is the success beyond that of a predicate of the same
kind on people who were not in the data. Predicates are conjunctions "column = value of a synthetic row", numbers as
bins, over columns in random order until one row of the synthetic table is left.

A random row of 80,000 hardly ever speaks of one of 2,000 tested people, so predicates are read from the rows closest
to them, for members and for others alike. That makes the attacker stronger than the paper's, not weaker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privsynth.audit.base import Attack, Family, advantage
from privsynth.audit.coding import SCALE, Coded
from privsynth.audit.kernels import isolations, nearest
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement


@dataclass(frozen=True)
class SinglingOut:
    """Predicates read from the synthetic rows closest to each tested person."""

    name: str = "singling out: predicates"
    family: Family = "singling_out"
    statistic: str = "success of training people less success of others"
    threshold_key: str = "singling_out"
    meaning: str = (
        "How much more often a description read from one synthetic record fits exactly one person of the training "
        "data than exactly one of as many people who were not in the data. The rest of the success is chance and "
        "general knowledge. Descriptions are made of values and bins; cleverer ones were not tried."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        if len(released) == 0 or scene.targets == 0:
            return Measurement.nothing()
        columns = np.ascontiguousarray(released.cells.T)
        sides = (side.take(np.arange(scene.targets)) for side in (scene.members, scene.others))
        members, others = (_success(side, released, columns, scene.repeats, rng) for side in sides)
        return advantage(members, others, confidence)


def _success(people: Coded, released: Coded, columns: np.ndarray, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Share of predicates read near each person that isolate somebody among `people`: float[t]."""
    _, rows = nearest(people.close, released.close, np.int32(SCALE))
    anchors = np.repeat(rows, repeats)
    orders = rng.permuted(np.tile(np.arange(len(columns)), (len(anchors), 1)), axis=1)
    hits = isolations(columns, anchors, orders, np.ascontiguousarray(people.cells.T))
    success: np.ndarray = (hits == 1).reshape(len(people), repeats).mean(axis=1)
    return success


def attacks(scene: Scene) -> list[Attack]:
    """Always one."""
    return [SinglingOut()]
