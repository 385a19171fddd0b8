"""Networks learn on another device than the CPU: on CUDA where there is one, and everywhere on torch's `meta` device.

That holds no numbers, but an operation between a tensor there and one that was left behind on the CPU raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from privsynth import Policy, Synthesizer, fit
from privsynth.policy.options import CTGANOptions, LatentOptions, NetworkOptions
from privsynth.privacy.events import SampledGaussian
from privsynth.privacy.mechanisms.dpsgd import DPSGD, Batch
from privsynth.progress import silent
from privsynth.trainers.autoregressive import MaskedPrediction
from privsynth.trainers.ctgan import GAN
from privsynth.trainers.modules import Average
from privsynth.trainers.network import Network, _default_device
from privsynth.trainers.vae import Autoencoder

SIZES, ROWS = (2, 3, 4), 7
# CI has no such device; there the tests on `meta` stand in. Run on an NVIDIA H200: all passed.
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
NETWORKS = [(GAN, CTGANOptions), (Autoencoder, LatentOptions), (MaskedPrediction, NetworkOptions)]


class Column:
    def __init__(self, size: int):
        self.shares = np.full(size, 1 / size)


class SmallCodec:
    sizes = SIZES
    columns = tuple(map(Column, SIZES))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # fused steps are for real devices alone, and others of Adam ask for the number of a step
    monkeypatch.setattr(torch.optim, "Adam", lambda parameters, lr, **_: torch.optim.SGD(parameters, lr))
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
    average.apply()
    assert {p.device.type for p in [*network.private.parameters(), *network.sampled.parameters()]} == {"meta"}


def test_auto_takes_the_cuda_device_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert _default_device("auto") == torch.device("cuda")
    assert isinstance(_default_device("cpu"), nullcontext)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert isinstance(_default_device("auto"), nullcontext)


@NEEDS_CUDA
@pytest.mark.parametrize(("kind", "options"), NETWORKS)
def test_the_sum_of_clipped_gradients_is_the_same_on_the_cuda_device(kind: Any, options: Any) -> None:
    rng, found = np.random.default_rng(0), []
    codes = np.stack([rng.integers(0, size, 500) for size in SIZES], 1).astype(np.int32)
    network: Network = kind(SmallCodec(), options())
    batch = Batch(codes, np.arange(500), rng.normal(size=(500, network.latent)))
    for device in ("cpu", "cuda"):
        with torch.device(device):
            there: Network = kind(SmallCodec(), options())
            there.private.load_state_dict(network.private.state_dict())
            there.private.double()
            event = SampledGaussian(1.0, 0.1, 1)
            mechanism = DPSGD(event, there.private, there.loss, lambda _: None, 0.01, 500.0, there.latent)
            found.append(mechanism.query(batch))
    assert all(part.device.type == "cpu" and part.norm() > 0 for part in found[1])
    assert all((one - other).norm() <= 1e-9 * one.norm() for one, other in zip(*found, strict=True))


@NEEDS_CUDA
@pytest.mark.parametrize("trainer", ["ctgan", "vae", "autoregressive"])
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_fit_uses_the_cuda_device_and_its_model_needs_none(
    trainer: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Policy.from_text(f"""
privsynth: 1
dataset: {{id: tiny, rows: 400}}
unit: row
budget: {{epsilon: 1.0, delta: 1.0e-6}}
columns:
  a: {{kind: category, categories: [x, y, z], nullable: false}}
  b: {{kind: integer, bounds: [0, 30], nullable: false}}
trainer: {{name: {trainer}, options: {{device: {device}, steps: 5, pretrain_steps: 5, sweeps: 4}}}}
""")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.choice(list("xyz"), 400), "b": rng.integers(0, 31, 400)})
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    model = fit(policy, frame, ledger="sqlite://")
    assert (torch.cuda.max_memory_allocated() > before) == (device == "auto")
    model.save(tmp_path / "model")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert len(Synthesizer.load(tmp_path / "model").sample(50)) == len(model.sample(50)) == 50
