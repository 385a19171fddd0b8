"""What is measured for the marginal model: noisy tables of two to four columns, and the target marginals estimated from them.

Which tables are measured, and what share of the budget each of them gets, depends on public facts and on what was released
before. Up to `MAX_COLUMNS` columns, and `MAX_CELLS` cells, all pairs are measured. Beyond, a screening of all pairs of
columns in a few groups of codes chooses the pairs to measure in full. A table of more columns counts by how far it deviates
from what tables of fewer columns lead to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from privsynth.encoding.codec import Codec, Groups
from privsynth.marginals.answers import Columns, Noisy, Tables
from privsynth.marginals.choice import (
    MAX_CELLS,
    MAX_TRIPLES,
    NAMES,
    RELATIONS,
    SCREENING_GROUPS,
    SECOND_LOOK,
    SECOND_PAIRS,
    TARGET_TRIPLES,
    TRIPLE_GROUPS,
    most_pairs,
)
from privsynth.marginals.denoise import (
    Denoised,
    beyond_margins,
    chance_of,
    denoised,
    denoised_pair,
    exceeding,
    standing_out,
    to_margins,
)
from privsynth.marginals.population import MarginalModel, TargetMarginal
from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms.tables import MARGINALS, Marginals
from privsynth.privacy.run import Run
from privsynth.privacy.unit import to_shares
from privsynth.table.private import PrivateTable

TARGET_FACTOR = 3.0  # by which tables with the policy's target weigh more
TARGET_AGAIN = 1.7  # the same at the second look: they are among its pairs by more than their share already
SIZE_POWER = 0.33  # a table's share of the budget grows with its cells to this power
COST_POWER = 0.66  # of a pair's cells: by which it has to say more to be measured twice, since noise adds up over them
MOST_SCREENED = 2  # pairs that are followed as screened, for each that is measured in full


def measure_marginals(table: PrivateTable[np.ndarray], codec: Codec, target: str | None, run: Run) -> MarginalModel:
    """Measures the tables that the plan names, and denoises them."""
    at = codec.names.index(target) if target in codec.names else None
    d, sizes = len(codec.sizes), codec.sizes
    groups: Groups | None = None
    hinted: dict[Columns, Denoised] = {}
    screened: Tables = {}
    higher: Tables = {}
    pairs: list[Columns] = list(combinations(range(d), 2))
    if RELATIONS in run.plan:
        groups = groups_of(codec, SCREENING_GROUPS)
        screened = _measured(RELATIONS, table.encoded(groups), groups.sizes, pairs, None, codec, run)
        pairs = strongest(screened, in_groups(groups, codec), sizes, most_pairs(d), at)
    else:  # measured category sets may be larger than the plan assumed
        pairs = smallest(pairs, sizes, at)
    follow = {c: determined(c, codec) for c in pairs}
    fixed = {c: share for c, share in follow.items() if share is not None}
    pairs = [c for c in pairs if c not in fixed] or pairs
    noisy = _measured(MARGINALS, table, sizes, pairs, at, codec, run)
    if SECOND_LOOK in run.plan:
        again = _measured(SECOND_LOOK, table, sizes, looked_at_again(noisy, codec), at, codec, run)
        noisy |= {columns: averaged(noisy[columns], pair) for columns, pair in again.items()}
    answers = noisy
    for order in (k for k in NAMES if NAMES[k] in run.plan):
        columns = [c for c in combinations(range(d), order) if order == 3 or higher.keys() >= {*combinations(c, 3)}]
        higher |= _measured(NAMES[order], table, sizes, smallest(columns, sizes, at), at, codec, run)
    higher, noisy = combined_with_margins(noisy, higher)
    codec = with_shares_of_pairs(codec, noisy)
    possible = possible_pairs(noisy, codec)
    usual = float(np.median([t.sigma for t in noisy.values()])) if noisy else 0.0
    possible |= {c: (share, usual) for c, share in fixed.items() if c not in noisy}
    targets = targets_of(denoised(possible, [c.shares for c in codec.columns]))
    if groups is not None:
        others = {columns: table for columns, table in screened.items() if columns not in noisy}
        hinted = screened_pairs(others, in_groups(groups, codec), MOST_SCREENED * most_pairs(d))
    if TARGET_TRIPLES in run.plan and at is not None:
        groups = groups or groups_of(codec, TRIPLE_GROUPS, targets, at)
        chosen = with_target(dependence(noisy, targets, codec, at), d, at)
        higher = _measured(TARGET_TRIPLES, table.encoded(groups), groups.sizes, chosen, None, codec, run)
    known = pairs_in_groups(targets, hinted, groups, codec) if higher else {}
    grouped = higher_tables(higher, known) | hinted
    coarse = coarse_views(groups, codec, {c for columns in grouped for c in columns})
    view = {j: j for j in range(d)} | {j: d + place for place, j in enumerate(sorted(coarse))}
    targets += targets_of(grouped, view)
    return MarginalModel(codec, tuple(targets), signal_weight(run.plan.epsilon), coarse, answers)


def determined(columns: Columns, codec: Codec) -> np.ndarray | None:
    """The pair, if constraints leave each code of one of its columns a single code of the other: then it need not be measured."""
    walls = [wall.cells for wall in codec.walls if wall.columns == columns]
    if not walls:
        return None
    possible = ~np.logical_or.reduce(walls)
    for axis, j in enumerate(columns):
        own, other = codec.columns[j].shares, codec.columns[columns[1 - axis]].shares
        left = np.moveaxis(possible, axis, 0) & (other > 0)
        if (left[own > 0].sum(1) == 1).all():
            return np.asarray(np.moveaxis(left * own[:, None], 0, axis))
    return None


def looked_at_again(noisy: Tables, codec: Codec) -> list[Columns]:
    """The pairs of the second look, SECOND_PAIRS of all: those whose denoised deviation from independence, in L1, is largest for
    its cells to the power of COST_POWER. Pairs that do not exceed noise are not among them, unless none does: then it is all.

    The choice reads released tables, their stated noise and released shares of codes, so it needs no mechanism of its own.
    """
    shares = [column.shares for column in with_shares_of_pairs(codec, noisy).columns]
    worth = {
        (j, k): float(np.abs(pair.share - np.outer(shares[j], shares[k])).sum()) / pair.share.size**COST_POWER
        for (j, k), pair in denoised(possible_pairs(noisy, codec), shares).items()
    }
    ranked = sorted(sorted(worth), key=lambda columns: -worth[columns])
    return sorted(ranked[: max(1, round(SECOND_PAIRS * len(noisy)))] or noisy)


def averaged(one: Noisy, other: Noisy) -> Noisy:
    """Two independent measurements of a table, weighted by their precision."""
    precisions = np.array([one.sigma, other.sigma]) ** -2.0
    first, second = precisions / precisions.sum()
    return Noisy(first * one.share + second * other.share, float(precisions.sum() ** -0.5))


def possible_pairs(noisy: Tables, codec: Codec) -> dict[Columns, tuple[np.ndarray, float]]:
    """{two columns: (released shares without those of combinations that no row has, their noise)}"""
    return {c: (within(table.share, c, codec), table.sigma) for c, table in noisy.items()}


def within(share: np.ndarray, columns: Columns, codec: Codec) -> np.ndarray:
    """A pair without what noise says of combinations that no row has. To fit it to its margins afterwards, or to judge it against
    these margins within the walls instead of against independence, made NIST's k-marginal lower by 2 to 3 points of 1,000."""
    for wall in codec.walls:
        if wall.columns == columns:
            share = np.where(wall.cells, 0.0, share)
    return share


