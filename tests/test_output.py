"""The table that leaves: types, order, invented identifiers, missing marks, and every rule kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from privsynth.policy import Policy
from privsynth.sampling.identifiers import Invented
from privsynth.sampling.output import Layout
from privsynth.table.raw import RawTable
from privsynth.table.reader import read_table


def invent(n: int, generator: str | None, pattern: str | None, rng: np.random.Generator) -> list[str] | np.ndarray:
    return Invented(n, generator, pattern, rng).take(n)


TYPED = pd.DataFrame(
    {
        "sex": ["F", None, "M"],
        "ward": ["east", "west", None],
        "age": [3.0, np.nan, 90.0],
        "weight": [70.5, np.nan, 3.0],
        "admitted": [18262.0, 18263.0, np.nan],
        "discharged": [18262.0, np.nan, 18300.0],
        "ill": ["yes", "no", "yes"],
    }
)


@pytest.fixture
def layout(clinic_text: str, clinic_table: Callable[..., pd.DataFrame], tmp_path: Path) -> Callable[..., Layout]:
    def make(*changes: tuple[str, str], raw: RawTable | None = None) -> Layout:
        text = clinic_text
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        if raw is None:
            clinic_table().to_csv(tmp_path / "in.csv", index=False)
            raw = read_table(tmp_path / "in.csv")
        return Layout.of(Policy.from_text(text), raw)

    return make


def finish(layout: Layout, typed: pd.DataFrame = TYPED) -> pd.DataFrame:
    return layout.finish(typed, np.random.default_rng(0))


def test_order_drops_and_types(layout: Callable[..., Layout]) -> None:
    out = finish(layout())
    assert list(out) == ["name", "sex", "ward", "age", "weight", "admitted", "discharged", "ill"], (
        "input order, visit dropped"
    )
    assert {n: str(t) for n, t in out.dtypes.items()} == {
        "name": "object",
        "sex": "object",
        "ward": "object",
        "age": "Int64",
        "weight": "float64",
        "admitted": "datetime64[s]",
        "discharged": "datetime64[s]",
        "ill": "object",
    }
    assert out["admitted"].tolist()[:2] == [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02")] and pd.isna(
        out["admitted"][2]
    )
    full = finish(layout(), TYPED.assign(age=[1.0, 2.0, 3.0]))
    assert str(full["age"].dtype) == "int64", "no missing value: a plain integer"


def test_whole_categories_are_numbers(layout: Callable[..., Layout]) -> None:
    out = finish(layout(("[F, M]", "[1, 2]")), TYPED.assign(sex=["1", None, "2"]))
    assert str(out["sex"].dtype) == "Int64" and out["sex"].tolist()[::2] == [1, 2]
    kept = finish(layout(("[F, M]", '["01", "02"]')), TYPED.assign(sex=["01", None, "02"]))
    assert kept["sex"].tolist() == ["01", None, "02"], "a leading zero is part of the word"


def test_columns_in_the_order_of_the_table_not_of_the_policy(
    layout: Callable[..., Layout], clinic_table: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    table = clinic_table()
    table[list(table)[::-1]].to_csv(tmp_path / "r.csv", index=False)
    out = finish(layout(raw=read_table(tmp_path / "r.csv")))
    assert list(out) == ["ill", "discharged", "admitted", "weight", "age", "ward", "sex", "name"]


def test_csv_writes_missing_as_the_input_does(layout: Callable[..., Layout], tmp_path: Path) -> None:
    made = layout(("discharged: {kind: date,", 'discharged: {kind: date, format: "%d.%m.%Y",'))
    made.write_csv(finish(made), tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "name,sex,ward,age,weight,admitted,discharged,ill"
    assert lines[1].split(",")[1:] == ["F", "east", "3", "70.5", "2020-01-01", "01.01.2020", "yes"]
    assert lines[2].split(",")[1:] == ["?", "west", "?", "?", "2020-01-02", "?", "no"]
    assert lines[3].split(",")[1:] == ["M", "?", "90", "3.0", "?", "08.02.2020", "yes"]
    plain = layout(('  missing: ["?"]\n', ""))
    plain.write_csv(finish(plain), tmp_path / "u.csv")
    assert (tmp_path / "u.csv").read_text().splitlines()[2].split(",")[1:4] == ["", "west", ""]


def test_what_was_written_can_be_read_as_input(layout: Callable[..., Layout], tmp_path: Path, clinic_text: str) -> None:
    from privsynth.table.intake import typed

    made = layout(("release: drop", "release: regenerate"))
    for write, name in ((made.write_csv, "t.csv"), (made.write_parquet, "t.parquet")):
        write(finish(made), tmp_path / name)
        back, unexpected = typed(read_table(tmp_path / name), Policy.from_text(clinic_text))
        assert unexpected == {}
        pd.testing.assert_frame_equal(
            back.astype(object).where(back.notna(), None), TYPED.astype(object).where(TYPED.notna(), None)
        )


def test_parquet_of_a_text_source(layout: Callable[..., Layout], tmp_path: Path) -> None:
    made = layout()
    made.write_parquet(finish(made), tmp_path / "t.parquet")
    assert {f.name: str(f.type) for f in pq.read_schema(tmp_path / "t.parquet")} == {
        "name": "string",
        "sex": "string",
        "ward": "string",
        "age": "int64",
        "weight": "double",
        "admitted": "date32[day]",
        "discharged": "date32[day]",
        "ill": "string",
    }
    assert pq.read_table(tmp_path / "t.parquet").to_pydict()["age"] == [3, None, 90]


def typed_source(clinic_table: Callable[..., pd.DataFrame], tmp_path: Path, name: str, kind: pa.DataType) -> RawTable:
    table = pa.table(clinic_table().to_dict("list"))
    table = table.set_column(table.column_names.index(name), name, pa.nulls(300, kind))
    pq.write_table(table, tmp_path / "in.parquet")
    return read_table(tmp_path / "in.parquet")


@pytest.mark.parametrize(
    ("name", "kind", "wanted"),
    [
        ("age", pa.int8(), pa.int64()),
        ("age", pa.float32(), pa.int64()),
        ("age", pa.string(), pa.int64()),
        ("weight", pa.float32(), pa.float64()),
        ("sex", pa.large_string(), pa.string()),
        ("sex", pa.dictionary(pa.int32(), pa.string()), pa.string()),
        ("admitted", pa.timestamp("ns"), pa.date32()),
        ("admitted", pa.timestamp("us", "UTC"), pa.date32()),
        ("admitted", pa.string(), pa.date32()),
    ],
    ids=str,
)
def test_other_types_are_the_policys_not_the_tables(
    name: str,
    kind: pa.DataType,
    wanted: pa.DataType,
    layout: Callable[..., Layout],
    clinic_table: Callable[..., pd.DataFrame],
    tmp_path: Path,
) -> None:
    """Whether a column came as int8 or as float tells how large its values are, or that one is missing."""
    made = layout(raw=typed_source(clinic_table, tmp_path, name, kind))
    made.write_parquet(finish(made), tmp_path / "out.parquet")
    assert pq.read_schema(tmp_path / "out.parquet").field(name).type == wanted


def test_layout_survives_json(layout: Callable[..., Layout]) -> None:
    made = layout()
    assert Layout.from_json(made.to_json()) == made


# --- rules -----------------------------------------------------------------------------------------------------------

NUMBERS = """\
privsynth: 1
dataset: {id: numbers}
unit: row
budget: {epsilon: 1, delta: 1.0e-6}
columns:
  a: {kind: number, bounds: [0, 100], decimals: 2}
  b: {kind: number, bounds: [0, 100], decimals: 1}
  c: {kind: integer, bounds: [0, 100]}
  d: {kind: integer, bounds: [0, 100]}
  e: {kind: number, bounds: [0, 1]}
