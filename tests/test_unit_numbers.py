"""`number_units`: one unit more changes nobody's number, random draw or rank, and nobody can know or choose one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from privsynth.table.units import Numbered, number_units

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
FIXED = settings(max_examples=150, deadline=None, derandomize=True)
TEXTS = st.sampled_from(["a", "a\0", "a\0b", "b", "", "/", "b''", "nan", "None", "é", "e\u0301", "0", None])
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-300, 0.1, 0.1 + 1e-17])
Row = tuple[Any, Any, Any]
rows = st.tuples(TEXTS, TEXTS, NUMBERS)
tables = st.lists(rows, min_size=1, max_size=25)
names = st.sampled_from(["x", "x\0", "x\0y", "y", "", "x/1", "b'x'", "b'x'/b''/0", "X", "é", "e\u0301", " x"])


def frame_of(values: list[Row]) -> pd.DataFrame:
    one, two, three = ([row[j] for row in values] for j in range(3))
    return pd.DataFrame({
        "one": pd.Series(one, dtype=object), "two": pd.Series(two, dtype=object), "three": np.array(three, float),
    })  # fmt: skip


def same_value(row: Row) -> Row:
    """Equal for rows that hold the same: -0.0 is 0.0, and NaN is NaN."""
    number = "missing" if np.isnan(row[2]) else row[2] + 0.0
    return row[0], row[1], number


def tally(values: list[Row], owners: list[str] | None, found: Numbered) -> Counter[Any]:
    """What each (owner, content) was given, who of equals is who left out."""
    who = owners if owners is not None else [""] * len(values)
    parts = zip(who, map(same_value, values), found.units, found.uniform, found.rank, strict=True)
    return Counter((name, row, int(unit), float(uniform), int(rank)) for name, row, unit, uniform, rank in parts)


# --- one unit more ----------------------------------------------------------------------------------------------------


@FIXED
@given(tables, st.data())
def test_one_unit_more_moves_nobody(values: list[Row], data: st.DataObject) -> None:
    """Units with names: number, random draw and rank of every other row stay, wherever the newcomer's rows stand."""
    owners = data.draw(st.lists(names, min_size=len(values), max_size=len(values)))
    more = data.draw(st.lists(st.one_of(rows, st.sampled_from(values)), min_size=1, max_size=5))
    mixed = [*zip(owners, values, strict=True), *(("newcomer", row) for row in more)]
    others = iter(range(len(values)))  # keep their order among each other
    places = [i if i >= len(values) else next(others) for i in data.draw(st.permutations(range(len(mixed))))]
    before = number_units(frame_of(values), owners, KEY)
    after = number_units(frame_of([mixed[i][1] for i in places]), [mixed[i][0] for i in places], KEY)
    old = np.array(places) < len(values)
    for part in ("units", "uniform", "rank"):
        assert np.array_equal(getattr(after, part)[old], getattr(before, part))
    assert len(set(after.units[~old])) == 1 and not set(after.units[~old]) & set(before.units)


@FIXED
@given(tables, st.data())
def test_one_row_more_moves_nobody(values: list[Row], data: st.DataObject) -> None:
    """Where each row is a unit: all that was given out before is given out still, and one number more. Of rows that
    hold the same, who is who may change, which nothing in the table can show."""
    newcomer = data.draw(st.one_of(rows, st.sampled_from(values)))
    place = data.draw(st.integers(0, len(values)))
    more = [*values[:place], newcomer, *values[place:]]
    before = tally(values, None, number_units(frame_of(values), None, KEY))
    after = tally(more, None, number_units(frame_of(more), None, KEY))
    assert not before - after and [key[1] for key in after - before] == [same_value(newcomer)]


