"""Conditions on evidence beyond its types, without which no report can be rendered: a file may have been edited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from privsynth.evidence import Audit, ByHand, Evidence

LARGEST = 1e15  # largest number that is shown
MIN_RATE = 1e-15  # smallest rate for which a bound is shown
DEEPEST = 50  # largest nesting of lists and objects
MAX_ATTACKS = 500  # each is compared with all controls, and shown


def faults(evidence: Evidence) -> Iterator[str]:
    """Each broken rule as "place: rule", without the value."""
    yield from _numbers(evidence.model_dump(), ())
    risk = evidence.privacy.risk
    for name in ("max_tpr", "attribute_inference", "reconstruction", "singling_out"):
        bounds = getattr(risk, name)
        if not all(_is_rate(key) and 0 <= bound <= 1 for key, bound in bounds.items()):
            yield f"privacy.risk.{name}: must map rates above 0 and up to 1 to bounds from 0 to 1"
    if not (evidence.privacy.epsilon >= 0 and 0 <= evidence.privacy.delta <= 1):
        yield "privacy: epsilon must not be negative, and delta must lie from 0 to 1"
    yield from _size(evidence.audit)
    if evidence.utility.correlations is not None:
        yield from _correlations(evidence.utility.correlations)


def audit_faults(audit: ByHand) -> Iterator[str]:
    """The same of an audit by hand."""
    yield from _numbers(audit.model_dump(), ())
    yield from _size(audit)


def _size(audit: Audit) -> Iterator[str]:
    if max(len(audit.findings), len(audit.controls)) > MAX_ATTACKS:
        yield f"audit: must hold at most {MAX_ATTACKS} findings and controls"


def _numbers(value: Any, place: tuple[str, ...]) -> Iterator[str]:
    if len(place) > DEEPEST:
        yield f"{'.'.join(place[:3])}: lists and objects are nested too deeply"
    elif isinstance(value, (dict, list, tuple)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers(item, (*place, ascii(str(key))[1:-1][:40]))
    elif isinstance(value, (int, float)) and not -LARGEST <= value <= LARGEST:
        yield f"{'.'.join(place)}: must be a finite number of at most {LARGEST:g}"


def _is_rate(key: str) -> bool:
    try:
        return MIN_RATE <= float(key) <= 1
    except ValueError:
        return False


def _correlations(correlations: dict[str, Any]) -> Iterator[str]:
    names, matrices = correlations.get("columns", []), [correlations.get("synthetic"), correlations.get("reference")]
    rows = [row for matrix in matrices if isinstance(matrix, list) for row in matrix]
    cells = [cell for row in rows if isinstance(row, list) for cell in row]
    valid = (
        isinstance(names, list)
        and all(matrix is None or isinstance(matrix, list) for matrix in matrices)
        and all(isinstance(row, list) for row in rows)
        and all(cell is None or isinstance(cell, (int, float)) for cell in cells)
    )
    if not valid:
        yield "utility.correlations: must hold a list of columns, and lists of lists of numbers"
