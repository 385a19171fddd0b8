"""DP-SGD as a mechanism: sampling, clipping, noise and event in one file, for all trainers.

Each step: every unit joins by an independent Bernoulli draw (Poisson sampling); one row of each joining unit is drawn
afresh; each row's gradient is clipped to max_grad_norm (see `clipped_sum`); their sum gets Gaussian noise from the
cryptographic source, once; the result is divided by a public constant, never by the number of rows in the batch. An empty
batch is a step as well.
One unit moves the sum by at most max_grad_norm: the event is a Poisson-subsampled Gaussian (Abadi et al. 2016; Mironov,
Talwar, Zhang 2019), composed over a number of steps fixed beforehand.

Random numbers that a loss needs (a VAE's latent noise) are drawn for each joining row before the gradients are taken:
for every value of them the sum moves by at most max_grad_norm, and adding a unit changes no other unit's.

Arithmetic: the module works in double precision, since in single precision the rounding of a thousand other rows would
depend on which rows are there, by more than any margin. The noisy sums are rounded to a fraction of the noise, so that no
low bit of a sum distinguishes neighbours (Mironov 2012); that is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping

from privsynth.privacy.accountant import STEP_SLACK
from privsynth.privacy.events import SampledGaussian
from privsynth.privacy.mechanisms import DP_SGD
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows

# (module, (b, columns) codes, (b, latent) standard normal numbers) -> (b,) losses
Loss = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
Gradients = list[torch.Tensor]  # one for each trainable parameter
Call = tuple[Any, torch.Tensor, torch.Tensor]  # a layer, its input, and its output or the gradient with respect to it
MARGIN = 1e-5  # of the clip norm, for rounding errors: double-precision norms and sums of ten million rows err by less than 3e-6
FINEST, COARSEST = 2.0**-5, 0.5  # rounding granularity of noisy sums, as a share of the noise's standard deviation
PHYSICAL_BATCH = 4096  # rows whose activations are in memory together


@dataclass(frozen=True)
class Batch(Rows[NDArray[np.int32]]):
    """One row of each joining unit. noise: (rows, latent) standard normal numbers."""

    noise: NDArray[np.float64]


@dataclass(frozen=True)
class DPSGD(Mechanism[Gradients, Gradients, Any]):
    """Trains `module` on private codes. All fields are public.

    module: in double precision. loss: see `Loss`; row i's loss may depend on row i of its inputs alone (no batch norm, no
    packs, no random numbers of its own). after: called with the step's number once the noisy gradients are in `.grad`
    of the parameters; whatever it does with them is post-processing. expected_units: public estimate of the number of
    units. latent: how many standard normal numbers the loss takes for each row. Released: nothing but what `after` sees.
    Raises ValueError for a module in single precision, with buffers, or with too many parameters for `granularity`.
    """

    event: SampledGaussian
    module: torch.nn.Module
    loss: Loss
    after: Callable[[int], None]
    max_grad_norm: float
    expected_units: float
    latent: int = 0
    name: str = DP_SGD

    def __post_init__(self) -> None:
        if any(p.dtype != torch.float64 for p in self.module.parameters()):
            raise ValueError("the module must be in double precision")
        if any(True for _ in self.module.buffers()):
            raise ValueError(
                "the module must have no buffers: what rows leave there, as running statistics, has no noise"
            )
        if self.granularity > COARSEST * self.scale:
            raise ValueError("the module has too many parameters for double precision; make it smaller")

    @property
    def scale(self) -> float:
        """Standard deviation of the noise on each coordinate of the sum."""
        return self.event.noise_multiplier * self.max_grad_norm

    @property
    def divisor(self) -> float:
        """Public: the expected number of units in a step."""
        return max(1.0, self.event.sampling_rate * self.expected_units)

    @property
    def granularity(self) -> float:
        """The rounding granularity of noisy sums: a power of two, at least FINEST of the noise's standard deviation.

        Rounding the ideal noisy sum would be post-processing. In doubles the two edges of a cell of width g shift by
        2^-52 (|x| + |z|) each, for a sum x and noise z of standard deviation s, which changes the cell's chance by a
        share of 2^-51 (|x| + |z|) / g. Over p coordinates, with sum |x| <= sqrt(p) b C for b rows (twice the expected
        number, if the declared number of units is about right), sum |z| <= (2 p + 12,000) s, and both neighbours, that
        is at most STEP_SLACK in epsilon, a step, for the g chosen here. The accountant adds as much.
        """
        p = sum(p.numel() for p in self.module.parameters() if p.requires_grad)
        reach = math.sqrt(p) * 2 * self.divisor / self.event.noise_multiplier + 2 * p + 12_000
        share = 2.0**-50 * reach / STEP_SLACK
        return 2.0 ** math.ceil(math.log2(self.scale * max(FINEST, share)))

    def answer(self, rows: Rows[NDArray[np.int32]], randomness: Randomness) -> None:
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.module.train()
        for step in range(self.event.steps):
            noisy = self.noised(self.query(self.joining(rows, randomness)), randomness)
            for p, gradient in zip(parameters, self.released(noisy), strict=True):
                p.grad = gradient.to(p.device)
            self.after(step)

    def joining(self, rows: Rows[NDArray[np.int32]], randomness: Randomness) -> Batch:
        """One step's batch: each unit joins with the event's sampling rate, with one of its rows."""
        chosen = poisson_rows(*rows.spans, self.event.sampling_rate, randomness)
        return Batch(rows.values[chosen], rows.units[chosen], randomness.normal((len(chosen), self.latent)))

    def query(self, rows: Rows[NDArray[np.int32]]) -> Gradients:
        """The sum of a batch's clipped gradients at the module's current weights, computed on the module's device."""
        assert isinstance(rows, Batch)
        device = next(self.module.parameters()).device
        codes = torch.from_numpy(np.ascontiguousarray(rows.values, np.int64)).to(device)
        latent = torch.from_numpy(rows.noise).to(device)
        total = clipped_sum(self.module, self.loss, codes, latent, self.max_grad_norm * (1 - MARGIN))
        return [part.cpu() for part in total]

    def noised(self, exact: Gradients, randomness: Randomness) -> Gradients:
        """Noise drawn once for each coordinate; noisy sums are multiples of `granularity`."""
        granularity, noisy = self.granularity, []
        for total in exact:
            noise = torch.from_numpy(randomness.normal(tuple(total.shape)))
            noisy.append(torch.round(noise.mul_(self.scale).add_(total).div_(granularity)).mul_(granularity))
        return noisy

    def released(self, noisy: Gradients) -> Gradients:
        return [total / self.divisor for total in noisy]

    def distance(self, one: Gradients, other: Gradients) -> float:
        """L2 over all parameters, in units of max_grad_norm."""
        squares = sum(float(((a - b) ** 2).sum()) for a, b in zip(one, other, strict=True))
        return math.sqrt(squares) / self.max_grad_norm


