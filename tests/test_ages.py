"""Dates of birth as ages at another date: whole years are exact, whatever is drawn, given or loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsynth import Policy, Synthesizer, fit
from privsynth.errors import PolicyError, PrivsynthError
from privsynth.policy.ages import age_edges, age_range, age_text, ages_at, births_at
from privsynth.policy.constraints.conditions import AgeOf, Cell, condition_of
from privsynth.policy.moments import YEAR
from privsynth.privacy.unit import Rows
from privsynth.table.broken import broken_rows

DAYS = st.integers(-400_000, 2_000_000)  # a thousand years before 1970 to the year 7445
HEAD = """\
privsynth: 1
dataset: {id: births, rows: 3000}
unit: row
seed: 1
budget: {epsilon: 50, delta: 1.0e-6}
trainer: {name: TRAINER}
columns:
"""
BORN = "  born: {kind: date, bounds: [1900-01-01, 2024-12-31], cuts: {ages: [18, 65], at: admitted}}\n"
ADMITTED = "  admitted: {kind: datetime, bounds: [2020-01-01, 2024-12-31], nullable: false}\n"
WARD = "  ward: {kind: category, categories: [paediatrics, surgery]}\n"
NETWORK = "{name: autoregressive, options: {steps: 2, pretrain_steps: 5, sweeps: 4, hidden: 8, batch: 64}}"


def policy_of(columns: str = BORN + ADMITTED + WARD, trainer: str = "marginals") -> Policy:
    return Policy.from_text(
        HEAD.replace("{name: TRAINER}", trainer if "{" in trainer else f"{{name: {trainer}}}") + columns
    )


def patients(n: int = 3_000) -> pd.DataFrame:
    """Half of them on the day of or the day before their 18th birthday: in paediatrics if they are not yet 18."""
    rng = np.random.default_rng(0)
    admitted = rng.integers(18_300, 20_000, n)
    near = births_at(18.0 * YEAR - rng.integers(0, 2, n), admitted.astype(float))
    born = np.where(rng.random(n) < 0.5, near, np.floor(admitted - rng.random(n) * 36_000))
    young = ages_at(born, admitted.astype(float)) < 18 * YEAR
    moments = admitted.astype("datetime64[D]").astype("datetime64[s]") + rng.integers(0, 86_400, n)
    return pd.DataFrame(
        {"born": pd.Series(born.astype("datetime64[D]")).dt.date.astype(str), "admitted": pd.Series(moments).astype(str),
         "ward": np.where(young, "paediatrics", "surgery")}
    )  # fmt: skip


def years(table: pd.DataFrame) -> pd.Series:
    """Whole years of age by the calendar, row by row."""
    days = [pd.to_datetime(table[name].astype(str)) for name in ("born", "admitted")]
    return pd.Series(
        [
            r.year - b.year - ((r.month, r.day) < (b.month, b.day)) if b is not pd.NaT else None
            for b, r in zip(*days, strict=True)
        ]
    )


@given(DAYS, DAYS)
def test_an_age_gives_the_birth_back_and_its_years_exactly(born: int, at: int) -> None:
    day = np.array([float(at)])
    age = ages_at(np.array([float(born)]), day)
    back = births_at(age, day)
    assert abs(back[0] - born) <= 1, "a day may differ around 29 February alone"
    assert ages_at(back, day)[0] // YEAR == age[0] // YEAR


@given(st.integers(-200 * YEAR, 900 * YEAR), DAYS)
def test_every_age_that_may_be_drawn_has_a_birth_of_its_years(age: int, at: int) -> None:
    day = np.array([float(at)])
    assert ages_at(births_at(np.array([float(age)]), day), day)[0] // YEAR == age // YEAR


@given(st.integers(-50 * YEAR, 150 * YEAR), st.integers(0, 100 * YEAR))
def test_cells_of_ages_cover_them_once_and_break_at_each_birthday(low: int, span: int) -> None:
    edges = age_edges(low, low + span)
    assert (edges[0], edges[-1]) == (low, low + span + 1)
    assert (np.diff(edges) > 0).all()
    birthdays = np.arange(-(-low // YEAR), (low + span) // YEAR + 1) * YEAR
    assert np.isin(birthdays, edges).all()


def test_ages_range_from_the_last_birth_at_the_first_date_to_the_first_birth_at_the_last() -> None:
    assert [units // YEAR for units in age_range((0, 3_653), (3_653, 7_305), False)] == [0, 20]
    assert age_range((0, 7_305), (3_653, 7_305), False)[0] < 0 == age_range((0, 7_305), (3_653, 7_305), True)[0]
    assert (age_text(0), age_text(-YEAR)) == ("age 0", "age -1")


def test_children_stay_in_paediatrics_to_the_day_of_their_birthday() -> None:
    """Rows are drawn at epsilon 50, whose noise mixes up less than 1 % of rows; a bin across a cut would mix up half of them."""
    table = patients()
    model = fit(policy_of(), table)
    born = model.codec.columns[0]
    ends = born.domain.grid.value_at(np.arange(born.domain.regular), np.zeros(born.domain.regular)) // YEAR
    assert not any({17, 18} <= set(ends[born.bins[: born.domain.regular] == code]) for code in range(born.size))
    drawn = model.sample(3_000, seed=1)
    wrong = (years(drawn) < 18) != (drawn["ward"] == "paediatrics")
    assert wrong.mean() < 0.01
    assert abs((years(drawn) < 18).mean() - (years(table) < 18).mean()) < 0.03
    assert pd.to_datetime(drawn["born"].astype(str)).between("1900-01-01", "2024-12-31").all()


def test_rows_are_encoded_alone_and_a_missing_date_leaves_no_age() -> None:
    model = fit(policy_of(BORN + ADMITTED.replace(", nullable: false", "") + WARD), patients())
    domain = model.codec.domain
    frame = pd.DataFrame({"born": [0.0, 0.0, np.nan], "admitted": [1.6e9, np.nan, 1.6e9], "ward": ["surgery"] * 3})
    cells = domain.encode(Rows(frame, np.arange(3))).values
    alone = np.concatenate([domain.encode(Rows(frame.iloc[[i]], np.arange(1))).values for i in range(3)])
    assert (cells == alone).all()
    assert (cells[1:, 0] == domain.columns[0].cells).all()


def test_given_births_stay_and_ages_follow_from_both_dates() -> None:
    model = fit(policy_of(trainer=NETWORK), patients(300))
    known = pd.DataFrame({"born": ["2019-05-05", "1950-01-31", None], "admitted": [None, None, "2024-02-29 10:00:00"]})
    filled = model.impute(known, seed=1)
    assert filled["born"].astype(str).tolist()[:2] == ["2019-05-05", "1950-01-31"]
    assert filled["admitted"].notna().all()
    assert filled["born"].notna().all()


@pytest.mark.parametrize(
    ("cuts", "told"),
    [
        ("{ages: [18], at: admited}", "did you mean 'admitted'?"),
        ("{ages: [18]}", "key `at` is missing"),
        ("{ages: [yes], at: admitted}", "cuts.ages[1]"),
        ("{ages: [18], at: ward}", "a date or datetime that is kept"),
        ("{ages: [18], at: born}", "a date or datetime that is kept"),
        ("{age: [18], at: admitted}", "did you mean `ages`?"),
        ("{ages: [18], at: admitted}, nullable: false", "never missing, but its age"),
        ("{ages: [18], at: admitted}, spikes: [1900-01-01]", "leave no `spikes`"),
    ],
)
def test_ages_that_mean_nothing_are_refused_by_name(cuts: str, told: str) -> None:
    nullable = ADMITTED.replace(", nullable: false", "")
    with pytest.raises(PolicyError, match="born") as caught:
        policy_of(BORN.replace("{ages: [18, 65], at: admitted}", cuts) + nullable + WARD)
    assert told in str(caught.value)


def test_what_is_lost_where_the_date_is_missing_is_told() -> None:
    assert "leaves as missing wherever 'admitted'" in "".join(
        policy_of(BORN + ADMITTED.replace(", nullable: false", "")).warnings
    )
    assert "leaves as missing" not in "".join(policy_of().warnings)


def _set(column: int, **values: Any) -> Callable[[Any], None]:
    return lambda saved: saved["domain"]["columns"][column].update(values)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_set(0, age_at="ward"), "age_at"),
        (_set(0, age_at="nothing"), "age_at"),
        (_set(0, age_at="born"), "age_at"),
        (_set(0, age_units=1), "age_units"),
        (_set(0, ages=[5, 5]), "must rise"),
        (_set(0, ages=[0, 10**9]), "ages"),
        (_set(0, spikes=[0]), "stored as an age"),
        (_set(4, gap_from="born", floor=20_000), "must not name a column that is stored as an age"),
        (_set(3, age_at="admitted"), "stored as a gap or an age"),
    ],
)
def test_a_model_with_wrong_ages_is_refused(change: Callable[[Any], None], told: str, saved: Path) -> None:
    document = json.loads((saved / "model.json").read_text())
    change(document)
    (saved / "model.json").write_text(json.dumps(document))
    with pytest.raises(PrivsynthError, match=told):
        Synthesizer.load(saved)


@pytest.fixture
def saved(tmp_path: Path, fitted: Synthesizer) -> Path:
    fitted.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def fitted() -> Synthesizer:
    seen = "  seen: {kind: date, bounds: [2020-01-01, 2024-12-31]}\n"
    return fit(policy_of(BORN + ADMITTED + WARD + seen), patients(500).assign(seen="2024-01-01"))


def test_a_model_of_ages_is_loaded_as_it_was_saved(saved: Path, fitted: Synthesizer) -> None:
    assert Synthesizer.load(saved).sample(50, seed=1).equals(fitted.sample(50, seed=1))


def test_cuts_hold_inside_a_measured_range_too() -> None:
    columns = "  age: {kind: integer, bounds: private, cuts: [18, 5000]}\n" + WARD
    age = np.random.default_rng(0).integers(0, 36, 3_000)
    table = pd.DataFrame({"age": age, "ward": np.where(age < 18, "paediatrics", "surgery")})
    drawn = fit(policy_of(columns), table).sample(3_000, seed=1)
    assert ((drawn["age"] < 18) == (drawn["ward"] == "paediatrics")).mean() > 0.99
    with pytest.raises(PolicyError, match="must be numbers"):
        policy_of(columns.replace("18,", "2020-01-01,"))


# --- conditions on ages -------------------------------------------------------------------------------------------------

BARE = BORN.replace("ages: [18, 65], ", "").replace("2024-12-31", "2025-01-31")
PAEDIATRICS = [
    "{when: {ward: paediatrics}, then: {born: {age: '<18'}}}",
    "{when: {born: {age: [0, 15]}}, then: {ward: paediatrics}}",
]


def ruled(rules: list[str], born: str = BARE, admitted: str = ADMITTED, trainer: str = "marginals") -> Policy:
    return policy_of(born + admitted + WARD + "constraints:\n" + "".join(f"  - {rule}\n" for rule in rules), trainer)


@pytest.mark.parametrize(
    ("written", "ages"),
    [(18, {18}), ("<18", {-1, 0, 17}), ("<=18", {-1, 0, 17, 18}), (">18", {19, 60}), (">=18", {18, 19, 60}),
     ([18, 19], {18, 19}), ([0, 18, 60], {0, 18, 60}), ("missing", set()), ("present", {-1, 0, 17, 18, 19, 60})],
)  # fmt: skip
def test_conditions_on_ages_hold_from_birthday_to_birthday(written: Any, ages: set[int]) -> None:
    column = ruled(["{when: {ward: surgery}, then: {born: {age: '>=60'}}}"]).model.columns["born"]
    condition = condition_of(AgeOf(age=written), column)
    ends = [(age, [Cell(day, day) for day in (age * YEAR, age * YEAR + YEAR - 1)]) for age in (-1, 0, 17, 18, 19, 60)]
    assert {age for age, cells in ends if all(condition.holds(cell) for cell in cells)} == ages
    assert {age for age, cells in ends if any(condition.holds(cell) for cell in cells)} == ages
    assert condition.holds(Cell(absent=True)) == (written == "missing")


@pytest.mark.parametrize(
    ("rules", "born", "told"),
    [
        (["{when: {ward: surgery}, then: {born: {age: 3}}}"], BARE.replace(", cuts: {at: admitted}", ""),
         "write `kind: date` with `cuts: {at: DATE}`"),
        (["{when: {ward: surgery}, then: {ward: {age: 3}}}"], BARE, "no date of birth"),
        (["{when: {ward: surgery}, then: {born: {age: 3.5}}}"], BARE, "lies between two values"),
        (["{when: {ward: surgery}, then: {born: {years: 3}}}"], BARE, "known here: age"),
        (["{when: {ward: surgery}, then: {born: '<2000-01-01'}}"], BARE, 'write `{age: "<18"}`'),
        (["{combinations: [born, ward], file: f.csv}"], BARE, "no list of its days"),
        (["{when: {ward: surgery}, then: {born: {age: '>=140'}}}"], BARE, "no row meets its condition"),
        (PAEDIATRICS[:1], BARE.replace("2025-01-31", "2004-12-31"), r"write `bounds: \[1900-01-01, 2007-01-02\]`"),
        (["{when: {ward: surgery}, then: {born: {age: '>=60'}}}"], BARE.replace("1900", "1965"),
         "no row meets its condition"),
        (["{when: {ward: surgery}, then: {born: {age: '>=50'}}}"], BARE.replace("1900", "1972"),
         r"write `bounds: \[1969-12-31, 2025-01-31\]`"),
        (PAEDIATRICS[1:], BARE.replace("2025-01-31", "2024-12-31"), r"write `bounds: \[1900-01-01, 2025-01-02\]`"),
    ],
)  # fmt: skip
def test_conditions_on_ages_that_cannot_be_kept_are_refused(rules: list[str], born: str, told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        ruled(rules, born)


def test_conditions_on_ages_that_nothing_may_lift() -> None:
    seen = "  seen: {kind: datetime, bounds: [1990-01-01, 2024-12-31]}\n"
    with pytest.raises(PolicyError, match="may lift 'admitted'"):
        ruled([*PAEDIATRICS, "{inequality: [seen, '<=', admitted]}"], admitted=ADMITTED + seen)
    late = "  late: {kind: date, bounds: [2020-01-01, 2024-12-31]}\n"
    with pytest.raises(PolicyError, match="the date 'late' cannot be kept"):
        ruled(
            ["{inequality: [born, '<=', late]}", "{when: {ward: surgery}, then: {late: '>2021-01-01'}}"],
            admitted=ADMITTED + late,
        )


@pytest.mark.parametrize("nullable", [True, False])
def test_no_row_breaks_a_condition_on_an_age(nullable: bool) -> None:
    """Half of all patients are within a day of their 18th birthday, a fifth of wards is drawn at random."""
    data = patients(600)
    data["ward"] = data["ward"].where(np.arange(600) % 5 > 0, "paediatrics")
    data["admitted"] = data["admitted"].where(np.arange(600) % 4 > 0, None if nullable else data["admitted"])
    admitted = ADMITTED.replace(", nullable: false", "") if nullable else ADMITTED
    model = fit(ruled(PAEDIATRICS, admitted=admitted, trainer=NETWORK), data)
    drawn = model.sample(3_000, seed=1)
    known = pd.DataFrame({"born": ["2004-02-29"] * 30 + [None] * 30, "admitted": [None] * 30 + ["2022-02-28 09:00:00"] * 30,
                          "ward": ["paediatrics", "surgery"] * 30})  # fmt: skip
    filled = model.impute(known, seed=1)
    assert filled["born"].astype(str).tolist()[:30] == ["2004-02-29"] * 30, "of age at the end of February 2022"
    for table in (drawn, filled):
        texts = {name: table[name].astype(str) for name in ("born", "admitted")}
        age = years(table.assign(**texts | {"admitted": texts["admitted"].replace("NaT", "1800-01-01 00:00:00")}))
        age = age.where(table["admitted"].notna() & table["born"].notna())
        young = table["ward"].astype(str) == "paediatrics"
        assert (age[young] < 18).all(), "a child without an age would be none"
        assert not age[~young].between(0, 15).any()
    assert (drawn["ward"] == "paediatrics").mean() > 0.2


def test_ages_count_at_the_date_that_leaves() -> None:
    """A condition on `left` has both dates stored as themselves, in bins of months: admissions move as they are ordered."""
    data = patients(1_000)
    data = data.assign(admitted=data["admitted"].str[:10], left=data["admitted"].str[:10])
    left = "  left: {kind: date, bounds: [2020-01-01, 2024-12-31], nullable: false}\n"
    order = ["{inequality: [admitted, '<=', left]}", "{when: {ward: paediatrics}, then: {left: '>=2020-03-01'}}"]
    adults = "{when: {ward: surgery}, then: {born: {age: '>=18'}}}"
    policy = ruled([PAEDIATRICS[0], adults, *order], admitted=ADMITTED.replace("datetime", "date") + left)
    drawn = fit(policy.with_changes(epsilon=2.0), data).sample(4_000, seed=1)
    assert (drawn["admitted"].astype(str) <= drawn["left"].astype(str)).all()
    assert ((years(drawn) < 18) == (drawn["ward"].astype(str) == "paediatrics")).all()


def test_real_rows_that_break_a_condition_on_an_age_are_counted() -> None:
    rules = ruled(PAEDIATRICS, admitted=ADMITTED.replace(", nullable: false", "")).knowledge
    admitted = 86_400.0 * np.array([6_573.9, 6_574, 6_574, 6_574, np.nan, 6_574, 6_573])
    rows = pd.DataFrame({"born": [0.0, 0.0, 0.0, 0.0, 0.0, np.nan, 6_000.0], "admitted": admitted})
    rows["ward"] = ["paediatrics"] * 6 + ["surgery"]
    assert list(broken_rows(rows, rules).values()) == [4, 1], (
        "three on their 18th birthday, one unborn; a child in surgery"
    )
