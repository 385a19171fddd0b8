"""Rows <-> codes. The measured histograms of the cells give each column's bins, its spikes and the density inside bins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from privsynth.encoding.copula import ENOUGH, LAST, MIN_ROWS, MOST, ROWS, Copula, bin_edges, stratified_places
from privsynth.encoding.domain import STRATUM, ColumnDomain, Domain
from privsynth.encoding.histograms import SIGNIFICANT, ConsistentCounts, Scales, to_simplex
from privsynth.encoding.possible import Possible, Wall
from privsynth.encoding.rising import settled_within
from privsynth.encoding.walls import alike, from_tensors, to_tensors, walls_of
from privsynth.errors import Problem, Refused
from privsynth.loading import Damaged, Tensors, part, take, take_shares
from privsynth.policy.ages import births_at
from privsynth.policy.column import decimals_of
from privsynth.policy.consistency import NOTHING
from privsynth.policy.constraints.conditions import Cell
from privsynth.policy.knowledge import Knowledge
from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms.tables import HISTOGRAMS, Histograms
from privsynth.privacy.run import Run
from privsynth.privacy.unit import Rows
from privsynth.table.names import state_of
from privsynth.table.private import PrivateTable
from privsynth.table.raw import BLANK, REGULAR

MAX_BINS, MIN_BINS = 32, 8
BINS = 0.62  # of a numeric column: so many times the square root of rows over the noise of a cell
MAX_CODES = 2**20  # of all columns of a model that is loaded
FAINT = 1.0  # standard deviations of its histogram's noise below which a mark has no code of its own
RARE = 4.0  # standard deviations of its histogram's noise below which a category counts as rare
# share of rows in the code of rare ones from which they get their own, as long as the column has at most so many codes then
MOST_SHARED, MOST_APART = 0.1, 256


@dataclass(frozen=True)
class ColumnCodec:
    """bins: (cells + 1,) code of each cell, missing last. density: (cells + 1,) released share of each cell.

    raw, noise: (codes,) released share of each code before it was made a distribution, and its standard deviation.
    inside: (cells + 1,) by which each code's share is distributed over its cells, also where the density is 0; not saved.
    """

    domain: ColumnDomain
    bins: np.ndarray
    density: np.ndarray
    raw: np.ndarray
    noise: np.ndarray
    inside: np.ndarray | None = None

    @classmethod
    def of(
        cls, domain: ColumnDomain, bins: np.ndarray, inside: np.ndarray, raw: np.ndarray, noise: np.ndarray
    ) -> ColumnCodec:
        """Shares of codes from `raw`, distributed over each code's cells in proportion to `inside`.

        Marks and missing values that cannot be told from noise are not invented: such marks count as blank cells.
        """
        faint, share = raw < SIGNIFICANT * noise, raw.copy()
        faint[np.unique(bins[: domain.regular])] = False  # codes of values
        faint[-1] = False
        share[-1] += raw[faint].sum()
        share[faint] = 0.0
        unsure = np.sqrt(noise[-1] ** 2 + (noise[faint] ** 2).sum())
        faint[-1] = not domain.nullable or share[-1] < SIGNIFICANT * unsure
        mass = np.where(faint, 0.0, to_simplex(share))
        mass = mass / mass.sum() if mass.sum() > 0 else ~faint / np.count_nonzero(~faint)
        weight = inside + 1e-9 / len(inside)
        density = weight / np.bincount(bins, weight)[bins] * mass[bins]
        return cls(domain, bins, density, raw, noise, inside)

    @classmethod
    def restore(cls, domain: ColumnDomain, tensors: Tensors, prefix: str) -> ColumnCodec:
        """From what `tensors` returned. Raises Damaged."""
        cells = domain.cells + 1
        bins = take(tensors, f"{prefix}bins", "int32", (cells,), 0, cells - 1)
        used, last = np.bincount(bins), int(bins.max())
        with_blank = last in bins[: domain.regular] and domain.kind != "boolean"  # whose other spellings lie there
        if last < 1 or not used.all() or bins[-1] != last or with_blank:
            raise Damaged(f"tensor `{prefix}bins` must use every code, and its last one for the missing value alone")
        density = take_shares(tensors, f"{prefix}density", "float64", (cells,))
        raw = take(tensors, f"{prefix}raw", "float64", used.shape)
        return cls(domain, bins, density, raw, take(tensors, f"{prefix}noise", "float64", used.shape, low=0.0))

    def tensors(self, prefix: str) -> Tensors:
        return {f"{prefix}{name}": getattr(self, name) for name in ("bins", "density", "raw", "noise")}

    def with_shares(self, raw: np.ndarray, noise: np.ndarray) -> ColumnCodec:
        """The same cells with a better estimate of the codes' shares."""
        return ColumnCodec.of(self.domain, self.bins, self.density if self.inside is None else self.inside, raw, noise)

    def with_density(self, shares: np.ndarray) -> ColumnCodec:
        """The same cells with other shares of the codes: (codes,)."""
        own = self.shares
        ratio = np.divide(shares, own, out=np.zeros_like(own), where=own > 0)
        density = self.density * ratio[self.bins]
        return replace(self, density=density / density.sum())

    def as_cells(self, knowledge: Knowledge) -> list[Cell]:
        """What constraints see of its codes, the one for the blank cell last."""
        cells, found = self.domain.as_cells(knowledge.columns.get(self.domain.name)), []
        for code in range(self.size):
            own = [cells[i] for i in np.flatnonzero(self.bins == code)]
            numbers = [cell for cell in own if cell.text is None and not cell.absent]
            last = code == self.size - 1
            found.append(
                own[-1] if last or not numbers else Cell(min(c.low for c in numbers), max(c.high for c in numbers))
            )
        return found

    @cached_property
    def limits(self) -> np.ndarray:
        """(codes, 2) lowest and highest value of each code in grid units; infinite for those without a value."""
        found = np.full((self.size, 2), (-np.inf, np.inf))
        every = np.arange(self.domain.regular)
        for end, (place, choose) in enumerate(((0.0, np.minimum), (LAST, np.maximum))):
            values = self.grid_values(every, np.full(len(every), place))
            for code in np.unique(self.bins[: len(every)]):
                found[code, end] = choose.reduce(values[self.bins[: len(every)] == code])
        return found

    @property
    def size(self) -> int:
        """Number of codes."""
        return int(self.bins.max()) + 1

    @property
    def shares(self) -> np.ndarray:
        """(codes,) released share of each code."""
        return np.bincount(self.bins, self.density, minlength=self.size)

    @property
    def found_marks(self) -> tuple[str, ...]:
        """The marks that were seen, by the released histogram; the others occur in less than one row of a million."""
        domain = self.domain
        return tuple(m for m, share in zip(domain.marks, self.density[domain.regular :], strict=False) if share > 1e-6)

    @property
    def is_number(self) -> bool:
        return not self.domain.categorical

    @property
    def open(self) -> bool:
        """True if some code stands for more than one value."""
        values = self.domain.grid.widths if self.is_number else np.ones(self.domain.regular)
        return bool((np.bincount(self.bins[: self.domain.regular], values) > 1).any())

    def decode(self, codes: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes and places inside them, 0 to below 1 -> cells, by the density inside each code, and places inside those.
        The last cell is "missing"."""
        cells, weight = np.argsort(self.bins, kind="stable"), self.density + 1e-12
        reach, first = np.cumsum(weight[cells]), np.searchsorted(self.bins[cells], np.arange(self.size + 1))
        start = np.concatenate([[0.0], reach])[first]
        wanted = start[codes] + places * (start[codes + 1] - start[codes])
        at = np.clip(np.searchsorted(reach, wanted, side="right"), first[codes], first[codes + 1] - 1)
        cdf = 1 - (reach[at] - wanted) / weight[cells[at]]
        return cells[at], np.clip(cdf, 0.0, LAST)

    def grid_values(self, cells: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Cells of numbers and places inside them -> whole numbers of grid units (days of a datetime), NaN without a value."""
        value = self.domain.grid.value_at(np.minimum(cells, self.domain.regular - 1), places)
        if self.domain.beyond:
            value = np.clip(value, self.domain.low, self.domain.high)
        return np.where(cells >= self.domain.regular, np.nan, value)

    def any_value(self, places: np.ndarray) -> np.ndarray:
        """Places from 0 to below 1 -> whole numbers of grid units as frequent as in the column, whatever its marks and blanks."""
        weight = self.density[: self.domain.regular] + 1e-12
        reach = np.cumsum(weight)
        wanted = places * reach[-1]
        cells = np.minimum(np.searchsorted(reach, wanted, side="right"), len(reach) - 1)
        return self.grid_values(cells, np.clip(1 - (reach[cells] - wanted) / weight[cells], 0.0, LAST))

    def states(self, cells: np.ndarray) -> np.ndarray:
        """(rows,) int8, as in `raw.Numbers`: which mark each cell is, if it is one."""
        mark = cells - self.domain.regular
        return np.where(mark < 0, REGULAR, np.where(cells == self.domain.cells, BLANK, mark)).astype(np.int8)


class Drawn:
    """Decoded columns, one after another. tops: the highest values that gaps above leave. frame: typed values by name; states: of
    columns with marks."""

    def __init__(self, known: pd.DataFrame | None, tops: Mapping[str, np.ndarray]):
        self.known, self.tops, self.units, self.frame, self.states = (
            known,
            tops,
            dict[str, np.ndarray](),
            dict[str, Any](),
            dict[str, Any](),
        )
        self.days: dict[str, np.ndarray] = {}  # of datetimes, until their time of day comes

    def take(self, column: ColumnCodec, codes: np.ndarray, places: np.ndarray) -> bool:
        """Decodes a column; False if it has to wait for the one that it starts from."""
        domain = column.domain
        if any(start is not None and start not in self.units for start in (domain.gap_from, domain.age_at)):
            return False
        if domain.clock_of is not None and domain.clock_of not in self.days:
            return False
        cells, inside = column.decode(codes, places)
        if domain.members:
            self._tell_members(domain, cells)
            return True
        if domain.categorical:
            words = np.array([*domain.categories, *domain.marks, None], dtype=object)[cells]
            there = None if self.known is None else self.known[domain.name]
            self.frame[domain.name] = words if there is None else np.where(there.notna(), there, words)
            return True
        value = column.grid_values(cells, inside)
        if domain.marks:
            self.states[state_of(domain.name)] = column.states(cells)
        if domain.by_day:
            self.days[domain.name] = value * domain.a_day
        elif domain.clock_of is not None:
            value = np.where(
                np.isnan(value), column.any_value(places), value
            )  # a day without a time is none of the table's
            self._finish(domain, domain.clock_of, self.days[domain.clock_of] + value)
        else:
            if domain.gap_from is not None:
                start = self.units[domain.gap_from]
                value = np.minimum(start + value, np.maximum(domain.high, start + domain.least_gap))
                value = np.maximum(value, domain.floor)
            elif domain.age_at is not None:
                born = births_at(value, np.floor(self.units[domain.age_at] / domain.age_units))
                value = np.clip(born, domain.low, domain.high)
            self._finish(domain, domain.name, value)
        return True

    def given(self, name: str) -> np.ndarray:
        """(rows,) given numbers of a column, NaN elsewhere."""
        rows = len(next(iter(self.frame.values())))
        return np.full(rows, np.nan) if self.known is None else self.known[name].to_numpy(float)

    def _tell_members(self, domain: ColumnDomain, cells: np.ndarray) -> None:
        """The words of the columns of which one is true."""
        for at, (name, words) in enumerate(zip(domain.members, domain.words, strict=True)):
            found = np.where(cells == domain.cells, None, np.array(words, dtype=object)[(cells == at).astype(int)])
            there = None if self.known is None else self.known[name]
            self.frame[name] = found if there is None else np.where(there.notna(), there, found)

    def _finish(self, domain: ColumnDomain, name: str, value: np.ndarray) -> None:
        value = np.minimum(value, self.tops.get(name, np.inf))
        whole = rounded(value * domain.step, domain.step)
        if self.known is not None:
            there = self.known[name].to_numpy(float)
            value = np.where(np.isnan(there), value, np.round(there / domain.step))
            whole = np.where(np.isnan(there), whole, there)
            states = state_of(name)
            if states in self.states:
                own = self.known[states].to_numpy() if states in self.known else np.full(len(there), BLANK)
                given = np.where(np.isnan(there), own, REGULAR)
                self.states[states] = np.where(given == BLANK, self.states[states], given).astype(np.int8)
                whole = np.where(self.states[states] == REGULAR, whole, np.nan)
        self.units[name], self.frame[name] = value, whole


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


def rounded(values: np.ndarray, step: float) -> np.ndarray:
    """Without what floating-point arithmetic added beyond the decimal places of a step."""
    return np.round(values, decimals_of(step))


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
        _column_codec(column, counts, total, classes.get(column.name))
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


def _column_codec(
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


def marks_apart(shares: np.ndarray, sigma: float, few: bool = False, classes: np.ndarray | None = None) -> np.ndarray:
    """(marks + 1,) code of each mark and of the blank cell, from 0 on. A mark that may well be noise goes with the blank,
    if constraints do not tell it from the blank: those of other `classes` have codes of their own.

    Which of the others are more than noise is decided where their shares are known best (`ColumnCodec.of`). few: the column
    has few codes, so that each mark can have its own (if they are at most MAX_BINS).

    >>> marks_apart(np.array([0.2, 0.001, 0.1]), 0.01).tolist()
    [0, 1, 1]
    """
    common = (shares[:-1] >= FAINT * sigma) | (few and len(shares) <= MAX_BINS)
    if classes is not None:
        common |= classes[:-1] != classes[-1]
    return np.append(np.where(common, np.cumsum(common) - 1, common.sum()), common.sum())


def spellings(shares: np.ndarray, sigma: float) -> np.ndarray:
    """(categories,) code of each spelling of a truth value that is more than noise; -1 for the others, which go with the blank
    cell, so that none of them is invented.

    >>> spellings(np.array([0.0, 0.01, 0.6, 0.4]), 0.01).tolist()
    [-1, -1, 0, 1]
    """
    common = shares >= SIGNIFICANT * sigma
    common[np.argmax(shares)] = True
    return np.where(common, np.cumsum(common) - 1, -1)


def rare_together(shares: np.ndarray, sigma: float, classes: np.ndarray | None = None) -> np.ndarray:
    """(cells,) code of each category. In a column of many, those close to the noise level share one; of each class, if constraints
    distinguish some.

    Inside it they are as frequent as their histogram says; how each depends on other columns could hardly be estimated. If they
    are more than MOST_SHARED of the rows together, those that were seen at all have codes of their own: of 143 diagnoses 112
    shared a code with 47 % of the rows, which lost what they say of the department.
    """
    rare = shares < RARE * sigma
    if shares[rare].sum() > MOST_SHARED:
        rare[np.argsort(-shares, kind="stable")[:MOST_APART]] = False
        rare |= shares <= 0
    if len(shares) <= MAX_BINS or rare.sum() < 2:
        return np.arange(len(shares))
    kind = (
        np.zeros(len(shares), np.int64)
        if classes is None
        else np.unique(classes[rare], return_inverse=True)[1][np.cumsum(rare) - 1]
    )
    return np.where(rare, int((~rare).sum()) + kind, np.cumsum(~rare) - 1)


def bin_cells(share: np.ndarray, most: int = MAX_BINS, starts: np.ndarray | None = None) -> np.ndarray:
    """(cells,) bin of each cell: a spike stands alone, the cells between are cut into runs of about equal share.

    starts: (cells,) True where a bin must begin.
    """
    step = 1 / most
    step = min(step, max(1 - share[share >= step].sum(), 1e-3) / (0.62 * most))
    spike = max(step, 1.5 / most / 4)
    bins, label, filled = np.zeros(len(share), np.int64), 0, 0.0
    for cell, mass in enumerate(share):
        if filled and (mass >= spike or filled + mass > step * 1.0001 or (starts is not None and starts[cell])):
            label, filled = label + 1, 0.0
        bins[cell] = label
        filled += mass + 1e-12
        if mass >= spike:
            label, filled = label + 1, 0.0
    return np.unique(bins, return_inverse=True)[1]
