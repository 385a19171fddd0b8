"""Where DP-SGD adds something over noisy marginals: python benchmarks/structure.py [--structure parities4 --rows 20000 ...]

Tables of known structure (privsynth.simulate) and the real ones, fitted by marginals alone, by a network alone
(anchor: 0) and by both; delta = n^-1.1, total epsilon covers everything. Judged on rows that no trainer saw: fresh rows
of the same law, or the holdout. Measured on as many synthetic as fresh rows, at most 100,000 of each:
    tvd3, tvd4   mean total variation distance over 3-way and 4-way marginals (all, or 100 seeded ones)
    own          the same over the sets of columns that the structure ties together
    area         of a boosted classifier that tells synthetic from fresh rows, trained on half and judged on the rest;
                 0.5 is perfect
Two controls show the scale of each: other real rows (the floor), and real rows with every column shuffled by itself.
One row per run is added to results/structure.jsonl (runs that stand there are not repeated); results/structure.md and
the chart are written from all of them. Real tables need ../shared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from runs import ONE_THREAD

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "structure.jsonl"
SHARED = HERE.parent.parent / "shared" / "bench"
SIMULATED = ["parities3", "parities4", "latent_classes", "sequence"]
REAL = ["adult", "credit_default", "diabetes130"]
UNEVEN = "parities4_uneven"  # group sizes differ, so that some of the structure shows in triples; only where asked for
CONTROLS = ["real", "shuffled"]
SETTINGS = ["marginals", "network", "both"]
KEY = ("structure", "rows", "epsilon", "trainer", "setting", "options", "repeat")
MAX_JUDGED = 100_000
ALL_SETS, SETS = 500, 100  # marginals of one order: all, if not more than that; else so many seeded ones
# No early stop: the first trees see nothing of a structure of fourth order, and would be the last.
JUDGE = {"max_iter": 200, "max_leaf_nodes": 63, "learning_rate": 0.2, "early_stopping": False, "random_state": 0}


def main() -> None:
    arguments = parsed()
    if arguments.one:
        print(json.dumps(one(json.loads(arguments.one))))
        return
    RESULTS.parent.mkdir(exist_ok=True)
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    known = {key(row) for row in done}
    with tempfile.TemporaryDirectory() as folder:
        if any(name in REAL for name in arguments.structure):
            command = [sys.executable, arguments.shared / "prepare.py", folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        missing = [job | {"folder": folder} for job in jobs(arguments) if key(job) not in known]
        with ThreadPoolExecutor(arguments.at_once) as pool:
            for row in pool.map(lambda job: in_own_process(job, arguments), missing):
                done += [] if row is None else [row]  # said why already; the next call tries again
    (HERE / "results" / "structure.md").write_text(table(done))
    draw(done)


def parsed() -> argparse.Namespace:
    from privsynth.trainers import TRAINERS

    networks = [name for name in TRAINERS if name != "marginals"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structure", nargs="+", default=SIMULATED + REAL, choices=[*SIMULATED, UNEVEN, *REAL])
    parser.add_argument("--rows", nargs="+", type=int, default=[20_000, 100_000, 400_000, 1_000_000], help="simulated")
    parser.add_argument("--epsilon", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--trainer", nargs="+", default=networks, choices=networks, help="of network and both")
    parser.add_argument("--setting", nargs="+", default=SETTINGS, choices=SETTINGS)
    parser.add_argument("--options", type=json.loads, default={}, help="trainer options of network and both, JSON")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument(
        "--at-once", type=int, default=1, help="runs side by side, each with one thread if more than one"
    )
    parser.add_argument("--note", default="", help="a word on the machine, kept with each run")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def jobs(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every run that the arguments name, small ones first; the controls of a table before its runs."""
    found = []
    for repeat in range(arguments.repeats):
        tables = [(name, rows) for rows in sorted(arguments.rows) for name in arguments.structure if name not in REAL]
        for name, rows in [(name, None) for name in arguments.structure if name in REAL] + tables:
            base = {"structure": name, "rows": rows, "repeat": repeat}
            found += [base | {"epsilon": None, "trainer": None, "setting": c, "options": {}} for c in CONTROLS]
            for epsilon in arguments.epsilon:
                for setting in arguments.setting:
                    trainers = ["marginals"] if setting == "marginals" else arguments.trainer
                    options = {} if setting == "marginals" else arguments.options
                    options = options | ({"anchor": 0} if setting == "network" else {})
                    run = base | {"epsilon": epsilon, "setting": setting, "options": options}
                    found += [run | {"trainer": trainer} for trainer in trainers]
    return found


