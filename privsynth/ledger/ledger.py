"""The ledger: what has been spent on each data set, kept in a database that outlives every run.

A run reserves its whole plan in one serialised transaction before the table is opened, records which content it read,
records each mechanism before it runs, and settles at the end. A reservation counts as spent unless no row was read.
Entries are hash-chained (`chain.py`), so that any later edit is detected. A filter (`filter.py`) decides what a further run
may cost; it is valid however that run was chosen after looking at earlier ones.

The budget belongs to the data set's id and to its content: ids that were given the same table, or the same columns under
whatever names, share one total. A content is recognised by keyed fingerprints (`fingerprint.py`), which stay inside
the database (`database.py`).

What whoever decides on a release should know about the ledger is written into the entries and reported (`Reservation.books`):
a lifetime budget that a policy raises, a ledger that was new or is in memory only, ids that turn out to hold the same people.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, bindparam, select

from privsynth.errors import PrivsynthError, Problem, Refused
from privsynth.evidence import Books
from privsynth.ledger.account import Account, Statement, filter_of
from privsynth.ledger.chain import GENESIS, Checked, Entry, digest
from privsynth.ledger.database import ENTRIES, Database, append, head, linked
from privsynth.ledger.filter import Cap, Spending, spending, starting_order, total
from privsynth.privacy.events import Event, to_json
from privsynth.privacy.noise import Randomness
from privsynth.privacy.plan import Plan

if TYPE_CHECKING:
    from privsynth.privacy.content import Fingerprint

PATIENCE = 60.0  # seconds
_BOOKED = (
    select(*(ENTRIES.c[name] for name in Entry._fields))
    .where(ENTRIES.c.dataset == bindparam("dataset"), ENTRIES.c.sequence >= bindparam("through"))
    .where(ENTRIES.c.kind.in_(("reserve", "return"))).order_by(ENTRIES.c.sequence)
)  # fmt: skip


def default_url() -> str:
    """$PRIVSYNTH_LEDGER, or a file in the user's state folder: one budget for all working folders."""
    if url := os.environ.get("PRIVSYNTH_LEDGER"):
        return url
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return f"sqlite:///{state / 'privsynth' / 'ledger.sqlite'}"


