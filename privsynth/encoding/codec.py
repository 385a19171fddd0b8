"""Rows <-> codes of all columns, and codes <-> coarser groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.copula import ENOUGH, LAST, MIN_ROWS, MOST, ROWS, Copula, bin_edges, stratified_places
from privsynth.encoding.decoding import Drawn, rounded
from privsynth.encoding.domain import STRATUM, Domain
from privsynth.encoding.possible import Possible, Wall
from privsynth.encoding.rising import settled_within
from privsynth.encoding.walls import from_tensors, to_tensors
from privsynth.loading import Damaged, Tensors, part
from privsynth.privacy.unit import Rows
from privsynth.table.names import state_of

MAX_CODES = 2**20  # of all columns of a model that is loaded


@dataclass(frozen=True)
class Codec:
    """All columns, and the released number of (weighted) rows behind the histograms. copula: how numbers depend on each other
    inside their bins, if that was learned. walls: combinations of codes that no row has, by the policy's constraints."""

    domain: Domain
    columns: tuple[ColumnCodec, ...]
    total: float
    copula: Copula | None = None
    walls: tuple[Wall, ...] = ()

    @classmethod
    def restore(cls, domain: Domain, total: float, tensors: Tensors) -> Codec:
        """From what `tensors` returned. Raises Damaged."""
        columns = tuple(ColumnCodec.restore(c, tensors, f"codec.{j}.") for j, c in enumerate(domain.columns))
        walls = from_tensors(tensors, [column.size for column in columns])
        codec, copula = cls(domain, columns, total, None, walls), part(tensors, "within.")
        if sum(codec.sizes) > MAX_CODES:
            raise Damaged(f"the columns have more than {MAX_CODES:,} codes together")
        if domain.stratified and columns[-1].size != len(domain.mix) + 1:
            raise Damaged(f"tensor `codec.{len(columns) - 1}.bins` must have a code for each stratum")
        if not copula:
            return codec
        numbers = [j for j, column in enumerate(columns) if column.is_number]
        return replace(codec, copula=Copula.restore(copula, numbers))

    def tensors(self) -> Tensors:
        copula = {} if self.copula is None else self.copula.tensors()
        columns = [column.tensors(f"codec.{j}.") for j, column in enumerate(self.columns)]
        return (
            {f"within.{name}": value for name, value in copula.items()}
            | {k: v for c in columns for k, v in c.items()}
            | to_tensors(self.walls)
        )

    @cached_property
    def possible(self) -> Possible:
        """Which rows the walls leave."""
        return Possible(self.walls, [c.shares for c in self.columns], [c.noise for c in self.columns])

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(column.size for column in self.columns)

    @property
    def names(self) -> list[str]:
        return [column.domain.name for column in self.columns]

    def encode(self, rows: Rows[pd.DataFrame]) -> Rows[np.ndarray]:
        """(rows, columns) int32 codes; each row on its own."""
        cells = self.domain.encode(rows)
        codes = np.stack([c.bins[cells.values[:, j]] for j, c in enumerate(self.columns)], 1)
        return Rows(codes.astype(np.int32), cells.units)

    def encode_known(self, known: pd.DataFrame) -> np.ndarray:
        """(rows, columns) int32 codes of public typed rows that hold values in some cells; -1 elsewhere.

        A gap is known where both of its sides are, and an age where both of its dates are.
        """
        full = known.notna()
        marked = np.zeros((len(known), len(self.columns)), bool)  # known whatever a gap starts from
        for j, column in enumerate(self.domain.columns):
            if column.marks and (states := state_of(column.name)) in known:
                marked[:, j] = known[states] >= 0
                full[column.name] |= marked[:, j]
        for column in self.domain.columns:
            if column.members:
                full[column.name] = full[list(column.members)].all(axis=1)
        full = full.assign(**{STRATUM: False} | {c.name: full[c.clock_of] for c in self.domain.columns if c.clock_of})
        starts = [[s for s in (c.gap_from, c.age_at) if s is not None] for c in self.domain.columns]
        given = [full[[c.name, *own]].all(axis=1) for c, own in zip(self.domain.columns, starts, strict=True)]
        codes = self.encode(Rows(known, np.arange(len(known)))).values
        return np.where(np.stack(given, 1) | marked, codes, -1).astype(np.int32)

    def decode(self, codes: np.ndarray, rng: np.random.Generator, known: pd.DataFrame | None = None) -> pd.DataFrame:
        """Codes -> typed rows (text or None; float64 or NaN, dates in days), every declared inequality kept.

        known: values that are given, as in `encode_known`: they stay as they are, and gaps and ages start from them.
        """
        places = self.places(
            codes, rng, use_copula=known is None
        )  # else the places would have to depend on what is known
        drawn = Drawn(known, self._tops(codes))
        own = [(j, c) for j, c in enumerate(self.columns) if c.domain.name != STRATUM]
        for relative in (False, True):  # first what moves while inequalities are settled, then what starts from it
            waiting = [(j, c) for j, c in own if c.domain.relative == relative]
            while waiting:  # a gap waits for the column that it starts from; the policy allows no cycle
                j, column = waiting.pop(0)
                if not drawn.take(column, codes[:, j], places[:, j]):
                    waiting.append((j, column))
            if not relative:
                self._settle(drawn, codes)
        names = [name for column in self.domain.columns for name in column.members or (column.name,)]
        return pd.DataFrame({name: drawn.frame[name] for name in names if name in drawn.frame} | drawn.states)

    def _tops(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """{column: (rows,) the highest value, in grid units, from which the gaps that start there stay within their bounds}"""
        gaps = [(j, c.domain) for j, c in enumerate(self.columns) if c.domain.gap_from is not None]
        found = {str(domain.gap_from): np.full(len(codes), np.inf) for _, domain in gaps}
        for _ in gaps:  # as often as the longest chain can need
            for j, domain in gaps:
                top = np.minimum(domain.high, found.get(domain.name, np.inf)) - domain.least_gap
                there = np.isfinite(self.columns[j].limits[codes[:, j], 0])
                start = str(domain.gap_from)
                found[start] = np.where(there, np.minimum(found[start], top), found[start])
        return found

    def _settle(self, drawn: Drawn, codes: np.ndarray) -> None:
        """Inequalities between columns that are stored as themselves, each value inside of its code; given values stay."""
        rules = self.domain.rising
        if not rules:
            return
        steps, (low, high, lowest, highest) = dict[str, float](), tuple(dict[str, np.ndarray]() for _ in range(4))
        for j, column in enumerate(self.columns):
            domain, name = column.domain, column.domain.name
            if any(name in rule[:2] for rule in rules):
                steps[name], given = domain.step, drawn.given(name)
                ends = column.limits[codes[:, j]]
                wide = ends if domain.fixed else np.array([[domain.low, domain.high]])
                top = drawn.tops.get(name, np.inf)
                limits = (ends[:, 0], np.minimum(ends[:, 1], top), wide[:, 0], np.minimum(wide[:, 1], top))
                for found, end in zip((low, high, lowest, highest), limits, strict=True):
                    found[name] = np.where(np.isnan(given), end * domain.step, given)
        values = {name: np.asarray(drawn.frame[name], float) for name in steps}
        for name, own in settled_within(values, (low, high), (lowest, highest), steps, rules).items():
            moved, given = rounded(own, steps[name]), drawn.given(name)
            # what need not move stays as it is; given ones, too: the smaller side is lowered then (`completed`)
            stays = (own == values[name]) | ~np.isnan(given)
            drawn.frame[name] = np.where(stays, values[name], moved)
            drawn.units[name] = np.round(drawn.frame[name] / steps[name])

    def places(self, codes: np.ndarray, rng: np.random.Generator, use_copula: bool = True) -> np.ndarray:
        """(rows, columns) where in its code each value lies, 0 to below 1. use_copula: numbers by the copula, if there is one."""
        scores, places, copula = rng.random(codes.shape), rng.random(codes.shape), self.copula if use_copula else None
        if copula is not None:
            scores[:, copula.columns] = copula.draw(self._edges(copula.columns), codes[:, copula.columns], rng)
        for j in (j for j, column in enumerate(self.columns) if column.open):
            own, alone = codes[:, j], places[:, j].copy()
            few = np.flatnonzero(np.bincount(own)[own] < ENOUGH)
            places[:, j] = stratified_places(own, scores[:, j], rng)
            places[few, j] = alone[few]
            if copula is not None and j in copula.columns:
                share = copula.cdf(j, self._edges([j])[0], own[few], scores[few, j])
                places[few, j] = np.where(np.isnan(share), alone[few], np.minimum(share, LAST))
        return places

    def learning_copula(self, sample: Callable[[int], np.ndarray], rng: np.random.Generator) -> Codec:
        """The codec with a copula of its numbers inside their bins. sample: gives so many released rows.

        It stays as it is where fewer than two numbers have open bins, so that no dependence could be seen, or too many.
        """
        numbers = [j for j, column in enumerate(self.columns) if column.is_number]
        opened = [j for j in numbers if self.columns[j].open]
        if not 2 <= len(opened) <= MOST:
            return self
        rows = int(np.clip(self.total, MIN_ROWS, ROWS))
        at = np.array(numbers if len(numbers) <= MOST else opened)  # closed ones, too, help to locate the others
        return replace(self, copula=Copula.learn(at, self._edges(at), sample(rows)[:, at], rng))

    def _edges(self, columns: Iterable[int]) -> list[np.ndarray]:
        return [bin_edges(self.columns[j].shares[:-1]) for j in columns]


@dataclass(frozen=True)
class Groups:
    """Codes in coarser groups. columns: for each column the group of each of its codes."""

    columns: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(max(groups) + 1 for groups in self.columns)

    def encode(self, rows: Rows[np.ndarray]) -> Rows[np.ndarray]:
        """(rows, columns) int32 codes -> groups; each row on its own."""
        grouped = [np.array(groups, np.int32)[rows.values[:, j]] for j, groups in enumerate(self.columns)]
        return Rows(np.stack(grouped, 1), rows.units)
