"""Canaries on DP-SGD, white box: each step's noisy gradient sum, along the gradient that the canary has at that step.

The attacker knows all weights, the exact sum of everybody else's clipped gradients, and the canary's own clipped gradient g,
for which the canary alone is asked at the step's weights, with certainty. Where a loss takes latent noise, the attacker
knows that too: the claim holds for each value of it. In the world with the canary its contribution
is what the mechanism makes of the canary alone at the step's rate, coins and clip included; clipped gradients are sums
over units, so that it is what the canary adds to anybody's. The privacy loss of a step is log(1 - q + q e^a), with q the
stated rate and a the loss if it joined: the loss of the pair that dominates a Poisson-sampled Gaussian (Zhu, Dong, Wang
2022, Theorem 11), if g is as long as the clip allows. Losses of all steps add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from privsynth.privacy.events import Event, SampledGaussian
from privsynth.privacy.mechanisms.dpsgd import DPSGD, Gradients
from privsynth.privacy.noise import Randomness
from privsynth.privacy.plan import Plan
from privsynth.table.private import PrivateTable

LATENT_DRAWS = (
    64  # over which a gradient is averaged that depends on latent noise as well, which the attacker does not know
)


@dataclass(frozen=True)
class Aside:
    """An account of what the canary alone is asked: what the attacker knows, and the plan does not pay for."""

    plan: Plan
    randomness: Randomness
    learned: bool = False

    def charge(self, name: str, event: Event) -> None:
        """Nothing: no other unit is asked."""


@dataclass
class Steps:
    """Listens to the steps of one mechanism. losses: (2, draws), without the canary and with it; distance: of the longest
    contribution, in units of the clip; gap: of the means of the losses, where every unit joins each step."""

    mechanism: DPSGD
    alone: PrivateTable[np.ndarray]
    plan: Plan
    draws: int
    losses: np.ndarray = field(init=False)
    gap: float = 0.0
    distance: float = 0.0
    squares: float = 0.0
    cells: int = 0

    def __post_init__(self) -> None:
        self.losses = np.zeros((2, self.draws))
        self.with_noise = self.mechanism.noised
        if self.mechanism.event.sampling_rate < 1 or self.mechanism.latent:
            self.gap = math.nan  # the means are no function of the gradient alone

    def noised(self, exact: Gradients, randomness: Randomness) -> Gradients:
        """In place of the mechanism's own: the same, and the step is heard."""
        noisy = self.with_noise(exact, randomness)
        surely = self._asked(1.0, self.draws if self.mechanism.latent else 1, randomness)
        joined = self._asked(self.mechanism.event.sampling_rate, self.draws, randomness)
        for draw, contribution in enumerate(joined):
            direction = surely[draw % len(surely)]
            self.losses[0, draw] += self._loss(exact, exact, direction, randomness)
            there = contribution if _dot(contribution, contribution) > 0 else direction
            total = [a + b for a, b in zip(exact, contribution, strict=True)]
            self.losses[1, draw] += self._loss(total, exact, there, randomness)
        squares = [_dot(each, each) for each in (*surely, *joined)]
        self.gap += squares[0] / self.mechanism.scale**2
        self.distance = max(self.distance, math.sqrt(max(squares)) / self.mechanism.max_grad_norm)
        return noisy

    def _loss(self, total: Gradients, others: Gradients, direction: Gradients, randomness: Randomness) -> float:
        """The privacy loss of one noisy answer to a step."""
        answer = self.with_noise(total, randomness)
        noise = [a - b for a, b in zip(answer, total, strict=True)]
        self.squares += _dot(noise, noise) / self.mechanism.scale**2
        self.cells += sum(part.numel() for part in noise)
        beyond = [a - b for a, b in zip(answer, others, strict=True)]
        loss = (_dot(beyond, direction) - _dot(direction, direction) / 2) / self.mechanism.scale**2
        rate = self.mechanism.event.sampling_rate
        return loss if rate == 1 else math.log1p(rate * math.expm1(min(loss, 700.0)))

    def _asked(self, rate: float, times: int, randomness: Randomness) -> list[Gradients]:
        """The exact sums of the canary alone at the module's weights, each time with coins of its own."""
        event = SampledGaussian(self.mechanism.event.noise_multiplier, rate, times)
        clone = replace(self.mechanism, event=event, after=_nothing)
        found: list[Gradients] = []
        object.__setattr__(clone, "noised", _keeping(found))
        self.alone.measure(clone, Aside(self.plan, randomness))
        return found


def _keeping(found: list[Gradients]) -> Callable[[Gradients, Any], Gradients]:
    def keep(exact: Gradients, randomness: Any) -> Gradients:
        found.append([part.clone() for part in exact])
        return exact

    return keep


def _nothing(step: int) -> None:
    """After a step that nobody learns from."""


def _dot(one: Gradients, other: Gradients) -> float:
    return float(sum((a * b).sum() for a, b in zip(one, other, strict=True)))
