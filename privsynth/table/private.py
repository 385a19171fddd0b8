"""The fence: private rows, and the few gates through which code reaches them.

The fence in time: while a run may still learn, rows are reached by a charged mechanism alone, and only by one that
`privacy.mechanisms` lists; once it can learn no more, the audit may open them, and nothing can be charged any longer.
Python cannot stop code that bypasses the fence on purpose; it stops mistakes, and shows a reviewer the few gates.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from privsynth.errors import PrivsynthError, Problem, Refused
from privsynth.privacy.mechanisms import MECHANISMS
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.privacy.run import Run
from privsynth.privacy.unit import Rows

ENCODERS = frozenset({
    "privsynth.encoding.domain.Domain", "privsynth.encoding.histograms.Scales", "privsynth.encoding.codec.Codec",
    "privsynth.encoding.codec.Groups", "privsynth.encoding.readable.Readability",
})  # fmt: skip

Values = TypeVar("Values")
Released = TypeVar("Released")


class Encoder(Protocol):
    """Maps rows to codes, each row by itself, and each unit's stratum from its own rows."""

    def encode(self, rows: Rows[Any]) -> Rows[np.ndarray]: ...


_FENCED: WeakKeyDictionary[Any, Rows[Any]] = (
    WeakKeyDictionary()
)  # the rows of private tables, kept apart from the objects


class PrivateTable(Generic[Values]):
    """Rows behind a fence."""

    __slots__ = ("__weakref__",)

    def __init__(self, rows: Rows[Values]):
        _FENCED[self] = rows

    def measure(self, mechanism: Mechanism[Any, Any, Released], run: Run) -> Released:
        """Charges the mechanism, then runs it. What comes back is released: free to be saved, printed, processed.

        Raises Refused for a mechanism that is not one of `MECHANISMS`, or that the plan has not paid for.
        """
        if not _is_listed(mechanism, MECHANISMS):
            raise Refused(Problem("private rows", f"{_place(mechanism)} is not a listed mechanism", _GATES))
        run.charge(mechanism.name, mechanism.event)
        with without_values(mechanism.name):
            return mechanism.answer(_FENCED[self], run.randomness)

    def encoded(self, encoder: Encoder) -> PrivateTable[np.ndarray]:
        """The same rows as codes, still behind the fence. Raises Refused for anything but `ENCODERS`."""
        if not _is_listed(encoder, ENCODERS):
            raise Refused(Problem("private rows", f"{_place(encoder)} is not an encoder", _GATES))
        with without_values("encoding"):
            return PrivateTable(encoder.encode(_FENCED[self]))

    def __reduce__(self) -> Any:
        raise TypeError("a private table is neither copied nor pickled")

    def __repr__(self) -> str:
        return "PrivateTable(...)"


_GATES = "rows are reached by a mechanism listed in privacy/mechanisms/__init__.py, or by the audit after learning"


def _place(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _is_listed(thing: object, places: frozenset[str]) -> bool:
    """True for exactly the classes at these places, and not for another class of the same name."""
    kind = type(thing)
    return _place(thing) in places and getattr(sys.modules[kind.__module__], kind.__qualname__, None) is kind


@contextmanager
def without_values(what: str) -> Iterator[None]:
    """An error raised behind the fence may quote a value in its message: only its type is passed on.

    No warning is passed on at all: one row with a number like 1e305 would decide whether arithmetic warns.
    """
    shown = bool(os.environ.get("PRIVSYNTH_TRACEBACK"))
    try:
        with np.errstate(all=None if shown else "ignore"), warnings.catch_warnings():
            if not shown:
                warnings.simplefilter("ignore")
            yield
    except PrivsynthError:
        raise
    except Exception as error:
        if shown:
            raise
        raise RuntimeError(f"{what} failed: {type(error).__name__}; PRIVSYNTH_TRACEBACK=1 shows more") from None


def open_rows(table: PrivateTable[Values], run: Run) -> Rows[Values]:
    """The rows themselves, for the audit and utility figures that stay in the dossier.

    Raises Refused while the run may still learn: what has seen open rows must never reach a model.
    """
    if not run.learned:
        raise Refused(Problem("private rows", "are closed while the run may still learn from them", _GATES))
    return _FENCED[table]
