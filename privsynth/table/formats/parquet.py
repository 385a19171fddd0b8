"""Parquet files. What is small in a file stays small in memory: text stays dictionary-encoded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from privsynth.errors import InputError, Problem
from privsynth.policy.model import DatasetSpec
from privsynth.table.cells import is_text
from privsynth.table.limits import A_CELL, check_names, check_size
from privsynth.table.raw import UNREAD, RawTable

_NULLABLE = re.compile(
    r"(?:U?Int(?:8|16|32|64)|Float(?:32|64)|boolean|string(?:\[(?:python|pyarrow)\])?|"
    r"(?:u?int(?:8|16|32|64)|float|double|bool|date32\[day\])\[pyarrow\])\Z"
)
_INDEX = re.compile(r"__index_level_\d+__\Z")  # a row index without a name, which pandas wrote as a column


def header(path: Path, dataset: DatasetSpec) -> list[str]:
    with _errors(path):
        return list(columns_of(pyarrow.parquet.read_schema(path)).names)


def types(path: Path, dataset: DatasetSpec) -> dict[str, pa.DataType]:
    """The declared type of each column; no row is read."""
    with _errors(path):
        return {field.name: field.type for field in columns_of(pyarrow.parquet.read_schema(path))}


def read(path: Path, dataset: DatasetSpec) -> RawTable:
    """Text stays dictionary-encoded, as in most files: what is small in a file is then small in memory, too."""
    with _errors(path):
        declared = pyarrow.parquet.read_schema(path)
    types = {field.name: field.type for field in columns_of(declared) if is_flat(field)}
    return RawTable(read_file(path), types=types, dtypes=_pandas_dtypes(declared))


def _pandas_dtypes(schema: pa.Schema) -> dict[str, str]:
    """The nullable dtypes that pandas noted in a schema; other columns have the dtype of their type."""
    try:
        noted = (schema.pandas_metadata or {}).get("columns", [])
        return {str(c["field_name"]): c["numpy_type"] for c in noted if _NULLABLE.match(str(c["numpy_type"]))}
    except (ValueError, TypeError, KeyError, AttributeError):  # a note that pandas did not write
        return {}


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        rule = f"is not a readable Parquet file ({type(error).__name__})"
        raise InputError(Problem(str(path), rule, "check the file")) from None


def columns_of(schema: pa.Schema) -> pa.Schema:
    """The schema without the row index of a data frame, which is no column of the table."""
    return pa.schema([field for field in schema if not _INDEX.match(field.name)])


def is_flat(field: pa.Field) -> bool:
    """False for lists, structures and extension types, which no run can use: they may hold any number of values."""
    return not (pa.types.is_nested(field.type) or isinstance(field.type, pa.BaseExtensionType))


def with_unread(read: pa.Table, schema: pa.Schema, rows: int) -> pa.Table:
    """The flat columns that were read, at their places between the others, of which only names and types are kept."""
    fields = [f if is_flat(f) else pa.field(f.name, pa.null(), metadata={UNREAD: str(f.type)}) for f in schema]
    columns = [read.column(f.name) if is_flat(f) else pa.nulls(rows) for f in schema]
    return pa.table(columns, pa.schema([f.with_type(c.type) for f, c in zip(fields, columns, strict=True)]))


def read_file(path: Path, before: int = 0) -> pa.Table:
    """before: bytes of the parts of this table that were already read."""
    with _errors(path), pyarrow.parquet.ParquetFile(path) as file:
        schema, metadata = columns_of(file.schema_arrow), file.metadata
        check_names(schema.names, str(path))
        flat = [field for field in schema if is_flat(field)]
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        width = sum(A_CELL + _width(field.type) for field in flat)
        check_size(before + sum(max(group.total_byte_size, 0) for group in groups), 0, path)
        check_size(before, metadata.num_rows * width // A_CELL, path)
        return with_unread(_flat_columns(path, flat), schema, metadata.num_rows)


def _width(kind: pa.DataType) -> int:
    """Bytes of a value; 0 for text, whose size the pages state."""
    try:
        return int(kind.byte_width)
    except ValueError:
        return 0


def _flat_columns(path: Path, fields: list[pa.Field]) -> pa.Table:
    names = [field.name for field in fields]
    texts = [field.name for field in fields if is_text(field.type) and not pa.types.is_fixed_size_binary(field.type)]
    try:
        with pyarrow.parquet.ParquetFile(path, read_dictionary=texts) as file:
            return file.read(names)
    except (
        OSError,
        pa.ArrowException,
    ):  # delta-encoded text, or more texts than the type of their index can number
        with pyarrow.parquet.ParquetFile(path) as file:
            batches, size = [], 0
            for batch in file.iter_batches(1024, columns=names):
                size += batch.nbytes
                check_size(size, 0, path)
                batches.append(batch)
            return pa.Table.from_batches(batches, file.schema_arrow if not batches else None).select(names)
