"""The ledger: what it refuses, what it gives back, and how edits show; LEAKS 11, 16, 26 and 27. On both databases."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from ledger_tools import CAP, POLICY, TABLE, Broken, Spy, admit, fresh_ledger, kinds, plan, planned, policy
from sqlalchemy import text

from privsynth.errors import InputError, Refused
from privsynth.ledger.ledger import GENESIS, Ledger, Reservation
from privsynth.policy import Policy
from privsynth.privacy.content import Fingerprint
from privsynth.privacy.events import Event, Gaussian, Geometric, to_json
from privsynth.privacy.plan import Plan


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return fresh_ledger(request.param, tmp_path)


@pytest.fixture
def ledger(url: str) -> Ledger:
    return Ledger(url)


@pytest.fixture(autouse=True)
def spies_may_look(monkeypatch: pytest.MonkeyPatch) -> None:
    for spy in (Spy, Broken):
        admit(spy, monkeypatch)


# --- one run ----------------------------------------------------------------------------------------------------------


def test_a_run_stands_in_the_books(ledger: Ledger) -> None:
    run = ledger.reserve(planned(policy(), plan()))
    assert TABLE.measure(Spy(), run) == 5
    TABLE.measure(Spy("marginals", Gaussian(2.0)), run)
    head = run.settle("finished")
    assert kinds(ledger) == ["reserve", "charge", "charge", "settle"]
    assert head == ledger.head() and ledger.verify(head) == []
    charges = [json.loads(e["body"]) for e in ledger.entries() if e["kind"] == "charge"]
    assert charges == [{"name": i.name, "event": to_json(i.event)} for i in plan().items]
    assert ledger.spent("books") == (1.0, 1e-6) and ledger.spent("another") == (0, 0)


@pytest.mark.parametrize(
    "spy",
    [Spy("dp-sgd"), Spy(event=Gaussian(2.9)), Spy(event=Geometric(3.0)), Spy("marginals", Gaussian(3.0)), Spy("")],
    ids=["not in the plan", "less noise", "another kind", "another's event", "no name"],
)
def test_what_the_plan_did_not_pay_for_sees_nothing(spy: Spy, ledger: Ledger) -> None:
    run = ledger.reserve(planned(policy(), plan()))
    with pytest.raises(Refused):
        TABLE.measure(spy, run)
    assert spy.saw == 0 and kinds(ledger) == ["reserve"]


def test_nothing_runs_twice(ledger: Ledger) -> None:
    run, spy = ledger.reserve(planned(policy(), plan())), Spy()
    TABLE.measure(spy, run)
    with pytest.raises(Refused, match="already"):
        TABLE.measure(spy, run)
    assert spy.saw == 1 and kinds(ledger) == ["reserve", "charge"]


@pytest.mark.parametrize("ran", [False, True])
def test_nothing_runs_on_a_closed_account(ran: bool, ledger: Ledger) -> None:
    run, spy = ledger.reserve(planned(policy(), plan())), Spy("marginals", Gaussian(2.0))
    if ran:
        TABLE.measure(Spy(), run)
    run.settle("stopped")
    with pytest.raises(Refused):
        TABLE.measure(spy, run)
    assert spy.saw == 0


def test_a_charge_that_cannot_be_written_measures_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    run, spy = ledger.reserve(planned(policy(), plan())), Spy()

    def full(*_: Any) -> str:
        raise InputError([])

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", full)
        with pytest.raises(InputError):
            TABLE.measure(spy, run)
    assert spy.saw == 0


def test_a_mechanism_that_breaks_stays_charged(ledger: Ledger) -> None:
    run = ledger.reserve(planned(policy(), plan()))
    with pytest.raises(RuntimeError):
        TABLE.measure(Broken(), run)
    run.settle("stopped: RuntimeError")
    assert kinds(ledger) == ["reserve", "charge", "settle"] and ledger.spent("books")[0] == 1.0


# --- phases -----------------------------------------------------------------------------------------------------------


def test_after_learning_nothing_runs(ledger: Ledger) -> None:
    run, spy = ledger.reserve(planned(policy(), plan())), Spy("marginals", Gaussian(2.0))
    TABLE.measure(Spy(), run)
    assert not run.learned
    run.finish_learning()
    run.finish_learning()
    assert run.learned and kinds(ledger) == ["reserve", "charge", "audit"]
    with pytest.raises(Refused, match="after learning"):
        TABLE.measure(spy, run)
    assert spy.saw == 0
    run.settle("finished")
    assert kinds(ledger)[-1] == "settle" and "internal" in ledger.entries()[2]["body"]


def test_the_audit_alone_keeps_the_reservation(ledger: Ledger) -> None:
    run = ledger.reserve(planned(policy(), plan()))
    run.finish_learning()  # before any charge: allowed
    run.settle("stopped")
    assert kinds(ledger) == ["reserve", "audit", "settle"] and ledger.spent("books") == (1.0, 1e-6)


def test_an_account_is_closed_once_and_for_all(ledger: Ledger) -> None:
    run = ledger.reserve(planned(policy(), plan()))
    run.settle("stopped")
    for again in (run.finish_learning, lambda: run.settle("finished"), lambda: run.identify(Fingerprint("0" * 64))):
        with pytest.raises(Refused):
            again()
    assert kinds(ledger) == ["reserve", "return"]


def test_an_audit_that_cannot_be_written_does_not_begin(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ledger.reserve(planned(policy(), plan()))

    def full(*_: Any) -> str:
        raise InputError([])

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", full)
        with pytest.raises(InputError):
            run.finish_learning()
    assert not run.learned
    with pytest.raises(Refused):
        TABLE.measure(Spy(), run)


# --- the lifetime -----------------------------------------------------------------------------------------------------


def test_only_an_untouched_reservation_comes_back(ledger: Ledger) -> None:
    ledger.reserve(planned(policy(), plan())).settle("stopped: InputError")
    assert kinds(ledger) == ["reserve", "return"] and ledger.spent("books") == (0, 0)
    run = ledger.reserve(planned(policy(), plan()))
    TABLE.measure(Spy(), run)
    run.settle("stopped: MemoryError")
    assert ledger.spent("books") == (1.0, 1e-6)
    ledger.reserve(planned(policy(), plan()))  # killed: never settled
    assert ledger.spent("books") == (2.0, 2e-6)


def test_a_reservation_whose_rows_were_looked_at_stays(ledger: Ledger) -> None:
    run = ledger.reserve(planned(policy(), plan()))
    run.opened = True
    run.settle("stopped: InputError")
    assert kinds(ledger) == ["reserve", "settle"] and ledger.spent("books") == (1.0, 1e-6)


def test_the_run_that_would_pass_the_lifetime_is_refused(ledger: Ledger, url: str) -> None:
    for _ in range(3):
        Ledger(url).reserve(planned(policy(), plan()))  # another process, another day
    before = kinds(ledger)
    with pytest.raises(Refused, match="lifetime") as refusal:
        ledger.reserve(planned(policy(), plan(0.01)))
    assert refusal.value.exit_code == 3 and kinds(ledger) == before
    ledger.reserve(planned(policy("another"), plan()))  # budgets are by data set


def test_delta_has_a_lifetime_too(ledger: Ledger) -> None:
    ledger.reserve(planned(policy(), plan(0.1, 9.5e-6)))
    with pytest.raises(Refused):
        ledger.reserve(planned(policy(), plan(0.1, 1e-6)))
    ledger.reserve(planned(policy(), plan(0.1, 0.5e-6)))


def test_runs_without_a_cap_count_against_a_later_cap(ledger: Ledger) -> None:
    for _ in range(5):
        ledger.reserve(planned(policy(lifetime=""), plan()))
    with pytest.raises(Refused):
        ledger.reserve(planned(policy(), plan()))


def test_to_leave_the_cap_out_does_not_lift_it(ledger: Ledger, url: str) -> None:
    ledger.reserve(planned(policy(), plan(2.0)))
    for books in (ledger, Ledger(url)):
        with pytest.raises(Refused, match=r"lifetime budget \(epsilon 3, "):
            books.reserve(planned(policy(lifetime=""), plan(1.5)))
    ledger.reserve(planned(policy(lifetime=""), plan(0.5)))
    raised = ", lifetime: {epsilon: 9.0, delta: 1.0e-5}"
    ledger.reserve(planned(policy(lifetime=raised), plan(3.0))).settle("stopped")  # returned: its policy does not count
    with pytest.raises(Refused, match=r"lifetime budget \(epsilon 3, "):
        ledger.reserve(planned(policy(lifetime=""), plan(3.0)))
    ledger.reserve(planned(policy(lifetime=raised), plan(3.0)))  # raised in writing, for all to see in the books
    ledger.reserve(planned(policy(lifetime=""), plan(3.0)))


def lifetime(epsilon: float, delta: float = 1e-5, locked: str = "") -> str:
    return f", lifetime: {{epsilon: {epsilon}, delta: {delta:.1e}{locked}}}"


LOCKED = ", locked: true"


def reserved(ledger: Ledger, place: int = -1) -> dict[str, Any]:
    body: dict[str, Any] = json.loads([e for e in ledger.entries() if e["kind"] == "reserve"][place]["body"])
    return body


def test_a_raised_lifetime_is_written_down_and_reported(ledger: Ledger, command: Callable[..., Any]) -> None:
    first = ledger.reserve(planned(policy(), plan(0.1, 1e-9)))
    assert first.books.alarms == [] and "lifetime_raised" not in reserved(ledger)
    for epsilon, delta in ((3.0, 1e-5), (2.0, 1e-5), (2.0, 1e-6)):  # the same, or lower
        run = ledger.reserve(planned(policy(lifetime=lifetime(epsilon, delta)), plan(0.1, 1e-9)))
        assert run.books.alarms == [] and "lifetime_raised" not in reserved(ledger)
    for epsilon, delta, was in ((2.0, 1e-5, (2.0, 1e-6)), (9.0, 1e-6, (2.0, 1e-5))):  # in delta; in epsilon alone
        run = ledger.reserve(planned(policy(lifetime=lifetime(epsilon, delta)), plan(0.1, 1e-9)))
        change = {"from": dict(zip(("epsilon", "delta"), was, strict=True)), "to": {"epsilon": epsilon, "delta": delta}}
        assert reserved(ledger)["lifetime_raised"] == change
        assert len(run.books.alarms) == 1 and f"from epsilon {was[0]:g}, delta {was[1]:.1e} to" in run.books.alarms[0]
    address = ledger.engine.url.render_as_string(hide_password=False)
    shown = command("ledger", "show", "--ledger", address).out
    assert "; lifetime raised from epsilon 2, delta 1.0e-05 to epsilon 9, delta 1.0e-06" in shown


def test_a_locked_lifetime_is_never_raised(ledger: Ledger, command: Callable[..., Any]) -> None:
    ledger.reserve(planned(policy(lifetime=lifetime(3.0, locked=LOCKED)), plan(0.1)))
    for words in ("", lifetime(3.0), lifetime(2.5, locked=LOCKED), lifetime(2.0)):  # lowering is allowed
        ledger.reserve(planned(policy(lifetime=words), plan(0.1)))
    before = kinds(ledger)
    for words in (lifetime(2.1), lifetime(2.0, 2e-5), lifetime(3.0, locked=LOCKED)):
        with pytest.raises(Refused, match=r"raises the lifetime budget from epsilon 2, .* that of 'books' is locked"):
            ledger.reserve(planned(policy(lifetime=words), plan(0.1)))
    assert kinds(ledger) == before
    address = ledger.engine.url.render_as_string(hide_password=False)
    shown = command("ledger", "show", "--ledger", address).out
    assert shown.count("; lifetime locked") == 2 and "lifetime budget (epsilon 2, delta 1.0e-05, locked): " in shown
    assert (
        ledger.statement("books").to_json()["locked"] is True and ledger.statement("other").to_json()["locked"] is False
    )


def test_a_lock_that_read_no_row_comes_back(ledger: Ledger) -> None:
    ledger.reserve(planned(policy(), plan(0.1)))
    ledger.reserve(planned(policy(lifetime=lifetime(3.0, locked=LOCKED)), plan(0.1))).settle("stopped")
    assert ledger.reserve(planned(policy(lifetime=lifetime(9.0)), plan(0.1))).books.alarms


def test_another_id_of_a_locked_content_has_no_more(ledger: Ledger) -> None:
    content = Fingerprint("0" * 64)
    ledger.reserve(planned(policy("a", lifetime(1.0, locked=LOCKED)), plan(0.5))).identify(content)
    ledger.reserve(planned(policy("b", lifetime(20.0)), plan(0.3))).identify(content)
    for name, words in (("b", lifetime(20.0)), ("b", ""), ("a", "")):
        with pytest.raises(Refused, match=r"lifetime budget \(epsilon 1, "):
            ledger.reserve(planned(policy(name, words), plan(0.3)))
    with pytest.raises(Refused, match=r"from epsilon 20, .* to epsilon 21, .* that of 'a' is locked"):
        ledger.reserve(planned(policy("b", lifetime(21.0)), plan(0.1)))
    with pytest.raises(Refused, match="holds the same content as"):
        ledger.reserve(planned(policy("c", lifetime(20.0)), plan(0.3))).identify(content)
    assert ledger.reserve(planned(policy("d", lifetime(20.0)), plan(9.0))).identify(Fingerprint("1" * 64)) == ()


def test_a_new_ledger_is_told_once(ledger: Ledger, url: str, command: Callable[..., Any]) -> None:
    Ledger(url)  # who only looks in does not make it older
    run = ledger.reserve(planned(policy(), plan(0.1)))
    assert reserved(ledger)["ledger"] == "new" and run.books.notes[0].startswith("The ledger was new.")
    for books in (ledger, Ledger(url)):
        assert not books.reserve(planned(policy("another"), plan(0.1))).books.notes and "ledger" not in reserved(books)
    assert command("ledger", "show", "--ledger", url).out.count("; ledger new") == 1


def test_a_ledger_in_memory_is_told_each_time() -> None:
    ledger = Ledger("sqlite://")
    for _ in range(2):
        run = ledger.reserve(planned(policy(), plan(0.1)))
        assert reserved(ledger)["ledger"] == "in memory" and "forgotten" in run.books.alarms[0] and not run.books.notes


def test_no_lifetime_is_reported(ledger: Ledger) -> None:
    for words, reported in (("", 1), (CAP, 0), ("", 0)):
        notes = ledger.reserve(planned(policy(lifetime=words), plan(0.1))).books.notes
        assert sum("No policy of this data set states a lifetime budget" in note for note in notes) == reported


def test_the_statement_names_what_the_total_does_not_cover(ledger: Ledger) -> None:
    def statement() -> str:
        return "\n".join(ledger.statement("books").lines())

    ledger.reserve(planned(policy(), plan(0.5)))
    assert "seed" not in statement() and "different units" not in statement()
    seeded = POLICY.format(id="books", lifetime=CAP) + "seed: 3\n"
    ledger.reserve(planned(Policy.from_text(seeded), plan(0.5)))
    assert "  1 of the runs had a seed" in statement()
    ledger.reserve(planned(policy(), replace(plan(0.5), unit="a")))
    assert "  runs protect different units (a, row): their total is a claim for none of them" in statement()


def test_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    """It holds the key of the fingerprints."""
    Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    assert (tmp_path / "ledger.sqlite").stat().st_mode & 0o077 == 0


def test_a_seed_is_written_down(ledger: Ledger) -> None:
    seeded = Policy.from_text(POLICY.format(id="books", lifetime=CAP) + "seed: 3\n")
    run = ledger.reserve(planned(seeded, plan()))
    assert run.randomness.seed == 3 and json.loads(ledger.entries()[0]["body"])["seeded"] is True
    assert ledger.reserve(planned(policy(), plan())).randomness.seed is None
    assert json.loads(ledger.entries()[1]["body"])["seeded"] is False


# --- the chain --------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    for _ in range(2):
        run = ledger.reserve(planned(policy(), plan()))
        TABLE.measure(Spy(), run)
        run.settle("finished")
    assert ledger.verify() == [] and len(ledger.entries()) == 6
    return ledger


def forge(ledger: Ledger, statement: str) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        """UPDATE privsynth_ledger SET body = replace(body, '"epsilon": 1.0', '"epsilon": 0.1') WHERE sequence = 4""",
        "UPDATE privsynth_ledger SET dataset = 'another' WHERE sequence = 1",
        "UPDATE privsynth_ledger SET kind = 'return' WHERE sequence = 6",
        "UPDATE privsynth_ledger SET time = '2020-01-01' WHERE sequence = 3",
        "UPDATE privsynth_ledger SET run = 'x' WHERE sequence = 5",
        "UPDATE privsynth_ledger SET hash = previous WHERE sequence = 6",
        "DELETE FROM privsynth_ledger WHERE sequence = 1",
        "DELETE FROM privsynth_ledger WHERE sequence = 3",
        "UPDATE privsynth_ledger SET sequence = 60 WHERE sequence = 6",
    ],
)
def test_edits_and_gaps_show(statement: str, filled: Ledger) -> None:
    before = filled.entries()
    forge(filled, statement)
    assert filled.entries() != before
    assert filled.verify()


def test_a_cut_tail_shows_by_a_head_kept_outside(filled: Ledger) -> None:
    head = filled.head()
    forge(filled, "DELETE FROM privsynth_ledger WHERE sequence > 3")
    assert filled.verify() == []  # the rest is a valid chain: only the outside head shows it
    assert filled.verify(head)
    filled.reserve(planned(policy(), plan()))
    assert filled.verify(head)
    forge(filled, "DELETE FROM privsynth_ledger")
    assert filled.verify(head) and filled.head() == GENESIS


def test_an_older_head_is_found_in_a_longer_chain(filled: Ledger) -> None:
    head = filled.head()
    filled.reserve(planned(policy("another"), plan()))
    assert filled.verify(head) == []


# --- races ------------------------------------------------------------------------------------------------------------


def test_threads_share_one_ledger(ledger: Ledger) -> None:
    runs: list[Reservation] = []

    def work() -> None:
        for _ in range(3):
            with suppress(Refused):
                runs.append(ledger.reserve(planned(policy(), plan(0.5))))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(runs) == 6 and ledger.spent("books")[0] == pytest.approx(3.0) and ledger.verify() == []


class SlowPlan(Plan):
    """Opens the window between looking and writing."""

    def __getitem__(self, name: str) -> Event:
        time.sleep(0.01)
        return super().__getitem__(name)


def test_threads_cannot_spend_one_mechanism_twice(ledger: Ledger) -> None:
    run, spy, refused = ledger.reserve(planned(policy(), plan())), Spy(), []
    run.plan = SlowPlan(**{f.name: getattr(run.plan, f.name) for f in fields(run.plan)})
    gate = threading.Barrier(8)

    def work() -> None:
        gate.wait(30)
        try:
            TABLE.measure(spy, run)
        except Refused as error:
            refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert spy.saw == 1 and len(refused) == 7 and kinds(ledger) == ["reserve", "charge"]
