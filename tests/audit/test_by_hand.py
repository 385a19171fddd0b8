"""`privsynth audit` of tables that other tools made: values are compared, and what cannot be read is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privsynth import audit
from privsynth.audit import compare
from privsynth.audit.compare import Compared, comparable
from privsynth.audit.matching import Words
from privsynth.errors import InputError
from privsynth.policy import Policy
from privsynth.table.raw import RawTable
from privsynth.table.reader import read_table

POLICY = """\
privsynth: 1
dataset: {id: audited, rows: 40}
unit: row
budget: {epsilon: 1.0, delta: 1.0e-6}
columns:
  age: {kind: integer, bounds: [0, 110]}
  ward: {kind: category, categories: ["1", "2", "10"]}
  town: {kind: category, categories: [Ulm, Bad Urach, None]}
  income: {kind: number, bounds: [0, 100000], decimals: 2}
  seen: {kind: date, bounds: [2020-01-01, 2024-12-31]}
  smoker: {kind: category, categories: ["True", "False"]}
audit: {effort: quick}
"""


def real(rows: int = 40, seed: int = 0) -> pd.DataFrame:
    """All text, as in a CSV that a data officer wrote."""
    rng = np.random.default_rng(seed)
    days = np.datetime64("2021-01-01") + rng.integers(0, 900, rows)
    return pd.DataFrame({
        "age": rng.integers(18, 90, rows).astype(str), "ward": rng.choice(["1", "2", "10"], rows),
        "town": rng.choice(["Ulm", "Bad Urach", "None"], rows), "income": rng.uniform(10, 9e4, rows).round(2).astype(str),
        "seen": days.astype(str), "smoker": rng.choice(["True", "False"], rows),
    }, dtype=object)  # fmt: skip


def compared(synthetic: Any, train: Any = None, holdout: Any = None, policy: str | None = POLICY) -> Compared:
    train, holdout = (real() if train is None else train), (real(seed=1) if holdout is None else holdout)
    return comparable(synthetic, train, holdout, None if policy is None else Policy.from_text(policy))[0]


def each(*columns: str, by: Callable[[str], Any]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(**{name: frame[name].map(by) for name in columns})


WRITINGS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "codes as decimals": each("ward", by=lambda text: f"{text}.0"),
    "codes with two places": each("ward", by=lambda text: f"{text}.00"),
    "codes as numbers": each("ward", by=int),
    "numbers as decimals": each("age", by=lambda text: f"{text}.0"),
    "numbers in powers of ten": each("income", by=lambda text: f"{float(text):.10e}"),
    "white space": each("town", "ward", "age", "smoker", by=lambda text: f" {text} "),
    "another case": each("town", "smoker", by=str.upper),
    "small letters": each("town", "smoker", by=str.lower),
    "truth values as numbers": each("smoker", by=lambda text: "01"[text == "True"]),
    "truth values as decimals": each("smoker", by=lambda text: ["0.0", "1.0"][text == "True"]),
    "truth values as words": each("smoker", by=lambda text: ["no", "yes"][text == "True"]),
    "truth values as a type": each("smoker", by=lambda text: text == "True"),
    "days with a time": each("seen", by=lambda text: f"{text} 00:00:00"),
    "days with a time and an offset": each("seen", by=lambda text: f"{text}T00:00:00.000Z"),
    "groups of three": each("income", by=lambda text: f"{float(text):,.2f}"),
    "German numbers": each("income", by=lambda text: f"{float(text):,.2f}".translate(str.maketrans(",.", ".,"))),
    "Swiss numbers": each("income", by=lambda text: f"{float(text):,.2f}".replace(",", "’")),
    "French numbers": each("income", by=lambda text: f"{float(text):,.2f} €".replace(",", "\u202f").replace(".", ",")),
    "dollars": each("income", by=lambda text: f"${float(text):,.2f}"),
    "other white space": each("town", by=lambda text: text.replace(" ", "\u00a0 ")),
    "German days": each("seen", by=lambda text: pd.Timestamp(text).strftime("%d.%m.%Y")),
    "US days": each("seen", by=lambda text: pd.Timestamp(text).strftime("%m/%d/%Y")),
    "US days of two digits": each("seen", by=lambda text: pd.Timestamp(text).strftime("%m/%d/%y")),
    "US moments": each("seen", by=lambda text: pd.Timestamp(text).strftime("%m/%d/%Y %I:%M:%S %p")),
    "SAS days": each("seen", by=lambda text: pd.Timestamp(text).strftime("%d%b%Y").upper()),
    "days in billionths of a second": each("seen", by=lambda text: str(pd.Timestamp(text).value)),
    "days in seconds": each("seen", by=lambda text: str(pd.Timestamp(text).value // 10**9)),
    "days as a type": each("seen", by=pd.Timestamp),
    "another order": lambda frame: frame[list(frame)[::-1]],
    "a column more": lambda frame: frame.assign(Unnamed=range(len(frame))),
}


def same(one: Compared, other: Compared) -> None:
    for mine, yours in ((one.synthetic, other.synthetic), (one.train, other.train), (one.holdout, other.holdout)):
        pd.testing.assert_frame_equal(mine[list(yours)], yours, check_exact=False, rtol=1e-12)


@pytest.mark.parametrize("policy", [POLICY, None], ids=["declared", "inferred"])
@pytest.mark.parametrize("name", list(WRITINGS))
def test_equal_values_are_equal_however_they_are_written(name: str, policy: str | None) -> None:
    found = compared(WRITINGS[name](real()), policy=policy)
    same(found, compared(real(), policy=policy))
    assert not any(share for shares in found.unreadable.values() for share in shares.values())


@pytest.mark.parametrize("policy", [POLICY, None], ids=["declared", "inferred"])
def test_any_of_the_three_may_be_written_otherwise(policy: str | None) -> None:
    """Words are shown as the training table, or the policy, writes them; what is equal stays equal."""
    otherwise = each("ward", by=lambda t: f"{t}.0")(WRITINGS["truth values as numbers"](real()))
    for tables in ((real(), otherwise, real(seed=1)), (real(), real(), otherwise)):
        found = compared(*tables, policy=policy)
        twin = found.train if tables[1] is otherwise else found.holdout
        for column in found.synthetic:
            assert found.synthetic[column].equals(twin[column]), column


def test_parquet_and_an_index_of_pandas(tmp_path: Path) -> None:
    typed = real().astype({"age": float, "ward": float, "income": float, "town": "category"})
    typed = typed.assign(smoker=typed["smoker"] == "True", seen=pd.to_datetime(typed["seen"]))
    typed.to_parquet(tmp_path / "t.parquet")
    typed.assign(smoker=typed["smoker"].astype(int)).to_csv(tmp_path / "t.csv")
    for policy in (POLICY, None):
        for name in ("t.parquet", "t.csv"):
            same(compared(tmp_path / name, policy=policy), compared(real(), policy=policy))


@pytest.mark.parametrize("declared", ["", 'delimiter: ";", decimal: ",", encoding: cp1252', "encoding: utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_of_another_dialect(declared: str, delimiter: str, tmp_path: Path) -> None:
    policy = POLICY.replace("Bad Urach", "Bad Ürach").replace("rows: 40", f"rows: 40, csv: {{{declared}}}")
    train = real().assign(town=real()["town"].str.replace("Urach", "Ürach"))
    for encoding in ("utf-8", "utf-8-sig", "cp1252", "utf-16"):
        train.to_csv(tmp_path / "t.csv", index=False, sep=delimiter, encoding=encoding)
        for way in (policy, None):
            found = compared(tmp_path / "t.csv", train, train, way)
            pd.testing.assert_frame_equal(found.synthetic, found.train)


def test_signs_of_negative_numbers() -> None:
    policy = POLICY.replace("[0, 100000]", "[-1000, 100000]")
    numbers = [f"{i - 20}.5" for i in range(40)]
    signs: list[Callable[[str], str]] = ["({})".format, "{}-".format, "\u2212{}".format]
    for sign in signs:
        texts = [sign(number[1:]) if number[0] == "-" else number for number in numbers]
        for way in (policy, None):
            found = compared(real().assign(income=texts), real().assign(income=numbers), real(), way)
            assert found.synthetic["income"].equals(found.train["income"]), texts[0]


def test_a_format_that_reads_more_comes_before_the_declared_one() -> None:
    """03/04/2021 is in March where most days of its table cannot be read in any other way."""
    policy = POLICY.replace("kind: date,", 'kind: date, format: "%d/%m/%Y",')
    days = [pd.Timestamp("2021-01-01") + pd.Timedelta(days=9 * i) for i in range(40)]
    stated = real().assign(seen=[day.strftime("%d/%m/%Y") for day in days])
    for form in ("%m/%d/%Y", "%Y-%m-%d", "%m/%d/%Y %H:%M"):
        found = compared(real().assign(seen=[day.strftime(form) for day in days]), stated, stated, policy)
        assert found.synthetic["seen"].equals(found.train["seen"]), form


def test_days_since_1970_and_serial_numbers_of_workbooks_are_not_guessed() -> None:
    for first in (18_000, 44_000):
        with pytest.raises(InputError, match="nothing that can be read as date"):
            compared(real().assign(seen=[str(first + i) for i in range(40)]))


def test_percentages_are_not_guessed() -> None:
    with pytest.raises(InputError, match="nothing that can be read as number"):
        compared(real().assign(income=[f"{i} %" for i in range(40)]))


# --- matching ---------------------------------------------------------------------------------------------------------


def test_the_exact_text_comes_first() -> None:
    match = Words.of(["a", "A", "1", "1.0", "01"])
    assert [match(text) for text in ("a", "A", "1", "1.0", "01")] == ["a", "A", "1", "1.0", "01"]
    assert match("1.00") is None, "three known words are that number"
    assert Words.of(["a", "A"])("a ") is None and Words.of(["Abc"])("aBC") == "Abc"


def test_truth_words_count_only_where_all_are_some() -> None:
    assert Words.of(["F", "M"])("false") is None and Words.of(["F", "T"])("false") == "F"
    assert Words.of(["yes", "no", "unknown"])("1") is None
    assert [Words.of(["nein", "ja"], {False: "nein", True: "ja"})(text) for text in ("JA", "0", "maybe")] == [
        "ja",
        "nein",
        None,
    ]


def test_long_codes_are_not_rounded_together() -> None:
    policy = POLICY.replace('["1", "2", "10"]', '["900000000000207008", "900000000000207009"]')
    codes = ["900000000000207008", "900000000000207009"] * 20
    found = compared(real().assign(ward=[f"{code}.0" for code in codes]), real().assign(ward=codes), real().assign(ward=codes),
                     policy)  # fmt: skip
    assert found.synthetic["ward"].equals(found.train["ward"]) and found.train["ward"].nunique() == 2


# --- what cannot be read ----------------------------------------------------------------------------------------------

UNREADABLE = {
    "age": "Xold", "ward": "Xeast", "town": "X", "income": "X,5", "seen": "X.2021", "smoker": "Xmaybe",
}  # fmt: skip


@pytest.mark.parametrize("table", ["synthetic", "train", "holdout"])
@pytest.mark.parametrize("column", list(UNREADABLE))
def test_a_column_of_which_nothing_can_be_read_is_refused(column: str, table: str) -> None:
    tables = {"synthetic": real(), "train": real(), "holdout": real(seed=1)}
    tables[table] = tables[table].assign(**{column: UNREADABLE[column]})
    with pytest.raises(InputError) as caught:
        compared(tables["synthetic"], tables["train"], tables["holdout"])
    told = str(caught.value)
    assert f"column '{column}' of the {table} table" in told and "nothing that can be read" in told and "X" not in told


@pytest.mark.parametrize("column", ["age", "income", "seen", "ward"])
def test_without_a_policy_too(column: str) -> None:
    with pytest.raises(InputError) as caught:
        compared(real().assign(**{column: UNREADABLE[column]}), policy=None)
    assert f"column '{column}' of the synthetic table" in str(caught.value) and "X" not in str(caught.value)


@pytest.mark.parametrize("column", ["town", "smoker"])
def test_words_of_which_none_is_in_the_real_tables_are_refused(column: str) -> None:
    """As codes of its own that another tool wrote: nothing could be found in them."""
    policy = POLICY.replace("[Ulm, Bad Urach, None]", "private").replace('["True", "False"]', "private")
    for way in (policy, None):
        with pytest.raises(InputError, match="no value in common") as caught:
            compared(real().assign(**{column: ["X7", "X8"] * 20}), policy=way)
        assert f"column '{column}' of the synthetic table" in str(caught.value) and "X7" not in str(caught.value)


def test_an_empty_column_is_no_refusal() -> None:
    found = compared(real().assign(age="", ward="", seen=None))
    assert found.synthetic[["age", "ward", "seen"]].isna().all(axis=None)
    assert {found.unreadable[name]["synthetic"] for name in ("age", "ward", "seen")} == {0.0}


@pytest.mark.parametrize("column", list(UNREADABLE))
def test_shares_are_counted_by_column_and_table(column: str) -> None:
    def some(frame: pd.DataFrame, cells: int) -> pd.DataFrame:
        texts = [UNREADABLE[column]] * cells + [""] * 10 + frame[column].tolist()[cells + 10 :]
        return frame.assign(**{column: texts})

    found = compared(some(real(), 6), some(real(), 3), real(seed=1))
    assert found.unreadable[column] == {"synthetic": 6 / 30, "train": 3 / 30, "holdout": 0.0}
    assert not any(sum(shares.values()) for name, shares in found.unreadable.items() if name != column)
    if column in ("ward", "town", "smoker"):
        assert (found.synthetic[column][:6] == UNREADABLE[column]).all(), "compared as it stands"
        assert found.synthetic[column][0] == found.train[column][0]
    else:
        assert found.synthetic[column][:6].isna().all()


def test_control_characters_cannot_be_read() -> None:
    odd = real().assign(town=["Ulm\0", *real()["town"][1:]], age=["4\0", *real()["age"][1:]])
    for policy in (POLICY, POLICY.replace("[Ulm, Bad Urach, None]", "private"), None):
        found = compared(odd, policy=policy)
        assert found.unreadable["town"]["synthetic"] == found.unreadable["age"]["synthetic"] == 1 / 40


def test_words_for_nothing_that_programs_write_are_no_values() -> None:
    """Where the policy, or the training table, does not know them as words: here None is a town."""
    words = ["nan", "(null)", "null", "<NA>", "#N/A", "\\N"]
    odd = real().assign(**{name: [*words, *real()[name][6:]] for name in real()})
    for policy in (POLICY, POLICY.replace("[Ulm, Bad Urach, None]", "private"), None):
        found = compared(odd, policy=policy)
        assert found.synthetic[:6].isna().all(axis=None), policy
        assert not any(share for shares in found.unreadable.values() for share in shares.values())
        assert (found.train["town"] == "None").sum() == (real()["town"] == "None").sum() > 0
    written = compared(real().assign(town=[t if t != "None" else "none" for t in real()["town"]]))
    assert written.synthetic["town"].equals(written.train["town"])


def test_a_token_for_missing_is_a_missing_value_however_it_is_written() -> None:
    policy = POLICY.replace("rows: 40", 'rows: 40, missing: ["-9", "?"]')
    odd = real().assign(**{name: ["-9", "-9.0", "?", *real()[name][3:]] for name in real()})
    found = compared(odd, policy=policy)
    missing = found.synthetic[:3].drop(columns="seen").isna()
    assert missing.all(axis=None) and not found.synthetic[3:].isna().any(axis=None)
    assert not any(found.unreadable[name]["synthetic"] for name in found.unreadable if name != "seen")
    own = compared(odd, policy=policy.replace('["1", "2", "10"]', '["1", "2", "10", "-9"], missing: []'))
    assert own.synthetic["ward"][:3].tolist() == ["-9", "-9", "?"] and own.unreadable["ward"]["synthetic"] == 1 / 40


# --- kinds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["synthetic", "train", "holdout"])
@pytest.mark.parametrize("column", ["age", "income", "seen", "smoker", "ward"])
def test_one_odd_cell_decides_no_kind(column: str, table: str) -> None:
    tables = {"synthetic": WRITINGS["truth values as numbers"](real()), "train": real(), "holdout": real(seed=1)}
    plain = compared(*tables.values(), policy=None)
    tables[table] = tables[table].assign(**{column: ["odd", *tables[table][column][1:]]})
    found = compared(*tables.values(), policy=None)
    assert found.kinds == plain.kinds == {
        "age": "number", "ward": "number", "town": "category", "income": "number", "seen": "date", "smoker": "category",
    }  # fmt: skip
    for name in ("synthetic", "train", "holdout"):
        one, other = getattr(found, name)[column][1:].astype(object), getattr(plain, name)[column][1:].astype(object)
        assert one.equals(other), name
    assert found.unreadable[column][table] == (0 if column == "smoker" else 1 / 40)


def test_a_column_of_codes_stays_one() -> None:
    """A tenth or more of letters among numbers: words, none of which is lost."""
    codes = ["250", "401.0", "V45", "715", "E88"] * 8
    for_all = {"ward": codes}
    found = compared(real().assign(**for_all), real().assign(**for_all), real(seed=1).assign(**for_all), policy=None)
    assert found.kinds["ward"] == "category" and found.train["ward"].tolist() == codes


def test_dates_in_the_format_of_each_table() -> None:
    def written(form: str) -> pd.DataFrame:
        return each("seen", by=lambda text: pd.Timestamp(text).strftime(form))(real())

    plain = compared(real(), policy=None)
    for form in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%b-%Y", "%Y/%m/%d"):
        same(compared(written(form), policy=None), plain)
    declared = POLICY.replace("kind: date,", 'kind: date, format: "%d.%m.%Y",')
    others = written("%d.%m.%Y"), written("%d.%m.%Y")
    for form in ("%d.%m.%Y", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S"):
        same(compared(written(form), *others, declared), compared(written("%d.%m.%Y"), *others, declared))


def test_identifiers_are_left_out_and_told() -> None:
    ids = [f"P{i}" for i in range(40)]
    found = compared(real().assign(who=ids), real().assign(who=ids), real(seed=1).assign(who=ids), None)
    assert "who" not in found.synthetic and any("'who'" in line and "identifier" in line for line in found.left_out)
    owners = [str(i // 4) for i in range(40)]
    invented = [f"synthetic-{i:08d}" for i in range(40)]
    found = compared(real().assign(who=invented), real().assign(who=owners), real(seed=1).assign(who=owners), None)
    assert "who" not in found.synthetic and any("'who'" in line and "invented" in line for line in found.left_out)


def test_a_column_that_a_table_lacks_is_told() -> None:
    found = compared(real().drop(columns="age"))
    assert "age" not in found.train and found.left_out == ("Column 'age': the synthetic table does not have it.",)


# --- what a policy may declare ----------------------------------------------------------------------------------------

KINDS = """\
privsynth: 1
dataset: {id: kinds, rows: 40, csv: {delimiter: ";", decimal: ",", thousands: "."}, language: de}
unit: row
budget: {epsilon: 1.0, delta: 1.0e-6}
columns:
  paid: {kind: number, bounds: [0, 100000], decimals: 2, number: {currency: "€"}}
  level: {kind: number, bounds: [0, 50], decimals: 1, missing: [n.d.], censored: {below: "<0,6", above: "30+"}}
  alive: {kind: boolean, categories: [nein, ja]}
  plain: {kind: boolean}
  came: {kind: datetime, bounds: [2020-01-01, 2024-12-31], format: "%d. %b %Y %H:%M"}
  at: {kind: time, format: "%H.%M"}
  took: {kind: duration, bounds: ["00:00:00", "99:00:00"]}
