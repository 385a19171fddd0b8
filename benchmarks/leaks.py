"""Which planted leaks the audit finds: python benchmarks/leaks.py [--shared ../shared/data] [--rows 5000] [--seed 0]

Each real table of the folder is split at random into people who are trained on, held out, and others. A sound table is made of the
others; leaks are planted in it (`planted.py`). Every table is audited without a policy, as any tool's output would be, with the
default thresholds. Writes results/leaks.md.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from planted import scenes

from privsynth import audit
from privsynth.report.words import smallest

OUT = Path(__file__).parent / "results" / "leaks.md"


class Line(NamedTuple):
    table: str
    leak: str
    found: list[str]
    recognised: float
    low: float
    finds: float | None
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tables", nargs="+", default=["adult", "credit_default", "diabetes130"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    lines = []
    for table, leak, people, made in scenes(options.shared, options.tables, options.rows, options.seed):
        start = time.monotonic()
        found = audit(made, people.train, people.holdout, rng=np.random.default_rng([options.seed, 1]))
        copied = next(f for f in found.findings if f.family == "copying")
        failed = [f.attack for f in found.findings if f.verdict == "fail"]
        lines.append(
            Line(
                table,
                leak,
                failed,
                copied.value or 0.0,
                copied.low or 0.0,
                copied.smallest_leak,
                time.monotonic() - start,
            )
        )
        print(lines[-1], flush=True)
    OUT.write_text(document(lines, options), encoding="utf-8")


def document(lines: list[Line], options: argparse.Namespace) -> str:
    heads = [
        "table",
        "leak",
        "recognised people, lower bound",
        "attacks that fail it",
        "finds one copied person in",
        "seconds",
    ]
    rows = [
        [
            line.table, line.leak, f"{100 * line.recognised:.1f} %, {100 * line.low:.2f} %", "; ".join(line.found) or "none",
            smallest(line.finds).removeprefix("one in "), f"{line.seconds:.0f}",
        ]
        for line in lines
    ]  # fmt: skip
    command = f"python benchmarks/leaks.py --rows {options.rows} --seed {options.seed}"
    table = "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])
    return f"# Planted leaks\n\n`{command}`\n\n{fits(lines)}\n\n{table}\n"


def fits(lines: Iterable[Line]) -> str:
    """R squared of the recognised share over the share copied, for each table."""
    told = []
    lines = list(lines)
    for table in dict.fromkeys(line.table for line in lines):
        points = [
            (0.0, line.recognised) for line in lines if line.table == table and line.leak == "sound: other people"
        ]
        for line in lines:
            if line.table == table and line.leak.startswith("copies, "):
                points.append((float(line.leak.removeprefix("copies, ").removesuffix(" %")) / 100, line.recognised))
        shares, found = np.array(points).T
        slope = float(np.polyfit(shares, found, 1)[0])
        told.append(f"{table}: R² {np.corrcoef(shares, found)[0, 1] ** 2:.4f}, slope {slope:.2f}")
    return "Recognised people over people copied (0 to 50 %), linear fit: " + "; ".join(told) + "."


if __name__ == "__main__":
    main()
