"""Many processes at one ledger: nobody overspends, nothing is lost, and the chain is whole. On both databases."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from ledger_tools import fresh_ledger, plan, planned, policy
from repeated import examples

from privsynth.errors import Refused
from privsynth.ledger.ledger import Ledger
from privsynth.privacy.content import Fingerprint
from privsynth.privacy.plan import Plan

MEMORY = Path("/dev/shm")  # a folder in memory, where there is one: the tests are about locks, not about the disk
FORK = multiprocessing.get_context("fork")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield fresh_ledger(request.param, Path(folder))


def race(url: str, processes: int, tries: int, asked: Plan, name: str = "books") -> int:
    """Processes that start at once, each with so many runs of one mechanism. Returns how many runs there were."""
    won, gate = FORK.Value("i", 0), FORK.Barrier(processes)

    def work() -> None:
        books = Ledger(url, patience=300)
        gate.wait(120)
        for _ in range(tries):
            try:
                run = books.reserve(planned(policy(name), asked))
            except Refused:
                continue
            run.charge("histograms", run.plan["histograms"])
            run.settle("finished")
            with won.get_lock():
                won.value += 1

    workers = [FORK.Process(target=work) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(500)
    assert [worker.exitcode for worker in workers] == [0] * processes
    return int(won.value)


def books_are_right(url: str, runs: int, spent: float) -> None:
    ledger = Ledger(url)
    assert ledger.spent("books")[0] == pytest.approx(spent) and ledger.verify() == []
    kinds: dict[str, Counter[Any]] = {}
    for entry in ledger.entries():
        kinds.setdefault(entry["run"], Counter())[entry["kind"]] += 1
    assert len(kinds) == runs and set(map(tuple, map(sorted, kinds.values()))) <= {("charge", "reserve", "settle")}


def test_eight_processes_do_not_overspend(url: str) -> None:
    assert race(url, 8, 3, plan(0.5, 1e-7)) == 6
    books_are_right(url, 6, 3.0)


def test_one_of_eight_gets_the_last_epsilon(url: str) -> None:
    """Each asks for all that is left."""
    Ledger(url).reserve(planned(policy(), plan(1.0, 1e-7))).settle("returned")
    for _ in range(5):
        with TemporaryDirectory() as folder:
            again = url if "postgresql" in url else fresh_ledger("sqlite", Path(folder))
            name = f"r{time.monotonic_ns()}"
            assert race(again, 8, 1, plan(3.0, 1e-5), name) == 1
            assert Ledger(again).spent(name) == (3.0, 1e-5) and Ledger(again).verify() == []


def test_eight_ids_of_one_content_share_one_cap(url: str) -> None:
    """Each table has a column more of its own; all are recognised, and three runs of epsilon 1 fit under the cap of 3."""
    won, gate = FORK.Value("i", 0), FORK.Barrier(8)

    def work(place: int) -> None:
        books = Ledger(url, patience=300)
        own = Fingerprint(f"{place}" * 64, None, {"a" * 64: 90.0, "b" * 64: 40.0, f"{place}" * 64: 50.0})
        gate.wait(120)
        run = books.reserve(planned(policy(f"id{place}"), plan(1.0, 1e-7)))
        with suppress(Refused):
            run.identify(own)
            with won.get_lock():
                won.value += 1
        run.settle("finished")

    workers = [FORK.Process(target=work, args=(place,)) for place in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    ledger = Ledger(url)
    groups = [len(ledger.statement(f"id{place}").accounts) for place in range(8)]
    assert [worker.exitcode for worker in workers] == [0] * 8 and won.value == 3
    assert sorted(groups) == [1] * 5 + [3] * 3 and ledger.verify() == []


@pytest.mark.slow
def test_sixty_four_processes_at_one_cap(url: str) -> None:
    """1,600 attempts, or all 12,800, at a cap that lets one in eight pass, each with a charge and a settlement."""
    tries = examples(25, full=200)
    passed = 64 * tries // 8
    assert race(url, 64, tries, plan(3.0 / passed, 1e-12)) == passed
    books_are_right(url, passed, 3.0)
