"""The same table under another id: the fingerprint, and what the ledger makes of it."""

from __future__ import annotations

import doctest
import html
import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_tools import CAP, TABLE, Spy, admit, fresh_ledger, kinds, plan, planned, policy
from scipy.stats import multinomial
from sqlalchemy import text

from privsynth import fit
from privsynth.errors import InputError, Refused
from privsynth.evidence import Books, Evidence
from privsynth.ledger.chain import Entry, check
from privsynth.ledger.ledger import Ledger
from privsynth.privacy.content import Fingerprint
from privsynth.table.fingerprint import _bits, fingerprint
from privsynth.table.reader import read_table

KEY = b"k" * 32


def of(table: pd.DataFrame, key: bytes = KEY) -> str:
    return fingerprint(read_table(table), key).whole


def mixed(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Every kind of column that a table may have, with gaps."""
    rng = np.random.default_rng(seed)
    day = pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 3000, rows), "D")
    frame = pd.DataFrame({
        "id": rng.integers(10**17, 2 * 10**17, rows), "code": [f"0{i}" for i in range(rows)],
        "name": rng.choice(["Anna", "Bo", "O'Neil, \"Jr\"", "Łukasz"], rows), "age": rng.integers(0, 99, rows),
        "weight": rng.normal(75, 12, rows).round(1), "exact": rng.normal(size=rows), "small": rng.normal(size=rows),
        "day": day, "moment": day + pd.to_timedelta(rng.integers(0, 10**6, rows), "ms"), "ill": rng.random(rows) < 0.5,
    })  # fmt: skip
    frame["small"] = frame["small"].astype(np.float32)
    frame["gaps"] = np.where(rng.random(rows) < 0.3, np.nan, rng.integers(0, 5, rows))
    frame.loc[::7, "name"] = None
    return frame


def test_how_a_table_is_stored_does_not_matter(tmp_path: Path) -> None:
    frame = mixed()
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.csv.gz", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    paths = [tmp_path / name for name in ("t.csv", "t.csv.gz", "t.parquet")]
    assert {fingerprint(read_table(path), KEY).whole for path in paths} == {of(frame)}
    assert of(frame.astype({"name": "category"})) == of(frame)
    assert of(pd.read_csv(tmp_path / "t.csv")) == of(pd.read_csv(tmp_path / "t.csv", dtype=str)) == of(frame)


def test_order_does_not_matter() -> None:
    frame = mixed()
    assert of(frame.sample(frac=1, random_state=1)) == of(frame[frame.columns[::-1]]) == of(frame)


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_any_changed_cell_shows(data: st.DataObject) -> None:
    frame = mixed(40)
    column = data.draw(st.sampled_from(list(frame.columns)))
    first, second = data.draw(st.lists(st.integers(0, 39), min_size=2, max_size=2, unique=True))
    old, new = frame.loc[first, column], frame.loc[second, column]
    changed = frame.copy()
    changed.loc[first, column] = new
    same = old == new or (pd.isna(old) and pd.isna(new))
    assert (of(changed) == of(frame)) == same


def test_what_else_makes_another_content() -> None:
    frame = mixed()
    others = [
        frame.rename(columns={"age": "Age"}), frame.drop(columns="age"), frame.iloc[1:], pd.concat([frame, frame]),
        pd.concat([frame, frame.iloc[:1]]), frame.assign(id=frame["id"] + 1),
        frame.assign(age=frame["gaps"], gaps=frame["age"]),  # the same values in each other's column
        frame.assign(age=frame["age"].sample(frac=1, random_state=2).to_numpy()),  # other rows, the same columns
    ]  # fmt: skip
    found = {of(other) for other in others} | {of(frame)} | {of(frame, b"j" * 32)}
    assert len(found) == len(others) + 2


def test_numbers_and_words_that_look_like_them() -> None:
    def one(values: list[Any]) -> str:
        return of(pd.DataFrame({"x": values}))

    assert (
        one(["1", "2.50", "-0", "1e3", " 7 "])
        == one([1.0, 2.5, 0.0, 1000.0, 7.0])
        == one(["1.0", "2.5", "0", "1000", "7"])
    )
    assert one(["True", "no"]) == one(["TRUE", "no"]) != one(["1", "no"])
    assert one([10**16 + 1, 1]) == one([str(10**16 + 1), "1"]) != one([10**16, 1])
    assert one(["2020-01-01", "x"]) == one(["2020-01-01T00:00:00.000Z", "x"]) != one(["2020-01-01 00:00:01", "x"])
    assert one(["inf", "infe5"]) != one(["infe5", "-inf"]) and one([np.inf, 1.0]) == one(["inf", "1"])
    assert one([None, None]) == one(["", None]) == one([np.nan, np.nan]) != one([None, None, None])
    assert one(["", "a"]) == one([None, "a"]) != one(["nothing", "a"])
    assert one(["?", "4"]) == one(["NULL", "4"]) == one(["N/A", 4]) == one([None, 4.0]) != one(["0", "4"])


def test_a_column_that_nothing_can_read_takes_no_part() -> None:
    frame = pa.table({"a": ["x", "y"], "lists": [[1], [2, 3]]})
    raw = replace(read_table(pd.DataFrame({"a": ["x"]})), frame=frame)
    assert fingerprint(raw, KEY) != fingerprint(replace(raw, frame=frame.drop_columns(["a"])), KEY)


def test_a_nul_byte_ends_no_text() -> None:
    """pandas' hash of strings stops there."""
    tables = [
        pa.table({"a": pa.array(["x\0" + end, "y"], kind)}) for end in "pq" for kind in (pa.string(), pa.binary())
    ]
    raws = [replace(read_table(pd.DataFrame({"a": ["x"]})), frame=table) for table in tables]
    raws.append(replace(raws[0], frame=pa.table({"a": tables[0]["a"].dictionary_encode()})))
    found = [fingerprint(raw, KEY).whole for raw in raws]
    assert found[0] == found[1] == found[4] != found[2] == found[3]


def test_the_former_fingerprint_is_that_of_version_0_1_0() -> None:
    columns = {
        "a": ["x", "Ły", "NA", "TRUE"], "b": [1.5, 2.0, None, 7.0], "c": ["2020-01-01T00:00:00", "x", "3", " z "],
    }  # fmt: skip
    found = fingerprint(read_table(pd.DataFrame(columns)), KEY, former=True)
    assert found.former == "3f972bd880507ef9c9da54442f0797e6c2e75be101fe5a78f9593ae2c47603b2" != found.whole


# --- the same people in another cut -----------------------------------------------------------------------------------

MODELLED = ["name", "age", "weight", "exact", "small", "day", "ill", "gaps"]


def alike(
    one: pd.DataFrame, other: pd.DataFrame, first: list[str] = MODELLED, second: list[str] = MODELLED
) -> str | None:
    """By what the second table is recognised behind the first, as the ledger would; never by the whole."""
    before = fingerprint(read_table(one), KEY, first)
    after = fingerprint(read_table(other), KEY, second)
    assert before.whole != after.whole
    return after.likeness(set(before.marks))


def recased(values: pd.Series) -> pd.Series:
    return values.str.upper() if values.dtype == object else values


def test_other_cuts_of_one_table_are_recognised(tmp_path: Path) -> None:
    frame = mixed()
    names = {name: name.upper() for name in frame}
    upper = [names[name] for name in MODELLED]
    odd = frame.rename(columns={"age": "years", "ill": "weight", "weight": "ill"})
    shuffled = frame.assign(same="x").sample(frac=1, random_state=1)[["same", *frame.columns[::-1]]]
    frame.assign(same="x").to_csv(tmp_path / "t.csv", index=False)
    for table, modelled in [
        (frame.assign(same="x"), MODELLED), (frame.drop(columns="code"), MODELLED), (shuffled, MODELLED),
        (frame.assign(code="x", id=range(400)), MODELLED), (frame.rename(columns=names), upper),
        (odd, ["name", "years", "ill", "exact", "small", "day", "weight", "gaps"]), (frame.apply(recased), MODELLED),
        (pd.read_csv(tmp_path / "t.csv"), MODELLED), (pd.read_csv(tmp_path / "t.csv", dtype=str), MODELLED),
    ]:  # fmt: skip
        assert alike(frame, table, second=modelled) == alike(table, frame, modelled) == "modelled columns"


def test_columns_that_are_left_tell_the_rest() -> None:
    """A modelled column less or more, a changed cell in some columns, or cells paired anew: the same people's values."""
    frame = mixed()
    few = MODELLED[1:]
    assert (
        alike(frame, frame.drop(columns="name"), second=few)
        == alike(frame.drop(columns="name"), frame, few)
        == "7 columns"
    )
    assert alike(frame, frame.assign(new=1.0), second=[*MODELLED, "new"]) == "8 columns"
    changed = frame.copy()
    changed.loc[3, ["name", "age", "weight", "ill"]] = ["Bo", 100, 75.05, not frame["ill"][3]]
    assert alike(frame, changed) == "4 columns"
    paired = frame.assign(**{n: frame[n].sample(frac=1, random_state=i).to_numpy() for i, n in enumerate(MODELLED)})
    assert alike(frame, paired) == "8 columns"
    assert alike(frame, frame.assign(new=1), MODELLED[:5], MODELLED[2:]) == "3 columns"


def test_cells_of_a_row_do_not_cancel() -> None:
    """Without names and places, equal cells in a row must still count, each of them."""
    v, w, names = np.arange(100, 200), np.arange(300, 400), ["a", "b", "c"]
    tables = [pd.DataFrame(dict(zip(names, row, strict=True))) for row in ((v, v, 0), (w, w, 0), (v, v, w), (v, w, w))]
    found = [fingerprint(read_table(table), KEY, names).rows for table in tables]
    assert len(set(found)) == 4 and None not in found


def test_one_column_is_not_enough() -> None:
    """Numbers from 1 to n stand in many tables: the rest must decide, without the most informative column."""

    def patients(seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        return pd.DataFrame(
            {"n": range(1, 1001), "sex": rng.permutation(["F", "M"] * 500), "age": rng.integers(0, 99, 1000)}
        )

    one, other = patients(1), patients(2)
    assert (
        fingerprint(read_table(one), KEY, one.columns).columns.keys()
        & fingerprint(read_table(other), KEY, other.columns).columns.keys()
    )
    assert alike(one, other, ["n", "sex", "age"], ["n", "sex", "age"]) is None
    assert alike(one, other.assign(age=one["age"]), ["n", "sex", "age"], ["n", "sex", "age"]) == "3 columns"


def test_other_people_are_other_people() -> None:
    frame = mixed()
    for other in (mixed(seed=1), frame.iloc[1:], pd.concat([frame, frame.iloc[:1]]), frame.iloc[:200], mixed(401)):
        assert alike(frame, other) is None
    noisy = frame.copy()
    for column in MODELLED:  # a cell in every column
        noisy.loc[5, column] = {"name": "Nobody", "ill": not frame["ill"][5], "day": pd.Timestamp("1999-01-01")}.get(
            column, 777
        )
    assert alike(frame, noisy) is None


@pytest.mark.parametrize("rows", [50, 200, 2000])
def test_samples_of_one_population_are_not_taken_for_each_other(rows: int) -> None:
    """Few columns of few values. The chance of a false alarm among these 4,950 pairs is below 4950 / 2^32 = 1e-6."""
    rng = np.random.default_rng(rows)
    seen: list[set[str]] = []
    columns = ["a", "b", "c"]
    for _ in range(100):
        table = pd.DataFrame({name: rng.choice(list("xyz")[: 2 + i], rows) for i, name in enumerate(columns[:2])})
        table["c"] = rng.permutation(rows) if rows < 100 else rng.integers(0, 5, rows)
        found = fingerprint(read_table(table), KEY, columns)
        assert not any(found.likeness(marks) for marks in seen)
        seen.append(set(found.marks))
    assert len(set[str]().union(*seen)) < sum(map(len, seen)), "single columns do agree by chance"


def test_tables_that_say_too_little_are_known_by_the_whole_alone() -> None:
    tiny = pd.DataFrame({"a": ["x", "y"] * 25, "b": ["p", "p", "q", "q", "q"] * 10})
    assert fingerprint(read_table(tiny), KEY, ["a", "b"]).rows is None
    assert alike(tiny, tiny.assign(c=1), ["a", "b"], ["a", "b"]) is None
    large = pd.DataFrame({"a": range(50), "b": ["p", "q"] * 25})
    assert alike(large, large.assign(c=1), ["a", "b"], ["a", "b"]) == "modelled columns"


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.2, 0.3, 0.5)])
def test_bits_bound_the_chance_of_agreement(shares: tuple[float, ...]) -> None:
    """Against all outcomes of 12 draws: no population gives the counts more often than 2^-bits."""
    for counts in itertools.product(range(13), repeat=len(shares)):
        if sum(counts) == 12:
            chance = multinomial.pmf(counts, 12, shares)
            bits = _bits(np.array([n for n in counts if n]))
            assert chance <= 2**-bits * (1 + 1e-9)
            assert multinomial.pmf(counts, 12, np.array(counts) / 12) == pytest.approx(2**-bits)


