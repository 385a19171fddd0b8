"""What all tests share: a ledger that is nobody's, the command line in this process and in a new one, a small policy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

SLOWEST = ("test_kill.py", "test_replay.py", "test_ledger_races.py")

# One line a key, so that a test can say on which line a mistake stands. 300 rows, one person each.
CLINIC = """\
privsynth: 1
dataset:
  id: clinic
  rows: 300
  missing: ["?"]
unit: row
budget:
  epsilon: 3.0
  delta: 1.0e-6
columns:
  visit: {kind: id, role: direct_identifier, release: drop}
  name: {kind: text, role: direct_identifier, release: regenerate, generator: name}
  sex: {kind: category, role: quasi_identifier, categories: [F, M]}
  ward: {kind: category, categories: private}
  age: {kind: integer, bounds: [0, 110]}
  weight: {kind: number, bounds: [0, 300], decimals: 1}
  admitted: {kind: date, bounds: [2015-01-01, 2024-12-31]}
  discharged: {kind: date, bounds: [2015-01-01, 2024-12-31]}
  ill: {kind: category, role: target, categories: ["yes", "no"]}
constraints:
  - {inequality: [admitted, "<=", discharged]}
trainer: {name: marginals, options: {sweeps: 4}}
audit: {holdout: 0.2, effort: quick}
release: {rows: 200, formats: [csv]}
report: {frameworks: [gdpr-recital-26]}
"""


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, the slowest before the others: two workers then end at the same time."""
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, item.path.name not in SLOWEST))


@pytest.fixture(scope="session", autouse=True)
def _session_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures that outlive a test must not touch the user's ledger either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIVSYNTH_LEDGER", f"sqlite:///{tmp_path_factory.mktemp('books') / 'session.sqlite'}")
        yield


@pytest.fixture(autouse=True)
def own_ledger(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test has an empty ledger of its own, outside of its tmp_path. Returns its URL."""
    url = f"sqlite:///{tmp_path_factory.mktemp('books') / 'ledger.sqlite'}"
    monkeypatch.setenv("PRIVSYNTH_LEDGER", url)
    return url


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """`privsynth ARGS` in this process, through the real entry point."""
    from privsynth.cli import main

    def call(*args: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["privsynth", *map(str, args)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


def in_shell(*args: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> Said:
    """`privsynth ARGS` in a new process."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "privsynth"), *map(str, args)],
        capture_output=True, text=True, cwd=cwd, timeout=600, env={**os.environ, **(env or {})},
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def shell() -> Callable[..., Said]:
    return in_shell


@pytest.fixture(scope="session")
def clinic_text() -> str:
    return CLINIC


@pytest.fixture
def clinic_policy(tmp_path: Path) -> Callable[..., Path]:
    """Writes the small policy, with replacements, and returns where."""

    def write(*changes: tuple[str, str], name: str = "clinic.yaml") -> Path:
        text = CLINIC
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the policy"
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def clinic_rows(rows: int = 300, seed: int = 0, **columns: Any) -> pd.DataFrame:
    """A table that fits the small policy; every identifier is a canary that must never show. Text as in a CSV."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2015-01-01") + rng.integers(0, 3000, rows)
    frame = pd.DataFrame({
        "visit": [f"CANARYv{i}" for i in range(rows)],
        "name": [f"CANARYn{i}" for i in range(rows)],
        "sex": rng.choice(["F", "M"], rows),
        "ward": rng.choice(["east", "west", "north"], rows),
        "age": rng.integers(0, 100, rows).astype(str),
        "weight": rng.normal(75, 12, rows).clip(5, 250).round(1).astype(str),
        "admitted": start.astype(str),
        "discharged": (start + rng.integers(0, 30, rows)).astype(str),
        "ill": rng.choice(["yes", "no"], rows),
    })  # fmt: skip
    return frame.assign(**columns)


@pytest.fixture(scope="session")
def clinic_table() -> Callable[..., pd.DataFrame]:
    return clinic_rows
