"""How days, moments, times and durations are written: the inverse of `parse`, each value by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from privsynth.policy.column import LETTER_CASES, NAMES
from privsynth.policy.moments import DAY, padded
from privsynth.table.language import DIRECTIVES, ENGLISH, name_of

_EPOCH = datetime(1970, 1, 1)
_DIRECTIVE = re.compile(r"%-?[a-zA-Z%]")


def texts_of(
    values: np.ndarray, kind: str, form: str | None, step: float, zone: str | None = None, language: str = ENGLISH,
    letter_case: str | None = None, months: tuple[str, ...] = (),
) -> np.ndarray:  # fmt: skip
    """(rows,) text of each value, None for NaN. kind: date (values in days), datetime, time or duration (in seconds).

    form: as in strptime, or of durations one of `column.DURATION_FORMATS`. step: resolution in seconds. zone: of datetimes.
    months: their names, where a policy declares them.
    """
    write = writer_of(kind, form, step, zone, language, letter_case, months)
    there = ~np.isnan(values)
    distinct, place = np.unique(values[there], return_inverse=True)
    texts = np.empty(len(values), object)
    texts[there] = np.array([write(float(value)) for value in distinct], object)[place] if len(distinct) else None
    return texts


def writer_of(
    kind: str, form: str | None = None, step: float = 1.0, zone: str | None = None, language: str = ENGLISH,
    letter_case: str | None = None, months: tuple[str, ...] = (),
) -> Callable[[float], str]:  # fmt: skip
    """The function from a value to its text, as for `texts_of`."""
    if kind == "duration":
        return lambda seconds: _duration(seconds, form or "clock", step)
    place = ZoneInfo(zone) if zone else None
    scale = DAY if kind == "date" else 1

    def write(value: float) -> str:
        whole = math.floor(value * scale)
        moment = _EPOCH + timedelta(seconds=whole, microseconds=round((value * scale - whole) * 1e6))
        if place is not None:
            moment = moment.replace(tzinfo=place)
        if form is not None:
            return formatted(moment, form, language, letter_case, months)
        if kind == "date":
            return moment.date().isoformat()
        text = moment.isoformat(sep=" ", timespec="microseconds" if step < 1 else "seconds")
        return text[11:] if kind == "time" else text

    return write


def formatted(
    moment: datetime, form: str, language: str = ENGLISH, letter_case: str | None = None, months: tuple[str, ...] = ()
) -> str:
    """As strftime, with four digits of a year before 1000, and names in other languages and in a letter case.

    >>> formatted(datetime(97, 3, 1), "%d-%b-%Y", "de")
    '01-März-0097'
    """

    def one(found: re.Match[str]) -> str:
        directive, bare = padded(found[0]), "-" in found[0]  # without leading zeros
        if directive == "%Y":
            return f"{moment.year:04d}"
        if months and directive in ("%b", "%B"):
            text = months[moment.month - 1]
        elif language != ENGLISH and directive in DIRECTIVES:
            kind, width = DIRECTIVES[directive]
            text = name_of(moment.month if kind == "month" else moment.weekday(), kind, width, language).rstrip(".")
        else:
            aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)  # so that %z has an offset
            text = aware.strftime(directive)
        text = text.lstrip("0") or "0" if bare and text.isdigit() else text
        if directive not in NAMES or letter_case == LETTER_CASES[0]:
            return text
        return (
            text.upper() if letter_case == LETTER_CASES[1] else text.lower() if letter_case == LETTER_CASES[2] else text
        )

    return _DIRECTIVE.sub(one, form)


def _duration(seconds: float, form: str, step: float) -> str:
    """36:15:00 (clock), P1DT12H15M (iso) or 1 days 12:15:00 (days)."""
    digits = 6 if step < 1 else 0
    units = round(abs(seconds) * 10**digits)
    whole, rest = divmod(units, 10**digits)
    part = f".{rest:06d}" if digits else ""
    sign = "-" if seconds < 0 and units else ""
    hours, minutes, left = whole // 3600, whole // 60 % 60, whole % 60
    if form == "clock":
        return f"{sign}{hours:02d}:{minutes:02d}:{left:02d}{part}"
    if form == "days":
        if sign:  # as pandas and Python write them: whole days below, and the rest above
            days = -(-units // (DAY * 10**digits))
            return f"-{days} days +" + _duration(days * DAY - abs(seconds), "clock", step)
        return f"{hours // 24} days {hours % 24:02d}:{minutes:02d}:{left:02d}{part}"
    fraction = part.rstrip("0").rstrip(".")
    days = f"{hours // 24}D" if hours >= 24 else ""
    clock = "".join(f"{n}{c}" for n, c in ((hours % 24, "H"), (minutes, "M")) if n)
    clock += f"{left}{fraction}S" if left or fraction or not (days or clock) else ""
    return f"{sign}P{days}" + (f"T{clock}" if clock else "")
