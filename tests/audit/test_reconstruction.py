"""Hidden columns are rebuilt for people who were copied, and the interval of the difference covers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from privsynth.audit.base import advantage
from privsynth.audit.reconstruction import Reconstruction, _elect, _trials, attacks, guess, rarity_weighted
from privsynth.audit.scene import Scene, prepare
from privsynth.audit.tables import AuditTables

Make = Callable[..., AuditTables]
RNG = np.random.default_rng(0)


def scene_with_copies(tables: Make, share: float) -> Scene:
    whole, count = tables(3000, 1500, 3000, 20), int(3000 * share)
    mixed = pd.concat([whole.synthetic.iloc[count:], whole.train.iloc[:count]], ignore_index=True)
    return prepare(dataclasses.replace(whole, synthetic=mixed), "standard", np.random.default_rng(0))


@pytest.mark.parametrize(("share", "least"), [(0.3, 0.1), (1.0, 0.4)])
def test_copied_people_are_rebuilt(tables: Make, share: float, least: float) -> None:
    scene = scene_with_copies(tables, share)
    for each in attacks(scene):
        measured = each.run(scene.synthetic, scene, RNG, 0.95)
        assert measured.low > 0 and measured.value > least, each.name


def test_others_are_not(tables: Make) -> None:
    """Seeded: each interval at 99 % lies above zero for at most .5 % of sound tables."""
    scene = scene_with_copies(tables, 0.0)
    found = [each.run(scene.synthetic, scene, RNG, 0.99) for each in attacks(scene)]
    assert len(found) == 2 and not any(each.low > 0 for each in found)
    assert all(each.baseline > 0.05 and each.low < 0 < each.high for each in found)  # what anybody can guess


def test_a_rare_value_counts_more(tables: Make) -> None:
    scene = scene_with_copies(tables, 0.0)
    columns = [scene.names.index("sex"), scene.names.index("disease")]
    worth = [
        np.log(len(scene.reference) + 2)
        - np.log(np.bincount(scene.reference.cells[:, c], minlength=scene.sizes[c]) + 1)
        for c in columns
    ]
    true = np.array([[0, 3], [1, 0]])
    share = rarity_weighted(np.array([[0, 0], [0, 0]]), true, scene, columns)
    assert np.allclose(share, [worth[0][0] / (worth[0][0] + worth[1][3]), worth[1][0] / (worth[0][1] + worth[1][0])])
    assert np.allclose(rarity_weighted(true, true, scene, columns), 1)


def test_the_row_that_agrees_is_believed(tables: Make) -> None:
    scene = scene_with_copies(tables, 1.0)
    copied = scene.members.take(np.arange(50))
    known = [i for i in range(len(scene.names)) if i % 2 == 0]
    hidden = [i for i in range(len(scene.names)) if i % 2]
    guessed = guess(copied, scene.members, scene, known, hidden)
    assert np.mean(guessed == copied.cells[:, hidden]) > 0.98


def test_votes_by_strength_and_rarity() -> None:
    values, rarity = np.array([[0, 1, 1], [0, 1, 1], [2, 0, 0]]), np.array([1.0, 1.0, 4.0])
    voice = np.array([[1.0, 0.4, 0.3], [1.0, 0.8, 0.3], [1.0, 1.0, 1.0]])
    assert _elect(values, voice, rarity).tolist() == [0, 1, 2]  # the strongest alone, two together, the rarer one


def test_the_interval_of_a_difference_of_shares_covers() -> None:
    """Skewed shares of 60 people on either side; coverage of 95 % less 4 standard errors of 1,000 simulations."""
    rng, inside = np.random.default_rng(3), 0
    for _ in range(1000):
        one, two = rng.beta(0.6, 3, 60), rng.beta(0.6, 4, 60)
        measured = advantage(one, two, 0.95, (_trials(one), _trials(two)))
        inside += measured.low <= 0.6 / 3.6 - 0.6 / 4.6 <= measured.high
    assert 950 - 4 * np.sqrt(1000 * 0.05 * 0.95) <= inside <= 990  # and not as wide as if each were yes or no


def test_nothing_to_guess_is_nothing(tables: Make) -> None:
    whole = tables(10, 1, 10, 21)
    scene = prepare(whole, "standard", np.random.default_rng(0))
    assert attacks(scene)[0].run(scene.synthetic, scene, RNG, 0.95).value is None
    single = {name: getattr(whole, name)[["age"]] for name in ("synthetic", "train", "holdout")}
    assert attacks(prepare(dataclasses.replace(whole, **single, roles={}), "quick", RNG)) == []
    assert [each.what for each in attacks(scene)] == ["the quasi-identifiers", "half of the columns"]
    assert all(isinstance(each, Reconstruction) and set(each.known).isdisjoint(each.hidden) for each in attacks(scene))
