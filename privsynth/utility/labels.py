"""Numbers and dates as a reader expects them."""

from __future__ import annotations

import numpy as np


def year(days: float) -> int:
    """Year of a date given in days since 1970."""
    return int(day(days).rsplit("-", 2)[0])


def day(days: float) -> str:
    """ISO date of days since 1970."""
    return str(np.datetime64(int(np.floor(days)), "D"))


def clock(seconds: float) -> str:
    """A time of day or a duration, in hours and minutes, and seconds if there are some.

    >>> clock(27_900.0), clock(-90.0), clock(126_000.0)
    ('07:45', '−00:01:30', '35:00')
    """
    whole = abs(int(np.floor(seconds)))
    text = f"{whole // 3600:02d}:{whole // 60 % 60:02d}" + (f":{whole % 60:02d}" if whole % 60 else "")
    return f"−{text}" if seconds < 0 else text


def short(value: float) -> str:
    """Six significant digits, thousands separators, no exponent below 10^15.

    >>> short(1000.0), short(0.25), short(-3.0), short(12345678.0)
    ('1,000', '0.25', '−3', '12,345,678')
    """
    text = f"{value:,.6g}"
    if "e" in text and 1 <= abs(value) < 1e15:  # six digits are too few for a large round number
        text = f"{value:,.0f}"
    return text.replace("-", "−") if "e" not in text else text