def test_doctests_of_the_fingerprint() -> None:
    assert doctest.testmod(sys.modules[fingerprint.__module__]).failed == 0


# --- in the ledger ----------------------------------------------------------------------------------------------------

ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return Ledger(fresh_ledger(request.param, tmp_path))


def run_of(
    ledger: Ledger, name: str, content: str | Fingerprint, epsilon: float = 1.0, lifetime: str = CAP
) -> tuple[str, ...]:
    run = ledger.reserve(planned(policy(name, lifetime), plan(epsilon, 1e-7)))
    try:
        return run.identify(content if isinstance(content, Fingerprint) else Fingerprint(content))
    finally:
        run.settle("finished")


def test_another_id_of_the_same_content_is_named(ledger: Ledger) -> None:
    assert run_of(ledger, "a", ONE) == ()
    assert run_of(ledger, "b", OTHER) == ()
    assert run_of(ledger, "a", ONE) == ()
    run = ledger.reserve(planned(policy("c"), plan(0.5)))
    assert run.identify(Fingerprint(ONE)) == ("a",) == run.same_content
    assert run.opened and kinds(ledger)[-2:] == ["reserve", "identify"]
    assert json.loads(ledger.entries()[-1]["body"])["same_content"] == ["a"]
    assert ledger.statement("c").linked == ["a"] and ledger.statement("a").linked == ["c"]
    assert ledger.statement("b").linked == [] and ledger.verify() == []


