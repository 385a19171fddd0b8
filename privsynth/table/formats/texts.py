"""Values of libraries' own types as text, each by itself: what a workbook or a database gives for a cell.

Where columns have no types, numbers are read from text as the policy says that they are written (`dataset.csv.decimal`). So a
number that is none of text is written in that way, too: otherwise 1.234 would be read as a thousand where `.` is declared
to group digits.
"""

from __future__ import annotations

import math
from datetime import time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from privsynth.table.raw import as_written

NO_TEXT = "\0"  # stands for a value that is no text: unreadable by the rule on control characters
_PLAIN = (str, bytes, int, float, Decimal, UUID)
_SECOND = 1_000_000  # microseconds


def text_of(value: Any, decimal: str = ".") -> str | None:
    """A cell as text; None where there is no value. What cannot be written, such as a list, is `NO_TEXT`.

    >>> text_of(3.0), text_of(0.1, ","), text_of(True), text_of(float("nan")), text_of(timedelta(hours=30))
    ('3', '0,1', 'True', None, '30:00:00')
    """
    if (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or (isinstance(value, Decimal) and value.is_nan())
    ):
        return None
    if isinstance(value, timedelta):
        return clock(round(value / timedelta(microseconds=1)))
    if isinstance(value, time):
        return str(value)
    if isinstance(value, memoryview):
        value = bytes(value)
    if not (isinstance(value, _PLAIN) or hasattr(value, "isoformat")):
        return NO_TEXT
    try:
        text = as_written(value)
        text.encode()
        return text.replace(".", decimal) if isinstance(value, (float, Decimal)) else text
    except (
        ValueError,
        OverflowError,
    ):  # bytes that are no text, half a surrogate pair, a whole number too long to print
        return NO_TEXT


def clock(micros: int) -> str:
    """Hours, minutes and seconds as on a clock that goes past 24, with fractions of seconds where there are some.

    >>> clock(49_500_000_000), clock(-1_500_000)
    ('13:45:00', '-0:00:01.500000')
    """
    seconds, rest = divmod(abs(micros), _SECOND)
    hours, left = divmod(seconds, 3600)
    text = f"{hours:0{1 if micros < 0 else 2}}:{left // 60:02}:{left % 60:02}"
    return f"{'-' if micros < 0 else ''}{text}{f'.{rest:06}' if rest else ''}"


def clock_of_seconds(seconds: float) -> str | None:
    """The same of seconds, to the microsecond; None for what is no number of seconds."""
    return clock(round(seconds * _SECOND)) if math.isfinite(seconds) and abs(seconds) < 1e15 else None
