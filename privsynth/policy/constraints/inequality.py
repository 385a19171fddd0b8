"""One column is never above another: `{inequality: [admitted, "<=", discharged]}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from privsynth.policy.constraints.base import Constraint
from privsynth.policy.constraints.conditions import Cell

if TYPE_CHECKING:
    from privsynth.policy.constraints.base import Bools


class Inequality(Constraint):
    """Holds where neither side is missing."""

    inequality: tuple[str, Literal["<=", "<", ">=", ">"], str]

    @property
    def rising(self) -> tuple[str, str, bool]:
        """(smaller column, larger column, strict)."""
        a, op, b = self.inequality
        return (a, b, op == "<") if op in ("<=", "<") else (b, a, op == ">")

    @property
    def columns(self) -> tuple[str, ...]:
        return self.inequality[::2]

    @property
    def stated(self) -> str:
        return " ".join(self.inequality)


def never_rising(
    small: Sequence[Cell], large: Sequence[Cell], step_of_small: float, step_of_large: float, strict: bool
) -> Bools:
    """(cells of the smaller column, cells of the larger one) True where all values of both would break an inequality."""
    import numpy as np

    lowest = np.array([-np.inf if c.absent or c.low > c.high else c.low * step_of_small for c in small])
    highest = np.array([np.inf if c.absent or c.low > c.high else c.high * step_of_large for c in large])
    off = np.subtract.outer(lowest, highest)
    return np.asarray(off > -1e-9 if strict else off > 1e-9)
