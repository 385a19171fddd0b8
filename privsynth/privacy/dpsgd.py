"""DP-SGD as a mechanism: sampling, clipping, noise and event in one file; trainers borrow it.

Each step: every unit joins by a coin of its own (Poisson sampling); one row of each joining unit is drawn afresh; each
row's gradient is clipped to max_grad_norm by Opacus (ghost clipping); their sum gets one Gaussian noise from the
cryptographic source; the result is divided by a public constant, never by the number of rows that came. An empty batch
is a step as well.
One unit moves the sum by at most max_grad_norm: the event is a Poisson-subsampled Gaussian (Abadi et al. 2016; Mironov,
Talwar, Zhang 2019), composed over a number of steps fixed beforehand.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModuleFastGradientClipping

from privsynth.privacy.events import SampledGaussian
from privsynth.privacy.noise import Randomness

Loss = Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]  # (module, (b, columns) codes) -> (b,) losses
MARGIN = 1e-5  # room for rounding: norms and sums are single precision, exact to about 4e-7
PHYSICAL_BATCH = 4096  # rows whose activations are in memory together


@dataclass(frozen=True)
class DPSGD:
    """Trains `module` on private codes. All fields are public.

    loss: (module, codes (b, columns) int64) -> (b,) one loss per row; row i's loss may hang on row i alone (no batch
    norm, no packs). after: called with the step's number once the noisy gradients stand in `.grad` of the
    parameters; whatever it does with them is post-processing. expected_units: public estimate of the number of units.
    Released: nothing but what `after` sees.
    """

    event: SampledGaussian
    module: torch.nn.Module
    loss: Loss
    after: Callable[[int], None]
    max_grad_norm: float
    expected_units: float
    name: str = "dp-sgd"

    def measure(self, rows: Any, randomness: Randomness) -> None:
        data = torch.from_numpy(np.ascontiguousarray(rows.values, np.int64))
        first, count = _unit_spans(rows.units)
        tracked = GradSampleModuleFastGradientClipping(
            self.module.train(),
            max_grad_norm=self.max_grad_norm * (1 - MARGIN),
            use_ghost_clipping=True,
            loss_reduction="sum",
        )
        scale = self.event.noise_multiplier * self.max_grad_norm
        divisor = max(1.0, self.event.sampling_rate * self.expected_units)
        warnings.filterwarnings("ignore", message="Full backward hook is firing")  # one-hot inputs need no gradient
        try:
            for step in range(self.event.steps):
                self.module.zero_grad(set_to_none=True)
                chosen = poisson_rows(first, count, self.event.sampling_rate, randomness)
                tracked.enable_hooks()
                clipped_sum(tracked, self.loss, data[torch.from_numpy(chosen)])
                tracked.disable_hooks()
                add_noise(tracked.trainable_parameters, scale, divisor, randomness)
                self.after(step)
        finally:
            tracked.to_standard_module()


def clipped_sum(tracked: Any, loss: Loss, batch: torch.Tensor) -> None:
    """Adds the clipped gradient of every row of the batch to `.grad`; an empty batch adds nothing.

    Ghost clipping (Li et al. 2022, by Opacus): a first backward pass yields each row's gradient norm without the
    gradients, a second one through the same graph the sum of losses weighted by min(1, max_grad_norm / norm).
    """
    for start in range(0, len(batch), PHYSICAL_BATCH):
        part = batch[start : start + PHYSICAL_BATCH]
        kept = [p.grad for p in tracked.trainable_parameters]
        each, norms = _row_norms(tracked, loss, part)
        while not bool((finite := torch.isfinite(norms) & torch.isfinite(each.detach())).all()):
            part = part[finite]  # NaN would pass the clip: such a row contributes nothing
            each, norms = _row_norms(tracked, loss, part) if len(part) else (each[:0], norms[:0])
        for p, grad in zip(tracked.trainable_parameters, kept, strict=True):
            p.grad = grad  # what the pass for the norms left there was not clipped
        if len(part):
            tracked.disable_hooks()
            torch.autograd.backward((each * (tracked.max_grad_norm / (norms + 1e-6)).clamp(max=1.0)).sum())
            tracked.enable_hooks()


def _row_norms(tracked: Any, loss: Loss, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(b,) losses with their graph, and (b,) norms of each row's gradient over all parameters."""
    for p in tracked.trainable_parameters:
        p.grad, p._forward_counter = None, 0
        p._norm_sample = torch.zeros(len(part))  # of a parameter that takes no part
    each = loss(tracked, part)
    if each.shape != (len(part),):
        raise ValueError("the loss must be one number for each row")
    torch.autograd.backward(each.sum(), retain_graph=True)
    return each, tracked.get_norm_sample().detach()


def add_noise(parameters: list[Any], scale: float, divisor: float, randomness: Randomness) -> None:
    """.grad <- (.grad + N(0, scale^2)) / divisor, noise drawn once for each coordinate, in double precision."""
    for p in parameters:
        total = p.grad.double() if p.grad is not None else torch.zeros(p.shape, dtype=torch.float64)
        noise = torch.from_numpy(randomness.normal(tuple(p.shape))) * scale
        p.grad = ((total + noise) / divisor).to(p.dtype)


def poisson_rows(
    first: NDArray[np.int64], count: NDArray[np.int64], rate: float, randomness: Randomness
) -> NDArray[np.int64]:
    """One row of every unit that joins. first, count: (units,) where each unit's rows start and how many it has."""
    joins = np.flatnonzero(randomness.coins(rate, len(first)))
    pick = np.floor(randomness.uniform(len(joins)) * count[joins]).astype(np.int64)
    return first[joins] + pick


def _unit_spans(units: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    _, first, count = np.unique(units, return_index=True, return_counts=True)
    return first.astype(np.int64), count.astype(np.int64)
