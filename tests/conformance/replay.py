"""Replay (arXiv 2602.17454): the code runs on neighbouring tables while every mechanism's noisy answer is frozen.

What each mechanism was asked then differs by at most its stated sensitivity, and everything else that leaves the fence
is the same, byte by byte. Random draws of units are frozen by unit, so that what one unit does to another shows.
"""

from __future__ import annotations

import datetime
import hashlib
import secrets
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privsynth.privacy.content import Fingerprint
from privsynth.privacy.mechanisms import MECHANISMS
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.privacy.mechanisms.dpsgd import DPSGD, Batch
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows

ROUNDING = 1e-9


def listed() -> list[type[Mechanism[Any, Any, Any]]]:
    """Every mechanism class there is."""
    found = []
    for place in sorted(MECHANISMS):
        module, _, name = place.rpartition(".")
        found.append(getattr(import_module(module), name))
    return found


@dataclass
class Tape:
    """What one run heard: (mechanism, exact answer, noisy answer) in order, and what was reported as progress meanwhile."""

    heard: list[tuple[Mechanism[Any, Any, Any], Any, Any]] = field(default_factory=list)
    reported: list[tuple[str, float]] = field(default_factory=list)

    def progress(self, what: str, share: float) -> None:
        self.reported.append((what, share))


@contextmanager
def recording(frozen: Tape | None = None) -> Iterator[Tape]:
    """Within the block, mechanisms answer as on the `frozen` tape, or freshly if there is none. All else that is random
    is the same in every block: keys, clocks, run numbers, and each unit's random draws and latent noise in DP-SGD, where
    everybody joins. So is the table's fingerprint: the ledger's head, which a release prints, commits to it under a key
    that never leaves the database (docs/privacy.md, section 7)."""
    tape = Tape()
    with pytest.MonkeyPatch.context() as patch:
        for kind in listed():
            _freeze_noise(patch, kind, tape, frozen)
        patch.setattr(DPSGD, "joining", everybody)
        _freeze_surroundings(patch)
        yield tape


def _freeze_noise(patch: pytest.MonkeyPatch, kind: Any, tape: Tape, frozen: Tape | None) -> None:
    honest = kind.noised

    def noised(self: Any, exact: Any, randomness: Randomness) -> Any:
        place = len(tape.heard)
        if frozen is None:
            noisy = honest(self, exact, Randomness(place))  # its own stream: how much it takes depends on nothing else
        else:
            assert place < len(frozen.heard), "a mechanism more than on the other table"
            assert frozen.heard[place][0].name == self.name, "another mechanism than on the other table"
            noisy = frozen.heard[place][2]
        tape.heard.append((self, exact, noisy))
        return noisy

    patch.setattr(kind, "noised", noised)


def settings(mechanism: Mechanism[Any, Any, Any]) -> dict[str, Any]:
    """What a mechanism was set up with: public, so the same on neighbours. A setting may decide the noise alone."""
    assert is_dataclass(mechanism)
    held = {each.name: getattr(mechanism, each.name) for each in fields(mechanism)}
    plain = {name: value for name, value in held.items() if not callable(value)}
    return plain | {"event": mechanism.event}


def everybody(self: DPSGD, rows: Rows[Any], randomness: Randomness) -> Batch:
    """Every unit joins, with a row and with latent noise that depend on its own number alone."""
    first, count = rows.spans
    numbers = rows.units[first].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    chosen = first + ((numbers >> np.uint64(33)) % count.astype(np.uint64)).astype(np.int64)
    spread = (numbers[:, None] >> np.uint64(40)) * np.arange(1, self.latent + 1, dtype=np.uint64) % np.uint64(997)
    return Batch(rows.values[chosen], rows.units[chosen], spread / 249.0 - 2.0)


def _freeze_surroundings(patch: pytest.MonkeyPatch) -> None:
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls(2026, 1, 1, tzinfo=tz)

    counter = iter(range(10**9))
    patch.setattr(secrets, "token_bytes", lambda n=32: hashlib.sha256(b"replay").digest()[:n])
    patch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=next(counter)))
    patch.setattr(time, "perf_counter", lambda: 0.0)
    patch.setattr("privsynth.table.fingerprint.fingerprint", lambda raw, key, *_: Fingerprint("0" * 64))
    for module in ("privsynth.pipeline", "privsynth.ledger.database"):
        patch.setattr(f"{module}.datetime", Clock)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def compare(one: Tape, other: Tape) -> dict[str, float]:
    """Largest distance of exact answers for each mechanism, in units of its stated sensitivity."""
    assert len(one.heard) == len(other.heard), "a mechanism more on one of the tables"
    found: dict[str, float] = {}
    for (mechanism, exact, _), (counterpart, another, _) in zip(one.heard, other.heard, strict=True):
        assert settings(mechanism) == settings(counterpart), (
            f"{mechanism.name} is set up otherwise than on the other table"
        )
        found[mechanism.name] = max(found.get(mechanism.name, 0.0), mechanism.distance(exact, another))
    return found


def replay(work: Callable[[Any, Tape], Any], table: Any, neighbour: Any) -> dict[str, float]:
    """Runs `work(table, tape)` on both, the second with frozen answers. What it returns must be equal; distances come
    back, each asserted to be at most 1."""
    with recording() as first:
        left = work(table, first)
    with recording(first) as second:
        right = work(neighbour, second)
    distances = compare(first, second)
    too_far = {name: distance for name, distance in distances.items() if distance > 1 + ROUNDING}
    assert not too_far, f"inputs further apart than stated: {too_far}"
    assert first.reported == second.reported, "the reported progress differs"
    assert left == right, f"what left the fence differs: {_where(left, right)}"
    return distances


def _where(left: Any, right: Any) -> Any:
    if isinstance(left, dict) and isinstance(right, dict):
        return sorted(key for key in {*left, *right} if left.get(key) != right.get(key))
    return f"{type(left).__name__}"
