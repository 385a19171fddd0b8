"""Intervals for rates, differences, areas and true-positive rates. tests/audit/test_audit_statistics.py simulates them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, binom, hypergeom, norm

_ROC_GRID = np.unique(
    np.concatenate([[0.0, 0.001, 0.002, 0.005], np.linspace(0.01, 0.1, 10), np.linspace(0.125, 1.0, 36)])
)


@dataclass(frozen=True)
class Measurement:
    """Result of an attack on one table. `value` is None if there were too few people to attack."""

    value: float | None
    low: float | None
    high: float | None
    baseline: float | None  # success rate of non-members
    error: float = 0.0  # standard error of the value
    people: int = 0  # attacked on each side
    roc: list[tuple[float, float]] | None = None
    auc: tuple[float, float, float] | None = None  # (value, low, high)

    @classmethod
    def nothing(cls) -> Measurement:
        """No value: too few people, or nothing to guess."""
        return cls(None, None, None, None)


def clopper_pearson(successes: float, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval for a rate (Clopper and Pearson, Biometrika 26, 1934); (0, 1) for no trials. Never too short."""
    if trials == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if successes <= 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes >= trials else float(beta.isf(tail, successes + 1, trials - successes))
    return low, high


def wilson(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval for a rate (Wilson, JASA 22, 1927); (0, 1) for no trials. Fractions of a success are allowed."""
    if trials <= 0:
        return 0.0, 1.0
    z, rate = norm.isf((1 - confidence) / 2), successes / trials
    centre = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    margin = z * np.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return max(0.0, float(centre - margin)), min(1.0, float(centre + margin))


def newcombe(
    successes: float, trials: float, control_successes: float, control_trials: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval for a difference of two independent rates, from two Wilson intervals (Newcombe, Stat. Med. 17, 1998).

    Method 10 of that paper. (-1, 1) if one side has no trials.
    """
    if trials <= 0 or control_trials <= 0:
        return -1.0, 1.0
    one, two = successes / trials, control_successes / control_trials
    low1, high1 = wilson(successes, trials, confidence)
    low2, high2 = wilson(control_successes, control_trials, confidence)
    difference = one - two
    low = difference - np.hypot(one - low1, high2 - two)
    high = difference + np.hypot(high1 - one, two - low2)
    return max(-1.0, float(low)), min(1.0, float(high))


def share_at_least(members: int, of: int, non_members: int, of_others: int, tail: float) -> float:
    """Lower bound, at the level 1 - tail, on the share c of members who are marked because of a leak, from counts of those marked.

    The model: each member leaks with the probability c and is then marked; all others, members or not, are exchangeable, so
    that among the other marks the number of members is hypergeometric, whatever the cutoff. c is excluded if as many marked members
    have a probability of at most `tail` under it. 0 if c = 0 is not excluded.
    """
    if of == 0 or of_others == 0:
        return 0.0
    leaked = np.arange(members + 1)
    by_chance = hypergeom.sf(
        members - leaked - 1, of - leaked + of_others, of - leaked, members + non_members - leaked
    )  # P(so many of the others are members | so many have leaked)

    def probability(share: float) -> float:
        return float(binom.pmf(leaked, of, share) @ by_chance + binom.sf(members, of, share))

    low, high = 0.0, members / of
    if probability(0.0) > tail:
        return 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if probability(middle) <= tail else (low, middle)
    return low


def auc_delong(members: np.ndarray, non_members: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Area under the ROC curve and its interval (DeLong, DeLong, Clarke-Pearson, Biometrics 44, 1988).

    `members`, `non_members`: scores, float[a] and float[b]; ties count one half. The interval is computed on the logit
    scale, which keeps it inside (0, 1); (0.5, 0, 1) if a group has fewer than two scores.
    """
    a, b = len(members), len(non_members)
    if a < 2 or b < 2:
        return 0.5, 0.0, 1.0
    v10 = _mid_rank(members, non_members)  # share of non-members below each member
    v01 = 1 - _mid_rank(non_members, members)  # share of members above each non-member
    area = float(v10.mean())
    error = float(np.sqrt(v10.var(ddof=1) / a + v01.var(ddof=1) / b))
    inside = float(np.clip(area, 0.5 / (a + b), 1 - 0.5 / (a + b)))
    if error == 0.0:  # full separation, or every score the same: the formula does not apply
        error = 0.0 if area == 0.5 else inside * (1 - inside)
    margin = norm.isf((1 - confidence) / 2) * error / (inside * (1 - inside))
    logit = np.log(inside / (1 - inside))
    return area, float(1 / (1 + np.exp(margin - logit))), float(1 / (1 + np.exp(-margin - logit)))


def _mid_rank(scores: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each score the share of `among` that lies below it, ties counted one half: float[n]."""
    ordered = np.sort(among)
    ranks = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return ranks / (2 * len(ordered))


def roc_points(members: np.ndarray, non_members: np.ndarray) -> list[tuple[float, float]]:
    """(false-positive rate, true-positive rate) at 50 fixed rates, among them .001, .01 and .1; [] if a group is empty.

    Between two attainable points the curve is a straight line: the attacker breaks ties at random.
    """
    if len(members) == 0 or len(non_members) == 0:
        return []
    fpr, tpr = _roc(members, non_members)
    return [(float(x), round(float(y), 6)) for x, y in zip(_ROC_GRID, _at(fpr, tpr, _ROC_GRID), strict=True)]


def tpr_at_fpr(
    members: np.ndarray, non_members: np.ndarray, fpr: float = 0.01, confidence: float = 0.95
) -> tuple[float, float, float]:
    """True-positive rate at a false-positive rate, with an interval that accounts for the estimated score cutoff.

    Of b independent scores of non-members the number above the true cutoff is Binomial(b, fpr), so two order statistics
    enclose the cutoff (the usual distribution-free interval of a quantile: David and Nagaraja, Order Statistics, 7.1).
    The true-positive rate at the stricter one has a Clopper-Pearson lower end, at the looser one an upper end. A
    quarter of the allowed error goes to each of the four statements, so the coverage is at least `confidence` for
    any distribution of scores and any number of people; with few people the interval is wide, as it should be.
    """
    a, b = len(members), len(non_members)
    if a == 0 or b == 0:
        return 0.0, 0.0, 1.0
    value = float(_at(*_roc(members, non_members), np.array([fpr]))[0])
    tail, descending = (1 - confidence) / 4, np.sort(non_members)[::-1]
    below = binom.cdf(np.arange(-1, b + 1), b, fpr)  # below[r] = P(fewer than r scores above the cutoff)
    strict = int(np.searchsorted(below, tail, "right")) - 1  # the largest r with below[r] <= tail
    loose = int(np.searchsorted(below, 1 - tail, "left"))  # the smallest r with P(r or more above) <= tail
    surely = int(np.count_nonzero(members > descending[strict - 1])) if strict >= 1 else 0
    at_most = int(np.count_nonzero(members >= descending[loose - 1])) if loose <= b else a
    low = clopper_pearson(surely, a, 1 - 2 * tail)[0]
    high = clopper_pearson(at_most, a, 1 - 2 * tail)[1]
    return value, min(low, value), max(high, value)


def tpr_error(members: np.ndarray, non_members: np.ndarray, fpr: float = 0.01) -> float:
    """Standard error of the true-positive rate at `fpr`: its own sampling error and that of the cutoff (delta method)."""
    a, b = len(members), len(non_members)
    step = np.sqrt(fpr * (1 - fpr) / b)
    below, value, above = _at(*_roc(members, non_members), np.clip([fpr - step, fpr, fpr + step], 0, 1))
    return float(np.hypot(np.sqrt(value * (1 - value) / a), (above - below) / 2))


def _roc(members: np.ndarray, non_members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Attainable points of the ROC curve from (0, 0) to (1, 1): one for each distinct score, float[k] each."""
    cutoffs = np.unique(np.concatenate([members, non_members]))
    fpr, tpr = ((len(x) - np.searchsorted(np.sort(x), cutoffs, "left")[::-1]) / len(x) for x in (non_members, members))
    return np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr])


def _at(fpr: np.ndarray, tpr: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """The curve at `rates`: the upper end of a vertical step, linear interpolation elsewhere."""
    right = np.searchsorted(fpr, rates, "right")  # first point beyond each rate
    left = right - 1
    end = np.minimum(right, len(fpr) - 1)
    width = fpr[end] - fpr[left]
    share = np.divide(rates - fpr[left], width, out=np.zeros_like(rates), where=width > 0)
    reached: np.ndarray = tpr[left] + share * (tpr[end] - tpr[left])
    return reached
