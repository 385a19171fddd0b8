"""What a privacy claim means in plain words: the most that any attacker can reach, derived from the composed total.

**The bound.** Let S be any event about the release, and one unit be in the table or not. With the unit out, S has
probability b; with it in, at most 1 - f(b), where f is the trade-off curve (Dong, Roth, Su 2022, Section 2). f follows from
the privacy profile: with P the unit in and Q the unit out, P(S) <= e^epsilon Q(S) + delta(epsilon), and for the complement
of S, with the two tables exchanged, 1 - Q(S) <= e^epsilon (1 - P(S)) + delta(epsilon), for every epsilon >= 0. Both
directions of the neighbours have a profile of their own; `PrivacyLoss.delta` is the larger, so that f is the worse of
both and holds whichever of "in" and "out" an attacker takes for granted. Taken over a grid of epsilons instead of all,
the bound can only be larger.

**What it bounds** (Kulynych et al. 2024 and 2025), each by the choice of S, with b what the *same attacker* would reach
on a release made without the unit:
- membership: S says "in". b is the false-positive rate, P(S) the true-positive rate.
- attribute inference, reconstruction: S says "the guess about this unit is right", or "the rebuilt record is close
  enough". b is the chance to be right without the unit's data: prior knowledge, and what other people's data reveal.
- singling out: S says "the predicate that the attacker writes down after seeing the release fits this unit". b is its
  weight: the chance that such a predicate fits the unit's record if the release was made without it. To single the unit
  out the predicate must fit it and nobody else, which is rarer still. These events exclude one another for different
  units, so somebody among n is singled out with a chance of at most n (1 - f(b)), whatever the data (`of_anyone`).
b may be an average over what is unknown of the unit (its value, its record): 1 - f is concave, so by Jensen's
inequality the average of P(S) is at most 1 - f(average of b).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from privsynth.evidence import Risk
from privsynth.privacy.accountant import PrivacyLoss

FPRS = (0.001, 0.01, 0.1)
BASELINES = (0.01, 0.1, 0.5)  # a hidden value: guessed right without the person's data
REBUILT = (0.0001, 0.001, 0.01)  # a whole record: rebuilt closely enough without the person's data
WEIGHTS = (1e-9, 1e-6, 1e-4)  # a predicate: fits a person by chance
_LINES = 2000  # epsilons at which the profile is read


def max_tpr(loss: PrivacyLoss, fpr: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - f: the largest true-positive rate at each false-positive rate, for any attack on one unit."""
    unbounded = loss.delta(math.inf)  # probability of an infinite privacy loss: below it no epsilon is finite
    top = loss.epsilon(min(0.5, unbounded + 1e-12))
    epsilons = np.linspace(0, max(top, 0.1), _LINES)
    deltas = np.clip(loss.delta(epsilons), 0, 1)
    a = np.asarray(fpr, dtype=float)[:, None]
    miss = np.maximum(1 - deltas - np.exp(np.minimum(epsilons, 700)) * a, np.exp(-epsilons) * (1 - deltas - a))
    return np.asarray(np.clip(1 - np.maximum(miss.max(axis=1), 0), np.asarray(fpr, dtype=float), 1))


def plain_risk(loss: PrivacyLoss) -> Risk:
    """All plain-language figures of one composed total."""
    grid = np.unique(np.concatenate([[0.0], np.logspace(-4, 0, 49), np.linspace(0, 1, 21)]))
    all_rates = [grid, *map(np.array, (FPRS, BASELINES, REBUILT, WEIGHTS))]
    reached = np.split(max_tpr(loss, np.concatenate(all_rates)), np.cumsum([len(part) for part in all_rates])[:-1])

    def at(rates: Sequence[float], bounds: NDArray[np.float64]) -> dict[str, float]:
        return {f"{rate:g}": float(bound) for rate, bound in zip(rates, bounds, strict=True)}

    return Risk(
        max_tpr=at(FPRS, reached[1]),
        advantage=min(1.0, max(0.0, loss.delta(0.0))),
        attribute_inference=at(BASELINES, reached[2]),
        reconstruction=at(REBUILT, reached[3]),
        singling_out=at(WEIGHTS, reached[4]),
        roc=[(float(a), float(t)) for a, t in zip(grid, reached[0], strict=True)],
    )


