"""The table that leaves: types, order, invented identifiers, missing marks, and every rule kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from privsynth.policy import Policy
from privsynth.sampling.output import Layout
from privsynth.table.intake import typed
from privsynth.table.names import state_of
from privsynth.table.raw import BLANK, REGULAR, RawTable
from privsynth.table.reader import read_table

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


def with_states(typed: pd.DataFrame, **states: list[int]) -> pd.DataFrame:
    """Typed rows with the states of some columns: REGULAR, BLANK, or the place of a mark. Only REGULAR cells have values."""
    columns = {state_of(name): np.array(found, np.int8) for name, found in states.items()}
    values = {name: typed[name].where([s == REGULAR for s in found]) for name, found in states.items()}
    return typed.assign(**values, **columns)


UNMARKED = ('  missing: ["?"]\n', "")
MARKED = with_states(
    TYPED.assign(sex=["F", "?", None], ward=["east", "west", "?"]),
    age=[REGULAR, 0, BLANK],
    weight=[REGULAR, BLANK, 0],
    admitted=[REGULAR, 0, BLANK],
    discharged=[REGULAR, BLANK, REGULAR],
)


def test_order_drops_and_types(layout: Callable[..., Layout]) -> None:
    out = finish(layout(UNMARKED))
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
    full = finish(layout(UNMARKED), TYPED.assign(age=[1.0, 2.0, 3.0]))
    assert str(full["age"].dtype) == "int64", "no missing value: a plain integer"


def test_a_number_with_a_token_that_is_none_is_text_whatever_its_cells_hold(layout: Callable[..., Layout]) -> None:
    """The policy decides it, and not whether a row happens to hold the token."""
    for rows in (TYPED, MARKED):
        out = finish(layout(), rows)
        assert {str(out[n].dtype) for n in ("age", "weight", "admitted", "discharged")} == {"object"}
    assert out["age"].tolist() == ["3", "?", None] and out["weight"].tolist() == ["70.5", None, "?"]
    assert out["admitted"].tolist() == ["2020-01-01", "?", None] and out["sex"].tolist() == ["F", "?", None]


def test_a_token_that_is_a_number_leaves_as_that_number(layout: Callable[..., Layout]) -> None:
    """Also where it lies outside of the bounds, and where the column holds whole numbers."""
    made = layout(('["?"]', "[-8, -9.0]"))
    out = finish(made, with_states(TYPED, age=[REGULAR, BLANK, 0], weight=[1, 0, REGULAR]))
    assert str(out["age"].dtype) == "Int64" and str(out["weight"].dtype) == "float64"
    assert out["age"].tolist()[::2] == [3, -8] and pd.isna(out["age"][1])
    assert out["weight"].tolist() == [-9.0, -8.0, 3.0]
    assert str(out["admitted"].dtype) == "object", "-8 is no date"


def test_whole_categories_are_numbers(layout: Callable[..., Layout]) -> None:
    out = finish(layout(UNMARKED, ("[F, M]", "[1, 2]")), TYPED.assign(sex=["1", None, "2"]))
    assert str(out["sex"].dtype) == "Int64" and out["sex"].tolist()[::2] == [1, 2]
    marked = finish(layout(("[F, M]", "[1, 2]"), ('["?"]', "[-9]")), TYPED.assign(sex=["1", None, "-9"]))
    assert str(marked["sex"].dtype) == "Int64" and marked["sex"].tolist()[::2] == [1, -9]
    kept = finish(layout(UNMARKED, ("[F, M]", '["01", "02"]')), TYPED.assign(sex=["01", None, "02"]))
    assert kept["sex"].tolist() == ["01", None, "02"], "a leading zero is part of the word"
    words = finish(layout(("[F, M]", "[1, 2]")), TYPED.assign(sex=["1", None, "?"]))
    assert words["sex"].tolist() == ["1", None, "?"], "a token that is no number makes all of them words"


def test_columns_in_the_order_of_the_table_not_of_the_policy(
    layout: Callable[..., Layout], clinic_table: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    table = clinic_table()
    table[list(table)[::-1]].to_csv(tmp_path / "r.csv", index=False)
    out = finish(layout(raw=read_table(tmp_path / "r.csv")))
    assert list(out) == ["ill", "discharged", "admitted", "weight", "age", "ward", "sex", "name"]


def test_csv_writes_each_missing_value_as_it_came(layout: Callable[..., Layout], tmp_path: Path) -> None:
    """A token leaves as itself, a blank cell as a blank one."""
    made = layout(("discharged: {kind: date,", 'discharged: {kind: date, format: "%d.%m.%Y",'))
    made.write_csv(finish(made, MARKED), tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "name,sex,ward,age,weight,admitted,discharged,ill"
    assert lines[1].split(",")[1:] == ["F", "east", "3", "70.5", "2020-01-01", "01.01.2020", "yes"]
    assert lines[2].split(",")[1:] == ["?", "west", "?", "", "?", "", "no"]
    assert lines[3].split(",")[1:] == ["", "?", "", "?", "", "08.02.2020", "yes"]
    plain = layout(UNMARKED)
    plain.write_csv(finish(plain), tmp_path / "u.csv")
    assert (tmp_path / "u.csv").read_text().splitlines()[2].partition(",")[2] == ",west,,,2020-01-02,,no"


@pytest.mark.parametrize("rows", [TYPED, MARKED], ids=["blank", "marked"])
def test_what_was_written_can_be_read_as_input(
    rows: pd.DataFrame, layout: Callable[..., Layout], tmp_path: Path, clinic_text: str
) -> None:
    made = layout(("release: drop", "release: regenerate"))
    for write, name in ((made.write_csv, "t.csv"), (made.write_parquet, "t.parquet")):
        write(finish(made, rows), tmp_path / name)
        back, counts = typed(read_table(tmp_path / name), Policy.from_text(clinic_text))
        assert {count.odd for count in counts.values()} == {0}, "nothing was unreadable or out of bounds"
        for column in rows:
            same = back[column].astype(object).where(back[column].notna(), None)
            assert same.tolist() == rows[column].astype(object).where(rows[column].notna(), None).tolist(), column


def test_parquet_of_a_text_source(layout: Callable[..., Layout], tmp_path: Path) -> None:
    made = layout(UNMARKED)
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
    marked = layout()
    marked.write_parquet(finish(marked, MARKED), tmp_path / "m.parquet")
    assert {str(field.type) for field in pq.read_schema(tmp_path / "m.parquet")} == {"string"}
    assert pq.read_table(tmp_path / "m.parquet").to_pydict()["age"] == ["3", "?", None]


def typed_source(clinic_table: Callable[..., pd.DataFrame], tmp_path: Path, name: str, kind: pa.DataType) -> RawTable:
    table = pa.table(clinic_table().to_dict("list"))
    table = table.set_column(table.column_names.index(name), name, pa.nulls(300, kind))
    pq.write_table(table, tmp_path / "in.parquet")
    return read_table(tmp_path / "in.parquet")


@pytest.mark.parametrize(
    ("name", "kind", "wanted"),
    [
        ("age", pa.int8(), pa.int8()),
        ("age", pa.uint16(), pa.uint16()),
        ("age", pa.float32(), pa.int64()),
        ("age", pa.float64(), pa.int64()),
        ("age", pa.decimal128(5, 0), pa.decimal128(5, 0)),
        ("age", pa.string(), pa.string()),
        ("weight", pa.float32(), pa.float32()),
        ("weight", pa.float64(), pa.float64()),
        ("weight", pa.int64(), pa.float64()),
        ("weight", pa.decimal128(5, 1), pa.decimal128(5, 1)),
        ("weight", pa.decimal128(3, 1), pa.float64()),  # holds no 300.0
        ("weight", pa.decimal128(5, 0), pa.float64()),  # holds no 70.5
        ("weight", pa.large_string(), pa.string()),
        ("sex", pa.large_string(), pa.string()),
        ("sex", pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int32(), pa.string())),
        ("ill", pa.string(), pa.string()),
        ("admitted", pa.date32(), pa.date32()),
        ("admitted", pa.date64(), pa.date32()),  # Parquet has no other
        ("admitted", pa.timestamp("ms"), pa.timestamp("ms")),
        ("admitted", pa.timestamp("us", "UTC"), pa.timestamp("us", "UTC")),
        ("admitted", pa.string(), pa.string()),
    ],
    ids=str,
)
@pytest.mark.parametrize("token", [True, False], ids=["token", "plain"])
def test_types_are_those_that_the_source_declares(
    token: bool,
    name: str,
    kind: pa.DataType,
    wanted: pa.DataType,
    layout: Callable[..., Layout],
    clinic_table: Callable[..., pd.DataFrame],
    tmp_path: Path,
) -> None:
    """A declared schema is kept, but for what tells of a cell: whole numbers that came as floats may have had a missing one.

    All cells here are missing, so none of them can have decided it. A token that the source's type cannot hold changes
    nothing.
    """
    made = layout(*([] if token else [UNMARKED]), raw=typed_source(clinic_table, tmp_path, name, kind))
    made.write_parquet(finish(made), tmp_path / "out.parquet")
    field = pq.read_schema(tmp_path / "out.parquet").field(name)
    assert field.type == wanted
    values = pq.read_table(tmp_path / "out.parquet").column(name)
    if name == "admitted" and not pa.types.is_string(wanted):
        assert values.cast(pa.date32()).to_pylist() == [date(2020, 1, 1), date(2020, 1, 2), None]
    elif name == "age":
        assert [v if v is None else int(v) for v in values.to_pylist()] == [3, None, 90]
    elif name == "weight":
        assert [v if v is None else float(v) for v in values.to_pylist()] == [70.5, None, 3.0]


def test_a_type_that_is_too_narrow_for_the_bounds_widens(
    layout: Callable[..., Layout], clinic_table: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    made = layout(("bounds: [0, 110]", "bounds: [0, 200]"), raw=typed_source(clinic_table, tmp_path, "age", pa.int8()))
    made.write_parquet(finish(made, TYPED.assign(age=[200.0, 3.0, np.nan])), tmp_path / "out.parquet")
    ages = pq.read_table(tmp_path / "out.parquet").column("age")
    assert ages.type == pa.int64() and ages.to_pylist() == [200, 3, None]


ADMITTED = "admitted: {kind: date, bounds: [2015-01-01, 2024-12-31]"


@pytest.mark.parametrize(
    ("source", "change", "wanted"),
    [
        (pa.int8(), ("[0, 110]}", "[0, 110], missing: [-9]}"), pa.int8()),
        (pa.int8(), ("[0, 110]}", "[0, 110], missing: [-999]}"), pa.int64()),
        (pa.int8(), ("[0, 110]}", "[0, 110], missing: [-9.5]}"), pa.int8()),
        (pa.int8(), ("[0, 110]}", '[0, 110], missing: ["1e99"]}'), pa.int8()),
        (pa.decimal128(5, 1), ("decimals: 1}", "decimals: 1, missing: [-9]}"), pa.decimal128(5, 1)),
        (pa.decimal128(5, 1), ("decimals: 1}", "decimals: 1, missing: [-99999]}"), pa.float64()),
        (pa.timestamp("ns"), (ADMITTED, ADMITTED.replace("2015", "1600")), pa.date32()),
        (pa.timestamp("us"), (ADMITTED, ADMITTED.replace("2015", "1600")), pa.timestamp("us")),
        (pa.timestamp("ns"), (ADMITTED, ADMITTED + ', missing: ["9999-12-31"]'), pa.date32()),
    ],
    ids=str,
)
def test_whatever_can_be_sampled_fits_into_the_type(
    source: pa.DataType,
    change: tuple[str, str],
    wanted: pa.DataType,
    layout: Callable[..., Layout],
    clinic_table: Callable[..., pd.DataFrame],
    tmp_path: Path,
) -> None:
    """The ends of the bounds, and a mark, which noise can bring into a sample even where no row has it."""
    name = {"int8": "age", "decimal128(5, 1)": "weight"}.get(str(source), "admitted")
    made = layout(change, raw=typed_source(clinic_table, tmp_path, name, source))
    column = next(c for c in made.columns if c.name == name)
    low, high = column.form.low, column.form.high
    rows = TYPED.assign(**{name: [low, high, np.nan], state_of(name): np.array([REGULAR, REGULAR, 0], np.int8)})
    out = finish(made, rows)
    made.write_parquet(made.finish_block(rows, made.invented(3, np.random.default_rng(0))), tmp_path / "out.parquet")
    values = pq.read_table(tmp_path / "out.parquet").column(name)
    assert values.type == wanted
    assert len(out) == len(values) == 3 and values[0].as_py() != values[1].as_py() is not None


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ([], "int8"),
        (['[a, "<", b]'], "int8"),
        (['[c, "<=", b]'], "int8"),
        (['[c, "<", b]'], "int64"),
        (['[d, "<=", b]'], "int64"),
        (['[d, "<", a]', '[a, "<", b]'], "int64"),
        (['[b, "<", d]'], "int8"),
        (['[p, "<", b]'], "int64"),
    ],
)
def test_a_type_holds_what_rules_raise_a_value_to(rules: list[str], wanted: str) -> None:
    """The larger side is raised to the smaller one, also beyond its own bounds, through chains too."""
    text = (
        "privsynth: 1\ndataset: {id: one}\nunit: row\nbudget: {epsilon: 1, delta: 1.0e-6}\ncolumns:\n"
        "  a: {kind: integer, bounds: [0, 100]}\n  b: {kind: integer, bounds: [0, 100]}\n"
        "  c: {kind: integer, bounds: [0, 127]}\n  d: {kind: integer, bounds: [0, 200]}\n"
        "  p: {kind: integer, bounds: private}\n"
    )
    text += "constraints:\n" + "".join(f"  - {{inequality: {rule}}}\n" for rule in rules) if rules else ""
    frame = pd.DataFrame({"a": [1], "b": [1], "c": [1], "d": [1], "p": [1]}).astype({"b": "int8"})
    layout = Layout.of(Policy.from_text(text), read_table(frame))
    high = pd.DataFrame({"a": [100.0], "b": [100.0], "c": [127.0], "d": [200.0], "p": [1e6]})
    out = finish(layout, high)
    assert str(out["b"].dtype) == wanted
    for small, large, strict, _ in layout.rules:
        assert (out[small] < out[large]).all() if strict else (out[small] <= out[large]).all()


@pytest.mark.parametrize(
    ("dtype", "kind", "wanted", "with_missing"),
    [
        ("int8", "integer, bounds: [0, 100]", "int8", "Int8"),
        ("uint8", "integer, bounds: [0, 200]", "uint8", "UInt8"),
        ("int8", "integer, bounds: [0, 200]", "int64", "Int64"),
        ("uint8", "integer, bounds: [-1, 200]", "int64", "Int64"),
        ("Int16", "integer, bounds: [0, 200]", "Int16", "Int16"),
        ("int64", "integer, bounds: [0, 200]", "int64", "Int64"),
        ("float64", "integer, bounds: [0, 200]", "int64", "Int64"),
        ("float32", "integer, bounds: [0, 200]", "int64", "Int64"),
        ("object", "integer, bounds: [0, 200]", "int64", "Int64"),
        ("float64", "number, bounds: [0, 200]", "float64", "float64"),
        ("float32", "number, bounds: [0, 200]", "float32", "float32"),
        ("int64", "number, bounds: [0, 200]", "float64", "float64"),
    ],
)
def test_dtypes_of_a_data_frame_are_kept_where_they_hold_all_values(
    dtype: str, kind: str, wanted: str, with_missing: str
) -> None:
    policy = Policy.from_text(ONE_NUMBER.replace("KIND", kind))
    layout = Layout.of(policy, read_table(pd.DataFrame({"x": pd.Series([1, 2], dtype=dtype), "y": ["a", "b"]})))
    high = policy.model.columns["x"].limits[1] - (0.5 if kind.startswith("number") else 0)  # type: ignore[index]
    rows = pd.DataFrame({"x": [high, 3.0], "y": ["a", "b"]})
    out = finish(layout, rows)
    assert str(out["x"].dtype) == wanted and out["x"].tolist() == [high, 3]
    missing = finish(layout, rows.assign(x=[high, np.nan]))
    assert str(missing["x"].dtype) == with_missing and missing["x"][0] == high and pd.isna(missing["x"][1])


ONE_NUMBER = """\
privsynth: 1
dataset: {id: one}
unit: row
budget: {epsilon: 1, delta: 1.0e-6}
columns:
  x: {kind: KIND}
  y: {kind: category, categories: [a, b]}
