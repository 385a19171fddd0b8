"""Lower bounds on epsilon from one run: m canaries, each in the table by a fair coin of its own, are scored and guessed.

Among the m scores the highest are guessed "in", the lowest "out", and none is guessed between. The coins are the only
randomness that a bound rests on: it holds for every way to score, as long as scores follow from what was released and
from public facts, never from the coins. How many guesses are made is fixed beforehand, so that it cannot follow from
how many are right; of several such numbers each gets its part of the allowed error (Bonferroni).

* `one_run_epsilon`: Steinke, Nasr, Jagielski 2023 (arXiv 2305.08846), Theorem 5.2. If the run is (epsilon, delta)-private
  with r guesses, then P[v or more right] <= P[Y >= v] + 2 m delta max_i P[v - i <= Y < v] / i, where Y is binomial (r,
  e^epsilon / (1 + e^epsilon)). It assumes nothing else of the run.
* `one_run_mu`: Mahloujifar, Melis, Chaudhuri 2024 (arXiv 2410.22235), with abstention, at the trade-off curve of a Gaussian. If
  the run is mu-GDP, it makes v or more of r right guesses with a probability of at most the allowed error unless mu is
  above the bound. It is closer, and assumes that the claim is about mu: a run that is (epsilon, delta)-private without
  being mu-GDP may exceed it.

>>> round(one_run_epsilon(100, 100, 100), 2), round(one_run_epsilon(1000, 1000, 1000), 2)
(3.49, 5.81)

`jax_privacy.auditing` (2.0.0) gives the same figures at the same guesses: `benchmarks/epsilon.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import bdtrc, expit, log_ndtr, ndtr, ndtri

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
LARGEST = 200.0  # of epsilon and of mu that a bound may reach


@dataclass(frozen=True)
class OneRun:
    """Lower bounds at one confidence each, from one run. guesses, right: of the bound by epsilon."""

    canaries: int
    guesses: int
    right: int
    epsilon: float  # at delta, assuming nothing of the run
    mu: float  # if the claim is mu-GDP
    epsilon_of_mu: float  # what this mu means at delta


def one_run(
    scores: Floats, included: Bools, delta: float, numbers: Sequence[int] | None = None, confidence: float = 0.95
) -> OneRun:
    """Lower bounds from (canaries,) scores, high for "in", and the coins that decided who is in.

    numbers: of guesses, each half "in" and half "out", fixed beforehand (`usual_numbers` if not given). Equal scores keep
    the order in which they are given, which must not follow from the coins.
    """
    _check(scores, included, delta, confidence)
    m = len(scores)
    numbers = tuple(usual_numbers(m) if numbers is None else numbers)
    if not numbers or not all(1 <= number <= m for number in numbers):
        raise ValueError("numbers of guesses lie between 1 and the number of canaries")
    each = 1 - (1 - confidence) / len(numbers)
    rights = [right_guesses(scores, included, number - number // 2, number // 2) for number in numbers]
    made = list(zip(numbers, rights, strict=True))
    epsilons = [one_run_epsilon(m, number, right, delta, each) for number, right in made]
    best = int(np.argmax(epsilons))
    mu = max(one_run_mu(m, number, right, each) for number, right in made)
    return OneRun(m, *made[best], epsilons[best], mu, gaussian_epsilon(mu, delta))


def usual_numbers(canaries: int) -> list[int]:
    """All canaries, half of them, a quarter, and so on down to 10: for good canaries the best number lies between.

    >>> usual_numbers(100)
    [100, 50, 25, 12]
    """
    numbers = [canaries >> halved for halved in range(canaries.bit_length())]
    return [number for number in numbers if number >= 10] or [canaries]


def right_guesses(scores: Floats, included: Bools, most_in: int, most_out: int) -> int:
    """How many guesses are right: `most_in` highest scores are guessed in, `most_out` lowest ones out."""
    order = np.argsort(scores, kind="stable")
    guessed_in = order[len(order) - most_in :]
    return int(np.count_nonzero(included[guessed_in]) + np.count_nonzero(~included[order[:most_out]]))


def one_run_epsilon(canaries: int, guesses: int, right: int, delta: float = 0.0, confidence: float = 0.95) -> float:
    """The largest epsilon at which so many right guesses would have at most the probability 1 - confidence; 0 if none."""
    _check_counts(canaries, guesses, right)
    return _largest(lambda epsilon: one_run_chance(canaries, guesses, right, epsilon, delta) <= 1 - confidence)


def one_run_chance(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Upper bound on the probability of `right` or more right guesses in an (epsilon, delta)-private run.

    Theorem 5.2, with a = 2 m delta / i, as the maximum of a P[Y >= v - i] + (1 - a) P[Y >= v] over i. It grows with epsilon, as a
    bound by it must: plainly so where a <= 1, and in every case that was tried where a > 1, since it then soon reaches 1.
    """
    rate = float(expit(epsilon))
    at_least = bdtrc(float(right - 1), guesses, rate) if right > 0 else 1.0
    if delta == 0 or right == 0:
        return float(at_least)
    less = np.arange(1, right + 1)
    nearly = np.where(less < right, bdtrc(np.maximum(right - less - 1.0, 0), guesses, rate), 1.0)
    weight = 2 * canaries * delta / less
    return float(min(1.0, max(at_least, (weight * nearly + (1 - weight) * at_least).max())))


