"""The chain: whatever is edited, cut off or put back, a head that was kept outside finds it."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_tools import fresh_ledger, plan, planned, policy
from sqlalchemy import text

from privsynth.errors import InputError
from privsynth.ledger.chain import GENESIS, Checked, Entry, check, digest
from privsynth.ledger.database import ENTRIES
from privsynth.ledger.ledger import Ledger
from privsynth.privacy.content import Fingerprint

Books = list[Entry]


def written(ledger: Ledger, runs: int) -> Books:
    """A ledger of some runs, of which a few share a content and a few were returned."""
    for place in range(runs):
        run = ledger.reserve(planned(policy(f"set{place % 7}", ""), plan(0.1)))
        if place % 5:
            run.identify(Fingerprint(str(place % 11) * 64, "r" * 64, {f"{place % 3}" * 64: 40.0}))
            run.charge("histograms", run.plan["histograms"])
            run.finish_learning()
        run.settle("finished")
    return [Entry(**entry) for entry in ledger.entries()]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    return written(Ledger(fresh_ledger("sqlite", tmp_path_factory.mktemp("chain"))), 75)


def another(value: Any, entries: Books, field: str, rng: random.Random) -> Any:
    """A plausible other value of a field: another entry's, or a small change of its own."""
    if isinstance(value, int):
        return rng.choice([value + 1, value - 1, -value, rng.randrange(1, 2 * len(entries)), value + 10**6])
    place = rng.randrange(len(value))
    letters = string.hexdigits + string.printable if value else "x"
    changes = [
        value[:place] + rng.choice(letters) + value[place + 1 :], value[:place] + value[place + 1 :], value + " ", "",
        value[:place] + rng.choice(letters) + value[place:], getattr(rng.choice(entries), field), value.upper(),
        value.replace("1", "0", 1), value.replace("0.1", "0.01"), None,
    ]  # fmt: skip
    return rng.choice(changes)


def edited(entries: Books, rng: random.Random) -> Books:
    """One field of one entry, in half of the cases with that entry's hash computed anew."""
    place, field = rng.randrange(len(entries)), rng.choice(Entry._fields)
    entry = entries[place]
    new = entry._replace(**{field: another(getattr(entry, field), entries, field, rng)})
    if rng.random() < 0.5 and None not in new and field != "hash":
        new = new._replace(hash=digest(*new[:7]))
    return [*entries[:place], new, *entries[place + 1 :]]


def cut(entries: Books, rng: random.Random) -> Books:
    """Entries taken away: at the end, at the start, or somewhere in between."""
    low, high = sorted(rng.sample(range(len(entries) + 1), 2))
    return rng.choice([entries[:low], entries[high:], entries[:low] + entries[high:]])


def rolled_back(entries: Books, rng: random.Random) -> Books:
    """An older copy, which then went on."""
    older = list(entries[: rng.randrange(len(entries))])
    for _ in range(rng.randrange(3)):
        last = (older[-1].sequence, older[-1].hash) if older else None
        older.append(Entry.after(last, "2031-01-01", "set1", "r", "charge", "{}"))
    return older


def moved(entries: Books, rng: random.Random) -> Books:
    """Two entries change places, with their numbers or without; or one is there twice."""
    a, b = sorted(rng.sample(range(len(entries)), 2))
    one, other = entries[a], entries[b]
    if rng.random() < 0.5:
        one, other = one._replace(sequence=other.sequence), other._replace(sequence=one.sequence)
    swapped = [*entries[:a], other, *entries[a + 1 : b], one, *entries[b + 1 :]]
    return rng.choice([swapped, [*entries[:b], entries[a], *entries[b:]]])


def rewritten(entries: Books, rng: random.Random) -> Books:
    """An edit after which every later hash was computed anew: only the head kept outside shows it."""
    place = rng.randrange(len(entries))
    out = list(entries[:place])
    for entry in entries[place:]:
        body = entry.body.replace("0.1", "0.01") + " " * (entry.sequence == place + 1)
        last = (out[-1].sequence, out[-1].hash) if out else None
        out.append(Entry.after(last, entry.time, entry.dataset, entry.run, entry.kind, body))
    return out


