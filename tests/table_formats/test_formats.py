"""Every format, with every type that it can hold: what is read, what is missing, and what is refused."""

# ruff: noqa: E501 (tables of cases, one a line)

from __future__ import annotations

import json
import os
import sys
from datetime import date, datetime, time, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import made
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pyreadstat
import pytest
from formats_help import declared, texts, texts_of
from made import MADE, TABLE, TEXTS, Raw, sheet, workbook

from privsynth.errors import InputError
from privsynth.policy.model import DatasetSpec
from privsynth.table import limits
from privsynth.table.cells import MISSING, UNREADABLE
from privsynth.table.formats import apart, arrow, calendars, readstat
from privsynth.table.formats import workbook as sheets
from privsynth.table.raw import RawTable
from privsynth.table.reader import read_header, read_table
from privsynth.table.values import Form, NumberReader


def direct(path: Path, kind: str, dataset: DatasetSpec | None = None) -> RawTable:
    """In this process, which is faster."""
    read: Any = import_module(f"privsynth.table.formats.{MADE[kind][0]}").read
    return read(path, dataset or declared())  # type: ignore[no-any-return]


def expected(kind: str) -> dict[str, list[str | None]]:
    """What each format makes of the table: SAS' files have no years before 1582 and no moments here, por no umlauts."""
    found = {name: list(column) for name, column in TEXTS.items()}
    if kind == "xpt":
        del found["moment"]
    if kind == "por":
        found["word"][1] = 'Grun; "q"'
        found["part"][2] = "1000000000000"  # older writers of pyreadstat's cut larger ones
        found = {name.upper(): column for name, column in found.items()}
    if kind in ("xlsx", "ods"):
        found["moment"][2] = "1970-01-01"  # a whole day
    if kind == "xlsx":
        found["day"][1] = None  # Excel has no days before 1900
    return found


def table_for(kind: str) -> made.Columns:
    table = {name: list(column) for name, column in TABLE.items()}
    if kind == "xlsx":
        table["day"][1] = None
    if kind == "por":
        table["part"][2] = 1e12
    return table


@pytest.mark.parametrize("kind", MADE)
def test_the_same_table_in_every_format(kind: str, tmp_path: Path) -> None:
    """By its first bytes, whatever the name; the formats of C and Rust in a process of their own."""
    path = tmp_path / "table of mine.csv"
    MADE[kind][1](path, table_for(kind))
    found = texts(path)
    if kind == "ods":
        found["moment"][2] = (found["moment"][2] or "")[:10]
    assert found == expected(kind)
    assert read_header(path) == list(expected(kind)) and texts_of(direct(path, kind)).keys() == found.keys()


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("kind", MADE)
def test_a_table_without_rows_has_a_header(kind: str, tmp_path: Path) -> None:
    MADE[kind][1](tmp_path / "t", {name: [] for name in TABLE})
    assert read_header(tmp_path / "t") == list(expected(kind))
    with pytest.raises(InputError, match="has a header but no rows"):
        read_table(tmp_path / "t")


@pytest.mark.parametrize("kind", [kind for kind in MADE if kind not in ("por", "xpt")])
def test_odd_names(kind: str, tmp_path: Path) -> None:
    names = (
        ["Größe", "weight_kg"] if MADE[kind][0] == "readstat" else ["Größe [kg]", "two\nlines", "a,b;c", "1", "select"]
    )
    MADE[kind][1](tmp_path / "t", {name: [1.0, 2.0] for name in names})
    assert read_header(tmp_path / "t") == names == direct(tmp_path / "t", kind).columns


# --- workbooks ---------------------------------------------------------------------------------------------------------


def book(folder: Path, rows: list[list[Any]], **how: Any) -> Path:
    workbook(folder / "t.xlsx", {"First": sheet(rows, **how)})
    return folder / "t.xlsx"


@pytest.mark.usefixtures("in_process")
def test_old_excel(tmp_path: Path) -> None:
    (tmp_path / "t.xls").write_bytes(made.XLS)
    assert texts(tmp_path / "t.xls") == made.XLS_TEXTS and read_header(tmp_path / "t.xls") == list(made.XLS_TEXTS)


