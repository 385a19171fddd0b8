"""The sum of clipped gradients against an autograd oracle and Opacus itself, row by row; LEAKS 1 to 4, 15, 18, 20."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from dpsgd_cases import CASES, DEVICES, SIZES, Loss, critic_case, flat, joined, latent, some_rows
from opacus.grad_sample import GradSampleModuleFastGradientClipping

from privsynth.privacy.mechanisms import dpsgd
from privsynth.privacy.mechanisms.dpsgd import clipped_sum
from privsynth.trainers.modules import OneHot

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook")


@pytest.fixture(autouse=True, params=DEVICES)
def same_weights(request: pytest.FixtureRequest) -> Iterator[None]:
    """On the CPU, and on the CUDA device where there is one."""
    torch.manual_seed(3)
    with torch.device(request.param):
        yield


def row_gradients(module: torch.nn.Module, loss: Loss, rows: torch.Tensor) -> torch.Tensor:
    """(rows, parameters) by plain autograd, one row at a time."""
    found = []
    for row in rows:
        module.zero_grad(set_to_none=True)
        loss(module, row[None], latent(row[None])).sum().backward()
        found.append(flat(module.parameters()))
    module.zero_grad(set_to_none=True)
    return torch.stack(found)


def oracle(module: torch.nn.Module, loss: Loss, rows: torch.Tensor, clip: float) -> torch.Tensor:
    each = row_gradients(module, loss, rows)
    return (each * (clip / each.norm(dim=1)).clamp(max=1)[:, None]).sum(0)


def ghost(module: torch.nn.Module, loss: Loss, rows: torch.Tensor, clip: float) -> torch.Tensor:
    found = clipped_sum(module, loss, rows, latent(rows), clip)
    assert all(p.grad is None for p in module.parameters()), "nothing that was not clipped stays behind"
    return joined(found)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a - b).norm() <= 1e-9 * (1e-3 + b.norm()))


@CASES
@pytest.mark.parametrize("clip", [1e-3, 0.3, 1.0, 1e4])
def test_clipped_sum_equals_the_oracle(case: Any, clip: float) -> None:
    module, loss = case()
    rows = some_rows(40)
    want = oracle(module, loss, rows, clip)
    assert close(ghost(module, loss, rows, clip), want)
    assert not close(ghost(module, loss, rows, 2 * clip), want) or clip > 1e3  # the norm is not ignored
    if clip < 1:
        assert want.norm() <= 40 * clip * (1 + 1e-9)


@CASES
@pytest.mark.parametrize("clip", [1e-3, 0.3, 1e4])
def test_opacus_itself_gives_the_same_sum(case: Any, clip: float) -> None:
    """Its hooks and two passes backward, against our one."""
    module, loss = case()
    rows = some_rows(40)
    ours = ghost(module, loss, rows, clip)
    tracked = GradSampleModuleFastGradientClipping(
        module, max_grad_norm=clip, use_ghost_clipping=True, loss_reduction="sum"
    )
    each = loss(tracked, rows, latent(rows))
    each.sum().backward(retain_graph=True)
    weight = tracked.get_clipping_coef().detach()
    tracked.disable_hooks()
    tracked.zero_grad()
    (each * weight).sum().backward()
    theirs = flat(module.parameters())
    tracked.to_standard_module()
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-5  # Opacus adds 1e-6 to a norm


class Other(torch.nn.Module):
    def __init__(self, more: torch.nn.Module) -> None:
        super().__init__()
        self.one, self.more = torch.nn.Linear(9, 9).double(), more.double()

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return self.more(self.one(OneHot(SIZES)(codes).double()))


def plain(module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    return (module(codes) ** 2).sum(1)


@pytest.mark.parametrize("clip", [1e-3, 1.0, 1e4])
def test_layers_of_other_kinds_are_clipped_too(clip: float) -> None:
    """Opacus writes their gradients out; a frozen parameter is in neither norm nor sum."""
    for more in (torch.nn.LayerNorm(9), torch.nn.GroupNorm(3, 9), torch.nn.Linear(9, 4, bias=False)):
        module, rows = Other(more), some_rows(30)
        assert close(ghost(module, plain, rows, clip), oracle(module, plain, rows, clip))
        module.one.weight.requires_grad_(False)
        want = oracle(module, plain, rows, clip)[81:]
        assert close(ghost(module, plain, rows, clip), want) and want.norm() > 0


def test_what_cannot_be_clipped_is_refused() -> None:
    onehot, rows = OneHot(SIZES), some_rows(6)
    assert ghost(Other(torch.nn.SiLU()), plain, rows, 0.5).norm() > 0
    for more in (torch.nn.BatchNorm1d(9), torch.nn.PReLU()):
        with pytest.raises(ValueError, match="Opacus supports"):
            ghost(Other(more), plain, rows, 0.5)
    for loss in (
        lambda m, c, z: m(c).sum(1) + m(c.flip(0)).sum(1),  # a layer that meets a row twice has a gradient of two parts
        lambda m, c, z: m.one(onehot(c).double()[None])[0].sum(1),
        lambda m, c, z: m.one(onehot(torch.cat([c, c])).double()).reshape(2, len(c), -1).sum((0, 2)),
    ):
        with pytest.raises(ValueError, match="once"):
            ghost(Other(torch.nn.SiLU()), loss, rows, 0.5)


def test_tied_weights_are_refused() -> None:
    """The norm of a sum of two gradients does not follow from their norms: a row could move the sum by sqrt(2) clip norms."""
    module = Other(torch.nn.Linear(9, 9))
    assert isinstance(module.more, torch.nn.Linear)
    module.more.weight = module.one.weight
    with pytest.raises(ValueError, match="share no parameter"):
        ghost(module, plain, some_rows(6), 0.5)


def test_a_frozen_layer_of_another_kind_adds_nothing() -> None:
    module, rows = Other(torch.nn.LayerNorm(9)), some_rows(6)
    module.more.requires_grad_(False)
    want = oracle(module, plain, rows, 0.5)[:90]
    assert close(ghost(module, plain, rows, 0.5), want) and want.norm() > 0


def test_what_passes_by_the_layers_is_not_in_the_sum() -> None:
    """A term in a parameter itself has no norm; so it must not be summed either."""
    module, loss = critic_case()
    rows = some_rows(20)
    with_it = ghost(module, lambda m, c, z: loss(m, c, z) + 100 * m.two.weight.square().sum(), rows, 0.5)
    assert torch.equal(with_it, ghost(module, loss, rows, 0.5))


@CASES
def test_one_row_is_at_most_the_norm(case: Any) -> None:
    module, loss = case()
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(20)  # steep
    for row in some_rows(15):
        assert ghost(module, loss, row[None], 0.7).norm() <= 0.7 * (1 + 1e-9)


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
    return lambda module, codes, noise: (
        loss(module, codes, noise) * torch.where(codes[:, 2] == 3, torch.tensor(factor, dtype=torch.float64), 1.0)
    )


@CASES
@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -float("inf"), 1.5e308])
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

    def sharp(module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        each, bad = loss(module, codes, noise), codes[:, 2] == 3
        return each + torch.where(bad, each - each.detach(), 1.0).abs().pow(0.5) * bad  # 0 there, its slope infinite

    rows = some_rows(30)
    assert torch.isfinite(sharp(module, rows, latent(rows))).all()
    good = rows[rows[:, 2] != 3]
    assert close(ghost(module, sharp, rows, 0.5), oracle(module, loss, good, 0.5))


@CASES
def test_rows_do_not_mix(case: Any) -> None:
    """LEAKS 20: row 0's gradient inside a batch is the same whatever row 1 and its latent noise are."""
    module, loss = case()
    assert not any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) for part in module.modules())
    assert mixing(module, loss) == 0


def mixing(module: torch.nn.Module, loss: Loss) -> float:
    rows, found = some_rows(6), []
    for other in ([0, 0, 0], [1, 2, 3]):
        batch = rows.clone()
        batch[1:] = torch.tensor(other)
        module.zero_grad(set_to_none=True)
        loss(module, batch, latent(batch))[0].backward()
        found.append(flat(module.parameters()))
    return float((found[0] - found[1]).abs().max())


def test_batch_norm_is_seen_as_mixing() -> None:
    onehot = OneHot(SIZES)
    variant = torch.nn.Sequential(torch.nn.Linear(9, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    assert mixing(variant, lambda module, codes, noise: module(onehot(codes))[:, 0]) > 1e-6


def test_a_loss_that_is_no_loss_per_row_is_refused() -> None:
    module, loss = critic_case()
    with pytest.raises(ValueError, match="each row"):
        ghost(module, lambda m, c, z: loss(m, c, z).mean(), some_rows(4), 1.0)
