"""The demo: an invented table, its policy, and a complete run with a separate ledger."""

from __future__ import annotations

from pathlib import Path

from privsynth.errors import InputError, Problem
from privsynth.pipeline import Outcome, run
from privsynth.policy import Policy
from privsynth.progress import Progress, silent
from privsynth.simulate import write_demo

POLICIES = Path(__file__).parent / "policy" / "demo"


def run_demo(kind: str, out: Path, trainer: str | None = None, progress: Progress = silent) -> Outcome:
    """Writes OUT/KIND.csv, runs the demo policy on it into OUT/KIND. Each call starts a new ledger in OUT.

    Raises InputError for a kind that is neither hospital nor finance.
    """
    try:
        data = write_demo(kind, out / f"{kind}.csv")  # type: ignore[arg-type]  # write_demo checks it and names the allowed kinds
    except OSError as error:
        rule = f"cannot be written: {error.strerror}"
        raise InputError(Problem(str(out), rule, "name another folder with --out")) from None
    ledger = out / "demo-ledger.sqlite"  # a separate name: a real ledger may be in the same folder
    ledger.unlink(missing_ok=True)  # invented people: their budget need not persist
    policy = Policy.load(POLICIES / f"demo-{kind}.yaml")
    return run(policy, data, out / kind, ledger=f"sqlite:///{ledger.absolute()}", trainer=trainer, progress=progress)
