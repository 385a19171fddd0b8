"""DP-SGD against an autograd oracle and by replay; LEAKS 1 to 8, 15, 18, 20, 28."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from scipy import stats

from privsynth.privacy import dpsgd
from privsynth.privacy.dpsgd import DPSGD, clipped_sum, poisson_rows
from privsynth.privacy.events import SampledGaussian
from privsynth.privacy.noise import Randomness
from privsynth.table import Rows
from privsynth.trainers.networks import VAE, Critic, OneHot

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook")

SIZES = (2, 3, 4)
Loss = Callable[[Any, torch.Tensor], torch.Tensor]


def critic_case() -> tuple[torch.nn.Module, Loss]:
    onehot = OneHot(SIZES)
    return Critic(onehot.width, 11), lambda module, codes: -module(onehot(codes))


def vae_case() -> tuple[torch.nn.Module, Loss]:
    onehot = OneHot(SIZES)

    def loss(module: Any, codes: torch.Tensor) -> torch.Tensor:
        logits, mean, log_variance = module(onehot(codes))
        return onehot.cross_entropy(logits, codes) - 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)

    return VAE(onehot.width, 13, 5), loss


CASES = pytest.mark.parametrize("case", [critic_case, vae_case], ids=["critic", "vae"])


@pytest.fixture(autouse=True)
def still_latent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The VAE's latent noise is the same for every row, so that batches of different cut can be compared."""
    torch.manual_seed(3)
    monkeypatch.setattr(torch, "randn_like", lambda x: torch.linspace(-1, 1, x.shape[-1]).expand_as(x))


def some_rows(n: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([rng.integers(0, size, n) for size in SIZES], 1))


def flat(parameters: Any) -> torch.Tensor:
    return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.ravel().clone() for p in parameters])


def row_gradients(module: torch.nn.Module, loss: Loss, rows: torch.Tensor) -> torch.Tensor:
    """(rows, parameters) by plain autograd, one row at a time."""
    found = []
    for row in rows:
        module.zero_grad(set_to_none=True)
        loss(module, row[None]).sum().backward()
        found.append(flat(module.parameters()))
    module.zero_grad(set_to_none=True)
    return torch.stack(found)


def oracle(module: torch.nn.Module, loss: Loss, rows: torch.Tensor, clip: float) -> torch.Tensor:
    each = row_gradients(module, loss, rows)
    return (each * (clip / each.norm(dim=1)).clamp(max=1)[:, None]).sum(0)


def ghost(module: torch.nn.Module, loss: Loss, rows: torch.Tensor, clip: float) -> torch.Tensor:
    module.zero_grad(set_to_none=True)
    tracked = GradSampleModuleFastGradientClipping(
        module, max_grad_norm=clip, use_ghost_clipping=True, loss_reduction="sum"
    )
    try:
        tracked.enable_hooks()
        clipped_sum(tracked, loss, rows)
        tracked.disable_hooks()
        return flat(module.parameters())
    finally:
        tracked.to_standard_module()


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a - b).norm() <= 2e-5 * (1e-3 + b.norm()))


@CASES
@pytest.mark.parametrize("clip", [1e-3, 0.3, 1.0, 1e4])
def test_clipped_sum_equals_the_oracle(case: Any, clip: float) -> None:
    module, loss = case()
    rows = some_rows(40)
    want = oracle(module, loss, rows, clip)
    assert close(ghost(module, loss, rows, clip), want)
    assert not close(ghost(module, loss, rows, 2 * clip), want) or clip > 1e3  # the norm is not ignored
    if clip < 1:
        assert want.norm() <= 40 * clip * (1 + 1e-5)


@CASES
def test_one_row_is_at_most_the_norm(case: Any) -> None:
    module, loss = case()
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(20)  # steep
    for row in some_rows(15):
        assert ghost(module, loss, row[None], 0.7).norm() <= 0.7 * (1 + 1e-5)


