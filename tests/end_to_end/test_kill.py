"""kill -9 at every stage of `run` and at random moments: the books never show less than was spent, and the next run behaves."""

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
from repeated import examples

from privsynth.ledger.ledger import Ledger
from privsynth.release import verify

PLACES = Path(__file__).resolve().parents[1]
KILLS = examples(30, full=200)


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
    kinds = ("membership_tpr_at_1pct_fpr", "copied", "singling_out", "linkability", "inference")
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


class Killed:
    """Runs of one policy at one ledger, killed; after each the books are looked at."""

    def __init__(self, zygote: Zygote, url: str, folder: Path):
        self.zygote, self.target, self.log = zygote, folder / "out", folder / "log"
        self.lines = folder / "people.csv", self.target, url, self.log
        assert zygote.run(*self.lines, -1)[0] == 0  # in a fresh checkout the first one compiles
        status, self.full = zygote.run(*self.lines, -1)
        assert status == 0
        self.ledger, self.before = Ledger(url), 2
        self.heads, self.one = [self.ledger.head()], self.ledger.spent("clinic")[0] / 2
        self.seen: set[tuple[bool, int]] = set()  # (whether it had reserved, how many mechanisms had been asked)

    def run(self, moment: int = -1, after: float | None = None) -> bool:
        """Whether it was killed before it ended, at a moment of the zygote's or after so many seconds."""
        self.log.write_bytes(b"")
        status, _ = self.zygote.run(*self.lines, moment, kill_after=after)
        assert status in (-9, 0)
        assert self.ledger.verify(*self.heads) == []
        entries = self.ledger.entries("clinic")
        runs = list(dict.fromkeys(entry["run"] for entry in entries if entry["kind"] == "reserve"))
        assert len(runs) - self.before in (0, 1)  # none if it was killed before it reserved
        ran = self.log.read_text().split("\n")[:-1]
        if ran:  # what has seen a row is on the books, and paid for
            assert len(runs) == self.before + 1 and set(ran) <= set(booked(self.ledger, runs[-1]))
        self.seen.add((len(runs) > self.before, len(ran)))
        self.before = len(runs)
        assert self.ledger.spent("clinic")[0] == pytest.approx(self.one * self.before)
        if (self.target / "release").exists():
            assert verify(self.target) == [], "a release stands whole or not at all"
        self.heads = [self.ledger.head()]
        return status == -9


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_runs_stay_on_the_books(kind: str, zygote: Zygote, tmp_path: Path) -> None:
    """Once as each stage begins and as each mechanism is asked, and then at random moments of every part of a run."""
    runs, coin = Killed(zygote, database(kind, tmp_path), tmp_path), random.Random()
    stages = next(moment for moment in range(1000) if not runs.run(moment))
    asked = max(mechanisms for _, mechanisms in runs.seen)
    assert runs.seen == {(False, 0), *((True, i) for i in range(asked + 1))} and asked > 4 and stages > asked + 10
    killed = 0
    for part in coin.sample(range(KILLS), KILLS):
        killed += runs.run(after=1.2 * runs.full * ((part + coin.random()) / KILLS) ** 3)
    assert killed > KILLS / 2  # cubed: most of what can go wrong lies before the audit
    assert zygote.run(*runs.lines, -1)[0] == 0
    assert verify(runs.target) == [] and runs.ledger.verify(*runs.heads) == []
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")]
    assert len(left) <= stages + killed, "each killed run leaves at most its own staging folder"
