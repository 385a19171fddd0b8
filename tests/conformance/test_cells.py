"""A cell is read by itself, whatever else is in the table: pairs built to collide, in every kind of column."""

from __future__ import annotations

import gzip
import random
import re
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from collisions import variants
from hypothesis import given, settings
from hypothesis import strategies as st
from repeated import examples

from privsynth.audit.compare import categorical
from privsynth.encoding.domain import ColumnDomain, Domain
from privsynth.errors import InputError
from privsynth.policy import Policy
from privsynth.privacy.events import ThresholdedGaussian
from privsynth.privacy.mechanisms.categories import OpenCategories
from privsynth.privacy.unit import Rows
from privsynth.table.cells import MISSING, UNREADABLE, Cells
from privsynth.table.formats.csv import check_grammar, read_csv
from privsynth.table.intake import typed
from privsynth.table.reader import read_table
from privsynth.table.units import number_units

POLICY = """\
privsynth: 1
dataset: {id: cells, missing: ["?", "-9"]}
unit: {column: who, max_rows: 3}
budget: {epsilon: 1.0, delta: 1.0e-6}
columns:
  who: {kind: id, release: drop}
  word: {kind: category, categories: [5, "3", fine, "2015-06-01"]}
  open: {kind: category, categories: private}
  group: {kind: category, grouping: groups.csv}
  whole: {kind: integer, bounds: [0, 30]}
  part: {kind: number, bounds: [0, 30]}
  day: {kind: date, bounds: [2015-01-01, 2024-12-31]}
  zoned: {kind: date, bounds: [2015-01-01, 2024-12-31], format: "%d.%m.%Y %H:%M%z"}
  truth: {kind: boolean}
  moment: {kind: datetime, bounds: [2015-01-01, 2024-12-31], timezone: Europe/Berlin}
  named: {kind: datetime, bounds: [1950-01-01, 2024-12-31], format: "%d-%b-%y %I.%M %p"}
  clock: {kind: time}
  length: {kind: duration, bounds: ["PT0S", "P9D"]}
  paid: {kind: number, bounds: [0, 3000], missing: [-9], censored: {below: "<0.6"}, number: {thousands: ",", parentheses: true}}
"""
GROUPS = "code,group\n5,five\n3,three\nf*,fine\n2015-06-01,day\n"
VALUES = {
    "who": ["P1", "P2"], "word": ["5", "3", "fine"], "open": ["5", "fine"], "group": ["5", "fine"], "whole": ["5", "30"],
    "part": ["5", "2.5"], "day": ["2015-06-01", "2020-02-29"], "zoned": ["01.06.2015 00:30+0100", "29.02.2020 23:30-0100"],
    "truth": ["true", "0"], "moment": ["2015-06-01", "2020-02-29T23:30:05+02:00"],
    "named": ["01-Jun-15 07.30 AM", "29-FEB-60 11.05 pm"],
    "clock": ["07:30", "23:59:59"], "length": ["PT1H", "36:00:00"], "paid": ["5", "<0.6", "7"],
}  # fmt: skip
KEY = bytes(range(32))
SPELLED = {"upper", "lower", "swapped case"}  # names of months and AM
TIMED = {"end of the day", "in UTC", "east", "west", "day with zone", "basic", "short", "slashes", "as a week", "month"}
SAME_UNIT = {
    "space behind",
    "space before",
    "fixed space",
    "tab",
    "line end",
}  # names without white space at their ends


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = tmp_path_factory.mktemp("cells")
    (folder / "groups.csv").write_text(GROUPS)
    (folder / "cells.yaml").write_text(POLICY)
    return Policy.load(folder / "cells.yaml")


def ordinary(gaps: bool) -> pd.DataFrame:
    """Sixty rows of few values each; with gaps, missing cells among them."""
    frame = pd.DataFrame({name: [values[i % len(values)] for i in range(60)] for name, values in VALUES.items()})
    frame["who"] = [f"P{i // 2}" for i in range(60)]
    if gaps:
        for place, name in enumerate(frame):
            if name != "who":
                frame.loc[place :: len(frame.columns), name] = ["", "?"][place % 2]
    return frame


def as_frame(frame: pd.DataFrame, folder: Path) -> Any:
    return frame