@CASES
def test_physical_batches_do_not_show(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, loss = case()
    rows = some_rows(64)
    found = []
    for size in (1, 8, 63, 64):
        monkeypatch.setattr(dpsgd, "PHYSICAL_BATCH", size)
        found.append(ghost(module, loss, rows, 0.5))
    assert all(close(f, oracle(module, loss, rows, 0.5)) for f in found)


def poisoned(loss: Loss, factor: float) -> Loss:
    """Rows with code 3 in the last column have a loss beyond all bounds."""
    return lambda module, codes: loss(module, codes) * torch.where(codes[:, 2] == 3, torch.tensor(factor), 1.0)


@CASES
@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -float("inf"), 3e38])
@pytest.mark.parametrize("size", [4096, 5])
def test_nan_and_infinity_add_nothing(case: Any, factor: float, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module, loss = case()
    monkeypatch.setattr(dpsgd, "PHYSICAL_BATCH", size)
    rows = some_rows(40)
    good = rows[rows[:, 2] != 3]
    assert 0 < len(good) < 40
    assert close(ghost(module, poisoned(loss, factor), rows, 0.5), oracle(module, loss, good, 0.5))
    only_bad = rows[rows[:, 2] == 3]
    assert ghost(module, poisoned(loss, factor), only_bad, 0.5).norm() == 0


@CASES
def test_a_nan_gradient_of_a_finite_loss_adds_nothing(case: Any) -> None:
    module, loss = case()

    def sharp(module: Any, codes: torch.Tensor) -> torch.Tensor:
        each, bad = loss(module, codes), codes[:, 2] == 3
        return each + torch.where(bad, each - each.detach(), 1.0).abs().pow(0.5) * bad  # 0 there, its slope infinite

    rows = some_rows(30)
    assert torch.isfinite(sharp(module, rows)).all()
    good = rows[rows[:, 2] != 3]
    assert close(ghost(module, sharp, rows, 0.5), oracle(module, loss, good, 0.5))


@CASES
def test_rows_do_not_mix(case: Any) -> None:
    """LEAKS 20: row 0's gradient inside a batch is the same whatever row 1 is."""
    module, loss = case()
    assert not any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) for part in module.modules())
    assert mixing(module, loss) == 0


def mixing(module: torch.nn.Module, loss: Loss) -> float:
    rows, found = some_rows(6), []
    for other in ([0, 0, 0], [1, 2, 3]):
        batch = rows.clone()
        batch[1:] = torch.tensor(other)
        module.zero_grad(set_to_none=True)
        loss(module, batch)[0].backward()
        found.append(flat(module.parameters()))
    return float((found[0] - found[1]).abs().max())