CHANGES: list[tuple[int, Callable[[Books, random.Random], Books]]] = [
    (7000, edited), (1000, cut), (1000, rolled_back), (700, moved), (300, rewritten),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("times", "change"), CHANGES, ids=[change.__name__ for _, change in CHANGES])
def test_ten_thousand_edits_are_found(
    times: int, change: Callable[[Books, random.Random], Books], books: Books
) -> None:
    assert len(books) > 300 and check(books, [books[-1].hash]) == Checked([], len(books), books[-1].hash)
    rng, tried = random.Random(5), 0
    while tried < times:
        changed = change(books, rng)
        if changed != books:
            tried += 1
            assert check(changed, [books[-1].hash]).problems, (change.__name__, tried)


def test_what_a_head_alone_finds(books: Books) -> None:
    rng = random.Random(6)
    assert check(books[:50]).problems == [] and check(books[:50], [books[49].hash, books[7].hash]).problems == []
    assert len(check(books[:50], [books[50].hash, books[60].hash]).problems) == 2
    assert check(rewritten(books, rng)).problems == []
    assert check([], [GENESIS]).problems == [] and check([], [books[0].hash]).problems


def followed(entries: Books, run: str, kind: str, body: str = "{}") -> Books:
    """The books and one more entry, hashed as it should be."""
    last = (entries[-1].sequence, entries[-1].hash) if entries else None
    return [*entries, Entry.after(last, "2031-01-01", "set1", run, kind, body)]


def test_entries_that_no_run_writes_are_found() -> None:
    """Whoever may write the database can hash them rightly; a head from before them is still there."""
    claim = '{"epsilon": 0.5, "delta": 1e-7}'
    for kinds, sound in {
        "reserve": True, "reserve return": True, "reserve charge settle": True, "reserve identify charge audit settle": True,
        "reserve settle": True, "reserve identify settle": True, "charge": False, "return": False, "nonsense": False,
        "reserve reserve": False, "reserve charge return": False, "reserve identify return": False,
        "reserve audit return": False, "reserve settle return": False, "reserve return charge": False,
        "reserve settle charge": False, "reserve audit charge": False, "reserve charge identify": False,
    }.items():  # fmt: skip
        entries: Books = []
        for kind in kinds.split():
            entries = followed(entries, "r", kind, claim)
        problems = check(entries, [entries[0].hash]).problems
        assert not problems if sound else "was not added by a run" in problems[0], kinds
    for body in ("", "[]", "{}", "null", "[" * 5000, '{"epsilon": -1, "delta": 1e-7}', '{"epsilon": 1, "delta": NaN}',
                 '{"epsilon": Infinity, "delta": 0.1}', '{"epsilon": 1, "delta": 0}'):  # fmt: skip
        assert check(followed([], "r", "reserve", body)).problems, body


def test_fields_cannot_flow_into_each_other() -> None:
    """The same letters, cut elsewhere."""
    assert digest(1, "t", "ab", "c", "k", "{}", GENESIS) != digest(1, "t", "a", "bc", "k", "{}", GENESIS)
    assert digest(1, "t", "a", "c", "k", "{}0", GENESIS[1:]) != digest(1, "t", "a", "c", "k", "{}", GENESIS)
    assert digest(1, "t", "a", "c", "k", b"x", GENESIS) != digest(1, "t", "a", "c", "k", "b'x'", GENESIS)  # type: ignore[arg-type]


# --- in a database ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Books]]:
    ledger = Ledger(fresh_ledger(request.param, tmp_path_factory.mktemp("stored")))
    yield ledger, written(ledger, 12)


def put(ledger: Ledger, entries: Books) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(ENTRIES.delete())
        connection.execute(ENTRIES.insert(), [entry._asdict() for entry in entries])


