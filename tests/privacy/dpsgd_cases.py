"""The modules that see real rows, with their losses, and rows for them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from privsynth.policy.options import NetworkOptions
from privsynth.trainers.autoregressive import MaskedPrediction
from privsynth.trainers.modules import VAE, Critic, OneHot

SIZES = (2, 3, 4)
LATENT = 5  # of the VAE; the masked net takes the first four, the critic none
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
Loss = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]


def critic_case() -> tuple[torch.nn.Module, Loss]:
    onehot = OneHot(SIZES)
    return Critic(onehot.width, 11).double(), lambda module, codes, noise: -module(onehot(codes))


def vae_case() -> tuple[torch.nn.Module, Loss]:
    onehot = OneHot(SIZES)

    def loss(module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        logits, mean, log_variance = module(onehot(codes), noise)
        return onehot.cross_entropy(logits, codes) - 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)

    return VAE(onehot.width, 13, LATENT).double(), loss


def masked_case() -> tuple[torch.nn.Module, Loss]:
    columns = [SimpleNamespace(shares=np.full(size, 1 / size)) for size in SIZES]
    network = MaskedPrediction(SimpleNamespace(sizes=SIZES, columns=columns), NetworkOptions(hidden=13))

    def loss(module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return network.loss(module, codes, noise[:, : network.latent])

    return network.private.double(), loss


CASES = pytest.mark.parametrize("case", [critic_case, vae_case, masked_case], ids=["critic", "vae", "masked"])


def some_rows(n: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.as_tensor(np.stack([rng.integers(0, size, n) for size in SIZES], 1))


def latent(rows: torch.Tensor) -> torch.Tensor:
    """(rows, LATENT) numbers that go with each row, so that batches of different cut can be compared."""
    return torch.sin((rows.double() + 1) @ torch.linspace(1, 9, 3 * LATENT, dtype=torch.float64).reshape(3, LATENT))


def joined(gradients: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([gradient.ravel().clone() for gradient in gradients])


def flat(parameters: Any) -> torch.Tensor:
    return joined([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters])
