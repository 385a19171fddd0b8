"""One column's cells <-> codes, with the released shares of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from privsynth.encoding.copula import LAST
from privsynth.encoding.domain import ColumnDomain
from privsynth.encoding.histograms import SIGNIFICANT, to_simplex
from privsynth.loading import Damaged, Tensors, take, take_shares
from privsynth.policy.constraints.conditions import Cell
from privsynth.policy.knowledge import Knowledge
from privsynth.table.raw import BLANK, REGULAR


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
