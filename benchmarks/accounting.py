"""The accountant against others, and what one composed total saves: `python benchmarks/accounting.py` (two minutes).

Writes results/accounting.md. Reads no table: policies and formulas are all it needs.
"""

from __future__ import annotations

import logging
import math
import re
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy.special import log_ndtr, ndtr

from privsynth.planning import make_plan
from privsynth.policy import Policy
from privsynth.privacy.accountant import dominating_mu, epsilon_of
from privsynth.privacy.events import (
    ApproximateDP,
    DiscreteGaussian,
    Event,
    Gaussian,
    Geometric,
    PureDP,
    SampledGaussian,
    ThresholdedGaussian,
)
from privsynth.privacy.plan import Plan

HERE = Path(__file__).parent
DELTA = 1e-6
ORDERS = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64)) + [80, 128, 256, 512]
GRID = [
    (0.001, 0.6, 1000), (0.001, 1.0, 10_000), (0.004, 0.6, 200), (0.01, 0.5, 50), (0.01, 0.9, 300), (0.01, 1.0, 3000),
    (0.02, 10.0, 1000), (0.05, 2.0, 100), (0.1, 1.0, 20), (0.2, 4.0, 500), (0.3, 1.2, 1), (0.5, 3.0, 100), (1.0, 4.0, 10),
    (1.0, 40.0, 300),
]  # fmt: skip
MIXES: dict[str, list[Event]] = {
    "2 Gaussians": [Gaussian(4.0), Gaussian(3.0)],
    "geometric, Gaussian": [Geometric(0.1), Gaussian(2.0)],
    "20 choices of ε = 0.1": [PureDP(0.1)] * 20,
    "15 open categories, Gaussian": [ThresholdedGaussian(20.0, 1e-8)] * 15 + [Gaussian(3.0)],
    "discrete Gaussian of σ = 1": [DiscreteGaussian(1.0)],
    "discrete Gaussian of σ = 3": [DiscreteGaussian(3.0)],
    "a whole run (hospital, ctgan, ε = 3)": [
        Geometric(0.0626), ThresholdedGaussian(9.22, 1e-7), Gaussian(5.154), Gaussian(1.921), SampledGaussian(0.9234, 0.01006, 300),
    ],
}  # fmt: skip


def optimistic(events: Iterable[Event], interval: float = 1e-4) -> float:
    """A bound from below: dp_accounting's own function for each event, losses rounded down, nothing merged."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    how = {"value_discretization_interval": interval, "pessimistic_estimate": False, "use_connect_dots": False}
    total = pld.identity(interval, pessimistic_estimate=False)
    for event in events:
        match event:
            case Gaussian(sigma):
                one = pld.from_gaussian_mechanism(sigma, **how)
            case DiscreteGaussian(sigma) | ThresholdedGaussian(sigma, _):
                one = pld.from_discrete_gaussian_mechanism(sigma, **how)
            case SampledGaussian(sigma, rate, steps):
                one = pld.from_gaussian_mechanism(sigma, sampling_prob=rate, **how).self_compose(steps)
            case _:
                one = pld.from_discrete_laplace_mechanism(event.epsilon, **how)
        total = total.compose(one)
    lost = 1 - math.prod(1 - event.delta for event in events if isinstance(event, (ThresholdedGaussian, ApproximateDP)))
    return float(total.get_epsilon_for_delta((DELTA - lost) / (1 - lost)))


def prv(events: Iterable[Event]) -> float | None:
    """The estimate of Opacus' PRV accountant (Gopi, Lee, Wutschitz 2021), which knows DP-SGD and Gaussians alone."""
    from opacus.accountants import PRVAccountant

    history = []
    for event in events:
        if isinstance(event, SampledGaussian):
            history.append((event.noise_multiplier, event.sampling_rate, event.steps))
        elif isinstance(event, Gaussian):
            history.append((event.noise_multiplier, 1.0, 1))
        else:
            return None
    accountant = PRVAccountant()
    accountant.history = history
    error = 0.002 * epsilon_of(events, DELTA)
    return float(
        accountant._get_dprv(eps_error=error, delta_error=DELTA / 1000).compute_epsilon(DELTA, DELTA / 1000, error)[1]
    )


def renyi(events: Iterable[Event]) -> tuple[np.ndarray, float]:
    """(divergences at ORDERS by Opacus and by formula, delta that is lost outright)."""
    from opacus.accountants.analysis.rdp import compute_rdp

    total, lost = np.zeros(len(ORDERS)), 0.0
    for event in events:
        lost += getattr(event, "delta", 0.0)
        match event:
            case SampledGaussian(sigma, rate, steps):
                total += compute_rdp(q=rate, noise_multiplier=sigma, steps=steps, orders=ORDERS)
            case Gaussian(sigma) | DiscreteGaussian(sigma) | ThresholdedGaussian(sigma, _):
                total += np.array(ORDERS) / (2 * sigma**2)
            case _:
                a, log_p, log_q = np.array(ORDERS), -np.log1p(np.exp(-event.epsilon)), -np.log1p(np.exp(event.epsilon))
                total += np.logaddexp(a * log_p + (1 - a) * log_q, a * log_q + (1 - a) * log_p) / (a - 1)
    return total, lost


