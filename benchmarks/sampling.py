"""How long many rows take: python benchmarks/sampling.py [--trainer auto ctgan ...] [--rows 1000000]

Fits each trainer on Adult's split at epsilon 10, the slowest to calibrate, and draws rows with `privsynth sample`, block by
block with calibration, to CSV. Wall time and peak memory are the command's own, with its start and the writing. Writes
results/sampling.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from quality import policy_of
from runs import HERE, SHARED, circumstances, row_count, splits

from privsynth import Policy, fit

EPSILON = 10.0
MEASURED = (  # the command, and its peak memory as its last word
    "import atexit, resource; atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)); "
    "from privsynth.cli import main; main()"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", nargs="+", default=["auto", "ctgan", "vae", "autoregressive"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--splits", type=Path, help="folder that prepare.py has written; else it runs first")
    parser.add_argument("--shared", type=Path, default=SHARED)
    asked = parser.parse_args()
    lines = [
        f"Made by `python benchmarks/sampling.py --trainer {' '.join(asked.trainer)} --rows {asked.rows}`: Adult, epsilon "
        f"{EPSILON:g}, calibrated samples to CSV, one run each on 2 shared cores (`load` when it began).", "",
        "| trainer | rows | seconds | peak MB | load |", "|---|---|---|---|---|",
    ]  # fmt: skip
    with splits(asked.shared, asked.splits) as folder:
        for trainer in asked.trainer:
            seconds, peak, load = drawn(trainer, asked.rows, folder / "adult")
            lines.append(f"| {trainer} | {asked.rows:,} | {seconds:.0f} | {peak} | {load} |")
            print(lines[-1], flush=True)
    (HERE / "results" / "sampling.md").write_text("\n".join(lines) + "\n")


def drawn(trainer: str, rows: int, folder: Path) -> tuple[float, int, float]:
    """(seconds, peak MB, load before)"""
    schema = json.loads((folder / "schema.json").read_text())
    written = policy_of(schema, row_count(folder), {"unit": "row", "epsilon": EPSILON, "trainer": trainer})
    with TemporaryDirectory() as made:
        model, out = Path(made) / "model", Path(made) / "rows.csv"
        fit(Policy.from_text(yaml.safe_dump(written)), folder / "train.csv", ledger="sqlite://").save(model)
        load, start = float(circumstances()["load"]), time.time()
        command = [sys.executable, "-c", MEASURED, "sample", model, "-n", str(rows), "--out", out]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seconds = time.time() - start
        if row_count(out.parent, out.name) != rows:
            raise RuntimeError("not all rows were written")
    return seconds, int(done.stdout.split()[-1]), load


if __name__ == "__main__":
    main()
