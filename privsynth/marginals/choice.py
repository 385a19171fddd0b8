"""Which marginals are measured, and with what shares of the budget: rules that use public facts alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import TYPE_CHECKING

from privsynth.encoding.requests import stored_columns
from privsynth.policy.knowledge import group_cells
from privsynth.privacy.events import gaussian_of_mu
from privsynth.privacy.mechanisms.tables import HISTOGRAMS, MARGINALS
from privsynth.privacy.plan import Request

if TYPE_CHECKING:
    from privsynth.policy import Policy

MAX_COLUMNS = 36  # of which all pairs are measured in full
MAX_CELLS = (
    20_000_000  # of all pairs in full: 160 MB of counts, and several times that while synthetic records are fitted
)
MAX_TABLES = 3_000  # of three or of four columns: beyond, synthetic records take too long to fit
USUAL_CODES = 20  # of a column whose codes are not public: most numbers get about as many
SCREENING_SHARE, TARGET_SHARE = 0.3, 0.15
HIGHER_SHARES = {3: {3: 0.7}, 4: {3: 0.2, 4: 0.65}}  # {highest order: {order: share of its tables}}
NAMES = {3: "triples", 4: "quadruples"}
WORDS = {3: "three", 4: "four"}
MIN_SNR = 2.0  # mean signal-to-noise ratio of a cell from which tables of an order are measured
MAX_TRIPLES = 300  # with the target
PAIRS_A_COLUMN = 8  # of a wide table
FALSE_SHARE = 0.05  # of the tables that are taken to exceed noise, about how many may be noise alone
STRONG = 0.5  # Cramér's V from which an association would be missed by anybody
RELATIONS, TARGET_TRIPLES, SECOND_LOOK = "relations", "target triples", "second look"
# A second look: its share of the pairs' budget, and how many of them it takes. Only of LEAST_PAIRS or more, and where a cell holds
# at most SECOND_SNR standard deviations of its noise on average: from there on it gained nothing (docs/design/second-look.md)
SECOND_SHARE, SECOND_PAIRS, LEAST_PAIRS, SECOND_SNR = 0.4, 0.4, 10, 10.0
SCREENING_GROUPS, TRIPLE_GROUPS = 4, 6  # of codes of a column
# tvd3 of ctgan, vae and autoregressive against that of auto, all at their defaults: benchmarks/results/quality.jsonl
DPSGD_ADDED, DPSGD_ROWS = "+1 to +5 %", "24,000 to 81,000"


@dataclass(frozen=True)
class Facts:
    """What is public of a table before it is read. sizes: (columns,) codes of each; mu: GDP mu of the whole run."""

    sizes: tuple[int, ...]
    rows: int | None
    mu: float
    target: bool

    @classmethod
    def of(cls, policy: Policy) -> Facts:
        target = policy.target is not None and policy.model.columns[policy.target].modelled
        return cls(public_sizes(policy), policy.model.dataset.rows, policy.gdp_mu, target)

    @property
    def wide(self) -> bool:
        """True if not all pairs are measured in full: there are too many of them, or too many cells in them."""
        return len(self.sizes) > MAX_COLUMNS or self.pair_cells > MAX_CELLS

    @property
    def pair_cells(self) -> int:
        """Cells of all pairs together: the sum of products of every two sizes."""
        return (sum(self.sizes) ** 2 - sum(size**2 for size in self.sizes)) // 2

    @property
    def order(self) -> int:
        """How many columns the largest tables have that are measured for all sets of columns: two, or as many as have MIN_SNR."""
        fits = [k for k in (3, 4) if self.snr(k) >= MIN_SNR and math.comb(len(self.sizes), k) <= MAX_TABLES]
        return 2 if self.wide else max([2, *fits])

    @property
    def target_triples(self) -> int:
        """How many tables of the target and two other columns are measured, in groups of codes."""
        others = len(self.sizes) - 1
        return min(MAX_TRIPLES, math.comb(others, 2)) if self.target and self.order == 2 else 0

    @property
    def second_look(self) -> int:
        """How many pairs are measured twice: those that turn out to say most."""
        pairs = math.comb(len(self.sizes), 2)
        if self.wide or self.order > 2 or pairs < LEAST_PAIRS or self.snr(2) > SECOND_SNR:
            return 0
        return round(SECOND_PAIRS * pairs)

    def snr(self, ways: int) -> float:
        """Signal-to-noise ratio of a cell of tables of so many columns, if all such tables shared the whole budget: its mean
        number of rows in standard deviations of its noise.

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
    """(columns,) codes of each column of the encoded table: as declared, or USUAL_CODES. The last may be the stratum of
    rows per unit."""
    sizes = []
    for name, column in policy.model.columns.items():
        if not policy.knowledge.is_stored(name):
            continue
        if name in policy.knowledge.group_of:
            sizes.append(len(group_cells(policy.knowledge.groups[policy.knowledge.group_of[name]])))
        elif column.modelled and column.kind == "boolean":
            sizes.append(2 + bool(column.nullable))
        elif column.modelled:
            known = isinstance(column.categories, list)
            sizes.append(len(column.categories or ()) + bool(column.nullable) if known else USUAL_CODES)
    sizes += [USUAL_CODES] * (len(stored_columns(policy)) - len(sizes))  # the times of day of datetimes
    return (*sizes, *([USUAL_CODES // 3] if policy.stratified else []))


def marginal_requests(facts: Facts, share: float) -> list[Request]:
    """The mechanisms that measure the marginals of the marginal model; their shares sum to `share`."""
    d = len(facts.sizes)
    every, what = math.comb(d, 2), "how every two columns go together"
    before: list[tuple[str, str, float, int]] = []
    after: list[tuple[str, str, float, int]] = []
    if facts.wide:
        before = [(RELATIONS, "which columns go together at all", SCREENING_SHARE, every)]
        every, what = most_pairs(d), "how the columns that do so go together"
    if facts.order > 2:
        after = [
            (NAMES[k], f"how every {k} columns go together", HIGHER_SHARES[facts.order][k], math.comb(d, k))
            for k in range(3, facts.order + 1)
        ]
    elif facts.target_triples:
        after = [(TARGET_TRIPLES, "how two columns together tell the target", TARGET_SHARE, facts.target_triples)]
    left = 1 - sum(part for _, _, part, _ in before + after)
    if facts.second_look:
        again = "how those go together that do so most, once more"
        after = [(SECOND_LOOK, again, SECOND_SHARE * left, facts.second_look), *after]
        left *= 1 - SECOND_SHARE
    wanted = [*before, (MARGINALS, what, left, every), *after]
    cut = facts.pair_cells > MAX_CELLS  # which pairs fit, and so how many, is known after screening
    return [
        Request(name, why, part * share, gaussian_of_mu, count, name == SECOND_LOOK or (cut and name == MARGINALS))
        for name, why, part, count in wanted
    ]


def reasons_for_marginals(facts: Facts) -> list[str]:
    """Why `auto` measures marginals alone, and which: for the plan."""
    which = _higher_tables(facts) if facts.order > 2 else _pairs_alone(facts)
    if facts.second_look:
        which += "; pairs that say most are measured a second time"
    if facts.target_triples:
        which += "; tables of the target and two others are measured as well, with values in a few groups"
    here = f"; this policy declares {facts.rows:,}" if facts.rows is not None else ""
    spent = (
        "nothing is spent on DP-SGD, which would take a tenth of the budget of these tables: on top of them it changed "
        f"tvd3, the distance of three-column tables from the real ones, by {DPSGD_ADDED} (less is better) in our "
        f"benchmarks on real tables of {DPSGD_ROWS} rows{here}"
    )
    return [f"auto chose `marginals`: {which}", spent]


def _higher_tables(facts: Facts) -> str:
    """Why all tables of three columns are measured, and those of four are or are not."""
    held, count = _figure(facts.snr(3)), math.comb(len(facts.sizes), 4)
    which, not_four = "three columns", ""
    if facts.order == 4:
        which, held = "three and of four columns", f"{held} and {_figure(facts.snr(4))}"
    elif count:
        not_four = "; " + (_too_many(count, 4) if count > MAX_TABLES else _below_noise(facts, 4))
    enough = f"standard deviations of its noise on average, and {MIN_SNR:g} are enough"
    return f"the budget is enough for all tables of {which}: a cell holds {held} {enough}{not_four}"


def _pairs_alone(facts: Facts) -> str:
    """Why tables of three columns are not measured for all sets of columns. Reasons that hold for any number of rows come
    first."""
    d = len(facts.sizes)
    if d > MAX_COLUMNS:
        return (
            f"the encoded table has {d} columns, and more than {MAX_COLUMNS} have too many pairs to measure all "
            "in full, so a screening chooses"
        )
    if facts.wide:
        return (
            f"all pairs of columns would have {facts.pair_cells:,} cells and no more than {MAX_CELLS:,} are measured "
            "in full, so a screening chooses"
        )
    if d == 2:
        return "there are two columns, and their table is all that can be measured"
    if math.comb(d, 3) > MAX_TABLES:
        return f"all pairs of columns are measured; {_too_many(math.comb(d, 3), 3)}"
    if facts.rows is None:
        return (
            "all pairs of columns are measured; the number of rows is not public, so whether tables of three would stand out of "
            "noise cannot be known beforehand (declare `dataset.rows` if it is)"
        )
    return f"all pairs of columns are measured; {_below_noise(facts, 3)}"


def _too_many(tables: int, ways: int) -> str:
    most = f"to fit synthetic records to more than {MAX_TABLES:,} takes too long"
    return f"of {WORDS[ways]} columns there would be {tables:,} tables, and {most}"


def _below_noise(facts: Facts, ways: int) -> str:
    held = min(facts.snr(ways), MIN_SNR - 0.01)  # what falls short is not rounded up to enough
    return (
        f"tables of {WORDS[ways]} columns would be lost in noise: with {facts.rows:,} rows a cell would hold {_figure(held)} "
        f"standard deviations of its noise on average, and {MIN_SNR:g} are needed"
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def most_pairs(columns: int) -> int:
    """How many pairs of a wide table are measured in full, if their cells allow."""
    return min(math.comb(columns, 2), max(math.comb(MAX_COLUMNS, 2), PAIRS_A_COLUMN * columns))


# --- what will be lost in noise ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """What a mechanism's counts will be worth, by public facts.

    off: standard deviation of a count, in rows. held: rows that a cell holds on average. least: of what can be distinguished from
    noise, between columns of `values` values: for single columns the share of rows that have a value, else Cramér's V of two
    columns, above 1 if there is no such association.
    """

    mechanism: str
    what: str
    off: float
    held: float
    values: int
    least: float

    @property
    def drowns(self) -> bool:
        """True if what people look for will mostly be missed: a value of average share, or a strong association."""
        return self.least > (1 / self.values if self.mechanism == HISTOGRAMS else STRONG)

    @property
    def sentence(self) -> str:
        off, held = _figure(self.off), _figure(self.held)
        found = f"{self.what}: each count is off by about {off} rows where a cell holds {held} on average"
        if self.mechanism == HISTOGRAMS:
            return f"{found}; values that fewer than {_percent(self.least)} of the rows have will not be distinguished from noise"
        if self.least > 1:
            return f"{found}; no association will be distinguished from noise, and columns come out as if independent"
        return (
            f"{found}; associations weaker than about {self.least:.2g} (Cramér's V) will not be distinguished from noise, and come "
            "out as if there were none"
        )


def expected_signal(facts: Facts, noise: Mapping[str, float]) -> list[Expected]:
    """What each mechanism's counts will be worth: pure, by public facts, before anything is measured. Empty if the number of
    rows is not public.

    noise: {mechanism: standard deviation of one count, on average}, from the plan's events. Figures are for a column that has
    the median number of values, and for two columns that have them in equal shares. A value counts as distinguished from two
    standard deviations, a table from where it exceeds noise so far that of all tables of its mechanism one would with a
    probability of FALSE_SHARE. Of a wide table an association has to pass the screening first.
    """
    if facts.rows is None or not facts.sizes:
        return []
    rows, d, usual = max(facts.rows, 1), len(facts.sizes), max(2, round(median(facts.sizes)))
    pairs, grouped = math.comb(d, 2), min(usual, SCREENING_GROUPS)
    found = []
    if HISTOGRAMS in noise:
        off = noise[HISTOGRAMS]
        found.append(Expected(HISTOGRAMS, "single columns", off, rows / usual, usual, 2 * off / rows))
    passed = 0.0
    if RELATIONS in noise and 2 * most_pairs(d) < pairs:  # else any pair has a fair chance to be measured in full
        off = noise[RELATIONS]
        passed = _weakest(off / rows, grouped, most_pairs(d) / pairs)
        what = "screening of pairs of columns"
        found.append(Expected(RELATIONS, what, off, rows / grouped**2, grouped, passed))
    if MARGINALS in noise and pairs:
        off, tables = noise[MARGINALS], most_pairs(d) if facts.wide else pairs
        least = max(passed, _weakest(off / rows, usual, FALSE_SHARE / tables))
        what = "pairs of columns, at the first look" if SECOND_LOOK in noise else "pairs of columns"
        found.append(Expected(MARGINALS, what, off, rows / usual**2, usual, least))
    return found


def _weakest(noise: float, values: int, chance: float) -> float:
    """Cramér's V of two columns of so many values, equally frequent, whose table exceeds noise as far as noise alone does with
    this chance. noise: standard deviation of the share of one cell.

    The squared deviation from independence is V^2 (values - 1) / values^2; that of noise is noise^2 times a chi-squared number
    of (values - 1)^2 degrees of freedom (its quantile after Wilson, Hilferty 1931). This V exceeds noise so far about half of
    the time.
    """
    free, normal = (values - 1) ** 2, NormalDist().inv_cdf(1 - min(chance, 0.5))
    quantile = free * (1 - 2 / (9 * free) + normal * math.sqrt(2 / (9 * free))) ** 3
    return noise * values * math.sqrt(max(quantile - free, 0.0) / (values - 1))


def _percent(share: float) -> str:
    return f"{100 * min(share, 1):.2g} %"
