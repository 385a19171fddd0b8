"""What the evidence says, in sentences: the first screen consists of them, and crosswalks use them as vocabulary.

Everything here is computed from the evidence of the version shown, so no sentence can reveal more than that version may.
"""

from __future__ import annotations

import math

from privsynth.evidence import Audit, ByHand, ColumnFacts, Evidence, Finding, NumberUtility, Retention, Separation
from privsynth.report import words

_DATE_KINDS = ("date", "datetime", "time")


def effective_verdict(finding: Finding, audit: Audit) -> str:
    """The verdict to show: an attack that missed all its positive controls has no power, whatever the evidence says."""
    found = [c.ok for c in audit.controls if c.kind == "positive" and c.attack == finding.attack]
    return "no_power" if finding.verdict == "pass" and found and not any(found) else finding.verdict


def contradictions(evidence: Evidence) -> list[str]:
    """Where the evidence contradicts itself. A reader should see this before anything else."""
    found = []
    audit = evidence.audit
    failed = [f.attack for f in audit.findings if f.verdict == "fail"]
    released = evidence.verdict != "do_not_release"
    if released and (failed or audit.verdict == "fail"):
        found.append(f"The verdict allows release, although the audit failed ({words.listed(failed, 'as a whole')}).")
    if released and not audit.findings:
        found.append("The verdict allows release, although no attack was run.")
    for finding in audit.findings:
        if effective_verdict(finding, evidence.audit) != finding.verdict:
            found.append(
                f"“{finding.attack}” missed all its positive controls but is marked as passed. Shown here as no power."
            )
    broken = sum(rule.broken > 0 for rule in evidence.utility.rules or [])
    if broken and evidence.verdict == "release":
        found.append(f"The verdict sets no condition, although released rows break {words.plural(broken, 'rule')}.")
    alarms = [c.attack for c in audit.controls if c.kind == "negative" and not c.ok]
    if alarms:
        found.append(f"False alarm on the negative control: {words.listed(alarms)}. These figures cannot be relied on.")
    shares = sum(m.share for m in evidence.privacy.mechanisms)
    if shares > 1.001:
        found.append(f"The shares of the budget add up to {words.percent(shares)}.")
    return found


def risk_sentence(evidence: Evidence) -> str:
    """The claim as one sentence for readers without a background in statistics."""
    unit = (evidence.privacy.unit, evidence.privacy.unit_called)
    one, many = words.unit_one(*unit), words.unit_many(*unit)
    tpr = evidence.privacy.risk.max_tpr
    if not tpr:
        return f"No bound on what an attacker can learn about {one} was computed."
    key = min(tpr, key=lambda rate: abs(float(rate) - 0.01))
    return (
        f"An attacker who knows everything except whether {one} is in the table, and who accepts {words.rate(key)} false "
        f"positives, identifies at most {words.bound(tpr[key])} of the {many} in it. Guessing would identify {words.rate(key)}."
    )


def bounds(evidence: Evidence) -> list[str]:
    """Bounds on singling out, inference and reconstruction; none in older evidence, which does not contain them."""
    risk = evidence.privacy.risk
    one = words.unit_one(evidence.privacy.unit, evidence.privacy.unit_called)
    sentences = []
    for rate, most in _typical(risk.singling_out, 1e-6):
        sentences.append(
            f"Singling out: a description that matches one in {1 / rate:,.0f} by chance, written by somebody who has the "
            f"release, matches {one} in the table with a probability of at most {words.chance(most)}."
        )
    for rate, most in _typical(risk.attribute_inference, 0.1):
        sentences.append(
            f"Inference: a hidden value of {one} that can be guessed correctly from everybody else’s data in "
            f"{words.percent(rate)} of cases can be guessed correctly in at most {words.bound(most)} with the release."
        )
    for rate, most in _typical(risk.reconstruction, 1e-3):
        sentences.append(
            f"Reconstruction: a record that could be reconstructed in {words.percent(rate)} of attempts if it were not in the "
            f"table can be reconstructed in at most {words.bound(most)}."
        )
    return sentences


def _typical(bounds_at: dict[str, float], near: float) -> list[tuple[float, float]]:
    """The one entry whose rate is nearest, if there is any."""
    keys = sorted(bounds_at, key=lambda key: abs(math.log(float(key) / near)))
    return [(float(key), bounds_at[key]) for key in keys[:1]]


def claim(evidence: Evidence) -> str:
    """Epsilon, delta, unit and neighbours in one line."""
    privacy = evidence.privacy
    return (
        f"differential privacy with ε = {words.epsilon(privacy.epsilon)} and δ = {words.delta(privacy.delta)} "
        f"for {words.unit_one(privacy.unit, privacy.unit_called)} ({privacy.neighbours})"
    )


def tested(audit: Audit) -> list[tuple[str, str]]:
    """Each family of attacks with its results as text."""
    results = []
    for family, title in words.FAMILY.items():
        verdicts = [effective_verdict(f, audit) for f in audit.findings if f.family == family]
        results.append((title, _tally(verdicts) if verdicts else "not tested"))
    return results


