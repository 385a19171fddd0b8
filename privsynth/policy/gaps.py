"""Which side of an inequality is stored as its gap from the other one: a length of stay instead of a discharge date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Side(NamedTuple):
    """One side of an inequality: its bounds in grid units, the size of these, whether it may be missing, and why it may have to be
    stored as itself: it has cuts, by itself or by a condition on its values, with the last one; it is an age; a constraint names
    it at all."""

    low: int
    high: int
    step: float
    nullable: bool
    cut: bool
    last_cut: float
    age: bool
    named: bool

    def reaches_beyond(self, larger: Side, strict: bool) -> bool:
        """True if the bounds allow it where they allow nothing above it."""
        return (self.high + strict) * self.step > larger.high * larger.step


def gaps_of(rules: Sequence[tuple[str, str, bool]], sides: Mapping[str, Side]) -> dict[str, str]:
    """{column that is stored as its gap: the smaller one}, each from one. rules: (smaller column, larger column, strict)

    Neither side of another inequality that would lift the larger one beyond its bounds is one: both are settled as themselves.
    """
    own = [(small, large, strict) for small, large, strict in rules if small in sides and large in sides]
    found: dict[str, str] = {}
    for small, large, strict in own:
        if stored_as_gap(sides[small], sides[large], strict):
            found.setdefault(large, small)
    higher, lifted = above(own), set[str]()
    for small, large, strict in own:
        reach = {name: strict or more for name, more in {large: False, **higher.get(large, {})}.items()}
        if found.get(large) != small and any(sides[small].reaches_beyond(sides[n], s) for n, s in reach.items()):
            lifted |= {small, *reach}
    return {large: small for large, small in found.items() if large not in lifted}


def above(rules: Sequence[tuple[str, str, bool]]) -> dict[str, dict[str, bool]]:
    """{column: those that are never below it, directly or through others, and whether always above}"""
    found: dict[str, dict[str, bool]] = {}
    for _ in rules:  # as often as the longest chain can need
        for small, large, strict in rules:
            own = found.setdefault(small, {})
            for name, more in {large: False, **found.get(large, {})}.items():
                own[name] = own.get(name, False) or strict or more
    return found


def stored_as_gap(small: Side, large: Side, strict: bool = False) -> bool:
    """True if the larger side of an inequality is stored as its gap from the smaller one.

    A gap says more than a bound only where both columns span a similar range: a length of stay does, an age does not. It is
    missing wherever the smaller side is, so a constraint on missing values of the larger side needs a smaller side that never
    is. A column with cuts is stored as itself, since they apply to its values, and so is whatever follows a date of birth that is
    stored as an age. Where the smaller side reaches beyond the bounds of the larger one it is lowered, unless a cut lies between.
    """
    alike = 0.5 <= (small.high - small.low) / (large.high - large.low) <= 2
    plain = small.step == large.step and not (large.cut or large.age or small.age)
    told = not small.nullable or (large.nullable and not large.named)
    return alike and plain and told and not small.last_cut > large.high - strict
