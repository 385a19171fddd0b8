"""Counts, ranges and category sets: noise as in theory, one unit counts once, singletons stay hidden. LEAKS 10, 17, 32.

That neighbours differ by the stated sensitivity is in tests/conformance/test_mechanisms.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from privsynth.privacy.events import DiscreteGaussian, Geometric, ThresholdedGaussian
from privsynth.privacy.mechanisms.categories import OpenCategories
from privsynth.privacy.mechanisms.counts import PrivateBounds, RowCount, UnitSizes
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows

Counted = Geometric | DiscreteGaussian
KINDS = pytest.mark.parametrize("event", [Geometric(1.0), DiscreteGaussian(1.0)], ids=["geometric", "gaussian"])


def rows_of(values: Any, units: Any = None, name: str = "x") -> Rows[Any]:
    values = list(values)
    return Rows(pd.DataFrame({name: values}), np.arange(len(values)) if units is None else np.asarray(units))


def without(rows: Rows[Any], unit: int) -> Rows[Any]:
    kept = rows.units != unit
    return Rows(rows.values[kept].reset_index(drop=True), rows.units[kept])


# --- noise ------------------------------------------------------------------------------------------------------------


def chi_square(event: Counted, law: Counted, draws: int = 100_000) -> float:
    """p-value of a count's noise under `event` against the law of another event.

    P(k) is proportional to a^|k|, a = exp(-epsilon) (Ghosh et al. 2009), or to exp(-k^2 / (2 sigma^2)) (Canonne et al.
    2020).
    """
    noise = UnitSizes(event, (1,)).noised(np.zeros(draws, np.int64), Randomness())
    k = np.arange(-300, 301)
    chance = np.exp(-law.epsilon * np.abs(k) if isinstance(law, Geometric) else -((k / law.noise_multiplier) ** 2) / 2)
    chance /= chance.sum()
    usual = np.abs(k) <= np.abs(k[chance * draws >= 20]).max()
    rare = np.abs(noise) > np.abs(k[usual]).max()
    seen = np.append(np.bincount(noise[~rare] - k[usual][0], minlength=usual.sum()), rare.sum())
    want = np.append(chance[usual], chance[~usual].sum()) * draws
    if want[-1] < 5:
        seen, want = np.append(seen[:-2], seen[-2:].sum()), np.append(want[:-2], want[-2:].sum())
    return float(stats.chisquare(seen, want).pvalue)


@pytest.mark.statistical
@pytest.mark.parametrize(
    "event, less",
    [
        (Geometric(0.5), Geometric(0.55)),
        (Geometric(1.3), Geometric(1.43)),
        (DiscreteGaussian(0.8), DiscreteGaussian(0.72)),
        (DiscreteGaussian(5.0), DiscreteGaussian(4.5)),
    ],
    ids=str,
)
def test_noise_of_counts_follows_its_law(event: Counted, less: Counted) -> None:
    """False alarms: 1e-7. The variant with a tenth less noise is refused."""
    assert chi_square(event, event) > 1e-7
    assert chi_square(less, event) < 1e-7


@KINDS
def test_noise_of_counts_is_fresh_and_whole(event: Counted) -> None:
    mechanism, zeros = UnitSizes(event, (1,)), np.zeros(200, np.int64)
    first, second = (mechanism.noised(zeros, Randomness()) for _ in range(2))
    assert first.dtype == np.int64 and not np.array_equal(first, second)
    assert np.array_equal(mechanism.noised(zeros, Randomness(1)), mechanism.noised(zeros, Randomness(1)))


# --- one unit counts once ---------------------------------------------------------------------------------------------


def people(seed: int) -> Rows[Any]:
    """Twenty units of 1 to 11 rows; wild numbers."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 12, 20)
    values = rng.lognormal(3, 4, sizes.sum()) * rng.choice([-1, 1, 0], sizes.sum())
    return rows_of(values, np.repeat(np.arange(20), sizes))


@pytest.mark.parametrize("seed", range(5))
def test_each_unit_counts_once(seed: int) -> None:
    for mechanism in (UnitSizes(Geometric(1.0), (1, 2, 3, 5, 10)), PrivateBounds(Geometric(1.0), "x", 0.01)):
        rows = people(seed)
        assert mechanism.query(rows).sum() == 20
        for unit in range(20):
            fewer = mechanism.query(without(rows, unit))
            assert fewer.sum() == 19 and mechanism.distance(mechanism.query(rows), fewer) == 1


