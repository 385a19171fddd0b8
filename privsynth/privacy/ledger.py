"""The ledger: what has been spent on each data set, kept in a database that outlives every run.

A run reserves its whole plan in one serialised transaction before the table is opened, writes down each mechanism
before it runs, and settles at the end. What was reserved stays on the books unless no row was read. Entries are
hash-chained, so that any later edit shows.

Across runs epsilons and deltas are added up. That is conservative, and valid however later runs were chosen after
looking at earlier ones (basic composition; Rogers et al. 2016 call it the trivial privacy filter).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Text, create_engine, event, select, text
from sqlalchemy.exc import SQLAlchemyError

from privsynth.errors import InputError, Problem, Refused
from privsynth.policy.load import Policy
from privsynth.policy.plan import Plan
from privsynth.privacy.events import Event, to_json
from privsynth.privacy.noise import Randomness

GENESIS = "0" * 64
_METADATA = MetaData()
_ENTRIES = Table(
    "privsynth_ledger", _METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("time", String(40), nullable=False),
    Column("dataset", String(120), nullable=False, index=True),
    Column("run", String(40), nullable=False),
    Column("kind", String(20), nullable=False),  # reserve | charge | settle | return
    Column("body", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)  # fmt: skip
_SIGNED = ("sequence", "time", "dataset", "run", "kind", "body", "previous")


def default_url() -> str:
    """$PRIVSYNTH_LEDGER, or a file in the user's state folder: one budget for all working folders."""
    if url := os.environ.get("PRIVSYNTH_LEDGER"):
        return url
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return f"sqlite:///{state / 'privsynth' / 'ledger.sqlite'}"


@dataclass
class Run:
    """One reservation being spent. `charge` must be called before a mechanism touches a row."""

    ledger: Ledger
    dataset: str
    id: str
    plan: Plan
    randomness: Randomness
    charged: list[str] = field(default_factory=list)
    opened: bool = False  # set before the first row is looked at
    settled: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def charge(self, name: str, event: Event) -> None:
        """Writes down that mechanism `name` is about to run. Raises Refused unless the plan paid for exactly this."""
        with self.lock:  # two threads must not both find that it has not run
            if name not in self.plan:
                raise Refused(Problem(f"mechanism {name!r}", "is not in the plan, so nothing has paid for it"))
            if self.settled:
                raise Refused(Problem(f"mechanism {name!r}", "comes after the run's account was closed"))
            if name in self.charged:
                raise Refused(Problem(f"mechanism {name!r}", "has run already; its share is spent"))
            if self.plan[name] != event:
                raise Refused(Problem(f"mechanism {name!r}", f"wants {event}, but the plan paid for {self.plan[name]}"))
            self.charged.append(name)
        self.ledger.append(self.dataset, self.id, "charge", {"name": name, "event": to_json(event)})

    def settle(self, outcome: str) -> str:
        """Closes the run's account; a reservation is returned only if no row was looked at. Returns the head hash."""
        with self.lock:
            self.settled, kind = True, "settle" if self.opened or self.charged else "return"
        return self.ledger.append(self.dataset, self.id, kind, {"outcome": outcome})


