"""Tables of all kinds and formats go in and come out as they were written: types, formats, missing tokens, dialects.

The schemas that what leaves must meet are pandera's, written from the policy's words alone and not by this package. At
epsilon 50 noise is small, and a seed repeats each run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from repeated import examples

import privsynth
from privsynth import Policy

ROWS = 150
DRAWN = 2_000  # from so many rows on a sample has the shares of its model, not by chance only
Check = Callable[[str], bool]


@dataclass
class Made:
    """A column: its cells as a CSV would hold them, what the policy says of it, and what a cell that leaves must be."""

    cells: list[str]
    spec: dict[str, Any]
    fits: Check
    typed: Any = None  # the same values for Parquet and data frames, if the column has types there
    marks: list[str] = field(default_factory=list)


def category(rng: np.random.Generator) -> Made:
    names = [["a", "B c", "Ü", "x;y"], ["01067", "04103", "99084"], ["1", "2", "3"]][rng.integers(3)]
    return Made(rng.choice(names, ROWS).tolist(), {"kind": "category", "categories": names}, lambda cell: cell in names)


def boolean(rng: np.random.Generator) -> Made:
    no, yes = [("False", "True"), ("FALSE", "TRUE"), ("no", "yes"), ("N", "Y"), ("0", "1")][rng.integers(5)]
    truth = rng.random(ROWS) < 0.4
    return Made(np.where(truth, yes, no).tolist(), {"kind": "boolean"}, lambda cell: cell in (no, yes), truth)


def integer(rng: np.random.Generator) -> Made:
    values = rng.integers(0, 90, ROWS)
    fits = lambda cell: bool(re.fullmatch(r"\d{1,2}", cell)) and int(cell) <= 89  # noqa: E731
    return Made([str(v) for v in values], {"kind": "integer", "bounds": [0, 89]}, fits, values)


def number(rng: np.random.Generator) -> Made:
    values = np.round(rng.gamma(2, 300, ROWS), 2).clip(0, 9999.99)
    grouped = bool(rng.integers(2))
    cells = [f"{v:,.2f}" if grouped else f"{v:.2f}" for v in values]
    spec = {"kind": "number", "bounds": [0, 9999.99], "decimals": 2} | (
        {"number": {"thousands": ","}} if grouped else {}
    )
    form = r"\d{1,3}(,\d{3})*\.\d\d" if grouped else r"\d+\.\d\d"
    return Made(
        cells, spec, lambda cell: bool(re.fullmatch(form, cell)) and float(cell.replace(",", "")) <= 9999.99, values
    )


def moments(kind: str, forms: list[str], unit: timedelta, spread: int) -> Callable[[np.random.Generator], Made]:
    def make(rng: np.random.Generator) -> Made:
        form, start = forms[rng.integers(len(forms))], datetime(1990 if kind == "date" else 2024, 1, 1)
        found = [start + int(k) * unit for k in rng.integers(0, spread, ROWS)]
        low, high = start.date(), (start + spread * unit).date()

        def fits(cell: str) -> bool:
            moment = datetime.strptime(cell, form)
            return low <= moment.date() <= high and moment.strftime(form).upper() == cell.upper()

        upper = "%b" in form
        cells = [m.strftime(form).upper() if upper else m.strftime(form) for m in found]
        both = (lambda cell: fits(cell) and cell == cell.upper()) if upper else fits
        spec = {"kind": kind, "format": form, "bounds": [low, high]}
        return Made(cells, spec, both, pd.to_datetime(pd.Series(found)).astype("datetime64[s]"))

    return make


def clock(rng: np.random.Generator) -> Made:
    minutes = rng.integers(0, 24 * 12, ROWS) * 5
    cells = [f"{m // 60:02d}:{m % 60:02d}" for m in minutes]
    fits = lambda cell: bool(re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", cell))  # noqa: E731
    return Made(cells, {"kind": "time", "format": "%H:%M"}, fits)


def duration(rng: np.random.Generator) -> Made:
    minutes = rng.integers(0, 3000, ROWS)
    cells = [f"{m // 60:02d}:{m % 60:02d}:00" for m in minutes]

    def fits(cell: str) -> bool:
        found = re.fullmatch(r"(\d{2,}):([0-5]\d):([0-5]\d)", cell)
        return bool(found) and int(found[1]) <= 50

    return Made(cells, {"kind": "duration", "bounds": ["00:00:00", "50:00:00"]}, fits)


KINDS = (
    category, boolean, integer, number, clock, duration,
    moments("date", ["%Y-%m-%d", "%d.%m.%Y", "%d-%b-%y", "%Y%m%d"], timedelta(days=1), 3000),
    moments("datetime", ["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M"], timedelta(minutes=7), 9000),
)  # fmt: skip


def with_marks(made: Made, rng: np.random.Generator) -> Made:
    """Some cells blank, and some with a token of the column's own, or a censored number."""
    kind, cells = made.spec["kind"], np.array(made.cells, object)
    absent = rng.random(ROWS)
    cells[absent < 0.15] = ""
    if kind in ("integer", "number") and rng.integers(2):
        made.spec["censored"], made.marks = {"below": "<0"}, ["<0"]
        cells[(absent > 0.15) & (absent < 0.3)] = "<0"
    elif rng.integers(2):
        made.spec["missing"], made.marks = ["-8", "n/a"], ["-8", "n/a"]
        cells[(absent > 0.15) & (absent < 0.3)] = "n/a"
        cells[(absent > 0.3) & (absent < 0.4)] = "-8"
    made.cells, made.typed = cells.tolist(), None
    return made


