"""The path of the data through a run, on one page.

policy -> plan -> reserve -> read -> bound and split -> domain -> codec -> train -> sample
       -> attack -> measure -> verdict -> report -> release/ and dossier/
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from privsynth.errors import Problem, Refused
from privsynth.evidence import Evidence
from privsynth.ledger.ledger import Ledger, Reservation
from privsynth.planning import make_plan
from privsynth.policy import Policy
from privsynth.privacy.plan import Plan
from privsynth.progress import Clock, Progress, silent
from privsynth.sampling.synthesizer import Synthesizer

if TYPE_CHECKING:
    from privsynth.table.intake import Intake

Data: TypeAlias = str | Path | pd.DataFrame


@dataclass(frozen=True)
class Outcome:
    """Result of a run. evidence: the internal version. folder: contains dossier/, and release/ if released."""

    evidence: Evidence
    synthesizer: Synthesizer
    folder: Path

    @property
    def released(self) -> bool:
        return self.evidence.verdict != "do_not_release"


def run(
    policy: Policy | str | Path, data: Data, out: str | Path | None = None, *, ledger: str | Ledger | None = None,
    trainer: str | None = None, epsilon: float | None = None, progress: Progress = silent,
) -> Outcome:  # fmt: skip
    """Makes a synthetic table, attacks it, writes the report, OUT/dossier and (unless refused) OUT/release.

    Raises InputError (nothing written) or Refused (budget). A verdict of do_not_release is an outcome, not an error.
    """
    from privsynth.release import check_target, publish

    policy = _policy(policy).with_changes(trainer, epsilon)
    folder = check_target(Path(out) if out is not None else Path(policy.model.dataset.id))
    books = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
    clock = Clock(progress)

    # plan: every mechanism and its cost, before anything is read
    plan = clock("planning", lambda: make_plan(policy))
    account = books.reserve(plan)
    with account:  # an error that leaves the block settles the account, and learns what the run cost
        synthesizer, intake = _learn(policy, plan, data, account, policy.model.audit.holdout, clock)

        # sample: as many rows as the policy says, else the declared or measured number of rows
        measured = synthesizer.layout.most_rows(synthesizer.codec.domain.rows or 1000, synthesizer.privacy.unit)
        rows = policy.model.release.rows or policy.model.dataset.rows or measured
        typed, rng = clock("sampling", lambda: synthesizer.sample_typed(rows, policy.model.seed, clock.inner))
        synthetic = clock("finishing", lambda: synthesizer.layout.finish(typed, rng))

        # attack and measure, with rows that the trainer never saw; from here on nothing can learn from rows
        account.finish_learning()
        from privsynth.assess import assess
        from privsynth.table.private import without_values

        with without_values("the audit"):
            assessment = assess(policy, synthesizer.codec, typed, intake, account, clock)
    head = account.settle("finished")

    # report: a pure function of evidence
    from privsynth.assess import gather

    now = datetime.now(UTC).isoformat(timespec="seconds")
    evidence = gather(
        policy, plan, synthesizer, intake, assessment, typed, synthetic, account.books, clock.seconds, now, head
    )
    evidence = clock(
        "writing", lambda: publish(folder, evidence, synthesizer, synthetic, books.entries(policy.model.dataset.id))
    )
    return Outcome(evidence, synthesizer, folder)


def fit(
    policy: Policy | str | Path, data: Data, *, ledger: str | Ledger | None = None, trainer: str | None = None,
    epsilon: float | None = None, progress: Progress = silent,
) -> Synthesizer:  # fmt: skip
    """Trains on all rows: no holdout, no audit, no report. The ledger is charged as in `run`."""
    policy = _policy(policy).with_changes(trainer, epsilon)
    clock = Clock(progress)
    plan = clock("planning", lambda: make_plan(policy))
    account = (ledger if isinstance(ledger, Ledger) else Ledger(ledger)).reserve(plan)
    with account:
        synthesizer, _ = _learn(policy, plan, data, account, 0.0, clock)
    account.settle("fitted")
    return synthesizer


def _learn(
    policy: Policy, plan: Plan, data: Data, account: Reservation, holdout: float, clock: Clock
) -> tuple[Synthesizer, Intake]:  # fmt: skip
    """Read, bound and split, learn the domain, encode, train."""
    from privsynth.encoding.domain import learn_domain
    from privsynth.encoding.learning import learn_codec
    from privsynth.encoding.readable import refuse_unreadable
    from privsynth.sampling.output import Layout
    from privsynth.table.fingerprint import fingerprint
    from privsynth.table.intake import check_header, check_types, take_in
    from privsynth.table.private import without_values
    from privsynth.table.reader import read_header, read_table, read_types
    from privsynth.trainers import trainer_of

    for noticed in (*account.books.alarms, *account.books.notes):
        clock.progress(noticed, 1.0)
    check_header(read_header(data, policy.model.dataset), policy)
    check_types(read_types(data, policy.model.dataset), policy)
    account.opened = True  # from here on a refusal would reveal something about the rows: the reservation stays
    with without_values("reading"):
        raw = clock("reading", lambda: read_table(data, policy.model.dataset))
        key, former = account.ledger.fingerprint_key(), account.ledger.has_former_contents()
        modelled = [name for name, column in policy.model.columns.items() if column.modelled]
        content = clock("recognising the content", lambda: fingerprint(raw, key, modelled, former))
    account.identify(content)
    for noticed in account.books.recognised:
        clock.progress(noticed, 1.0)
    account.charge("unit numbers", plan["unit numbers"])
    with without_values("checking and splitting"):
        intake = clock("checking and splitting", lambda: take_in(raw, policy, account.randomness, holdout))
    lost = clock("checking cells", lambda: refuse_unreadable(policy, intake.train, account))
    domain = clock("learning the domain", lambda: learn_domain(policy, intake.train, account, 1 - holdout, lost))
    codec = clock("encoding", lambda: learn_codec(domain, intake.train, account, policy.knowledge))
    trainer = trainer_of(plan.trainer, plan.trainer_options)
    codes = intake.train.encoded(codec)
    model = clock("training", lambda: trainer.fit(codes, codec, policy.target, account, clock.inner))
    if account.learned:
        raise Refused(Problem("trainer", "finished learning by itself, so its model may have seen open rows"))
    seeded = policy.model.seed is not None
    facts = {"dataset": policy.model.dataset.id, "policy_sha256": policy.sha256, "seeded": seeded}
    layout, rng = Layout.of(policy, raw, model.codec), account.randomness.generator()
    codec = clock(
        "placing in bins", lambda: model.codec.learning_copula(lambda n: model.sample(n, rng, clock.inner), rng)
    )
    return Synthesizer(trainer.name, codec, model, layout, plan.privacy(), facts), intake


def _policy(policy: Policy | str | Path) -> Policy:
    return policy if isinstance(policy, Policy) else Policy.load(policy)


__all__ = ["Outcome", "fit", "run"]
