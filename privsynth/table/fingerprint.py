"""Keyed fingerprints of a table's content, by which the ledger knows the same people under another id.

Three things are kept of a table, all of them the same for CSV, Parquet and a data frame, whatever the order of its rows:

1. *The whole*: all columns with their names. It changes with any value (fractions: in their first seven digits), any
   name, and with how often a row occurs.
2. *The modelled rows*: the columns that the policy models, without names, places and the case of letters. A row's hash
   is the sum of its cells' hashes, each mixed beforehand. Columns that no run models may come, go and change.
3. *Each modelled column* by itself, as the multiset of its cells, again without name and case. So a table that lost or
   gained modelled columns is recognised by the remaining ones, in whichever rows their cells are: whoever re-pairs the
   cells of a column still publishes the same people's values.

*When two tables are the same.* By 1 always. By 2 and 3 if what agrees holds enough information. For a multiset of n cells
with counts n_1, n_2, ..., `bits` is -log2 of the chance that n independent draws have exactly these counts, under the
population that makes this most likely (shares n_v / n). So an independent sample, of whatever population, agrees with
chance 2^-bits at most: about 2^-(1/2 sum log2(2 pi n_v) - 1/2 log2(2 pi n)), by Stirling. 2 counts from `MIN_BITS` on.
For 3, the columns that agree must reach `MIN_BITS` without the most informative of them: numbers like 1 to n are the
same in many tables, though by the formula nothing is more informative. With 32 bits, a ledger of a thousand tables of as
many populations has a false alarm with chance 1e6 / 2 / 2^32 = 1e-4 at most, by 2; by 3 as far as columns are independent.

*Limits.* Rows that were added or removed, or a changed cell in all but one of the modelled columns, make another content:
this finds a table that was renamed or re-cut, not one that somebody altered in order to hide it. Tables of few rows and
few values hold too little information and are recognised by 1 alone. Tables laid out by design, such as one row a day with
day, month and weekday, may be taken for one another by 3.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import gammaln

from privsynth.errors import InputError
from privsynth.privacy.content import MIN_BITS, Fingerprint
from privsynth.table.cells import is_text
from privsynth.table.raw import RawTable

_MISSING = {  # whatever a policy says: what readers of CSV take for missing, and what tables often write for it
    "", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "none",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "?", ".", "-", "*",
}  # fmt: skip
_MISSING_FOLDED = {token.casefold() for token in _MISSING}
_NUMBER = r"^([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|-?inf)$"
_TRUTHS = {word: word.lower() for word in ("True", "TRUE", "False", "FALSE")}
_LONG = r"^[+-]?[1-9][0-9]{15,}$"  # whole numbers that float64 cannot distinguish, mostly identifiers: compared as text
_MIDNIGHT = r"^(\d{4}-\d\d-\d\d)[T ]00:00(:00(\.0+)?)?(Z|\+00:00)?$"
_MOMENT = r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.0+|(\.\d*?[1-9])0*)?(?:Z|\+00:00)?$"


def fingerprint(raw: RawTable, key: bytes, modelled: Collection[str] = (), former: bool = False) -> Fingerprint:
    """What to keep of a table's content.

    key: `Ledger.fingerprint_key`. Without it no mark reveals anything of the table, and none can be computed for a guessed one.
    modelled: the columns that the policy models. former: `Ledger.has_former_contents`. Marks are made of 64-bit hashes
    (by the key, too), sorted, under HMAC-SHA256 (FIPS 198-1): a million rows of ten columns take a few seconds. Columns
    that cannot be read as text, which no run could use, count as empty.
    """
    whole, rows = np.zeros(len(raw), np.uint64), np.zeros(len(raw), np.uint64)
    columns: dict[str, float] = {}
    for name in raw.columns:
        written, folded = _cells(raw, name, key, name in modelled)
        whole += _mixed(written ^ _word(key, "column", name))  # a sum: the order of columns does not matter
        if name in modelled:
            rows += _mixed(folded ^ _word(key, "any column"))
            columns.update([_mark(folded, key, "modelled column")])
    mark, bits = _mark(rows, key, "modelled rows")
    marks = _mark(whole, key, "rows")[0], mark if bits >= MIN_BITS else None, columns
    return Fingerprint(*marks, _former(raw, key) if former else None)


def _former(raw: RawTable, key: bytes) -> str:
    """The mark of the whole in ledgers of version 0.1.0, where pandas hashed texts (up to a NUL byte)."""
    rows = np.zeros(len(raw), np.uint64)
    for name in raw.columns:
        rows += _mixed(_cells(raw, name, key, False, _of_words_by_pandas)[0] ^ _word(key, "column", name))
    return _mark(rows, key, "rows")[0]


def _keyed(key: bytes, purpose: str, content: bytes = b"") -> bytes:
    return hmac.digest(key, purpose.encode() + b"\0" + content, "sha256")


def _word(key: bytes, purpose: str, content: str = "") -> np.uint64:
    """64 secret bits."""
    return np.uint64(int.from_bytes(_keyed(key, purpose, content.encode())[:8], "little"))


def _mark(hashes: np.ndarray, key: bytes, purpose: str) -> tuple[str, float]:
    """(mark, bits) of a multiset of hashes, (rows,) uint64."""
    ordered = np.sort(hashes)
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return _keyed(key, purpose, ordered.astype("<u8").tobytes()).hex(), _bits(np.diff(ends, prepend=-1))


def _bits(counts: np.ndarray) -> float:
    """-log2 of the largest chance, over all populations, that independent draws have exactly these counts, all above 0.

    The multinomial chance n! prod (p_v^n_v / n_v!) is largest at p_v = n_v / n.

    >>> round(2 ** -_bits(np.array([1, 1])), 6), round(2 ** -_bits(np.array([3])), 6)  # two fair Bernoulli draws; always the same
    (0.5, 1.0)
    """
    n = float(counts.sum())
    nats = n * math.log(n) - gammaln(n + 1) - (counts * np.log(counts) - gammaln(counts + 1)).sum()
    return max(0.0, float(nats) / math.log(2))


def _cells(
    raw: RawTable, name: str, key: bytes, folds: bool, of_words: OfWords | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Twice (rows,) uint64 for the values of one column, the same however they were stored; 0 where missing.

    First with the case of letters as written, then whatever it is, if folds. of_words: `_of_words`, or a replacement for it.
    """
    values = raw.frame.column(name)
    kind = values.type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or (pa.types.is_integer(kind) and not _long(values)):
        numbers = _of_numbers(values.cast(pa.float64(), safe=False).to_numpy())
        return numbers, numbers
    try:
        places, texts = _texts(raw, name)
    except (pa.ArrowException, InputError):
        return np.zeros(len(raw), np.uint64), np.zeros(len(raw), np.uint64)
    written, folded = _of_texts(texts, key, folds, of_words or _of_words)
    return written[places], folded[places]


