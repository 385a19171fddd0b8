"""How fast a table is read and typed, against another checkout: python benchmarks/reading.py --against ../other

A million rows of eight columns (unit names, words, whole and decimal numbers, dates) as CSV, CSV in quotes, CSV.gz, Parquet and
a data frame; each read and typed by both checkouts in turn, in processes of their own, and the ratio told pair by pair.
Writes results/reading.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FORMATS = ("csv", "quoted.csv", "csv.gz", "parquet", "frame")
POLICY = """\
privsynth: 1
dataset: {id: reading, missing: ["?"]}
unit: {column: who, max_rows: 3}
budget: {epsilon: 1.0, delta: 1.0e-6}
columns:
  who: {kind: id, release: drop}
  ward: {kind: category, categories: private}
  sex: {kind: category, categories: [F, M]}
  age: {kind: integer, bounds: [0, 120]}
  cost: {kind: number, bounds: [0, 100000], decimals: 2}
  score: {kind: number, bounds: [-10, 10]}
  admitted: {kind: date, bounds: [2010-01-01, 2024-12-31]}
  seen: {kind: date, bounds: [2010-01-01, 2024-12-31]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, required=True, help="another checkout of this repository")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    sides = {"this": HERE.parent, "other": arguments.against.resolve()}
    revisions = {name: _revision(path) for name, path in sides.items()}
    lines = [
        f"Made by `python benchmarks/reading.py --against {revisions['other']} --rows {arguments.rows} --runs {arguments.runs}`",
        f"with {revisions['this']}; medians of seconds, of both checkouts in turn, on 2 cores that others use as well. Typing is",
        "`take_in`: types, units, bounds, split.", "",
        "| table | reading, this | other | ratio (pair by pair) | typing, this | other | ratio | both, ratio "
        "| peak MB, this | other |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        make_tables(Path(folder), arguments.rows)
        for kind in FORMATS:
            found = [
                {name: measured(path, Path(folder), kind) for name, path in sides.items()}
                for _ in range(arguments.runs)
            ]
            lines.append(row(kind, found))
            print(lines[-1], flush=True)
    (HERE / "results" / "reading.md").write_text("\n".join(lines) + "\n")


def row(kind: str, found: list[dict[str, dict[str, float]]]) -> str:
    def median(side: str, what: str) -> float:
        return statistics.median(pair[side][what] for pair in found)

    def ratio(*what: str) -> str:
        each = [sum(pair["this"][w] for w in what) / sum(pair["other"][w] for w in what) for pair in found]
        return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"

    parts = [f"{median('this', w):.2f} | {median('other', w):.2f} | {ratio(w)}" for w in ("read", "typed")]
    peaks = f"{median('this', 'peak'):.0f} | {median('other', 'peak'):.0f}"
    return f"| {kind} | {parts[0]} | {parts[1]} | {ratio('read', 'typed')} | {peaks} |"


def make_tables(folder: Path, rows: int) -> None:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    days = np.datetime64("2010-01-01") + rng.integers(0, 5400, rows)
    frame = pd.DataFrame({
        "who": np.char.add("P", rng.integers(0, rows // 2, rows).astype(str)),
        "ward": rng.choice([f"ward {i}" for i in range(40)], rows), "sex": rng.choice(["F", "M"], rows),
        "age": rng.integers(0, 100, rows), "cost": rng.lognormal(6, 1, rows).round(2), "score": rng.normal(0, 1, rows),
        "admitted": days.astype(str), "seen": (days + rng.integers(0, 30, rows)).astype(str),
    })  # fmt: skip
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_csv(folder / "t.quoted.csv", index=False, quoting=1)
    frame.to_csv(folder / "t.csv.gz", index=False, compression={"method": "gzip", "compresslevel": 1})
    frame.to_parquet(folder / "t.parquet", index=False)


def measured(checkout: Path, folder: Path, kind: str) -> dict[str, float]:
    """Seconds of reading and typing, and peak memory, in a process that imports the package of this checkout."""
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", str(folder), kind]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=checkout, env=environment)
    return json.loads(done.stdout)


def worker(folder: Path, kind: str) -> None:
    import resource

    import pandas as pd

    from privsynth.policy import Policy
    from privsynth.privacy.noise import Randomness

    try:
        from privsynth.table.intake import take_in
        from privsynth.table.reader import read_table
    except ImportError:  # a checkout from before the rooms were laid out
        from privsynth.reader import read_table

        from privsynth.table import take_in

    policy = Policy.from_text(POLICY)
    source = pd.read_parquet(folder / "t.parquet") if kind == "frame" else folder / f"t.{kind}"
    start = time.perf_counter()
    raw = read_table(source)
    read = time.perf_counter() - start
    take_in(raw, policy, Randomness())
    typed = time.perf_counter() - start - read
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"read": read, "typed": typed, "peak": peak}))


def _revision(checkout: Path) -> str:
    return subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    worker(Path(sys.argv[2]), sys.argv[3]) if sys.argv[1:2] == ["--worker"] else main()
