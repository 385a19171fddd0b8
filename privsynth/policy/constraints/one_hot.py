"""A category that stands in several columns: `{one_hot: [ward_a, ward_b, ward_c]}`; with `at_most: true` none may be true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from privsynth.policy.column import TRUTHS, Column
from privsynth.policy.constraints.base import Broken, Constraint


class OneHot(Constraint):
    """Exactly one of the columns is true in each row, or at most one. They are modelled as one column."""

    one_hot: list[str] = Field(min_length=2, max_length=1_000)
    at_most: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.one_hot)

    @property
    def stated(self) -> str:
        return f"{'at most' if self.at_most else 'exactly'} one of {', '.join(self.one_hot)} is true"

    def broken(self, columns: Mapping[str, Column]) -> Iterator[Broken]:
        if len(set(self.one_hot)) < len(self.one_hot):
            yield ("one_hot",), "a column is named twice", "name each once"
        for name in self.one_hot:
            if truths_of(columns[name]) is None:
                rule = f"column {name!r} has no two words for false and true"
                yield ("one_hot",), rule, 'write its `categories: ["0", "1"]`, the false one first'


def truths_of(column: Column) -> tuple[str, str] | None:
    """The words for false and true of a column with a value of two; None if it has no such words."""
    known = column.categories if isinstance(column.categories, list) else []
    if column.kind == "boolean":
        return (known[0], known[1]) if known else TRUTHS[0]
    return next((pair for pair in TRUTHS if set(pair) == set(known)), None) if column.kind == "category" else None