def _long(values: pa.ChunkedArray) -> bool:
    """True if some whole number has 16 digits or more."""
    extremes = pc.min_max(values).as_py()
    return any(abs(value or 0) >= 10**15 for value in extremes.values())


def _texts(raw: RawTable, name: str) -> tuple[np.ndarray, list[str]]:
    """((rows,) int64 place of each cell, -1 for null; the distinct cells as text). Arrow distinguishes texts by their bytes.

    Unlike for a run, a cell with control characters is text like any other. Raises ArrowException or InputError.
    """
    values = raw.frame.column(name)
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    text = is_text(kind)
    coded = values.cast(pa.large_binary() if text else kind).combine_chunks().dictionary_encode()  # no limit of 2 GiB
    places: np.ndarray = coded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    if text:
        return places, [cell.decode(errors="backslashreplace").strip() for cell in coded.dictionary.to_pylist()]
    return places, [
        text or "" for text in replace(raw, frame=pa.table({name: coded.dictionary})).cells(name, ()).words()
    ]


OfWords = Callable[[Sequence[str], Collection[str], bytes], np.ndarray]


def _of_texts(texts: Sequence[str], key: bytes, folds: bool, of_words: OfWords) -> tuple[np.ndarray, np.ndarray]:
    """Twice (values + 1,) uint64 for distinct texts, as in `_cells`; the last for null, whose place is -1.

    Numbers, moments and truth values count as what they mean.
    """
    array = pa.array(texts, pa.large_string())
    number = pc.and_not(pc.match_substring_regex(array, _NUMBER), pc.match_substring_regex(array, _LONG))
    words = pc.replace_substring_regex(array.filter(pc.invert(number)), _MIDNIGHT, r"\1")
    words = pc.replace_substring_regex(words, _MOMENT, r"\1 \2\3").to_pylist()
    is_number = np.append(number.to_numpy(zero_copy_only=False), True)  # null is none, and 0 already
    numbers = np.append(_of_numbers(array.filter(number).cast(pa.float64()).to_numpy()), np.uint64(0))
    written = np.empty(len(texts) + 1, np.uint64)
    written[is_number], folded = numbers, written
    written[~is_number] = of_words([_TRUTHS.get(word, word) for word in words], _MISSING, key)
    if folds:
        folded = written.copy()
        folded[~is_number] = of_words([word.casefold() for word in words], _MISSING_FOLDED, key)
    return written, folded


def _of_words(words: Sequence[str], missing: Collection[str], key: bytes) -> np.ndarray:
    """(words,) uint64: BLAKE2b (RFC 7693) under the key, of each word's exact UTF-8 bytes; 0 where missing."""
    keyed = hashlib.blake2b(key=_keyed(key, "text"), digest_size=8)

    def digest(word: str) -> bytes:
        one = keyed.copy()
        one.update(word.encode())
        return one.digest()

    hashes = [_NOTHING if word in missing else digest(word) for word in words]
    return np.frombuffer(b"".join(hashes), "<u8")


def _of_words_by_pandas(words: Sequence[str], missing: Collection[str], key: bytes) -> np.ndarray:
    """As `_of_words`, by SipHash under a key of 16 bytes."""
    short = _keyed(key, "text").hex()[:16]
    hashes = pd.util.hash_array(np.array(words, object), hash_key=short, categorize=False)
    return np.where([word in missing for word in words], np.uint64(0), hashes)


_NOTHING = bytes(8)


def _of_numbers(values: np.ndarray) -> np.ndarray:
    """(values,) uint64. What is no whole number counts to 24 bits, about seven digits: readers of CSV differ in the last."""
    mantissa, exponent = np.frexp(values)
    rounded = np.where(values == np.round(values), values + 0.0, np.ldexp(np.round(mantissa * 2**24), exponent - 24))
    return np.asarray(np.where(np.isnan(values), 0, _mixed(rounded.view(np.uint64) + np.uint64(1))), np.uint64)


def _mixed(words: np.ndarray) -> np.ndarray:
    """A permutation of 64-bit words in which each bit depends on all (splitmix64; Steele, Lea, Flood 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed


__all__ = ["fingerprint"]
