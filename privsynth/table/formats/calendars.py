"""How SAS, Stata and SPSS store days, moments and times: numbers whose meaning is in the format of their column.

The formats are part of the file's dictionary. A column of a format that shows any part of a date is one of dates or
moments, since the numbers behind it count days or seconds, however little of them is shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from privsynth.table.formats.texts import clock_of_seconds

_DAY = 86_400
_MICRO = 1_000_000
_1960 = date(1960, 1, 1).toordinal() - date(1970, 1, 1).toordinal()  # day 0 of SAS and Stata
_1582 = date(1582, 10, 14).toordinal() - date(1970, 1, 1).toordinal()  # day 0 of SPSS


@dataclass(frozen=True)
class Calendar:
    """kind: of a column. of: a stored number -> what the column holds; None for one beyond all days that can be stored."""

    kind: pa.DataType
    of: Callable[[float], int | str | None]


def _days(day: Callable[[float], float]) -> Calendar:
    """day: a stored number -> days since 1970; of a part of a day its beginning counts."""
    return Calendar(pa.date32(), lambda stored: _whole(day(stored), 1, 31))


def _moments(seconds: Callable[[float], float]) -> Calendar:
    return Calendar(pa.timestamp("us"), lambda stored: _whole(seconds(stored), _MICRO, 63))


def _whole(number: float, per: int, bits: int) -> int | None:
    """Days, or microseconds, as a whole number; None for one that has not room in so many bits."""
    if not abs(number) * per < 2**bits:
        return None
    return math.floor(number) if per == 1 else round(number * per)


def _months(count: int) -> Callable[[float], float]:
    """Of a number of periods of so many months since 1960: the first day."""

    def first(stored: float) -> float:
        years, month = divmod(math.floor(stored) * count, 12)
        year = 1960 + years
        return date(year, month + 1, 1).toordinal() - date(1970, 1, 1).toordinal() if 1 <= year <= 9999 else math.inf

    return first


def _week(stored: float) -> float:
    """Stata's: 52 in a year, the first of which begins on 1 January."""
    year, week = divmod(math.floor(stored), 52)
    return _months(12)(year) + 7 * week


_CLOCK = Calendar(pa.large_string(), clock_of_seconds)
_CLOCK_OF_DAY = Calendar(pa.large_string(), lambda stored: clock_of_seconds(stored % _DAY))

_SPSS = {
    "DATE ADATE EDATE JDATE SDATE QYR MOYR WKYR": _days(lambda stored: stored / _DAY + _1582),
    "DATETIME YMDHMS": _moments(lambda stored: stored + _1582 * _DAY),
    "TIME DTIME MTIME": _CLOCK,
}
_SAS_DAYS = re.compile(
    r"DATE|DAY|DDMMYY[BCDNPS]?|DOWNAME|EURDF(?!DT)[A-Z]+|HDATE|HEBDATE|JULDAY|JULIAN|MINGUO|MMDDYY[BCDNPS]?|MMYY[CDNPS]?"
    r"|MONNAME|MONTH|MONYY|NENGO|NLDATE[A-Z]*|PDJUL[GI]|QTRR?|WEEKDATE|WEEKDATX|WEEKDAY|WEEK[UVW]|WORDDATE|WORDDATX|YEAR"
    r"|YYMMDD[BCDNPS]?|YYMM[CDNPS]?|YYMON|YYQR?[CDNPSZ]?|YYWEEK[UVW]|(?:[EB]|IS)8601DA"
)
_SAS_MOMENTS = re.compile(
    r"DATETIME|DATEAMPM|MDYAMPM|DT(?:DATE|MONYY|WKDATX|YEAR|YYQC)|EURDFDT|NLDATM[A-Z]*|(?:[EB]|IS)8601D[TZXN]"
)
_SAS_TIMES = re.compile(r"TIME|TIMEAMPM|HHMM|MMSS|HOUR|NLTI[A-Z]*|(?:[EB]|IS)8601(?:TM|TZ|LZ)")
_STATA = {
    "d": _days(lambda stored: stored + _1960), "w": _days(_week), "m": _days(_months(1)), "q": _days(_months(3)),
    "h": _days(_months(6)), "c": _moments(lambda stored: stored / 1000 + _1960 * _DAY),
}  # fmt: skip
_STATA_FORMAT = re.compile(r"%-?(?:t([cCdwmqh])|(d))(.*)", re.S)
_STATA_CLOCK = re.compile(r"[HhMSs:._,+ !apm-]+\Z")  # shows hours, minutes and seconds alone


def spss(form: str) -> Calendar | None:
    """None for a format of plain numbers."""
    name = _name(form)
    return next((calendar for names, calendar in _SPSS.items() if name in names.split()), None)


def sas(form: str) -> Calendar | None:
    name = _name(form)
    if _SAS_DAYS.fullmatch(name):
        return _days(lambda stored: stored + _1960)
    if _SAS_MOMENTS.fullmatch(name):
        return _moments(lambda stored: stored + _1960 * _DAY)
    if name == "TOD":  # also of moments
        return _CLOCK_OF_DAY
    return _CLOCK if _SAS_TIMES.fullmatch(name) else None


def stata(form: str) -> Calendar | None:
    """Of %tC, which counts leap seconds, none is taken off: at most 27. Years (%ty) are plain numbers."""
    found = _STATA_FORMAT.match(form)
    if found is None:
        return None
    kind = (found[1] or found[2]).lower()
    if kind == "c" and _STATA_CLOCK.match(found[3]):
        return Calendar(pa.large_string(), lambda stored: clock_of_seconds(stored / 1000 % _DAY))
    return _STATA[kind]


def _name(form: str) -> str:
    """Without width and decimals: DATE9 is DATE, E8601DT19.3 is E8601DT."""
    return re.sub(r"\d*\.?\d*\Z", "", form.upper())
