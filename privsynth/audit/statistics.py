"""Intervals for rates, differences, areas and true-positive rates; and the rule that turns them into a verdict.

The rule (`verdict`). An attack measures a `value` with an interval [low, high] at a confidence stated beforehand, and
says whether chance explains it (`evident`): a difference of success rates is evident if low > 0; a true-positive rate
is evident if an exact test (`excess`) says that members do not score as others do. The test is needed beside the
interval: below about 450 people a side no interval of a rate at 1 % false positives excludes anything, yet a table of
copies is plain to see.

* fail      value > threshold, and evident: the leak is larger than allowed, and it is not chance.
* pass      high <= threshold, and the attack failed its leaky twin with a power of at least 0.8, and it found nothing
            in the independent table.
* no_power  everything else: a value above the threshold that chance explains, an interval too wide to say "below",
            an attack that would have missed a leak.

False alarms. A table that leaks nothing fails one attack with probability of at most (1 - confidence) / 2: the chance
that a two-sided interval lies wholly above the truth, and the level of the exact test. Attacks of one family share
5 %: with k attacks each has the confidence 1 - 0.05 / k, so a family gives a false alarm with probability of at most
2.5 % and the whole audit (four families) of at most 10 %. That bound is nearly reached only where the threshold is no
hurdle, that is on tables of a few dozen people; with 1,000 people on each side a value above 0.09 is four or more
standard errors away from none, and false alarms are below 0.1 %. `tests/audit/test_audit_statistics.py` simulates the
coverage of every interval, `tests/audit/test_attack.py` whole audits.

Power of the rule on a leaky twin, whose value is v with the standard error s: P(N(v, s) > max(threshold, bar)), where
bar is the smallest value that would be evident.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, binom, hypergeom, norm

from privsynth.evidence import FindingVerdict

MINIMUM_POWER = 0.8
_ROC_GRID = np.unique(
    np.concatenate([[0.0, 0.001, 0.002, 0.005], np.linspace(0.01, 0.1, 10), np.linspace(0.125, 1.0, 36)])
)


@dataclass(frozen=True)
class Measurement:
    """What an attack found on one table. `value` is None if there were too few people to try."""

    value: float | None
    low: float | None
    high: float | None
    baseline: float | None  # success among people who were not in the data
    significant: bool = False  # chance does not explain the value
    error: float = 0.0  # standard error of the value
    critical_value: float = 1.0  # the smallest value that would be evident
    roc: list[tuple[float, float]] | None = None
    auc: tuple[float, float, float] | None = None  # (value, low, high)

    @classmethod
    def nothing(cls) -> Measurement:
        """Too few people, or nothing to guess."""
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
    middle = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z * np.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return max(0.0, float(middle - reach)), min(1.0, float(middle + reach))


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


def auc_delong(members: np.ndarray, others: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Area under the ROC curve and its interval (DeLong, DeLong, Clarke-Pearson, Biometrics 44, 1988).

    `members`, `others`: scores, float[a] and float[b]; ties count one half. The interval is taken on the logit scale,
    which keeps it inside (0, 1); (0.5, 0, 1) if a side has fewer than two scores.
    """
    a, b = len(members), len(others)
    if a < 2 or b < 2:
        return 0.5, 0.0, 1.0
    v10 = _mid_rank(members, others)  # share of others below each member
    v01 = 1 - _mid_rank(others, members)  # share of members above each other
    area = float(v10.mean())
    error = float(np.sqrt(v10.var(ddof=1) / a + v01.var(ddof=1) / b))
    inside = float(np.clip(area, 0.5 / (a + b), 1 - 0.5 / (a + b)))
    if error == 0.0:  # full separation, or every score the same: the formula has nothing to say
        error = 0.0 if area == 0.5 else inside * (1 - inside)
    reach = norm.isf((1 - confidence) / 2) * error / (inside * (1 - inside))
    logit = np.log(inside / (1 - inside))
    return area, float(1 / (1 + np.exp(reach - logit))), float(1 / (1 + np.exp(-reach - logit)))