def _measured(
    name: str, table: PrivateTable[np.ndarray], sizes: tuple[int, ...], columns: list[Columns], target: int | None,
    codec: Codec, run: Run,
) -> Tables:  # fmt: skip
    """Noisy tables of these columns by the plan's mechanism of this name; those with the target get a larger share."""
    mechanism = tables_of(name, run.plan.event(name, Gaussian), sizes, columns, target)
    noisy = table.measure(mechanism, run)
    total = table_total(noisy, codec)
    return {
        c: Noisy(noisy[c] / total, float(s) / total) for c, s in zip(mechanism.tables, mechanism.sigmas, strict=True)
    }


def tables_of(
    name: str, event: Gaussian, sizes: tuple[int, ...], columns: list[Columns], target: int | None
) -> Marginals:
    """The mechanism that measures these tables, with the budget split among them by released sizes and the public target."""
    factor = TARGET_AGAIN if name == SECOND_LOOK else TARGET_FACTOR
    wanted = [(factor if target in table else 1.0) * float(cells_of(table, sizes)) ** SIZE_POWER for table in columns]
    return Marginals(event, sizes, tuple(columns), tuple(to_shares(np.array(wanted)).tolist()), name)


def table_total(noisy: dict[Columns, np.ndarray], codec: Codec) -> float:
    """Weighted rows behind tables: the released number, or where units are weighted the mean of the tables' sums, weighted by
    1 / cells."""
    known = not codec.domain.stratified and codec.domain.rows is not None
    if known or not noisy:  # none where no pair was small enough
        return codec.total
    weights = np.array([1 / table.size for table in noisy.values()])
    return float(max(1.0, np.average([table.sum() for table in noisy.values()], weights=weights)))


