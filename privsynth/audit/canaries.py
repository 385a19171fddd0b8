"""Canaries on the measuring stage, white box: mu measured beside mu claimed, for each mechanism and for the whole run.

An audit twin measures a table, or the same table with one unit more (the canary): same policy, same plan, same mechanisms and
noise, through the same fence, on an account of its own that no ledger knows. Nothing of it is released. The attacker
knows both tables, hears every noisy answer, and knows what each mechanism would have answered exactly on either table.
Its score is the privacy loss of what it heard, log P(answer | with) / P(answer | without), by the noise as stated. If the noise
is that, no other score separates the two worlds better (Neyman and Pearson 1933), and 0 is the threshold that it calls
for, fixed before any run; if it is not, there may be better attacks, such as on noise that several
cells share. Losses of all mechanisms add up to that of the run.

Later mechanisms build on earlier noisy answers: what they are set up with follows from one `chain` of answers, half of the chains
without the canary and half with it. Along a chain each mechanism then answers `draws` times in each world. A claim must hold for
each set-up, so it must hold for these; chains are slow, draws are quick.

What each figure proves:

* `distance`: how far the canary moved the exact answers, in units of the stated sensitivity. Above 1 in any chain is a broken
  proof, without statistics. Near 1, the canary was near the worst there is; far below, the other figures prove little.
* `noise`: the spread of all noise that was drawn over the stated one, to a part in a thousand. Normal noise
  that is thinner by five standard errors is a broken proof as well.
* `mu`: the gap between the two worlds over the spread of the noise along the canary's direction, which takes noise for normal.
  Where it is not (a geometric count, DP-SGD with sampling or latent noise): what the game shows at threshold 0.
* `worlds`: lower bounds from the game itself (`worlds.two_worlds`), which assume nothing of the noise but that draws are
  independent. (Set-ups differ a little between chains; a Clopper-Pearson end holds for a sum of unlike draws too:
  Hoeffding 1956, Theorem 4.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from privsynth.audit.worlds import Worlds, mu_between, two_worlds
from privsynth.encoding.domain import learn_domain
from privsynth.encoding.learning import learn_codec
from privsynth.encoding.readable import refuse_unreadable
from privsynth.errors import Problem, Refused
from privsynth.marginals.measure import measure_marginals
from privsynth.policy import Policy
from privsynth.privacy.accountant import compose, dominating_mu
from privsynth.privacy.events import (
    DiscreteGaussian,
    Event,
    Gaussian,
    Geometric,
    SampledGaussian,
    ThresholdedGaussian,
)
from privsynth.privacy.mechanisms import DP_SGD
from privsynth.privacy.mechanisms.base import Mechanism
from privsynth.privacy.mechanisms.categories import OpenCategories
from privsynth.privacy.mechanisms.counts import Counts
from privsynth.privacy.mechanisms.tables import MARGINALS, Histograms, Marginals
from privsynth.privacy.noise import Randomness
from privsynth.privacy.plan import Plan
from privsynth.privacy.risk import max_tpr
from privsynth.progress import Progress, silent
from privsynth.table.private import Encoder, PrivateTable, Values
from privsynth.trainers import trainer_of

Floats = NDArray[np.float64]
ROUNDED = 1e-3  # of noise
SURE = 50.0  # privacy loss of an answer that only one of the two tables can give


@dataclass(frozen=True)
class Neighbours(Generic[Values]):
    """A table without the canary, with it, and the canary's rows alone."""

    without: PrivateTable[Values]
    with_canary: PrivateTable[Values]
    alone: PrivateTable[Values]


@dataclass(frozen=True)
class Heard:
    """The answers of one mechanism along one chain.

    losses: (2, draws) log P(answer | with) / P(answer | without), without the canary and with it; gap: how far apart their means
    are by the exact answers and the stated noise, nan where these do not tell. distance: of the exact answers. squares,
    cells: of all noise drawn, in units of the stated deviation.
    """

    event: Event
    losses: Floats
    gap: float
    distance: float
    squares: float
    cells: int


