"""Invented identifiers: names, addresses and numbers, drawn without reading the table. None of the numbers can be anybody's."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd

from privsynth.errors import InputError, Problem
from privsynth.policy.column import Generator
from privsynth.policy.fakes import faker_of, pool_of
from privsynth.policy.identifiers import BELOW, POOL, PREFIX, fillings, longer, most_values, patterns_of
from privsynth.sampling.people import PERSONAL, People, letters_of, sex_column, sexes_of

GENERATORS = frozenset(get_args(Generator))  # and no other method that Faker has
_UUIDS = 2**72  # the free bits of a version 8 UUID that begins with twelve zeros
_PLACES = {"#": np.array(list(string.digits), object), "?": np.array(list(string.ascii_uppercase), object)}
_BLOCK = 2**16  # numbers that are computed together


@dataclass(frozen=True)
class Wanted:
    """One regenerated column. whole: it leaves as whole numbers. unique: no value may stand twice. encoding: of the CSV."""

    name: str
    generator: str | None = None
    pattern: str | None = None
    language: str = "en"
    whole: bool = False
    unique: bool = False
    encoding: str = "utf-8"

    @property
    def most(self) -> int | None:
        """Distinct values at most; None: enough."""
        return most_values(self.generator, self.pattern, self.language)


class Identifiers:
    """The invented values of all regenerated columns of a table, block by block.

    The first name, last name, full name and e-mail address of a row belong to one person, whose sex is the row's where the
    row states one. A second column of the same generator begins another person. total: rows of all blocks. kept: names of
    the columns that are sampled.
    """

    def __init__(self, columns: Sequence[Wanted], kept: Iterable[str], total: int, rng: np.random.Generator):
        refuse_repeats(columns, total)
        self._sex = sex_column(kept)
        self._letters: dict[str, int] | None = None
        self._people: list[tuple[People, dict[str, Wanted]]] = []
        self._others: dict[str, Invented] = {}
        persons: list[dict[str, Wanted]] = []
        for column in columns:
            if column.pattern is None and column.generator in PERSONAL:
                free = next((one for one in persons if column.generator not in one), None)
                if free is None:
                    persons.append(free := {})
                free[column.generator] = column
            else:
                self._others[column.name] = Invented(
                    total, column.generator, column.pattern, _own(rng), column.language, column.whole, column.encoding
                )
        for person in persons:
            first = next(iter(person.values()))
            self._people.append((People(total, _own(rng), first.language, first.encoding), person))

    def take(self, typed: pd.DataFrame) -> dict[str, Any]:
        """Values of the next rows, by column. typed: the sampled columns of these rows."""
        found: dict[str, Any] = {name: invented.take(len(typed)) for name, invented in self._others.items()}
        for place, (people, person) in enumerate(self._people):
            sexes = None
            if place == 0 and self._sex is not None:
                language = next(iter(person.values())).language
                if self._letters is None:  # kept: a letter means the same in every block
                    self._letters = letters_of(typed[self._sex], language)
                sexes = sexes_of(typed[self._sex], language, self._letters)
            made = people.take(len(typed), sexes)
            found |= {column.name: made[generator] for generator, column in person.items()}
        return found


def refuse_repeats(columns: Iterable[Wanted], rows: int) -> None:
    """Raises InputError where so many rows cannot each have an identifier of their own."""
    problems = []
    for column in columns:
        if column.unique and column.most is not None and column.most < rows:
            rule = f"has {column.most:,} different identifiers at most, and {rows:,} rows were asked for"
            hint = f"ask for at most {column.most:,} rows"
            if column.pattern is not None:
                hint += f", or fit with a longer pattern, such as `{longer(column.pattern, rows)}`"
            problems.append(Problem(f"column {column.name!r}", rule, hint))
    if problems:
        raise InputError(problems)


class Invented:
    """One column's invented values, block by block: blocks together are the same as one block of all rows.

    generator: a kind of `Generator`; pattern: # digit, ? letter. With neither, unique values that no column of real ones
    holds: texts with a prefix, or, where `whole`, numbers far below zero. Raises InputError for another generator.
    """

    def __init__(
        self, total: int, generator: str | None, pattern: str | None, rng: np.random.Generator, language: str = "en",
        whole: bool = False, encoding: str = "utf-8",
    ):  # fmt: skip
        if generator is not None and generator not in GENERATORS:
            raise InputError(Problem("generator", "is not known", f"name one of {', '.join(sorted(GENERATORS))}"))
        self._generator, self._whole, self._rng, self._taken = generator, whole, rng, 0
        self._width = max(8, len(str(total)))
        self._patterns = patterns_of(generator, pattern, language)
        self._people = People(total, rng, language, encoding) if generator in PERSONAL and not self._patterns else None
        self._pool = np.empty(0, object)
        if self._patterns or generator == "uuid":
            self._size = sum(map(fillings, self._patterns)) or _UUIDS
            self._first, self._stride = _below(self._size, rng), _below(self._size, rng)
            while math.gcd(self._stride, self._size) != 1:
                self._stride = _below(self._size, rng)
        elif generator is not None and self._people is None:
            make = getattr(faker_of(language, int(rng.integers(2**62))), generator)
            self._pool = np.array(pool_of(make, min(total, POOL), encoding), object)

    def take(self, n: int) -> Any:
        """(n,) texts or whole numbers: the next n values."""
        start, self._taken = self._taken, self._taken + n
        if self._people is not None:
            return self._people.take(n)[str(self._generator)]
        if len(self._pool):
            return self._pool[(self._rng.random(n) * len(self._pool)).astype(np.int64)]
        numbers = np.arange(start + 1, start + n + 1)
        if not self._patterns and self._generator is None:
            return (
                BELOW - numbers if self._whole else np.array([f"{PREFIX}{k:0{self._width}d}" for k in numbers], object)
            )
        blocks = [self._numbered(numbers[at : at + _BLOCK]) for at in range(0, n, _BLOCK)]
        texts = np.concatenate(blocks)
        return texts.astype(np.int64) if self._whole else texts

    def _numbered(self, numbers: np.ndarray) -> np.ndarray:
        """k -> first + k * stride reaches every value once before any repeats, and nothing has to be remembered."""
        places = [(self._first + k * self._stride) % self._size for k in numbers.tolist()]
        if not self._patterns:
            return np.array([_uuid(place) for place in places], object)
        rest = np.array(places, np.int64 if self._size < 2**63 else object)
        found = np.empty(len(rest), object)
        for pattern in self._patterns:
            size = fillings(pattern)
            here = (rest >= 0) & (rest < size)
            found[here] = filled(pattern, rest[here])
            rest = np.where(here, -1, rest - size)
        return found


def _own(rng: np.random.Generator) -> np.random.Generator:
    """A stream for one column alone: what another one draws must not shift it from block to block."""
    return np.random.default_rng(rng.integers(2**62, size=4))


def _below(size: int, rng: np.random.Generator) -> int:
    """A random whole number from 0 to size - 1, however large that is."""
    return int.from_bytes(rng.bytes(size.bit_length() // 8 + 9), "little") % size


def filled(pattern: str, numbers: np.ndarray) -> np.ndarray:
    """The fillings of a pattern by their numbers.

    >>> filled("?-##", np.array([57, 7])).tolist()
    ['F-20', 'H-00']
    """
    texts = np.full(len(numbers), "", object)
    for part in re.split("([#?])", pattern):
        if part in _PLACES:
            signs = _PLACES[part]
            texts = texts + signs[(numbers % len(signs)).astype(np.int64)]
            numbers = numbers // len(signs)
        elif part:
            texts = texts + part
    return texts


def _uuid(place: int) -> str:
    """Version 8 of RFC 9562, whose bits are free, with zeros in front: no program that draws or dates a UUID gives one."""
    digits = f"{place:018x}"
    return f"00000000-0000-8{digits[:3]}-8{digits[3:6]}-{digits[6:]}"