def _mid_rank(scores: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each score the share of `among` that lies below it, ties counted one half: float[n]."""
    ordered = np.sort(among)
    ranks = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return ranks / (2 * len(ordered))


def roc_points(members: np.ndarray, others: np.ndarray) -> list[tuple[float, float]]:
    """(false-positive rate, true-positive rate) at 50 fixed rates, among them .001, .01 and .1; [] if a side is empty.

    Between two reachable points the curve is a straight line: the attacker tosses a coin among tied scores.
    """
    if len(members) == 0 or len(others) == 0:
        return []
    fpr, tpr = _roc(members, others)
    return [(float(x), round(float(y), 6)) for x, y in zip(_ROC_GRID, _at(fpr, tpr, _ROC_GRID), strict=True)]


def tpr_at_fpr(
    members: np.ndarray, others: np.ndarray, fpr: float = 0.01, confidence: float = 0.95
) -> tuple[float, float, float]:
    """True-positive rate at a false-positive rate, with an interval that knows that the cut is an estimate too.

    For `others` of b independent scores the number above the true cut is Binomial(b, fpr), so two order statistics
    enclose the cut (the usual distribution-free interval of a quantile: David and Nagaraja, Order Statistics, 7.1).
    The true-positive rate at the stricter one has a Clopper-Pearson lower end, at the looser one an upper end. A
    quarter of the allowed error goes to each of the four statements, so the coverage is at least `confidence` for
    any distribution of scores and any number of people; with few people the interval is wide, as it should be.
    """
    a, b = len(members), len(others)
    if a == 0 or b == 0:
        return 0.0, 0.0, 1.0
    value = float(_at(*_roc(members, others), np.array([fpr]))[0])
    tail, down = (1 - confidence) / 4, np.sort(others)[::-1]
    below = binom.cdf(np.arange(-1, b + 1), b, fpr)  # below[r] = P(fewer than r scores above the cut)
    strict = int(np.searchsorted(below, tail, "right")) - 1  # the largest r with below[r] <= tail
    loose = int(np.searchsorted(below, 1 - tail, "left"))  # the smallest r with P(r or more above) <= tail
    sure = int(np.count_nonzero(members > down[strict - 1])) if strict >= 1 else 0
    most = int(np.count_nonzero(members >= down[loose - 1])) if loose <= b else a
    low = clopper_pearson(sure, a, 1 - 2 * tail)[0]
    high = clopper_pearson(most, a, 1 - 2 * tail)[1]
    return value, min(low, value), max(high, value)


def tpr_error(members: np.ndarray, others: np.ndarray, fpr: float = 0.01) -> float:
    """Standard error of the true-positive rate at `fpr`: its own chance, and that of the cut (delta method)."""
    a, b = len(members), len(others)
    step = np.sqrt(fpr * (1 - fpr) / b)
    below, value, above = _at(*_roc(members, others), np.clip([fpr - step, fpr, fpr + step], 0, 1))
    return float(np.hypot(np.sqrt(value * (1 - value) / a), (above - below) / 2))


def exact_test(members: np.ndarray, others: np.ndarray, fpr: float = 0.01, level: float = 0.025) -> tuple[bool, float]:
    """Exact test that members score high more often than others: (rejected, smallest rate that would be rejected).

    With r = ceil(fpr b), at least k members lie above the r-th highest of the b others if and only if the highest
    k + r - 1 of all hold at most r - 1 others. If both come from one distribution that number is hypergeometric,
    whatever the distribution; ties are counted against rejection. (1 if not even all members would do.)
    """
    a, b = len(members), len(others)
    if a == 0 or b == 0:
        return False, 1.0
    r = max(1, int(np.ceil(fpr * b)))

    def rejection_probability(k: int) -> float:  # P(at least k members above): falls in k
        return float(hypergeom.cdf(r - 1, a + b, b, k + r - 1))

    least = bisect_left(range(1, a + 1), -level, key=lambda k: -rejection_probability(k)) + 1
    if least > a:
        return False, 1.0
    return bool(np.count_nonzero(members > np.sort(others)[-r]) >= least), least / a


def power(twin: Measurement, threshold: float) -> float:
    """Chance that an attack with this result on the leaky twin reports `fail` there (see the head of the file)."""
    if twin.value is None:
        return 0.0
    critical_value = max(threshold, twin.critical_value)
    if twin.error <= 0:
        return float(twin.value > threshold and twin.significant)
    return float(norm.cdf((twin.value - critical_value) / twin.error))


def finds(measured: Measurement, threshold: float) -> bool:
    """Whether this result fails a table: above the threshold, and chance does not explain it."""
    return measured.value is not None and measured.value > threshold and measured.significant


def verdict(measured: Measurement, threshold: float, chance: float, negative_clean: bool) -> FindingVerdict:
    """`fail`, `pass` or `no_power`, by the rule at the head of the file. `chance` is the power on the leaky twin."""
    if finds(measured, threshold):
        return "fail"
    enough = measured.high is not None and measured.high <= threshold
    return "pass" if enough and chance >= MINIMUM_POWER and negative_clean else "no_power"


def _roc(members: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reachable points of the ROC curve from (0, 0) to (1, 1): one a distinct score, float[k] each."""
    cuts = np.unique(np.concatenate([members, others]))
    fpr, tpr = (1 - np.searchsorted(np.sort(x), cuts, "left")[::-1] / len(x) for x in (others, members))
    return np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr])


def _at(fpr: np.ndarray, tpr: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """The curve at `rates`: the upper end of a vertical step, a straight line elsewhere."""
    right = np.searchsorted(fpr, rates, "right")  # first point beyond each rate
    left = right - 1
    end = np.minimum(right, len(fpr) - 1)
    width = fpr[end] - fpr[left]
    share = np.divide(rates - fpr[left], width, out=np.zeros_like(rates), where=width > 0)
    reached: np.ndarray = tpr[left] + share * (tpr[end] - tpr[left])
    return reached
