"""How numbers, days and moments are written by programs that know nothing of the policy, and which way a table uses.

A way reads one text by itself. Which one counts is a choice for a whole column of one table: that by which most texts can be read.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import product

from privsynth.policy.moments import DAY, clock_of
from privsynth.table.parse import day_of, moment_of, number_of, plain_number

Way = Callable[[str], float]
SOME = 1_000  # distinct texts by which a way is chosen
SEPARATORS = ((".", ","), (",", "."), (",", " "), (".", " "), (".", "'"))  # decimal, thousands
DAYS = (
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%d%b%Y",
    "%B %d, %Y",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
)
CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S.%f")
EPOCHS = {
    9: 1,
    10: 1,
    12: 10**3,
    13: 10**3,
    15: 10**6,
    16: 10**6,
    18: 10**9,
    19: 10**9,
}  # digits: counts of a second since 1970


def number_or_truth(text: str) -> float:
    """
    >>> number_or_truth("1.50"), number_or_truth("True")
    (1.5, 1.0)
    """
    value = number_of(text)
    return {"true": 1.0, "false": 0.0}.get(text.casefold(), math.nan) if math.isnan(value) else value


def number_written(text: str, decimal: str, thousands: str) -> float:
    """A number as people write it; NaN if it is none. A per cent sign is not read: nothing says whether 85 or 0.85 is meant.

    >>> number_written("€ 1.234,50", ",", "."), number_written("(12.00)", ".", ","), number_written("3.5-", ".", ",")
    (1234.5, -12.0, -3.5)
    """
    text = unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    text = "".join(sign for sign in text if unicodedata.category(sign) != "Sc").strip()
    if text[:1].isdigit() and text.endswith(("-", "\u2212")):
        text = f"-{text[:-1]}"
    return plain_number(text, decimal, thousands, parentheses=True)


def wall_clock(text: str, form: str | None) -> float:
    """A moment as a clock on the wall shows it: its offset from UTC does not count.

    >>> wall_clock("1970-01-01 00:01:00.5+02:00", None), wall_clock("1611101009", None)
    (60.5, nan)
    """
    text = _OFFSET.sub(r"\1", text)
    return math.nan if form is None and text.isdigit() and len(text) != 8 else moment_of(text, form)


def since_1970(text: str, unit: int = 1) -> float:
    """A count of seconds, or of thousandths, millionths or billionths, since 1970, as its length tells from 1974 on: in units of
    so many seconds. NaN of another text.

    >>> since_1970("1634980500000"), since_1970("1634980500", DAY), since_1970("44492")
    (1634980500.0, 18923.0, nan)
    """
    a_second = EPOCHS.get(len(text)) if text.isascii() and text.isdigit() else None
    if a_second is None:
        return math.nan
    return float(int(text) // a_second // unit) if unit > 1 else int(text) / a_second


def billionths(text: str) -> float:
    """A duration as a count of billionths of a second."""
    return number_of(text) / 1e9


def day_clock(text: str) -> float:
    """A time of the day, also as pandas writes a duration."""
    return clock_of(text.removeprefix("0 days "))


_OFFSET = re.compile(r"(:\d\d(?:[.,]\d+)?) ?(?:Z|[+-]\d\d:?\d\d)\Z", re.ASCII)


def ways_of(kind: str) -> tuple[Way, ...]:
    """How a value of this kind may be written, the commonest way first. "plain": a number, where no policy says so."""
    if kind == "date":
        moments = [f"{day} {clock}" for day, clock in product(DAYS[:6], CLOCKS)]
        days = [partial(day_of, form=form) for form in (None, *DAYS, *moments)]
        return (*days, partial(since_1970, unit=DAY))
    if kind == "datetime":
        moments = [f"{day} {clock}" for day, clock in product(DAYS[:6], CLOCKS)]
        forms = [partial(wall_clock, form=form) for form in (None, *moments, *DAYS)]
        return (*forms, since_1970)
    if kind == "time":
        return (day_clock, *(partial(_clock, form=form) for form in CLOCKS[2:4]))
    if kind == "duration":
        return (number_or_truth, billionths)
    plain = number_of if kind == "plain" else number_or_truth  # without a policy True is a word
    return (plain, *(partial(number_written, decimal=d, thousands=t) for d, t in SEPARATORS))


def _clock(text: str, form: str) -> float:
    return moment_of(f"1970-01-01 {text}", f"%Y-%m-%d {form}")


def another_way(kind: str, texts: Sequence[str], declared: Way, fits: Callable[[float], bool]) -> tuple[Way, bool]:
    """(the way of this column's texts besides the declared one, whether it comes before that).

    The other way comes first where more values fit so; else it reads what is left. fits: whether a value is likely.
    """
    some, ways = texts[:SOME], ways_of(kind)

    def score(way: Way, of: Iterable[str]) -> tuple[int, int]:
        values = [value for text in of if math.isfinite(value := way(text))]
        return sum(map(fits, values)), len(values)

    stated = score(declared, some)
    if stated == (len(some), len(some)):
        return ways[0], False
    best = max(ways, key=lambda way: score(way, some))
    if score(best, some) > stated:
        return best, True
    rest = [text for text in some if not math.isfinite(declared(text))]
    return max(ways, key=lambda way: score(way, rest)), False
