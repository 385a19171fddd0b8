"""DP-SGD as a mechanism: sampling, clipping, noise and event in one file; trainers borrow it.

Each step: every unit joins by a coin of its own (Poisson sampling); one row of each joining unit is drawn afresh; each
row's gradient is clipped to max_grad_norm by Opacus (ghost clipping); their sum gets one Gaussian noise from the
cryptographic source; the result is divided by a public constant, never by the number of rows that came. An empty batch
is a step as well.
One unit moves the sum by at most max_grad_norm: the event is a Poisson-subsampled Gaussian (Abadi et al. 2016; Mironov,
Talwar, Zhang 2019), composed over a number of steps fixed beforehand.

Random numbers that a loss needs (a VAE's latent noise) are drawn for each joining row before the gradients are taken:
for every value of them the sum moves by at most max_grad_norm, and one unit more changes nobody else's.

Arithmetic: the module works in double precision, since in single precision the rounding of a thousand other rows would
hang on which rows are there, by more than any margin. What comes out is rounded to a share of the noise, so that no low
bit of a sum tells neighbours apart (Mironov 2012); that is post-processing.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModuleFastGradientClipping

from privsynth.privacy.accountant import STEP_SLACK
from privsynth.privacy.events import SampledGaussian
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows

# (module, (b, columns) codes, (b, latent) standard normal numbers) -> (b,) losses
Loss = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
Gradients = list[torch.Tensor]  # one for each trainable parameter
MARGIN = 1e-5  # room for rounding: double-precision norms and sums of ten million rows err by less than 3e-6
FINEST, COARSEST = 2.0**-5, 0.5  # share of the noise's standard deviation that noisy sums are rounded to
PHYSICAL_BATCH = 4096  # rows whose activations are in memory together


@dataclass(frozen=True)
class Batch(Rows[NDArray[np.int32]]):
    """One row of each joining unit. noise: (rows, latent) standard normal numbers."""

    noise: NDArray[np.float64]


@dataclass(frozen=True)
class DPSGD(Mechanism[Gradients, Gradients, Any]):
    """Trains `module` on private codes. All fields are public.

    module: in double precision. loss: see `Loss`; row i's loss may hang on row i of its inputs alone (no batch norm, no
    packs, no random numbers of its own). after: called with the step's number once the noisy gradients stand in `.grad`
    of the parameters; whatever it does with them is post-processing. expected_units: public estimate of the number of
    units. latent: how many standard normal numbers the loss takes for each row. Released: nothing but what `after` sees.
    Raises ValueError for a module in single precision, or one too large for `grain`.
    """

    event: SampledGaussian
    module: torch.nn.Module
    loss: Loss
    after: Callable[[int], None]
    max_grad_norm: float
    expected_units: float
    latent: int = 0
    name: str = "dp-sgd"

    def __post_init__(self) -> None:
        if any(p.dtype != torch.float64 for p in self.module.parameters()):
            raise ValueError("the module must be in double precision")
        if self.grain > COARSEST * self.scale:
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
    def grain(self) -> float:
        """What noisy sums are rounded to: a power of two, from FINEST of the noise's standard deviation on.

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

    def measure(self, rows: Rows[NDArray[np.int32]], randomness: Randomness) -> None:
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.module.train()
        for step in range(self.event.steps):
            noisy = self.noised(self.query(self.joining(rows, randomness)), randomness)
            for p, gradient in zip(parameters, self.released(noisy), strict=True):
                p.grad = gradient
            self.after(step)

    def joining(self, rows: Rows[NDArray[np.int32]], randomness: Randomness) -> Batch:
        """One step's batch: each unit joins with the event's sampling rate, with one of its rows."""
        chosen = poisson_rows(*rows.spans, self.event.sampling_rate, randomness)
        return Batch(rows.values[chosen], rows.units[chosen], randomness.normal((len(chosen), self.latent)))

    def query(self, rows: Rows[NDArray[np.int32]]) -> Gradients:
        """The sum of a batch's clipped gradients at the module's present weights."""
        assert isinstance(rows, Batch)
        codes = torch.from_numpy(np.ascontiguousarray(rows.values, np.int64))
        with _tracking(self.module, self.max_grad_norm * (1 - MARGIN)) as tracked:
            return clipped_sum(tracked, self.loss, codes, torch.from_numpy(rows.noise))

    def noised(self, exact: Gradients, randomness: Randomness) -> Gradients:
        """Noise drawn once for each coordinate; noisy sums are multiples of `grain`."""
        grain = self.grain
        return [
            torch.round((total + torch.from_numpy(randomness.normal(tuple(total.shape))) * self.scale) / grain) * grain
            for total in exact
        ]

    def released(self, noisy: Gradients) -> Gradients:
        return [total / self.divisor for total in noisy]

    def distance(self, one: Gradients, other: Gradients) -> float:
        """L2 over all parameters, in units of max_grad_norm."""
        squares = sum(float(((a - b) ** 2).sum()) for a, b in zip(one, other, strict=True))
        return math.sqrt(squares) / self.max_grad_norm


