"""Codes -> typed values, column after column, since some start from others: gaps, ages, times of day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.domain import ColumnDomain
from privsynth.policy.ages import births_at
from privsynth.policy.column import decimals_of
from privsynth.table.names import state_of
from privsynth.table.raw import BLANK, REGULAR


class Drawn:
    """Decoded columns, one after another. tops: the highest values that gaps above leave. frame: typed values by name; states: of
    columns with marks."""

    def __init__(self, known: pd.DataFrame | None, tops: Mapping[str, np.ndarray]):
        self.known, self.tops, self.units, self.frame, self.states = (
            known,
            tops,
            dict[str, np.ndarray](),
            dict[str, Any](),
            dict[str, Any](),
        )
        self.days: dict[str, np.ndarray] = {}  # of datetimes, until their time of day comes

    def take(self, column: ColumnCodec, codes: np.ndarray, places: np.ndarray) -> bool:
        """Decodes a column; False if it has to wait for the one that it starts from."""
        domain = column.domain
        if any(start is not None and start not in self.units for start in (domain.gap_from, domain.age_at)):
            return False
        if domain.clock_of is not None and domain.clock_of not in self.days:
            return False
        cells, inside = column.decode(codes, places)
        if domain.members:
            self._tell_members(domain, cells)
            return True
        if domain.categorical:
            words = np.array([*domain.categories, *domain.marks, None], dtype=object)[cells]
            there = None if self.known is None else self.known[domain.name]
            self.frame[domain.name] = words if there is None else np.where(there.notna(), there, words)
            return True
        value = column.grid_values(cells, inside)
        if domain.marks:
            self.states[state_of(domain.name)] = column.states(cells)
        if domain.by_day:
            self.days[domain.name] = value * domain.a_day
        elif domain.clock_of is not None:
            value = np.where(
                np.isnan(value), column.any_value(places), value
            )  # a day without a time is none of the table's
            self._finish(domain, domain.clock_of, self.days[domain.clock_of] + value)
        else:
            if domain.gap_from is not None:
                start = self.units[domain.gap_from]
                value = np.minimum(start + value, np.maximum(domain.high, start + domain.least_gap))
                value = np.maximum(value, domain.floor)
            elif domain.age_at is not None:
                born = births_at(value, np.floor(self.units[domain.age_at] / domain.age_units))
                value = np.clip(born, domain.low, domain.high)
            self._finish(domain, domain.name, value)
        return True

    def given(self, name: str) -> np.ndarray:
        """(rows,) given numbers of a column, NaN elsewhere."""
        rows = len(next(iter(self.frame.values())))
        return np.full(rows, np.nan) if self.known is None else self.known[name].to_numpy(float)

    def _tell_members(self, domain: ColumnDomain, cells: np.ndarray) -> None:
        """The words of the columns of which one is true."""
        for at, (name, words) in enumerate(zip(domain.members, domain.words, strict=True)):
            found = np.where(cells == domain.cells, None, np.array(words, dtype=object)[(cells == at).astype(int)])
            there = None if self.known is None else self.known[name]
            self.frame[name] = found if there is None else np.where(there.notna(), there, found)

    def _finish(self, domain: ColumnDomain, name: str, value: np.ndarray) -> None:
        value = np.minimum(value, self.tops.get(name, np.inf))
        whole = rounded(value * domain.step, domain.step)
        if self.known is not None:
            there = self.known[name].to_numpy(float)
            value = np.where(np.isnan(there), value, np.round(there / domain.step))
            whole = np.where(np.isnan(there), whole, there)
            states = state_of(name)
            if states in self.states:
                own = self.known[states].to_numpy() if states in self.known else np.full(len(there), BLANK)
                given = np.where(np.isnan(there), own, REGULAR)
                self.states[states] = np.where(given == BLANK, self.states[states], given).astype(np.int8)
                whole = np.where(self.states[states] == REGULAR, whole, np.nan)
        self.units[name], self.frame[name] = value, whole


def rounded(values: np.ndarray, step: float) -> np.ndarray:
    """Without what floating-point arithmetic added beyond the decimal places of a step."""
    return np.round(values, decimals_of(step))
