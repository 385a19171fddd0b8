"""What a privacy claim means in plain words: the most that any attacker can reach, derived from the composed total.

From the privacy profile delta(epsilon) follows the trade-off curve f (Dong, Roth, Su 2022, Proposition 6): no attack
with false-positive rate a has a true-positive rate above 1 - f(a). The bound on attribute inference and reconstruction
at a baseline b (what a guess reaches without the person's data) is 1 - f(b) as well (Kulynych et al. 2024, 2025).
The supremum over a finite grid of epsilons can only overstate the risk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from privsynth.evidence import Risk
from privsynth.privacy.accountant import PrivacyLoss

FPRS = (0.001, 0.01, 0.1)
BASELINES = (0.01, 0.1, 0.5)


def max_tpr(loss: PrivacyLoss, fpr: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest true-positive rate at each false-positive rate, for any membership attack on one unit."""
    finite = [e for e in (loss.epsilon(10.0**-k) for k in range(1, 10)) if math.isfinite(e)]
    epsilons = np.unique(np.concatenate([np.linspace(0, max([0.1, *finite]), 400), finite]))
    deltas = np.clip(loss.delta(list(epsilons)), 0, 1)
    a = np.asarray(fpr, dtype=float)[:, None]
    miss = np.maximum(1 - deltas - np.exp(np.minimum(epsilons, 700)) * a, np.exp(-epsilons) * (1 - deltas - a))
    return np.asarray(np.clip(1 - np.maximum(miss.max(axis=1), 0), np.asarray(fpr, dtype=float), 1))


def plain_risk(loss: PrivacyLoss) -> Risk:
    """All plain figures of one composed total."""
    grid = np.unique(np.concatenate([[0.0], np.logspace(-4, 0, 49), np.linspace(0, 1, 21)]))
    roc = max_tpr(loss, grid)
    at = {f"{a:g}": float(t) for a, t in zip(FPRS, max_tpr(loss, FPRS), strict=True)}
    guess = {f"{b:g}": float(t) for b, t in zip(BASELINES, max_tpr(loss, BASELINES), strict=True)}
    return Risk(
        max_tpr=at,
        advantage=min(1.0, max(0.0, loss.delta(0.0))),
        attribute_inference=guess,
        roc=[(float(a), float(t)) for a, t in zip(grid, roc, strict=True)],
    )


def gaussian_max_tpr(mu: float, fpr: float) -> float:
    """The closed form for one Gaussian mechanism of parameter mu: Phi(mu + Phi^-1(fpr)). Checks the above in tests."""
    from statistics import NormalDist

    normal = NormalDist()
    return normal.cdf(mu + normal.inv_cdf(fpr)) if 0 < fpr < 1 else float(fpr)


def at_most(value: float, digits: int = 3) -> str:
    """A bound as a person reads it, rounded up to so many significant digits: a claim never looks better than it is.

    >>> at_most(2.9951), at_most(0.0312, 2), at_most(2.0)
    ('3', '0.032', '2')
    """
    if value <= 0 or not math.isfinite(value):
        return f"{value:g}"
    unit = 10.0 ** (math.floor(math.log10(value)) + 1 - digits)
    rounded = math.ceil(value / unit - 1e-9) * unit
    return f"{rounded:.0f}" if rounded >= 10**digits else f"{rounded:.{digits}g}"


def percent(share: float) -> str:
    """A share as a person writes it, rounded up.

    >>> percent(0.0312), percent(0.5), percent(0.000421)
    ('3.2 %', '50 %', '0.043 %')
    """
    return f"{at_most(100 * share, 2)} %"