def key(row: dict[str, Any]) -> str:
    """A real table has the rows that it has: `rows` of its job is None."""
    return json.dumps([None if k == "rows" and row["structure"] in REAL else row[k] for k in KEY], sort_keys=True)


def in_own_process(job: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The row of one run, measured in a process of its own, so that peak memory is this run's; kept at once."""
    command = [sys.executable, __file__, "--one", json.dumps(job)]
    environment = os.environ | (ONE_THREAD if arguments.at_once > 1 else {})
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode:
        print(f"failed: {job}", file=sys.stderr, flush=True)
        return None
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) | {"note": arguments.note}
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)
    return row


# --- one run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tables:
    """train: for the trainer. fresh: for the judge. other: real rows as well, for the controls. own: sets of columns that
    the structure ties together, by number."""

    schema: dict[str, Any]  # as prepare.py writes it
    train: Any
    fresh: Any
    other: Any
    own: list[tuple[int, ...]]


def one(job: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    folder = Path(job.pop("folder"))
    tables = real(folder / job["structure"]) if job["structure"] in REAL else simulated(job)
    job["rows"] = len(tables.train)
    start = time.time()
    if job["setting"] == "real":
        made = tables.other
    elif job["setting"] == "shuffled":
        rng = np.random.default_rng(0)
        made = tables.other.apply(lambda column: column.iloc[rng.permutation(len(column))].array)
    else:
        made = synthesized(tables, job)
    seconds, peak = time.time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    start = time.time()
    figures = judged(tables, made)
    return job | figures | {"seconds": round(seconds, 1), "judge_s": round(time.time() - start, 1), "peak_mb": peak}


def synthesized(tables: Tables, job: dict[str, Any]) -> Any:
    """As many synthetic rows as there are fresh ones."""
    import yaml
    from quality import policy_of

    from privsynth import Policy, fit

    policy = policy_of(tables.schema, len(tables.train), job | {"unit": "row", "setting": "default"})
    policy["trainer"]["options"] = job["options"]
    policy = Policy.from_text(yaml.safe_dump(policy, sort_keys=False))
    return fit(policy, tables.train, ledger="sqlite://").sample(len(tables.fresh))


def simulated(job: dict[str, Any]) -> Tables:
    from privsynth import simulate
    from privsynth.simulate.structure import SIZES

    name, rows, judged_rows = job["structure"], job["rows"], min(job["rows"], MAX_JUDGED)
    make: dict[str, Callable[[int, int], Any]] = {
        "parities3": lambda n, seed: simulate.parities(n, seed, ways=3),
        "parities4": lambda n, seed: simulate.parities(n, seed, ways=4),
        UNEVEN: lambda n, seed: simulate.parities(n, seed, ways=4, sizes=SIZES),
        "latent_classes": simulate.latent_classes,
        "sequence": simulate.sequence,
    }
    ways, step = {"parities3": (3, 3), "latent_classes": (0, 1), "sequence": (4, 1)}.get(name, (4, 4))
    own = [tuple(range(first, first + ways)) for first in range(0, len(SIZES) - ways + 1, step)] if ways else []
    seed = 3 * job["repeat"]
    train, fresh, other = (make[name](n, seed + i) for i, n in enumerate((rows, judged_rows, judged_rows)))
    columns = [{"name": c, "kind": "categorical", "categories": list(train[c].cat.categories)} for c in train]
    return Tables({"name": name, "target": None, "unit": None, "columns": columns}, train, fresh, other, own)


def real(folder: Path) -> Tables:
    """Fresh rows: the holdout. Other real rows: as many of the training rows, which the judge's controls alone see."""
    import pandas as pd

    schema = json.loads((folder / "schema.json").read_text())
    text = {c["name"]: str for c in schema["columns"] if c["kind"] == "categorical"}
    train, fresh = (
        pd.read_csv(folder / f"{part}.csv", dtype=text, keep_default_na=False) for part in ("train", "holdout")
    )
    fresh = fresh.sample(min(len(fresh), MAX_JUDGED), random_state=0)
    return Tables(schema, train, fresh, train.sample(len(fresh), random_state=0), [])


def typed(frame: Any, schema: dict[str, Any]) -> Any:
    """The schema's columns as categories of the same order, or float64; what is neither is missing."""
    import pandas as pd

    columns = {}
    for column in schema["columns"]:
        values = frame[column["name"]]
        if column["kind"] == "categorical":
            columns[column["name"]] = pd.Categorical(values.astype(str), categories=column["categories"])
        else:
            columns[column["name"]] = pd.to_numeric(values, errors="coerce").astype("float64").array
    return pd.DataFrame(columns)


def judged(tables: Tables, made: Any) -> dict[str, float | int | None]:
    """All figures of a table `made` against the fresh rows."""
    from privsynth.utility.cells import Grid

    fresh, made = typed(tables.fresh, tables.schema), typed(made, tables.schema)
    grid = Grid.fit(typed(tables.train, tables.schema))
    one, two, d = grid.encode(fresh), grid.encode(made), len(grid.sizes)
    figures = {f"tvd{ways}": distance(one, two, grid.sizes, chosen(d, ways)) for ways in (3, 4)}
    own = distance(one, two, grid.sizes, tables.own) if tables.own else None
    return {"judged": len(fresh)} | figures | {"own": own, "area": area(fresh, made)}


def chosen(columns: int, ways: int) -> list[tuple[int, ...]]:
    """The sets of `ways` columns that are looked at: a definition, the same in every run."""
    import numpy as np

    sets = list(combinations(range(columns), ways))
    if len(sets) <= ALL_SETS:
        return sets
    return [sets[i] for i in np.random.default_rng(0).choice(len(sets), SETS, replace=False)]


def distance(one: Any, two: Any, sizes: list[int], sets: list[tuple[int, ...]]) -> float:
    from privsynth.utility.cells import marginal_distance

    return round(statistics.fmean(marginal_distance(one, two, sizes, columns) for columns in sets), 5)


def area(fresh: Any, made: Any) -> float:
    """Area under the ROC curve of a classifier for `made` against `fresh` rows, on the half it was not trained on."""
    import numpy as np
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    rows = pd.concat([fresh, made], ignore_index=True)
    label = np.repeat([0, 1], [len(fresh), len(made)])
    order = np.random.default_rng(0).permutation(len(rows))
    half, rest = np.array_split(order, 2)
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", **JUDGE)
    model.fit(rows.iloc[half], label[half])
    return round(float(roc_auc_score(label[rest], model.predict_proba(rows.iloc[rest])[:, 1])), 4)


# --- table and chart --------------------------------------------------------------------------------------------------


def called(row: dict[str, Any]) -> str:
    """A run's name: trainer, setting, and the options that were asked for."""
    options = {k: v for k, v in row["options"].items() if k != "anchor" or row["setting"] != "network"}
    name = {"marginals": "marginals", "network": f"{row['trainer']} alone", "both": f"marginals + {row['trainer']}"}
    told = ", ".join(f"{k} {v}" for k, v in options.items())
    return name.get(row["setting"], row["setting"]) + (f" ({told})" if told else "")


def medians(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for all repeats of a run, with the medians of its figures."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    order = {name: i for i, name in enumerate([*SIMULATED, UNEVEN, *REAL])}
    for row in sorted(rows, key=lambda r: (order[r["structure"]], r["rows"], r["epsilon"] or 0, called(r))):
        groups.setdefault((row["structure"], row["rows"], row["epsilon"], called(row)), []).append(row)
    names = ("tvd3", "tvd4", "own", "area", "seconds", "peak_mb")
    found = []
    for (structure, size, epsilon, name), runs in groups.items():
        figures = {k: None if runs[0][k] is None else statistics.median(r[k] for r in runs) for k in names}
        found.append(
            {"structure": structure, "rows": size, "epsilon": epsilon, "name": name, "runs": len(runs)}
            | figures
            | {"note": "; ".join(sorted({r.get("note", "") for r in runs} - {""}))}
        )
    return found


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "Made by `python benchmarks/structure.py`; medians over repeats. Distances stand with their floor behind them,",
        "that of other real rows; the area of a table whose columns are shuffled by themselves is the judge's scale.", "",
        "| structure | rows | epsilon | fitted by | runs | tvd3 / floor | tvd4 / floor | own / floor | area | real | shuffled "
        "| seconds | peak MB | machine |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    found = medians(rows)
    control = {(r["structure"], r["rows"], r["name"]): r for r in found if r["name"] in CONTROLS}
    for r in found:
        if r["name"] in CONTROLS:
            continue
        floor, worst = (control.get((r["structure"], r["rows"], c), {}) for c in CONTROLS)
        pairs = [f"{figure(r[k], 4)} / {figure(floor.get(k), 4)}" for k in ("tvd3", "tvd4", "own")]
        areas = [figure(x.get("area"), 3) for x in (r, floor, worst)]
        cells = [r["structure"], f"{r['rows']:,}", f"{r['epsilon']:g}", r["name"], str(r["runs"]), *pairs, *areas]
        lines.append("| " + " | ".join([*cells, f"{r['seconds']:.0f}", f"{r['peak_mb']:.0f}", r["note"]]) + " |")
    return "\n".join(lines) + "\n"


def figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def draw(rows: list[dict[str, Any]]) -> None:
    """structure.svg: area against rows, a panel for each structure and epsilon, a line for each name."""
    import altair as alt
    import vl_convert

    found = medians(rows)
    epsilons = sorted({r["epsilon"] for r in found if r["epsilon"] is not None})
    structures = list(dict.fromkeys(r["structure"] for r in found if r["epsilon"] is not None))
    if not epsilons:
        return
    points = [r for r in found if r["epsilon"] is not None]
    points += [
        r | {"epsilon": e} for r in found if r["name"] in CONTROLS and r["structure"] in structures for e in epsilons
    ]
    names = CONTROLS + sorted({r["name"] for r in points} - {*CONTROLS})
    kept = [{k: r[k] for k in ("structure", "rows", "epsilon", "name", "area")} for r in points]
    hues = [
        "#8a949c",
        "#c3c9ce",
        "#1f4e6b",
        "#b3541e",
        "#3b8a5a",
        "#7a4fa3",
        "#c29a1b",
        "#2a9db0",
        "#a83a5b",
        "#6b5b3a",
    ]
    colours = alt.Scale(domain=names, range=[hues[i % len(hues)] for i in range(len(names))])
    legend = alt.Legend(orient="bottom", columns=3, labelLimit=320)
    base = alt.Chart(alt.Data(values=kept)).encode(
        x=alt.X("rows:Q", title="rows", scale=alt.Scale(type="log"), axis=alt.Axis(format="~s", tickCount=4)),
        y=alt.Y("area:Q", title="area (0.5 is perfect)", scale=alt.Scale(domain=[0.48, 1.0])),
        color=alt.Color("name:N", title=None, scale=colours, sort=names, legend=legend),
    )
    lines = base.mark_line(strokeWidth=1.8).encode(
        strokeDash=alt.condition(alt.FieldOneOfPredicate("name", CONTROLS), alt.value([4, 3]), alt.value([1, 0]))
    )
    panel = (lines + base.mark_point(filled=True, size=28)).properties(width=200, height=140)
    chart = panel.facet(
        row=alt.Row("structure:N", title=None, sort=structures),
        column=alt.Column("epsilon:O", title="epsilon", sort=epsilons),
    )
    spec = chart.to_dict() | {
        "config": {"background": "white", "view": {"stroke": "#dfe3e1"}, "axis": {"gridColor": "#eef0ef"}}
    }
    (HERE / "results" / "structure.svg").write_text(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))


if __name__ == "__main__":
    main()