def one_run_mu(canaries: int, guesses: int, right: int, confidence: float = 0.95) -> float:
    """The largest mu at which so many right guesses would have at most the probability 1 - confidence; 0 if none."""
    _check_counts(canaries, guesses, right)
    error = 1 - confidence

    def unlikely(mu: float) -> bool:
        r, h = error * right / canaries, error * (guesses - right) / canaries
        for i in range(right - 1, -1, -1):
            more = max(h, float(ndtr(ndtri(r) - mu)))
            if more == h:  # then neither changes any more
                break
            h, r = more, min(1.0, r + i / (guesses - i) * (more - h))
        return r + h > guesses / canaries

    return _largest(unlikely)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """epsilon at delta of the Gaussian mechanism of this mu (Dong, Roth, Su 2022, Corollary 1).

    >>> round(gaussian_epsilon(1.0, 1e-5), 3)
    4.377
    """
    if not (0 <= delta <= 1 and mu >= 0):
        raise ValueError("delta lies in [0, 1], and mu is not negative")
    if mu == 0 or delta >= 2 * ndtr(mu / 2) - 1:
        return 0.0
    if delta == 0:
        return math.inf

    def beyond(epsilon: float) -> float:  # of log delta
        one, other = log_ndtr(mu / 2 - epsilon / mu), epsilon + log_ndtr(-mu / 2 - epsilon / mu)
        return float(one + math.log1p(-math.exp(min(other - one, -1e-16)))) - math.log(delta)

    high = mu * (mu / 2 + 1 - float(ndtri(delta / 2)))
    return float(brentq(beyond, 0.0, high, xtol=1e-12)) if beyond(0.0) > 0 else 0.0


def _largest(refuted: Callable[[float], bool]) -> float:
    """The largest value that is refuted, to 1e-9 below; 0 if 0 is not. All below a refuted value must be refuted too."""
    if not refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while refuted(high):
        low, high = high, 2 * high
        if high > LARGEST:
            return low
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def _check(scores: Floats, included: Bools, delta: float, confidence: float) -> None:
    if scores.ndim != 1 or scores.shape != included.shape or not len(scores):
        raise ValueError("every canary has one score and one coin")
    if included.dtype != np.bool_:
        raise ValueError("coins are booleans")
    if not np.isfinite(scores).all():
        raise ValueError("scores are finite numbers")
    if not (0 <= delta < 1 and 0.5 <= confidence < 1):
        raise ValueError("delta lies in [0, 1), confidence in [.5, 1)")


def _check_counts(canaries: int, guesses: int, right: int) -> None:
    if not 0 <= right <= guesses <= canaries or guesses < 1:
        raise ValueError("right guesses are among the guesses, and these among the canaries")
