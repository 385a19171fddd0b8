"""How much one unit may contribute when it has several rows.

Each unit's own vector of counts over all released tables, scaled by the tables' shares, is shortened to length 1 if it
is longer. Then adding or removing a unit moves the whole scaled release by at most 1 in L2, however many rows it has,
and no other unit's contribution changes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from privsynth.privacy.noise import to_lattice

Floats = NDArray[np.float64]


def unit_weights(codes: NDArray[np.int32], units: NDArray[np.int64], one_way: Floats, two_way: Floats) -> Floats:
    """(rows,) weight of each row, equal within a unit: min(1, 1 / ||v||), rounded down to the noise lattice.

    codes: (rows, columns), sorted by unit. one_way: (columns,) share of each 1-way table; two_way: (columns, columns),
    upper triangle, share of each 2-way table; all shares sum to at most 1. For a unit with rows r, s and the agreement
    vector e (columns in which r and s are equal), ||v||^2 = sum over r, s of one_way . e + e' two_way e.
    """
    count = np.zeros(len(units))
    if len(units) == 0:
        return count
    start = np.concatenate([[True], units[1:] != units[:-1]])
    unit_of = np.cumsum(start) - 1
    rows_of = np.bincount(unit_of)
    total = float(one_way.sum() + two_way.sum())
    squared = rows_of * total
    for lag in range(1, int(rows_of.max())):
        first = np.flatnonzero(units[lag:] == units[:-lag])
        equal = (codes[first] == codes[first + lag]).astype(np.float64)
        overlap = equal @ one_way + np.einsum("ij,ij->i", equal @ two_way, equal)
        squared = squared + 2 * np.bincount(unit_of[first], overlap, minlength=len(rows_of))
    weight = np.minimum(1.0, (1 - 1e-9) / np.sqrt(np.maximum(squared, 1e-12)))
    weight[squared <= 1] = 1.0
    return np.asarray(to_lattice(weight)[unit_of])