def clipped_sum(
    module: torch.nn.Module, loss: Loss, codes: torch.Tensor, noise: torch.Tensor, max_grad_norm: float
) -> Gradients:
    """The sum of every row's clipped gradient, for each trainable parameter; zeros for an empty batch.

    One forward and one backward pass, as without clipping (book-keeping: Bu, Wang, Zha, Karypis 2023, section 3): the
    gradients of the layers' outputs give each row's norm, and then, weighted by min(1, max_grad_norm / norm), the sum.
    What a loss does with a parameter outside of its layer is part of neither. Raises ValueError where a trainable parameter
    belongs to no layer that Opacus supports, or to two layers, or where a layer does not process every row exactly once.
    """
    total: dict[torch.Tensor, torch.Tensor] = {p: torch.zeros_like(p) for p in module.parameters() if p.requires_grad}
    if not total.keys() <= {p for layer in _layers(module) for p in layer.parameters(recurse=False)}:
        raise ValueError("every trainable parameter must belong to a layer that Opacus supports")
    for start in range(0, len(codes), PHYSICAL_BATCH):
        part = slice(start, start + PHYSICAL_BATCH)
        calls, norms = _backward(module, loss, codes[part], noise[part])
        finite = torch.isfinite(norms)
        if not bool(finite.all()):  # NaN would pass the clip: such a row contributes nothing
            calls, norms = [(layer, taken[finite], grad[finite]) for layer, taken, grad in calls], norms[finite]
        weight = (max_grad_norm / (norms + 1e-12)).clamp(max=1.0)
        for call in calls:
            _add(total, call, weight)
    return list(total.values())


