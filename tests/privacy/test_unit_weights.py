"""One unit moves the scaled release by at most 1, however many rows it has; LEAKS 1, 15, 17, 28, 30.

That neighbours differ by the stated sensitivity is in tests/conformance/test_mechanisms.py.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms import tables
from privsynth.privacy.mechanisms.tables import Histograms, Marginals
from privsynth.privacy.noise import LATTICE, Randomness
from privsynth.privacy.unit import SHARE_UNIT, Rows, to_shares, unit_weights

Table = tuple[np.ndarray, np.ndarray, tuple[int, ...]]


@st.composite
def a_table(draw: Any) -> Table:
    """(codes sorted by unit, units, sizes): up to 8 units of up to 9 rows, 1 to 5 columns of 1 to 4 codes."""
    d = draw(st.integers(1, 5))
    sizes = tuple(draw(st.lists(st.integers(1, 4), min_size=d, max_size=d)))
    counts = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    same = draw(st.booleans())  # all rows of a unit alike: the worst case
    blocks = []
    for count in counts:
        block = np.stack([rng.integers(0, size, count) for size in sizes], 1)
        blocks.append(np.repeat(block[:1], count, 0) if same else block)
    units = np.repeat(np.sort(rng.choice(1000, len(counts), replace=False)), counts)
    return np.concatenate(blocks).astype(np.int32), units.astype(np.int64), sizes


Tables = list[tuple[int, ...]]


def some_tables(d: int, *ways: int) -> Tables:
    """All tables of so many of d columns."""
    return [table for way in ways for table in combinations(range(d), way)]


def brute_norm(codes: np.ndarray, weights: np.ndarray, sizes: tuple[int, ...], tables: Tables, shares: Any) -> float:
    """Length of one unit's weighted counts over all tables, scaled by the shares."""
    squares = 0.0
    for table, share in zip(tables, shares, strict=True):
        cells = np.zeros([sizes[c] for c in table])
        np.add.at(cells, tuple(codes[:, c] for c in table), weights)
        squares += share * (cells**2).sum()
    return float(np.sqrt(squares))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(table=a_table(), seed=st.integers(0, 10**6), ones=st.floats(0, 1))
def test_every_unit_is_at_most_one_long(table: Table, seed: int, ones: float) -> None:
    codes, units, sizes = table
    d = len(sizes)
    rng = np.random.default_rng(seed)
    chosen = some_tables(d, 1, 2, 3, 4)
    ways = np.array([len(columns) for columns in chosen])
    shares = to_shares(rng.dirichlet(np.full(len(chosen), 0.3)) * np.where(ways == 1, ones, 1 - ones) + 1e-12)
    weights = unit_weights(codes, units, chosen, shares)
    assert np.all((weights >= 0) & (weights <= 1) & (weights / LATTICE == np.rint(weights / LATTICE)))
    for unit in np.unique(units):
        own = units == unit
        assert len(set(weights[own])) == 1
        length = brute_norm(codes[own], weights[own], sizes, chosen, shares)
        assert length <= 1 + 1e-12
        full = brute_norm(codes[own], np.ones(own.sum()), sizes, chosen, shares)
        assert length >= min(1.0, full) - LATTICE * full - 1e-6  # and not shortened for nothing
        if own.sum() == 1:
            assert weights[own][0] == 1


def test_a_thousand_equal_rows_weigh_as_one() -> None:
    codes, units = np.ones((1000, 3), np.int32), np.zeros(1000, np.int64)
    one = np.full(3, 1 / 3)
    weights = unit_weights(codes, units, some_tables(3, 1), one)
    assert 0 < weights[0] <= 1 / 1000
    assert brute_norm(codes, weights, (2, 2, 2), some_tables(3, 1), one) <= 1


def test_no_rows_and_one_row() -> None:
    tables, halves = some_tables(2, 1), np.full(2, 0.5)
    assert unit_weights(np.zeros((0, 2), np.int32), np.zeros(0, np.int64), tables, halves).shape == (0,)
    assert unit_weights(np.zeros((1, 2), np.int32), np.zeros(1, np.int64), tables, halves) == [1.0]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(table=a_table())