def test_every_kind_of_cell(tmp_path: Path) -> None:
    cells = {
        1: "1", 2.5: "2.5", 96.6: "96.6", 1e20: "100000000000000000000", "text": "text", "0012": "0012",
        date(2020, 2, 29): "2020-02-29", datetime(2020, 2, 29, 13, 45, 59): "2020-02-29 13:45:59", time(7, 45): "07:45:00",
        timedelta(hours=30, minutes=15): "30:15:00", Raw('<c r="PLACE"><v>96.599999999999994</v></c>'): "96.6",
        Raw('<c r="PLACE" t="e"><v>#N/A</v></c>'): None, Raw('<c r="PLACE"><f>1+1</f><v>2</v></c>'): "2",
        Raw('<c r="PLACE" t="str"><f>x</f><v>y</v></c>'): "y", Raw('<c r="PLACE" s="1"><v>2958466</v></c>'): "2958466",
        Raw('<c r="PLACE"><v>nan</v></c>'): None, "a\nb": "a\nb", " b ": "b", "": None, "\x85": None,
    }  # fmt: skip
    rows = [["id", "cell"], *([i, value] for i, value in enumerate(cells))]
    found = texts_of(sheets.read(book(tmp_path, rows), declared()))
    assert dict(zip(cells, found["cell"], strict=True)) == cells
    assert texts_of(sheets.read(book(tmp_path, [["a", "b"], [True, False]]), declared())) == {
        "a": ["True"],
        "b": ["False"],
    }


def test_numbers_are_written_as_the_policy_says(tmp_path: Path) -> None:
    """1.234 must not be a thousand where a point groups digits."""
    path = book(tmp_path, [["a", "b"], [1.234, "1,5"], [1000.0, "1.000"]])
    raw = sheets.read(path, declared(decimal=",", thousands="."))
    assert texts_of(raw) == {"a": ["1,234", "1000"], "b": ["1,5", "1.000"]} and not raw.typed


@pytest.mark.usefixtures("in_process")
def test_which_sheet(tmp_path: Path) -> None:
    pages = {"Notes": sheet([["z"], [9]]), "First": sheet([["a"], [1]]), "Größe & Gewicht"[:5]: sheet([["b"], [2]])}
    workbook(tmp_path / "t.xlsx", pages, hidden=("Notes",))
    assert texts(tmp_path / "t.xlsx") == {"a": ["1"]}, "the first that is not hidden"
    assert texts(tmp_path / "t.xlsx", declared(table="Größe")) == {"b": ["2"]}
    assert texts(tmp_path / "t.xlsx", declared(table="Notes")) == {"z": ["9"]}
    with pytest.raises(
        InputError, match=r"has no sheet 'Tabelle1'\n.*`dataset.table`; its sheets: 'Notes', 'First', 'Größe'"
    ):
        read_header(tmp_path / "t.xlsx", declared(table="Tabelle1"))


@pytest.mark.usefixtures("in_process")
def test_a_table_in_several_sheets(tmp_path: Path) -> None:
    """A sheet a year: reading the first alone would leave people out without a word."""
    pages = {"2019": sheet([["a", "b"], [1, 2]]), "2020": sheet([["a", "b"], [3, 4]]), "Notes": sheet([["a"], ["x"]])}
    workbook(tmp_path / "t.xlsx", pages)
    for read in (read_header, read_table):
        with pytest.raises(InputError, match=r"has the same header as other sheets: '2020'\n.*`dataset.table`"):
            read(tmp_path / "t.xlsx")
    assert texts(tmp_path / "t.xlsx", declared(table="2020")) == {"a": ["3"], "b": ["4"]}
    workbook(tmp_path / "t.xlsx", pages, hidden=("2020",))
    assert texts(tmp_path / "t.xlsx") == {"a": ["1"], "b": ["2"]}