def test_together_they_keep_one_cap(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    admit(Spy, monkeypatch)
    run_of(ledger, "a", ONE, 2.0)
    run, spy = ledger.reserve(planned(policy("b"), plan(2.0))), Spy()
    with pytest.raises(Refused, match=r"data set 'b': holds the same content as 'a'.*smallest.*epsilon 3") as refusal:
        run.identify(Fingerprint(ONE))
    assert refusal.value.exit_code == 3 and "already spent: epsilon 4, " in str(refusal.value)
    with pytest.raises(Refused, match="content was refused"):
        TABLE.measure(spy, run)
    run.settle("stopped: Refused")
    assert spy.saw == 0 and kinds(ledger)[-3:] == ["reserve", "identify", "settle"]
    assert ledger.spent("b")[0] == 2.0, "rows were read: the reservation stays"
    assert ledger.statement("a").linked == ledger.statement("b").linked == [], "a refused run is nobody else's burden"
    run_of(ledger, "a", ONE, 1.0)
    with pytest.raises(Refused, match="holds the same content as 'a'"):
        run_of(ledger, "b", ONE, 0.1)
    with pytest.raises(Refused, match="already spent: epsilon 3, "):
        ledger.reserve(planned(policy("a"), plan(0.1)))


def test_links_hold_both_ways_and_across(ledger: Ledger) -> None:
    """a and b share one table, b and c another: all three share one total."""
    run_of(ledger, "a", ONE, 1.0)
    run_of(ledger, "c", OTHER, 0.9)
    run_of(ledger, "b", ONE, 0.5)
    assert run_of(ledger, "b", OTHER, 0.5) == ("c",)
    for name in "abc":
        assert sorted([name, *ledger.statement(name).linked]) == ["a", "b", "c"]
        assert ledger.statement(name).spent.epsilon == pytest.approx(2.9)
        with pytest.raises(Refused):
            ledger.reserve(planned(policy(name), plan(0.2, 1e-7)))
    ledger.reserve(planned(policy("a"), plan(0.1, 1e-7)))


def test_the_smallest_cap_known_holds_for_all(ledger: Ledger) -> None:
    large = ", lifetime: {epsilon: 20.0, delta: 1.0e-4}"
    run_of(ledger, "small", ONE, 1.0)
    run_of(ledger, "none", ONE, 1.0, "")
    with pytest.raises(Refused, match=r"\(epsilon 3, delta 1.0e-05\)"):
        run_of(ledger, "large", ONE, 5.0, large)
    run_of(ledger, "alone", OTHER, 5.0, large)
    with pytest.raises(Refused, match=r"\(epsilon 3, delta 1.0e-05\)"):
        ledger.reserve(planned(policy("none", ""), plan(1.1)))
    assert run_of(ledger, "none", ONE, 0.9, "") == ("small",)


def test_nobody_has_a_cap(ledger: Ledger) -> None:
    assert run_of(ledger, "a", ONE, 50.0, "") == () and run_of(ledger, "b", ONE, 50.0, "") == ("a",)


ROWS, AGE, WARD, SEX = "a" * 64, "b" * 64, "c" * 64, "d" * 64
WHOLE_ONE, NEW_ONE = Fingerprint(ONE, ROWS, {AGE: 300.0, WARD: 40.0, SEX: 3.0}), "3" * 64


@pytest.mark.parametrize(
    ("other", "by"),
    [
        (Fingerprint(NEW_ONE, ROWS, {AGE: 300.0, WARD: 40.0, SEX: 3.0}), "modelled columns"),
        (Fingerprint(NEW_ONE, "e" * 64, {AGE: 300.0, WARD: 40.0}), "2 columns"),
        (Fingerprint(NEW_ONE, None, {AGE: 300.0, WARD: 40.0, SEX: 3.0, "f" * 64: 900.0}), "3 columns"),
        (Fingerprint(ONE), "content"),
        (Fingerprint(NEW_ONE, None, {}, former=ONE), "content"),
    ],
)
def test_a_table_in_another_cut_shares_the_budget(other: Fingerprint, by: str, ledger: Ledger) -> None:
    run_of(ledger, "a", WHOLE_ONE)
    run = ledger.reserve(planned(policy("b"), plan(1.0)))
    assert run.identify(other) == ("a",) and run.books.recognised[0].endswith(" as data set 'a', one budget for both.")
    said = json.loads(ledger.entries()[-1]["body"])
    assert said["recognised"] == [{"dataset": "a", "by": by}] and said["same_content"] == ["a"] * (by == "content")
    assert ledger.statement("a").linked == ["b"] and ledger.statement("b").linked == ["a"] and ledger.verify() == []
    for name in "ab":
        with pytest.raises(Refused, match="with the same content as"):
            ledger.reserve(planned(policy(name), plan(1.1)))
    with pytest.raises(Refused, match=r"holds the same content as 'a', 'b'; .*epsilon 4\.5"):
        run_of(ledger, "c", other, 2.5)
    assert ledger.statement("a").linked == ["b"], "a refused run is nobody else's burden"
    assert run_of(ledger, "d", replace(other, whole="4" * 64, former=None), 0.1) == (
        ("a", "b") if by != "content" else ()
    )
    assert ledger.verify() == []


def test_what_is_not_enough_in_common_is_no_link(ledger: Ledger) -> None:
    run_of(ledger, "a", WHOLE_ONE)
    assert run_of(ledger, "b", Fingerprint(NEW_ONE, None, {WARD: 40.0, SEX: 3.0})) == ()
    assert run_of(ledger, "b", Fingerprint("4" * 64, None, {AGE: 300.0, SEX: 3.0})) == ()
    assert run_of(ledger, "c", Fingerprint("5" * 64, None, {AGE: 300.0, "f" * 64: 90.0})) == ()
    assert ledger.statement("a").linked == [] == ledger.statement("b").linked and ledger.verify() == []


def test_columns_of_different_tables_are_not_added_up(ledger: Ledger) -> None:
    """An id may be given another table each month."""
    run_of(ledger, "a", Fingerprint(ONE, None, {AGE: 40.0, SEX: 3.0}), 0.5)
    run_of(ledger, "a", Fingerprint(OTHER, None, {WARD: 40.0, SEX: 3.0}), 0.5)
    assert run_of(ledger, "b", Fingerprint(NEW_ONE, None, {AGE: 40.0, WARD: 40.0}), 0.5) == ()
    assert run_of(ledger, "b", Fingerprint("4" * 64, None, {AGE: 40.0, WARD: 40.0, SEX: 33.0}), 0.5) == ("a",)


def test_a_ledger_of_the_first_version_goes_on(tmp_path: Path) -> None:
    """Without tables of marks and links, and entries that know of none; its contents are found by the former method."""
    frame = mixed()
    ledger = Ledger(url := fresh_ledger("sqlite", tmp_path))
    raw, key = read_table(frame), ledger.fingerprint_key()
    known = Fingerprint("0" * 64, former=fingerprint(raw, key, former=True).former)
    assert known.former not in (None, fingerprint(raw, key).whole) and not ledger.has_former_contents()
    with ledger.engine.begin() as connection:
        commitment = ledger._database.know(connection, "a", Fingerprint(str(known.former)), [])["content"]
    run = ledger.reserve(planned(policy("a"), plan(2.0)))
    head = ledger.append("a", run.id, "identify", {"content": commitment, "same_content": []})
    with ledger.engine.begin() as connection:
        for table in ("marks", "links"):
            connection.execute(text(f"DROP TABLE privsynth_{table}"))
    for reader in (Ledger(url, must_exist=True), Ledger(url)):
        assert reader.verify(head) == [] and reader.has_former_contents() and reader.spent("a")[0] == 2.0
    with pytest.raises(Refused, match="holds the same content as 'a'"):
        run_of(reader, "b", fingerprint(raw, key, MODELLED, reader.has_former_contents()), 2.0)
    assert run_of(reader, "c", fingerprint(raw, key, MODELLED, True), 0.5) == ("a",)
    assert reader.statement("a").linked == ["c"] and reader.verify() == []


def test_a_key_that_cannot_be_guessed(ledger: Ledger) -> None:
    key = ledger.fingerprint_key()
    assert len(key) == 32 and ledger.fingerprint_key() == key and Ledger("sqlite://").fingerprint_key() != key
    address = ledger.engine.url.render_as_string(hide_password=False)
    assert Ledger(address).fingerprint_key() == key


def test_key_and_fingerprint_stay_inside(ledger: Ledger, command: Callable[..., Any], tmp_path: Path) -> None:
    key = ledger.fingerprint_key()
    for name in "ab":
        run_of(ledger, name, WHOLE_ONE)
    address = ledger.engine.url.render_as_string(hide_password=False)
    assert command("ledger", "export", "--ledger", address, "--out", tmp_path / "books.json").code == 0
    said = [command("ledger", "show", "--ledger", address, *more).all for more in ([], ["--json"])]
    for text_ in (*said, (tmp_path / "books.json").read_text(), json.dumps(ledger.entries())):
        assert not any(secret in text_ for secret in (ONE, *WHOLE_ONE.marks, key.hex()))
    bodies = [json.loads(e["body"]) for e in ledger.entries() if e["kind"] == "identify"]
    assert len({body[what] for body in bodies for what in ("content", "marks")}) == 4, (
        "nobody can compare two ids' contents"
    )
    shown = command("ledger", "verify", "--export", tmp_path / "books.json", "--head", ledger.entries()[2]["hash"])
    assert shown.code == 0 and "entries: 6" in shown.out
    exported = json.loads((tmp_path / "books.json").read_text())["entries"]
    assert check([tuple(Entry(**e)) for e in exported]).problems == []
    (tmp_path / "books.json").write_text((tmp_path / "books.json").read_text().replace('"b"', '"c"'))
    assert command("ledger", "verify", "--export", tmp_path / "books.json").code == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE privsynth_contents SET fingerprint = '3' WHERE dataset = 'a'",
        "UPDATE privsynth_contents SET dataset = 'c' WHERE dataset = 'b'",
        "DELETE FROM privsynth_contents WHERE dataset = 'a'",
        "DELETE FROM privsynth_contents",
        "INSERT INTO privsynth_contents (dataset, fingerprint) VALUES ('c', '1')",
        f"UPDATE privsynth_marks SET mark = '3' WHERE dataset = 'a' AND mark = '{ROWS}'",
        "UPDATE privsynth_marks SET dataset = 'c' WHERE dataset = 'b'",
        "UPDATE privsynth_marks SET sketch = '3' WHERE dataset = 'b'",
        f"DELETE FROM privsynth_marks WHERE mark = '{SEX}'",
        "DELETE FROM privsynth_marks",
        "INSERT INTO privsynth_marks (dataset, sketch, mark) VALUES ('c', '1', '1')",
        "DELETE FROM privsynth_links",
        "UPDATE privsynth_links SET other = 'c'",
        "INSERT INTO privsynth_links (dataset, other) VALUES ('a', 'c')",
        "UPDATE privsynth_secrets SET key = 'ab'",
        "DELETE FROM privsynth_secrets",
    ],
)
def test_edits_of_contents_and_key_show(statement: str, ledger: Ledger) -> None:
    for name in "ab":
        run_of(ledger, name, WHOLE_ONE)
    assert ledger.verify(ledger.head()) == []
    with ledger.engine.begin() as connection:
        connection.execute(text(statement))
    assert ledger.verify() == ["a fingerprint, a link or the key has been changed: the entries say another"]


