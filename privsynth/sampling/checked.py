"""The released table, read again and held against the policy's constraints: no row may break one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from privsynth.policy.column import CATEGORICAL
from privsynth.policy.constraints import Unique
from privsynth.policy.knowledge import Knowledge
from privsynth.policy.model import DatasetSpec
from privsynth.sampling.output import Layout
from privsynth.table.broken import broken_rows
from privsynth.table.names import state_of
from privsynth.table.reader import read_table
from privsynth.table.values import NumberReader


def broken_when_released(released: pd.DataFrame, layout: Layout, knowledge: Knowledge) -> dict[str, int]:
    """{constraint: rows of a table, as `Layout.finish` returns it, that break it}, in the policy's order.

    Values are read again as those of an input are. Derived columns are computed anew from what left, and compared as written.
    """
    if not knowledge.constraints:
        return {}
    rows = _read_again(released, layout)
    found = broken_rows(rows, knowledge) | _not_as_computed(released, rows, layout, knowledge)
    for constraint in knowledge.constraints:
        if isinstance(constraint, Unique):
            there = [name for name in constraint.columns if name in released]
            found[constraint.stated] = int(released.duplicated(there, keep=False).sum())
    return {c.stated: found[c.stated] for c in knowledge.constraints}


def _read_again(released: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Typed rows of the columns that are not invented."""
    raw, rows = read_table(released, DatasetSpec(id="released", csv=layout.csv)), dict[str, Any]()
    for column in layout.columns:
        if column.release == "regenerate":
            continue
        if column.kind in CATEGORICAL:
            rows[column.name] = raw.cells(column.name, ()).words(column.word_of)
        else:
            numbers = raw.numbers(column.name, NumberReader(column.form, column.marks))
            rows[column.name], rows[state_of(column.name)] = numbers.values, numbers.states
    return pd.DataFrame(rows)


def _not_as_computed(
    released: pd.DataFrame, rows: pd.DataFrame, layout: Layout, knowledge: Knowledge
) -> dict[str, int]:
    """{constraint: rows whose derived value is not what follows from the others}"""
    found, by_name = {}, {column.name: column for column in layout.columns}
    stated = {rule.derived: rule.stated for rule in knowledge.derived}
    for computed in layout.computed:
        column = by_name[computed.name]
        wanted = layout.texts_of(column, column.released(computed.added_to(rows)))
        there = layout.texts_of(column, released[column.name])
        found[stated[column.name]] = int(np.count_nonzero([a != b for a, b in zip(there, wanted, strict=True)]))
    return found
