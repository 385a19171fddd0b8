"""The main job on the real tables, time and memory: python benchmarks/main_job.py [--data ../shared/data] [--trainer ...]

Runs `privsynth run` as a user would, in a process of its own, and writes results/main_job.md. tvd3 and AUC are those of
the dossier (same definitions as the shared scorer, on the run's own holdout).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
JOBS = {"hospital-readmissions": "diabetes130.csv.gz", "credit-default": "credit_default.csv.gz"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--trainer", nargs="+", default=["ctgan", "vae", "auto"])
    arguments = parser.parse_args()
    lines = [
        "Made by `python benchmarks/main_job.py`, one run each, 2 shared cores, audit and report included.", "",
        "| policy | trainer | verdict | epsilon | wall s | peak MB | tvd1 | tvd2 | tvd3 | TSTR AUC | TRTR AUC |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for policy, data in JOBS.items():
        for trainer in arguments.trainer:
            lines.append(row(policy, arguments.data / data, trainer))
            print(lines[-1], flush=True)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "main_job.md").write_text("\n".join(lines) + "\n")


def row(policy: str, data: Path, trainer: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [
            sys.executable, "-m", "privsynth.cli", "run", str(HERE.parent / "policies" / f"{policy}.yaml"), "--data", str(data),
            "--out", str(out), "--ledger", f"sqlite:///{folder}/ledger.sqlite", "--trainer", trainer,
        ]  # fmt: skip
        start = time.time()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            _, _, usage = os.wait4(process.pid, 0)
        wall, peak = time.time() - start, usage.ru_maxrss // 1024
        if not (out / "dossier" / "evidence.json").exists():
            raise SystemExit(f"{policy} with {trainer} left no evidence: run it by hand to see why")
        found = json.loads((out / "dossier" / "evidence.json").read_text())
        u = found["utility"]
        return (
            f"| {policy} | {trainer} | {found['verdict']} | {found['privacy']['epsilon']:.3f} | {wall:.0f} | {peak} | "
            f"{u['tvd1']:.4f} | {u['tvd2']:.4f} | {u['tvd3']:.4f} | {u['tstr_auc']:.3f} | {u['trtr_auc']:.3f} |"
        )


if __name__ == "__main__":
    main()
