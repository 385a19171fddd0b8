"""The audit: every attack, run by the same code on the release, on a leaky twin and on an independent table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from privsynth.audit import closest_record, density_ratio, inference, linkability, singling_out
from privsynth.audit.base import Attack
from privsynth.audit.quasi_identifiers import identifier_risk
from privsynth.audit.scene import Scene, prepare
from privsynth.audit.statistics import Measurement, finds, power, verdict
from privsynth.audit.tables import AuditTables
from privsynth.evidence import Audit, Control, Finding
from privsynth.progress import Progress

ATTACKS: list[Callable[[Scene], list[Attack]]] = [
    closest_record.attacks,
    density_ratio.attacks,
    singling_out.attacks,
    linkability.attacks,
    inference.attacks,
]

NOT_TESTED = [
    "Attackers who hold the trained model itself (critic scores, likelihoods): only the synthetic table was attacked.",
    "A lower bound on epsilon by canaries: the mathematical claim was not put to the test, only its consequence.",
    "Shadow models: attackers who train many models of their own to learn what one person's presence changes.",
    "Attackers who combine several releases of the same data, or this release with other published tables.",
    "The most exposed people one by one: figures are averages over people drawn by chance.",
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
        rng: all chance of the audit.
        progress: called with a name and the share done, 0..1.

    Returns:
        Findings in the order of `ATTACKS`, two controls for each, and the verdict: `fail` if any finding fails. Too
        few people give `no_power`, never an error.

    Raises:
        ValueError: a threshold is missing, or the effort is unknown.
    """
    tell = progress or (lambda name, share: None)
    tell("draw targets", 0.0)
    scene = prepare(tables, effort, rng)
    planned = [found for offer in ATTACKS for found in offer(scene)]
    missing = {one.threshold_key for one in planned} - set(thresholds)
    if missing:
        raise ValueError(f"no threshold for {', '.join(sorted(missing))}")
    families = Counter(one.family for one in planned)
    findings, controls = [], []
    for number, one in enumerate(planned):
        tell(one.name, (number + 1) / (len(planned) + 2))
        confidence = 1 - 0.05 / families[one.family]
        finding, two = _try(one, scene, thresholds[one.threshold_key], confidence, rng)
        findings.append(finding)
        controls += two
    tell("quasi-identifiers", 1 - 1 / (len(planned) + 2))
    risks = identifier_risk(tables, scene, rng)
    tell("done", 1.0)
    return Audit(
        findings=findings,
        controls=controls,
        identifier_risk=risks,
        verdict="fail" if any(f.verdict == "fail" for f in findings) else "pass",
        targets=scene.targets,
        not_tested=list(NOT_TESTED),
        left_out=inference.untested(scene),
    )


def _try(
    one: Attack, scene: Scene, threshold: float, confidence: float, rng: np.random.Generator
) -> tuple[Finding, list[Control]]:
    """One attack on the release, the leaky twin and the independent table."""
    rngs = rng.spawn(3)
    measured, twin, empty = (
        one.run(table, scene, rng_of_table, confidence)
        for table, rng_of_table in zip((scene.synthetic, scene.twin, scene.independent), rngs, strict=True)
    )
    found, clean = finds(twin, threshold), empty.value is not None and not finds(empty, threshold)
    chance = power(twin, threshold)
    finding = Finding(
        attack=one.name,
        family=one.family,
        statistic=one.statistic,
        value=measured.value,
        low=measured.low,
        high=measured.high,
        baseline=measured.baseline,
        threshold=threshold,
        verdict=verdict(measured, threshold, chance, clean),
        power=chance,
        meaning=one.meaning,
        roc=measured.roc,
        auc=measured.auc,
    )
    return finding, [_control(one, "positive", twin, found), _control(one, "negative", empty, not finds(empty, threshold))]


def _control(one: Attack, kind: str, measured: Measurement, ok: bool) -> Control:
    return Control(
        attack=one.name,
        kind=kind,
        value=measured.value,
        low=measured.low,
        high=measured.high,
        expected="found" if kind == "positive" else "nothing",
        ok=ok,
    )
