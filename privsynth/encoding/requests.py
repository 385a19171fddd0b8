"""What must be measured before rows can be encoded: the domain, and the histograms of all columns. From public facts alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privsynth.privacy.events import DiscreteGaussian, Geometric, ThresholdedGaussian, gaussian_of_mu
from privsynth.privacy.mechanisms.categories import categories_of
from privsynth.privacy.mechanisms.counts import ROW_COUNT, UNIT_SIZES, bounds_of
from privsynth.privacy.mechanisms.tables import HISTOGRAMS
from privsynth.privacy.plan import Request

if TYPE_CHECKING:
    from privsynth.policy import Policy

COUNT_SHARE = 0.01  # row count, or how many rows units have
DOMAIN_SHARE = 0.03  # each measured range or category set ...
DOMAIN_MOST = 0.15  # ... and all of them together
CATEGORY_DELTA = 0.1  # share of delta for all measured category sets
HISTOGRAM_SHARE, EACH_NUMBER, HISTOGRAM_MOST = 0.1, 0.007, 0.25
COARSER, MIN_GRID_SIZE = 2, 26  # coarser scales at which a column is counted as well, if its grid has so many values
LOW_MU = 0.25  # GDP mu (epsilon of about 1) below which the cells of numbers are the first to fall below noise


def domain_requests(policy: Policy) -> list[Request]:
    """What must be measured before rows can be encoded."""
    columns = policy.model.columns
    requests = []
    if policy.unit_column is not None:
        requests.append(Request(UNIT_SIZES, "how many units there are, by number of rows", COUNT_SHARE, Geometric))
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
    numbers = sum(column.modelled and column.kind != "category" for column in policy.model.columns.values())
    share = min(HISTOGRAM_MOST, HISTOGRAM_SHARE + EACH_NUMBER * numbers * min(1.0, LOW_MU / policy.gdp_mu))
    return share / 2 if policy.max_rows > 1 else share


def histogram_tables(policy: Policy) -> int:
    """How many histograms are measured: one for each column, one of rows per unit, and the coarser ones of numbers."""
    modelled = [column for column in policy.model.columns.values() if column.modelled]
    coarser = sum(coarser_scales(column.kind, column.steps) for column in modelled)
    return len(modelled) + int(policy.max_rows > 1) + coarser


def coarser_scales(kind: str, bounds: tuple[int, int] | None) -> int:
    """At how many scales above its cells a column is counted as well. bounds: in grid units; None for a range that is
    still to be measured, which is expected to hold many values."""
    return COARSER if kind != "category" and (bounds is None or bounds[1] - bounds[0] >= MIN_GRID_SIZE) else 0
