"""What a hostile hour found in the mended reader: block boundaries, odd Arrow types, files that unpack to much, slow texts."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forked import outcomes

from privsynth.errors import InputError
from privsynth.policy import Policy
from privsynth.policy.column import NUMERIC
from privsynth.table import limits
from privsynth.table.fingerprint import fingerprint
from privsynth.table.formats import csv
from privsynth.table.parse import number_of
from privsynth.table.raw import BLANK, REGULAR, RawTable
from privsynth.table.reader import read_header, read_table
from privsynth.table.values import Form, NumberReader

ROWS = ['V,"x\r\ny"', 'W,"x\ny"', "U,x", 'T,"""\r\n"', 'S,"\r\n\r\n"']


def rows(path: Path) -> list[dict[str, str]]:
    return read_table(path).frame.to_pylist()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_where_a_part_ends_changes_no_value(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow passes over a line feed at the start of a block if the block before ends in a carriage return."""
    path = tmp_path / "t.csv"
    path.write_bytes(end.join(["a,b", *ROWS, ""]).encode())
    expected = rows(path)
    assert expected[0] == {"a": "V", "b": "x\r\ny"}
    for part in (1, 3, 8, 21, 64):
        monkeypatch.setattr(csv, "PART", part)
        for length in range(40):
            path.write_bytes(end.join(["a,b", "N" * length + ",q", *ROWS, ""]).encode())
            assert rows(path)[1:] == expected


def test_a_part_never_ends_inside_of_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ("a,b\r\n" + "\r\n".join(ROWS * 3) + "\r\n").encode()
    for size in range(1, 60):
        monkeypatch.setattr(csv, "PART", size)
        parts = list(csv._parts(data, 5))
        assert parts[0][0] == 5 and parts[-1][1] == len(data)
        assert [end for _, end in parts[:-1]] == [start for start, _ in parts[1:]]
        assert all(data[end - 1 : end] == b"\n" and data[:end].count(b'"') % 2 == 0 for _, end in parts)


def test_a_part_starts_without_a_byte_order_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "PART", 1)
    (tmp_path / "t.csv").write_text("a,b\n\ufeff1,2\n\ufeff3,4\n")
    assert [row["a"] for row in rows(tmp_path / "t.csv")] == ["\ufeff1", "\ufeff3"]


def cells(array: pa.Array | pa.ChunkedArray, missing: tuple[str, ...] = ()) -> list[Any]:
    return RawTable(pa.table({"x": array})).cells("x", missing).words().tolist()


def of(kind: str, *marks: str) -> NumberReader:
    return NumberReader(Form(kind), marks)


def test_more_texts_than_an_index_can_number() -> None:
    """Chunks with dictionaries of their own: together they have more texts than int8 has places."""
    texts = [[f"t{i}" for i in range(100)], [f"t{i}" for i in range(60, 160)]]
    coded = [pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), pa.array(part)) for part in texts]
    assert cells(pa.chunked_array(coded)) == [*texts[0], *texts[1]]


def test_dictionaries_that_hold_nulls_and_the_same_text_twice() -> None:
    one = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None]), pa.array(["a", None, "a"]))
    two = pa.DictionaryArray.from_arrays(pa.array([1, 0]), pa.array(["b", "a"]))
    assert cells(pa.chunked_array([one, two])) == ["a", None, "a", None, "a", "b"]


ODD_TYPES: dict[str, pa.Array] = {
    "null": pa.nulls(3), "fixed bytes": pa.array([b"  ", b"\xff\xfe", b"ab"], pa.binary(2)),
    "view": pa.array(["a", "", "\0"], pa.string_view()),
    "binary view": pa.array([b"a", b"", b"\xff"], pa.binary_view()),
    "not a number": pa.array([1.0, float("nan"), None]),
    "decimal": pa.array([1, 2, None]).cast(pa.decimal128(21, 2)), "time": pa.array([1, 2, None], pa.time64("ns")),
    "zone": pa.array([0, 1, None], pa.timestamp("s", "Nowhere/Land")), "duration": pa.array([1, 2, None], pa.duration("s")),
    "list": pa.array([["a"], [], None]), "structure": pa.array([{"a": "b"}] * 3),
    "map": pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int8())),
    "extension": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16] * 3, pa.binary(16))),
    "half": pa.array(np.array([1, 2, 3], np.float16)),
    "truth": pa.array([True, None, False]), "large decimal": pa.array([1, 2, None]).cast(pa.decimal256(50, 2)),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD_TYPES)
def test_a_type_is_read_or_refused_and_can_always_be_dropped(kind: str, tmp_path: Path) -> None:
    table = pa.table({"x": ODD_TYPES[kind], "y": pa.array(["1", "2", "3"])})
    pq.write_table(table, tmp_path / "t.parquet", store_schema=True)
    for raw in (RawTable(table), read_table(tmp_path / "t.parquet")):
        assert raw.columns == ["x", "y"] and raw.numbers("y", of("number")).values.tolist() == [1, 2, 3]
        assert len(fingerprint(raw, bytes(32), ["x", "y"]).whole) == 64
        for ask in (
            lambda raw=raw: raw.cells("x", []),
            *(lambda raw=raw, kind=kind: raw.numbers("x", of(kind)) for kind in NUMERIC),
        ):
            try:
                ask()
            except InputError as error:
                assert "column 'x': is of type" in str(error)
    refused = {"zone", "list", "structure", "map", "extension"}
    if kind in refused:
        with pytest.raises(InputError, match="column 'x': is of type"):
            RawTable(table).cells("x", [])


def test_what_typed_values_are_as_text() -> None:
    assert cells(ODD_TYPES["not a number"]) == ["1", None, None]
    assert cells(ODD_TYPES["view"]) == ["a", None, None] and cells(ODD_TYPES["fixed bytes"]) == [None, None, "ab"]
    assert cells(pa.array([3_600_000_000_000, None], pa.time64("ns"))) == ["01:00:00", None]
    frame = pd.DataFrame({"p": pd.period_range("2020-01", periods=2, freq="M"), "d": pd.to_timedelta([1, 2], "D")})
    raw = read_table(frame)
    assert raw.cells("p", []).words().tolist() == ["2020-01", "2020-02"]
    assert raw.cells("d", []).words().tolist() == read_table(frame.astype(object)).cells("d", []).words().tolist()


@pytest.mark.parametrize("kind", [pa.decimal128(12, 2), pa.decimal256(40, 2), pa.string(), pa.float64()], ids=str)
def test_decimals_are_the_numbers_that_they_say(kind: pa.DataType) -> None:
    """Arrow's own cast misses the nearest double of every seventh cent, and with it bounds and missing tokens."""
    wanted = [0.35, 99.99, -99.99, 19.99, 1.0]
    texts = [f"{value:.2f}" for value in wanted]
    array = pa.array(wanted) if kind == pa.float64() else pa.array(texts).cast(kind)
    found = RawTable(pa.table({"x": array})).numbers("x", of("number", "-99.99", "99.990"))
    assert [None if np.isnan(v) else v for v in found.values] == [0.35, None, None, 19.99, 1.0]
    assert found.present == 3 and found.states.tolist() == [REGULAR, 1, 0, REGULAR, REGULAR]


def test_missing_days_in_typed_columns() -> None:
    moments = pa.array(["1900-01-01", "1900-01-01 12:00", "2000-01-01", None])
    for kind in (pa.date32(), pa.timestamp("s"), pa.timestamp("ns")):
        array = (
            pa.array(pd.to_datetime(pd.Series(moments.to_pylist()), format="mixed"))
            .cast(pa.timestamp("ns"))
            .cast(kind, safe=False)
        )
        found = RawTable(pa.table({"x": array})).numbers("x", of("date", "1900-01-01"))
        assert found.states.tolist() == [0, 0, REGULAR, BLANK], "a day has no noon: both are that day"
        assert found.values[2] == 10957 and found.present == 1
        found = RawTable(pa.table({"x": array})).numbers("x", of("datetime", "1900-01-01"))
        assert found.states.tolist() == [0, 0 if kind == pa.date32() else REGULAR, REGULAR, BLANK]
        assert found.values[2] == 10957 * 86_400


def test_tokens_and_cells_lose_white_space_alike() -> None:
    assert cells(pa.array(["?", " ? ", "a"]), (" ? ",)) == [None, None, "a"]
    text = (
        'privsynth: 1\ndataset: {id: x, missing: ["1_0", " -9.0 ", " "]}\nunit: row\n'
        "budget: {epsilon: 1, delta: 1.0e-6}\ncolumns: {x: {kind: integer, bounds: [0, 99]}, y: {kind: boolean}}"
    )
    reader = NumberReader.of(Policy.from_text(text), "x")
    assert reader.marks == ("1_0", "-9.0")
    found = RawTable(pa.table({"x": ["10", " -9", ""]})).numbers("x", reader)
    assert found.values[0] == 10 and found.present == 1 and found.states.tolist() == [REGULAR, 1, BLANK]


# --- files --------------------------------------------------------------------------------------------------------------


def test_text_written_by_differences(tmp_path: Path) -> None:
    """Such pages are not read as dictionaries."""
    for encoding in ("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"):
        how = {"use_dictionary": False, "column_encoding": {"x": encoding}}
        pq.write_table(pa.table({"x": ["a", None, "b"], "y": [1, 2, 3]}), tmp_path / "t.parquet", **how)
        assert read_table(tmp_path / "t.parquet").cells("x", []).words().tolist() == ["a", None, "b"]


def test_a_file_that_unpacks_to_more_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By text, by the number of cells, in gz, in Parquet by pages, by rows and by texts written as differences."""
    text, row = "a,b\n" + "x" * 3_000_000 + ",1\n", "a,b\n" + "1,2\n" * 100_000
    (tmp_path / "text.csv").write_text(text)
    (tmp_path / "text.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "cells.csv.gz").write_bytes(gzip.compress(row.encode()))
    many, long = pa.nulls(200_000), pa.array(["v" * 5_000 + str(i % 7) for i in range(2_000)])
    pq.write_table(pa.table({"x": many}), tmp_path / "rows.parquet")
    pq.write_table(pa.table({"x": pa.array([b"v" * 50_000] * 200, pa.binary(50_000))}), tmp_path / "fixed.parquet")
    how = {"use_dictionary": False, "column_encoding": {"x": "DELTA_BYTE_ARRAY"}}
    pq.write_table(pa.table({"x": long}), tmp_path / "differences.parquet", **how)
    paths = sorted(tmp_path.iterdir())
    for path in paths:
        assert len(read_table(path)) > 0
    monkeypatch.setattr(limits, "memory", lambda: 8_000_000)
    for path in paths:
        with pytest.raises(InputError, match="unpacks to more than fits into this machine's"):
            read_table(path)


def test_columns_that_no_run_can_use_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of a file of 300 bytes may hold gigabytes."""
    deep = pa.ListArray.from_arrays(pa.array([0, 10_000, 10_000], pa.int32()), pa.array(["x" * 1000] * 10_000))
    pq.write_table(pa.table({"x": deep, "y": ["1", "2"]}), tmp_path / "t.parquet")
    raw = read_table(tmp_path / "t.parquet")
    assert raw.frame.nbytes < 1000 and raw.columns == ["x", "y"]
    with pytest.raises(InputError, match=r"column 'x': is of type list<.*> *, which cannot be read"):
        raw.cells("x", [])


def test_slow_texts_are_read_in_time() -> None:
    """Each of these took hours by a pattern that tries again, or a search that copies."""
    assert np.isnan(number_of("1" * 1_000_000 + "x")) and np.isnan(number_of("1." * 300_000))
    with pytest.raises(InputError, match="line 2: a quoted value opens that is still open"):
        csv.read_csv(b"a,b\n1," + b'"' * 2_000_001 + b"\n", Path("t.csv"))


def test_many_names_are_looked_at_once(tmp_path: Path) -> None:
    """Each name was counted among all others: these would have taken minutes."""
    (tmp_path / "t.csv").write_text(",".join(f"c{i}" for i in range(120_000)) + "\n")
    assert len(read_header(tmp_path / "t.csv")) == 120_000
    (tmp_path / "t.csv").write_text(",".join(f"c{i % 119_999}" for i in range(120_000)) + "\n")
    with pytest.raises(InputError, match="column names repeat: columns 1, 120000"):
        read_header(tmp_path / "t.csv")


def test_what_is_no_file_on_a_disk(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / ("x" * 300), tmp_path):
        for read in (read_header, read_table):
            with pytest.raises(InputError):
                read(path)


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Also one of too many fields, of which Arrow would quote a byte on its way."""
    for line in (b"CANARY\xff,5,7", b"CANARY\xff,5", b'CANARY,"\xc3"'):
        (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n" + line + b"\n3,4\n")
        with pytest.raises(InputError, match="line 3 is not UTF-8 text"):
            read_table(tmp_path / "t.csv")
    assert capfd.readouterr() == ("", "")


def test_names_of_parquet_columns_that_are_no_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"CANARY": [1]}), tmp_path / "t.parquet", store_schema=False)
    (tmp_path / "t.parquet").write_bytes((tmp_path / "t.parquet").read_bytes().replace(b"CANARY", b"CANAR\xff"))
    for read in (read_header, read_table):
        with pytest.raises(InputError, match="is not a readable Parquet file"):
            read(tmp_path / "t.parquet")


def test_a_frame_is_typed_alike_however_pandas_is_set() -> None:
    from privsynth.table.intake import typed

    policy = Policy.from_text(
        "privsynth: 1\ndataset: {id: x}\nunit: row\nbudget: {epsilon: 1, delta: 1.0e-6}\n"
        "columns: {a: {kind: category, categories: private}, b: {kind: integer, bounds: [0, 9]}}"
    )
    with pd.option_context("future.infer_string", True):
        frame, _ = typed(read_table(pd.DataFrame({"a": ["x", "y"], "b": [1, 2]})), policy)
    assert frame["a"].dtype == object and frame["a"].tolist() == ["x", "y"]


@pytest.mark.slow
def test_damaged_parquet_files_end_no_process(tmp_path: Path) -> None:
    """2,000 files with changed bytes in pages and footers, in children: read, or refused by an InputError."""
    rng = np.random.default_rng(20261130)
    columns = {"a": [f"v{i % 7}" for i in range(60)], "b": range(60), "c": [[i] for i in range(60)], "d": [b"xy"] * 60}
    pq.write_table(
        pa.table({**columns, "e": pa.array(range(60), pa.timestamp("us", "UTC"))}),
        tmp_path / "t.parquet",
        row_group_size=20,
    )
    whole = (tmp_path / "t.parquet").read_bytes()
    footer = len(whole) - int.from_bytes(whole[-8:-4], "little") - 8
    damaged = [bytearray(whole) for _ in range(2_000)]
    for case, data in enumerate(damaged):
        for place in rng.integers(footer if case % 3 else 4, len(whole) - 8, rng.integers(1, 5)):
            data[place] = rng.integers(256)

    def work(case: int) -> int:
        (tmp_path / "d.parquet").write_bytes(damaged[case])
        return _outcome(tmp_path / "d.parquet")

    assert _outcome(tmp_path / "t.parquet") == 0  # here, so that no child has to import anything
    found = outcomes(len(damaged), work)
    assert not any(found), {case: code for case, code in enumerate(found) if code}


def _outcome(path: Path) -> int:
    try:
        raw = read_table(path)
        for name in raw.columns:
            raw.cells(name, [])
    except InputError:
        return 0
    except BaseException:
        return 1
    return 0
