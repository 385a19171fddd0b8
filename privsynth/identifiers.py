"""Identifiers that nobody has: names, addresses and numbers invented by Faker, drawn without looking at the table."""

from __future__ import annotations

import re
import string
from collections.abc import Callable

import numpy as np

POOL = 2000  # distinct Faker values; large tables draw from so many


def invent(n: int, generator: str | None, pattern: str | None, rng: np.random.Generator) -> list[str] | np.ndarray:
    """n invented values. generator: a kind of `Generator`; pattern: # digit, ? letter; neither: unique whole numbers."""
    if pattern is not None:
        return _patterned(n, pattern, rng)
    if generator is None:
        return rng.permutation(n) + 10 ** max(8, len(str(n)) + 1)
    if generator == "uuid":
        return [_uuid(rng.bytes(16)) for _ in range(n)]
    if generator == "email":  # reserved domains: no letter will ever arrive (RFC 2606)
        users, hosts = _pool("user_name", n, rng), ("example.com", "example.org", "example.net")
        picks = rng.integers(0, len(users), n)
        numbers = rng.permutation(n)
        return [f"{users[p]}{k}@{hosts[p % 3]}" for p, k in zip(picks, numbers, strict=True)]
    pool = _pool(generator, n, rng)
    return [pool[i] for i in rng.integers(0, len(pool), n)]


def _pool(generator: str, n: int, rng: np.random.Generator) -> list[str]:
    from faker import Faker

    faker = Faker("en_US")
    faker.seed_instance(int(rng.integers(2**62)))
    make: Callable[[], str] = getattr(faker, generator)
    return [str(make()).replace("\n", ", ") for _ in range(min(n, POOL))]


def _patterned(n: int, pattern: str, rng: np.random.Generator) -> list[str]:
    """Random fillings of the pattern, distinct as long as it has enough of them."""
    if (room := 10 ** pattern.count("#") * 26 ** pattern.count("?")) < 3 * n:  # a crowded pattern: deal all it has
        dealt = [_numbered(pattern, int(k)) for k in rng.permutation(room)[:n]]
        return dealt + [dealt[i] for i in rng.integers(0, len(dealt), n - len(dealt))]
    made: dict[str, None] = {}
    while len(made) < n:
        for number in rng.integers(0, min(room, 2**62), n - len(made)):
            made[_numbered(pattern, int(number))] = None
    return list(made)


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
