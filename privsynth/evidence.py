"""Everything a report may contain. A report is a pure function of one `Evidence`; programs read it as evidence.json.

There are two versions: `Evidence.internal()` holds everything; `Evidence.public()` omits every figure computed on private
rows that the budget does not cover. It keeps the claim, the verdicts and what was measured with noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION = "1.1"

Verdict = Literal["release", "release_with_conditions", "do_not_release"]
FindingVerdict = Literal["pass", "fail", "inconclusive", "no_power", "diagnostic"]
Family = Literal["membership", "copying", "exposed", "singling_out", "linkability", "inference"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MechanismRecord(_Part):
    """One line of the ledger: a mechanism that accessed private rows, and what it cost."""

    name: str  # e.g. "marginals"
    event: str  # its privacy event as text, e.g. "Gaussian(noise_multiplier=3.1)"
    share: float  # share of the budget planned for it, 0..1
    purpose: str = ""  # one sentence for non-specialists
    epsilon_alone: float | None = None  # its epsilon by itself, at the policy's delta


class Risk(_Part):
    """Upper bounds on what any attacker can achieve, whatever else they know (f-DP; Kulynych et al. 2024)."""

    max_tpr: dict[str, float]  # false-positive rate ("0.001", "0.01", "0.1") -> largest true-positive rate
    advantage: float  # largest TPR - FPR of any membership attack
    attribute_inference: dict[str, float] = Field(default_factory=dict)  # baseline guess rate -> largest success rate
    reconstruction: dict[str, float] = Field(
        default_factory=dict
    )  # reconstruction rate without the record -> largest rate with it
    singling_out: dict[str, float] = Field(
        default_factory=dict
    )  # weight of a predicate -> largest chance that the unit matches
    roc: list[tuple[float, float]] = Field(default_factory=list)  # (fpr, largest tpr): the guarantee's own ROC curve


class Privacy(_Part):
    epsilon: float
    delta: float
    unit: str  # "row" or the name of the unit column
    unit_called: str | None = None  # the reader's word for one unit, e.g. "patient"
    max_rows: int  # largest number of rows used per unit; 1 for unit row
    neighbours: str = "add or remove one unit"
    composition: str  # how the events are composed into one total
    mechanisms: list[MechanismRecord]
    risk: Risk
    sentence: str = ""  # the claim as a sentence


class Finding(_Part):
    """One attack's result. `value` is None in the public version."""

    attack: str  # e.g. "membership: closest record"
    family: Family
    question: str = ""  # attacks with the same one can stand in for each other
    statistic: str  # what `value` is, e.g. "TPR at 1 % FPR"
    value: float | None
    low: float | None  # interval of the confidence `level`
    high: float | None
    level: float | None = None  # at least 0.95, more where a family has several attacks
    baseline: float | None  # the same figure for a naive guess, or for people who were not in the data
    threshold: float | None  # fixed beforehand by the policy
    verdict: FindingVerdict
    why: str = ""  # the reason for the verdict, as a sentence
    people_needed: int | None = None  # on each side, to decide what is inconclusive
    power: (
        float | None
    )  # estimated probability that the attack finds it if every tenth person of the training data is copied
    smallest_leak: float | None = None  # share of copied people that is found with a probability of 95 %
    assumes: str = ""  # what the attacker knows
    meaning: str = ""  # what the figure shows and what it does not, one or two sentences
    seconds: float | None = None  # that it took, its controls included
    roc: list[tuple[float, float]] | None = None  # (fpr, tpr) of a membership attack
    auc: tuple[float, float, float] | None = None  # (value, low, high): area under that curve


class Control(_Part):
    """An attack's result on a table for which the right answer is known."""

    attack: str
    kind: Literal["positive", "negative"]  # copies of training records were planted / no attacked person is in it
    share: float | None = None  # of the training people who were planted
    value: float | None
    low: float | None
    high: float | None
    expected: str  # "found" or "nothing"
    ok: bool


class IdentifierRisk(_Part):
    """One figure on quasi-identifiers (prosecutor, journalist, marketer, replicated uniques, DiSCO, copies...)."""

    name: str
    value: float | None
    baseline: float | None = None
    meaning: str = ""


_WORST: tuple[FindingVerdict, ...] = ("diagnostic", "pass", "no_power", "inconclusive", "fail")


def by_family(findings: Iterable[Finding]) -> dict[Family, FindingVerdict]:
    """The worst answer to any of a family's questions. An attack without power counts only where no other one passed with the same
    question; one that is diagnostic only where there is nothing else."""
    questions: dict[tuple[Family, str], set[FindingVerdict]] = {}
    for found in findings:
        questions.setdefault((found.family, found.question), set()).add(found.verdict)
    worst: dict[Family, FindingVerdict] = {}
    for (family, _), verdicts in questions.items():
        answers = verdicts - {"no_power"} if "pass" in verdicts else verdicts
        answer = max(answers, key=_WORST.index)
        worst[family] = max(answer, worst.get(family, answer), key=_WORST.index)
    return worst


