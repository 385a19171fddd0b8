"""Utility figures against brute force, and tables that are hard to measure."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from privsynth.evidence import Utility
from privsynth.utility import measure
from privsynth.utility.association import cramers_v
from privsynth.utility.cells import Grid, Marked, marginal_distance, tvd
from privsynth.utility.histograms import MAX_BARS, histogram
from privsynth.utility.labels import day, short, year

KINDS = {"sex": "category", "place": "category", "age": "integer", "pay": "number", "day": "date", "ill": "category"}


def people(rows: int, seed: int, tilt: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    kind = rng.random(rows) < 0.4 + tilt
    frame = pd.DataFrame(
        {
            "sex": pd.Categorical.from_codes(rng.integers(0, 2, rows), ["F", "M"]),
            "place": pd.Categorical.from_codes(rng.integers(0, 4, rows) + kind, list("abcde")),
            "age": rng.normal(45 + 10 * kind, 15).round().clip(0, 99),
            "pay": np.where(rng.random(rows) < 0.3, 0.0, rng.lognormal(7 + kind, 1)),
            "day": (10957 + rng.integers(0, 3650, rows)).astype(float),
            "ill": pd.Categorical.from_codes((rng.random(rows) < 0.2 + 0.5 * kind).astype(int), ["no", "yes"]),
        }
    )
    frame.loc[rng.random(rows) < 0.1, "pay"] = np.nan
    frame.loc[rng.random(rows) < 0.05, "place"] = np.nan
    return frame


TRAIN, HOLDOUT, SYNTHETIC = people(2000, 1), people(1000, 2), people(1500, 3, tilt=0.2)


def run(synthetic: pd.DataFrame, train: pd.DataFrame, holdout: pd.DataFrame, **more: object) -> Utility:
    given = {"target": "ill", "kinds": KINDS, "groups": ["sex", "age"], "rng": np.random.default_rng(0)} | more
    return measure(synthetic, train, holdout, **given)


@pytest.fixture(scope="module")
def found() -> Utility:
    return run(SYNTHETIC, TRAIN, HOLDOUT)


def brute_cells(frame: pd.DataFrame, name: str) -> list[object]:
    """The definition of the benchmark, one value at a time."""
    if isinstance(TRAIN[name].dtype, pd.CategoricalDtype):
        return ["missing" if pd.isna(value) else value for value in frame[name]]
    edges = np.unique(np.nanquantile(TRAIN[name], np.linspace(0, 1, 21)[1:-1]))
    return ["missing" if np.isnan(value) else sum(value >= edge for edge in edges) for value in frame[name]]


def brute_tvd(ways: int) -> float:
    one, two = ({n: brute_cells(frame, n) for n in TRAIN} for frame in (SYNTHETIC, TRAIN))
    distances = []
    for names in itertools.combinations(TRAIN.columns, ways):
        counts = [
            pd.Series(list(zip(*(table[n] for n in names), strict=True))).value_counts(normalize=True)
            for table in (one, two)
        ]
        distances.append(0.5 * counts[0].sub(counts[1], fill_value=0).abs().sum())
    return float(np.mean(distances))


def test_distances_are_those_of_the_benchmark(found: Utility) -> None:
    for ways, value in ((1, found.tvd1), (2, found.tvd2), (3, found.tvd3)):
        assert value == pytest.approx(brute_tvd(ways), abs=1e-12)


def test_area_is_that_of_the_benchmark(found: Utility) -> None:
    def area(table: pd.DataFrame) -> float:
        model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0)
        with threadpool_limits(1, user_api="openmp"):
            model.fit(table.drop(columns="ill"), table["ill"])
            chance = model.predict_proba(HOLDOUT.drop(columns="ill"))[:, 1]
        return float(roc_auc_score(HOLDOUT["ill"] == "yes", chance))

    assert found.tstr_auc == pytest.approx(area(SYNTHETIC), abs=0.01)  # rows come in another order
    assert found.trtr_auc == pytest.approx(area(TRAIN), abs=0.01)


def test_seeded_triples_are_those_of_the_benchmark() -> None:
    rng = np.random.default_rng(5)
    one, two, sizes = rng.integers(0, 3, (12, 200)), rng.integers(0, 3, (12, 300)), [3] * 12
    sets = list(itertools.combinations(range(12), 3))
    chosen = [sets[i] for i in np.random.default_rng(0).choice(len(sets), 100, replace=False)]
    assert tvd(one, two, sizes, 3) == pytest.approx(np.mean([marginal_distance(one, two, sizes, c) for c in chosen]))


def test_huge_marginals_are_the_same_as_small_ones() -> None:
    rng = np.random.default_rng(6)
    one, two = rng.integers(0, 5, (3, 400)), rng.integers(0, 5, (3, 300))
    small = marginal_distance(one, two, [5, 5, 5], (0, 1, 2))
    assert marginal_distance(one, two, [3_000_000] * 3, (0, 1, 2)) == pytest.approx(small)


def test_the_same_table_is_at_no_distance() -> None:
    same = run(TRAIN, TRAIN, HOLDOUT)
    assert same.tvd1 == same.tvd2 == same.tvd3 == 0
    assert same.column_shapes == 1.0
    assert same.tstr_auc == pytest.approx(same.trtr_auc)
    assert all(group.tvd1 == 0 for group in same.groups)


def test_columns_are_readable(found: Utility) -> None:
    assert [c.name for c in found.columns] == list(TRAIN.columns)
    for column in found.columns:
        assert len(column.labels) == len(column.synthetic) == len(column.reference) <= MAX_BARS
        assert len(set(column.labels)) == len(column.labels)
        assert sum(column.synthetic) == pytest.approx(1, abs=1e-4)
        assert sum(column.reference) == pytest.approx(1, abs=1e-4)
        assert column.reference_name == "real"
    labels = {c.name: c.labels for c in found.columns}
    assert "20–24" in labels["age"] and labels["age"][0].startswith("< ")
    assert labels["pay"][-1] == "missing"
    assert labels["day"][1] == "2001" and labels["day"][0] == "before 2001"
    assert found.tvd1 == pytest.approx(np.mean([c.tvd for c in found.columns]))


def test_many_categories_fold_into_other() -> None:
    names = [f"v{i}" for i in range(60)]
    codes = np.minimum(np.random.default_rng(0).geometric(0.1, 3000) - 1, 59)
    column = pd.Series(pd.Categorical.from_codes(codes, names))
    bars = histogram("x", "category", column, column, 0.0)
    assert len(bars.labels) <= MAX_BARS and bars.labels[-1] == "other" and bars.labels[0] == "v0"


@pytest.mark.parametrize(
    "values", [[5.0], [], [np.nan], [1, 2], [0.0] * 999 + [7.0], [1e9, 2e9], [-3.5, 1e-7], range(90)]
)
@pytest.mark.parametrize("kind", ["number", "date", "datetime", "time", "duration"])
def test_odd_columns_have_bars(values: list[float], kind: str) -> None:
    column = pd.Series(np.array(values, float))
    column = column.clip(-1e5, 1e5) if kind == "date" else column.clip(-1e9, 1e9)
    bars = histogram("x", kind, column, column, 0.0)
    assert 1 <= len(bars.labels) <= MAX_BARS
    assert bars.synthetic == bars.reference


def test_days_within_two_years_are_dates() -> None:
    column = pd.Series(np.arange(18262.0, 18262 + 200))
    labels = histogram("x", "date", column, column, 0.0).labels
    assert labels[0].startswith("before 2020-01-") and " to 2020-" in labels[1]


@pytest.mark.parametrize(("kind", "seconds", "labels"), [
    ("datetime", np.arange(0, 4_000) * 86_400 * 0.5, ["before 1971", "1975 or later"]),
    ("time", np.arange(0, 86_400, 60), ["< 02:00", "≥ 22:00"]),
    ("duration", [0, 90, 3_600], ["00:00", "01:00"]),
    ("duration", np.arange(0, 60) * 86_400, ["< 120:00", "≥ 1320:00"]),
])  # fmt: skip
def test_moments_times_and_durations_are_labelled_as_such(kind: str, seconds: object, labels: list[str]) -> None:
    """They were labelled in seconds, moments since 1970: 1,615,000,000."""
    column = pd.Series(np.array(seconds, float))
    found = histogram("x", kind, column, column, 0.0)
    assert [found.labels[0], found.labels[-1]] == labels and sum(found.synthetic) == pytest.approx(1, abs=1e-5)


def test_texts_in_place_of_numbers_are_values_of_their_own() -> None:
    """A synthetic table with one in place of the other had a distance of 0 from the real one, since both are no numbers."""
    numbers = pd.DataFrame({"x": [*range(60), *[np.nan] * 40]}, dtype=float)
    real = np.array([-1] * 60 + [0] * 30 + [1] * 9 + [-2], np.int8)
    swapped = np.where(real >= 0, 1 - real, real).astype(np.int8)
    marked = Marked({"x": ("<0.6", "-8")}, {"x": swapped}, {"x": real})
    found = run(numbers, numbers, numbers, target=None, kinds={"x": "number"}, groups=[], marked=marked)
    assert found.tvd1 == pytest.approx(0.21) and found.columns[0].tvd == pytest.approx(0.21)
    bars = found.columns[0]
    assert bars.labels[-3:] == ["<0.6", "-8", "missing"]
    assert bars.synthetic[-3:] == [0.09, 0.3, 0.01] and bars.reference[-3:] == [0.3, 0.09, 0.01]


def test_numbers_and_dates_as_text() -> None:
    assert (short(-1234.5), short(0.0), short(20000000.0)) == ("−1,234.5", "0", "20,000,000")
    assert (day(0), year(-1), year(11000.5)) == ("1970-01-01", 1969, 2000)


def test_correlations(found: Utility) -> None:
    matrices = found.correlations
    for name in ("synthetic", "reference"):
        matrix = np.array(matrices[name])
        assert matrix.shape == (6, 6) and np.allclose(matrix, matrix.T) and (np.diag(matrix) == 1).all()
        assert (np.abs(matrix) <= 1).all()
    one = np.random.default_rng(0).integers(0, 4, 5000)
    assert cramers_v(one, one, 5, 5) == pytest.approx(1.0)
    assert cramers_v(one, np.roll(one, 1), 5, 5) < 0.05


def test_subgroups(found: Utility) -> None:
    names = [group.group for group in found.groups]
    assert names[:2] == ["sex = F", "sex = M"] and len(names) <= 12
    assert all(group.rows_real >= 50 and 0 <= group.tvd1 <= 1 for group in found.groups)
    women = run(SYNTHETIC[SYNTHETIC["sex"] == "F"], TRAIN, HOLDOUT)
    assert next(group for group in women.groups if group.group == "sex = M").tvd1 is None


def test_sdmetrics_works_for_real(found: Utility) -> None:
    assert 0.7 < found.column_shapes < 1 and 0.7 < found.column_pair_trends <= 1


def test_targets_of_all_kinds() -> None:
    number = run(SYNTHETIC, TRAIN, HOLDOUT, target="age")
    assert 0.5 < number.tstr_auc <= number.trtr_auc + 0.1
    assert run(SYNTHETIC, TRAIN, HOLDOUT, target=None).tstr_auc is None
    many = [
        f.assign(ill=pd.Categorical.from_codes(np.arange(len(f)) % 30, range(30))) for f in (SYNTHETIC, TRAIN, HOLDOUT)
    ]
    assert run(*many).tstr_auc is None
    one_class = SYNTHETIC[SYNTHETIC["ill"] == "no"]
    assert run(one_class, TRAIN, HOLDOUT).tstr_auc == 0.5
    three = run(SYNTHETIC, TRAIN, HOLDOUT, target="place")
    assert 0.4 < three.tstr_auc < 1


def test_empty_constant_and_tiny_tables() -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        empty = pd.Categorical([np.nan] * len(frame), categories=list("abcde"))
        return frame.assign(pay=np.nan, age=7.0, place=empty)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = run(spoil(SYNTHETIC), spoil(TRAIN), spoil(HOLDOUT))
        assert figures.tvd1 is not None and figures.column_shapes is not None
        few = run(SYNTHETIC.iloc[:2], TRAIN.iloc[:3], HOLDOUT.iloc[:0])
    assert few.tstr_auc is None and few.groups == []
    alone = run(SYNTHETIC[["ill"]], TRAIN[["ill"]], HOLDOUT[["ill"]])
    assert alone.tvd2 is None and alone.tstr_auc is None and alone.tvd1 is not None
    Utility.model_validate_json(figures.model_dump_json())
    assert "NaN" not in str(few.model_dump_json())


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="synthetic table does not have the columns"):
        run(SYNTHETIC[["age"]], TRAIN, HOLDOUT)
    with pytest.raises(ValueError, match="without rows"):
        run(SYNTHETIC.iloc[:0], TRAIN, HOLDOUT)


def test_same_seed_same_figures(found: Utility) -> None:
    assert run(SYNTHETIC, TRAIN, HOLDOUT) == found


def test_grid_puts_unknown_and_extreme_values_somewhere() -> None:
    grid = Grid.fit(TRAIN)
    odd = TRAIN.iloc[:3].assign(age=[-1e9, 1e9, np.nan])
    cells = grid.encode(odd)[2]
    assert cells.tolist() == [0, grid.sizes[2] - 2, grid.sizes[2] - 1]


def test_progress_ends_at_one() -> None:
    shares: list[float] = []
    run(SYNTHETIC, TRAIN, HOLDOUT, progress=lambda name, share: shares.append(share))
    assert shares[0] == 0 and shares[-1] == 1 and shares == sorted(shares)
