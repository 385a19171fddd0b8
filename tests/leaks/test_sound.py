"""What the sound code does where no other test looks, and the mutants of `mutants.py` do otherwise."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from privsynth.encoding.domain import learn_domain
from privsynth.policy import Policy
from privsynth.privacy.events import Gaussian, Geometric, SampledGaussian, ThresholdedGaussian
from privsynth.privacy.mechanisms.dpsgd import DPSGD
from privsynth.privacy.mechanisms.tables import Histograms, Marginals
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows, to_shares
from privsynth.table.private import PrivateTable


def some_rows(seed: int, rows_each: int) -> Rows[np.ndarray]:
    """80 units of 1 to `rows_each` rows; one of them alone has code 5 in the first column."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(80), rng.integers(1, rows_each + 1, 80))
    codes = rng.integers(0, 3, (len(units), 2)).astype(np.int32)
    codes[units == 17, 0] = 5
    return Rows(codes, units)


def dp_sgd(steps: int, after: Any = lambda step: None) -> DPSGD:
    module = torch.nn.Linear(2, 1).double()
    return DPSGD(
        SampledGaussian(1.0, 0.25, steps), module, lambda m, codes, noise: m(codes.double())[:, 0], after, 1.0, 80.0
    )


def test_who_joins_a_step_depends_on_random_draws_alone() -> None:
    """The same random draws choose the same units, whatever their rows hold and however many they have."""
    mechanism = dp_sgd(1)
    for seed in range(20):
        tables = [some_rows(0, 1), some_rows(1, 1), some_rows(2, 6), some_rows(3, 6)]
        chosen = [mechanism.joining(rows, Randomness(seed)).units.tolist() for rows in tables]
        assert chosen == [chosen[0]] * 4 and len(set(chosen[0])) == len(chosen[0])


def test_each_step_draws_every_unit_once_at_the_rate_that_was_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling rate and steps are the event's own, and nobody has a second chance to join a step."""
    tossed: list[tuple[float, int]] = []
    steps: list[int] = []
    honest = Randomness.bernoulli

    def bernoulli(self: Randomness, rate: float, count: int) -> Any:
        tossed.append((rate, count))
        return honest(self, rate, count)

    monkeypatch.setattr(Randomness, "bernoulli", bernoulli)
    dp_sgd(7, steps.append).answer(some_rows(0, 4), Randomness())
    assert tossed == [(0.25, 80)] * 7 and steps == list(range(7))


SIZES = {
    "one cell": (1,),
    "two of one cell": (1, 1),
    "one column": (4,),
    "one category": (1, 3),
    "no choice": (1, 1, 1),
}


@pytest.mark.parametrize("sizes", list(SIZES.values()), ids=list(SIZES))
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_every_table_has_its_noise_at_every_boundary(
    sizes: tuple[int, ...], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One column, one category, one row, none: the noise of each table is what its share of the budget asks for."""
    drawn: list[float] = []

    def record(self: Randomness, scale: float, shape: Any) -> np.ndarray:
        drawn.append(scale)
        return np.zeros(shape)

    monkeypatch.setattr(Randomness, "lattice_gaussian", record)
    d = len(sizes)
    few = Rows(np.zeros((rows, d), np.int32), np.arange(rows))
    Histograms(Gaussian(2.0), sizes).answer(few, Randomness())
    roots = np.cbrt(sizes)
    assert drawn == pytest.approx((2.0 * np.sqrt(roots.sum() / roots)).tolist(), rel=1e-6)
    if d > 1:
        drawn.clear()
        pairs = tuple(combinations(range(d), 2))
        shares = tuple(to_shares(np.ones(len(pairs))).tolist())
        Marginals(Gaussian(2.0), sizes, pairs, shares).answer(few, Randomness())
        assert drawn == pytest.approx([(2.0 * d * (d - 1)) ** 0.5] * (d * (d - 1) // 2), rel=1e-6)


POLICY = """\
privsynth: 1
dataset: {id: measured, rows: 60}
unit: row
budget: {epsilon: 1.0, delta: 1.0e-6}
columns:
  ward: {kind: category, categories: private}
  cost: {kind: number, bounds: private, decimals: 2}
trainer: {name: marginals}
"""


def test_the_domain_is_what_was_measured_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the noisy answers frozen, one extreme unit more changes neither bounds nor categories."""
    answers = {"categories: ward": {"east": 40, "west": 30}, "bounds: cost": np.full(126, 50)}

    def measure(self: PrivateTable[Any], mechanism: Any, run: Any) -> Any:
        return mechanism.released(answers[mechanism.name])

    monkeypatch.setattr(PrivateTable, "measure", measure)
    events = {"categories: ward": ThresholdedGaussian(1.0, 1e-6), "bounds: cost": Geometric(1.0)}
    frame = pd.DataFrame({"ward": ["east", "west"] * 30, "cost": np.arange(60.0)})
    learned = []
    for ward, cost in (("east", 3.0), ("nobody else's", 1e6), ("west", -1e6), ("east", np.nan)):
        more = pd.concat([frame, pd.DataFrame({"ward": [ward], "cost": [cost]})], ignore_index=True)
        plan = SimpleNamespace(event=lambda name, *kinds: events[name])
        private, run = PrivateTable(Rows(more, np.arange(61))), SimpleNamespace(plan=plan)
        learned.append(learn_domain(Policy.from_text(POLICY), private, run))  # type: ignore[arg-type]
    assert learned == [learned[0]] * 4


def test_mechanisms_are_set_up_alike_on_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a mechanism may hold is public: with the noisy answers frozen, every setting is the same with an extreme unit
    more. Replay compares them, since a setting that only decides how much noise there is would change nothing else."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "conformance"))
    from neighbours import EXTREME, HEADER, people
    from replay import Tape, replay, settings
    from test_replay import fitted, policy_of

    heard: list[str] = []

    def work(table: Any, tape: Tape) -> Any:
        out = fitted(policy)(table, tape)
        heard.extend(name for asked, _, _ in tape.heard for name in settings(asked))
        return out

    policy, table = policy_of("ctgan", "person"), people(1, 60, 3)
    extreme = pd.DataFrame([EXTREME] * 50, columns=list(HEADER))
    replay(work, table, pd.concat([table, extreme], ignore_index=True))
    assert {"sizes", "shares", "max_grad_norm", "expected_units"} <= set(heard)
