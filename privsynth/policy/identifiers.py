"""Invented identifiers, by what a policy says alone: how many there are, and whether a real one can be among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from privsynth.policy.formats import Violation

if TYPE_CHECKING:
    from privsynth.policy.column import Column
    from privsynth.policy.model import PolicyModel

POOL = 2000  # distinct values of Faker that a column draws from
PREFIX = "synthetic-"  # of identifiers for which a policy states neither `generator` nor `pattern`
BELOW = -(10**9)  # where their source declares whole numbers: BELOW - 1, BELOW - 2, ... (they fit into 32 bits)
PLENTY = 10**7  # fillings that are enough for a table whose number of rows is not declared
# Numbers that nobody has: ranges that the authorities keep for films and books, or rules that no real number keeps.
# US: 555-0100 to 555-0199 of every area (NANPA). GB: Ofcom's numbers for drama. DE: Bundesnetzagentur. FR: ARCEP.
# SSN: area 9 and group 00 are never issued. IBAN: check digits are 02 to 98 (ISO 13616).
RESERVED: dict[str, dict[str, tuple[str, ...]]] = {
    "phone_number": {
        "en": tuple(f"+1-{first}##-555-01##" for first in range(2, 10)),
        "en_GB": ("+44 7700 900###", "+44 1632 960###"),
        "de": ("+49 30 23125###", "+49 69 90009###", "+49 40 66969###", "+49 221 4710###", "+49 89 99998###"),
        "fr": tuple(f"+33 {block} ## ##" for block in ("1 99 00", "2 61 91", "3 53 01", "4 65 71", "5 36 49", "6 39 98")),
    },
    "ssn": {"en": ("9##-00-####",)},
    "iban": {"en": ("GB00SYNT##############",), "de": ("DE00##################",), "fr": ("FR00#######################",)},
}  # fmt: skip
REPEATING = frozenset({
    "name", "first_name", "last_name", "address", "street_address", "city", "postcode", "company",
})  # fmt: skip


def patterns_of(generator: str | None, pattern: str | None, language: str) -> tuple[str, ...]:
    """The patterns that a column's values fill; none where they are made otherwise.

    >>> patterns_of("ssn", None, "pt_BR"), patterns_of("uuid", None, "en")
    (('9##-00-####',), ())
    """
    if pattern is not None:
        return (pattern,)
    by_language = RESERVED.get(generator or "", {})
    exact = language.replace("-", "_")
    for key in (exact, exact.partition("_")[0], "en"):
        if key in by_language:
            return by_language[key]
    return ()


def fillings(pattern: str) -> int:
    """
    >>> fillings("A-###"), fillings("?#")
    (1000, 260)
    """
    return int(10 ** pattern.count("#") * 26 ** pattern.count("?"))


def most_values(generator: str | None, pattern: str | None, language: str) -> int | None:
    """Distinct values that a column can have at most; None: enough for every table."""
    if patterns := patterns_of(generator, pattern, language):
        return sum(map(fillings, patterns))
    return POOL if generator in REPEATING else None


def longer(pattern: str, rows: int) -> str:
    """The pattern with so many digits more, behind its last place, that it has a filling for each row.

    >>> longer("A-###", 4000), longer("??/x", 1000), longer("fixed", 20)
    ('A-####', '??#/x', 'fixed-##')
    """
    place = max(pattern.rfind("#"), pattern.rfind("?")) + 1
    head, tail = (pattern[:place], pattern[place:]) if place else (f"{pattern}-", "")
    more = ""
    while fillings(head + more + tail) < rows:
        more += "#"
    return head + more + tail


def can_coincide(one: str, other: str) -> bool:
    """True if some text fills both patterns. Letters count in either case, and a number counts without its leading zeros.

    >>> can_coincide("SYN-####", "MRN-####"), can_coincide("########", "######"), can_coincide("9#######", "######")
    (False, True, False)
    """
    if all(re.fullmatch("[0-9#]+", pattern) for pattern in (one, other)):
        width = max(len(one), len(other))
        one, other = one.rjust(width, "0"), other.rjust(width, "0")
    return len(one) == len(other) and all(map(_meet, one.upper(), other.upper()))


def _meet(one: str, other: str) -> bool:
    kinds = {"#": "[0-9#]", "?": "[A-Z?]"}
    return bool(
        re.fullmatch(kinds.get(one, re.escape(one)), other) or re.fullmatch(kinds.get(other, re.escape(other)), one)
    )


def _invented(policy: PolicyModel) -> Iterator[tuple[str, Column, bool]]:
    """(name, column, whether each row needs a value of its own) of each regenerated column."""
    unit = None if policy.unit == "row" else policy.unit.column
    for name, column in policy.columns.items():
        if column.released_as == "regenerate":
            yield name, column, column.kind == "id" or name == unit


def identifier_rules(policy: PolicyModel) -> Iterator[Violation]:
    """Identifiers that cannot repeat need as many values as the release has rows."""
    rows = policy.release.rows or policy.dataset.rows
    for name, column, unique in _invented(policy):
        most = most_values(column.generator, column.pattern, policy.dataset.language)
        if rows is None or not unique or most is None or most >= rows:
            continue
        text = "; in a column of kind text values may repeat" if column.kind == "id" else ""
        if column.pattern is None:
            rule = (
                f"generator {column.generator} has {most:,} values at most for {rows:,} rows: identifiers would repeat"
            )
            yield (
                ("columns", name, "generator"),
                rule,
                f"write a `pattern`, such as `SYN-{'#' * len(str(rows))}#`{text}",
            )
            continue
        count = f"{most:,} {'filling' if most == 1 else 'fillings'}"
        rule = f"{column.pattern!r} has {count} for {rows:,} rows: identifiers would repeat"
        yield ("columns", name, "pattern"), rule, f"write a longer one, such as `{longer(column.pattern, rows)}`{text}"


def identifier_warnings(policy: PolicyModel) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What may repeat, and invented identifiers that could be somebody's."""
    rows = policy.release.rows or policy.dataset.rows
    for name, column, unique in _invented(policy):
        key = "pattern" if column.pattern is not None else "generator"
        most = most_values(column.generator, column.pattern, policy.dataset.language)
        if unique and rows is None and most is not None and most < PLENTY:
            rule = f"the number of rows is not declared, and there are only {most:,} different identifiers"
            yield ("columns", name, key), f"{rule} in {name!r}: a release has no more rows than that"
        elif unique and column.pattern is None and column.generator in REPEATING:
            rule = f"{name!r} is an identifier, and values of generator {column.generator} may repeat"
            yield ("columns", name, key), f"{rule}: declare it as text, or write a `pattern`"
        yield from _could_be_real(name, column)


def _could_be_real(name: str, column: Column) -> Iterator[tuple[tuple[str | int, ...], str]]:
    hint = "a prefix such as `SYN-########` makes them recognisable"
    if column.real is not None and column.pattern is None and column.generator is None:
        if can_coincide(column.real, PREFIX + "#" * 8) or can_coincide(column.real, "-1#########"):
            rule = f"real values of {name!r} can be written as invented ones are: {PREFIX}########, -1#########"
            yield ("columns", name, "real"), f"{rule}. Write a `pattern` that no real one has"
    elif column.pattern is None:
        return
    elif column.real is not None:
        if can_coincide(column.real, column.pattern):
            rule = (
                f"an invented value of {name!r} can be a real one: both {column.pattern!r} and {column.real!r} allow it"
            )
            yield ("columns", name, "pattern"), f"{rule}; {hint}"
    elif not re.search(r"[^\W\d_]", column.pattern):
        rule = f"an invented value of {name!r} can be a real one: {column.pattern!r} has no letters of its own"
        yield ("columns", name, "pattern"), f"{rule}; {hint}, and `real` states how real ones are written"
