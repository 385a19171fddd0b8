"""Which rows belong to one unit, and random numbers and a random order of rows for each unit that depend on no other unit."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Numbered:
    """What keyed hashes assign to each row. All (rows,).

    units: number of its unit. uniform: a random number on [0, 1), one for each unit. rank: 0, 1, ... in random order within
    its unit.
    """

    units: np.ndarray
    uniform: np.ndarray
    rank: np.ndarray


def number_units(frame: pd.DataFrame, owners: list[str] | None, key: bytes) -> Numbered:
    """Numbers and random draws that depend on a unit's own name or rows alone, so that adding a unit changes no other.

    owners: the unit of each row by name; None: each row is a unit. Equal rows are distinguished by counting them, which
    only decides which of several equal rows is which. Hashes are BLAKE2b under a fresh key: nobody can choose a row that
    shares another's number. A collision has a probability below rows / 2^62, which the plan's first item, `unit numbers`,
    pays for.
    """
    content = _content(frame, key)
    unit = [b""] * len(frame) if owners is None else [name.encode() for name in owners]
    rows, seen = [], Counter[tuple[bytes, bytes]]()
    for pair in zip(unit, content, strict=True):
        rows.append(f"{pair[0]!r}/{pair[1]!r}/{seen[pair]}".encode())
        seen[pair] += 1
    units, uniform = _hashes(rows if owners is None else unit, key, b"unit")
    if owners is None:
        return Numbered(units, uniform, np.zeros(len(frame), np.int64))
    order = np.lexsort((_hashes(rows, key, b"row")[1], units))
    rank = np.empty(len(frame), np.int64)
    rank[order] = np.arange(len(frame)) - np.searchsorted(units[order], units[order])
    return Numbered(units, uniform, rank)


def _content(frame: pd.DataFrame, key: bytes) -> list[bytes]:
    """(rows,) keyed hash of each row's values: the same whatever other rows there are."""
    words = [word for name in frame for word in _words_of(frame[name], key)]
    packed = np.ascontiguousarray(np.stack(words, 1) if words else np.zeros((len(frame), 0), np.uint64))
    return [hashlib.blake2b(row.tobytes(), key=key, digest_size=16, person=b"content").digest() for row in packed]


def _words_of(values: pd.Series, key: bytes) -> list[np.ndarray]:
    """One or two (rows,) uint64 for the values of a typed column: a keyed hash of text, the bits of a number.

    A text's hash has 128 bits, so that two rows that differ have one content far less often than two units have one number.
    """
    if values.dtype != object:
        numbers = values.to_numpy(float) + 0.0  # -0.0 is 0.0
        return [np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)]
    hashed: dict[str | None, bytes] = {None: bytes(16)}
    for text in values:
        if text not in hashed:
            hashed[text] = hashlib.blake2b(text.encode(), key=key, digest_size=16, person=b"text").digest()
    both = np.frombuffer(b"".join([hashed[text] for text in values]), np.uint64).reshape(-1, 2)
    return [both[:, 0], both[:, 1]]


def _hashes(inputs: list[bytes], key: bytes, purpose: bytes) -> tuple[np.ndarray, np.ndarray]:
    """(a number, a uniform number on [0, 1)) for each input."""
    each = b"".join(hashlib.blake2b(t, key=key, digest_size=16, person=purpose).digest() for t in inputs)
    words = np.frombuffer(each, np.uint64).reshape(-1, 2)
    return (words[:, 0] >> np.uint64(1)).astype(np.int64), (words[:, 1] >> np.uint64(11)) * 2.0**-53