def not_tested(audit: Audit) -> list[str]:
    """What was not tested, and what was tested but could not tell: neither is reassuring."""
    families = {f.family for f in audit.findings}
    blank = [title for family, title in words.FAMILY.items() if family not in families]
    shown = {f.attack: effective_verdict(f, audit) for f in audit.findings}
    told = {
        "no_power": "No power here, so the result says nothing",
        "inconclusive": "Could not tell whether the threshold is kept",
    }
    weak = [
        f"{text}: {words.listed(names)}"
        for verdict, text in told.items()
        if (names := [n for n, v in shown.items() if v == verdict])
    ]
    return [*audit.not_tested, *audit.left_out, *blank, *weak]


def unreadable(audit: ByHand) -> list[str]:
    """Columns of which a table holds values that could not be read, and so were not compared as what they are."""
    return [
        f"{name}, as {audit.kinds.get(name, 'is told')}: {words.percent(share)} of the {table} table"
        for name, shares in audit.unreadable.items()
        for table, share in shares.items()
        if share > 0
    ]


def noticed(evidence: Evidence) -> list[str]:
    """What the ledger noticed when it recorded the run; most serious first."""
    return [*evidence.books.alarms, *evidence.books.notes, *evidence.books.recognised]


def rules_kept(evidence: Evidence) -> str:
    """How many released rows break a rule of the policy; empty where that was not counted, or there is no rule."""
    rules, rows = evidence.utility.rules, evidence.report.rows_released
    if not rules:
        return ""
    of_all = f" of {rows:,}" if rows else ""
    broken = [rule for rule in rules if rule.broken]
    if not broken:
        return f"Counted in the table that leaves: no row{of_all} breaks one."
    each = [f"{rule.broken:,}{of_all} rows{_per_thousand(rule.broken, rows)} break “{rule.rule}”" for rule in broken]
    return f"Failed check. Counted in the table that leaves: {words.listed(each)}."


def _per_thousand(broken: int, rows: int | None) -> str:
    return f" ({words.number(1000 * broken / rows)} of 1,000)" if rows else ""


def retention(found: Retention) -> str:
    """What is left of the strong associations, and where least."""
    text = "Real association above 0.3 (Cramér’s V or correlation), of which at least 80 % is left."
    if not (found.pairs and words.is_figure(found.median)):
        return text
    least = found.pairs[0]
    return (
        f"{text} Median left: {words.percent(found.median)}; least: {' and '.join(least.pair)}, {words.number(least.real)} real, "
        f"{words.number(least.synthetic)} synthetic."
    )


def separation(found: Separation) -> str:
    """Whether a classifier tells synthetic rows from real ones better than real ones from each other: its interval lies above."""
    floor = f"{words.number(found.floor)} ({words.interval(found.floor_low, found.floor_high)}; {found.floor_rows:,} of each)"
    said = "It tells them apart" if found.low > found.floor_high else "No difference is shown"
    return (
        f"{words.percent(0.95)} interval {words.interval(found.low, found.high)}, {found.rows:,} rows of each; real rows from "
        f"other real rows: {floor}. {said}. 0.5 is guessing, 1 is certain; a figure of "
        "usefulness, not of privacy."
    )


def means(numbers: list[NumberUtility]) -> str:
    """In how many columns the real mean, and the real total, lies within the interval of the synthetic one."""
    if not numbers:
        return ""
    mean = sum(n.mean_low <= n.real_mean <= n.mean_high for n in numbers)
    total = sum(n.total_low <= n.real_total <= n.total_high for n in numbers)
    unknown = [n.name for n in numbers if not n.noise]
    without = f" Without the noise for {words.listed(unknown)}, where it is not known." if unknown else ""
    return (
        f"The real mean lies within the interval of the synthetic one in {mean:,} of {words.plural(len(numbers), 'column')}, "
        f"the real total in {total:,}. Intervals ({words.percent(0.95)}) hold the chance of drawing the synthetic rows and the "
        f"noise of the shares of bins, not how values lie inside of bins and what the fit changes.{without} Totals are per 1,000 "
        "rows."
    )


def miss(number: NumberUtility) -> float:
    """How far the real mean or total lies from the synthetic one, in half widths of its interval: the larger of both."""
    pairs = (
        (number.real_mean - number.mean, number.mean_high - number.mean),
        (number.real_total - number.total, number.total_high - number.total),
    )
    return max(abs(off) / half if half > 0 else (math.inf if off else 0.0) for off, half in pairs)


def vocabulary(evidence: Evidence) -> dict[str, str]:
    """The variables that the templates of a crosswalk may use. Their names are stable: YAML files rely on them."""
    return _claim_facts(evidence) | _audit_facts(evidence) | _table_facts(evidence)