@FIXED
@given(tables, st.data(), st.booleans())
def test_order_of_the_file_does_not_matter(values: list[Row], data: st.DataObject, named: bool) -> None:
    """Up to who is who of rows that hold the same."""
    owners = data.draw(st.lists(names, min_size=len(values), max_size=len(values))) if named else None
    order = data.draw(st.permutations(range(len(values))))
    shuffled = [values[i] for i in order]
    their = None if owners is None else [owners[i] for i in order]
    one, two = number_units(frame_of(values), owners, KEY), number_units(frame_of(shuffled), their, KEY)
    assert tally(values, owners, one) == tally(shuffled, their, two)


def test_a_twin_that_numbers_by_place_is_found() -> None:
    """The comparison above is no idle one."""
    values: list[Row] = [("a", None, 1.0), ("b", None, 2.0)]
    by_place = [Numbered(np.arange(n), np.zeros(n), np.zeros(n, int)) for n in (2, 3)]
    before = tally(values, None, by_place[0])
    assert before - tally([("new", None, 0.0), *values], None, by_place[1])


# --- what a number is -------------------------------------------------------------------------------------------------


@FIXED
@given(tables, st.data())
def test_numbers_ranks_and_coins_belong_to_units(values: list[Row], data: st.DataObject) -> None:
    owners = data.draw(st.lists(names, min_size=len(values), max_size=len(values)))
    found = number_units(frame_of(values), owners, KEY)
    assert len(set(found.units)) == len(set(owners)) == len(set(zip(owners, found.units, found.uniform, strict=True)))
    assert (
        found.units.dtype == np.int64
        and np.all(found.units >= 0)
        and np.all((found.uniform >= 0) & (found.uniform < 1))
    )
    for name in set(owners):
        own = np.array([owner == name for owner in owners])
        assert sorted(found.rank[own]) == list(range(own.sum()))


@FIXED
@given(tables)
def test_rows_that_are_units_share_no_number(values: list[Row]) -> None:
    """Not even those that hold the same: copies of a row are several people."""
    found = number_units(frame_of(values), None, KEY)
    assert len(set(found.units)) == len(values) == len(set(found.uniform)) and not found.rank.any()


def test_what_holds_the_same_is_known_as_the_same() -> None:
    """-0.0 is 0.0 and every NaN is missing, whatever its payload: the number is that of the value, not of its bits."""
    payload = np.array([0x7FF8000000000001, 0xFFF8000000000000, 0x7FF8000000000000], np.uint64).view(float)
    assert np.isnan(payload).all()
    for same in (payload, np.array([0.0, -0.0])):
        alone = {int(number_units(pd.DataFrame({"x": [value]}), None, KEY).units[0]) for value in same}
        assert len(alone) == 1
        together = number_units(pd.DataFrame({"x": same}), None, KEY)
        assert set(together.units) > alone and len(set(together.units)) == len(same), "distinguished by counting alone"


def test_what_differs_is_known_apart() -> None:
    """Rows that could be taken for each other if values ran together."""
    values: list[Row] = [
        ("ab", "c", 0.0), ("a", "bc", 0.0), ("abc", "", 0.0), ("", "abc", 0.0), (None, "abc", 0.0), ("abc", None, 0.0),
        ("abc", None, np.nan), ("c", "ab", 0.0), ("e\u0301", "", 0.0), ("\u00e9", "", 0.0), ("nan", "", 0.0),
        (None, "", 0.0), ("", None, 0.0), ("", "", 0.0), (None, None, 0.0), ("None", "", 0.0), ("0", "0", 0.0),
        ("a\0b", "c", 0.0), ("a", "\0bc", 0.0), ("a\0", "c", 0.0), ("a", "c", 0.0),
        (None, None, 5e-324), (None, None, -5e-324), (None, None, np.inf), (None, None, -np.inf),
    ]  # fmt: skip
    alone = [int(number_units(frame_of([row]), None, KEY).units[0]) for row in values]
    assert len(set(alone)) == len(values)
    assert number_units(frame_of(values), None, KEY).units.tolist() == alone, "and beside each other"