def test_one_unit_more_moves_nobody_else(table: Table) -> None:
    codes, units, sizes = table
    d = len(sizes)
    families = [some_tables(d, *ways) for ways in ((1,), (2,), (2, 3, 4)) if d >= ways[0]]
    for gone in np.unique(units):
        rest = units != gone
        for chosen in families:
            shares = to_shares(np.random.default_rng(1).dirichlet(np.full(len(chosen), 0.3)))
            together = unit_weights(codes, units, chosen, shares)[rest]
            assert np.array_equal(together, unit_weights(codes[rest], units[rest], chosen, shares))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.just(0.0), st.floats(1e-12, 1e12)), min_size=1, max_size=300))
def test_shares_are_whole_units_and_sum_to_one_at_most(wanted: list[float]) -> None:
    weights = np.array(wanted)
    shares = to_shares(weights)
    assert np.array_equal(shares / SHARE_UNIT, np.rint(shares / SHARE_UNIT)) and np.array_equal(shares > 0, weights > 0)
    assert shares.sum() <= 1
    if weights.sum() > 0:
        assert np.abs(shares - weights / weights.sum()).max() <= (len(weights) + 1) * SHARE_UNIT
        assert shares.sum() >= 1 - 2 * (len(weights) + 1) * SHARE_UNIT, "and nothing is wasted"


def test_spans_of_units() -> None:
    rows = Rows(np.zeros((7, 1), np.int32), np.array([-3, -3, -3, 5, 8, 8, 9]))
    assert [part.tolist() for part in rows.spans] == [[0, 3, 4, 6], [3, 1, 2, 1]]
    assert rows.one_of_each.tolist() == [0, 3, 4, 6] and len(rows) == 7
    empty = Rows(np.zeros((0, 1), np.int32), np.zeros(0, np.int64))
    assert [part.tolist() for part in empty.spans] == [[], []] and len(empty.one_of_each) == len(empty) == 0


# --- the released tables ----------------------------------------------------------------------------------------------


def furthest(mechanism: Histograms | Marginals, codes: np.ndarray, units: np.ndarray) -> float:
    """Largest distance between the exact answers on the table and on itself without one unit."""
    whole = mechanism.query(Rows(codes, units))
    return max(
        mechanism.distance(whole, mechanism.query(Rows(codes[units != u], units[units != u]))) for u in set(units)
    )


def distance_by_noise(mechanism: Histograms | Marginals, one: Any, other: Any) -> float:
    """The distance by another way: each table in units of its own noise times the noise multiplier."""
    m, squares = mechanism.event.noise_multiplier, 0.0
    if isinstance(mechanism, Histograms):
        by_table = zip(one, other, mechanism.sigmas, strict=True)
        return float(np.sqrt(sum((((a - b) / sigma * m) ** 2).sum() for a, b, sigma in by_table)))
    for table, sigma in zip(mechanism.tables, mechanism.sigmas, strict=True):
        squares += (((one[table] - other[table]) / sigma * m) ** 2).sum()
    return float(np.sqrt(squares))


def mechanisms(sizes: tuple[int, ...]) -> list[Histograms | Marginals]:
    made: list[Histograms | Marginals] = [Histograms(Gaussian(2.0), sizes)]
    for ways in (2,), (2, 3), (4,):
        if len(sizes) >= ways[-1]:
            chosen = some_tables(len(sizes), *ways)
            shares = to_shares(np.random.default_rng(3).dirichlet(np.full(len(chosen), 0.3)) + 1e-6)
            made.append(Marginals(Gaussian(2.0), sizes, tuple(chosen), tuple(shares.tolist())))
    return made


@settings(max_examples=60, deadline=None, derandomize=True)
@given(table=a_table())
def test_distance_is_in_units_of_the_noise(table: Table) -> None:
    codes, units, sizes = table
    kept = units != units[0]
    for mechanism in mechanisms(sizes):
        one, other = mechanism.query(Rows(codes, units)), mechanism.query(Rows(codes[kept], units[kept]))
        assert mechanism.distance(one, other) == pytest.approx(distance_by_noise(mechanism, one, other))