def opacus_rdp(events: Iterable[Event]) -> float:
    from opacus.accountants.analysis.rdp import get_privacy_spent

    total, lost = renyi(events)
    return float(get_privacy_spent(orders=ORDERS, rdp=total, delta=DELTA - lost)[0])


def google_rdp(events: Iterable[Event]) -> float | None:
    """dp_accounting's RDP, where it knows every event."""
    import dp_accounting
    from dp_accounting import rdp

    accountant = rdp.RdpAccountant(ORDERS)
    for event in events:
        if not isinstance(event, (Gaussian, SampledGaussian)):
            return None
        one = dp_accounting.GaussianDpEvent(event.noise_multiplier)
        if isinstance(event, SampledGaussian):
            sampled = dp_accounting.PoissonSampledDpEvent(event.sampling_rate, one)
            one = dp_accounting.SelfComposedDpEvent(sampled, event.steps)
        accountant.compose(one)
    return float(accountant.get_epsilon(DELTA))


def closed_form(events: Sequence[Event]) -> float | None:
    """epsilon of Gaussians alone (Balle & Wang 2018, Theorem 8, of their one mu), by bisection."""
    if not all(isinstance(e, Gaussian) or (isinstance(e, SampledGaussian) and e.sampling_rate == 1) for e in events):
        return None
    mu = math.sqrt(sum(getattr(e, "steps", 1) / e.noise_multiplier**2 for e in events))
    low, high = 0.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        found = ndtr(mu / 2 - middle / mu) - np.exp(middle + log_ndtr(-mu / 2 - middle / mu))
        low, high = (middle, high) if found > DELTA else (low, middle)
    return high


def concentrated(events: Sequence[Event], delta: float) -> float:
    """What concentrated privacy would claim: zCDP with rho + 2 sqrt(rho log(1/delta)) (Bun & Steinke 2016, Prop. 1.3).

    DP-SGD has no zCDP of use, so that a plan with it goes through Renyi divergences instead (Opacus), which is tighter.
    """
    delta -= sum(getattr(event, "delta", 0.0) for event in events)
    if any(isinstance(event, SampledGaussian) for event in events):
        from opacus.accountants.analysis.rdp import get_privacy_spent

        return float(get_privacy_spent(orders=ORDERS, rdp=renyi(events)[0], delta=delta)[0])
    pure = [event.epsilon for event in events if isinstance(event, (Geometric, PureDP))]
    rho = sum(e**2 / 2 for e in pure) + sum(
        1 / (2 * event.noise_multiplier**2) for event in events if not isinstance(event, (Geometric, PureDP))
    )
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))


def by_adding(events: Sequence[Event], delta: float, split: bool) -> float:
    """epsilon of every stage by itself, added up; delta split evenly among them, or (as is often done) used by each."""
    lost = sum(getattr(e, "delta", 0.0) for e in events)
    each = (delta - lost) / len(events) if split else delta - lost
    return sum(epsilon_of([event], each + getattr(event, "delta", 0.0)) for event in events)


def strength_for(
    events_of: Callable[[float], list[Event]], cost: Callable[[list[Event]], float], target: float
) -> float:
    """The largest strength whose cost is at most target, by bisection."""
    low, high = 1e-3, 64.0
    for _ in range(30):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if cost(events_of(middle)) <= target else (low, middle)
    return low


