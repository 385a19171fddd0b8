"""Wide tables: python benchmarks/wide.py [--columns 321 --rows 5000 --epsilon 1 3 10 30 100 --repeats 1]

A table of invented people with many columns: numbers, whole numbers, yes or no, categories; two thirds of the columns belong
to blocks of eight that hang together, every twentieth is nearly a copy of the one before. `auto` learns it and gives a sample
of as many rows. Correlations are of numbers and of the places of categories in their order; their truth is that of 200,000
other rows of the same law. Each run adds a row to results/wide.jsonl, and runs that stand there are not repeated;
results/wide.md is written from all of them. Runs have a development seed, so that versions of the package are compared under
the same noise.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from runs import HERE, SHARED, Row, Runs, circumstances, in_own_process, peak_mb

RUNS = Runs(HERE / "results" / "wide.jsonl", key=("columns", "rows", "epsilon", "repeat", "note"), earlier={"note": ""})
BLOCK, TWIN = 8, 20
PART, PARTS = 5_000, 40  # of the rows that stand for the truth
STRONG, WEAK = 0.5, 0.05  # correlations
SIZES = (3, 4, 5, 8, 12)
FIGURES = ("one_way", "one_way_model", "correlation", "independent", "weak", "strong", "strong_independent")
SECONDS = ("measure_s", "population_s", "fit_s", "sample_s")


@dataclass(frozen=True)
class Column:
    """cuts: of a category; block: columns of one block share a factor, with this loading; twin: nearly a copy of that column."""

    kind: str
    cuts: np.ndarray
    block: int
    loading: float
    twin: int
    skewed: bool


def law(columns: int, seed: int = 0) -> list[Column]:
    rng, made = np.random.default_rng(seed), []
    for j in range(columns):
        kind = ("integer", "number", "yes or no", "category", "category")[rng.integers(5)]
        cuts = {
            "yes or no": np.array([rng.choice([0.0, 0.8, 1.6, 2.3])]),
            "category": np.sort(rng.normal(size=rng.choice(SIZES) - 1)),
        }.get(kind, np.zeros(0))
        block = j // BLOCK if rng.random() < 0.7 else -1
        loading = rng.uniform(0.3, 0.9) * rng.choice([-1, 1])
        made.append(Column(kind, cuts, block, loading, j - 1 if j % TWIN == TWIN - 1 else -1, rng.random() < 0.3))
    return made


def scores(columns: list[Column], rows: int, seed: int) -> np.ndarray:
    """(rows, columns) what the table shows of each person, as numbers."""
    rng = np.random.default_rng(seed)
    factors, z = rng.normal(size=(rows, len(columns) // BLOCK + 1)), np.empty((rows, len(columns)))
    shown = np.empty_like(z)
    for j, column in enumerate(columns):
        own = rng.normal(size=rows)
        z[:, j] = own
        if column.block >= 0:
            z[:, j] = column.loading * factors[:, column.block] + np.sqrt(1 - column.loading**2) * own
        if column.twin >= 0:
            z[:, j] = 0.97 * z[:, column.twin] + np.sqrt(1 - 0.97**2) * own
        if len(column.cuts):
            shown[:, j] = np.searchsorted(column.cuts, z[:, j])
        elif column.kind == "integer":
            shown[:, j] = np.clip(np.round(20 + 6 * z[:, j]), 0, 60)
        else:
            shown[:, j] = np.round(np.clip(np.exp(z[:, j]) if column.skewed else 50 + 15 * z[:, j], 0, 120), 1)
    return shown


def as_table(columns: list[Column], shown: np.ndarray) -> pd.DataFrame:
    values = {}
    for j, column in enumerate(columns):
        one = shown[:, j]
        if len(column.cuts):
            one = np.array([f"v{i}" for i in range(len(column.cuts) + 1)])[one.astype(int)]
        values[f"c{j:03d}"] = one.astype(int) if column.kind == "integer" else one
    return pd.DataFrame(values)


def as_scores(columns: list[Column], table: pd.DataFrame) -> np.ndarray:
    ordered = [table[n].astype(str).str[1:] if len(c.cuts) else table[n] for n, c in zip(table, columns, strict=True)]
    return np.stack([np.asarray(one, float) for one in ordered], 1)


def policy_of(columns: list[Column], rows: int, epsilon: float, seed: int | None) -> dict[str, Any]:
    specs: dict[str, Any] = {}
    for j, column in enumerate(columns):
        if len(column.cuts):
            spec: dict[str, Any] = {
                "kind": "category",
                "categories": [f"v{i}" for i in range(len(column.cuts) + 1)],
            }
        elif column.kind == "integer":
            spec = {"kind": "integer", "bounds": [0, 60]}
        else:
            spec = {"kind": "number", "bounds": [0, 120], "decimals": 1}
        specs[f"c{j:03d}"] = spec | {"nullable": False}
    return {
        "privsynth": 1, "dataset": {"id": "wide", "rows": rows}, "unit": "row", "trainer": {"name": "auto"},
        "budget": {"epsilon": epsilon, "delta": 1e-6}, "columns": specs, "seed": seed,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=321)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--epsilon", nargs="+", type=float, default=[1.0, 3.0, 10.0, 30.0, 100.0])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--note", default="", help="a word on the package or the machine, kept with each run")
    parser.add_argument("--shared", default=SHARED, help=argparse.SUPPRESS)
    parser.add_argument("--splits", help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(json.loads(asked.one))))
        return
    jobs = (
        {"columns": asked.columns, "rows": asked.rows, "epsilon": epsilon, "repeat": repeat, "note": asked.note}
        for repeat in range(asked.repeats) for epsilon in asked.epsilon
    )  # fmt: skip
    for job in RUNS.missing(jobs):
        RUNS.add(in_own_process(__file__, job, SHARED, HERE) | circumstances(asked.note))
        write()
    write()


def one(job: Row) -> Row:
    """Trains, samples and compares once."""
    import yaml

    from privsynth import Policy, fit

    columns = law(job["columns"])
    shown = scores(columns, job["rows"], 1)
    real = as_table(columns, shown)
    policy = Policy.from_text(
        yaml.safe_dump(policy_of(columns, job["rows"], job["epsilon"], job["repeat"]), sort_keys=False)
    )
    with stages() as seconds:
        start = time.process_time()
        synthesizer = fit(policy, real, ledger="sqlite://")
        fitted = time.process_time()
        made = synthesizer.sample(job["rows"], seed=job["repeat"])
        seconds |= {"fit_s": fitted - start, "sample_s": time.process_time() - fitted}
    codes = synthesizer.model.sample(job["rows"], np.random.default_rng(0), lambda *_: None)
    off = [
        0.5 * np.abs(np.bincount(codes[:, j], minlength=column.size) / len(codes) - column.shares).sum()
        for j, column in enumerate(synthesizer.codec.columns)
    ]
    rng = np.random.default_rng(0)
    apart = np.stack([rng.permutation(shown[:, j]) for j in range(shown.shape[1])], 1)
    truth, found, none = correlations_of_the_law(columns), correlations(as_scores(columns, made)), correlations(apart)
    each, strong, weak = np.triu_indices(len(columns), 1), np.abs(truth) > STRONG, np.abs(truth) < WEAK
    upper = np.zeros_like(strong)
    upper[each] = True
    figures = {
        "one_way": np.mean([one_way(shown[:, j], as_scores(columns, made)[:, j]) for j in range(len(columns))]),
        "one_way_model": np.mean(off),
        "correlation": np.abs(found - truth)[each].mean(),
        "independent": np.abs(none - truth)[each].mean(),
        "weak": np.abs(found - truth)[weak & upper].mean(),
        "strong": np.abs(found - truth)[strong & upper].mean(),
        "strong_independent": np.abs(none - truth)[strong & upper].mean(),
        "tables": len(synthesizer.model.marginal_model.targets),
    }
    return (
        job
        | {name: round(float(value), 5) for name, value in figures.items()}
        | {name: round(value, 1) for name, value in seconds.items()}
        | {"peak_mb": peak_mb()}
    )


@contextmanager
def stages() -> Iterator[dict[str, float]]:
    """Seconds of a processor that measuring and fitting take, as they come to be known."""
    from privsynth.marginals import measure
    from privsynth.marginals.population import MarginalModel

    seconds: dict[str, float] = {}

    def timed(name: str, work: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return work(*args, **kwargs)
            finally:
                seconds[name] = seconds.get(name, 0.0) + time.process_time() - start

        return run

    with ExitStack() as stack:
        stack.enter_context(patch.object(measure, "measure_marginals", timed("measure_s", measure.measure_marginals)))
        stack.enter_context(patch.object(MarginalModel, "population", timed("population_s", MarginalModel.population)))
        yield seconds


def one_way(real: np.ndarray, made: np.ndarray) -> float:
    """Total variation distance, of numbers in ten bins of equal shares."""
    edges = np.unique(np.quantile(real, np.linspace(0, 1, 11)[1:-1])) if len(np.unique(real)) > 12 else np.unique(real)
    one, other = (np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1) / len(x) for x in (real, made))
    return float(0.5 * np.abs(one - other).sum())


def correlations(shown: np.ndarray) -> np.ndarray:
    """Zero for a column that is constant."""
    centred = shown - shown.mean(0)
    spread = np.sqrt((centred**2).mean(0))
    return centred.T @ centred / len(shown) / np.maximum(np.outer(spread, spread), 1e-9)


def correlations_of_the_law(columns: list[Column]) -> np.ndarray:
    total, products = np.zeros(len(columns)), np.zeros((len(columns),) * 2)
    for part in range(PARTS):
        shown = scores(columns, PART, 100 + part)
        total, products = total + shown.sum(0), products + shown.T @ shown
    mean = total / (PART * PARTS)
    covariance = products / (PART * PARTS) - np.outer(mean, mean)
    return covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))


def write() -> None:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in RUNS:
        groups.setdefault((row["columns"], row["rows"], row["epsilon"], row["note"]), []).append(row)
    lines = [
        "Made by `python benchmarks/wide.py`; medians over repeats. *One-way*: mean total variation distance of single columns",
        "from the real ones; *from the model*: from the model's own shares. Correlations: mean absolute error over all pairs",
        f"of columns, over those below {WEAK} and those above {STRONG}; beside it that of independent columns. Tables: that rows",
        "follow. Seconds are those of one processor.", "",
        "| columns | rows | epsilon | code | one-way | from the model | correlations | independent | weak | strong | independent "
        "| tables | measuring s | population s | fit s | sample s | peak MB |", "|" + "---|" * 17,
    ]  # fmt: skip
    for (columns, rows, epsilon, note), runs in sorted(groups.items()):
        middle = {
            name: float(np.median([run[name] for run in runs])) for name in (*FIGURES, *SECONDS, "tables", "peak_mb")
        }
        code = f"{note} ({runs[-1]['commit']})" if note else runs[-1]["commit"]
        cells = [f"{columns}", f"{rows:,}", f"{epsilon:g}", code, *(f"{middle[name]:.4f}" for name in FIGURES)]
        cells += [f"{middle['tables']:.0f}", *(f"{middle[name]:.0f}" for name in (*SECONDS, "peak_mb"))]
        lines.append("| " + " | ".join(cells) + " |")
    (HERE / "results" / "wide.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
