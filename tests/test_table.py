"""What is done to a table on its way in: typed, bounded by unit, split, and nobody moved by anybody else.

The fence is in tests/conformance/test_fence.py, the numbers of units in tests/test_unit_numbers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privsynth.errors import InputError
from privsynth.policy import Policy
from privsynth.privacy.noise import Randomness
from privsynth.table.intake import Counts, take_in, typed
from privsynth.table.names import state_of
from privsynth.table.private import open_rows
from privsynth.table.raw import BLANK, NO_VALUE, NOT_ALLOWED, REGULAR, RawTable
from privsynth.table.reader import read_table

Make = Callable[..., pd.DataFrame]
AFTER: Any = SimpleNamespace(learned=True)  # a run that can learn no more: rows may be opened


def policy_of(text: str, *changes: tuple[str, str]) -> Policy:
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return Policy.from_text(text)


def raw_of(frame: pd.DataFrame, tmp_path: Path) -> RawTable:
    frame.to_csv(tmp_path / "t.csv", index=False)
    return read_table(tmp_path / "t.csv")


@pytest.fixture
def typed_column(clinic_text: str, clinic_table: Make, tmp_path: Path) -> Callable[..., tuple[list[Any], int]]:
    """The given values, put into the first rows of a column: (what becomes of them, how many were unexpected)."""

    def call(name: str, values: list[str], *changes: tuple[str, str]) -> tuple[list[Any], int]:
        table = clinic_table()
        if name not in table:
            table[name] = ""
        table.loc[: len(values) - 1, name] = values
        frame, counts = typed(raw_of(table, tmp_path), policy_of(clinic_text, *changes))
        found = [None if v is None or v != v else v for v in frame[name].tolist()[: len(values)]]
        return found, counts[name].odd

    return call


def test_clean_rows_are_as_declared(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    table = clinic_table()
    frame, counts = typed(raw_of(table, tmp_path), policy_of(clinic_text))
    names = ["sex", "ward", "age", "weight", "admitted", "discharged", "ill"]
    assert counts == {name: Counts(present=300) for name in names}
    numbers = ["age", "weight", "admitted", "discharged"]
    assert {*frame} == {*names, *map(state_of, numbers)}, "identifiers stay outside"
    assert [name for name in frame if name in names] == names
    assert all((frame[state_of(name)] == REGULAR).all() for name in numbers)
    assert (frame["sex"] == table["sex"]).all() and (frame["age"] == table["age"].astype(float)).all()
    days = (pd.to_datetime(table["admitted"]) - pd.Timestamp(0)).dt.days
    assert (frame["admitted"] == days).all() and frame["admitted"].dtype == float


ODD = ["inf", "nan", "1e400", "x", "3.0", "3.5", "-5", "500", "?", ""]


def test_each_cell_is_counted_as_what_it_is(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    """What cannot be read is no value out of bounds; a token and a blank cell are neither, and no value."""
    table = clinic_table()
    table.loc[: len(ODD) - 1, "age"] = ODD
    table.loc[:3, "weight"] = ["70.55", "1,5", "999", "70.5"]
    table.loc[:4, "sex"] = ["X", "f", "a\0", "?", ""]
    frame, counts = typed(
        raw_of(table, tmp_path), policy_of(clinic_text, ("bounds: [0, 110]", "bounds: [0, 110], nullable: false"))
    )
    assert counts["age"] == Counts(present=298, unreadable=4, not_allowed=3, unforeseen=1)
    assert counts["weight"] == Counts(present=300, unreadable=1, not_allowed=1, rounded=1)
    assert counts["sex"] == Counts(present=298, unreadable=1, not_allowed=2)
    states = frame[state_of("age")].tolist()
    assert states[:10] == [*[NO_VALUE] * 4, *[REGULAR] * 4, 0, BLANK], "3.5, -5 and 500 were clipped"
    strict = policy_of(clinic_text, ("bounds: [0, 110]", "bounds: [0, 110], unexpected: missing"))
    frame, counts = typed(raw_of(table, tmp_path), strict)
    assert counts["age"] == Counts(present=298, unreadable=4, not_allowed=3)
    states = frame[state_of("age")].tolist()
    assert states[:10] == [*[NO_VALUE] * 4, REGULAR, *[NOT_ALLOWED] * 3, 0, BLANK]


def test_a_column_states_tokens_and_censored_values_of_its_own(
    clinic_text: str, clinic_table: Make, tmp_path: Path
) -> None:
    """Each is a value of its own; the table's tokens do not hold beside them, and numbers are known however they are written."""
    change = ("decimals: 1}", 'decimals: 1, missing: [-8, -9], censored: {below: "<0.6", above: [">60", "90+"]}}')
    table = clinic_table()
    table.loc[:8, "weight"] = ["-9", "-8.0", " -9.00 ", "<0.6", "90+", ">60", "", "?", "61"]
    frame, counts = typed(raw_of(table, tmp_path), policy_of(clinic_text, change))
    marks = policy_of(clinic_text, change).marks("weight")
    assert marks == ("<0.6", ">60", "90+", "-8", "-9")
    assert frame[state_of("weight")].tolist()[:9] == [4, 3, 4, 0, 2, 1, BLANK, NO_VALUE, REGULAR]
    assert np.isnan(frame["weight"][:8]).all() and frame["weight"][8] == 61
    assert counts["weight"] == Counts(present=293, unreadable=1)
    assert counts["age"] == Counts(present=300), "the tokens hold for that column alone"


