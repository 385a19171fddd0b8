"""Counts, ranges and category sets: noise as in theory, one unit counts once, singletons stay hidden. LEAKS 10, 17, 32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from privsynth.privacy.events import Geometric, ThresholdedGaussian
from privsynth.privacy.mechanisms import counts
from privsynth.privacy.mechanisms.counts import OpenCategories, PrivateBounds, RowCount, UnitSizes, one_row_each
from privsynth.privacy.noise import LATTICE, Randomness
from privsynth.table import Rows


def rows_of(values: Any, units: Any = None, name: str = "x") -> Rows[Any]:
    values = list(values)
    return Rows(pd.DataFrame({name: values}), np.arange(len(values)) if units is None else np.asarray(units))


def chi_square(noise: np.ndarray, epsilon: float) -> float:
    """p-value of noise against P(k) = (1 - a) / (1 + a) a^|k|, a = exp(-epsilon) (Ghosh et al. 2009)."""
    a, most = np.exp(-epsilon), int(8 / epsilon)
    support = np.arange(-most, most + 1)
    chance = (1 - a) / (1 + a) * a ** np.abs(support)
    chance[[0, -1]] += (1 - chance.sum()) / 2
    seen = np.bincount(np.clip(noise, -most, most) + most, minlength=len(support))
    return float(stats.chisquare(seen, chance * len(noise)).pvalue)


@pytest.mark.statistical
@pytest.mark.parametrize("epsilon", [0.5, 1.3])
def test_geometric_noise_is_geometric(epsilon: float) -> None:
    """False alarms: 1e-7. The twin with a tenth less noise is refused."""
    zeros = np.zeros(100_000, np.int64)
    assert chi_square(counts.geometric(zeros, epsilon, Randomness()), epsilon) > 1e-7
    assert chi_square(counts.geometric(zeros, 1.1 * epsilon, Randomness()), epsilon) < 1e-7


def test_geometric_noise_is_fresh_and_whole() -> None:
    zeros = np.zeros(200, np.int64)
    first, second = (counts.geometric(zeros, 0.1, Randomness()) for _ in range(2))
    assert first.dtype == np.int64 and not np.array_equal(first, second)
    assert np.array_equal(counts.geometric(zeros, 0.1, Randomness(1)), counts.geometric(zeros, 0.1, Randomness(1)))


@pytest.mark.statistical
def test_one_row_of_each_unit_is_drawn_fairly() -> None:
    """False alarms: below 1e-6 (four tests of 2e-7)."""
    units = np.repeat([3, 5, 9], [1, 2, 4])
    picks = np.array([one_row_each(units, Randomness()) for _ in range(4000)])
    assert np.array_equal(np.sort(units[picks[0]]), [3, 5, 9])
    assert np.all(units[picks] == [3, 5, 9])
    assert stats.chisquare(np.bincount(picks[:, 1] - 1, minlength=2)).pvalue > 2e-7
    assert stats.chisquare(np.bincount(picks[:, 2] - 3, minlength=4)).pvalue > 2e-7
    table = stats.contingency.crosstab(picks[:, 1], picks[:, 2]).count
    assert stats.chi2_contingency(table).pvalue > 2e-7  # one unit's draw tells nothing of another's
    assert stats.binomtest(int((picks[1:, 1] == picks[:-1, 1]).sum()), 3999).pvalue > 2e-7


# --- replay: noise taken away, coins frozen by position, the largest unit added or removed ----------------------------


class Frozen(Randomness):
    """The same coins for the same positions; the unit that comes and goes stands last."""

    def uniform(self, shape: Any) -> np.ndarray:
        return np.random.default_rng(5).random(5000)[:shape]

    def lattice_gaussian(self, scale: float, shape: Any) -> np.ndarray:
        return np.zeros(shape)


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What each mechanism hands to the noise."""
    seen: list[np.ndarray] = []

    def identity(values: np.ndarray, epsilon: float, randomness: Randomness) -> np.ndarray:
        seen.append(np.array(values))
        return np.array(values)

    monkeypatch.setattr(counts, "geometric", identity)
    return seen


