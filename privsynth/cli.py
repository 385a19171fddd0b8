"""The command line: thin wrappers around the Python API. Everything heavy is imported inside the commands."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from privsynth.errors import InputError, PrivsynthError, Problem

if TYPE_CHECKING:
    from privsynth.audit.canaries import Measured
    from privsynth.evidence import ByHand
    from privsynth.pipeline import Outcome
    from privsynth.policy import Policy
    from privsynth.privacy.plan import Plan

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Synthetic tables with a privacy claim that is accounted for, enforced, attacked and reported.",
)  # fmt: skip
ledger_app = typer.Typer(no_args_is_help=True, help="Privacy budget spent on each data set.")
app.add_typer(ledger_app, name="ledger")

PolicyArg = Annotated[Path, typer.Argument(metavar="POLICY", help="Privacy policy (YAML).")]
DataOpt = Annotated[
    str,
    typer.Option(
        "--data", metavar="FILE", help="The real table: a file, a folder of Parquet files, or the URL of a database."
    ),
]
LedgerOpt = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="URL",
        help="Database of the budget spent. Default: $PRIVSYNTH_LEDGER, or a file in the user's state folder.",
    ),
]
TrainerOpt = Annotated[
    str | None,
    typer.Option(
        "--trainer", metavar="NAME", help="ctgan, vae, autoregressive, marginals or auto, in place of the policy's."
    ),
]
EpsilonOpt = Annotated[
    float | None, typer.Option("--epsilon", metavar="X", help="Privacy budget, in place of the policy's.")
]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from privsynth import __version__

        typer.echo(f"privsynth {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it and exit.")] = False,
) -> None:  # fmt: skip
    """Options that belong to no command."""


@app.command("run")
def run_command(
    policy: PolicyArg, data: DataOpt,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where release/ and dossier/ go. Default: the data set's id.")
    ] = None,
    ledger: LedgerOpt = None, trainer: TrainerOpt = None, epsilon: EpsilonOpt = None, as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Make a synthetic table, attack it, and write the release and the report."""
    from privsynth.pipeline import run
    from privsynth.progress import watching

    with watching() as progress:
        outcome = run(policy, data, out, ledger=ledger, trainer=trainer, epsilon=epsilon, progress=progress)
    _print_outcome(outcome, as_json)
    raise typer.Exit(0 if outcome.released else 3)


