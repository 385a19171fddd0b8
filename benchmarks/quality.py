"""Quality of every trainer on the shared tables: python benchmarks/quality.py [--data adult ...] [--epsilon 1 ...]

Splits and schemas come from ../shared/bench/prepare.py, figures from ../shared/bench/score.py. Bounds and categories
are public as the schemas say; delta = n^-1.1; total epsilon covers everything. One row per run is added to
results/quality.jsonl (runs that stand there are not repeated), then results/quality.md is written from all of them:
medians over repeats, with the range of tvd3.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "quality.jsonl"
SHARED = HERE.parent.parent / "shared" / "bench"
KEY = ("data", "unit", "trainer", "epsilon", "repeat")
PATIENT_ROWS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=["adult", "credit_default", "diabetes130", "diabetes130/patient"])
    parser.add_argument("--trainer", nargs="+", default=["marginals", "ctgan", "vae"])
    parser.add_argument("--epsilon", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(json.loads(arguments.one), arguments.shared)))
        return
    RESULTS.parent.mkdir(exist_ok=True)
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    known = {tuple(row[k] for k in KEY) for row in done}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, arguments.shared / "prepare.py", folder], check=True)
        for job in jobs(arguments):
            if tuple(job[k] for k in KEY) in known:
                continue
            command = [
                sys.executable,
                __file__,
                "--shared",
                str(arguments.shared),
                "--one",
                json.dumps(job | {"folder": folder}),
            ]
            row = json.loads(
                subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
            )
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            done.append(row)
            print(json.dumps(row), flush=True)
    (HERE / "results" / "quality.md").write_text(table(done))


def jobs(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    return [
        {
            "data": name.split("/")[0],
            "unit": "patient" if "/" in name else "row",
            "trainer": t,
            "epsilon": e,
            "repeat": r,
        }
        for r in range(arguments.repeats)
        for name in arguments.data
        for e in arguments.epsilon
        for t in arguments.trainer
    ]


def one(job: dict[str, Any], shared: Path) -> dict[str, Any]:
    """Trains, samples and scores once, in a process of its own, so that peak memory is this run's."""
    import yaml

    from privsynth import Policy, fit

    folder = Path(job.pop("folder")) / job["data"]
    schema = json.loads((folder / "schema.json").read_text())
    rows = sum(1 for _ in (folder / "train.csv").open()) - 1
    policy = Policy.from_text(yaml.safe_dump(policy_of(schema, rows, job), sort_keys=False))
    start = time.time()
    synthesizer = fit(policy, folder / "train.csv", ledger="sqlite://")
    fitted = time.time() - start
    sample = synthesizer.sample(rows)
    made = time.time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        synthesizer.layout.write_csv(sample, Path(file.name))
        sys.path.insert(0, str(shared))
        from score import score

        figures = score(folder, file.name)
    return job | figures | {"fit_s": round(fitted, 1), "total_s": round(made, 1), "peak_mb": peak}


def policy_of(schema: dict[str, Any], rows: int, job: dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {schema["unit"]: {"kind": "id", "release": "drop"}} if schema["unit"] else {}
    for column in schema["columns"]:
        if column["kind"] == "categorical":
            spec: dict[str, Any] = {"kind": "category", "categories": column["categories"]}
        else:
            spec = {"kind": "integer", "bounds": [column["lower"], column["upper"]]}
        role = {"role": "target"} if column["name"] == schema["target"] else {}
        columns[column["name"]] = spec | role | {"nullable": False}
    unit = {"column": schema["unit"], "max_rows": PATIENT_ROWS} if job["unit"] == "patient" else "row"
    budget = {"epsilon": job["epsilon"], "delta": rows**-1.1}
    return {
        "privsynth": 1, "dataset": {"id": schema["name"], "rows": rows}, "unit": unit, "budget": budget,
        "columns": columns, "trainer": {"name": job["trainer"]},
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "Made by `python benchmarks/quality.py`; medians over repeats, the range of tvd3 behind it. 2 shared cores.", "",
        "| data | unit | epsilon | trainer | runs | tvd1 | tvd2 | tvd3 | AUC | seconds | peak MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: (r["data"], r["unit"], r["epsilon"], r["trainer"])):
        groups.setdefault((row["data"], row["unit"], row["epsilon"], row["trainer"]), []).append(row)
    for (data, unit, epsilon, trainer), found in groups.items():
        mid = {k: statistics.median(r[k] for r in found) for k in ("tvd1", "tvd2", "tvd3", "auc", "total_s", "peak_mb")}
        spread = f"{min(r['tvd3'] for r in found):.3f}–{max(r['tvd3'] for r in found):.3f}"
        lines.append(
            f"| {data} | {unit} | {epsilon:g} | {trainer} | {len(found)} | {mid['tvd1']:.4f} | {mid['tvd2']:.4f} | "
            f"{mid['tvd3']:.4f} ({spread}) | {mid['auc']:.3f} | {mid['total_s']:.0f} | {mid['peak_mb']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
