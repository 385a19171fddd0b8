"""What to declare of a column whose cells are written otherwise than its policy says. For `privsynth doctor` alone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from privsynth.table.values import Form

ENOUGH = 0.9  # share of texts that another way of writing must explain to be suggested
NO_TEXT = "they hold control characters, or are no text; or they are formulas of a workbook that a program wrote: open and save it"
DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d-%m-%Y", "%d-%b-%Y", "%d-%b-%y", "%d%b%Y", "%d.%m.%y", "%m/%d/%y",
        "%-m/%-d/%Y", "%-d.%-m.%Y", "%-d/%-m/%Y", "%-m/%-d/%y", "%d %b %Y", "%-d %b %Y", "%-d %B %Y", "%-d. %B %Y",
        "%Y-%m-%d 00:00:00", "%Y-%m-%dT00:00:00",
        "%d.%m.%Y 00:00:00", "%d.%m.%Y 00:00", "%-m/%-d/%Y 12:00:00 AM", "%-m/%-d/%Y 0:00")  # fmt: skip
CLOCKS = (" %H:%M:%S", "T%H:%M:%S", "T%H:%M:%SZ", "T%H:%M:%S%z", " %H:%M:%S%z", " %H:%M", "T%H:%M", " %-H:%M", " %-H:%M:%S",
          " %H:%M:%S.%f", "T%H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %-I:%M %p", " %-I:%M:%S %p", "%H%M%S",
          ":%H:%M:%S")  # fmt: skip
TIMES = ("%H:%M", "%H:%M:%S", "%-H:%M", "%-H:%M:%S", "%H%M", "%H%M%S", "%I:%M %p", "%-I:%M %p", "%I:%M:%S %p", "%-I:%M:%S %p",
         "%H:%M:%S.%f")  # fmt: skip
POINTS = ((",", ""), (".", ","), (",", "."), (",", " "), (".", " "), (".", "'"), (".", "\u2019"), (",", "\u00a0"),
          (",", "\u202f"), (".", "\u00a0"), (".", "\u202f"))  # fmt: skip
CURRENCIES = ("€", "$", "£", "CHF", "USD", "EUR", "zł", "Kč", "kr")
_CLOCK = re.compile(r"\d:\d\d|\d{10}")
_CENSORED = re.compile(r"(?:[<>\u2264\u2265]=?\s*[\d.,]+|[\d.,]+\s*\+)\Z")


def other_form(texts: list[str], form: Form) -> str:
    """What to declare, if another way of writing reads nearly all of the texts, none of which `form` reads."""
    if not texts:
        return NO_TEXT
    if sum(bool(_CENSORED.match(text)) for text in texts) >= ENOUGH * len(texts):
        return 'declare what stands for values beyond a limit, such as `censored: {below: "<0.6", above: ["90+"]}`'
    share, words = _best(
        _reading(form), lambda other: sum(not math.isnan(other.value_of(text)) for text in texts) / len(texts)
    )
    if share >= ENOUGH:
        return f"declare {words}: it reads {100 * share:.0f} % of these values"
    return "declare how they are written (`number`, `format`, `dataset.csv`), or what they mean (`missing`, `censored`)"


def same_form(texts: list[str], form: Form) -> str:
    """What to declare so that values leave as these texts, all of which `form` reads."""
    values = np.array([form.value_of(text) for text in texts])

    def kept(other: Form) -> float:
        same = np.array([other.value_of(text) for text in texts]) == values
        alike = [other.written_alike(*pair) for pair in zip(texts, other.texts_of(values), strict=True)]
        return float(np.mean(same & np.array(alike)))

    share, words = _best(_writing(form, texts), kept)
    if share >= ENOUGH:
        return f"declare {words} to keep them as they are"
    if form.kind == "date" and sum(bool(_CLOCK.search(text)) for text in texts) >= ENOUGH * len(texts):
        return "kind datetime keeps times of day"
    if form.kind in ("date", "datetime") and re.search("%[bB]", form.format or ""):
        return "declare the twelve names of months, as they are written, in `dataset.months`"
    return "declare how they are written, if the policy can say so, or write them otherwise in the table"


def _best(candidates: Iterator[tuple[Form, str]], share_of: Callable[[Form], float]) -> tuple[float, str]:
    best, words = 0.0, ""
    for other, declared in candidates:
        if (share := share_of(other)) > best:
            best, words = share, declared
        if best == 1:
            break
    return best, words


def _stated(**keys: Any) -> str:
    """With spaces that cannot be told apart by eye as YAML escapes them."""
    text = ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items() if value)
    return f"`number: {{{text}}}`".replace("\u00a0", "\\u00a0").replace("\u202f", "\\u202f")


def _reading(form: Form) -> Iterator[tuple[Form, str]]:
    if form.kind in ("integer", "number"):
        yield replace(form, percent=True), _stated(percent=True)
        yield replace(form, written="{}-"), _stated(decimal=form.decimal, thousands=form.thousands, written="{}-")
        for decimal, thousands in POINTS:
            other, keys = (
                replace(form, decimal=decimal, thousands=thousands),
                {"decimal": decimal, "thousands": thousands},
            )
            yield other, _stated(**keys)
            yield replace(other, parentheses=True), _stated(**keys, parentheses=True)
            yield replace(other, written="{}-"), _stated(**keys, written="{}-")
        for currency, (decimal, thousands) in product(CURRENCIES, (*POINTS, (".", ""))):
            other = replace(form, decimal=decimal, thousands=thousands, currency=currency)
            yield other, _stated(decimal=decimal, thousands=thousands, currency=currency)
    else:
        yield from _moments(form)
        if form.kind == "datetime" and not form.timezone:
            yield replace(form, timezone="UTC"), "`timezone` (such as `UTC`), since the cells have offsets"


def _writing(form: Form, texts: list[str]) -> Iterator[tuple[Form, str]]:
    if form.kind not in ("integer", "number"):
        yield from _moments(form)
        return
    for places in {
        len(found[1]) for text in texts[:1] if (found := re.search(rf"{re.escape(form.decimal)}(\d+)", text))
    }:
        kind = "" if form.kind == "number" else "kind: number, "
        yield replace(form, kind="number", places=places), f"`{kind}decimals: {places}`"
    signs = [sign for sign in (form.currency, "%" if form.percent else "") if sign]
    for sign, space in product(signs, ("", " ", "\u00a0", "\u202f")):
        for pattern in (f"{{}}{space}{sign}", f"{sign}{space}{{}}", f"{sign}{space}-{{}}", f"{{}}-{space}{sign}"):
            keys = {"currency": form.currency, "percent": form.percent, "written": pattern}
            yield replace(form, written=pattern), _stated(**keys)


def _moments(form: Form) -> Iterator[tuple[Form, str]]:
    forms = {
        "date": DAYS,
        "time": TIMES,
        "datetime": (day + clock for day, clock in product(("%Y-%m-%d", *DAYS[:18]), CLOCKS)),
    }
    for other in forms.get(form.kind, ()):
        yield replace(form, format=other), f'`format: "{other}"`'
    if form.kind == "duration":
        for other in ("clock", "iso", "days"):
            yield replace(form, format=other), f"`format: {other}`"