def test_distance_finds_a_twin_that_counts_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of([5, 6, 7, 8], [0, 1, 1, 1])
    bounds, values = PrivateBounds(Geometric(1.0), "x", 1.0), OpenCategories(ThresholdedGaussian(1.0, 1e-3), "x")
    cases = [(bounds, rows), (values, rows_of(["5", "6", "7", "8"], [0, 1, 1, 1]))]
    for mechanism, table in cases:
        assert mechanism.distance(mechanism.query(table), mechanism.query(without(table, 1))) == 1
    monkeypatch.setattr(Rows, "one_of_each", property(lambda self: np.arange(len(self))))
    for mechanism, table in cases:
        assert mechanism.distance(mechanism.query(table), mechanism.query(without(table, 1))) == 3


def test_row_count_counts_rows() -> None:
    mechanism = RowCount(Geometric(1.0))
    exact = [mechanism.query(rows_of(range(n))) for n in (7, 8, 0)]
    assert [int(count[0]) for count in exact] == [7, 8, 0]
    assert [mechanism.released(count) for count in exact] == [7, 8, 1]


def test_categories_count_each_unit_once() -> None:
    rng = np.random.default_rng(2)
    units = np.repeat(np.arange(15), rng.integers(1, 6, 15))
    values = rng.choice(["a", "b", "c", "d"], len(units)).astype(object)
    values[units == 14] = "only mine"
    mechanism, rows = OpenCategories(ThresholdedGaussian(1.0, 1e-3), "x"), rows_of(values, units)
    whole, less = mechanism.query(rows), mechanism.query(without(rows, 14))
    assert sum(whole.values()) == 15 and sum(less.values()) == 14
    assert {v: whole[v] - less.get(v, 0) for v in whole if whole[v] != less.get(v, 0)} == {"only mine": 1}


@KINDS
def test_missing_values_count_nowhere(event: Counted) -> None:
    """Neither NaN or infinity in a range, nor None in a category set."""
    rows = rows_of([np.nan, 5.0, np.nan, np.inf])
    assert PrivateBounds(event, "x", 1.0).query(rows).sum() == 1
    assert OpenCategories(ThresholdedGaussian(1.0, 1e-3), "x").query(rows_of([None, "a", None])) == {"a": 1}


# --- thresholded selection --------------------------------------------------------------------------------------------


def survivors(mechanism: OpenCategories, singletons: int, repeats: int) -> int:
    rows = rows_of([f"person {i}" for i in range(singletons)])
    return sum(len(mechanism.answer(rows, Randomness())) for _ in range(repeats))


