"""Files of each format, as small as they can be; workbooks by hand, since nothing here writes them."""

# ruff: noqa: E501 (tables of cases, one a line)

from __future__ import annotations

import base64
import sqlite3
import zipfile
import zlib
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pyreadstat

Columns = dict[str, list[Any]]

TABLE: Columns = {
    "whole": [1, 2, None, 40, 5],
    "part": [0.1, 36.6, 1e20, None, -2.5],
    "word": ["a", "Grün; \"q\"", "0012", "x y", None],
    "day": [date(2020, 2, 29), date(1850, 1, 1), None, date(1999, 12, 31), date(2020, 1, 1)],
    "moment": [datetime(2020, 1, 1, 13, 45, 59), None, datetime(1970, 1, 1), datetime(1999, 12, 31, 23, 59, 59), datetime(1900, 3, 1, 6)],
}  # fmt: skip
TEXTS = {
    "whole": ["1", "2", None, "40", "5"],
    "part": ["0.1", "36.6", "100000000000000000000", None, "-2.5"],
    "word": ["a", 'Grün; "q"', "0012", "x y", None],
    "day": ["2020-02-29", "1850-01-01", None, "1999-12-31", "2020-01-01"],
    "moment": ["2020-01-01 13:45:59", None, "1970-01-01 00:00:00", "1999-12-31 23:59:59", "1900-03-01 06:00:00"],
}
ARROW = {"whole": pa.int64(), "part": pa.float64(), "word": pa.string(), "day": pa.date32(), "moment": pa.timestamp("us"),
         "clock": pa.time64("us")}  # fmt: skip


def rows_of(columns: Columns) -> list[list[Any]]:
    return [list(columns), *map(list, zip(*columns.values(), strict=True))]


def arrow(columns: Columns) -> pa.Table:
    return pa.table({name: pa.array(column, ARROW.get(name)) for name, column in columns.items()})


def parquet(path: Path, columns: Columns) -> None:
    pyarrow.parquet.write_table(arrow(columns), path, row_group_size=2)


def feather(path: Path, columns: Columns) -> None:
    pyarrow.feather.write_feather(arrow(columns), path, chunksize=2)


def stream(path: Path, columns: Columns) -> None:
    table = arrow(columns)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as sink:
        sink.write_table(table)


# --- workbooks ---------------------------------------------------------------------------------------------------------

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_DAY_ZERO = datetime(1899, 12, 30)
_FORMATS = {"day": 1, "moment": 2, "clock": 3, "span": 4}  # places of styles below
_STYLES = (
    f'<styleSheet xmlns="{_MAIN}"><numFmts count="4"><numFmt numFmtId="164" formatCode="yyyy-mm-dd"/>'
    '<numFmt numFmtId="165" formatCode="yyyy-mm-dd hh:mm:ss"/><numFmt numFmtId="166" formatCode="hh:mm:ss"/>'
    '<numFmt numFmtId="167" formatCode="[h]:mm:ss"/></numFmts><cellXfs count="5"><xf numFmtId="0"/>'
    '<xf numFmtId="164" applyNumberFormat="1"/><xf numFmtId="165" applyNumberFormat="1"/>'
    '<xf numFmtId="166" applyNumberFormat="1"/><xf numFmtId="167" applyNumberFormat="1"/></cellXfs></styleSheet>'
)


class Raw(str):
    """A cell of a sheet as it is written in its XML."""


def letters(column: int) -> str:
    return (letters(column // 26 - 1) if column > 25 else "") + chr(65 + column % 26)


def cell(value: Any, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, Raw):
        return value.replace("PLACE", place)
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, (int, float)):
        return f'<c r="{place}"><v>{value!r}</v></c>'
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    style = _FORMATS["moment" if isinstance(value, datetime) else "day"]
    if isinstance(value, (time, timedelta)):
        style = _FORMATS["clock" if isinstance(value, time) else "span"]
        span = value if isinstance(value, timedelta) else datetime.combine(date.min, value) - datetime.min
        return f'<c r="{place}" s="{style}"><v>{span / timedelta(days=1)!r}</v></c>'
    moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    return f'<c r="{place}" s="{style}"><v>{(moment - _DAY_ZERO) / timedelta(days=1)!r}</v></c>'


def sheet(rows: list[list[Any]], behind: str = "", first: int = 1) -> str:
    written = (
        f'<row r="{i}">{"".join(cell(v, f"{letters(j)}{i}") for j, v in enumerate(row))}</row>'
        for i, row in enumerate(rows, first)
    )
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(written)}</sheetData>{behind}</worksheet>'


