"""A process that has loaded everything and forks one run for each line it reads: killing a run then costs no start-up.

Line: `POLICY DATA OUT LEDGER LOG`. Answers with the run's process number, and with its exit status once it is gone.
LOG gets the name of each mechanism the moment before it sees a row, so that a test knows more than the ledger does.
"""

from __future__ import annotations

import os
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


def main() -> None:
    policy = Policy.load(sys.argv[1])
    plan = make_plan(policy)
    pipeline.make_plan = lambda policy: plan  # the same policy has the same plan
    privsynth.marginals.gibbs.Layout.of((1, 1), [(0, 1)]).count(np.zeros((1, 2), np.int32))  # wakes numba up
    print("ready", flush=True)
    for line in sys.stdin:
        data, out, ledger, log = line.split()
        child = os.fork()
        if child == 0:
            _watch(log)
            try:
                run(policy, data, out, ledger=ledger)
                os._exit(0)
            except BaseException as error:
                print(error, file=sys.stderr, flush=True)
                os._exit(getattr(error, "exit_code", 1))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _watch(log: str) -> None:
    honest = Mechanism.answer

    def answer(self: Any, rows: Any, randomness: Any) -> Any:
        with open(log, "ab", buffering=0) as file:
            file.write(f"{self.name}\n".encode())
        return honest(self, rows, randomness)

    Mechanism.answer = answer  # type: ignore[method-assign]  # in this child process alone


if __name__ == "__main__":
    main()
