"""The page that people sign: one self-contained HTML file, a pure function of one `Evidence`.

This module stays light, since `import privsynth` imports it: templates and charts load when a report is drawn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privsynth.errors import InputError, Problem

if TYPE_CHECKING:
    from privsynth.evidence import Evidence

    Source = Evidence | Mapping[str, Any] | str | PathLike[str]

__all__ = ["report"]


def report(evidence: Source, out: str | PathLike[str] | None = None) -> str:
    """Draw the report of `evidence` (an `Evidence`, a dict or a path to evidence.json); write it to `out` if given.

    Which face is drawn, public or internal, is `evidence.visibility`. The same evidence gives the same bytes.
    Raises `InputError` for evidence that cannot be read or names an unknown framework.
    """
    from privsynth.report.render import render

    html = render(_load(evidence))
    if out is not None:
        try:
            Path(out).write_text(html, encoding="utf-8", newline="\n")
        except OSError as error:
            mend = "name a file in a folder that exists and may be written"
            raise InputError(Problem(str(out), f"cannot write the report: {error.strerror}", mend)) from error
    return html


def _load(source: Source) -> Evidence:
    from pydantic import ValidationError

    from privsynth.evidence import Evidence

    if isinstance(source, Evidence):
        return source
    place = "evidence" if isinstance(source, Mapping) else str(source)
    mend = "give the evidence.json that `privsynth run` or `privsynth audit` wrote, unchanged"
    try:
        raw = source if isinstance(source, Mapping) else json.loads(Path(source).read_text(encoding="utf-8"))
        return Evidence.model_validate(raw)
    except OSError as error:
        raise InputError(Problem(place, f"cannot read the evidence: {error.strerror}", mend)) from error
    except ValidationError as error:
        raise InputError(Problem(place, _what_is_wrong(error), mend)) from error
    except ValueError as error:  # not JSON, or not UTF-8; the text of the error could quote the file, so it is left out
        raise InputError(Problem(place, "this is not a JSON file", mend)) from error


def _what_is_wrong(error: Any) -> str:
    """The first few broken fields, by their path alone: the values stay out of messages."""
    faults = error.errors(include_input=False, include_url=False)
    told = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'evidence'}: {fault['msg']}" for fault in faults[:3])
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return f"this is not valid evidence: {told}{more}"
