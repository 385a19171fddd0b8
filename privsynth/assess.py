"""After training: run the audit, measure utility, and collect everything a report may contain into one `Evidence`."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from privsynth import evidence as e
from privsynth.audit.attack import attack
from privsynth.audit.compare import categorical
from privsynth.audit.tables import AuditTables
from privsynth.audit.verdicts import Decision, decide
from privsynth.encoding.codec import Codec
from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.copula import LAST
from privsynth.encoding.domain import OTHER, STRATUM, ColumnDomain
from privsynth.encoding.histograms import to_simplex
from privsynth.encoding.lost import failures, lost_share, remarks
from privsynth.policy import Policy
from privsynth.policy.ages import age_text
from privsynth.privacy.plan import Plan
from privsynth.privacy.unit import Rows
from privsynth.sampling.checked import broken_when_released
from privsynth.sampling.synthesizer import Synthesizer
from privsynth.table.intake import Intake
from privsynth.table.names import state_of
from privsynth.table.private import open_rows
from privsynth.utility.cells import Marked
from privsynth.utility.measure import distances, measure

if TYPE_CHECKING:
    from privsynth.privacy.run import Run
    from privsynth.progress import Clock

MOST_ROWS = 100_000  # by which the noise of means is told
PACKAGES = ("torch", "opacus", "sdv", "pandas", "numpy", "diffprivlib", "dp-accounting")


@dataclass(frozen=True)
class Assessment:
    """Results on private rows; internal except for the verdicts."""

    audit: e.Audit
    utility: e.Utility


def assess(
    policy: Policy, codec: Codec, synthetic: pd.DataFrame, intake: Intake, account: Run, clock: Clock
) -> Assessment:
    """Audit and utility of the synthetic rows (typed, as `Synthesizer.sample_typed` returns them).

    Raises Refused unless the account has finished learning.
    """
    assert intake.holdout is not None  # a run always has a holdout
    train, holdout = open_rows(intake.train, account), open_rows(intake.holdout, account)
    rng = account.randomness.generator()
    made, used, unused = (_audit_frame(frame, codec) for frame in (synthetic, train.values, holdout.values))
    by_unit = policy.unit_column is not None
    columns = policy.model.columns
    roles: dict[str, str] = {name: columns[name].role for name in made}
    tables = AuditTables(
        made, used, unused, train.units if by_unit else None, holdout.units if by_unit else None, roles
    )  # fmt: skip
    thresholds, effort = policy.model.thresholds.values, policy.model.audit.effort
    audit = clock("attacking", lambda: attack(tables, thresholds, effort, rng, clock.inner))
    kinds: dict[str, str] = {name: columns[name].kind for name in made}
    groups = [name for name in made if roles[name] == "quasi_identifier" and columns[name].categorical]
    marked = _marked(synthetic, train.values, codec)
    utility = clock(
        "measuring", lambda: measure(
            made, used, unused, policy.target, kinds, groups, rng, clock.inner, marked,
            (train.units, holdout.units) if by_unit else None, noise_of_means(synthetic, codec),
        )
    )  # fmt: skip
    return Assessment(audit, utility.model_copy(update=_unmerged(made, train.values, codec, marked)))


def _marked(synthetic: pd.DataFrame, train: pd.DataFrame, codec: Codec) -> Marked:
    """Codes for missing answers and limits of detection of numbers, in both tables."""
    texts = {c.domain.name: c.domain.marks for c in codec.columns if c.is_number and c.domain.marks}
    one, other = ({name: frame[state_of(name)].to_numpy() for name in texts} for frame in (synthetic, train))
    return Marked(texts, one, other)


def noise_of_means(typed: pd.DataFrame, codec: Codec) -> dict[str, tuple[float, float] | None]:
    """{numeric column: standard deviations of its synthetic mean, and of its total per row, by the stated noise of the shares of
    its codes, those without synthetic rows left out}; None for one that is stored as the distance from another. By the first
    100,000 rows."""
    typed = typed.head(MOST_ROWS)
    found: dict[str, tuple[float, float] | None] = {}
    codes = codec.encode(Rows(typed, np.arange(len(typed)))).values
    for j, column in enumerate(codec.columns):
        name = column.domain.name
        if column.domain.kind in ("integer", "number") and name in typed:
            values = typed[name].to_numpy(float)
            of_known = _deviation(values, codes[:, j], column.noise)
            of_all = _deviation(np.nan_to_num(values), codes[:, j], column.noise)
            found[name] = (of_known, of_all) if column.domain.gap_from is None else None
    return found


def _deviation(values: np.ndarray, codes: np.ndarray, noise: np.ndarray) -> float:
    """Of the mean of the known values: a share that is off moves it by how far the values of its code lie from it.

    noise: (codes,) standard deviations of the shares of all rows.
    """
    known = ~np.isnan(values)
    if not known.any():
        return 0.0
    rows = np.bincount(codes[known], minlength=len(noise))
    inside = np.bincount(codes[known], values[known], minlength=len(noise)) / np.maximum(rows, 1)
    apart = np.where(rows > 0, inside - values[known].mean(), 0.0)
    return float(np.sqrt(((noise * apart) ** 2).sum()) / known.mean())


def _unmerged(made: pd.DataFrame, train: pd.DataFrame, codec: Codec, marked: Marked) -> dict[str, float | None]:
    """Distances from the real values themselves, where rare ones were merged: each category that was lost counts."""
    merged = [c.domain for c in codec.columns if c.domain.categorical and c.domain.categories[-1] == OTHER]
    if not merged:
        return {}
    one, other = made.copy(), _audit_frame(train, codec)
    for domain in merged:
        names = [*domain.categories, *domain.marks]
        names += sorted({value for value in train[domain.name] if value is not None} - set(names))
        one[domain.name] = categorical(made[domain.name].astype(object).where(made[domain.name].notna(), None), names)
        other[domain.name] = categorical(train[domain.name], names)
    return {f"tvd{ways}_unmerged": distance for ways, distance in distances(one, other, marked).items()}


def _audit_frame(frame: pd.DataFrame, codec: Codec) -> pd.DataFrame:
    """Typed rows with the released categories: values merged into `__other__` in training are merged here, too."""
    out = {}
    for domain in (c.domain for c in codec.columns if c.domain.name in frame):
        values = frame[domain.name]
        if domain.categorical:
            names = (*domain.categories, *domain.marks)
            if domain.categories[-1] == OTHER:
                known = set(names)
                values = [value if value is None or value in known else OTHER for value in values]
            out[domain.name] = pd.Series(categorical(values, names))
        else:
            out[domain.name] = values.astype(float)
    return pd.DataFrame(out)


def gather(
    policy: Policy, plan: Plan, synthesizer: Synthesizer, intake: Intake, assessment: Assessment, typed: pd.DataFrame,
    released: pd.DataFrame, books: e.Books, seconds: dict[str, float], now: str, head: str,
) -> e.Evidence:  # fmt: skip
    """One `Evidence` (internal version) of the whole run. typed, released: the synthetic table, as sampled and as it leaves."""
    rules = broken_when_released(released, synthesizer.layout, policy.knowledge)
    decided = judge(policy, assessment.audit, [*failures(synthesizer.codec), *broken_promises(rules)])
    noisy, distance = noisy_histograms(synthesizer, typed)
    utility = assessment.utility.model_copy(update={
        "columns": [*assessment.utility.columns, *noisy], "tvd1_noisy": distance,
        "rules": [e.RuleCheck(rule=stated, broken=rows) for stated, rows in rules.items()],
    })  # fmt: skip
    model = policy.model
    return e.Evidence(
        verdict=decided.verdict, reasons=decided.reasons, conditions=decided.conditions,
        dataset=_dataset(policy, synthesizer.codec, plan), privacy=plan.privacy(),
        trainer=e.TrainerFacts(name=plan.trainer, options=dict(model.trainer.options), notes=list(plan.reasons)),
        audit=assessment.audit, utility=utility, handling=_handling(policy, intake), books=books,
        report=e.ReportMeta(
            frameworks=model.report.frameworks, recipient=model.report.recipient, approver=model.report.approver,
            rows_released=len(typed), formats=list(model.release.formats),
        ),
        seconds=dict(seconds),
        provenance=e.Provenance(
            privsynth=version("privsynth"), python=platform.python_version(), packages={p: version(p) for p in PACKAGES},
            policy_sha256=policy.sha256, created=now, ledger_head=head, platform=f"{sys.platform} {platform.machine()}",
        ),
    )  # fmt: skip


def judge(policy: Policy, audit: e.Audit, failed: list[str]) -> Decision:
    """The verdict, its reasons and conditions, as text without any figure of a private row. failed: by `lost.failures`,
    `broken_promises`."""
    if policy.model.seed is not None:
        decided = Decision("do_not_release", ["The policy has a seed: whoever knows it can subtract the noise."])
    else:
        decided = decide(audit.families, policy.model.thresholds.when_inconclusive)
    verdict = "release_with_conditions" if failed and decided.verdict == "release" else decided.verdict
    return Decision(verdict, [*decided.reasons, *failed], decided.conditions)


def broken_promises(rules: dict[str, int]) -> list[str]:
    """A failed check for each constraint that released rows break. Rows and rule are public."""
    return [
        f"Rows of the released table that break a rule of the policy, which none may: {rows:,} ({stated}). This is a fault of "
        "privsynth; please report it."
        for stated, rows in rules.items() if rows
    ]  # fmt: skip


def _described(policy: Policy, codec: Codec, name: str) -> str:
    """What is released of a column's values."""
    if policy.model.columns[name].computed:
        return "derived from others"
    if name in policy.knowledge.group_of:
        return "2 categories (public)"
    return codec.domain[name].described if policy.model.columns[name].modelled else ""


