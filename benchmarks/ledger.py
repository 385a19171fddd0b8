"""The ledger's speed on both databases, and the fingerprint's: python benchmarks/ledger.py [--entries 1000000]

Writes results/ledger.md. PostgreSQL is a private server of the tests (no fsync), SQLite a file on the disk of the
temporary folder (with fsync) and on a disk in memory.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "privacy"))

from ledger_tools import fresh_ledger, plan, planned, policy  # noqa: E402

from privsynth.ledger.chain import Entry  # noqa: E402
from privsynth.ledger.database import ENTRIES  # noqa: E402
from privsynth.ledger.ledger import Ledger  # noqa: E402
from privsynth.privacy.content import Fingerprint  # noqa: E402
from privsynth.table.fingerprint import fingerprint  # noqa: E402
from privsynth.table.reader import read_table  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    lines = [
        "Made by `python benchmarks/ledger.py`, once, on 2 cores that others use as well.", "",
        "| what | figure |", "|---|---|",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as disk, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        places = [
            ("SQLite, disk", disk, "sqlite"),
            ("SQLite, memory", memory, "sqlite"),
            ("PostgreSQL", disk, "postgresql"),
        ]
        for name, folder, kind in places:
            lines.append(f"| reservations a second, {name} | {reservations(fresh_ledger(kind, Path(folder))):.0f} |")
        for name, folder, kind in places[::2]:
            ledger = Ledger(fresh_ledger(kind, Path(tempfile.mkdtemp(dir=folder))))
            fill(ledger, arguments.entries)
            seconds = timed(lambda ledger=ledger: whole(ledger, arguments.entries))
            lines.append(
                f"| {arguments.entries:,} entries verified, {name} | {seconds:.1f} s, {arguments.entries / seconds:,.0f} a second |"
            )
            seconds = timed(lambda ledger=ledger: ledger.reserve(planned(policy("new"), plan())))
            lines.append(f"| one reservation behind them, {name} | {1000 * seconds:.0f} ms |")
        for name, path in tables(Path(disk), arguments.rows):
            raw = read_table(path)
            seconds = timed(lambda raw=raw: fingerprint(raw, b"k" * 32, raw.columns[2:]))
            lines.append(f"| fingerprint of {arguments.rows:,} rows, 10 columns, {name} | {seconds:.1f} s |")
    (HERE / "results" / "ledger.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def timed(work) -> float:  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def reservations(url: str, times: int = 300) -> float:
    ledger, asked, who = Ledger(url), plan(1e-3, 1e-12), policy()
    return times / timed(lambda: [ledger.reserve(planned(who, asked)) for _ in range(times)])


def whole(ledger: Ledger, entries: int) -> None:
    checked = ledger.check()
    assert checked.problems == [] and checked.entries == entries


def fill(ledger: Ledger, entries: int) -> None:
    """Entries as runs write them: a real run's own, again and again under new names."""
    run = ledger.reserve(planned(policy(), plan()))
    run.identify(Fingerprint("1" * 64))
    for name in ("histograms", "marginals"):
        run.charge(name, run.plan[name])
    run.finish_learning()
    run.settle("finished")
    pattern = [Entry(**entry) for entry in ledger.entries()]
    last, chunk = (len(pattern), pattern[-1].hash), []
    for number in range(len(pattern), entries):
        model = pattern[number % len(pattern)]
        if number % len(pattern) == 0:
            name = uuid.uuid4().hex
        entry = Entry.after(last, datetime.now(UTC).isoformat(), "books", name, model.kind, model.body)
        last = (entry.sequence, entry.hash)
        chunk.append(entry._asdict())
        if len(chunk) == 50_000 or number == entries - 1:
            with ledger.engine.begin() as connection:
                connection.execute(ENTRIES.insert(), chunk)
            chunk = []


def tables(folder: Path, rows: int) -> Iterator[tuple[str, Path]]:
    """One table, as CSV and as Parquet: identifiers, names, numbers, categories, dates and gaps."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "id": np.arange(rows) + 10**9, "name": [f"n{i}" for i in range(rows)], "x": rng.normal(size=rows),
        "weight": rng.normal(75, 12, rows).round(1), "age": rng.integers(0, 99, rows), "ward": rng.choice(list("abc"), rows),
        "day": pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 3000, rows), "D"), "ill": rng.random(rows) < 0.5,
        "sex": rng.choice(["F", "M"], rows), "gaps": np.where(rng.random(rows) < 0.3, np.nan, rng.integers(0, 5, rows)),
    })  # fmt: skip
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet", index=False)
    yield "CSV", folder / "t.csv"
    yield "Parquet", folder / "t.parquet"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