@FIXED
@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=40, unique=True))
def test_no_name_is_taken_for_another(owners: list[str]) -> None:
    """Whatever somebody writes into the file, it is not another's number, and not a row's."""
    frame = frame_of([("a", "b", 1.0)] * len(owners))
    found, as_rows = number_units(frame, owners, KEY), number_units(frame, None, KEY)
    assert len(set(found.units)) == len(owners) and not set(found.units) & set(as_rows.units)


def test_a_fresh_key_gives_other_numbers() -> None:
    """Without the key nobody can compute a number, so that nobody can choose a row that shares another's."""
    values: list[Row] = [(f"t{i}", None, float(i % 7)) for i in range(3000)]
    for owners in (None, [f"p{i // 3}" for i in range(3000)]):
        one, two = (number_units(frame_of(values), owners, key) for key in (KEY, OTHER_KEY))
        assert not set(one.units) & set(two.units) and not set(one.uniform) & set(two.uniform)
        assert owners is None or not np.array_equal(one.rank, two.rank)
        again = number_units(frame_of(values), owners, KEY)
        assert all(np.array_equal(getattr(one, part), getattr(again, part)) for part in ("units", "uniform", "rank"))


@pytest.mark.parametrize("bit", [0, 7, 8 * 31])
def test_every_bit_of_the_key_counts(bit: int) -> None:
    turned = (int.from_bytes(KEY, "little") ^ (1 << bit)).to_bytes(32, "little")
    one, two = (number_units(frame_of([("a", "b", 1.0)]), None, key) for key in (KEY, turned))
    assert one.units[0] != two.units[0] and one.uniform[0] != two.uniform[0]


# --- chance -----------------------------------------------------------------------------------------------------------

MANY = 100_000


@pytest.mark.statistical
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("alike", [True, False])
def test_random_draws_are_uniform(named: bool, alike: bool) -> None:
    """Random draws and numbers of units in a row, or all alike. False alarms: below 1e-9 (six tests of 1e-10)."""
    frame = pd.DataFrame({"x": np.zeros(MANY) if alike else np.arange(MANY, dtype=float)})
    found = number_units(frame, [f"p{i}" for i in range(MANY)] if named else None, np.random.default_rng().bytes(32))
    number = found.units * 2.0**-63
    for uniform in (found.uniform, number, np.modf(number * 2**20)[0]):
        assert stats.kstest(uniform, "uniform").pvalue > 1e-10
    place = (np.arange(MANY) + 0.5) / MANY
    for one, two in ((found.uniform, number), (found.uniform, place), (found.uniform, np.roll(found.uniform, 1))):
        table = np.histogram2d(one, two, bins=10, range=[[0, 1], [0, 1]])[0]
        assert stats.chi2_contingency(table).pvalue > 1e-10


def test_draws_that_are_not_uniform_are_found() -> None:
    draws = np.random.default_rng(0).random(MANY)
    assert stats.kstest(draws**1.1, "uniform").pvalue < 1e-10


@pytest.mark.statistical
def test_the_order_in_a_unit_is_fair() -> None:
    """Each of a unit's rows is first equally often, whatever it holds, and one unit's order reveals nothing of
    another's. False alarms: below 1e-9 (four tests of 2e-10)."""
    sizes = {"p": 1, "q": 2, "r": 4}
    owners = [name for name, size in sizes.items() for _ in range(size)]
    frame = frame_of([("a", "b", float(i // 2)) for i in range(len(owners))])  # some rows alike
    ranks = np.array([number_units(frame, owners, np.random.default_rng().bytes(32)).rank for _ in range(6000)])
    assert not ranks[:, 0].any()
    first = ranks[:, 1], ranks[:, 3:].argmin(1)
    assert stats.chisquare(np.bincount(first[0], minlength=2)).pvalue > 2e-10
    assert stats.chisquare(np.bincount(first[1], minlength=4)).pvalue > 2e-10
    orders = np.unique(ranks[:, 3:], axis=0, return_counts=True)[1]
    assert len(orders) == 24 and stats.chisquare(orders).pvalue > 2e-10
    assert stats.chi2_contingency(stats.contingency.crosstab(*first).count).pvalue > 2e-10