@dataclass(frozen=True)
class Measured:
    """What was measured of one mechanism, or of the whole run, beside the mu that it claims. error, noise_error: standard
    errors. distance and noise are nan for the run as a whole."""

    name: str
    claimed: float
    mu: float
    error: float
    worlds: Worlds
    distance: float = math.nan  # largest of all chains
    noise: float = math.nan
    noise_error: float = math.nan
    normal: bool = False  # noise that is normal, so that its spread says all

    @property
    def thin(self) -> bool:
        """Normal noise below its stated spread by five standard errors and what rounding may explain."""
        return self.normal and self.noise < 1 - 5 * self.noise_error - ROUNDED

    @property
    def broken(self) -> bool:
        """Chance does not explain it: a canary that moves the answer too far, thin noise, or a lower bound above the claim."""
        return self.distance > 1 + 1e-9 or self.thin or self.worlds.mu > self.claimed

    def summary(self) -> dict[str, float | str | bool | None]:
        """For programs: what is not told is None."""
        told: dict[str, float] = {
            "claimed": self.claimed, "mu": self.mu, "error": self.error, "distance": self.distance, "noise": self.noise,
            "mu_at_least": self.worlds.mu, "epsilon_at_least": self.worlds.epsilon,
        }  # fmt: skip
        return {
            "mechanism": self.name,
            **{k: v if math.isfinite(v) else None for k, v in told.items()},
            "broken": self.broken,
        }


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
    """A table in one of the two worlds, with the other one and the canary alone beside it. heard: {mechanism: what was heard}."""

    __slots__ = ("draws", "heard", "tables", "with_canary")

    def __init__(self, tables: Neighbours[Values], with_canary: bool, draws: int, heard: dict[str, Heard]):
        # not super(): the rows stay behind the fences of the tables
        self.tables, self.with_canary, self.draws, self.heard = tables, with_canary, draws, heard

    def measure(self, mechanism: Mechanism[Any, Any, Any], run: Any) -> Any:
        """The answer of the world that it is in. What the other world was asked is heard, and does not go on."""
        if mechanism.name == DP_SGD:
            return self._measure_steps(mechanism, run)
        exact: list[Any] = []
        with_noise = mechanism.noised

        def tapped(answer: Any, randomness: Randomness) -> Any:
            exact.append(answer)
            return with_noise(answer, randomness)

        with _in_place(mechanism, tapped):
            released = self._own.measure(mechanism, run)
            beside = self.tables.without if self.with_canary else self.tables.with_canary
            beside.measure(mechanism, Account(run.plan, run.randomness))
        without, with_canary = reversed(exact) if self.with_canary else exact
        self.heard[mechanism.name] = hear(mechanism, without, with_canary, self.draws, run.randomness)
        return released

    def _measure_steps(self, mechanism: Mechanism[Any, Any, Any], run: Any) -> Any:
        from privsynth.audit.gradients import Steps

        alone: Any = self.tables.alone
        steps = Steps(mechanism, alone, run.plan, self.draws)  # type: ignore[arg-type]  # no other has this name
        with _in_place(mechanism, steps.noised):
            released = self._own.measure(mechanism, run)
        self.heard[mechanism.name] = Heard(
            mechanism.event, steps.losses, steps.gap, steps.distance, steps.squares, steps.cells
        )
        return released

    @property
    def _own(self) -> PrivateTable[Values]:
        return self.tables.with_canary if self.with_canary else self.tables.without

    def encoded(self, encoder: Encoder) -> PrivateTable[np.ndarray]:
        sides = (table.encoded(encoder) for table in (self.tables.without, self.tables.with_canary, self.tables.alone))
        return Twin(Neighbours(*sides), self.with_canary, self.draws, self.heard)


@contextmanager
def _in_place(mechanism: Mechanism[Any, Any, Any], noised: Callable[[Any, Randomness], Any]) -> Iterator[None]:
    """Within the block this one mechanism, frozen as it is, draws its noise by `noised`."""
    object.__setattr__(mechanism, "noised", noised)
    try:
        yield
    finally:
        object.__delattr__(mechanism, "noised")