def _backward(
    module: torch.nn.Module, loss: Loss, codes: torch.Tensor, noise: torch.Tensor
) -> tuple[list[Call], torch.Tensor]:
    """The calls of all layers, and (b,) norms of each row's gradient over all parameters, NaN where a loss is not finite."""
    with _recording(module) as seen:
        losses = loss(module, codes, noise)
    if losses.shape != (len(codes),):
        raise ValueError("the loss must be one number for each row")
    grads = torch.autograd.grad(losses.sum(), [output for _, _, output in seen], allow_unused=True)
    calls = [(layer, taken, grad) for (layer, taken, _), grad in zip(seen, grads, strict=True) if grad is not None]
    met = [parameter for layer, _, _ in calls for parameter in layer.parameters(recurse=False)]
    if len(set(met)) < len(met) or any(len(taken) != len(codes) for _, taken, _ in calls):
        raise ValueError("every layer must process each row of the batch once, and share no parameter with another")
    squares = torch.where(torch.isfinite(losses.detach()), 0.0, torch.nan).to(torch.float64)
    for call in calls:
        squares = squares + _squares(call)
    return calls, squares.sqrt()


def _squares(call: Call) -> torch.Tensor:
    """(b,) squared norms of each row's gradient over a layer's parameters.

    All by Opacus. A linear layer's gradients are products of its input and the gradient of its output, and so are their
    norms (ghost clipping: Goodfellow 2015; Li et al. 2022, section 4); those of other layers are materialised.
    """
    layer, taken, grad = call
    if _plain(call):
        norms = GradSampleModuleFastGradientClipping.NORM_SAMPLERS[torch.nn.Linear](layer, [taken], grad)
        return sum((norm.square() for norm in norms.values()), grad.new_zeros(len(grad)))
    return sum((rows.flatten(1).square().sum(1) for rows in _materialised(call).values()), grad.new_zeros(len(grad)))


def _add(total: dict[torch.Tensor, torch.Tensor], call: Call, weight: torch.Tensor) -> None:
    """Adds the weighted sum over rows of a layer's gradients."""
    layer, taken, grad = call
    if not _plain(call):
        for parameter, rows in _materialised(call).items():
            total[parameter] += torch.tensordot(weight, rows, 1)
        return
    grad = grad * weight[:, None].to(grad.dtype)
    if layer.weight.requires_grad:
        total[layer.weight].addmm_(grad.T, taken)
    if layer.bias is not None and layer.bias.requires_grad:
        total[layer.bias] += grad.sum(0)


def _plain(call: Call) -> bool:
    return isinstance(call[0], torch.nn.Linear) and call[2].dim() == 2


def _materialised(call: Call) -> dict[torch.Tensor, torch.Tensor]:
    """Every row's gradient, computed by Opacus: (b, *shape) for each trainable parameter of the layer."""
    layer, taken, grad = call
    found: dict[torch.Tensor, torch.Tensor] = GradSampleModule.GRAD_SAMPLERS[type(layer)](layer, [taken], grad)
    return found


def _layers(module: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers with parameters of their own for which Opacus computes per-row gradients."""
    return [layer for layer in module.modules() if type(layer) in GradSampleModule.GRAD_SAMPLERS]


@contextmanager
def _recording(module: torch.nn.Module) -> Iterator[list[Call]]:
    """Records the input and output of each layer within the block, in the order of the calls."""
    seen: list[Call] = []

    def record(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if output.requires_grad:
            seen.append((layer, inputs[0].detach(), output))

    hooks = [layer.register_forward_hook(record) for layer in _layers(module)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def poisson_rows(
    first: NDArray[np.int64], count: NDArray[np.int64], rate: float, randomness: Randomness
) -> NDArray[np.int64]:
    """One row of every unit that joins. first, count: (units,) where each unit's rows start and how many it has."""
    joins = np.flatnonzero(randomness.bernoulli(rate, len(first)))
    pick = np.floor(randomness.uniform(len(joins)) * count[joins]).astype(np.int64)
    return first[joins] + pick
