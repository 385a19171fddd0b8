"""A trainer that tries is refused: whatever does not go through a listed and charged mechanism reaches no row."""

from __future__ import annotations

import copy
import io
import pickle
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import privsynth
from privsynth import Policy
from privsynth.encoding.codec import Codec
from privsynth.errors import Refused
from privsynth.ledger.ledger import Ledger, Reservation
from privsynth.planning import make_plan
from privsynth.policy.options import OPTIONS
from privsynth.privacy.events import Gaussian, Geometric, SampledGaussian
from privsynth.privacy.mechanisms import tables
from privsynth.privacy.mechanisms.counts import RowCount
from privsynth.privacy.mechanisms.dpsgd import DPSGD
from privsynth.privacy.noise import Randomness
from privsynth.privacy.plan import Plan
from privsynth.privacy.unit import Rows, to_shares
from privsynth.table.intake import take_in
from privsynth.table.private import PrivateTable, open_rows
from privsynth.table.reader import read_table
from privsynth.trainers import TRAINERS
from privsynth.trainers.marginals import Marginals

Make = Callable[..., pd.DataFrame]
AFTER: Any = SimpleNamespace(learned=True)  # a run that can learn no more
CANARIES = ("CANARY", "77.7", "2019-07-07", "18084")  # the row below: its ward, weight, date, and the date in days


def with_canary(make: Make) -> pd.DataFrame:
    table = make(300)
    table.loc[7, ["ward", "weight", "admitted", "discharged"]] = ["CANARYward", "77.7", "2019-07-07", "2019-07-07"]
    return table


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    return {}


@pytest.fixture
def policy(clinic_text: str, monkeypatch: pytest.MonkeyPatch, plans: dict[str, Plan]) -> Policy:
    """Its trainer is the rogue, which asks the plan for the same as `marginals`. It is planned once."""
    monkeypatch.setitem(OPTIONS, "rogue", Marginals.Options)
    monkeypatch.setitem(TRAINERS, "rogue", Rogue)
    made = Policy.from_text(clinic_text.replace("name: marginals", "name: rogue"))
    if "plan" not in plans:
        plans["plan"] = make_plan(made)
    monkeypatch.setattr("privsynth.pipeline.make_plan", lambda policy: plans["plan"])
    return made


class Rogue(Marginals):
    """A trainer that tries something before it learns."""

    name = "rogue"
    attempt: Callable[[PrivateTable[Any], Any, Reservation], Any]
    got: list[Any]

    def fit(self, table: Any, codec: Any, target: Any, run: Reservation, progress: Any) -> Any:
        self.got.append(type(self).attempt(table, codec, run))
        return super().fit(table, codec, target, run, progress)


@dataclass
class Spy:
    """Whether anything of a rogue's own was shown a row."""

    seen: int = 0

    def __call__(self, *things: Any) -> Any:
        self.seen += 1
        return things[0]


SPY = Spy()


def pairs(codec: Any, run: Reservation, event: Any = None) -> tables.Marginals:
    every = tuple(combinations(range(len(codec.sizes)), 2))
    shares = tuple(to_shares(np.ones(len(every))).tolist())
    return tables.Marginals(event or run.plan["marginals"], codec.sizes, every, shares)


class HomeMade:
    """The right name and the right event."""

    name = "marginals"

    def __init__(self, event: Any):
        self.event = event

    def answer(self, rows: Rows[Any], randomness: Randomness) -> Any:
        return SPY(rows)

    query = answer


class MyMarginals(tables.Marginals):
    """A subclass of a listed mechanism."""

    def query(self, rows: Rows[Any]) -> Any:
        return SPY(rows)

    def answer(self, rows: Rows[Any], randomness: Randomness) -> Any:
        return SPY(rows)


class Keeper:
    """An encoder that keeps what it is shown."""

    encode = SPY.__call__


class MyCodec(Codec):
    encode = SPY.__call__


def opens(table: PrivateTable[Any], codec: Any, run: Reservation) -> Any:
    return open_rows(table, run)


def asks_home_made(table: Any, codec: Any, run: Reservation) -> Any:
    return table.measure(HomeMade(run.plan["marginals"]), run)


def asks_a_subclass(table: PrivateTable[Any], codec: Any, run: Reservation) -> Any:
    plain = pairs(codec, run)
    return table.measure(MyMarginals(plain.event, plain.sizes, plain.tables, plain.shares), run)