def of_anyone(bound: float, units: int) -> float:
    """Chance that anyone at all among so many units is singled out, by the union bound.

    >>> of_anyone(2e-6, 1000), of_anyone(0.01, 1000)
    (0.002, 1.0)
    """
    return min(1.0, units * bound)


def in_words(risk: Risk, rows: int | None = None) -> list[str]:
    """The figures as lines for a release board. rows: the public number of rows, an upper bound on the number of units."""
    figures = {
        "it is recognised as a member (false alarms -> found)": risk.max_tpr,
        "a hidden value of it is guessed right": risk.attribute_inference,
        "its record is rebuilt": risk.reconstruction,
        "a description made to single it out fits it": risk.singling_out,
    }
    if rows is not None:
        anyone = {rate: of_anyone(bound, rows) for rate, bound in risk.singling_out.items()}
        figures[f"... and so singles out anybody at all of {rows:,}"] = anyone
    width = max(len(what) for what in figures)
    return [
        f"{what:<{width}}  " + "   ".join(f"{chance(float(rate))} -> {chance(bound)}" for rate, bound in bounds.items())
        for what, bounds in figures.items()
    ]


def generic_epsilon(fpr: float, tpr: float, delta: float) -> float:
    """The largest epsilon whose (epsilon, delta) alone, without the curve behind it, keeps an attack below `tpr`.

    Two lines bound it (Dong, Roth, Su 2022, Proposition 3): e^epsilon fpr + delta and 1 - e^-epsilon (1 - delta - fpr).
    Either suffices, so the larger epsilon counts; 0 if the target cannot be met even at epsilon 0.

    >>> round(generic_epsilon(0.01, 0.10, 1e-6), 3), round(generic_epsilon(0.5, 0.9, 0.0), 3)
    (2.303, 1.609)
    """
    if tpr <= fpr + delta:
        return 0.0
    return max(math.log((tpr - delta) / fpr), math.log((1 - delta - fpr) / (1 - tpr)))


def at_most(value: float, digits: int = 3) -> str:
    """A bound as people write it, rounded up to so many significant digits, so that a claim never looks better than it is.

    >>> at_most(2.9951), at_most(0.0312, 2), at_most(2.0)
    ('3', '0.032', '2')
    """
    if value <= 0 or not math.isfinite(value):
        return f"{value:g}"
    unit = 10.0 ** (math.floor(math.log10(value)) + 1 - digits)
    rounded = math.ceil(value / unit - 1e-9) * unit
    return f"{rounded:.0f}" if rounded >= 10**digits else f"{rounded:.{digits}g}"


def small(value: float) -> str:
    """A delta, rounded up to two significant digits.

    >>> small(1e-6), small(1.049e-6), small(0.0)
    ('1.0e-06', '1.1e-06', '0')
    """
    if value <= 0:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / unit - 1e-9) * unit:.1e}"


def percent(share: float) -> str:
    """A share as people write it, rounded up.

    >>> percent(0.0312), percent(0.5), percent(0.000421)
    ('3.2 %', '50 %', '0.043 %')
    """
    return f"{at_most(100 * share, 2)} %"


def chance(share: float) -> str:
    """A chance as people state it, rounded up: in percent, or as "1 in N" where it is small.

    >>> chance(0.0312), chance(0.0001), chance(1.52e-8), chance(0.0)
    ('3.2 %', '1 in 10,000', '1 in 65,000,000', '0 %')
    """
    if not 0 < share < 0.001:
        return percent(share)
    many = 1 / share
    unit = 10.0 ** (math.floor(math.log10(many)) - 1)
    return f"1 in {math.floor(many / unit + 1e-9) * unit:,.0f}"
