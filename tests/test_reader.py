"""What is read of a cell, however it is written; every cell by itself."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from table_files import csv, parquet

from privsynth.errors import InputError
from privsynth.table.fingerprint import fingerprint
from privsynth.table.raw import BLANK, NO_VALUE, REGULAR, RawTable
from privsynth.table.reader import read_header, read_table
from privsynth.table.values import Form, NumberReader

Make = Callable[..., pd.DataFrame]


def same(read: pd.DataFrame, table: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(read.reset_index(drop=True), table.reset_index(drop=True), check_dtype=False)


def texts(source: Path | pd.DataFrame, missing: list[str] | None = None) -> pd.DataFrame:
    raw = read_table(source)
    return pd.DataFrame({name: raw.cells(name, missing or []).words() for name in raw.columns})


@pytest.mark.parametrize(
    "written",
    [
        lambda t: csv(t),
        lambda t: b"\xef\xbb\xbf" + csv(t),
        lambda t: csv(t).replace(b"\n", b"\r\n"),
        lambda t: csv(t, quoting=1),
        lambda t: csv(t).rstrip(b"\n"),
        lambda t: csv(t).replace(b"\n", b"\n\n"),
        lambda t: gzip.compress(csv(t)),
        lambda t: gzip.compress(b"\xef\xbb\xbf" + csv(t)),
        parquet,
    ],
    ids=["plain", "byte order mark", "windows", "all quoted", "no last line end", "blank lines", "gz", "gz bom", "parquet"],
)  # fmt: skip
def test_the_same_table_however_it_is_written(
    written: Callable[..., bytes], clinic_table: Make, tmp_path: Path
) -> None:
    table = clinic_table(60)
    (tmp_path / "t").write_bytes(written(table))
    raw = read_table(tmp_path / "t")
    assert (raw.columns, len(raw)) == (list(table), 60)
    same(texts(tmp_path / "t"), table)


def test_quoted_commas_quotes_and_lines(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": ['x, "y"', "two\nlines", "plain"], "b": ["1", "2", "3"]})
    (tmp_path / "t.csv").write_bytes(csv(table))
    same(texts(tmp_path / "t.csv"), table)


def test_a_long_table_with_line_breaks_in_values(tmp_path: Path) -> None:
    """More than one block of the reader: rows that go over its edge stay whole."""
    table = pd.DataFrame({"a": [f"{i}\n{'x' * 200}" for i in range(20_000)], "b": [str(i) for i in range(20_000)]})
    (tmp_path / "t.csv").write_bytes(csv(table))
    same(texts(tmp_path / "t.csv"), table)


def test_missing_tokens_and_white_space(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(" a ,b\n x ,1\n?,NA\n ? ,\n,NaN\nNone,null\n")
    read = texts(tmp_path / "t.csv", ["?", "NA"])
    assert read["a"].tolist()[0] == "x" and read["a"].isna().tolist() == [False, True, True, True, False]
    assert read["b"].isna().tolist() == [False, True, True, False, False], "only declared tokens mean missing"
    assert read["b"].tolist()[3:] == ["NaN", "null"]


def numbers(
    values: pa.Array | list[str], dates: bool = False, form: str | None = None, missing: tuple[str, ...] = ()
) -> tuple[list[Any], int]:
    array = pa.array(values) if isinstance(values, list) else values
    found = _raw(array).numbers("x", reader(dates, form, missing))
    assert (np.isnan(found.values) == (found.states != REGULAR)).all()
    return [None if np.isnan(v) else float(v) for v in found.values], found.present


def reader(dates: bool = False, form: str | None = None, missing: tuple[str, ...] = ()) -> NumberReader:
    return NumberReader(Form(kind="date" if dates else "number", format=form), missing)


def _raw(array: pa.Array) -> Any:
    return RawTable(pa.table({"x": array}))


def test_numbers_from_text() -> None:
    found, present = numbers(["1", "2.5", " 3.0 ", "-4e2", "", "?", "-99", "x", "1,000"], missing=("?", "-99"))
    assert found == [1, 2.5, 3, -400, None, None, None, None, None] and present == 6


def test_odd_numbers_count_as_present() -> None:
    found, present = numbers(["inf", "-inf", "nan", "1e400", "5"])
    assert present == 5 and found[4] == 5 and not np.isfinite([v or np.nan for v in found[:4]]).any()


def test_a_cell_is_regular_blank_a_mark_or_unreadable() -> None:
    """Each is counted apart: a blank cell is none of the tokens, and what cannot be read is no missing value."""
    found = _raw(pa.array(["5", "", None, "?", "-9", "<0.6", "x", "inf", "a\0"])).numbers(
        "x", reader(missing=("<0.6", "?", "-9"))
    )
    assert found.states.tolist() == [REGULAR, BLANK, BLANK, 1, 2, 0, NO_VALUE, NO_VALUE, NO_VALUE]
    assert found.values[0] == 5 and np.isnan(found.values[1:]).all()
    assert (found.present, found.unreadable) == (4, 3)
    typed = _raw(pa.array([5.0, None, float("nan"), -9.0, float("inf")])).numbers("x", reader(missing=("?", "-9")))
    assert typed.states.tolist() == [REGULAR, BLANK, BLANK, 1, NO_VALUE] and typed.unreadable == 1


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, None, 3], pa.int8()),
        pa.array([1, None, 3], pa.uint64()),
        pa.array([1.0, None, 3.0], pa.float32()),
        pa.array([1.0, float("nan"), 3.0]),
        pa.array(np.array([1, np.nan, 3], np.float16)),
        pa.array([1, None, 3]).cast(pa.decimal128(21, 2)),
        pa.array(["1", None, "3.0"]),
        pa.array(["1", None, "3"], pa.large_string()),
        pa.array([1, None, 3]).dictionary_encode(),
        pa.array([1.0, None, 3.0]).dictionary_encode(),
        pa.array(["1", None, "3"]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_numbers_from_typed_columns(array: pa.Array) -> None:
    assert numbers(array) == ([1, None, 3], 2)


def test_missing_tokens_in_typed_numbers() -> None:
    assert numbers(pa.array([1, -99, 3]), missing=("-99", "?")) == ([1, None, 3], 2)


@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.float64(), pa.float32()], ids=str)
def test_two_tokens_that_are_one_number_are_one_mark(kind: pa.DataType) -> None:
    array = pa.array([-9, 1, -9], pa.float64()).cast(kind)
    found = _raw(array).numbers("x", reader(missing=("?", "-9.0", "-9")))
    assert len(set(found.states[[0, 2]])) == 1 and found.states[0] in (1, 2) and found.states[1] == REGULAR


DAYS = [0.0, 18321.0, -1.0, None]  # 1970-01-01, 2020-02-29, 1969-12-31


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["1970-01-01", "2020-02-29", "1969-12-31", ""], None),
        (["1970-01-01T23:59:59", "2020-02-29 00:00:00", "1969-12-31 12:30", ""], None),
        (["1970-01-01T23:59:59Z", "2020-02-29T00:00:00+02:00", "1969-12-31T23:00:00.5-0800", ""], None),
        (["01.01.1970", "29.02.2020", "31.12.1969", ""], "%d.%m.%Y"),
        (["19700101", "20200229", "19691231", ""], "%Y%m%d"),
        (["01/01/1970 10:15", "02/29/2020 10:15", "12/31/1969 10:15", ""], "%m/%d/%Y %H:%M"),
    ],
)
def test_dates_from_text(values: list[str], form: str | None) -> None:
    assert numbers(values, True, form) == (DAYS, 3)


def test_dates_that_are_none() -> None:
    found, present = numbers(["2020-02-30", "yesterday", "30/12/2020", "2020-01-01x"], True)
    assert found == [None] * 4 and present == 4


def test_years_far_away() -> None:
    """9999-12-31 stands for "for ever" in many databases; it is a date, to be clipped to the bounds."""
    found, _ = numbers(["9999-12-31", "0001-01-01", "1500-06-01", "2020-02-29"], True)
    assert found == [
        date(y, m, d).toordinal() - 719163 for y, m, d in ((9999, 12, 31), (1, 1, 1), (1500, 6, 1), (2020, 2, 29))
    ]
    assert numbers(["31.12.9999"], True, "%d.%m.%Y") == ([2932896], 1)


@pytest.mark.parametrize(
    "kind",
    [
        pa.date32(),
        pa.date64(),
        pa.timestamp("s"),
        pa.timestamp("ms"),
        pa.timestamp("us"),
        pa.timestamp("ns"),
        pa.timestamp("us", tz="UTC"),
    ],
    ids=str,
)
def test_dates_from_typed_columns(kind: pa.DataType) -> None:
    moments = pa.array([0, 18321 * 86400, -86400, None], pa.timestamp("s", tz=getattr(kind, "tz", None)))
    assert numbers(moments.cast(kind), True) == (DAYS, 3)


ZONES = (None, "UTC", "America/New_York", "Asia/Tokyo", "+05:30", "-08:00")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ZONES)
def test_moments_are_written_as_pandas_writes_them(unit: str, zone: str | None) -> None:
    seconds, per = (
        np.random.default_rng(0).integers(-2_140_000_000, 9_000_000_000, 60),
        10 ** (3 * ["s", "ms", "us", "ns"].index(unit)),
    )
    array = pa.array(
        [*(int(s) * per + i % 2 * (per // 2) for i, s in enumerate(seconds)), None], pa.timestamp(unit, zone)
    )
    written = array.to_pandas().map(lambda moment: moment.isoformat(sep=" "), na_action="ignore")
    found = _raw(array).cells("x", []).words()
    assert found[:60].tolist() == written[:60].tolist() and pd.isna(found[60])


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "days", "ms of days"])
def test_no_moment_ends_the_process(unit: str, zone: str | None) -> None:
    """One row with an odd moment would reveal whether it is there: pandas crashes on some, Python raises on others."""
    types = {"days": pa.date32(), "ms of days": pa.date64()}
    far = 2**31 - 1 if unit == "days" else 2**63 - 1
    old = {"s": 1, "ms": 10**3, "us": 10**6}.get(unit, 0) * -62_135_596_800
    values = [0, far, -far, old] if unit != "ms of days" else [0, 2_932_897 * 86_400_000, -800_000 * 86_400_000]
    raw = _raw(pa.array(values, types.get(unit) or pa.timestamp(unit, zone)))
    assert all(raw.cells("x", []).words()) and raw.numbers("x", reader(dates=True)).present == len(values)
    assert len(fingerprint(raw, bytes(32)).whole) == 64


def test_dates_beyond_those_of_python() -> None:
    array = pa.array([2_932_896, 2_932_897, -719_162, -800_000], pa.date32())
    assert _raw(array).cells("x", []).words().tolist() == ["9999-12-31", "10000-01-01", "0001-01-01", "-221-09-04"]


def test_a_long_cell_is_read_wherever_it_stands(tmp_path: Path) -> None:
    """Whether it is must not depend on how many rows come before it."""
    for before in (60, 30_060):
        (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * before + "1," + "x" * 3_000_000 + "\n1,2\n")
        assert len(read_table(tmp_path / "t.csv")) == before + 2


def test_whole_numbers_of_a_typed_column_follow_the_format() -> None:
    assert numbers(pa.array([19700101, 20200229, 19691231, None]), True, "%Y%m%d") == (DAYS, 3)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, 2, None]), ["1", "2", None]),
        (pa.array([1.0, 2.0, None]), ["1", "2", None]),
        (pa.array([1.0, 2.5, None]), ["1", "2.5", None]),
        (pa.array([1.0, float("inf"), None]), ["1", "inf", None]),
        (pa.array([True, False, None]), ["True", "False", None]),
        (pa.array(["a", " b ", ""]), ["a", "b", None]),
        (pa.array(["a", "b", None]).dictionary_encode(), ["a", "b", None]),
        (pa.array([1, 2, None]).dictionary_encode(), ["1", "2", None]),
        (pa.array([1.0, 2.0, None]).dictionary_encode(), ["1", "2", None]),
        (pa.array(["a", "b", None], pa.large_string()), ["a", "b", None]),
        (pa.array([b"a", b"b", None]), ["a", "b", None]),
        (pa.nulls(3), [None, None, None]),
    ],
)
def test_text_from_typed_columns(array: pa.Array, expected: list[Any]) -> None:
    found = _raw(array).cells("x", []).words()
    assert [None if pd.isna(v) else v for v in found] == expected


@pytest.mark.parametrize(
    "array",
    [pa.array([["CANARY"]] * 3), pa.array([{"CANARY": 1}] * 3), pa.array([{"a": "CANARY"}] * 3)],
    ids=["list", "structure", "nested text"],
)  # fmt: skip
def test_types_that_are_no_cells(array: pa.Array) -> None:
    for read in (lambda raw: raw.cells("x", []), lambda raw: raw.numbers("x", reader(dates=True))):
        with pytest.raises(InputError, match="column 'x': is of type") as error:
            read(_raw(array))
        assert "CANARY'" not in str(error.value) and "release: drop" in str(error.value)


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "a": pa.array([1, 2], pa.int16()),
            "b": pa.array(["x", "y"]).dictionary_encode(),
            "c": pa.array([0, 1], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    raw = read_table(tmp_path / "t.parquet")
    assert {k: str(v) for k, v in zip(raw.columns, raw.frame.schema.types, strict=True)} == {
        "a": "int16", "b": "dictionary<values=string, indices=int32, ordered=0>", "c": "date32[day]",
    }  # fmt: skip


class TestDataFrames:
    def test_taken_as_they_are(self) -> None:
        frame = pd.DataFrame(
            {"a": [1, 2], "b": ["x", None], "c": pd.to_datetime(["2020-01-01", "2020-01-02"]), 5: [True, False]},
            index=[7, 7],
        )
        raw = read_table(frame)
        assert raw.columns == ["a", "b", "c", "5"] and len(raw) == 2
        assert raw.cells("b", []).words().tolist()[0] == "x"
        assert raw.numbers("c", reader(dates=True)).values.tolist() == [18262, 18263]

    def test_mixed_objects_become_text(self) -> None:
        raw = read_table(pd.DataFrame({"a": ["x", 1, 2.5, None]}))
        assert raw.cells("a", []).words().tolist()[:3] == ["x", "1", "2.5"]

    @pytest.mark.parametrize(
        "values", [np.arange(2) * 1j, pd.arrays.SparseArray([1, 2])], ids=["complex", "sparse"]
    )  # fmt: skip
    def test_types_that_cannot_be_taken(self, values: Any) -> None:
        with pytest.raises(InputError, match="data frame: has a column whose type cannot be taken") as error:
            read_table(pd.DataFrame({"a": values}))
        assert "CANARY" not in str(error.value)

    def test_column_twice_and_no_rows(self) -> None:
        with pytest.raises(InputError, match="column names repeat: columns 1, 2"):
            read_table(pd.DataFrame([[1, 2]], columns=["CANARY", "CANARY"]))
        with pytest.raises(InputError, match="no rows"):
            read_table(pd.DataFrame({"a": []}))


# --- one cell is read by itself ---------------------------------------------------------------------------------------

ODD_CELLS = [
    "",
    "x",
    "1.5",
    "7",
    "1e400",
    "9" * 40,
    "0x10",
    "1_000",
    "\u0661",
    " 2 ",
    "inf",
    "nan",
    "-",
    "1e5",
    ".5",
    "5.",
]
HARD = [
    "288230376151711744",
    "288230376151711745",
    "0.1",
    "1e23",
    "9007199254740993",
    "123456789012345678901",
    "1e-320",
]


@pytest.mark.parametrize("odd", ODD_CELLS)
def test_a_number_is_read_the_same_beside_any_other(odd: str, tmp_path: Path) -> None:
    """An unreadable cell of one person must not change the last bit of another's."""
    alone = RawTable(pa.table({"x": HARD})).numbers("x", reader()).values
    beside = RawTable(pa.table({"x": [*HARD, odd]})).numbers("x", reader()).values
    assert alone.tolist() == beside[:-1].tolist() == [float(text) for text in HARD]


