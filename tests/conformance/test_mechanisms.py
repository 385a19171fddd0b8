"""One suite over all mechanisms: stated sensitivity, boundaries, noise as stated, a release that sees no row.

Every class in `MECHANISMS` needs a case here: a mechanism without one fails `test_every_mechanism_has_a_case`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repeated import examples
from replay import ROUNDING, everybody, listed

from privsynth.policy.options import NetworkOptions
from privsynth.privacy.events import (
    DiscreteGaussian,
    Gaussian,
    Geometric,
    SampledGaussian,
    ThresholdedGaussian,
)
from privsynth.privacy.mechanisms.categories import OpenCategories
from privsynth.privacy.mechanisms.counts import PrivateBounds, RowCount, UnitSizes
from privsynth.privacy.mechanisms.dpsgd import DPSGD
from privsynth.privacy.mechanisms.tables import Histograms, Marginals
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows, to_shares
from privsynth.trainers.autoregressive import MaskedPrediction
from privsynth.trainers.modules import VAE, Critic, OneHot

Case = tuple[Any, Rows[Any], Rows[Any]]  # mechanism, a table, the table with one unit more
EXTREMES = [0.0, -0.0, 1.0, 30.0, -1e308, 1e308, math.inf, -math.inf, math.nan, 5e-324, 0.1 + 0.2, 2.0**62, -(2.0**63)]
WORDS = ["a", "b", "__other__", "", "é", None, "9" * 30]


@st.composite
def units(draw: Any, most: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """((rows,) units in order, (rows,) true for the rows of one of them): 0 to 7 others, and one of 1 to `most` rows."""
    counts = draw(st.lists(st.integers(1, 9), max_size=7))
    own = draw(st.sampled_from([1, 2, 3, 10, most]))
    place = draw(st.integers(0, len(counts)))
    counts = [*counts[:place], own, *counts[place:]]
    numbers = np.repeat(np.arange(len(counts)) * 17 - 40, counts).astype(np.int64)
    return numbers, numbers == place * 17 - 40


def both(values: Any, numbers: np.ndarray, own: np.ndarray) -> tuple[Rows[Any], Rows[Any]]:
    take = (
        (lambda kept: values[kept])
        if isinstance(values, np.ndarray)
        else (lambda kept: values[kept].reset_index(drop=True))
    )
    return Rows(take(~own), numbers[~own]), Rows(take(np.ones(len(own), bool)), numbers)


@st.composite
def frames(draw: Any) -> tuple[Rows[Any], Rows[Any]]:
    numbers, own = draw(units())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = np.where(rng.random(len(numbers)) < 0.3, rng.choice(EXTREMES, len(numbers)), rng.normal(10, 9, len(numbers)))
    word = np.array([WORDS[i] for i in rng.integers(0, len(WORDS), len(numbers))], dtype=object)
    word[own] = draw(st.sampled_from([*WORDS, "only mine"]))
    return both(pd.DataFrame({"x": x, "word": word}), numbers, own)


@st.composite
def codes(draw: Any, sizes: tuple[int, ...], most: int = 1000) -> tuple[Rows[Any], Rows[Any]]:
    numbers, own = draw(units(most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    table = np.stack([rng.integers(0, size, len(numbers)) for size in sizes], 1).astype(np.int32)
    if draw(st.booleans()):  # all rows of the unit alike: the worst case
        table[own] = table[own][0]
    return both(table, numbers, own)


def sizes(draw: Any) -> tuple[int, ...]:
    return tuple(draw(st.lists(st.sampled_from([1, 1, 2, 3, 50]), min_size=1, max_size=6)))


COUNT_EVENTS = st.sampled_from([Geometric(0.7), DiscreteGaussian(2.0)])


def row_count(draw: Any) -> Case:
    numbers, own = draw(units(1))
    numbers = np.arange(len(numbers))
    own = numbers == int(np.flatnonzero(own)[0])
    return RowCount(draw(COUNT_EVENTS)), *both(np.zeros((len(numbers), 1), np.int32), numbers, own)


def unit_sizes(draw: Any) -> Case:
    return UnitSizes(draw(COUNT_EVENTS), draw(st.sampled_from([(1,), (1, 2), (1, 2, 3, 5, 10, 50)]))), *draw(frames())


def bounds(draw: Any) -> Case:
    return PrivateBounds(draw(COUNT_EVENTS), "x", draw(st.sampled_from([1e-9, 0.01, 1.0]))), *draw(frames())


def categories(draw: Any) -> Case:
    return OpenCategories(ThresholdedGaussian(draw(st.sampled_from([0.3, 3.0, 50.0])), 1e-6), "word"), *draw(frames())


def histograms(draw: Any) -> Case:
    s = sizes(draw)
    return Histograms(Gaussian(1.5), s), *draw(codes(s))


def marginals(draw: Any) -> Case:
    """Tables of two to four columns, any of them."""
    s = sizes(draw)
    every = [table for ways in (2, 3, 4) for table in combinations(range(len(s)), ways)]
    tables = draw(st.lists(st.sampled_from(every), unique=True, max_size=20)) if every else []
    wanted = np.random.default_rng(draw(st.integers(0, 99))).dirichlet(np.full(max(len(tables), 1), 0.3))
    shares = to_shares(wanted[: len(tables)] + 1e-12)
    return Marginals(Gaussian(1.5), s, tuple(tables), tuple(shares.tolist())), *draw(codes(s))


def dpsgd(draw: Any) -> Case:
    s = sizes(draw)
    onehot, seed, steep = OneHot(s), draw(st.integers(0, 99)), draw(st.sampled_from([0.1, 1.0, 30.0]))
    torch.manual_seed(seed)
    module: torch.nn.Module
    latent, kind = 3, draw(st.sampled_from(["critic", "vae", "masked"]))
    if kind == "critic":
        module, loss = Critic(onehot.width, 5), lambda m, c, z: -m(onehot(c))
    elif kind == "vae":
        module, loss = VAE(onehot.width, 5, latent), elbo(onehot)
    else:
        network = masked_prediction(s, 5)
        module, loss, latent = network.private, network.loss, network.latent
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(steep)
    poison = draw(st.sampled_from([None, math.nan, math.inf, 1e300]))
    if poison is not None:  # rows whose first code is 0 have a loss beyond all bounds
        honest, factor = loss, torch.tensor([1.0, poison], dtype=torch.float64)
        loss = lambda m, c, z: honest(m, c, z) * factor[(c[:, 0] == 0).long()]  # noqa: E731
    clip = draw(st.sampled_from([1e-3, 1.0, 100.0]))
    event = SampledGaussian(1.1, 0.5, 2)
    one, other = draw(codes(s, 30))
    mechanism = DPSGD(event, module.double(), loss, lambda step: None, clip, 20.0, latent=latent)
    return mechanism, everybody(mechanism, one, Randomness(1)), everybody(mechanism, other, Randomness(1))


def masked_prediction(sizes: tuple[int, ...], hidden: int) -> MaskedPrediction:
    columns = [SimpleNamespace(shares=np.full(size, 1 / size)) for size in sizes]
    return MaskedPrediction(SimpleNamespace(sizes=sizes, columns=columns), NetworkOptions(hidden=hidden + 3))


def elbo(onehot: OneHot) -> Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]:
    def loss(module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        logits, mean, log_variance = module(onehot(codes), noise)
        return onehot.cross_entropy(logits, codes) - 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)

    return loss


CASES: dict[str, Callable[[Any], Case]] = {
    "RowCount": row_count, "UnitSizes": unit_sizes, "PrivateBounds": bounds, "OpenCategories": categories,
    "Histograms": histograms, "Marginals": marginals, "DPSGD": dpsgd,
}  # fmt: skip
EACH = pytest.mark.parametrize("name", list(CASES))
ALL = list(HealthCheck)


def furthest(name: str, examples: int, derandomize: bool) -> float:
    """Largest distance between the exact answers of neighbours, in units of the stated sensitivity."""
    seen = [0.0]

    @settings(max_examples=examples, deadline=None, derandomize=derandomize, suppress_health_check=ALL, print_blob=True)
    @given(data=st.data())
    def check(data: Any) -> None:
        mechanism, table, neighbour = CASES[name](data.draw)
        before = copy.deepcopy([table.values, neighbour.values])
        one, other = mechanism.query(table), mechanism.query(neighbour)
        seen.append(mechanism.distance(one, other))
        assert seen[-1] <= 1 + ROUNDING
        assert mechanism.distance(other, one) == pytest.approx(seen[-1])
        for rows, kept in zip((table, neighbour), before, strict=True):
            same = rows.values.equals(kept) if isinstance(kept, pd.DataFrame) else np.array_equal(rows.values, kept)
            assert same, "a query changed its rows"

    check()
    return max(seen)


def test_every_mechanism_has_a_case() -> None:
    assert {kind.__name__ for kind in listed()} == set(CASES)


@EACH
def test_neighbours_differ_by_the_stated_sensitivity(name: str) -> None:
    assert furthest(name, 60, derandomize=True) > 0.7, "the cases are not idle ones"


@pytest.mark.slow
@EACH
def test_many_neighbours_differ_by_the_stated_sensitivity(name: str) -> None:
    assert furthest(name, examples(300, full=1000), derandomize=False) > 0.9


@EACH
def test_a_mechanism_states_its_event_and_cannot_be_changed(name: str) -> None:
    @settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=ALL)
    @given(data=st.data())
    def check(data: Any) -> None:
        mechanism, table, _ = CASES[name](data.draw)
        assert isinstance(mechanism.name, str) and mechanism.event is not None
        with pytest.raises((FrozenInstanceError, AttributeError)):
            mechanism.event = Gaussian(100.0)
        exact = mechanism.query(table)
        noisy = mechanism.noised(exact, Randomness(3))
        again = mechanism.noised(exact, Randomness(3))
        assert _equal(mechanism.released(noisy), mechanism.released(again)), (
            "the release is a function of the noisy answer"
        )

    check()


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return list(one) == list(other) and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor):
        return bool(torch.equal(one, other))
    return bool(np.array_equal(one, other))


# --- noise as stated ---------------------------------------------------------------------------------------------------

MANY_DRAWS = 40_000
EMPTY = Rows(np.zeros((0, 2), np.int32), np.zeros(0, np.int64))


@pytest.mark.statistical
@pytest.mark.parametrize("event", [Geometric(0.5), DiscreteGaussian(3.0)], ids=["geometric", "discrete gaussian"])
def test_counts_have_the_noise_of_their_event(event: Any) -> None:
    """Standard deviation within 4 %. False alarms: below 1e-9 (6.5 standard errors of a geometric's, whose kurtosis is
    6; the seven times as many of a Gaussian's)."""
    mechanism = UnitSizes(event, (1,))
    zeros = np.zeros(MANY_DRAWS * (2 if isinstance(event, Geometric) else 1), np.int64)
    noise = mechanism.noised(zeros, Randomness())
    a = math.exp(-0.5)
    want = math.sqrt(2 * a) / (1 - a) if isinstance(event, Geometric) else 3.0
    assert noise.std() == pytest.approx(want, rel=0.04) and np.array_equal(noise, np.rint(noise))


@pytest.mark.statistical
def test_tables_have_the_noise_of_their_shares() -> None:
    """Scaled by the root of its share every table has noise of `noise_multiplier`. False alarms: below 1e-9."""
    h = Histograms(Gaussian(1.7), (MANY_DRAWS, 5, 1))
    noise = h.noised(h.query(Rows(np.zeros((0, 3), np.int32), np.zeros(0, np.int64))), Randomness())
    assert noise[0].std() * math.sqrt(h.shares[0]) == pytest.approx(1.7, rel=0.025)
    p = Marginals(Gaussian(1.7), (200, 200), ((0, 1),), (0.375,))
    table = p.noised(p.query(EMPTY), Randomness())[0, 1]
    assert table.std() * math.sqrt(0.375) == pytest.approx(1.7, rel=0.025)


@pytest.mark.statistical
def test_gradients_have_the_noise_of_the_clip_and_are_rounded() -> None:
    """False alarms: below 1e-9. What is released are multiples of one power of two: no low bit is left to read."""
    module = torch.nn.Linear(MANY_DRAWS, 1, bias=False).double()
    mechanism = DPSGD(SampledGaussian(1.3, 0.5, 1), module, lambda m, c, z: m(c)[:, 0], lambda step: None, 0.7, 10.0)
    noise = mechanism.noised([torch.zeros(MANY_DRAWS, dtype=torch.float64)], Randomness())[0]
    assert float(noise.std()) == pytest.approx(1.3 * 0.7, rel=0.025)
    granularity = mechanism.granularity
    assert 1.3 * 0.7 / 32 <= granularity <= 1.3 * 0.7 / 16 and math.log2(granularity) == round(math.log2(granularity))
    assert torch.equal(noise / granularity, torch.round(noise / granularity))
    shifted = mechanism.noised([torch.full((MANY_DRAWS,), 1 / 3, dtype=torch.float64)], Randomness())[0]
    assert set((shifted / granularity).tolist()) & set((noise / granularity).tolist()), (
        "both inputs reach the same outputs"
    )


def test_a_module_in_single_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="double precision"):
        DPSGD(SampledGaussian(1.0, 0.5, 1), torch.nn.Linear(2, 1), lambda m, c, z: m(c), lambda step: None, 1.0, 1.0)
