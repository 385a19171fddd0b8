"""One cell, or one row, changes no other cell and no column's type, in any format."""

# ruff: noqa: E501 (tables of cases, one a line)

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import made
import pandas as pd
import pytest
from formats_help import declared, texts_of
from made import MADE, Raw

from privsynth.table.formats import database
from privsynth.table.raw import RawTable

WORDS = ["x", "", " ", "5", "5\u0085", "0012", "é" * 300, "-", "NaN", "1e400", "2020-01-01", "#N/A", "True", "a\nb"]
FAR = [float("nan"), 1e300, -1e300, 5e-324, 2.0**53 + 2, -0.0, 1e15, 0.1 + 0.2]
DAYS = [date(1, 1, 1), date(9999, 12, 31), date(1600, 2, 29)]
MOMENTS = [datetime(9999, 12, 31, 23, 59, 59), datetime(1700, 1, 1, 0, 0, 1)]
SHEET: list[Any] = [
    *WORDS, *FAR[1:], 7, 2**60, True, False, date(2020, 1, 1), datetime(2020, 1, 1, 5), time(23, 59, 59), timedelta(days=3, seconds=1),
    Raw('<c r="PLACE" t="e"><v>#DIV/0!</v></c>'), Raw('<c r="PLACE" s="1"><v>-5</v></c>'), Raw('<c r="PLACE" s="1"><v>1E300</v></c>'),
    Raw('<c r="PLACE" s="2"><v>60</v></c>'), Raw('<c r="PLACE"><v>nan</v></c>'), Raw('<c r="PLACE"><v>inf</v></c>'),
    Raw('<c r="PLACE"><f>A1</f></c>'), Raw('<c r="PLACE" t="d"><v>2020-13-45</v></c>'),
]  # fmt: skip

ODD: dict[str, dict[str, list[Any]]] = {
    "parquet": {"whole": [2**62, -1], "part": [*FAR, float("inf")], "word": WORDS, "day": DAYS, "moment": [datetime.max, datetime.min]},
    "feather": {"whole": [2**62, -1], "part": [*FAR, float("inf")], "word": WORDS, "day": DAYS, "moment": [datetime.max, datetime.min]},
    "xlsx": {"whole": SHEET, "part": SHEET, "word": SHEET, "day": SHEET, "moment": SHEET},
    "ods": {"whole": [*WORDS[:5], *FAR[1:], date(1, 1, 1)], "part": WORDS, "day": WORDS, "moment": [*WORDS, 1e300, date(2020, 1, 1)]},
    "sav": {"whole": FAR, "part": FAR, "word": WORDS, "stored_day": [*FAR, 1e11, -1e11], "stored_moment": [*FAR, 1e14], "stored_clock": FAR},
    "por": {"part": FAR[1:], "word": ["x", "5", "0012", "-", "NaN", "True"]},
    "dta": {"marked": ["a", 3e4, -3e4], "part": FAR[1:], "word": WORDS[:-1], "stored_day": [1e5, -1e6, 2.0**30], "stored_moment": [1e17, -1e17, 1e300]},
    "xpt": {"whole": [1e70, 5e-70], "part": FAR[2:-1], "word": WORDS[:6], "stored_day": [1e70, 1e10, -1e10], "stored_moment": [1e60, -1e18]},
}  # fmt: skip


def base(kind: str) -> made.Columns:
    table: made.Columns = {name: list(column) for name, column in made.TABLE.items()}
    if kind == "xlsx":
        table["day"][1] = date(1950, 1, 1)
    if MADE[kind][0] == "readstat" and kind != "por":  # whose names have eight letters
        table |= {"stored_day": [21915.0, 0.0, None, 5.5, 1.0], "stored_moment": [1.9e9, 0.0, None, 5.5, 1.0]}
        table |= {"stored_clock": [49500.0, 0.0, None, 5.5, 1.0]} | (
            {"marked": [1.0, 2.0, None, 3.0, 5.0]} if kind == "dta" else {}
        )
    return table


def read(kind: str, path: Path, table: made.Columns) -> RawTable:
    MADE[kind][1](path, table)
    found: Any = import_module(f"privsynth.table.formats.{MADE[kind][0]}")
    return found.read(path, declared())  # type: ignore[no-any-return]


def columns_of(raw: RawTable) -> list[tuple[str, str, str]]:
    return [(name, str(raw.frame.schema.field(name).type), str(raw.type_of(name))) for name in raw.columns]


CASES = [(kind, name) for kind, odd in ODD.items() for name in odd]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_an_odd_cell_changes_no_other(kind: str, name: str, tmp_path: Path) -> None:
    """In place of another cell of its column, and as a row more, first, in the middle and last."""
    table = base(kind)
    raw = read(kind, tmp_path / "t", table)
    before, types = texts_of(raw), columns_of(raw)
    own = name.upper() if kind == "por" else name
    for odd in ODD[kind][name]:
        for place in (0, 2, 4):
            changed = {n: [*c[:place], odd, *c[place + 1 :]] if n == name else c for n, c in table.items()}
            raw = read(kind, tmp_path / "t", changed)
            found = texts_of(raw)
            assert columns_of(raw) == types, repr(odd)
            for other, column in before.items():
                left = [place] if other == own else []
                assert [v for i, v in enumerate(found[other]) if i not in left] == [
                    v for i, v in enumerate(column) if i not in left
                ], (odd, other)
        for place in (0, 2, 5):
            longer = {n: [*c[:place], odd if n == name else c[0], *c[place:]] for n, c in table.items()}
            raw = read(kind, tmp_path / "t", longer)
            assert columns_of(raw) == types, repr(odd)
            assert {n: [v for i, v in enumerate(c) if i != place] for n, c in texts_of(raw).items()} == before, odd


def test_an_odd_cell_of_a_database_changes_no_other(tmp_path: Path) -> None:
    url, table = f"sqlite:///{tmp_path / 't'}", dict(made.TABLE)
    odd = [*WORDS[:6], *FAR[:3], b"\xff\xfe", b"text", 2**62, "CANARY", 1.0, True]
    made.sqlite(tmp_path / "t", table)
    before = texts_of(database.read(url, declared(table="t")))
    for name in table:
        for value in odd:
            for place in (0, 2, 5):
                made.sqlite(
                    tmp_path / "t",
                    {n: [*c[:place], value if n == name else c[0], *c[place:]] for n, c in table.items()},
                )
                found = texts_of(database.read(url, declared(table="t")))
                assert {n: [v for i, v in enumerate(c) if i != place] for n, c in found.items()} == before, value


def test_one_missing_value_of_pandas_changes_no_text(tmp_path: Path) -> None:
    """In a Stata file by pandas, whole numbers with a missing one are stored as floats: the texts are the same."""
    found = []
    for last in (3, None):
        pd.DataFrame({"n": [1, 2, last], "m": [2.0**31, 1, 2]}).to_stata(tmp_path / "t.dta", write_index=False)
        read = import_module("privsynth.table.formats.readstat").read
        found.append(texts_of(read(tmp_path / "t.dta", declared())))
    assert found[0] == {"n": ["1", "2", "3"], "m": ["2147483648", "1", "2"]} and found[1] == {
        **found[0],
        "n": ["1", "2", None],
    }
