"""How much one patient may contribute: python benchmarks/contribution.py [--scheme clipped-10 ...] [--epsilon 1 ...]

Compares what a unit with several rows may add to the noisy tables, on diabetes130 with the patient as unit, trainer
`marginals`, figures on the table of encounters by the shared scorer. Each run adds a row to results/contribution.jsonl,
and runs that stand there are not repeated; results/contribution.md is written from all of them.

What production code does is asked for by policy. The rest are experiments: `patched` puts other functions in their
place, in the process of one run, and says why the claim still holds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from quality import measured, policy_of
from quality_table import finished, medians, spread
from runs import BUSY, HERE, SHARED, Row, Runs, circumstances, in_own_process, is_busy, row_count, splits

RUNS = Runs(HERE / "results" / "contribution.jsonl", key=("scheme", "epsilon", "repeat"), earlier={"load": None})
DATA = "diabetes130"
HEAD = (
    "epsilon",
    "scheme",
    "rows used",
    "weights",
    "stratum",
    "runs",
    "tvd1",
    "tvd2",
    "tvd3",
    "AUC",
    "total s",
    "machine",
)


@dataclass(frozen=True)
class Scheme:
    """max_rows: random rows of a patient that are used at most. equal: each weighs 1/rows, else vectors are clipped.

    stratum: rows per patient as a hidden column, and samples drawn in its measured mix.
    """

    max_rows: int
    equal: bool = False
    stratum: bool = True


SCHEMES = {
    "rows-1": Scheme(1, stratum=False),  # every patient has one row: there is nothing to weigh and no stratum
    "rows-2": Scheme(2),
    "rows-2-no-stratum": Scheme(2, stratum=False),
    "rows-4": Scheme(4),
    "rows-4-no-stratum": Scheme(4, stratum=False),
    "equal-10": Scheme(10, equal=True),
    "equal-10-no-stratum": Scheme(10, equal=True, stratum=False),
    "clipped-10": Scheme(10),  # the policy of quality.py
    "clipped-10-no-stratum": Scheme(10, stratum=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scheme", nargs="+", choices=SCHEMES, default=list(SCHEMES))
    parser.add_argument("--epsilon", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--note", default="", help="a word on the machine, kept with each run")
    parser.add_argument("--splits", type=Path, help="folder that prepare.py has written; else it runs first")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(json.loads(arguments.one), arguments.splits / DATA, arguments.shared)))
        return
    jobs = (
        {"scheme": scheme, "epsilon": epsilon, "repeat": repeat}
        for repeat in range(arguments.repeats)
        for epsilon in arguments.epsilon
        for scheme in arguments.scheme
    )
    with splits(arguments.shared, arguments.splits) as folder:
        for job in RUNS.missing(jobs):
            about = circumstances(arguments.note)
            RUNS.add(in_own_process(__file__, job, arguments.shared, folder) | about)
            RUNS.file.with_suffix(".md").write_text(report(list(RUNS)))
    RUNS.file.with_suffix(".md").write_text(report(list(RUNS)))


def one(job: Row, folder: Path, shared: Path) -> Row:
    """Trains, samples and scores once."""
    scheme = SCHEMES[job["scheme"]]
    asked = {"unit": "patient", "max_rows": scheme.max_rows, "trainer": "marginals", "epsilon": job["epsilon"]}
    schema = json.loads((folder / "schema.json").read_text())
    with patched(scheme):
        return job | measured(policy_of(schema, row_count(folder), asked), folder, shared)


@contextmanager
def patched(scheme: Scheme) -> Iterator[None]:
    """EXPERIMENT, never production: the parts of privsynth that a scheme changes, for the while."""
    from privsynth.encoding import domain
    from privsynth.privacy.mechanisms import tables
    from privsynth.sampling.synthesizer import Synthesizer

    with ExitStack() as stack:
        if scheme.equal:
            stack.enter_context(patch.object(tables, "unit_weights", equal_weights))
        if not scheme.stratum and scheme.max_rows > 1:
            # Private all the same: the mechanisms see fewer columns of the same rows, at the price of the same plan
            # (which still buys the unit sizes, so that schemes differ in this alone); sampling is post-processing.
            learn = domain.learn_domain

            def without_stratum(*arguments: Any) -> domain.Domain:
                learned = learn(*arguments)
                # `mix` stays, since by it the code knows that rows are weighted and their sum is no row count
                return replace(learned, columns=learned.columns[:-1])

            def unmixed(self: Synthesizer, n: int, rng: np.random.Generator, progress: Any) -> np.ndarray:
                return self.model.sample(n, rng, progress)

            stack.enter_context(patch.object(domain, "learn_domain", without_stratum))
            stack.enter_context(patch.object(Synthesizer, "_mixed", unmixed))
        yield


def equal_weights(codes: np.ndarray, units: np.ndarray, members: Any, shares: np.ndarray) -> np.ndarray:
    """EXPERIMENT: (rows,) 1/rows of the unit for each row, in place of `unit_weights`; rounded down to its lattice.

    Why the claim still holds. Take the tables scaled by the roots of their shares as one vector. One row of weight 1
    adds to it a vector of norm root(sum of shares) <= 1, since it lies in one cell of each table and shares sum to at
    most 1. A unit of r rows adds r such vectors times at most 1/r: by the triangle inequality a vector of norm at most
    1. No other unit's weights hang on it. So adding or removing a unit moves the whole by at most 1 in L2, which is
    what the mechanisms' events state; weights on the noise lattice keep the sums exact, as in production.
    """
    from privsynth.privacy.noise import to_lattice

    if not len(units):
        return np.zeros(0)
    unit_of = np.cumsum(np.concatenate([[True], units[1:] != units[:-1]])) - 1
    return np.asarray(to_lattice((1 - 1e-9) / np.bincount(unit_of))[unit_of])


def report(rows: list[Row]) -> str:
    lines = [
        "Made by `python benchmarks/contribution.py`: diabetes130, the patient as unit, trainer `marginals`.", "",
        "Medians over repeats, ranges behind them. `clipped`: each patient's vector of counts over all tables is",
        "shortened to length 1 where it is longer (production code, also after truncation to two or four rows);",
        "`1/rows`: each row of a patient weighs that much (experiment). Stratum: rows per patient as a hidden column and",
        "samples in its measured mix; without it an experiment. 2 shared cores; `busy`: the load was above",
        f"{BUSY} when a run began.", "",
        f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|",
    ]  # fmt: skip
    order = list(SCHEMES)
    groups: dict[tuple[float, str], list[Row]] = {}
    for row in sorted(rows, key=lambda r: (r["epsilon"], order.index(r["scheme"]))):
        groups.setdefault((row["epsilon"], row["scheme"]), []).append(row)
    lines += [line(epsilon, name, found) for (epsilon, name), found in groups.items()]
    return "\n".join(lines) + "\n"


def line(epsilon: float, name: str, rows: list[Row]) -> str:
    scheme, mid = SCHEMES[name], medians(rows)
    weights = "1" if scheme.max_rows == 1 else "1/rows" if scheme.equal else "clipped"
    cells = [
        f"{epsilon:g}", name, str(scheme.max_rows), weights, "yes" if scheme.stratum else "no", str(len(finished(rows))),
        f"{mid['tvd1']:.4f}", f"{mid['tvd2']:.4f}", f"{mid['tvd3']:.4f} ({spread(rows, 'tvd3')})",
        f"{mid['auc']:.3f} ({spread(rows, 'auc')})", f"{mid['total_s']:.0f}",
        "busy" if any(map(is_busy, rows)) else "",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