def hear(
    mechanism: Mechanism[Any, Any, Any], without: Any, with_canary: Any, draws: int, randomness: Randomness
) -> Heard:
    """Draws answers to both exact answers, and compares them with these."""
    losses, squares, cells = np.empty((2, draws)), 0.0, 0
    for world, exact in enumerate((without, with_canary)):
        mean = scaled(mechanism, exact)
        for draw in range(draws):
            noisy = mechanism.noised(exact, randomness)
            losses[world, draw] = privacy_loss(mechanism, noisy, without, with_canary)
            squares += float(((scaled(mechanism, noisy) - mean) ** 2).sum())
        cells += draws * mean.size
    one, other = (scaled(mechanism, answer) for answer in common(without, with_canary))
    gap = float(((one - other) ** 2).sum())
    if isinstance(mechanism.event, Geometric):
        gap = (
            2
            * mechanism.event.epsilon
            * math.tanh(mechanism.event.epsilon / 2)
            * float(np.abs(without - with_canary).sum())
        )
    return Heard(mechanism.event, losses, gap, mechanism.distance(without, with_canary), squares, cells)


def privacy_loss(mechanism: Mechanism[Any, Any, Any], noisy: Any, without: Any, with_canary: Any) -> float:
    """log P(noisy | with) / P(noisy | without), by the noise that the mechanism states."""
    if isinstance(mechanism, OpenCategories):
        lone = without.keys() ^ with_canary.keys()  # of a name that one table lacks, only its release is seen
        if any(noisy.get(name, -math.inf) >= mechanism.threshold for name in lone):
            return SURE if lone <= with_canary.keys() else -SURE
    if isinstance(mechanism.event, Geometric):
        return float(mechanism.event.epsilon * (np.abs(noisy - without) - np.abs(noisy - with_canary)).sum())
    heard, a, b = (scaled(mechanism, answer) for answer in common(noisy, without, with_canary))
    return float((heard - (a + b) / 2) @ (b - a))


def common(*answers: Any) -> tuple[Any, ...]:
    """Of counts by name, those of names that are in all of them; other answers as they are."""
    if not isinstance(answers[0], dict) or not all(isinstance(name, str) for answer in answers for name in answer):
        return answers
    both = set.intersection(*(set(answer) for answer in answers))
    return tuple({name: answer[name] for name in both} for answer in answers)


def scaled(mechanism: Mechanism[Any, Any, Any], answer: Any) -> Floats:
    """(cells,) an answer in units of the stated deviation of its noise."""
    match mechanism:
        case Histograms():
            return np.concatenate([count / sigma for count, sigma in zip(answer, mechanism.sigmas, strict=True)])
        case Marginals():
            tables = zip(mechanism.tables, mechanism.sigmas, strict=True)
            return np.concatenate([answer[table].ravel() / sigma for table, sigma in tables])
        case OpenCategories():
            return np.array([answer[name] for name in sorted(answer)]) / mechanism.event.noise_multiplier
        case Counts():
            return np.asarray(answer / mechanism.sigma)
    raise TypeError(
        f"{type(mechanism).__name__} with {type(mechanism.event).__name__} is no mechanism of the measuring stage"
    )


def listen(
    policy: Policy, plan: Plan, tables: Neighbours[pd.DataFrame], with_canary: bool, draws: int, randomness: Randomness
) -> dict[str, Heard]:
    """One chain: measures one world, with all that measuring takes from histograms to the last table, and fits nothing; where
    the plan has DP-SGD, with a whole fit."""
    heard: dict[str, Heard] = {}
    table, account = Twin(tables, with_canary, draws, heard), Account(plan, randomness)
    lost = refuse_unreadable(policy, table, account)
    domain = learn_domain(policy, table, account, 1.0, lost)
    codec = learn_codec(domain, table, account, policy.knowledge)
    codes = table.encoded(codec)
    if DP_SGD in plan:
        trainer_of(plan.trainer, plan.trainer_options).fit(codes, codec, policy.target, account, silent)
    elif MARGINALS in plan:
        measure_marginals(codes, codec, policy.target, account)
    return heard