DIALECTS = (
    {}, {"delimiter": ";", "encoding": "cp1252"}, {"delimiter": "\t", "encoding": "utf-16"}, {"quote": "'", "delimiter": "|"},
)  # fmt: skip


def table(seed: int, kinds: list[int], marked: list[bool]) -> dict[str, Made]:
    rng = np.random.default_rng(seed)
    made = {f"c{i}": KINDS[kind](rng) for i, kind in enumerate(kinds)}
    return {
        name: with_marks(column, rng) if marks else column
        for (name, column), marks in zip(made.items(), marked, strict=True)
    }


def policy_of(made: dict[str, Made], dialect: dict[str, str]) -> Policy:
    dataset: dict[str, Any] = {"id": "round-trip", "rows": ROWS} | ({"csv": dialect} if dialect else {})
    content = {
        "privsynth": 1, "dataset": dataset, "unit": "row", "budget": {"epsilon": 50, "delta": 1e-3}, "seed": 1,
        "columns": {name: column.spec for name, column in made.items()}, "trainer": {"options": {"sweeps": 4}},
    }  # fmt: skip
    return Policy.from_text(yaml.safe_dump(content, sort_keys=False))


def schema_of(made: dict[str, Made]) -> pa.DataFrameSchema:
    """Of the cells of a CSV, all read as text."""

    def check(column: Made) -> pa.Check:
        seen = {*column.cells}
        return pa.Check(
            lambda cell: ((cell in column.marks or cell == "") and cell in seen) or (cell != "" and column.fits(cell)),
            element_wise=True,
        )

    return pa.DataFrameSchema(
        {name: pa.Column(str, check(column)) for name, column in made.items()}, strict=True, ordered=True
    )


TABLES = {
    "seed": st.integers(0, 10**6),
    "kinds": st.lists(st.integers(0, len(KINDS) - 1), min_size=2, max_size=4),
    "marked": st.lists(st.booleans(), min_size=4, max_size=4),
}
QUICK = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # a fit is too slow for shrinking
)  # fmt: skip
SLOW = settings(QUICK, max_examples=examples(20, full=100))


def check_csv(seed: int, kinds: list[int], marked: list[bool], tmp_path: Path) -> None:
    made, dialect = table(seed, kinds, marked[: len(kinds)]), DIALECTS[seed % len(DIALECTS)]
    for column in made.values():  # else noise leaves a cell in a hundred blank where none was
        column.spec["nullable"] = "" in column.cells
    how = {
        "sep": dialect.get("delimiter", ","),
        "quotechar": dialect.get("quote", '"'),
        "encoding": dialect.get("encoding", "utf-8"),
    }
    pd.DataFrame({name: column.cells for name, column in made.items()}).to_csv(tmp_path / "in.csv", index=False, **how)
    synthesizer = privsynth.fit(policy_of(made, dialect), tmp_path / "in.csv", ledger="sqlite://")
    synthesizer.layout.write_csv(synthesizer.sample(DRAWN, seed=1), tmp_path / "out.csv")
    back = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False, **how)
    schema_of(made).validate(back)
    for name, column in made.items():
        if "missing" in column.spec or "censored" in column.spec:
            for mark in {*column.marks, ""}:
                real, here = column.cells.count(mark) / ROWS, (back[name] == mark).mean()
                assert math.isclose(real, here, abs_tol=0.06), (name, mark, real, here)


def check_types(seed: int, kinds: list[int], marked: list[bool], tmp_path: Path) -> None:
    """A data frame, and the same as Parquet: dtypes and types come back."""
    made = {n: c for n, c in table(seed, kinds, [False] * len(kinds)).items() if c.spec.get("number") is None}
    if len(made) < 2:
        return
    frame = pd.DataFrame({n: c.cells if c.typed is None else c.typed for n, c in made.items()})
    for column in made.values():
        if column.typed is not None and column.spec["kind"] in ("date", "datetime", "boolean"):
            column.spec.pop("format", None)
    policy = policy_of(made, {})
    out = privsynth.fit(policy, frame, ledger="sqlite://").sample(60, seed=1)
    pa.DataFrameSchema({n: pa.Column(frame[n].dtype) for n in made if frame[n].dtype != object}).validate(out)
    frame.to_parquet(tmp_path / "in.parquet")
    synthesizer = privsynth.fit(policy, tmp_path / "in.parquet", ledger="sqlite://")
    synthesizer.layout.write_parquet(synthesizer.sample(60, seed=1), tmp_path / "out.parquet")
    from pyarrow.parquet import read_schema

    assert read_schema(tmp_path / "out.parquet").types == read_schema(tmp_path / "in.parquet").types


@QUICK
@given(**TABLES)
def test_a_csv_leaves_as_it_came(seed: int, kinds: list[int], marked: list[bool], tmp_path: Path) -> None:
    check_csv(seed, kinds, marked, tmp_path)


@QUICK
@given(**TABLES)
def test_types_come_back(seed: int, kinds: list[int], marked: list[bool], tmp_path: Path) -> None:
    check_types(seed, kinds, marked, tmp_path)


@pytest.mark.slow
@SLOW
@given(**TABLES)
def test_many_csv_leave_as_they_came(seed: int, kinds: list[int], marked: list[bool], tmp_path: Path) -> None:
    check_csv(seed, kinds, marked, tmp_path)


@pytest.mark.slow
@SLOW
@given(**TABLES)
def test_types_of_many_come_back(seed: int, kinds: list[int], marked: list[bool], tmp_path: Path) -> None:
    check_types(seed, kinds, marked, tmp_path)
