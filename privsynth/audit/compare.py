"""Makes three tables comparable for the audit: the same columns, the same categories, numbers as numbers."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth.audit.tables import AuditTables
from privsynth.errors import InputError, Problem
from privsynth.policy import Policy
from privsynth.policy.model import Thresholds
from privsynth.reader import RawTable, read_table

ID_LIKE = 0.5  # a text column in which more than this share of values is unique tells nothing but who it is


def comparable(synthetic: Any, train: Any, holdout: Any, policy: Any) -> tuple[AuditTables, dict[str, float], str]:
    """(tables, thresholds, effort). Raises InputError if the tables have no two columns in common."""
    raws = [read_table(str(t) if isinstance(t, PathLike) else t) for t in (synthetic, train, holdout)]
    if policy is None:
        return _inferred(raws), Thresholds().model_dump(), "standard"
    policy = policy if isinstance(policy, Policy) else Policy.load(Path(policy))
    model = policy.model
    names = [n for n, c in model.columns.items() if c.modelled and all(n in raw.columns for raw in raws)]
    _enough(names)
    frames = [pd.DataFrame({n: _declared(raw, n, policy) for n in names}) for raw in raws]
    roles = {n: model.columns[n].role for n in names}
    units: list[np.ndarray | None] = [None, None]
    if policy.unit_column and all(policy.unit_column in raw.columns for raw in raws[1:]):
        sides = [raw.text(policy.unit_column, model.dataset.missing).fillna("") for raw in raws[1:]]
        units = list(np.split(pd.factorize(pd.concat(sides))[0], [len(sides[0])]))
    tables = AuditTables(*shared_categories(frames), *units, roles)
    return tables, model.thresholds.model_dump(), model.audit.effort


def shared_categories(frames: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Text columns as categoricals with one common list of categories; all else as float64."""
    out = [frame.copy() for frame in frames]
    for name in frames[0].columns:
        if any(frame[name].dtype == object for frame in frames):
            values = pd.unique(pd.concat([frame[name] for frame in frames]).dropna().astype(str))
            for frame in out:
                frame[name] = pd.Categorical(frame[name].astype(object), categories=sorted(values))
        else:
            for frame in out:
                frame[name] = frame[name].astype(float)
    return out


def _declared(raw: RawTable, name: str, policy: Policy) -> pd.Series | np.ndarray:
    column, missing = policy.model.columns[name], policy.model.dataset.missing
    if column.kind != "category":
        return raw.numbers(name, missing, column.kind == "date", column.format)[0]
    values = raw.text(name, missing)
    grouping = policy.groupings.get(name)
    if grouping is not None:  # a synthetic table holds groups already
        known = set(grouping.groups)
        values = values.map({v: v if v in known else grouping(v) for v in values.dropna().unique()})
    return values.astype(object)


def _inferred(raws: list[RawTable]) -> AuditTables:
    names = [n for n in raws[0].columns if all(n in raw.columns for raw in raws)]
    columns: dict[str, list[Any]] = {}
    for name in names:
        texts = [raw.text(name, []) for raw in raws]
        numbers = [pd.to_numeric(t, errors="coerce") for t in texts]
        if all(n.notna().sum() == t.notna().sum() for n, t in zip(numbers, texts, strict=True)):
            columns[name] = numbers
        elif texts[1].nunique() <= ID_LIKE * max(texts[1].notna().sum(), 1):
            columns[name] = [t.astype(object) for t in texts]
    _enough(list(columns))
    frames = [pd.DataFrame({n: values[i] for n, values in columns.items()}) for i in range(len(raws))]
    return AuditTables(*shared_categories(frames), None, None, dict.fromkeys(columns, "attribute"))


def _enough(names: list[str]) -> None:
    if len(names) < 2:
        raise InputError(
            Problem("audit", "the three tables have fewer than two columns in common", "name tables of one layout")
        )
