"""Each verdict means one thing: of an attack, of a family, of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from privsynth.audit.base import advantage
from privsynth.audit.statistics import Measurement
from privsynth.audit.verdicts import TITLES, decide, finds, judge, power, smallest_leak
from privsynth.evidence import Audit, Family, Finding, FindingVerdict, by_family


def measured(value: float, margin: float, people: int = 1000) -> Measurement:
    return Measurement(value, value - margin, value + margin, 0.0, error=margin / 1.96, people=people)


@pytest.mark.parametrize(
    ("value", "margin", "diagnostic", "smallest", "alarm", "expected"),
    [
        (0.30, 0.05, False, 0.1, False, "fail"),
        (0.30, 0.05, True, None, True, "fail"),  # whatever else holds
        (0.30, 0.40, False, 0.1, False, "inconclusive"),  # above, but chance explains it
        (0.06, 0.05, False, 0.1, False, "inconclusive"),  # not above, but the interval is
        (0.02, 0.03, False, 0.1, False, "pass"),
        (0.02, 0.03, True, 0.1, False, "diagnostic"),  # never passed
        (0.30, 0.40, True, 0.1, False, "diagnostic"),
        (0.02, 0.03, False, None, False, "no_power"),  # would have missed a leak
        (0.02, 0.03, False, 0.1, True, "no_power"),  # finds leaks where none are
    ],
)
def test_one_attack(
    value: float, margin: float, diagnostic: bool, smallest: float | None, alarm: bool, expected: FindingVerdict
) -> None:
    assert judge(measured(value, margin), 0.09, diagnostic, smallest, alarm).verdict == expected


def test_what_is_inconclusive_is_told_with_the_people_that_would_decide_it() -> None:
    wide = judge(
        measured(0.05, 0.08, people=400), 0.09, False, 0.1, False
    )  # the half width has to be .04, half of what it is
    assert wide.people_needed == 1600 and "too wide" in wide.why
    above = judge(measured(0.13, 0.08, people=400), 0.09, False, 0.1, False)
    assert above.people_needed == 1600 and "chance explains it" in above.why
    assert judge(measured(0.09, 0.08), 0.09, False, 0.1, False).people_needed is None  # no number would
    assert judge(measured(0.02, 0.03), 0.09, False, 0.1, False).people_needed is None


def test_the_same_value_with_these_people_decides_it() -> None:
    for value, margin in ((0.05, 0.08), (0.13, 0.08), (0.089, 0.02)):
        needed = judge(measured(value, margin, 400), 0.09, False, 0.1, False).people_needed
        assert needed is not None
        half = margin * np.sqrt(400 / needed)
        assert value + half <= 0.09 + 1e-9 or value - half >= 0.09 - 1e-9


def test_nothing_is_no_power() -> None:
    assert judge(Measurement.nothing(), 0.09, False, 0.1, False).verdict == "no_power"
    assert power(Measurement.nothing(), 0.09) == 0.0 and not finds(Measurement.nothing(), 0.0)


def test_the_smallest_leak_lies_between_the_last_twin_found_and_the_first_missed() -> None:
    twins = [(share, measured(share, 0.02)) for share in (0.4, 0.1, 0.03, 0.01)]
    assert smallest_leak(twins, 0.0) == pytest.approx(0.02 * (1 + 1.645 / 1.96), abs=1e-4)
    assert smallest_leak(twins[:2], 0.0) == 0.1  # none is missed
    assert smallest_leak(twins, 0.5) is None and smallest_leak([], 0.0) is None


@pytest.mark.statistical
def test_power_is_how_often_the_rule_fires() -> None:
    """Seeded. Estimated from one noisy control, power is biased towards a half: here by less than .08."""
    rng = np.random.default_rng(5)
    found, estimated = [], []
    for _ in range(1000):
        one = advantage(rng.random(150) < 0.42, rng.random(150) < 0.22, 0.95)
        found.append(finds(one, 0.09))
        estimated.append(power(one, 0.09))
    assert 0.2 < np.mean(found) < 0.8 and abs(np.mean(found) - np.mean(estimated)) < 0.08


def finding(verdict: FindingVerdict, family: Family = "membership", question: str = "") -> Finding:
    return Finding(
        attack="a", family=family, question=question, statistic="s", value=0.0, low=0.0, high=0.0, baseline=0.0, threshold=0.1,
        verdict=verdict, power=1.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["pass", "no_power", "diagnostic"], "pass"),  # another attack with the same question has the power
        (["no_power", "diagnostic"], "no_power"),
        (["diagnostic"], "diagnostic"),
        (["pass", "inconclusive"], "inconclusive"),
        (["pass", "fail", "inconclusive"], "fail"),
    ],
)
def test_one_family(verdicts: list[FindingVerdict], expected: FindingVerdict) -> None:
    assert by_family(finding(v) for v in verdicts) == {"membership": expected}


def test_a_question_without_an_answer_is_not_covered_by_another() -> None:
    both = [finding("pass", "inference", "disease"), finding("no_power", "inference", "income")]
    assert by_family(both) == Audit(findings=both).families == {"inference": "no_power"}


@pytest.mark.parametrize(
    ("families", "when", "expected", "conditions"),
    [
        ({"membership": "pass", "copying": "diagnostic"}, "refuse", "release", 0),
        ({"membership": "fail", "linkability": "inconclusive"}, "note", "do_not_release", 0),
        ({"membership": "inconclusive"}, "condition", "release_with_conditions", 1),
        ({"membership": "no_power"}, "condition", "release_with_conditions", 1),
        ({"membership": "inconclusive"}, "refuse", "do_not_release", 0),
        ({"membership": "no_power"}, "note", "release", 0),
        ({}, "condition", "release_with_conditions", 1),
        ({}, "refuse", "do_not_release", 0),
    ],
)
def test_a_run(families: dict[Family, FindingVerdict], when: str, expected: str, conditions: int) -> None:
    decided = decide(families, when)
    assert (decided.verdict, len(decided.conditions)) == (expected, conditions) and decided.reasons
    counted = any("says how many" in condition for condition in decided.conditions)
    assert not counted or "inconclusive" in families.values()
    named = [TITLES[family] for family, verdict in families.items() if verdict in ("fail", "no_power", "inconclusive")]
    told = " ".join(decided.reasons)
    assert not named or any(name in told for name in named)


def test_the_table_of_the_docs_is_the_rule() -> None:
    """docs/audit.md: | families | condition | refuse | note |."""
    text = Path("docs/audit.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `") and "release" in line]
    assert len(rows) >= 3
    for verdict, *by_choice in rows:
        for when, expected in zip(("condition", "refuse", "note"), by_choice, strict=True):
            assert decide({"membership": verdict.strip("`")}, when).verdict == expected.strip("`"), (verdict, when)
