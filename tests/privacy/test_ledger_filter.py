"""The privacy filter: against brute force, against the accountant, in the ledger, and what it says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_tools import fresh_ledger, kinds, planned, policy
from scipy.special import logsumexp
from scipy.stats import norm

from privsynth.errors import Refused
from privsynth.evidence import Risk
from privsynth.ledger.chain import Entry
from privsynth.ledger.database import ENTRIES
from privsynth.ledger.filter import (
    ORDERS,
    Cap,
    Filter,
    Spending,
    conversion,
    renyi_cap,
    renyi_cost,
    smallest,
    spending,
    starting_order,
    total,
)
from privsynth.ledger.ledger import Ledger
from privsynth.privacy.accountant import NUMERICAL_SLACK, STEP_SLACK, calibrate, compose, geometric_trace
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
from privsynth.privacy.plan import Item, Plan

CAP, LIFETIME = Cap(10.0, 1e-5), ", lifetime: {epsilon: 10.0, delta: 1.0e-5}"
SIGMA = 1 / calibrate(lambda mu: [Gaussian(1 / mu)], lambda loss: loss.epsilon(1e-6), 3.0)  # an honest (3, 1e-6)


def honest(events: list[Event] | None = None, epsilon: float = 3.0, delta: float = 1e-6) -> Plan:
    """A plan whose events cost what it claims."""
    items = tuple(Item(f"m{i}", "", 1.0, event) for i, event in enumerate(events or [Gaussian(SIGMA)]))
    return Plan(items, "marginals", epsilon, delta, Risk(max_tpr={}, advantage=0.0), "row", 1)


def reservations(ledger: Ledger, plan: Plan, lifetime: str = LIFETIME, name: str = "books") -> int:
    """How many runs of a plan fit."""
    for done in range(100):
        try:
            ledger.reserve(planned(policy(name, lifetime), plan))
        except Refused:
            return done
    raise AssertionError("nothing is ever refused")


# --- Rényi costs ------------------------------------------------------------------------------------------------------


def divergence(log_p: np.ndarray, log_q: np.ndarray, order: float) -> float:
    """Between two distributions, given by logarithms that need not be normalised."""
    log_p, log_q = log_p - logsumexp(log_p), log_q - logsumexp(log_q)
    return float(logsumexp(order * log_p + (1 - order) * log_q) / (order - 1))


@pytest.mark.parametrize("order", [1.5, 2.0, 3.5, 8.0, 32.0])
@pytest.mark.parametrize("epsilon", [0.01, 0.5, 2.0])
def test_pure_dp_costs_cover_every_pure_mechanism(epsilon: float, order: float) -> None:
    cost, approximate = renyi_cost(PureDP(epsilon), order)
    two = np.array([epsilon, 0.0])
    assert cost == pytest.approx(divergence(two, two[::-1], order), rel=1e-6) and approximate == 0
    k = np.arange(-9000, 9001)
    exact = divergence(-epsilon * np.abs(k), -epsilon * np.abs(k - 1), order)
    assert exact <= renyi_cost(Geometric(epsilon), order)[0] * (1 + 1e-9) and cost <= epsilon
    assert renyi_cost(ApproximateDP(epsilon, 1e-7), order) == (cost, 1e-7)


def test_costs_of_no_overflow() -> None:
    assert renyi_cost(PureDP(90.0), 256.0)[0] == pytest.approx(90.0, rel=0.01)


@pytest.mark.parametrize("order", [1.5, 3.5, 8.0, 20.0])
@pytest.mark.parametrize("sigma", [0.7, 2.0])
def test_gaussian_costs_are_divergences(sigma: float, order: float) -> None:
    k = np.arange(-200, 201)
    exact = divergence(-(k**2) / (2 * sigma**2), -((k - 1) ** 2) / (2 * sigma**2), order)
    for event in (Gaussian(sigma), DiscreteGaussian(sigma), ThresholdedGaussian(sigma, 1e-8)):
        cost, approximate = renyi_cost(event, order)
        assert cost == order / (2 * sigma**2) >= exact * (1 - 1e-9)
        assert approximate == (1e-8 if isinstance(event, ThresholdedGaussian) else 0)


@pytest.mark.parametrize(("rate", "sigma"), [(0.01, 0.8), (0.1, 2.0), (1.0, 1.5)])
@pytest.mark.parametrize("order", [1.75, 3.5, 8.0])
def test_sampled_gaussian_costs_are_divergences(rate: float, sigma: float, order: float) -> None:
    """Both ways round, by numerical integration. At fractional orders dp_accounting is a bound from above."""

    x = np.linspace(-40, 60, 400_001)
    plain, moved = -(x**2) / (2 * sigma**2), -((x - 1) ** 2) / (2 * sigma**2)
    mixed = np.logaddexp(np.log1p(-rate) + plain, np.log(rate) + moved) if rate < 1 else moved
    exact = max(divergence(mixed, plain, order), divergence(plain, mixed, order))
    cost, approximate = renyi_cost(SampledGaussian(sigma, rate, 7), order)
    assert approximate == 0 and exact * (1 - 1e-4) <= cost / 7 <= exact * (1.0001 if order == 8 else 1.15)


@given(order=st.sampled_from(ORDERS), sigma=st.floats(0.3, 20))
@settings(deadline=None, max_examples=60)
def test_the_conversion_covers_the_exact_gaussian(order: float, sigma: float) -> None:
    delta = 1e-6
    claimed = renyi_cost(Gaussian(sigma), order)[0] + conversion(order, delta)
    mu = 1 / sigma
    exact = norm.cdf(mu / 2 - claimed / mu) - math.exp(claimed + norm.logcdf(-mu / 2 - claimed / mu))
    assert exact <= delta * (1 + 1e-6)


# --- the rules --------------------------------------------------------------------------------------------------------

spendings = st.builds(
    Spending, st.floats(0, 12), st.floats(0, 1.5e-5), st.floats(0, 9) | st.just(math.inf), st.floats(0, 2e-6)
)
order_sets = st.sampled_from([frozenset({None}), frozenset({3.5}), frozenset({None, 3.5}), frozenset({3.5, 4.0})])


@given(spent=spendings, orders=order_sets)
def test_it_accepts_what_one_of_both_totals_allows(spent: Spending, orders: frozenset[float | None]) -> None:
    """Written out once more, by hand."""
    delta = 1e-5 if orders == {None} else 0.4e-5
    by_sum = spent.epsilon <= 10 * (1 + 1e-9) and spent.delta <= delta * (1 + 1e-9)
    capacity = 10 - (math.log(2.5 / 3.5) - math.log(5e-6 * 3.5) / 2.5)
    by_renyi = orders == {3.5} and spent.renyi <= capacity and spent.approximate <= 1e-6 * (1 + 1e-9)
    assert Filter(CAP, orders).accepts(spent) == (by_sum or by_renyi)


@given(less=spendings, more=spendings, orders=order_sets, epsilon=st.floats(10, 20), delta=st.floats(1e-5, 1e-4))
def test_it_is_monotone(
    less: Spending, more: Spending, orders: frozenset[float | None], epsilon: float, delta: float
) -> None:
    """What is refused is still refused after more was spent, and what is accepted still is under a larger cap."""
    rule = Filter(CAP, orders)
    if rule.accepts(less + more):
        assert rule.accepts(less) and Filter(Cap(epsilon, delta), orders).accepts(less + more)


@given(spent=spendings, orders=order_sets, other=order_sets)
def test_linking_never_allows_more(
    spent: Spending, orders: frozenset[float | None], other: frozenset[float | None]
) -> None:
    """With the same cap; otherwise a path could link accounts in order to spend more."""
    if Filter(CAP, orders | other).accepts(spent):
        assert Filter(CAP, orders).accepts(spent) and Filter(CAP, other).accepts(spent)


def test_the_smallest_cap_keeps_all() -> None:
    assert smallest([Cap(3.0, 1e-5), Cap(10.0, 1e-6)]) == Cap(3.0, 1e-6)


events = st.one_of(
    st.builds(Gaussian, st.floats(0.5, 10)),
    st.builds(DiscreteGaussian, st.floats(3, 10)),  # below, the accountant is loose by itself
    st.builds(Geometric, st.floats(0.05, 1)),
    st.builds(PureDP, st.floats(0.05, 1)),
    st.builds(ThresholdedGaussian, st.floats(3, 10), st.floats(1e-9, 3e-7)),
    st.builds(SampledGaussian, st.floats(0.7, 2), st.floats(0.001, 0.05), st.integers(1, 500)),
)


@given(plan=st.lists(events, min_size=1, max_size=3), epsilon=st.floats(0.5, 20), delta=st.sampled_from([1e-8, 1e-5]))
@settings(deadline=None, max_examples=40)
def test_what_it_accepts_the_accountant_confirms(plan: list[Event], epsilon: float, delta: float) -> None:
    """As many equal runs as the Rényi filter takes, composed exactly, stay within the lifetime budget."""
    cap = Cap(epsilon, delta)
    order = max(ORDERS, key=lambda order: renyi_cap(cap, order) / order)
    rule, one = Filter(cap, frozenset({order})), spending(math.inf, 0.0, plan, order)
    runs = 0
    while runs < 40 and rule.accepts(total([one] * (runs + 1))):
        runs += 1
    if runs:
        assert compose(plan * runs, interval=1e-3).epsilon(delta) <= epsilon * 1.001


# --- what the first reservation fixes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "claim", "expected"),
    [
        (None, (3.0, 1e-6), None),
        (CAP, (3.0, 1e-6), 3.5),
        (CAP, (10.0, 1e-5), None),  # the whole budget in one run
        (CAP, (3.0, 4.1e-6), None),
        (Cap(0.02, 1e-5), (0.01, 1e-7), None),  # nothing is left after the conversion
        (Cap(1.0, 1e-5), (0.3, 1e-6), 19.0),
        (Cap(30.0, 1e-5), (3.0, 1e-6), 2.0),
    ],
)
def test_the_starting_order(cap: Cap | None, claim: tuple[float, float], expected: float | None) -> None:
    event = Gaussian(1 / calibrate(lambda mu: [Gaussian(1 / mu)], lambda loss: loss.epsilon(claim[1]), claim[0]))
    assert starting_order(cap, *claim, [event]) == expected


def test_delta_is_not_split_where_that_allows_less() -> None:
    """Six runs by the whole delta; with less of it four, and fewer by the Rényi filter."""
    assert starting_order(Cap(3.0, 1e-5), 0.5, 1e-6, [Gaussian(1.0)]) is None
    assert starting_order(Cap(3.0, 1e-5), 0.5, 1e-6, [Gaussian(8.0)]) is not None
    assert starting_order(CAP, 1.0, 1e-6, []) is None


# --- in the ledger ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return Ledger(fresh_ledger(request.param, tmp_path))


def test_the_filter_lets_more_runs_pass_than_the_sum(ledger: Ledger) -> None:
    runs = reservations(ledger, honest())
    assert runs == 8 > 3
    assert compose([Gaussian(SIGMA)] * runs).epsilon(1e-5) <= 10
    with pytest.raises(Refused) as refusal:
        ledger.reserve(planned(policy(lifetime=LIFETIME), honest()))
    said = str(refusal.value)
    assert "already spent: epsilon 24, delta 8.0e-06 by the sum, which leaves epsilon 0, delta 0.0e+00" in said
    assert "the Rényi filter of order 3.5 leaves 1" in said
    small = honest([Gaussian(60.0)], 0.05, 1e-7)
    ledger.reserve(planned(policy(lifetime=LIFETIME), small))  # what is left is not lost


def test_a_run_with_the_whole_budget_fits(ledger: Ledger) -> None:
    whole = honest([Gaussian(0.5)], 10.0, 1e-5)
    ledger.reserve(planned(policy(lifetime=LIFETIME), whole))
    with pytest.raises(Refused, match="does not count here"):
        ledger.reserve(planned(policy(lifetime=LIFETIME), honest([Gaussian(90.0)], 0.01, 1e-9)))


def test_the_first_reservation_decides_even_if_it_is_returned(ledger: Ledger) -> None:
    ledger.reserve(planned(policy(lifetime=LIFETIME), honest([Gaussian(0.5)], 10.0, 1e-5))).settle("stopped")
    assert reservations(ledger, honest()) == 3, "the sum alone"
    assert [json.loads(e["body"])["order"] for e in ledger.entries() if e["kind"] == "reserve"] == [None] * 4


def test_what_was_returned_does_not_count(ledger: Ledger) -> None:
    for _ in range(4):
        ledger.reserve(planned(policy(lifetime=LIFETIME), honest())).settle("stopped")
    assert reservations(ledger, honest()) == 8
    assert set(kinds(ledger)) == {"reserve", "return"}


@pytest.mark.parametrize("order", [1.5, 4.0, 64.0])
def test_the_filter_pays_for_arithmetic_too(order: float) -> None:
    """What floating-point samplers and sums may add (accountant.slack_of) is in the Rényi cost as it is in the claim."""
    steps = SampledGaussian(1.2, 0.01, 500)
    for events, slack in (
        ([Gaussian(2.0)], NUMERICAL_SLACK),
        ([Gaussian(2.0), steps], NUMERICAL_SLACK + 500 * STEP_SLACK),
    ):
        exact = sum(renyi_cost(event, order)[0] for event in events)
        assert spending(1.0, 1e-6, events, order).renyi == pytest.approx(
            exact + slack * (1 + 1 / (2 * (order - 1))), rel=1e-12
        )
    assert spending(1.0, 1e-6, [Geometric(0.1)], order).approximate == geometric_trace(0.1) > 72 * 5 * 2.0**-53


def test_a_raised_cap_keeps_the_order(ledger: Ledger) -> None:
    ledger.reserve(planned(policy(lifetime=LIFETIME), honest()))
    ledger.reserve(planned(policy(lifetime=", lifetime: {epsilon: 30.0, delta: 1.0e-5}"), honest()))
    assert [json.loads(e["body"])["order"] for e in ledger.entries()] == [3.5, 3.5]


def test_an_account_that_began_without_a_cap_has_the_sum_alone(ledger: Ledger) -> None:
    ledger.reserve(planned(policy(lifetime=""), honest()))
    assert reservations(ledger, honest()) == 2


def rewrite(ledger: Ledger, old: str, new: str) -> None:
    """The books as if they had been written with other words from the start."""
    last = None
    with ledger.engine.begin() as connection:
        for old_entry in [Entry(**entry) for entry in ledger.entries()]:
            entry = Entry.after(last, *old_entry[1:5], old_entry.body.replace(old, new))
            connection.execute(ENTRIES.update().where(ENTRIES.c.sequence == entry.sequence), entry._asdict())
            last = entry.sequence, entry.hash


def test_a_plan_of_an_older_version_leaves_the_sum(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.reserve(planned(policy(lifetime=LIFETIME), honest()))
    rewrite(ledger, '"Gaussian"', '"Gauss"')
    again = Ledger(ledger.engine.url.render_as_string(hide_password=False))
    assert reservations(again, honest()) == 1
    with pytest.raises(Refused, match="a plan in the books cannot be read"):
        again.reserve(planned(policy(lifetime=LIFETIME), honest()))
    assert again.statement("books").composed is None and "cannot be read" in "\n".join(again.statement("books").lines())


def test_the_statement(ledger: Ledger, command: Any) -> None:
    for _ in range(4):
        ledger.reserve(planned(policy(lifetime=LIFETIME), honest()))
    statement = ledger.statement("books")
    assert statement.spent.epsilon == 12 and statement.delta == 1e-5
    assert statement.composed == pytest.approx(compose([Gaussian(SIGMA / 2)]).epsilon(1e-5))
    assert statement.largest_run is not None
    sigma = 1 / calibrate(lambda mu: [Gaussian(1 / mu)], lambda loss: loss.epsilon(1e-5), statement.largest_run * 0.99)
    ledger.reserve(planned(policy(lifetime=LIFETIME), honest([Gaussian(sigma)], statement.largest_run, 1e-5)))
    address = ledger.engine.url.render_as_string(hide_password=False)
    said = command("ledger", "show", "--ledger", address).out
    assert "if no run was chosen after looking at another" in said and "the Rényi filter of order 3.5 leaves" in said
    shown = json.loads(command("ledger", "show", "--json", "--ledger", address).out)["totals"]["books"]
    assert shown["lifetime"] == {"epsilon": 10.0, "delta": 1e-5} and shown["order"] == 3.5
    assert ledger.statement("nobody").composed == 0 and ledger.statement("nobody").largest_run is None
