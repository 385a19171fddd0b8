"""What measured facts tell: unreadable cells stop a run, failed ranges and lists are told, max_rows and weights show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import privsynth
from privsynth.encoding.codec import Codec
from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.domain import MEASURED, ColumnDomain, Domain
from privsynth.encoding.lost import failures, losses, lost_share, remarks
from privsynth.encoding.readable import Readability
from privsynth.encoding.requests import UNREADABLE, margin, readable_share
from privsynth.errors import InputError, Refused
from privsynth.ledger.ledger import Ledger
from privsynth.planning import make_plan
from privsynth.policy import Policy
from privsynth.privacy.unit import Rows
from privsynth.table.names import state_of
from privsynth.table.raw import BLANK, NO_VALUE, REGULAR

POLICY = """\
privsynth: 1
dataset: {id: t, rows: 2000}
unit: row
budget: {epsilon: 3, delta: 1.0e-5}
columns:
  a: {kind: number, bounds: [0, 1000], decimals: 2}
  b: {kind: integer, bounds: [0, 9]}
  c: {kind: category, categories: [x, y]}
"""


def table(share: float, rows: int = 2000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    a = [f"{v:.2f}" for v in rng.uniform(0, 1000, rows)]
    for i in rng.permutation(rows)[: round(share * rows)]:
        a[i] = "1,234.50"
    return pd.DataFrame({"a": a, "b": rng.integers(0, 10, rows).astype(str), "c": rng.choice(["x", "y"], rows)})


def test_a_table_written_otherwise_stops_the_run_and_says_what_it_cost() -> None:
    """40 % against a limit of 2 %: the noise of the count would have to be 15 standard deviations off."""
    ledger = Ledger("sqlite://")
    with pytest.raises(Refused, match="cannot be read as kind number") as error:
        privsynth.fit(Policy.from_text(POLICY), table(0.4), ledger=ledger)
    (problem,) = error.value.problems
    assert problem.place.endswith("columns.a") and "2 %" in problem.rule and "doctor" in problem.hint
    assert error.value.cost.startswith("epsilon 2.9") and error.value.cost in str(error.value)
    assert "1,234" not in str(error.value), "no value in a message"
    charged = [entry["body"] for entry in ledger.entries("t") if entry["kind"] == "charge"]
    assert len(charged) == 2 and UNREADABLE in charged[1], "nothing else had run"


def test_some_unreadable_cells_stop_nothing_and_the_limit_is_the_policys() -> None:
    """1 % against 2 %, and 40 % against 50 %: a false alarm has probability 0.001 at most."""
    privsynth.fit(Policy.from_text(POLICY), table(0.01), ledger="sqlite://")
    privsynth.fit(
        Policy.from_text(POLICY.replace("rows: 2000", "rows: 2000, unreadable: 0.5")), table(0.4), ledger="sqlite://"
    )


def test_unreadable_cells_that_stop_nothing_are_told() -> None:
    """1.5 % against a limit of 2 %, and in column b none: the paid share, which may be told, in `fit`, `run` and the report."""
    synthesizer = privsynth.fit(Policy.from_text(POLICY + "seed: 3\n"), table(0.015, 20_000), ledger="sqlite://")
    (told,) = synthesizer.warnings
    assert (
        told.startswith(("Column 'a': about 1 %", "Column 'a': about 2 %"))
        and "cannot be read as kind number, and count as missing" in told
    )
    assert not list(failures(synthesizer.codec)), "the policy allows it"


def test_what_is_noticed_follows_from_public_facts() -> None:
    """The margin: sqrt(columns) / mu is the standard deviation of a count, whatever the table holds."""
    assert margin(1, 0.1) == pytest.approx(30.9, abs=0.1)
    assert margin(4, 0.1) == pytest.approx(2 * 34.8, abs=0.5)
    policy = Policy.from_text(POLICY)
    (item,) = [item for item in make_plan(policy).items if item.name == UNREADABLE]
    assert item.share == readable_share(policy) and "above" in item.purpose and "is noticed" in item.purpose
    small = Policy.from_text(
        POLICY.replace("rows: 2000", "rows: 60").replace("1.0e-5", "1.0e-3").replace("epsilon: 3", "epsilon: 0.1")
    )
    assert "too noisy for so few rows" in next(i.purpose for i in make_plan(small).items if i.name == UNREADABLE)


def test_only_cells_of_no_kind_count() -> None:
    states = np.array([REGULAR, BLANK, NO_VALUE, 0, NO_VALUE], np.int8)
    rows = Rows(pd.DataFrame({state_of("a"): states}), np.arange(5))
    assert Readability(("a",)).encode(rows).values[:, 0].tolist() == [0, 0, 1, 0, 1]


def test_names_and_types_cost_nothing() -> None:
    ledger = Ledger("sqlite://")
    wrong = table(0.0).rename(columns={"a": "z"})
    with pytest.raises(InputError) as error:
        privsynth.fit(Policy.from_text(POLICY), wrong, ledger=ledger)
    assert error.value.cost == "nothing, since no row was read" and ledger.spent("t") == (0.0, 0.0)
    with pytest.raises(InputError, match="its type in the table is timestamp") as error:
        privsynth.fit(Policy.from_text(POLICY), table(0.0).assign(b=pd.Timestamp("2024-01-01")), ledger=ledger)
    assert ledger.spent("t") == (0.0, 0.0) and "date or datetime" in error.value.problems[0].hint


OPEN = """\
privsynth: 1
dataset: {id: t, rows: 3000}
unit: row
seed: 1
budget: {epsilon: 2, delta: 1.0e-5}
columns:
  claim: {kind: number, bounds: private, decimals: 2}
  agent: {kind: category, categories: private}
  region: {kind: category, categories: private}
