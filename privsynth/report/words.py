"""Numbers and verdicts as text. This module alone decides how a figure is printed, and what replaces one that is missing."""

from __future__ import annotations

import math
import re
from decimal import ROUND_CEILING, Decimal
from typing import TypeGuard

NOT_MEASURED = "not measured"
KEPT_INTERNAL = "measured, kept internal"
WHY_INTERNAL = "measured, kept internal: publishing exact attack figures would itself leak"
NBSP = "\N{NO-BREAK SPACE}"

VERDICT = {
    "release": "Release",
    "release_with_conditions": "Release with conditions",
    "do_not_release": "Do not release",
}
VERDICT_MEANS = {
    "release": "The privacy budget is accounted for, every attack stayed within its threshold, and the controls worked.",
    "release_with_conditions": "The privacy budget is accounted for. Release only under the conditions listed here.",
    "do_not_release": "The table must stay internal. At least one rule that was fixed beforehand is violated.",
}
FAMILY = {
    "membership": "Membership: is this person in the table?",
    "copying": "Copying: are people’s records in the table?",
    "exposed": "Exposure: are those with rare records, or a group, in the table?",
    "singling_out": "Singling out: can one person be isolated?",
    "linkability": "Linkability: can two records be linked to one person?",
    "inference": "Inference: can a hidden value of one person be guessed?",
}
OUTCOME = {  # of one attack
    "pass": "passed",
    "fail": "failed",
    "inconclusive": "could not tell",
    "no_power": "no power here",
    "diagnostic": "diagnostic",
}
_SUFFIX = re.compile(r"(?:[_\s.-]+|(?<=[a-z])(?=[A-Z]))(?:id|nbr|no|nr|num|number|key|code|identifier)$", re.IGNORECASE)
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


def smallest(share: float | None) -> str:
    """The smallest leak that an attack finds, as one copied person in so many; rounded so that it promises no more.

    >>> smallest(0.0083), smallest(0.4), smallest(None)
    ('one in 120', 'two in 5', 'none')
    """
    if not is_figure(share):
        return "none"
    if share > 1 / 3:
        return f"{math.ceil(5 * share)} in 5".replace("2 in", "two in")
    many = 1 / share
    step = 10 ** max(0, math.floor(math.log10(many)) - 1)
    return f"one in {math.floor(many / step) * step:,}"


def clean(value: object) -> object:
    """`value` with unprintable characters, and those that change the text direction, replaced in every string."""
    if isinstance(value, str):
        return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def is_figure(value: float | None) -> TypeGuard[float]:
    """Whether there is a finite figure to print."""
    return value is not None and math.isfinite(value)


def number(value: float | None, missing: str = NOT_MEASURED) -> str:
    """A measured figure.

    >>> number(0.04312), number(3.14159), number(12345.6), number(0.0), number(2e-5), number(None)
    ('0.043', '3.14', '12,346', '0', '2.0e-5', 'not measured')
    """
    if value is None or not math.isfinite(value):
        return missing
    size = abs(value)
    if value < 0:
        return "\N{MINUS SIGN}" + number(size)
    if size == 0:
        return "0"
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:.2f}"
    return f"{value:.3f}" if size >= 0.001 else scientific(value)


def scientific(value: float) -> str:
    """Two digits and a short exponent.

    >>> scientific(1e-6)
    '1.0e-6'
    """
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def count(value: int | None, missing: str = NOT_MEASURED) -> str:
    """A whole number with thousands separators."""
    return missing if value is None else f"{value:,}"


def percent(value: float | None, missing: str = NOT_MEASURED) -> str:
    """A rate in percent.

    >>> percent(0.0431).replace(NBSP, " "), percent(0.5).replace(NBSP, " ")
    ('4.3 %', '50 %')
    """
    if value is None or not math.isfinite(value):
        return missing
    return f"{_short(f'{100 * value:.1f}')}{NBSP}%"


def rate(key: str) -> str:
    """A rate written in a key, such as "0.001", in percent and without rounding."""
    return f"{format((Decimal(key) * 100).normalize(), 'f')}{NBSP}%"


