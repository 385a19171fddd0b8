"""Names of months and weekdays in other languages than English, which is the one that Python's `strptime` reads here."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

ENGLISH = "en"


@lru_cache(8)
def _names(language: str) -> dict[str, str]:
    """Each name in the language, folded and without a dot at its end -> the English one that `strptime` reads.

    From CLDR, by Babel: long and short names, alone and inside dates.
    """
    from babel.dates import get_day_names, get_month_names

    found: dict[str, str] = {}
    for width in ("wide", "abbreviated"):
        for context in ("format", "stand-alone"):
            for getter in (get_month_names, get_day_names):
                english = getter(width, "format", ENGLISH)
                for number, name in getter(width, context, language).items():
                    found.setdefault(name.casefold().rstrip("."), str(english[number]))
    for name, meant in list(
        found.items()
    ):  # programs cut names to three letters, where these are one month's or day's alone
        if len({other for known, other in found.items() if known.startswith(name[:3])}) == 1:
            found.setdefault(name[:3], meant)
    return found | ({"mrz": "March"} if language.startswith("de") else {})


@lru_cache(8)
def _pattern(language: str) -> re.Pattern[str]:
    longest_first = sorted(_names(language), key=len, reverse=True)
    return re.compile(rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?!\w)\.?", re.IGNORECASE)


def in_english(text: str, language: str) -> str:
    """A text whose names of months and weekdays `strptime` can read.

    >>> in_english("12-März-97", "de"), in_english("3 janv. 2020", "fr")
    ('12-March-97', '3 Jan 2020')
    """
    if language == ENGLISH:
        return text
    return _pattern(language).sub(lambda found: _names(language).get(found[1].casefold(), found[0]), text)


def name_of(number: int, kind: str, width: Literal["wide", "abbreviated"], language: str) -> str:
    """The name of a month (1 to 12) or a weekday (0 is Monday). kind: month or day; width: wide or abbreviated.

    >>> name_of(3, "month", "wide", "de"), name_of(0, "day", "abbreviated", "en")
    ('März', 'Mon')
    """
    from babel.dates import get_day_names, get_month_names

    return str((get_month_names if kind == "month" else get_day_names)(width, "format", language)[number])
