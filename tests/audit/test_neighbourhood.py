"""The classifier finds what single distances miss, and never judges a person it has learned from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd

from privsynth.audit import neighbourhood
from privsynth.audit.neighbourhood import Neighbourhood, division, surroundings
from privsynth.audit.scene import prepare
from privsynth.audit.tables import AuditTables

Make = Callable[..., AuditTables]


def test_copies_are_found(tables: Make) -> None:
    whole = tables(3000, 1500, 3000, 10)
    mixed = pd.concat([whole.synthetic.iloc[:2400], whole.train.iloc[:600]], ignore_index=True)
    scene = prepare(dataclasses.replace(whole, synthetic=mixed), "standard", np.random.default_rng(0))
    measured = Neighbourhood().run(scene.synthetic, scene, np.random.default_rng(0), 0.95)
    assert measured.low > 0.05 and 0.1 < measured.value < 0.3  # a fifth of the people were copied


def test_nobody_is_judged_by_what_was_learned_from_them(tables: Make) -> None:
    """On a sound table. Had the classifier learned from those it scores, the AUC would be about 0.8.

    Seeded: the interval at 99.9 % excludes one half in at most one of 1,000 sound tables.
    """
    scene = prepare(tables(2000, 1500, 2000, 11), "standard", np.random.default_rng(0))
    measured = Neighbourhood().run(scene.synthetic, scene, np.random.default_rng(0), 0.999)
    assert measured.low < 0.01 and measured.auc[1] < 0.5 < measured.auc[2]
    scored, learned = division(scene)
    assert scored == 450 and scored + learned == len(scene.members) == 900
    features = [surroundings(side, scene.synthetic, scene) for side in (scene.members, scene.non_members)]
    model = neighbourhood._learn(*features, 0)
    inside, outside = (model.predict_proba(side)[:, 1] for side in features)
    assert np.mean(inside[:, None] > outside[None, :]) > 0.7  # so much a classifier finds in noise


def test_those_learned_from_are_the_rest_of_the_pool(tables: Make) -> None:
    scene = prepare(tables(6000, 6000, 6000, 12, 0), "quick", np.random.default_rng(0))
    assert division(scene) == (500, 1500)


def test_too_few_to_learn_from_is_nothing(tables: Make) -> None:
    scene = prepare(tables(400, 100, 400, 13), "standard", np.random.default_rng(0))
    assert Neighbourhood().run(scene.synthetic, scene, np.random.default_rng(0), 0.95).value is None
