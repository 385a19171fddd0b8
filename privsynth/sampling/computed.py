"""Columns that follow from others are computed last, from the values that leave."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from privsynth.policy.column import decimals_of
from privsynth.policy.constraints.formula import Formula
from privsynth.policy.knowledge import Knowledge
from privsynth.table.names import state_of
from privsynth.table.raw import BLANK, REGULAR

Key = tuple[str | float, ...]


@dataclass(frozen=True)
class Computed:
    """formula: over the numbers `needs`; or rows: values of `needs` and the value that belongs to them, all as text. step: of the
    column, if it is a number. marks: texts that stand in place of its values."""

    name: str
    needs: tuple[str, ...]
    formula: str | None
    rows: tuple[tuple[str, ...], ...]
    step: float | None
    marks: tuple[str, ...]

    @classmethod
    def all_of(cls, knowledge: Knowledge) -> tuple[Computed, ...]:
        """Each behind those that it needs."""
        found = []
        for rule in knowledge.derived:
            column = knowledge.columns[rule.derived]
            step, marks = None if column.categorical else column.step, knowledge.marks[rule.derived]
            found.append(cls(rule.derived, rule.needs, rule.formula, knowledge.rows_of(rule), step, marks))
        return tuple(found)

    def added_to(self, typed: pd.DataFrame) -> pd.DataFrame:
        """Typed rows with the column: text, or numbers and their states."""
        if self.formula is not None:
            values = Formula.of(self.formula)({name: typed[name].to_numpy(float) for name in self.needs})
            return typed.assign(**{self.name: self._on_grid(values)})
        keys = zip(*(_keys_of(typed, name) for name in self.needs), strict=True)
        texts = [self._value_of.get(key) for key in keys]
        if self.step is None:
            return typed.assign(**{self.name: pd.Series(texts, typed.index, dtype=object)})
        place = {mark: at for at, mark in enumerate(self.marks)}
        states = np.array([BLANK if t is None or t == "" else place.get(t, REGULAR) for t in texts], np.int8)
        values = np.array([float(t or "nan") if s == REGULAR else np.nan for t, s in zip(texts, states, strict=True)])
        return typed.assign(**{self.name: self._on_grid(values), state_of(self.name): states})

    def _on_grid(self, values: np.ndarray) -> np.ndarray:
        step = self.step or 1.0
        return np.round(np.round(values / step) * step, decimals_of(step))

    @cached_property
    def _value_of(self) -> dict[Key, str | None]:
        return {tuple(_as_key(cell) for cell in row[:-1]): row[-1] or None for row in self.rows}


def _as_key(text: str) -> str | float:
    """Numbers are told by their value: 2.50 is 2.5."""
    try:
        return float(text)
    except ValueError:
        return text


def _keys_of(typed: pd.DataFrame, name: str) -> list[Any]:
    """The empty text for a cell without a value."""
    values = typed[name]
    if values.dtype == object:
        return ["" if v is None or v != v else _as_key(v) for v in values]
    return ["" if np.isnan(v) else float(v) for v in values.to_numpy(float)]
