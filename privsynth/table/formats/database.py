"""A table or a query of a database, by an SQLAlchemy URL. Each cell is text by itself, by the object that the driver gives.

Nothing is written: the transaction is read-only where the database knows that (PostgreSQL, MySQL, SQLite), and it is
rolled back everywhere. No message holds a password, the text of a query, or what a driver says, which may quote values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from privsynth.errors import InputError, Problem
from privsynth.policy.model import DatasetSpec
from privsynth.table.formats.texts import text_of
from privsynth.table.limits import check_names, check_size
from privsynth.table.raw import RawTable

BATCH = 10_000  # rows that are held as the driver's objects together
SHOWN = 10  # names of tables in a message
_READS = re.compile(r"\s*(?:select|with|values|table)\b|\s*\(", re.I)


def header(url: str, dataset: DatasetSpec) -> list[str]:
    """The columns of a selection without rows."""
    with _connected(url) as (connection, place):
        chosen = _chosen(connection, dataset, place)
        return _names(connection.execute(chosen.where(sql.false())), place)


def read(url: str, dataset: DatasetSpec) -> RawTable:
    with _connected(url) as (connection, place):
        chosen = _chosen(connection, dataset, place)
        streaming = connection.execution_options(stream_results=True, max_row_buffer=BATCH)
        result = streaming.execute(chosen)
        names = _names(result, place)
        schema = pa.schema([pa.field(name, pa.large_string()) for name in names])
        batches, cells, size, decimal = [], 0, 0, dataset.csv.decimal
        for rows in result.partitions(BATCH):
            columns = [[text_of(value, decimal) for value in column] for column in zip(*rows, strict=True)]
            batch = pa.record_batch([pa.array(column, pa.large_string()) for column in columns], schema=schema)
            cells, size = cells + len(rows) * len(names), size + batch.nbytes
            check_size(size, cells, Path(place))
            batches.append(batch)
        return RawTable(pa.Table.from_batches(batches, schema), typed=False)


def _names(result: sql.CursorResult[Any], place: str) -> list[str]:
    names = [str(name).strip() for name in result.keys()]  # noqa: SIM118 (without it, rows)
    return check_names(names, place)


@contextmanager
def _connected(text: str) -> Iterator[tuple[sql.Connection, str]]:
    """(a connection that cannot write, the URL as messages show it: without password and options)."""
    place = "the database"
    try:
        url = sql.make_url(text)
        place = url.set(query={}).render_as_string(hide_password=True)
        _check_file(url, place)
        engine = sql.create_engine(url, poolclass=NullPool)
        sql.event.listen(engine, "connect", _read_only)
        with _step(place, "cannot be connected to", "check the host, the name and the password"):
            connection = engine.connect()
        with (
            connection,
            _step(place, "cannot be read", "check `dataset.table` or `dataset.query` and what the user may read"),
        ):
            if url.get_backend_name() == "postgresql":
                connection.execution_options(postgresql_readonly=True)
            yield connection, place
            connection.rollback()
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        missing = f" ({error.name})" if isinstance(error, ModuleNotFoundError) else ""
        hint = "install it; for PostgreSQL `pip install 'privsynth[postgres]'` and `postgresql+psycopg://...`"
        raise InputError(Problem(place, f"needs a driver that is not installed{missing}", hint)) from None
    except (ArgumentError, ValueError):
        hint = "such as `postgresql+psycopg://user@host/database` or `sqlite:///file`"
        raise InputError(Problem(place, "is not named by a URL that SQLAlchemy understands", hint)) from None


@contextmanager
def _step(place: str, what: str, hint: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (SQLAlchemyError, Exception) as error:  # drivers raise errors of their own, too
        raise InputError(Problem(place, f"{what} ({type(error).__name__})", hint)) from None


def _check_file(url: sql.URL, place: str) -> None:
    """SQLite would make an empty file of a name that does not exist."""
    name = url.database if url.get_backend_name() == "sqlite" else None
    if name and not name.startswith(("file:", ":memory:")) and not Path(name).is_file():
        hint = "check the path: three slashes before a relative one, four before one from the root"
        raise InputError(Problem(place, "no such file", hint))


def _read_only(connection: Any, _: Any) -> None:
    """Once connected. A driver must give every cell, too: a date after the year 9999, or a text that is none, would end the
    whole read, so PostgreSQL's days and moments come as text, and what is no UTF-8 of SQLite's as bytes."""
    module = type(connection).__module__.partition(".")[0]
    if module == "sqlite3":
        connection.text_factory = _text_or_bytes
        connection.execute("PRAGMA query_only = ON")
    elif module == "psycopg":
        from psycopg.types.string import TextLoader

        for kind in ("date", "time", "timetz", "timestamp", "timestamptz", "interval"):
            connection.adapters.register_loader(kind, TextLoader)
        connection.execute("SET datestyle = 'ISO, YMD'")
        connection.execute("SET intervalstyle = 'iso_8601'")
        connection.commit()
    elif module in ("pymysql", "MySQLdb", "mysql", "mariadb"):
        cursor = connection.cursor()
        cursor.execute("SET SESSION TRANSACTION READ ONLY")
        cursor.close()


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _chosen(connection: sql.Connection, dataset: DatasetSpec, place: str) -> sql.Select[Any]:
    """All rows of the table or of the query that the policy names."""
    table, written = dataset.table, dataset.query
    if (table is None) == (written is None):
        rule = "the policy names no table of it" if table is None else "the policy names both a table and a query"
        raise InputError(Problem(place, rule, "declare `dataset: {table: NAME}` or `dataset: {query: SELECT ...}`"))
    if written is not None:
        if not _READS.match(written):
            raise InputError(Problem(place, "`dataset.query` is no SELECT", "write a query that reads"))
        plain = written.strip().rstrip(";").replace(":", "\\:")  # a colon names no parameter here
        return sql.select(sql.text("*")).select_from(sql.text(plain).columns().subquery("chosen"))
    assert table is not None
    inspector = sql.inspect(connection)
    schema, _, name = table.rpartition(".")
    if inspector.has_table(table):
        return sql.select(sql.text("*")).select_from(sql.table(table))
    if schema and inspector.has_table(name, schema=schema):
        return sql.select(sql.text("*")).select_from(sql.table(name, schema=schema))
    known = inspector.get_table_names()
    shown = ", ".join(map(repr, known[:SHOWN])) + (", ..." if len(known) > SHOWN else "")
    raise InputError(Problem(place, f"has no table {table!r}", f"correct `dataset.table`; it has {shown or 'none'}"))
