"""Quality of every trainer, its settings and its peers: python benchmarks/quality.py [--data adult ...] [--epsilon 1 ...]

    python benchmarks/quality.py                                       every trainer as it comes
    python benchmarks/quality.py --trainer ctgan vae --setting dpsgd-alone uncalibrated          ablations
    python benchmarks/quality.py --trainer --peer dpmm-aim smartnoise-mst --limit 900                peers

Splits and schemas come from ../shared/bench/prepare.py, figures from ../shared/bench/score.py. Bounds and categories
are public as the schemas say; delta = n^-1.1; total epsilon covers everything. Each run adds a row to
results/quality.jsonl, and runs that stand there are not repeated; after each, results/quality.md and .svg are written
anew from all of them. A peer that is stopped at its time limit, or that fails, has a row that says so: delete the line
to run it again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from peers.setup import PEERS, VENVS, WITHOUT_PRIVACY, command
from quality_table import write_report
from runs import (
    HERE,
    ONE_THREAD,
    SHARED,
    Row,
    Runs,
    circumstances,
    in_own_process,
    peak_mb,
    row_count,
    scores,
    splits,
    structure,
)

from privsynth.policy.options import OPTIONS
from privsynth.trainers import TRAINERS

RUNS = Runs(
    HERE / "results" / "quality.jsonl",
    key=("data", "unit", "trainer", "setting", "epsilon", "repeat"),
    earlier={"setting": "default", "load": None, "note": "", "commit": ""},
)
TABLES = ("adult", "credit_default", "diabetes130", "diabetes130/patient")
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},  # anchor and DP-SGD; the anchor alone is the trainer `marginals`
    "dpsgd-alone": {"anchor": 0},
    "uncalibrated": {"calibrate": False},
}
PATIENT_ROWS = 10


def main() -> None:
    arguments = parsed()
    if arguments.one:
        print(json.dumps(one(json.loads(arguments.one), arguments.splits, arguments.shared)))
        return
    with splits(arguments.shared, arguments.splits) as folder:
        for job in RUNS.missing(jobs(arguments)):
            about = circumstances(arguments.note)
            if job["trainer"] in PEERS:
                row = job | peer(job, folder, arguments)
            else:
                row = in_own_process(__file__, job, arguments.shared, folder)
            RUNS.add(row | about)
            write_report(list(RUNS), RUNS.file)
    write_report(list(RUNS), RUNS.file)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--trainer", nargs="*", choices=[*TRAINERS, "auto"], default=[*TRAINERS, "auto"])
    parser.add_argument("--setting", nargs="+", choices=SETTINGS, default=["default"])
    parser.add_argument("--peer", nargs="*", choices=PEERS, default=[])
    parser.add_argument("--epsilon", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=900, help="seconds a peer may take (default: %(default)s)")
    parser.add_argument("--note", default="", help="a word on the machine, kept with each run")
    parser.add_argument("--venvs", type=Path, default=VENVS, help="where peers' environments are (%(default)s)")
    parser.add_argument("--splits", type=Path, help="folder that prepare.py has written; else it runs first")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def jobs(arguments: argparse.Namespace) -> Iterator[Row]:
    """One after another, so that the first repeat of everything is there first."""
    methods = [(t, s) for t in arguments.trainer for s in arguments.setting if takes(t, s)]
    methods += [(p, "default") for p in arguments.peer]
    for repeat in range(arguments.repeats):
        for name in arguments.data:
            data, unit = name.split("/")[0], "patient" if "/" in name else "row"
            for method, setting in methods:
                if method in PEERS and unit != "row":
                    continue  # no peer protects a unit of several rows
                for epsilon in [None] if method in WITHOUT_PRIVACY else arguments.epsilon:
                    yield {
                        "data": data, "unit": unit, "trainer": method, "setting": setting, "epsilon": epsilon,
                        "repeat": repeat,
                    }  # fmt: skip


def takes(trainer: str, setting: str) -> bool:
    """A setting is left out where the trainer has no such option: `marginals` has no network to leave alone."""
    return set(SETTINGS[setting]) <= set(OPTIONS[trainer].model_fields)


def one(job: Row, folder: Path, shared: Path) -> Row:
    """Trains, samples and scores once."""
    folder = folder / job["data"]
    schema = json.loads((folder / "schema.json").read_text())
    return job | measured(policy_of(schema, row_count(folder), job), folder, shared)


def measured(written: dict[str, Any], folder: Path, shared: Path, look: Callable[[Path], Row] | None = None) -> Row:
    """Figures, seconds and memory of a policy's synthetic table with as many rows as there were. look: gives further figures."""
    import yaml

    from privsynth import Policy, fit

    policy = Policy.from_text(yaml.safe_dump(written, sort_keys=False))
    start = time.time()
    synthesizer = fit(policy, folder / "train.csv", ledger="sqlite://")
    fitted = time.time() - start
    sample = synthesizer.sample(row_count(folder))
    made = time.time() - start
    cost = {"fit_s": round(fitted, 1), "total_s": round(made, 1), "peak_mb": peak_mb()}
    with TemporaryDirectory() as out:
        made_csv = Path(out) / "synthetic.csv"
        synthesizer.layout.write_csv(sample, made_csv)
        return scores(folder, made_csv, shared) | structure(folder, made_csv) | cost | (look(made_csv) if look else {})


def policy_of(schema: dict[str, Any], rows: int, job: Row) -> dict[str, Any]:
    """The policy that says of the table what its schema says."""
    columns: dict[str, Any] = {schema["unit"]: {"kind": "id", "release": "drop"}} if schema["unit"] else {}
    for column in schema["columns"]:
        if column["kind"] == "categorical":
            spec: dict[str, Any] = {"kind": "category", "categories": column["categories"]}
        else:
            spec = {"kind": "integer", "bounds": [column["lower"], column["upper"]]}
        role = {"role": "target"} if column["name"] == schema["target"] else {}
        columns[column["name"]] = spec | role | {"nullable": False}
    most = job.get("max_rows", PATIENT_ROWS)
    unit = {"column": schema["unit"], "max_rows": most} if job["unit"] == "patient" else "row"
    budget = {"epsilon": job["epsilon"], "delta": rows**-1.1}
    return {
        "privsynth": 1, "dataset": {"id": schema["name"], "rows": rows}, "unit": unit, "budget": budget,
        "columns": columns,
        "trainer": {"name": job["trainer"], "options": SETTINGS[job.get("setting", "default")]},
    }  # fmt: skip


def peer(job: Row, folder: Path, arguments: argparse.Namespace) -> Row:
    """What a peer's script says of its run, with scores; or that it was stopped at the limit, or how it failed."""
    folder = folder / job["data"]
    method, epsilon = job["trainer"].rsplit("-", 1)[1], "inf" if job["epsilon"] is None else job["epsilon"]
    with TemporaryDirectory() as made:
        out = Path(made) / "synthetic.csv"
        words = [*command(job["trainer"], arguments.venvs), folder, method, epsilon, out, "--seed", job["repeat"]]
        with subprocess.Popen(
            [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=made,
            env=os.environ | ONE_THREAD, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                said, complaint = process.communicate(timeout=arguments.limit)
            except subprocess.TimeoutExpired:
                return {"stopped_s": arguments.limit}
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)  # a session of its own: its children end with it
        if process.returncode:
            return {"failed": (complaint.strip().splitlines() or [f"exit {process.returncode}"])[-1][:200]}
        cost: Row = json.loads(said.splitlines()[-1])
        return scores(folder, out, arguments.shared) | structure(folder, out) | cost


if __name__ == "__main__":
    main()
