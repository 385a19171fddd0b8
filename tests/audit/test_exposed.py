"""Leaks of a few people, or of one group, that averages over everybody hide."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd

from privsynth.audit.coding import Coder
from privsynth.audit.exposed import FEWEST, Exposed, Groups, attacks, rarest, rarity
from privsynth.audit.linked_records import LinkedMembers, Scores
from privsynth.audit.scene import Scene, prepare
from privsynth.audit.tables import AuditTables

Make = Callable[..., AuditTables]
RNG = np.random.default_rng(0)


def copied(tables: AuditTables, rows: np.ndarray) -> Scene:
    """The scene in which these training rows stand at the end of the synthetic table."""
    kept = tables.synthetic.iloc[: len(tables.synthetic) - len(rows)]
    mixed = pd.concat([kept, tables.train.iloc[rows]], ignore_index=True)
    return prepare(dataclasses.replace(tables, synthetic=mixed), "standard", np.random.default_rng(0))


def test_copies_of_the_rarest_records_are_found(tables: Make) -> None:
    """1 % of the training rows: the average over everybody stays below the threshold."""
    whole = tables(4000, 3000, 4000, 30)
    scene = prepare(whole, "standard", np.random.default_rng(0))
    coder = Coder.fit(whole.synthetic, (whole.train, whole.holdout))
    scene = copied(whole, np.argsort(-rarity(coder.encode(whole.train), scene))[:40])
    scores = Scores.shared(scene)
    found, average = (each.run(scene.synthetic, scene, RNG, 0.95) for each in (Exposed(scores), LinkedMembers(scores)))
    assert found.low > 0.05 > average.value  # the threshold
    assert found.value > 0.25


def test_copies_of_one_group_are_found(tables: Make) -> None:
    whole = tables(4000, 3000, 4000, 31)
    group = np.flatnonzero(whole.train["region"] == "c")
    scene = copied(whole, group[: len(group) // 2])
    attack = Groups(Scores.shared(scene), (scene.names.index("region"),))
    held = attack.by_group(scene.synthetic, scene, 0.95)
    assert [cell for _, cell, each in held if each.low > 0] == [2]
    measured = attack.run(scene.synthetic, scene, RNG, 0.95)
    assert measured.low > 0.05 and measured.value == held[[cell for _, cell, _ in held].index(2)][2].value > 0.3
    assert measured.high == max(each.high for _, _, each in held)


def test_nothing_is_found_in_a_sound_table(tables: Make) -> None:
    """Seeded: the lower bound of either is above 0 with a probability of at most 2.5 %, all groups taken together."""
    scene = prepare(tables(4000, 3000, 4000, 32), "standard", np.random.default_rng(0))
    assert not any(each.run(scene.synthetic, scene, RNG, 0.95).low > 0 for each in attacks(scene))


def test_the_level_is_shared_by_the_groups(tables: Make) -> None:
    scene = prepare(tables(3000, 800, 3000, 33), "standard", np.random.default_rng(0))
    columns, scores = (scene.names.index("sex"), scene.names.index("region")), Scores.shared(scene)
    held = Groups(scores, columns).by_group(scene.synthetic, scene, 0.95)
    alone = Groups(scores, columns[:1]).by_group(scene.synthetic, scene, 1 - 0.05 * 2 / len(held))
    assert [each for column, _, each in held if column == columns[0]] == [each for _, _, each in alone]
    sides = [side.cells[:, columns[1]] for side in scene.tested]
    large = [cell for cell in range(9) if min(np.count_nonzero(side == cell) for side in sides) >= FEWEST]
    assert [cell for column, cell, _ in held if column == columns[1]] == large and len(large) < 9


def test_one_cutoff_for_members_and_others(tables: Make) -> None:
    scene = prepare(tables(3000, 2000, 3000, 34), "standard", np.random.default_rng(0))
    chosen, scores = rarest(scene), [rarity(side, scene) for side in scene.tested]
    assert sum(map(len, chosen)) == 2 * FEWEST
    least = min(side[rows].min() for side, rows in zip(scores, chosen, strict=True))
    assert [np.count_nonzero(side >= least) for side in scores] == [len(rows) for rows in chosen]


def test_few_people_are_all_attacked_or_nothing(tables: Make) -> None:
    scene = prepare(tables(60, 50, 100, 35), "standard", np.random.default_rng(0))
    assert sum(map(len, rarest(scene))) == 100
    assert Groups(Scores.shared(scene), (0,)).run(scene.synthetic, scene, RNG, 0.95).value is None
    scene = prepare(dataclasses.replace(tables(0, 0, 4, 36), roles={}), "standard", np.random.default_rng(0))
    assert [each.run(scene.synthetic, scene, RNG, 0.95).value for each in attacks(scene)] == [None]