def as_csv(frame: pd.DataFrame, folder: Path) -> Any:
    frame.to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def as_gz(frame: pd.DataFrame, folder: Path) -> Any:
    (folder / "t.csv.gz").write_bytes(gzip.compress(frame.to_csv(index=False).encode(), 1))
    return folder / "t.csv.gz"


def as_parquet(frame: pd.DataFrame, folder: Path) -> Any:
    frame.to_parquet(folder / "t.parquet", index=False)
    return folder / "t.parquet"


FORMATS = {"csv": as_csv, "csv.gz": as_gz, "parquet": as_parquet, "frame": as_frame}


def read(source: Any, policy: Policy) -> list[tuple[Any, ...]]:
    """Each row as typed, with its unit's name."""
    raw = read_table(source)
    frame, _ = typed(raw, policy)
    names = raw.cells("who", policy.missing("who")).words()
    columns = [[None if isinstance(v, float) and np.isnan(v) else v for v in frame[name]] for name in frame]
    return list(zip(names, *columns, strict=True))


ALL_KINDS = sorted({kind for values in VALUES.values() for value in values for kind in variants(value)})


@pytest.mark.parametrize("made", FORMATS)
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_no_cell_changes_another(kind: str, made: str, policy: Policy, tmp_path: Path) -> None:
    """Wherever the odd cell stands, whichever column it is in, with missing cells about or not."""
    for gaps in (False, True):
        others = ordinary(gaps)
        expected = read(FORMATS[made](others, tmp_path), policy)
        odd = {n: variants(values[0]).get(kind, values[0]) for n, values in VALUES.items()}
        for place in (0, 30, 60):
            table = pd.concat([others[:place], pd.DataFrame([odd]), others[place:]], ignore_index=True)
            found = read(FORMATS[made](table, tmp_path), policy)
            assert found[:place] + found[place + 1 :] == expected, f"{kind} at {place} changes others"


@pytest.mark.parametrize("made", FORMATS)
def test_no_cell_changes_another_units_number(made: str, policy: Policy, tmp_path: Path) -> None:
    """Numbers, random draws and order of all other units, with an odd name or odd values more."""
    others = ordinary(False)
    for kind in ALL_KINDS:
        odd = {n: variants(values[0]).get(kind, values[0]) for n, values in VALUES.items()}
        if odd["who"].strip() in set(others["who"]):  # more rows of the same unit
            odd["who"] = "newcomer"
        table = pd.concat([pd.DataFrame([odd]), others], ignore_index=True)
        found = []
        for source in (others, table):
            raw = read_table(FORMATS[made](source, tmp_path))
            names = [str(name) for name in raw.cells("who", []).words()]
            numbered = number_units(typed(raw, policy)[0], names, KEY)
            found.append(np.stack([numbered.units, numbered.uniform, numbered.rank], 1))
        assert np.array_equal(found[0], found[1][1:]), kind


def test_an_odd_cell_is_what_it_is(policy: Policy, tmp_path: Path) -> None:
    """What the cell itself becomes: never another's value, unless white space, or the number's or day's spelling alone differ."""
    others = ordinary(False)
    for kind in ALL_KINDS:
        odd = {n: variants(values[0]).get(kind, "") for n, values in VALUES.items()}
        raw = read_table(pd.concat([pd.DataFrame([odd]), others]))
        cells = typed(raw, policy)[0].iloc[0]
        who = raw.cells("who", policy.missing("who")).words()[0]
        word, group, whole, part, day, zoned = (
            cells[name] for name in ("word", "group", "whole", "part", "day", "zoned")
        )
        word, group = (None if pd.isna(text) else text for text in (word, group))
        spaces = kind in SAME_UNIT
        for name in ("named", "clock", "length"):  # of none of these is another spelling the same
            assert not np.isnan(cells[name]) or not spaces, name
            assert np.isnan(cells[name]) or spaces or kind in SPELLED, (name, kind)
        truth = "true" if spaces else "TRUE" if kind in ("upper", "swapped case") else None
        assert cells["truth"] == truth, kind
        assert (cells["paid"] == 5.0) == (part == 5.0)
        assert cells["moment"] == 16587.0 * 86_400 or day != 16587.0 or kind in TIMED, kind
        assert (word == "5") == spaces and (group == "five") == spaces and (not np.isnan(zoned)) == spaces
        assert (whole == 5.0) == (
            spaces or kind in {"one decimal", "leading zero", "plus", "exponent", "point behind", "a last bit more"}
        )
        assert (part == 5.0) == (whole == 5.0)
        assert (day == 16587.0) == (spaces or kind in {
            "midnight", "end of the day", "in UTC", "east", "west", "day with zone", "basic", "short", "slashes", "as a week",
            "month",
        })  # fmt: skip
        assert who == (None if holds_control(odd["who"]) else odd["who"].strip() or None)