def test_a_list_of_no_tokens_keeps_a_category_that_is_the_tables_token(
    clinic_text: str, clinic_table: Make, tmp_path: Path
) -> None:
    change = ("categories: [F, M]", 'categories: [F, M, "?"], missing: []')
    table = clinic_table()
    table.loc[:1, "sex"] = ["?", ""]
    policy = policy_of(clinic_text, change)
    frame, counts = typed(raw_of(table, tmp_path), policy)
    assert policy.marks("sex") == () and frame["sex"].tolist()[:2] == ["?", None]
    assert counts["sex"] == Counts(present=299)


@pytest.mark.parametrize(
    ("words", "change", "expected"),
    [
        (["TRUE", "FALSE", "True", "?", "", "x"], "", ["TRUE", "FALSE", "True", "?", None, None]),
        (["yes", "NO", "1", "0", "t", "2"], "", ["yes", "NO", "1", "0", "t", None]),
        (
            ["nein", "ja", "yes", "True", "False", "?"],
            ", categories: [nein, ja]",
            ["nein", "ja", None, "ja", "nein", "?"],
        ),
    ],
)
def test_truth_values_are_read_in_every_spelling(
    typed_column: Callable[..., Any], words: list[str], change: str, expected: list[Any]
) -> None:
    """Each spelling stays as it is; True and False of a typed source are the two words that a policy declares."""
    replaced = ("categories: [F, M]}", f"categories: [F, M]}}\n  smokes: {{kind: boolean{change}}}")
    odd = sum(word is None for word in expected) - words.count("")
    table_words = [*words, *(["ja"] * 294 if change else ["yes"] * 294)]
    found, count = typed_column("smokes", table_words, replaced)
    assert found[:6] == expected and count == odd


def test_moments_times_and_durations(typed_column: Callable[..., Any]) -> None:
    def column(entry: str, words: list[str]) -> tuple[list[Any], int]:
        return typed_column("seen", words, ("categories: [F, M]}", f"categories: [F, M]}}\n  seen: {entry}"))

    moments = ["1970-01-02 00:00:01", "1970-01-02", "1980-01-01T00:00", "1970-01-02T00:00Z", "x", *["1970-01-02"] * 295]
    found, odd = column("{kind: datetime, bounds: [1970-01-01, 1970-12-31]}", moments)
    assert found[:5] == [86_401, 86_400, 365 * 86_400 - 1, None, None] and odd == 3, (
        "an offset without a zone says nothing"
    )
    found, odd = column("{kind: datetime, timezone: Europe/Berlin, bounds: [1970-01-01, 1970-12-31]}", moments)
    assert found[:5] == [86_401, 86_400, 365 * 86_400 - 1, 90_000, None] and odd == 2
    found, odd = column("{kind: time}", ["07:45", "23:59:59", "24:00", "7:45 pm", "0:00", *["01:00"] * 295])
    assert found[:5] == [27_900, 86_399, None, None, 0] and odd == 2
    spans = ["PT1H", "36:15:00", "-1 days +23:00:00", "P400D", "1", *["PT5S"] * 295]
    found, odd = column('{kind: duration, bounds: ["-2 days", "300 days"]}', spans)
    assert found[:5] == [3_600, 130_500, -3_600, 300 * 86_400, None] and odd == 2


