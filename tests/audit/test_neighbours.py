"""Compiled searches for several rows against the same in numpy, on small tables."""

from __future__ import annotations

import numpy as np

from privsynth.audit.coding import SCALE
from privsynth.audit.neighbours import best_agreement, k_nearest, log_sum_agreement

LEVEL = np.array([distance.bit_length() for distance in range(SCALE + 1)])


def codes(rng: np.random.Generator, rows: int, width: int = 6) -> np.ndarray:
    return rng.integers(0, 4 * SCALE, (rows, width)).astype(np.int32)


def agreements(people: np.ndarray, table: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sums of weights: float[people, rows]."""
    level = LEVEL[np.minimum(np.abs(people[:, None, :] - table[None, :, :]), SCALE)]
    person, column = np.arange(len(people))[:, None, None], np.arange(people.shape[1])[None, None, :]
    return weight[person, column, level].sum(axis=2)


def test_k_nearest() -> None:
    rng = np.random.default_rng(0)
    targets, table = codes(rng, 37) // SCALE * SCALE, codes(rng, 601) // SCALE * SCALE  # many ties
    distance = np.minimum(np.abs(targets[:, None, :] - table[None, :, :]), SCALE).sum(axis=2)
    found, rows = k_nearest(targets, table, 7, np.int32(SCALE))
    expected = np.argsort(distance, axis=1, kind="stable")[:, :7]
    assert np.array_equal(rows, expected)
    assert np.array_equal(found, np.take_along_axis(distance, expected, axis=1))


def test_best_agreement_skips_no_row_that_is_better() -> None:
    """The search leaves a row as soon as its remaining columns cannot help; ties go to the first row."""
    rng = np.random.default_rng(1)
    people, table = codes(rng, 33), codes(rng, 700)
    table[::7, :3] = people[rng.integers(0, 33, 100), :3]
    weight = np.sort(rng.integers(0, 9, (33, 6, LEVEL[-1] + 1)), axis=2)[:, :, ::-1].astype(np.float32)  # falling
    order = np.argsort(-weight[:, :, 0], axis=1)
    found, rows = best_agreement(people, table, weight, order, LEVEL, 5)
    total = agreements(people, table, weight)
    expected = np.argsort(-total, axis=1, kind="stable")[:, :5]
    assert np.array_equal(rows, expected)
    assert np.allclose(found, np.take_along_axis(total, expected, axis=1))


def test_a_row_that_is_hardly_better_is_not_skipped() -> None:
    person = np.full((1, 4), 5, np.int32)
    table = np.array([[5, 5, 5, 6], [5, 5, 5, 5], [5, 5, 5, 4]], np.int32)
    weight = np.ones((1, 4, LEVEL[-1] + 1), np.float32)
    weight[:, :, 1:] = 0.75
    found, row = best_agreement(person, table, weight, np.arange(4)[None, :], LEVEL, 1)
    assert row[0, 0] == 1 and found[0, 0] == 4


def test_log_sum_agreement() -> None:
    rng = np.random.default_rng(2)
    rows, people = codes(rng, 40), codes(rng, 60)
    weight = rng.exponential(9, (60, 6, LEVEL[-1] + 1)).astype(np.float32)
    expected = np.log(np.exp(agreements(people, rows, weight).astype(float)).sum(axis=0))
    assert np.allclose(log_sum_agreement(rows, people, weight, LEVEL), expected, rtol=1e-5)
