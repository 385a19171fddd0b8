"""Canaries on the measuring stage, white box: mu measured beside mu claimed, for each mechanism and for the whole run.

An audit twin measures a table, or the same table with one unit more (the canary), many times: same policy, same plan, same
mechanisms and noise, through the same fence, on an account of its own that no ledger knows. Nothing of it is released.
The attacker knows both tables, hears every noisy answer, and knows what each mechanism would have answered exactly on
either table. Its score is the privacy loss of what was heard, log P(answer | with) / P(answer | without): no other score
separates the two worlds better (Neyman and Pearson 1933), and 0 is the threshold that the noise as stated calls for,
fixed before any run. Later mechanisms build on earlier noisy answers, as in a real run: losses add up over the run.

What each figure proves:

* `distance`: how far the canary moved the exact answers, in units of the stated sensitivity. Above 1 on any run is a broken
  proof, without statistics.
* `noise`: the spread of the noise that was drawn over the stated one, over all cells: precise to a part in a thousand, but blind
  to noise that is not independent between cells.
* `worlds`: lower bounds from the game itself (`worlds.two_worlds`), which assume nothing of the noise.

A canary that finds nothing proves nothing about other canaries: `distance` near 1 shows that it was near the worst.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, ndtri

from privsynth.audit.worlds import Worlds, two_worlds
from privsynth.encoding.domain import learn_domain
from privsynth.encoding.learning import learn_codec
from privsynth.encoding.readable import refuse_unreadable
from privsynth.errors import Problem, Refused
from privsynth.marginals.measure import measure_marginals
from privsynth.policy import Policy
from privsynth.privacy.accountant import dominating_mu
from privsynth.privacy.events import (
    ApproximateDP,
    DiscreteGaussian,
    Event,
    Gaussian,
    Geometric,
    PureDP,
    ThresholdedGaussian,
)
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.privacy.mechanisms.categories import OpenCategories
from privsynth.privacy.mechanisms.counts import Counts
from privsynth.privacy.mechanisms.tables import MARGINALS, Histograms, Marginals
from privsynth.privacy.noise import Randomness
from privsynth.privacy.plan import Plan
from privsynth.progress import Progress, silent
from privsynth.table.private import Encoder, PrivateTable, Values

SURE = 50.0  # privacy loss of an answer that only one of the two tables can give
Pair = tuple[PrivateTable[pd.DataFrame], PrivateTable[pd.DataFrame]]  # without the canary, with it


@dataclass(frozen=True)
class Heard:
    """One answer of one mechanism. loss: log P(answer | with) / P(answer | without). distance: of the two exact answers.

    squares, cells: sum of squares of its noise in units of the stated deviation, and how many there were.
    """

    event: Event
    loss: float
    distance: float
    squares: float
    cells: int


@dataclass(frozen=True)
class Measured:
    """What was measured of one mechanism, or of the whole run, beside what it claims."""

    name: str
    claimed: float  # mu
    distance: float  # largest over all runs; of the run: nan
    noise: float  # measured over stated; of the run: nan
    noise_error: float  # standard error of that
    worlds: Worlds

    @property
    def broken(self) -> bool:
        """Chance does not explain it: a canary that moves the answer too far, or a lower bound above the claim."""
        return self.distance > 1 + 1e-9 or self.worlds.mu > self.claimed


@dataclass
class Account:
    """The twin's own account: it refuses what the plan does not contain, as a ledger does, and books nothing."""

    plan: Plan
    randomness: Randomness
    learned: bool = False
    charged: list[str] = field(default_factory=list)

    def charge(self, name: str, event: Event) -> None:
        if name not in self.plan or self.plan[name] != event or name in self.charged:
            raise Refused(Problem(f"mechanism {name!r}", "is not in the plan as it runs, or has run already"))
        self.charged.append(name)


