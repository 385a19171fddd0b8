"""Makes three tables comparable for the audit: the same columns, the same categories, numbers as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth.audit.tables import AuditTables
from privsynth.errors import InputError, Problem
from privsynth.policy import Policy
from privsynth.policy.model import Thresholds
from privsynth.table.parse import number_of
from privsynth.table.raw import RawTable
from privsynth.table.reader import read_table
from privsynth.table.values import NumberReader

ID_LIKE = 0.5  # a text column in which more than this share of the values is distinct is taken for an identifier


def comparable(synthetic: Any, train: Any, holdout: Any, policy: Any) -> tuple[AuditTables, dict[str, float], str]:
    """(tables, thresholds, effort). Raises InputError if the tables have no two columns in common."""
    policy = policy if policy is None or isinstance(policy, Policy) else Policy.load(Path(policy))
    dataset = None if policy is None else policy.model.dataset
    raws = [read_table(str(t) if isinstance(t, PathLike) else t, dataset) for t in (synthetic, train, holdout)]
    if policy is None:
        return _inferred(raws), Thresholds().model_dump(), "standard"
    model = policy.model
    names = [n for n, c in model.columns.items() if c.modelled and all(n in raw.columns for raw in raws)]
    _check_columns(names)
    frames = [pd.DataFrame({n: _declared(raw, n, policy) for n in names}) for raw in raws]
    roles = {n: model.columns[n].role for n in names}
    units: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
    if policy.unit_column and all(policy.unit_column in raw.columns for raw in raws[1:]):
        number: dict[str | None, int] = {}
        sides = [raw.cells(policy.unit_column, model.dataset.missing).words() for raw in raws[1:]]
        first, second = (np.array([number.setdefault(owner, len(number)) for owner in side]) for side in sides)
        units = (first, second)
    made, used, unused = shared_categories(frames)
    tables = AuditTables(made, used, unused, *units, roles)
    return tables, model.thresholds.model_dump(), model.audit.effort


def shared_categories(frames: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Text columns as categoricals with one common list of categories; all else as float64."""
    out = [frame.copy() for frame in frames]
    for name in frames[0].columns:
        if any(frame[name].dtype == object for frame in frames):
            categories = sorted({str(value) for frame in frames for value in frame[name].dropna()})
            for frame in out:
                frame[name] = categorical(frame[name], categories)
        else:
            for frame in out:
                frame[name] = frame[name].astype(float)
    return out


def categorical(values: Iterable[Any], categories: Sequence[str]) -> pd.Categorical:
    """Values as codes of these categories; any other value is missing. Compares whole strings: pandas' hash stops at a NUL byte."""
    place = {category: code for code, category in enumerate(categories)}
    return pd.Categorical.from_codes([place.get(value, -1) for value in values], categories=list(categories))


def _declared(raw: RawTable, name: str, policy: Policy) -> np.ndarray:
    column, missing = policy.model.columns[name], policy.missing(name)
    if not column.categorical:
        return raw.numbers(name, NumberReader.of(policy, name)).values
    grouping = policy.groupings.get(name)
    known = set(grouping.groups) if grouping else set()  # a synthetic table already holds groups
    return raw.cells(name, missing).words(lambda v: v if grouping is None or v in known else grouping(v))


def _inferred(raws: list[RawTable]) -> AuditTables:
    names = [n for n in raws[0].columns if all(n in raw.columns for raw in raws)]
    columns: dict[str, list[Any]] = {}
    for name in names:
        cells = [raw.cells(name, []) for raw in raws]
        numbers = [cell.numbers(number_of) for cell in cells]
        if all((~np.isnan(n)).sum() == cell.present for n, cell in zip(numbers, cells, strict=True)):
            columns[name] = numbers
        elif len(cells[1].distinct) <= ID_LIKE * max(cells[1].present, 1):
            columns[name] = [cell.words() for cell in cells]
    _check_columns(list(columns))
    frames = [pd.DataFrame({n: values[i] for n, values in columns.items()}) for i in range(len(raws))]
    made, used, unused = shared_categories(frames)
    return AuditTables(made, used, unused, None, None, dict.fromkeys(columns, "attribute"))


def _check_columns(names: list[str]) -> None:
    if len(names) < 2:
        raise InputError(
            Problem(
                "audit", "the three tables have fewer than two columns in common", "name tables with the same columns"
            )
        )
