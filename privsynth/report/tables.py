"""The report's tables as plain values: the content of each cell. The templates define how a table looks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from markupsafe import Markup

from privsynth.evidence import Audit, Control, Evidence, Finding, Utility
from privsynth.report import facts, tiles, words
from privsynth.report.frameworks import SUPPORT, Framework

Cell = str | Markup
MOST_NUMBERS = 12  # whose means are shown; all are in evidence.json


@dataclass(frozen=True)
class Row:
    """One row: the first cell is its header, `note` a line below it over the full width."""

    cells: list[Cell]
    note: Cell = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption for screen readers. `numeric` lists the right-aligned columns."""

    caption: str
    heads: list[str]
    rows: list[Row] = field(default_factory=list)
    numeric: tuple[int, ...] = ()
    kind: str = ""  # css class


_CHIPS = {  # verdict -> (css class, sign); sign and text convey it without colour
    "pass": ("pass", "✓"),
    "fail": ("fail", "✕"),
    "inconclusive": ("warn", "?"),
    "no_power": ("none", "?"),
    "diagnostic": ("info", "●"),
}
_RELEASE = {
    "keep": "kept, sampled from the model",
    "drop": "dropped, not in the table",
    "regenerate": "regenerated: invented values that refer to nobody",
}
_ROLE = {
    "direct_identifier": "direct identifier",
    "quasi_identifier": "quasi-identifier",
    "sensitive": "sensitive",
    "target": "target",
    "attribute": "attribute",
}


def chip(kind: str, sign: str, text: str) -> Markup:
    """A text with a sign before it; colour is only an addition."""
    return Markup('<span class="chip {}"><span aria-hidden="true">{}</span> {}</span>').format(kind, sign, text)


def ledger(evidence: Evidence) -> Table:
    """Every mechanism that accessed private rows, and what it cost."""
    rows = [
        Row(
            [
                _strong(m.name, m.purpose),
                _breakable(m.event),
                words.percent(m.share) if m.share else "–",  # it costs delta alone
                words.epsilon(m.epsilon_alone, "–"),
            ]
        )
        for m in evidence.privacy.mechanisms
    ]
    heads = ["Mechanism and purpose", "Privacy event", "Share of budget", "ε alone"]
    return Table("Mechanisms that accessed private rows", heads, rows, (2, 3), "ledger")


def risk(evidence: Evidence) -> Table:
    """Largest true-positive rate of any attacker, at several false-positive rates."""
    rows = []
    for key, tpr in sorted(evidence.privacy.risk.max_tpr.items(), key=lambda item: float(item[0])):
        rows.append(Row([words.rate(key), words.bound(tpr), words.times(tpr, key)]))
    heads = ["False-positive rate", "Identified, at most", "Compared with guessing"]
    return Table("Bound on membership inference by any attacker", heads, rows, (1, 2), "compact")


def inference(evidence: Evidence) -> Table:
    """Bound on the success of guessing a hidden value with the release."""
    heads = ["Guessed correctly without this person's data", "With it, at most"]
    return _bounds("Bound on guessing a hidden value", heads, evidence.privacy.risk.attribute_inference)


def reconstruction(evidence: Evidence) -> Table:
    """Bound on the success of reconstructing a whole record with the release."""
    heads = ["Record reconstructed without this person's data", "With it, at most"]
    return _bounds("Bound on reconstructing a record", heads, evidence.privacy.risk.reconstruction)


def singling_out(evidence: Evidence) -> Table:
    """Bound on the probability that a description which few match by chance matches this person, or isolates anybody."""
    people = evidence.dataset.rows  # there are no more units than rows
    heads = ["Description matches by chance", "Matches this person, at most"]
    bounds = _sorted(evidence.privacy.risk.singling_out)
    rows: list[list[Cell]] = [[_whole(words.chance(weight)), words.chance(most)] for weight, most in bounds]
    if people is not None:
        heads.append(f"Singles out anybody of {people:,}, at most")
        for row, (_, most) in zip(rows, bounds, strict=True):
            row.append(words.chance(min(1.0, people * most)))
    return Table("Bound on singling out", heads, [Row([*row]) for row in rows], tuple(range(1, len(heads))), "compact")


def _bounds(caption: str, heads: list[str], bounds: dict[str, float]) -> Table:
    rows = [Row([words.rate(f"{baseline:g}"), words.bound(bound)]) for baseline, bound in _sorted(bounds)]
    return Table(caption, heads, rows, (1,), "compact")


def _sorted(bounds: dict[str, float]) -> list[tuple[float, float]]:
    return sorted((float(rate), bound) for rate, bound in bounds.items())


