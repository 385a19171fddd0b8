"""Runs work on independent blocks of rows, as many at a time as there are cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ReportShare = Callable[[float], None]  # takes the share that is done, from 0 to 1


def in_blocks(work: Callable[[int, ReportShare], np.ndarray], count: int, progress: ReportShare) -> np.ndarray:
    """The results of `work` for blocks 0 to count - 1, concatenated in that order.

    work: takes a block's number and a callback for its own progress. It must release Python's global lock in its long
    parts, as numba's and torch's kernels do, and draw random numbers from a generator of its own for each block: then a
    seed gives the same rows on any number of cores.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    done = [0.0] * count

    def one(i: int) -> np.ndarray:
        def report_share(share: float) -> None:
            done[i] = share
            progress(sum(done) / count)

        return work(i, report_share)

    with ThreadPoolExecutor(min(count, _cores())) as pool:
        return np.concatenate(list(pool.map(one, range(count))))


def _cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