def signal_weight(epsilon: float) -> float:
    """How much a table's signal weighs against its noise: with more noise, a lower weight gave better results."""
    return max(0.5, 0.5 + 0.215 * float(np.log(epsilon)))


def groups_of(codec: Codec, most: int, targets: Sequence[TargetMarginal] = (), target: int | None = None) -> Groups:
    """Codes in at most `most` groups of about equal share, and "missing" by itself.

    Neighbouring numbers form a group. Categories are ordered by how they depend on the target: their place on the first axis
    of correspondence analysis (Greenacre 2017, chapter 4) of the released pair; without a target, by their shares.
    """
    known = {each.columns: each.share for each in targets}
    columns = []
    for j, column in enumerate(codec.columns):
        size = column.size
        if size - 1 <= most:
            columns.append(tuple(range(size)))
            continue
        order = np.arange(size - 1)
        if column.domain.kind == "category":
            place = column.shares
            if target is not None and tuple(sorted((j, target))) in known:
                place = _first_axis(_oriented(known, j, target))
            order = np.argsort(place[:-1], kind="stable")
        middle = np.cumsum(column.shares[order]) - column.shares[order] / 2
        group = np.minimum(middle / max(column.shares[:-1].sum(), 1e-9) * most, most - 1).astype(int)
        label = np.empty(size, int)
        label[order] = np.unique(group, return_inverse=True)[1]
        label[-1] = label[:-1].max() + 1
        columns.append(tuple(label.tolist()))
    return Groups(tuple(columns))


def _first_axis(pair: np.ndarray) -> np.ndarray:
    """(codes of the first column,) their places on the first axis of correspondence analysis."""
    one, two = np.maximum(pair.sum(1), 1e-6), np.maximum(pair.sum(0), 1e-6)
    scaled = (pair - np.outer(one, two)) / np.sqrt(np.outer(one, two))
    return np.asarray(np.linalg.svd(scaled, full_matrices=False)[0][:, 0] / np.sqrt(one))


def coarse_views(groups: Groups | None, codec: Codec, used: set[int]) -> dict[int, np.ndarray]:
    """The groups of those of these columns that have fewer groups than codes."""
    if groups is None:
        return {}
    kept = {j: group for j, group in enumerate(groups.columns) if j in used and max(group) + 1 < codec.columns[j].size}
    return {j: np.array(group, np.int32) for j, group in kept.items()}


def in_groups(groups: Groups, codec: Codec) -> list[np.ndarray]:
    """Released share of each group of each column."""
    return [np.bincount(group, column.shares) for group, column in zip(groups.columns, codec.columns, strict=True)]


