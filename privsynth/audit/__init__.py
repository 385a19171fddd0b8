"""Attacks on a synthetic table, with controls, intervals and power. Internal: its figures are not paid for.

This module stays light, since `import privsynth` imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from privsynth.evidence import Audit
    from privsynth.policy import Policy

    Table: TypeAlias = pd.DataFrame | str | PathLike[str]

__all__ = ["audit"]


def audit(
    synthetic: Table, train: Table, holdout: Table, policy: Policy | str | PathLike[str] | None = None, *,
    effort: str | None = None, rng: np.random.Generator | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Audit:  # fmt: skip
    """Attacks a synthetic table with the rows it was trained on and rows it was not (files or data frames).

    policy: declares kinds, roles, unit and thresholds; without it kinds are inferred and every row is a person. Works
    on any synthesizer's output. Raises InputError for tables that do not fit together.
    """
    import numpy as np

    from privsynth.audit.attack import attack
    from privsynth.audit.compare import comparable

    tables, thresholds, wanted = comparable(synthetic, train, holdout, policy)
    return attack(tables, thresholds, effort or wanted, rng or np.random.default_rng(), progress)
