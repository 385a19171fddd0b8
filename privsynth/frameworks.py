"""Which frameworks a policy may name and a report can map its evidence to: one YAML file each in `report/frameworks/`."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "report" / "frameworks"


def known_frameworks() -> list[str]:
    """The ids, in alphabetical order. Reads file names only."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))
