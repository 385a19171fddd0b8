"""Equal values that are written otherwise: numbers by value, words in another case, truth values, dates in other formats.

Each function is one of a single text and of public or whole-column facts that its maker states: no cell decides how another
one is read.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException
from functools import cached_property
from typing import TypeVar

from privsynth.audit.writings import Way, number_or_truth
from privsynth.policy.column import TRUTHS
from privsynth.table.parse import number_of
from privsynth.table.values import NumberReader

_TRUTH_OF = {word.casefold(): bool(place) for pair in TRUTHS for place, word in enumerate(pair)}
# What programs write where there is no value: pandas, SQL, R, Excel, Hive, SAS.
_NOTHING = frozenset({
    "nan", "none", "null", "na", "n/a", "nat", "<na>", "(null)", "<null>", "nil", "#n/a", "n.a.", "missing", "\\n", ".", "-", "--",
})  # fmt: skip
_Key = TypeVar("_Key", bound=Hashable)
_EXACT = Context(prec=200)  # no two codes fall together because they are long


def number_key(text: str) -> str | None:
    """A text that two texts share if they are the same decimal number; None if it is none. Exact, however long it is.

    >>> number_key("1.00"), number_key("900000000000207008.0"), number_key("-0"), number_key("1,5")
    ('1', '900000000000207008', '0', None)
    """
    if len(text) > 100 or not math.isfinite(number_of(text)):
        return None
    try:
        value = Decimal(text).normalize(_EXACT)
    except DecimalException:
        return None
    return format(value, "f") if value else "0"


def truth_of(text: str) -> bool | None:
    """
    >>> truth_of("TRUE"), truth_of("1.0"), truth_of("no"), truth_of("F"), truth_of("maybe")
    (True, True, False, False, None)
    """
    return _TRUTH_OF.get(number_key(text) or text.casefold())


def is_nothing(text: str) -> bool:
    """True if a program may have written this word for a missing value."""
    return text.casefold() in _NOTHING


def folded(text: str) -> str:
    """Without what programs change in a word: its case, how its letters are composed, kinds of white space and of quotes.

    >>> folded("Bad  U\u0308rach") == folded("BAD\u00a0Ürach"), folded("O\u2019Fallon")
    (True, "o'fallon")
    """
    text = unicodedata.normalize("NFKC", text).translate(_QUOTES).casefold()
    return unicodedata.normalize("NFC", " ".join(text.split()))


_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d\u2010\u2011\u2013\u2212", "''\"\"----")


@dataclass(frozen=True)
class Words:
    """The known word that a text is, or None: the same text, else the only one that is the same when `folded`, the same number, or
    the same truth value. truths: words that stand for False and True, if they do."""

    known: tuple[str, ...]
    truths: Mapping[bool, str]

    @classmethod
    def of(cls, known: Iterable[str], truths: Mapping[bool, str] | None = None) -> Words:
        """Truth values count where all known words are some, or where `truths` states them."""
        known = tuple(dict.fromkeys(known))
        if truths is None:
            found = {word: truth_of(word) for word in known}
            truths = (
                {}
                if None in found.values()
                else _only((truth, word) for word, truth in found.items() if truth is not None)
            )
        return cls(known, truths)

    def __call__(self, text: str) -> str | None:
        if text in self._exact:
            return text
        if (word := self._folded.get(folded(text))) is not None:
            return word
        key = number_key(text)
        if key is not None and (word := self._numbers.get(key)) is not None:
            return word
        truth = truth_of(text) if self.truths else None
        return None if truth is None else self.truths.get(truth)

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(self.known)

    @cached_property
    def _folded(self) -> dict[str, str]:
        return _only((folded(word), word) for word in self.known)

    @cached_property
    def _numbers(self) -> dict[str, str]:
        return _only((key, word) for word in self.known if (key := number_key(word)) is not None)


def _only(pairs: Iterable[tuple[_Key, str]]) -> dict[_Key, str]:
    """Of each key the word that has it, where no other word has."""
    words: dict[_Key, set[str]] = {}
    for key, word in pairs:
        words.setdefault(key, set()).add(word)
    return {key: found.pop() for key, found in words.items() if len(found) == 1}


@dataclass(frozen=True)
class AnyWriting(NumberReader):
    """Reads a number or a moment as the policy declares, and in another way: 80.0, 2021-10-23 00:00:00.

    other: that way. other_first: it comes before the declared one, where both can read a text (1.234).
    """

    other: Way = number_or_truth
    other_first: bool = False

    def __call__(self, text: str) -> tuple[float, int]:
        if self.other_first and math.isfinite(value := self.other(text)):
            return self._or_mark(value)
        value, mark = super().__call__(text)
        return (value, mark) if mark >= 0 or math.isfinite(value) else self._or_mark(self.other(text))

    def _or_mark(self, value: float) -> tuple[float, int]:
        mark = self.marked_numbers.get(value, -1)
        return (math.nan, mark) if mark >= 0 else (value, -1)

    def censored_value(self, mark: int) -> float:
        """The number that a mark such as <0.6 or 90+ names; NaN of another one."""
        found = re.search(r"\d+(?:[.,]\d+)?", self.marks[mark])
        return math.nan if found is None else float(found[0].replace(",", "."))