def attacks(audit: Audit, public: bool) -> Table:
    """All attacks with figure, interval, baseline, threshold, verdict and power; below each what it assumes, proves, and why this
    verdict."""
    heads = ["Attacks by", "Statistic", "Threshold", "Verdict"]
    if not public:
        heads = ["Attack", "Statistic", "Value and interval", "Baseline", "Threshold", "Finds a leak of", "Verdict"]
    rows = [Row(_attack_cells(f, audit, public), _attack_note(f, public)) for f in audit.findings]
    return Table("Attacks on this release", heads, rows, () if public else (2, 3, 4), "attacks")


def _attack_note(finding: Finding, public: bool) -> Markup:
    needed = None if public else finding.people_needed
    more = (
        f"With about {needed:,} people on each side, and the same value, the interval would end there."
        if needed
        else ""
    )
    level = "" if public or not finding.level else f"Interval: {words.percent(finding.level)}."
    why = Markup("<b>{}</b> {}").format(finding.why, more) if finding.why else Markup("")
    parts = (why, finding.meaning, finding.assumes, level)
    return Markup(" ").join(part for part in parts if part)


def _attack_cells(finding: Finding, audit: Audit, public: bool) -> list[Cell]:
    threshold = words.number(finding.threshold, "none")
    shown = facts.effective_verdict(finding, audit)
    verdict = chip(*_CHIPS[shown], words.OUTCOME[shown])
    if public:
        return [finding.attack, _two_lines(finding.statistic, words.KEPT_INTERNAL), threshold, verdict]
    figure: Cell = words.number(finding.value)
    if words.is_figure(finding.low) and words.is_figure(finding.high):
        figure = Markup("<b>{}</b> <span class='quiet'>{}</span>{}").format(
            figure, words.interval(finding.low, finding.high), tiles.strip(finding)
        )
    baseline, power = words.number(finding.baseline), words.smallest(finding.smallest_leak)
    statistic: Cell = finding.statistic
    if finding.auc:
        value, low, high = finding.auc
        area = f"area under the curve {words.number(value)} ({words.interval(low, high)})"
        statistic = _two_lines(finding.statistic, area)
    return [finding.attack, statistic, figure, baseline, threshold, power, verdict]


def controls(audit: Audit) -> Table:
    """Results of each attack where the right answer is known: one row per attack, one column per kind of control."""
    rows = []
    for attack in dict.fromkeys(control.attack for control in audit.controls):
        mine = [control for control in audit.controls if control.attack == attack]
        positive, negative = ([c for c in mine if c.kind == kind] for kind in ("positive", "negative"))
        rows.append(Row([attack, _outcomes(positive), _outcomes(negative)]))
    heads = [
        "Attack",
        "Twins in which a share of the training people is planted",
        "Negative control: must raise no alarm",
    ]
    return Table("Controls: attacks where the right answer is known", heads, rows, (), "controls")


def _outcomes(controls: list[Control]) -> Cell:
    if not controls:
        return chip("none", "?", "not run")
    return Markup("<br>").join(_outcome(control) for control in controls)


def _outcome(control: Control) -> Markup:
    if control.kind == "positive":
        badge = chip("pass", "✓", "found") if control.ok else chip("none", "?", "not found")
    else:
        badge = chip("pass", "✓", "no alarm") if control.ok else chip("fail", "✕", "false alarm: do not rely on it")
    share = f"{words.percent(control.share)} planted: " if words.is_figure(control.share) else ""
    if not words.is_figure(control.value):
        return Markup("{}{}").format(share, badge)
    around = f" ({words.interval(control.low, control.high)})" if words.is_figure(control.low) else ""
    return Markup("{}{} <span class='quiet'>{}{}</span>").format(share, badge, words.number(control.value), around)


def identifiers(audit: Audit) -> Table:
    """Figures on quasi-identifiers. Internal: the public version has none."""
    rows = [
        Row([r.name, words.number(r.value), words.number(r.baseline, "–"), r.meaning]) for r in audit.identifier_risk
    ]
    return Table("Risk from quasi-identifiers", ["Figure", "Value", "Baseline", "Meaning"], rows, (1, 2), "meaning")


