"""Singling out: a predicate derived from the synthetic table that is true of exactly one person.

After Cohen and Nissim, "Towards formalizing the GDPR's notion of singling out" (PNAS 2020): a predicate isolates if
exactly one of the data's people satisfies it, and what counts is the success beyond that of a predicate of the same
kind on people who were not in the data. Predicates are conjunctions "column = value of a synthetic row", numbers as
bins, over columns in random order until one row of the synthetic table is left.

A random row of 80,000 hardly ever matches one of 2,000 tested people, so predicates are derived from the rows closest
to them, for members and non-members alike. That makes the attacker stronger than the paper's, not weaker.
"""

from __future__ import annotations

import numpy as np

from privsynth.audit.base import Attack, advantage
from privsynth.audit.coding import SCALE, Coded
from privsynth.audit.kernels import isolations, nearest
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement
from privsynth.evidence import Family


class SinglingOut(Attack):
    """Predicates derived from the synthetic rows closest to each tested person."""

    name = "singling out: predicates"
    family: Family = "singling_out"
    statistic = "success rate, members minus non-members"
    threshold_key = "singling_out"
    assumes = "An attacker who has the synthetic table alone and describes one person by it."
    meaning = (
        "How much more often a description derived from one synthetic record fits exactly one person in the training "
        "data than exactly one of as many people who were not in the data. The success rate for people who were not in "
        "the data is chance and general knowledge. Descriptions combine values and bins; no other kind was tested."
    )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        if len(released) == 0 or scene.targets == 0:
            return Measurement.nothing()
        columns = np.ascontiguousarray(released.cells.T)
        sides = (side.take(np.arange(scene.targets)) for side in (scene.members, scene.non_members))
        members, non_members = (_success(side, released, columns, scene.repeats, rng) for side in sides)
        return advantage(members, non_members, confidence)


def _success(people: Coded, released: Coded, columns: np.ndarray, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Share of the predicates derived near each person that isolate somebody among `people`: float[t]."""
    _, rows = nearest(people.close, released.close, np.int32(SCALE))
    source_rows = np.repeat(rows, repeats)
    orders = rng.permuted(np.tile(np.arange(len(columns)), (len(source_rows), 1)), axis=1)
    hits = isolations(columns, source_rows, orders, np.ascontiguousarray(people.cells.T))
    success: np.ndarray = (hits == 1).reshape(len(people), repeats).mean(axis=1)
    return success


def attacks(scene: Scene) -> list[Attack]:
    """Always one attack."""
    return [SinglingOut()]
