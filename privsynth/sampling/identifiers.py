"""Invented identifiers: names, addresses and numbers from Faker, drawn without reading the table."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable
from typing import get_args

import numpy as np

from privsynth.errors import InputError, Problem
from privsynth.policy.column import Generator

GENERATORS = frozenset(get_args(Generator))  # and no other method that Faker has
POOL = 2000  # distinct Faker values; large tables draw from so many


class Invented:
    """One column's invented values, block by block; the blocks together repeat no more than one block of `total` rows would.

    generator: a kind of `Generator`; pattern: # digit, ? letter; neither: unique whole numbers. Raises InputError for
    another generator.
    """

    def __init__(self, total: int, generator: str | None, pattern: str | None, rng: np.random.Generator):
        if generator is not None and generator not in GENERATORS:
            raise InputError(Problem("generator", "is not known", f"name one of {', '.join(sorted(GENERATORS))}"))
        self.generator, self.pattern, self.rng, self.taken = generator, pattern, rng, 0
        self.base: int = 10 ** max(8, len(str(total)) + 1)
        self.pool: list[str] = []
        if pattern is not None:
            # k -> first + k * stride reaches every filling once before any repeats, and nothing has to be remembered
            self.fillings = 10 ** pattern.count("#") * 26 ** pattern.count("?")
            self.first, self.stride = _below(self.fillings, rng), _below(self.fillings, rng)
            while math.gcd(self.stride, self.fillings) != 1:
                self.stride = _below(self.fillings, rng)
        elif generator not in (None, "uuid"):
            self.pool = _pool("user_name" if generator == "email" else str(generator), total, rng)

    def take(self, n: int) -> list[str] | np.ndarray:
        """The next n values."""
        numbers = self.taken + self.rng.permutation(n)
        self.taken += n
        if self.pattern is not None:
            return [_numbered(self.pattern, (self.first + int(k) * self.stride) % self.fillings) for k in numbers]
        if self.generator is None:
            return numbers + self.base
        if self.generator == "uuid":
            return [_uuid(self.rng.bytes(16)) for _ in range(n)]
        picks = self.rng.integers(0, len(self.pool), n)
        if self.generator == "email":  # reserved domains: no mail can be delivered there (RFC 2606)
            hosts = ("example.com", "example.org", "example.net")
            return [f"{self.pool[p]}{k}@{hosts[p % 3]}" for p, k in zip(picks, numbers, strict=True)]
        return [self.pool[p] for p in picks]


def _pool(generator: str, n: int, rng: np.random.Generator) -> list[str]:
    from faker import Faker

    faker = Faker("en_US")
    faker.seed_instance(int(rng.integers(2**62)))
    make: Callable[[], str] = getattr(faker, generator)
    return [str(make()).replace("\n", ", ") for _ in range(min(n, POOL))]


def _below(fillings: int, rng: np.random.Generator) -> int:
    """A random whole number from 0 to fillings - 1, however large that is."""
    return int.from_bytes(rng.bytes(fillings.bit_length() // 8 + 9), "little") % fillings


def _numbered(pattern: str, number: int) -> str:
    """The number-th filling of a pattern.

    >>> _numbered("?-##", 57), _numbered("##", 7)
    ('F-20', '70')
    """

    def fill(slot: re.Match[str]) -> str:
        nonlocal number
        number, place = divmod(number, 10 if slot[0] == "#" else 26)
        return str(place) if slot[0] == "#" else string.ascii_uppercase[place]

    return re.sub(r"[#?]", fill, pattern)


def _uuid(raw: bytes) -> str:
    import uuid

    return str(uuid.UUID(bytes=raw, version=4))