def bound(value: float) -> str:
    """An upper bound in percent, rounded up: rounding must never improve a guarantee.

    >>> bound(0.10301).replace(NBSP, " "), bound(0.99999).replace(NBSP, " ")
    ('10.4 %', '100 %')
    """
    return f"{_short(str(_up(_exact(value) * 100, Decimal('0.1'))))}{NBSP}%"


def times(value: float, key: str) -> str:
    """The ratio of `value` to the rate written in `key`, rounded up.

    >>> times(0.079, "0.01")
    '7.9 times'
    """
    base = Decimal(key)
    return f"{_short(str(_up(_exact(value) / base, Decimal('0.1'))))} times" if base else "unbounded"


def epsilon(value: float | None, missing: str = NOT_MEASURED) -> str:
    """An epsilon, rounded up in the third place.

    >>> epsilon(3.0), epsilon(2.0004), epsilon(0.5)
    ('3', '2.001', '0.5')
    """
    if value is None or not math.isfinite(value):
        return missing
    return _short(str(_up(_exact(value), Decimal("0.001"))))


def delta(value: float) -> str:
    """A delta, rounded up, never as 0.000.

    >>> delta(1e-6), delta(1.04e-6), delta(0.0)
    ('1.0e-6', '1.1e-6', '0')
    """
    if value == 0:
        return "0"
    exact = _exact(value)
    step = Decimal(10) ** (exact.adjusted() - 1)
    return scientific(float(_up(exact, step)))


def odds(value: float) -> str:
    """A small chance as "1 in n"; n is rounded down, so the probability is never understated."""
    return "0" if value == 0 else f"1{NBSP}in{NBSP}{int(1 / _exact(value)):,}"


def chance(value: float) -> str:
    """An upper bound on a probability: in percent, or as "1 in n" where it is small.

    >>> chance(0.0312).replace(NBSP, " "), chance(2.01e-5).replace(NBSP, " ")
    ('3.2 %', '1 in 49,751')
    """
    return bound(value) if value >= 0.001 else odds(value)


def interval(low: float | None, high: float | None, missing: str = NOT_MEASURED) -> str:
    """An interval, or the text that replaces it."""
    return f"{number(low)} to {number(high)}" if is_figure(low) and is_figure(high) else missing


def unit_one(unit: str, called: str | None = None) -> str:
    """One unit of privacy in the reader's words: the policy's word for it, or one derived from the column's name.

    >>> unit_one("patient_nbr"), unit_one("CustomerID"), unit_one("row"), unit_one("mrn")
    ('one patient', 'one customer', 'one row', 'one value of “mrn”')
    """
    noun = called or _noun(unit)
    return f"one {noun}" if noun else f"one value of “{unit}”"


def unit_many(unit: str, called: str | None = None) -> str:
    """The plural of `unit_one`.

    >>> unit_many("patient_nbr"), unit_many("company_id"), unit_many("mrn")
    ('patients', 'companies', 'values of “mrn”')
    """
    noun = called or _noun(unit)
    if not noun:
        return f"values of “{unit}”"
    return noun[:-1] + "ies" if re.search("[^aeiou]y$", noun) else noun + "s"


def listed(items: list[str], none: str = "none", most: int = 12) -> str:
    """Items in a sentence, shortened where there are many."""
    if not items:
        return none
    if len(items) > most:
        return ", ".join(items[:most]) + f" and {len(items) - most} more"
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def option(value: object) -> str:
    """A setting as a reader would write it.

    >>> option(True), option(None), option([1, None]), option({"a": 0.5})
    ('yes', 'default', '1, default', 'a: 0.5')
    """
    if isinstance(value, dict):
        return ", ".join(f"{key}: {option(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(option(item) for item in value)
    if value is None:
        return "default"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def plural(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 attack", "3 attacks"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _noun(unit: str) -> str:
    if unit == "row":
        return "row"
    stem = _SUFFIX.sub("", unit)
    return re.sub(r"[_\s.-]+", " ", stem).strip().lower() if stem != unit and stem.strip() else ""


def _exact(value: float) -> Decimal:
    return Decimal(
        repr(float(value))
    )  # the shortest decimal: 0.07 is exactly .07, not slightly above it, and rounds up to 7 %


def _up(value: Decimal, step: Decimal) -> Decimal:
    return value.quantize(step, rounding=ROUND_CEILING)


def _short(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
