"""The audit: the same code runs every attack on the release, on a positive control and on a negative control.

The positive control is the synthetic table with copies of training records planted in it: the attack must succeed. The
negative control is a table of real people who are neither members nor attacked: the attack must fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal

import numpy as np

from privsynth.audit import closest_record, density_ratio, inference, linkability, singling_out
from privsynth.audit.base import Attack
from privsynth.audit.quasi_identifiers import identifier_risk
from privsynth.audit.scene import Scene, prepare
from privsynth.audit.statistics import Measurement, finds, power, verdict
from privsynth.audit.tables import AuditTables
from privsynth.evidence import Audit, Control, Finding
from privsynth.progress import Progress, silent

ATTACKS: list[Callable[[Scene], list[Attack]]] = [
    closest_record.attacks,
    density_ratio.attacks,
    singling_out.attacks,
    linkability.attacks,
    inference.attacks,
]

NOT_TESTED = [
    "Attackers who hold the trained model itself (critic scores, likelihoods): only the synthetic table was attacked.",
    "A lower bound on epsilon by canaries: the audit tests consequences of the mathematical claim, not the claim itself.",
    "Shadow models: attackers who train many models of their own to learn how one person's presence changes the output.",
    "Attackers who combine several releases of the same data, or this release with other published tables.",
    "The most exposed people one by one: the figures are averages over randomly drawn people.",
]


def attack(
    tables: AuditTables,
    thresholds: dict[str, float],
    effort: str,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> Audit:
    """Attacks the synthetic table and reports with intervals, controls and power.

    Args:
        tables: the release, and people who were and were not in the training data.
        thresholds: largest value allowed, by `threshold_key`: membership_tpr_at_1pct_fpr, singling_out, linkability,
            inference.
        effort: quick, standard or thorough: 500, 2,000 or 5,000 people on each side if there are so many.
        rng: source of all randomness in the audit.
        progress: called with a name and the share done, 0..1.

    Returns:
        Findings in the order of `ATTACKS`, two controls for each, and the verdict: `fail` if any finding fails. With too
        few people the verdict of a finding is `no_power`; that is not an error.

    Raises:
        ValueError: a threshold is missing, or the effort is unknown.
    """
    report_progress = progress or silent
    report_progress("draw targets", 0.0)
    scene = prepare(tables, effort, rng)
    planned = [each for attacks_of in ATTACKS for each in attacks_of(scene)]
    missing = {each.threshold_key for each in planned} - set(thresholds)
    if missing:
        raise ValueError(f"no threshold for {', '.join(sorted(missing))}")
    families = Counter(each.family for each in planned)
    findings, controls = [], []
    for number, each in enumerate(planned):
        report_progress(each.name, (number + 1) / (len(planned) + 2))
        confidence = 1 - 0.05 / families[each.family]
        finding, both_controls = _run(each, scene, thresholds[each.threshold_key], confidence, rng)
        findings.append(finding)
        controls += both_controls
    report_progress("quasi-identifiers", 1 - 1 / (len(planned) + 2))
    risks = identifier_risk(tables, scene, rng)
    report_progress("done", 1.0)
    return Audit(
        findings=findings,
        controls=controls,
        identifier_risk=risks,
        verdict="fail" if any(f.verdict == "fail" for f in findings) else "pass",
        targets=scene.targets,
        not_tested=list(NOT_TESTED),
        left_out=inference.untested(scene),
    )


def _run(
    planned: Attack, scene: Scene, threshold: float, confidence: float, rng: np.random.Generator
) -> tuple[Finding, list[Control]]:
    """One attack on the release, the positive control and the negative control."""
    rngs = rng.spawn(3)
    measured, positive, negative = (
        planned.run(table, scene, rng_of_table, confidence)
        for table, rng_of_table in zip(
            (scene.synthetic, scene.positive_control, scene.negative_control), rngs, strict=True
        )
    )
    false_alarm = finds(negative, threshold)
    estimated_power = power(positive, threshold)
    finding = Finding(
        attack=planned.name,
        family=planned.family,
        statistic=planned.statistic,
        value=measured.value,
        low=measured.low,
        high=measured.high,
        baseline=measured.baseline,
        threshold=threshold,
        verdict=verdict(measured, threshold, estimated_power, negative.value is not None and not false_alarm),
        power=estimated_power,
        meaning=planned.meaning,
        roc=measured.roc,
        auc=measured.auc,
    )
    return finding, [
        _control(planned, "positive", positive, finds(positive, threshold)),
        _control(planned, "negative", negative, not false_alarm),
    ]


def _control(planned: Attack, kind: Literal["positive", "negative"], measured: Measurement, ok: bool) -> Control:
    return Control(
        attack=planned.name,
        kind=kind,
        value=measured.value,
        low=measured.low,
        high=measured.high,
        expected="found" if kind == "positive" else "nothing",
        ok=ok,
    )
