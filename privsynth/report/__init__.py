"""The report that people sign: one self-contained HTML file, a pure function of one `Evidence`.

`import privsynth` imports this module, so templates and charts load only when a report is rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privsynth.errors import InputError, Problem

if TYPE_CHECKING:
    from privsynth.evidence import ByHand, Evidence

    Source = Evidence | ByHand | Mapping[str, Any] | str | PathLike[str]

__all__ = ["report"]

MAX_BYTES, MAX_FAULTS = 2**24, 1_000  # size of an evidence.json; invalid fields that are counted


def report(evidence: Source, out: str | PathLike[str] | None = None) -> str:
    """Render the report of `evidence` (an `Evidence`, a dict or a path to evidence.json); write it to `out` if given.

    `evidence.visibility` says whether that is the public or the internal version. An audit by hand (`privsynth.audit`, or what
    `privsynth audit --json` printed) becomes a page of its own, which is internal. Same evidence, same bytes.
    Raises `InputError` for evidence that cannot be read or names an unknown framework.
    """
    from privsynth.evidence import Evidence
    from privsynth.report.render import render, render_audit

    loaded = _load(evidence)
    html = render(loaded) if isinstance(loaded, Evidence) else render_audit(loaded)
    if out is not None:
        try:
            Path(out).write_text(html, encoding="utf-8", newline="\n")
        except OSError as error:
            hint = "name a file in an existing folder with write permission"
            raise InputError(Problem(str(out), f"cannot write the report: {error.strerror}", hint)) from error
    return html


def _load(source: Source) -> Evidence | ByHand:
    from pydantic import ValidationError

    from privsynth.evidence import ByHand, Evidence
    from privsynth.report.check import audit_faults, faults

    if isinstance(source, Evidence | ByHand):
        return source
    place = "evidence" if isinstance(source, Mapping) else str(source)
    hint = "give the evidence.json that `privsynth run` wrote, or what `privsynth audit --json` printed, unchanged"
    try:
        read = source if isinstance(source, Mapping) else _read(Path(source))
        by_hand = isinstance(read, Mapping) and "findings" in read
        evidence = ByHand.model_validate(read) if by_hand else Evidence.model_validate(read)
    except OSError as error:
        raise InputError(Problem(place, f"cannot read the evidence: {error.strerror}", hint)) from error
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        raise InputError(Problem(place, _what_is_wrong([_fault(each) for each in errors]), hint)) from error
    except ValueError as error:  # not JSON, or not UTF-8; the text of the error could quote the file, so it is left out
        raise InputError(Problem(place, "this is not a JSON file", hint)) from error
    wrong = audit_faults(evidence) if isinstance(evidence, ByHand) else faults(evidence)
    if told := list(islice(wrong, MAX_FAULTS)):
        raise InputError(Problem(place, _what_is_wrong(told), hint))
    return evidence


def _read(path: Path) -> Any:
    """Raises OSError, or ValueError for a file that is not JSON, is nested too deeply or is too large to be evidence."""
    from pydantic_core import from_json

    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise ValueError("too large")
    return from_json(path.read_bytes())


def _what_is_wrong(faults: list[str]) -> str:
    """The first few invalid fields, by their path alone: no value appears in a message."""
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return f"this is not valid evidence: {'; '.join(faults[:3])}{more}"


def _fault(error: Mapping[str, Any]) -> str:
    place = ".".join(ascii(str(key))[1:-1][:40] for key in error["loc"])  # a key may be any text
    return f"{place or 'evidence'}: {error['msg']}"
