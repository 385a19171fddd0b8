"""What a source is by its first bytes: folders of Parquet, and all that is named and never opened."""

# ruff: noqa: E501 (tables of cases, one a line)

from __future__ import annotations

import gzip
import io
import lzma
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import made
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from formats_help import declared, texts

from privsynth.errors import InputError
from privsynth.table import limits
from privsynth.table.formats.registry import _SAS7BDAT
from privsynth.table.reader import read_header, read_table

# --- folders -----------------------------------------------------------------------------------------------------------


def part(path: Path, table: dict[str, object] | pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)


def test_a_folder_of_partitions(tmp_path: Path) -> None:
    """Keys of folders are text, in the order of the places; other marks of Spark's are passed over."""
    part(tmp_path / "year=2020" / "ward=a%2Fb %C3%A4" / "1.parquet", {"x": [1, 2], "w": ["u", None]})
    part(tmp_path / "year=2020" / "ward=__HIVE_DEFAULT_PARTITION__" / "1.parquet", {"w": ["v"], "x": [3]})
    part(tmp_path / "year=0019" / "ward=7" / "2.parquet", {"x": [4], "w": pa.nulls(1)})
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / "year=2020" / ".part.crc").write_bytes(b"crc")
    (tmp_path / "_delta_log").mkdir()
    (tmp_path / "_delta_log" / "0.json").write_text("{}")
    assert read_header(tmp_path) == ["x", "w", "year", "ward"]
    assert texts(tmp_path) == {
        "x": ["4", "3", "1", "2"], "w": [None, "v", "u", None], "year": ["0019", "2020", "2020", "2020"], "ward": ["7", None, "a/b ä", "a/b ä"],
    }  # fmt: skip
    flat = tmp_path / "flat"
    for number in (2, 10, 1):
        part(flat / f"{number}.parquet", {"x": [number]})
    assert texts(flat) == {"x": ["1", "10", "2"]}


FOLDERS = {
    "empty": ({}, "is a folder without Parquet files"),
    "other names": (
        {"a.parquet": {"x": [1], "y": [1]}, "b.parquet": {"x": [1], "z": [1]}},
        "has other columns than the first file of its folder: 'y', 'z'",
    ),
    "other types": (
        {"a.parquet": {"x": [1]}, "b.parquet": {"x": ["CANARY"]}},
        "column 'x': its type differs between the files of the folder: int64, string",
    ),
    "other keys": (
        {"k=1/a.parquet": {"x": [1]}, "j=1/a.parquet": {"x": [1]}},
        "its files lie in folders of different keys",
    ),
    "some without": (
        {"k=1/a.parquet": {"x": [1]}, "a.parquet": {"x": [1]}},
        "its files lie in folders of different keys",
    ),
    "key and column": (
        {"x=1/a.parquet": {"x": [1]}},
        "is both a column of the files and a key of their folders|column names repeat",
    ),
    "another file": (
        {"a.parquet": {"x": [1]}, "b.csv": None},
        "is a folder with a file that is no Parquet file: b.csv",
    ),
    "damaged": ({"a.parquet": {"x": [1]}, "b.parquet": b"PAR1 CANARY"}, "is not a readable Parquet file"),
    "no rows": ({"a.parquet": {"x": pa.nulls(0, pa.int64())}}, "has a header but no rows"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_is_no_table(case: str, tmp_path: Path) -> None:
    files, said = FOLDERS[case]
    (tmp_path / "d").mkdir()
    for name, content in files.items():
        path = tmp_path / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            part(path, content)
        else:
            path.write_bytes(content or b"x,y\n1,2\n")
    with pytest.raises(InputError) as error:
        read_table(tmp_path / "d")
    assert any(one in str(error.value) for one in said.split("|")) and "CANARY" not in str(error.value)


def test_links_and_pipes_in_a_folder(tmp_path: Path) -> None:
    part(tmp_path / "d" / "a.parquet", {"x": [1]})
    os.symlink(tmp_path / "d", tmp_path / "d" / "loop")
    assert texts(tmp_path / "d") == {"x": ["1"]}
    os.mkfifo(tmp_path / "d" / "pipe")
    with pytest.raises(InputError, match="no Parquet file: pipe"):
        read_table(tmp_path / "d")


def test_all_files_of_a_folder_together_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        part(tmp_path / f"{number}.parquet", {"x": np.arange(40_000) + number})
    assert len(read_table(tmp_path)) == 160_000
    monkeypatch.setattr(limits, "memory", lambda: 4_000_000)
    with pytest.raises(InputError, match="unpacks to more than fits"):
        read_table(tmp_path)


def test_a_file_more_changes_no_other_row(tmp_path: Path) -> None:
    """One person in a file of her own, with nothing, a new key, or odd values in it."""
    part(tmp_path / "k=b" / "m.parquet", {"x": [1, 2], "w": ["u", "v"]})
    before = texts(tmp_path)
    for name, table in (
        ("k=a/a.parquet", {"x": [2**62], "w": ["\0"]}), ("k=z/z.parquet", {"x": pa.nulls(1), "w": pa.nulls(1)}),
        ("k=b/z.parquet", {"w": pa.array(["u"]).dictionary_encode(), "x": [0]}), ("k=%00/a.parquet", {"x": [1], "w": ["x"]}),
    ):  # fmt: skip
        part(tmp_path / name, table)
        found = texts(tmp_path)
        place = 0 if name.startswith(("k=a", "k=%")) else 2
        assert {n: [v for i, v in enumerate(c) if i != place] for n, c in found.items()} == before, name
        (tmp_path / name).unlink()


# --- named, never opened -------------------------------------------------------------------------------------------------


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x,y\n1,2\n")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"))
    return buffer.getvalue()


