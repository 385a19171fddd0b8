"""Random sets of constraints over random tables, and what a row must be like, told apart from the package's own code."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import yaml
from hypothesis import strategies as st

Row = dict[str, Any]
COLUMNS: dict[str, dict[str, Any]] = {
    "age": {"kind": "integer", "bounds": [0, 99]},
    "size": {"kind": "number", "bounds": [0, 20], "decimals": 1},
    "sex": {"kind": "category", "categories": ["f", "m", "x"]},
    "ward": {"kind": "category", "categories": ["a", "b", "c", "d"]},
    "seen": {"kind": "boolean", "categories": ["no", "yes"]},
    "rank": {"kind": "integer", "bounds": [0, 9], "nullable": False},
}
DATES: dict[
    str, dict[str, Any]
] = {  # in tables with rules about them: births as ages, and a stay that is stored as its length
    "came": {"kind": "date", "bounds": ["2019-01-01", "2020-12-31"], "nullable": False},
    "left": {"kind": "date", "bounds": ["2019-01-01", "2020-12-31"]},
    "born": {"kind": "date", "bounds": ["1920-01-01", "2021-12-31"], "cuts": {"at": "came"}},
}
NUMBERS, WORDS = ("age", "size", "rank"), ("sex", "ward", "seen")
VALUES: dict[str, list[Any]] = {  # between them every condition below can tell
    "age": [0, 14, 15, 16, 17, 18, 40, 64, 65, 99, None], "size": [0.0, 0.4, 0.5, 2.0, 9.9, 10.0, 20.0, None],
    "sex": ["f", "m", "x", None], "ward": ["a", "b", "c", "d", None], "seen": ["no", "yes", None],
    "rank": [0, 1, 4, 5, 9],
    "came": [date(2019, 1, 1), date(2019, 2, 28), date(2019, 12, 31), date(2020, 1, 1), date(2020, 2, 29), date(2020, 12, 31)],
    "left": [date(2019, 1, 1), date(2019, 12, 31), date(2020, 1, 1), date(2020, 12, 30), date(2020, 12, 31), None],
    "born": [date(2021, 6, 1), date(2020, 3, 1), date(2019, 6, 1), date(2018, 12, 31), date(2012, 2, 29), date(2003, 6, 1),
             date(1980, 1, 1), date(1940, 1, 1), None],
}  # fmt: skip
CONDITIONS: dict[str, list[Any]] = {
    "age": ["<15", ">=18", "<=64", ">65", [15, 17], 40, "missing", "present"],
    "size": ["<0.5", ">=10", [0.5, 9.9], "missing", "present"],
    "sex": ["f", ["m", "x"], "missing", "present"], "ward": ["a", ["b", "c"], ["a", "d"], "missing"],
    "seen": [True, False, "missing"], "rank": ["<5", ">4", 0, [1, 4]],
    "came": ["<2020-01-01", ["2019-02-28", "2020-02-29"], ">2020-12-30"],
    "left": ["missing", "missing", "present", ">=2020-01-01"],
    "born": [{"age": "<18"}, {"age": ">=60"}, {"age": [15, 17]}, {"age": 0}, {"age": "missing"}, {"age": "present"}, "missing"],
}  # fmt: skip


def age(row: Row) -> int | None:
    """Whole years by the calendar: a birthday on 29 February is on 1 March in other years."""
    born, came = row["born"], day_of(row["came"])
    if born is None or came is None:
        return None
    return int(came.year - born.year - ((came.month, came.day) < (born.month, born.day)))


def meets(value: Any, condition: Any, name: str) -> bool:
    """True if a value meets a condition, by what docs/policy.md says."""
    if condition in ("missing", "present"):
        return (value is None) == (condition == "missing")
    if value is None:
        return False
    if isinstance(condition, bool):
        return bool(value == ("yes" if condition else "no"))
    if isinstance(condition, list):
        return value in condition if name in WORDS else bool(read(condition[0]) <= value <= read(condition[1]))
    if isinstance(condition, str) and condition[0] in "<>":
        sign = condition.rstrip("0123456789.-")
        limit = read(condition[len(sign) :])
        return {"<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit}[sign]
    return bool(value == condition)


def day_of(value: Any) -> Any:
    """The day of a moment; any other value as it is."""
    return value.date() if isinstance(value, datetime) else value


def read(limit: Any) -> Any:
    """A number or a day."""
    return date.fromisoformat(limit) if "-" in str(limit) else float(limit)


@dataclass(frozen=True)
class RuleSet:
    entries: tuple[dict[str, Any], ...]
    moments: bool = False  # stays are from moment to moment, and not from day to day

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        dated = any(name in DATES for entry in self.entries for name in columns_of(entry))
        stay = {name: DATES[name] | {"kind": "datetime"} for name in ("came", "left")} if self.moments else {}
        return COLUMNS | (DATES | stay if dated else {})

    def text(self, trainer: str, rows: int = 200) -> str:
        """A policy."""
        return yaml.safe_dump({
            "privsynth": 1, "dataset": {"id": "rules", "rows": rows}, "unit": "row", "seed": 1,
            "budget": {"epsilon": 20.0, "delta": 1e-6}, "columns": self.columns, "constraints": list(self.entries),
            "trainer": yaml.safe_load(trainer),
        }, sort_keys=False)  # fmt: skip

    def allows(self, row: Row) -> bool:
        return all(holds(entry, row) for entry in self.entries)

    def grid(self) -> Iterator[Row]:
        """Rows of all values of the columns that it is about, the others as they come first."""
        used = sorted({name for entry in self.entries for name in columns_of(entry)})
        used += ["came"] if "born" in used and "came" not in used else []
        for values in itertools.product(*(VALUES[name] for name in used)):
            yield {name: VALUES[name][0] for name in self.columns} | dict(zip(used, values, strict=True))

    @property
    def sound(self) -> bool:
        """True if some row is allowed, every column that it is about has a value in one, and every condition is met in one."""
        wanted: list[Callable[[Row], bool]] = [
            lambda row, n=name: row[n] is not None for entry in self.entries for name in columns_of(entry)
        ]
        wanted += [lambda row, e=entry: met(e["when"], row) for entry in self.entries if "when" in entry]
        for row in self.grid():
            if self.allows(row):
                wanted = [one for one in wanted if not one(row)]
        return not wanted


def met(conditions: dict[str, Any], row: Row) -> bool:
    return all(
        meets(age(row), condition["age"], "age")
        if isinstance(condition, dict)
        else meets(day_of(row[name]), condition, name)
        for name, condition in conditions.items()
    )


def columns_of(entry: dict[str, Any]) -> list[str]:
    if "when" in entry:
        return [*entry["when"], *entry["then"]]
    if "together" in entry:
        return list(entry["together"])
    return [entry["inequality"][0], entry["inequality"][2]]


def holds(entry: dict[str, Any], row: Row) -> bool:
    if "when" in entry:
        when, then = met(entry["when"], row), met(entry["then"], row)
        return when == then if entry.get("iff") else then or not when
    if "together" in entry:
        return len({row[name] is None for name in entry["together"]}) == 1
    small, sign, large = entry["inequality"]
    if row[small] is None or row[large] is None:
        return True
    one, other = (pd.Timestamp(v) if isinstance(v, date) else v for v in (row[small], row[large]))
    return bool(one < other if sign == "<" else one <= other)


@st.composite
def conditions(draw: st.DrawFn, most: int, columns: list[str]) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(columns), min_size=1, max_size=most, unique=True))
    return {name: draw(st.sampled_from(CONDITIONS[name])) for name in names}


@st.composite
def entries(draw: st.DrawFn, dated: bool, moments: bool) -> dict[str, Any]:
    kind = draw(st.sampled_from(["when", "when", "when", "together", "inequality"]))
    names = ["sex", "seen", *DATES] if dated else sorted(COLUMNS)  # few, since `sound` walks over all combinations
    if kind == "together":
        own = [name for name in names if name not in ("rank", "came")]
        return {"together": draw(st.lists(st.sampled_from(own), min_size=2, max_size=3, unique=True))}
    if kind == "inequality":
        pairs = [("came", "left"), ("born", "came")] if dated else [("rank", "age"), ("size", "age"), ("rank", "size")]
        small, large = pairs[0] if moments else draw(st.sampled_from(pairs))
        return {"inequality": [small, "<=" if moments else draw(st.sampled_from(["<", "<="])), large]}
    both = {"when": draw(conditions(2, names)), "then": draw(conditions(2, names))}
    return both | ({"iff": True} if draw(st.booleans()) else {})


def _sets(kind: str) -> st.SearchStrategy[RuleSet]:
    one = entries(kind != "numbers", kind == "moments")
    return st.lists(one, min_size=1, max_size=4).map(lambda found: RuleSet(tuple(found), kind == "moments"))


RULE_SETS = st.sampled_from(["numbers", "numbers", "days", "moments"]).flatmap(_sets)


def table(rows: int = 200, seed: int = 0, columns: Mapping[str, Any] = COLUMNS) -> pd.DataFrame:
    """A random table that knows of no rules but that births come before, and discharges after an admission."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {
        "age": rng.integers(0, 100, rows).astype(float), "size": rng.integers(0, 201, rows) / 10,
        "sex": rng.choice(["f", "m", "x"], rows), "ward": rng.choice(["a", "b", "c", "d"], rows),
        "seen": rng.choice(["no", "yes"], rows), "rank": rng.integers(0, 10, rows),
    }  # fmt: skip
    came = np.datetime64("2019-01-01") + rng.integers(0, 731, rows)
    left = np.minimum(came + rng.integers(0, 20, rows), np.datetime64("2020-12-31"))
    found |= {"came": came, "left": left, "born": came - rng.integers(0, 36_000, rows)}
    frame = pd.DataFrame({name: pd.Series(found[name]).astype(str).astype(object) for name in columns})
    for name in (name for name in columns if columns[name]["kind"] == "datetime"):
        frame[name] += " 12:00:00"
    for name in frame:
        if (COLUMNS | DATES)[name].get("nullable", True):
            frame.loc[rng.random(rows) < 0.2, name] = None
    return pd.DataFrame({name: [None if v is None else str(v) for v in frame[name]] for name in frame})


def rows_of(released: pd.DataFrame) -> Iterator[Row]:
    """A released table as plain values."""
    for values in released.astype(object).where(released.notna(), None).itertuples(index=False):
        row = dict(zip(released.columns, values, strict=True))
        yield {n: v if v is None or n in WORDS else _plain(n, v) for n, v in row.items()}


def _plain(name: str, value: Any) -> Any:
    if name in NUMBERS:
        return float(value)
    moment = pd.Timestamp(value).to_pydatetime()
    return moment if name != "born" else moment.date()
