"""Which values formulas of derived columns can give, by public bounds alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

from privsynth.policy.constraints import Derived
from privsynth.policy.model import PolicyModel

Place = tuple[str | int, ...]


def beyond_bounds(policy: PolicyModel) -> Iterator[tuple[Place, str, bool]]:
    """(place, what a formula gives, True if never within the bounds of its column), of those that may leave these. Formulas of a
    valid policy."""
    rules = {c.derived: c for c in policy.constraints if isinstance(c, Derived)}

    def ends(name: str) -> tuple[float, float]:
        rule, limits = rules.get(name), policy.columns[name].limits
        if rule is None or rule.parsed is None:
            return limits or (-math.inf, math.inf)
        return rule.parsed.interval({need: ends(need) for need in rule.parsed.columns})

    for i, rule in enumerate(policy.constraints):
        if not isinstance(rule, Derived) or rule.parsed is None or not (limits := policy.columns[rule.derived].limits):
            continue
        low, high = ends(rule.derived)
        half = policy.columns[rule.derived].step / 2  # it is rounded
        stated = " to ".join(map(_number, limits))
        told = f"the formula gives {_number(low)} to {_number(high)}, and {rule.derived!r} has the bounds {stated}"
        if low - half > limits[1] or high + half < limits[0]:
            yield ("constraints", i, "formula"), told, True
        elif (low < limits[0] - half or high > limits[1] + half) and math.isfinite(high - low):
            yield ("constraints", i, "formula"), told, False


def _number(value: float) -> str:
    return f"{value:.12g}"