constraints:
"""


@pytest.mark.parametrize(
    "rules",
    [
        [("a", "<=", "b")],
        [("a", "<", "b")],
        [("b", ">", "a")],
        [("a", "<=", "c")],
        [("a", "<", "c")],
        [("c", "<", "d")],
        [("c", "<=", "a")],
        [("d", ">=", "e")],
        [("e", "<", "d")],
        [("a", "<", "e")],
        [("a", "<", "b"), ("b", "<", "c"), ("c", "<", "d")],
        [("c", "<", "d"), ("b", "<", "c"), ("a", "<", "b")],  # the last rule moves what the first has repaired
        [("a", "<=", "d"), ("b", "<=", "d"), ("c", "<", "d")],
        [("a", "<=", "b"), ("a", "<=", "c"), ("c", "<", "d"), ("b", "<", "d")],
    ],
)
def test_rules_hold_across_kinds_steps_and_chains(rules: list[tuple[str, str, str]]) -> None:
    policy = Policy.from_text(NUMBERS + "".join(f'  - {{inequality: [{a}, "{op}", {b}]}}\n' for a, op, b in rules))
    rng = np.random.default_rng(0)
    typed = pd.DataFrame(
        {
            "a": rng.integers(0, 10_001, 500) / 100,
            "b": rng.integers(0, 1001, 500) / 10,
            "c": rng.integers(0, 101, 500).astype(float),
            "d": rng.integers(0, 101, 500).astype(float),
            "e": rng.integers(0, 10_001, 500) / 10_000,
        }
    ).mask(rng.random((500, 5)) < 0.1)
    layout = Layout.of(policy, RawTable(pa.table({n: ["1"] for n in "abcde"})))
    out = layout.finish(typed, rng)
    for small, large, strict in (c.rising for c in policy.model.constraints):
        both = (out[small].notna() & out[large].notna()).to_numpy()
        low, high = out[small][both].astype(float), out[large][both].astype(float)
        assert both.sum() > 300 and ((low < high) if strict else (low <= high)).all()
    assert (out.isna() == typed.isna()).all().all(), "nothing is lost or invented"
    assert str(out["c"].dtype) == str(out["d"].dtype) == "Int64"
    for name, places in {"a": 2, "b": 1, "e": 4}.items():
        assert (out[name].dropna() == out[name].dropna().round(places)).all()
    first = rules[0][0] if rules[0][1].startswith("<") else rules[0][2]
    if len(rules) == 1:
        assert (out[first].dropna().astype(float) == typed[first].dropna()).all(), "only the larger side is raised"


# --- identifiers -----------------------------------------------------------------------------------------------------


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_numbers_and_uuids_are_unique() -> None:
    assert len(set(invent(5000, None, None, rng()))) == 5000
    made = invent(1000, "uuid", None, rng())
    assert len(set(made)) == 1000 and all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", v) for v in made
    )


def test_emails_reach_nobody() -> None:
    made = invent(3000, "email", None, rng())
    assert len(set(made)) == 3000 and all(re.fullmatch(r"[^@\s]+@example\.(com|org|net)", v) for v in made)


@pytest.mark.parametrize(
    ("pattern", "form", "n"),
    [
        ("MRN-########", r"MRN-\d{8}", 2000),
        ("??-###", r"[A-Z]{2}-\d{3}", 2000),
        ("##", r"\d{2}", 100),
        ("##", r"\d{2}", 60),
        ("?#", r"[A-Z]\d", 260),
    ],
)
def test_patterns_are_distinct_while_they_have_enough(pattern: str, form: str, n: int) -> None:
    made = invent(n, None, pattern, rng())
    assert len(made) == len(set(made)) == n and all(re.fullmatch(form, v) for v in made)


def test_patterns_with_too_few_fillings_repeat() -> None:
    assert set(invent(50, None, "#", rng())) == set("0123456789") and len(invent(50, None, "#", rng())) == 50
    assert invent(3, None, "fixed", rng()) == ["fixed"] * 3


@pytest.mark.parametrize(
    "generator",
    [
        "name",
        "first_name",
        "last_name",
        "phone_number",
        "address",
        "street_address",
        "city",
        "postcode",
        "company",
        "ssn",
        "iban",
    ],
)
def test_every_generator_of_the_language(generator: str) -> None:
    made = invent(40, generator, None, rng())
    assert len(made) == 40 and all(isinstance(v, str) and v and "\n" not in v for v in made)
    assert len(set(made)) > 20 and made == invent(40, generator, None, rng())
    assert made != invent(40, generator, None, np.random.default_rng(2))
