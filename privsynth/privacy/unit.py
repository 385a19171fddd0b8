"""Rows by unit, and how much one unit may contribute when it has several rows.

Each unit's own vector of counts over all released tables, scaled by the tables' shares, is shortened to length 1 if it
is longer. Then adding or removing a unit moves the whole scaled release by at most 1 in L2, however many rows it has,
and no other unit's contribution changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from privsynth.privacy.noise import to_lattice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Values = TypeVar("Values")  # a data frame of typed values, or an array of codes


@dataclass(frozen=True)
class Rows(Generic[Values]):
    """values: one row per record, sorted by unit, the rows of a unit in random order. units: (rows,) int64.

    A unit's number is a keyed hash of its own name or content (`table.units`): adding a unit changes no other
    unit's number, position relative to the others, or order of rows.
    """

    values: Values
    units: Ints

    def __len__(self) -> int:
        return len(self.units)

    @cached_property
    def spans(self) -> tuple[Ints, Ints]:
        """(units,) place of each unit's first row, (units,) its number of rows."""
        if not len(self.units):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        first = np.flatnonzero(np.concatenate([[True], self.units[1:] != self.units[:-1]]))
        return first, np.diff(first, append=len(self.units))

    @property
    def sizes(self) -> Ints:
        """(units,) rows that each unit had before it was bounded, where the values say so; else the rows that are here."""
        first, here = self.spans
        known = UNIT_ROWS in getattr(self.values, "columns", ())
        return np.asarray(self.values[UNIT_ROWS].to_numpy()[first] if known else here)  # type: ignore[index]  # a data frame

    @property
    def one_of_each(self) -> Ints:
        """(units,) place of one random row of each unit: the first, since their order is random."""
        return self.spans[0]


UNIT_ROWS = (
    "__rows of its unit__"  # the column of typed rows with the number of rows that a unit had before it was bounded
)
MAX_WAYS = 4  # columns of a released table
SHARE_UNIT = 2.0**-30  # shares of tables are whole multiples of this


def to_shares(wanted: Floats) -> Floats:
    """Non-negative weights -> shares in the same proportions that sum to at most 1, each a multiple of SHARE_UNIT.

    A positive weight keeps a positive share.
    """
    positive = wanted > 0
    spread = 1 - SHARE_UNIT * int(positive.sum())
    floored = np.floor(wanted / max(float(wanted.sum()), 1e-300) * spread / SHARE_UNIT) * SHARE_UNIT
    return np.asarray(np.where(positive, np.maximum(floored, SHARE_UNIT), 0.0))


def unit_weights(
    codes: NDArray[np.int32], units: NDArray[np.int64], tables: Sequence[tuple[int, ...]], shares: Floats
) -> Floats:
    """(rows,) weight of each row, equal within a unit: min(1, 1 / ||v||), rounded down to the noise lattice.

    codes: (rows, columns), sorted by unit. tables: one to MAX_WAYS columns each; shares: (tables,) multiples of SHARE_UNIT
    that sum to at most 1. For a unit with rows r, s: ||v||^2 = sum over r, s of the shares of all tables in whose columns
    r and s agree, since both then lie in one cell. These are sums of multiples of SHARE_UNIT below 2^22, which doubles
    hold exactly: no weight depends on the order in which a matrix kernel adds, and so on how many other rows there are.
    """
    if len(units) == 0:
        return np.zeros(0)
    start = np.concatenate([[True], units[1:] != units[:-1]])
    unit_of = np.cumsum(start) - 1
    rows_of = np.bincount(unit_of)
    filled = [[*table, *[-1] * MAX_WAYS][:MAX_WAYS] for table in tables]  # -1: always agrees
    members = np.array(filled, np.int64).reshape(-1, MAX_WAYS)
    squared = rows_of * float(shares.sum())
    for lag in range(1, int(rows_of.max())):
        first = np.flatnonzero(units[lag:] == units[:-lag])
        agree = np.ones((len(first), codes.shape[1] + 1), bool)
        agree[:, :-1] = codes[first] == codes[first + lag]
        overlap = np.zeros(len(first))
        for at in range(0, len(members), _TOGETHER):
            cells = agree[:, members[at : at + _TOGETHER]].all(2)
            overlap += cells.astype(np.float64) @ shares[at : at + _TOGETHER]
        squared = squared + 2 * np.bincount(unit_of[first], overlap, minlength=len(rows_of))
    weight = np.minimum(1.0, (1 - 1e-9) / np.sqrt(np.maximum(squared, 1e-12)))
    weight[squared <= 1] = 1.0
    return np.asarray(to_lattice(weight)[unit_of])


_TOGETHER = 256  # tables compared at a time; bounds memory
