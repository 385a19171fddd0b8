"""What a file is by its first bytes, where it is none of the tables that can be read: named, never opened.

Nothing here is unpickled or executed; a message says what was seen and what to do instead.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

_EXPORT = "export the table as CSV or Parquet"
_UNPACK = "unpack it and name the table inside"
_EXCEL = "open it in a spreadsheet and save it as .xlsx"

# (where in the file, the bytes there, what it is, what to do)
_MARKS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PARE", "a Parquet file that is encrypted", "decrypt it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\xfd7zXZ\0", "packed by xz", _UNPACK),
    (0, b"BZh", "packed by bzip2", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "packed by zstd", _UNPACK),
    (0, b"\x04\x22\x4d\x18", "packed by LZ4", _UNPACK),
    (0, b"%PDF", "a PDF document", _EXPORT),
    (0, b"{\\rtf", "an RTF document", _EXPORT),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture", "name a table"),
    (0, b"\xff\xd8\xff", "a JPEG picture", "name a table"),
    (0, b"GIF8", "a GIF picture", "name a table"),
    (0, b"II*\0", "a TIFF picture", "name a table"),
    (0, b"MM\0*", "a TIFF picture", "name a table"),
    (128, b"DICM", "a DICOM image", "name a table"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (also MATLAB 7.3 and netCDF-4)", _EXPORT),
    (0, b"CDF\x01", "a netCDF file", _EXPORT),
    (0, b"CDF\x02", "a netCDF file", _EXPORT),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file", _EXPORT),
    (0, b"RDX2\n", "an R workspace (.RData)", "in R, write the table by `arrow::write_parquet` or `write.csv`"),
    (0, b"RDX3\n", "an R workspace (.RData)", "in R, write the table by `arrow::write_parquet` or `write.csv`"),
    (0, b"X\n\0\0\0", "an R object (.rds)", "in R, write the table by `arrow::write_parquet` or `write.csv`"),
    (0, b"\x93NUMPY", "a NumPy array", _EXPORT),
    (0, b"ORC", "an ORC file", "write the table as Parquet"),
    (0, b"Obj\x01", "an Avro file", "write the table as Parquet"),
    (0, b"SQLite format 3\0", "an SQLite database", "name it as `sqlite:///path`, with `dataset.table`"),
    (4, b"Standard Jet DB", "a Microsoft Access database", _EXPORT),
    (4, b"Standard ACE DB", "a Microsoft Access database", _EXPORT),
    (8, b"DUCK", "a DuckDB database", _EXPORT),
    (0, b"**COMPRESSED** ", "a SAS file of PROC CPORT", "write a SAS7BDAT or an XPORT file instead"),
    (0, b"\x7fELF", "a program", "name a table"),
    (0, b"MIME-Version:", "a web page (some systems call these .xls)", _EXCEL),
)
_TEXTS: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"\s*(?:\[\s*[\[{\"]|\[\s*\]|\{\s*[\"}])"), "JSON", "write the table as CSV or Parquet"),
    (re.compile(rb"\s*<\?xml"), "XML (some systems call these .xls)", _EXCEL),
    (re.compile(rb"\s*<(?:!doctype\s+)?(?:html|table|head|body|meta|style)\b", re.I),
     "a web page (some systems call these .xls)", _EXCEL),
)  # fmt: skip
_PICKLE = re.compile(rb"\x80[\x02-\x05](?:[\x95c\x8c}\](X])", re.S)
_OLD_EXCEL = re.compile(rb"\x09[\x00\x02\x04\x08][\x04\x06\x08\x10]\x00", re.S)
_OFFICE = {"word/": "a Word document", "ppt/": "a PowerPoint presentation", "visio/": "a Visio drawing"}
SEEN = 512  # bytes that are looked at


def what_is(start: bytes, path: Path | None = None) -> tuple[str, str] | None:
    """(what the file is, what to do) for a file that holds no table that can be read; None for all others.

    start: its first `SEEN` bytes. path: of the file, unless it is packed; only the names in a zip archive are looked at.
    """
    for place, mark, name, hint in _MARKS:
        if start[place : place + len(mark)] == mark:
            return name, hint
    if _PICKLE.match(start):
        return "a pickle of Python's, which could run any program if it were opened", _EXPORT
    if _OLD_EXCEL.match(start):
        return "a workbook of Excel 4 or older", _EXCEL
    for pattern, name, hint in _TEXTS:
        if pattern.match(start.removeprefix(b"\xef\xbb\xbf")):
            return name, hint
    return _archive(path) if start[:4] in (b"PK\x03\x04", b"PK\x05\x06") else None


def _archive(path: Path | None) -> tuple[str, str]:
    for name in () if path is None else names_in_zip(path):
        for folder, office in _OFFICE.items():
            if name.startswith(folder):
                return office, _EXPORT
    return "a zip archive", _UNPACK


def names_in_zip(path: Path) -> list[str]:
    """The names of the files in a zip archive; none if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # of a damaged archive, of many kinds
        return []
