"""The hash chain of the ledger: every entry carries the hash of the one before, so that any edit is detected.

Whoever can write the database can also recompute every hash after an edit, or cut entries off at the end. The defence
is a head: the hash of some entry, kept outside (each report and manifest prints one). A chain that still holds the
head holds everything before it unchanged (Haber, Stornetta 1991). What is written after the head must still make sense,
run by run: a reservation is not given back once rows were read, and nothing follows the end of a run.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from privsynth.errors import InputError, Problem

GENESIS = "0" * 64


class Entry(NamedTuple):
    """One entry of the ledger. `time` is informative only, since clocks jump; the order is that of `sequence`."""

    sequence: int
    time: str
    dataset: str
    run: str
    kind: str  # reserve | identify | charge | audit | settle | return
    body: str
    previous: str
    hash: str

    @classmethod
    def after(cls, last: tuple[int, str] | None, time: str, dataset: str, run: str, kind: str, body: str) -> Entry:
        """The entry that follows `last` = (sequence, hash); None: the first of all."""
        sequence, previous = last or (0, GENESIS)
        fields = (sequence + 1, time, dataset, run, kind, body, previous)
        return cls(*fields, digest(*fields))


def digest(sequence: int, time: str, dataset: str, run: str, kind: str, body: str, previous: str) -> str:
    """SHA-256 of an entry's fields; their lengths come first, so that no two entries have the same encoding."""
    lengths = f"{sequence} {len(time)} {len(dataset)} {len(run)} {len(kind)} {len(body)} "
    return hashlib.sha256(f"{lengths}{time}{dataset}{run}{kind}{body}{previous}".encode()).hexdigest()


@dataclass(frozen=True)
class Checked:
    """The result of checking a whole chain. problems: empty if nothing is wrong. head: the hash of the last entry."""

    problems: list[str]
    entries: int
    head: str


# what may follow what in one run; the first entry of a run is its reservation
_NEXT = {
    "": {"reserve"}, "reserve": {"identify", "charge", "audit", "settle", "return"},
    "identify": {"charge", "audit", "settle"}, "charge": {"charge", "audit", "settle"}, "audit": {"settle"},
}  # fmt: skip


def _nonsense(entry: tuple[Any, ...], before: str) -> bool:
    """True if no run writes this entry after one of kind `before`."""
    kind, body = entry[4], entry[5]
    if kind not in _NEXT.get(before, set()):
        return True
    if kind != "reserve":
        return False
    try:
        claim = json.loads(body)
        return not (0 < float(claim["epsilon"]) < math.inf and 0 < float(claim["delta"]) < 1)
    except (ValueError, KeyError, TypeError, RecursionError):
        return True


def check(entries: Iterable[tuple[Any, ...]], heads: Collection[str] = ()) -> Checked:
    """Follows a chain from its first entry. entries: as `Entry`, oldest first. heads: hashes kept outside."""
    problems: list[str] = []
    missing = set(heads) - {GENESIS}
    place, previous = 0, GENESIS
    kinds: dict[Any, Any] = {}  # of the newest entry of each run
    for entry in entries:
        place += 1
        if not problems and (entry[0] != place or entry[6] != previous or entry[7] != _digest_of(entry)):
            problems.append(f"entry {place} is missing" if entry[0] != place else f"entry {place} has been changed")
        elif not problems and _nonsense(entry, kinds.get(entry[3], "")):
            problems.append(f"entry {place} is not one that a run writes at this point: it was not added by a run")
        kinds[entry[3]] = entry[4]
        previous = entry[7]
        if missing:
            missing.discard(previous)
    problems += [
        f"the head {head[:16]}... kept outside is not in this ledger: entries have been cut off or rolled back"
        for head in sorted(missing)
    ]
    return Checked(problems, place, str(previous))


def check_export(file: Path, heads: Collection[str] = ()) -> Checked:
    """Checks the chain in a file that `privsynth ledger export` wrote. Raises InputError if it is no such file."""
    try:
        export = json.loads(file.read_text(encoding="utf-8"))
        entries = [tuple(entry[name] for name in Entry._fields) for entry in export["entries"]]
        return check(entries, [export["head"], *heads])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        rule = f"is not an export of a ledger ({type(error).__name__})"
        raise InputError(Problem(str(file), rule, "name a file that `privsynth ledger export` wrote")) from None


def _digest_of(entry: tuple[Any, ...]) -> str:
    try:
        return digest(*entry[:7])
    except (TypeError, UnicodeEncodeError):  # an empty field, or text that is not valid UTF-8
        return ""


__all__ = ["GENESIS", "Checked", "Entry", "check", "check_export", "digest"]
