"""Grouping files: a public CSV `code,group` that maps raw codes to coarser categories; the first matching line wins.

A code is exact (`250.01`), a prefix (`V*`), or a numeric range (`001-139`: the code's whole part lies in it).
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from privsynth.errors import PolicyError, Problem

SHIPPED = Path(__file__).parent / "groupings"
_RANGE = re.compile(r"^(\d{1,15})-(\d{1,15})$")


@dataclass(frozen=True)
class Grouping:
    """rules: (code pattern, group) in the file's order."""

    rules: tuple[tuple[str, str], ...]

    @property
    def groups(self) -> list[str]:
        """The groups in order of first mention."""
        return list(dict.fromkeys(group for _, group in self.rules))

    def __call__(self, code: str) -> str | None:
        """The group of a code; None if no line matches.

        >>> Grouping((("V*", "V"), ("001-139", "infectious"))).__call__("38.5")
        'infectious'
        """
        for pattern, group in self.rules:
            if pattern == code or (pattern.endswith("*") and code.startswith(pattern[:-1])):
                return group
            span = _RANGE.match(pattern)
            if (
                span
                and re.match(r"^\d{1,15}(\.\d+)?$", code)
                and int(span[1]) <= int(code.split(".")[0]) <= int(span[2])
            ):
                return group
        return None


def load_grouping(name: str, beside: Path | None) -> Grouping:
    """Reads a grouping from beside the policy, or one that ships with privsynth.

    Raises PolicyError if there is none of that name or it is malformed.
    """
    places = [folder / name for folder in (beside, SHIPPED) if folder is not None]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        shipped = ", ".join(sorted(p.name for p in SHIPPED.glob("*.csv")))
        raise PolicyError(
            Problem(name, "no such grouping file beside the policy", f"put it there, or name one of: {shipped}")
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise PolicyError(Problem(name, "cannot be read as a CSV in UTF-8", "save it so")) from None
    if not lines or [cell.strip() for cell in lines[0]] != ["code", "group"]:
        raise PolicyError(Problem(name, "a grouping file starts with the header `code,group`", "add it"))
    rules = [
        (line[0].strip(), line[1].strip()) for line in lines[1:] if len(line) == 2 and all(c.strip() for c in line)
    ]
    if len(rules) != len([line for line in lines[1:] if line]) or not rules:
        raise PolicyError(Problem(name, "a line does not have a code and a group", "write `code,group` on every line"))
    return Grouping(tuple(rules))
