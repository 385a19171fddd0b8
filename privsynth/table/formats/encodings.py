"""The text of a CSV in the encoding that the policy declares, as UTF-8.

*One line more* must change no other line here, either. In every encoding that a policy may name
(`policy.model.CsvSpec`), a line's text is a function of its own bytes, however the file is decoded:

- In encodings of one byte a character, each byte is decoded by itself, and 0x0A alone is a line feed.
- In the encodings of East Asia that are offered, the second and later bytes of a character are never 0x0A or 0x0D, so a
  character that breaks off at the end of a line is an error, and the file is refused. These bytes may be letters,
  digits, `|` or `\\` (0x7C, 0x5C): lines are cut and fields are split after decoding, never before. None has states:
  ISO-2022 and HZ, where three bytes in one line change how all lines behind it are read, are not offered.
- In UTF-16 and UTF-32 a line feed is a whole unit of two or four bytes. A line more has a whole number of units and moves
  no other; a piece of bytes with an odd length leaves the file with a broken unit, and it is refused. A surrogate pair
  that goes over a line end is an error.

Decoding is strict: bytes that are no text of the encoding refuse the file, with the number of the line.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO

from privsynth.errors import InputError, Problem

BLOCK = 1 << 26  # bytes that are decoded together
LONGEST_LINE = 1_000_000  # bytes of a line that the search for a header takes
UTF8 = {"utf-8", "utf-8-sig"}
_UNITS = {"utf-16": 2, "utf-16-le": 2, "utf-16-be": 2, "utf-32": 4}  # bytes of a unit, where it is more than one
_ONE_BYTE = ("iso8859", "cp12", "mac-", "cp4", "cp8", "koi8")
_MARKS = {  # byte order marks; the longer ones first, since that of UTF-32 begins like one of UTF-16
    codecs.BOM_UTF32_LE: ("utf-32", "utf-32"), codecs.BOM_UTF32_BE: ("utf-32", "utf-32"),
    codecs.BOM_UTF8: ("utf-8", "utf-8-sig"), codecs.BOM_UTF16_LE: ("utf-16", "utf-16-le"),
    codecs.BOM_UTF16_BE: ("utf-16", "utf-16-be"),
}  # fmt: skip


def as_utf8(data: bytes, encoding: str, place: str) -> tuple[bytes, bool]:
    """(the text as UTF-8 without a byte order mark, whether it had one). Raises InputError with the line of what is no text,
    but for UTF-8 itself: `check_utf8`."""
    marked = check_mark(data[:4], encoding, place)
    if encoding in UTF8:
        return data.removeprefix(codecs.BOM_UTF8), marked
    if encoding.startswith(_ONE_BYTE) and _is_utf8(data):
        rule = f"is text in UTF-8, and `encoding` is {encoding}, in which its letters would be others"
        raise InputError(Problem(place, rule, declare("encoding: utf-8")))
    blocks = bytearray()
    for block in _decoded(data, encoding, place):
        blocks += block.encode()
    return bytes(blocks).removeprefix(codecs.BOM_UTF8), marked


def _is_utf8(data: bytes) -> bool:
    """True for UTF-8 that is not ASCII alone: hardly any text of one byte a character is that by chance."""
    try:
        return not data.isascii() and all(decoded is not None for decoded in _decoded(data, "utf-8", ""))
    except InputError:
        return False


def check_utf8(data: bytes, place: str) -> None:
    """Raises InputError with the line of the first bytes that are not UTF-8."""
    if not data.isascii():
        for _ in _decoded(data, "utf-8", place):
            pass


def _decoded(data: bytes, encoding: str, place: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK]
        before = len(decoder.getstate()[0])  # bytes of a character that began in the block before
        try:
            yield decoder.decode(block, final=start + BLOCK >= len(data))
        except UnicodeDecodeError as error:
            sound = data[: start - before + error.start]
            feeds = sound.decode(encoding, "replace").count("\n") if encoding in _UNITS else sound.count(b"\n")
            raise _no_text(place, f"line {1 + feeds}", encoding) from None


def lines_of(file: IO[bytes], encoding: str, place: str) -> Iterator[bytes]:
    """The lines as UTF-8, each with its end and decoded when it is asked for; the first without a byte order mark."""
    lines: Iterator[str | bytes] = (
        _by_units(file, encoding) if encoding in _UNITS else iter(lambda: file.readline(LONGEST_LINE + 4), b"")
    )
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            errors = "strict" if len(line) <= LONGEST_LINE else "replace"  # a long one may end within a character
            text = line if isinstance(line, str) else line.decode("utf-8" if encoding in UTF8 else encoding, errors)
            yield (text.removeprefix("\ufeff") if number == 1 else text).encode()
    except UnicodeDecodeError:
        raise _no_text(place, f"line {number + 1 if encoding in _UNITS else number}", encoding) from None


def _by_units(file: IO[bytes], encoding: str) -> Iterator[str]:
    """Lines of an encoding in which a line feed has several bytes; nothing of the line behind is decoded."""
    decoder, line = codecs.getincrementaldecoder(encoding)(), []
    while piece := file.read(_UNITS[encoding]):
        line.append(decoder.decode(piece))
        if line[-1] == "\n" or len(line) > LONGEST_LINE:
            yield "".join(line)
            line = []
    decoder.decode(b"", final=True)
    if line:
        yield "".join(line)


def check_mark(start: bytes, encoding: str, place: str) -> bool:
    """Whether the file begins with a byte order mark. Raises InputError if it says another encoding than the policy."""
    for mark, names in _MARKS.items():
        if start.startswith(mark) and encoding in names:
            return True
    for mark, (name, _) in _MARKS.items():
        if start.startswith(mark):
            rule = f"begins with the byte order mark of {name.upper()}, and `encoding` is {encoding}"
            raise InputError(Problem(place, rule, declare(f"encoding: {name}")))
    if encoding in ("utf-16", "utf-32"):
        rule = f"has no byte order mark, which would say in which order its bytes are ({encoding.upper()})"
        hint = declare("encoding: utf-16-le") + ", or utf-16-be" if encoding == "utf-16" else "save it in UTF-8"
        raise InputError(Problem(place, rule, hint))
    return False


def declare(keys: str) -> str:
    """A hint to declare keys of `dataset.csv` in the policy."""
    return f"declare `dataset: {{csv: {{{keys}}}}}`"


def _no_text(place: str, where: str, encoding: str) -> InputError:
    name = "UTF-8" if encoding in UTF8 else encoding
    usual = {"cp1252": "western", "cp1250": "central", "cp1251": "eastern"}
    (first, area), *others = [(name, area) for name, area in usual.items() if name != encoding]
    listed = ", ".join(f"{name} ({area})" for name, area in others)
    hint = f"{declare(f'encoding: {first}')} (Windows, {area} Europe), {listed} or latin-1, as it is written; or save it in UTF-8"
    return InputError(Problem(place, f"{where} is not {name} text", hint))