def encodes_by_its_own(table: Any, codec: Any, run: Reservation) -> Any:
    return table.encoded(Keeper())


def encodes_by_a_subclass(table: PrivateTable[Any], codec: Any, run: Reservation) -> Any:
    return table.encoded(MyCodec(codec.domain, codec.columns, codec.total))


def encodes_by_a_function(table: Any, codec: Any, run: Reservation) -> Any:
    return table.encoded(SPY)


def asks_twice(table: PrivateTable[Any], codec: Any, run: Reservation) -> Any:
    table.measure(pairs(codec, run), run)
    return table.measure(pairs(codec, run), run)


def measures_what_others_measured(table: PrivateTable[Any], codec: Any, run: Reservation) -> Any:
    """The histograms have run already."""
    return table.measure(replace(pairs(codec, run, run.plan["histograms"]), name="histograms"), run)


def asks_what_nobody_paid(table: PrivateTable[Any], codec: Any, run: Reservation) -> Any:
    return table.measure(RowCount(Geometric(1.0)), run)  # the policy declares the rows, so the plan has none


def asks_with_less_noise(table: PrivateTable[Any], codec: Any, run: Reservation) -> Any:
    paid = run.plan["marginals"]
    assert isinstance(paid, Gaussian)
    return table.measure(pairs(codec, run, Gaussian(0.99 * paid.noise_multiplier)), run)


def trains_unpaid(table: PrivateTable[Any], codec: Any, run: Reservation) -> Any:
    import torch

    module = torch.nn.Linear(1, 1).double()
    event = SampledGaussian(1.0, 0.1, 3)
    return table.measure(DPSGD(event, module, lambda m, codes, noise: SPY(codes), lambda step: None, 1.0, 9.0), run)


def trains_under_another_name(table: PrivateTable[Any], codec: Any, run: Reservation) -> Any:
    import torch

    module, event = torch.nn.Linear(1, 1).double(), SampledGaussian(1.0, 0.1, 3)
    return table.measure(
        DPSGD(event, module, lambda m, c, z: SPY(c), lambda step: None, 1.0, 9.0, name="marginals"), run
    )


ATTEMPTS: dict[Any, str] = {
    opens: "closed while the run may still learn",
    asks_home_made: "HomeMade is not a listed mechanism",
    asks_a_subclass: "MyMarginals is not a listed mechanism",
    encodes_by_its_own: "Keeper is not an encoder",
    encodes_by_a_subclass: "MyCodec is not an encoder",
    encodes_by_a_function: "Spy is not an encoder",
    asks_twice: "'marginals': has run already",
    measures_what_others_measured: "'histograms': has run already",
    asks_what_nobody_paid: "'row count': is not in the plan",
    asks_with_less_noise: "'marginals': wants Gaussian",
    trains_unpaid: "'dp-sgd': is not in the plan",
    trains_under_another_name: "'marginals': wants DP-SGD",
}


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    def prepare(attempt: Any) -> None:
        monkeypatch.setattr(Rogue, "attempt", staticmethod(attempt), raising=False)
        monkeypatch.setattr(Rogue, "got", [], raising=False)
        monkeypatch.setattr(SPY, "seen", 0)

    return prepare


@pytest.mark.parametrize("attempt", list(ATTEMPTS), ids=lambda attempt: attempt.__name__)
def test_a_trainer_that_tries_is_refused(
    attempt: Any, policy: Policy, clinic_table: Make, own_ledger: str, tries: Callable[[Any], None]
) -> None:
    tries(attempt)
    said, reported = io.StringIO(), list[Any]()
    with pytest.raises(Refused, match=ATTEMPTS[attempt]) as error, redirect_stdout(said), redirect_stderr(said):
        privsynth.fit(policy, with_canary(clinic_table), progress=lambda *what: reported.append(what))
    assert SPY.seen == 0 and Rogue.got == [], "nothing of the rogue's own saw a row, and nothing came back"
    entries = Ledger(own_ledger).entries()
    assert [entry["kind"] for entry in entries][-1] == "settle", "what was reserved stays on the books"
    text = "".join(traceback.format_exception(error.value)) + repr(error.value) + str(error.value.__context__)
    assert not [canary for canary in CANARIES if canary in text + said.getvalue() + repr(reported)]
    assert not [canary for canary in CANARIES[:3] if canary in repr(entries)]  # a hash may hold any five digits