@dataclass
class Reservation:
    """One reservation being spent, in phases: reserved, opened (rows are read), learned (the audit may begin), settled.

    `charge` must be called before a mechanism touches a row.
    """

    ledger: Ledger
    dataset: str
    id: str
    plan: Plan
    randomness: Randomness
    charged: list[str] = field(default_factory=list)
    opened: bool = False  # set before the first row is read
    learned: bool = False  # no mechanism runs any more; from here on only the audit reads rows
    settled: bool = False
    same_content: tuple[str, ...] = ()  # other ids that were given this run's table or columns, and share its budget
    books: Books = field(default_factory=Books)  # what was noticed
    shut: str | None = None  # why no mechanism may run any more
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def identify(self, fingerprint: Fingerprint) -> tuple[str, ...]:
        """Records which content was read, and returns the other ids that were given the same table or columns.

        fingerprint: by `fingerprint.fingerprint` with `Ledger.fingerprint_key`. Raises Refused if the ids together would
        pass the smallest of their lifetime budgets; the reservation counts as spent, since rows were read.
        """
        with self.lock:
            self.opened = True
            if self.shut:
                raise Refused(Problem(f"data set {self.dataset!r}", f"its content {self.shut}"))
            self.shut = "comes after the run's content was refused"
            found = self.ledger.identify(self.dataset, self.id, fingerprint)
            self.same_content, self.shut = tuple(found), None
            self.books.recognised = [_recognition(other, by) for other, by in found.items()]
        return self.same_content

    def charge(self, name: str, event: Event) -> None:
        """Records that mechanism `name` is about to run. Raises Refused unless the plan contains exactly this."""
        with self.lock:  # two threads must not both find that it has not run
            if name not in self.plan:
                raise Refused(Problem(f"mechanism {name!r}", "is not in the plan, so nothing has paid for it"))
            if self.shut:
                raise Refused(Problem(f"mechanism {name!r}", self.shut))
            if name in self.charged:
                raise Refused(Problem(f"mechanism {name!r}", "has run already; its share is spent"))
            if to_json(self.plan[name]) != to_json(event):
                raise Refused(Problem(f"mechanism {name!r}", f"wants {event}, but the plan paid for {self.plan[name]}"))
            self.charged.append(name)
            self.ledger.append(self.dataset, self.id, "charge", {"name": name, "event": to_json(event)})

    def finish_learning(self) -> None:
        """Ends the part of the run that the budget pays for: from here on `charge` raises Refused. The first call adds an entry."""
        with self.lock:
            if self.settled:
                raise Refused(Problem(f"data set {self.dataset!r}", "the audit comes after the account was closed"))
            if self.learned:
                return
            self.opened, self.shut = True, "comes after learning was finished; the budget does not pay for the audit"
            what = "rows opened for the audit; not paid by the budget, figures stay internal"
            self.ledger.append(self.dataset, self.id, "audit", {"what": what})
            self.learned = True

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Settles the account if an error leaves the block, which then knows what the run cost."""
        if error is not None and not self.settled:
            self.settle(f"stopped: {type(error).__name__}")
            if isinstance(error, PrivsynthError):
                error.cost = self.cost

    @property
    def cost(self) -> str:
        """What the run took from the lifetime budget, in words, once it is settled."""
        if not (self.opened or self.charged):
            return "nothing, since no row was read"
        spent = f"epsilon {self.plan.epsilon:.4g}, delta {self.plan.delta:g}"
        return f"{spent} of the lifetime budget of data set {self.dataset!r}, since rows were read"

    def settle(self, outcome: str) -> str:
        """Closes the run's account; a reservation is returned only if no row was read. Returns the head hash."""
        with self.lock:
            if self.settled:
                raise Refused(Problem(f"data set {self.dataset!r}", "the run's account was closed before"))
            self.settled, self.shut = True, "comes after the run's account was closed"
            kind = "settle" if self.opened or self.charged else "return"
            return self.ledger.append(self.dataset, self.id, kind, {"outcome": outcome})