@pytest.mark.statistical
@pytest.mark.parametrize("sigma, low", [(0.42, 1), (3.0, 1), (20.0, 5)])
def test_a_singleton_survives_with_at_most_delta(sigma: float, low: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """False alarms: below 1e-7 each (a binomial quantile at delta itself). The variant that forgets the unit's own count
    of one, or whose threshold is a quarter sigma low, is found."""
    tries = 200_000
    mechanism = OpenCategories(ThresholdedGaussian(sigma, 0.01), "x")
    most = stats.binom.isf(1e-7, tries, 0.01)
    assert survivors(mechanism, 20_000, 10) <= most
    monkeypatch.setattr(OpenCategories, "threshold", mechanism.threshold - low)
    assert survivors(mechanism, 20_000, 10) > most


def reaches(threshold: int, sigma: float) -> float:
    """P(1 + Z >= threshold) for discrete Gaussian Z, summed from the small end."""
    k = np.arange(threshold - 1, threshold + 40 * np.ceil(sigma))
    whole = np.arange(-40 * np.ceil(sigma), 40 * np.ceil(sigma) + 1)
    mass, total = (np.exp(-((x / sigma) ** 2) / 2) for x in (k, whole))
    return float(mass[::-1].sum() / total.sum())


def test_threshold_covers_delta_exactly() -> None:
    """By the law of the noise, down to a delta of 1e-15; and it is at most one higher than need be."""
    for sigma in (0.3, 0.42, 1.0, 3.0, 10.0, 300.0):
        for delta in (1e-15, 1e-9, 1e-6, 1e-3, 0.01, 0.3):
            threshold = OpenCategories(ThresholdedGaussian(sigma, delta), "x").threshold
            assert isinstance(threshold, int) and threshold >= 2, "a value that nobody has is never in the tally"
            assert reaches(threshold, sigma) <= delta < reaches(threshold - 2, sigma)


def test_a_value_that_reaches_the_threshold_is_released() -> None:
    mechanism = OpenCategories(ThresholdedGaussian(3.0, 1e-3), "x")
    at = mechanism.threshold
    assert mechanism.released({"b": at, "below": at - 1, "a": at + 1}) == ["a", "b"]


def test_common_values_come_out_sorted_rare_and_missing_ones_do_not() -> None:
    values = ["b"] * 500 + ["a"] * 500 + [None] * 500 + ["rare"]
    assert OpenCategories(ThresholdedGaussian(1.0, 1e-6), "x").answer(rows_of(values), Randomness()) == ["a", "b"]
    assert OpenCategories(ThresholdedGaussian(1.0, 1e-6), "x").answer(rows_of([None] * 9), Randomness()) == []
    assert OpenCategories(ThresholdedGaussian(1.0, 1e-6), "x").answer(rows_of([]), Randomness()) == []


def test_one_person_with_many_rows_stays_rare() -> None:
    values, units = ["mine"] * 1000 + ["a"] * 200, [0] * 1000 + list(range(1, 201))
    assert OpenCategories(ThresholdedGaussian(1.0, 1e-6), "x").answer(rows_of(values, units), Randomness()) == ["a"]


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.statistical
@KINDS
@pytest.mark.parametrize("low, high, step", [(0, 90, 1.0), (-500, 40_000, 0.01), (1e6, 2e6, 1.0), (-9, -3, 0.1)])
def test_bounds_are_found(event: Counted, low: float, high: float, step: float) -> None:
    """False alarms: below 1e-9. Three per cent of the people lie outside only if a bucket of 150 is missed, at a
    threshold of 12 at most and noise of parameter or deviation 1."""
    values = np.random.default_rng(1).uniform(low, high, 5000)
    found = PrivateBounds(event, "x", step).answer(rows_of(values), Randomness())
    share = np.mean((values >= found[0] * step - step) & (values <= found[1] * step + step))
    assert share > 0.97


def too_wide(event: Counted, runs: int) -> int:
    """How often an empty bucket counts as in use: everybody has the value 5."""
    rows, mechanism = rows_of([5.0] * 60), PrivateBounds(event, "x", 1.0)
    return sum(mechanism.answer(rows, Randomness()) != (4, 7) for _ in range(runs))


@pytest.mark.statistical
@KINDS
def test_empty_buckets_hardly_ever_count_as_used(event: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one run in a thousand, as the mechanism says. False alarms: below 1e-7. Half the threshold is seen."""
    most = stats.binom.isf(1e-7, 1000, 0.001)
    assert too_wide(event, 1000) <= most
    monkeypatch.setattr(PrivateBounds, "threshold", PrivateBounds(event, "x", 1.0).threshold / 2)
    assert too_wide(event, 1000) > most


@KINDS
def test_an_outlier_moves_no_bound(event: Counted) -> None:
    """LEAKS 10: without noise, everything released is identical with and without one extreme person."""
    values = np.random.default_rng(1).uniform(10, 90, 3000)
    mechanism = PrivateBounds(event, "x", 1.0)
    plain = mechanism.released(mechanism.query(rows_of(values)))
    for outlier in (1e300, -1e300, np.inf, -np.inf, np.nan, 1e9):
        assert mechanism.released(mechanism.query(rows_of([*values, outlier]))) == plain


@pytest.mark.parametrize("values", [[], [np.nan] * 60, [np.inf, -np.inf], [2.0**62, -(2.0**62)], [1e308] * 200, [0.0]])
def test_columns_without_use_still_give_a_range(values: list[float]) -> None:
    low, high = PrivateBounds(Geometric(0.5), "x", 1e-3).answer(rows_of(values), Randomness())
    assert isinstance(low, int) and isinstance(high, int) and low < high
    assert low >= -(2**62) and high <= 2**62 + 1


def test_unit_sizes_stand_in_their_strata() -> None:
    units = np.repeat(np.arange(5), [1, 1, 2, 4, 9])
    assert UnitSizes(Geometric(1.0), (1, 2, 3, 5)).query(rows_of(units, units)).tolist() == [2, 1, 1, 1]
    assert UnitSizes(Geometric(1.0), (1, 2)).query(rows_of([])).tolist() == [0, 0]


@pytest.mark.statistical
def test_released_counts_are_not_negative() -> None:
    """False alarms: below 1e-11 (a noisy count is above 1 forty times in a row)."""
    empty = rows_of([])
    for event in (Geometric(0.05), DiscreteGaussian(20.0)):
        found = [UnitSizes(event, (1, 2, 3, 4)).answer(empty, Randomness()) for _ in range(40)]
        assert np.min(found) == 0 and np.max(found) > 0
        assert min(RowCount(event).answer(empty, Randomness()) for _ in range(40)) == 1
