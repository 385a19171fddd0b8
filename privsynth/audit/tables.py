"""Input of an audit: the released table, the rows of members (used in training) and those of non-members (the holdout)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class AuditTables:
    """Three frames with the same columns in the same order.

    Category columns have dtype "category" with the same categories in all three (missing is NaN); numbers and dates
    (days since 1970) are float64 (missing is NaN). Rows with the same unit number belong to the same person; None
    means that every row is a person. The trainer never saw the holdout.

    Raises:
        ValueError: columns, category lists or lengths of the units differ, or the synthetic table is empty. The
            message names columns, never a value.
    """

    synthetic: pd.DataFrame
    train: pd.DataFrame
    holdout: pd.DataFrame
    train_units: np.ndarray | None
    holdout_units: np.ndarray | None
    roles: dict[str, str]  # column -> quasi_identifier | sensitive | target | attribute

    def __post_init__(self) -> None:
        names = list(self.synthetic.columns)
        if not names or len(self.synthetic) == 0:
            raise ValueError("the synthetic table has no rows or no columns: there is nothing to attack")
        for title, frame in (("train", self.train), ("holdout", self.holdout)):
            if list(frame.columns) != names:
                raise ValueError(f"the {title} table does not have the columns of the synthetic table, in its order")
            for name in names:
                if not _alike(self.synthetic[name].dtype, frame[name].dtype):
                    raise ValueError(f"column {name!r} of the {title} table has another type or other categories")
        for title, units, frame in (
            ("train", self.train_units, self.train),
            ("holdout", self.holdout_units, self.holdout),
        ):
            if units is not None and len(units) != len(frame):
                raise ValueError(f"{title}_units has {len(units)} entries for {len(frame)} rows")

    def columns_of(self, *roles: str) -> list[str]:
        """Columns that have one of these roles: ordered by role as given, then as in the table."""
        return [name for role in roles for name in self.synthetic.columns if self.roles.get(name) == role]


def _alike(one: object, other: object) -> bool:
    if isinstance(one, pd.CategoricalDtype) and isinstance(other, pd.CategoricalDtype):
        return list(one.categories) == list(other.categories)
    return not isinstance(one, pd.CategoricalDtype) and not isinstance(other, pd.CategoricalDtype)