def test_distance_finds_unweighted_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variant without weights."""
    codes, units = np.ones((5, 3), np.int32), np.array([0, 1, 1, 1, 2])
    right = [furthest(m, codes, units) for m in mechanisms((2, 3, 2))]
    assert all(0.99 < distance <= 1 + 1e-9 for distance in right)  # a single row uses what it may
    monkeypatch.setattr(tables, "unit_weights", lambda codes, units, tables, shares: np.ones(len(units)))
    for mechanism in mechanisms((2, 3, 2)):
        assert furthest(mechanism, codes, units) == pytest.approx(3)


def test_noise_matches_the_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each table's noise is the noise multiplier over the root of its share: recorded where it is drawn."""
    drawn: list[tuple[float, Any]] = []

    def record(self: Randomness, scale: float, shape: Any) -> np.ndarray:
        drawn.append((scale, shape))
        return np.zeros(shape)

    monkeypatch.setattr(Randomness, "lattice_gaussian", record)
    codes, units = np.zeros((4, 3), np.int32), np.arange(4)
    histograms, pairs, triples = mechanisms((2, 3, 4))
    histograms.answer(Rows(codes, units), Randomness())
    assert [shape for _, shape in drawn] == [2, 3, 4]
    assert 0.999 < sum((2.0 / scale) ** 2 for scale, _ in drawn) <= 1
    roots = np.cbrt([2, 3, 4])
    assert [scale for scale, _ in drawn] == pytest.approx((2.0 * np.sqrt(roots.sum() / roots)).tolist())
    drawn.clear()
    pairs.answer(Rows(codes, units), Randomness())
    assert [shape for _, shape in drawn] == [(2, 3), (2, 4), (3, 4)]
    assert 0.999 < sum((2.0 / scale) ** 2 for scale, _ in drawn) <= 1
    drawn.clear()
    triples.answer(Rows(codes, units), Randomness())
    assert [shape for _, shape in drawn] == [(2, 3), (2, 4), (3, 4), (2, 3, 4)]
    assert 0.999 < sum((2.0 / scale) ** 2 for scale, _ in drawn) <= 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(table=a_table())
def test_exact_and_noisy_counts_lie_on_the_lattice(table: Table) -> None:
    """Whole multiples of 2^-10, so that adding noise rounds nothing and no low bit distinguishes neighbours."""
    codes, units, sizes = table
    for mechanism in mechanisms(sizes):
        exact = mechanism.query(Rows(codes, units))
        for answer in (exact, mechanism.noised(exact, Randomness())):
            for counts in answer.values() if isinstance(answer, dict) else answer:
                assert np.array_equal(counts / LATTICE, np.rint(counts / LATTICE))


def test_two_runs_differ_and_empty_tables_are_measured() -> None:
    empty = Rows(np.zeros((0, 2), np.int32), np.zeros(0, np.int64))
    for mechanism in mechanisms((2, 3)):
        first, second = (mechanism.answer(empty, Randomness()) for _ in range(2))
        first, second = (list(x.values()) if isinstance(x, dict) else x for x in (first, second))
        assert all(np.all(a != b) or a.size < 3 for a, b in zip(first, second, strict=True))
        assert any(np.any(table != 0) for table in first)


@pytest.mark.parametrize(
    "chosen, shares",
    [
        ([(0, 1)], [1.25]), ([(0, 1)], [0.3]), ([(0, 1)], [0.0]), ([(0, 1)], [-0.5]), ([(0, 1)], [0.5, 0.25]),
        ([(0, 1), (0, 1)], [0.5, 0.25]), ([(0, 0)], [0.5]), ([(0,)], [0.5]), ([(0, 1, 2, 3, 4)], [0.5]), ([(0, 5)], [0.5]),
        ([(-1, 0)], [0.5]), ([(0, 1), (0, 2)], [0.75, 0.5]),
    ],
)  # fmt: skip
def test_wrong_tables_and_shares_are_refused(chosen: Any, shares: Any) -> None:
    with pytest.raises(ValueError):
        Marginals(Gaussian(1.0), (2, 2, 2, 2, 2), tuple(chosen), tuple(shares))