def strongest(
    screened: Tables, shares: list[np.ndarray], sizes: tuple[int, ...], most: int, target: int | None
) -> list[Columns]:
    """The pairs of the screening that deviate most from independence, as many as `most` and MAX_CELLS allow.

    shares: of each group of codes as released for its column, far more precise than the margins of a screened pair. sizes:
    released codes of each column. Deviations of a pair with the target count TARGET_FACTOR times.
    """
    signal = {c: size - free for c, (size, free) in deviations(screened, shares).items()}

    def deviation(columns: Columns) -> float:
        return max(signal[columns], 0) * (TARGET_FACTOR - 1) * (target in columns) + signal[columns]

    return within_cell_limit(sorted(sorted(screened), key=deviation, reverse=True), sizes, most)


def smallest(tables: list[Columns], sizes: tuple[int, ...], target: int | None) -> list[Columns]:
    """The tables that fit into MAX_CELLS, nearly always all of them: first those with the target, small ones first."""
    return within_cell_limit(sorted(tables, key=lambda c: (target not in c, cells_of(c, sizes))), sizes, len(tables))


def within_cell_limit(ranked: list[Columns], sizes: tuple[int, ...], most: int) -> list[Columns]:
    """The first of these tables, up to `most`, that have no more than MAX_CELLS together; one too large is passed over."""
    chosen: list[Columns] = []
    left = MAX_CELLS
    for columns in ranked:
        cells = cells_of(columns, sizes)
        if cells <= left and len(chosen) < most:
            chosen.append(columns)
            left -= cells
    return sorted(chosen)


def cells_of(columns: Columns, sizes: tuple[int, ...]) -> int:
    return math.prod(sizes[c] for c in columns)


def combined_with_margins(pairs: Tables, higher: Tables) -> tuple[Tables, Tables]:
    """(tables of more columns, pairs), each averaged with the margins of all larger tables, by their precision.

    Each measured table has noise of its own, so its margin is one more independent measurement.
    """
    measured = pairs | higher
    sums = {columns: table.share / table.sigma**2 for columns, table in measured.items()}
    precision = {columns: table.sigma**-2 for columns, table in measured.items()}
    for columns, table in higher.items():
        for ways in range(2, len(columns)):
            for smaller in (c for c in combinations(columns, ways) if c in sums):
                gone = tuple(axis for axis, column in enumerate(columns) if column not in smaller)
                weight = 1 / (table.sigma**2 * np.prod([table.share.shape[axis] for axis in gone]))
                sums[smaller] = sums[smaller] + weight * table.share.sum(gone)
                precision[smaller] += weight
    means = {
        columns: Noisy(sums[columns] / precision[columns], float(precision[columns] ** -0.5)) for columns in measured
    }
    return {columns: means[columns] for columns in higher}, {columns: means[columns] for columns in pairs}


def targets_of(tables: dict[Columns, Denoised], view: dict[int, int] | None = None) -> list[TargetMarginal]:
    """Denoised tables for records to follow. view: the number of each column among the `gibbs.Views` of a record."""
    return [
        TargetMarginal(
            tuple(view[c] for c in columns) if view else columns,
            table.share.astype(np.float32),
            table.sigma,
            table.signal,
            table.certain,
        )
        for columns, table in tables.items()
    ]


def higher_tables(higher: Tables, pairs: dict[Columns, np.ndarray]) -> dict[Columns, Denoised]:
    """Tables of more columns than two, of those that deviate from what their margins lead to by more than noise.

    pairs: known shares, in the tables' groups of codes.
    """
    known = dict(pairs)
    found: dict[Columns, Denoised] = {}
    for ways in sorted({len(columns) for columns in higher}):
        tables: dict[Columns, Denoised] = {}
        for columns, table in ((c, table) for c, table in higher.items() if len(c) == ways):
            rest = [columns[:axis] + columns[axis + 1 :] for axis in range(ways)]
            margins = [_oriented(known, *c) if len(c) == 2 else known[c] for c in rest]
            tables[columns] = beyond_margins(table.share, table.sigma, margins)
        known |= {columns: table.share for columns, table in tables.items()}
        found |= exceeding(tables, together=True)
    return found


