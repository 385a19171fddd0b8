"""Texts that the encoding of a CSV cannot write: no cell of the table can hold them, and no release could."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from privsynth.policy.fakes import can_write, faker_of, pool_of
from privsynth.policy.formats import Violation, is_language
from privsynth.policy.identifiers import REPEATING

if TYPE_CHECKING:
    from privsynth.policy.column import Column
    from privsynth.policy.model import PolicyModel

SAMPLE = 10  # texts that a generator must give, to be taken
_NAMES = {"%b": "month", "%B": "month", "%a": "day", "%A": "day"}


def encoding_rules(policy: PolicyModel) -> Iterator[Violation]:
    """Whatever a policy declares for the table that leaves: names, categories, marks, signs of numbers, formats of dates."""
    encoding = policy.dataset.csv.encoding
    if can_write("\u20ac\u0141\u0436\u4e2d\U0001f600", encoding):  # it writes all of Unicode
        return
    named = [
        (("dataset", "missing", i), token)
        for i, token in enumerate(policy.dataset.missing)
        if any(column.modelled and column.missing is None for column in policy.columns.values())
    ]
    stated: Iterable[tuple[tuple[str | int, ...], str]] = (
        *named,
        *(
            (("columns", name, *key), text)
            for name, column in policy.columns.items() if column.released_as != "drop"
            for key, text in _texts(name, column, policy)
        ),
    )  # fmt: skip
    for place, text in stated:
        yield from unwritable(place, text, encoding)
    yield from _invented(policy)


def _invented(policy: PolicyModel) -> Iterator[Violation]:
    """Names of which hardly any can be written. Where some can, these are invented."""
    encoding, language = policy.dataset.csv.encoding, policy.dataset.language
    for name, column in policy.columns.items():
        if column.pattern is not None or column.generator not in REPEATING:
            continue
        if not pool_of(getattr(faker_of(language, 0), str(column.generator)), SAMPLE, encoding):
            rule = f"hardly any {column.generator} of language {language} can be written in {encoding}"
            hint = "correct `dataset.csv.encoding` or `dataset.language`, or write a `pattern`"
            yield ("columns", name, "generator"), rule, hint


def unwritable(place: tuple[str | int, ...], text: str, encoding: str) -> Iterator[Violation]:
    """The violation at this place, if there is one."""
    odd = next((letter for letter in text if not can_write(letter, encoding)), None)
    if odd is not None:
        rule = f"{text[:100]!r} holds {odd!r}, which the encoding {encoding} of `dataset.csv` cannot write"
        yield place, rule, "correct `dataset.csv.encoding`, or write it as the table does"


def _texts(name: str, column: Column, policy: PolicyModel) -> Iterator[tuple[tuple[str | int, ...], str]]:
    yield (), name
    if column.pattern is not None:
        yield ("pattern",), column.pattern
    listed = column.categories if isinstance(column.categories, list) else []
    yield from ((("categories", i), text) for i, text in enumerate(listed))
    yield from ((("missing", i), text) for i, text in enumerate(column.missing or []))
    yield from ((("censored",), text) for text in (column.censored.texts if column.censored else ()))
    if column.number is not None:
        for key in ("thousands", "currency", "written"):
            yield ("number", key), getattr(column.number, key) or ""
    if column.format is not None and column.kind in ("date", "datetime", "time"):
        yield ("format",), column.format
        yield from ((("format",), text) for text in _names_in(column.format, policy))


def _names_in(form: str, policy: PolicyModel) -> Iterator[str]:
    """Names of months and weekdays that a format writes."""
    from babel.dates import get_day_names, get_month_names

    language = policy.dataset.language
    kinds = {(_NAMES[directive], directive[1].isupper()) for directive in re.findall("%[aAbB]", form)}
    for kind, wide in sorted(kinds):
        if kind == "month" and policy.dataset.months:
            yield from policy.dataset.months
        elif language != "en" and is_language(language):
            names = get_month_names if kind == "month" else get_day_names
            yield from names("wide" if wide else "abbreviated", "format", language.replace("-", "_")).values()