class Twin(PrivateTable[Values]):
    """A table in one of the two worlds, which keeps the other one beside it. heard: {mechanism: what was heard of it}."""

    __slots__ = ("beside", "heard", "own", "with_canary")

    def __init__(
        self, own: PrivateTable[Values], beside: PrivateTable[Values], with_canary: bool, heard: dict[str, Heard]
    ):  # not super(): the rows stay behind the two tables' own fences
        self.own, self.beside, self.with_canary, self.heard = own, beside, with_canary, heard

    def measure(self, mechanism: Mechanism[Any, Any, Any], run: Any) -> Any:
        """As in the world it is in; what the other world would have been asked is noted, and nothing of it goes on."""
        taps: list[tuple[Any, Any]] = []
        with_noise = mechanism.noised

        def listen(exact: Any, randomness: Randomness) -> Any:
            noisy = with_noise(exact, randomness) if not taps else exact
            taps.append((exact, noisy))
            return noisy

        object.__setattr__(mechanism, "noised", listen)  # of this one object, frozen as it is
        try:
            released = self.own.measure(mechanism, run)
            self.beside.measure(mechanism, Account(run.plan, run.randomness))
        finally:
            object.__delattr__(mechanism, "noised")
        (exact, noisy), (other, _) = taps
        tables = (other, exact) if self.with_canary else (exact, other)
        residuals = _residuals(mechanism, exact, noisy)
        self.heard[mechanism.name] = Heard(
            mechanism.event, privacy_loss(mechanism, noisy, *tables), mechanism.distance(exact, other),
            float((residuals**2).sum()), len(residuals),
        )  # fmt: skip
        return released

    def encoded(self, encoder: Encoder) -> PrivateTable[np.ndarray]:
        return Twin(self.own.encoded(encoder), self.beside.encoded(encoder), self.with_canary, self.heard)


def listen(policy: Policy, plan: Plan, tables: Pair, with_canary: bool, randomness: Randomness) -> dict[str, Heard]:
    """Measures one world once, with all that measuring takes from histograms to the last table; fits nothing."""
    heard: dict[str, Heard] = {}
    own, beside = reversed(tables) if with_canary else tables
    table, account = Twin(own, beside, with_canary, heard), Account(plan, randomness)
    lost = refuse_unreadable(policy, table, account)
    domain = learn_domain(policy, table, account, 1.0, lost)
    codec = learn_codec(domain, table, account, policy.knowledge)
    if MARGINALS in plan:
        measure_marginals(table.encoded(codec), codec, policy.target, account)
    return heard


def audit_measuring(
    policy: Policy, plan: Plan, tables: Pair, runs: int, *, confidence: float = 0.95, seed: int | None = None,
    progress: Progress = silent,
) -> list[Measured]:  # fmt: skip
    """Every mechanism that was heard, in the order of the plan, and the whole run last. runs: in each world.

    All bounds hold together with the stated confidence. seed: of development, as in a policy.
    """
    worlds: tuple[list[dict[str, Heard]], list[dict[str, Heard]]] = ([], [])
    for turn in range(2 * runs):
        randomness = Randomness(None if seed is None else seed * 1_000_003 + turn)
        worlds[turn % 2].append(listen(policy, plan, tables, bool(turn % 2), randomness))
        progress("audit twin", (turn + 1) / (2 * runs))
    names = [item.name for item in plan.items if item.name in worlds[0][0]]
    each = 1 - (1 - confidence) / (len(names) + 1)
    found = [
        _measured(name, [run[name] for run in worlds[0]], [run[name] for run in worlds[1]], plan.delta, each) for name in names
    ]
    without, with_canary = (np.array([sum(heard.loss for heard in run.values()) for run in world]) for world in worlds)
    claimed = claimed_mu(plan[name] for name in names)
    total = two_worlds(without, with_canary, plan.delta, each, threshold=0.0)
    return [*found, Measured("whole run", claimed, math.nan, math.nan, math.nan, total)]


