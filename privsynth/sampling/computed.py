"""Columns that follow from others are computed last, from the values that leave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd

from privsynth.policy.column import Column, decimals_of
from privsynth.policy.constraints.conditions import condition_of
from privsynth.policy.constraints.formula import Formula
from privsynth.policy.knowledge import Knowledge
from privsynth.table.names import state_of
from privsynth.table.raw import BLANK, REGULAR

Key = str | float
MOST_STEPS = 2.0**53  # of a computed number: beyond, floats no longer hold every whole number


@dataclass(frozen=True)
class Computed:
    """formula: over the numbers `needs`; or rows: values of `needs` and the value that belongs to them, all as text, dates and
    moments as numbers. step: of the column, if it is a number. marks: texts that stand in place of its values. told: of each of
    `needs` in rows the texts that stand in place of a number, or None where it is text itself."""

    name: str
    needs: tuple[str, ...]
    formula: str | None
    rows: tuple[tuple[str, ...], ...]
    step: float | None
    marks: tuple[str, ...]
    told: tuple[tuple[str, ...] | None, ...] = ()

    @classmethod
    def all_of(cls, knowledge: Knowledge) -> tuple[Computed, ...]:
        """Each behind those that it needs."""
        found = []
        for rule in knowledge.derived:
            column = knowledge.columns[rule.derived]
            step, marks = None if column.categorical else column.step, knowledge.marks[rule.derived]
            own = [knowledge.columns[name] for name in (*rule.needs, rule.derived)]
            rows = tuple(row for line in knowledge.rows_of(rule) for row in _spelled(line, own))
            told = tuple(None if c.categorical else knowledge.marks[n] for n, c in zip(rule.needs, own, strict=False))
            found.append(cls(rule.derived, rule.needs, rule.formula, rows, step, marks, told if rows else ()))
        return tuple(found)

    def added_to(self, typed: pd.DataFrame) -> pd.DataFrame:
        """Typed rows with the column: text, or numbers and their states."""
        if self.formula is not None:
            own = {name: typed[name].to_numpy(float) for name in self.needs}
            values = Formula.of(self.formula)(own, len(typed))
            return typed.assign(**{self.name: self._on_grid(values)})
        keys = zip(*(_keys_of(typed, n, told) for n, told in zip(self.needs, self.told, strict=True)), strict=True)
        texts = [self._value_of.get(key) for key in keys]
        if self.step is None:
            return typed.assign(**{self.name: pd.Series(texts, typed.index, dtype=object)})
        place = {mark: at for at, mark in enumerate(self.marks)}
        states = np.array([BLANK if t is None or t == "" else place.get(t, REGULAR) for t in texts], np.int8)
        values = np.array([float(t or "nan") if s == REGULAR else np.nan for t, s in zip(texts, states, strict=True)])
        return typed.assign(**{self.name: self._on_grid(values), state_of(self.name): states})

    def _on_grid(self, values: np.ndarray) -> np.ndarray:
        """Missing where floats do not hold it."""
        step = self.step or 1.0
        values = np.where(np.abs(values) < MOST_STEPS * step, values, np.nan)
        return np.round(np.round(values / step) * step, decimals_of(step))

    @cached_property
    def _value_of(self) -> dict[tuple[Key, ...], str | None]:
        return {
            tuple(_as_key(cell, told) for cell, told in zip(row, self.told, strict=False)): row[-1] or None
            for row in self.rows
        }


def _spelled(line: tuple[str, ...], columns: list[Column]) -> Iterator[tuple[str, ...]]:
    """A line of a file as typed values are: numbers, dates and moments as plain numbers; truth values of the columns that come
    first in every spelling."""
    cells = [_spellings(text, column) for text, column in zip(line[:-1], columns, strict=False)]
    last = line[-1] if columns[-1].categorical else _spellings(line[-1], columns[-1])[0]
    yield from ((*own, last) for own in product(*cells))


def _spellings(text: str, column: Column) -> list[str]:
    if text == "":
        return [text]
    condition = condition_of([text], column)
    if condition.texts:
        return sorted(condition.texts)
    return [repr(round(condition.ranges[0][0] * column.step, decimals_of(column.step)))]


def _as_key(text: str, told: tuple[str, ...] | None) -> Key:
    """Numbers are told by their value: 2.50 is 2.5. Categories are not: 01 is not 1."""
    return text if told is None or text == "" or text in told else float(text)


def _keys_of(typed: pd.DataFrame, name: str, told: tuple[str, ...] | None) -> list[Key]:
    """The empty text for a cell without a value."""
    values = typed[name]
    if told is None:
        return ["" if v is None or v != v else str(v) for v in values]
    found: list[Key] = ["" if np.isnan(v) else float(v) for v in values.to_numpy(float)]
    if state_of(name) in typed:
        found = [told[s] if s >= 0 else v for v, s in zip(found, typed[state_of(name)], strict=True)]
    return found
