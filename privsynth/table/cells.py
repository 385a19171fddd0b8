"""One column as text, each cell by itself.

How one cell is read must not depend on other cells of its column, or adding one person would change everybody. So every
cell becomes text by itself, equal texts are found by their exact bytes (`Cells`), and a typed value is a function of one
text. No routine that groups, hashes, caches or infers over a column is used in between: pandas' string hashing stops at a
NUL byte, and its `to_datetime` and `to_numeric` read all cells differently if one is odd.

A cell that holds a control character (Unicode category Cc) other than a tab or a line end holds no value: it is
`UNREADABLE`, whatever else it holds. So is what is not text at all, such as bytes that are not UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

MISSING, UNREADABLE = -1, -2  # codes of cells without a value
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Cells:
    """One column as text. codes: (rows,) int64, the place of each cell's text in `distinct`, or MISSING, or UNREADABLE.

    distinct: texts without white space at their ends, each once; two cells share a code only if their texts' bytes are
    equal. A list by place with two more entries, for UNREADABLE and MISSING, can be indexed by `codes` directly.
    """

    codes: np.ndarray
    distinct: list[str]

    @cached_property
    def present(self) -> int:
        """Cells that are not missing."""
        return int(np.count_nonzero(self.codes != MISSING))

    def numbers(self, read: Callable[[str], float]) -> np.ndarray:
        """(rows,) float64: each cell as `read` reads its text; NaN without one."""
        return np.asarray(np.array([*map(read, self.distinct), np.nan, np.nan])[self.codes])

    def words(self, read: Callable[[str], str | None] = str) -> np.ndarray:
        """(rows,) objects: each cell as `read` gives its text; None without one."""
        found = np.empty(len(self.distinct) + 2, object)  # the last two stay None
        found[:-2] = [read(text) for text in self.distinct]
        return np.asarray(found[self.codes])

    @classmethod
    def of(cls, values: pa.ChunkedArray, missing: Iterable[str]) -> Cells:
        """values: text or bytes, perhaps as a dictionary. missing: texts that mean that there is no value."""
        places, raw = _exactly_coded(values)
        place_of: dict[str, int] = dict.fromkeys(("", *(token.strip() for token in missing)), MISSING)
        distinct: list[str] = []
        codes = np.full(len(raw) + 1, MISSING)  # the last for null, whose place is -1
        for place, written in enumerate(raw):
            text = _decoded(written)
            if text is None:
                codes[place] = UNREADABLE
                continue
            codes[place] = place_of.setdefault(text, len(distinct))
            if codes[place] == len(distinct):
                distinct.append(text)
        return cls(codes[places], distinct)


def _exactly_coded(values: pa.ChunkedArray) -> tuple[np.ndarray, list[bytes | None]]:
    """((rows,) place of each cell, -1 for null; the bytes at each place). Arrow compares bytes with their lengths.

    Chunk by chunk: Arrow cannot unify dictionaries that hold nulls, or more texts together than their index type can number.
    """
    place_of: dict[bytes | None, int] = {}
    places = [np.zeros(0, np.int64)]
    for chunk in values.chunks:
        coded = chunk if pa.types.is_dictionary(chunk.type) else chunk.cast(pa.large_binary()).dictionary_encode()
        written = coded.dictionary.cast(pa.large_binary()).to_pylist()
        place = np.array([*(place_of.setdefault(text, len(place_of)) for text in written), -1])
        places.append(place[coded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)])
    return np.concatenate(places), list(place_of)


def _decoded(written: bytes | None) -> str | None:
    """A cell's text without white space at its ends; None if it is not text, or holds a control character."""
    if written is None:  # a null inside of a dictionary
        return ""
    try:
        text = written.decode()
    except UnicodeDecodeError:
        return None
    return None if CONTROL.search(text) else text.strip()


def is_text(kind: pa.DataType) -> bool:
    """True for text and bytes, however Arrow stores them."""
    return any(
        is_one(kind)
        for is_one in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
                       pa.types.is_fixed_size_binary, pa.types.is_string_view, pa.types.is_binary_view)
    )  # fmt: skip
