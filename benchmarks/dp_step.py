"""What privacy costs in time: one step of DP-SGD against the same step without it.

    python benchmarks/dp_step.py                      on the CPU
    python benchmarks/dp_step.py --device cuda        networks and batches on the CUDA device

A step: draw a batch of about 1,024 out of 39,000 rows of 14 columns (Adult's size), gradients, and what the trainer does
with them (Adam; for the critic also the terms of generated rows and of the gradient penalty; every fourth time a step of
the generator, which the median leaves out). With privacy it is the mechanism itself: a Bernoulli draw for every unit,
clipping of every row, cryptographic noise, rounding, and double precision throughout. Without: shuffled batches and the
mean loss, in double and in single precision. Steps are interleaved and, on the CPU, their CPU time is taken, since other
work on the machine would decide the wall time; on a CUDA device the wall time, until the device is done. One thread. Coins
and noise are drawn on the CPU in either case. Writes results/dp_step.md or results/dp_step_cuda.md.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from privsynth.policy.options import CTGANOptions, LatentOptions, NetworkOptions
from privsynth.privacy.events import SampledGaussian
from privsynth.privacy.mechanisms.dpsgd import DPSGD
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows
from privsynth.trainers.autoregressive import MaskedPrediction
from privsynth.trainers.ctgan import GAN
from privsynth.trainers.network import Network
from privsynth.trainers.vae import Autoencoder

RESULTS = Path(__file__).resolve().parent / "results"
SIZES = (24, 9, 24, 16, 16, 7, 15, 6, 5, 2, 24, 24, 36, 42)
ROWS, BATCH = 39_000, 1024
NETWORKS: dict[str, Callable[[Any], Network]] = {
    "critic (ctgan)": lambda codec: GAN(codec, CTGANOptions()),
    "critic, its term of real rows alone": lambda codec: RealTerm(codec, CTGANOptions()),
    "VAE": lambda codec: Autoencoder(codec, LatentOptions()),
    "masked net (autoregressive)": lambda codec: MaskedPrediction(codec, NetworkOptions()),
}


class RealTerm(GAN):
    learner = Network.learner  # Adam alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    repeats, on_cpu = arguments.repeats, arguments.device == "cpu"
    torch.set_num_threads(1)
    made = "python benchmarks/dp_step.py" + ("" if on_cpu else " --device cuda") + f" --repeats {repeats}"
    taken = "CPU time, one thread" if on_cpu else f"wall time, networks on {torch.cuda.get_device_name()}"
    lines = [
        f"Made by `{made}`: ms of one step ({taken}), medians of {repeats} interleaved repeats. "
        f"Batch {BATCH:,} of {ROWS:,} rows, {len(SIZES)} columns, {sum(SIZES)} codes.", "",
        "| network | parameters | DP-SGD | plain, double | ratio | plain, single | ratio |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, make in NETWORKS.items():
        with torch.device(arguments.device):
            parameters, private, double, single = measured(make, repeats, cpu_time if on_cpu else wall_time)
        lines.append(
            f"| {name} | {parameters:,} | {private:.1f} | {double:.1f} | {private / double:.2f} | {single:.1f} | "
            f"{private / single:.2f} |"
        )
        print(lines[-1], flush=True)
    lines += [
        "", "Real rows are learned in double precision, since privacy rests on sums that err by less than a share of the "
        "noise (`docs/privacy.md`); networks that see only released rows learn in single precision.",
    ]  # fmt: skip
    (RESULTS / ("dp_step.md" if on_cpu else "dp_step_cuda.md")).write_text("\n".join(lines) + "\n")


def cpu_time() -> float:
    return time.thread_time()


def wall_time() -> float:
    """Now, with everything done that the CUDA device was given to do."""
    torch.cuda.synchronize()
    return time.perf_counter()


def measured(make: Callable[[Any], Network], repeats: int, now: Callable[[], float]) -> tuple[int, float, float, float]:
    """(parameters, ms with privacy, ms without in double, in single precision)."""
    columns = [SimpleNamespace(shares=np.full(size, 1 / size)) for size in SIZES]
    codec = SimpleNamespace(sizes=SIZES, columns=columns)
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(0, size, ROWS) for size in SIZES], 1)
    private, double, single = make(codec), make(codec), make(codec)
    steps = {"private": private_step(private, rows), "double": plain_step(double, rows, torch.float64)}
    steps["single"] = plain_step(single, rows, torch.float32)
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 3):
        for name, step in steps.items():
            start = now()
            step()
            if turn >= 3:
                taken[name].append(1e3 * (now() - start))
    parameters = sum(p.numel() for p in private.private.parameters())
    private_ms, double_ms, single_ms = (statistics.median(taken[name]) for name in steps)
    return parameters, private_ms, double_ms, single_ms


def private_step(network: Network, rows: np.ndarray) -> Callable[[], None]:
    network.private.double()
    network.population = torch.as_tensor(rows)
    event = SampledGaussian(2.0, BATCH / ROWS, 1)
    count, learn = itertools.count(), network.learner()
    mechanism = DPSGD(
        event, network.private, network.loss, lambda _: learn(next(count)), 1.0, float(ROWS), network.latent
    )  # fmt: skip
    table, randomness = Rows(rows.astype(np.int32), np.arange(ROWS)), Randomness()
    return lambda: mechanism.answer(table, randomness)


def plain_step(network: Network, rows: np.ndarray, dtype: torch.dtype) -> Callable[[], None]:
    module = network.private.to(dtype)
    network.population = values = torch.as_tensor(rows)
    count, learn = itertools.count(), network.learner()

    def step() -> None:
        some, noise = values[torch.randint(ROWS, (BATCH,))], torch.randn(BATCH, network.latent, dtype=dtype)
        network.loss(module, some, noise).mean().backward()
        learn(next(count))

    return step


if __name__ == "__main__":
    main()
