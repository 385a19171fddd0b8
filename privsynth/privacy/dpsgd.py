"""DP-SGD as a mechanism: sampling, clipping, noise and event in one file; trainers borrow it.

Each step: every unit joins by a coin of its own (Poisson sampling); one row of each joining unit is drawn afresh; each
row's gradient is clipped to max_grad_norm by Opacus; their sum gets one Gaussian noise from the cryptographic source;
the result is divided by a public constant, never by the number of rows that came. An empty batch is a step as well.
One unit moves the sum by at most max_grad_norm: the event is a Poisson-subsampled Gaussian (Abadi et al. 2016; Mironov,
Talwar, Zhang 2019), composed over a number of steps fixed beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer

from privsynth.privacy.events import SampledGaussian
from privsynth.privacy.noise import Randomness

PHYSICAL_BATCH = 1024  # rows whose per-sample gradients are in memory together


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
    loss: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]
    after: Callable[[int], None]
    max_grad_norm: float
    expected_units: float
    name: str = "dp-sgd"

    def measure(self, rows: Any, randomness: Randomness) -> None:
        data = torch.from_numpy(np.ascontiguousarray(rows.values, np.int64))
        first, count = _unit_spans(rows.units)
        tracked = GradSampleModule(self.module, loss_reduction="sum")
        optimizer = _SecureOptimizer(
            torch.optim.SGD(tracked.parameters(), lr=0.0), noise_multiplier=self.event.noise_multiplier,
            max_grad_norm=self.max_grad_norm, expected_batch_size=None, loss_reduction="sum",
        )  # fmt: skip
        optimizer.randomness = randomness
        divisor = max(1.0, self.event.sampling_rate * self.expected_units)
        try:
            for step in range(self.event.steps):
                tracked.enable_hooks()
                chosen = poisson_rows(first, count, self.event.sampling_rate, randomness)
                _clipped_sum(optimizer, tracked, self.loss, data[torch.from_numpy(chosen)])
                optimizer.add_noise()
                for parameter in optimizer.params:
                    parameter.grad.div_(divisor)
                    parameter.grad_sample = parameter.summed_grad = None
                tracked.disable_hooks()
                self.after(step)
        finally:
            tracked.to_standard_module()


class _SecureOptimizer(DPOptimizer):  # type: ignore[misc]
    """Opacus' clipping with noise from the cryptographic source."""

    randomness: Randomness

    def add_noise(self) -> None:
        """summed_grad + N(0, (noise_multiplier * max_grad_norm)^2) -> grad, drawn once for each coordinate."""
        scale = self.noise_multiplier * self.max_grad_norm
        for p in self.params:
            noise = torch.from_numpy(self.randomness.normal(tuple(p.shape))) * scale
            total = p.summed_grad if p.summed_grad is not None else torch.zeros_like(p)
            p.grad = (total.double() + noise).to(p.dtype)  # summed in double, released in single precision


def _clipped_sum(optimizer: DPOptimizer, module: Any, loss: Any, batch: torch.Tensor) -> None:
    """Adds the clipped gradient of every row of the batch to `summed_grad`; an empty batch adds nothing."""
    for part in batch.split(PHYSICAL_BATCH) if len(batch) else ():
        each = loss(module, part)
        if each.shape != (len(part),):
            raise ValueError("the loss must be one number for each row")
        each.sum().backward()
        for p in optimizer.params:
            if p.grad_sample is None:  # this parameter did not take part
                p.grad_sample = torch.zeros((len(part), *p.shape))
            torch.nan_to_num_(p.grad_sample, nan=0.0, posinf=0.0, neginf=0.0)  # NaN would pass the clip
        optimizer.clip_and_accumulate()
        for p in optimizer.params:
            p.grad_sample = p.grad = None


def poisson_rows(first: NDArray[np.int64], count: NDArray[np.int64], rate: float, randomness: Randomness) -> NDArray[np.int64]:
    """One row of every unit that joins. first, count: (units,) where each unit's rows start and how many it has."""
    joins = np.flatnonzero(randomness.coins(rate, len(first)))
    pick = np.floor(randomness.uniform(len(joins)) * count[joins]).astype(np.int64)
    return first[joins] + pick


def _unit_spans(units: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    _, first, count = np.unique(units, return_index=True, return_counts=True)
    return first.astype(np.int64), count.astype(np.int64)
