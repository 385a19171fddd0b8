"""Values that occur together: `{combinations: [PUMA, DENSITY], file: puma_density.csv}`, a CSV of all allowed rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field

from privsynth.policy.column import Column
from privsynth.policy.constraints.base import MOST_WAYS, Broken, Constraint, Impossible, Rows
from privsynth.policy.constraints.conditions import Cell, Condition, condition_of

MISSING = Condition(absent=True)


class Combinations(Constraint):
    """Only combinations that stand in the file occur. An empty cell there means missing; of a column in which the file has none,
    missing values go with anything."""

    combinations: list[str] = Field(min_length=2, max_length=MOST_WAYS)
    file: str

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.combinations)

    @property
    def stated(self) -> str:
        return f"combinations of {', '.join(self.combinations)} are those of {self.file}"

    @property
    def required(self) -> frozenset[str]:
        return frozenset(self.combinations)

    @property
    def reads(self) -> str | None:
        return self.file

    def broken(self, columns: Mapping[str, Column]) -> Iterator[Broken]:
        if len(set(self.combinations)) < len(self.combinations):
            yield ("combinations",), "a column is named twice", "name each once"
        for name in self.combinations:
            if columns[name].ages:
                rule = f"column {name!r} is modelled as an age, so no list of its days can be kept"
                yield ("combinations",), rule, "leave its `cuts` as ages out, or rule its age by `when`"

    def cuts(self, columns: Mapping[str, Column], rows: Rows) -> Iterator[tuple[str, int]]:
        for name, values in zip(self.combinations, zip(*rows, strict=True), strict=True):
            for value in set(values) - {""}:
                for unit in condition_of(value, columns[name]).cuts():
                    yield name, unit

    def impossible(
        self, cells: Mapping[str, Sequence[Cell]], columns: Mapping[str, Column], rows: Rows
    ) -> Iterator[Impossible]:
        import numpy as np

        places = []  # of each column, {value in the file: the cells that hold it}
        for name, values in zip(self.combinations, zip(*rows, strict=True), strict=True):
            own = {v: MISSING if v == "" else condition_of(v, columns[name]) for v in set(values)}
            places.append({v: np.array([c.holds(cell) for cell in cells[name]], bool) for v, c in own.items()})
        allowed = np.zeros([len(cells[name]) for name in self.combinations], bool)
        for row in set(rows):
            held = [np.flatnonzero(place[value]) for place, value in zip(places, row, strict=True)]
            allowed[np.ix_(*held)] = True
        for axis, (name, place) in enumerate(zip(self.combinations, places, strict=True)):
            if "" not in place:
                absent = np.array([cell.absent for cell in cells[name]], bool)
                shape = [-1 if i == axis else 1 for i in range(allowed.ndim)]
                allowed |= absent.reshape(shape)
        yield Impossible(self.columns, ~allowed)
