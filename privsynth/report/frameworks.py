"""Crosswalks as data: each file in `frameworks/` maps one framework's clauses to the evidence relevant to them.

To add a framework, add one YAML file; its name is the id that a policy lists under `report.frameworks`. Texts under
`evidence` are templates over the vocabulary of `facts.py`. A crosswalk says what is evidence for a clause and what it
leaves open. It never claims compliance with a law.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from privsynth.errors import InputError, Problem
from privsynth.frameworks import FOLDER, known_frameworks

_FRAMEWORK_KEYS = {"title", "cite", "about", "clauses"}
_CLAUSE_KEYS = {"id", "requirement", "support", "evidence", "open"}
SUPPORT = {  # how far the evidence covers a clause; the texts appear in the report
    "evidence": "Evidence here",
    "partial": "Part of the evidence",
    "outside": "Outside this report",
}


@dataclass(frozen=True)
class Clause:
    """One clause: its requirement in our own words, a template for the evidence, and what people still have to decide."""

    id: str
    requirement: str
    support: str
    evidence: str
    open: str


@dataclass(frozen=True)
class Framework:
    """One framework with its citation and its clauses in order."""

    id: str
    title: str
    cite: str
    about: str
    clauses: tuple[Clause, ...]


def load_framework(name: str) -> Framework:
    """The framework called `name`, or an `InputError` that lists the known ones."""
    if name not in known_frameworks():
        hint = "use one of " + ", ".join(known_frameworks())
        raise InputError(Problem("report.frameworks", f"there is no framework called {name[:60]!r}", hint))
    import yaml

    return _parse(name, yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


def _parse(name: str, raw: dict[str, Any]) -> Framework:
    """Checked on loading: a misspelt key or a duplicate clause would silently lose a line of the crosswalk."""
    place = f"report/frameworks/{name}.yaml"
    problems = [] if set(raw) == _FRAMEWORK_KEYS else [Problem(place, f"keys must be {sorted(_FRAMEWORK_KEYS)}")]
    clauses = []
    for index, clause in enumerate(raw.get("clauses", [])):
        if set(clause) != _CLAUSE_KEYS or clause.get("support") not in SUPPORT:
            rule = f"keys must be {sorted(_CLAUSE_KEYS)}, support one of {sorted(SUPPORT)}"
            problems.append(Problem(f"{place}: clauses[{index}]", rule))
            continue
        clauses.append(Clause(**{key: str(value).strip() for key, value in clause.items()}))
    if len({clause.id for clause in clauses}) < len(clauses):
        problems.append(Problem(place, "clause ids must be unique"))
    if problems:
        raise InputError(problems)
    return Framework(name, raw["title"].strip(), raw["cite"].strip(), raw["about"].strip(), tuple(clauses))
