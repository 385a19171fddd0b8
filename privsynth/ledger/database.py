"""The ledger's database: SQLite or PostgreSQL, one transaction at a time, every failure reported in one sentence.

Five tables: the entries; which content each id was given, as a whole; the marks of its parts; which ids were recognised
by such marks, and so are linked; the key of the fingerprints. Of these only the entries are ever exported. They commit to
contents, marks and key by keyed hashes and name the links, so that `Database.check` finds a change there as well. Tables
that a ledger of version 0.1.0 lacks are added when it is opened.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    create_engine,
    event,
    inspect,
    make_url,
    select,
    text,
    union,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from privsynth.errors import InputError, Problem
from privsynth.ledger import chain
from privsynth.ledger.chain import Checked, Entry

if TYPE_CHECKING:
    from privsynth.privacy.content import Fingerprint

_METADATA = MetaData()
ENTRIES = Table(
    "privsynth_ledger", _METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("time", String(40), nullable=False),
    Column("dataset", String(120), nullable=False),
    Column("run", String(40), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("privsynth_ledger_dataset", "dataset", "sequence"),
)  # fmt: skip
_CONTENTS = Table(
    "privsynth_contents", _METADATA,
    Column("dataset", String(120), primary_key=True),
    Column("fingerprint", String(64), primary_key=True, index=True),
)  # fmt: skip
_MARKS = Table(
    "privsynth_marks", _METADATA,
    Column("dataset", String(120), primary_key=True),
    Column("sketch", String(64), primary_key=True),  # the commitment to all marks of one content
    Column("mark", String(64), primary_key=True, index=True),
)  # fmt: skip
_LINKS = Table(
    "privsynth_links", _METADATA,
    Column("dataset", String(120), primary_key=True),
    Column("other", String(120), primary_key=True, index=True),
)  # fmt: skip
_SECRETS = Table("privsynth_secrets", _METADATA, Column("key", String(64), primary_key=True))  # one row
_MINE, _THEIRS = _CONTENTS.alias(), _CONTENTS.alias()
_FOUND: BindParameter[list[str]] = bindparam("found", expanding=True)
_LINKED = union(
    select(_THEIRS.c.dataset).join(_MINE, _MINE.c.fingerprint == _THEIRS.c.fingerprint).where(_MINE.c.dataset.in_(_FOUND)),
    select(_LINKS.c.other).where(_LINKS.c.dataset.in_(_FOUND)), select(_LINKS.c.dataset).where(_LINKS.c.other.in_(_FOUND)),
)  # fmt: skip
_NEWEST = select(ENTRIES.c.sequence, ENTRIES.c.hash).order_by(ENTRIES.c.sequence.desc()).limit(1)
_ADVISORY_LOCK = 7263549  # any number that no other program uses in the same PostgreSQL database
_STREAMED = 20_000  # rows of a long result held in memory at once


class Database:
    """The database of the entries. url, patience: as in `ledger.Ledger`. Every method raises InputError if it cannot be used."""

    def __init__(self, url: str, patience: float, must_exist: bool = False):
        self.url, self.patience = url, patience
        self._lock = threading.RLock()  # threads of one process wait for this lock, processes for the database
        self._file: Path | None = None  # once it exists, it must not disappear
        with self._as_input_errors(), self._lock:
            self.engine = _engine(url, patience)
            address = self.engine.url
            file = Path(address.database) if _is_sqlite_file(self.engine) and address.database else None
            if must_exist and file and not file.exists():
                raise self._absent()
            if file and not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch(mode=0o600)  # it holds the key of the fingerprints
            with self.reading() as connection:
                made = {name for name in _METADATA.tables if inspect(connection).has_table(name)}
            if must_exist and _SECRETS.name not in made:
                raise self._absent()
            if made < set(_METADATA.tables):
                with self._locked() as connection:
                    _METADATA.create_all(connection)
            self._file = file

    @property
    def in_memory(self) -> bool:
        """True if the ledger is lost when this process ends."""
        return isinstance(self.engine.pool, StaticPool)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read-only transaction on one snapshot of the database."""
        options: dict[str, Any] = {"privsynth_reading": True}
        if self.engine.dialect.name == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"
        with self._as_input_errors(), self._lock:
            self._check_file()
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One serialised transaction: whoever comes second waits, so that reading a total and adding to it are one step."""
        with self._as_input_errors(), self._lock:
            self._check_file()
            with self._locked() as connection:
                yield connection

    @contextmanager
    def _locked(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:  # SQLite: BEGIN IMMEDIATE
            if self.engine.dialect.name == "postgresql":
                wait = f"set_config('lock_timeout', '{round(self.patience * 1000)}', true)"
                connection.execute(text(f"SELECT {wait}, pg_advisory_xact_lock({_ADVISORY_LOCK})"))
            yield connection

    def _absent(self) -> InputError:
        return InputError(Problem(f"ledger {self._where()}", "is not there: no run has used it yet", _ELSEWHERE))

    def _check_file(self) -> None:
        """SQLite would quietly begin a new ledger where the old one has been deleted."""
        if self._file and not self._file.exists():
            raise InputError(Problem(f"ledger {self._where()}", "was deleted while it was in use", _PUT_BACK))

    def check_kept(self, connection: Connection, entry: Entry) -> None:
        """Raises InputError if an entry that was written is no longer there."""
        place = ENTRIES.c.sequence == entry.sequence
        if connection.scalar(select(ENTRIES.c.hash).where(place)) != entry.hash:
            rule = "was replaced or rolled back while a run was on"
            raise InputError(Problem(f"ledger {self._where()}", rule, _PUT_BACK))

    @contextmanager
    def _as_input_errors(self) -> Iterator[None]:
        try:
            yield
        except ImportError:
            hint = "pip install 'privsynth[postgres]', or name an SQLite file: --ledger sqlite:///PATH"
            raise InputError(Problem(f"ledger {self._where()}", "needs a driver that is not installed", hint)) from None
        except (SQLAlchemyError, OSError, UnicodeError) as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            hint = "name a ledger that can be written: --ledger sqlite:///PATH, or PRIVSYNTH_LEDGER"
            raise InputError(Problem(f"ledger {self._where()}", f"cannot be used: {reason}", hint)) from None

    def _where(self) -> str:
        try:
            return make_url(self.url).render_as_string(hide_password=True)
        except SQLAlchemyError:
            return self.url.split("@")[-1]

    def check(self, heads: Collection[str]) -> Checked:
        """Checks the whole chain, and that contents, links and key are what the entries committed to."""
        query = select(*(ENTRIES.c[name] for name in Entry._fields)).order_by(ENTRIES.c.sequence)
        identified = select(ENTRIES.c.dataset, ENTRIES.c.body).where(ENTRIES.c.kind == "identify").distinct()
        try:
            return self._followed(query, identified, heads)
        except (AttributeError, RecursionError, TypeError, ValueError) as error:
            return Checked([f"it holds what no run writes ({type(error).__name__})"], 0, chain.GENESIS)
        except InputError as error:  # text that cannot be decoded was not written by a run either
            if "decode" not in str(error):
                raise
            return Checked(["it holds text that cannot be read: it has been changed"], 0, chain.GENESIS)

    def _followed(self, query: Any, identified: Any, heads: Collection[str]) -> Checked:
        with self.reading() as connection:
            streaming = connection.execution_options(yield_per=_STREAMED)
            checked = chain.check(streaming.execute(query), heads)
            written = {fact for dataset, body in streaming.execute(identified) for fact in _stated(dataset, body)}
            stored = _stored(connection)
        if stored != written:
            checked.problems.append("a fingerprint, a link or the key has been changed: the entries say another")
        return checked

    def fingerprint_key(self, connection: Connection) -> str:
        """The secret that keys the fingerprints, 32 bytes in hexadecimal; drawn at first use."""
        key = connection.scalar(select(_SECRETS.c.key))
        if key is None:
            if connection.scalar(select(_CONTENTS.c.dataset).limit(1)) is not None:
                rule = "knows fingerprints of contents, but not their key any more"
                raise InputError(Problem(f"ledger {self._where()}", rule, _PUT_BACK))
            key = secrets.token_hex(32)
            connection.execute(_SECRETS.insert(), {"key": key})
        return str(key)

    def has_former_contents(self) -> bool:
        """True if contents were written down by version 0.1.0, whose entries have no marks."""
        former = ENTRIES.c.kind == "identify", ENTRIES.c.body.not_like('%"marks"%')
        with self.reading() as connection:
            return connection.execute(select(ENTRIES.c.sequence).where(*former).limit(1)).first() is not None

    def recognised(self, connection: Connection, dataset: str, fingerprint: Fingerprint) -> dict[str, str]:
        """Other ids that were given this content, by name, and by what each is known: "content", or by `likeness`."""
        shared: dict[tuple[str, str], set[str]] = {}
        theirs = select(_MARKS).where(_MARKS.c.mark.in_(fingerprint.marks), _MARKS.c.dataset != dataset)
        for other, sketch, mark in connection.execute(theirs):
            shared.setdefault((other, sketch), set()).add(mark)
        found: dict[str, str] = {}
        for (other, _), marks in sorted(shared.items(), key=lambda item: -len(item[1])):  # the most alike first
            if by := fingerprint.likeness(marks):
                found.setdefault(other, by)
        wholes = [whole for whole in (fingerprint.whole, fingerprint.former) if whole]
        whole = select(_CONTENTS.c.dataset).where(_CONTENTS.c.fingerprint.in_(wholes))
        found |= dict.fromkeys(connection.scalars(whole.where(_CONTENTS.c.dataset != dataset)), "content")
        return dict(sorted(found.items()))

    def know(
        self, connection: Connection, dataset: str, fingerprint: Fingerprint, others: Collection[str]
    ) -> dict[str, str | None]:
        """Records that an id was given a content, and that its content is also that of other ids. Returns the commitments."""
        key = self.fingerprint_key(connection)
        content = _commitment(key, dataset, fingerprint.whole)
        sketch = _sketch(key, dataset, fingerprint.marks)
        _add(connection, _CONTENTS, {"dataset": dataset, "fingerprint": fingerprint.whole})
        for mark in fingerprint.marks:
            _add(connection, _MARKS, {"dataset": dataset, "sketch": sketch, "mark": mark})
        for other in others:
            _add(connection, _LINKS, {"dataset": dataset, "other": other})
        return {"content": content, "marks": sketch if fingerprint.marks else None}


_ELSEWHERE = "if one should have, check --ledger and PRIVSYNTH_LEDGER"
_PUT_BACK = "put back the newest copy; `privsynth ledger verify --head HASH` shows whether it is"


def _is_sqlite_file(engine: Engine) -> bool:
    return (
        engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:") and not engine.url.query
    )


def _engine(url: str, patience: float) -> Engine:
    address = make_url(url)
    if address.drivername in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+psycopg")
    if address.get_backend_name() == "postgresql":
        return create_engine(address, isolation_level="READ COMMITTED", pool_pre_ping=True)
    if address.get_backend_name() != "sqlite":  # no other database is serialised here, so a budget could be overspent
        raise SQLAlchemyError("only SQLite and PostgreSQL are supported")
    memory = address.database in (None, "", ":memory:")
    arguments = {"timeout": patience} | ({"check_same_thread": False} if memory else {})
    # a file is opened anew for each transaction, so that one replaced in the meantime is noticed
    engine = create_engine(address, poolclass=StaticPool if memory else NullPool, connect_args=arguments)

    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not where the driver thinks

    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("privsynth_reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", begin)
    return engine


def append(connection: Connection, dataset: str, run: str, kind: str, body: dict[str, Any]) -> Entry:
    """Adds one entry at the head of the chain, inside a writing transaction."""
    time = datetime.now(UTC).isoformat()
    entry = Entry.after(_last(connection), time, dataset, run, kind, json.dumps(body, sort_keys=True))
    connection.execute(ENTRIES.insert(), entry._asdict())
    return entry


def head(connection: Connection) -> str:
    """The hash of the newest entry."""
    last = _last(connection)
    return last[1] if last else chain.GENESIS


def linked(connection: Connection, dataset: str) -> list[str]:
    """The id itself and, after it, every id that shares a content with it, or with one that does, and so on."""
    found = new = [dataset]
    while new:
        new = sorted(set(connection.scalars(_LINKED, {"found": found})) - set(found))
        found = found + new
    return found


def _last(connection: Connection) -> tuple[int, str] | None:
    row = connection.execute(_NEWEST).first()
    return (row[0], row[1]) if row else None


def _commitment(key: str, dataset: str, fingerprint: str) -> str:
    """An entry's commitment to a content: binding, and without information for whoever does not have the key."""
    return hmac.new(key.encode(), f"{dataset}\0{fingerprint}".encode(), hashlib.sha256).hexdigest()


