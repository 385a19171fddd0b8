"""Rules that go by public facts alone: which tables are bought, and at what shares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from privsynth.privacy.events import gaussian_of_strength

if TYPE_CHECKING:
    from privsynth.policy import Policy
    from privsynth.policy.plan import Request

MOST_COLUMNS = 36  # of which all pairs are bought in full
MOST_TABLES = 3_000  # of three or of four columns: beyond, a population takes too long to fit
USUAL_CODES = 20  # of a column whose codes are not public: most numbers end at about that
LOOK_SHARE, TARGET_SHARE = 0.3, 0.15
HIGHER_SHARES = {3: {3: 0.7}, 4: {3: 0.2, 4: 0.65}}  # of tables of three and four, by the highest order
NAMES = {3: "triples", 4: "quadruples"}
LEAST_ROOM = 2.0
HISTOGRAM_SHARE, EACH_NUMBER, HISTOGRAM_MOST = 0.1, 0.007, 0.25
COARSER, LEAST_STEPS = 2, 26  # coarser scales at which a column's histogram is counted as well, if it has so many steps
LOUD = 0.25  # mu (epsilon of about 1) below which the cells of numbers drown in noise first
MOST_TRIPLES = 300  # with the target
PAIRS_A_COLUMN = 8  # of a wide table


@dataclass(frozen=True)
class Facts:
    """What is public of a table before it is read. sizes: (columns,) codes of each; mu: the whole run's strength."""

    sizes: tuple[int, ...]
    rows: int | None
    mu: float
    target: bool

    @classmethod
    def of(cls, policy: Policy) -> Facts:
        target = policy.target is not None and policy.model.columns[policy.target].modelled
        return cls(public_sizes(policy), policy.model.dataset.rows, _mu(policy), target)

    @property
    def wide(self) -> bool:
        return len(self.sizes) > MOST_COLUMNS

    @property
    def order(self) -> int:
        """Of how many columns tables are bought of all columns: as many as rows and budget have room for."""
        fits = [k for k in (3, 4) if self.room(k) >= LEAST_ROOM and math.comb(len(self.sizes), k) <= MOST_TABLES]
        return max([2, *fits])

    def room(self, ways: int) -> float:
        """Rows in a cell of so many columns, in standard deviations of its noise if all such tables shared the budget.

        r = (rows / cells of a table) / (sqrt(tables) / mu).
        """
        tables = math.comb(len(self.sizes), ways)
        if self.rows is None or tables == 0:
            return 0.0
        # the sum of products of `ways` sizes: the elementary symmetric polynomial, size by size
        products = [1.0] + [0.0] * ways
        for size in self.sizes:
            for k in range(ways, 0, -1):
                products[k] += products[k - 1] * size
        return self.rows * tables / products[ways] * self.mu / math.sqrt(tables)


