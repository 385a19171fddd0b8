"""Strong associations kept, real told from synthetic, means and totals: each against what is known, and on odd tables."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from privsynth.assess import _deviation
from privsynth.evidence import Utility
from privsynth.utility import association, measure
from privsynth.utility.numbers import means_and_totals
from privsynth.utility.separation import FOLDS, _area, separation


def matrices(real: list[float], made: list[float]) -> dict[str, object]:
    """Of three columns: the pairs (b, a), (c, a), (c, b)."""

    def square(values: list[float]) -> list[list[float]]:
        ba, ca, cb = values
        return [[1.0, ba, ca], [ba, 1.0, cb], [ca, cb, 1.0]]

    return {"columns": ["a", "b", "c"], "synthetic": square(made), "reference": square(real)}


@pytest.mark.parametrize(("real", "made", "strong", "kept", "median", "worst"), [
    ([0.9, -0.5, 0.3], [0.45, -0.4, 0.9], 2, 1, 0.65, 0.5),  # .3 itself is not strong, and .8 of a value is kept
    ([0.9, -0.5, 0.31], [0.99, 0.5, 0.31], 3, 2, 1.0, 0.0),  # more than all counts as all, another sign as nothing
    ([0.1, 0.2, 0.0], [0.9, 0.9, 0.9], 0, 0, None, None),
])  # fmt: skip
def test_retention(real: list[float], made: list[float], strong: int, kept: int, median: object, worst: object) -> None:
    found = association.retention(matrices(real, made))
    assert (found.strong, found.kept) == (strong, kept)
    assert found.median == pytest.approx(median) and found.worst == pytest.approx(worst)
    left = [min(pair.synthetic / pair.real, 1.0) for pair in found.pairs]
    assert left == sorted(left)


def people(n: int, seed: int, shift: float = 0.0, constant: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 3, n)
    return pd.DataFrame({
        "a": pd.Categorical.from_codes(a, list("xyz")), "b": np.full(n, 7.0) if constant else a + rng.normal(shift, 1, n),
        "empty": np.full(n, np.nan), "none": pd.Categorical([np.nan] * n, categories=list("pq")),
    })  # fmt: skip


def apart(*tables: pd.DataFrame, units: tuple[np.ndarray, np.ndarray] | None = None, seed: int = 0):
    return separation(*tables, units, np.random.default_rng(seed))


def test_a_table_is_told_apart_and_real_rows_are_not() -> None:
    """False alarms: two intervals of 95 % with fixed seeds."""
    found = apart(people(900, 1, shift=1.0), people(2000, 2), people(700, 3))
    assert (found.rows, found.floor_rows) == (900, 700)
    assert found.low > found.floor_high and found.area == pytest.approx(0.69, abs=0.05)
    assert found.floor_low < 0.5 < found.floor_high
    alike = apart(people(900, 4), people(2000, 2), people(700, 3))
    assert alike.low < 0.5 < alike.high
    all_of_it = apart(people(300, 1, shift=50.0), people(300, 2), people(300, 3))
    assert all_of_it.area == 1.0 > all_of_it.low > 0.98 and all_of_it.high == 1.0


def test_rows_of_a_person_do_not_help_to_tell() -> None:
    """Ten alike rows a person: with rows of one person on both sides of a fold the floor was .9 and more. False alarms: below 1e-4
    (each figure is within 4 standard errors)."""
    rng = np.random.default_rng(0)

    def histories(units: int, start: float) -> tuple[pd.DataFrame, np.ndarray]:
        own = np.repeat(np.arange(units), 10)
        return pd.DataFrame({name: rng.normal(start, 1, units)[own] for name in "abc"}), own

    (train, of_train), (holdout, of_holdout), (made, _) = histories(120, 0.0), histories(60, 0.0), histories(120, 0.0)
    found = apart(made, train, holdout, units=(of_train, of_holdout))
    error = (found.floor_high - found.floor_low) / (2 * norm.isf(0.025))
    assert 0.02 < error < 0.12 and abs(found.floor - 0.5) < 4 * error
    assert apart(made, train, holdout).floor > 0.9  # what it is if every row is taken for a person


def test_variance_of_the_area_is_that_of_repeats() -> None:
    """By units of five alike rows, and by single rows. 2,000 repeats: the ratio is off by 3 % (one standard error)."""
    rng = np.random.default_rng(1)
    for size in (1, 5):
        own = np.repeat(np.arange(60), size)
        areas, variances = [], []
        for _ in range(1000):
            one, two = rng.normal(0.5, 1, 60)[own], rng.normal(0, 1, 60)[own]
            area, variance = _area(one, two, own, own)
            areas.append(area)
            variances.append(variance)
        assert np.mean(variances) / np.var(areas) == pytest.approx(1, abs=0.2)
    truth, scores = np.repeat([True, False], [7, 5]), rng.integers(0, 4, 12).astype(float)
    single = _area(scores[:7], scores[7:], np.arange(7), np.arange(5))[0]
    assert single == pytest.approx(roc_auc_score(truth, scores))


@pytest.mark.parametrize("rows", [(1, 300, 300), (300, 60, 20), (300, 300, 0)])
def test_few_people_are_not_compared(rows: tuple[int, int, int]) -> None:
    assert apart(*(people(n, seed) for seed, n in enumerate(rows))) is None


def test_one_person_with_many_rows_is_one_person() -> None:
    train, holdout = people(300, 1), people(300, 2)
    assert apart(people(300, 3), train, holdout, units=(np.arange(300), np.zeros(300, int))) is None


def test_constant_and_empty_columns_are_compared() -> None:
    found = apart(*(people(200, seed, constant=True)[["b", "empty", "none"]] for seed in range(3)))
    assert found.area == found.floor == 0.5


def test_a_million_rows_take_no_longer_than_thousands() -> None:
    tables = [pd.concat([people(400, s)] * 1_000, ignore_index=True) for s in range(3)]
    start = time.process_time()
    found = apart(*tables)
    assert found.rows == 5_000 and time.process_time() - start < 30 * FOLDS


def test_means_and_totals() -> None:
    real = pd.DataFrame({"x": [1.0, 2.0, np.nan, 5.0], "y": [np.nan] * 4, "z": [3.0] * 4})
    made = pd.DataFrame({"x": [2.0, 4.0, np.nan, np.nan, 3.0], "y": [1.0] * 5, "z": [3.0] * 5})
    x, z = means_and_totals(made, real, {"x": (0.5, 0.25), "y": (0.0, 0.0), "z": None})
    assert (x.name, x.real_mean, x.mean, x.noise) == ("x", pytest.approx(8 / 3), 3.0, True)
    assert x.mean_high - x.mean == x.mean - x.mean_low == pytest.approx(1.96 * (1 / 3 + 0.25) ** 0.5, rel=1e-4)
    assert (x.real_total, x.total) == (2_000.0, pytest.approx(1_800.0))
    assert x.total_high - x.total == pytest.approx(1_960 * (3.2 / 5 + 0.0625) ** 0.5, rel=1e-4)
    assert (z.mean_low, z.mean_high, z.real_mean, z.noise) == (3.0, 3.0, 3.0, False)


def test_noise_of_a_mean_is_that_of_its_shares() -> None:
    """Against shares with noise drawn 4,000 times: five standard errors of a standard deviation are 6 %."""
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 6, 5_000)
    values = np.where(codes == 5, np.nan, 10.0 * codes + rng.normal(0, 1, 5_000))
    noise = np.array([0.01, 0.02, 0.01, 0.005, 0.01, 0.03])
    share = np.bincount(codes) / 5_000
    inside = np.array([values[codes == code].mean() for code in range(5)] + [0.0])
    drawn = share + noise * rng.normal(size=(4_000, 6))
    means = (drawn[:, :5] @ inside[:5]) / drawn[:, :5].sum(1)
    totals = (drawn @ inside) / drawn.sum(1)
    assert _deviation(values, codes, noise) == pytest.approx(means.std(), rel=0.07)
    assert _deviation(np.nan_to_num(values), codes, noise) == pytest.approx(totals.std(), rel=0.07)
    assert _deviation(np.full(3, np.nan), np.zeros(3, int), noise) == 0.0


def test_numbers_that_evidence_cannot_hold_are_left_out() -> None:
    huge = pd.DataFrame({"x": [1e200, 2e200, -1e200], "y": [1e13, 1e13, 2e13], "one": [1.0, 2.0, 3.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = means_and_totals(huge, huge, dict.fromkeys(huge, (0.0, 0.0)))
    assert [n.name for n in found] == ["one"]


def test_intervals_of_means_hold_what_they_promise() -> None:
    """Samples of a known normal: 1,000 intervals of 95 % hold the mean 950 times, give or take 35 (five standard errors)."""
    rng, held = np.random.default_rng(2), 0
    real = pd.DataFrame({"x": [0.0]})
    for _ in range(1000):
        made = pd.DataFrame({"x": rng.normal(0, 1, 100) + rng.normal(0, 0.2)})  # noise moves all rows alike
        found = means_and_totals(made, real, {"x": (0.2, 0.2)})[0]
        held += found.mean_low <= 0 <= found.mean_high
    assert 915 <= held <= 985


@pytest.mark.parametrize("rows", [1, 2, 60])
def test_small_tables_without_numbers_have_figures(rows: int) -> None:
    tables = [people(rows, seed)[["a", "none"]] for seed in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure(*tables, None, {}, [], np.random.default_rng(0))
    assert found.numbers == [] and (found.separation is None) == (rows < 50) and found.retention.strong == 0
    Utility.model_validate_json(found.model_dump_json())
