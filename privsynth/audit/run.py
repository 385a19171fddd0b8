"""Runs the attacks with a random stream of their own: a stream shared with the trainer would draw the same people."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from privsynth.audit.attack import attack
from privsynth.audit.tables import AuditTables
from privsynth.evidence import Audit


def attack_tables(
    tables: AuditTables, thresholds: dict[str, float], effort: str, rng: np.random.Generator | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Audit:  # fmt: skip
    """`attack`, with fresh randomness from the operating system unless given."""
    return attack(tables, thresholds, effort, rng or np.random.default_rng(), progress)
