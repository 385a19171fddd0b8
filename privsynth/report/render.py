"""Evidence in, HTML out. No clock, no randomness, no network: the same evidence gives the same bytes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from privsynth.evidence import Audit, ByHand, Evidence
from privsynth.report import charts, facts, tables, tiles, words
from privsynth.report.frameworks import load_framework

_TEMPLATES = Path(__file__).parent / "templates"


def render(evidence: Evidence) -> str:
    """The report of one evidence as a self-contained HTML page."""
    return _environment().get_template("report.html.j2").render(_context(_restricted(evidence)))


def render_audit(audit: ByHand) -> str:
    """An audit by hand as a page: internal, since its figures are of private rows."""
    audit = ByHand.model_validate(words.clean(audit.model_dump()))
    known = audit.kinds.items()
    return (
        _environment()
        .get_template("audit.html.j2")
        .render(
            {
                "e": {"audit": audit},
                "public": False,
                "words": words,
                "style": _style(),
                "facts": {
                    "controls": facts.controls(audit, public=False),
                    "quasi_identifiers": "as the policy declares them",
                },
                "tested": facts.tested(audit),
                "not_tested": facts.not_tested(audit),
                "kinds": words.listed([f"{name} ({kind})" for name, kind in known], most=len(known)),
                "unreadable": facts.unreadable(audit),
                "tables": _audit_tables(audit, public=False),
                "roc": "",
            }
        )
    )


def _restricted(evidence: Evidence) -> Evidence:
    """Restricts the evidence to its version once more: a public report must not depend on its caller having done so."""
    version = evidence.public() if evidence.visibility == "public" else evidence.internal()
    return Evidence.model_validate(words.clean(version.model_dump()))


def _context(evidence: Evidence) -> dict[str, Any]:
    return {
        "e": evidence,
        "public": evidence.visibility == "public",
        "words": words,
        "style": _style(),
        "facts": facts.vocabulary(evidence),
        "bounds": facts.bounds(evidence),
        "contradictions": facts.contradictions(evidence),
        "noticed": facts.noticed(evidence),
        "tested": facts.tested(evidence.audit),
        "not_tested": facts.not_tested(evidence.audit),
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


def _style() -> Markup:
    return Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))


def _tables(evidence: Evidence) -> dict[str, tables.Table]:
    makers = (
        tables.ledger, tables.risk, tables.inference, tables.reconstruction, tables.singling_out,
        tables.utility, tables.numbers, tables.groups, tables.columns,
    )  # fmt: skip
    return {make.__name__: make(evidence) for make in makers} | _audit_tables(
        evidence.audit, evidence.visibility == "public"
    )


def _audit_tables(audit: Audit, public: bool) -> dict[str, tables.Table]:
    return {
        "attacks": tables.attacks(audit, public), "controls": tables.controls(audit), "identifiers": tables.identifiers(audit),
    }  # fmt: skip


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