"""


def test_a_list_that_lost_its_column_is_told() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "claim": rng.uniform(0, 100, 3000).round(2),
            "agent": [f"AG{i:04d}" for i in rng.integers(0, 1500, 3000)],
            "region": rng.choice(["N", "S"], 3000),
        }
    )
    synthesizer = privsynth.fit(Policy.from_text(OPEN), frame, ledger="sqlite://")
    (told,) = failures(synthesizer.codec)
    assert told in synthesizer.warnings and told.startswith("Column 'agent': 100 % of rows") and "__other__" in told
    shares = {column.domain.name: lost_share(column) for column in synthesizer.codec.columns}
    assert shares["agent"] > 0.9 and shares["region"] < 0.05 and shares["claim"] < 0.02


def test_a_range_that_lost_its_tail_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back: the range of 0.1.0, which single buckets alone could extend."""
    from privsynth.privacy.mechanisms.counts import PrivateBounds

    rng = np.random.default_rng(0)
    claim = np.where(rng.random(3000) < 0.9, 0.0, np.exp(rng.normal(6, 2, 3000)).round(2))
    frame = pd.DataFrame({"claim": claim, "agent": "A", "region": rng.choice(["N", "S"], 3000)})
    good = privsynth.fit(Policy.from_text(OPEN), frame, ledger="sqlite://")
    assert good.codec.domain["claim"].high * 0.01 > 500
    (told,) = good.warnings  # 300 of 3,000 claims are not 0, about 49 of them beyond 2,621.43
    assert told.startswith("Column 'claim': 1.") and "% of those without its most frequent value," in told
    monkeypatch.setattr(PrivateBounds, "_used", lambda self, noisy: noisy == noisy.max())
    bad = privsynth.fit(Policy.from_text(OPEN), frame, ledger="sqlite://")
    (told,) = failures(bad.codec)
    assert told.startswith("Column 'claim': ") and "beyond the measured range" in told
    assert bad.sample(500, seed=1)["claim"].max() <= bad.codec.domain["claim"].high * 0.01


