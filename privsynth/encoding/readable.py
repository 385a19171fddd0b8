"""Whether a column is what the policy says: how many of its cells cannot be read as its kind, decided on a paid, noisy count.

A table that is written otherwise than declared (1.234,50 for 1,234.50) turns missing cell by cell, and nothing that is learned
from the rest is worth its budget. An exact look would let one row decide whether a run stops; so each column's share of
unreadable cells is measured, all by one Gaussian mechanism (`mechanisms.tables.Histograms`, two cells a column), and the run
stops where it is above the limit by more than noise explains. Everything after the measurement is post-processing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from privsynth.encoding.requests import UNREADABLE, judged_columns, margin
from privsynth.errors import Problem, Refused
from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms.tables import Histograms
from privsynth.privacy.unit import Rows
from privsynth.table.names import state_of
from privsynth.table.raw import NO_VALUE

if TYPE_CHECKING:
    from privsynth.policy import Policy
    from privsynth.privacy.run import Run
    from privsynth.table.private import PrivateTable


@dataclass(frozen=True)
class Readability:
    """Encoder of rows: for each column 1 where its cell cannot be read as its kind, else 0."""

    columns: tuple[str, ...]

    def encode(self, rows: Rows[pd.DataFrame]) -> Rows[np.ndarray]:
        """(rows, columns) int32; each cell by itself."""
        found = [rows.values[state_of(name)].to_numpy() == NO_VALUE for name in self.columns]
        return Rows(np.stack(found, 1).astype(np.int32), rows.units)


def refuse_unreadable(policy: Policy, table: PrivateTable[pd.DataFrame], run: Run) -> dict[str, float]:
    """The noisy share of unreadable cells of each column in which there are more than noise explains, from 0 to 1. Raises
    Refused where one is above the limit."""
    columns = judged_columns(policy)
    if not columns:
        return {}
    mechanism = Histograms(run.plan.event(UNREADABLE, Gaussian), (2,) * len(columns), UNREADABLE)
    counts = table.encoded(Readability(columns)).measure(mechanism, run)
    total = max(1.0, float(np.mean([count.sum() for count in counts])))
    above = margin(len(columns), 1 / mechanism.event.noise_multiplier)
    found = {name: float(np.clip(count[1] / total, 0, 1)) for name, count in zip(columns, counts, strict=True)}
    limit = policy.model.dataset.unreadable
    wrong = [name for name, count in zip(columns, counts, strict=True) if count[1] > limit * total + above]
    if wrong:
        raise Refused([_unreadable(name, found[name], policy) for name in wrong])
    return {name: found[name] for name, count in zip(columns, counts, strict=True) if count[1] > above}


def _unreadable(name: str, share: float, policy: Policy) -> Problem:
    kind = policy.model.columns[name].kind
    rule = (
        f"about {100 * share:.0f} % of its cells cannot be read as kind {kind}; `dataset.unreadable` allows "
        f"{100 * policy.model.dataset.unreadable:g} %"
    )
    keys = {
        "date": "`format`", "datetime": "`format` and `timezone`", "time": "`format`", "duration": "`bounds` and its kind",
        "boolean": '`categories: ["no", "yes"]`',
    }  # fmt: skip
    how = keys.get(kind, "`number`, `dataset.csv` or `censored`")
    hint = f"say how they are written: {how}, or `missing`; `privsynth doctor POLICY --data FILE` shows what is in them"
    return Problem(policy.place("columns", name), rule, hint)