class Boom:
    """A pickle of this would make a file when it is opened."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, ("touch /tmp/privsynth-unpickled",)


KNOWN = {
    "zip": (zipped("data.csv"), "is a zip archive", "unpack it and name the table inside"),
    "word": (zipped("[Content_Types].xml", "word/document.xml"), "is a Word document", "export"),
    "empty zip": (zipped(), "is a zip archive", "unpack"),
    "tar": (tarred(), "is a tar archive", "unpack"),
    "xz": (lzma.compress(b"a,b\n1,2\n"), "is packed by xz", "unpack"),
    "pickle": (pickle.dumps({"a": [1]}), "is a pickle of Python's", "export"),
    "old pickle": (pickle.dumps([Boom()], 2), "is a pickle of Python's", "export"),
    "pdf": (b"%PDF-1.7\n", "is a PDF document", "export"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file", "export"),
    "r workspace": (gzip.compress(b"RDX3\nX\n" + bytes(99)), "is an R workspace (.RData), packed by gzip", "arrow::write_parquet"),
    "r object": (gzip.compress(b"X\n\0\0\0\x03" + bytes(99)), "is an R object (.rds), packed by gzip", "arrow::write_parquet"),
    "tar.gz": (gzip.compress(tarred()), "is a tar archive, packed by gzip", "unpack"),
    "dta.gz": (gzip.compress(b"<stata_dta><header>" + bytes(600)), "is a Stata file, packed by gzip", "unpack"),
    "json": (b'[{"CANARY": 1}]', "is JSON", "CSV or Parquet"),
    "json lines": (b'{"CANARY": 1}\n{"CANARY": 2}\n', "is JSON", "CSV or Parquet"),
    "html": (b"\xef\xbb\xbf<!DOCTYPE html><html><table><tr><td>CANARY", "is a web page (some systems call these .xls)", ".xlsx"),
    "bare table": (b"<table border=1><tr><td>CANARY", "is a web page", ".xlsx"),
    "xml": (b'<?xml version="1.0"?><Workbook><CANARY/>', "is XML (some systems call these .xls)", ".xlsx"),
    "png": (b"\x89PNG\r\n\x1a\n", "is a PNG picture", "table"),
    "dicom": (bytes(128) + b"DICM" + bytes(20), "is a DICOM image", "table"),
    "orc": (b"ORC" + bytes(20), "is an ORC file", "Parquet"),
    "numpy": (b"\x93NUMPY\x01\0", "is a NumPy array", "export"),
    "access": (b"\0\1\0\0Standard ACE DB\0", "is a Microsoft Access database", "export"),
    "sqlite": (b"SQLite format 3\0" + bytes(99), "is an SQLite database", "sqlite:///path"),
    "cport": (b"**COMPRESSED** **COMPRESSED** ", "is a SAS file of PROC CPORT", "SAS7BDAT"),
    "excel 4": (b"\x09\x04\x06\x00\x00\x04\x10\x00", "is a workbook of Excel 4 or older", ".xlsx"),
    "other ole": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "is not a readable Excel or OpenDocument workbook", ".xlsx"),
    "broken sas": (_SAS7BDAT + bytes(2000), "is not a readable SAS file", "CSV or Parquet"),
    "broken xpt": (b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!CANARY" + bytes(99), "is not a readable SAS file", "CSV or Parquet"),
    "broken xlsx": (zipped("xl/workbook.xml"), "is not a readable Excel or OpenDocument workbook", ".xlsx"),
}  # fmt: skip


@pytest.mark.parametrize("case", KNOWN)
def test_a_file_is_named_as_what_it_is(case: str, tmp_path: Path) -> None:
    data, rule, hint = KNOWN[case]
    (tmp_path / "table.csv").write_bytes(data)
    for read in (read_header, read_table):
        with pytest.raises(InputError) as error:
            read(tmp_path / "table.csv")
        (problem,) = error.value.problems
        assert rule in problem.rule and hint in problem.hint and "CANARY" not in str(error.value), str(problem)
    assert not Path("/tmp/privsynth-unpickled").exists()


@pytest.mark.parametrize(
    "start",
    [
        "[id],[name]",
        "{x},y",
        "RAR,b",
        "ORDER,ID",
        "PK,b",
        "CDFx,b",
        "GIF,b",
        "MM,DD",
        "BZ,x",
        "X,Y",
        "II,x",
        "%,b",
        "<5,b",
    ],
)
def test_a_header_that_looks_like_another_file_is_read(start: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(start + "\n1,2\n")
    assert read_header(tmp_path / "t.csv") == [name.strip() for name in start.split(",")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", made.MADE)
def test_a_file_that_breaks_off(kind: str, tmp_path: Path) -> None:
    """Here through the whole reader, which knows the format by the bytes that are left."""
    made.MADE[kind][1](tmp_path / "t", made.TABLE)
    whole = (tmp_path / "t").read_bytes()
    for size in (len(whole) // 2, len(whole) - 1, 9):
        (tmp_path / "d").write_bytes(whole[:size])
        try:
            texts(tmp_path / "d", declared())
        except InputError as error:
            assert len(error.problems) == 1 and error.problems[0].hint
