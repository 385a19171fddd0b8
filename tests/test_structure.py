"""Tables of known structure have the order of dependence that they claim, and none below it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from privsynth import simulate
from privsynth.errors import InputError
from privsynth.simulate.structure import SIZES

MAKERS = [simulate.parities, simulate.latent_classes, simulate.sequence]
ROWS = 60_000
FALSE_ALARM = 1e-4  # of one test on fresh rows, over all the tables it looks at; with the seed kept it never flickers


def codes(table: pd.DataFrame) -> tuple[np.ndarray, list[int]]:
    """((rows, columns) codes, number of categories of each column)."""
    return np.stack([table[c].cat.codes.astype(int) for c in table], 1), [len(table[c].cat.categories) for c in table]


def chance_of(table: np.ndarray, sizes: list[int], columns: tuple[int, ...], expected: np.ndarray | float) -> float:
    """p-value of Pearson's chi-square of one marginal against expected shares."""
    shape = [sizes[c] for c in columns]
    cells = int(np.prod(shape))
    counts = np.bincount(np.ravel_multi_index(tuple(table[:, c] for c in columns), shape), minlength=cells)
    wanted = len(table) * np.broadcast_to(expected, cells)
    return float(chi2.sf(((counts - wanted) ** 2 / wanted).sum(), cells - 1))


def uniform(table: np.ndarray, sizes: list[int], columns: tuple[int, ...]) -> float:
    return chance_of(table, sizes, columns, 1 / np.prod([sizes[c] for c in columns]))


@pytest.mark.parametrize("make", MAKERS)
def test_shape_categories_and_seed(make) -> None:
    table = make(500, seed=3)
    assert table.shape == (500, 12) and not table.isna().any(axis=None)
    for column in table:
        names = list(table[column].cat.categories)
        assert names == [f"v{i}" for i in range(len(names))] and 4 <= len(names) <= 8
    pd.testing.assert_frame_equal(table, make(500, seed=3))
    assert not table.equals(make(500, seed=4))
    assert len(make(1)) == 1
    with pytest.raises(InputError, match="at least 1"):
        make(0)


@pytest.mark.statistical
@pytest.mark.parametrize("ways", [3, 4])
def test_parities_are_flat_below_their_order_and_not_at_it(ways: int) -> None:
    """Every marginal of fewer columns is uniform: Bonferroni over all of them, false-alarm rate 1e-4 in all."""
    table, sizes = codes(simulate.parities(ROWS, seed=5, ways=ways))
    lower = [columns for k in range(1, ways) for columns in combinations(range(12), k)]
    assert min(uniform(table, sizes, columns) for columns in lower) > FALSE_ALARM / len(lower)
    groups = [tuple(range(first, first + ways)) for first in range(0, 12, ways)]
    assert max(uniform(table, sizes, group) for group in groups) < 1e-12
    others = [columns for columns in combinations(range(12), ways) if columns not in groups]
    assert min(uniform(table, sizes, columns) for columns in others) > FALSE_ALARM / len(others)


@pytest.mark.statistical
def test_a_sum_holds_as_often_as_asked() -> None:
    """By chance a broken sum holds too, in 1 of 5 rows. Five standard errors: false-alarm rate 6e-7."""
    table, _ = codes(simulate.parities(ROWS, ways=4, sizes=[5] * 8, held=0.5))
    for last in (3, 7):
        right = (table[:, last - 3 : last].sum(1) % 5 == table[:, last]).mean()
        assert abs(right - 0.6) < 5 * np.sqrt(0.24 / ROWS)


def test_groups_must_fit() -> None:
    with pytest.raises(ValueError, match="groups of 4"):
        simulate.parities(10, ways=4, sizes=[4] * 6)


