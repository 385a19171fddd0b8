"""Tables and queries of databases: SQLite, and a PostgreSQL of the tests' own."""

# ruff: noqa: E501 (tables of cases, one a line)

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import made
import pytest
import sqlalchemy
from formats_help import declared, texts

from privsynth.errors import InputError
from privsynth.table import limits
from privsynth.table.reader import read_header, read_table

sys.path.insert(0, str(Path(__file__).parents[1] / "privacy"))
from postgres import fresh_database


@pytest.fixture
def file(tmp_path: Path) -> str:
    made.sqlite(tmp_path / "t.db", made.TABLE)
    return f"sqlite:///{tmp_path / 't.db'}"


def test_a_table_and_a_query(file: str) -> None:
    expected = {**made.TEXTS, "part": [*made.TEXTS["part"]]}
    assert texts(file, declared(table="t")) == expected and read_header(file, declared(table="t")) == list(made.TABLE)
    query = "SELECT whole, word AS 'a:b' FROM t WHERE word LIKE '%:%' OR whole > 39;"
    assert texts(file, declared(query=query)) == {"whole": ["40"], "a:b": ["x y"]}
    assert read_header(file, declared(query=query)) == ["whole", "a:b"]
    assert texts(file, declared(table="t", decimal=","))["part"] == [
        "0,1",
        "36,6",
        "100000000000000000000",
        None,
        "-2,5",
    ]
    assert not read_table(file, declared(table="t")).typed


def test_a_view_and_names_that_need_quotes(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "t.db") as connection:
        connection.executescript(
            'CREATE TABLE "Größe; x" ("select" INT); INSERT INTO "Größe; x" VALUES (1); CREATE VIEW v AS SELECT 2 AS b;'
        )
    connection.close()
    url = f"sqlite:///{tmp_path / 't.db'}"
    assert texts(url, declared(table="Größe; x")) == {"select": ["1"]} and texts(url, declared(table="v")) == {
        "b": ["2"]
    }
    assert texts(url, declared(table="main.v")) == {"b": ["2"]}


REFUSED = [
    ({}, "the policy names no table of it", "dataset: {table: NAME}"),
    ({"table": "t", "query": "SELECT 1"}, "the policy names both a table and a query", "dataset"),
    ({"table": "nowhere"}, "has no table 'nowhere'", "correct `dataset.table`; it has 't'"),
    ({"query": "DELETE FROM t"}, "`dataset.query` is no SELECT", "a query that reads"),
    ({"query": "DROP TABLE t"}, "`dataset.query` is no SELECT", "a query that reads"),
    ({"query": "SELECT CANARY FROM t"}, "cannot be read (OperationalError)", "dataset.query"),
    ({"query": "SELECT * FROM t WHERE 0"}, "has a header but no rows", "rows"),
    ({"query": "WITH x AS (SELECT 1) DELETE FROM t"}, "cannot be read", "dataset.query"),
]


@pytest.mark.parametrize(("how", "rule", "hint"), REFUSED)
def test_what_cannot_be_read(how: dict[str, str], rule: str, hint: str, file: str) -> None:
    with pytest.raises(InputError) as error:
        read_table(file, declared(**how))
    (problem,) = error.value.problems
    assert rule in problem.rule and hint in problem.hint and "CANARY" not in str(error.value)
    assert len(read_table(file, declared(table="t"))) == 5, "nothing was changed"


URLS = [
    (
        "postgresql+psycopg://user:SECRET@127.0.0.1:1/base?sslpassword=SECRET",
        "user:***@127.0.0.1:1/base: cannot be connected to",
    ),
    ("postgresql+nothing://user:SECRET@host/base", "needs a driver that is not installed"),
    ("oracle+oracledb://user:SECRET@host/base", "needs a driver that is not installed (oracledb)"),
    ("postgresql+psycopg://user:SECRET@[/base", "cannot be connected to|is not named by a URL"),
    ("nosuch://user:SECRET@host/base", "needs a driver that is not installed"),
    ("sqlite:///nowhere/SECRET.db?x=1", "no such file"),
]


