"""Runs that are kept: one line of JSON each, so that a benchmark stopped today goes on tomorrow.

A run is told by its key. What a line written by an earlier version does not say has a default.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

Row = dict[str, Any]

HERE = Path(__file__).resolve().parent
SHARED = HERE.parent.parent / "shared" / "bench"
BUSY = 2.5  # load at the start of a run from which its seconds say little on two cores
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # threads that wait for each other cost most


@dataclass(frozen=True)
class Runs:
    """file: JSON lines. key: the fields that tell a run. earlier: what lines of earlier versions leave out."""

    file: Path
    key: tuple[str, ...]
    earlier: Row

    def __iter__(self) -> Iterator[Row]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return (self.earlier | json.loads(line) for line in lines if line.strip())

    def missing(self, jobs: Iterable[Row]) -> Iterator[Row]:
        """Jobs that have no line yet; asked again before each, since another process may write to the file too."""
        for job in jobs:
            if self._name(job) not in {self._name(row) for row in self}:
                yield job

    def add(self, row: Row) -> None:
        self.file.parent.mkdir(exist_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def _name(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[field] for field in self.key)


def circumstances(note: str = "") -> Row:
    """What seconds hang on besides the code: the load before the run, a word by whoever runs it, the commit.

    A plus behind the commit: the package is not quite as committed.
    """
    commit = _git("describe", "--always").stdout.strip()
    changed = "+" if _git("diff", "--quiet", "HEAD", "--", HERE.parent / "privsynth").returncode else ""
    return {"load": round(os.getloadavg()[0], 1), "note": note, "commit": commit + changed}


def _git(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False)


def is_busy(row: Row) -> bool:
    """True if other work went on when the run began; unknown counts as busy."""
    return row["load"] is None or bool(row["load"] > BUSY)


@contextmanager
def splits(shared: Path, folder: Path | None) -> Iterator[Path]:
    """The folder of the splits, as given or made for the while."""
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory() as made:
        subprocess.run([sys.executable, shared / "prepare.py", made], check=True)
        yield Path(made)


def scores(folder: Path, synthetic: Path, shared: Path) -> Row:
    """Figures of the shared scorer."""
    sys.path.insert(0, str(shared))
    from score import score

    figures: Row = score(folder, synthetic)
    return figures


def structure(folder: Path, synthetic: Path) -> Row:
    """The package's own figures of structure: share of strong associations that is kept, and the area of a classifier that tells
    synthetic from training rows, with its floor, that of training rows and the holdout. None where undefined."""
    import numpy as np

    from privsynth.utility.association import correlations, retention
    from privsynth.utility.separation import separation

    schema = json.loads((folder / "schema.json").read_text())
    made, train, holdout = (typed(f, schema) for f in (synthetic, folder / "train.csv", folder / "holdout.csv"))
    rng = np.random.default_rng(0)
    left, apart = (
        retention(correlations(made, train, rng)),
        separation(made, train, holdout, units_of(folder, schema), rng),
    )
    areas = (None, None) if apart is None else (round(apart.area, 4), round(apart.floor, 4))
    return {"kept": round(left.kept / left.strong, 4) if left.strong else None} | dict(
        zip(("apart", "apart_floor"), areas, strict=True)
    )


def typed(file: Path, schema: Row) -> Any:
    """The modelled columns of a table as a schema says: categories, and numbers as float64."""
    import pandas as pd

    kinds = {c["name"]: pd.CategoricalDtype(c["categories"]) for c in schema["columns"] if c["kind"] == "categorical"}
    frame = pd.read_csv(file, dtype=dict.fromkeys(kinds, str), keep_default_na=False)
    columns = {
        c["name"]: frame[c["name"]].astype(kinds[c["name"]]) if c["name"] in kinds
        else pd.to_numeric(frame[c["name"]], errors="coerce").astype("float64")
        for c in schema["columns"]
    }  # fmt: skip
    return pd.DataFrame(columns)


def units_of(folder: Path, schema: Row) -> tuple[Any, Any] | None:
    """The units of the rows of both tables, where the schema names their column."""
    if not schema["unit"]:
        return None
    import pandas as pd

    files = (folder / "train.csv", folder / "holdout.csv")
    one, two = (pd.factorize(pd.read_csv(f, usecols=[schema["unit"]], dtype=str)[schema["unit"]])[0] for f in files)
    return one, two


def row_count(folder: Path, name: str = "train.csv") -> int:
    with (folder / name).open() as file:
        return sum(1 for _ in file) - 1


def peak_mb() -> int:
    """Of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def in_own_process(script: str, job: Row, shared: Path, folder: Path) -> Row:
    """What `script --one JOB` prints last: a process of its own, so that peak memory is this run's."""
    command = [sys.executable, script, "--shared", shared, "--splits", folder, "--one", json.dumps(job)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found
