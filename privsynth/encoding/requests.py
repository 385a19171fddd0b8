"""What must be measured before rows can be encoded: the domain, and the histograms of all columns. From public facts alone."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from privsynth.policy.column import CATEGORICAL, TEMPORAL
from privsynth.privacy.events import DiscreteGaussian, Event, Geometric, ThresholdedGaussian, gaussian_of_mu
from privsynth.privacy.mechanisms.categories import categories_of
from privsynth.privacy.mechanisms.counts import ALONE, ROW_COUNT, UNIT_SIZES, bounds_of
from privsynth.privacy.mechanisms.tables import HISTOGRAMS
from privsynth.privacy.plan import Request

if TYPE_CHECKING:
    from privsynth.policy import Policy

UNREADABLE = "unreadable cells"  # the name of the mechanism that `readable.refuse_unreadable` runs
FALSE_ALARM = 0.001  # probability that a run stops though all shares are at the limit, at most
NOTICED = 0.05  # share of rows above the limit that should be noticed, if the budget's part suffices for that
MIN_READABLE, MAX_READABLE = 0.0005, 0.02  # shares of the budget for it
COUNT_SHARE = 0.01  # row count, or how many rows units have
DOMAIN_SHARE = 0.03  # each measured range or category set ...
DOMAIN_MOST = 0.15  # ... and all of them together
CATEGORY_DELTA = 0.1  # share of delta for all measured category sets
HISTOGRAM_SHARE, EACH_NUMBER, HISTOGRAM_MOST = 0.1, 0.007, 0.25
COARSER, MIN_GRID_SIZE = 2, 26  # coarser scales at which a column is counted as well, if its grid has so many values
LOW_MU = 0.25  # GDP mu (epsilon of about 1) below which the cells of numbers are the first to fall below noise


def judged_columns(policy: Policy) -> tuple[str, ...]:
    """Columns of which a cell may be unreadable: all but categories, for which any text is one."""
    return tuple(name for name, c in policy.model.columns.items() if c.modelled and c.kind != "category")


def readable_requests(policy: Policy) -> list[Request]:
    """The mechanism, if there is a column to judge."""
    count = len(judged_columns(policy))
    if not count:
        return []
    share, rows = readable_share(policy), policy.model.dataset.rows
    limit = policy.model.dataset.unreadable
    purpose = f"whether more than {100 * limit:g} % of a column's cells cannot be read, so that the run stops"
    if rows is not None:
        seen = limit + margin(count, math.sqrt(share) * policy.gdp_mu) / rows
        purpose += (
            f"; above {100 * seen:.2g} % it is noticed" if seen < 1 else "; too noisy for so few rows to notice any"
        )
    return [Request(UNREADABLE, purpose, share, gaussian_of_mu, count)]


def readable_share(policy: Policy) -> float:
    """Share of the budget: as much as it takes to notice NOTICED of the public number of rows, within limits."""
    rows = policy.model.dataset.rows
    if rows is None:
        return 10 * MIN_READABLE
    needed = margin(len(judged_columns(policy)), policy.gdp_mu) / (NOTICED * rows)
    return min(max(needed**2, MIN_READABLE), MAX_READABLE)


def margin(columns: int, mu: float) -> float:
    """How many cells above the limit a noisy count must lie. mu: the GDP parameter of the mechanism.

    Each count has noise of standard deviation sqrt(columns) / mu; none of the columns passes by noise alone but with
    probability FALSE_ALARM (a union bound).
    """
    return -NormalDist().inv_cdf(FALSE_ALARM / columns) * math.sqrt(columns) / mu


def domain_requests(policy: Policy) -> list[Request]:
    """What must be measured before rows can be encoded."""
    columns = policy.model.columns
    requests = []
    if policy.unit_column is not None:
        purpose = "how many units there are, by number of rows"
        requests.append(Request(UNIT_SIZES, purpose, COUNT_SHARE, lambda mu: DiscreteGaussian(1 / mu)))
    elif policy.model.dataset.rows is None:
        requests.append(Request(ROW_COUNT, "how many rows the table has", COUNT_SHARE, Geometric))
    measured = [n for n, c in columns.items() if c.modelled and "private" in (c.bounds, c.categories)]
    open_sets = [n for n in measured if columns[n].categories == "private"]
    share = min(DOMAIN_SHARE, DOMAIN_MOST / len(measured)) if measured else 0.0
    delta = policy.model.budget.delta * CATEGORY_DELTA / max(len(open_sets), 1)
    for name in measured:
        if name in open_sets:
            requests.append(
                Request(categories_of(name), f"which values of {name} many units share", share,
                        lambda mu: ThresholdedGaussian(1 / mu, delta))
            )  # fmt: skip
        else:
            requests.append(
                Request(bounds_of(name), f"the range in which {name} lies", share, lambda mu: DiscreteGaussian(1 / mu))
            )
    return requests


def hidden_units(policy: Policy, sizes: Event | None) -> str | None:
    """What noise may hide of units with many rows, where it matters. sizes: the event of UNIT_SIZES."""
    if not isinstance(sizes, DiscreteGaussian) or policy.model.release.weights == "units":
        return None
    least = math.ceil(ALONE * sizes.noise_multiplier)
    return (
        f"fewer than about {least:,} units of similarly many rows cannot be told from noise; their rows beyond the "
        f"{policy.max_rows} that are used of each are then neither told nor weighted"
    )


def histogram_request(policy: Policy, left: float) -> Request:
    """left: the share that the domain leaves of the budget."""
    purpose = "how each column is distributed, for bins and spikes"
    share = histogram_share(policy) * left
    return Request(HISTOGRAMS, purpose, share, gaussian_of_mu, histogram_tables(policy))


def histogram_share(policy: Policy) -> float:
    """Share of the budget for the histograms of single columns: it grows with each number, and faster when noise is large.

    Half as much where units have several rows: there the histograms only place the bins, and the pairs alone give the
    shares of these.
    """
    numbers = sum(column.modelled and not column.categorical for column in policy.model.columns.values())
    share = min(HISTOGRAM_MOST, HISTOGRAM_SHARE + EACH_NUMBER * numbers * min(1.0, LOW_MU / policy.gdp_mu))
    return share / 2 if policy.max_rows > 1 else share


def histogram_tables(policy: Policy) -> int:
    """How many histograms are measured: one for each column as stored, one of rows per unit, the coarser ones of numbers,
    those of the kinds of round values, and those of the letter case of names in dates."""
    stored = stored_columns(policy)
    coarser = sum(coarser_scales(kind, bounds) for _, kind, bounds in stored)
    rounded = sum(kind in TEMPORAL and not (gap and kind == "date") for gap, kind, _ in stored)
    named = sum(column.modelled and column.named for column in policy.model.columns.values())
    return len(stored) + int(policy.stratified) + coarser + rounded + named


Stored = tuple[bool, str, tuple[int, int] | None]  # (as a gap or an age, kind, bounds in the units of its cells)


def stored_columns(policy: Policy) -> list[Stored]:
    """What the encoded table holds, by public facts: a datetime is its day and its time of day, unless it is stored as a gap.

    A measured range may come out such that a number is stored as a gap or not, which changes neither number.
    """
    gaps, columns = policy.knowledge.gaps, policy.model.columns
    found: list[Stored] = []
    for name, column in columns.items():
        if not column.modelled or not policy.knowledge.is_stored(name):
            continue
        if column.kind == "datetime" and name not in gaps and column.steps is not None:
            days = column.steps[0] // column.a_day, column.steps[1] // column.a_day
            found += [(False, "datetime", days), (False, "time", (0, column.a_day - 1))]
        elif column.ages:
            found.append((True, "date", policy.knowledge.age_bounds(name)))
        else:
            found.append((name in gaps, column.kind, column.steps))
    return found


def coarser_scales(kind: str, bounds: tuple[int, int] | None) -> int:
    """At how many scales above its cells a column is counted as well. bounds: in grid units; None for a range that is
    still to be measured, which is expected to hold many values."""
    return COARSER if kind not in CATEGORICAL and (bounds is None or bounds[1] - bounds[0] >= MIN_GRID_SIZE) else 0
