"""Texts that an inexact comparison takes for another text, each with the reason."""

from __future__ import annotations

import unicodedata
from datetime import date

WIDE = {ord(c): ord(c) + 0xFEE0 for c in map(chr, range(0x21, 0x7F))}


def variants(text: str) -> dict[str, str]:
    """Texts that a naive comparison confuses with `text`, by kind. None is equal to it."""
    middle = len(text) // 2
    made = {
        "nul behind": text + "\0", "nul and more behind": text + "\0x", "nul before": "\0" + text,
        "nul inside": text[:middle] + "\0" + text[middle:], "many nuls": text + "\0" * 20, "nul alone": "\0",
        "escape": text + "\x1b", "unit separator": text + "\x1f", "delete": text + "\x7f", "next line": text + "\x85",
        "composed": unicodedata.normalize("NFC", text + "e\u0301"), "decomposed": unicodedata.normalize("NFD", text + "\u00e9"),
        "compatible": text + "\ufb01", "upper": text.upper(), "lower": text.lower(), "swapped case": text.swapcase(),
        "sharp s": text + "\u00df", "double s": text + "ss", "dotless i": text.replace("i", "\u0131"), "wide": text.translate(WIDE),
        "zero width": text + "\u200b", "joiner": text + "\u200d", "mark of order": "\ufeff" + text, "soft hyphen": text + "\u00ad",
        "space behind": text + " ", "space before": " " + text, "fixed space": text + "\u00a0", "tab": text + "\t",
        "line end": text + "\n", "lines": text + "\r\nx", "prefix": text[:-1], "twice": text * 2, "very long": text + "x" * 100_000,
        "long number": "9" * 5_000, "replacement": text + "\ufffd", "beyond the plane": text + "\U0001f600",
        "quotes": f'"{text}"', "quote inside": text[:middle] + '"' + text[middle:], "comma": text + ",1", "backslash": text + "\\",
        "nothing": "", "not a number": "nan", "none": "None", "null": "NULL", "infinity": "inf", "now": "now", "today": "today",
    }  # fmt: skip
    return {kind: other for kind, other in (made | _numbers(text) | _days(text)).items() if other != text}


def _numbers(text: str) -> dict[str, str]:
    try:
        float(text)
    except ValueError:
        return {}
    return {
        "one decimal": text + ".0" if "." not in text else text + "0", "leading zero": "0" + text, "plus": "+" + text,
        "minus": "-" + text, "exponent": text + "e0", "hexadecimal": "0x" + text, "underscore": text + "_0",
        "thousands": text + ",000", "point behind": text + ".",
        "as in Arabic": "".join(chr(0x660 + int(c)) if c.isdigit() else c for c in text),
        "huge": text + "e400", "tiny": text + "e-400", "a last bit more": text + ("" if "." in text else ".") + "0" * 16 + "1",
    }  # fmt: skip


def _days(text: str) -> dict[str, str]:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return {}
    week = day.isocalendar()
    return {
        "midnight": text + "T00:00:00", "end of the day": text + " 23:59:59.999999", "in UTC": text + "T00:00:00Z",
        "east": text + "T00+01:00", "west": text + "T23:59-11:00", "day with zone": text + "+14:00", "basic": text.replace("-", ""),
        "short": f"{day.year}-{day.month}-{day.day}", "slashes": text.replace("-", "/"),
        "as a week": f"{week[0]}-W{week[1]:02}-{week[2]}",
        "month": text[:7], "year": text[:4], "no such day": text[:8] + "32", "far": "9999-12-31", "year zero": "0000-01-01",
    }  # fmt: skip