def audit_measuring(
    policy: Policy, plan: Plan, tables: Neighbours[pd.DataFrame], chains: int = 20, draws: int = 100, *, confidence: float = 0.95,
    seed: int | None = None, progress: Progress = silent,
) -> list[Measured]:  # fmt: skip
    """Every mechanism that was heard, in the order of the plan, and the whole run last.

    Each world has chains * draws scores. All bounds hold together with the stated confidence. seed: of development, as in a
    policy.
    """
    runs = []
    for turn in range(chains):
        randomness = Randomness(None if seed is None else seed * 1_000_003 + turn)
        runs.append(listen(policy, plan, tables, bool(turn % 2), draws, randomness))
        progress("audit twin", (turn + 1) / chains)
    names = [item.name for item in plan.items if item.name in runs[0]]
    each = 1 - (1 - confidence) / (len(names) + 1)
    found = [_measured(name, [run[name] for run in runs], plan.delta, each) for name in names]
    losses = [np.sum([heard.losses for heard in run.values()], axis=0) for run in runs]
    gaps = [sum(heard.gap for heard in run.values()) for run in runs]
    return [*found, _compared("whole run", [plan[name] for name in names], losses, gaps, plan.delta, each)]


def claimed_mu(events: Sequence[Event], fpr: float = 0.5) -> float:
    """mu of the Gaussian whose trade-off curve meets that of these events together, but for the deltas that they state: of
    Gaussian events the same everywhere, else at this false-positive rate.

    >>> round(claimed_mu([Gaussian(2.0), Gaussian(2.0)]), 4)
    0.7071
    """
    mus = [_mu_of(event) for event in events]
    if None not in mus:
        return math.sqrt(sum(mu**2 for mu in mus if mu is not None))
    return float(ndtri(max_tpr(compose(events), [fpr])[0]) - ndtri(fpr))


def _mu_of(event: Event) -> float | None:
    match event:
        case Gaussian():
            return event.mu
        case DiscreteGaussian(sigma) | ThresholdedGaussian(sigma, _):
            return dominating_mu(sigma)
        case SampledGaussian(sigma, rate, steps):
            return math.sqrt(steps) / sigma if rate == 1 else None
        case Geometric():
            return None
    raise TypeError(f"no {type(event).__name__} is listened to")


def _measured(name: str, heard: Sequence[Heard], delta: float, confidence: float) -> Measured:
    cells = max(1, sum(each.cells for each in heard))
    noise = math.sqrt(sum(each.squares for each in heard) / cells)
    found = _compared(
        name, [heard[0].event], [each.losses for each in heard], [each.gap for each in heard], delta, confidence
    )
    distance = max(each.distance for each in heard)
    tails = 5 if isinstance(heard[0].event, Geometric) else 2  # variance of the square of a number of variance 1
    error, normal = noise * math.sqrt(tails / cells) / 2, isinstance(heard[0].event, (Gaussian, SampledGaussian))
    return replace(found, distance=distance, noise=noise, noise_error=error, normal=normal)


def _compared(
    name: str, events: Sequence[Event], losses: Sequence[Floats], gaps: Sequence[float], delta: float, confidence: float
) -> Measured:  # fmt: skip
    without, with_canary = np.concatenate(losses, axis=1)
    worlds = two_worlds(without, with_canary, delta, confidence, threshold=0.0)
    told = not any(math.isnan(gap) for gap in gaps) and not (len(events) == 1 and isinstance(events[0], Geometric))
    mu, error = _mu(losses, gaps) if told else mu_between(without, with_canary, 0.0)
    return Measured(name, claimed_mu(events, worlds.fpr), mu, error, worlds)


def _mu(losses: Sequence[Floats], gaps: Sequence[float]) -> tuple[float, float]:
    """(mu, its standard error): the stated gap over the measured spread of losses about their stated means."""
    means = np.array([[-0.5], [0.5]])
    off = [(a - means * gap) / math.sqrt(gap) for a, gap in zip(losses, gaps, strict=True) if gap > 0]
    if not off:  # the canary moved nothing that was heard
        return 0.0, 0.0
    spread = math.sqrt(float((np.concatenate(off, axis=1) ** 2).mean()))
    mu = math.sqrt(float(np.mean(gaps))) / spread if spread > 0 else math.inf
    return mu, mu / math.sqrt(2 * sum(each.size for each in off))