@pytest.mark.statistical
@pytest.mark.parametrize("make", [simulate.latent_classes, simulate.sequence])
def test_another_seed_gives_fresh_rows_of_the_same_law(make) -> None:
    """Two-sample chi-square of every pair between seeds, Bonferroni, false-alarm rate 1e-4; another law is another law."""
    one, sizes = codes(make(ROWS, seed=1))
    two, other = codes(make(ROWS, seed=2))[0], codes(make(ROWS, seed=2, law=1))[0]
    pairs = list(combinations(range(12), 2))
    assert min(_same(one, two, sizes, pair) for pair in pairs) > FALSE_ALARM / len(pairs)
    assert max(_same(one, other, sizes, pair) for pair in pairs) < 1e-12


def _same(one: np.ndarray, two: np.ndarray, sizes: list[int], pair: tuple[int, int]) -> float:
    shape = [sizes[c] for c in pair]
    a, b = (
        np.bincount(np.ravel_multi_index((t[:, pair[0]], t[:, pair[1]]), shape), minlength=int(np.prod(shape)))
        for t in (one, two)
    )
    there = a + b > 0
    return float(chi2.sf(((a - b)[there] ** 2 / (a + b)[there]).sum(), there.sum() - 1))


@pytest.mark.statistical
def test_latent_classes_are_independent_given_the_class() -> None:
    """One class is independent columns, thirty are not. Bonferroni over pairs, false-alarm rate 1e-4."""
    pairs = list(combinations(range(12), 2))
    alone, sizes = codes(simulate.latent_classes(ROWS, seed=1, classes=1))
    mixed, _ = codes(simulate.latent_classes(ROWS, seed=1))
    assert min(_independent(alone, sizes, pair) for pair in pairs) > FALSE_ALARM / len(pairs)
    assert max(_independent(mixed, sizes, pair) for pair in pairs) < 1e-12


def _independent(table: np.ndarray, sizes: list[int], pair: tuple[int, int]) -> float:
    one, two = (np.bincount(table[:, c], minlength=sizes[c]) / len(table) for c in pair)
    wanted = len(table) * np.outer(one, two).ravel()
    index = np.ravel_multi_index((table[:, pair[0]], table[:, pair[1]]), [len(one), len(two)])
    counts, there = np.bincount(index, minlength=len(wanted)), wanted > 0
    freedom = ((one > 0).sum() - 1) * ((two > 0).sum() - 1)
    return float(chi2.sf(((counts - wanted)[there] ** 2 / wanted[there]).sum(), freedom))


@pytest.mark.statistical
def test_sequence_forgets_what_lies_more_than_three_columns_back() -> None:
    """Given the three columns before, a column is independent of the fourth before: chi-square pooled over all
    contexts with 100 rows or more; false-alarm rate 1e-4. Without the third before, it is not."""
    table, sizes = codes(simulate.sequence(400_000, seed=1))
    assert sizes == list(SIZES)
    assert _conditional(table, sizes, last=5, far=1, given=(2, 3, 4)) > FALSE_ALARM
    assert _conditional(table, sizes, last=5, far=2, given=(3, 4)) < 1e-12


def _conditional(table: np.ndarray, sizes: list[int], last: int, far: int, given: tuple[int, ...]) -> float:
    shape = [sizes[c] for c in (*given, far, last)]
    index = np.ravel_multi_index(tuple(table[:, c] for c in (*given, far, last)), shape)
    counts = np.bincount(index, minlength=int(np.prod(shape))).reshape(-1, sizes[far], sizes[last]).astype(float)
    counts = counts[counts.sum((1, 2)) >= 100]
    total = counts.sum((1, 2), keepdims=True)
    wanted = counts.sum(2, keepdims=True) * counts.sum(1, keepdims=True) / total
    # contexts where some cell is expected below 5 rows are left out: chi-square would not hold there
    kept = wanted.min((1, 2)) >= 5
    assert kept.sum() > 0
    found = ((counts[kept] - wanted[kept]) ** 2 / wanted[kept]).sum()
    return float(chi2.sf(found, kept.sum() * (sizes[far] - 1) * (sizes[last] - 1)))