def test_a_lost_key_is_not_drawn_anew(ledger: Ledger) -> None:
    run_of(ledger, "a", ONE)
    with ledger.engine.begin() as connection:
        connection.execute(text("DELETE FROM privsynth_secrets"))
    with pytest.raises(InputError, match="not their key"):
        ledger.fingerprint_key()


# --- on the way of the data -------------------------------------------------------------------------------------------


def test_fit_knows_a_table_again(
    clinic_policy: Callable[..., Path], clinic_table: Callable[..., pd.DataFrame], own_ledger: str, tmp_path: Path
) -> None:
    lifetime = ("  delta: 1.0e-6", "  delta: 1.0e-6\n  lifetime: {epsilon: 4.0, delta: 1.0e-5}")
    one, other = clinic_policy(lifetime), clinic_policy(lifetime, ("id: clinic", "id: renamed"), name="renamed.yaml")
    table = clinic_table()
    table.to_csv(tmp_path / "t.csv", index=False)
    fit(one, table, epsilon=0.5)
    said: list[str] = []
    fit(other, tmp_path / "t.csv", epsilon=0.5, progress=lambda what, _: said.append(what))
    assert any("data set 'clinic'" in line for line in said)
    ledger = Ledger(own_ledger)
    assert ledger.statement("renamed").linked == ["clinic"] and "audit" not in kinds(ledger)
    with pytest.raises(Refused, match="with the same content as 'clinic'"):
        fit(other, table, epsilon=4.0)
    fit(other, clinic_table(seed=1), epsilon=0.5)
    assert ledger.verify() == []


