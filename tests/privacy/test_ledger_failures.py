"""The ledger when the database fails: one clear error, nothing measured, and a chain that is whole afterwards."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import postgres
import pytest
from ledger_tools import TABLE, Spy, admit, fresh_ledger, kinds, plan, planned, policy
from postgres import fresh_database
from sqlalchemy import create_engine, event, text

from privsynth.errors import InputError, Refused
from privsynth.ledger import database
from privsynth.ledger.ledger import Ledger, Reservation
from privsynth.privacy.content import Fingerprint


@pytest.fixture(autouse=True)
def _spies_may_look(monkeypatch: pytest.MonkeyPatch) -> None:
    admit(Spy, monkeypatch)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return fresh_ledger("sqlite", tmp_path)


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def nothing_works(ledger: Ledger, run: Reservation, match: str) -> None:
    """No new run begins, and the one that is on measures nothing."""
    with pytest.raises(InputError, match=match) as problem:
        ledger.reserve(planned(policy(), plan(0.1)))
    assert len(problem.value.problems) == 1 and problem.value.exit_code == 2
    nothing_goes_on(run, match)


def nothing_goes_on(run: Reservation, match: str) -> None:
    spy = Spy()
    for attempt in (lambda: run.identify(Fingerprint("0" * 64)), lambda: TABLE.measure(spy, run), run.finish_learning):
        run.shut = None
        with pytest.raises(InputError, match=match) as problem:
            attempt()
        assert len(problem.value.problems) == 1 and problem.value.exit_code == 2
    assert spy.saw == 0 and not run.learned


@pytest.mark.parametrize("bad", ["nonsense", "oracle9://x", "sqlite:///", "postgresql://nobody:secret@localhost:1/x"])
def test_a_bad_address_is_told_without_its_password(bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if bad == "sqlite:///":
        bad = f"sqlite:///{tmp_path}"  # a folder
    with pytest.raises(InputError) as problem:
        Ledger(bad)
    assert problem.value.exit_code == 2 and "secret" not in str(problem.value) and "--ledger" in str(problem.value)


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"not a database at all" * 100)
    (tmp_path / "file").write_text("")
    for place in ("x.sqlite", "file/ledger.sqlite"):
        with pytest.raises(InputError, match="cannot be used"):
            Ledger(f"sqlite:///{tmp_path / place}")


def limited(url: str, pragma: str, patience: float = 60.0) -> Ledger:
    """A ledger each of whose transactions starts with an SQLite pragma."""
    ledger = Ledger(url, patience)
    event.listen(ledger.engine, "connect", lambda connection, _: connection.execute(f"PRAGMA {pragma}"))
    return ledger


def test_a_readonly_ledger_is_reported(url: str) -> None:
    run = Ledger(url).reserve(planned(policy(), plan()))
    run.ledger = limited(url, "query_only = ON")
    nothing_works(run.ledger, run, "readonly")
    assert Ledger(url).verify() == [] and kinds(Ledger(url)) == ["reserve"]


def test_a_readonly_file_can_still_be_read(url: str) -> None:
    run = Ledger(url).reserve(planned(policy(), plan()))
    readonly = Ledger(f"sqlite:///file:{file_of(url)}?mode=ro&uri=true")
    assert readonly.verify(run.ledger.head()) == [] and readonly.spent("books")[0] == 1.0
    run.ledger = readonly
    nothing_works(readonly, run, "readonly")


def test_a_lock_that_lasts_is_reported(url: str) -> None:
    waiting, other = Ledger(url, patience=0.1), Ledger(url)
    run = waiting.reserve(planned(policy(), plan()))
    with other.engine.begin():
        nothing_works(waiting, run, "locked")
        assert len(waiting.entries()) == 1, "reading needs no lock"
    assert waiting.verify() == [] and kinds(waiting) == ["reserve"]


def test_a_lock_that_lasts_is_told_by_postgresql() -> None:
    address = fresh_database()
    waiting, other = Ledger(address, patience=0.1), Ledger(address)
    run = waiting.reserve(planned(policy(), plan()))
    with other.engine.begin() as connection:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({database._ADVISORY_LOCK})"))
        nothing_works(waiting, run, "lock timeout")
    assert waiting.verify() == [] and kinds(waiting) == ["reserve"]


def test_a_short_lock_is_waited_for(url: str) -> None:
    ledger, other = Ledger(url), Ledger(url)
    with other.engine.connect() as connection, connection.begin():
        worker = threading.Thread(target=lambda: ledger.reserve(planned(policy(), plan())))
        worker.start()
        time.sleep(0.3)
        assert worker.is_alive()
    worker.join(30)
    assert kinds(ledger) == ["reserve"]


def full_by_pages(url: str) -> Iterator[Ledger]:
    ledger = Ledger(url)
    for _ in range(20):
        ledger.reserve(planned(policy("other", ""), plan()))
    pages = sqlite3.connect(file_of(url)).execute("PRAGMA page_count").fetchone()[0]
    yield limited(url, f"max_page_count = {pages}")


def full_by_limit(url: str) -> Iterator[Ledger]:
    """The operating system lets no file grow beyond what the ledger has now."""
    ledger = Ledger(url)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_of(url).stat().st_size, hard))
    try:
        yield ledger
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full_by_disk(url: str) -> Iterator[Ledger]:
    folder = file_of(url).parent
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        ledger = Ledger(url)
        yield ledger
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("fill", [full_by_pages, full_by_limit, full_by_disk])
def test_a_full_disk_is_reported(fill: Callable[[str], Iterator[Ledger]], url: str) -> None:
    """Runs until something fails; whatever failed was not written, and whatever was written is whole."""
    with contextmanager(fill)(url) as ledger:
        before, written = len(ledger.entries()), 0
        spy = Spy()
        with pytest.raises(InputError) as problem:
            for place in range(1000):
                run = ledger.reserve(planned(policy(f"set{place}"), plan()))
                written += 1
                TABLE.measure(spy, run)
                written += 1
        assert len(problem.value.problems) == 1 and spy.saw == written // 2
        assert len(ledger.entries()) == before + written and ledger.verify() == []


def replaced_by_another(file: Path) -> None:
    other = file.with_name("other.sqlite")
    books = Ledger(f"sqlite:///{other}")
    for _ in range(5):
        books.reserve(planned(policy("strange"), plan(0.1)))
    os.replace(other, file)


def replaced_by_an_older_copy(file: Path) -> None:
    os.replace(file.with_name("older.sqlite"), file)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("change", [replaced_by_another, replaced_by_an_older_copy, emptied, Path.unlink])
def test_a_file_that_is_replaced_under_way_is_reported(change: Callable[[Path], object], url: str) -> None:
    ledger, file = Ledger(url), file_of(url)
    ledger.reserve(planned(policy("first"), plan()))
    shutil.copy(file, file.with_name("older.sqlite"))
    run = ledger.reserve(planned(policy(), plan()))
    change(file)
    nothing_goes_on(run, r"replaced|deleted|no such table")
    assert not file.exists() or file.stat().st_size == 0 or Ledger(url).verify() == []


def test_a_rollback_between_runs_is_seen_by_the_next(url: str) -> None:
    """What this object remembers of an account is not believed against the database."""
    ledger, file = Ledger(url), file_of(url)
    ledger.reserve(planned(policy(), plan(2.0)))
    shutil.copy(file, file.with_name("older.sqlite"))
    ledger.reserve(planned(policy(), plan(1.0))).settle("returned")
    replaced_by_an_older_copy(file)
    Ledger(url).reserve(planned(policy(), plan(0.9)))
    with pytest.raises(Refused, match=r"already spent: epsilon 2\.9,"):
        ledger.reserve(planned(policy(), plan(0.2)))


def test_a_newer_copy_in_its_place_is_the_same_ledger(url: str) -> None:
    ledger, file = Ledger(url), file_of(url)
    run = ledger.reserve(planned(policy(), plan()))
    shutil.copy(file, file.with_name("copy.sqlite"))
    os.replace(file.with_name("copy.sqlite"), file)
    assert TABLE.measure(Spy(), run) == 5 and ledger.verify() == [] and kinds(ledger) == ["reserve", "charge"]


def test_a_clock_that_jumps_back_changes_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        moments = iter(
            [datetime(2031, 1, 1, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)]
        )

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return next(cls.moments)

    ledger = Ledger(url)
    monkeypatch.setattr(database, "datetime", Clock)
    run = ledger.reserve(planned(policy(), plan(3.0)))
    with pytest.raises(Refused):
        ledger.reserve(planned(policy(), plan(0.1)))
    TABLE.measure(Spy(), run)
    run.settle("finished")
    assert [entry["time"][:4] for entry in ledger.entries()] == ["2031", "1999", "2031"] and ledger.verify() == []


def test_a_lost_connection_is_made_again() -> None:
    address = fresh_database()
    ledger = Ledger(address)
    run = ledger.reserve(planned(policy(), plan()))
    other = create_engine(address, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        connection.execute(text(f"{mine} AND pid <> pg_backend_pid()"))
    other.dispose()
    assert TABLE.measure(Spy(), run) == 5 and kinds(ledger) == ["reserve", "charge"]


def test_postgresql_needs_no_driver_in_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    address = fresh_database().replace("+psycopg", "")
    assert Ledger(address).verify() == []
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match=r"pip install 'privsynth\[postgres\]'") as problem:
        Ledger("postgresql://me:secret@localhost/x")
    assert "secret" not in str(problem.value)


def test_without_postgresql_ci_fails_and_others_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "binaries", lambda: None)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        fresh_database()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception):
        fresh_database()


def test_a_database_that_nothing_serialises_is_refused() -> None:
    with pytest.raises(InputError, match="only SQLite and PostgreSQL"):
        Ledger("mysql://localhost/x")


def test_a_ledger_in_memory_serves_all_threads() -> None:
    ledger = Ledger("sqlite://")
    runs: list[Reservation] = []
    threads = [
        threading.Thread(target=lambda: runs.append(ledger.reserve(planned(policy(), plan(0.5))))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(runs) == 4 and ledger.spent("books")[0] == 2.0 and ledger.verify() == []


def test_an_entry_that_cannot_be_read_is_reported(url: str) -> None:
    ledger = Ledger(url)
    ledger.reserve(planned(policy(), plan(0.1)))
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE privsynth_ledger SET body = '{}'"))
    with pytest.raises(InputError, match="entry 1 that cannot be read"):
        Ledger(url).reserve(planned(policy(), plan(0.1)))
    assert ledger.verify()
