"""Feather and other files of Arrow's, whose buffers are in the file as they are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.feather

from privsynth.errors import InputError, Problem
from privsynth.policy.model import DatasetSpec
from privsynth.table.formats.parquet import columns_of, is_flat, with_unread
from privsynth.table.limits import check_names, check_size
from privsynth.table.raw import RawTable


def header(path: Path, dataset: DatasetSpec) -> list[str]:
    with _opened(path) as (schema, _):
        return list(schema.names)


def read(path: Path, dataset: DatasetSpec) -> RawTable:
    with _opened(path) as (schema, batches):
        check_names(schema.names, str(path))
        flat = [field.name for field in schema if is_flat(field)]
        read, rows, size = [], 0, 0
        for batch in batches:
            batch.validate(full=True)  # offsets, codes and text of a damaged file may point anywhere
            kept = batch.select(flat)
            rows, size = rows + len(batch), size + kept.nbytes
            check_size(size, rows * len(flat), path)
            read.append(kept)
        table = pa.Table.from_batches(read, pa.schema([field for field in schema if is_flat(field)]))
        return RawTable(with_unread(table, schema, rows))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """(schema, its batches), of a file, of a stream that was saved, or of the first version of Feather."""
    try:
        with pa.OSFile(str(path)) as file:
            start = file.read(8)
            file.seek(0)
            if start[:4] == b"FEA1":
                table = pyarrow.feather.read_table(file)
                yield columns_of(table.schema), iter(table.to_batches())
            elif start[:6] == b"ARROW1":
                reader = pa.ipc.open_file(file)
                batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
                yield columns_of(reader.schema), batches
            else:
                stream = pa.ipc.open_stream(file)
                yield columns_of(stream.schema), iter(stream)
    except (pa.ArrowException, UnicodeDecodeError, EOFError) as error:
        rule = f"is not a readable Feather or Arrow file ({type(error).__name__})"
        raise InputError(Problem(str(path), rule, "check the file")) from None
