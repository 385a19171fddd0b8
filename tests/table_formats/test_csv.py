"""CSV in the dialect that a policy declares: read right, or refused with the cause and the key to set."""

# ruff: noqa: E501 (tables of cases, one a line)

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from formats_help import declared, texts

from privsynth.errors import InputError
from privsynth.table.formats import csv, encodings
from privsynth.table.reader import read_header, read_table

GERMAN = {
    "Fall-Nr": ["001", "002"],
    "Alter (Jahre)": ["63", "2"],
    "Gewicht": ["96,6", "57,7"],
    "Station": ["Pädiatrie", "Innere"],
}


def german(delimiter: str = ";", end: str = "\r\n") -> str:
    rows = [list(GERMAN), *map(list, zip(*GERMAN.values(), strict=True))]
    return "".join(delimiter.join(row) + end for row in rows)


def written(folder: Path, text: str | bytes, encoding: str = "utf-8", name: str = "t.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return folder / name


@pytest.mark.parametrize(
    ("text", "encoding", "how"),
    [
        (german(), "utf-8", {"delimiter": ";"}),
        (german(), "utf-8-sig", {"delimiter": ";"}),
        (german(), "cp1252", {"delimiter": ";", "encoding": "cp1252"}),
        (german(), "latin-1", {"delimiter": ";", "encoding": "latin-1"}),
        (german("\t"), "utf-16", {"delimiter": "\t", "encoding": "utf-16"}),
        (german("\t"), "utf-16-le", {"delimiter": "\t", "encoding": "utf-16-le"}),
        ("\ufeff" + german("\t"), "utf-16-be", {"delimiter": "\t", "encoding": "utf-16-be"}),
        (german("|", "\n"), "utf-32", {"delimiter": "|", "encoding": "utf-32"}),
        (german("\x1f"), "mac-roman", {"delimiter": "\x1f", "encoding": "mac-roman"}),
        ("Klinik\r\n\r\n" + german(), "cp1252", {"delimiter": ";", "encoding": "cp1252", "skip_rows": 1}),
        ("Klinik \"x\r\n'\r\n" + german(), "utf-8", {"delimiter": ";", "skip_rows": 2}),
        ("\r\n\r\n" + german().replace("\r\n", "\r\n\r\n"), "utf-8", {"delimiter": ";"}),
        (german().replace("96,6", "'96,6'"), "utf-8", {"delimiter": ";", "quote": "'"}),
        (german().replace("\r\n", ";\r\n"), "utf-8", {"delimiter": ";"}),
    ],
)  # fmt: skip
def test_a_table_in_its_dialect(text: str, encoding: str, how: dict[str, Any], tmp_path: Path) -> None:
    path = written(tmp_path, text, encoding)
    assert texts(path, declared(**how)) == GERMAN and read_header(path, declared(**how)) == list(GERMAN)
    packed = written(tmp_path, gzip.compress(path.read_bytes()), name="t.csv.gz")
    assert texts(packed, declared(**how)) == GERMAN and read_header(packed, declared(**how)) == list(GERMAN)
    raw = read_table(path, declared(**how))
    assert not raw.typed and raw.bom == (encoding in ("utf-8-sig", "utf-16", "utf-32") or text[0] == "\ufeff")


def test_the_tables_of_east_asia(tmp_path: Path) -> None:
    """Characters whose second byte is an ASCII letter, a bar or a backslash."""
    table = {"名": ["ソ|表", "能\\", "構"], "b": ["1", "2", "3"]}
    for encoding in ("shift_jis", "cp932", "gbk", "gb18030", "big5", "euc_jp"):
        names = dict(table) if encoding != "big5" else {"名": ["功|", "許", "蓋"], "b": ["1", "2", "3"]}
        if encoding in ("gbk", "gb18030"):
            names["名"] = ["乗|", "亅", "亄"]
        rows = [
            list(names),
            *zip(*([f'"{v}"' if "|" in v else v for v in column] for column in names.values()), strict=True),
        ]
        path = written(tmp_path, "\n".join("|".join(row) for row in rows), encoding)
        assert texts(path, declared(delimiter="|", encoding=encoding)) == names


def test_where_no_character_quotes(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\n5" pipe,"x\n"y",O\'Brien\n')
    assert texts(path, declared(quote="")) == {"a": ['5" pipe', '"y"'], "b": ['"x', "O'Brien"]}
    with pytest.raises(InputError, match=r'line 2: a quote occurs inside .*\n.*declare `dataset: {csv: {quote: ""}}`'):
        read_table(path)


def test_a_line_break_in_a_header(tmp_path: Path) -> None:
    for end in ("\n", "\r\n"):
        path = written(tmp_path, f'id,"weight{end}(kg)","two\nbreaks\n"{end}0,55.2,"x\ny"{end}')
        assert texts(path) == {"id": ["0"], "weight\n(kg)": ["55.2"], "two\nbreaks": ["x\ny"]}
        assert read_header(path) == ["id", "weight\n(kg)", "two\nbreaks"]
    for odd in ('id,"a\x07"\n1,2\n', 'id,"a' + "\n" * 11 + 'b"\n1,2\n'):
        with pytest.raises(InputError, match="header line"):
            read_header(written(tmp_path, odd))


# --- what a message says: each is one problem, names the cause and the key ---------------------------------------------

ROWS = "0,F,55.2\n1,F,87.2\n2,M,74.2\n"
CAUSES: dict[str, tuple[str | bytes, dict[str, Any], str, str]] = {
    "semicolons": (german(), {}, "the header holds no comma, but 3 semicolons", 'declare `dataset: {csv: {delimiter: ";"}}`'),
    "tabs": (german("\t"), {}, "the header holds no comma, but 3 tabs", 'declare `dataset: {csv: {delimiter: "\\t"}}`'),
    "bars": (german("|"), {}, "the header holds no comma, but 3 vertical bars", 'delimiter: "|"'),
    "commas": ("a,b,c\n1,2,3\n", {"delimiter": ";"}, "the header holds no semicolon, but 2 commas", 'delimiter: ","'),
    "another delimiter": ("abc\n123\n", {"delimiter": ";"}, "does not hold the declared delimiter, a semicolon", "dataset.csv.delimiter"),
    "header alone": ("a;b\n", {}, "the header holds no comma, but 1 semicolon", 'delimiter: ";"'),
    "utf-16": (german().encode("utf-16"), {}, "begins with the byte order mark of UTF-16, and `encoding` is utf-8", "encoding: utf-16"),
    "utf-16 big": ("\ufeffa,b\n1,2\n".encode("utf-16-be"), {}, "byte order mark of UTF-16", "encoding: utf-16"),
    "utf-32": ("a,b\n1,2\n".encode("utf-32"), {}, "byte order mark of UTF-32", "encoding: utf-32"),
    "utf-8 as windows": (b"\xef\xbb\xbfa,b\n1,2\n", {"encoding": "cp1252"}, "byte order mark of UTF-8, and `encoding` is cp1252", "encoding: utf-8"),
    "utf-16 without a mark": ("a,b\n1,2\n".encode("utf-16-le"), {}, "has NUL bytes in its header, as UTF-16", "encoding: utf-16-le"),
    "no mark at all": ("a,b\n1,2\n", {"encoding": "utf-16"}, "has no byte order mark", "encoding: utf-16-le"),
    "windows": ("a,b\n1,CANARY\xe4\n".encode("cp1252"), {}, "line 2 is not UTF-8 text", "encoding: cp1252}}` (Windows, western Europe), cp1250 (central), cp1251 (eastern) or latin-1"),
    "windows header": ("a,\xe4\n1,2\n".encode("cp1252"), {}, "line 1 is not UTF-8 text", "encoding: cp1252"),
    "windows as latin": ("a,b \u20ac\n1,2\n".encode("cp1252"), {"encoding": "latin-1"}, "control character in its header if it is read as iso8859-1", "encoding: cp1252"),
    "not even windows": (b"a,b\n1,2\n1,CANARY\x81\n", {"encoding": "cp1252"}, "line 3 is not cp1252 text", "latin-1"),
    "odd number of bytes": ("a,b\n1,2\n".encode("utf-16") + b"C", {"encoding": "utf-16"}, "line 3 is not utf-16 text", "UTF-8"),
    "utf-8 rows as windows": ("a,b\n1,Pädiatrie\n", {"encoding": "cp1252"}, "is text in UTF-8, and `encoding` is cp1252", "encoding: utf-8"),
    "note for excel": ("sep=;\r\n" + german(), {}, "line 1 is a note for Excel, `sep=`, and no header", 'delimiter: ";", skip_rows: 1'),
    "title": ("Report: weights 2024\n\nid,sex,w\n" + ROWS, {}, "line 1 has one field where line 3 has more, so it is a title", "skip_rows: 2"),
    "title and date": ("Report\nof 2024\nid,sex,w\n" + ROWS, {}, "line 1 has one field where line 3 has more", "skip_rows: 2"),
    "title; by semicolons": ("Report; 2024\n\nid,sex,w\n" + ROWS, {}, "line 1 has one field where line 3 has more", "skip_rows: 2"),
    "title of a spreadsheet": ("Report,,\n,,\nid,sex,w\n" + ROWS, {}, "line 1 has a value in its first field alone, so it is a title", "skip_rows: 1"),
    "too many skipped": ("a,b\n1,2\n", {"skip_rows": 7}, "has fewer than the 7 lines of `skip_rows`", "fewer"),
    "header ends": ("id,sex,w,\n" + ROWS, {}, "the header ends with a comma, and line 2 does not; 3 such lines in all", "take it off the header"),
    "rows end": ("id,sex,w\n" + ROWS.replace("\n", ",\n"), {}, "line 2 ends with a comma, and the header does not; 3 such lines", "off the lines"),
    "value without name": ("id,sex,w,\n" + ROWS.replace("\n", ",\n") + "3,F,1,CANARY\n", {}, "line 5 has a value in column 4, which has no name", "name the column"),
    "footer": ("id,sex,w\n" + ROWS + "\nExported CANARY by SAS\n", {}, "line 6 has 1 fields where the header has 3, and no row follows: it is a footer", "below the table"),
    "decimal comma": ("a,b\n1,2\n1,2,5\n", {}, "line 3 has 3 fields where the header has 2", "also numbers with a decimal comma"),
    "one field more": ("a;b\n1;2\n1;2;5\n", {"delimiter": ";"}, "line 3 has 3 fields where the header has 2", "put values that hold a semicolon in quotes"),
    "lines above count": ("Report\na;b\n1;2\n1;2;5\n", {"delimiter": ";", "skip_rows": 1}, "line 4 has 3 fields", "semicolon"),
    "quotes, lines above": ('Report\na,b\n1,2\n1,"2"x\n', {"skip_rows": 1}, "line 4: text follows a closing quote", "quote"),
    "old macintosh": ("a,b\r1,2\r", {}, "has no header line that can be read: a carriage return stands in it", "a line a row"),
    "apostrophe": ("a,b\n1,O'Brien\n", {"quote": "'"}, "line 2: a quote occurs inside a value", 'quote: ""'),
}  # fmt: skip


@pytest.mark.parametrize("case", CAUSES)
def test_a_refusal_names_the_cause_and_the_key(case: str, tmp_path: Path) -> None:
    text, how, rule, hint = CAUSES[case]
    for name, data in (("t.csv", text if isinstance(text, bytes) else text.encode()), ("t.csv.gz", b"")):
        path = written(tmp_path, data or gzip.compress((tmp_path / "t.csv").read_bytes()), name=name)
        with pytest.raises(InputError) as error:
            read_header(path, declared(**how))
            read_table(path, declared(**how))
        (problem,) = error.value.problems
        assert rule in problem.rule and hint in problem.hint and "CANARY" not in str(error.value), str(problem)


@pytest.mark.parametrize(
    "case", [case for case, (text, *_) in CAUSES.items() if "title" in case or "semicolons" in case]
)
def test_the_header_alone_tells(case: str, tmp_path: Path) -> None:
    """Before the reservation is used: `read_header` says the same as the whole reader."""
    text, how, rule, _ = CAUSES[case]
    assert isinstance(text, str)
    said = []
    for read in (read_header, read_table):
        with pytest.raises(InputError) as error:
            read(written(tmp_path, text), declared(**how))
        said.append(str(error.value))
    assert rule in said[0] and said[0] == said[1]


def test_what_the_messages_advise_helps(tmp_path: Path) -> None:
    """Following one hint leads to a table, and never to a second refusal."""
    for text, how in (
        ("Report: weights 2024\n\nid,sex,w\n" + ROWS, {"skip_rows": 2}), ("Report,,\n,,\nid,sex,w\n" + ROWS, {"skip_rows": 2}),
        ("id,sex,w,\n" + ROWS.replace("\n", ",\n"), {}), ("Report\nof 2024\nid,sex,w\n" + ROWS, {"skip_rows": 2}),
    ):  # fmt: skip
        assert texts(written(tmp_path, text), declared(**how)) == {
            "id": ["0", "1", "2"], "sex": ["F", "F", "M"], "w": ["55.2", "87.2", "74.2"],
        }  # fmt: skip


def test_rows_below_the_header_are_not_looked_at(tmp_path: Path) -> None:
    for line in (b"\xff\xff", b'"', b"1,2,3"):
        assert read_header(written(tmp_path, b"a,b\n" + line + b"\n")) == ["a", "b"]
    unpaired = "a\tb\n".encode("utf-16") + b"\x00\xdc\x00\xdc"
    assert read_header(written(tmp_path, unpaired), declared(encoding="utf-16", delimiter="\t")) == ["a", "b"]


@pytest.mark.parametrize("encoding", ["cp1252", "gb18030", "utf-16", "utf-32", "shift_jis"])
def test_where_a_block_ends_changes_no_text(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding goes block by block: a character may lie across two."""
    text = "a,b\n" + "".join(f"{i},ソ表é構x\n" if encoding != "cp1252" else f"{i},äöü€\n" for i in range(30))
    if encoding == "shift_jis":
        text = text.replace("é", "")
    path = written(tmp_path, text, encoding)
    expected = texts(path, declared(encoding=encoding))
    assert expected["b"][0] == text.splitlines()[1].partition(",")[2]
    for size in (1, 2, 3, 5, 17):
        monkeypatch.setattr(encodings, "BLOCK", size)
        assert texts(path, declared(encoding=encoding)) == expected
        broken = path.read_bytes()
        broken = broken[: len(broken) // 2 // 4 * 4] + b"\xff\xdf\xff\xff\xff\xff\xff\x81"
        if encoding in ("gb18030", "shift_jis", "utf-16", "utf-32"):
            with pytest.raises(InputError, match=r"line 1[5-7] is not"):
                read_table(written(tmp_path, broken, name="b.csv"), declared(encoding=encoding))


def test_a_part_ends_outside_of_this_dialects_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["V;'x\r\ny'", "W;'x\ny'", 'U;"', "T;'''\r\n'"]
    path = written(tmp_path, "a;b\n" + "\r\n".join(rows * 5))
    expected = texts(path, declared(delimiter=";", quote="'"))
    assert expected["b"][:4] == ["x\r\ny", "x\ny", '"', "'"]
    for size in (1, 3, 8, 21):
        monkeypatch.setattr(csv, "PART", size)
        assert texts(path, declared(delimiter=";", quote="'")) == expected
