"""Attacks on a synthetic table, with controls, intervals and power. Its figures are internal: the budget does not cover them.

`import privsynth` imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from privsynth.evidence import ByHand
    from privsynth.policy import Policy

    Table: TypeAlias = pd.DataFrame | str | PathLike[str]

__all__ = ["audit"]


def audit(
    synthetic: Table, train: Table, holdout: Table, policy: Policy | str | PathLike[str] | None = None, *,
    effort: str | None = None, rng: np.random.Generator | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> ByHand:  # fmt: skip
    """Attacks a synthetic table, given the rows it was trained on and rows it was not trained on (files or data frames).

    policy: declares kinds, roles, unit and thresholds; without it kinds are inferred and every row is a person. Works
    on any synthesizer's output: values are compared, however they are written. Raises InputError if the tables have fewer
    than two columns in common, or if a column of one of them holds nothing that can be read.
    """
    import numpy as np

    from privsynth.audit.attack import attack
    from privsynth.audit.compare import comparable
    from privsynth.evidence import ByHand

    tables, thresholds, default_effort = comparable(synthetic, train, holdout, policy)
    found = attack(tables, thresholds, effort or default_effort, rng or np.random.default_rng(), progress)
    left_out = [*found.left_out, *tables.left_out]
    return ByHand(**dict(found) | {"left_out": left_out}, kinds=tables.kinds, unreadable=tables.unreadable)
