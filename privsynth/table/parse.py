"""Numbers and days as functions of one text, so that no cell can change how another is read."""

from __future__ import annotations

import math
import re
from datetime import date, datetime


def number_of(text: str) -> float:
    """The decimal number that a text is, as Python reads it; NaN if it is not a number.

    >>> number_of("-4e2"), number_of("1_000")
    (-400.0, nan)
    """
    return float(text) if _NUMBER.match(text) else math.nan


_NUMBER = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)  # each digit matches in one way only


def day_of(text: str, form: str | None) -> float:
    """The day that a text states, in days since 1970, whatever time and offset follow it; NaN if it is none.

    form: as in strptime; None: ISO 8601, also without the day or the month, which then are the first.

    >>> day_of("1970-01-02T00+05:30", None), day_of("31.12.1969", "%d.%m.%Y"), day_of("1970-02-30", None)
    (1.0, -1.0, nan)
    """
    try:
        if form is not None:
            return float(datetime.strptime(text, form).toordinal() - _EPOCH)
        found = _ISO.match(text)
        if found is None:  # a week of ISO 8601, if it is a date at all
            return float(date.fromisoformat(text).toordinal() - _EPOCH)
        year, _, month, day, *without_separators = found.groups()
        month, day = (month, day) if month else without_separators
        return float(date(int(year), int(month or 1), int(day or 1)).toordinal() - _EPOCH)
    except (ValueError, OverflowError):  # no such day
        return math.nan


_EPOCH = date(1970, 1, 1).toordinal()
_HOUR, _MINUTE, _PART = r"(?:[01]?\d|2[0-3])", r"[0-5]?\d", r"(?:[.,]\d+)?"
_CLOCK = rf"(?:{_HOUR}(?::{_MINUTE}(?::{_MINUTE}{_PART})?)?|(?:[01]\d|2[0-3])(?:[0-5]\d){{1,2}}{_PART})"
_OFFSET = rf" ?(?:Z|[+-]{_CLOCK})"  # from UTC; of old zones with seconds
_TIME = rf"(?:[T ]{_CLOCK})?(?:{_OFFSET})?"
_ISO = re.compile(rf"(\d{{4}})(?:([-./\\ ])(\d\d?)(?:\2(\d\d?){_TIME})?|(\d\d)(\d\d){_TIME})?\Z", re.ASCII)