def test_where_the_table_is_in_its_sheet(tmp_path: Path) -> None:
    """Behind empty rows and columns, with empty ones about and in between, below a title."""
    table = [[None, "a", "b", None], [None, 1, 2, " "], [], [None, None, 5, None], [None, " ", None]]
    for rows, skip in (
        (table, 0),
        ([[], *table], 0),
        ([["Report"], [], *table], 1),
        ([["x", "y"], ["z", "w", "v"], *table], 2),
    ):
        assert texts_of(sheets.read(book(tmp_path, rows), declared(skip_rows=skip))) == {
            "a": ["1", None],
            "b": ["2", "5"],
        }
    assert texts_of(sheets.read(book(tmp_path, table, first=7), declared())) == {"a": ["1", None], "b": ["2", "5"]}


SHEETS: dict[str, tuple[list[list[Any]], str, str]] = {
    "a title": ([["Report of 2024"], [], ["a", "b"], [1, 2]], "row 1 has a value in one cell alone, so it is a title", "skip_rows: 1"),
    "values without name": ([["a", "", "c"], [1, None, 2], [1, "CANARY", 2]], "row 3 has a value in column B, which has no name", "header"),
    "nothing": ([[]], "has no header", "skip_rows"),
    "a name twice": ([["a", "a"], [1, 2]], "column names repeat: columns 1, 2", "own name"),
    "odd name": ([["a", "b\x85c"], [1, 2]], "control character in its header", "plain"),
}  # fmt: skip


@pytest.mark.parametrize("case", SHEETS)
def test_a_sheet_that_is_no_table(case: str, tmp_path: Path) -> None:
    rows, rule, hint = SHEETS[case]
    with pytest.raises(InputError) as error:
        sheets.read(book(tmp_path, rows), declared())
    assert rule in str(error.value) and hint in str(error.value) and "CANARY" not in str(error.value)


def test_merged_cells_in_a_table_are_refused(tmp_path: Path) -> None:
    rows = [["Report"], ["a", "b"], [1, 2], [None, 3]]
    merged = '<mergeCells count="2"><mergeCell ref="A1:B1"/><mergeCell ref="A{}:A{}"/></mergeCells>'
    with pytest.raises(InputError, match=r"has merged cells in the table or its header: A3:A4\n"):
        sheets.read(book(tmp_path, rows, behind=merged.format(3, 4)), declared(skip_rows=1))
    assert len(sheets.read(book(tmp_path, rows, behind=merged.format(5, 6)), declared(skip_rows=1))) == 2, (
        "above and below"
    )


# --- SAS, Stata, SPSS ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_process")
def test_labels_and_codes_of_missing_values(tmp_path: Path) -> None:
    table = pd.DataFrame({"sex": [1.0, 2.0, -9.0], "word": ["a", "b", "z"], "part": [0.5, 1.5, 2.0]})
    labels: dict[str, dict[Any, str]] = {
        "sex": {1: "male", 2: "female", -9: "refused"},
        "word": {"a": "first"},
        "part": {0.5: "half"},
    }
    pyreadstat.write_sav(table, str(tmp_path / "t.sav"), variable_value_labels=labels, missing_ranges={"sex": [-9]})
    raw = read_table(tmp_path / "t.sav")
    assert texts_of(raw) == {"sex": ["1", "2", "-9"], "word": ["a", "b", "z"], "part": ["0.5", "1.5", "2"]}
    assert raw.labels == {
        "sex": {"1": "male", "2": "female", "-9": "refused"},
        "word": {"a": "first"},
        "part": {"0.5": "half"},
    }
    coded = pd.DataFrame({"sex": pd.Series([1, "a", 2, None], dtype=object)})
    pyreadstat.write_dta(
        coded,
        str(tmp_path / "t.dta"),
        missing_user_values={"sex": ["a"]},
        variable_value_labels={"sex": {1: "male", "a": "refused"}},
    )
    raw = read_table(tmp_path / "t.dta")
    assert texts_of(raw) == {"sex": ["1", ".a", "2", None]} and raw.labels == {"sex": {"1": "male", ".a": "refused"}}


