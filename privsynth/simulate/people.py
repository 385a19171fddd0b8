"""Invented people: names, addresses and small tools that both demo tables share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from faker import Faker
from numpy.typing import NDArray

from privsynth.errors import InputError, Problem

Array = NDArray[Any]
Rng = np.random.Generator
NOTHING: Array = np.array(None, dtype=object)  # a missing cell

# Forty invented five-digit postcodes in two "towns"; fixed, since a policy lists them as public.
POSTCODES: tuple[str, ...] = tuple(f"517{i:02d}" for i in range(1, 51, 2)) + tuple(
    f"518{i:02d}" for i in range(5, 80, 5)
)
_RANKS = np.arange(1, len(POSTCODES) + 1)
_POSTCODE_SHARES = _RANKS**-0.6 / (_RANKS**-0.6).sum()
# Deprivation from -1 (well off) to 1, scattered over the list so that it does not follow a postcode's size.
_DEPRIVATION = np.linspace(-1, 1, len(POSTCODES))[(_RANKS * 17) % len(POSTCODES)]
HOSTS = ("@mail.example", "@post.example", "@web.example")
_POOL = 400  # names drawn from Faker per pool: one Faker call per row would take minutes at 100,000 rows


@dataclass(frozen=True)
class Names:
    """Names and e-mail addresses, one of each per person."""

    full: Array
    email: Array


def check_size(size: int, what: str) -> None:
    if size < 1:
        raise InputError(Problem("demo", f"cannot simulate {size} {what}", "ask for at least 1"))


def names(rng: Rng, female: Array) -> Names:
    """Random pairs of first and last names from pools; e-mail addresses in domains reserved for examples (RFC 2606), and in
    other ones than those of a release, so that no invented address is one of these."""
    fake = Faker("en_US")
    fake.seed_instance(int(rng.integers(2**32)))
    women = np.array([fake.first_name_female() for _ in range(_POOL)], dtype=object)
    men = np.array([fake.first_name_male() for _ in range(_POOL)], dtype=object)
    surnames = np.array([fake.last_name() for _ in range(2 * _POOL)], dtype=object)
    n = len(female)
    pick = rng.integers(_POOL, size=n)
    first, last = np.where(female, women[pick], men[pick]), surnames[rng.integers(2 * _POOL, size=n)]
    number = rng.integers(1, 1000, size=n).astype(str).astype(object)
    domain = rng.choice(np.array(HOSTS, dtype=object), n, p=[0.6, 0.25, 0.15])
    lower = np.array([f"{a}.{b}".lower() for a, b in zip(first, last, strict=True)], dtype=object)
    return Names(full=first + " " + last, email=lower + number + domain)


def postcodes(rng: Rng, n: int) -> tuple[Array, Array]:
    """(postcode, deprivation of its district) of n people."""
    home = rng.choice(len(POSTCODES), n, p=_POSTCODE_SHARES)
    return np.array(POSTCODES, dtype=object)[home], _DEPRIVATION[home]


def choose(rng: Rng, options: tuple[str, ...], weights: Array) -> Array:
    """One option per row; weights: rows x options, need not sum to 1."""
    cumulative = np.cumsum(weights, axis=1)
    pick = (rng.random(len(weights))[:, None] * cumulative[:, -1:] > cumulative).sum(axis=1)
    chosen: Array = np.array(options, dtype=object)[pick]
    return chosen


def sigmoid(logit: Array) -> Array:
    """Logistic function."""
    probability: Array = 1 / (1 + np.exp(-np.asarray(logit, dtype=float)))
    return probability


def blank(values: Array, missing: Array) -> Array:
    """The values, None where missing."""
    return np.where(missing, NOTHING, values.astype(object))


def calendar_days(rng: Rng, n: int, first: str, last: str, weekdays: tuple[float, ...], winter: float) -> Array:
    """Days since 1970 in [first, last]; `weekdays`: weight of Monday to Sunday; `winter`: relative rise in January."""
    days = np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1).astype(np.int64)
    season = 1 + winter * np.cos(2 * np.pi * (days % 365.25) / 365.25)
    weight = np.array(weekdays)[weekday(days)] * season
    return rng.choice(days, n, p=weight / weight.sum())


def weekday(days: Array) -> Array:
    """0 for Monday to 6 for Sunday; 1970-01-01 was a Thursday."""
    return (days + 3) % 7


def to_dates(days: Array) -> Array:
    return days.astype("datetime64[D]").astype("datetime64[ns]")
