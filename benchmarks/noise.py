"""How fast the cryptographic noise is: python benchmarks/noise.py, which writes results/noise.md (about a minute).

Every sampler draws a million numbers (the slow ones fewer) once a round, in turn; figures are medians over the rounds, so
that a busy neighbour slows all alike. One thread. Then: DP-SGD steps on a network of 150,000 parameters, and the share of
a step that its noise takes.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import opendp.prelude as dp
import torch
from diffprivlib.mechanisms import Geometric

from privsynth.privacy.events import SampledGaussian
from privsynth.privacy.mechanisms.dpsgd import DPSGD
from privsynth.privacy.noise import Randomness
from privsynth.privacy.unit import Rows

HERE = Path(__file__).resolve().parent
ROUNDS, MILLION, FEW = 15, 1_000_000, 20_000
PARAMETERS, COLUMNS, CODES, BATCH, STEPS = 150_000, 20, 16, 1000, 20
FLOAT, DOUBLE = "torch.randn, float32", "torch.randn, float64"


def main() -> None:
    torch.set_num_threads(1)
    ns = {name: 1e9 * seconds for name, seconds in per_number(samplers()).items()}
    step, count = dp_sgd_step()
    lines = [
        f"Made by `python benchmarks/noise.py`, medians of {ROUNDS}, one thread on 2 shared cores; numpy {np.__version__}, "
        f"torch {torch.__version__}.", "",
        f"| sampler | ns a number | million/s | time, {FLOAT} = 1 | time, {DOUBLE} = 1 |",
        "|---|---|---|---|---|",
        *(f"| {name} | {t:,.1f} | {1e3 / t:,.2f} | {t / ns[FLOAT]:,.2f} | {t / ns[DOUBLE]:,.2f} |" for name, t in ns.items()), "",
        f"A DP-SGD step (ghost clipping, {BATCH} units a batch, {count:,} parameters) takes {1e3 * step:.1f} ms. The noise "
        "of one step would take:", "",
        "| sampler | ms | share of the step as it is |",
        "|---|---|---|",
        *(f"| {name} | {count * ns[name] / 1e6:.2f} | {count * ns[name] / 1e9 / step:.1%} |" for name in
          ("normal", "rounded_gaussian, 1e7", FLOAT, DOUBLE)),
    ]  # fmt: skip
    print("\n".join(lines))
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "noise.md").write_text("\n".join(lines) + "\n")


def samplers() -> dict[str, tuple[Callable[[int], Any], int]]:
    """Name -> (a function that draws so many numbers, how many)."""
    ours, system, geometric = Randomness(), secrets.SystemRandom(), Geometric(epsilon=0.5, sensitivity=1)
    dp.enable_features("contrib")
    theirs = dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float), scale=12.3)
    return {
        FLOAT: (lambda n: torch.randn(n), MILLION),
        DOUBLE: (lambda n: torch.randn(n, dtype=torch.float64), MILLION),
        "words (AES-256-CTR, 64 bits)": (ours.words, MILLION),
        "uniform": (ours.uniform, MILLION),
        "exponential": (ours.exponential, MILLION),
        "normal": (ours.normal, MILLION),
        "lattice_gaussian, 12.3": (lambda n: ours.lattice_gaussian(12.3, n), MILLION),
        "rounded_gaussian, 12.3": (lambda n: ours.rounded_gaussian(12.3, n), MILLION),
        "rounded_gaussian, 1e7": (lambda n: ours.rounded_gaussian(1e7, n), MILLION),
        "discrete_gaussian, 12.3": (lambda n: ours.discrete_gaussian(12.3, n), MILLION),
        "discrete_gaussian, 1e7": (lambda n: ours.discrete_gaussian(1e7, n), MILLION),
        "geometric, 0.5": (lambda n: ours.geometric(0.5, n), MILLION),
        "geometric, 1e-6": (lambda n: ours.geometric(1e-6, n), MILLION),
        "opendp 0.16 discrete Gaussian, 12.3": (lambda n: theirs([0] * n), FEW),
        "diffprivlib 0.6 Geometric, 0.5": (lambda n: [geometric.randomise(0) for _ in range(n)], FEW),
        "secrets.SystemRandom().gauss": (lambda n: [system.gauss(0, 1) for _ in range(n)], FEW),
    }


def per_number(draws: dict[str, tuple[Callable[[int], Any], int]]) -> dict[str, float]:
    """Median seconds a number, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in draws}
    for _ in range(ROUNDS + 1):
        for name, (draw, count) in draws.items():
            start = time.perf_counter()
            draw(count)
            seconds[name].append((time.perf_counter() - start) / count)
    return {name: statistics.median(each[1:]) for name, each in seconds.items()}


def dp_sgd_step() -> tuple[float, int]:
    """Median seconds of a DP-SGD step on one-hot rows, and the number of parameters."""
    width = next(w for w in range(1, 1000) if (COLUMNS * CODES + 1) * w + (w + 1) * w + w + 1 >= PARAMETERS)
    module = torch.nn.Sequential(
        torch.nn.Linear(COLUMNS * CODES, width), torch.nn.ReLU(),
        torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, 1),
    ).double()  # fmt: skip
    times: list[float] = []
    units = 10 * BATCH  # each joins a step with a rate of a tenth
    codes = np.random.default_rng(0).integers(0, CODES, (units, COLUMNS))

    def loss(net: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
        wide = torch.nn.functional.one_hot(rows, CODES).flatten(1).double()
        return torch.nn.functional.softplus(net(wide)).squeeze(1)

    DPSGD(
        event=SampledGaussian(1.0, BATCH / units, STEPS),
        module=module,
        loss=loss,
        after=lambda step: times.append(time.perf_counter()),
        max_grad_norm=1.0,
        expected_units=units,
    ).answer(Rows(codes, np.arange(units)), Randomness())
    return statistics.median(np.diff(times)), sum(p.numel() for p in module.parameters())


if __name__ == "__main__":
    main()
