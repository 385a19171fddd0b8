"""A small table with strong structure, with and without rules: python benchmarks/hospital.py [--repeats 3] [--rules none stated]

`auto` learns a simulated hospital of 8,000 patients and 14 columns at epsilon = 2, delta = n^-1.1, and gives as many rows.
Simulator: ../shared/bench/hospital.py. With rules, `constraints` are those of policies/demo-hospital.yaml, which docs/knowledge.md
explains, of the columns that are here, and one for children, whose limit is also a cut. Figures:
    tvd3, auc            of the shared scorer
    v                    Cramér's V of department and diagnosis (real: 1; not corrected for bias, as the simulator defines it)
    grown_up             share of patients in paediatrics born before 2001 (real: 0)
    men                  share of men in obstetrics (real: 0)
    broken               rows of 1,000 that break one of the rules, stated or not (real: 0)
    kept, apart(_floor)  share of strong associations kept; area of a classifier that tells synthetic from real rows, and its floor
Each run adds a row to results/hospital.jsonl, and runs that stand there are not repeated; results/hospital.md is written from all.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import yaml
from quality import measured, policy_of
from runs import HERE, SHARED, Row, Runs, circumstances, in_own_process, row_count

RUNS = Runs(HERE / "results" / "hospital.jsonl", key=("patients", "rules", "epsilon", "repeat", "note"), earlier={})
POLICY = HERE.parent / "policies" / "demo-hospital.yaml"
CHILDREN = {
    "when": {"department": "paediatrics"},
    "then": {"birth_year": ">=2001"},
    "note": "a department for children",
}
FIGURES = ("tvd3", "auc", "v", "grown_up", "men", "broken", "kept", "apart", "apart_floor", "fit_s", "peak_mb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", nargs="+", default=["none", "stated"], choices=["none", "stated"])
    parser.add_argument("--patients", type=int, default=8000)
    parser.add_argument("--epsilon", nargs="+", type=float, default=[2.0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--note", default="", help="a word on the package or the machine, kept with each run")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--splits", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(json.loads(asked.one), asked.splits, asked.shared)))
        return
    jobs = (
        {"patients": asked.patients, "rules": rules, "epsilon": epsilon, "repeat": repeat, "note": asked.note}
        for repeat in range(asked.repeats) for epsilon in asked.epsilon for rules in asked.rules
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        subprocess.run([sys.executable, asked.shared / "hospital.py", folder, str(asked.patients)], check=True)
        for job in RUNS.missing(jobs):
            RUNS.add(in_own_process(__file__, job, asked.shared, Path(folder)) | circumstances(asked.note))
            write()
    write()


def one(job: Row, folder: Path, shared: Path) -> Row:
    """Trains, samples and compares once."""
    folder = folder / f"hospital-{job['patients']}"
    schema = json.loads((folder / "schema.json").read_text())
    policy = policy_of(schema, row_count(folder), job | {"trainer": "auto", "unit": "row"})
    rules = list(rules_of(policy["columns"]))
    assert broken(folder / "train.csv", rules) == 0, "a row of the real table breaks a rule"
    if job["rules"] == "stated":
        policy["constraints"] = rules
        policy["columns"]["birth_year"]["cuts"] = [2001]
    return job | measured(
        policy, folder, shared, lambda file: looked_at(file, shared) | {"broken": broken(file, rules)}
    )


def looked_at(file: Path, shared: Path) -> Row:
    """What the simulator says of a table. Its file has the name of this one, so it is loaded by its place."""
    spec = importlib.util.spec_from_file_location("simulator", shared / "hospital.py")
    assert spec is not None and spec.loader is not None
    simulator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simulator)
    found = simulator.look(file)
    names = {"v": "V department-diagnosis", "grown_up": "over 18 in paediatrics", "men": "men in obstetrics"}
    return {name: found[called] for name, called in names.items()}


def rules_of(columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The demo's rules on columns that are here, with the values that this table has: no triage is a word of its own, and nothing
    is merged."""
    for rule in yaml.safe_load(POLICY.read_text(encoding="utf-8"))["constraints"]:
        if "when" in rule and set(rule["when"]) <= set(columns) and set(rule["then"]) & set(columns):
            here = {side: {n: v for n, v in rule[side].items() if n in columns} for side in ("when", "then")}
            sides = {side: {n: _here(v, columns[n]) for n, v in own.items()} for side, own in here.items()}
            if all(value != [] for side in sides.values() for value in side.values()):
                yield rule | sides
    yield CHILDREN


def _here(written: Any, column: dict[str, Any]) -> Any:
    if "categories" not in column:
        return written
    values = [
        "none" if value == "missing" else value for value in (written if isinstance(written, list) else [written])
    ]
    return [value for value in values if value in column["categories"]]


def broken(file: Path, rules: list[dict[str, Any]]) -> float:
    """Rows of 1,000 that break a rule, read off the text of a table."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False)

    def met(conditions: dict[str, Any]) -> Any:
        return np.all([_meets(table[name], written) for name, written in conditions.items()], axis=0)

    wrong = np.any([met(rule["when"]) & ~met(rule["then"]) for rule in rules], axis=0)
    return round(1000 * float(wrong.mean()), 1)


def _meets(cells: pd.Series[Any], written: Any) -> pd.Series[Any]:
    if isinstance(written, str) and written.startswith(">="):
        return pd.to_numeric(cells) >= float(written[2:])
    return cells.isin([str(value) for value in (written if isinstance(written, list) else [written])])


def write() -> None:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in RUNS:
        groups.setdefault((row["patients"], row["epsilon"], row["rules"], row["note"]), []).append(row)
    lines = [
        "Made by `python benchmarks/hospital.py`; medians over repeats. Each figure is explained in that file. Of real rows V",
        "is 1, and the next three are 0. *Kept*: of strong associations. *Told apart*: area of a classifier for synthetic and real",
        "rows, and its floor. Seconds of a shared machine.", "",
        "| patients | epsilon | rules | code | runs | tvd3 | AUC | V | over 18 in paediatrics | men in obstetrics "
        "| broken of 1,000 | kept | told apart | fit s | peak MB |",
        "|" + "---|" * 15,
    ]  # fmt: skip
    for (patients, epsilon, rules, note), runs in sorted(groups.items()):
        mid = {k: statistics.median(row[k] for row in runs) for k in FIGURES}
        codes = ", ".join(dict.fromkeys(row["commit"] for row in runs))
        cells = [str(patients), f"{epsilon:g}", rules, f"{note} ({codes})" if note else codes, str(len(runs))]
        cells += [f"{mid[k]:.3f}" for k in ("tvd3", "auc", "v", "grown_up", "men")] + [f"{mid['broken']:.1f}"]
        cells += [f"{mid['kept']:.2f}", f"{mid['apart']:.2f} ({mid['apart_floor']:.2f})"]
        lines.append("| " + " | ".join([*cells, f"{mid['fit_s']:.0f}", f"{mid['peak_mb']:.0f}"]) + " |")
    (HERE / "results" / "hospital.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