def holds_control(text: str) -> bool:
    """The rule of the reader, in other words."""
    return any(unicodedata.category(character) == "Cc" and character not in "\t\n\r" for character in text)


# --- objects and bytes that are no text -------------------------------------------------------------------------------


class Stubborn:
    """An object that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("CANARY")


ODD_OBJECTS: dict[str, Any] = {
    "signalling nan": Decimal("sNaN"), "quiet nan": Decimal("NaN"),
    "not a time": pd.NaT, "not a time of numpy": np.datetime64("NaT"), "not available": pd.NA, "none": None, "nan": float("nan"),
    "long number": 10**5_000, "half a pair": "P1\ud800", "nul": "5\0", "no UTF-8": b"5\xff", "bytes": b"5", "list": [1, 2],
    "empty list": [],
    "stubborn": Stubborn(), "array": np.array([5]), "truth": True, "infinity": float("inf"), "moment": pd.Timestamp("2015-06-01"),
    "period": pd.Period("2015-06"), "complex": 5 + 0j, "long text": "5" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD_OBJECTS)
def test_no_object_stops_a_read_or_changes_another(odd: str, policy: Policy) -> None:
    others = ordinary(False)
    expected = read(others, policy)
    for place in (0, 30, 60):
        for name in VALUES:
            lists = [*others[name][:place], ODD_OBJECTS[odd], *others[name][place:]]
            rows = [*range(place), 0, *range(place, 60)]
            table = others.iloc[rows].reset_index(drop=True)
            table[name] = pd.Series(lists, dtype=object)
            found = read(table, policy)
            assert found[:place] + found[place + 1 :] == expected


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.string(), pa.binary(2)], ids=str)
def test_one_value_that_is_no_text_is_unreadable_alone(kind: pa.DataType, tmp_path: Path) -> None:
    """A Parquet file may hold bytes that are not UTF-8, even in a column that says it is text."""
    values = pa.array([b"ab", b"\xff\xfe", b"ab", None, b"cd"], kind if kind != pa.string() else pa.binary())
    values = (
        pa.StringArray.from_buffers(5, *values.buffers()[1:], values.buffers()[0]) if kind == pa.string() else values
    )
    pq.write_table(pa.table({"x": values}), tmp_path / "t.parquet")
    cells = read_table(tmp_path / "t.parquet").cells("x", [])
    assert cells.words().tolist() == ["ab", None, "ab", None, "cd"] and cells.codes.tolist() == [
        0,
        UNREADABLE,
        0,
        MISSING,
        1,
    ]
    assert cells.present == 4


# --- equal codes, equal bytes -----------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["5", "5\0", "5\0\0", "\0", "", "e\u0301", "\u00e9"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS | st.none(), max_size=40), st.booleans(), st.integers(1, 5))
def test_two_cells_share_a_code_only_if_their_bytes_are_equal(texts: list[str | None], coded: bool, parts: int) -> None:
    """In one piece or in several, as text or as a dictionary."""
    pieces = [pa.array(texts[i::parts], pa.string()) for i in range(parts)]
    column = pa.chunked_array([piece.dictionary_encode() for piece in pieces] if coded else pieces)
    cells = Cells.of(column, ["5"])
    texts = [text for i in range(parts) for text in texts[i::parts]]
    assert len(set(cells.distinct)) == len(cells.distinct)
    for text, code in zip(texts, cells.codes.tolist(), strict=True):
        stripped = None if text is None else text.strip()
        if text is not None and holds_control(text):
            assert code == UNREADABLE
        elif stripped in (None, "", "5"):
            assert code == MISSING
        else:
            assert cells.distinct[code].encode() == stripped.encode()


def test_arrow_knows_texts_by_all_their_bytes() -> None:
    """What the codes rest on: a million texts that share prefixes, NULs and lengths, none taken for another."""
    rng = random.Random(0)
    texts = [bytes(rng.choice(b"\0\0a5") for _ in range(rng.randint(0, 24))) for _ in range(1_000_000)]
    coded = pa.array(texts, pa.large_binary()).dictionary_encode()
    known = coded.dictionary.to_pylist()
    assert len(set(known)) == len(known) == len(set(texts))
    assert [known[i] for i in coded.indices.to_pylist()] == texts


def test_typed_text_is_compared_by_all_its_bytes() -> None:
    """Typed values hold no NUL; what counts and encodes them does not rest on that."""
    rows = Rows(pd.DataFrame({"x": ["5\0", "5", "5", None, "5\0x"]}), np.arange(5))
    for name in ("5", "5\0"):
        domain = Domain((ColumnDomain("x", "category", (name, "z")),), 5)
        assert domain.encode(rows).values[:, 0].tolist() == [0 if text == name else 2 for text in rows.values["x"]]
    counted = OpenCategories(ThresholdedGaussian(1.0, 1e-3), "x").query(rows)
    assert counted == {"5\0": 1, "5": 2, "5\0x": 1}
    assert categorical(rows.values["x"], ["5", "5\0"]).codes.tolist() == [1, 0, 0, -1, -1]


# --- lines of a CSV ---------------------------------------------------------------------------------------------------

LINES = [
    b'5"0,"1', b'5,1"0,"',
    b'"5"0,"x', b'5,"a"b,x1,"2020', b'"5', b'5"', b'5,"', b'5","', b'"5""', b'5,"x""', b'""5,1', b'5"0,1', b'5, "1"',
    b'"5" ,1', b'"5"\r,1', b"5\r,1", b"5,1\r\r", b"\r5,1", b'"5\n', b'5,1\n"', b'5,"1\r', b'5,"1\n"x', b"5", b"5,1,2",
    b",", b"", b" ", b'""', b'"",""', b'"5",1', b'5,"1"', b'5,"1""2"', b'5,"1\n2"', b'5,"1\r\n2"', b"5\0,1",
    b'5\0"0,1', b'"5\0",1', b"5,\x1a", b"\x1a", b"\xef\xbb\xbf5,1", b"\xff,1", b"5,\xc3", b"5;1", b"5\t1", b"5,1\\",
    b'5,\\"1', b'5,"\\"', b"'5,1", b"5,'1", b"# 5,1", b"a,b", b'5,"\x00', b"5,\x85", b"5,\xe2\x80\xa8",
]  # fmt: skip
BASES = {
    "plain": [b"1,2"] * 4, "quoted": [b'"1","2"'] * 4, "mixed": [b'1,"x, y"', b'"1",2', b'1,"say ""so"""', b'1,"two\nlines"'],
    "empty": [b'"",', b',""', b'"",""', b"1,"], "quotes alone": [b'"""",1', b'1,""""', b'"""""",1', b'"\n",1'],
}  # fmt: skip