def screened_pairs(screened: Tables, shares: list[np.ndarray], most: int) -> dict[Columns, Denoised]:
    """Those of these pairs, in groups of codes, that exceed noise; the strongest, if these are more than `most`.

    shares: of each group, as released for its column.
    """
    size, free = np.array(list(deviations(screened, shares).values())).reshape(-1, 2).T
    ranked = sorted(zip(size - free, screened, standing_out(chance_of(size, free)), strict=True), reverse=True)
    kept = sorted([columns for _, columns, stands_out in ranked if stands_out][:most])
    return {(j, k): denoised_pair(screened[j, k].share, screened[j, k].sigma, shares[j], shares[k]) for j, k in kept}


def deviations(tables: Tables, shares: list[np.ndarray]) -> dict[Columns, tuple[float, float]]:
    """{two columns: squared size of their deviation from independence in variances of noise, what noise alone comes to}."""
    found: dict[Columns, tuple[float, float]] = {}
    for (j, k), table in tables.items():
        beyond = to_margins(table.share - np.outer(shares[j], shares[k]))
        found[j, k] = (float((beyond**2).sum() / table.sigma**2), float(np.prod([n - 1 for n in beyond.shape])))
    return found


def pairs_in_groups(
    targets: list[TargetMarginal], hinted: dict[Columns, Denoised], groups: Groups | None, codec: Codec
) -> dict[Columns, np.ndarray]:
    """Shares of every two columns' groups: as measured in full, else as screened, where that exceeds noise, else as if
    independent."""
    grouped = [tuple(range(size)) for size in codec.sizes] if groups is None else groups.columns
    into = [np.eye(max(group) + 1)[list(group)] for group in grouped]  # (codes, groups)
    shares = in_groups(Groups(tuple(grouped)), codec)
    every = combinations(range(len(into)), 2)
    known: dict[Columns, np.ndarray] = {(j, k): np.outer(shares[j], shares[k]) for j, k in every}
    known |= {columns: table.share for columns, table in hinted.items()}
    return known | {
        g.columns: into[g.columns[0]].T @ g.share @ into[g.columns[1]] for g in targets if len(g.columns) == 2
    }


def _oriented(known: dict[Columns, np.ndarray], j: int, k: int) -> np.ndarray:
    """The pair's shares with column j first."""
    return known[j, k] if j < k else known[k, j].T


def with_shares_of_pairs(codec: Codec, noisy: Tables) -> Codec:
    """The codec with shares of codes estimated from the pairs' margins as well, each weighted by its precision.

    Where units have several rows, pairs weigh these differently from histograms, so the pairs alone are used.
    """
    precision = [np.zeros(c.size) if codec.domain.stratified else c.noise**-2.0 for c in codec.columns]
    sums = [p * c.raw for p, c in zip(precision, codec.columns, strict=True)]
    for columns, table in noisy.items():
        for column, margin in zip(columns, (table.share.sum(1), table.share.sum(0)), strict=True):
            weight = table.sigma**-2 * len(margin) / table.share.size
            precision[column] = precision[column] + weight
            sums[column] = sums[column] + weight * margin
    better = [
        column.with_shares(total / weight, weight**-0.5) if np.all(weight > 0) else column
        for column, total, weight in zip(codec.columns, sums, precision, strict=True)
    ]
    return replace(codec, columns=tuple(better))


def dependence(noisy: Tables, targets: list[TargetMarginal], codec: Codec, target: int) -> dict[int, float]:
    """{other column: how much its pair with the target deviates from independence beyond noise, in variances of noise}, as
    denoised where it exceeds noise, else as released."""
    pairs = {c: table for c, table in noisy.items() if target in c}
    found = {c: size - free for c, (size, free) in deviations(pairs, [c.shares for c in codec.columns]).items()}
    found |= {g.columns: g.signal / g.sigma**2 for g in targets if target in g.columns}
    return {sum(c) - target: strength for c, strength in found.items()}


def with_target(dependence: dict[int, float], columns: int, target: int) -> list[Columns]:
    """Triples of two columns and the target, of those columns that depend on it most, up to MAX_TRIPLES."""
    others = sorted((c for c in range(columns) if c != target), key=lambda c: -dependence.get(c, -np.inf))
    most = max(m for m in range(2, len(others) + 1) if m * (m - 1) // 2 <= MAX_TRIPLES)
    return [(*pair, target) for pair in combinations(sorted(others[:most]), 2)]