class Ledger:
    """A database of entries. url: any SQLAlchemy URL; SQLite and PostgreSQL are supported."""

    def __init__(self, url: str | None = None):
        self.url = url or default_url()
        try:
            if self.url.startswith("sqlite:///"):
                Path(self.url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            self.engine = create_engine(self.url, connect_args={"timeout": 60} if self.url.startswith("sqlite") else {})
            if self.engine.dialect.name == "sqlite":
                _serialise_sqlite(self.engine)
            with self._transaction():
                pass
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise self._broken(error) from None

    def reserve(self, policy: Policy, plan: Plan) -> Run:
        """Takes the whole plan from the data set's lifetime budget, or raises Refused. Nothing has been read yet."""
        dataset, lifetime = policy.model.dataset.id, policy.model.budget.lifetime
        body = {
            "epsilon": plan.epsilon, "delta": plan.delta, "plan": plan.to_json(), "policy": policy.sha256,
            "seeded": policy.model.seed is not None,
        }  # fmt: skip
        run = Run(self, dataset, uuid.uuid4().hex, plan, Randomness(policy.model.seed))
        try:
            with self._transaction() as connection:
                if lifetime is not None:
                    epsilon, delta = _spent(_rows(connection, dataset))
                    if epsilon + plan.epsilon > lifetime.epsilon * (1 + 1e-9) or delta + plan.delta > lifetime.delta * (
                        1 + 1e-9
                    ):
                        raise Refused(Problem(
                            f"data set {dataset!r}",
                            f"this run (epsilon {plan.epsilon:.3g}, delta {plan.delta:.1e}) would pass its lifetime budget "
                            f"(epsilon {lifetime.epsilon:g}, delta {lifetime.delta:.1e}); already spent: epsilon "
                            f"{epsilon:.3g}, delta {delta:.1e}",
                            "ask for less, or let whoever owns the risk raise the lifetime budget",
                        ))  # fmt: skip
                _append(connection, dataset, run.id, "reserve", body)
        except SQLAlchemyError as error:
            raise self._broken(error) from None
        return run

    def append(self, dataset: str, run: str, kind: str, body: dict[str, Any]) -> str:
        """Adds one entry at the head of the chain and returns its hash."""
        try:
            with self._transaction() as connection:
                return _append(connection, dataset, run, kind, body)
        except SQLAlchemyError as error:
            raise self._broken(error) from None

    def entries(self, dataset: str | None = None) -> list[dict[str, Any]]:
        """All entries, or those of one data set, oldest first."""
        try:
            with self._transaction() as connection:
                return _rows(connection, dataset)
        except SQLAlchemyError as error:
            raise self._broken(error) from None

    def spent(self, dataset: str) -> tuple[float, float]:
        """(epsilon, delta) on the books of one data set."""
        return _spent(self.entries(dataset))

    def head(self) -> str:
        entries = self.entries()
        return str(entries[-1]["hash"]) if entries else GENESIS

    def verify(self, head: str | None = None) -> list[str]:
        """What is wrong with the chain; an empty list if nothing. `head`: a hash kept outside, found in the chain."""
        wrong, previous = [], GENESIS
        entries = self.entries()
        for place, entry in enumerate(entries, start=1):
            if entry["sequence"] != place:
                wrong.append(f"entry {place} is missing")
                break
            if entry["previous"] != previous or entry["hash"] != _digest(entry):
                wrong.append(f"entry {place} has been changed")
                break
            previous = entry["hash"]
        if head and head not in {GENESIS, *(entry["hash"] for entry in entries)}:
            wrong.append("the head hash kept outside is not in this ledger: entries have been cut off or rolled back")
        return wrong

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """One serialised transaction: whoever comes second waits."""
        with self.engine.begin() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(7263549)"))
            _METADATA.create_all(connection)
            yield connection

    def _broken(self, error: Exception) -> InputError:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        where = (
            self.engine.url.render_as_string(hide_password=True) if hasattr(self, "engine") else self.url.split("@")[-1]
        )
        mend = "name a ledger that can be written: --ledger sqlite:///PATH, or PRIVSYNTH_LEDGER"
        return InputError(Problem(f"ledger {where}", f"cannot be used: {reason}", mend))


def _serialise_sqlite(engine: Any) -> None:
    """SQLite takes its write lock at BEGIN, so that reading the total and adding to it are one step."""

    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", begin)


def _rows(connection: Connection, dataset: str | None) -> list[dict[str, Any]]:
    query = select(_ENTRIES).order_by(_ENTRIES.c.sequence)
    if dataset is not None:
        query = query.where(_ENTRIES.c.dataset == dataset)
    return [dict(row) for row in connection.execute(query).mappings()]


def _append(connection: Connection, dataset: str, run: str, kind: str, body: dict[str, Any]) -> str:
    last = connection.execute(select(_ENTRIES).order_by(_ENTRIES.c.sequence.desc()).limit(1)).mappings().first()
    entry = {
        "sequence": (last["sequence"] if last else 0) + 1, "time": datetime.now(UTC).isoformat(), "dataset": dataset,
        "run": run, "kind": kind, "body": json.dumps(body, sort_keys=True), "previous": last["hash"] if last else GENESIS,
    }  # fmt: skip
    entry["hash"] = _digest(entry)
    connection.execute(_ENTRIES.insert(), entry)
    return str(entry["hash"])


def _digest(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([entry[key] for key in _SIGNED]).encode()).hexdigest()


def _spent(entries: list[dict[str, Any]]) -> tuple[float, float]:
    returned = {entry["run"] for entry in entries if entry["kind"] == "return"}
    kept = [json.loads(e["body"]) for e in entries if e["kind"] == "reserve" and e["run"] not in returned]
    return sum(body["epsilon"] for body in kept), sum(body["delta"] for body in kept)
