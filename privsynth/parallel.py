"""Work on independent blocks of rows, as many at once as there are cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ReportShare = Callable[[float], None]  # the share that is done


def in_blocks(work: Callable[[int, ReportShare], np.ndarray], count: int, progress: ReportShare) -> np.ndarray:
    """What `work` makes of blocks 0 to count - 1, one after another in one array.

    work: takes a block's number and what to tell its own progress to. It must let go of Python's lock where it takes
    long, as numba's and torch's kernels do, and take random numbers from a source of the block's own: so a seed gives
    the same rows on any number of cores.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    done = [0.0] * count

    def one(i: int) -> np.ndarray:
        def told(share: float) -> None:
            done[i] = share
            progress(sum(done) / count)

        return work(i, told)

    with ThreadPoolExecutor(min(count, _cores())) as pool:
        return np.concatenate(list(pool.map(one, range(count))))


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