@pytest.mark.parametrize("text", ["0x10", "1_000", "\u0661", "inf", "nan", "infinity", "1 2", "--1", "", "1e", "."])
def test_what_is_no_decimal_number_is_unreadable(text: str) -> None:
    found = RawTable(pa.table({"x": [text]})).numbers("x", reader())
    assert np.isnan(found.values).all() and found.states.tolist() == [NO_VALUE if text else BLANK]


def test_missing_numbers_are_missing_however_they_are_written() -> None:
    for values in ([-9.0, 1.0], ["-9", "1"], ["-9.0", "1"]):
        found = RawTable(pa.table({"x": values})).numbers("x", reader(missing=("-9.00",)))
        assert np.isnan(found.values[0]) and found.values[1] == 1 and found.present == 1
        assert found.states.tolist() == [0, REGULAR]


BERLIN = pd.Timestamp("2020-01-01 00:30", tz="Europe/Berlin")
COLUMNS_OF_A_KIND = {
    "codes": [1.0, 2.0, 2.5], "floats": np.array([0.1, 3.25, 1e20], np.float32), "whole": [2**58 + 2, 2**53 + 1, 3],
    "truth": [True, False, True], "moments": pd.DatetimeIndex(["2020-01-01", "2020-01-02 23:59", "1999-12-31"]),
    "here": [BERLIN] * 3, "days": [date(2020, 1, 1), date(1999, 12, 31), date(2024, 2, 29)], "text": ["a", "1.0", "b"],
}  # fmt: skip