def _dataset(policy: Policy, codec: Codec, plan: Plan) -> e.Dataset:
    lost = {column.domain.name: lost_share(column) for column in codec.columns}
    facts = [
        e.ColumnFacts(
            name=name, kind=column.kind, role=column.role, release=column.released_as,
            domain=_described(policy, codec, name),
            lost=lost.get(name),
        )
        for name, column in policy.model.columns.items()
    ]  # fmt: skip
    rules = [f"{c.stated}{f'. {c.note}' if c.note else ''}" for c in policy.model.constraints]
    spec = policy.model.dataset
    return e.Dataset(
        id=spec.id, description=spec.description, rows=spec.rows, columns=facts, constraints=rules,
        remarks=list(remarks(codec, policy, plan)),
    )  # fmt: skip


def _handling(policy: Policy, intake: Intake) -> e.Handling:
    notes = []
    declared = policy.model.dataset.rows
    if declared is not None and abs(declared - intake.rows_read) > 0.1 * declared:
        notes.append(
            "The declared number of rows is off by more than 10 %: the claim holds, but the table is less accurate."
        )
    if intake.rows_without_unit:
        notes.append(f"{intake.rows_without_unit} rows have no value in the unit column and were left out.")
    counts = intake.counts.items()
    return e.Handling(
        rows_read=intake.rows_read, units=intake.units, rows_trained=intake.rows_trained,
        rows_held_out=intake.rows_held_out, rows_over_bound=intake.rows_over_bound,
        unexpected={name: found.odd for name, found in counts if found.odd},
        unreadable={name: found.unreadable for name, found in counts if found.unreadable},
        rounded={name: found.rounded for name, found in counts if found.rounded},
        unforeseen={name: found.unforeseen for name, found in counts if found.unforeseen},
        broken_rules={stated: rows for stated, rows in intake.broken.items() if rows}, notes=notes,
    )  # fmt: skip


