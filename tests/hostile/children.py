"""Processes that load mutants, one after another: a signal shows as a dead child, a hang as a silent one."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from model_mutants import Saved
from tiny import COMPONENTS, MIN_FITTED

ROWS = 20
LONGEST = 10.0  # seconds of a mutant
STARTING = 120.0  # seconds that a child may take until it is warm
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
NEVER = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "os.fork"}
CHANGING = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate"}


@dataclass
class Found:
    """What became of mutants. bad: (number, what happened) of each that neither gave rows nor was refused."""

    outcomes: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, str]] = field(default_factory=list)
    slowest: float = 0.0

    def add(self, number: int, outcome: str, seconds: float) -> None:
        self.outcomes[outcome if outcome in ("rows", "refused") else "bad"] += 1
        self.slowest = max(self.slowest, seconds)
        if outcome not in ("rows", "refused"):
            self.bad.append((number, outcome))


def try_all(models: Sequence[Path], numbers: Sequence[int], children: int = 2) -> Found:
    """Tries the mutants of these numbers; number i is one of model i % len(models)."""
    found, left = Found(), list(reversed(numbers))
    context = multiprocessing.get_context("spawn")
    busy: dict[Connection, tuple[Any, int | None, float]] = {}  # (child, mutant or None while it starts, since when)
    while left or busy:
        while left and len(busy) < children:
            _start(context, models, busy)
        ready = wait(list(busy), timeout=0.5)
        for pipe in ready:
            _hear(pipe, busy, left, found)  # type: ignore[arg-type]  # `wait` gives back the pipes that it was given
        now = time.monotonic()
        for pipe, (child, number, since) in list(busy.items()):
            if number is None:
                assert now - since < STARTING, "a child did not start"
            elif now - since > LONGEST:
                found.add(number, f"took more than {LONGEST:g} s", now - since)
                _stop(pipe, child, busy)
    return found


def _start(context: Any, models: Sequence[Path], busy: dict[Connection, Any]) -> None:
    """A new child, which gets a mutant once it says that it is warm. Nobody waits for it: the others' time runs on."""
    ours, theirs = context.Pipe()
    child = context.Process(target=_work, args=(theirs, list(models)), daemon=True)
    child.start()
    theirs.close()
    busy[ours] = (child, None, time.monotonic())


def _hear(pipe: Connection, busy: dict[Connection, Any], left: list[int], found: Found) -> None:
    child, number, since = busy[pipe]
    try:
        outcome = pipe.recv()
    except EOFError:
        child.join(10)
        outcome = f"died with {child.exitcode}"
    if number is not None:
        found.add(number, outcome, time.monotonic() - since)
    else:
        assert outcome == "warm", f"a child did not start: {outcome}"
    if left and child.is_alive():
        number = left.pop()
        pipe.send(number)
        busy[pipe] = (child, number, time.monotonic())
    else:
        _stop(pipe, child, busy)


def _stop(pipe: Connection, child: Any, busy: dict[Connection, Any]) -> None:
    pipe.close()
    child.kill()
    child.join()
    del busy[pipe]


def _work(pipe: Connection, models: list[Path]) -> None:
    """The child: sends "warm", then for each number what became of its mutant."""
    from privsynth import Synthesizer
    from privsynth.marginals import population
    from privsynth.trainers import vae

    warnings.simplefilter("ignore")
    population.MIN_FITTED = MIN_FITTED
    vae.COMPONENTS = COMPONENTS
    saved = [Saved.read(folder) for folder in models]
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "model", Path(place) / "out"
        folder.mkdir()
        out.mkdir()
        for model in models:  # what is compiled and imported at first use is written by then
            _rows(Synthesizer.load(model), out)
        outside = _watched(Path(place))
        pipe.send("warm")
        for number in _numbers(pipe):
            saved[number % len(saved)].mutant(number, folder)
            outcome = _outcome(folder, out)
            pipe.send(f"touched {outside[0]}" if outside else outcome)


def _numbers(pipe: Connection) -> Iterator[int]:
    while True:
        try:
            yield pipe.recv()
        except EOFError:
            return


def _outcome(folder: Path, out: Path) -> str:
    from privsynth import Synthesizer
    from privsynth.errors import InputError

    try:
        _rows(Synthesizer.load(folder), out)
    except InputError as error:
        left = [path.name for path in out.iterdir()]
        return f"left {left}" if left else _told(str(error))
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "rows"


def _told(text: str) -> str:
    """One problem, short, and nothing in it that a terminal obeys."""
    lines = text.split("\n")
    plain = len(lines) <= 2 and len(text) < 600 and all(line.isprintable() for line in lines)
    return "refused" if plain else f"said {text[:300]!r}"


def _rows(synthesizer: Any, out: Path) -> None:
    """Rows written as `privsynth sample` writes them, and taken away again. Raises what that raises."""
    from privsynth.release import write_table

    assert len(synthesizer.sample(3, seed=1)) == 3  # as a data frame, with the dtypes of the source
    blocks = list(synthesizer.sample_blocks(ROWS, seed=1))
    assert sum(map(len, blocks)) == ROWS
    for name in ("rows.csv", "rows.parquet"):
        write_table(synthesizer.layout, blocks, out / name)
        (out / name).unlink()


def _watched(place: Path) -> list[str]:
    """A list that fills with everything this process does to files outside of a folder from now on."""
    outside: list[str] = []

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event in NEVER:
            outside.append(event)
        elif event in CHANGING or (event == "open" and isinstance(given[2], int) and given[2] & WRITING):
            path = given[0]
            if isinstance(path, (str, os.PathLike)) and not Path(path).absolute().is_relative_to(place):
                outside.append(f"{event} {path}")

    sys.addaudithook(hook)
    return outside
