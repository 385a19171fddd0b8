"""No two rows are alike in some columns: `{unique: [case_id]}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from privsynth.policy.column import Column
from privsynth.policy.constraints.base import Broken, Constraint


class Unique(Constraint):
    """Held by an invented identifier among the columns: those of kind id never repeat."""

    unique: list[str] = Field(min_length=1, max_length=100)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.unique)

    @property
    def stated(self) -> str:
        return f"no two rows have the same {' and '.join(self.unique)}"

    def broken(self, columns: Mapping[str, Column]) -> Iterator[Broken]:
        if len(set(self.unique)) < len(self.unique):
            yield ("unique",), "a column is named twice", "name each once"
        own = [columns[name] for name in self.unique]
        if not any(column.kind == "id" and column.release == "regenerate" for column in own):
            rule = "none of these columns is invented without repeats, and modelled values repeat"
            yield ("unique",), rule, "name a column of kind id with `release: regenerate`"