def workbook(path: Path, sheets: dict[str, str], hidden: tuple[str, ...] = ()) -> None:
    """sheets: name -> XML, as `sheet` writes it."""
    listed = "".join(
        f'<sheet name="{name}" sheetId="{i}" r:id="rId{i}"{" state=" + chr(34) + "hidden" + chr(34) if name in hidden else ""}/>'
        for i, name in enumerate(sheets, 1)
    )
    links = "".join(
        f'<Relationship Id="rId{i}" Type="{_LINKS}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in range(1, len(sheets) + 1)
    )
    links += f'<Relationship Id="rIdS" Type="{_LINKS}/styles" Target="styles.xml"/>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" '
            'ContentType="application/xml"/></Types>',
        )
        main = f'<Relationship Id="r1" Type="{_LINKS}/officeDocument" Target="xl/workbook.xml"/>'
        archive.writestr("_rels/.rels", f'<Relationships xmlns="{_PACKAGE}">{main}</Relationships>')
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{_MAIN}" xmlns:r="{_LINKS}"><sheets>{listed}</sheets></workbook>'
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{_PACKAGE}">{links}</Relationships>')
        archive.writestr("xl/styles.xml", _STYLES)
        for i, text in enumerate(sheets.values(), 1):
            archive.writestr(f"xl/worksheets/sheet{i}.xml", text)


def xlsx(path: Path, columns: Columns) -> None:
    workbook(path, {"First": sheet(rows_of(columns))})


_SPACES = " ".join(f'xmlns:{n}="urn:oasis:names:tc:opendocument:xmlns:{n}:1.0"' for n in ("office", "table", "text"))


def ods(path: Path, columns: Columns) -> None:
    def one(value: Any) -> str:
        if value is None:
            return "<table:table-cell/>"
        if isinstance(value, str):
            return f'<table:table-cell office:value-type="string"><text:p>{escape(value)}</text:p></table:table-cell>'
        if isinstance(value, (int, float)):
            return f'<table:table-cell office:value-type="float" office:value="{value!r}"><text:p>?</text:p></table:table-cell>'
        return f'<table:table-cell office:value-type="date" office:date-value="{value.isoformat()}"/>'

    rows = "".join(f"<table:table-row>{''.join(map(one, row))}</table:table-row>" for row in rows_of(columns))
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr(
            "META-INF/manifest.xml",
            '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><manifest:file-entry '
            f'manifest:full-path="/" manifest:media-type="{kind}"/></manifest:manifest>',
        )
        archive.writestr(
            "content.xml",
            f'<office:document-content {_SPACES}><office:body><office:spreadsheet><table:table table:name="First">{rows}'
            "</table:table></office:spreadsheet></office:body></office:document-content>",
        )


