"""A process that has loaded everything and forks one run for each line it reads: killing a run then costs no start-up.

Line: `DATA OUT LEDGER LOG MOMENT`. Answers with the run's process number, and with its exit status once it is gone. A run
kills itself at the moment of this number (0 is the first; -1: at none): as each stage begins, and as each mechanism is asked.
LOG gets the name of each mechanism the moment before it sees a row, so that a test knows more than the ledger does.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

# ruff: noqa: F401
import altair
import dp_accounting.pld
import faker
import numpy as np
import sdmetrics.reports.single_table
import sklearn.ensemble
import vl_convert

import privsynth.assess
import privsynth.marginals.gibbs
import privsynth.privacy.mechanisms.dpsgd
import privsynth.report.charts
import privsynth.utility.sdmetrics_scores
from privsynth import Policy, pipeline, run
from privsynth.planning import make_plan
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.progress import Clock


def main() -> None:
    policy = Policy.load(sys.argv[1])
    plan = make_plan(policy)
    pipeline.make_plan = lambda policy: plan  # the same policy has the same plan
    privsynth.marginals.gibbs.Layout.of((1, 1), [(0, 1)]).count(np.zeros((1, 2), np.int32))  # wakes numba up
    print("ready", flush=True)
    for line in sys.stdin:
        data, out, ledger, log, moment = line.split()
        child = os.fork()
        if child == 0:
            _watch(log, int(moment))
            try:
                run(policy, data, out, ledger=ledger)
                os._exit(0)
            except BaseException as error:
                print(error, file=sys.stderr, flush=True)
                os._exit(getattr(error, "exit_code", 1))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _watch(log: str, last: int) -> None:
    honest, stage, left = Mechanism.answer, Clock.__call__, [last]

    def reached() -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    def answer(self: Any, rows: Any, randomness: Any) -> Any:
        with open(log, "ab", buffering=0) as file:
            file.write(f"{self.name}\n".encode())
        reached()
        return honest(self, rows, randomness)

    def begun(self: Any, name: str, work: Any) -> Any:
        reached()
        return stage(self, name, work)

    Mechanism.answer, Clock.__call__ = answer, begun  # type: ignore[method-assign]  # in this child process alone


if __name__ == "__main__":
    main()
