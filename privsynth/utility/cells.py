"""Cells and marginals: the total variation distance between two tables, on which the fidelity figures here are based."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

BINS = 20
MAX_TRIPLES = 100
_DENSE = 1 << 21  # cells up to which a marginal is counted in a full array; larger ones are sorted first


@dataclass(frozen=True)
class Marked:
    """Texts in place of numbers (codes for missing answers, limits of detection) of the columns that have some.

    texts: by column. synthetic, train: by column, (rows,) int8, the place of each row's text, negative where it has none.
    """

    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    synthetic: Mapping[str, np.ndarray] = field(default_factory=dict)
    train: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """Cells of every column, defined by the real training table: its categories or 20 quantile bins, one for each text in place of
    a number, and one for missing."""

    names: list[str]
    edges: list[np.ndarray | None]  # None for a category column
    sizes: list[int]  # number of cells of each column; the last is "missing"

    @classmethod
    def fit(cls, train: pd.DataFrame, bins: int = BINS, marked: Marked | None = None) -> Grid:
        names: list[str] = list(train.columns)
        edges: list[np.ndarray | None] = []
        sizes: list[int] = []
        for name in names:
            column = train[name]
            if is_category(column):
                edges.append(None)
                sizes.append(len(column.cat.categories) + 1)
                continue
            known = known_numbers(column)
            cuts = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])) if len(known) else np.empty(0)
            edges.append(cuts)
            sizes.append(len(cuts) + 2 + (0 if marked is None else len(marked.texts.get(name, ()))))
        return cls(names, edges, sizes)

    def encode(self, frame: pd.DataFrame, marks: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Cell numbers, int64[d, n]: one contiguous row for each column. marks: as in `Marked`, of this table."""
        cells = np.empty((len(self.names), len(frame)), np.int64)
        for i, (name, edges, size) in enumerate(zip(self.names, self.edges, self.sizes, strict=True)):
            if edges is None:
                found = frame[name].cat.codes.to_numpy().astype(np.int64)
                missing = found < 0
            else:
                values = numbers(frame[name])
                found, missing = np.searchsorted(edges, values, side="right"), np.isnan(values)
                if marks is not None and name in marks:
                    places = marks[name].astype(np.int64)
                    found, missing = np.where(places >= 0, len(edges) + 1 + places, found), missing & (places < 0)
            cells[i] = np.where(missing, size - 1, found)
        return cells


def is_category(column: pd.Series) -> bool:
    """Whether the column holds categories; everything else is a number or a date in days."""
    return isinstance(column.dtype, pd.CategoricalDtype)


def numbers(column: pd.Series) -> np.ndarray:
    """float64[n], missing is NaN."""
    values: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def known_numbers(column: pd.Series) -> np.ndarray:
    """The values that are not missing, float64[k]."""
    values = numbers(column)
    known: np.ndarray = values[~np.isnan(values)]
    return known


def marginal_distance(one: np.ndarray, two: np.ndarray, sizes: list[int], columns: tuple[int, ...]) -> float:
    """Total variation distance of two tables on one marginal: half the sum of |p - q| over its cells, 0..1.

    `one`, `two`: int64[d, n1], int64[d, n2] cell numbers. NaN if a table has no rows.
    """
    if one.shape[1] == 0 or two.shape[1] == 0:
        return float("nan")
    cells = 1
    keys = [np.zeros(table.shape[1], np.int64) for table in (one, two)]
    for column in columns:
        keys = [key * sizes[column] + table[column] for key, table in zip(keys, (one, two), strict=True)]
        cells *= sizes[column]
        if cells > _DENSE:  # number the cells that occur, so that keys neither overflow nor need a huge array
            seen, fresh = np.unique(np.concatenate(keys), return_inverse=True)
            keys, cells = [fresh[: one.shape[1]], fresh[one.shape[1] :]], len(seen)
    p, q = (np.bincount(key, minlength=cells) / len(key) for key in keys)
    return float(0.5 * np.abs(p - q).sum())


def tvd(one: np.ndarray, two: np.ndarray, sizes: list[int], ways: int) -> float | None:
    """Mean total variation distance over all marginals of `ways` columns, over 100 seeded ones for three columns.

    The triples are drawn with the fixed seed 0, as in the benchmark, so that figures of different runs are comparable:
    which triples count is part of the definition, not random. None if there are fewer columns than ways.
    """
    sets = list(itertools.combinations(range(len(sizes)), ways))
    if ways == 3 and len(sets) > MAX_TRIPLES:
        sets = [sets[i] for i in np.random.default_rng(0).choice(len(sets), MAX_TRIPLES, replace=False)]
    if not sets or one.shape[1] == 0 or two.shape[1] == 0:
        return None
    return float(np.mean([marginal_distance(one, two, sizes, columns) for columns in sets]))
