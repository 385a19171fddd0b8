"""What documents point to is there: links from one to another, and the files that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"])
NAMED = re.compile(r"`((?:privsynth|tests|benchmarks|docs|policies|reports)/[\w./-]*)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!\w+:)([^)#\s]+)", text)
    missing = {link for link in links if not (document.parent / link).exists()}
    if document.name != "CHANGELOG.md":  # it names what was there then
        missing |= {name for name in NAMED.findall(text) if not (ROOT / name).exists()}
    assert missing == set()
