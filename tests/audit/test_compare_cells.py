"""The audit's tables are read one cell at a time, too: an odd cell changes no other row, with a policy or without."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from privsynth.audit.compare import comparable
from privsynth.policy import Policy

POLICY = """\
privsynth: 1
dataset: {id: audited}
unit: {column: who, max_rows: 2}
budget: {epsilon: 1.0, delta: 1.0e-6}
columns:
  who: {kind: id, release: drop}
  ward: {kind: category, categories: private}
  age: {kind: integer, bounds: [0, 99]}
"""


def table(rows: int = 20, **odd: str) -> pd.DataFrame:
    frame = pd.DataFrame({
        "who": [f"P{i // 2}" for i in range(rows)], "ward": [["5", "east"][i % 2] for i in range(rows)],
        "age": [str(20 + i % 7) for i in range(rows)],
    })  # fmt: skip
    return (
        pd.concat([pd.DataFrame([{"who": "P0", "ward": "5", "age": "20"} | odd]), frame], ignore_index=True)
        if odd
        else frame
    )


@pytest.mark.parametrize("policy", [None, Policy.from_text(POLICY)], ids=["inferred", "declared"])
@pytest.mark.parametrize("column", ["who", "ward", "age"])
@pytest.mark.parametrize("odd", ["5\0", "P0\0", "20\0", "east\0x", "e\u0301", "\x1b[2J"])
def test_an_odd_cell_changes_no_other_row(odd: str, column: str, policy: Any) -> None:
    plain, _, _ = comparable(table(), table(), table(), policy)
    mixed, _, _ = comparable(table(), table(**{column: odd}), table(), policy)
    for name in {*plain.train} & {
        *mixed.train
    }:  # one name more may make names look like identifiers, which are left out
        one, other = (tables.train[name].astype(object) for tables in (plain, mixed))
        assert one.dtype == other.dtype and one.tolist() == other.tolist()[1:]
    if plain.train_units is not None and mixed.train_units is not None:
        assert len(set(mixed.train_units[1:])) == len(set(plain.train_units)) == 10
