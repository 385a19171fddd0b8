"""The likelihood ratio finds copies with columns changed, which a distance does not, and nothing where nothing is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd

from privsynth.audit.closest_record import ClosestRecord
from privsynth.audit.gen_lra import LikelihoodRatio, attacks, likelihood_ratio
from privsynth.audit.scene import prepare
from privsynth.audit.tables import AuditTables

Make = Callable[..., AuditTables]
RNG = np.random.default_rng(0)


def with_columns_changed(tables: AuditTables, share: float) -> AuditTables:
    """A share of the synthetic rows becomes training rows in which every third column is another person's."""
    rng, count = np.random.default_rng(99), int(share * len(tables.synthetic))
    copied = tables.train.iloc[rng.permutation(len(tables.train))[:count]].reset_index(drop=True)
    others = tables.synthetic.iloc[-count:].reset_index(drop=True)
    for name in list(copied.columns)[::3]:
        copied[name] = others[name]
    return dataclasses.replace(tables, synthetic=pd.concat([tables.synthetic.iloc[:-count], copied], ignore_index=True))


def test_copies_with_columns_changed_are_found(tables: Make) -> None:
    scene = prepare(with_columns_changed(tables(3000, 1500, 3000, 1), 0.3), "standard", np.random.default_rng(0))
    found, missed = (each.run(scene.synthetic, scene, RNG, 0.95) for each in (LikelihoodRatio(), ClosestRecord()))
    assert found.low > 0.05 and found.value > 0.2 and found.auc[1] > 0.6
    assert missed.value < 0.5 * found.value


def test_nothing_is_found_in_a_sound_table(tables: Make) -> None:
    """Seeded: P(low > 0.01, guessing) is at most 2.5 %, P(the interval of the AUC excludes one half) 5 %."""
    scene = prepare(tables(3000, 1500, 3000, 2), "standard", np.random.default_rng(0))
    measured = LikelihoodRatio().run(scene.synthetic, scene, RNG, 0.95)
    assert measured.low < 0.01 and measured.auc[1] < 0.5 < measured.auc[2]


def test_the_ratio_is_that_of_two_densities() -> None:
    """One column: K(s, x) / sum of K(s, r), all by hand. Three people of the reference, at 0, 100 and 2000."""
    reference = np.array([[0], [100], [2000]], np.int32)
    target, row = np.array([[1000]], np.int32), np.array([[1000]], np.int32)
    # x: nobody within 0, so K = 4 / 1; r at distances 1000 (all three within 1023 of 0: 2, of 100: 2, of 2000: 1) -> level 10
    kernels = [4 / 3, 4 / 3, 4 / 2]
    assert np.isclose(likelihood_ratio(target, row, reference)[0], np.log(4) - np.log(sum(kernels)))


def test_too_few_is_nothing(tables: Make) -> None:
    scene = prepare(tables(10, 1, 10, 3), "standard", np.random.default_rng(0))
    empty = scene.synthetic.take(np.arange(0))
    assert attacks(scene)[0].run(empty, scene, RNG, 0.95).value is None
    assert LikelihoodRatio().run(scene.synthetic, scene, RNG, 0.95).value is None  # no reference
