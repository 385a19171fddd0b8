"""The demo keeps its hands off what is not its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from privsynth import demo


def test_the_demo_leaves_other_books_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"somebody's real books")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(demo, "run", lambda *_, **words: asked.update(words))
    demo.run_demo("hospital", tmp_path)
    assert (tmp_path / "ledger.sqlite").read_bytes() == b"somebody's real books"
    assert asked["ledger"].startswith("sqlite:///") and not asked["ledger"].endswith("/ledger.sqlite")