@pytest.mark.slow
@pytest.mark.parametrize("change", [edited, cut, rolled_back, moved])
def test_edits_of_a_database_are_found(change: Callable[..., Books], stored: tuple[Ledger, Books]) -> None:
    ledger, entries = stored
    head, rng, tried = entries[-1].hash, random.Random(7), 0
    put(ledger, entries)
    assert ledger.verify(head) == []
    while tried < 60:
        changed = [e for e in change(entries, rng) if None not in e and len(e.hash) <= 64 >= len(e.previous)]
        numbers = [e.sequence for e in changed]
        if changed == entries or not changed or len(set(numbers)) < len(numbers) or max(map(abs, numbers)) > 2**31 - 1:
            continue  # what the database itself refuses
        if any(len(e.kind) > 20 or len(e.run) > 40 or len(e.time) > 40 or "\0" in "".join(e[1:]) for e in changed):
            continue
        if sorted(changed) == entries:
            continue  # a table has no order but that of its numbers
        tried += 1
        put(ledger, changed)
        assert ledger.verify(head), changed
    put(ledger, entries)
    assert ledger.verify(head) == []


def test_the_command_says_what_it_found(stored: tuple[Ledger, Books], command: Callable[..., Any]) -> None:
    ledger, entries = stored
    put(ledger, entries)
    address = ["--ledger", ledger.engine.url.render_as_string(hide_password=False)]
    heads = [word for entry in entries[::9] for word in ("--head", entry.hash)]
    said = command("ledger", "verify", *address, *heads)
    assert said.code == 0 and f"entries: {len(entries)}\nhead: {entries[-1].hash}\nThe chain is whole." in said.out
    said = command("ledger", "verify", *address, *heads, "--head", "ab" * 32, "--head", "cd" * 32)
    assert said.code == 3 and said.out.count("kept outside is not in this ledger") == 2
    assert "This ledger has been changed." in said.out


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_forged_return_gives_nothing_back(kind: str, tmp_path: Path) -> None:
    """Its hash is right and every head is still there; yet the run had opened the rows."""
    ledger = Ledger(fresh_ledger(kind, tmp_path))
    run = ledger.reserve(planned(policy(), plan(2.0)))
    run.identify(Fingerprint("1" * 64))
    head = ledger.head()
    last = Entry(**ledger.entries()[-1])
    forged = Entry.after((last.sequence, last.hash), last.time, last.dataset, last.run, "return", "{}")
    put(ledger, [*(Entry(**entry) for entry in ledger.entries()), forged])
    for books in (ledger, Ledger(ledger.engine.url.render_as_string(hide_password=False))):
        assert books.verify(head) == ["entry 3 is not one that a run writes at this point: it was not added by a run"]
        with pytest.raises(InputError, match="entry 3 that cannot be read"):
            books.reserve(planned(policy(), plan(2.0)))


@pytest.mark.parametrize("words", [("show",), ("verify",), ("export", "--out", "books.json")])
def test_whoever_reads_the_books_makes_none(
    words: tuple[str, ...], command: Callable[..., Any], tmp_path: Path
) -> None:
    """A slip in the address must not look like an empty, whole ledger."""
    for file in ("typo.sqlite", "folder/typo.sqlite"):
        said = command("ledger", *words, "--ledger", f"sqlite:///{tmp_path / file}")
        assert said.code == 2 and "is not there" in said.err and "PRIVSYNTH_LEDGER" in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_field_that_is_no_text_is_an_edit(tmp_path: Path) -> None:
    """SQLite stores what it is given, whatever the column's type."""
    ledger = Ledger(fresh_ledger("sqlite", tmp_path))
    ledger.reserve(planned(policy(), plan()))
    for value in ("x'7b7d'", "1.5", "CAST(body AS BLOB)"):
        with ledger.engine.begin() as connection:
            before = connection.scalar(text("SELECT body FROM privsynth_ledger"))
            connection.execute(text(f"UPDATE privsynth_ledger SET body = {value}"))
        assert ledger.verify() == ["entry 1 has been changed"]
        with ledger.engine.begin() as connection:
            connection.execute(text("UPDATE privsynth_ledger SET body = :body"), {"body": before})
    assert ledger.verify() == [] and json.loads(str(before))["epsilon"] == 1.0