audit: {effort: quick}
"""
STATED = (
    "paid;level;alive;plain;came;at;took\n"
    '€ 1.234,50;<0,6;ja;true;1. März 2021 07:45;07.45;1 days 01:30:00\n'
    "2,25;7,5;nein;false;24. Dez. 2021 18:00;18.00;00:10:00\n"
    "€ 3;30+;;true;;;\n"
    "12.000;n.d.;ja;false;2. Okt. 2022 00:00;00.00;PT2H\n"
)  # fmt: skip
PLAIN = (
    "paid,level,alive,plain,came,at,took\n"
    "1234.5,0.6,True,1,2021-03-01 07:45:00,07:45,PT25H30M\n"
    "2.25,7.5,0,no,2021-12-24T18:00:00+01:00,18:00:00,600.0\n"
    "3.0,30.0,,T,,,\n"
    "12000.00,,1.0,0.0,2022-10-02,00:00,7200\n"
)


def test_kinds_marks_and_dialects(tmp_path: Path) -> None:
    (tmp_path / "stated.csv").write_text(STATED, encoding="utf-8")
    (tmp_path / "plain.csv").write_text(PLAIN, encoding="utf-8")
    policy = Policy.from_text(KINDS)
    found, _, _ = comparable(tmp_path / "plain.csv", tmp_path / "stated.csv", tmp_path / "stated.csv", policy)
    assert found.train["paid"].tolist() == [1234.5, 2.25, 3.0, 12000.0]
    assert found.train["level"].fillna(-1).tolist() == [0.6, 7.5, 30.0, -1]
    assert found.train["plain"].tolist() == ["True", "False", "True", "False"]
    pd.testing.assert_frame_equal(found.synthetic, found.train)
    assert not any(share for shares in found.unreadable.values() for share in shares.values())


def test_a_table_of_the_declared_dialect_is_not_read_in_another(tmp_path: Path) -> None:
    """1.234 is read as the policy says where nothing speaks against it."""
    (tmp_path / "t.csv").write_text(STATED.replace("2,25", "1.234"), encoding="utf-8")
    found, _, _ = comparable(*[tmp_path / "t.csv"] * 3, Policy.from_text(KINDS))
    assert found.synthetic["paid"].tolist() == [1234.5, 1234.0, 3.0, 12000.0]


def test_a_table_of_plain_numbers_is_not_read_in_the_declared_dialect(tmp_path: Path) -> None:
    """1.234 is a small number where most others of its table can be read in no other way."""
    (tmp_path / "stated.csv").write_text(STATED, encoding="utf-8")
    (tmp_path / "plain.csv").write_text(PLAIN.replace("2.25", "1.234"), encoding="utf-8")
    found, _, _ = comparable(tmp_path / "plain.csv", *[tmp_path / "stated.csv"] * 2, Policy.from_text(KINDS))
    assert found.synthetic["paid"].tolist() == [1234.5, 1.234, 3.0, 12000.0]


def test_truth_values_where_numbers_are_declared() -> None:
    truths = real().assign(age=[i % 2 == 0 for i in range(40)])
    found = compared(truths, real().assign(age=["1", "0"] * 20), real().assign(age=["1", "0"] * 20))
    assert found.synthetic["age"].equals(found.train["age"])


def test_truth_values_of_real_tables_that_write_them_as_numbers() -> None:
    numbers = WRITINGS["truth values as numbers"](real())
    for synthetic in (real(), WRITINGS["truth values as words"](real()), numbers):
        found = compared(synthetic, numbers, numbers, None)
        assert found.synthetic["smoker"].equals(found.train["smoker"]) and found.train["smoker"].nunique() == 2
        assert found.kinds["smoker"] == ("number" if synthetic is numbers else "category")


def test_an_index_without_a_name_is_no_column(tmp_path: Path) -> None:
    real().to_csv(tmp_path / "t.csv")
    assert list(compared(*[tmp_path / "t.csv"] * 3, None).train) == list(real())


def test_groups_and_codes_of_a_grouping(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("code,group\n250,sugar\nV*,visit\n")
    text = POLICY.replace(
        'ward: {kind: category, categories: ["1", "2", "10"]}', "ward: {kind: category, grouping: g.csv}"
    )
    policy = Policy.from_text(text, folder=tmp_path)
    codes = real().assign(ward=["250", "V1"] * 20)
    for words in (["sugar", "visit"], ["250.0", "V7"], ["Sugar", " visit"]):
        found, _, _ = comparable(real().assign(ward=words * 20), codes, codes, policy)
        assert found.synthetic["ward"].equals(found.train["ward"]) and not found.unreadable["ward"]["synthetic"]
    found, _, _ = comparable(real().assign(ward=["sugar", "999"] * 20), codes, codes, policy)
    assert found.unreadable["ward"]["synthetic"] == 0.5


@pytest.mark.parametrize("listed", ['["1", "2"]', "[east, west]", "private", None])
def test_labels_of_a_statistical_file(listed: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes with labels in one file, labels or codes in another: whatever the policy names."""
    policy = None if listed is None else Policy.from_text(POLICY.replace('["1", "2", "10"]', listed))
    coded = real().assign(ward=["1", "2", "2", "1"] * 10)

    def with_labels(source: Any, dataset: Any) -> RawTable:
        raw = read_table(source, dataset)
        return RawTable(raw.frame, {"ward": {"1": "east", "2": "west"}} if source is coded else {}, typed=False)

    monkeypatch.setattr(compare, "read_table", with_labels)
    for words in (["1", "2", "2", "1"], ["1.0", "2.0", "2.0", "1.0"], ["East", "west", "west", "East"]):
        found, _, _ = comparable(real().assign(ward=words * 10), coded, coded, policy)
        assert found.synthetic["ward"].equals(found.train["ward"]) and found.train["ward"].nunique() == 2
        assert not found.unreadable["ward"]["synthetic"]


