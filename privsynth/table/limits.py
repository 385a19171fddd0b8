"""What no table may be: larger than memory, without rows, with a name twice. Messages never quote a value."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from privsynth.errors import InputError, Problem

A_CELL = 48  # bytes of memory, about, that a cell takes while it is typed, in addition to its text


def memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_size(size: int, cells: int, path: Path) -> None:
    """Raises InputError for what would not fit into memory, so that no small file can crash the process by unpacking to much.

    size: of the unpacked text, which is held about three times while it is read; cells: that are in it.
    """
    if 3 * size + A_CELL * cells > memory():
        rule = f"unpacks to more than fits into this machine's {memory() / 2**30:.1f} GiB of memory"
        raise InputError(Problem(str(path), rule, "read it on a larger machine, or leave columns out"))


def check_names(names: list[str], place: str) -> list[str]:
    often = Counter(names)
    twice = [str(i + 1) for i, name in enumerate(names) if often[name] > 1]
    if len(twice) > 5:
        twice = [*twice[:5], f"and {len(twice) - 5} more"]
    if twice:  # by position: in a file without a header the "names" are somebody's data
        raise InputError(
            Problem(place, f"column names repeat: columns {', '.join(twice)}", "give each column its own name")
        )
    return names
