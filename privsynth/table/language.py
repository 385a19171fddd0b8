"""Names of months and weekdays in other languages than English, which is the one that Python's `strptime` reads here."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

ENGLISH = "en"


@lru_cache(16)
def _names(language: str, kind: str) -> dict[str, int]:
    """Each name of a month or a weekday, folded and without a dot at its end -> its number, as in `name_of`.

    From CLDR, by Babel: long and short names, alone and inside dates.
    """
    from babel.dates import get_day_names, get_month_names

    found: dict[str, int] = {}
    for width in ("wide", "abbreviated"):
        for context in ("format", "stand-alone"):
            for number, name in (get_month_names if kind == "month" else get_day_names)(
                width, context, language.replace("-", "_")
            ).items():
                found.setdefault(name.casefold().rstrip("."), number)
    for name in list(found):  # programs cut names to three letters, where these are one month's or day's alone
        meant = {number for known, number in found.items() if known.startswith(name[:3])}
        if len(meant) == 1:
            found.setdefault(name[:3], *meant)
    return found | ({"mrz": 3} if language.startswith("de") and kind == "month" else {})


@lru_cache(16)
def _known(language: str, kind: str, months: tuple[str, ...]) -> dict[str, int]:
    """As `_names`, with the names of months that a policy declares."""
    declared = {folded(name): number for number, name in enumerate(months, 1)} if kind == "month" else {}
    return _names(language, kind) | declared


def folded(name: str) -> str:
    """A name of a month as it is compared: in any letter case, with or without a dot behind it."""
    return name.casefold().rstrip(".")


@lru_cache(8)
def _pattern(language: str, months: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted({*_known(language, "month", months), *_known(language, "day", ())}, key=len, reverse=True)
    names = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<![^\W\d_])({names})(?![^\W\d_])\.?", re.IGNORECASE)  # no part of a longer word


DIRECTIVES = {
    "%b": ("month", "abbreviated"), "%B": ("month", "wide"), "%a": ("day", "abbreviated"), "%A": ("day", "wide"),
}  # fmt: skip


def in_english(text: str, language: str, form: str | None, months: tuple[str, ...] = ()) -> str:
    """A text whose names of months and weekdays `strptime` can read. Its first name is that of the format's first directive.

    months: their names, where a policy declares them.

    >>> in_english("12-März-97", "de", "%d-%b-%y"), in_english("01MRZ2020", "de", "%d%b%Y")
    ('12-Mar-97', '01Mar2020')
    >>> in_english("mar, 3 de marzo", "es", "%a, %d de %B")
    'Tue, 3 de March'
    """
    if form is None or (language == ENGLISH and not months):
        return text
    directives = iter([directive for directive in re.findall(r"%.\.?", form) if directive[:2] in DIRECTIVES])

    def translated(found: re.Match[str]) -> str:
        directive = next(directives, "")
        kind, width = DIRECTIVES.get(directive[:2], ("month", ""))
        number = _known(language, kind, months).get(found[1].casefold()) if width else None
        if number is None:
            return found[0]
        dot = "." if directive.endswith(".") and found[0].endswith(".") else ""  # else it belongs to the name
        return name_of(number, kind, width, ENGLISH) + dot

    return _pattern(language, months).sub(translated, text)


@lru_cache(512)
def name_of(number: int, kind: str, width: Literal["wide", "abbreviated"], language: str) -> str:
    """The name of a month (1 to 12) or a weekday (0 is Monday). kind: month or day; width: wide or abbreviated.

    >>> name_of(3, "month", "wide", "de"), name_of(0, "day", "abbreviated", "en")
    ('März', 'Mon')
    """
    from babel.dates import get_day_names, get_month_names

    names = (get_month_names if kind == "month" else get_day_names)(width, "format", language.replace("-", "_"))
    return str(names[number])
