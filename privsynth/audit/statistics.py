"""Intervals for rates, differences, areas and true-positive rates; and the rule that turns them into a verdict.

The rule (`verdict`). An attack measures a `value` with an interval [low, high] at a confidence stated beforehand, and
whether the value is `significant`: a difference of success rates is significant if low > 0; a true-positive rate is
significant if an exact test (`exact_test`) rejects that members score as non-members do. The test is needed besides
the interval: below about 450 people in each group no interval of a rate at 1 % false positives excludes anything, yet
a table of copies is easily detected.

* fail      value > threshold, and significant: the leak is larger than allowed, and chance does not explain it.
* pass      high <= threshold, the attack finds the positive control with a power of at least 0.8, and it finds nothing
            in the negative control.
* no_power  everything else: a value above the threshold that chance explains, an interval too wide to exclude values
            above the threshold, an attack that would have missed a leak.

False alarms. A table that leaks nothing fails one attack with probability of at most (1 - confidence) / 2: the
probability that a two-sided interval lies wholly above the truth, and the level of the exact test. Attacks of one
family share 5 %: with k attacks each has the confidence 1 - 0.05 / k, so a family gives a false alarm with probability
of at most 2.5 % and the whole audit (four families) of at most 10 %. That bound is nearly attained only where any
significant value exceeds the threshold, that is on tables of a few dozen people; with 1,000 people in each group a
value above 0.09 is four or more standard errors from zero, and false alarms are below 0.1 %.
`tests/audit/test_audit_statistics.py` simulates the coverage of every interval, `tests/audit/test_attack.py` whole
audits.

Power on a positive control whose value is v with standard error s: P(N(v, s) > max(threshold, critical value)), where
the critical value is the smallest value that would be significant.
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
    """Result of an attack on one table. `value` is None if there were too few people to attack."""

    value: float | None
    low: float | None
    high: float | None
    baseline: float | None  # success rate of non-members
    significant: bool = False  # chance does not explain the value
    error: float = 0.0  # standard error of the value
    critical_value: float = 1.0  # the smallest value that would be significant
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


def exact_test(
    members: np.ndarray, non_members: np.ndarray, fpr: float = 0.01, level: float = 0.025
) -> tuple[bool, float]:
    """Exact test that members score high more often than non-members: (rejected, smallest rate that would be rejected).

    With r = ceil(fpr b), at least k members lie above the r-th highest of the b non-members if and only if the highest
    k + r - 1 of all scores include at most r - 1 non-members. If both groups come from one distribution that number is
    hypergeometric, whatever the distribution; ties count against rejection. (1 if no number of members would suffice.)
    """
    a, b = len(members), len(non_members)
    if a == 0 or b == 0:
        return False, 1.0
    r = max(1, int(np.ceil(fpr * b)))

    def rejection_probability(k: int) -> float:  # P(at least k members above): falls in k
        return float(hypergeom.cdf(r - 1, a + b, b, k + r - 1))

    least = bisect_left(range(1, a + 1), -level, key=lambda k: -rejection_probability(k)) + 1
    if least > a:
        return False, 1.0
    return bool(np.count_nonzero(members > np.sort(non_members)[-r]) >= least), least / a


def power(positive: Measurement, threshold: float) -> float:
    """Estimated probability that the attack reports `fail` on the positive control, from one result there.

    The module's docstring has the formula.
    """
    if positive.value is None:
        return 0.0
    critical_value = max(threshold, positive.critical_value)
    if positive.error <= 0:
        return float(positive.value > threshold and positive.significant)
    return float(norm.cdf((positive.value - critical_value) / positive.error))


def finds(measured: Measurement, threshold: float) -> bool:
    """Whether this result fails a table: above the threshold, and significant."""
    return measured.value is not None and measured.value > threshold and measured.significant


def verdict(measured: Measurement, threshold: float, estimated_power: float, negative_clean: bool) -> FindingVerdict:
    """`fail`, `pass` or `no_power`, by the rule in the module's docstring. `estimated_power`: on the positive control."""
    if finds(measured, threshold):
        return "fail"
    below = measured.high is not None and measured.high <= threshold
    return "pass" if below and estimated_power >= MINIMUM_POWER and negative_clean else "no_power"


def _roc(members: np.ndarray, non_members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Attainable points of the ROC curve from (0, 0) to (1, 1): one for each distinct score, float[k] each."""
    cutoffs = np.unique(np.concatenate([members, non_members]))
    fpr, tpr = (1 - np.searchsorted(np.sort(x), cutoffs, "left")[::-1] / len(x) for x in (non_members, members))
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
