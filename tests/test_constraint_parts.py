"""Parts that constraints are made of, against brute force: conditions, formulas, elimination, repairs, derived columns."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth import Policy
from privsynth.encoding.possible import Possible, Wall
from privsynth.encoding.rising import settled
from privsynth.errors import PolicyError
from privsynth.policy.column import Column
from privsynth.policy.constraints.base import Impossible
from privsynth.policy.constraints.conditions import Cell, condition_of
from privsynth.policy.constraints.feasible import components
from privsynth.policy.constraints.formula import Formula, NoFormula
from privsynth.policy.knowledge import Knowledge
from privsynth.sampling.computed import Computed
from privsynth.table.broken import broken_rows
from privsynth.table.names import state_of

AGE = {"kind": "integer", "bounds": [0, 99]}
SIZE = {"kind": "number", "bounds": [0, 20], "decimals": 1}
WORD = {"kind": "category", "categories": ["a", "b"]}


def policy(
    columns: dict[str, Any], constraints: list[dict[str, Any]], folder: Path | None = None, **files: str
) -> Policy:
    text = yaml.safe_dump({
        "privsynth": 1, "dataset": {"id": "parts", "rows": 200}, "unit": "row", "budget": {"epsilon": 2.0, "delta": 1e-6},
        "columns": columns | {"y": WORD, "z": WORD}, "constraints": constraints, "trainer": {"name": "marginals"},
    })  # fmt: skip
    if folder is None:
        return Policy.from_text(text)
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    (folder / "policy.yaml").write_text(text, encoding="utf-8")
    return Policy.load(folder / "policy.yaml")


@pytest.mark.parametrize(
    ("column", "written", "units"),
    [
        (AGE, 15, {15}), (AGE, "<15", {0, 14}), (AGE, "<=15", {0, 14, 15}), (AGE, ">14.5", {15, 16, 99}),
        (AGE, "<14.5", {0, 14}), (AGE, [14.5, 15.5], {15}), (AGE, [0, 0], {0}), (AGE, ">=99", {99}),
        (AGE, [0, 99, 14], {0, 99, 14}),
        (SIZE, "<1.5", {0, 14}), (SIZE, [1.45, 1.65], {15, 16}), (SIZE, 1.5, {15}),
    ],
)  # fmt: skip
def test_conditions_hold_for_these_numbers_alone(column: dict[str, Any], written: Any, units: set[int]) -> None:
    condition = condition_of(written, Column(**column))
    assert {unit for unit in (0, 14, 15, 16, 99) if condition.holds(Cell(unit, unit))} == units
    assert not condition.holds(Cell(absent=True))


@pytest.mark.parametrize(
    ("column", "written"),
    [(AGE, 15.5), (AGE, [15.2, 15.4]), (AGE, [3, 2]), (AGE, []), (AGE, True), (AGE, "young"),
     (SIZE, 0.55), (WORD, "c"), (WORD, "<3")],
)  # fmt: skip
def test_conditions_that_no_value_could_meet_are_refused(column: dict[str, Any], written: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        condition_of(written, Column(**column))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * 2", 7.0), ("-(a - b) / 4", 0.5), ("min(a, b, 2)", 1.0), ("max(a, b)", 3.0), ("round(b / 7, 2)", 0.43),
        ("b / (a - 1)", np.nan), ("a + gone", np.nan), ("column0 - `a b`", 5.0), ("column_0_ - `a b`", 6.0),
    ],
)  # fmt: skip
def test_formulas(text: str, expected: float) -> None:
    values = {"a": 1.0, "b": 3.0, "gone": np.nan, "a b": 4.0, "column0": 9.0, "column_0_": 10.0}
    found = Formula.of(text)({name: np.full(3, value) for name, value in values.items()}, 3)
    assert found.shape == (3,)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "a ** b",
        "open(a)",
        "a.b",
        "a if b else a",
        "'a' + b",
        "round(a, b)",
        "min(a)",
        "a +",
        "+".join(["a"] * 999),
    ],
)
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(NoFormula):
        Formula.of(text)


@st.composite
def walls(draw: st.DrawFn) -> tuple[list[int], list[Wall]]:
    sizes = draw(st.lists(st.integers(1, 3), min_size=2, max_size=5))
    found = []
    for _ in range(draw(st.integers(1, 4))):
        most = min(3, len(sizes))
        own = sorted(draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=most, unique=True)))
        rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        found.append(Wall(tuple(own), rng.random([sizes[j] for j in own]) < draw(st.sampled_from([0.2, 0.5, 0.8]))))
    return sizes, found


def allowed_rows(sizes: list[int], found: list[Wall]) -> np.ndarray:
    every = np.array(list(itertools.product(*(range(size) for size in sizes))), np.int32)
    return np.asarray(every[~np.any([wall.cells[tuple(every[:, j] for j in wall.columns)] for wall in found], axis=0)])


@settings(max_examples=200, deadline=None)
@given(walls(), st.integers(0, 99))
def test_elimination_and_repairs_agree_with_a_list_of_all_rows(drawn: tuple[list[int], list[Wall]], seed: int) -> None:
    (sizes, found), rng = drawn, np.random.default_rng(seed)
    allowed = allowed_rows(sizes, found)
    named = {str(j): size for j, size in enumerate(sizes)}
    parts = components([Impossible(tuple(map(str, w.columns)), w.cells) for w in found], named)
    assert all(c.is_possible([np.ones((1, s)) for s in c.sizes])[0] for c in parts) == (len(allowed) > 0)
    if len(allowed) == 0:
        return
    for component in parts:
        for name in component.columns:
            assert set(np.flatnonzero(component.reachable(name))) == set(allowed[:, int(name)])
    shares = [rng.dirichlet(np.ones(size)) for size in sizes]
    possible = Possible(tuple(found), shares, [np.full(size, 0.01) for size in sizes])
    rows = np.stack([rng.integers(0, size, 40) for size in sizes], 1).astype(np.int32)
    known = rng.random(rows.shape) < 0.3
    for made in (possible.start(rows, rng), possible.repaired(rows, rng), possible.apportioned(rows, rng)):
        assert not possible.broken(made).any()
    for before, after, stays in zip(rows, possible.repaired(rows, rng, known), known, strict=True):
        assert (after == before)[stays].all()
        fitting = (allowed == before)[:, stays].all(1)
        assert bool(possible.broken(after[None])[0]) == (not fitting.any())


def test_repairs_keep_as_many_values_as_any_row_could() -> None:
    one_wrong = Wall((0, 1, 2), np.indices((2, 2, 2)).sum(0) > 1)  # one column at most holds 1
    possible = Possible((one_wrong,), [np.array([0.01, 0.99])] * 3, [np.full(2, 0.01)] * 3)
    made = possible.repaired(np.full((50, 3), 1, np.int32), np.random.default_rng(0))
    assert (made.sum(1) == 1).all()


def test_contradictory_shares_end_in_shares() -> None:
    """Margins that no row within the walls could have: weights must not vanish, whose quotient would be no number."""
    falls = np.tril(np.ones((9, 9), bool), -1)  # each is at most the next
    shares = [np.eye(9)[8 - 4 * j] for j in range(3)]
    possible = Possible(tuple(Wall((j, j + 1), falls) for j in range(2)), shares, [np.full(9, 1e-9)] * 3)
    for agreed in possible.agreed():
        assert np.isfinite(agreed).all()
        assert agreed.sum() == pytest.approx(1)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**20), st.booleans())
def test_chains_of_inequalities_hold_within_limits_that_leave_a_way(seed: int, strict: bool) -> None:
    rng = np.random.default_rng(seed)
    steps = dict(zip("abcd", rng.choice([1.0, 0.1, 0.5], 4), strict=True))
    way = np.sort(rng.integers(0, 40, (30, 4)), 1) + (np.arange(4) if strict else 0)
    low = {name: (way[:, i] - rng.integers(0, 9, 30)).astype(float) for i, name in enumerate(steps)}
    high = {name: (way[:, i] + rng.integers(0, 9, 30)).astype(float) for i, name in enumerate(steps)}
    values = {n: np.round(rng.uniform(low[n], high[n]) / s) * s for n, s in steps.items()}
    values = {n: np.where(rng.random(30) < 0.2, np.nan, v) for n, v in values.items()}
    found = settled(values, low, high, steps, [(a, b, strict) for a, b in itertools.pairwise("abcd")])
    for name, step in steps.items():
        own, there = found[name], ~np.isnan(values[name])
        assert (np.isnan(own) == ~there).all()
        assert (own[there] >= low[name][there] - 1e-9).all()
        assert (own[there] <= high[name][there] + 1e-9).all()
        np.testing.assert_allclose(own[there] / step, np.round(own[there] / step), atol=1e-6)
    for a, b in itertools.pairwise("abcd"):
        both = ~np.isnan(found[a] + found[b])
        assert (found[a][both] < found[b][both] if strict else found[a][both] <= found[b][both] + 1e-9).all()


def computed(knowledge: Knowledge, typed: pd.DataFrame) -> pd.DataFrame:
    for each in Computed.all_of(knowledge):
        typed = each.added_to(typed)
    return typed


@pytest.mark.parametrize(
    ("source", "file", "typed", "expected"),
    [
        ({"kind": "category", "categories": ["1", "01", "nan"]}, "1,a\n01,b\nnan,a\n",
         ["1", "01", "nan", None], ["a", "b", "a", None]),
        ({"kind": "date", "bounds": ["2020-01-01", "2020-01-09"]}, "2020-01-01,a\n2020-01-02,b\n",
         [18262.0, 18263.0, np.nan], ["a", "b", None]),
        ({"kind": "boolean"}, "true,a\nfalse,b\n", ["yes", "0", "False"], ["a", "b", "b"]),
        (SIZE, "1.0,a\n2.50,b\n,b\n", [1.0, 2.5, np.nan, 3.0], ["a", "b", "b", None]),
    ],
)  # fmt: skip
def test_files_are_read_by_the_kind_of_their_columns(
    source: dict[str, Any], file: str, typed: list[Any], expected: list[Any], tmp_path: Path
) -> None:
    known = policy(
        {"x": source}, [{"derived": "y", "from": ["x"], "file": "f.csv"}], tmp_path, f=f"x,y\n{file}"
    ).knowledge
    kind = object if isinstance(typed[0], str) else float
    assert computed(known, pd.DataFrame({"x": pd.Series(typed, dtype=kind)}))["y"].tolist() == expected


def test_tokens_in_files_are_told_from_blank_cells(tmp_path: Path) -> None:
    source = {"kind": "integer", "bounds": [1, 9], "missing": ["-8"], "censored": {"below": ["<1"]}}
    rule = {"derived": "y", "from": ["x"], "file": "f.csv"}
    known = policy({"x": source}, [rule], tmp_path, f="x,y\n1,a\n-8,b\n<1,a\n").knowledge
    places = [known.marks["x"].index("-8"), known.marks["x"].index("<1")]
    typed = pd.DataFrame({"x": [1.0, np.nan, np.nan, np.nan], state_of("x"): np.array([-1, *places, -2], np.int8)})
    assert computed(known, typed)["y"].tolist() == ["a", "b", "a", None]


def test_computed_numbers_beyond_what_floats_hold_are_missing() -> None:
    known = policy({"x": AGE, "t": AGE}, [{"derived": "t", "formula": "x * 100000000000000"}]).knowledge
    assert computed(known, pd.DataFrame({"x": [1.0, 95.0]}))["t"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("columns", "constraints", "told"),
    [
        ({"a": AGE}, [{"when": {"a": "<15"}, "then": {"b": "u"}}], "'b' is not declared"),
        ({"a": AGE, "b": AGE}, [{"derived": "a", "formula": "b"}, {"derived": "b", "formula": "a"}], "in a circle"),
        ({"a": AGE, "b": AGE}, [{"derived": "a", "formula": "b"}, {"derived": "a", "formula": "b + 1"}],
         "two constraints of this kind"),
        ({"a": AGE | {"nullable": False}, "b": AGE}, [{"derived": "a", "formula": "b"}],
         "never missing"),
        ({"a": AGE | {"nullable": False}, "b": AGE | {"nullable": False}}, [{"derived": "a", "formula": "1 / b"}],
         "divides by zero"),
        ({"a": AGE, "b": WORD}, [{"derived": "a", "formula": "b"}], "'b' is no number"),
        ({"a": AGE}, [{"when": {"y": ["a", "b"]}, "then": {"a": "missing"}},
         {"when": {"y": "missing"}, "then": {"a": "missing"}}],
         "without a value"),
        ({"a": AGE}, [{"when": {"a": ">99"}, "then": {"y": "a"}}],
         "no row meets its condition"),
        ({"a": AGE, "b": AGE}, [{"inequality": ["a", "<", "b"]}, {"when": {"a": ">4"}, "then": {"b": "<3"}}],
         "no row meets its condition"),
        ({"a": AGE | {"nullable": False}}, [{"when": {"a": "present"}, "then": {"y": "a"}},
         {"when": {"a": "<50"}, "then": {"y": "b"}}],
         "cannot hold"),
    ],
)  # fmt: skip
def test_what_cannot_hold_is_refused_by_name(columns: dict[str, Any], constraints: list[Any], told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        policy(columns, constraints)


@pytest.mark.parametrize("entry", [{"together": ["a", "a"]}, {"unique": ["i", "i"]}, {"combinations": ["y", "y"], "file": "f.csv"},
                                   {"one_hot": ["t", "t"]}, {"derived": "y", "from": ["z", "z"], "file": "f.csv"}])  # fmt: skip
def test_a_column_is_named_once_in_a_list(entry: dict[str, Any]) -> None:
    columns = {"a": AGE, "t": {"kind": "boolean"}, "i": {"kind": "id", "release": "regenerate"}}
    with pytest.raises(PolicyError, match="named twice"):
        policy(columns, [entry])


def test_tokens_of_the_table_are_named_as_those_of_a_column() -> None:
    """-8 of `dataset.missing` is no number, so no row with a number meets it; at the end of a range it would mean two things."""
    column = Column.model_validate({"kind": "integer", "bounds": [-10, 10]})
    column._inherited = ("-8", "?")
    for token in (-8, "-8", "?"):
        condition = condition_of(token, column)
        assert condition.holds(Cell(text=str(token), absent=True))
        assert not condition.holds(Cell(-8, -8)) and not condition.holds(Cell(absent=True))
    with pytest.raises(ValueError, match=r"means missing by `dataset\.missing`"):
        condition_of([-8, 5], column)
    text = yaml.safe_dump({
        "privsynth": 1, "dataset": {"id": "parts", "rows": 200, "missing": ["-8", "?"]}, "unit": "row",
        "budget": {"epsilon": 2.0, "delta": 1e-6}, "columns": {"a": {"kind": "integer", "bounds": [0, 9]}, "y": WORD},
        "constraints": [{"when": {"y": "?"}, "then": {"a": "-8"}}],
    })  # fmt: skip
    for one in (Policy.from_text(text), Policy.from_text(text).with_changes(epsilon=1.0)):
        assert {name: c.inherited for name, c in one.model.columns.items()} == {"a": ("-8", "?"), "y": ("-8", "?")}


def test_a_list_of_two_dates_is_a_range_and_with_one_twice_a_list() -> None:
    column = Column.model_validate({"kind": "date", "bounds": ["2020-01-01", "2020-12-31"]})
    one, other = "2020-01-31", "2020-03-31"
    assert condition_of([one, other], column).ranges == ((18_292, 18_352),)
    assert set(condition_of([one, other, other], column).ranges) == {(18_292, 18_292), (18_352, 18_352)}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**20))
def test_formulas_stay_within_their_intervals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [
        "a + b",
        "a - b * 2",
        "-a * b",
        "a / b",
        "min(a, b, 3)",
        "max(a, -b)",
        "round(a / 4, 1)",
        "(a - b) / (a + b)",
    ]
    formula = Formula.of(texts[seed % len(texts)])
    ends = {name: tuple(sorted(rng.integers(-5, 9, 2).astype(float))) for name in "ab"}
    low, high = formula.interval({name: ends[name] for name in formula.columns})
    values = {name: rng.choice([*ends[name], *rng.uniform(*ends[name], 20)], 50) for name in formula.columns}
    found = formula(values, 50)
    there = found[~np.isnan(found)]
    assert ((low - 1e-9 <= there) & (there <= high + 1e-9)).all()


@pytest.mark.parametrize(
    ("formula", "bounds", "told"),
    [
        ("a + b", [0, 198], ""), ("a + b", [0, 100], "gives 0 to 198"), ("a + b + 300", [0, 100], "ERROR"),
        ("a / b", [0, 1], ""), ("round(a / 2)", [0, 50], ""), ("u + b", [0, 297], ""), ("u + b", [0, 200], "gives 0 to 297"),
    ],
)  # fmt: skip
def test_formulas_are_compared_with_the_bounds_of_their_column(formula: str, bounds: list[int], told: str) -> None:
    columns = {
        "a": AGE,
        "b": AGE,
        "t": {"kind": "number", "bounds": bounds},
        "u": {"kind": "number", "bounds": [0, 198]},
    }
    rules = [{"derived": "t", "formula": formula}, {"derived": "u", "formula": "a + b"}]
    if told == "ERROR":
        with pytest.raises(PolicyError, match="gives 300 to 498, and 't' has the bounds 0 to 100"):
            policy(columns, rules)
        return
    warnings = [w for w in policy(columns, rules).warnings if "formula" in w]
    assert [told in w for w in warnings] == ([True] if told else [])


@pytest.mark.parametrize(
    ("line", "told"),
    [("c,1", "'c' is not among"), ("a,1.5", "between two values"), ("a,200", "outside of the column's bounds")],
)
def test_files_hold_values_of_their_columns(line: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=told):
        policy({"t": AGE}, [{"derived": "t", "from": ["y"], "file": "f.csv"}], tmp_path, f=f"y,t\n{line}\n")


def test_many_columns_may_be_missing_together() -> None:
    """Pairs of all of them would tie 60 columns in 2**60 ways."""
    names = [f"c{i}" for i in range(60)]
    assert policy(dict.fromkeys(names, AGE), [{"together": names}])


def test_real_rows_with_groups_and_tokens_are_counted() -> None:
    truth = {"kind": "boolean", "categories": ["0", "1"]}
    rules = [{"one_hot": ["p", "q"], "at_most": True}, {"when": {"p": True}, "then": {"a": "missing"}}]
    known = policy({"p": truth, "q": truth, "a": AGE | {"censored": {"above": [">90"]}}}, rules).knowledge
    rows = pd.DataFrame({"p": ["1", "1", "1", "0"], "q": ["0", "0", "1", None], "a": [5.0, np.nan, 5.0, np.nan]})
    rows[state_of("a")] = np.array([-1, -2, -1, 0], np.int8)
    assert sorted(broken_rows(rows, known).values()) == [1, 1]