def utility(evidence: Evidence) -> Table:
    """Main utility figures with the meaning of each."""
    u = evidence.utility
    target = f"“{u.target}”" if u.target else "the target"
    distance, auc = "total variation", "tested on real (AUC)"
    lines = [
        (
            f"Single columns, {distance}",
            u.tvd1,
            "Mean total variation distance of single columns. 0 is perfect, 1 the worst.",
        ),
        (f"Pairs of columns, {distance}", u.tvd2, "The same over pairs: are associations of two columns preserved?"),
        (
            f"Triples of columns, {distance}",
            u.tvd3,
            "The same over triples: are associations of three columns preserved?",
        ),
        *(
            (
                f"{what}, before rare values were merged, {distance}",
                value,
                "Each value that was lost counts.",
            )
            for what, value in (
                ("Single columns", u.tvd1_unmerged),
                ("Pairs of columns", u.tvd2_unmerged),
                ("Triples of columns", u.tvd3_unmerged),
            )
        ),
        (
            f"Model trained on synthetic, {auc}",
            u.tstr_auc,
            f"How well {target} is predicted; 0.5 is guessing, 1 is perfect.",
        ),
        (
            f"Model trained on real, {auc}",
            u.trtr_auc,
            "The upper limit for the line above. The gap is the cost of privacy.",
        ),
        ("Column shapes (SDMetrics)", u.column_shapes, "1 is perfect."),
        ("Column pair trends (SDMetrics)", u.column_pair_trends, "1 is perfect."),
        (
            f"Against noisy histograms, {distance}",
            u.tvd1_noisy,
            "Covered by the budget, so public. Includes their noise.",
        ),
    ]
    rows = [Row([name, words.number(value), meaning]) for name, value, meaning in lines if words.is_figure(value)]
    rows += _structure(u)
    return Table("Usefulness", ["Figure", "Value", "Meaning"], rows, (1,), "meaning")


def _structure(u: Utility) -> list[Row]:
    """Strong associations, and the classifier that tells real from synthetic: a count and an area, each with its sentence."""
    rows = []
    if u.retention is not None and u.retention.strong:
        kept = f"{u.retention.kept:,} of {u.retention.strong:,}"
        rows.append(Row(["Strong associations kept, pairs of columns", _whole(kept), facts.retention(u.retention)]))
    if u.separation is not None:
        area = words.number(u.separation.area)
        rows.append(Row(["Classifier: synthetic or real? (AUC)", area, facts.separation(u.separation)]))
    return rows


def numbers(evidence: Evidence) -> Table:
    """Means and totals, those first whose real value lies farthest outside of the synthetic one's interval."""
    ordered = sorted(evidence.utility.numbers, key=facts.miss, reverse=True)
    rows = [
        Row([
            n.name, words.number(n.real_mean), _around(n.mean, n.mean_low, n.mean_high),
            words.number(n.real_total), _around(n.total, n.total_low, n.total_high),
        ])
        for n in ordered[:MOST_NUMBERS]
    ]  # fmt: skip
    heads = ["Column", "Real mean", "Synthetic mean", "Real total", "Synthetic total"]
    return Table("Means, and totals per 1,000 rows", heads, rows, (1, 2, 3, 4), "numbers")


def _around(value: float, low: float, high: float) -> Markup:
    return Markup("{} <span class='quiet'>{}</span>").format(words.number(value), words.interval(low, high))


def groups(evidence: Evidence) -> Table:
    """Fidelity within subgroups, worst first: a mean hides which groups are affected most by noise."""
    last = float("-inf")
    ordered = sorted(evidence.utility.groups, key=lambda g: g.tvd1 if words.is_figure(g.tvd1) else last, reverse=True)
    rows = [Row([g.group, words.count(g.rows_real), words.number(g.tvd1)]) for g in ordered]
    return Table("Fidelity by subgroup", ["Subgroup", "Real rows", "Total variation"], rows, (1, 2), "compact")


def columns(evidence: Evidence) -> Table:
    """What was done with each column."""
    rows = [
        Row([c.name, c.kind, _ROLE.get(c.role, c.role), _RELEASE.get(c.release, c.release), c.domain or "–"])
        for c in evidence.dataset.columns
    ]
    return Table("Columns", ["Column", "Kind", "Role", "What was done", "Domain"], rows, (), "columns")


def crosswalk(framework: Framework, evidence_texts: list[str]) -> Table:
    """One framework's clauses with the evidence for each."""
    kinds = {"evidence": ("info", "●"), "partial": ("warn", "◐"), "outside": ("none", "○")}
    rows = []
    for clause, text in zip(framework.clauses, evidence_texts, strict=True):
        badge = chip(*kinds[clause.support], SUPPORT[clause.support])
        rows.append(Row([clause.id, clause.requirement, Markup("{} {}").format(badge, text), clause.open]))
    heads = ["Clause", "Requirement", "Evidence for it", "Left for people to decide"]
    return Table(f"Crosswalk: {framework.title}", heads, rows, (), "crosswalk")


def _whole(figure: str) -> Markup:
    """A figure that stays in one line."""
    return Markup("<span class='whole'>{}</span>").format(figure)


def _breakable(event: str) -> Markup:
    """An event, which may break behind a bracket or a comma rather than inside of a word."""
    parts = re.split(r"(?<=[(,=])", event)
    return Markup("<code>{}</code>").format(Markup("<wbr>").join(parts))


def _strong(text: str, below: str) -> Cell:
    return Markup("<b>{}</b><br><span class='quiet'>{}</span>").format(text, below) if below else text


def _two_lines(text: str, below: str) -> Markup:
    return Markup("{}<br><span class='quiet'>{}</span>").format(text, below)
