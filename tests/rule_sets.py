"""Random sets of constraints over random tables, and what a row must be like, told apart from the package's own code."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
VALUES: dict[str, list[Any]] = {  # between them every condition below can tell
    "age": [0, 14, 15, 16, 17, 18, 40, 64, 65, 99, None], "size": [0.0, 0.4, 0.5, 2.0, 9.9, 10.0, 20.0, None],
    "sex": ["f", "m", "x", None], "ward": ["a", "b", "c", "d", None], "seen": ["no", "yes", None],
    "rank": [0, 1, 4, 5, 9],
}  # fmt: skip
CONDITIONS: dict[str, list[Any]] = {
    "age": ["<15", ">=18", "<=64", ">65", [15, 17], 40, "missing", "present"],
    "size": ["<0.5", ">=10", [0.5, 9.9], "missing", "present"],
    "sex": ["f", ["m", "x"], "missing", "present"], "ward": ["a", ["b", "c"], ["a", "d"], "missing"],
    "seen": [True, False, "missing"], "rank": ["<5", ">4", 0, [1, 4]],
}  # fmt: skip


def meets(value: Any, condition: Any, name: str) -> bool:
    """True if a value meets a condition, by what docs/policy.md says."""
    if condition in ("missing", "present"):
        return (value is None) == (condition == "missing")
    if value is None:
        return False
    if isinstance(condition, bool):
        return bool(value == ("yes" if condition else "no"))
    if isinstance(condition, list):
        return bool(condition[0] <= value <= condition[1]) if name in ("age", "size", "rank") else value in condition
    if isinstance(condition, str) and condition[0] in "<>":
        sign = condition.rstrip("0123456789.")
        limit = float(condition[len(sign) :])
        return {"<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit}[sign]
    return bool(value == condition)


@dataclass(frozen=True)
class RuleSet:
    entries: tuple[dict[str, Any], ...]

    def text(self, trainer: str, rows: int = 200) -> str:
        """A policy."""
        return yaml.safe_dump({
            "privsynth": 1, "dataset": {"id": "rules", "rows": rows}, "unit": "row", "seed": 1,
            "budget": {"epsilon": 20.0, "delta": 1e-6}, "columns": COLUMNS, "constraints": list(self.entries),
            "trainer": yaml.safe_load(trainer),
        }, sort_keys=False)  # fmt: skip

    def allows(self, row: Row) -> bool:
        return all(holds(entry, row) for entry in self.entries)

    def grid(self) -> Iterator[Row]:
        """Rows of all values of the columns that it is about, the others as they come first."""
        used = sorted({name for entry in self.entries for name in columns_of(entry)})
        for values in itertools.product(*(VALUES[name] for name in used)):
            yield {name: own[0] for name, own in VALUES.items()} | dict(zip(used, values, strict=True))

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
    return all(meets(row[name], condition, name) for name, condition in conditions.items())


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
    return bool(row[small] < row[large] if sign == "<" else row[small] <= row[large])


@st.composite
def conditions(draw: st.DrawFn, most: int) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=most, unique=True))
    return {name: draw(st.sampled_from(CONDITIONS[name])) for name in names}


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["when", "when", "when", "together", "inequality"]))
    if kind == "together":
        names = ["age", "size", "sex", "ward", "seen"]
        return {"together": draw(st.lists(st.sampled_from(names), min_size=2, max_size=3, unique=True))}
    if kind == "inequality":
        small, large = draw(st.sampled_from([("rank", "age"), ("size", "age"), ("rank", "size")]))
        return {"inequality": [small, draw(st.sampled_from(["<", "<="])), large]}
    return {"when": draw(conditions(2)), "then": draw(conditions(2))} | ({"iff": True} if draw(st.booleans()) else {})


RULE_SETS = st.lists(entries(), min_size=1, max_size=4).map(lambda found: RuleSet(tuple(found)))


def table(rows: int = 200, seed: int = 0) -> pd.DataFrame:
    """A random table that knows of no rules."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {
        "age": rng.integers(0, 100, rows).astype(float), "size": rng.integers(0, 201, rows) / 10,
        "sex": rng.choice(["f", "m", "x"], rows), "ward": rng.choice(["a", "b", "c", "d"], rows),
        "seen": rng.choice(["no", "yes"], rows), "rank": rng.integers(0, 10, rows),
    }  # fmt: skip
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in found.items()})
    for name in frame:
        if COLUMNS[name].get("nullable", True):
            frame.loc[rng.random(rows) < 0.2, name] = None
    return pd.DataFrame({name: [None if v is None else str(v) for v in frame[name]] for name in frame})


def rows_of(released: pd.DataFrame) -> Iterator[Row]:
    """A released table as plain values."""
    for values in released.astype(object).where(released.notna(), None).itertuples(index=False):
        row = dict(zip(released.columns, values, strict=True))
        yield {n: v if v is None or n in ("sex", "ward", "seen") else float(v) for n, v in row.items()}
