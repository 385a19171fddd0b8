"""Evidence in, HTML out. No clock, no randomness, no network: the same evidence gives the same bytes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from privsynth.evidence import Evidence
from privsynth.report import charts, facts, tables, tiles, words
from privsynth.report.frameworks import load_framework

_TEMPLATES = Path(__file__).parent / "templates"


def render(evidence: Evidence) -> str:
    """The report of one evidence as a self-contained HTML page."""
    return _environment().get_template("report.html.j2").render(_context(_restricted(evidence)))


def _restricted(evidence: Evidence) -> Evidence:
    """Restricts the evidence to its version once more: a public report must not depend on its caller having done so."""
    version = evidence.public() if evidence.visibility == "public" else evidence.internal()
    return Evidence.model_validate(words.clean(version.model_dump()))


def _context(evidence: Evidence) -> dict[str, Any]:
    return {
        "e": evidence,
        "public": evidence.visibility == "public",
        "words": words,
        "style": Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "facts": facts.vocabulary(evidence),
        "bounds": facts.bounds(evidence),
        "contradictions": facts.contradictions(evidence),
        "noticed": facts.noticed(evidence),
        "tested": facts.tested(evidence),
        "not_tested": facts.not_tested(evidence),
        "means": facts.means(evidence.utility.numbers),
        "rules_kept": facts.rules_kept(evidence),
        "regenerated": [c.name for c in evidence.dataset.columns if c.release == "regenerate"],
        "dropped": [c.name for c in evidence.dataset.columns if c.release == "drop"],
        "tables": _tables(evidence),
        "tiles": tiles.tiles(evidence.utility.columns),
        "heatmaps": tiles.heatmaps(evidence.utility.correlations),
        "budget": charts.budget(evidence),
        "roc": charts.roc(evidence),
        "frameworks": [_crosswalk(name, evidence) for name in dict.fromkeys(evidence.report.frameworks)],
        "sections": _sections(evidence),
    }


def _tables(evidence: Evidence) -> dict[str, tables.Table]:
    makers = (
        tables.ledger, tables.risk, tables.inference, tables.reconstruction, tables.singling_out,
        tables.attacks, tables.controls, tables.identifiers, tables.utility, tables.numbers, tables.groups, tables.columns,
    )  # fmt: skip
    return {make.__name__: make(evidence) for make in makers}


def _sections(evidence: Evidence) -> list[tuple[str, str]]:
    """Anchors and headings in the order of the page; only sections that this version contains."""
    internal = evidence.visibility == "internal"
    named = [
        ("verdict", "Verdict and claim", True),
        ("rely", "What you may rely on", True),
        ("ledger", "Ledger of the budget", True),
        ("attacks", "Attacks on this release", True),
        ("reidentification", "Re-identification", internal),
        ("utility", "Usefulness", True),
        ("columns", "Columns and rules", True),
        ("handling", "Handling of the input", internal),
        ("crosswalk", "Crosswalk to frameworks", bool(evidence.report.frameworks)),
        ("limits", "Limits and threat model", True),
        ("monitoring", "After release", True),
        ("provenance", "Provenance", True),
        ("signoff", "Sign-off", True),
    ]
    return [(anchor, title) for anchor, title, shown in named if shown]


def _crosswalk(name: str, evidence: Evidence) -> dict[str, Any]:
    """A framework with its evidence texts filled in. An unknown variable is an error, never a blank."""
    framework = load_framework(name)
    known = facts.vocabulary(evidence)
    texts: list[str] = [Markup(_environment().from_string(c.evidence).render(known)) for c in framework.clauses]
    return {"framework": framework, "table": tables.crosswalk(framework, texts)}


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "count": words.count,
        "percent": words.percent,
        "epsilon": words.epsilon,
        "delta": words.delta,
        "odds": words.odds,
        "listed": words.listed,
    }
    return environment