@contextmanager
def _tracking(module: torch.nn.Module, max_grad_norm: float) -> Iterator[Any]:
    """The module with Opacus' hooks, for one step."""
    tracked = GradSampleModuleFastGradientClipping(
        module, max_grad_norm=max_grad_norm, use_ghost_clipping=True, loss_reduction="sum"
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing")  # one-hot inputs need no gradient
        try:
            yield tracked
        finally:
            tracked.to_standard_module()


def clipped_sum(tracked: Any, loss: Loss, codes: torch.Tensor, noise: torch.Tensor) -> Gradients:
    """The sum of every row's clipped gradient, for each trainable parameter; zeros for an empty batch.

    Ghost clipping (Li et al. 2022, section 4, by Opacus): a first backward pass yields each row's gradient norm without
    the gradients, a second one through the same graph the sum of losses weighted by min(1, max_grad_norm / norm).
    """
    parameters = list(tracked.trainable_parameters)
    total = [torch.zeros_like(p) for p in parameters]
    for start in range(0, len(codes), PHYSICAL_BATCH):
        part = codes[start : start + PHYSICAL_BATCH], noise[start : start + PHYSICAL_BATCH]
        each, norms = _row_norms(tracked, loss, *part)
        while not bool((finite := torch.isfinite(norms) & torch.isfinite(each.detach())).all()):
            part = part[0][finite], part[1][finite]  # NaN would pass the clip: such a row contributes nothing
            each, norms = _row_norms(tracked, loss, *part)
        if len(each):
            tracked.disable_hooks()
            weighted = (each * (tracked.max_grad_norm / (norms + 1e-12)).clamp(max=1.0)).sum()
            gradients = torch.autograd.grad(weighted, parameters, allow_unused=True)
            tracked.enable_hooks()
            total = [t if g is None else t + g for t, g in zip(total, gradients, strict=True)]
    for p in parameters:
        p.grad = None  # what the pass for the norms left there was not clipped
    return total


def _row_norms(
    tracked: Any, loss: Loss, codes: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(b,) losses with their graph, and (b,) norms of each row's gradient over all parameters."""
    for p in tracked.trainable_parameters:
        p.grad, p._forward_counter = None, 0
        p._norm_sample = torch.zeros(len(codes), dtype=p.dtype)  # of a parameter that takes no part
    if len(codes) == 0:
        return torch.zeros(0), torch.zeros(0)
    each = loss(tracked, codes, noise)
    if each.shape != (len(codes),):
        raise ValueError("the loss must be one number for each row")
    torch.autograd.backward(each.sum(), retain_graph=True)
    return each, tracked.get_norm_sample().detach()


def poisson_rows(
    first: NDArray[np.int64], count: NDArray[np.int64], rate: float, randomness: Randomness
) -> NDArray[np.int64]:
    """One row of every unit that joins. first, count: (units,) where each unit's rows start and how many it has."""
    joins = np.flatnonzero(randomness.coins(rate, len(first)))
    pick = np.floor(randomness.uniform(len(joins)) * count[joins]).astype(np.int64)
    return first[joins] + pick
