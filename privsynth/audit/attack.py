"""The audit: the same code runs every attack on the release, on positive controls and on a negative control.

The positive controls are twins of the release in which a known share of the training people is planted, the largest share first,
until an attack no longer finds them: the smallest share that it finds is its power. The negative control is a table of real
people who are neither members nor attacked: the attack must fail.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from privsynth.audit import (
    closest_record,
    density_ratio,
    exposed,
    gen_lra,
    inference,
    linkability,
    linked_records,
    neighbourhood,
    reconstruction,
    singling_out,
)
from privsynth.audit.base import Attack
from privsynth.audit.coding import Coded
from privsynth.audit.quasi_identifiers import identifier_risk
from privsynth.audit.scene import PLANTED_SHARES, Scene, prepare
from privsynth.audit.statistics import Measurement
from privsynth.audit.tables import AuditTables
from privsynth.audit.verdicts import finds, judge, power, smallest_leak
from privsynth.evidence import Audit, Control, Family, Finding
from privsynth.progress import Progress, silent

ATTACKS: list[Callable[[Scene], list[Attack]]] = [
    linked_records.attacks,
    closest_record.attacks,
    density_ratio.attacks,
    gen_lra.attacks,
    neighbourhood.attacks,
    exposed.attacks,
    singling_out.attacks,
    linkability.attacks,
    inference.attacks,
    reconstruction.attacks,
]
FAMILY_ERROR = 0.05  # shared by the intervals of a family's attacks
STRICT: dict[Family, float] = {
    "copying": 0.005
}  # where a threshold is next to nothing, and all that stands out exceeds it
USUAL_LEAK = 0.1  # share of copied people at which `power` is told
NEARLY_NEVER = 0.5  # the power from which on twins with smaller shares are not tried

NOT_TESTED = [
    "Attackers who hold the trained model itself (critic scores, likelihoods): only the synthetic table was attacked.",
    "A lower bound on epsilon by canaries: the audit tests consequences of the mathematical claim, not the claim itself.",
    "Shadow models: attackers who train many models of their own to learn how one person's presence changes the output.",
    "Attackers who combine several releases of the same data, or this release with other published tables.",
]


@dataclass
class Trial:
    """One attack with its threshold, and what it has found so far. twins: (share planted, result), the largest share first."""

    attack: Attack
    threshold: float
    confidence: float
    measured: Measurement = field(default_factory=Measurement.nothing)
    negative: Measurement = field(default_factory=Measurement.nothing)
    twins: list[tuple[float, Measurement]] = field(default_factory=list)
    seconds: float = 0.0

    def run(self, table: Coded, scene: Scene, rng: np.random.Generator) -> Measurement:
        start = time.monotonic()
        found = self.attack.run(table, scene, rng, self.confidence)
        self.seconds += time.monotonic() - start
        return found

    @property
    def has_power(self) -> bool:
        """False once it would miss leaks as small as the last twin's more often than not."""
        return not self.twins or power(self.twins[-1][1], self.threshold) >= NEARLY_NEVER


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
        thresholds: largest value allowed, by `threshold_key`: membership_tpr_at_1pct_fpr, copied, singling_out, linkability,
            inference.
        effort: quick, standard or thorough: 500, 2,000 or 5,000 people on each side if there are so many.
        rng: source of all randomness in the audit.
        progress: called with a name and the share done, 0..1.

    Returns:
        Findings in the order of `ATTACKS`, controls of each, the verdict of each family, and the audit's: `fail` if any finding
        fails. With too few people the verdict of a finding is `no_power`; that is not an error.

    Raises:
        ValueError: a threshold is missing, or the effort is unknown.
    """
    report_progress = progress or silent
    report_progress("draw targets", 0.0)
    scene = prepare(tables, effort, rng)
    attacks = [each for attacks_of in ATTACKS for each in attacks_of(scene)]
    planned = [each for each in attacks if not each.needs(scene)]
    missing = {each.threshold_key for each in planned} - set(thresholds)
    if missing:
        raise ValueError(f"no threshold for {', '.join(sorted(missing))}")
    families = Counter(each.family for each in planned)
    trials = [
        Trial(each, thresholds[each.threshold_key], 1 - _error(each.family) / families[each.family]) for each in planned
    ]
    _run(trials, scene, rng, report_progress)
    findings = [_finding(trial) for trial in trials]
    report_progress("quasi-identifiers", 0.95)
    risks = identifier_risk(tables, scene, rng)
    report_progress("done", 1.0)
    return Audit(
        findings=findings,
        controls=[control for trial in trials for control in _controls(trial)],
        identifier_risk=risks,
        verdict="fail" if any(f.verdict == "fail" for f in findings) else "pass",
        false_alarms=sum(map(_error, families)) / 2,
        targets=scene.targets,
        not_tested=list(NOT_TESTED),
        left_out=[told for each in attacks if (told := each.needs(scene))],
    )


def _error(family: Family) -> float:
    return STRICT.get(family, FAMILY_ERROR)


def _run(trials: list[Trial], scene: Scene, rng: np.random.Generator, progress: Progress) -> None:
    """All attacks on one table after another, so that only one twin is held in memory."""
    tables, done = 2 + len(PLANTED_SHARES), 0.0

    def told(trial: Trial) -> None:
        nonlocal done
        done += 0.95 / tables / len(trials)
        progress(trial.attack.name, done)

    for trial in trials:
        trial.measured = trial.run(scene.synthetic, scene, rng.spawn(1)[0])
        told(trial)
    for trial in trials:
        trial.negative = trial.run(scene.negative_control, scene, rng.spawn(1)[0])
        told(trial)
    for share, twin in scene.twins():
        for trial in trials:
            if trial.has_power:
                trial.twins.append((share, trial.run(twin, scene, rng.spawn(1)[0])))
            told(trial)


def _finding(trial: Trial) -> Finding:
    planned, measured, threshold = trial.attack, trial.measured, trial.threshold
    smallest = smallest_leak(trial.twins, threshold)
    judged = judge(measured, threshold, planned.diagnostic, smallest, finds(trial.negative, threshold))
    usual = [power(found, threshold) for share, found in trial.twins if share == USUAL_LEAK]
    return Finding(
        attack=planned.name,
        family=planned.family,
        question=planned.question,
        statistic=planned.statistic,
        value=measured.value,
        low=measured.low,
        high=measured.high,
        level=trial.confidence,
        baseline=measured.baseline,
        threshold=threshold,
        verdict=judged.verdict,
        why=judged.why,
        people_needed=judged.people_needed,
        power=usual[0] if usual else 0.0,
        smallest_leak=smallest,
        assumes=planned.assumes,
        meaning=planned.meaning,
        seconds=round(trial.seconds, 2),
        roc=measured.roc,
        auc=measured.auc,
    )


def _controls(trial: Trial) -> list[Control]:
    """Twins and the negative control. A twin counts as found if the attack fails it."""
    threshold, negative = trial.threshold, trial.negative
    clean = not finds(negative, threshold)
    name = trial.attack.name
    return [
        *(
            Control(
                attack=name, kind="positive", share=share, value=found.value, low=found.low, high=found.high, expected="found",
                ok=finds(found, threshold),
            )
            for share, found in trial.twins
        ),
        Control(
            attack=name, kind="negative", value=negative.value, low=negative.low, high=negative.high, expected="nothing", ok=clean,
        ),
    ]  # fmt: skip
