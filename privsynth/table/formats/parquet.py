"""Parquet files. What is small in a file stays small in memory: text stays dictionary-encoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from privsynth.errors import InputError, Problem
from privsynth.table.cells import is_text
from privsynth.table.limits import A_CELL, check_names, check_size
from privsynth.table.raw import UNREAD, RawTable


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        rule = f"is not a readable Parquet file ({type(error).__name__})"
        raise InputError(Problem(str(path), rule, "check the file")) from None


def read_parquet(path: Path) -> RawTable:
    """Text stays dictionary-encoded, as in most files: what is small in a file is then small in memory, too. Columns of
    lists, structures and extension types, which no run can use, are not read: they may hold any number of values."""
    with parquet_errors(path), pyarrow.parquet.ParquetFile(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
        check_names(schema.names, str(path))
        flat = [f for f in schema if not (pa.types.is_nested(f.type) or isinstance(f.type, pa.BaseExtensionType))]
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        width = sum(A_CELL + _width(field.type) for field in flat)
        check_size(sum(max(group.total_byte_size, 0) for group in groups), 0, path)
        check_size(0, metadata.num_rows * width // A_CELL, path)
        read = _flat_columns(path, flat)
        nothing = pa.nulls(metadata.num_rows)
        fields = [f if f in flat else pa.field(f.name, pa.null(), metadata={UNREAD: str(f.type)}) for f in schema]
        columns = [read.column(f.name) if f in flat else nothing for f in schema]
        return RawTable(
            pa.table(columns, pa.schema([f.with_type(c.type) for f, c in zip(fields, columns, strict=True)]))
        )


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
