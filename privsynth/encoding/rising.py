"""Inequalities between columns that are stored as themselves: settled where values get their places inside of their codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from privsynth.policy.constraints.chains import TINY, Rule, at_least, at_most

Floats = NDArray[np.float64]
Values = Mapping[str, Floats]


def settled_within(
    values: Values, codes: tuple[Values, Values], bounds: tuple[Values, Values], steps: Mapping[str, float], rules: Sequence[Rule]
) -> dict[str, Floats]:  # fmt: skip
    """As `settled`, inside of the codes of a row (lowest and highest values); where these leave no way, inside of the bounds, which
    are those of the codes wherever a value must stay in its own."""
    found = settled(values, *codes, steps, rules)
    off = np.any([found[name] > codes[1][name] + TINY * steps[name] for name in found], 0)
    if off.any():
        low, high = (
            {n: np.where(off, wide[n], own[n]) for n in found} for wide, own in zip(bounds, codes, strict=True)
        )
        found = settled(values, low, high, steps, rules)
    return found


def settled(
    values: Values, lowest: Values, highest: Values, steps: Mapping[str, float], rules: Sequence[Rule]
) -> dict[str, Floats]:  # fmt: skip
    """(rows,) values of each column that rules are about, moved inside of [lowest, highest] as little as it takes for the rules to
    hold. NaN: no value, which no rule is about. Where the limits leave no way (given values), the larger side goes beyond its own.

    Limits are first narrowed from below, then from above, along the rules; whatever a column takes within them then leaves room
    for those after it.
    """
    below: dict[str, list[tuple[str, bool]]] = {}
    for small, large, strict in rules:
        below.setdefault(large, []).append((small, strict))
        below.setdefault(small, [])
    order = list(TopologicalSorter({large: [small for small, _ in own] for large, own in below.items()}).static_order())
    there = {name: ~np.isnan(values[name]) for name in order}
    low, high = ({name: limits[name].copy() for name in order} for limits in (lowest, highest))
    for large in order:
        for small, strict in below[large]:
            both = there[small] & there[large]
            low[large] = np.where(both, np.maximum(low[large], at_least(low[small], steps[large], strict)), low[large])
    for large in reversed(order):
        for small, strict in below[large]:
            both = there[small] & there[large]
            high[small] = np.where(
                both, np.minimum(high[small], at_most(high[large], steps[small], strict)), high[small]
            )
    found: dict[str, Floats] = {}
    for large in order:
        least = low[large]
        for small, strict in below[large]:
            both = there[small] & there[large]
            least = np.where(both, np.maximum(least, at_least(found[small], steps[large], strict)), least)
        found[large] = np.where(there[large], np.maximum(np.minimum(values[large], high[large]), least), np.nan)
    return found
