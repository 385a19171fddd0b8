"""Public cells: every value lies in one of them, each holds as many values as it says, and none reaches across a cut."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.encoding.grids import (
    FEW,
    GRANULES,
    KINDS_OF_DAYS,
    NEAR,
    Calendar,
    Granular,
    Grid,
    Intervals,
    clock_edges,
    date_edges,
    grid_of,
    kind_of_days,
    number_edges,
    span_edges,
    with_edges,
)  # fmt: skip
from privsynth.policy.column import EPOCH
from privsynth.policy.moments import DAY

FIXED = settings(max_examples=150, deadline=None)
FIRST, LAST = 1 - EPOCH, date.max.toordinal() - EPOCH  # days since 1970 of the years 1 and 9999
STEPS = (1e-6, 1.0, 60.0, 3600.0)
ALL = 3_000  # values up to which each is looked at


def day(text: str) -> int:
    return date.fromisoformat(text).toordinal() - EPOCH


class Bounds(NamedTuple):
    """kind, bounds and public values of a column, in grid units of `step`."""

    kind: str
    low: int
    high: int
    step: float
    cuts: tuple[int, ...]
    spikes: tuple[int, ...]

    @property
    def grid(self) -> Grid:
        return grid_of(*self)


@st.composite
def columns(draw: st.DrawFn, widest: int | None = None) -> Bounds:
    """Any column that a policy may declare. widest: how far apart its bounds are at most, and then within 2^52: beyond, a
    place inside a cell is no exact number."""
    kind = draw(st.sampled_from(["integer", "number", "date", "datetime", "time", "duration"]))
    step = draw(st.sampled_from(STEPS)) if kind in ("time", "duration") else 1.0
    end = 2**53 - 1 if widest is None else 2**52
    least, most = {
        "date": (FIRST, LAST), "datetime": (FIRST, LAST), "time": (0, round(DAY / step) - 1),
    }.get(kind, (-end, end))  # fmt: skip
    low = draw(st.one_of(st.integers(least, most - 1), st.integers(max(least, -5_000), min(most - 1, 5_000))))
    furthest = most if widest is None else min(most, low + widest)
    high = draw(st.one_of(st.integers(low + 1, furthest), st.integers(low + 1, min(low + 2 * FEW, furthest))))
    inside = st.lists(st.one_of(st.integers(low, high), st.sampled_from([low, high])), max_size=6).map(tuple)
    return Bounds(kind, low, high, step, draw(inside), draw(inside))


def values_of(made: Bounds, seed: int = 0) -> np.ndarray:
    """All values between the bounds; of many, those at edges, beside them and at random."""
    if made.high - made.low <= ALL:
        return np.arange(made.low, made.high + 1, dtype=np.int64)
    rng = np.random.default_rng(seed)
    own = np.array([made.low, made.high, *made.cuts, *made.spikes, 0, *GRANULES], np.int64)
    grid = made.grid
    edges = grid.edges  # type: ignore[attr-defined]  # all three have them
    near = np.concatenate([edges, edges - 1, edges + 1, own, own - 1, own + 1, rng.integers(made.low, made.high, 500)])
    return np.unique(near[(near >= made.low) & (near <= made.high)])


# --- all grids --------------------------------------------------------------------------------------------------------


@FIXED
@given(columns(widest=ALL))
def test_cells_share_the_values_out_exactly(made: Bounds) -> None:
    """Of a short range each value is looked at: it is in one cell, and that cell gives it back."""
    grid, values = made.grid, values_of(made)
    cells = grid.cell_of(values.astype(float))
    assert (grid.widths == np.bincount(cells, minlength=len(grid.widths))).all() and (grid.widths >= 1).all()
    assert len(grid.widths) == len(grid.kinds) == len(grid.starts) == len(grid.far)
    numbered = np.repeat(np.arange(len(grid.widths)), grid.widths)
    place = np.concatenate([(np.arange(width) + 0.5) / width for width in grid.widths])
    given_back = grid.value_at(numbered, place)
    assert (np.sort(given_back) == values).all(), "each value once"
    assert (grid.cell_of(given_back) == numbered).all()


@FIXED
@given(columns(), st.integers(0, 2**32 - 1))
def test_a_value_comes_back_in_its_cell(made: Bounds, seed: int) -> None:
    """Over the whole calendar, microseconds and 2^53 on both sides of zero too."""
    grid, values = made.grid, values_of(made, seed)
    cells = grid.cell_of(values.astype(float))
    assert (cells >= 0).all() and (cells < len(grid.widths)).all()
    for place in (0.0, 0.5, 1 - 2**-40, np.random.default_rng(seed).random(len(cells))):
        back = grid.value_at(cells, np.broadcast_to(place, cells.shape))
        assert (back == np.floor(back)).all() and (back >= made.low).all() and (back <= made.high).all()
        assert (grid.cell_of(back) == cells).all()
    alone = grid.widths[cells] == 1
    assert (grid.value_at(cells[alone], np.full(alone.sum(), 0.7)) == values[alone]).all()
    assert int(grid.widths.sum()) == made.high - made.low + 1


@FIXED
@given(columns())
def test_what_lies_outside_goes_to_the_cells_at_the_ends_and_what_is_none_to_none(made: Bounds) -> None:
    grid = made.grid
    odd = np.array([-np.inf, made.low - 5.0, made.low, made.high, made.high + 5.0, np.inf, np.nan])
    low, high = grid.cell_of(odd[2:4])
    assert grid.cell_of(odd).tolist() == [low, low, low, high, high, high, -1]


@FIXED
@given(columns(), st.integers(0, 2**32 - 1))
def test_no_cell_and_no_run_from_cut_to_cut_reaches_across_a_cut(made: Bounds, seed: int) -> None:
    """`starts` marks the first cell behind each cut; bins begin there (`bins.bin_cells`)."""
    grid, values = made.grid, values_of(made, seed)
    cells = grid.cell_of(values.astype(float))
    part = np.searchsorted(np.unique(made.cuts), values, side="right")  # how many cuts lie at or below each value
    run = np.cumsum(grid.starts)[cells]
    inside = [cut for cut in set(made.cuts) if cut > made.low]
    assert grid.starts[1:].sum() == len(inside)
    first = int(made.low in made.cuts)
    assert (run - int(grid.starts[0]) == part - first).all()


@FIXED
@given(columns())
def test_spikes_and_the_bounds_of_moments_have_cells_of_their_own(made: Bounds) -> None:
    grid = made.grid
    alone = {*made.spikes, *((made.low, made.high) if made.kind not in ("integer", "number") else ())}
    cells = grid.cell_of(np.array(sorted(alone), float))
    assert (grid.widths[cells] == 1).all() and len(set(cells)) == len(alone)


@FIXED
@given(columns())
def test_the_number_of_cells_is_bounded_however_wide_the_bounds_are(made: Bounds) -> None:
    """Noise, time and memory grow with it."""
    assert len(made.grid.widths) < {"integer": 13_000, "number": 13_000, "duration": 26_000}.get(made.kind, 14_500)


# --- days -------------------------------------------------------------------------------------------------------------


def calendar(low: str, high: str, cuts: tuple[str, ...] = (), spikes: tuple[str, ...] = ()) -> Calendar:
    grid = grid_of("date", day(low), day(high), 1.0, map(day, cuts), map(day, spikes))
    assert isinstance(grid, Calendar)
    return grid


@given(st.dates())
def test_the_kind_of_a_day_is_that_of_the_calendar(when: date) -> None:
    last = when == date.max or date.fromordinal(when.toordinal() + 1).day == 1
    kind = KINDS_OF_DAYS[int(kind_of_days(np.array([when.toordinal() - EPOCH]))[0])]
    assert kind == (
        "1 January" if (when.month, when.day) == (1, 1)
        else "31 December" if (when.month, when.day) == (12, 31)
        else "first of another quarter" if when.day == 1 and when.month in (4, 7, 10)
        else "first of another month" if when.day == 1
        else "end of another quarter" if last and when.month in (3, 6, 9)
        else "end of another month" if last
        else "another day"
    )  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.dates(), st.dates(), st.integers(0, 2**32 - 1))
def test_all_days_of_a_cell_are_of_one_kind(one: date, other: date, seed: int) -> None:
    low, high = sorted((one.toordinal() - EPOCH, other.toordinal() - EPOCH))
    grid = grid_of("date", low, high + 1 if high < LAST else high, 1.0)
    cells = np.arange(len(grid.widths))
    rng = np.random.default_rng(seed)
    for _ in range(3):
        drawn = grid.value_at(cells, rng.random(len(cells))).astype(np.int64)
        assert (kind_of_days(drawn) == grid.kinds).all()


def test_ends_of_months_and_years_have_cells_beside_the_other_days_of_their_month() -> None:
    grid = calendar("2000-01-01", "2019-12-31")
    march = grid.cell_of(np.array([day("2004-03-01"), day("2004-03-02"), day("2004-03-30"), day("2004-03-31")], float))
    assert march[1] == march[2] and len(set(march)) == 3 and (np.diff(march) >= 0).all()
    assert grid.widths[march].tolist() == [1, 29, 29, 1]
    leap = grid.cell_of(np.array([day("2004-02-28"), day("2004-02-29"), day("2005-02-28")], float))
    assert grid.kinds[leap].tolist() == [3, 4, 4], "the last of February, whichever it is"


def test_periods_are_days_then_months_then_years() -> None:
    few = calendar("2020-01-01", "2021-02-03")
    assert (few.widths == 1).all()
    months = calendar("1950-01-01", "2050-06-15")
    assert months.widths.max() == 29, "a month without its first and last day"
    whole = calendar("0001-01-01", "9999-12-31")
    near = (NEAR[0] <= whole.edges) & (whole.edges <= NEAR[1])
    assert np.diff(whole.edges[near]).max() == 31 and not whole.far[whole.cell_of(np.array([0.0, 10_000.0]))].any()
    far = whole.cell_of(np.array([day("0500-06-06"), day("9000-06-06")], float))
    assert whole.far[far].all() and (whole.widths[far] > 3_000).all(), "decades"
    assert len(whole.widths) < 14_500
    old = calendar("1500-01-01", "2020-12-31")
    assert old.widths.max() <= 366 and old.widths[old.cell_of(np.array([float(day("1600-06-06"))]))[0]] > 300


def test_a_day_that_stands_for_ever_keeps_a_cell_of_its_own() -> None:
    """9999-12-31 in valid_to, 1900-01-01 for an unknown birth: the declared bounds are cells, and so is what is declared."""
    grid = calendar("1900-01-01", "9999-12-31", spikes=("2099-12-31",))
    for text in ("1900-01-01", "9999-12-31", "2099-12-31"):
        assert grid.widths[grid.cell_of(np.array([float(day(text))]))[0]] == 1


def test_a_cut_inside_of_a_month_cuts_the_month() -> None:
    grid = calendar("2000-01-01", "2009-12-31", cuts=("2004-03-10",))
    before, after = grid.cell_of(np.array([day("2004-03-09"), day("2004-03-10")], float))
    assert before != after and grid.widths[[before, after]].tolist() == [8, 21]
    assert np.flatnonzero(grid.starts).tolist() == [after]


# --- times and durations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_the_kind_of_a_moment_is_its_coarsest_granule(step: float) -> None:
    grid = grid_of("duration", round(-3 * DAY / step), round(3 * DAY / step), step)
    assert isinstance(grid, Granular)
    seconds = np.array([0, DAY, -2 * DAY, 3_600, 5_400, 900, 300, 60, 1, -1, -3_600, 7_261])
    seconds = seconds[seconds % step == 0]
    coarsest = [next((k for k, granule in enumerate(GRANULES) if s % granule == 0), len(GRANULES)) for s in seconds]
    units = np.round(seconds / step).astype(np.int64)
    sizes = [grid.granules[kind] * step for kind in grid.kind_of(units)]
    assert sizes == pytest.approx([GRANULES[kind] for kind in coarsest])
    assert (grid.kinds[grid.cell_of(units.astype(float))] == grid.kind_of(units)).all()


def test_a_clock_has_cells_for_full_hours_and_round_minutes_in_each_half_hour() -> None:
    grid = grid_of("time", 0, DAY - 1, 1.0)
    assert isinstance(grid, Granular)
    clock = {text: grid.cell_of(np.array([float(int(text[:2]) * 3600 + int(text[3:5]) * 60 + int(text[6:8]))]))[0]
             for text in ("07:00:00", "07:15:00", "07:05:00", "07:20:00", "07:01:00", "07:01:01", "07:30:00")}  # fmt: skip
    assert clock["07:05:00"] == clock["07:20:00"] and len(set(clock.values())) == 6
    assert [grid.widths[clock[text]] for text in ("07:00:00", "07:15:00", "07:05:00", "07:01:00")] == [1, 1, 4, 24]
    assert grid.widths[clock["07:01:01"]] == 30 * 59, "odd seconds"
    last = grid.cell_of(np.array([DAY - 1.0]))[0]
    assert grid.widths[last] == 1, "23:59:59 stands for the end of a day"


@FIXED
@given(st.integers(-(10**15), 10**15), st.integers(1, 10**12), st.sampled_from(STEPS), st.integers(0, 2**32 - 1))
def test_all_values_of_a_cell_are_round_alike(low: int, span: int, step: float, seed: int) -> None:
    """Negative durations too."""
    grid = grid_of("duration", low, low + span, step)
    assert isinstance(grid, Granular)
    cells = np.arange(len(grid.widths))
    drawn = grid.value_at(cells, np.random.default_rng(seed).random(len(cells)))
    assert (np.abs(drawn) < 2**53).all() and (grid.kind_of(drawn.astype(np.int64)) == grid.kinds).all()
    assert (grid.cell_of(drawn) == cells).all()


# --- edges ------------------------------------------------------------------------------------------------------------


@FIXED
@given(columns())
def test_edges_rise_from_bound_to_bound(made: Bounds) -> None:
    makers = [number_edges, span_edges]
    if made.low >= FIRST and made.high <= LAST:
        makers.append(date_edges)
    for maker in makers:
        edges = maker(made.low, made.high)
        assert edges[0] == made.low and edges[-1] == made.high + 1 and (np.diff(edges) > 0).all()
        assert edges.dtype == np.int64
    if made.kind == "time":
        edges = clock_edges(made.low, made.high, made.step)
        assert edges[0] == made.low and edges[-1] == made.high + 1 and (np.diff(edges) > 0).all()


def test_cuts_and_single_values_beyond_the_bounds_add_no_edge() -> None:
    edges = with_edges(np.array([0, 10, 20]), [-5, 0, 7, 20, 25], [-1, 12, 19, 30])
    assert edges.tolist() == [0, 7, 10, 12, 13, 19, 20]


def test_numbers_have_no_kinds_and_their_round_values_have_cells() -> None:
    grid = grid_of("number", 0, 100_000, 0.01, cuts=[1_234], spikes=[77_777])
    assert isinstance(grid, Intervals) and not grid.kinds.any() and not grid.far.any()
    for value in (0, 500, 1_000, 77_777, 100_000):
        assert grid.widths[grid.cell_of(np.array([float(value)]))[0]] == 1
    assert 1_234 in grid.edges and np.flatnonzero(grid.starts).tolist() == [int(np.searchsorted(grid.edges, 1_234))]
