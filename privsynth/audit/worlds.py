"""Lower bounds on epsilon and mu from many runs in two worlds: a table without a canary, and the same table with it.

Each run gives one score, and runs are independent. A threshold makes of each score a guess, with a false-positive rate
(without the canary, guessed "with") and a false-negative rate. If the run is (epsilon, delta)-private, then

    fpr e^epsilon + delta >= 1 - fnr   and   fnr e^epsilon + delta >= 1 - fpr          (Kairouz, Oh, Viswanath 2015),

and if it is mu-GDP, then mu >= Phi^-1(1 - fpr) - Phi^-1(fnr) (Dong, Roth, Su 2022, equation 6). Both rates are replaced by
Clopper-Pearson upper ends that hold together with the stated confidence (Nasr et al. 2021, arXiv 2101.04535; Nasr et al.
2023, arXiv 2302.07956, for mu). The threshold is

* stated beforehand, such as 0 for a log-likelihood ratio: the whole error goes to two rates; or
* at `RANKS` fixed ranks among the scores without the canary: an order statistic is a threshold whose false-positive rate
  has a known distribution whatever the scores' is (Beta, the same as Clopper-Pearson), and which does not depend on
  the scores with the canary. Each of these thresholds gets its part of the allowed error (Bonferroni), and so the best
  of them may be taken. To choose a threshold on half of the runs costs about as much.

Scores must come from one canary (or from canaries fixed before with one run each): pooled over records that share a run
they are not independent, and prove nothing (arXiv 2605.25819).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import beta

from privsynth.audit.epsilon import gaussian_epsilon

Floats = NDArray[np.float64]
RANKS = 16


@dataclass(frozen=True)
class Worlds:
    """What two worlds say. All lower bounds hold together with the stated confidence."""

    runs: int  # in both worlds together
    epsilon: float  # lower bound at delta, assuming nothing
    mu: float  # lower bound if the claim is mu-GDP
    epsilon_of_mu: float  # what this mu means at delta
    fpr: float  # upper end of the false-positive rate at the threshold that gave mu
    estimate: float  # of mu, if scores are normal with one variance; without a guarantee
    error: float  # its standard error


def two_worlds(
    without: Floats, with_canary: Floats, delta: float, confidence: float = 0.95, threshold: float | None = None
) -> Worlds:
    """Lower bounds from one score for each run, high for "with". threshold: if it was stated before any run."""
    for scores in (without, with_canary):
        if scores.ndim != 1 or len(scores) < 2 or not np.isfinite(scores).all():
            raise ValueError("each world has two runs or more, with one finite score each")
    if not (0 <= delta < 1 and 0.5 <= confidence < 1):
        raise ValueError("delta lies in [0, 1), confidence in [.5, 1)")
    thresholds = np.array([threshold]) if threshold is not None else ranked_thresholds(without)
    fpr, fnr = upper_rates(without, with_canary, thresholds, (1 - confidence) / len(thresholds))
    best = int(np.argmax(mu_at(fpr, fnr)))
    mu = float(mu_at(fpr, fnr)[best])
    estimate, error = estimated_mu(without, with_canary)
    epsilon = float(epsilon_at(fpr, fnr, delta).max())
    return Worlds(
        len(without) + len(with_canary), epsilon, mu, gaussian_epsilon(mu, delta), float(fpr[best]), estimate, error
    )


def ranked_thresholds(without: Floats) -> Floats:
    """(RANKS,) order statistics of the scores without the canary, at fixed ranks: half of them in the upper tail, since small
    false-positive rates say most about epsilon. The same one may be there twice if there are few."""
    rates = np.concatenate(
        [np.geomspace(1 / len(without), 0.1, RANKS // 2), np.linspace(0.15, 0.99, RANKS - RANKS // 2)]
    )
    place = np.clip(np.ceil(rates * len(without)).astype(int), 1, len(without))
    descending = np.sort(without)[::-1]
    return np.asarray(descending[place - 1])


def upper_rates(without: Floats, with_canary: Floats, thresholds: Floats, error: float) -> tuple[Floats, Floats]:
    """((thresholds,) false-positive, (thresholds,) false-negative rates) that both hold at each threshold but with probability
    `error`. A score above the threshold is guessed "with"; one that equals it is not."""
    positives = len(without) - np.searchsorted(np.sort(without), thresholds, "right")
    missed = np.searchsorted(np.sort(with_canary), thresholds, "right")
    return upper_rate(positives, len(without), error / 2), upper_rate(missed, len(with_canary), error / 2)


def upper_rate(counts: NDArray[np.integer], trials: int, error: float) -> Floats:
    """Clopper-Pearson upper ends of rates, each with an error of its own."""
    inside = np.minimum(counts, trials - 1)
    return np.where(counts < trials, beta.isf(error, inside + 1.0, trials - inside), 1.0)


def epsilon_at(fpr: Floats, fnr: Floats, delta: float) -> Floats:
    """The smallest epsilon that these rates allow at delta: the larger of both directions, and at least 0."""
    tiny = math.ulp(0.0)
    both = (
        np.maximum(1 - delta - fnr, tiny) / np.maximum(fpr, tiny),
        np.maximum(1 - delta - fpr, tiny) / np.maximum(fnr, tiny),
    )
    return np.maximum(0.0, np.log(np.maximum(*both)))


def mu_at(fpr: Floats, fnr: Floats) -> Floats:
    """The smallest mu that these rates allow, at least 0."""
    return np.maximum(0.0, np.where(fpr + fnr < 1, -ndtri(fpr) - ndtri(fnr), 0.0))


def mu_between(without: Floats, with_canary: Floats, threshold: float) -> tuple[float, float]:
    """(Phi^-1(1 - fpr) - Phi^-1(fnr) at a threshold, its standard error), each rate with half an error more (delta method)."""
    counts = np.array([np.count_nonzero(without > threshold), np.count_nonzero(with_canary <= threshold)])
    trials = np.array([len(without), len(with_canary)])
    rates = (counts + 0.5) / (trials + 1)
    z = ndtri(rates)
    variance = rates * (1 - rates) / trials * 2 * math.pi * np.exp(z**2)
    return float(-z.sum()), math.sqrt(float(variance.sum()))


def estimated_mu(without: Floats, with_canary: Floats) -> tuple[float, float]:
    """(difference of means over the pooled deviation, its standard error): Cohen's d, by the delta method."""
    a, b = len(without), len(with_canary)
    pooled = ((a - 1) * without.var(ddof=1) + (b - 1) * with_canary.var(ddof=1)) / (a + b - 2)
    difference = float(with_canary.mean() - without.mean())
    if pooled == 0:
        return (0.0 if difference == 0 else math.copysign(math.inf, difference)), math.inf
    mu = difference / math.sqrt(pooled)
    return mu, math.sqrt(1 / a + 1 / b + mu**2 / (2 * (a + b - 2)))
