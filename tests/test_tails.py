"""Tails of numbers: no mass where no data are, and none lost; means within their own noise, however wide the bounds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest

from privsynth.encoding.domain import ColumnDomain, Domain
from privsynth.encoding.grids import Intervals
from privsynth.encoding.histograms import ConsistentCounts, Scales
from privsynth.encoding.learning import column_codec
from privsynth.planning import make_plan
from privsynth.policy import Policy
from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms.tables import Histograms
from privsynth.privacy.unit import Rows

Draw = Callable[[int, np.random.Generator], np.ndarray]
SHAPES: dict[str, Draw] = {
    "lognormal": lambda n, rng: rng.lognormal(3, 1, n),
    "heavy": lambda n, rng: (rng.pareto(2.5, n) + 1) * 100,
    "exponential": lambda n, rng: rng.exponential(100, n),
    "uniform": lambda n, rng: rng.uniform(0, 1000, n),
    "normal": lambda n, rng: rng.normal(500, 60, n),
    "two modes": lambda n, rng: np.where(rng.random(n) < 0.8, rng.normal(100, 20, n), rng.normal(2000, 200, n)),
    "mostly zero": lambda n, rng: np.where(rng.random(n) < 0.7, 0, rng.lognormal(5, 1, n)),
    "spikes": lambda n, rng: rng.choice([100, 200, 250, 500, 1000], n, p=[0.4, 0.3, 0.15, 0.1, 0.05]),
    "stays": lambda n, rng: rng.geometric(0.2, n),
    "signed": lambda n, rng: rng.normal(-200, 300, n),
}


class Learned:
    """A column of whole numbers as a codec learns it from noisy counts of its own histograms."""

    def __init__(self, values: np.ndarray, low: int, high: int, noise_multiplier: float, seed: int):
        rng, self.column = np.random.default_rng(seed), ColumnDomain("x", "integer", low=low, high=high)
        scales = Scales(Domain((self.column,), None))
        mechanism = Histograms(Gaussian(noise_multiplier), scales.sizes)
        cells = scales.encode(Rows(pd.DataFrame({"x": values}), np.arange(len(values)))).values
        exact = [np.bincount(cells[:, j], minlength=size) for j, size in enumerate(scales.sizes)]
        noisy = [c + rng.normal(size=len(c)) * s for c, s in zip(exact, mechanism.sigmas, strict=True)]
        self.counts, self.rows = scales.consistent(noisy, mechanism.sigmas)[0], len(values)
        self.regular = len(self.column.grid.widths)
        self.middle = self.column.grid.value_at(np.arange(self.regular), np.full(self.regular, 0.5))
        self.share = column_codec(self.column, self.counts, float(len(values))).density[: self.regular]
        self.there = np.flatnonzero(exact[0][: self.regular])

    @property
    def mean(self) -> float:
        return float(np.average(self.middle, weights=self.share))

    def noise_of_mean(self, mean: float, between: slice = slice(None)) -> float:
        """Standard deviation of the mean that noise on the cells of a slice causes, by the least-squares counts."""
        weights = np.zeros(len(self.counts.estimates[0]))
        weights[: self.regular][between] = (self.middle - mean)[between]
        return noise_of_sum(self.counts, weights) / self.rows


def noise_of_sum(counts: ConsistentCounts, weights: np.ndarray) -> float:
    """As `ConsistentCounts.noise_of`, of a weighted sum."""
    variance = 0.0
    for inside, below in zip(counts.runs, counts.below[:-1], strict=True):
        weighted, total = np.bincount(inside, weights * below), np.bincount(inside, below)
        variance += float((weights**2 * below).sum() - (weighted**2 / total).sum())
        weights = weighted / total
    return float(np.sqrt(variance + (weights**2 * counts.below[-1]).sum()))


def test_means_of_200_shapes_lie_within_their_noise() -> None:
    """All within three standard errors of the noise on all cells. All but five also within three of the noise where values are,
    which wide bounds do not raise: four of these 200 are not, 22 were where noise made tails. Seeded; others have up to 2.5 %."""
    beyond, laws = 0, product(SHAPES, (500, 2000, 8000, 20_000), (1.2, 2, 5, 15, 40))
    for seed, (name, n, wide) in enumerate(laws):
        values = np.round(SHAPES[name](n, np.random.default_rng(seed)))
        low, high = int(min(0, values.min() * wide)), int(max(values.max(), 1) * wide) + 1
        learned = Learned(values, low, high, (3.0, 12.0)[seed % 2], seed)
        off, truth = learned.mean - values.mean(), float(values.mean())
        assert abs(off) < 3 * learned.noise_of_mean(truth), (name, n, wide)
        there = slice(learned.there[0], learned.there[-1] + 1)
        beyond += abs(off) > 3 * np.hypot(learned.noise_of_mean(truth, there), values.std() / np.sqrt(n))
    assert beyond <= 5


def test_noise_makes_no_tail_far_away() -> None:
    """Stays of a few days with bounds of years: of 100 such columns four have one stay of 1,000 beyond three months, 26 had."""
    values = np.random.default_rng(0).geometric(0.25, 3000)
    far = [float(x.share[x.middle > 90].sum()) > 1e-3 for x in (Learned(values, 0, 2000, 15.0, s) for s in range(100))]
    assert sum(far) <= 10


@pytest.mark.parametrize("shape", ["exponential", "heavy", "lognormal"])
def test_a_faint_tail_is_not_cut_off(shape: str) -> None:
    """The upper two per cent hold about two per cent, though hardly a cell of theirs stands out of noise: 60 columns on average."""
    values = np.round(SHAPES[shape](4000, np.random.default_rng(1)))
    top = np.quantile(values, 0.98)
    shares = [Learned(values, 0, int(values.max() * 1.5), 12.0, seed) for seed in range(60)]
    assert 0.015 < np.mean([x.share[x.middle > top].sum() for x in shares]) < 0.025


def test_what_runs_show_is_not_cut_off_by_their_cells() -> None:
    """Runs of cells see what no cell shows: a faint stretch beside a spike stays where it is."""
    values = np.concatenate([np.full(3000, 5), np.linspace(10, 320, 300).round()])
    shares = [Learned(values, 0, 400, 8.0, seed) for seed in range(30)]
    near = [x.share[(x.middle > 6) & (x.middle < 60)].sum() for x in shares]
    assert np.mean(near) == pytest.approx(((values > 6) & (values < 60)).mean(), rel=0.2)


def test_a_thin_tail_beside_a_heap_is_not_cut_off() -> None:
    """Gains of 8 % of the rows, up to 50,000, all others at 0; no cell of theirs stands out of noise. 20 columns on average: with
    five seeds half to two thirds of that share stay, and the mean is 0 to 43 % too small; cut after the last cell that stands
    out, 5 to 26 % of the share, and a mean that is 67 to 96 % too small. Where all positive noise counts the stays above fail."""
    rng, shares, means = np.random.default_rng(3), [], []
    for seed in range(20):
        values = np.where(rng.random(2000) < 0.92, 0, rng.lognormal(8.5, 0.8, 2000)).round()
        found = Learned(values, 0, int(values.max() * 1.5), 18.0, seed)
        shares.append(found.share[found.middle > 1000].sum() / (values > 1000).mean())
        means.append(found.mean / values.mean())
    assert 0.4 < np.mean(shares) < 1.2 and 0.5 < np.mean(means) < 1.5


def test_a_tail_is_placed_within_measured_bounds() -> None:
    """The first and the last cell of a measured range hold what lies outside, which no tail reaches."""
    counts = np.zeros(41)
    counts[10:20] = 1000.0
    counts[20:40] = 15.0
    consistent = ConsistentCounts.of([counts], [10.0], ())
    grid = Intervals(np.arange(41))
    inside, free = (consistent.distribution(grid, beyond)[0] for beyond in (True, False))
    assert inside[0] == inside[39] == 0 and (inside[20:39] > 0).all() and (free[:40] > 0).all()


def test_check_tells_which_bounds_are_so_wide_that_it_matters() -> None:
    def told(bounds: str, rows: str = "rows: 8000") -> list[str]:
        columns = "".join(f"  c{j}: {{kind: category, categories: [a, b]}}\n" for j in range(10))
        return [
            line for line in make_plan(Policy.from_text(
                f"privsynth: 1\ndataset: {{id: x, {rows}}}\nunit: row\nbudget: {{epsilon: 1.0, delta: 1.0e-6}}\n"
                f"columns:\n{columns}  weight: {{kind: integer, bounds: {bounds}}}\n"
            )).signal if line.startswith("weight: ")
        ]  # fmt: skip

    (line,) = told("[1, 9999]")
    assert "bounds from 1 to 9,999 are wide" in line and "largest value that is publicly possible" in line
    moved = float(line.split("about ")[1].split(" ")[0])
    assert 20 < moved < 100  # rows in 7 runs of 1,400 on average, each off by 31 or so
    assert told("[1, 900]") == told("[1, 9999]", "missing: [x]") == [] and told("[-9999, 9999]")
    assert told("[1, 9999]", "rows: 800000") == []