def claimed_mu(events: Iterable[Event]) -> float:
    """mu of a Gaussian that dominates these events together, but with the deltas that they state.

    Pure epsilon is dominated by the Gaussian through the corner of its trade-off curve.

    >>> round(claimed_mu([Gaussian(2.0), Gaussian(2.0)]), 4), round(claimed_mu([PureDP(1.0)]), 3)
    (0.7071, 1.232)
    """
    return math.sqrt(sum(_claimed(event) ** 2 for event in events))


def _claimed(event: Event) -> float:
    match event:
        case Gaussian():
            return event.mu
        case DiscreteGaussian(sigma) | ThresholdedGaussian(sigma, _):
            return dominating_mu(sigma)
        case PureDP(epsilon) | Geometric(epsilon) | ApproximateDP(epsilon, _):
            return float(-2 * ndtri(expit(-epsilon)))
    raise TypeError(f"the measuring stage has no {type(event).__name__}")


def privacy_loss(mechanism: Mechanism[Any, Any, Any], noisy: Any, without: Any, with_canary: Any) -> float:
    """log P(noisy | with) / P(noisy | without), by the noise that the mechanism states."""
    if isinstance(mechanism, OpenCategories):
        both = without.keys() & with_canary.keys()
        lone = (without.keys() | with_canary.keys()) - both  # seen only if it is released
        if any(noisy.get(name, -math.inf) >= mechanism.threshold for name in lone):
            return SURE if lone <= with_canary.keys() else -SURE
        noisy, without, with_canary = ({n: counts[n] for n in both} for counts in (noisy, without, with_canary))
    if isinstance(mechanism, Counts) and isinstance(mechanism.event, Geometric):
        return float(mechanism.event.epsilon * (np.abs(noisy - without) - np.abs(noisy - with_canary)).sum())
    answers = (_parts(mechanism, answer) for answer in (noisy, without, with_canary))
    found = 0.0
    for heard, a, b, sigma in zip(*answers, _sigmas(mechanism), strict=True):
        found += float(((heard - (a + b) / 2) * (b - a)).sum()) / sigma**2
    return found


def _parts(mechanism: Mechanism[Any, Any, Any], answer: Any) -> list[np.ndarray]:
    """An answer as arrays, each with one spread of noise."""
    if isinstance(mechanism, Marginals):
        return [answer[table] for table in mechanism.tables]
    if isinstance(mechanism, OpenCategories):
        return [np.array([answer[name] for name in sorted(answer)], float)]
    return list(answer) if isinstance(mechanism, Histograms) else [answer]


def _sigmas(mechanism: Mechanism[Any, Any, Any]) -> list[float]:
    """The stated deviation of the noise of each part."""
    if isinstance(mechanism, (Histograms, Marginals)):
        return [float(sigma) for sigma in mechanism.sigmas]
    if isinstance(mechanism, Counts):
        return [mechanism.sigma]
    if isinstance(mechanism, OpenCategories):
        return [mechanism.event.noise_multiplier]
    raise TypeError(f"{type(mechanism).__name__} is no mechanism of the measuring stage")


def _residuals(mechanism: Mechanism[Any, Any, Any], exact: Any, noisy: Any) -> np.ndarray:
    """(cells,) the noise of every cell in units of its stated deviation."""
    parts = zip(_parts(mechanism, exact), _parts(mechanism, noisy), _sigmas(mechanism), strict=True)
    return np.concatenate([((b - a) / sigma).ravel() for a, b, sigma in parts])


def _measured(
    name: str, without: Sequence[Heard], with_canary: Sequence[Heard], delta: float, confidence: float
) -> Measured:  # fmt: skip
    every = [*without, *with_canary]
    cells = sum(heard.cells for heard in every)
    noise = math.sqrt(sum(heard.squares for heard in every) / max(1, cells))
    losses, losses_with = (np.array([heard.loss for heard in world]) for world in (without, with_canary))
    return Measured(
        name, _claimed(every[0].event), max(heard.distance for heard in every), noise, noise / math.sqrt(2 * max(1, cells)),
        two_worlds(losses, losses_with, delta, confidence, threshold=0.0),
    )  # fmt: skip