def _claim_facts(evidence: Evidence) -> dict[str, str]:
    privacy, report = evidence.privacy, evidence.report
    names = [m.name for m in privacy.mechanisms]
    return {
        "claim": claim(evidence),
        "epsilon": words.epsilon(privacy.epsilon),
        "delta": words.delta(privacy.delta),
        "unit": "a row" if privacy.unit == "row" else f"all rows of one value of {privacy.unit}",
        "unit_one": words.unit_one(privacy.unit, privacy.unit_called),
        "unit_many": words.unit_many(privacy.unit, privacy.unit_called),
        "max_rows": words.plural(privacy.max_rows, "row"),
        "neighbours": privacy.neighbours,
        "composition": privacy.composition,
        "mechanism_count": words.plural(len(names), "mechanism"),
        "mechanisms": words.listed(names),
        "risk": risk_sentence(evidence),
        "advantage": words.bound(privacy.risk.advantage),
        "verdict": words.VERDICT[evidence.verdict],
        "recipient": report.recipient or "not named in the policy",
        "approver": report.approver or "not named in the policy",
        "rows_released": words.count(report.rows_released, "an unstated number of"),
        "trainer": evidence.trainer.name,
        "privsynth": evidence.provenance.privsynth,
        "created": evidence.provenance.created,
        "policy_hash": evidence.provenance.policy_sha256[:16],
        "ledger_head": (evidence.provenance.ledger_head or "not recorded")[:16],
    }


def _audit_facts(evidence: Evidence) -> dict[str, str]:
    findings = evidence.audit.findings
    kind = "family of attacks" if evidence.visibility == "public" else "attack"
    counted = words.plural(len(findings), kind, "families of attacks" if evidence.visibility == "public" else None)
    facts = {f"{family}_result": _family_result(evidence, family) for family in words.FAMILY}
    return facts | {
        "attacks": f"{counted} run: {_tally([effective_verdict(f, evidence.audit) for f in findings])}",
        "controls": controls(evidence.audit, evidence.visibility == "public"),
        "not_tested": words.listed(not_tested(evidence.audit), "nothing listed"),
        "figures": (
            "the internal report contains every figure with its interval"
            if evidence.visibility == "public"
            else "this report contains every figure with its interval"
        ),
        "reidentification": (
            f"{words.plural(len(evidence.audit.identifier_risk), 'figure')} on quasi-identifiers in this report"
            if evidence.audit.identifier_risk
            else "figures on quasi-identifiers are in the internal report"
            if evidence.visibility == "public"
            else "no figures on quasi-identifiers were computed"
        ),
        "utility": _utility(evidence),
    }


def controls(audit: Audit, public: bool) -> str:
    """How the controls went, in a phrase."""
    controls = audit.controls
    if not controls:
        run = public and audit.findings
        return "run for each attack; their results are internal" if run else "no controls were run"
    attacks = dict.fromkeys(c.attack for c in controls)
    found = {c.attack for c in controls if c.kind == "positive" and c.ok}
    negative = [c for c in controls if c.kind == "negative"]
    return (
        f"planted training records found by {len(found)} of {words.plural(len(attacks), 'attack')}, no false alarm on the negative "
        f"control by {sum(c.ok for c in negative)} of {len(negative)}"
    )


def _table_facts(evidence: Evidence) -> dict[str, str]:
    columns = evidence.dataset.columns
    kept = [c for c in columns if c.release == "keep"]
    return {
        "dataset": evidence.dataset.id,
        "columns": words.plural(len(columns), "column"),
        "direct_identifiers": _names([c for c in columns if c.role == "direct_identifier"]),
        "direct_identifiers_kept": _names([c for c in kept if c.role == "direct_identifier"]),
        "quasi_identifiers": _names([c for c in columns if c.role == "quasi_identifier"]),
        "sensitive": _names([c for c in columns if c.role == "sensitive"]),
        "dropped": _names([c for c in columns if c.release == "drop"]),
        "regenerated": _names([c for c in columns if c.release == "regenerate"]),
        "dates_kept": _names([c for c in kept if c.kind in _DATE_KINDS]),
        "constraints": words.plural(len(evidence.dataset.constraints), "rule"),
    }


def _names(columns: list[ColumnFacts]) -> str:
    return words.listed([c.name for c in columns], "none")


def _tally(verdicts: list[str]) -> str:
    counts = [f"{verdicts.count(key)} {text}" for key, text in words.OUTCOME.items() if key in verdicts]
    return ", ".join(counts) or "none"


def _family_result(evidence: Evidence, family: str) -> str:
    found = [f for f in evidence.audit.findings if f.family == family]
    if not found:
        return "not tested"
    return "; ".join(
        f"{words.OUTCOME[effective_verdict(f, evidence.audit)]}"
        if evidence.visibility == "public"
        else f"{f.attack}: {words.OUTCOME[effective_verdict(f, evidence.audit)]}"
        for f in found
    )


def _utility(evidence: Evidence) -> str:
    utility = evidence.utility
    if words.is_figure(utility.tvd3):
        return f"mean total variation {words.number(utility.tvd3)} over triples of columns (0 is perfect)"
    if words.is_figure(utility.tvd1_noisy):
        distance = words.number(utility.tvd1_noisy)
        return f"mean total variation {distance} from the histograms measured with noise (0 is perfect)"
    return "comparisons with real rows are internal" if evidence.visibility == "public" else "not measured"