class Ledger:
    """The books of all data sets.

    url: of SQLite or PostgreSQL, as in SQLAlchemy; None: `default_url()`. patience: seconds to wait for other writers.
    must_exist: do not create a ledger, as for commands that only read one.
    Every method raises InputError if the database cannot be used; then nothing has been written.
    """

    def __init__(self, url: str | None = None, patience: float = PATIENCE, must_exist: bool = False):
        self.url = url or default_url()
        self._database = Database(self.url, patience, must_exist)
        self._accounts: dict[str, Account] = {}  # as far as their entries were read
        self._newest: dict[str, Entry] = {}  # the newest entry of each running run; it must not change

    @property
    def engine(self) -> Engine:
        """The database itself, for backups and tests."""
        return self._database.engine

    def reserve(self, plan: Plan) -> Reservation:
        """Takes the whole plan from the data set's lifetime budget, or raises Refused. No data has been read yet."""
        dataset, lifetime = plan.dataset, plan.lifetime
        cap = Cap(lifetime.epsilon, lifetime.delta) if lifetime else None
        run = Reservation(self, dataset, uuid.uuid4().hex, plan, Randomness(plan.seed))
        with self._database.writing() as connection:
            before, *others = self._read(connection, *linked(connection, dataset))
            noticed = self._noticed(connection, before, others, cap)
            claim = plan.epsilon, plan.delta, [item.event for item in plan.items]
            caps = before.caps | ({run.id: cap} if cap else {})
            own = replace(before, caps=caps, orders=before.orders or frozenset({starting_order(cap, *claim)}))
            order = next(iter(own.orders))
            _refuse_above(own, others, plan, spending(*claim, order))
            locked = {"locked": True} if lifetime and lifetime.locked else {}
            entry = append(connection, dataset, run.id, "reserve", {
                "epsilon": plan.epsilon, "delta": plan.delta, "plan": plan.to_json(), "policy": plan.policy_sha256,
                "unit": plan.unit, "max_rows": plan.max_rows, "seeded": plan.seeded, "order": order,
                "lifetime": asdict(cap) | locked if cap else None, **noticed,
            })  # fmt: skip
        self._newest[run.id] = entry
        run.books = _in_words(noticed, own.cap)
        return run

    def _noticed(self, connection: Connection, own: Account, others: list[Account], cap: Cap | None) -> dict[str, Any]:
        """The remarks in a reservation's entry: `ledger` and `lifetime_raised`, each only where there is a reason.

        Raises Refused if `cap` would raise a lifetime budget that is locked, for this id or one that shares its content.
        """
        noticed: dict[str, Any] = {}
        if self._database.in_memory or head(connection) == GENESIS:
            noticed["ledger"] = "in memory" if self._database.in_memory else "new"
        if cap and own.cap and own.raised_by(cap):
            if locked := [account for account in (own, *others) if account.locked]:
                raise Refused(Problem(
                    f"data set {own.dataset!r}",
                    f"its policy raises the lifetime budget from {own.cap} to {cap}, but that of {_named(locked)} is locked",
                    "state the former one, or less: a locked lifetime budget is never raised",
                ))  # fmt: skip
            noticed["lifetime_raised"] = {"from": asdict(own.cap), "to": asdict(cap)}
        return noticed

    def identify(self, dataset: str, run: str, fingerprint: Fingerprint) -> dict[str, str]:
        """Records the content that a run read; `Reservation.identify` calls it. Returns by what each other id is recognised.

        Raises Refused after the entry is written. Then the id is not linked to those ids: its reservation counts for it alone.
        """
        with self._database.writing() as connection:
            found = self._database.recognised(connection, dataset, fingerprint)
            names = dict.fromkeys(name for each in (dataset, *found) for name in linked(connection, each))
            accounts = self._read(connection, *names)
            spent, rule = total(account.spent for account in accounts), filter_of(accounts)
            refused = len(accounts) > 1 and rule is not None and not rule.accepts(spent)
            known = {} if refused else self._database.know(connection, dataset, fingerprint, found)
            entry = self._follow(connection, dataset, run, "identify", {
                "content": None, "marks": None, **known, "same_content": [o for o, by in found.items() if by == "content"],
                "recognised": [{"dataset": other, "by": by} for other, by in found.items()],
            })  # fmt: skip
        self._newest[run] = entry
        if refused and rule:
            raise Refused(Problem(
                f"data set {dataset!r}",
                f"holds the same content as {_named(accounts[1:])}; with this run they would pass the smallest of their "
                f"lifetime budgets ({rule.cap}): {rule.in_words(spent)}",
                "a table has one budget, whatever it is called: ask for less, or let whoever owns the risk raise it",
            ))  # fmt: skip
        return found

    def fingerprint_key(self) -> bytes:
        """32 secret bytes that key this ledger's fingerprints. They must never leave the database."""
        with self._database.writing() as connection:
            return bytes.fromhex(self._database.fingerprint_key(connection))

    def has_former_contents(self) -> bool:
        """True if the ledger knows contents by the fingerprints of version 0.1.0, so that these must be computed as well."""
        return self._database.has_former_contents()

    def append(self, dataset: str, run: str, kind: str, body: dict[str, Any]) -> str:
        """Adds one entry at the head of the chain and returns its hash."""
        with self._database.writing() as connection:
            entry = self._follow(connection, dataset, run, kind, body)
        self._newest[run] = entry
        return entry.hash

    def entries(self, dataset: str | None = None) -> list[dict[str, Any]]:
        """All entries, or those of one data set, oldest first."""
        query = select(ENTRIES).order_by(ENTRIES.c.sequence)
        if dataset is not None:
            query = query.where(ENTRIES.c.dataset == dataset)
        with self._database.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def spent(self, dataset: str) -> tuple[float, float]:
        """(epsilon, delta) spent on one data set by itself: the claims of its runs, added up."""
        with self._database.reading() as connection:
            spent = _current(connection, Account(dataset)).spent
        return spent.epsilon, spent.delta

    def statement(self, dataset: str) -> Statement:
        """The state of a data set's budget, with all ids that share it."""
        with self._database.reading() as connection:
            return Statement(tuple(_current(connection, Account(name)) for name in linked(connection, dataset)))

    def head(self) -> str:
        """The hash of the newest entry."""
        with self._database.reading() as connection:
            return head(connection)

    def check(self, heads: Collection[str] = ()) -> Checked:
        """Follows the whole chain. heads: hashes that were kept outside, each of which must be found in it."""
        return self._database.check(heads)

    def verify(self, *heads: str | None) -> list[str]:
        """The problems of the ledger, an empty list if there are none. heads: as in `check`."""
        return self.check([kept for kept in heads if kept]).problems

    def _follow(self, connection: Connection, dataset: str, run: str, kind: str, body: dict[str, Any]) -> Entry:
        """Adds an entry of a run, after a check that its newest entry still exists."""
        if run in self._newest:
            self._database.check_kept(connection, self._newest[run])
        return append(connection, dataset, run, kind, body)

    def _read(self, connection: Connection, *names: str) -> list[Account]:
        """The current state of these accounts."""
        for name in names:
            self._accounts[name] = _current(connection, self._accounts.get(name, Account(name)))
        return [self._accounts[name] for name in names]


