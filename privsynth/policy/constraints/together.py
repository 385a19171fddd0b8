"""Columns that are missing in the same rows: `{together: [lab_date, lab_value]}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field

from privsynth.policy.column import Column
from privsynth.policy.constraints.base import Broken, Constraint, Impossible, Rows
from privsynth.policy.constraints.conditions import Cell


class Together(Constraint):
    """All are missing in a row, or none is."""

    together: list[str] = Field(min_length=2, max_length=100)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.together)

    @property
    def stated(self) -> str:
        return f"{', '.join(self.together)} are missing together, or not at all"

    def broken(self, columns: Mapping[str, Column]) -> Iterator[Broken]:
        if len(set(self.together)) < len(self.together):
            yield ("together",), "a column is named twice", "name each once"

    def impossible(
        self, cells: Mapping[str, Sequence[Cell]], columns: Mapping[str, Column], rows: Rows
    ) -> Iterator[Impossible]:
        import numpy as np

        absent = {name: np.array([cell.absent for cell in cells[name]], bool) for name in self.together}
        first, *others = self.together
        for other in others:  # each with the first: pairs of all would tie up to 100 columns in 2**100 ways
            yield Impossible((first, other), np.not_equal.outer(absent[first], absent[other]))