def test_integers_clip(typed_column: Callable[..., Any]) -> None:
    found, odd = typed_column("age", ODD)
    assert found == [None, None, None, None, 3, 4, 0, 110, None, None]
    assert odd == 7, "unreadable, infinite, rounded and clipped values count; 3.0 and missing ones do not"


def test_integers_missing(typed_column: Callable[..., Any]) -> None:
    found, odd = typed_column("age", ODD, ("bounds: [0, 110]", "bounds: [0, 110], unexpected: missing"))
    assert found == [None, None, None, None, 3, None, None, None, None, None] and odd == 7


def test_numbers_clip_and_missing(typed_column: Callable[..., Any]) -> None:
    values = ["-1", "300.5", "12.345", "1e400", "300"]
    assert typed_column("weight", values) == ([0, 300, 12.345, None, 300], 3)
    change = ("decimals: 1", "decimals: 1, unexpected: missing")
    assert typed_column("weight", values, change) == ([None, None, 12.345, None, 300], 3)


def test_dates_clip_and_missing(typed_column: Callable[..., Any]) -> None:
    values = ["2014-12-31", "9999-12-31", "2020-01-01", "2020-02-30", "2024-12-31"]
    assert typed_column("admitted", values) == ([16436, 20088, 18262, None, 20088], 3)
    assert typed_column("admitted", values, ('missing: ["?"]', 'missing: ["?"]\n  unexpected: missing')) == (
        [None, None, 18262, None, 20088],
        3,
    )


def test_dates_in_a_declared_format(typed_column: Callable[..., Any]) -> None:
    change = ("admitted: {kind: date,", 'admitted: {kind: date, format: "%d.%m.%Y",')
    values = ["01.02.2020"] * 299 + ["2020-01-01"]
    found, odd = typed_column("admitted", values, change)
    assert set(found[:299]) == {18293} and found[299] is None and odd == 1


def test_categories(typed_column: Callable[..., Any]) -> None:
    assert typed_column("sex", ["F", " M ", "f", "X", "?", ""]) == (["F", "M", None, None, "?", None], 2)
    assert typed_column("ward", ["new", "?", ""]) == (["new", "?", None], 0)


def test_groups(typed_column: Callable[..., Any]) -> None:
    change = ("categories: private", "grouping: icd9-chapters.csv")
    table_values = ["250.01", "V57", "zzz", "", *["38.5"] * 296]
    found, odd = typed_column("ward", table_values, change)
    assert found[0].startswith("250 ") and found[1].startswith("V01") and found[2:4] == [None, None] and odd == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("age", "CANARY"),
        ("age", "111"),
        ("age", "3.5"),
        ("sex", "CANARY"),
        ("admitted", "1999-01-01"),
        ("weight", "inf"),
    ],
)
def test_refuse(typed_column: Callable[..., Any], name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"column '{name}': holds a value that the policy does not allow") as error:
        typed_column(name, [value], ('missing: ["?"]', 'missing: ["?"]\n  unexpected: refuse'))
    assert value not in str(error.value)


def test_refuse_lets_missing_and_good_values_pass(typed_column: Callable[..., Any]) -> None:
    change = ('missing: ["?"]', 'missing: ["?"]\n  unexpected: refuse')
    assert typed_column("age", ["?", "", "3.0", "110"], change) == ([None, None, 3, 110], 0)


