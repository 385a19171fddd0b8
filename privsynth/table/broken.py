"""Rows of a table that break what the policy knows. Real ones are trained on as they are; how many there are is internal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from privsynth.policy.ages import ages_at
from privsynth.policy.constraints import Inequality
from privsynth.policy.constraints.conditions import Cell
from privsynth.policy.knowledge import Knowledge
from privsynth.policy.moments import DAY
from privsynth.table.names import state_of


def broken_rows(rows: pd.DataFrame, knowledge: Knowledge) -> dict[str, int]:
    """{constraint: typed rows that break it}, for those that are about modelled columns alone; each row by itself. Exact."""
    found: dict[str, int] = {}
    for constraint in knowledge.constraints:
        if isinstance(constraint, Inequality):
            small, large, strict = constraint.rising
            a, b = rows[small].to_numpy(float), rows[large].to_numpy(float)
            found[constraint.stated] = int(np.count_nonzero(a >= b if strict else a > b))
    for group in knowledge.groups.values():
        true = sum(_is_true(rows, knowledge, name).astype(int) for name in group.one_hot)
        known = np.all([rows[name].notna() for name in group.one_hot], axis=0)
        wrong = (true > 1) | (np.logical_not(group.at_most) & (true == 0) & known)
        found[group.stated] = int(np.count_nonzero(wrong))
    names = dict.fromkeys(knowledge.group_of.get(name, name) for name in rows if name in knowledge.named)
    cells = {name: knowledge.public_cells(name) for name in names}
    places = {
        name: _members(rows, name, own, knowledge) if name in knowledge.groups else _places(rows, name, own, knowledge)
        for name, own in cells.items()
    }
    every: dict[str, np.ndarray] = {}
    for known, rule in knowledge.impossible(cells):
        wrong = rule.cells[tuple(np.maximum(places[name], 0) for name in rule.columns)]
        wrong &= np.all([places[name] >= 0 for name in rule.columns], axis=0)
        every[known.stated] = every.get(known.stated, False) | wrong
    return found | {stated: int(np.count_nonzero(wrong)) for stated, wrong in every.items()}


def _is_true(rows: pd.DataFrame, knowledge: Knowledge, name: str) -> np.ndarray:
    yes = {cell.text for cell in knowledge.public_cells(name) if knowledge.is_yes(name, cell.text)}
    return np.array([value in yes for value in rows[name]], bool)


def _members(rows: pd.DataFrame, group: str, cells: Sequence[Cell], knowledge: Knowledge) -> np.ndarray:
    """(rows,) the cell of the member that is true; -1 where the group's own rule is broken, or some member is missing."""
    members = knowledge.groups[group].one_hot
    true = np.array([_is_true(rows, knowledge, name) for name in members])
    known = np.all([rows[name].notna() for name in members], axis=0)
    place = {cell.text: at for at, cell in enumerate(cells)}
    none = place.get("", -1)
    found = np.where(true.sum(0) == 1, np.array([place[name] for name in members])[true.argmax(0)], -1)
    return np.where(known, np.where(true.any(0), found, none), -1)


def _places(rows: pd.DataFrame, name: str, cells: Sequence[Cell], knowledge: Knowledge) -> np.ndarray:
    """(rows,) the public cell of each; -1 for a value that has none, such as one that the policy does not list."""
    column, marks = knowledge.columns[name], knowledge.marks[name]
    place = {cell.text: at for at, cell in enumerate(cells) if cell.text is not None}
    blank = next((at for at, cell in enumerate(cells) if cell.absent and cell.text is None), -1)
    if column.categorical:
        other = place.get("__other__", -1)
        return np.array([blank if not isinstance(v, str) else place.get(v, other) for v in rows[name]], np.int64)
    numbers = [(cell.low, at) for at, cell in enumerate(cells) if cell.text is None and not cell.absent]
    low, at = np.array([n for n, _ in numbers]), np.array([a for _, a in numbers])
    units = _units(rows, name, knowledge)
    known = ~np.isnan(units)
    found = np.where(known, at[np.clip(np.searchsorted(low, np.where(known, units, 0), "right") - 1, 0, None)], blank)
    if state_of(name) in rows:
        states = rows[state_of(name)].to_numpy(np.int64)
        of_mark = np.array([place.get(mark, blank) for mark in (*marks, "")], np.int64)
        found = np.where(states >= 0, of_mark[np.maximum(states, 0)], found)
    ageless = ~known & rows[name].notna().to_numpy()  # a birth without the date at which its age counts
    return np.where(ageless, -1, found)


def _units(rows: pd.DataFrame, name: str, knowledge: Knowledge) -> np.ndarray:
    """(rows,) numbers in grid units; births that are modelled as ages in units of these."""
    column = knowledge.columns[name]
    units = np.round(rows[name].to_numpy(float) / column.step)
    if column.ages is None:
        return np.asarray(units)
    at = knowledge.columns[column.ages.at]
    return ages_at(units, np.floor(rows[column.ages.at].to_numpy(float) / (DAY if at.kind == "datetime" else 1)))