LIFETIME = ("  delta: 1.0e-6", "  delta: 1.0e-6\n  lifetime: {epsilon: 4.0, delta: 1.0e-5}")
AGE_COLUMN = "  age: {kind: integer, bounds: [0, 110]}\n"
CUTS: dict[str, tuple[list[tuple[str, str]], Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a dropped constant": (
        [(AGE_COLUMN, AGE_COLUMN + "  note: {kind: text, release: drop}\n")], lambda t: t.assign(note="x"), "modelled columns",
    ),
    "no dropped column": (
        [("  visit: {kind: id, role: direct_identifier, release: drop}\n", "")], lambda t: t.drop(columns="visit"),
        "modelled columns",
    ),
    "a new name": ([("  age:", "  years:")], lambda t: t.rename(columns={"age": "years"}), "modelled columns"),
    "a header in capitals": ([("  age:", "  AGE:")], lambda t: t.rename(columns={"age": "AGE"}), "modelled columns"),
    "values in capitals": (
        [('["yes", "no"]', '["YES", "NO"]')], lambda t: t.assign(ill=t["ill"].str.upper(), ward=t["ward"].str.title(), name="x"),
        "modelled columns",
    ),
    "a modelled column less": ([(AGE_COLUMN, "")], lambda t: t.drop(columns="age"), "cells in 6 columns"),
    "a modelled column dropped": (
        [(AGE_COLUMN, "  age: {kind: integer, release: drop}\n")], lambda t: t.assign(age=0), "cells in 6 columns",
    ),
    "a modelled column more": (
        [(AGE_COLUMN, AGE_COLUMN + "  more: {kind: integer, bounds: [0, 9]}\n")], lambda t: t.assign(more=1), "cells in 7 columns",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("cut", list(CUTS))
def test_fit_knows_a_table_in_another_cut(
    cut: str,
    clinic_policy: Callable[..., Path],
    clinic_table: Callable[..., pd.DataFrame],
    own_ledger: str,
    tmp_path: Path,
) -> None:
    """Each evasion by itself, from a CSV against a Parquet file with rows and columns in another order."""
    changes, change, by = CUTS[cut]
    table = clinic_table()
    table.to_csv(tmp_path / "one.csv", index=False)
    other = change(table).sample(frac=1, random_state=3)
    other[other.columns[::-1]].to_parquet(tmp_path / "other.parquet", index=False)
    fit(clinic_policy(LIFETIME), tmp_path / "one.csv", epsilon=3.0)
    said: list[str] = []
    recut = clinic_policy(LIFETIME, ("id: clinic", "id: recut"), *changes, name="recut.yaml")
    fit(recut, tmp_path / "other.parquet", epsilon=0.5, progress=lambda what, _: said.append(what))
    assert f"The same {by} as data set 'clinic', one budget for both." in said
    with pytest.raises(Refused, match="with the same content as 'clinic'"):
        fit(recut, tmp_path / "other.parquet", epsilon=3.9)
    assert Ledger(own_ledger).statement("clinic").linked == ["recut"] and Ledger(own_ledger).verify() == []


@pytest.mark.slow
def test_what_the_books_noticed_is_told_and_shown(
    clinic_policy: Callable[..., Path],
    clinic_table: Callable[..., pd.DataFrame],
    command: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """By the command on stderr, in evidence, and in both reports; what depends on rows in the internal ones alone."""
    clinic_table().to_csv(tmp_path / "t.csv", index=False)
    fit(clinic_policy(LIFETIME), tmp_path / "t.csv", epsilon=0.5)
    fit(clinic_policy(LIFETIME, ("id: clinic", "id: renamed"), name="other.yaml"), tmp_path / "t.csv", epsilon=0.5)
    raised = clinic_policy(("  delta: 1.0e-6", "  delta: 1.0e-6\n  lifetime: {epsilon: 9.0, delta: 1.0e-5}"))
    said = command("run", raised, "--data", tmp_path / "t.csv", "--out", tmp_path / "out", "--epsilon", 0.5)
    alarm = "The policy raised the lifetime budget of this data set, from epsilon 4, delta 1.0e-05 to epsilon 9, delta 1.0e-05."
    same = "The same content as data set 'renamed', one budget for both."
    assert f"... {alarm}\n" in said.err and f"... {same}\n" in said.err
    public, internal = (Evidence.read(tmp_path / "out" / face / "evidence.json") for face in ("release", "dossier"))
    assert public.books == Books(alarms=[alarm]) and internal.books == Books(alarms=[alarm], recognised=[same])
    for face in ("release", "dossier"):
        page = html.unescape((tmp_path / "out" / face / "report.html").read_text())
        assert page.split('id="rely"')[0].count(alarm) == 1 and page.count(alarm) == 2
        assert page.count(same) == (face == "dossier") and ("renamed" in page) == (face == "dossier")
    said = command(
        "fit", raised, "--data", tmp_path / "t.csv", "--out", tmp_path / "m", "--epsilon", 0.5, "--ledger", "sqlite://"
    )
    assert "... The ledger is in memory only." in said.err