@pytest.mark.parametrize("name", list(COLUMNS_OF_A_KIND))
@pytest.mark.parametrize("odd", ["x", "unknown", 7, 1.5, pd.Timestamp("2020-06-01", tz="Asia/Tokyo"), date(2020, 5, 5)])
def test_a_cell_of_a_data_frame_is_read_the_same_beside_any_other(name: str, odd: Any) -> None:
    """One odd cell turns the column into one of objects: the others must read as before."""
    alone = pd.DataFrame({"x": pd.Series(COLUMNS_OF_A_KIND[name])})
    beside = pd.DataFrame({"x": pd.Series([*alone["x"], odd], dtype=object)})
    one, other = read_table(alone), read_table(beside)
    assert one.cells("x", []).words().tolist() == other.cells("x", []).words().tolist()[:-1]
    for dates in (False, True):
        if dates == (name in ("moments", "here", "days")):
            found = one.numbers("x", reader(dates)), other.numbers("x", reader(dates))
            np.testing.assert_array_equal(found[0].values, found[1].values[:-1])
            np.testing.assert_array_equal(found[0].states, found[1].states[:-1])


def test_the_day_is_the_written_one() -> None:
    for column in ([BERLIN], pa.array([BERLIN.to_pydatetime()], pa.timestamp("us", "Europe/Berlin"))):
        frame = read_table(pd.DataFrame({"x": column})) if isinstance(column, list) else _raw(column)
        assert frame.numbers("x", reader(dates=True)).values.tolist() == [18262.0]


def test_the_header_alone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a, b\n1,2,3\n")  # what stands below is not looked at
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "t.parquet")
    for source in (tmp_path / "t.csv", tmp_path / "t.parquet", pd.DataFrame({"a": [1], "b": [2]})):
        assert read_header(source) == ["a", "b"]
    (tmp_path / "e.csv").write_text("")
    for bad in (tmp_path / "none.csv", tmp_path, tmp_path / "e.csv", pd.DataFrame([[1, 2]], columns=["a", "a"])):
        with pytest.raises(InputError):
            read_header(bad)
