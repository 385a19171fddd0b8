"""Times of day and durations in seconds, each a function of one text."""

from __future__ import annotations

import math
import re

DAY = 86_400  # seconds
YEAR = 366  # units of a year of age: days since the last birthday go from 0 to 365 (`ages`)
_SECONDS = r"(\d{1,2})(?::(\d{2})(?::(\d{2}(?:[.,]\d{1,9})?))?)"
_CLOCK = re.compile(rf"{_SECONDS}\Z", re.ASCII)
_ISO = re.compile(
    r"(-?)P(?:(\d+)W)?(?:(-?\d+(?:[.,]\d+)?)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:[.,]\d{1,9})?)S)?)?\Z", re.ASCII
)
_SPAN = re.compile(
    r"(?:([+-]?\d+) days?,? )?([+-]?)(\d+):(\d{2})(?::(\d{2}(?:[.,]\d{1,9})?))?\Z|([+-]?\d+) days?\Z", re.ASCII
)


def padded(form: str) -> str:
    """A format of strptime without the hyphens by which it writes no leading zeros: read are numbers with and without them.

    >>> padded("%-d.%-m.%Y"), padded("100%%-d")
    ('%d.%m.%Y', '100%%-d')
    """
    return re.sub("%-?([a-zA-Z%])", r"%\1", form)


def clock_of(text: str) -> float:
    """Seconds since midnight that a text states, in 24 hours, to the minute or finer; NaN if it is no time of day.

    >>> clock_of("07:45"), clock_of("23:59:59.5"), clock_of("24:00")
    (27900.0, 86399.5, nan)
    """
    found = _CLOCK.match(text)
    if found is None:
        return math.nan
    hour, minute, second = int(found[1]), int(found[2]), _number(found[3])
    return 3600.0 * hour + 60 * minute + second if hour < 24 and minute < 60 and second < 60 else math.nan


def duration_of(text: str) -> float:
    """Seconds that a text states; NaN if it is no duration. ISO 8601 without years and months, whose lengths differ, hours
    and minutes as on a clock that passes 24, or these behind a number of days, as Python and pandas write them.

    >>> duration_of("PT1H30M"), duration_of("36:15:00"), duration_of("-1 days +23:00:00"), duration_of("P1M")
    (5400.0, 130500.0, -3600.0, nan)
    """
    if found := _ISO.match(text):
        sign, *parts = found.groups()
        if not any(parts) or text.endswith("T"):
            return math.nan
        sizes = (7 * DAY, DAY, 3600, 60, 1)
        return (-1.0 if sign else 1.0) * sum(_number(part) * size for part, size in zip(parts, sizes, strict=True))
    found = _SPAN.match(text)
    if found is None:
        return math.nan
    if found[6]:
        return float(int(found[6]) * DAY)
    days, sign, hours, minutes, seconds = found[1], found[2], int(found[3]), int(found[4]), _number(found[5])
    if minutes > 59 or seconds >= 60:
        return math.nan
    clock = 3600.0 * hours + 60 * minutes + seconds
    return int(days or 0) * float(DAY) + (-clock if sign == "-" else clock)


def _number(text: str | None) -> float:
    return float(text.replace(",", ".")) if text else 0.0
