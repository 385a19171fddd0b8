"""Grouping files: a public CSV `code,group` that maps raw codes to coarser categories; the first matching line wins.

A code is exact (`250.01`), a prefix (`V*`), or a numeric range (`001-139`: the code's whole part lies in it).
"""

from __future__ import annotations

import heapq
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from privsynth.errors import PolicyError, Problem
from privsynth.policy.beside import lines_of

_RANGE = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")
_NUMBER = re.compile(r"([0-9]{1,15})(?:\.[0-9]+)?")


@dataclass(frozen=True)
class Grouping:
    """rules: (code pattern, group) in the file's order. sha256: of the file's bytes."""

    rules: tuple[tuple[str, str], ...]
    sha256: str = ""

    @property
    def groups(self) -> list[str]:
        """The groups in order of first mention."""
        return list(dict.fromkeys(group for _, group in self.rules))

    def __call__(self, code: str) -> str | None:
        """The group of a code; None if no line matches.

        >>> Grouping((("V*", "V"), ("001-139", "infectious"))).__call__("38.5")
        'infectious'
        """
        first = min(self._lines(code), default=None)
        return None if first is None else self.rules[first][1]

    def _lines(self, code: str) -> Iterator[int]:
        """The first line of each kind that matches. By look-up, since a file may have as many lines as a table has codes."""
        exact, prefixes, lengths = self._places
        if code in exact:
            yield exact[code]
        yield from (prefixes[code[:n]] for n in lengths if n <= len(code) and code[:n] in prefixes)
        if number := _NUMBER.fullmatch(code):
            starts, lines = self._ranges
            yield from lines[bisect_right(starts, int(number[1]))]

    @cached_property
    def _places(self) -> tuple[dict[str, int], dict[str, int], list[int]]:
        """(line of each exact code, line of each prefix, lengths of prefixes)."""
        exact: dict[str, int] = {}
        prefixes: dict[str, int] = {}
        for line, (pattern, _) in enumerate(self.rules):
            exact.setdefault(pattern, line)
            if pattern.endswith("*"):
                prefixes.setdefault(pattern[:-1], line)
        return exact, prefixes, sorted({len(prefix) for prefix in prefixes})

    @cached_property
    def _ranges(self) -> tuple[list[int], list[list[int]]]:
        """(where intervals of numbers start, the first line whose range covers each interval; none before the first start)."""
        spans = [(line, _RANGE.fullmatch(pattern)) for line, (pattern, _) in enumerate(self.rules)]
        rising = sorted((int(span[1]), int(span[2]), line) for line, span in spans if span)
        starts = sorted({start for low, high, _ in rising for start in (low, high + 1)})
        lines: list[list[int]] = [[]]
        begun: list[tuple[int, int]] = []  # (line, highest), a heap whose top has not ended
        following = iter(rising)
        ahead = next(following, None)
        for start in starts:
            while ahead and ahead[0] <= start:
                heapq.heappush(begun, (ahead[2], ahead[1]))
                ahead = next(following, None)
            while begun and begun[0][1] < start:
                heapq.heappop(begun)
            lines.append([begun[0][0]] if begun else [])
        return starts, lines


def load_grouping(name: str, beside: Path | None) -> Grouping:
    """Reads a grouping from the policy's folder or below it, or one that ships with privsynth.

    Raises PolicyError if there is no such file there, or if it is malformed.
    """
    lines = lines_of(name, beside, "grouping")
    if lines.header != ("code", "group"):
        raise PolicyError(Problem(name, "a grouping file starts with the header `code,group`", "add it"))
    rules = tuple((line[0], line[1]) for line in lines.rows if len(line) == 2 and all(line))
    if len(rules) < len(lines.rows) or not rules:
        raise PolicyError(Problem(name, "a line does not have a code and a group", "write `code,group` on every line"))
    return Grouping(rules, lines.sha256)