def _current(connection: Connection, account: Account) -> Account:
    """The account, updated by what was reserved and returned since it was last read; read anew if that entry has gone."""
    rows = connection.execute(_BOOKED, {"dataset": account.dataset, "through": account.through}).all()
    if account.through and (not rows or rows[0].hash != account.hash):
        return _current(connection, Account(account.dataset))
    for row in rows[bool(account.through) :]:
        entry = Entry(*row)
        sound = entry.hash == digest(*entry[:7]) and not (entry.kind == "return" and _was_opened(connection, entry))
        account.read(entry, sound)
    return account


def _was_opened(connection: Connection, returned: Entry) -> bool:
    """True if the run that gives its reservation back has entries that only a run with open rows writes."""
    others = select(ENTRIES.c.sequence).where(
        ENTRIES.c.dataset == returned.dataset,
        ENTRIES.c.run == returned.run,
        ENTRIES.c.kind.not_in(("reserve", "return")),
    )
    return connection.scalar(others.limit(1)) is not None


def _refuse_above(own: Account, others: list[Account], plan: Plan, asked: Spending) -> None:
    """Raises Refused if a run that costs `asked` would pass the lifetime budget of these accounts together."""
    spent = total(account.spent for account in (own, *others))
    rule = filter_of([own, *others])
    if rule and not rule.accepts(spent + asked):
        raise Refused(Problem(
            f"data set {own.dataset!r}" + (f", with the same content as {_named(others)}" if others else ""),
            f"this run (epsilon {plan.epsilon:.3g}, delta {plan.delta:.1e}) would pass its lifetime budget "
            f"({rule.cap}): {rule.in_words(spent)}",
            "ask for less, or let whoever owns the risk raise the lifetime budget",
        ))  # fmt: skip


def _in_words(noticed: dict[str, Any], cap: Cap | None) -> Books:
    """Alarms and notes for a reader. noticed: by `Ledger._noticed`. cap: the lifetime budget that now holds for the id."""
    books = Books()
    if raised := noticed.get("lifetime_raised"):
        former, new = Cap(**raised["from"]), Cap(**raised["to"])
        books.alarms.append(f"The policy raised the lifetime budget of this data set, from {former} to {new}.")
    if noticed.get("ledger") == "in memory":
        books.alarms.append("The ledger is in memory only. What this run spent is forgotten when the program ends.")
    if noticed.get("ledger") == "new":
        books.notes.append("The ledger was new. It knows of no earlier run, on whatever data set.")
    if cap is None:
        books.notes.append(
            "No policy of this data set states a lifetime budget, so its runs may spend any amount together."
        )
    return books


def _recognition(other: str, by: str) -> str:
    same = by if by in ("content", "modelled columns") else f"cells in {by}"
    return f"The same {same} as data set {other!r}, one budget for both."


def _named(accounts: Collection[Account]) -> str:
    return ", ".join(repr(account.dataset) for account in accounts)


__all__ = ["GENESIS", "Ledger", "Reservation", "default_url"]
