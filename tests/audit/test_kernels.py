"""Compiled searches against the same in numpy, on small tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.audit.coding import SCALE, Coder
from privsynth.audit.kernels import isolations, joined, nearest, vote

S = np.int32(SCALE)


def distances(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.minimum(np.abs(one[:, None, :] - two[None, :, :]), SCALE).sum(axis=2)


def random_codes(rng: np.random.Generator, rows: int, width: int = 6) -> np.ndarray:
    return rng.integers(0, 4 * SCALE, (rows, width)).astype(np.int32)


def test_nearest_and_vote() -> None:
    rng = np.random.default_rng(0)
    targets, table = random_codes(rng, 37) // SCALE * S, random_codes(rng, 601) // SCALE * S
    secret = rng.integers(0, 3, 601).astype(np.int32)
    all_of_them = distances(targets, table)
    least, row = nearest(targets, table, S)
    assert np.array_equal(least, all_of_them.min(axis=1))
    assert np.array_equal(row, all_of_them.argmin(axis=1))
    expected = [np.bincount(secret[d == d.min()], minlength=3).argmax() for d in all_of_them]
    assert np.array_equal(vote(targets, table, secret, 3, S), expected)


def test_joined() -> None:
    rng = np.random.default_rng(1)
    left, right, one, two = (random_codes(rng, n, w) for n, w in ((6, 3), (6, 5), (40, 3), (40, 5)))
    best = joined(left, right, one, two, 3, S)
    for g in range(2):
        a, b = distances(left[3 * g : 3 * g + 3], one), distances(right[3 * g : 3 * g + 3], two)
        assert np.array_equal(best[g], (a[:, None, :] + b[None, :, :]).min(axis=2))


def test_isolations() -> None:
    table = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 0, 1]], np.int32)
    people = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]], np.int32)
    source_rows = np.array([0, 2, 1])
    orders = np.array([[2, 0, 1], [0, 1, 2], [1, 0, 2]])
    # row 0 needs all three columns: one person; rows 2 and 3 are the same: nothing isolates; column 1 = 1 is enough
    found = isolations(np.ascontiguousarray(table.T), source_rows, orders, np.ascontiguousarray(people.T))
    assert found.tolist() == [1, -1, 1]


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=30), st.data())
@settings(deadline=None, max_examples=50)
def test_distance_is_gower(values: list[float | None], data: st.DataObject) -> None:
    """0 to itself, symmetric, 1 from missing to present, and never more than 1 a column."""
    letters = data.draw(st.lists(st.sampled_from(["a", "b", None]), min_size=len(values), max_size=len(values)))
    frame = pd.DataFrame({"x": np.array(values, float), "c": pd.Categorical(letters, categories=["a", "b"])})
    coded = Coder.fit(frame, (frame,)).encode(frame)
    x = distances(coded.close[:, :1], coded.close[:, :1])
    both = distances(coded.close, coded.close)
    missing = frame["x"].isna().to_numpy()
    assert (x <= SCALE).all() and np.array_equal(x, x.T) and (np.diag(both) == 0).all()
    assert (x[missing][:, ~missing] == SCALE).all() and (x[missing][:, missing] == 0).all()
    different = frame["c"].cat.codes.to_numpy()[:, None] != frame["c"].cat.codes.to_numpy()[None, :]
    assert np.array_equal(both - x, different * SCALE)
    assert (coded.cells >= 0).all()
    assert all((coded.cells[:, i] < size).all() for i, size in enumerate(Coder.fit(frame, (frame,)).sizes))


def test_infinite_values_count_as_missing() -> None:
    frame = pd.DataFrame({"x": [1.0, np.inf, np.nan, -np.inf]})
    coded = Coder.fit(frame, (frame,)).encode(frame)
    assert len(np.unique(coded.cells[1:])) == 1
