"""One column is never above another: `{inequality: [admitted, "<=", discharged]}`."""

from __future__ import annotations

from typing import Literal

from privsynth.policy.constraints.base import Constraint


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