def range_codec(high: int, beyond: float, mode: float, noise: float) -> Codec:
    """A measured range from 0 to `high`: such shares of rows beyond it and at 0."""
    column = ColumnDomain("claim", "integer", high=high, source=MEASURED)
    size = column.cells + 1
    density = np.full(size, (1 - beyond - mode) / (size - 4))
    density[[0, 1, column.regular - 1, size - 1]] = 0.0, mode, beyond, 0.0
    own = ColumnCodec(column, np.arange(size, dtype=np.int32), density, density, np.full(size, noise))
    return Codec(Domain((column,), 1_000), (own,), 1_000.0)


@pytest.mark.parametrize(("high", "beyond", "mode", "noise", "told", "failed"), [
    (100, 0.03, 0.4, 0.001, "3.0 % of rows have a value beyond the measured range, and leave as its ends. State public", True),
    (100, 0.012, 0.9, 0.001, "1.2 % of rows, 12 % of those without its most frequent value, have", True),
    (100, 0.012, 0.1, 0.001, "1.2 % of rows have a value beyond the measured range, and leave as its ends.", False),
    (100, 0.012, 0.9, 0.01, "", False),
    (1, 0.004, 0.99, 0.0005, "the measured range holds no value but 0; 0.4 % of rows have a value beyond", True),
    (1, 0.004, 0.99, 0.01, "the measured range holds no value but 0; others are too rare to be found, if there are any", True),
], ids=["two per cent", "of few others", "a tail", "noise", "one value", "nothing else"])  # fmt: skip
def test_what_a_range_lost_is_told_by_its_share_of_what_is_there(
    high: int, beyond: float, mode: float, noise: float, told: str, failed: bool
) -> None:
    """93 % zeros: all other values may lie beyond the range and still be less than two per cent of the rows."""
    codec = range_codec(high, beyond, mode, noise)
    assert [told in text for text, _ in losses(codec)] == ([True] if told else [])
    assert len(list(failures(codec))) == failed


VISITS = """\
privsynth: 1
dataset: {id: t, rows: 6000}
unit: {column: who, max_rows: 3}
seed: 1
budget: {epsilon: 5, delta: 1.0e-5}
columns:
  who: {kind: id, release: drop}
  ward: {kind: category, categories: [dialysis, er, clinic]}
  b: {kind: integer, bounds: [0, 9]}
release: {WEIGHTS}
"""


@pytest.mark.parametrize(("weights", "low", "high"), [("rows", 0.5, 0.9), ("units", 0.02, 0.12), ("", 0.05, 0.3)])
def test_weights_choose_whose_distribution_leaves(weights: str, low: float, high: float) -> None:
    """60 of 1,000 people have 80 rows of dialysis each: 72 % of rows, 6 % of people, 9 % of the rows that are kept."""
    rng = np.random.default_rng(0)
    who = np.concatenate([np.repeat(np.arange(60), 80), np.repeat(np.arange(60, 1000), 2)])
    ward = np.where(who < 60, "dialysis", rng.choice(["er", "clinic"], len(who)))
    frame = pd.DataFrame({"who": who, "ward": ward, "b": rng.integers(0, 10, len(who))})
    policy = Policy.from_text(VISITS.replace("WEIGHTS", f"weights: {weights}" if weights else "rows: 500"))
    synthesizer = privsynth.fit(policy, frame, ledger="sqlite://")
    assert low < (synthesizer.sample(4000, seed=1)["ward"] == "dialysis").mean() < high
    assert synthesizer.codec.domain.dropped == pytest.approx(0.69, abs=0.12)
    (told,) = [
        text
        for text in remarks(synthesizer.codec, policy, make_plan(policy))
        if "beyond the 3 that are used of each unit" in text
    ]
    lines = [line for line in make_plan(policy).signal if line.startswith("numbers of rows: fewer than about")]
    assert bool(lines) == (weights != "units"), "what noise hides of them is said beforehand"
    assert ("follows all rows" in told, "counts each unit alike" in told) == (weights == "rows", weights == "units")