def test_people_are_the_same_however_their_names_are_written() -> None:
    policy = POLICY.replace("unit: row", "unit: {column: who, max_rows: 4}")
    policy = policy.replace("columns:", "columns:\n  who: {kind: id, release: drop}")
    train = real().assign(who=[["7", "7.0", " 7", "8", ""][i % 5] for i in range(40)])
    found = compared(real(), train, real(seed=1).assign(who="8.0"), policy)
    assert found.train_units is not None and found.holdout_units is not None
    units = found.train_units.reshape(8, 5)
    assert len(set(units[:, :3].ravel())) == 1 and set(units[:, 3]) == set(found.holdout_units)
    assert len(set(units[:, 4])) == 8, "rows without a person are not one person's"


# --- the command ------------------------------------------------------------------------------------------------------

ROLES = ["quasi_identifier"] * 3 + ["attribute"] * 5
CODES = POLICY[: POLICY.index("  age:")] + "".join(
    f"  c{i}: {{kind: category, role: {role}, categories: {list(range(1, 13))}}}\n" for i, role in enumerate(ROLES)
)


def codes(seed: int, rows: int = 1200) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).integers(1, 12, (rows, 8)), columns=[f"c{i}" for i in range(8)])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    codes(0).to_csv(tmp_path / "train.csv", index=False)
    codes(1).to_csv(tmp_path / "holdout.csv", index=False)
    copies = pd.concat([codes(0)[:600], codes(2)[:600]])
    copies.to_csv(tmp_path / "copies.csv", index=False)
    copies.astype(float).to_csv(tmp_path / "decimals.csv", index=False)
    dirty = copies.astype(object).assign(c0=["?", "?", *copies["c0"][2:]])
    dirty.to_csv(tmp_path / "dirty.csv", index=False)
    copies.assign(c5="X").to_csv(tmp_path / "none.csv", index=False)
    (tmp_path / "policy.yaml").write_text(CODES + "audit: {effort: quick}\n")
    return tmp_path


