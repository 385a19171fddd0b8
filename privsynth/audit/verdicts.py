"""From figures to verdicts: of one attack, of a family of attacks, and of the run.

One attack measures a value with an interval [low, high] on the release, and on twins of it in which a known share of the training
people was planted (`scene`). With the threshold t that the policy fixed beforehand it is:

* fail          low > t: the leak is evidently above the threshold.
* diagnostic    not so, and the attack is one that can fail a table but never pass it. Never counted as passed.
* no_power      not so, and it misses even the twin with the largest share, or raises an alarm on a table that leaks nothing, or
                could not be measured: its result says nothing.
* pass          high <= t, and the attack finds the twin.
* inconclusive  t lies within the interval: either the value is above it and chance explains that, or it is not and the interval
                is too wide. Told with the number of people that would decide it.

False alarms. A table that leaks no more than the threshold fails one attack with a probability of at most (1 - confidence) / 2.
Attacks of one family share 5 %: with k of them each has the confidence 1 - 0.05 / k, so that a family gives a false alarm with at
most 2.5 %, and an audit with at most the sum over its families (`false_alarms`). That is nearly attained only where a threshold
is next to nothing, as that of copied people is: that family has .5 %.

Power. The smallest leak found with 95 %: on a twin the attack fails the table with the probability P(N(low - t, s) > 0), s being
the standard error of the value; between two twins low and s are interpolated.

`decide` turns the findings into the run's verdict; docs/audit.md has both tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from scipy.stats import norm

from privsynth.audit.statistics import Measurement
from privsynth.evidence import Family, FindingVerdict, Verdict

SURE = 0.95  # with this probability the smallest leak is found
WhenInconclusive = Literal["condition", "refuse", "note"]
TITLES: dict[Family, str] = {
    "membership": "membership inference",
    "copying": "copied records",
    "exposed": "membership of the most exposed people",
    "singling_out": "singling out",
    "linkability": "linkability",
    "inference": "attribute inference",
}


@dataclass(frozen=True)
class Judged:
    """A verdict, why, and how many people on each side would decide it, where more would."""

    verdict: FindingVerdict
    why: str
    people_needed: int | None = None


def finds(measured: Measurement, threshold: float) -> bool:
    """Whether this result fails a table."""
    return measured.low is not None and measured.low > threshold


def power(measured: Measurement, threshold: float) -> float:
    """Estimated probability that the attack fails a table like the one measured here."""
    if measured.low is None:
        return 0.0
    if measured.error <= 0:
        return float(measured.low > threshold)
    return float(norm.cdf((measured.low - threshold) / measured.error))


def smallest_leak(twins: Sequence[tuple[float, Measurement]], threshold: float) -> float | None:
    """The smallest planted share that is found with a probability of SURE; None if the largest one is not.

    twins: (share, result), the shares falling. Linear in the share between two twins.
    """
    found: float | None = None
    margin = 0.0
    for share, measured in twins:
        low = -1.0 if measured.low is None else measured.low
        here = low - threshold - float(norm.ppf(SURE)) * measured.error
        if here < 0 or measured.low is None:
            return found if found is None else share + (found - share) * -here / (margin - here)
        found, margin = share, here
    return found


def judge(
    measured: Measurement, threshold: float, diagnostic: bool, smallest: float | None, false_alarm: bool
) -> Judged:
    """The verdict of one attack, by the rule in the module's docstring."""
    value, low, high = measured.value, measured.low, measured.high
    if value is None or low is None or high is None:
        return Judged("no_power", "Nothing could be measured: there are too few people.")
    if low > threshold:
        return Judged("fail", "Evidently above the threshold: the whole interval is.")
    if diagnostic:
        return Judged(
            "diagnostic", "Not evidently above the threshold. This attack can fail a table but never pass it."
        )
    if smallest is None:
        return Judged(
            "no_power", "It would have missed even the largest leak that was planted, so it says nothing here."
        )
    if false_alarm:
        return Judged("no_power", "It raises an alarm on a table that leaks nothing, so it says nothing here.")
    if high <= threshold:
        return Judged("pass", "The whole interval is below the threshold, and planted leaks are found.")
    needed = _needed(measured.people, threshold - value, (high if value <= threshold else low) - value)
    if value > threshold:
        return Judged(
            "inconclusive", "Above the threshold, but chance explains it: the interval reaches below.", needed
        )
    return Judged("inconclusive", "Not above the threshold, but the interval is too wide: it reaches above.", needed)


def _needed(people: int, distance: float, half_width: float) -> int | None:
    """People on each side with whom the interval would end at the threshold, were the value the same: two digits, rounded up."""
    if not people or distance == 0:
        return None
    exact = people * (half_width / distance) ** 2
    step = 10 ** max(0, math.floor(math.log10(exact)) - 1)
    return int(math.ceil(exact / step - 1e-9) * step)


@dataclass(frozen=True)
class Decision:
    """The run's verdict, as far as the audit goes: why, and what the recipient or the publisher has to meet. No private figure."""

    verdict: Verdict
    reasons: list[str]
    conditions: list[str] = field(default_factory=list)


def decide(families: dict[Family, FindingVerdict], when_inconclusive: WhenInconclusive) -> Decision:
    """The run's verdict by the verdicts of its families of attacks."""
    failed = [TITLES[family] for family, verdict in families.items() if verdict == "fail"]
    if failed:
        return Decision(
            "do_not_release", [f"Attacks by {name}: evidently above the policy's threshold." for name in failed]
        )
    told = {"inconclusive": "the interval reaches across the threshold", "no_power": "no attack had the power to tell"}
    open_ = [f"{TITLES[family]} ({told[verdict]})" for family, verdict in families.items() if verdict in told]
    if not families:
        open_ = ["any attack: none was run"]
    if not open_:
        return Decision(
            "release",
            ["Every attack that can pass a table stayed below the policy's threshold with its whole interval, and planted "
             "training records were found. No attack is evidently above its threshold."],
        )  # fmt: skip
    undecided = f"The audit could not tell for {', '.join(open_)}. There the privacy claim rests on its proof alone."
    if when_inconclusive == "refuse":
        return Decision(
            "do_not_release", [undecided, "The policy refuses a release then (`when_inconclusive: refuse`)."]
        )
    if when_inconclusive == "note":
        return Decision("release", [undecided, "The policy notes this and releases (`when_inconclusive: note`)."])
    counted = "; the internal report says how many would decide it" if "inconclusive" in families.values() else ""
    return Decision(
        "release_with_conditions",
        [undecided],
        [
            "Release only to a recipient who has agreed in writing not to identify anybody and not to pass the table on; or run "
            f"the audit again with more people held out (`audit.holdout`{counted})."
        ],
    )