XLS_TEXTS = {  # of the file below, which Excel 97 to 2003 could have written
    "id": ["1", "2.5"], "day": ["2020-01-01", "1999-12-31"], "moment": ["2020-01-01 13:45:59", None], "word": ["Pädiatrie", "True"],
}  # fmt: skip
XLS = zlib.decompress(
    base64.b85decode(
        "c-rk)O=uHA6#iy+lP010v#Hn$Ar!1yTSUA_p-"
        "q+A_L36qK`nx&ZiHBy$QqD(v08H!L{EyBLKOt5dhrJp^yWdR=s_qbsXwRUK~eC~c75}*(KJ?QK#P|BmU;8$y_q*}=jYArKA#Nc$8Oh8qYUj(F>"
        "kuzERhLH?qVST(wnAai@A%EY2&|w+eH)Ubl`#aS(ThaIp5Pza7%ka6nIN%KaQa{lTJpK5j)t2gpfY85f!*X5+CZ=t5r-"
        "7F|A>GlWRU?+QE`@Oxvh#Ui4!!+S|0vTE%;n2G;o??cU`!Q!LqnT0E7j_|$n(sO!LXBb7M1QWRmW8sngu?oOtYhAjJW6&_$8p(Pe;>Ff+^YjBN"
        "5wL}!@>1mC{TKoF)2+;}|$5%4~d?|*4#}Qk;ymA4Oe_JT8`i<O06TFz*O|x7szo=-y2+V`L<8tsq*QCaQu9R^+JB!W4f)j0*l&%7LVwhsaP-ZB"
        "Z&QjeI8AGQtBK}@aC9*~;>5*p!$C$u^7~|!=S4~uhpZOr~zySF>d;Qak*g!mbfF&b*t`tt6b<#hWI4xUHV;^f&rc%?yEjBSd!&cWaU(Yl|j#J("
        "kueF%2QLb~AwT;xzR>sTd`VxKv@wu5@_rke%(T&7UbWfiQO}vVZp@GIwr}pw0MYCuYmoG`&j}~)bMXJ|K>wbw^E+t_3ZdymIA9Hd$5`s(%B{@3"
        "cM@g~9s!&p?q*}H_nXO0EzhGNVj+$?7$oExg+yq&u!G$9q`#&H4&><}ewxn5>ltnBlY-vW7mhQAlOAf_FQkA`HS4b+WQ2hM~4{X@5VZ(+E8#Zk"
        "GOAv*tJl`NS>uN9WidEKsojFSL_HU9Ei`~f3lcn##ok&w|V7Q|7vl<Rjv?Z3<rue^5Vh{ChU=RcB$6&?lm%d6w>H93XVc^egp-"
        "TIouf)&4-2ZniOYSH"
    )
)


# --- statistical files ---------------------------------------------------------------------------------------------------


def frame(columns: Columns) -> pd.DataFrame:
    typed = {n: pd.Series(c, dtype=None if n in ("whole", "part") else object) for n, c in columns.items()}
    return pd.DataFrame(typed)


def sav(path: Path, columns: Columns) -> None:
    pyreadstat.write_sav(frame(columns), str(path), variable_format={n: _SPSS[n] for n in columns if n in _SPSS})


def zsav(path: Path, columns: Columns) -> None:
    pyreadstat.write_sav(frame(columns), str(path), compress=True)


_SPSS = {"stored_day": "DATE11", "stored_moment": "DATETIME20", "stored_clock": "TIME8", "stored_span": "DTIME12"}


def por(path: Path, columns: Columns) -> None:
    plain = {n: [v.replace("ü", "u") if isinstance(v, str) else v for v in c] for n, c in columns.items()}
    pyreadstat.write_por(frame(plain).rename(columns=str.upper), str(path))


def dta(path: Path, columns: Columns) -> None:
    formats = {"stored_day": "%tdDD/NN/CCYY", "stored_moment": "%tc", "stored_clock": "%tcHH:MM"}
    marked = {n: sorted({v for v in c if isinstance(v, str)}) for n, c in columns.items() if n == "marked"}
    pyreadstat.write_dta(
        frame(columns), str(path), variable_format={n: f for n, f in formats.items() if n in columns},
        missing_user_values=marked or None,
    )  # fmt: skip


def xpt(path: Path, columns: Columns) -> None:
    table = frame({name: column for name, column in columns.items() if name != "moment"})
    formats = {"stored_day": "MMDDYY10.", "stored_moment": "DATETIME20.", "stored_clock": "TIME8."}
    pyreadstat.write_xport(
        table, str(path), file_format_version=8, variable_format={n: f for n, f in formats.items() if n in columns}
    )


def sqlite(path: Path, columns: Columns) -> None:
    """A table `t` in a database; SQLite has no days, so they are text."""
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"CREATE TABLE t ({', '.join(chr(34) + name + chr(34) for name in columns)})")
        rows = [[str(v) if isinstance(v, date) else v for v in row] for row in rows_of(columns)[1:]]
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(columns))})", rows)
    connection.close()


Make = Callable[[Path, Columns], None]
# name -> (the module that reads it, what writes it)
MADE: dict[str, tuple[str, Make]] = {
    "parquet": ("parquet", parquet), "feather": ("arrow", feather), "stream": ("arrow", stream), "xlsx": ("workbook", xlsx),
    "ods": ("workbook", ods), "sav": ("readstat", sav), "zsav": ("readstat", zsav), "por": ("readstat", por),
    "dta": ("readstat", dta), "xpt": ("readstat", xpt),
}  # fmt: skip