def people(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    sizes = rng.integers(1, 12, 20)
    return np.repeat(np.arange(20), sizes), rng.lognormal(3, 4, sizes.sum()) * rng.choice([-1, 1, 0], sizes.sum())


@pytest.mark.parametrize("seed", range(5))
def test_unit_sizes_and_bounds_move_by_one(seed: int, inputs: list[np.ndarray]) -> None:
    units, values = people(np.random.default_rng(seed))
    without = units != units.max()
    for mechanism in (UnitSizes(Geometric(1.0), (1, 2, 3, 5, 10)), PrivateBounds(Geometric(1.0), "x", 0.01)):
        inputs.clear()
        mechanism.measure(rows_of(values, units), Frozen())
        mechanism.measure(rows_of(values[without], units[without]), Frozen())
        assert inputs[0].sum() == 20 and inputs[1].sum() == 19  # each unit once
        assert np.abs(inputs[0] - inputs[1]).sum() == 1


def test_replay_finds_a_twin_that_counts_rows(inputs: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "one_row_each", lambda units, randomness: np.arange(len(units)))
    units = np.array([0, 1, 1, 1])
    for kept in (units >= 0, units < 1):
        PrivateBounds(Geometric(1.0), "x", 1.0).measure(rows_of(np.array([5, 6, 7, 8])[kept], units[kept]), Frozen())
    assert np.abs(inputs[0] - inputs[1]).sum() == 3


def test_row_count_moves_by_one(inputs: list[np.ndarray]) -> None:
    assert [RowCount(Geometric(1.0)).measure(rows_of(range(n)), Randomness()) for n in (7, 8, 0)] == [7, 8, 1]
    assert [int(seen[0]) for seen in inputs] == [7, 8, 0]


def test_categories_count_each_unit_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are read off the released set at every threshold."""
    rng = np.random.default_rng(2)
    units = np.repeat(np.arange(15), rng.integers(1, 6, 15))
    values = rng.choice(["a", "b", "c", "d"], len(units)).astype(object)
    values[units == 14] = "only mine"

    def tally(kept: np.ndarray) -> dict[str, int]:
        found: dict[str, int] = {}
        for threshold in range(16):
            monkeypatch.setattr(OpenCategories, "threshold", threshold)
            mechanism = OpenCategories(ThresholdedGaussian(1.0, 1e-3), "x")
            for value in mechanism.measure(rows_of(values[kept], units[kept]), Frozen()):
                found[value] = found.get(value, 0) + 1
        return found

    whole, less = tally(units >= 0), tally(units < 14)
    assert sum(whole.values()) == 15 and sum(less.values()) == 14
    assert {v: whole[v] - less.get(v, 0) for v in whole if whole[v] != less.get(v, 0)} == {"only mine": 1}


# --- thresholded selection --------------------------------------------------------------------------------------------


def survivors(mechanism: OpenCategories, singletons: int, repeats: int) -> int:
    rows = rows_of([f"person {i}" for i in range(singletons)])
    return sum(len(mechanism.measure(rows, Randomness())) for _ in range(repeats))


@pytest.mark.statistical
@pytest.mark.parametrize("sigma", [0.5, 3.0, 20.0])
def test_a_singleton_survives_with_at_most_delta(sigma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """False alarms: below 1e-7 each (a binomial quantile at delta itself). The twin that forgets the unit's own count
    of one, or whose threshold is a quarter sigma low, is found."""
    tries = 200_000
    mechanism = OpenCategories(ThresholdedGaussian(sigma, 0.01), "x")
    most = stats.binom.isf(1e-7, tries, 0.01)
    assert survivors(mechanism, 20_000, 10) <= most
    lower = mechanism.threshold - (1 if sigma < 4 else sigma / 4)
    monkeypatch.setattr(OpenCategories, "threshold", lower)
    assert survivors(mechanism, 20_000, 10) > most


def test_threshold_covers_delta_exactly() -> None:
    """P(1 + rounded noise > t) by the law of the noise, down to a delta of 1e-15."""
    for sigma in (0.3, 1.0, 10.0, 300.0):
        for delta in (1e-15, 1e-9, 1e-6, 1e-3, 0.01, 0.3):
            t = OpenCategories(ThresholdedGaussian(sigma, delta), "x").threshold
            passes = stats.norm.sf((t - 1 - LATTICE / 2) / sigma)  # rounding lifts by half a step at most
            assert 0.9 * delta <= passes <= delta


def test_common_values_come_out_sorted_rare_and_missing_ones_do_not() -> None:
    values = ["b"] * 500 + ["a"] * 500 + [None] * 500 + ["rare"]
    assert OpenCategories(ThresholdedGaussian(1.0, 1e-6), "x").measure(rows_of(values), Randomness()) == ["a", "b"]
    assert OpenCategories(ThresholdedGaussian(1.0, 1e-6), "x").measure(rows_of([None] * 9), Randomness()) == []
    assert OpenCategories(ThresholdedGaussian(1.0, 1e-6), "x").measure(rows_of([]), Randomness()) == []


def test_one_person_with_many_rows_stays_rare() -> None:
    values, units = ["mine"] * 1000 + ["a"] * 200, [0] * 1000 + list(range(1, 201))
    assert OpenCategories(ThresholdedGaussian(1.0, 1e-6), "x").measure(rows_of(values, units), Randomness()) == ["a"]


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.statistical
@pytest.mark.parametrize("low, high, step", [(0, 90, 1.0), (-500, 40_000, 0.01), (1e6, 2e6, 1.0), (-9, -3, 0.1)])
def test_bounds_are_found(low: float, high: float, step: float) -> None:
    """False alarms: below 1e-9. Three per cent of the people lie outside only if a bucket of 150 is missed, at a
    threshold of 12 and noise of parameter 1."""
    values = np.random.default_rng(1).uniform(low, high, 5000)
    found = PrivateBounds(Geometric(1.0), "x", step).measure(rows_of(values), Randomness())
    share = np.mean((values >= found[0] * step - step) & (values <= found[1] * step + step))
    assert share > 0.97


def too_wide(runs: int) -> int:
    """How often an empty bucket counts as in use: everybody has the value 5."""
    rows, mechanism = rows_of([5.0] * 60), PrivateBounds(Geometric(1.0), "x", 1.0)
    return sum(mechanism.measure(rows, Randomness()) != (4, 7) for _ in range(runs))


@pytest.mark.statistical
def test_empty_buckets_hardly_ever_count_as_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one run in a thousand, as the mechanism says. False alarms: below 1e-7. Half the threshold is seen."""
    most = stats.binom.isf(1e-7, 1000, 0.001)
    assert too_wide(1000) <= most
    monkeypatch.setattr(PrivateBounds, "threshold", PrivateBounds(Geometric(1.0), "x", 1.0).threshold / 2)
    assert too_wide(1000) > most


def test_an_outlier_moves_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """LEAKS 10: with the noise frozen, everything released is identical with and without one extreme person."""
    monkeypatch.setattr(counts, "geometric", lambda values, epsilon, randomness: np.array(values))
    values = np.random.default_rng(1).uniform(10, 90, 3000)
    mechanism = PrivateBounds(Geometric(1.0), "x", 1.0)
    plain = mechanism.measure(rows_of(values), Frozen())
    for outlier in (1e300, -1e300, np.inf, -np.inf, np.nan, 1e9):
        assert mechanism.measure(rows_of([*values, outlier]), Frozen()) == plain


@pytest.mark.parametrize("values", [[], [np.nan] * 60, [np.inf, -np.inf], [2.0**62, -(2.0**62)], [1e308] * 200, [0.0]])
def test_columns_without_use_still_give_a_range(values: list[float]) -> None:
    low, high = PrivateBounds(Geometric(0.5), "x", 1e-3).measure(rows_of(values), Randomness())
    assert isinstance(low, int) and isinstance(high, int) and low < high
    assert low >= -(2**62) and high <= 2**62 + 1


def test_unit_sizes_stand_in_their_strata(inputs: list[np.ndarray]) -> None:
    units = np.repeat(np.arange(5), [1, 1, 2, 4, 9])
    found = UnitSizes(Geometric(1.0), (1, 2, 3, 5)).measure(rows_of(units, units), Randomness())
    assert found.tolist() == [2, 1, 1, 1]
    empty = UnitSizes(Geometric(1.0), (1, 2)).measure(rows_of([]), Randomness())
    assert empty.tolist() == [0, 0]


def test_released_counts_are_not_negative() -> None:
    empty = rows_of([])
    found = [UnitSizes(Geometric(0.05), (1, 2, 3, 4)).measure(empty, Randomness()) for _ in range(20)]
    assert np.min(found) == 0 and np.max(found) > 0
    assert min(RowCount(Geometric(0.05)).measure(empty, Randomness()) for _ in range(20)) == 1