def rows_of(lines: list[bytes], end: bytes = b"\n") -> list[tuple[str | None, ...]]:
    """The rows of a CSV of these lines behind a header; as the reader reads the bytes of a file."""
    raw = read_csv(end.join([b"a,b", *lines, b""]), Path("t.csv"))
    return list(zip(*(raw.frame.column(name).to_pylist() for name in raw.columns), strict=True))


def leaves_others_alone(base: list[bytes], line: bytes, place: int, end: bytes) -> bool:
    """False if the file is refused; else asserts that with the line more all other rows are as without it."""
    expected = rows_of(base, end)
    try:
        found = rows_of([*base[:place], line, *base[place:]], end)
    except InputError as error:
        assert "hint" in str(error)
        return False
    more = len(found) - len(expected)
    assert more >= 0 and found[:place] + found[place + more :] == expected
    return True


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_no_line_changes_another(base: str, end: bytes) -> None:
    """A line more, first, in the middle and last, is refused with its file, or leaves all other rows as they are."""
    accepted = [line for line in LINES for place in (0, 2, 4) if leaves_others_alone(BASES[base], line, place, end)]
    assert set(accepted) >= {b'"5",1', b'5,"1""2"', b'5,"1\n2"', b"5\0,1", b"\xef\xbb\xbf5,1", b"", b"5,1\\"}
    for line in (b'"5"0,"x', b'5,"a"b,x1,"2020', b'5"0,1', b'5, "1"', b"5\r,1", b'"5', b"\xff,1"):
        assert line not in accepted


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b'a,b\n1,2\n3,"4\n5,6\n', "line 3: a quoted value opens that is still open at the end"),
        (b'a,b\n1,2\n3,"4""x\n5,6\n', "line 3: a quoted value opens that is still open at the end"),
        (b'a,b\n"1\n1",2\n"5"0,"x\n5,6\n', "line 4: text follows a closing quote"),
        (b'a,b\n1,5" pipe\n', "line 2: a quote occurs inside a value"),
        (b"a,b\n1,2\r3,4\n", "line 2: a carriage return is not followed by a line feed"),
        (b'a,b\n1,"2\r3"\n1,2,3\n', "line 3 has 3 fields where the header has 2"),
        (b'a,b\n\n1,"2\n3"\n\n1\n', "line 6 has 1 fields where the header has 2"),
        (b'a,"b\n1,2\n', "has no header line that can be read"),
    ],
)
def test_a_refusal_names_the_line_and_no_content(lines: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(lines)
    with pytest.raises(InputError) as error:
        read_table(tmp_path / "t.csv")
    assert said in str(error.value) and "pipe" not in str(error.value)


def test_lines_may_be_far_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check goes block by block: a quote opens in one and closes in another."""
    monkeypatch.setattr("privsynth.table.formats.csv.SCANNED", 7)
    for base in BASES.values():
        for line in LINES:
            leaves_others_alone(base, line, 2, b"\n")
    test_a_refusal_names_the_line_and_no_content(b'a,b\n"1\n1",2\n"5"0,"x\n5,6\n', "line 4: text follows", tmp_path)


ALPHABET = [b'"', b'"', b'"', b",", b",", b"\n", b"\r", b"\r\n", b"5", b"x", b" ", b"\0", b'""', b"\xef\xbb\xbf"]


ROW = rb'(?:"(?:[^"]|"")*"|[^",\r\n]*)'
TWO_FIELDS, ANY_FIELDS = (rb"(?:%b%b)?" % (ROW, more) for more in (rb"," + ROW, rb"(?:,%b)*" % ROW))
WHOLE, RAGGED = (re.compile(rb"%b(?:\r?\n%b)*\r?\Z" % (row, row)) for row in (TWO_FIELDS, ANY_FIELDS))


@pytest.mark.slow
def test_a_million_random_lines() -> None:
    """Between rows with quotes at every place, a line more is refused with its file or leaves all other rows as they are.

    What a line is says a grammar of its own: RFC 4180 as a regular expression. Whole rows of two fields must be accepted, and
    are tried together; a line that is no rows at all must be refused, and so must rows of other widths (one in fifty of
    these through the whole reader, which takes a hundred times longer than the check of the grammar).
    """
    rng = random.Random(20261130)
    refused, accepted = 0, 0
    while refused + accepted < examples(200_000, full=1_000_000):
        base = rng.choices([line for lines in BASES.values() for line in lines], k=6)
        lines = [b"".join(rng.choices(ALPHABET, k=rng.randint(1, 9))) for _ in range(10_000)]
        whole = [line for line in lines if WHOLE.match(line)]
        leave_others_alone(base, whole)
        for line in set(lines) - set(whole):
            if RAGGED.match(line) is None:
                with pytest.raises(InputError):
                    check_grammar(b"\n".join([b"a,b", *base[:3], line, *base[3:], b""]), Path("t.csv"))
            elif rng.random() < 0.02:
                assert not leaves_others_alone(base, line, rng.randint(0, 6), rng.choice([b"\n", b"\r\n"]))
        accepted, refused = accepted + len(whole), refused + len(lines) - len(whole)
    assert min(accepted, refused) > 10_000


def leave_others_alone(base: list[bytes], lines: list[bytes]) -> None:
    """Lines of whole rows between those of the base: accepted, and every row of the base is as without them."""
    before, behind = rows_of(base[:3]), rows_of(base[3:])
    found = rows_of([*base[:3], *lines, *base[3:]])
    assert found[: len(before)] == before and found[len(found) - len(behind) :] == behind