@pytest.mark.parametrize(("url", "said"), URLS)
def test_no_message_holds_a_password(url: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    for read in (read_header, read_table):
        with pytest.raises(InputError) as error:
            read(url, declared(table="t"))
        text = str(error.value)
        assert any(one in text for one in said.split("|")), text
        assert "sqlite" in url or "SECRET" not in text
        assert error.value.__suppress_context__ or error.value.__context__ is None
    assert capfd.readouterr() == ("", "")


def test_no_file_is_made_and_none_is_changed(file: str, tmp_path: Path) -> None:
    before = (tmp_path / "t.db").read_bytes()
    texts(file, declared(table="t"))
    with pytest.raises(InputError):
        read_table(f"sqlite:///{tmp_path / 'none.db'}", declared(table="t"))
    assert (tmp_path / "t.db").read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["t.db"]
    (tmp_path / "text.db").write_text("CANARY")
    with pytest.raises(InputError, match=r"cannot be read \(DatabaseError\)"):
        read_table(f"sqlite:///{tmp_path / 'text.db'}", declared(table="t"))


def test_a_table_larger_than_memory_is_refused_on_the_way(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "memory", lambda: 8_000_000)
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT i, i AS j FROM n"
    with pytest.raises(InputError, match="unpacks to more than fits"):
        read_table(file, declared(query=many))


# --- PostgreSQL ----------------------------------------------------------------------------------------------------------

TYPES = {
    "whole": ("int", "1", "1"), "big": ("bigint", "9007199254740993", "9007199254740993"), "money": ("numeric(10,2)", "1.50", "1.50"),
    "none": ("numeric", "'NaN'", None), "day": ("date", "'2020-02-29'", "2020-02-29"), "always": ("date", "'infinity'", "infinity"),
    "late": ("date", "'12000-01-01'", "12000-01-01"), "early": ("timestamp", "'0044-03-15 BC'", "0044-03-15 00:00:00 BC"),
    "moment": ("timestamp", "'2020-01-01 13:45:59.5'", "2020-01-01 13:45:59.5"), "clock": ("time", "'07:45'", "07:45:00"),
    "midnight": ("time", "'24:00'", "24:00:00"), "span": ("interval", "'30:15:00'", "PT30H15M"), "months": ("interval", "'1 month'", "P1M"),
    "truth": ("boolean", "true", "True"), "json": ("json", "'{\"a\": 1}'", None), "list": ("int[]", "'{1,2}'", None),
    "uuid": ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "bytes": ("bytea", "'\\xff'", None),
    "word": ("text", "'Grün: x%'", "Grün: x%"), "double": ("float8", "0.1", "0.1"), "short": ("real", "36.6", "36.6"),
    "endless": ("float8", "'Infinity'", "inf"), "empty": ("text", "''", None), "null": ("int", "NULL", None),
}  # fmt: skip


@pytest.fixture(scope="module")
def postgres() -> str:
    url = fresh_database()
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        columns = ", ".join(f'"{name}" {kind}' for name, (kind, _, _) in TYPES.items())
        connection.exec_driver_sql(f"CREATE TABLE everything ({columns})")
        row = ", ".join(value for _, value, _ in TYPES.values()).replace("%", "%%")
        connection.exec_driver_sql(f"INSERT INTO everything VALUES ({row})")
        connection.exec_driver_sql('CREATE SCHEMA other; CREATE TABLE other."Patients" AS SELECT 1 AS a')
        connection.exec_driver_sql("CREATE TABLE days AS SELECT 1 AS id, DATE '2020-01-01' AS d, 0.5 AS x")
    engine.dispose()
    return url


def test_every_type_of_postgresql(postgres: str) -> None:
    """Also what Python has no object for, such as days after 9999: one such cell must not end the read of all others."""
    assert texts(postgres, declared(table="everything")) == {name: [text] for name, (_, _, text) in TYPES.items()}
    assert read_header(postgres, declared(table="everything")) == list(TYPES)
    assert texts(postgres, declared(table="other.Patients")) == {"a": ["1"]}
    query = "SELECT \"whole\" FROM everything WHERE word LIKE '%: x%' AND day::text < '2021'"
    assert texts(postgres, declared(query=query)) == {"whole": ["1"]}


def test_names_that_repeat(postgres: str) -> None:
    with pytest.raises(InputError, match="column names repeat: columns 1, 2"):
        read_header(postgres, declared(query="SELECT 1 AS a, 2 AS a"))


def test_postgresql_is_read_only_and_quotes_nothing(postgres: str) -> None:
    for query in (
        "WITH gone AS (DELETE FROM days RETURNING 1) SELECT * FROM gone", "SELECT 1; DROP TABLE days", "SELECT 'CANARY'::int AS a",
        "SELECT nextval('CANARY')", "SELECT set_config('CANARY', 'x', false) FROM nowhere",
    ):  # fmt: skip
        with pytest.raises(InputError, match="cannot be read") as error:
            read_table(postgres, declared(query=query))
        assert "CANARY" not in str(error.value)
    assert len(read_table(postgres, declared(table="days"))) == 1


@pytest.mark.parametrize(
    "odd",
    [
        "NULL, 'infinity', 'NaN'",
        "2147483647, '5874897-12-31', 1e300",
        "-5, '4713-01-01 BC', -0.0",
        "0, '0001-01-01', 1e-300",
    ],
)
def test_a_row_more_changes_no_other(odd: str, postgres: str) -> None:
    base = "SELECT * FROM days UNION ALL SELECT 2, DATE '1999-12-31', 3.25"
    alone = texts(postgres, declared(query=base))
    beside = texts(postgres, declared(query=f"{base} UNION ALL SELECT {odd}"))
    assert {name: column[:2] for name, column in beside.items()} == alone
