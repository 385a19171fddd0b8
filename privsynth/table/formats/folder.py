"""A folder of Parquet files that together are one table, as Spark, Dask and pandas write it.

The files are read one by one, in the order of their places. A folder named `key=value` adds a column `key` of text to all
rows below it. All files must have the same columns of the same types, by name: which columns a table has, and of what
type, must not depend on who is in one of its files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa

from privsynth.errors import InputError, Problem
from privsynth.policy.model import DatasetSpec
from privsynth.table.formats import parquet
from privsynth.table.formats.registry import start_of
from privsynth.table.limits import check_names
from privsynth.table.raw import RawTable

MAX_FILES = 100_000
_NULL = "__HIVE_DEFAULT_PARTITION__"  # the value in the name of a folder of rows that have none


class _Part(NamedTuple):
    path: Path
    keys: dict[str, str | None]


def header(path: Path, dataset: DatasetSpec) -> list[str]:
    first = _parts(path)[0]
    return check_names([*parquet.header(first.path, dataset), *first.keys], str(path))


def types(path: Path, dataset: DatasetSpec) -> dict[str, pa.DataType]:
    """The declared types, in which all files must agree; of a column that some files give no type, that of the others."""
    found: dict[str, pa.DataType] = {}
    for part in _parts(path):
        for name, kind in parquet.types(part.path, dataset).items():
            if found.get(name, pa.null()) == pa.null():
                found[name] = kind
    return found


def read(path: Path, dataset: DatasetSpec) -> RawTable:
    tables: list[pa.Table] = []
    size = 0
    for part in _parts(path):
        table = _with_keys(parquet.read_file(part.path, size), part, path)
        tables.append(_like(tables[0], table, part.path) if tables else table)
        size += table.nbytes
    names = tables[0].column_names
    columns = [_joined(name, [table.column(name) for table in tables]) for name in names]
    fields = [f.with_type(c.type) for f, c in zip(tables[0].schema, columns, strict=True)]
    return RawTable(pa.table(columns, pa.schema(fields)), types=types(path, dataset))


def _parts(path: Path) -> list[_Part]:
    """All Parquet files below a folder, with the keys that their folders state."""
    parts = [_Part(found, _keys(found.relative_to(path))) for found in sorted(_files(path))]
    if not parts:
        raise InputError(
            Problem(str(path), "is a folder without Parquet files", "name one table, or a folder of Parquet")
        )
    for part in parts:
        if list(part.keys) != list(parts[0].keys):
            rule = "its files lie in folders of different keys"
            raise InputError(
                Problem(str(path), rule, "one table has the same `key=value` folders above all of its files")
            )
    return parts


def _files(path: Path) -> Iterator[Path]:
    """Not those whose names begin with a dot or an underscore: marks of Spark's, checksums. Links to folders are not followed."""
    count = 0
    for folder, below, names in os.walk(path):
        below[:] = [name for name in below if name[0] not in "._"]
        for name in names:
            if name[0] in "._":
                continue
            found, count = Path(folder) / name, count + 1
            if count > MAX_FILES:
                raise InputError(Problem(str(path), f"has more than {MAX_FILES:,} files", "write it in fewer"))
            if not found.is_file() or start_of(found)[:4] != b"PAR1":
                rule = f"is a folder with a file that is no Parquet file: {found.relative_to(path)}"
                raise InputError(Problem(str(path), rule, "name one table, or a folder of Parquet files alone"))
            yield found


def _keys(place: Path) -> dict[str, str | None]:
    """As Hive writes them: key=value, with %XX for other characters."""
    keys: dict[str, str | None] = {}
    for folder in place.parts[:-1]:
        key, equals, value = folder.partition("=")
        if equals:
            keys[unquote(key)] = None if value == _NULL else unquote(value)
    return keys


def _with_keys(table: pa.Table, part: _Part, path: Path) -> pa.Table:
    for key, value in part.keys.items():
        if key in table.column_names:
            rule = "is both a column of the files and a key of their folders"
            raise InputError(Problem(f"{path}: column {key!r}", rule, "leave it out of the files"))
        texts = pa.array([value or ""], pa.string())
        places = pa.array([0 if value is not None else None], pa.int32())
        one = pa.DictionaryArray.from_arrays(places, texts)
        table = table.append_column(key, one.take(pa.array([0], pa.int32()).take(pa.repeat(0, len(table)))))
    return table


def _like(first: pa.Table, table: pa.Table, path: Path) -> pa.Table:
    """The columns in the order of the first file. Raises InputError if they are others."""
    if set(table.column_names) != set(first.column_names):
        odd = sorted(set(table.column_names) ^ set(first.column_names))[:5]
        rule = f"has other columns than the first file of its folder: {', '.join(map(repr, odd))}"
        raise InputError(Problem(str(path), rule, "write all files with the same columns"))
    return table.select(first.column_names)


def _joined(name: str, parts: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    """One column of all files. Raises InputError unless they agree on its type: but one without any value, which some
    writers give no type, takes that of the others, and whether text is a dictionary makes no difference."""
    kinds = {_plain(part.type) for part in parts} - {pa.null()}
    if len(kinds) > 1:
        shown = ", ".join(sorted(map(str, kinds)))
        rule = f"its type differs between the files of the folder: {shown}"
        raise InputError(Problem(f"column {name!r}", rule, "write all files with one schema"))
    kind = next(iter(kinds), pa.null())
    if any(pa.types.is_dictionary(part.type) for part in parts):
        kind = pa.dictionary(pa.int32(), kind)
    return pa.chunked_array([chunk for part in parts for chunk in _as(part, kind).chunks], kind)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _as(part: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if _plain(part.type) == pa.null() != kind:
        return pa.chunked_array([pa.nulls(len(part), kind)])
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(part.type):
        return part.dictionary_encode()
    return part if part.type == kind else part.cast(kind)