def public_sizes(policy: Policy) -> tuple[int, ...]:
    """(columns,) codes of each column of the encoded table: as declared, or as usual. The last may be the stratum of rows
    per unit."""
    sizes = []
    for column in policy.model.columns.values():
        if column.modelled:
            known = isinstance(column.categories, list)
            sizes.append(len(column.categories or ()) + bool(column.nullable) if known else USUAL_CODES)
    return (*sizes, *([USUAL_CODES // 3] if policy.max_rows > 1 else []))


def histogram_share(policy: Policy) -> float:
    """Of the budget, for the histograms of single columns: more for each number, the more so the larger the noise is.

    Half as much where units have several rows: there they say where bins lie, and the pairs alone say how full they are.
    """
    numbers = sum(column.modelled and column.kind != "category" for column in policy.model.columns.values())
    share = min(HISTOGRAM_MOST, HISTOGRAM_SHARE + EACH_NUMBER * numbers * min(1.0, LOUD / _mu(policy)))
    return share / 2 if policy.max_rows > 1 else share


def histogram_tables(policy: Policy) -> int:
    """How many histograms are bought: one of each column, one of rows per unit, and the coarser ones of numbers."""
    modelled = [column for column in policy.model.columns.values() if column.modelled]
    coarser = sum(coarser_scales(column.kind, column.steps) for column in modelled)
    return len(modelled) + int(policy.max_rows > 1) + coarser


def coarser_scales(kind: str, steps: tuple[int, int] | None) -> int:
    """At how many scales above its cells a column is counted as well. steps: its bounds; None for a range still to be
    bought, which is expected to hold many."""
    return COARSER if kind != "category" and (steps is None or steps[1] - steps[0] >= LEAST_STEPS) else 0


def anchor_requests(policy: Policy, share: float) -> list[Request]:
    """The mechanisms that buy the anchor's tables; their shares sum to `share`."""
    from privsynth.policy.plan import Request

    facts = Facts.of(policy)
    d = len(facts.sizes)
    every, what = math.comb(d, 2), "how every two columns go together"
    before: list[tuple[str, str, float, int]] = []
    after: list[tuple[str, str, float, int]] = []
    if facts.wide:
        before = [("relations", "which columns go together at all", LOOK_SHARE, every)]
        every, what = most_pairs(d), "how the columns that do so go together"
    if facts.order > 2:
        after = [
            (NAMES[k], f"how every {k} columns go together", HIGHER_SHARES[facts.order][k], math.comb(d, k))
            for k in range(3, facts.order + 1)
        ]
    elif facts.target and d > 2:
        count = min(MOST_TRIPLES, math.comb(d - 1, 2))
        after = [("target triples", "how every two columns together tell the target", TARGET_SHARE, count)]
    left = 1 - sum(part for _, _, part, _ in before + after)
    wanted = [*before, ("marginals", what, left, every), *after]
    return [Request(name, why, part * share, gaussian_of_strength, count) for name, why, part, count in wanted]


def reasons_for_marginals(policy: Policy) -> list[str]:
    """Why `auto` buys tables alone, and which: for the plan."""
    facts = Facts.of(policy)
    d = len(facts.sizes)
    if facts.rows is None:
        room = "the number of rows is not public"
    else:
        each = " and ".join(f"{facts.room(k):.1g} for {k}" for k in (3, 4) if k <= d)
        room = f"rows in a cell over its noise: {each or 'no such table'} columns; {LEAST_ROOM:g} is enough"
    if facts.wide:
        tables = f"{d} columns are too many for all pairs, so a first look says which to buy"
    elif facts.order > 2:
        tables = f"tables of up to {facts.order} columns fit the budget ({room})"
    else:
        but = ", but for coarse ones with the target" if facts.target else ""
        tables = f"tables of more than two columns would drown in noise{but} ({room})"
    spent = (
        "nothing is spent on DP-SGD: it would take budget from these tables, and on the real tables measured so far it "
        "added nothing to them (benchmarks/results/quality.md)"
    )
    return [f"auto chose `marginals`: {tables}", spent]


def most_pairs(columns: int) -> int:
    """How many pairs are bought in full of a wide table."""
    return max(math.comb(MOST_COLUMNS, 2), PAIRS_A_COLUMN * columns)


def _mu(policy: Policy) -> float:
    """Of the Gaussian mechanism that claims as much as the policy allows.

    By epsilon and delta: the analytic Gaussian mechanism (Balle, Wang 2018, Theorem 8), by dp_accounting. A risk target is
    a point of its trade-off curve, mu = Phi^-1(tpr) - Phi^-1(fpr) (Dong, Roth, Su 2022, equation 6).
    """
    budget = policy.model.budget
    if budget.risk is not None:
        from scipy.special import ndtri

        return float(ndtri(budget.risk.max_tpr) - ndtri(budget.risk.fpr))
    return _gaussian_mu(budget.epsilon or 0.0, budget.delta)


@cache  # a plan asks for it more than once
def _gaussian_mu(epsilon: float, delta: float) -> float:
    from dp_accounting.pld.accountant import get_smallest_gaussian_noise
    from dp_accounting.pld.common import DifferentialPrivacyParameters

    return 1 / float(get_smallest_gaussian_noise(DifferentialPrivacyParameters(epsilon, delta)))
