"""Work that may end its process, done in children: one after another in the same child, as long as it lives."""

from __future__ import annotations

import faulthandler
import os
import resource
import time
from collections.abc import Callable

TOGETHER = 25  # in one child: a fork of a process that has loaded everything takes longer than a small file
MEMORY, SECONDS = 4 << 30, 20  # of a child, and of a piece of work
WRONG = 2


def outcomes(count: int, work: Callable[[int], int]) -> list[int]:
    """For each number below count what work(number) returns, 0 to 255; WRONG if it raises, minus the signal that ends it."""
    found: list[int] = []
    while len(found) < count:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            _do(range(len(found), min(count, len(found) + TOGETHER)), work, write)
        os.close(write)
        with os.fdopen(read, "rb") as answers:
            found.extend(answers.read())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            found.append(min(status, WRONG))
    return found


def _do(numbers: range, work: Callable[[int], int], write: int) -> None:
    """The child: never returns."""
    code = WRONG
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        faulthandler.disable()
        for number in numbers:
            end = int(time.process_time()) + SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (end, resource.getrlimit(resource.RLIMIT_CPU)[1]))
            os.write(write, bytes([work(number)]))
        code = 0
    finally:
        os._exit(code)
