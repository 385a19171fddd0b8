"""What the peers' scripts share: the task, read from a split's folder, the clock, and the synthetic table on disk.

python run_FAMILY.py DIR METHOD EPSILON OUT.csv [--rows N] [--seed S]

DIR holds train.csv and schema.json (../shared/bench/prepare.py). Bounds and categories are public as the schema says,
delta is n^-1.1, one row is one unit. Prints one line of JSON: seconds and peak memory. A script runs in its peer's own
environment, where nothing but numpy and pandas is sure to be there; so nothing else is imported here.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Task:
    """One table to learn. frame: text for categories, whole numbers otherwise, in the schema's columns alone."""

    frame: pd.DataFrame
    columns: list[dict[str, Any]]
    method: str
    epsilon: float
    delta: float
    seed: int

    @property
    def categories(self) -> dict[str, list[str]]:
        """Public categories of each categorical column."""
        return {c["name"]: c["categories"] for c in self.columns if c["kind"] == "categorical"}

    @property
    def bounds(self) -> dict[str, tuple[int, int]]:
        """Public bounds of each numeric column, both within reach."""
        return {c["name"]: (c["lower"], c["upper"]) for c in self.columns if c["kind"] != "categorical"}


Sampler = Callable[[int], pd.DataFrame]  # number of rows -> as many synthetic ones


def main(fit: Callable[[Task], Sampler]) -> None:
    """Fits, samples as many rows as there were, writes them; a peer's script hands over its `fit`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("method")
    parser.add_argument("epsilon", type=float)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, help="the first rows alone, to see whether the peer runs at all")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    task = read(arguments.folder, arguments.method, arguments.epsilon, arguments.rows, arguments.seed)
    start = time.time()
    sample = fit(task)
    fitted = time.time() - start
    table = sample(len(task.frame))
    made = time.time() - start
    finished(table, task).to_csv(arguments.out, index=False)
    print(json.dumps({"fit_s": round(fitted, 1), "total_s": round(made, 1), "peak_mb": peak_mb()}))


def read(folder: Path, method: str, epsilon: float, rows: int | None, seed: int) -> Task:
    schema = json.loads((folder / "schema.json").read_text())
    kinds = {c["name"]: str if c["kind"] == "categorical" else "int64" for c in schema["columns"]}
    frame = pd.read_csv(folder / "train.csv", dtype=kinds, keep_default_na=False, usecols=list(kinds), nrows=rows)
    return Task(frame[list(kinds)], schema["columns"], method, epsilon, len(frame) ** -1.1, seed)


def finished(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Columns in order, numbers whole and within their public bounds: post-processing that does no peer harm."""
    table = table[list(task.frame.columns)].copy()
    for name, (low, high) in task.bounds.items():
        values = pd.to_numeric(table[name], errors="coerce").astype(float)
        table[name] = values.round().clip(low, high).astype("Int64")
    return table


def peak_mb() -> int:
    """Of this process, or of its largest child if that is larger."""
    used = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(used) // 1024
