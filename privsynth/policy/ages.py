"""Dates of birth as ages at another date of the row: in whole years and days since the last birthday.

An age counts as `YEAR` units for each year, so that a birthday lies at the same number of units whatever leap years came between,
and a public age of majority is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from privsynth.policy.moments import YEAR

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BABY = (*range(28), *range(28, 91, 7), *range(91, YEAR, 30))  # edges in the first year of life: days, weeks, months


def ages_at(born: Floats, at: Floats) -> Floats:
    """Days since 1970 of births and of the dates at which ages are counted -> ages in units, NaN where either is missing.
    Whoever is born after that date has a negative age. Those born on 29 February have their birthday on 1 March in other years.

    >>> born, at = np.array([0.0, 0.0, 10.0]), np.array([6573.0, 6574.0, 0.0])   # 1 January 1970 to 31 December 1987, ...
    >>> [divmod(int(age), YEAR) for age in ages_at(born, at)]
    [(17, 364), (18, 0), (-1, 355)]
    """
    known = ~(np.isnan(born) | np.isnan(at))
    b, r = (np.where(known, days, 0.0).astype(np.int64) for days in (born, at))
    (born_year, born_day), (year, day) = _calendar(b), _calendar(r)
    years = year - born_year - (day < born_day)
    birthday = _day_of(born_year + years, born_day)
    return np.where(known, (years * YEAR + r - birthday).astype(float), np.nan)


def births_at(ages: Floats, at: Floats) -> Floats:
    """The inverse of `ages_at`: days since 1970 of births. Years of age come out exactly; of a leap day, days may differ by one."""
    known = ~(np.isnan(ages) | np.isnan(at))
    units, r = (np.where(known, values, 0.0).astype(np.int64) for values in (ages, at))
    years, since = units // YEAR, units % YEAR
    year, day = _calendar(r - since)
    born = _day_of(year - years, day)
    found = np.floor(ages_at(born.astype(float), r.astype(float)) / YEAR).astype(np.int64)
    return np.where(known, (born + np.sign(found - years)).astype(float), np.nan)


def age_edges(low: int, high: int) -> Ints:
    """Cell edges of ages in units: each year, and in the first one days, weeks and months.

    >>> [divmod(int(edge), YEAR) for edge in age_edges(300, 3 * YEAR)]
    [(0, 300), (0, 301), (0, 331), (0, 361), (1, 0), (2, 0), (3, 0), (3, 1)]
    """
    years = np.arange(-(-low // YEAR), high // YEAR + 1) * YEAR
    inside = [edge for edge in (*BABY, *years.tolist()) if low < edge <= high]
    return np.unique(np.array([low, *inside, high + 1], np.int64))


def age_range(born: tuple[int, int], at: tuple[int, int], never_before_birth: bool) -> tuple[int, int]:
    """The lowest and the highest age in units between bounds in days. never_before_birth: negative ages are ruled out."""
    days = [float(born[1]), float(born[0])], [float(at[0]), float(at[1])]
    low, high = (int(age) for age in ages_at(np.array(days[0]), np.array(days[1])))
    low = max(low, 0) if never_before_birth else low
    return low, max(high, low + 1)


def age_text(units: int) -> str:
    """An age for a reader.

    >>> age_text(18 * YEAR), age_text(18 * YEAR - 1), age_text(5)
    ('age 18', 'age 17 and 365 days', 'age 0 and 5 days')
    """
    years, days = divmod(units, YEAR)
    return f"age {years}" + (f" and {days} days" if days else "")


def _calendar(days: Ints) -> tuple[Ints, Ints]:
    """(year, 100 times the month and the day of it)"""
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    number = months.astype(np.int64)
    return 1970 + number // 12, 100 * (number % 12 + 1) + (dates - months.astype("datetime64[D]")).astype(np.int64) + 1


def _day_of(year: Ints, day: Ints) -> Ints:
    """Days since 1970; 29 February of a year that has none is 1 March."""
    months = ((year - 1970) * 12 + day // 100 - 1).astype("datetime64[M]")
    return np.asarray(months.astype("datetime64[D]").astype(np.int64) + day % 100 - 1)
