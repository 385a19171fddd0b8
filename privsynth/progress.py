"""Shows progress on stderr: a bar with the time left on a terminal, one line for each stage elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
Progress = Callable[[str, float], None]  # (what is being done, share done)


def silent(what: str, share: float) -> None:
    """A progress callback that shows nothing."""


class Clock:
    """Times the stages and reports to `progress` which one is running."""

    def __init__(self, progress: Progress):
        self.progress, self.stage = progress, ""
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, work: Callable[[], T]) -> T:
        self.stage, start = stage, time.perf_counter()
        self.progress(stage, 0.0)
        try:
            return work()
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 2)
            self.progress(stage, 1.0)

    def inner(self, what: str, share: float) -> None:
        """Reports progress inside the current stage."""
        self.progress(f"{self.stage}: {what}", share)


@contextmanager
def watching() -> Iterator[Progress]:
    """A progress callback that shows bars for as long as the block runs."""
    if not sys.stderr.isatty():
        yield _plain()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}
        doing: dict[str, str] = {}

        def report_progress(what: str, share: float) -> None:
            """One bar for each stage; a new step inside a stage starts its bar, and its clock, again."""
            stage, _, step = what.partition(": ")
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0)
            elif doing[stage] != step and step:
                bars.reset(tasks[stage], total=1.0)
            doing[stage] = step
            shown = f"{stage}: {step}" if step and share < 1 else stage
            bars.update(tasks[stage], completed=min(share, 1.0), description=shown)

        yield report_progress


def _plain() -> Progress:
    shown: set[str] = set()

    def report_progress(what: str, share: float) -> None:
        if what not in shown:
            shown.add(what)
            print(f"... {what}", file=sys.stderr, flush=True)

    return report_progress
