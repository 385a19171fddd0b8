"""Mixed tables as integer matrices: `close`, in which a distance is a sum of clamped differences, `cells`, and `below` and `upto`.

The distance between two records is Gower's (Biometrics 27, 1971): the sum over columns of a number in [0, 1], which
is 1 for two different categories, 1 for a missing against a present value, and for numbers the difference of their
ranks in the synthetic table. In `close` every column is an integer such that this number is
min(|x - y|, SCALE) / SCALE: ranks lie in 0..SCALE, categories are SCALE apart, and missing is at least SCALE from every
value. A single formula without branches is what makes the search over 80,000 rows fast.

In `cells` every value is the number of its cell (bin): a category, one of about 20 quantile bins, or "missing".

In `below` and `upto` every value is how many real values are smaller, and how many are not larger: among all people whose data the
audit has. What two values have in common is how few real ones lie between them (`linked_records`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

SCALE = 2048
BINS = 20
_LANES = 8  # columns of `close` are padded to a multiple of this, so that the vectorised inner loop has no remainder


@dataclass(frozen=True)
class Coded:
    """A table in integers. `close`: int32[n, d padded with zeros]; `cells`, `below`, `upto`: int32[n, d]."""

    close: np.ndarray
    cells: np.ndarray
    below: np.ndarray
    upto: np.ndarray

    def __len__(self) -> int:
        return len(self.cells)

    def take(self, rows: np.ndarray) -> Coded:
        """The rows with these numbers, in this order."""
        return Coded(self.close[rows], self.cells[rows], self.below[rows], self.upto[rows])

    def changed(self, other: Coded) -> np.ndarray:
        """Numbers of the rows that differ in another table; of one with another number of rows, all."""
        if len(other) != len(self):
            return np.arange(max(len(self), len(other)))
        differs = (self.below != other.below) | (self.upto != other.upto)
        rows: np.ndarray = np.flatnonzero(differs.any(axis=1))
        return rows

    def planted(self, places: np.ndarray, rows: Coded) -> Coded:
        """With these rows in place of those with these numbers."""
        return Coded(*(_replaced(own, places, new) for own, new in zip(self._parts, rows._parts, strict=True)))

    @classmethod
    def joined(cls, parts: Sequence[Coded]) -> Coded:
        """The rows of several tables, one after another."""
        return cls(*(np.concatenate(own) for own in zip(*(part._parts for part in parts), strict=True)))

    @property
    def _parts(self) -> tuple[np.ndarray, ...]:
        return self.close, self.cells, self.below, self.upto

    def columns(self, which: list[int]) -> np.ndarray:
        """`close` restricted to these columns and padded again: int32[n, d']."""
        return _pad(self.close[:, which])


@dataclass(frozen=True)
class Coder:
    """Ranks and bin edges, fitted on the synthetic table alone, as an attacker would; counts of real values on all people."""

    names: list[str]
    sorted_values: list[np.ndarray | None]  # None for a category column
    real_values: list[np.ndarray]  # of all people, sorted; codes of a category column
    edges: list[np.ndarray | None]
    sizes: list[int]  # number of cells of each column, "missing" included

    @classmethod
    def fit(cls, synthetic: pd.DataFrame, real: Sequence[pd.DataFrame]) -> Coder:
        """real: all rows of people, of the training data and of the holdout."""
        names: list[str] = list(synthetic.columns)
        values: list[np.ndarray | None] = []
        edges: list[np.ndarray | None] = []
        sizes: list[int] = []
        for name in names:
            column = synthetic[name]
            if isinstance(column.dtype, pd.CategoricalDtype):
                values.append(None)
                edges.append(None)
                sizes.append(len(column.cat.categories) + 1)
                continue
            known = np.sort(_numbers(column))
            known = known[: np.count_nonzero(~np.isnan(known))]
            inner = np.linspace(0, 1, BINS + 1)[1:-1]
            cuts = np.unique(np.quantile(known, inner)) if len(known) else np.empty(0)
            values.append(known)
            edges.append(cuts)
            sizes.append(len(cuts) + 2)
        people = [np.sort(np.concatenate([_comparable(frame[name]) for frame in real])) for name in names]
        return cls(names, values, people, edges, sizes)

    def encode(self, frame: pd.DataFrame) -> Coded:
        """Frame with the columns that were fitted -> integers. Values outside the synthetic range are clipped to it."""
        close = np.empty((len(frame), len(self.names)), np.int32)
        cells = np.empty_like(close)
        columns = zip(self.names, self.sorted_values, self.edges, self.sizes, strict=True)
        for i, (name, known, edges, size) in enumerate(columns):
            if known is None or edges is None:
                codes = frame[name].cat.codes.to_numpy().astype(np.int32)
                cells[:, i] = np.where(codes < 0, size - 1, codes)
                close[:, i] = cells[:, i] * SCALE
            else:
                close[:, i], cells[:, i] = _encode_numbers(_numbers(frame[name]), known, edges, size)
        values = [_comparable(frame[name]) for name in self.names]
        below, upto = (
            np.column_stack(
                [np.searchsorted(known, own, side) for known, own in zip(self.real_values, values, strict=True)]
            )
            for side in ("left", "right")
        )
        return Coded(_pad(close), cells, below.astype(np.int32), upto.astype(np.int32))


def _encode_numbers(
    values: np.ndarray, known: np.ndarray, edges: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks among the `known` values of the synthetic table, and cell numbers: both of the length of `values`."""
    missing = np.isnan(values)
    middle = np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")  # ties: mid rank
    rank = np.rint(middle * (SCALE / max(2 * len(known), 1)))
    cell = np.searchsorted(edges, values, "right")
    return np.where(missing, 3 * SCALE, rank), np.where(missing, size - 1, cell)


def _numbers(column: pd.Series) -> np.ndarray:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isinf(values), np.nan, values)


def _comparable(column: pd.Series) -> np.ndarray:
    """Numbers or codes; missing is above all others."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes: np.ndarray = column.cat.codes.to_numpy().astype(np.float64)
        return np.where(codes < 0, np.inf, codes)
    values = _numbers(column)
    return np.where(np.isnan(values), np.inf, values)


def _replaced(own: np.ndarray, places: np.ndarray, new: np.ndarray) -> np.ndarray:
    own = own.copy()
    own[places] = new
    return own


def _pad(close: np.ndarray) -> np.ndarray:
    width = -(-close.shape[1] // _LANES) * _LANES
    padded = np.zeros((len(close), width), np.int32)
    padded[:, : close.shape[1]] = close
    return padded
