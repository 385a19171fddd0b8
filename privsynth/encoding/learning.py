"""Measures the histograms of all columns, and derives the codec from them: bins, shares, the constraints on codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from privsynth.encoding.bins import BINS, MAX_BINS, MIN_BINS, bin_cells, marks_apart, rare_together, spellings
from privsynth.encoding.codec import Codec
from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.domain import ColumnDomain, Domain
from privsynth.encoding.histograms import ConsistentCounts, Scales
from privsynth.encoding.walls import alike, walls_of
from privsynth.errors import Problem, Refused
from privsynth.policy.consistency import NOTHING
from privsynth.policy.knowledge import Knowledge
from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms.tables import HISTOGRAMS, Histograms
from privsynth.privacy.run import Run
from privsynth.table.private import PrivateTable


def learn_codec(
    domain: Domain, table: PrivateTable[pd.DataFrame], run: Run, knowledge: Knowledge = NOTHING
) -> Codec:  # fmt: skip
    """Measures the histograms of all columns by one mechanism and derives everything else from them.

    knowledge: which combinations of values no row has. Shares of single columns then agree with it.
    """
    scales = Scales(domain)
    mechanism = Histograms(run.plan.event(HISTOGRAMS, Gaussian), scales.sizes)
    noisy = table.encoded(scales).measure(mechanism, run)
    total = released_total(noisy, domain.rows if not domain.stratified else None)
    domain = scales.letter_cases(noisy)
    classes = alike(knowledge, domain.columns)
    columns = tuple(
        column_codec(column, counts, total, classes.get(column.name))
        for column, counts in zip(domain.columns, scales.consistent(noisy, mechanism.sigmas), strict=True)
    )
    return _within_walls(Codec(domain, columns, total), knowledge)


def _within_walls(codec: Codec, knowledge: Knowledge) -> Codec:
    """With the constraints on codes, and shares of single columns that agree with them."""
    cells = {c.domain.name: c.as_cells(knowledge) for c in codec.columns if c.domain.clock_of is None}
    codec = replace(codec, walls=walls_of(knowledge, codec.domain.columns, cells, codec.domain.rising))
    if not all(tied.component.is_possible(tied.component.all_alike)[0] for tied in codec.possible.tied):
        rule = "leave no row with the categories and ranges that were measured"
        raise Refused(Problem("constraints", rule, "state categories and bounds of the columns that they are about"))
    agreed = codec.possible.agreed()
    columns = tuple(c.with_density(shares) for c, shares in zip(codec.columns, agreed, strict=True))
    return replace(codec, columns=columns) if codec.walls else codec


def released_total(tables: list[np.ndarray], rows: int | None) -> float:
    """Number of weighted rows: as released, else the mean of all tables' sums, weighted by 1 / cells: noise grows with these."""
    if rows is not None:
        return float(max(rows, 1))
    weights = np.array([1 / table.size for table in tables])
    return float(max(1.0, np.average([table.sum() for table in tables], weights=weights)))


def column_codec(
    domain: ColumnDomain, counts: ConsistentCounts, total: float, classes: np.ndarray | None = None
) -> ColumnCodec:
    """total: rows behind the counts. classes: (cells + 1,) of each cell, if constraints distinguish some.

    Codes take their shares from sums of raw cells, whose noise averages out; what lies in tails is estimated from all of their
    cells, and its noise is at most that of their sum.
    """
    if classes is None:
        classes = np.zeros(domain.cells + 1, np.int64)
    shares, sigma, regular = counts.estimates[0] / total, counts.sigma / total, domain.regular
    if domain.categorical:
        inside, measured = np.maximum(shares, 0.0), np.ones(len(shares), bool)
        bins = (
            spellings(shares[:regular], sigma)
            if domain.kind == "boolean"
            else rare_together(shares[:regular], sigma, classes[:regular])
        )
    else:
        inside, measured = counts.distribution(domain.grid, domain.beyond)
        most = int(np.clip(round(BINS / np.sqrt(sigma)), MIN_BINS, MAX_BINS))
        bins = bin_cells(inside[:regular], most, domain.grid.starts)
    bins = np.concatenate([
        bins, marks_apart(shares[regular:], sigma, domain.categorical, classes[regular:]) + bins.max() + 1
    ])  # fmt: skip
    bins = np.where(bins < 0, bins[-1], bins)
    unseen = bins == bins[-1]  # no mark, and no other spelling, is invented from noise
    unseen[-1] = False
    inside[unseen] = 0.0
    raw = np.bincount(bins, np.where(measured & ~unseen, shares, inside))
    return ColumnCodec.of(domain, bins.astype(np.int32), inside, raw, counts.noise_of(bins, ~unseen) / total)
