"""In every dialect and encoding that a policy may declare, a line more changes how no other line is read."""

from __future__ import annotations

import codecs
import io
import random
import re
from pathlib import Path

import pytest
from repeated import examples

from privsynth.errors import InputError
from privsynth.policy.model import ENCODINGS, CsvSpec
from privsynth.table.formats.csv import check_grammar, read_csv
from privsynth.table.formats.encodings import as_utf8, lines_of

MARKS = [",", ";", "\t", "|", " ", ":", "\\", "\x1f", "~"]
DIALECTS = [(mark, quote) for mark in MARKS for quote in ('"', "'", "")]


def rows_of(lines: list[bytes], spec: CsvSpec) -> list[tuple[str | None, ...]]:
    """The rows of a CSV of these lines behind a header."""
    raw = read_csv(b"\n".join([b"a%cb" % spec.delimiter.encode(), *lines, b""]), Path("t.csv"), spec)
    return list(zip(*(raw.frame.column(name).to_pylist() for name in raw.columns), strict=True))


def grammars(mark: bytes, quote: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """(lines of two fields each, lines of any) as regular expressions: RFC 4180 with this delimiter and quote."""
    m, q = re.escape(mark), re.escape(quote)
    field = rb"(?:%b(?:[^%b]|%b%b)*%b|[^%b%b\r\n]*)" % (q, q, q, q, q, q, m) if quote else rb"[^%b\r\n]*" % m
    two, any_number = (rb"(?:%b%b)?" % (field, more) for more in (m + field, rb"(?:%b%b)*" % (m, field)))
    whole, ragged = (re.compile(rb"%b(?:\r?\n%b)*\r?\Z" % (row, row)) for row in (two, any_number))
    return whole, ragged


def check_dialect(mark: str, quote: str, count: int, rng: random.Random) -> tuple[int, int]:
    """Lines at random between rows with quotes at every place. Returns how many were accepted and refused."""
    spec = CsvSpec(delimiter=mark, quote=quote)
    m, q = mark.encode(), quote.encode()
    other = b'"' if q == b"'" else b"'"
    alphabet = [
        q,
        q,
        q,
        m,
        m,
        b"\n",
        b"\r",
        b"\r\n",
        b"5",
        b"x",
        b" " if m != b" " else b"_",
        b"\0",
        q + q,
        other,
        b"\xc2\xa0",
    ]
    base = [b"%b1%b%b%b2%b" % (q, q, m, q, q), b"1%bx" % m, b"%bx%by%b%b1" % (q, m if q else b"", q, m)]
    base += [b"%b%b%b%b%b1" % (q, q, q, q, m), b"1%b%btwo%blines%b" % (m, q, b"\n" if q else b"", q), m]
    whole, ragged = grammars(m, q)
    before, behind = rows_of(base[:3], spec), rows_of(base[3:], spec)
    lines = {b"".join(rng.choices(alphabet, k=rng.randint(1, 9))) for _ in range(count)}
    good = [line for line in lines if whole.match(line)]
    found = rows_of([*base[:3], *good, *base[3:]], spec)
    assert found[:3] == before and found[-len(behind) :] == behind, (mark, quote)
    for line in rng.sample(good, min(len(good), 20)):
        found = rows_of([*base[:3], line, *base[3:]], spec)
        assert found[:3] == before and found[-len(behind) :] == behind, (mark, quote, line)
    for line in lines - set(good):
        text = b"\n".join([b"a%bb" % m, *base[:3], line, *base[3:], b""])
        if ragged.match(line) is None:
            with pytest.raises(InputError):
                check_grammar(text, Path("t.csv"), spec)
        elif rng.random() < 0.05:
            check_grammar(text, Path("t.csv"), spec)
            with pytest.raises(InputError, match=r"fields where the header has 2|ends with a|it is a footer"):
                read_csv(text, Path("t.csv"), spec)
    return len(good), len(lines) - len(good)


@pytest.mark.parametrize(("mark", "quote"), DIALECTS)
def test_no_line_changes_another_in_any_dialect(mark: str, quote: str) -> None:
    accepted, refused = check_dialect(mark, quote, 1_500, random.Random(f"{mark}{quote}"))
    assert min(accepted, refused) > 50


@pytest.mark.slow
def test_many_random_lines_in_every_dialect() -> None:
    rng = random.Random(20261201)
    for mark, quote in DIALECTS:
        check_dialect(mark, quote, examples(10_000, full=40_000), rng)


# --- encodings ---------------------------------------------------------------------------------------------------------


def offered() -> list[str]:
    """Every encoding of Python's that a policy may name."""
    families = [f"iso8859-{i}" for i in range(1, 17)] + [f"cp12{i:02}" for i in range(100)]
    families += [
        "mac-" + name for name in ("arabic", "centeuro", "croatian", "cyrillic", "farsi", "greek", "iceland", "latin2")
    ]
    families += ["mac-" + name for name in ("roman", "romanian", "turkish")]
    found = set()
    for name in [*ENCODINGS, *families]:
        try:
            found.add(CsvSpec(encoding=name).encoding)
        except ValueError:
            continue
    return sorted(found)


def decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


@pytest.mark.parametrize("encoding", [name for name in offered() if not name.startswith(("utf-16", "utf-32"))])
def test_a_line_feed_is_never_a_part_of_another_character(encoding: str) -> None:
    """All pairs of bytes before a line end, and all characters of four bytes: what is accepted is decoded line by line."""
    assert [byte for byte in range(256) if decoded(bytes([byte]), encoding) == "\n"] == [10]
    assert [byte for byte in range(256) if decoded(bytes([byte]), encoding) == "\r"] == [13]
    for first in range(256):
        for second in range(256):
            for ahead in (
                bytes([first]),
                bytes([first, second]),
                bytes([first, 0x30, second]),
                bytes([0x81, first, 0x81, second]),
            ):
                for end in (b"\n", b"\r"):
                    text = decoded(ahead + end + b"5", encoding)
                    alone = decoded(ahead, encoding)
                    assert text is None or (alone is not None and text == alone + end.decode() + "5"), (ahead, text)
    incremental = codecs.getincrementaldecoder(encoding)()
    assert incremental.decode(b"a\n") == "a\n" and incremental.getstate()[0] == b"", "nothing is kept beyond a line"


POOL = [b"\n", b"\r\n", b",", b'"', b"'", b";", b"|", b"\\", b"~", b"5", b"a", b"\x1b", b"\x1b$B", b"\x0e", b"\x0f", b"+", b"&",
        *(bytes([byte]) for byte in range(128, 256))]  # fmt: skip


@pytest.mark.parametrize("encoding", offered())
def test_no_line_of_bytes_changes_the_text_of_another(encoding: str) -> None:
    """Bytes at random as one line more: the file is refused, or the texts of all other lines are the same."""
    rng = random.Random(encoding)
    base = ["a,b", "1,2", '"3","x"', "4,5"]
    body = [(line + "\n").encode(encoding) for line in base]
    mark = (
        body[0][: len("a".encode(encoding)) - len("a".encode(encoding + "-le"))]
        if encoding in ("utf-16", "utf-32")
        else b""
    )
    body = [line.removeprefix(mark) for line in body] if mark else body
    if encoding == "utf-8-sig":
        body = [line.removeprefix(codecs.BOM_UTF8) for line in body]
    end = "\n".encode(encoding).removeprefix(mark) if mark else "\n".encode(encoding).removeprefix(codecs.BOM_UTF8)
    refused = 0
    for _ in range(1_500):
        more = b"".join(rng.choices(POOL, k=rng.randint(1, 8)))
        if rng.random() < 0.3:  # text, of which hardly any is refused in UTF-32
            more = "".join(rng.choices("5,'\"\n\r;|\\~ax", k=rng.randint(1, 8))).encode(encoding).removeprefix(mark)
        more += end
        data = mark + b"".join([*body[:2], more, *body[2:]])
        try:
            text = as_utf8(data, encoding, "t")[0].decode()
        except (InputError, UnicodeDecodeError):  # UTF-8 itself is checked later
            refused += 1
            continue
        lines = text.split("\n")
        assert lines[:2] == base[:2] and lines[-3:] == [*base[2:], ""], (encoding, more)
        assert b"".join(lines_of(io.BytesIO(data), encoding, "t")).decode() == text
    assert refused < 1_500


def test_encodings_with_states_are_not_offered() -> None:
    for name in (
        "iso2022_jp",
        "hz",
        "utf-7",
        "punycode",
        "idna",
        "unicode_escape",
        "rot13",
        "base64",
        "cp037",
        "cp1026",
        "no",
    ):
        with pytest.raises(ValueError, match="encoding"):
            CsvSpec(encoding=name)