def test_columns_may_come_in_any_order(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    table = clinic_table()
    one, _ = typed(raw_of(table, tmp_path), policy_of(clinic_text))
    two, _ = typed(raw_of(table[list(table)[::-1]], tmp_path), policy_of(clinic_text))
    pd.testing.assert_frame_equal(one, two)


def test_undeclared_column_of_a_constraint_is_refused_with_the_table(
    clinic_text: str, clinic_table: Make, tmp_path: Path
) -> None:
    policy = policy_of(clinic_text, ('"<=", discharged', '"<=", discharge'))
    with pytest.raises(InputError, match="constraint 1: column 'discharge' is not declared"):
        typed(raw_of(clinic_table(), tmp_path), policy)


# --- units, bounds, sides --------------------------------------------------------------------------------------------

UNIT = (("unit: row", "unit: {column: visit, max_rows: 4}"), ("bounds: [0, 110]", "bounds: [0, 100000]"))


def visits(clinic_table: Make, sizes: list[int]) -> pd.DataFrame:
    """Unit i has sizes[i] rows; `age` numbers the rows, so that each is known again."""
    owners = [f"p{i}" for i, size in enumerate(sizes) for _ in range(size)]
    return clinic_table(len(owners), visit=owners, age=[str(i) for i in range(len(owners))])


def sides(
    table: pd.DataFrame, policy: Policy, tmp_path: Path, seed: int = 1, holdout: float | None = None
) -> tuple[set[int], set[int], Any]:
    intake = take_in(raw_of(table, tmp_path), policy, Randomness(seed), holdout)
    train = open_rows(intake.train, AFTER)
    held = open_rows(intake.holdout, AFTER) if intake.holdout is not None else None
    return set(train.values["age"].astype(int)), set() if held is None else set(held.values["age"].astype(int)), intake


def test_no_unit_on_both_sides(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    table = visits(clinic_table, [1 + i % 7 for i in range(200)])
    train, held, intake = sides(table, policy_of(clinic_text, *UNIT), tmp_path)
    owner = table["visit"].to_numpy()
    assert not {owner[i] for i in train} & {owner[i] for i in held}
    assert 20 < len({owner[i] for i in held}) < 60, "a fifth of 200, give or take 3.5 deviations"
    counts = pd.Series([owner[i] for i in train | held]).value_counts()
    wanted = pd.Series(owner).value_counts().clip(upper=4)
    assert (counts.sort_index() == wanted.sort_index()).all(), "every unit keeps min(rows, 4)"
    assert (intake.units, intake.rows_read, intake.rows_trained, intake.rows_held_out) == (
        200,
        len(table),
        len(train),
        len(held),
    )
    assert intake.rows_over_bound == len(table) - len(train) - len(held) and intake.rows_without_unit == 0


def test_a_unit_with_a_thousand_rows(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    table = visits(clinic_table, [1000] + [1] * 99)
    policy = policy_of(clinic_text, *UNIT)
    chosen = [{i for i in set.union(*sides(table, policy, tmp_path, seed)[:2]) if i < 1000} for seed in range(12)]
    assert {len(rows) for rows in chosen} == {4}
    assert len(set.union(*chosen)) > 35 and max(set.union(*chosen)) > 500, "chosen at random, not the first ones"


def test_rows_of_one_side_are_sorted_by_unit(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    table = visits(clinic_table, [3] * 100).sample(frac=1, random_state=0)
    rows = open_rows(take_in(raw_of(table, tmp_path), policy_of(clinic_text, *UNIT), Randomness(1)).train, AFTER)
    assert (np.diff(rows.units) >= 0).all() and len(rows) == len(rows.values) and rows.units.dtype == np.int64
    owners = table.set_index("age")["visit"]
    named = [owners[str(int(age))] for age in rows.values["age"]]
    assert len(set(zip(named, rows.units, strict=True))) == len(set(named)) == len(set(rows.units))


@pytest.mark.statistical
def test_rows_of_a_unit_stand_in_random_order(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    """So that the first of each unit is a random one. False alarms: below 1e-12 (a hundred fair draws, 15 to 85 of one kind)."""
    table, policy = visits(clinic_table, [2] * 100), policy_of(clinic_text, *UNIT)
    rows = open_rows(take_in(raw_of(table, tmp_path), policy, Randomness(), 0.0).train, AFTER)
    chosen = rows.values["age"].to_numpy()[rows.one_of_each]
    assert len(chosen) == 100 and 15 <= (chosen % 2).sum() <= 85


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_unit_more_moves_nobody_else(clinic_text: str, clinic_table: Make, tmp_path: Path, place: str) -> None:
    table = visits(clinic_table, [1 + i % 7 for i in range(150)])
    newcomer = clinic_table(30, seed=9, visit="newcomer", age=[str(i) for i in range(50_000, 50_030)])
    cut = {"first": 0, "middle": 333, "last": len(table)}[place]
    more = pd.concat([table[:cut], newcomer, table[cut:]])
    policy = policy_of(clinic_text, *UNIT)
    before, after = sides(table, policy, tmp_path), sides(more, policy, tmp_path)
    for side in (0, 1):
        assert {i for i in after[side] if i < 50_000} == before[side]
    assert len(after[0] | after[1]) == len(before[0] | before[1]) + 4


def test_one_row_more_moves_no_other_row(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    policy = policy_of(clinic_text, UNIT[1])
    table = clinic_table(300, age=[str(i) for i in range(300)])
    before = sides(table, policy, tmp_path)
    after = sides(pd.concat([clinic_table(1, seed=5, age=["777"]), table]), policy, tmp_path)
    assert (after[0] - {777}, after[1] - {777}) == before[:2]
    assert 25 < len(before[1]) < 100


def test_equal_rows_have_random_draws_of_their_own(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    table = pd.concat([clinic_table(1)] * 400, ignore_index=True)
    table["sex"] = "F"
    intake = take_in(raw_of(table, tmp_path), policy_of(clinic_text), Randomness(1))
    assert 40 < intake.rows_held_out < 120, "copies of one row are several people, not all on one side"


def test_order_of_rows_does_not_matter(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    for changes, table in (
        ((UNIT[1],), clinic_table(300, age=[str(i) for i in range(300)])),
        (UNIT, visits(clinic_table, [6] * 60)),
    ):
        policy = policy_of(clinic_text, *changes)
        shuffled = table.sample(frac=1, random_state=3)
        assert sides(table, policy, tmp_path)[:2] == sides(shuffled, policy, tmp_path)[:2]


def test_another_key_is_another_split(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    table, policy = clinic_table(300, age=[str(i) for i in range(300)]), policy_of(clinic_text, UNIT[1])
    assert sides(table, policy, tmp_path, 1)[1] != sides(table, policy, tmp_path, 2)[1]
    assert sides(table, policy, tmp_path, 1)[1] == sides(table, policy, tmp_path, 1)[1]


def test_no_holdout(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    train, held, intake = sides(
        clinic_table(300, age=[str(i) for i in range(300)]), policy_of(clinic_text, UNIT[1]), tmp_path, holdout=0.0
    )
    assert len(train) == 300 and held == set() and intake.holdout is None


def test_rows_without_a_unit_are_left_out_and_counted(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    table = visits(clinic_table, [2] * 100)
    table.loc[:9, "visit"] = ["", "?"] * 5
    train, held, intake = sides(table, policy_of(clinic_text, *UNIT), tmp_path)
    assert intake.rows_without_unit == 10 and intake.units == 95 and not (train | held) & set(range(10))


@pytest.mark.parametrize("owners", ["", "one", [f"p{i % 49}" for i in range(300)]], ids=["none", "one", "49"])
def test_few_units_are_refused(clinic_text: str, clinic_table: Make, tmp_path: Path, owners: Any) -> None:
    with pytest.raises(InputError, match="rows of fewer than 50 units"):
        take_in(raw_of(clinic_table(visit=owners), tmp_path), policy_of(clinic_text, *UNIT), Randomness(1))


def test_fifty_rows_are_enough(clinic_text: str, clinic_table: Make, tmp_path: Path) -> None:
    assert take_in(raw_of(clinic_table(50), tmp_path), policy_of(clinic_text), Randomness(1), 0.0).rows_trained == 50
    with pytest.raises(InputError, match="fewer than 50 rows"):
        take_in(raw_of(clinic_table(49), tmp_path), policy_of(clinic_text), Randomness(1))
