"""DP-SGD as a mechanism: its sampling, noise and arithmetic; LEAKS 1, 5 to 8, 23, 28. Its clipping: test_clipping.py.

That neighbours differ by the stated sensitivity is in tests/conformance/test_mechanisms.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dpsgd_cases import CASES, LATENT, SIZES, Loss, critic_case, flat, joined, some_rows, vae_case
from scipy import stats

from privsynth.privacy.events import SampledGaussian
from privsynth.privacy.mechanisms import dpsgd
from privsynth.privacy.mechanisms.dpsgd import DPSGD, MARGIN, clipped_sum, poisson_rows
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows
from privsynth.trainers.modules import OneHot

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook")


@pytest.fixture(autouse=True)
def same_weights() -> None:
    torch.manual_seed(3)


# --- the mechanism as a whole -----------------------------------------------------------------------------------------


class Frozen(Randomness):
    """No noise; everybody joins; the first row of each unit."""

    def normal(self, shape: Any) -> np.ndarray:
        return np.zeros(shape)

    def bernoulli(self, rate: float, count: int) -> np.ndarray:
        return np.ones(count, bool)

    def uniform(self, shape: Any) -> np.ndarray:
        return np.full(shape, 1e-9)


def released(
    case: Any, values: np.ndarray, units: np.ndarray, randomness: Randomness, *, loss: Loss | None = None,
    steps: int = 1, sigma: float = 1.0, rate: float = 0.5, clip: float = 0.4, expected: float = 10.0,
) -> list[torch.Tensor]:  # fmt: skip
    """What `after` saw, step by step; the network stays as it was."""
    torch.manual_seed(5)
    module, own_loss = case()
    seen: list[torch.Tensor] = []

    def after(step: int) -> None:
        assert step == len(seen)
        seen.append(flat(module.parameters()))

    mechanism = DPSGD(SampledGaussian(sigma, rate, steps), module, loss or own_loss, after, clip, expected, LATENT)
    mechanism.answer(Rows(values.astype(np.int32), units), randomness)
    return seen


def unclipped(module: Any, loss: Loss, codes: torch.Tensor, noise: torch.Tensor, clip: float) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss(module, codes, noise).sum(), list(module.parameters())))


@CASES
def test_distance_finds_a_twin_that_does_not_clip(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def furthest() -> float:
        """Of a step's exact sums on neighbours, where everybody joins."""
        found = []
        for seed in range(4):
            rng = np.random.default_rng(seed)
            units = np.repeat(np.arange(8), rng.integers(1, 5, 8))
            values, kept = some_rows(len(units), seed).numpy().astype(np.int32), units != rng.integers(8)
            torch.manual_seed(5)
            module, loss = case()
            mechanism = DPSGD(SampledGaussian(1.0, 0.5, 1), module, loss, lambda step: None, 0.4, 10.0, LATENT)
            tables = Rows(values, units), Rows(values[kept], units[kept])
            found.append(mechanism.distance(*(mechanism.query(mechanism.joining(t, Frozen())) for t in tables)))
        return max(found)

    assert 0.5 < furthest() <= 1  # rounding included
    monkeypatch.setattr(dpsgd, "clipped_sum", unclipped)
    assert furthest() > 1.5


def test_replay_finds_a_twin_that_divides_by_the_batch() -> None:
    """LEAKS 5."""
    values, units = np.zeros((8, 3), int), np.arange(8)
    alike = [released(critic_case, values[:n], units[:n], Frozen(), sigma=1e-5)[0] for n in (7, 8)]
    assert float((alike[1] - alike[0]).norm()) * 5 / 0.4 == pytest.approx(1, abs=1e-4)
    assert float(alike[1].norm() / alike[0].norm()) == pytest.approx(8 / 7, rel=1e-4)  # a mean would show no unit more