def test_batch_norm_is_seen_as_mixing() -> None:
    onehot = OneHot(SIZES)
    twin = torch.nn.Sequential(torch.nn.Linear(9, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    assert mixing(twin, lambda module, codes: module(onehot(codes))[:, 0]) > 1e-6


def test_a_loss_that_is_no_loss_per_row_is_refused() -> None:
    module, loss = critic_case()
    with pytest.raises(ValueError, match="each row"):
        ghost(module, lambda m, codes: loss(m, codes).mean(), some_rows(4), 1.0)


# --- the mechanism as a whole -----------------------------------------------------------------------------------------


class Frozen(Randomness):
    """No noise; everybody joins; the first row of each unit."""

    def normal(self, shape: Any) -> np.ndarray:
        return np.zeros(shape)

    def coins(self, rate: float, count: int) -> np.ndarray:
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

    mechanism = DPSGD(SampledGaussian(sigma, rate, steps), module, loss or own_loss, after, clip, expected)
    mechanism.measure(Rows(values.astype(np.int32), units), randomness)
    return seen


def neighbours(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(values, units, rows that stay)"""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(8), rng.integers(1, 5, 8))
    return some_rows(len(units), seed).numpy(), units, units != rng.integers(8)


def distances(case: Any) -> list[float]:
    """Distance of the released gradients of neighbours, in units of clip / divisor."""
    found = []
    for seed in range(4):
        values, units, kept = neighbours(seed)
        whole = released(case, values, units, Frozen())[0]
        less = released(case, values[kept], units[kept], Frozen())[0]
        found.append(float((whole - less).norm()) * 0.5 * 10 / 0.4)
    return found


@CASES
def test_neighbours_are_at_most_the_norm_apart(case: Any) -> None:
    assert max(distances(case)) <= 1  # rounding included
    assert max(distances(case)) > 0.5  # the case is not an idle one


@CASES
def test_replay_finds_a_twin_that_does_not_clip(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unclipped(tracked: Any, loss: Loss, batch: torch.Tensor) -> None:
        tracked.disable_hooks()
        loss(tracked, batch).sum().backward()

    monkeypatch.setattr(dpsgd, "clipped_sum", unclipped)
    assert max(distances(case)) > 1.5


def test_replay_finds_a_twin_that_divides_by_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """LEAKS 5."""
    values, units = np.zeros((8, 3), int), np.arange(8)
    alike = [released(critic_case, values[:n], units[:n], Frozen())[0] for n in (7, 8)]
    assert float((alike[1] - alike[0]).norm()) * 5 / 0.4 == pytest.approx(1, abs=1e-4)
    assert float(alike[1].norm() / alike[0].norm()) == pytest.approx(8 / 7, rel=1e-4)  # a mean would show no unit more


def test_a_unit_without_gradient_changes_nothing() -> None:
    """The divisor is public: one unit more whose gradient is zero leaves every released bit as it was."""
    module_loss = critic_case()[1]

    def partly(module: Any, codes: torch.Tensor) -> torch.Tensor:
        return module_loss(module, codes) * (codes[:, 2] != 3)

    values, units = np.array([[0, 1, 1], [1, 2, 0], [0, 0, 3]]), np.arange(3)
    whole, less = (released(critic_case, values[:n], units[:n], Frozen(), loss=partly)[0] for n in (3, 2))
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
        noise = torch.cat(seen).double()
        assert len(seen) == 800
        assert float(noise.std()) == pytest.approx(sigma * clip / (rate * expected), rel=0.01)
        assert abs(float(noise.mean())) < 6 * float(noise.std()) / len(noise) ** 0.5
        assert not torch.equal(seen[0], seen[1])


def zero_loss(module: Any, codes: torch.Tensor) -> torch.Tensor:
    return 0.0 * module(OneHot(SIZES)(codes))


@CASES
def test_every_step_is_taken_even_with_nobody_in_it(case: Any) -> None:
    values, units = some_rows(5).numpy(), np.arange(5)
    seen = released(case, values, units, Randomness(), steps=7, rate=1e-9)
    assert len(seen) == 7 and all(step.norm() > 0 for step in seen)
    assert len(released(case, values[:0], units[:0], Randomness(), steps=3)) == 3
    quiet = released(case, values[:0], units[:0], Frozen(), steps=2)
    assert all(step.norm() == 0 for step in quiet)  # and adds nothing but noise


def test_the_module_comes_back_plain() -> None:
    module, loss = critic_case()

    def broken(step: int) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        mechanism = DPSGD(SampledGaussian(1.0, 0.5, 2), module, loss, broken, 1.0, 10.0)
        mechanism.measure(Rows(some_rows(5).numpy(), np.arange(5)), Randomness())
    assert not any(part._forward_hooks or part._backward_hooks for part in module.modules())


# --- Poisson sampling -------------------------------------------------------------------------------------------------


def batches(rate: float, repeats: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """(units of the rows, chosen rows of each batch): 300 units of 1 to 5 rows."""
    units = np.repeat(np.arange(300), np.arange(300) % 5 + 1)
    first, count = dpsgd._unit_spans(units)
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
    """Twins: fixed batches of a shuffle, and Poisson over rows (LEAKS 6 and 28)."""
    with pytest.raises(AssertionError):
        check_sizes(np.full(4000, 60), 300, 0.2)
    with pytest.raises(AssertionError):
        check_sizes(np.random.default_rng(0).binomial(900, 0.2, 4000), 300, 0.2)


def test_rows_stay_inside_their_unit_at_the_ends_of_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    first, count = dpsgd._unit_spans(np.array([0, 0, 0, 4, 4, 9]))
    for byte, want in ((b"\xff", [2, 4, 5]), (b"\x00", [0, 3, 5])):
        monkeypatch.setattr(Randomness, "bytes", lambda self, n, byte=byte: byte * n)
        monkeypatch.setattr(Randomness, "coins", lambda self, rate, n: np.ones(n, bool))
        assert poisson_rows(first, count, 0.5, Randomness()).tolist() == want
