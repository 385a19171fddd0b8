"""What every constraint is: public knowledge about the rows, which every synthetic row obeys."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pydantic import Field

from privsynth.policy.column import Column, Strict
from privsynth.policy.constraints.conditions import Cell

if TYPE_CHECKING:  # reading a policy needs no numpy
    import numpy as np
    from numpy.typing import NDArray

    Bools: TypeAlias = NDArray[np.bool_]

MOST_WAYS = 4  # columns that one constraint may tie together: the fit follows tables of at most so many
Broken = tuple[tuple[str | int, ...], str, str]  # (place inside of the constraint, rule of the policy language, hint)
Rows = tuple[tuple[str, ...], ...]  # of a CSV beside the policy


class Impossible(NamedTuple):
    """Combinations that no row has. cells: True for these, one axis of cells for each of the columns."""

    columns: tuple[str, ...]
    cells: Bools


class Constraint(Strict):
    """One entry of `constraints`. Subclasses have a key of their own, by which an entry is told."""

    note: str = Field(default="", max_length=500)  # why it is so, for readers of the report

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that it is about."""

    @property
    @abstractmethod
    def stated(self) -> str:
        """The rule in a line, for a reader."""

    @property
    def required(self) -> frozenset[str]:
        """Columns that must have certain values where it applies."""
        return frozenset()

    @property
    def reads(self) -> str | None:
        """The CSV beside the policy that it names."""
        return None

    def broken(self, columns: Mapping[str, Column]) -> Iterator[Broken]:
        """What is wrong with it in this policy, whose columns it names are there."""
        yield from ()

    def cuts(self, columns: Mapping[str, Column], rows: Rows) -> Iterator[tuple[str, int]]:
        """(column, first grid unit of a new side): no cell reaches across. rows: of the CSV that it names."""
        yield from ()

    def impossible(
        self, cells: Mapping[str, Sequence[Cell]], columns: Mapping[str, Column], rows: Rows
    ) -> Iterator[Impossible]:
        """Combinations of cells that it rules out. cells: of the columns that are modelled as themselves."""
        yield from ()