class Audit(_Part):
    findings: list[Finding] = Field(default_factory=list)
    controls: list[Control] = Field(default_factory=list)
    identifier_risk: list[IdentifierRisk] = Field(default_factory=list)
    verdict: Literal["pass", "fail"] = "pass"
    families: dict[Family, FindingVerdict] = Field(
        default_factory=dict
    )  # the worst answer to any of a family's questions
    false_alarms: float | None = None  # probability, at most, that a table within all thresholds fails
    targets: int | None = None  # people attacked on each side
    not_tested: list[str] = Field(default_factory=list)  # what no audit here covers: public
    left_out: list[str] = Field(default_factory=list)  # what was left out because of these rows: internal

    @model_validator(mode="after")
    def _complete(self) -> Audit:
        """Evidence of 0.1.0 has no families."""
        self.families = self.families or by_family(self.findings)
        return self


class ByHand(Audit):
    """The audit of three tables by `privsynth.audit`, and how their cells could be read. All of it is internal."""

    kinds: dict[str, str] = {}  # column -> what it was compared as
    unreadable: dict[
        str, dict[str, float]
    ] = {}  # column -> table -> share of its cells with a value that could not be read


class ColumnUtility(_Part):
    """Histogram of one column: `labels[i]` has share `synthetic[i]`, and `reference[i]` in the reference table.

    The reference is the real table in the internal version, and the histogram measured with noise in the public one.
    """

    name: str
    kind: str
    tvd: float | None
    labels: list[str]
    synthetic: list[float]
    reference: list[float] | None
    reference_name: str  # "real" | "noisy histogram" ("bought histogram" in evidence of versions up to 0.1)


class GroupUtility(_Part):
    """Fidelity within one subgroup, e.g. sex = Female."""

    group: str
    rows_real: int | None
    tvd1: float | None


class PairUtility(_Part):
    """Association of two columns: Spearman's correlation of two numbers, else Cramér's V."""

    pair: tuple[str, str]
    real: float
    synthetic: float


class Retention(_Part):
    """How much is left of strong associations (`utility/association.py` says what is strong and what is kept)."""

    strong: int
    kept: int
    median: float | None = None  # share of a real association that is left, 0..1
    worst: float | None = None
    pairs: list[PairUtility] = Field(default_factory=list)  # the strong ones, the least kept first


class Separation(_Part):
    """Area under the ROC curve of a classifier that tells two groups of rows apart: 0.5 is guessing, 1 is certain."""

    area: float  # synthetic from real rows
    low: float
    high: float
    floor: float  # real rows from other real ones
    floor_low: float
    floor_high: float
    rows: int  # of each of the two groups
    floor_rows: int


class NumberUtility(_Part):
    """Mean of the values, and total per 1,000 rows, of a numeric column; 95 % intervals of the synthetic figures."""

    name: str
    real_mean: float
    mean: float
    mean_low: float
    mean_high: float
    real_total: float
    total: float
    total_low: float
    total_high: float
    noise: bool  # whether the intervals hold the noise of the shares of the column's bins; else sampling alone


class RuleCheck(_Part):
    """Rows of the table that leaves that break a constraint of the policy."""

    rule: str
    broken: int


class Utility(_Part):
    tvd1: float | None = None
    tvd2: float | None = None
    tvd3: float | None = None
    tvd1_unmerged: float | None = (
        None  # as tvd1 to tvd3, with the real values before rare ones were merged into `__other__`;
    )
    tvd2_unmerged: float | None = None  # None where nothing was merged
    tvd3_unmerged: float | None = None
    tstr_auc: float | None = None  # train on synthetic, test on real
    trtr_auc: float | None = None  # train on real, test on real
    target: str | None = None
    column_shapes: float | None = None  # SDMetrics, 0..1
    column_pair_trends: float | None = None  # SDMetrics, 0..1
    tvd1_noisy: float | None = Field(  # synthetic against the histograms measured with noise: may be published
        default=None, validation_alias=AliasChoices("tvd1_noisy", "tvd1_bought")  # the former name, in older evidence
    )  # fmt: skip
    columns: list[ColumnUtility] = Field(default_factory=list)
    correlations: dict[str, Any] | None = None  # {"columns": [...], "synthetic": [[...]], "reference": [[...]] | None}
    groups: list[GroupUtility] = Field(default_factory=list)
    retention: Retention | None = None
    separation: Separation | None = None
    numbers: list[NumberUtility] = Field(default_factory=list)
    rules: list[RuleCheck] | None = None  # of the released table and the policy alone: public. None: not counted


class ColumnFacts(_Part):
    name: str
    kind: str
    role: str  # direct_identifier | quasi_identifier | sensitive | target | attribute
    release: str  # keep | drop | regenerate
    domain: str = ""  # e.g. "3 categories (public)", "0 to 100 (public)", "3 categories (measured)"
    lost: float | None = None  # measured share of rows beyond a measured range, or merged into `__other__`; 0..1