@pytest.mark.usefixtures("in_process")
def test_short_floats_are_what_they_show(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": pd.Series([36.6, 0.1, 3.0], dtype="float32"), "n": pd.Series([1, 2, 3], dtype="int8")})
    table.to_stata(tmp_path / "t.dta", write_index=False)
    raw = read_table(tmp_path / "t.dta")
    assert texts_of(raw) == {"x": ["36.6", "0.1", "3"], "n": ["1", "2", "3"]}
    assert raw.types["x"] == pa.float32() and raw.types["n"] == pa.int8()
    assert texts_of(readstat.read(tmp_path / "t.dta", declared(decimal=",")))["x"] == ["36,6", "0,1", "3"]


@pytest.mark.parametrize(
    ("calendar", "form", "stored", "shown"),
    [
        (calendars.sas, "DATE9", 21915.0, date(2020, 1, 1)), (calendars.sas, "MONYY7.", 21946.9, date(2020, 2, 1)),
        (calendars.sas, "E8601DA10", -1.0, date(1959, 12, 31)), (calendars.sas, "YEAR4", 21915.0, date(2020, 1, 1)),
        (calendars.sas, "DTDATE9", 1893456000.0, datetime(2020, 1, 1)), (calendars.sas, "DATETIME22.3", 0.5, datetime(1960, 1, 1, 0, 0, 0, 500000)),
        (calendars.sas, "TIME8", 108900.0, "30:15:00"), (calendars.sas, "TOD8", 1893505500.0, "13:45:00"), (calendars.sas, "HHMM", 60.0, "00:01:00"),
        (calendars.sas, "BEST12", 5.0, None), (calendars.sas, "COMMA10.2", 5.0, None), (calendars.sas, "SEX", 5.0, None), (calendars.sas, "", 5.0, None),
        (calendars.spss, "ADATE10", 13797216000.0, date(2020, 1, 1)), (calendars.spss, "MOYR8", 13797216000.0, date(2020, 1, 1)),
        (calendars.spss, "DATETIME20", 13797216000.5, datetime(2020, 1, 1, 0, 0, 0, 500000)), (calendars.spss, "DTIME12.3", 108900.25, "30:15:00.250000"),
        (calendars.spss, "F8.2", 5.0, None), (calendars.spss, "WKDAY9", 5.0, None),
        (calendars.stata, "%td", 21915.0, date(2020, 1, 1)), (calendars.stata, "%tdDD/NN/CCYY", 21915.0, date(2020, 1, 1)),
        (calendars.stata, "%d", 21915.0, date(2020, 1, 1)), (calendars.stata, "%-td", 21915.0, date(2020, 1, 1)),
        (calendars.stata, "%tc", 1893505500000.0, datetime(2020, 1, 1, 13, 45)), (calendars.stata, "%tcDDmonCCYY_HH:MM", 0.0, datetime(1960, 1, 1)),
        (calendars.stata, "%tcHH:MM:SS", 49500000.0, "13:45:00"), (calendars.stata, "%tm", -1.0, date(1959, 12, 1)), (calendars.stata, "%tq", 241.0, date(2020, 4, 1)),
        (calendars.stata, "%th", 121.0, date(2020, 7, 1)), (calendars.stata, "%tw", 3121.0, date(2020, 1, 8)), (calendars.stata, "%ty", 2020.0, None),
        (calendars.stata, "%9.0g", 5.0, None), (calendars.stata, "%tbsimple", 5.0, None),
    ],
)  # fmt: skip
def test_days_moments_and_times(calendar: Any, form: str, stored: float, shown: Any) -> None:
    found = calendar(form)
    if shown is None:
        assert found is None
        return
    value = found.of(stored)
    whole = pa.int32() if found.kind == pa.date32() else pa.int64()
    read = value if isinstance(value, str) else pa.array([value], whole).cast(found.kind)[0].as_py()
    assert read == shown
    assert all(
        found.of(far) is None or isinstance(found.of(far), (int, str)) for far in (1e300, -1e300, 1e18, 1e10, -1e10)
    )


@pytest.mark.usefixtures("in_process")
def test_times_that_pass_a_day_stay_whole(tmp_path: Path) -> None:
    made.sav(
        tmp_path / "t.sav",
        {"stored_span": [108900.0, 60.0], "stored_clock": [108900.0, 49500.0], "stored_day": [1e300, 13797216000.0]},
    )
    assert texts(tmp_path / "t.sav") == {
        "stored_span": ["30:15:00", "00:01:00"], "stored_clock": ["30:15:00", "13:45:00"], "stored_day": [None, "2020-01-01"],
    }  # fmt: skip


# --- Arrow -----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("packed", ["uncompressed", "lz4", "zstd"])
def test_feather_with_every_type(packed: str, tmp_path: Path) -> None:
    table = pa.table(
        {
            "coded": pa.array(["a", "b", None]).dictionary_encode(), "truth": [True, None, False],
            "money": pa.array([1, 2, None]).cast(pa.decimal128(21, 2)), "clock": pa.array([1, 2, None], pa.time32("s")),
            "zone": pa.array([0, 1, None], pa.timestamp("s", "UTC")), "list": [[1], [], None], "__index_level_0__": [7, 8, 9],
        }
    )  # fmt: skip
    pyarrow.feather.write_feather(table, tmp_path / "t.feather", compression=packed)
    raw = read_table(tmp_path / "t.feather")
    assert raw.columns == list(table.column_names[:-1]), "without the row index of a data frame"
    assert texts_of(RawTable(raw.frame.drop_columns(["list"]))) == {
        "coded": ["a", "b", None], "truth": ["True", None, "False"], "money": ["1.00", "2.00", None],
        "clock": ["00:00:01", "00:00:02", None], "zone": ["1970-01-01 00:00:00+00:00", "1970-01-01 00:00:01+00:00", None],
    }  # fmt: skip
    with pytest.raises(InputError, match="column 'list': is of type list"):
        raw.cells("list", [])


def test_the_row_index_of_a_data_frame_is_no_column(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, 2]}, index=[5, 9]).to_parquet(tmp_path / "t.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "t.parquet").names
    assert read_header(tmp_path / "t.parquet") == ["a"] and texts(tmp_path / "t.parquet") == {"a": ["1", "2"]}


def test_an_arrow_file_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow.feather.write_feather(pa.table({"x": pa.nulls(500_000, pa.int64())}), tmp_path / "t", compression="zstd")
    monkeypatch.setattr(limits, "memory", lambda: 8_000_000)
    with pytest.raises(InputError, match="unpacks to more than fits"):
        arrow.read(tmp_path / "t", declared())


# --- a process of its own ------------------------------------------------------------------------------------------------


def test_a_small_file_that_wants_all_memory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two cells at opposite corners: the library asks for 550 GB at once, and ends its process."""
    far = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    workbook(tmp_path / "t.xlsx", {"First": sheet([["a"]]).replace("</sheetData>", far + "</sheetData>")})
    for read in (read_header, read_table):
        with pytest.raises(
            InputError, match="it is damaged, or it needs more memory than half of what this machine has"
        ):
            read(tmp_path / "t.xlsx")
    assert capfd.readouterr() == ("", "")


HOSTILE = {
    "crash": "import os\nos.abort()",
    "print": "import os\nprint('CANARY', flush=True)\nos.write(2, b'CANARY')\nraise ValueError('CANARY')",
    "panic": "class PanicException(BaseException): ...\nraise PanicException('CANARY')",
    "memory": "x = bytearray(1 << 50)",
    "half an answer": "import os\nos.write(3, b'{')\nos._exit(0)",
    "exit": "raise SystemExit(0)",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_a_library_does_stays_in_its_process(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A module that is only found by the child."""
    body = "".join(f"    {line}\n" for line in HOSTILE[case].splitlines())
    start = f"import sys, types\nm = types.ModuleType('privsynth.table.formats.evil')\ndef read(path, dataset):\n{body}\nm.read = read\n"
    start += "sys.modules[m.__name__] = m\n"
    monkeypatch.setattr(apart, "_START", "import sys; sys.path[:] = sys.argv[1:]\n" + start + apart._START)
    with pytest.raises(InputError, match="cannot be read") as error:
        apart.read("evil", tmp_path / "t", declared())
    assert "CANARY" not in str(error.value) and capfd.readouterr() == ("", "")


def test_the_child_answers_as_the_module(tmp_path: Path) -> None:
    """The same request within this process, for formats whose own module runs elsewhere."""
    import io

    made.dta(tmp_path / "t.dta", {"whole": [1, 2], "part": [0.5, None]})
    out = io.BytesIO()
    request = {"module": "readstat", "path": str(tmp_path / "t.dta"), "dataset": declared().model_dump(mode="json")}
    apart.respond({**request, "ask": "read"}, out)
    line, _, rest = out.getvalue().partition(b"\n")
    assert json.loads(line)["types"] == {
        "whole": "int8" if "int8" in line.decode() else json.loads(line)["types"]["whole"],
        "part": "double",
    }
    assert pa.ipc.open_stream(rest).read_all().to_pydict() == {"whole": ["1", "2"], "part": ["0.5", None]}
    for ask, said in (("header", "names"), ("nothing", "problems")):
        out = io.BytesIO()
        apart.respond({**request, "ask": ask}, out)
        assert said in json.loads(out.getvalue())


def test_libraries_are_imported_when_a_file_needs_them() -> None:
    import subprocess

    code = "import privsynth.table.reader, sys; print([m for m in ('python_calamine', 'pyreadstat', 'sqlalchemy') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=dict(os.environ), check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("in_process")
def test_a_formula_that_was_never_computed_cannot_be_read(tmp_path: Path) -> None:
    """Such cells, which programs write, were missing without a word. One that gave an empty text has a value."""
    forms = {
        "bare": '<c r="PLACE"><f>A2*2</f></c>', "empty": '<c r="PLACE" s="1"><f>A2*2</f><v></v></c>', "closed": '<c r="PLACE"><f t="shared" si="0"/><v/></c>',
        "named": '<x:c xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main" r="PLACE"><x:f>1</x:f></x:c>',
        "computed": '<c r="PLACE"><f>A2*2</f><v>4</v></c>', "empty text": '<c r="PLACE" t="str"><f>""</f><v></v></c>',
    }  # fmt: skip
    forms["another's cell"] = '<c r="PLACE" t="inlineStr"><is><t><![CDATA[<c r="B6"><f>1</f></c>]]></t></is></c>'
    rows = [["a", "b"], *([i, made.Raw(form)] for i, form in enumerate(forms.values()))]
    cells = read_table(book(tmp_path, rows)).cells("b", ())
    assert cells.codes[:6].tolist() == [UNREADABLE] * 4 + [0, MISSING] and cells.distinct[0] == "4", (
        "B6 is the computed one"
    )


@pytest.mark.usefixtures("in_process")
def test_days_of_a_workbook_are_read_beside_days_that_are_text(tmp_path: Path) -> None:
    """A cell with a day holds no format: that of the policy is for the others, and for what leaves."""
    raw = read_table(book(tmp_path, [["a"], [date(2020, 3, 1)], ["02.03.2020"], ["3.3.2020 or so"]]))
    found = raw.numbers("a", NumberReader(Form("date", "%d.%m.%Y")))
    assert found.values[:2].tolist() == [18322, 18323] and found.unreadable == 1


@pytest.mark.usefixtures("in_process")
def test_what_a_format_does_not_give_is_told(tmp_path: Path) -> None:
    for name, write, told in (
        ("t.por", made.por, "missing"),
        ("t.xpt", made.xpt, ".A to .Z"),
        ("t.sav", made.sav, None),
    ):
        write(tmp_path / name, {"whole": [1, 2]})
        notes = read_table(tmp_path / name).notes
        assert (notes == ()) if told is None else told in notes[0]