def test_a_unit_without_gradient_changes_nothing() -> None:
    """The divisor is public: one unit more whose gradient is zero leaves every released bit as it was."""
    module_loss = critic_case()[1]

    def partly(module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return module_loss(module, codes, noise) * (codes[:, 2] != 3)

    values, units = np.array([[0, 1, 1], [1, 2, 0], [0, 0, 3]]), np.arange(3)
    whole, less = (released(critic_case, values[:n], units[:n], Frozen(), loss=partly, sigma=1e-5)[0] for n in (3, 2))
    assert torch.equal(whole, less)
    assert whole.norm() > 0


@pytest.mark.statistical
def test_noise_has_the_scale_that_was_paid_for() -> None:
    """A zero loss releases noise alone. False alarms: below 2e-8 (one per cent is 6.4 standard errors)."""
    sigma, clip, rate, expected = 1.7, 0.6, 0.2, 50.0
    for values in (some_rows(20).numpy(), np.zeros((0, 3), int)):
        seen = released(
            critic_case, values, np.arange(len(values)), Randomness(), loss=zero_loss,
            steps=800, sigma=sigma, clip=clip, rate=rate, expected=expected,
        )  # fmt: skip
        noise = torch.cat(seen)
        assert len(seen) == 800
        assert float(noise.std()) == pytest.approx(sigma * clip / (rate * expected), rel=0.01)
        assert abs(float(noise.mean())) < 6 * float(noise.std()) / len(noise) ** 0.5
        assert not torch.equal(seen[0], seen[1])


def zero_loss(module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    return 0.0 * module(OneHot(SIZES)(codes))


@CASES
def test_every_step_is_taken_even_with_nobody_in_it(case: Any) -> None:
    values, units = some_rows(5).numpy(), np.arange(5)
    seen = released(case, values, units, Randomness(), steps=7, rate=1e-9)
    assert len(seen) == 7 and all(step.norm() > 0 for step in seen)
    assert len(released(case, values[:0], units[:0], Randomness(), steps=3)) == 3
    quiet = released(case, values[:0], units[:0], Frozen(), steps=2)
    assert all(step.norm() == 0 for step in quiet)  # and adds nothing but noise


@CASES
def test_an_empty_table_gives_zeros_of_the_right_shapes(case: Any) -> None:
    module, loss = case()
    mechanism = DPSGD(SampledGaussian(1.0, 0.5, 1), module, loss, lambda step: None, 1.0, 10.0, LATENT)
    empty = Rows(np.zeros((0, 3), np.int32), np.zeros(0, np.int64))
    nobody = mechanism.joining(empty, Randomness())
    assert len(nobody) == 0 and nobody.noise.shape == (0, LATENT)
    exact = mechanism.query(nobody)
    assert [g.shape for g in exact] == [p.shape for p in module.parameters()]
    assert all(g.dtype == torch.float64 and not g.any() for g in exact)


def test_the_module_comes_back_plain() -> None:
    module, loss = critic_case()

    def broken(step: int) -> None:
        raise RuntimeError("stop")

    def broken_loss(module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("stop")

    for one_loss, after in ((loss, broken), (broken_loss, lambda step: None)):
        with pytest.raises(RuntimeError, match="stop"):
            mechanism = DPSGD(SampledGaussian(1.0, 1.0, 2), module, one_loss, after, 1.0, 10.0)
            mechanism.answer(Rows(some_rows(5).numpy(), np.arange(5)), Randomness())
        assert not any(part._forward_hooks or part._backward_hooks for part in module.modules())


# --- random numbers ---------------------------------------------------------------------------------------------------


def state_after(case: Any, rows: int, own: bool = False) -> list[bytes]:
    """torch's random state as each `after` finds it, and at the end; everybody joins. own: the loss draws for itself."""
    module, honest = case()
    torch.manual_seed(5)
    states: list[bytes] = []

    def drawing(module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return honest(module, codes, noise) * torch.rand(len(codes), dtype=torch.float64)

    def after(step: int) -> None:
        states.append(torch.get_rng_state().numpy().tobytes())
        torch.rand(3)  # the generator's own noise

    loss = drawing if own else honest
    mechanism = DPSGD(SampledGaussian(1.0, 1.0, 3), module, loss, after, 1.0, 10.0, LATENT)
    mechanism.answer(Rows(some_rows(rows).numpy().astype(np.int32), np.arange(rows)), Randomness())
    return [*states, torch.get_rng_state().numpy().tobytes()]


@CASES
def test_the_random_state_that_stays_tells_nothing_of_the_batch(case: Any) -> None:
    """What post-processing draws next must not show how many rows there were: a loss has its numbers from `joining`."""
    before = state_after(case, 0)
    assert len(set(before)) == 4  # `after` drew in between
    assert all(state_after(case, rows) == before for rows in (1, 7, 700))
    assert state_after(case, 7, own=True) != state_after(case, 8, own=True), "a loss that draws for itself is seen"


@pytest.mark.statistical
def test_latent_noise_is_normal_and_each_rows_own() -> None:
    """False alarms: below 1e-9 (four tests of 2e-10)."""
    module, loss = vae_case()
    mechanism = DPSGD(SampledGaussian(1.0, 0.5, 1), module, loss, lambda step: None, 1.0, 10.0, LATENT)
    values, source = np.repeat(some_rows(5000).numpy().astype(np.int32), 2, 0), Randomness()
    one, two = (mechanism.joining(Rows(values, np.repeat(np.arange(5000), 2)), source).noise for _ in range(2))
    n = min(len(one), len(two))
    assert one.shape[1] == LATENT and 2200 < n < 2800
    assert stats.kstest(np.concatenate([one, two]).ravel(), "norm").pvalue > 2e-10
    for other in (two[:n], np.roll(one[:n], 1, axis=0), np.roll(one[:n], 1, axis=1)):
        assert stats.pearsonr(one[:n].ravel(), other.ravel()).pvalue > 2e-10


# --- double precision -------------------------------------------------------------------------------------------------

ALIKE = 4096


def moved(dtype: torch.dtype, clip: float, place: int) -> float:
    """How far one unit more moves the sum of 4,096 clipped gradients that all point the same way, in clip norms.

    place: where the unit stands among the others.
    """
    module = torch.nn.Linear(3, 1, bias=False).to(dtype)
    directions = torch.tensor([[1.0, 2.0, 2.0], [1.0, 2.0, 2.0]], dtype=dtype)

    def loss(module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return 100 * module(directions[codes[:, 0]])[:, 0]  # steep: everybody is clipped

    codes = torch.zeros((ALIKE, 1), dtype=torch.int64)
    more = torch.cat([codes[:place], torch.ones((1, 1), dtype=torch.int64), codes[place:]])
    tables = ((c, c[:, :0].to(dtype)) for c in (codes, more))
    one, other = (joined(clipped_sum(module, loss, *table, clip * (1 - MARGIN))) for table in tables)
    return float((other.double() - one.double()).norm()) / clip


def test_double_precision_is_needed_and_is_enough() -> None:
    """Why DP-SGD refuses float32: rounding the sum of the others moves it by more than any margin, since the unit
    decides how the others are rounded."""
    cases = [(clip, place) for clip in (0.3, 0.7, 1.0, 1.3, 3.0) for place in (0, 2048, ALIKE)]
    double = [moved(torch.float64, *case) for case in cases]
    assert all(1 - 2 * MARGIN < distance <= 1 for distance in double)
    single = [moved(torch.float32, *case) for case in cases]
    assert max(single) > 1 + 10 * MARGIN
    with pytest.raises(ValueError, match="double precision"):
        DPSGD(SampledGaussian(1.0, 0.5, 1), torch.nn.Linear(3, 1), lambda m, c, z: m(c), lambda step: None, 1.0, 1.0)
    with pytest.raises(ValueError, match="too many parameters"):
        large = torch.nn.Linear(50_000, 2_000, device="meta", dtype=torch.float64)
        DPSGD(SampledGaussian(1.0, 0.5, 1), large, lambda m, c, z: m(c), lambda step: None, 1.0, 1.0)
    mixed = torch.nn.Sequential(torch.nn.Linear(3, 2).double(), torch.nn.Linear(2, 1))
    with pytest.raises(ValueError, match="double precision"):
        DPSGD(SampledGaussian(1.0, 0.5, 1), mixed, lambda m, c, z: m(c), lambda step: None, 1.0, 1.0)


def test_a_module_that_keeps_statistics_is_refused() -> None:
    """Running statistics of a batch would leave the mechanism without noise."""
    keeps = torch.nn.Sequential(
        torch.nn.Linear(3, 2), torch.nn.InstanceNorm1d(2, affine=True, track_running_stats=True)
    )
    with pytest.raises(ValueError, match="buffers"):
        DPSGD(SampledGaussian(1.0, 0.5, 1), keeps.double(), lambda m, c, z: m(c), lambda step: None, 1.0, 1.0)


# --- Poisson sampling -------------------------------------------------------------------------------------------------


def batches(rate: float, repeats: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """(units of the rows, chosen rows of each batch): 300 units of 1 to 5 rows."""
    units = np.repeat(np.arange(300), np.arange(300) % 5 + 1)
    first, count = Rows(units, units).spans
    source = Randomness()
    return units, [poisson_rows(first, count, rate, source) for _ in range(repeats)]


def check_sizes(sizes: np.ndarray, n: int, q: float) -> None:
    """Mean and variance of batch sizes; each refuses right ones once in 10^7."""
    assert abs(sizes.mean() - n * q) < 5.4 * np.sqrt(n * q * (1 - q) / len(sizes))
    assert 0.85 < sizes.var() / (n * q * (1 - q)) < 1.15  # 5.4 standard errors are .12


@pytest.mark.statistical
def test_batches_are_poisson_over_units() -> None:
    """False alarms: below 1e-6 (sizes 3e-7, inclusion 1e-7, rows of a unit 4e-7)."""
    units, drawn = batches(0.2, 4000)
    check_sizes(np.array([len(batch) for batch in drawn]), 300, 0.2)
    assert all(len(np.unique(units[batch])) == len(batch) for batch in drawn)  # one row of a unit at most
    times = np.bincount(units[np.concatenate(drawn)], minlength=300)
    each = stats.binom.isf(1e-7 / 600, 4000, 0.2), stats.binom.ppf(1e-7 / 600, 4000, 0.2)
    assert times.max() <= each[0] and times.min() >= each[1]  # every unit's inclusion rate is q, whatever its rows
    rows = np.bincount(np.concatenate(drawn), minlength=len(units))
    for unit in range(1, 5):  # units of 2 to 5 rows: all of the kind pooled
        kind = rows[np.flatnonzero(units % 5 == unit)].reshape(-1, unit + 1).sum(0)
        assert stats.chisquare(kind).pvalue > 1e-7


def test_other_samplings_are_refused() -> None:
    """Variants: fixed batches of a shuffle, and Poisson over rows (LEAKS 6 and 28)."""
    with pytest.raises(AssertionError):
        check_sizes(np.full(4000, 60), 300, 0.2)
    with pytest.raises(AssertionError):
        check_sizes(np.random.default_rng(0).binomial(900, 0.2, 4000), 300, 0.2)


def test_rows_stay_inside_their_unit_at_the_ends_of_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    units = np.array([0, 0, 0, 4, 4, 9])
    first, count = Rows(units, units).spans
    for word, want in ((2**64 - 1, [2, 4, 5]), (0, [0, 3, 5])):
        monkeypatch.setattr(Randomness, "words", lambda self, n, word=word: np.full(n, word, np.uint64))
        monkeypatch.setattr(Randomness, "bernoulli", lambda self, rate, n: np.ones(n, bool))
        assert poisson_rows(first, count, 0.5, Randomness()).tolist() == want