class Dataset(_Part):
    id: str
    description: str = ""
    rows: int | None = None  # as declared in the policy; the true number is internal
    columns: list[ColumnFacts] = Field(default_factory=list)
    constraints: list[str] = Field(default_factory=list)
    remarks: list[str] = Field(
        default_factory=list
    )  # what measured facts say of the table, in sentences; paid for, so public


class Handling(_Part):
    """What was done to the table when it was read. Internal: these are exact figures of private rows."""

    rows_read: int | None = None
    units: int | None = None
    rows_trained: int | None = None
    rows_held_out: int | None = None
    rows_over_bound: int | None = None  # dropped because their unit had more than max_rows
    unexpected: dict[str, int] = Field(
        default_factory=dict
    )  # column -> values that the policy does not allow, unreadable too
    unreadable: dict[str, int] = Field(
        default_factory=dict
    )  # column -> cells that are not of its kind: they became missing
    rounded: dict[str, int] = Field(default_factory=dict)  # column -> values that were rounded to its resolution
    unforeseen: dict[str, int] = Field(default_factory=dict)  # column -> missing in spite of `nullable: false`
    broken_rules: dict[str, int] = Field(default_factory=dict)  # constraint -> rows of the table that break it
    notes: list[str] = Field(default_factory=list)


class Books(_Part):
    """What the ledger noticed when it recorded this run, in sentences."""

    alarms: list[str] = Field(
        default_factory=list
    )  # for the decision on release: a raised lifetime, a ledger in memory
    notes: list[str] = Field(default_factory=list)  # a new ledger, no lifetime budget
    recognised: list[str] = Field(default_factory=list)  # other ids of the same people. Internal: depends on the rows


class ReportMeta(_Part):
    frameworks: list[str] = Field(default_factory=list)
    recipient: str | None = None
    approver: str | None = None
    rows_released: int | None = None
    formats: list[str] = Field(default_factory=list)


class TrainerFacts(_Part):
    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)


class Provenance(_Part):
    privsynth: str
    python: str
    packages: dict[str, str] = Field(default_factory=dict)
    policy_sha256: str
    created: str  # ISO 8601, UTC; passed in, since the report reads no clock
    ledger_head: str | None = None
    platform: str = ""
    synthetic_sha256: str | None = None


def _by_family(audit: Audit) -> list[Finding]:
    """One finding without figures for each family of attacks."""
    threshold = {found.family: found.threshold for found in audit.findings}
    return [
        Finding(
            attack=family.replace("_", " "), family=family, statistic="verdict over all attacks of the family", value=None,
            low=None, high=None, baseline=None, threshold=threshold.get(family), verdict=verdict, power=None,
        )
        for family, verdict in audit.families.items()
    ]  # fmt: skip


class Evidence(_Part):
    schema_version: str = SCHEMA_VERSION
    visibility: Literal["public", "internal"] = "internal"
    verdict: Verdict
    reasons: list[str] = Field(default_factory=list)  # why this verdict, as text without any private figure
    conditions: list[str] = Field(default_factory=list)  # what has to be met for a release, likewise
    dataset: Dataset
    privacy: Privacy
    trainer: TrainerFacts
    audit: Audit
    utility: Utility
    handling: Handling | None = None
    books: Books = Field(default_factory=Books)
    report: ReportMeta
    seconds: dict[str, float] = Field(default_factory=dict)
    provenance: Provenance

    def public(self) -> Evidence:
        """The version that may be published: the claim, what was measured with noise, a verdict for each family of attacks.

        It omits every figure computed on private rows that the budget does not cover, and also the single attacks and
        their controls, whose outcomes are information about the rows. One verdict of five values for each family and the
        decision itself remain.
        """
        audit = Audit(
            findings=_by_family(self.audit),
            verdict=self.audit.verdict,
            families=self.audit.families,
            false_alarms=self.audit.false_alarms,
            not_tested=self.audit.not_tested,
        )
        noisy = [c for c in self.utility.columns if c.reference_name != "real"]
        own = self.utility
        utility = Utility(target=own.target, tvd1_noisy=own.tvd1_noisy, columns=noisy, rules=own.rules)
        books = self.books.model_copy(update={"recognised": []})
        return self.model_copy(
            update={
                "visibility": "public", "audit": audit, "utility": utility, "handling": None, "books": books, "seconds": {},
            }
        )  # fmt: skip

    def internal(self) -> Evidence:
        """The complete version, with the real columns as reference wherever they are known."""
        real = {c.name for c in self.utility.columns if c.reference_name == "real"}
        columns = [c for c in self.utility.columns if c.reference_name == "real" or c.name not in real]
        return self.model_copy(update={"utility": self.utility.model_copy(update={"columns": columns})})

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Evidence:
        return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))
