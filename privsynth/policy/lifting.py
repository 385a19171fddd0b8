"""What inequalities and bounds would undo in a drawn row: values that are lifted, births that are moved into their bounds.

Most columns in inequalities are settled inside of their codes. Datetimes, whose codes are days, and whatever lies above a date of
birth that is modelled as an age are lifted at last, where they must be: neither conditions nor bounds may suffer from that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date

import numpy as np

from privsynth.policy.ages import ages_at, births_at
from privsynth.policy.column import EPOCH
from privsynth.policy.constraints import Constraint, Inequality
from privsynth.policy.gaps import above, gaps_of
from privsynth.policy.knowledge import Knowledge
from privsynth.policy.model import PolicyModel
from privsynth.policy.moments import YEAR

Violation = tuple[tuple[str | int, ...], str, str]  # (place in the policy, rule, hint)


def lifting(known: Knowledge, policy: PolicyModel) -> Iterator[Violation]:
    """Inequalities that may lift a column out of a condition or its bounds, and bounds that move ages across a limit."""
    for constraint in known.constraints:
        place = ("constraints", list[Constraint](policy.constraints).index(constraint))
        if isinstance(constraint, Inequality) and is_lifted(known, *constraint.rising[:2]):
            yield from ((place, *told) for told in _by_inequality(known, *constraint.rising))
    for name in known.cuts:
        if known.columns[name].ages:
            yield from _by_bounds(known, name)


def coarse_gaps(known: Knowledge, policy: PolicyModel) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Warnings of inequalities whose sides would be stored as a gap, were it not for conditions on the larger one."""
    ends = {name: steps for rule in known.rising for name in rule[:2] if (steps := known.columns[name].steps)}
    sides = {name: known.side(name, *own) for name, own in ends.items()}
    free = {
        n: side._replace(cut=bool(known.columns[n].stops), last_cut=-math.inf, named=False) for n, side in sides.items()
    }
    lost = {(small, large) for large, small in gaps_of(known.rising, free).items() if known.gaps.get(large) != small}
    for i, constraint in enumerate(policy.constraints):
        if isinstance(constraint, Inequality) and (own := constraint.rising[:2]) in lost:
            small, large = own
            what = (
                f"the values of {large!r}"
                if large in known.coded
                else f"missing values of {large!r}, and {small!r} may be missing"
            )
            if not sides[large].cut and not (sides[large].named and sides[small].nullable):
                what = f"values of {small!r} beyond the bounds of {large!r}"
            yield (
                ("constraints", i),
                f"constraints are about {what}, so what lies between {small!r} and {large!r} is as coarse as their bins; "
                f"`missing` and `present` of {large!r} alone cost nothing where {small!r} is `nullable: false`",
            )


def is_lifted(known: Knowledge, small: str, large: str) -> bool:
    """True if the larger side of an inequality may be lifted as a row leaves."""
    one, other = known.columns[small], known.columns[large]
    if known.gaps.get(large) == small or (one.ages and one.ages.at == large):
        return False  # a gap is never negative, nor is the age at a date that is not before birth
    return large in known.gaps or small in known.gaps or other.kind == "datetime" or bool(one.ages or other.ages)


def _by_inequality(known: Knowledge, small: str, large: str, strict: bool) -> Iterator[tuple[str, str]]:
    one, other = known.columns[small], known.columns[large]
    if large in known.cuts:
        rule = f"a condition on the {other.kind} {large!r} cannot be kept together with an inequality that may lift it"
        hint = "leave the ages of the smaller side out" if one.ages else "state it of the smaller side, or of a date"
        yield rule, hint
    for born in known.cuts:
        if (ages := known.columns[born].ages) and large == ages.at:
            rule = (
                f"a condition on the age of {born!r} cannot be kept together with an inequality that may lift {large!r}"
            )
            yield rule, "declare it as a date, give both sides bounds that are alike, or drop one of the two"
    for name in (large, *above(known.rising).get(large, {})):
        top, more = known.columns[name], strict and name == large
        if one.limits and top.limits and one.limits[1] + more * top.step > top.limits[1]:
            rule = f"{small!r} may lie above the bounds of {name!r}, which would be lifted beyond them"
            yield rule, f"let the bounds of {small!r} end before, or those of {name!r} later"
            return


def _by_bounds(known: Knowledge, name: str) -> Iterator[Violation]:
    """Births beyond the bounds are moved to these, which must not change on which side of a condition's limit an age is."""
    column = known.columns[name]
    assert column.ages and column.steps
    at = known.columns[column.ages.at]
    assert at.steps
    born, dates = np.array(column.steps, float), np.array([end // at.a_day for end in at.steps], float)
    least, most = ages_at(born, dates)  # on the lower bound at the first date, on the upper one at the last
    lowest, highest = known.age_bounds(name)
    older = [cut for cut in known.cuts[name] if least < cut <= highest]
    younger = [cut for cut in known.cuts[name] if lowest < cut <= most]
    if older or younger:
        ages = np.array([max(older, default=0), min(younger, default=1) - 1], float)
        low, high = births_at(ages, dates) + np.array([-1, 1])  # a leap day may make a difference of one
        low, high = (low if older else born[0]), (high if younger else born[1])
        rule = (
            f"conditions divide {name!r} at age {(older + younger)[0] // YEAR}, but its bounds leave no births on either side of "
            f"that at some dates of {column.ages.at!r}, so that births would be moved across it"
        )
        hint = f"write `bounds: [{_day(low)}, {_day(high)}]`, or wider ones"
        if not older and max(younger) <= 0 and at.kind == "date":
            hint = f'state `{{inequality: [{name}, "<=", {column.ages.at}]}}`, or {hint}'
        yield ("columns", name, "bounds"), rule, hint


def _day(days: float) -> date:
    return date.fromordinal(int(days) + EPOCH)
