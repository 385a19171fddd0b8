"""Canaries: units that are added to a table so that a mechanism shows whether it noticed them. All from public facts but
how often values occur in the table, which the audit may know.

* `rare`: in every column the value that occurs least.
* `extreme`: declared upper bounds, the last declared category.
* `unseen`: declared categories that nobody has; elsewhere the most frequent value.
* `copies`: as many equal rows as one unit may have (`unit.max_rows`); only where units may have several.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from privsynth.audit.canaries import Measured, Neighbours, audit_measuring
from privsynth.errors import InputError, Problem
from privsynth.policy import Policy
from privsynth.policy.column import TEMPORAL, Column
from privsynth.privacy.noise import Randomness
from privsynth.privacy.plan import Plan
from privsynth.privacy.unit import UNIT_ROWS, Rows
from privsynth.progress import Progress, silent
from privsynth.table.intake import take_in, typed
from privsynth.table.private import PrivateTable
from privsynth.table.raw import RawTable
from privsynth.table.reader import read_table
from privsynth.table.written import writer_of

KINDS = ("rare", "extreme", "unseen", "copies")
NAME = "canary"  # of its unit, and of what is no value


def kinds_of(policy: Policy) -> tuple[str, ...]:
    """The kinds of canaries that this policy can have."""
    return KINDS if policy.unit_column is not None and policy.max_rows > 1 else KINDS[:-1]


def canary(policy: Policy, table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The rows of one canary, as text, in the table's columns. table: all text, as read from a CSV."""
    if kind not in kinds_of(policy):
        raise InputError(Problem("canary", f"kind {kind!r} is not one of {', '.join(kinds_of(policy))}"))
    row = {name: _value(policy, name, table[name], kind) for name in table.columns}
    if policy.unit_column is not None:
        row[policy.unit_column] = NAME
        if (table[policy.unit_column] == NAME).any():
            raise InputError(Problem("canary", "its name is taken by a unit of the table"))
    return pd.DataFrame([row] * (policy.max_rows if kind == "copies" else 1), columns=list(table.columns))


def text_of(raw: RawTable, rows: int | None = None) -> pd.DataFrame:
    """A table that was read, as text, for `canary` and `neighbours`. rows: about so many of them, evenly spaced; a claim holds for
    every table, so it holds for these, and noise does not depend on how many there are."""
    step = max(1, len(raw) // rows) if rows else 1
    return pd.DataFrame({name: raw.cells(name, ()).words(str)[::step] for name in raw.columns}, dtype=object).fillna("")


def audit_canaries(
    policy: Policy, plan: Plan, table: pd.DataFrame, chains: int = 4, draws: int = 250, *, confidence: float = 0.95,
    seed: int | None = None, progress: Progress = silent,
) -> dict[str, list[Measured]]:  # fmt: skip
    """What was measured with each kind of canary. All bounds hold together with the stated confidence."""
    kinds = kinds_of(policy)
    each = 1 - (1 - confidence) / len(kinds)
    found = {}
    for kind in kinds:
        tables = neighbours(policy, table, canary(policy, table, kind))
        found[kind] = audit_measuring(
            policy, plan, tables, chains, draws, confidence=each, seed=seed, progress=progress
        )
    return found


def neighbours(
    policy: Policy, table: pd.DataFrame, rows: pd.DataFrame, randomness: Randomness | None = None
) -> Neighbours[pd.DataFrame]:
    """The table without the canary's rows and with them, read, typed and bounded by the policy, nobody held out. All other units
    have the same numbers in both: the key of these is drawn once."""
    seed = int.from_bytes((randomness or Randomness()).bytes(8), "little")
    without, with_canary = (
        take_in(read_table(side, policy.model.dataset), policy, Randomness(seed), holdout=0.0).train
        for side in (table, pd.concat([table, rows], ignore_index=True))
    )
    alone, _ = typed(read_table(rows, policy.model.dataset), policy)
    if policy.unit_column is not None:
        alone[UNIT_ROWS] = len(alone)
    return Neighbours(without, with_canary, PrivateTable(Rows(alone, np.zeros(len(alone), np.int64))))


def _value(policy: Policy, name: str, values: pd.Series, kind: str) -> str:
    column, nothing = policy.model.columns[name], policy.missing(name)
    if not column.modelled:
        return NAME
    counted = Counter(value for value in values if isinstance(value, str) and value and value not in nothing)
    ranked = [value for value, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))] or [""]
    declared = column.categories if isinstance(column.categories, list) else []
    if kind == "unseen":
        return next((value for value in declared if value not in counted), ranked[0])
    if kind == "extreme" and (declared or column.steps is not None):
        return declared[-1] if declared else _upper_bound(column)
    return ranked[-1]


def _upper_bound(column: Column) -> str:
    """As it is written."""
    assert column.steps is not None
    value = column.steps[1] * column.step
    if column.kind in TEMPORAL:
        return writer_of(column.kind, column.format, column.step)(value)
    return f"{value:.10g}"
