"""The privacy filter: which further run a data set's lifetime budget still allows, however that run was chosen.

The cap (E, D) of a data set is public. Runs come one after another, or several at a time; each, its budget included,
may have been chosen after looking at everything that came before. A run is accepted if with it one of two totals holds:

A. The sum: the epsilons of all runs add up to at most E, their deltas to at most D_A.
B. The Rényi filter at one order a, fixed beforehand: the Rényi costs of all mechanisms add up to at most
   R = E - conversion(a, D_C), and the deltas of their approximate parts to at most D_P.

*Theorem.* If D_A + D_C + D_P <= D, all that ever comes out is (E, D)-differentially private.

*Proof.* Let p and q be the laws of the whole transcript on two neighbouring tables, p_i and q_i those of its i-th step
given the steps before; what the step costs is a function of the steps before. Let S be any set of transcripts.

(A alone; Rogers, Roth, Ullman, Vadhan 2016, who call it the trivial filter.) If every path stops before A is passed,
put p'_i = min(p_i, exp(e_i) q_i), which lacks at most d_i of p_i's mass. Then prod p_i - prod p'_i has mass at most
E[sum d_i] <= D_A, and prod p'_i <= exp(sum e_i) prod q_i <= exp(E) q. Hence p(S) <= exp(E) q(S) + D_A.

(B alone; Feldman, Zrnic 2021 and Lécuyer 2021 for the filter, Whitehouse, Ramdas, Rogers, Wu 2023 for the approximate
part.) A step with Rényi cost r_i and approximate part d_i has p_i = (1 - d_i) p'_i + d_i p''_i, the same for q, and
D_a(p'_i || q'_i) <= r_i. Let w = prod (1 - d_i). A path on which some p''_i was drawn has probability E[sum d_i] <= D_P
at most, so p(S) - exp(E) q(S) <= D_P + integral over S of w (p' - exp(E) q') <= D_P + integral of (p' - exp(E) q')_+,
since 0 <= w <= 1 is the same on both sides. Under q', the product of (p'_i / q'_i)^a exp(-(a - 1) r_i) is a
supermartingale that starts at 1, because r_i is known before step i. With sum r_i <= R on every path follows
E_q'[(p'/q')^a] <= exp((a - 1) R), that is D_a(p' || q') <= R. By the conversion (Canonne, Kamath, Steinke 2020,
Proposition 12) the last integral is at most D_C. This needs one a for all paths: costs at another order would be
another supermartingale, and the better of the two, chosen afterwards, is none.

(A or B.) Both totals only grow, so a total that holds when the last run is accepted has held all the way. Each whole
transcript is therefore in S_A, where A holds to its end, or in S_B, the rest, where B does. Let M_A be the same process,
stopped before A is passed: it agrees with the real one on S_A and is covered by (A alone), so p(S and S_A) <= exp(E)
q(S and S_A) + D_A; the same for B. Adding both: p(S) <= exp(E) q(S) + D_A + D_C + D_P.

*Arithmetic.* A run whose probabilities are off by factors within exp(s/2) on either table, s its `accountant.slack_of`, has
a Rényi divergence of order a that is larger by at most (a s/2 + (a - 1) s/2) / (a - 1): `spending` adds that.

*Several runs at a time.* A run pays at its reservation, before its first mechanism. By mechanisms, whatever their order,
B's total never passes R. For A, filters hold for interactive mechanisms that interleave, too (Haney, Shoemate, Tian,
Vadhan, Vyrros, Xu, Zhang 2023). A run that was returned has read no row: its output is the same on both tables, its cost
is 0, and having counted it for a while has only refused more.

*What is fixed beforehand.* Whether B counts, and at which order, is decided by the first reservation of an account, from
its plan and the cap then stated, and is never changed (`starting_order`). Where B does not count, D_A = D and D_C = D_P
= 0, so that one run may always have the whole lifetime budget; where it does, the shares are those below for good.
Accounts that turn out to hold the same content keep B only if all of them fixed the same order: otherwise a path could
choose among orders. They keep the smaller D_A if any of them has it, so that the theorem's sum of deltas stands.

*What it does not say.* Neighbouring tables are those of the runs' common unit: if one run protects rows and another all
rows of a person, the total is a claim for neither by itself. A cap that its owner raises later is no part of this: the
theorem then holds for the largest cap that was ever stated.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache, reduce

from privsynth.privacy.accountant import geometric_trace, slack_of
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
from privsynth.privacy.risk import at_most, small

ORDERS = (*(n / 4 for n in range(6, 40)), *map(float, range(10, 257)))  # of Rényi divergence, to choose from
SUM_SHARE, CONVERSION_SHARE, APPROXIMATE_SHARE = 0.4, 0.5, 0.1  # of the cap's delta: D_A, D_C, D_P
SLACK = 1 + 1e-9  # sums of decimal fractions may pass a cap by their rounding


@dataclass(frozen=True)
class Cap:
    """A lifetime budget: the (epsilon, delta) that all runs together may reach."""

    epsilon: float
    delta: float

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:g}, delta {small(self.delta)}"


def smallest(caps: Collection[Cap]) -> Cap:
    """What keeps every one of several caps. Raises ValueError if there are none."""
    return Cap(min(cap.epsilon for cap in caps), min(cap.delta for cap in caps))


@dataclass(frozen=True)
class Spending:
    """What runs cost. epsilon, delta: their claims, added up. renyi: their Rényi costs at the account's order (infinite if
    not known). approximate: the deltas of their approximate parts, which the Rényi costs leave out.
    """

    epsilon: float = 0.0
    delta: float = 0.0
    renyi: float = 0.0
    approximate: float = 0.0

    def __add__(self, other: Spending) -> Spending:
        return Spending(
            self.epsilon + other.epsilon, self.delta + other.delta,
            self.renyi + other.renyi, self.approximate + other.approximate,
        )  # fmt: skip


def total(spendings: Iterable[Spending]) -> Spending:
    return reduce(Spending.__add__, spendings, Spending())


def spending(epsilon: float, delta: float, events: Collection[Event] | None, order: float | None) -> Spending:
    """The cost of one run that claims (epsilon, delta). events: its mechanisms; None if they are not known."""
    if order is None or not events:
        return Spending(epsilon, delta, math.inf, 0.0)
    parts = [renyi_cost(event, order) for event in events]
    renyi = sum(cost for cost, _ in parts) + slack_of(events) * (2 * order - 1) / (2 * (order - 1))
    return Spending(epsilon, delta, renyi, sum(approximate for _, approximate in parts))


@lru_cache(maxsize=4096)
def renyi_cost(event: Event, order: float) -> tuple[float, float]:
    """(Rényi divergence of this order between neighbours at most, either way round; delta of its approximate part).

    Gaussian: Mironov 2017, Proposition 7; discrete Gaussian: Canonne, Kamath, Steinke 2020, Theorem 4; pure DP: every such
    mechanism is a processing of randomized response (Kairouz, Oh, Viswanath 2015), whose divergence is Mironov's
    Proposition 5; Poisson-sampled Gaussian: Mironov, Talwar, Zhang 2019, as computed by dp_accounting (from above: at orders
    that are no whole numbers it adds up the terms of an alternating series without their signs).

    >>> renyi_cost(Gaussian(2.0), 4.0)
    (0.5, 0.0)
    """
    match event:
        case Gaussian() | DiscreteGaussian():
            return order / (2 * event.noise_multiplier**2), 0.0
        case ThresholdedGaussian():
            return order / (2 * event.noise_multiplier**2), event.delta
        case Geometric():
            return _randomized_response(event.epsilon, order), geometric_trace(event.epsilon)
        case PureDP():
            return _randomized_response(event.epsilon, order), 0.0
        case ApproximateDP():
            return _randomized_response(event.epsilon, order), event.delta
        case SampledGaussian():
            return _sampled_gaussian(event, order), 0.0


def _randomized_response(epsilon: float, order: float) -> float:
    """log((e^(a eps) + e^((1 - a) eps)) / (1 + e^eps)) / (a - 1), written so that nothing overflows."""
    return (
        (order - 1) * epsilon + math.log1p(math.exp((1 - 2 * order) * epsilon)) - math.log1p(math.exp(-epsilon))
    ) / (order - 1)


def _sampled_gaussian(event: SampledGaussian, order: float) -> float:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.rdp import RdpAccountant

    step = PoissonSampledDpEvent(event.sampling_rate, GaussianDpEvent(event.noise_multiplier))
    cost = float(RdpAccountant([order]).compose(step, event.steps).rdp[0])
    return cost if cost >= 0 else math.inf  # a sum that lost its digits, or NaN: no bound, so no budget suffices


def conversion(order: float, delta: float) -> float:
    """epsilon that (order, r)-Rényi DP needs on top of r to be (epsilon, delta)-DP (Canonne, Kamath, Steinke 2020)."""
    return max(0.0, math.log1p(-1 / order) - math.log(delta * order) / (order - 1))


def renyi_cap(cap: Cap, order: float) -> float:
    """R: how much Rényi divergence of this order fits under the cap."""
    return cap.epsilon - conversion(order, cap.delta * CONVERSION_SHARE)


def starting_order(cap: Cap | None, epsilon: float, delta: float, events: Collection[Event]) -> float | None:
    """The order that an account's first reservation fixes for the Rényi filter; None: the sum alone will count.

    cap, epsilon, delta, events: what the first run's policy and plan state, known before anything was read. The order is
    that at which most Gaussian noise fits. Splitting delta costs the sum, so it is done only if at least as many runs like
    the first then fit.

    >>> starting_order(Cap(10.0, 1e-5), 3.0, 1e-6, [Gaussian(1.55)])
    3.5
    """
    if cap is None or delta > cap.delta * SUM_SHARE:
        return None
    order = max(ORDERS, key=lambda order: renyi_cap(cap, order) / order)
    capacity = renyi_cap(cap, order)
    if capacity <= 0:
        return None
    one = spending(epsilon, delta, events, order)
    renyi = min(_times(capacity, one.renyi), _times(cap.delta * APPROXIMATE_SHARE, one.approximate))
    by_less_delta = min(_times(cap.epsilon, epsilon), cap.delta * SUM_SHARE / delta)
    by_sum = min(_times(cap.epsilon, epsilon), cap.delta / delta)
    return order if max(renyi, by_less_delta) * SLACK >= int(by_sum * SLACK) else None


def _times(capacity: float, cost: float) -> float:
    return capacity / cost if cost > 0 else math.inf


@dataclass(frozen=True)
class Filter:
    """The two rules of one account, or of linked ones. orders: what their first reservations fixed."""

    cap: Cap
    orders: frozenset[float | None]

    @property
    def order(self) -> float | None:
        """The order at which the Rényi rule counts; None: it does not."""
        return next(iter(self.orders)) if len(self.orders) == 1 else None

    @property
    def sum_cap(self) -> Cap:
        """What the sum may reach."""
        return self.cap if self.orders == {None} else Cap(self.cap.epsilon, self.cap.delta * SUM_SHARE)

    def sum_holds(self, spent: Spending) -> bool:
        return spent.epsilon <= self.sum_cap.epsilon * SLACK and spent.delta <= self.sum_cap.delta * SLACK

    def renyi_left(self, spent: Spending) -> float:
        """How much Rényi divergence further runs may cost; below 0 if it was passed, or if the rule does not count."""
        if self.order is None or spent.approximate > self.cap.delta * APPROXIMATE_SHARE * SLACK:
            return -math.inf
        return renyi_cap(self.cap, self.order) - spent.renyi

    def accepts(self, spent: Spending) -> bool:
        """True if all runs together, the new one included, keep the cap."""
        return self.sum_holds(spent) or self.renyi_left(spent) >= 0

    def in_words(self, spent: Spending) -> str:
        """What was spent, by which rule, and what is left."""
        cap = self.sum_cap
        epsilon, delta = max(0.0, cap.epsilon - spent.epsilon), max(0.0, cap.delta - spent.delta)
        words = f"already spent: epsilon {at_most(spent.epsilon)}, delta {small(spent.delta)} by the sum, which leaves "
        words += f"epsilon {epsilon:.3g}, delta {delta:.1e}; "
        if self.order is None:
            return words + "the Rényi filter does not count here"
        if math.isinf(spent.renyi):
            return words + "the Rényi filter does not count, since a plan in the books cannot be read"
        capacity = renyi_cap(self.cap, self.order)
        left = max(0.0, self.renyi_left(spent)) / capacity if capacity > 0 else 0.0
        return words + f"the Rényi filter of order {self.order:g} leaves {left:.1%} of what it allows"


__all__ = [
    "Cap", "Filter", "Spending", "conversion", "renyi_cap", "renyi_cost", "smallest", "spending", "starting_order", "total",
]  # fmt: skip
