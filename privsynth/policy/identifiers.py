"""Invented identifiers, by what a policy says alone: how many there are, and whether a real one can be among them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from privsynth.policy.formats import Violation

if TYPE_CHECKING:
    from privsynth.policy.column import Column
    from privsynth.policy.model import PolicyModel

POOL = 2000  # distinct values of Faker that a column draws from
PREFIX = "synthetic-"  # of identifiers for which a policy states neither `generator` nor `pattern`
BELOW = -(10**9)  # where their source declares whole numbers: BELOW - 1, BELOW - 2, ... (they fit into 32 bits)
PLAIN = (PREFIX + "#" * 8, "-1#########")
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
_TELLING = re.compile("syn|fake|invented|dummy|mock|example", re.IGNORECASE)  # a pattern that says what it is
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
    """True if some text fills both patterns, by what an identifier says: letters count in either case, signs between them not
    at all, and a number counts without its leading zeros.

    >>> can_coincide("SYN-####", "MRN-####"), can_coincide("########", "######"), can_coincide("9#######", "######")
    (False, True, False)
    >>> can_coincide("9########", "###-##-####"), can_coincide("mrn####", "MRN-######"), can_coincide("-1####", "######")
    (True, True, False)
    """
    first, second = _runs(one), _runs(other)
    return len(first) == len(second) and all(map(_meet, first, second))


def _runs(pattern: str) -> list[str]:
    """Runs of digits and single letters, without signs but the minus of a number."""
    plain = "".join(
        str(unicodedata.decimal(sign, sign)) for sign in unicodedata.normalize("NFKC", pattern).casefold().strip()
    )
    sign = ["-"] if re.fullmatch(r"-[0-9#]+(\.0+)?", plain) else []
    plain = re.sub(r"(?<=[0-9#])\.0+\Z", "", plain)  # 12.0 is 12
    return sign + re.findall(r"[0-9#]+|.", re.sub(r"[^\w#?]|_", "", plain))


def _meet(one: str, other: str) -> bool:
    if one[0] in "0123456789#" and other[0] in "0123456789#":
        width = max(len(one), len(other))
        pairs = zip(one.rjust(width, "0"), other.rjust(width, "0"), strict=True)
        return all(a == b or "#" in (a, b) for a, b in pairs)
    return one == other or (one == "?" and other.isalpha()) or (other == "?" and one.isalpha())


def _invented(policy: PolicyModel) -> Iterator[tuple[str, Column, bool]]:
    """(name, column, whether each row needs a value of its own) of each regenerated column."""
    unit = None if policy.unit == "row" else policy.unit.column
    for name, column in policy.columns.items():
        if column.released_as == "regenerate":
            yield name, column, column.kind == "id" or name == unit


def identifier_rules(policy: PolicyModel) -> Iterator[Violation]:
    """Patterns that nobody could read again, and identifiers that cannot repeat but have too few values."""
    yield from _unwritable(policy)
    rows = policy.release.rows or policy.dataset.rows
    for name, column, unique in _invented(policy):
        most = most_values(column.generator, column.pattern, policy.dataset.language)
        if rows is None or not unique or most is None or most >= rows or column.pattern == "":
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
        rule = f"{_shown(column.pattern)} has {count} for {rows:,} rows: identifiers would repeat"
        yield (
            ("columns", name, "pattern"),
            rule,
            f"write a longer one, such as `{_cut(longer(column.pattern, rows))}`{text}",
        )


def _unwritable(policy: PolicyModel) -> Iterator[Violation]:
    for name, column in policy.columns.items():
        for key in ("pattern", "real"):
            pattern: str | None = getattr(column, key)
            if pattern is None:
                continue
            if not pattern.strip():
                yield ("columns", name, key), "is empty", "write one such as `SYN-########`, or leave it out"
            elif pattern != pattern.strip() or any(unicodedata.category(sign)[0] == "C" for sign in pattern):
                rule = "has white space at an end, or a control character, and could not be read again"
                yield ("columns", name, key), rule, "remove it"


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
    for key in ("pattern", "real"):
        if re.search(r"[][{}|\\^$]", getattr(column, key) or ""):
            rule = f"{key} of {name!r} has signs of a regular expression, which stand for themselves here"
            yield (
                ("columns", name, key),
                f"{rule}: `#` is a digit, `?` a letter, and nothing else stands for another sign",
            )
    if column.pattern is None:
        if column.real is not None and column.generator is None and any(can_coincide(column.real, p) for p in PLAIN):
            rule = f"real values of {name!r} can be written as invented ones are: {', '.join(PLAIN)}"
            yield ("columns", name, "real"), f"{rule}. Write a `pattern` that no real one has"
        return
    if column.generator is not None:
        rule = f"{name!r} has a `pattern`, so that its `generator` does not count"
        yield ("columns", name, "generator"), f"{rule}: leave one of them out"
    hint, place = "a prefix such as `SYN-########` makes them recognisable", ("columns", name, "pattern")
    shown = _shown(column.pattern)
    rule = f"an invented value of {name!r} can be a real one: "
    if column.real is not None:
        if can_coincide(column.real, column.pattern):
            yield place, f"{rule}both {shown} and {_shown(column.real)} allow it; {hint}"
    elif not re.search(r"[^\W\d_]", column.pattern):
        yield place, f"{rule}{shown} has no letters of its own; {hint}, and `real` states how real ones are written"
    elif fillings(column.pattern) > 1 and not _TELLING.search(column.pattern):
        yield (
            place,
            f"{rule}nothing states that real ones are not written {shown}; {hint}, and `real` states how real ones are written",
        )


def _shown(pattern: str) -> str:
    return repr(_cut(pattern))


def _cut(pattern: str) -> str:
    return pattern if len(pattern) <= 80 else f"{pattern[:60]}...{pattern[-10:]}"