def arguments(files: Path, synthetic: str, *more: Any) -> list[Any]:
    named = {"synthetic": synthetic, "train": "train.csv", "holdout": "holdout.csv"}
    return ["audit", *(part for name, file in named.items() for part in (f"--{name}", files / file)), *more]


@pytest.mark.parametrize("synthetic", ["copies.csv", "decimals.csv"])
@pytest.mark.parametrize("with_policy", [True, False])
def test_exact_copies_fail_however_they_are_written(
    synthetic: str, with_policy: bool, files: Path, command: Callable[..., Any]
) -> None:
    policy = ["--policy", files / "policy.yaml"] if with_policy else []
    said = command(*arguments(files, synthetic, *policy, "--json"))
    found = json.loads(said.out)
    assert said.code == 3 and found["verdict"] == "fail"
    failed = {finding["family"] for finding in found["findings"] if finding["verdict"] == "fail"}
    assert {"membership", "singling_out", "linkability"} <= failed
    assert found["unreadable"] == {f"c{i}": {"synthetic": 0.0, "train": 0.0, "holdout": 0.0} for i in range(8)}
    assert set(found["kinds"].values()) == {"category" if with_policy else "number"}


def test_the_command_tells_shares_and_kinds(files: Path, command: Callable[..., Any]) -> None:
    said = command(*arguments(files, "dirty.csv", "--policy", files / "policy.yaml"))
    assert (
        "not readable: c0 as category: 0.17 % of the synthetic table\n" in said.out and said.out.count("readable") == 1
    )
    assert "compared as" not in said.out, "the policy says it"
    said = command(*arguments(files, "dirty.csv"))
    assert "compared as:  c0 (number), c1 (number)" in said.out and "c0 as number: 0.17 % of the synthetic" in said.out
    found = audit(files / "dirty.csv", files / "train.csv", files / "holdout.csv", files / "policy.yaml")
    assert found.unreadable["c0"] == {"synthetic": 2 / 1200, "train": 0.0, "holdout": 0.0}


def test_the_command_refuses_what_it_cannot_read(files: Path, command: Callable[..., Any]) -> None:
    for policy in (["--policy", files / "policy.yaml"], []):
        said = command(*arguments(files, "none.csv", *policy))
        assert (
            said.code == 2
            and "column 'c5' of the synthetic table" in said.err
            and "X" not in said.err.replace("X,", "")
        )
        assert not said.out