def _sketch(key: str, dataset: str, marks: Collection[str]) -> str:
    """The commitment to all marks of one content."""
    return _commitment(key, dataset, " ".join(sorted(marks)))


def _add(connection: Connection, table: Table, row: dict[str, str]) -> None:
    """Adds a row unless it exists."""
    same = and_(*(table.c[name] == value for name, value in row.items()))
    if connection.execute(select(table).where(same)).first() is None:
        connection.execute(table.insert(), row)


Fact = tuple[str, str, str]  # (what, of which id, commitment or other id)


def _stated(dataset: str, body: str) -> Iterator[Fact]:
    """The contents, marks and links that an identify entry states; nothing where the content was refused."""
    try:
        said = json.loads(body)
        if said["content"] is None:
            return
        yield "content", dataset, str(said["content"])
        if said.get("marks"):
            yield "marks", dataset, str(said["marks"])
        for other in said.get("recognised", []):
            yield "link", dataset, str(other["dataset"])
    except (ValueError, AttributeError, KeyError, TypeError):
        yield "nothing", dataset, "that a run writes"


def _stored(connection: Connection) -> set[Fact]:
    """What the other tables hold, in the same form: commitments are computed anew."""
    key = connection.scalar(select(_SECRETS.c.key)) or ""
    groups: dict[tuple[str, str], list[str]] = {}
    for dataset, sketch, mark in connection.execute(select(_MARKS)):
        groups.setdefault((dataset, sketch), []).append(mark)
    return {
        *(
            ("content", dataset, _commitment(key, dataset, whole))
            for dataset, whole in connection.execute(select(_CONTENTS))
        ),
        *(("marks", dataset, _sketch(key, dataset, marks)) for (dataset, _), marks in groups.items()),
        *(("marks", dataset, sketch) for dataset, sketch in groups),
        *(("link", dataset, other) for dataset, other in connection.execute(select(_LINKS))),
    }


__all__ = ["ENTRIES", "Database", "append", "head", "linked"]
