"""Numbers, days, moments, times and durations as functions of one text, so that no cell can change how another is read."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from privsynth.policy.moments import DAY


def number_of(text: str) -> float:
    """The decimal number that a text is, as Python reads it; NaN if it is not a number.

    >>> number_of("-4e2"), number_of("1_000")
    (-400.0, nan)
    """
    return float(text) if _NUMBER.match(text) else math.nan


_NUMBER = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)  # each digit matches in one way only


def plain_number(
    text: str,
    decimal: str = ".",
    thousands: str = "",
    currency: str = "",
    parentheses: bool = False,
    percent: bool = False,
    trailing: bool = False,
) -> float:
    """The number that a text is, as people and office programs write numbers; NaN if it is none.

    Thousands stand in groups of three, or not at all: what is grouped otherwise was written by other rules. The currency stands on
    either side. trailing: a minus may stand behind the number, as accounting programs write it: 12.50-.

    >>> plain_number("1.234,50", ",", "."), plain_number("1.5", ",", "."), plain_number("(€ 12.00)", currency="€", parentheses=True)
    (1234.5, nan, -12.0)
    """
    text, negative = _bare(text.replace("\u2212", "-"), currency, percent), False
    if parentheses and text.startswith("(") and text.endswith(")"):
        text, negative = _bare(text[1:-1].strip(), currency, percent), True
    elif trailing and text.endswith("-"):
        text, negative = _bare(text[:-1].rstrip(), currency, percent), True
    if thousands:
        whole, point, rest = text.partition(decimal)
        if thousands in whole:
            if not _groups(thousands).match(whole):
                return math.nan
            whole = whole.replace(thousands, "")
        text = whole + point + rest
    if decimal != ".":
        if "." in text:
            return math.nan
        text = text.replace(decimal, ".")
    if negative and text[:1] in ("-", "+"):
        return math.nan
    number = number_of(text)
    return -number if negative else number


@lru_cache(32)
def _groups(thousands: str) -> re.Pattern[str]:
    return re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(thousands)}\d{{3}})+\Z", re.ASCII)


def _bare(text: str, currency: str, percent: bool) -> str:
    text = _without(text, currency) if currency else text
    return text[:-1].rstrip() if percent and text.endswith("%") else text


def _without(text: str, currency: str) -> str:
    """A text without the sign of a currency before or behind the number, or between its minus and its digits."""
    sign = text[:1] if text[:1] in ("-", "+") else ""
    rest = text[len(sign) :].strip()
    bare = rest.removeprefix(currency) if rest.startswith(currency) else rest.removesuffix(currency)
    return sign + bare.strip()


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
        if found is None and (week := _WEEK.match(text)):
            return float(date.fromisocalendar(int(week[1]), int(week[2]), int(week[3] or 1)).toordinal() - _EPOCH)
        if found is None:  # Python's own reader passes over digits behind a date
            return math.nan
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
_WEEK = re.compile(r"(\d{4})-?W(\d\d)(?:-?([1-7]))?\Z", re.ASCII)
_MOMENT = re.compile(r"[\d-]{8,10}[T ]")  # Python's own reader takes any character between day and time, a digit too
_ISO = re.compile(rf"(\d{{4}})(?:([-./\\ ])(\d\d?)(?:\2(\d\d?){_TIME})?|(\d\d)(\d\d){_TIME})?\Z", re.ASCII)


def moment_of(text: str, form: str | None, zone: ZoneInfo | None = None) -> float:
    """The moment that a text states, in seconds since 1970 as a clock on the wall shows them; NaN if it is none.

    form: as in strptime; None: ISO 8601, a day alone being its first moment. A moment with an offset from UTC is converted to
    the wall clock of `zone`; without a zone it is none, since nothing says which clock is meant.

    >>> moment_of("1970-01-01 00:01:30", None), moment_of("1970-01-01T00:00Z", None)
    (90.0, nan)
    >>> moment_of("1970-01-01T00:00Z", None, ZoneInfo("Europe/Berlin"))
    3600.0
    """
    try:
        if form is not None:
            found = datetime.strptime(text, form)
        elif (day := day_of(text, None)) == day and len(text) <= 10 and ":" not in text:
            return day * DAY
        elif not _MOMENT.match(text):
            return math.nan
        else:
            found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            if zone is None:
                return math.nan
            found = found.astimezone(zone)
    except (ValueError, OverflowError):  # no such moment
        return math.nan
    day = float(found.toordinal() - _EPOCH)
    return day * DAY + 3600 * found.hour + 60 * found.minute + found.second + found.microsecond / 1e6


def time_of(text: str, form: str) -> float:
    """Seconds since midnight by a format of strptime; NaN if there are none.

    >>> time_of("07.45 PM", "%I.%M %p")
    71100.0
    """
    try:
        found = datetime.strptime(text, form)
    except ValueError:
        return math.nan
    return 3600.0 * found.hour + 60 * found.minute + found.second + found.microsecond / 1e6


def in_century(day: float, low: float, high: float) -> float:
    """A day whose year was written with two digits, in the century that puts it between the bounds; as it is if none does.

    >>> in_century(35_000, -18_000, 15_000) < 0   # 2065 where births lie from 1920 to 2011: 1965
    True
    """
    if math.isnan(day) or low <= day <= high:
        return day
    found = date.fromordinal(int(day) + _EPOCH)
    for years in (-100, 100, -200, 200):
        try:
            moved = float(found.replace(year=found.year + years).toordinal() - _EPOCH)
        except ValueError:  # 29 February, or out of the calendar
            continue
        if low <= moved <= high:
            return moved
    return day