def cross_check() -> list[str]:
    lines = [
        "| events | ours | bound from below | PRV | ours / PRV | RDP (Opacus) | RDP (dp_accounting) | closed form | ours / it |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    grid = {f"DP-SGD q = {q:g}, σ = {s:g}, T = {t:,}": [SampledGaussian(s, q, t)] for q, s, t in GRID}
    for name, events in (grid | MIXES).items():
        ours, least = epsilon_of(events, DELTA), optimistic(events, 1e-5 if "000" in name else 1e-4)
        estimate, exact = prv(events), closed_form(events)
        assert ours >= least, name
        lines.append(
            f"| {name} | {ours:.5f} | {least:.5f} | {_shown(estimate)} | {_ratio(ours, estimate)} | {opacus_rdp(events):.4f} "
            f"| {_shown(google_rdp(events), 4)} | {_shown(exact)} | {_ratio(ours, exact)} |"
        )
    return lines


def tightness() -> list[str]:
    lines = [
        "| policy | trainer | ε | added up, δ split | added up, δ each | zCDP or RDP | noise if added up | noise by zCDP or RDP |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted((HERE.parent / "policies").glob("*.yaml")):
        for trainer in ("ctgan", "marginals"):
            for epsilon in (1.0, 3.0, 10.0):
                lines.append(_tightness(path, trainer, epsilon))
    return lines


def _tightness(path: Path, trainer: str, epsilon: float) -> str:
    text = re.sub(r"(?m)^  lifetime:.*\n", "", path.read_text())
    policy = Policy.from_text(text, folder=path.parent).with_changes(trainer, epsilon)
    plan = make_plan(policy)
    if trainer == "ctgan":
        same = make_plan(policy.with_changes("vae", epsilon))
        assert [item.event for item in same.items] == [item.event for item in plan.items]
        trainer = "ctgan, vae"  # the same mechanisms with the same noise
    # without `unit numbers`, which costs delta alone: there is no noise in it to share out otherwise
    events, delta = [item.event for item in plan.items if item.share], plan.delta
    ratios = [by_adding(events, delta, True), by_adding(events, delta, False), concentrated(events, delta)]
    split = strength_for(_scaled(plan), lambda e: by_adding(e, delta, True), epsilon)
    other = strength_for(_scaled(plan), lambda e: concentrated(e, delta), epsilon)
    return (
        f"| {path.stem} | {trainer} | {epsilon:g} | {' | '.join(f'{value / plan.epsilon:.3f} ×' for value in ratios)} "
        f"| {1 / split:.2f} × | {1 / other:.2f} × |"
    )


def _scaled(plan: Plan) -> Callable[[float], list[Event]]:
    """The plan's events with the noise of all divided by a strength; DP-SGD by its own rule of strength."""
    from privsynth.privacy.events import sampled_gaussian_of_mu

    def scaled(strength: float) -> list[Event]:
        out: list[Event] = []
        for item in plan.items:
            match item.event:
                case Geometric(epsilon):
                    out.append(Geometric(epsilon * strength))
                case Gaussian(sigma):
                    out.append(Gaussian(sigma / strength))
                case DiscreteGaussian(sigma):
                    out.append(DiscreteGaussian(sigma / strength))
                case ThresholdedGaussian(sigma, delta):
                    out.append(ThresholdedGaussian(sigma / strength, delta))
                case SampledGaussian(sigma, rate, steps):
                    mu = rate * math.sqrt(steps * math.expm1(sigma**-2))
                    out.append(sampled_gaussian_of_mu(mu * strength, rate, steps))
        return out

    return scaled


def speed() -> list[str]:
    lines = [
        "| ε | policies/hospital-readmissions.yaml, ctgan | policies/demo-hospital.yaml, marginals |",
        "|---|---|---|",
    ]
    for epsilon in (0.1, 1.0, 10.0, 50.0):
        seconds = []
        for name, trainer in (("hospital-readmissions", "ctgan"), ("demo-hospital", "marginals")):
            text = re.sub(r"(?m)^  lifetime:.*\n", "", (HERE.parent / f"policies/{name}.yaml").read_text())
            policy = Policy.from_text(text, folder=HERE.parent / "policies").with_changes(trainer, epsilon)
            start = time.perf_counter()
            make_plan(policy)
            seconds.append(time.perf_counter() - start)
        lines.append(f"| {epsilon:g} | {seconds[0]:.2f} s | {seconds[1]:.2f} s |")
    return lines


def _shown(value: float | None, digits: int = 5) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _ratio(ours: float, other: float | None) -> str:
    return "–" if other is None else f"{ours / other:.5f}"


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # orders of RDP that do not converge
    tight, speeds = tightness(), speed()
    spread = max(dominating_mu(s) * s for s in np.linspace(2, 50, 400))
    text = f"""# The accountant, checked and compared

Made by `python benchmarks/accounting.py`; no table is read.

## Against other accountants
ε at δ = {DELTA:g}. *Ours* bounds from above; the bound from below is `dp_accounting` with losses rounded down (interval
1e-4, or 1e-5 from 1,000 steps on; nothing merged).
*PRV* is the estimate of Opacus' PRV accountant (its own error is set to 0.2 %). RDP is looser by
nature. A discrete Gaussian is bounded by a Gaussian of at most {100 * (spread - 1):.1f} % more μ from σ = 2 on (0.006 % at 26).

{chr(10).join(cross_check())}

## What one composed total saves
For the plan of each policy at its δ: what other ways of summing up would claim for *the same noise*, as a multiple of the
composed ε; and how much *more noise* (noise multiplier) they would need for the same claim. "Added up" is every stage's
own ε summed, with δ split evenly among the stages; "δ each" lets every stage use the whole δ, so that what is really
claimed is a multiple of δ. zCDP is ρ + 2√(ρ ln 1/δ), the way of the published marginal methods; DP-SGD has no useful ρ, so
that plans with it go through RDP, the way of the published DP-SGD methods.

{chr(10).join(tight)}

## How long calibration takes
`make_plan`, without imports (0.6 s for `dp_accounting`), on shared cores.

{chr(10).join(speeds)}
"""
    target = HERE / "results" / "accounting.md"
    target.write_text(text, encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