@pytest.mark.parametrize("attempt", [asks_home_made, asks_a_subclass, encodes_by_its_own, encodes_by_a_subclass])
def test_the_spy_sees_rows_where_the_fence_is_down(
    attempt: Any, policy: Policy, clinic_table: Make, tries: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above is no idle one."""

    class Anything:
        def __contains__(self, place: object) -> bool:
            return True

    monkeypatch.setattr("privsynth.table.private.MECHANISMS", Anything())
    monkeypatch.setattr("privsynth.table.private.ENCODERS", Anything())
    tries(attempt)
    with suppress(Refused):
        privsynth.fit(policy, with_canary(clinic_table))
    assert SPY.seen == 1 and len(Rogue.got) == 1


def test_no_model_comes_from_a_trainer_that_ends_learning(
    policy: Policy, clinic_table: Make, tries: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = Marginals.fit

    def first_learns_then_looks(self: Any, table: Any, codec: Any, target: Any, run: Reservation, progress: Any) -> Any:
        model = learn(self, table, codec, target, run, progress)
        run.finish_learning()
        return replace(model, population=open_rows(table, run).values)

    monkeypatch.setattr(Rogue, "fit", first_learns_then_looks)
    with pytest.raises(Refused):
        privsynth.fit(policy, with_canary(clinic_table))


def test_the_rogue_learns_where_it_tries_nothing(
    policy: Policy, clinic_table: Make, tries: Callable[[Any], None]
) -> None:
    """The tests above fail for what is tried, and for nothing else."""
    tries(lambda table, codec, run: "nothing")
    assert len(privsynth.fit(policy, with_canary(clinic_table)).sample(10)) == 10 and Rogue.got == ["nothing"]


# --- in time: learning first, then the audit ---------------------------------------------------------------------------


@pytest.fixture
def opened(policy: Policy, clinic_table: Make, own_ledger: str) -> tuple[PrivateTable[pd.DataFrame], Reservation]:
    """A table behind the fence, and the run that reads it."""
    from privsynth import pipeline

    run = Ledger(own_ledger).reserve(pipeline.make_plan(policy))
    return take_in(read_table(with_canary(clinic_table)), policy, run.randomness, 0.0).train, run


def test_rows_open_when_learning_is_over_and_not_before(opened: tuple[PrivateTable[pd.DataFrame], Reservation]) -> None:
    table, run = opened
    with pytest.raises(Refused, match="closed while the run may still learn"):
        open_rows(table, run)
    run.finish_learning()
    assert "CANARYward" in set(open_rows(table, run).values["ward"])


def test_nothing_is_charged_when_learning_is_over(opened: tuple[PrivateTable[pd.DataFrame], Reservation]) -> None:
    from privsynth.privacy.mechanisms.categories import OpenCategories

    table, run = opened
    mechanism = OpenCategories(run.plan["categories: ward"], "ward")
    run.finish_learning()
    with pytest.raises(Refused):
        table.measure(mechanism, run)
    run.finish_learning()  # a second time changes nothing
    run.settle("done")
    with pytest.raises(Refused):
        table.measure(mechanism, run)
    assert [e["kind"] for e in run.ledger.entries()] == ["reserve", "audit", "settle"] and run.charged == []


def test_the_audit_waits_for_the_end_of_learning(
    policy: Policy, clinic_table: Make, tries: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A pipeline that forgets to say so gets no further."""
    tries(lambda table, codec, run: None)
    monkeypatch.setattr(Reservation, "finish_learning", lambda self: None)
    with pytest.raises(Refused, match="closed while the run may still learn"):
        privsynth.run(policy, with_canary(clinic_table), tmp_path / "out")
    assert not (tmp_path / "out" / "release").exists()


# --- the object --------------------------------------------------------------------------------------------------------


def some_table() -> PrivateTable[pd.DataFrame]:
    return PrivateTable(Rows(pd.DataFrame({"a": ["CANARY"]}), np.array([4242], np.int64)))


def test_a_private_table_shows_nothing() -> None:
    table: Any = some_table()
    assert repr(table) == str(table) == f"{table}" == "PrivateTable(...)"
    assert [name for name in dir(table) if not name.startswith("_")] == ["encoded", "measure"]
    with pytest.raises(TypeError):
        vars(table)
    for name in ("__dict__", "__len__", "__iter__", "__getitem__", "__array__", "rows", "values", "_rows"):
        assert not hasattr(table, name)
    for name in dir(table):
        assert "CANARY" not in repr(getattr(table, name)) and "4242" not in repr(getattr(table, name))
    with pytest.raises(AttributeError):
        table.note = "CANARY"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_holds_no_row(protocol: int) -> None:
    try:
        data = pickle.dumps(some_table(), protocol)
    except (TypeError, pickle.PicklingError):
        return  # better still
    assert b"CANARY" not in data and (4242).to_bytes(2, "little") not in data
    with pytest.raises((KeyError, Refused)):
        open_rows(pickle.loads(data), AFTER)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_holds_no_row(copied: Callable[[Any], Any]) -> None:
    try:
        other = copied(some_table())
    except TypeError:
        return  # better still
    with pytest.raises((KeyError, Refused)):
        open_rows(other, AFTER)


def test_rows_go_when_the_table_goes() -> None:
    import gc
    import weakref

    table = some_table()
    rows = weakref.ref(open_rows(table, AFTER))
    assert rows() is not None
    del table
    gc.collect()
    assert rows() is None


def test_a_mechanism_is_charged_before_it_sees_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    honest = RowCount.query
    monkeypatch.setattr(RowCount, "query", lambda self, rows: order.append("sees rows") or honest(self, rows))

    class Account:
        randomness, paid = Randomness(1), True

        def charge(self, name: str, event: Any) -> None:
            if not self.paid:
                raise Refused([])
            order.append(f"charged {name} {event}")

    account: Any = Account()
    assert isinstance(some_table().measure(RowCount(Geometric(2.0)), account), int)
    assert order == [f"charged row count {Geometric(2.0)}", "sees rows"]
    account.paid = False
    with pytest.raises(Refused):
        some_table().measure(RowCount(Geometric(2.0)), account)
    assert len(order) == 2, "an unpaid one sees nothing"


def test_codes_stay_behind_the_fence() -> None:
    from privsynth.encoding.domain import ColumnDomain, Domain

    behind = some_table().encoded(Domain((ColumnDomain("a", "category", ("b", "CANARY")),), None))
    assert isinstance(behind, PrivateTable)
    found = open_rows(behind, AFTER)
    assert found.values.tolist() == [[1]] and found.units.tolist() == [4242]


EXTREME = """
privsynth: 1
dataset: {id: extreme, rows: 80}
unit: row
budget: {epsilon: 3.0, delta: 1.0e-6}
columns:
  low: {kind: number, bounds: private}
  high: {kind: number, bounds: private}
  note: {kind: text, release: drop}
constraints:
  - {inequality: [low, "<=", high]}
trainer: {name: marginals}
"""


@pytest.mark.parametrize("odd", [1e305, 1.7976931348623157e308, float("inf")])
def test_one_row_decides_neither_warnings_nor_words(odd: float, capfd: pytest.CaptureFixture[str]) -> None:
    """Arithmetic on a row of huge numbers warns, and a day of the year 10000 is none to Python: nobody hears of it."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, 80)
    table = pd.DataFrame({"low": low, "high": low + rng.uniform(0, 9, 80), "note": "x"})
    table.loc[7, ["low", "high"]] = odd
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        privsynth.fit(Policy.from_text(EXTREME), table, ledger="sqlite://")
    assert not [w for w in heard if issubclass(w.category, RuntimeWarning)] and not capfd.readouterr().err


def test_what_fails_on_the_way_in_quotes_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("CANARY")

    table = pd.DataFrame({"low": [1.0] * 80, "high": [2.0] * 80, "note": "x"})
    for place in ("table.fingerprint.fingerprint", "table.reader.read_table", "table.intake.take_in"):
        with monkeypatch.context() as changed:
            changed.setattr(f"privsynth.{place}", fail)
            with pytest.raises(RuntimeError, match="failed: ValueError") as error:
                privsynth.fit(Policy.from_text(EXTREME), table, ledger="sqlite://")
        assert "CANARY" not in str(error.value) and error.value.__cause__ is None
