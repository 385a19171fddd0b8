"""Public cells and codes: what goes in comes back in the same cell, and every declared rule holds on the way out."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.encoding.bins import MAX_BINS, bin_cells, marks_apart
from privsynth.encoding.codec import Codec
from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.domain import OTHER, STRATUM, ColumnDomain, Domain, _with_clocks, _with_gaps, strata
from privsynth.encoding.grids import FEW, Intervals, number_edges
from privsynth.encoding.histograms import to_simplex
from privsynth.policy import Policy
from privsynth.privacy.unit import Rows
from privsynth.table.names import state_of
from privsynth.table.raw import BLANK, NOT_ALLOWED, REGULAR

FIXED = settings(max_examples=60, deadline=None)
bounds = st.tuples(st.integers(-(10**9), 10**9), st.integers(1, 10**9)).map(lambda pair: (pair[0], pair[0] + pair[1]))


# --- grid ------------------------------------------------------------------------------------------------------------


@FIXED
@given(bounds)
def test_grid_rises_in_whole_numbers_and_covers_the_bounds(pair: tuple[int, int]) -> None:
    low, high = pair
    edges = number_edges(low, high)
    assert edges.dtype == np.int64 and (np.diff(edges) > 0).all()
    assert edges[0] == low and edges[-1] == high + 1
    assert high in edges and len(edges) < 4500


@pytest.mark.parametrize(("low", "high"), [(0, FEW), (-5, 5), (7, 7 + FEW)])
def test_few_steps_have_a_cell_each(low: int, high: int) -> None:
    assert number_edges(low, high).tolist() == list(range(low, high + 2))


def test_round_numbers_are_cells_of_their_own() -> None:
    edges = number_edges(-100_000, 100_000)
    for spike in (-99_000, -1000, -500, -1, 0, 1, 10, 500, 1000, 2500, 99_000):
        assert spike in edges and spike + 1 in edges, spike
    assert 1234 not in edges
    ratio = edges[edges > 100][1:] / edges[edges > 100][:-1]
    assert ratio.max() <= 1.1, "two significant digits: no cell is wider than a tenth of its value"


def test_grid_at_the_ends_of_what_a_policy_may_say() -> None:
    edges = number_edges(-(2**53), 2**53)
    assert (np.diff(edges) > 0).all() and len(edges) < 12_000


# --- bins ------------------------------------------------------------------------------------------------------------

shares = st.lists(st.floats(0, 1), min_size=1, max_size=300).map(np.array).map(lambda v: (v + 1e-9) / (v + 1e-9).sum())


@FIXED
@given(shares)
def test_bins_are_runs_without_gaps(share: np.ndarray) -> None:
    bins = bin_cells(share)
    assert len(bins) == len(share) and bins[0] == 0 and set(np.diff(bins)) <= {0, 1}
    mass = np.bincount(bins, share)
    shared = np.bincount(bins) > 1
    assert not shared.any() or mass[shared].max() <= 1.001 / MAX_BINS + 1e-6, "only a cell that stands alone is larger"
    assert bins.max() + 1 <= 4 * MAX_BINS + 40


def test_spikes_stand_alone() -> None:
    share = np.full(101, 0.5 / 100)
    share[40] = 0.5
    bins = bin_cells(share)
    assert (bins == bins[40]).sum() == 1 and 10 < bins.max() < 60


@FIXED
@given(st.lists(st.floats(-2, 2), min_size=1, max_size=50))
def test_to_simplex(values: list[float]) -> None:
    found = to_simplex(np.array(values))
    assert (found >= 0).all() and found.sum() == pytest.approx(1)
    order = np.argsort(values)
    assert (np.diff(found[order]) >= -1e-12).all(), "a larger value never gets the smaller share"
    assert to_simplex(found) == pytest.approx(found), "what lies on the simplex stays"


@FIXED
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6), st.integers(0, 99))
def test_to_simplex_is_the_nearest_point(values: list[float], seed: int) -> None:
    found = to_simplex(np.array(values))
    other = np.random.default_rng(seed).dirichlet(np.ones(len(values)))
    assert np.linalg.norm(found - values) <= np.linalg.norm(other - values) + 1e-9


# --- columns through cells and codes ---------------------------------------------------------------------------------


def codec_of(*columns: ColumnDomain, rough: bool = False) -> Codec:
    """Every cell is a bin of its own, or neighbours share bins."""
    parts = []
    for column in columns:
        density = np.full(column.cells + 1, 1 / (column.cells + 1))
        regular = column.regular
        bins = bin_cells(density[:regular]) if rough and not column.categorical else np.arange(regular)
        bins = np.append(bins, bins.max() + 1 + np.arange(len(column.marks)))
        bins = np.append(bins, bins.max() + 1).astype(np.int32)
        raw = np.bincount(bins, density)
        parts.append(ColumnCodec(column, bins, density, raw, np.zeros(len(raw))))
    return Codec(Domain(columns, None), tuple(parts), 1.0)


def there_and_back(codec: Codec, frame: pd.DataFrame, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame, np.ndarray]:
    """(codes, decoded rows, codes of the decoded rows)."""
    rows = Rows(frame, np.arange(len(frame)))
    codes = codec.encode(rows).values
    back = codec.decode(codes, np.random.default_rng(seed))
    return codes, back, codec.encode(Rows(back, rows.units)).values


@st.composite
def numeric_columns(draw: st.DrawFn) -> tuple[ColumnDomain, pd.DataFrame]:
    kind = draw(st.sampled_from(["integer", "number", "date", "time", "duration"]))
    low, high = draw(bounds)
    step = 10.0 ** -draw(st.integers(0, 3)) if kind == "number" else 1.0
    if kind in ("time", "duration"):
        step = draw(st.sampled_from([1.0, 60.0, 3600.0]))
    if kind == "date":
        low, high = 10_957, draw(st.integers(10_958, 20_000))
    elif kind == "time":
        low, high = 0, int(86_400 / step) - 1
    in_units = draw(
        st.lists(st.one_of(st.none(), st.integers(low, high), st.sampled_from([low, high])), min_size=1, max_size=30)
    )
    values = [np.nan if s is None else round(s * step, 3) for s in in_units]
    spikes = tuple(draw(st.lists(st.integers(low, high), max_size=3)))
    cuts = tuple(draw(st.lists(st.integers(low, high), max_size=3)))
    return ColumnDomain("x", kind, (), low, high, step, cuts=cuts, spikes=spikes), pd.DataFrame(
        {"x": np.array(values, float)}
    )


@FIXED
@given(numeric_columns(), st.booleans())
def test_numbers_come_back_in_their_cell(made: tuple[ColumnDomain, pd.DataFrame], rough: bool) -> None:
    column, frame = made
    codes, back, again = there_and_back(codec_of(column, rough=rough), frame)
    assert (codes == again).all()
    assert (back["x"].isna() == frame["x"].isna()).all()
    known = back["x"].dropna()
    low, high = (round(end * column.step, 3) for end in (column.low, column.high))  # 231563747 * 0.1 is 4e-9 more
    assert (known >= low - 1e-9).all() and (known <= high + 1e-9).all()
    assert np.allclose(known / column.step, np.round(known / column.step), atol=1e-4), "whole grid units"
    if column.high - column.low <= FEW and not rough:
        assert np.allclose(back["x"], frame["x"], equal_nan=True, atol=1e-9)


@FIXED
@given(st.lists(st.sampled_from(["a", "b", 'ä, "x"', None]), min_size=1, max_size=40))
def test_categories_come_back(values: list[Any]) -> None:
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    codes, back, _ = there_and_back(codec_of(ColumnDomain("x", "category", ("a", "b", 'ä, "x"'))), frame)
    assert [None if v is None else v for v in back["x"]] == values and codes.max() <= 3


def test_shares_are_a_distribution_and_noise_invents_no_missing() -> None:
    bins, inside = np.array([0, 1, 1, 2], np.int32), np.array([0.2, 0.1, 0.3, 0.4])
    raw, noise = np.array([0.45, 0.5, 0.05]), np.full(3, 0.02)
    nullable, never = (ColumnDomain("x", "integer", (), 0, 2, nullable=n) for n in (True, False))
    for column, spread, missing in ((nullable, noise, False), (never, noise / 10, False), (nullable, noise / 10, True)):
        codec = ColumnCodec.of(column, bins, inside, raw, spread)
        assert codec.shares.sum() == pytest.approx(1) == codec.density.sum() and (codec.density >= 0).all()
        assert (codec.shares[-1] > 0) == missing
        assert codec.density[2] / codec.density[1] == pytest.approx(3), "the density inside a code stays"


def test_categories_that_were_not_released_fold_into_other() -> None:
    frame = pd.DataFrame({"x": ["a", "rare", None, OTHER]})
    codes, back, _ = there_and_back(codec_of(ColumnDomain("x", "category", ("a", OTHER))), frame)
    assert back["x"].tolist() == ["a", OTHER, None, OTHER] and codes[:, 0].tolist() == [0, 1, 2, 1]
    codes, back, _ = there_and_back(codec_of(ColumnDomain("x", "category", ("a", "b"))), frame)
    assert back["x"].tolist() == ["a", None, None, None], "closed categories have no such cell"


@pytest.mark.parametrize("column", [
    ColumnDomain("x", "category", ("a", "b"), nullable=False), ColumnDomain("x", "integer", (), 0, 1, nullable=False)
], ids=["category", "integer"])  # fmt: skip
def test_a_blank_cell_where_none_should_be_is_no_value_and_is_not_made(column: ColumnDomain) -> None:
    """It was counted as the first value before. Its code has no share, and trainers draw codes with a share alone; what they
    make is tested in `test_kinds.py`."""
    values = ["a", None, "b"] if column.categorical else [0.0, np.nan, 1.0]
    codes, _, _ = there_and_back(codec_of(column), pd.DataFrame({"x": values}))
    assert codes[:, 0].tolist() == [0, 2, 1]
    made = ColumnCodec.of(column, np.arange(3), np.full(3, 1 / 3), np.array([0.4, 0.3, 0.3]), np.full(3, 1e-6))
    assert made.shares.tolist() == pytest.approx([4 / 7, 3 / 7, 0])


# --- marks -----------------------------------------------------------------------------------------------------------

MARKED = [
    ColumnDomain("x", "category", ("a", "b"), marks=("?", "-9")),
    ColumnDomain("x", "boolean", ("no", "yes"), marks=("?", "-9")),
    ColumnDomain("x", "integer", (), 0, 5, marks=("<0.6", "90+")),
    ColumnDomain("x", "number", (), 0, 90_000, 0.1, marks=("<0.6", "90+")),
    ColumnDomain("x", "date", (), 0, 9_000, marks=("?", "0000-00-00")),
    ColumnDomain("x", "duration", (), -50, 9_000, marks=("?", "never")),
]


@pytest.mark.parametrize("column", MARKED, ids=lambda column: column.kind)
def test_marks_and_the_blank_cell_are_each_a_value_of_their_own(column: ColumnDomain) -> None:
    codec = codec_of(column)
    if column.categorical:
        frame = pd.DataFrame({"x": pd.Series(["?", "-9", None, *column.categories], dtype=object)})
    else:
        states = np.array([0, 1, BLANK, REGULAR, REGULAR, NOT_ALLOWED], np.int8)
        low, high = (end * column.step for end in (column.low, column.high))
        values = np.array([np.nan, np.nan, np.nan, low, high, np.nan])
        frame = pd.DataFrame({"x": values, state_of("x"): states})
    codes, back, again = there_and_back(codec, frame)
    size, regular = codec.sizes[0], column.regular
    assert codes[:3, 0].tolist() == [regular, regular + 1, size - 1] and (codes == again).all()
    assert (codes[3:5, 0] < regular).all()
    if column.categorical:
        assert back["x"].tolist() == ["?", "-9", None, *column.categories]
    else:
        assert codes[5, 0] == size - 1, "what could not be used is as a blank cell"
        assert back[state_of("x")].tolist() == [0, 1, BLANK, REGULAR, REGULAR, BLANK]
        assert back["x"].isna().tolist() == [True, True, True, False, False, True]
        assert np.allclose(back["x"][3:5], values[3:5])


def test_a_mark_is_a_value_only_where_the_column_declares_it() -> None:
    frame = pd.DataFrame({"x": pd.Series(["a", "?", None], dtype=object)})
    _, back, _ = there_and_back(codec_of(ColumnDomain("x", "category", ("a", OTHER))), frame)
    assert back["x"].tolist() == ["a", OTHER, None]


def test_marks_that_are_no_more_than_noise_are_drawn_as_blank() -> None:
    assert marks_apart(np.array([0.2, 0.001, 0.1]), 0.01).tolist() == [0, 1, 1]
    assert marks_apart(np.array([0.001, 0.002, 0.1]), 0.01).tolist() == [0, 0, 0]
    assert marks_apart(np.array([0.0]), 0.01).tolist() == [0], "a column without marks"
    assert marks_apart(np.array([0.001, 0.002, 0.1]), 0.01, few=True).tolist() == [0, 1, 2], "pairs tell more of them"


def test_a_mark_that_noise_explains_counts_as_blank_and_comes_back_with_a_better_estimate() -> None:
    """Codes 1 and 2 are those of marks, of which the last was merged with the blank cell, code 3."""
    column = ColumnDomain("x", "integer", (), 0, 0, marks=("-7", "-8", "-9"))
    bins, inside = np.array([0, 1, 2, 3, 3], np.int32), np.array([0.9, 0.04, 0.05, 0.03, 0.01])
    raw = np.array([0.87, 0.04, 0.05, 0.04])
    rough = ColumnCodec.of(column, bins, inside, raw, np.full(4, 0.03))
    assert rough.density[1] == rough.density[2] == 0 and rough.shares == pytest.approx([1, 0, 0, 0]), (
        "all of it may be noise"
    )
    pooled = ColumnCodec.of(column, bins, inside, raw, np.full(4, 0.018))
    assert pooled.shares == pytest.approx([0.87, 0, 0, 0.13]), "together they are more than noise"
    fine = rough.with_shares(raw, np.full(4, 0.001))
    assert fine.shares == pytest.approx(raw) and fine.density[3] / fine.density[4] == pytest.approx(3), "not evenly"


# --- datetimes -------------------------------------------------------------------------------------------------------


def moments(low: str, high: str, step: float = 1.0, **more: Any) -> tuple[ColumnDomain, ...]:
    ends = (round((datetime.fromisoformat(end) - datetime(1970, 1, 1)).total_seconds() / step) for end in (low, high))
    return tuple(_with_clocks([ColumnDomain("x", "datetime", (), *ends, step, **more)]))


@pytest.mark.parametrize("step", [1e-6, 1.0, 60.0, 3600.0])
def test_a_datetime_is_stored_as_its_day_and_its_time(step: float) -> None:
    columns = moments("1969-12-01", "1970-03-01", step, marks=("?",))
    assert [(c.name, c.kind, c.clock_of) for c in columns] == [
        ("x", "datetime", None), ("__clock of x__", "time", "x"),
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    units = rng.integers(columns[0].low, columns[0].high, 300)
    values = np.array([*(units * step), np.nan, np.nan])
    frame = pd.DataFrame({"x": values, state_of("x"): np.array([REGULAR] * 300 + [BLANK, 0], np.int8)})
    codec = codec_of(*columns)
    codes, back, again = there_and_back(codec, frame)
    assert (codes == again).all() and list(back) == ["x", state_of("x")], "the clock is no column of its own"
    assert back["x"].isna().tolist() == [False] * 300 + [True, True]
    assert (np.floor(back["x"][:300] / 86_400) == np.floor(values[:300] / 86_400)).all(), "the day stays"
    assert back[state_of("x")].tolist() == frame[state_of("x")].tolist()
    inside = np.abs(np.mod(back["x"][:300], 86_400) - np.mod(values[:300], 86_400))
    assert (inside < 1800).all(), "each half hour has cells of its own"


def test_a_clock_without_a_day_moves_nothing_and_a_day_without_one_gets_a_time_of_the_column() -> None:
    """A model may draw a day without a time, and a time without a day: such days were midnights, which nobody had."""
    codec = codec_of(*moments("1970-01-01", "1970-01-10"))
    day, clock = codec.sizes
    back = codec.decode(np.array([[3, clock - 1]] * 200 + [[day - 1, 5]]), np.random.default_rng(0))["x"]
    assert (back[:200] // 86_400 == 3).all() and np.isnan(back[200])
    assert back[:200].nunique() > 100, "the codec's shares are even over its cells"


def test_values_outside_go_to_the_end_cells() -> None:
    column = ColumnDomain("x", "integer", (), 0, 9)
    codes, back, _ = there_and_back(codec_of(column), pd.DataFrame({"x": [-50.0, 50.0, 0.0, 9.0]}))
    assert codes[:, 0].tolist() == [0, 9, 0, 9] and back["x"].tolist() == [0, 9, 0, 9]


def test_each_row_is_encoded_by_itself() -> None:
    columns = (ColumnDomain("a", "integer", (), 0, 1000), ColumnDomain("b", "integer", (), 0, 1000, gap_from="a"))
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.integers(0, 1000, 50).astype(float), "b": rng.integers(0, 1000, 50).astype(float)})
    codec = codec_of(*columns)
    whole = codec.encode(Rows(frame, np.arange(50))).values
    alone = [codec.encode(Rows(frame[i : i + 1].reset_index(drop=True), np.arange(1))).values[0] for i in range(50)]
    assert (whole == np.array(alone)).all()


def test_stratum_is_the_size_of_the_own_unit() -> None:
    lowest = strata(10)
    assert lowest == (1, 2, 3, 4, 5, 7, 10)
    domain = Domain(
        (
            ColumnDomain("x", "integer", (), 0, 9),
            ColumnDomain(STRATUM, "category", tuple(map(str, lowest)), nullable=False),
        ),
        None,
    )
    units = np.repeat([3, 5, 8, 9], [1, 2, 6, 10])
    cells = domain.encode(Rows(pd.DataFrame({"x": np.zeros(19)}), units)).values[:, 1]
    assert [sorted(set(cells[units == u])) for u in (3, 5, 8, 9)] == [[0], [1], [4], [6]]
    assert domain.encode(Rows(pd.DataFrame({"x": np.zeros(0)}), np.zeros(0, np.int64))).values.shape == (0, 2)


def test_encoding_keeps_units_and_the_order_of_rows() -> None:
    codec = codec_of(ColumnDomain("x", "integer", (), 0, 9))
    units = np.array([4, 4, 7, 9])
    for encoder in (codec.domain, codec):
        found = encoder.encode(Rows(pd.DataFrame({"x": [3.0, 1.0, np.nan, 99.0]}), units))
        assert found.units.tolist() == units.tolist() and found.values[:, 0].tolist() == [3, 1, 10, 9]
        assert found.values.dtype == np.int32


# --- gaps ------------------------------------------------------------------------------------------------------------


@FIXED
@given(st.integers(0, 1), st.booleans(), st.integers(0, 2**32), st.sampled_from([1.0, 0.01]))
def test_gaps_keep_the_inequality_whatever_the_codes(strict: int, rough: bool, seed: int, step: float) -> None:
    """Codes drawn at random, as a bad model would give them: the rule holds all the same, through a chain too."""
    columns = (
        ColumnDomain("c", "number", (), 0, 900, step, gap_from="b", least_gap=strict),
        ColumnDomain("a", "number", (), 0, 1000, step),
        ColumnDomain("b", "number", (), 0, 800, step, gap_from="a", least_gap=strict),
    )
    codec, rng = codec_of(*columns, rough=rough), np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, size, 200) for size in codec.sizes], 1)
    back = codec.decode(codes, rng)
    assert list(back) == ["c", "a", "b"]
    for small, large in (("a", "b"), ("b", "c")):
        both = back[small].notna() & back[large].notna()
        assert both.any() and (back[large][both] >= back[small][both] + (step * strict) * 0.999).all()
        assert back[large][back[small].isna()].isna().all()


@FIXED
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=30))
def test_gaps_come_back(pairs: list[tuple[int, int]]) -> None:
    frame = pd.DataFrame([(float(min(p)), float(max(p))) for p in pairs], columns=["a", "b"])
    columns = (ColumnDomain("a", "integer", (), 0, 300), ColumnDomain("b", "integer", (), 0, 300, gap_from="a"))
    codes, back, again = there_and_back(codec_of(*columns), frame)
    assert back.equals(frame) and (codes == again).all()


def test_which_rules_are_stored_as_gaps(clinic_text: str) -> None:
    """Only where both columns span much the same, and never where a gap would lose a value that is always there."""

    def gap_of(text: str, a_null: bool = True, b_null: bool = True) -> str | None:
        columns = [
            ColumnDomain("admitted", "date", (), 16436, 20088, nullable=a_null),
            ColumnDomain("discharged", "date", (), 16436, 20088, nullable=b_null),
        ]
        for name, null in (("admitted", a_null), ("discharged", b_null)):
            text = text.replace(f"{name}: {{kind: date", f"{name}: {{nullable: {str(null).lower()}, kind: date")
        return _with_gaps(columns, Policy.from_text(text).knowledge)[1].gap_from

    assert gap_of(clinic_text) == gap_of(clinic_text, False, False) == gap_of(clinic_text, False, True) == "admitted"
    assert gap_of(clinic_text, True, False) is None
    wide = [ColumnDomain("admitted", "date", (), 16436, 20088), ColumnDomain("discharged", "date", (), -30_000, 20088)]
    assert all(column.gap_from is None for column in _with_gaps(wide, Policy.from_text(clinic_text).knowledge))


def test_strict_rules_need_a_gap_of_one_step(clinic_text: str) -> None:
    columns = [ColumnDomain("admitted", "date", (), 0, 99), ColumnDomain("discharged", "date", (), 5, 99)]
    found = _with_gaps(columns, Policy.from_text(clinic_text.replace('"<="', '"<"')).knowledge)[1]
    assert (found.gap_from, found.least_gap, found.low) == ("admitted", 1, 0)
    assert isinstance(found.grid, Intervals) and found.grid.edges[0] == 1, "days between, not days of a calendar"


def test_domain_survives_json() -> None:
    domain = Domain(
        (
            ColumnDomain("a", "category", ("x", "y")),
            ColumnDomain("b", "number", (), -5, 5, 0.1, False, "a", 1, "measured"),
            ColumnDomain("c", "datetime", low=0, high=10**6, marks=("?", "9999-12-31"), cuts=(5, 86_400), spikes=(7,)),
            ColumnDomain("d", "time", high=86_399, clock_of="c"),
            ColumnDomain("e", "boolean", ("no", "yes"), marks=("-9",)),
        ),
        12,
        (0.5, 0.5),
    )
    assert (
        Domain.from_json(json.loads(json.dumps(domain.to_json()))) == domain
        and domain.stratified
        and domain["b"].low == -5
    )


@pytest.mark.parametrize(
    ("entry", "places"),
    [
        ("{kind: number, bounds: [0, 300], decimals: 1}", 1),
        ("{kind: number, bounds: [0, 1]}", 4),
        ("{kind: number, bounds: [0, 1000000]}", 4),
        ("{kind: number, bounds: [-1e14, 0]}", 1),
        ("{kind: number, bounds: [0, 1000000], decimals: 0}", 0),
        ("{kind: number, bounds: [0, 0.001]}", 7),
        ("{kind: number, bounds: private}", 4),
        ("{kind: integer, bounds: [0, 9]}", 0),
    ],
)
def test_decimal_places(clinic_text: str, entry: str, places: int) -> None:
    policy = Policy.from_text(clinic_text.replace("{kind: number, bounds: [0, 300], decimals: 1}", entry))
    assert policy.model.columns["weight"].places == places
