"""Rules on how cells are written: what a column's format, marks and numbers say must be readable, and read back as it was."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from privsynth.policy.column import CONTROL, DURATION_FORMATS, EPOCH, RESOLUTIONS, Column
from privsynth.policy.moments import DAY, padded

if TYPE_CHECKING:
    from privsynth.policy.model import PolicyModel

Violation = tuple[tuple[str | int, ...], str, str]  # (place in the policy, rule, hint)
SAMPLE_DAYS = (date(2004, 2, 29), date(1999, 12, 31), date(2011, 10, 8))  # that a date's format must reproduce
SAMPLE_SECONDS = (0, 3_723, 86_399)  # and a datetime's or a time's
LONGEST_FORMAT = 100  # characters
MAX_MARKS = 100
_UNPADDED = re.compile(r"%-(?:[^dmyHIMSj]|.(?=[%0-9]))")  # no number without leading zeros, or digits right behind it


def written_rules(policy: PolicyModel) -> Iterator[Violation]:
    for name, column in policy.columns.items():
        if column.format is not None:
            yield from _format(name, column)
        if column.timezone is not None and not is_timezone(column.timezone):
            hint = "write a name of the IANA database, such as `Europe/Berlin` or `UTC`"
            yield ("columns", name, "timezone"), f"no time zone {column.timezone!r}", hint
        yield from _marks(name, column, policy)
    if not is_language(policy.dataset.language):
        yield ("dataset", "language"), f"no language {policy.dataset.language!r}", "write `de`, `fr` or `pt_BR`"
    if policy.dataset.table is not None and policy.dataset.query is not None:
        yield ("dataset", "query"), "`table` and `query` are both stated", "keep one"


def _format(name: str, column: Column) -> Iterator[Violation]:
    place, shown = ("columns", name, "format"), (column.format or "")[:LONGEST_FORMAT]
    if column.kind == "duration":
        if column.format not in DURATION_FORMATS:
            yield place, f"{shown!r} is no format of durations", f"write one of {', '.join(DURATION_FORMATS)}"
        return
    what = {"date": "dates", "datetime": "moments", "time": "times of day"}.get(column.kind, "dates")
    parts = {"date": "year, month and day", "datetime": "year, month, day and hour", "time": "hour and minute"}
    like = {"date": "%Y-%m-%d", "datetime": "%Y-%m-%d %H:%M:%S", "time": "%H:%M"}
    if not _round_trips(column.format or "", column.kind, column.step):
        kind = column.kind if column.kind in parts else "date"
        hint = f"name {parts[kind]} as strptime does, such as `{like[kind]}`"
        yield place, f"{shown!r} does not round-trip {what}", hint
    elif column.two_digit_year and column.limits is not None:
        unit = 1 if column.kind == "date" else DAY
        low, high = (date.fromordinal(math.floor(end / unit) + EPOCH) for end in column.limits)
        if (high.year - low.year, high.month, high.day) >= (100, low.month, low.day):  # two days are written alike
            rule = "years of two digits do not tell the century: the bounds are a hundred years apart, or more"
            yield place, rule, "narrow the bounds, or write years with four digits (`%Y`)"


def _round_trips(form: str, kind: str, step: float) -> bool:
    """True if days and moments survive being written and read, as reader and writer do it: cells lose white space at their
    ends. step: resolution in seconds."""
    if len(form) > LONGEST_FORMAT or any(unicodedata.category(character) == "Cc" for character in form):
        return False
    if _UNPADDED.search(form):
        return False
    clock = (0,) if kind == "date" else SAMPLE_SECONDS
    try:
        for day in SAMPLE_DAYS:
            for second in clock:
                seconds = math.floor(second / step) * step if step >= 1 else second + 0.25
                moment = datetime.fromtimestamp(seconds, UTC).replace(year=day.year, month=day.month, day=day.day)
                found = datetime.strptime(moment.strftime(padded(form)).strip(), padded(form))
                if kind != "time" and found.date() != day:
                    return False
                if kind != "date" and found.time() != moment.time():
                    return False
    except Exception:  # a stray %, a directive twice (re.error), a surrogate: whatever strptime makes of it
        return False
    return True


def is_timezone(name: str) -> bool:
    """True if the time zone is in the database of this machine, or in the package `tzdata`."""
    try:
        return bool(ZoneInfo(name).key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def is_language(language: str) -> bool:
    """True if its names of months and weekdays are known here."""
    if language == "en":
        return True
    from babel import Locale, UnknownLocaleError

    try:
        return bool(Locale.parse(language.replace("-", "_")))
    except (UnknownLocaleError, ValueError):
        return False


def _marks(name: str, column: Column, policy: PolicyModel) -> Iterator[Violation]:
    own = column.missing if column.missing is not None else policy.dataset.missing
    texts = [*(column.censored.texts if column.censored else ()), *own]
    if len(texts) > MAX_MARKS:
        yield ("columns", name), f"has more than {MAX_MARKS} marks for missing and censored values", "state fewer"
    if column.censored and (
        twice := sorted({text.strip() for text in column.censored.texts} & {t.strip() for t in own})
    ):
        yield ("columns", name, "censored"), f"{twice[0]!r} is a token for missing, too", "keep it in one of the two"
    listed = column.categories if isinstance(column.categories, list) else []
    for index, value in enumerate(listed):
        if value != value.strip() or not value:
            rule = f"{value!r} begins or ends with white space, which cells lose" if value else "a category is empty"
            yield ("columns", name, "categories", index), rule, "write it without; an empty cell is missing"
    stated = (
        texts if column.missing is not None else texts[: len(texts) - len(own)]
    )  # those of the table are named there
    for index, text in enumerate(stated):
        if CONTROL.search(text):
            hint = "leave it out: no cell that holds one can be read"
            yield ("columns", name), f"mark {index + 1}, {text[:100]!r}, holds a control character", hint


def written_warnings(policy: PolicyModel) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for name, column in policy.columns.items():
        directives = set(re.findall(r"%[a-zA-Z]", padded(column.format or "")))
        if column.kind == "date" and column.modelled and directives & {*RESOLUTIONS, "%p"}:
            rule = "its `format` writes a time of day, which kind date does not keep: every moment leaves as midnight"
            yield ("columns", name, "format"), f"{rule}. Kind datetime keeps it"
        tokens = policy.dataset.missing if column.missing is None else []
        for token in tokens:
            if isinstance(column.categories, list) and token in column.categories:
                rule = f"{token!r} is a category here and a token for missing in the whole table: it counts as missing"
                yield ("columns", name), f"{rule}. Write `missing: []` to keep it as a category"
            elif column.kind in ("integer", "number") and column.limits and _lies_within(token, column.limits):
                rule = f"{token!r} means missing in the whole table, and lies within the bounds of this column"
                yield ("columns", name), f"{rule}: write `missing: []` if it is a value here"


def _lies_within(token: str, limits: tuple[float, float]) -> bool:
    try:
        return limits[0] <= float(token) <= limits[1]
    except ValueError:
        return False
