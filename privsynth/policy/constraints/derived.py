"""Columns that follow from others: `{derived: INDP_CAT, from: [INDP], file: indp_cat.csv}`, or by a `formula`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from pydantic import Field, model_validator

from privsynth.policy.column import Column
from privsynth.policy.constraints.base import Broken, Constraint
from privsynth.policy.constraints.formula import Formula, NoFormula

NUMBERS = ("integer", "number")
_NEVER = "leave `nullable: false` out"


class Derived(Constraint):
    """A column that is not modelled, but computed: by a CSV whose last column is the value that belongs to the others, or by a
    formula over numbers, which is missing where one of them is."""

    derived: str
    sources: list[str] = Field(default=[], alias="from", max_length=10)
    file: str | None = None
    formula: str | None = Field(default=None, max_length=2_000)

    @model_validator(mode="after")
    def _one_way(self) -> Derived:
        if (self.formula is None) == (self.file is None) or bool(self.sources) != (self.file is not None):
            raise ValueError("state either `from: [...]` and `file`, or `formula`")
        if self.formula is not None:
            try:
                Formula.of(self.formula)
            except NoFormula as error:
                raise ValueError(f"the formula {error}") from None
        return self

    @cached_property
    def parsed(self) -> Formula | None:
        return None if self.formula is None else Formula.of(self.formula)

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that it is computed from."""
        return tuple(self.sources) if self.parsed is None else self.parsed.columns

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.derived, *self.needs)

    @property
    def stated(self) -> str:
        if self.formula is not None:
            return f"{self.derived} = {self.formula}"
        return f"{self.derived} follows from {', '.join(self.sources)} by {self.file}"

    @property
    def reads(self) -> str | None:
        return self.file

    def broken(self, columns: Mapping[str, Column]) -> Iterator[Broken]:
        column = columns[self.derived]
        if column.released_as != "keep" or column.kind in ("id", "text"):
            yield ("derived",), f"column {self.derived!r} is not kept", "keep it, or drop the constraint"
        if column.role == "target":
            yield (
                ("derived",),
                f"column {self.derived!r} is the target, which is to be modelled",
                "give it another role",
            )
        if self.formula is not None:
            for name in self.columns:
                if columns[name].kind not in NUMBERS:
                    yield (
                        ("formula",),
                        f"column {name!r} is no number",
                        "formulas go over columns of kind integer or number",
                    )
        elif len(set(self.sources)) < len(self.sources):
            yield ("from",), "a column is named twice", "name each once"
        for name in self.columns if self.file is not None else ():
            if columns[name].kind == "datetime":
                yield (
                    ("derived",),
                    f"column {name!r} holds moments, which no file can list",
                    "derive it from other columns",
                )
        if not column.nullable and (self.parsed is None or self.parsed.divides):
            why = "where a value is not in its file" if self.parsed is None else "where it divides by zero"
            yield ("derived",), f"column {self.derived!r} is declared never missing, but is {why}", _NEVER
        elif not column.nullable and (source := next((n for n in self.needs if columns[n].nullable), None)):
            rule = f"column {self.derived!r} is declared never missing, but is where {source!r} is"
            yield ("derived",), rule, f"leave `nullable: false` out, or state it of {source!r}, too"