@app.command()
def check(
    policy: PolicyArg, trainer: TrainerOpt = None, epsilon: EpsilonOpt = None,
    suggest: Annotated[
        Path | None,
        typer.Option("--suggest", metavar="MODEL", help="Print constraints that a model's noisy answers show, to be confirmed."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where --suggest writes the CSV files that its constraints name.")
    ] = None,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Check a policy and show the privacy budget that a run would spend. Reads no data."""
    from privsynth.planning import make_plan
    from privsynth.policy import Policy

    if out is not None and suggest is None:
        raise InputError(Problem("--out", "is for the files of suggested constraints", "use it with --suggest MODEL"))
    read = Policy.load(policy).with_changes(trainer, epsilon)
    if suggest is not None:
        _suggest(read, suggest, out, as_json)
        return
    plan = make_plan(read)
    if as_json:
        _print_json(plan.as_checked() | {"warnings": list(read.warnings)})
    else:
        _print_plan(plan, read)


@app.command()
def doctor(policy: PolicyArg, data: DataOpt, as_json: JsonOpt = False) -> None:
    """Compare a table with a policy and show every mismatch, with values of real rows: private. Spends and writes nothing."""
    from privsynth.doctor import examine
    from privsynth.policy import Policy

    found = examine(Policy.load(policy), data)
    if as_json:
        _print_json(found.to_json())
    else:
        typer.echo("\n".join(found.lines()))
    raise typer.Exit(0 if found.healthy else 2)


@app.command()
def fit(
    policy: PolicyArg, data: DataOpt,
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="Folder for the model.")],
    ledger: LedgerOpt = None, trainer: TrainerOpt = None, epsilon: EpsilonOpt = None, as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Train on all rows and save the model; no audit, no report."""
    from privsynth.pipeline import fit as train
    from privsynth.progress import watching
    from privsynth.release import check_model_target

    check_model_target(out)
    with watching() as progress:
        synthesizer = train(policy, data, ledger=ledger, trainer=trainer, epsilon=epsilon, progress=progress)
    synthesizer.save(out)
    claim, warnings = synthesizer.privacy, synthesizer.warnings
    if as_json:
        _print_json({
            "model": str(out), "trainer": synthesizer.trainer, "privacy": claim.model_dump(mode="json"), "warnings": warnings,
        })  # fmt: skip
    else:
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
        typer.echo(f"Model: {out}\n{claim.sentence}")


@app.command()
def sample(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a model.")],
    n: Annotated[int, typer.Option("-n", metavar="N", help="Rows.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="CSV or .parquet file.")],
    seed: Annotated[int | None, typer.Option("--seed", help="Makes the sample repeatable; weakens no guarantee.")] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--given", metavar="COLUMN=VALUE", help="A value that all rows have (autoregressive only); may be repeated."),
    ] = None,
) -> None:  # fmt: skip
    """Sample any number of synthetic rows from a model, written block by block. Costs no privacy budget."""
    from privsynth.progress import watching
    from privsynth.release import write_table
    from privsynth.sampling.synthesizer import Synthesizer

    values = _given(given or [])
    synthesizer = Synthesizer.load(model)
    with watching() as progress:
        rows = synthesizer.sample_blocks(n, seed, progress=progress, given=values)
        write_table(synthesizer.layout, rows, out)
    typer.echo(f"{n:,} rows: {out}")


@app.command("audit")
def audit_command(
    synthetic: Annotated[Path, typer.Option("--synthetic", metavar="FILE", help="The table to attack.")],
    train: Annotated[Path, typer.Option("--train", metavar="FILE", help="The real rows it was made from.")],
    holdout: Annotated[Path, typer.Option("--holdout", metavar="FILE", help="Real rows of people who were not used.")],
    policy: Annotated[Path | None, typer.Option("--policy", metavar="POLICY", help="Kinds, roles, unit and thresholds.")] = None,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Attack a synthetic table made by any tool. The figures are internal: no privacy budget covers them."""
    from privsynth import audit
    from privsynth.progress import watching

    with watching() as progress:
        found = audit(synthetic, train, holdout, policy, progress=progress)
    if as_json:
        _print_json(found.model_dump(mode="json"))
    else:
        _print_audit(found, inferred=policy is None)
    raise typer.Exit(0 if found.verdict == "pass" else 3)


@app.command()
def canaries(
    policy: PolicyArg, data: DataOpt,
    rows: Annotated[int, typer.Option("--rows", help="Of the table, about so many: noise does not depend on that.")] = 2000,
    epsilon: EpsilonOpt = None, trainer: TrainerOpt = None, as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Put the claim to the test: what planted people move in an audit twin, beside what each mechanism claims. Spends nothing."""
    from privsynth.audit.planted import audit_canaries, text_of
    from privsynth.planning import make_plan
    from privsynth.policy import Policy
    from privsynth.progress import watching
    from privsynth.table.private import without_values
    from privsynth.table.reader import read_table

    loaded = Policy.load(policy).with_changes(trainer, epsilon)
    with watching() as progress, without_values("the audit twin"):
        table = text_of(read_table(data, loaded.model.dataset), rows)
        found = audit_canaries(loaded, make_plan(loaded), table, progress=progress)
    if as_json:
        _print_json({kind: [each.summary() for each in measured] for kind, measured in found.items()})
    else:
        _print_canaries(found)
    raise typer.Exit(3 if any(each.broken for measured in found.values() for each in measured) else 0)


@app.command("report")
def report_command(
    evidence: Annotated[Path, typer.Argument(metavar="EVIDENCE", help="evidence.json of a run, or output of `audit --json`.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="HTML file.")],
) -> None:  # fmt: skip
    """Render the report of an evidence.json again, or an audit by hand as a page."""
    from privsynth.report import report

    report(evidence, out)
    typer.echo(f"Report: {out}")


@app.command()
def verify(release: Annotated[Path, typer.Argument(metavar="RELEASE", help="Folder with manifest.json.")]) -> None:
    """Check that a release folder matches its manifest."""
    from privsynth.release import verify as differences

    wrong = differences(release)
    for line in wrong:
        typer.echo(line)
    typer.echo("This release has been changed." if wrong else "Every file matches the manifest.")
    raise typer.Exit(3 if wrong else 0)


@app.command()
def demo(
    kind: Annotated[str, typer.Argument(metavar="[hospital|finance]", help="Which invented table.")] = "hospital",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for all output.")] = Path("demo"),
    trainer: TrainerOpt = None, as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """A complete run on invented people: makes a table, runs its policy, and prints where the report is."""
    from privsynth.demo import run_demo
    from privsynth.progress import watching

    with watching() as progress:
        outcome = run_demo(kind, out, trainer, progress)
    _print_outcome(outcome, as_json)
    raise typer.Exit(0 if outcome.released else 3)


@ledger_app.command("show")
def ledger_show(
    dataset: Annotated[str | None, typer.Option("--dataset", help="One data set's id.")] = None,
    ledger: LedgerOpt = None, as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Budget spent and left for each data set, and every entry."""
    from privsynth.ledger.ledger import Ledger

    books = Ledger(ledger, must_exist=True)
    entries = books.entries(dataset)
    statements = [books.statement(name) for name in sorted({entry["dataset"] for entry in entries})]
    if as_json:
        totals = {statement.dataset: statement.to_json() for statement in statements}
        _print_json({"totals": totals, "head": books.head(), "entries": entries})
        return
    for statement in statements:
        typer.echo("\n".join(statement.lines()))
    for entry in entries:
        what = _of_entry(json.loads(entry["body"]))
        typer.echo(
            f"  {entry['sequence']:>5}  {entry['time'][:19]}  {entry['dataset']}  {entry['run'][:8]}  {entry['kind']:<8} {what}"
        )
    typer.echo(f"head: {books.head()}")


def _of_entry(body: dict[str, Any]) -> str:
    """An entry as one line of text."""
    if "epsilon" not in body:
        same = [f"{other['dataset']} by {other['by']}" for other in body.get("recognised", [])] or body.get(
            "same_content", []
        )
        return body.get("name") or body.get("outcome") or body.get("what") or ", ".join(same)

    def amount(of: dict[str, Any]) -> str:
        return f"epsilon {of['epsilon']:.4g}, delta {of['delta']:.1e}"

    parts = [amount(body)]
    if raised := body.get("lifetime_raised"):
        parts.append(f"lifetime raised from {amount(raised['from'])} to {amount(raised['to'])}")
    if (body.get("lifetime") or {}).get("locked"):
        parts.append("lifetime locked")
    if "ledger" in body:
        parts.append(f"ledger {body['ledger']}")
    return "; ".join(parts)


@ledger_app.command("verify")
def ledger_verify(
    ledger: LedgerOpt = None,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", help="A head hash from a report or manifest; may be repeated."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Check a file written by `ledger export` instead.")
    ] = None,
) -> None:
    """Check that no entry has been changed, and that head hashes kept elsewhere are still in the chain."""
    from privsynth.ledger.chain import check_export
    from privsynth.ledger.ledger import Ledger

    found = check_export(export, head or []) if export else Ledger(ledger, must_exist=True).check(head or [])
    for line in found.problems:
        typer.echo(line)
    typer.echo(f"entries: {found.entries}\nhead: {found.head}")
    typer.echo("This ledger has been changed." if found.problems else "The chain is whole.")
    raise typer.Exit(3 if found.problems else 0)


@ledger_app.command("export")
def ledger_export(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="JSON file.")], ledger: LedgerOpt = None
) -> None:  # fmt: skip
    """Write all entries to a JSON file for an auditor."""
    from privsynth.ledger.ledger import GENESIS, Ledger

    entries = Ledger(ledger, must_exist=True).entries()
    head = entries[-1]["hash"] if entries else GENESIS
    _write(out, json.dumps({"head": head, "entries": entries}, indent=1) + "\n")
    typer.echo(f"Ledger: {out}")


def _suggest(policy: Policy, model: Path, out: Path | None, as_json: bool) -> None:
    from privsynth.sampling.suggestions import as_text, suggestions, write_files
    from privsynth.sampling.synthesizer import Synthesizer

    found = suggestions(Synthesizer.load(model), policy)
    files = [each.constraint["file"] for each in found if each.file is not None]
    if out is not None:
        write_files(found, out)
    if as_json:
        _print_json({"suggestions": [each.to_json() for each in found]})
        return
    typer.echo(as_text(found))
    if files:
        written = "not written (--out DIR)" if out is None else f"in {out}"
        typer.echo(f"# Files that belong beside the policy, {written}: {', '.join(files)}")


def _given(words: list[str]) -> dict[str, str]:
    """COLUMN=VALUE, as text; a value may hold an equals sign."""
    parts = [word.partition("=") for word in words]
    names = [name for name, _, _ in parts]
    if not all(sign for _, sign, _ in parts) or len(set(names)) < len(names):
        raise InputError(Problem("--given", "must be COLUMN=VALUE, each column once", "as in --given age=40"))
    return {name: value for name, _, value in parts}


def _print_plan(plan: Plan, policy: Policy) -> None:
    from privsynth.privacy.risk import at_most, in_words, small

    for warning in policy.warnings:
        typer.echo(f"note: {warning}", err=True)
    typer.echo(f"{policy.source} is valid. A run would use the private rows in these ways only:\n")
    width = max(len(item.name) for item in plan.items)
    for item in plan.items:
        share = f"{item.share:6.1%}" if item.share else f"{'–':>6}"  # it costs delta alone
        typer.echo(f"  {item.name:<{width}}  {share}  {item.purpose}\n  {'':<{width + 10}}{item.noise}")
        typer.echo(f"  {'':<{width + 10}}{item.event}")
    for reason in plan.reasons:
        typer.echo(f"\n{reason}")
    if plan.signal:
        typer.echo("\nWhat the counts will be worth:\n" + "\n".join(f"  {line}" for line in plan.signal))
    if plan.knowledge:
        typer.echo("\nWhat the constraints save:\n" + "\n".join(f"  {line}" for line in plan.knowledge))
    typer.echo(
        f"\nTogether: epsilon = {at_most(plan.epsilon, 4)}, delta = {small(plan.delta)} for {plan.unit}\n{plan.sentence}"
    )
    if plan.risk_target is not None:
        typer.echo(plan.risk_target.sentence)
    if not plan.seeded:
        typer.echo(f"\nFor {plan.one_unit}, whoever attacks: probability without its data -> with it, at most")
        typer.echo("\n".join(f"  {line}" for line in in_words(plan.risk, policy.model.dataset.rows)))


def _print_outcome(outcome: Outcome, as_json: bool) -> None:
    evidence, folder = outcome.evidence, outcome.folder
    if as_json:
        _print_json({
            "verdict": evidence.verdict, "reasons": evidence.reasons, "conditions": evidence.conditions,
            "remarks": evidence.dataset.remarks,
            "epsilon": evidence.privacy.epsilon, "delta": evidence.privacy.delta,
            "release": str(folder / "release") if outcome.released else None,
            "dossier": str(folder / "dossier"), "seconds": evidence.seconds,
        })  # fmt: skip
        return
    typer.echo(f"Verdict: {evidence.verdict.replace('_', ' ')}")
    for reason in evidence.reasons:
        typer.echo(f"  {reason}")
    for condition in evidence.conditions:
        typer.echo(f"condition: {condition}")
    for remark in evidence.dataset.remarks:
        if remark not in evidence.reasons:
            typer.echo(f"note: {remark}")
    typer.echo(evidence.privacy.sentence)
    if outcome.released:
        typer.echo(f"May be shared:   {folder / 'release'}")
        typer.echo(f"  report:        {folder / 'release' / 'report.html'}")
    typer.echo(f"Internal:        {folder / 'dossier'}\n  full report:   {folder / 'dossier' / 'report.html'}")


def _print_audit(found: ByHand, inferred: bool) -> None:
    from privsynth.report.words import smallest

    for finding in found.findings:
        value = "-" if finding.value is None else f"{finding.value:.3f} [{finding.low:.3f}, {finding.high:.3f}]"
        power = "" if finding.smallest_leak is None else f", finds {smallest(finding.smallest_leak)}"
        typer.echo(
            f"{finding.verdict:<12} {finding.attack}: {finding.statistic} {value}, threshold {finding.threshold}{power}"
        )
    for line in found.left_out:
        typer.echo(f"not attacked: {line}")
    if inferred:
        typer.echo(f"compared as:  {', '.join(f'{name} ({kind})' for name, kind in found.kinds.items())}")
    for name, shares in found.unreadable.items():
        parts = [f"{100 * share:.2g} % of the {table} table" for table, share in shares.items() if share]
        if parts:
            typer.echo(f"not readable: {name} as {found.kinds[name]}: {', '.join(parts)}")
    typer.echo(f"Verdict: {found.verdict}")


def _print_canaries(found: dict[str, list[Measured]]) -> None:
    typer.echo(f"{'canary':<8}  {'mechanism':<24}  {'mu claimed':>10}  {'measured':>16}  {'at least':>8}")
    for kind, measured in found.items():
        for each in measured:
            what = f"{each.mu:.3f} +/- {each.error:.3f}"
            told = "  BROKEN: more than is claimed" if each.broken else ""
            typer.echo(f"{kind:<8}  {each.name:<24}  {each.claimed:>10.3f}  {what:>16}  {each.worlds.mu:>8.3f}{told}")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(Problem(str(path), f"cannot be written: {error.strerror}", "name another file")) from None


def main() -> None:
    """Entry point. Errors that a user can fix are printed as messages, with their exit code."""
    try:
        app()
    except PrivsynthError as error:
        for problem in error.problems:
            typer.echo(f"error: {problem}", err=True)
        if error.cost:
            typer.echo(f"This run cost {error.cost}.", err=True)
        sys.exit(error.exit_code)
    except Exception as error:  # a traceback may quote a private value, so it is shown only on request
        if os.environ.get("PRIVSYNTH_TRACEBACK"):
            raise
        fault = f"{type(error).__name__}; set PRIVSYNTH_TRACEBACK=1 to see where (may show private values)"
        typer.echo(f"error: an internal error of privsynth: {fault}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
