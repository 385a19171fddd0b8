"""A keyed fingerprint of a table's content, by which the ledger knows the same table under another id.

It is the same for CSV, Parquet and a data frame of the same values, whatever the order of rows and columns. It changes
with any value (fractions: in their first seven digits), with a column's name, and with how often a row occurs. One
changed cell makes another content: this finds a table that was renamed, not one that somebody altered to hide it.
"""

from __future__ import annotations

import hmac
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from privsynth.errors import InputError
from privsynth.reader import RawTable

_MISSING = [  # whatever a policy says: what readers of CSV take for missing, and what tables often write for it
    "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "none",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "?", ".", "-", "*",
]  # fmt: skip
_NUMBER = r"^([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|-?inf)$"
_LONG = r"^[+-]?[1-9][0-9]{15,}$"  # whole numbers that float64 cannot tell apart, identifiers mostly: compared as text
_MIDNIGHT = r"^(\d{4}-\d\d-\d\d)[T ]00:00(:00(\.0+)?)?(Z|\+00:00)?$"
_MOMENT = r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.0+|(\.\d*?[1-9])0*)?(?:Z|\+00:00)?$"


def fingerprint(raw: RawTable, key: bytes) -> str:
    """64 hexadecimal digits that stand for a table's content.

    key: `Ledger.fingerprint_key`. Without it the digits tell nothing of the table, and cannot be found for a guessed one.
    Made of each row's 64-bit hash (by the key, too), sorted, under HMAC-SHA256 (FIPS 198-1): a million rows of ten
    columns take a few seconds. Columns that cannot be read as text, which no run could use, take no part.
    """
    rows = np.zeros(len(raw), np.uint64)
    for name in raw.columns:
        column = np.frombuffer(_keyed(key, "column", name.encode()), np.uint64)[:1]
        rows += _mixed(_cells(raw, name, key) ^ column)  # a sum: the order of columns does not matter
    rows.sort()
    return _keyed(key, "rows", rows.astype("<u8").tobytes()).hex()


def _keyed(key: bytes, purpose: str, content: bytes) -> bytes:
    return hmac.digest(key, purpose.encode() + b"\0" + content, "sha256")


def _cells(raw: RawTable, name: str, key: bytes) -> np.ndarray:
    """(rows,) uint64 for the values of one column, the same however they were written; 0 where missing."""
    values = raw.frame.column(name)
    kind = values.type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or (pa.types.is_integer(kind) and not _long(values)):
        return _of_numbers(values.cast(pa.float64(), safe=False).to_numpy())
    try:
        plain = values.cast(kind.value_type) if pa.types.is_dictionary(kind) else values
        large = plain.cast(pa.large_string()) if pa.types.is_string(plain.type) else plain  # no limit of 2 GiB
        coded = pc.dictionary_encode(large.combine_chunks())
        text = replace(raw, frame=pa.table({name: coded.dictionary})).text(name, _MISSING)
    except (pa.ArrowException, InputError):
        return np.zeros(len(raw), np.uint64)
    known = text.notna().to_numpy()
    hashes = np.zeros(len(text) + 1, np.uint64)  # the last for what is missing, whose place is -1
    hashes[:-1][known] = _of_text(pa.array(text[known], pa.large_string()), key)
    cells: np.ndarray = hashes[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    return cells


def _long(values: pa.ChunkedArray) -> bool:
    """True if some whole number has 16 digits or more."""
    extremes = pc.min_max(values).as_py()
    return any(abs(value or 0) >= 10**15 for value in extremes.values())


def _of_text(text: pa.Array, key: bytes) -> np.ndarray:
    """(values,) uint64 for distinct texts. Numbers, moments and truth values count as what they mean."""
    number = pc.and_not(pc.match_substring_regex(text, _NUMBER), pc.match_substring_regex(text, _LONG))
    words = pc.replace_substring_regex(text.filter(pc.invert(number)), _MIDNIGHT, r"\1")
    words = pc.replace_substring_regex(words, _MOMENT, r"\1 \2\3")
    lower = pc.utf8_lower(words)
    words = pc.if_else(pc.is_in(lower, pa.array(["true", "false"], text.type)), lower, words).to_numpy(
        zero_copy_only=False
    )
    found, where = np.empty(len(text), np.uint64), number.to_numpy(zero_copy_only=False)
    short = _keyed(key, "text", b"").hex()[:16]  # pandas takes a key of 16 bytes
    found[~where] = pd.util.hash_array(words, hash_key=short, categorize=False)
    found[where] = _of_numbers(text.filter(number).cast(pa.float64()).to_numpy())
    return found


def _of_numbers(values: np.ndarray) -> np.ndarray:
    """(values,) uint64. What is no whole number counts to 24 bits, about seven digits: readers of CSV differ in the last."""
    mantissa, exponent = np.frexp(values)
    rounded = np.where(values == np.round(values), values + 0.0, np.ldexp(np.round(mantissa * 2**24), exponent - 24))
    return np.asarray(np.where(np.isnan(values), 0, _mixed(rounded.view(np.uint64) + np.uint64(1))), np.uint64)


def _mixed(words: np.ndarray) -> np.ndarray:
    """A permutation of 64-bit words in which each bit hangs on all (splitmix64; Steele, Lea, Flood 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed


__all__ = ["fingerprint"]
