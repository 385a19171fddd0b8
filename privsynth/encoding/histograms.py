"""Histograms of numbers at three scales, and the one distribution that is estimated from all of them.

A fine grid keeps spikes and shapes, but over many cells noise adds up: how much lies in a tail, or below a median, is
estimated better from a few long runs of cells. So each column of many cells is counted in cells, in runs of them and in
runs of runs, all in one mechanism, and the counts are made consistent by least squares (Hay, Rastogi, Miklau, Suciu 2010,
section 4). Everything after the measurement is post-processing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from privsynth.encoding.domain import Domain
from privsynth.encoding.grids import Grid, Intervals, runs_of
from privsynth.encoding.requests import coarser_scales
from privsynth.encoding.tails import expected_masses, power_laws
from privsynth.encoding.wavelets import wavelet_denoised
from privsynth.policy.column import LETTER_CASES
from privsynth.privacy.unit import Rows
from privsynth.table.names import case_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDS = 30  # of fitting kinds of round values; after ten, shares move by less than their noise
HEAP = 0.95  # quantile of the body that is no other value than its median where it is one heap
BY_NOISE = 0.003  # probability that noise alone makes any cell, or any run of a scale, of an empty column stand out
SIGNIFICANT = 3.0  # standard deviations from which a share counts as more than noise


@dataclass(frozen=True)
class Scales:
    """Encoder of rows: the cells of every column; then the runs of those columns that have some, fine scales first; then, of
    those columns that distinguish them, the kinds of round values."""

    domain: Domain

    @cached_property
    def runs(self) -> list[tuple[Ints, ...]]:
        """For each column its runs: none for categories, nor for numbers with few grid values between their bounds."""
        return [runs_of(c.regular, coarser_scales(c.kind, c.span), 1 + len(c.marks)) for c in self.domain.columns]

    @cached_property
    def kinds(self) -> dict[int, Ints]:
        """For each column that has some, by its place, the kind of each cell; all cells without a value are of the last one."""
        found = {}
        for j, column in enumerate(self.domain.columns):
            if not column.categorical and not isinstance(column.grid, Intervals):
                kinds = column.grid.kinds
                found[j] = np.append(kinds, np.full(1 + len(column.marks), kinds.max() + 1))
        return found

    @property
    def named(self) -> list[str]:
        """Columns of which the letter case of names is counted."""
        return [column.name for column in self.domain.columns if column.letter_case is not None]

    def letter_cases(self, counts: list[Floats]) -> Domain:
        """The domain with the most frequent letter case of each column's names. counts: of all histograms."""
        last = counts[len(counts) - len(self.named) :]
        found = {name: LETTER_CASES[int(np.argmax(own[:-1]))] for name, own in zip(self.named, last, strict=True)}
        columns = (replace(c, letter_case=found.get(c.name, c.letter_case)) for c in self.domain.columns)
        return replace(self.domain, columns=tuple(columns))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Cells of every histogram, with those of marks and of the blank cell."""
        cases = [len(LETTER_CASES) + 1] * len(self.named)
        runs = (int(inside[-1]) + 1 for column in self.runs for inside in column)
        return (*self.domain.sizes, *runs, *(int(kinds[-1]) + 1 for kinds in self.kinds.values()), *cases)

    def encode(self, rows: Rows[pd.DataFrame]) -> Rows[NDArray[np.int32]]:
        """(rows, histograms) int32 cell numbers; each row on its own, and a run follows from its cell."""
        cells = self.domain.encode(rows)
        columns = list(cells.values.T)
        for column, runs in zip(cells.values.T, self.runs, strict=True):
            for inside in runs:
                column = inside[column]
                columns.append(column)
        columns += [kinds[cells.values[:, j]] for j, kinds in self.kinds.items()]
        for name in self.named:  # the last cell is that of rows without a name
            found = rows.values.get(case_of(name))
            none = len(LETTER_CASES)
            columns.append(np.full(len(rows), none) if found is None else np.where(found < 0, none, found))
        return Rows(np.stack(columns, 1).astype(np.int32), cells.units)

    def consistent(self, counts: list[Floats], sigmas: Floats) -> list[ConsistentCounts]:
        """For each column the estimate from all of its histograms. sigmas: (histograms,) noise of a count."""
        found, at = [], len(self.runs)
        for j, runs in enumerate(self.runs):
            which = [j, *range(at, at + len(runs))]
            at += len(runs)
            found.append(ConsistentCounts.of([counts[i] for i in which], [float(sigmas[i]) for i in which], runs))
        for i, (j, kinds) in enumerate(self.kinds.items(), at):
            found[j] = replace(found[j], kinds=kinds, of_kinds=counts[i], sigma_of_kinds=float(sigmas[i]))
        alone = [1 + len(c.marks) for c in self.domain.columns]
        return [replace(each, alone=count) for each, count in zip(found, alone, strict=True)]


@dataclass(frozen=True)
class ConsistentCounts:
    """Estimated counts of one column at all scales, fine first, each the sum of those below it.

    runs: as from `runs_of`. estimates: (cells,) counts of each scale. below: (cells,) variances of the estimates from a
    scale and those below it alone. sigmas: noise of one count as measured at each scale. alone: how many of the last cells hold
    no value. kinds: (cells,) of each cell, if the column distinguishes them, with a count for each and its noise.
    """

    runs: tuple[Ints, ...]
    estimates: tuple[Floats, ...]
    below: tuple[Floats, ...]
    sigmas: tuple[float, ...]
    alone: int = 1
    kinds: Ints | None = None
    of_kinds: Floats | None = None
    sigma_of_kinds: float = 0.0

    @property
    def sigma(self) -> float:
        """Noise of one count as measured, at the finest scale."""
        return self.sigmas[0]

    @classmethod
    def of(cls, counts: list[Floats], sigmas: list[float], runs: tuple[Ints, ...]) -> ConsistentCounts:
        """Least squares on a tree: upwards, a run's own count and the sum of its cells are averaged by their precision;
        downwards, what remains is distributed among the cells."""
        up, below = [counts[0]], [np.full(len(counts[0]), sigmas[0] ** 2)]
        for inside, own, sigma in zip(runs, counts[1:], sigmas[1:], strict=True):
            total, variance = np.bincount(inside, up[-1]), np.bincount(inside, below[-1])
            below.append(1 / (1 / variance + sigma**-2))
            up.append((total / variance + own * sigma**-2) * below[-1])
        estimates = [up[-1]]
        for inside, own, variance in reversed(list(zip(runs, up[:-1], below[:-1], strict=True))):
            rest = (estimates[0] - np.bincount(inside, own)) / np.bincount(inside, variance)
            estimates.insert(0, own + variance * rest[inside])
        return cls(runs, tuple(estimates), tuple(below), tuple(sigmas))

    def noise_of(self, labels: Ints, used: NDArray[np.bool_]) -> Floats:
        """(labels,) standard deviation of the sum of estimated counts over the used cells of each label.

        Within a run, the parts of the run's count that its cells got are correlated; the rest of each cell is independent
        of that count. A label without used cells has the noise of one cell: it is not known to be empty.
        """
        part = np.zeros((int(labels.max()) + 1, len(labels)))
        part[labels[used], np.flatnonzero(used)] = 1.0
        variance = np.zeros(len(part))
        for inside, below in zip(self.runs, self.below[:-1], strict=True):
            first = np.flatnonzero(np.diff(inside, prepend=-1))
            weighted, total = np.add.reduceat(part * below, first, axis=1), np.add.reduceat(below, first)
            variance += (part**2 * below).sum(1) - (weighted**2 / total).sum(1)
            part = weighted / total
        variance += (part**2 * self.below[-1]).sum(1)
        return np.sqrt(np.where(np.bincount(labels, used) > 0, variance, self.sigma**2))

    def distribution(self, grid: Grid, beyond: bool = False) -> tuple[Floats, NDArray[np.bool_]]:
        """((cells,) shares of a number's cells, none below zero; (cells,) False for those of its tails). grid: of the cells that
        hold values.

        Between the first and the last cells that stand out of noise, from long runs down to cells: each run's share is
        distributed among its cells. Beyond them as `tails` says. beyond: the first and the last cell hold what lies outside of
        measured bounds, and no tail.
        """
        body, alone = self._body(grid), np.ones(self.alone, bool)
        used, counts = self._between(np.append(body, alone), grid)
        total = max(float(counts[-1].sum()), 1.0)
        share = np.zeros(len(counts[-1]))
        share[used[-1]] = to_simplex(counts[-1][used[-1]] / total)
        for scale in reversed(range(len(self.runs))):
            inside, below = self.runs[scale], np.zeros(len(counts[scale]))
            for run in np.flatnonzero(share > 0):
                cells = np.flatnonzero((inside == run) & used[scale])
                below[cells] = share[run] * to_simplex(counts[scale][cells] / (share[run] * total))
            share = below
        share = self._by_kind(share / max(share.sum(), 1e-300), used[0], grid.widths, total)
        rows = total * share + np.append(self._tails(body, share[: len(body)], grid, beyond), np.zeros(self.alone))
        return np.asarray(rows / rows.sum()), np.append(body, alone)

    def _by_kind(self, share: Floats, used: NDArray[np.bool_], widths: Ints, total: float) -> Floats:
        """The shares moved so that the kinds of round values have the shares that were counted for them, and the longest runs
        keep theirs: iterative proportional fitting (Deming and Stephan 1940).

        What noise alone explains, of a cell or of a kind, counts as its neighbours of the usual kind do: else the noise of
        single days and hours would show as spikes (`_round_values`).
        """
        if self.kinds is None or self.of_kinds is None or not (mass := share[: len(widths)].sum()):
            return share
        regular, kinds, run = share[: len(widths)], self.kinds[: len(widths)], np.arange(len(share))
        for inside in self.runs:
            run = inside[run]
        run = run[: len(widths)]
        expected, there = _as_neighbours(regular, widths, kinds), used[: len(widths)]
        counted, sigmas = self.of_kinds[:-1] / total, (self.sigma / total, self.sigma_of_kinds / total)
        usual, raw = int(np.argmax(np.bincount(kinds, widths))), self.estimates[0][: len(widths)] / total
        wanted = np.zeros(len(counted))
        wanted[usual] = counted[usual] if counted[usual] >= SIGNIFICANT * sigmas[1] else 0.0
        smooth = regular
        regular = np.where(np.abs(regular - expected) < SIGNIFICANT * sigmas[0], expected, regular)
        for kind in (k for k in range(len(counted)) if k != usual):
            cells = np.flatnonzero((kinds == kind) & there)
            regular[cells] = _round_values(raw[cells], smooth[cells], expected[cells], float(counted[kind]), sigmas)
            wanted[kind] = regular[cells].sum()
        if not wanted.sum():
            return share
        wanted, of_runs = wanted * mass / wanted.sum(), np.bincount(run, share[: len(widths)]) if self.runs else None
        fitted = np.where(used[: len(widths)], regular + 1e-6 * mass * widths / widths.sum(), 0.0)
        for _ in range(ROUNDS):
            if of_runs is not None:
                fitted = fitted * (of_runs / np.maximum(np.bincount(run, fitted), 1e-300))[run]
            fitted = fitted * (wanted / np.maximum(np.bincount(kinds, fitted, len(wanted)), 1e-300))[kinds]
        return np.append(fitted * mass / max(fitted.sum(), 1e-300), share[len(widths) :])

    def _body(self, grid: Grid) -> NDArray[np.bool_]:
        """(cells,) True from the first to the last cell of a number that stands out of noise, by itself or in a run around it;
        of `grid.far` cells only for those that do. All of them where none does."""
        run = np.arange(len(self.estimates[0]))
        certain = np.zeros(len(run), bool)
        for inside, counts, variances in zip((*self.runs, None), self.estimates, self.below, strict=True):
            certain |= (counts >= -ndtri(BY_NOISE / len(counts)) * np.sqrt(variances))[run]
            run = run if inside is None else inside[run]
        certain = certain[: -self.alone]
        found = np.flatnonzero(certain)
        body = ~grid.far | certain
        if len(found):
            body[: found[0]] = body[found[-1] + 1 :] = False
        return body if body.any() else np.ones(len(body), bool)

    def _between(self, body: NDArray[np.bool_], grid: Grid) -> tuple[list[NDArray[np.bool_]], list[Floats]]:
        """For each scale which runs hold cells of the body, and the estimated counts of those cells, the finest ones denoised."""
        alike = grid.kinds * 2 + (grid.widths == 1)
        values = wavelet_denoised(self.estimates[0][: -self.alone], alike, self.sigma)
        fine = np.append(values, self.estimates[0][-self.alone :])
        used, counts, beyond = [body], [np.where(body, fine, 0.0)], np.where(body, 0.0, self.estimates[0])
        for inside, own in zip(self.runs, self.estimates[1:], strict=True):
            beyond = np.bincount(inside, beyond)
            counts.append(own - beyond)
            used.append(np.bincount(inside, used[-1]) > 0)
        return used, counts

    def _tails(self, body: NDArray[np.bool_], share: Floats, grid: Grid, beyond: bool) -> Floats:
        """(cells,) estimated counts beyond the body on both sides. share: (cells,) of the body's cells.

        Values that are round in some way are as much more frequent than others as they are in the body.
        """
        cells, (first, last) = np.arange(len(body)), np.flatnonzero(body)[[0, -1]]
        values, kinds, rising = grid.value_at(cells, np.full(len(cells), 0.5)), grid.kinds, np.cumsum(share)
        low, middle, high = np.searchsorted(rising, rising[-1] * np.array([1 - HEAP, 0.5, HEAP])).clip(first, last)
        often = np.bincount(kinds, share) / np.maximum(np.bincount(kinds, grid.widths * body), 1.0)
        weights, found = np.where(grid.far, 0.0, grid.widths * often[kinds]), np.zeros(len(cells))
        if beyond:
            weights[[0, -1]] = 0.0
        for tail, end, side in ((cells < first, first, low), (cells > last, last, high)):
            if weights[tail].any():
                apart = np.abs(values[tail] - values[end]) / max(values[last] - values[first], 1.0)
                own = power_laws(apart, weights[tail], side == middle)
                laws = np.zeros((len(own), len(cells)))
                laws[:, tail] = own
                found += expected_masses(*self._masses(laws, tail)) @ laws
        return found

    def _masses(self, laws: Floats, part: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """((laws,) mass of some cells by least squares, if they follow that law; its standard deviation), by the counts of all
        scales. laws: (laws, cells) distributions over cells with values; part: (cells,) which of them."""
        laws = np.pad(laws, ((0, 0), (0, self.alone)))
        counts = np.where(np.append(part, np.zeros(self.alone, bool)), self.estimates[0], 0.0)
        precision = signal = np.zeros(len(laws))
        for sigma, inside in zip(self.sigmas, (*self.runs, None), strict=True):
            precision = precision + (laws**2).sum(1) / sigma**2
            signal = signal + laws @ counts / sigma**2
            if inside is not None:
                first = np.flatnonzero(np.diff(inside, prepend=-1))
                laws, counts = np.add.reduceat(laws, first, axis=1), np.add.reduceat(counts, first)
        return signal / precision, precision**-0.5


def _as_neighbours(share: Floats, widths: Ints, kinds: Ints) -> Floats:
    """(cells,) the share of each cell if its values were as frequent as those of the nearest cell of the usual kind."""
    usual = int(np.argmax(np.bincount(kinds, widths)))  # the kind that most values are of
    plain = np.flatnonzero(kinds == usual)
    nearest = plain[np.clip(np.searchsorted(plain, np.arange(len(share))), 0, len(plain) - 1)]
    return np.asarray(share[nearest] / widths[nearest] * widths)


def _round_values(raw: Floats, smooth: Floats, expected: Floats, counted: float, sigmas: tuple[float, float]) -> Floats:
    """(cells,) estimated shares of the cells of one kind of round values.

    raw: (cells,) as measured; smooth: denoised; expected: as frequent as their neighbours; counted: the kind's own measured
    share; sigmas: noise of a cell and of that share. Cells that exceed their neighbours by more than noise stay as measured.
    What is then left of the kind's share lies in the others smoothly, and less so as far as they vary by more than noise does:
    shrinkage by the variance (James, Stein 1961; Efron, Morris 1973). Each first of a quarter may be less than noise, all of
    them are not.
    """
    cell, whole = sigmas
    spike = raw - expected >= (SIGNIFICANT + 1) * cell
    shares, rest, spikes = np.where(spike, raw, 0.0), np.flatnonzero(~spike), int(spike.sum())
    left, plain = counted - float(shares.sum()), float(expected[rest].sum())
    if abs(left - plain) < SIGNIFICANT * math.sqrt(
        whole**2 + spikes * cell**2
    ):  # then the others are as their neighbours
        shares[spike] += (left - plain) * cell**2 / max(whole**2 + spikes * cell**2, 1e-300)  # least squares
        left = plain
    if left <= 0 or not len(rest):
        return shares
    even = smooth[rest] + max(left - smooth[rest].sum(), 0.0) / len(rest)
    even *= left / max(even.sum(), 1e-300)
    variance = float(((raw[rest] - even) ** 2).mean()) / max(cell, 1e-300) ** 2
    trust = 1 - 1 / variance if variance - 1 > SIGNIFICANT * math.sqrt(2 / len(rest)) else 0.0
    shares[rest] = left * to_simplex((even + trust * (raw[rest] - even)) / left)
    return shares


def to_simplex(values: Floats) -> Floats:
    """Nearest non-negative vector that sums to one (Duchi et al. 2008, Fig. 1).

    >>> to_simplex(np.array([0.5, 0.7, -0.2])).round(2).tolist()
    [0.4, 0.6, 0.0]
    """
    values = values - values.max()  # which moves nothing, and keeps far larger values from swallowing the one
    ranked = np.sort(values)[::-1]
    excess = np.cumsum(ranked) - 1
    last = np.flatnonzero(ranked - excess / np.arange(1, len(values) + 1) > 0)[-1]
    return np.asarray(np.maximum(values - excess[last] / (last + 1), 0))
