"""kill -9 at random moments of `run`: the books never show less than was spent, and the next run behaves."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from privsynth.ledger.ledger import Ledger
from privsynth.release import verify

PLACES = Path(__file__).resolve().parents[1]
KILLS = 200


class Zygote:
    """Runs of one policy, each in a process of its own that can be killed."""

    def __init__(self, policy: Path):
        script = Path(__file__).with_name("zygote.py")
        env = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(policy)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        assert self.process.stdout and self.process.stdout.readline() == "ready\n"

    def run(self, *line: Any, kill_after: float | None = None) -> tuple[int, float]:
        """(exit status, seconds); -9 if it was killed before it ended."""
        assert self.process.stdin and self.process.stdout
        start = time.perf_counter()
        self.process.stdin.write(" ".join(map(str, line)) + "\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):  # it was quicker
                os.kill(child, signal.SIGKILL)
        status = int(self.process.stdout.readline())
        return status, time.perf_counter() - start

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def zygote(clinic_policy: Callable[..., Path], clinic_table: Callable[..., Any], tmp_path: Path) -> Iterator[Zygote]:
    """The small policy, with no end of lifetime budget; 300 people in a CSV.

    No audit refuses: by the usual thresholds it would a few times in a hundred, by chance, with so few people.
    """
    clinic_table().to_csv(tmp_path / "people.csv", index=False)
    lifetime = ("  delta: 1.0e-6", "  delta: 1.0e-6\n  lifetime: {epsilon: 3000, delta: 0.9}")
    kinds = ("membership_tpr_at_1pct_fpr", "singling_out", "linkability", "inference")
    never = ("trainer:", f"thresholds: {{{', '.join(f'{kind}: 1' for kind in kinds)}}}\ntrainer:")
    zygote = Zygote(clinic_policy(lifetime, never))
    yield zygote
    zygote.close()


def database(kind: str, tmp_path: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    sys.path.insert(0, str(PLACES / "privacy"))
    try:
        from postgres import fresh_database
    finally:
        sys.path.pop(0)
    return fresh_database()


def booked(ledger: Ledger, run: str) -> list[str]:
    """Names of the mechanisms that a run has charged."""
    entries = [entry for entry in ledger.entries() if entry["run"] == run and entry["kind"] == "charge"]
    return [json.loads(entry["body"])["name"] for entry in entries]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_runs_stay_on_the_books(kind: str, zygote: Zygote, tmp_path: Path) -> None:
    url, log = database(kind, tmp_path), tmp_path / "log"
    data, target = tmp_path / "people.csv", tmp_path / "out"
    assert zygote.run(data, target, url, log)[0] == 0  # in a fresh checkout the first one compiles
    status, full = zygote.run(data, target, url, log)
    assert status == 0
    ledger, coin, killed, before = Ledger(url), random.Random(), 0, 2
    heads = [ledger.head()]
    one = ledger.spent("clinic")[0] / 2
    for _ in range(KILLS):
        log.write_bytes(b"")
        status, _ = zygote.run(data, target, url, log, kill_after=1.2 * full * coin.random() ** 3)
        assert status in (-9, 0)
        killed += status == -9
        assert ledger.verify(*heads) == []
        runs = list(dict.fromkeys(e["run"] for e in ledger.entries("clinic") if e["kind"] == "reserve"))
        assert len(runs) - before in (0, 1)  # none if it was killed before it reserved
        ran = log.read_text().split("\n")[:-1]
        if ran:  # what has seen a row is on the books, and paid for
            assert len(runs) == before + 1 and set(ran) <= set(booked(ledger, runs[-1]))
        before = len(runs)
        assert ledger.spent("clinic")[0] == pytest.approx(one * before)
        if (target / "release").exists():
            assert verify(target) == [], "a release stands whole or not at all"
        heads = [ledger.head()]
    assert killed > KILLS / 2  # cubed: most of what can go wrong lies before the audit
    assert zygote.run(data, target, url, log)[0] == 0
    assert verify(target) == [] and ledger.verify(*heads) == []
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")]
    assert len(left) <= killed, "each killed run leaves at most its own staging folder"