"""


def test_layout_survives_json(layout: Callable[..., Layout]) -> None:
    made = layout(('["?"]', '["?", "-9"]\n  csv: {delimiter: ";", decimal: ","}'))
    assert Layout.from_json(json.loads(json.dumps(made.to_json()))) == made


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
    layout = Layout.of(policy, RawTable(pa.table({n: ["1"] for n in "abcde"}), typed=False))
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


MANY = """\
privsynth: 1
dataset: {id: dtypes, rows: 100}
unit: row
budget: {epsilon: 3, delta: 1.0e-6}
columns:
  level: {kind: category, categories: [low, mid, high], ordered: true}
  grade: {kind: category, categories: [0.5, 1.5]}
  price: {kind: number, bounds: [0, 99], decimals: 2}
  count: {kind: integer, bounds: [0, 99]}
  seen: {kind: datetime, bounds: [2020-01-01, 2020-12-31]}
  there: {kind: datetime, bounds: [2020-01-01, 2020-12-31]}
  word: {kind: category, categories: [a, b]}
"""


def test_dtypes_that_pandas_cannot_make_from_their_names_come_back(tmp_path: Path) -> None:
    """Time zones were lost, and a decimal of Arrow's ended the run when all was spent."""
    moments = pd.Series(pd.to_datetime(["2020-07-01 12:00:00", "2020-01-01 12:00:00"])).dt.tz_localize("Europe/Paris")
    source = pd.DataFrame({
        "level": pd.Categorical(["low", "low"]), "grade": [0.5, 1.5], "price": [Decimal("1.50")] * 2, "count": [Decimal(1)] * 2,
        "seen": moments, "there": moments, "word": ["a", "b"],
    })  # fmt: skip
    for name, kind in (
        ("price", pa.decimal128(5, 2)), ("count", pa.decimal128(5, 0)), ("there", pa.timestamp("us", "Europe/Paris")),
        ("word", pa.string()),
    ):  # fmt: skip
        source[name] = source[name].astype(pd.ArrowDtype(kind))
    policy = Policy.from_text(MANY)
    frame, _ = typed(read_table(source), policy)
    layout = Layout.from_json(json.loads(json.dumps(Layout.of(policy, read_table(source)).to_json())))
    out = finish(layout, frame)
    assert out["level"].dtype == pd.CategoricalDtype(["low", "mid", "high"], ordered=True), "as the policy lists them"
    assert {n: out[n].dtype for n in out if n != "level"} == {n: source[n].dtype for n in source if n != "level"}
    assert out.astype(object).equals(source.astype(object))
    layout.write_csv(out, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == [
        "low,0.5,1.50,1,2020-07-01 12:00:00,2020-07-01 12:00:00,a",
        "low,1.5,1.50,1,2020-01-01 12:00:00,2020-01-01 12:00:00,b",
    ]
    layout.write_parquet(out, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").column("there").to_pylist() == list(source["there"])


def test_a_typed_column_keeps_its_moments_where_another_zone_is_declared(tmp_path: Path) -> None:
    """It keeps its own zone, and is modelled as the clock of the declared one shows it: both are hours apart."""
    policy = Policy.from_text(MANY.replace("seen: {kind: datetime,", "seen: {kind: datetime, timezone: Asia/Tokyo,"))
    moment = pd.Timestamp("2020-07-01 12:00", tz="Europe/Paris")
    source = pd.DataFrame({name: ["low"] for name in policy.model.columns} | {"seen": [moment]})
    wall = moment.tz_convert("Asia/Tokyo").tz_localize(None)
    frame = pd.DataFrame({"seen": [(wall - pd.Timestamp(0)).total_seconds()]})
    layout = Layout.of(policy, read_table(source))
    layout = Layout(tuple(c for c in layout.columns if c.name == "seen"), ())
    assert finish(layout, frame)["seen"].tolist() == [moment]
    layout.write_parquet(
        layout.finish_block(frame, layout.invented(1, np.random.default_rng(0))), tmp_path / "out.parquet"
    )
    assert pq.read_table(tmp_path / "out.parquet").column("seen").to_pylist() == [moment]


def test_decimals_of_parquet_are_decimals_in_a_data_frame(tmp_path: Path) -> None:
    table = pa.table({"price": pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)), "word": ["a", "b"]})
    pq.write_table(table, tmp_path / "in.parquet")
    text = "\n".join(
        line for line in MANY.splitlines() if line[:2] != "  " or line.split(":")[0].strip() in ("price", "word")
    )
    layout = Layout.of(Policy.from_text(text), read_table(tmp_path / "in.parquet"))
    out = finish(layout, pd.DataFrame({"price": [1.5, np.nan], "word": ["a", "b"]}))
    assert out["price"].tolist() == [Decimal("1.50"), None]
    layout.write_parquet(out, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").column("price").equals(table.column("price"))


def test_measured_categories_that_the_encoding_cannot_write_make_the_csv_utf_8() -> None:
    """Of a Parquet file, say: nothing that a policy states could have told, and all is spent."""
    policy = Policy.from_text(MANY.replace("rows: 100", "rows: 100, csv: {encoding: cp1252}"))
    raw = read_table(pd.DataFrame({name: ["a"] for name in policy.model.columns}))

    def encoding(*categories: str) -> str:
        domain = SimpleNamespace(name="word", categories=categories, letter_case=None)
        codec: Any = SimpleNamespace(columns=[SimpleNamespace(domain=domain, found_marks=())])
        return Layout.of(policy, raw, codec).csv.encoding

    assert (encoding("é"), encoding("é", "ł")) == ("cp1252", "utf-8")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_end_as_those_of_the_input(end: str, tmp_path: Path) -> None:
    policy = Policy.from_text(MANY)
    names = list(policy.model.columns)
    (tmp_path / "in.csv").write_bytes(f"{','.join(names)}{end}{',' * (len(names) - 1)}{end}".encode())
    made = Layout.of(policy, read_table(tmp_path / "in.csv"))
    made = Layout(tuple(c for c in made.columns if c.name == "word"), (), made.csv, made.line_end)
    made.write_csv(pd.DataFrame({"word": ["a"]}), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == f"word{end}a{end}".encode()


def test_a_code_that_is_a_number_leaves_a_csv_as_it_is_written(layout: Callable[..., Layout], tmp_path: Path) -> None:
    """It left as 999.0 in a column of one decimal, since the whole column was written as numbers."""
    made = layout(("  weight: {kind: number,", '  weight: {missing: ["999", "-1"], kind: number,'))
    frame = finish(made, with_states(TYPED, weight=[REGULAR, 0, 1]))
    assert frame["weight"].tolist() == [70.5, 999.0, -1.0]
    made.write_csv(frame, tmp_path / "out.csv")
    assert pd.read_csv(tmp_path / "out.csv", dtype=str)["weight"].tolist() == ["70.5", "999", "-1"]
