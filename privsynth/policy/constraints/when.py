"""If some columns hold certain values, others do, too: `{when: {AGEP: "<15"}, then: {MSP: missing}, iff: true}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING

from pydantic import Field

from privsynth.policy.column import Column
from privsynth.policy.constraints.base import MOST_WAYS, Broken, Constraint, Impossible, Rows
from privsynth.policy.constraints.conditions import AgeOf, Cell, Written, condition_of, is_word

if TYPE_CHECKING:
    from privsynth.policy.constraints.base import Bools

Conditions = dict[str, Written]
HINT = 'a condition is a value, a list of values, "<15", ">=18", `[low, high]`, missing or present'
AGE_HINT = ', and of a date of birth `{age: "<18"}`'


class When(Constraint):
    """Where all of `when` hold, all of `then` do. iff: and where all of `then` hold, all of `when` do."""

    when: Conditions = Field(min_length=1)
    then: Conditions = Field(min_length=1)
    iff: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.when, *self.then)))

    @property
    def stated(self) -> str:
        how = "exactly when" if self.iff else "whenever"
        return f"{_in_words(self.then)} {how} {_in_words(self.when)}"

    @property
    def required(self) -> frozenset[str]:
        every = [*self.then.items(), *(self.when.items() if self.iff else ())]
        return frozenset(name for name, written in every if not is_word(written))

    @property
    def _ways(self) -> list[tuple[Conditions, Conditions]]:
        return [(self.when, self.then), (self.then, self.when)] if self.iff else [(self.when, self.then)]

    def broken(self, columns: Mapping[str, Column]) -> Iterator[Broken]:
        for key, conditions in (("when", self.when), ("then", self.then)):
            for name, written in conditions.items():
                try:
                    found = condition_of(written, columns[name])
                except ValueError as error:
                    yield (key, name), str(error), HINT + AGE_HINT * (columns[name].kind == "date")
                    continue
                if columns[name].ages and found.ranges and not isinstance(written, AgeOf):
                    rule = f"column {name!r} is modelled as an age, so a condition on its days cannot be kept"
                    yield (key, name), rule, 'write `{age: "<18"}`, or leave its `cuts` as ages out'
        for premise, _ in self._ways:
            if len(premise) >= MOST_WAYS:
                key = "when" if premise is self.when else "then"
                rule = (
                    f"{len(premise)} columns lead to another one, and a constraint may tie {MOST_WAYS} columns together"
                )
                yield (
                    (key,),
                    rule,
                    f"use at most {MOST_WAYS - 1} columns" + (", or leave `iff` out" if key == "then" else ""),
                )

    def cuts(self, columns: Mapping[str, Column], rows: Rows) -> Iterator[tuple[str, int]]:
        for name, written in (*self.when.items(), *self.then.items()):
            for unit in condition_of(written, columns[name]).cuts():
                yield name, unit

    def impossible(
        self, cells: Mapping[str, Sequence[Cell]], columns: Mapping[str, Column], rows: Rows
    ) -> Iterator[Impossible]:
        import numpy as np

        def held(name: str, written: Written) -> Bools:
            condition = condition_of(written, columns[name])
            return np.array([condition.holds(cell) for cell in cells[name]], bool)

        for premise, conclusion in self._ways:
            given = {name: held(name, written) for name, written in premise.items()}
            for name, written in conclusion.items():
                wrong = ~held(name, written)
                sides = given | {name: given[name] & wrong if name in given else wrong}
                yield Impossible(tuple(sides), reduce(np.multiply.outer, sides.values()))


def _in_words(conditions: Conditions) -> str:
    return " and ".join(_one(name, written) for name, written in conditions.items())


def _one(name: str, written: Written) -> str:
    if isinstance(written, AgeOf):
        return _one(f"age of {name}", written.age)
    if isinstance(written, list):
        return f"{name} in [{', '.join(map(str, written))}]"
    text = str(written)
    return f"{name} {text}" if text[:1] in "<>" else f"{name} is {text}"
