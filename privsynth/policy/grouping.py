"""Grouping files: a public CSV `code,group` that maps raw codes to coarser categories; the first matching line wins.

A code is exact (`250.01`), a prefix (`V*`), or a numeric range (`001-139`: the code's whole part lies in it).
"""

from __future__ import annotations

import csv
import hashlib
import heapq
import io
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath

from privsynth.errors import PolicyError, Problem
from privsynth.policy.column import CONTROL

SHIPPED = Path(__file__).parent / "groupings"
MAX_BYTES = 50_000_000
MAX_LINES = 1_000_000
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
    content = _bytes_of(name, beside)
    try:
        text = content.decode("utf-8-sig")
        lines = list(islice(csv.reader(io.StringIO(text, newline=""), strict=True), MAX_LINES + 2))
    except (UnicodeDecodeError, csv.Error):
        raise PolicyError(Problem(name, "cannot be read as a CSV in UTF-8", "save it as UTF-8 CSV")) from None
    header, *rest = lines or [[]]
    if [cell.strip() for cell in header] != ["code", "group"]:
        raise PolicyError(Problem(name, "a grouping file starts with the header `code,group`", "add it"))
    if len(rest) > MAX_LINES:
        raise PolicyError(Problem(name, f"has more than {MAX_LINES:,} lines", "join codes by a prefix or a range"))
    if CONTROL.search(text):
        hint = "leave it out: no cell that holds one can be read"
        raise PolicyError(Problem(name, "holds a control character", hint))
    filled = [tuple(cell.strip() for cell in line) for line in rest if line]
    rules = tuple((line[0], line[1]) for line in filled if len(line) == 2 and all(line))
    if len(rules) < len(filled) or not rules:
        raise PolicyError(Problem(name, "a line does not have a code and a group", "write `code,group` on every line"))
    return Grouping(rules, hashlib.sha256(content).hexdigest())


def _bytes_of(name: str, beside: Path | None) -> bytes:
    """The bytes of a grouping file, whose name must not lead out of the policy's folder."""
    if not _is_plain(name):
        rule = "a grouping is a file in the policy's folder or below it"
        hint = "copy it there; name it without `..`, leading `/`, drive or backslash"
        raise PolicyError(Problem(repr(name), rule, hint))
    for folder in (beside, SHIPPED):
        try:
            if folder is not None and ((place := folder / name).exists() or place.is_symlink()):
                return _read(name, place, folder)
        except (OSError, ValueError, RuntimeError):  # no permission, a name too long or not text, a cycle of links
            raise PolicyError(Problem(name, "cannot be read", "check the file and its permissions")) from None
    shipped = ", ".join(sorted(p.name for p in SHIPPED.glob("*.csv")))
    raise PolicyError(
        Problem(name, "no such grouping file beside the policy", f"put it there, or name one of: {shipped}")
    )


def _is_plain(name: str) -> bool:
    path, windows = PurePosixPath(name), PureWindowsPath(name)
    leads_out = path.is_absolute() or ".." in path.parts or windows.drive or "\\" in name
    return bool(name) and name.isprintable() and not leads_out


def _read(name: str, place: Path, folder: Path) -> bytes:
    """Raises PolicyError for a link that leads out of the folder, for what is no regular file, and for a huge file."""
    real = place.resolve(strict=True)
    if not real.is_relative_to(folder.resolve()):
        rule = "is a link that leads out of the policy's folder"
        raise PolicyError(Problem(name, rule, "copy the grouping into the policy's folder"))
    if not real.is_file():  # to open a pipe would wait for its other end
        raise PolicyError(Problem(name, "is not a regular file", "name a CSV file `code,group`"))
    with real.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        rule = f"is larger than {MAX_BYTES:,} bytes"
        raise PolicyError(Problem(name, rule, "join codes by a prefix or a range, such as `V*` or `001-139`"))
    return content