def noisy_histograms(synthesizer: Synthesizer, typed: pd.DataFrame) -> tuple[list[e.ColumnUtility], float]:
    """Synthetic columns against the histograms measured with noise, and their mean total variation distance.

    Both may be published: the budget covers them.
    """
    codec = synthesizer.codec
    codes = codec.encode(Rows(typed, np.arange(len(typed)))).values
    found = []
    for j, column in enumerate(codec.columns):
        if column.domain.name == STRATUM:
            continue
        made = np.bincount(codes[:, j], minlength=column.size) / len(codes)
        measured = _measured_shares(synthesizer, j)
        labels = _labels(column)
        shown = [i for i in range(column.size) if made[i] > 0 or measured[i] > 0]
        found.append(e.ColumnUtility(
            name=column.domain.title, kind=column.domain.kind, tvd=float(0.5 * np.abs(made - measured).sum()),
            labels=[labels[i] for i in shown], synthetic=[float(made[i]) for i in shown],
            reference=[float(measured[i]) for i in shown], reference_name="noisy histogram",
        ))  # fmt: skip
    return found, float(np.mean([c.tvd for c in found]))


def _measured_shares(synthesizer: Synthesizer, j: int) -> np.ndarray:
    """(codes,) released shares of one column, weighted by the table's mix of units with few and with many rows."""
    codec = synthesizer.codec
    marginal_model = getattr(synthesizer.model, "marginal_model", None)
    if not codec.domain.stratified or marginal_model is None:
        return codec.columns[j].shares
    last = len(codec.columns) - 1
    pair = next((target.share for target in marginal_model.targets if target.columns == (j, last)), None)
    if pair is None:
        return codec.columns[j].shares
    block = np.maximum(pair.T[: len(codec.domain.mix)].astype(float), 0)
    each = block / np.maximum(block.sum(1, keepdims=True), 1e-9)
    return to_simplex(np.array(codec.domain.mix) @ each)


def _labels(column: ColumnCodec) -> list[str]:
    """(codes,) what each code stands for."""
    domain, labels = column.domain, []
    names = [*domain.categories, *domain.marks] if domain.categorical else [*[""] * domain.regular, *domain.marks]
    for code in range(column.size - 1):
        cells = np.flatnonzero(column.bins == code)
        if not domain.categorical and cells[0] < domain.regular:
            ends = (domain.grid.value_at(cells, np.full(len(cells), place)) for place in (0.0, LAST))
            low, high = int(next(ends).min()), int(next(ends).max())
            labels.append(_shown(low, domain) if low == high else f"{_shown(low, domain)} to {_shown(high, domain)}")
        else:
            labels.append(names[cells[0]] if len(cells) == 1 else f"{len(cells)} rare values")
    return [*labels, "missing"]


def _shown(value: int, domain: ColumnDomain) -> str:
    """A value in the units of the domain's cells."""
    if domain.age_at is not None:
        return age_text(value)
    if domain.gap_from is not None:
        return f"+{value * domain.step:g}"
    return domain.text_of(value * domain.a_day)[:10] if domain.by_day else domain.text_of(value)
