"""Networks learn on another device than the CPU: tried on torch's `meta` device, which is everywhere and holds no numbers.

An operation between a tensor there and one that was left behind on the CPU raises, as it would with CUDA.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from privsynth.trainers.anchored import Network, _default_device
from privsynth.trainers.autoregressive import MaskedPrediction
from privsynth.trainers.base import LatentOptions, NetworkOptions, silent
from privsynth.trainers.ctgan import GAN, CTGANOptions
from privsynth.trainers.networks import Average
from privsynth.trainers.vae import Autoencoder

SIZES, ROWS = (2, 3, 4), 7
NETWORKS = [(GAN, CTGANOptions), (Autoencoder, LatentOptions), (MaskedPrediction, NetworkOptions)]


class Column:
    def __init__(self, size: int):
        self.shares = np.full(size, 1 / size)


class SmallCodec:
    sizes = SIZES
    columns = tuple(map(Column, SIZES))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    adam = torch.optim.Adam
    # the fused steps are for real devices alone
    monkeypatch.setattr(torch.optim, "Adam", lambda *a, fused=False, **k: adam(*a, **k))
    with torch.device("meta"):
        yield


@pytest.mark.parametrize(("kind", "options"), NETWORKS)
@pytest.mark.usefixtures("elsewhere")
def test_nothing_is_left_behind_when_a_network_learns_elsewhere(kind: Any, options: Any) -> None:
    network: Network = kind(SmallCodec(), options(hidden=8))
    network.pretrain(np.zeros((50, 3), np.int64), 3, silent)
    network.private.double()
    learn, average = network.learner(), Average(network.sampled)
    for step in range(CTGANOptions().critic_steps):
        codes = torch.zeros(ROWS, 3, dtype=torch.int64)
        losses = network.loss(network.private, codes, torch.zeros(ROWS, network.latent, dtype=torch.float64))
        assert losses.shape == (ROWS,)
        losses.sum().backward()
        learn(step)
        average.update()
    average.settle()
    assert {p.device.type for p in [*network.private.parameters(), *network.sampled.parameters()]} == {"meta"}


def test_auto_takes_the_cuda_device_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert _default_device("auto") == torch.device("cuda")
    assert isinstance(_default_device("cpu"), nullcontext)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert isinstance(_default_device("auto"), nullcontext)
