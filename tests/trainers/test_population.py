"""Synthetic records of the marginal model: they come near the noisy pairs, keep the columns, and invent nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from privsynth.encoding.codec import Codec
from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.domain import ColumnDomain, Domain
from privsynth.marginals import population as marginal_model
from privsynth.marginals.gibbs import Layout
from privsynth.marginals.measure import table_total
from privsynth.marginals.population import MarginalModel, TargetMarginal
from privsynth.progress import silent
from privsynth.trainers.marginals import PopulationModel
from privsynth.trainers.network import Network, NetworkModel

SIZES = (3, 4, 5, 2)
N = 3000


def real_rows(seed: int = 0) -> np.ndarray:
    """Columns that hang together through a hidden class."""
    rng = np.random.default_rng(seed)
    hidden = rng.integers(0, 3, N)
    return np.stack([(hidden * (j + 1) + (rng.random(N) < 0.3)) % size for j, size in enumerate(SIZES)], 1).astype(
        np.int32
    )


def codec_of(rows: np.ndarray) -> Codec:
    columns = []
    for j, size in enumerate(SIZES):
        names = tuple(f"v{i}" for i in range(size))
        shares = np.append(np.bincount(rows[:, j], minlength=size) / len(rows), 0.0)  # nothing is missing
        domain = ColumnDomain(f"c{j}", "category", names, nullable=False)
        bins, noise = np.arange(size + 1, dtype=np.int32), np.full(size + 1, 1 / N)
        columns.append(ColumnCodec.of(domain, bins, np.ones(size + 1), shares, noise))
    return Codec(Domain(tuple(c.domain for c in columns), N), tuple(columns), float(N))


def tables_of(rows: np.ndarray, sizes: tuple[int, ...], columns: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Shares of rows in the cells of these tables."""
    found = []
    for table in columns:
        counts = np.zeros([sizes[c] for c in table])
        np.add.at(counts, tuple(rows[:, c] for c in table), 1 / len(rows))
        found.append(counts)
    return found


PAIRS = list(combinations(range(len(SIZES)), 2))


def marginal_model_of(rows: np.ndarray, noise: float = 0.0) -> MarginalModel:
    codec, rng, targets = codec_of(rows), np.random.default_rng(4), []
    shares = [column.shares for column in codec.columns]
    for (j, k), share in zip(PAIRS, tables_of(rows, codec.sizes, PAIRS), strict=True):
        noisy = share + rng.normal(0, noise, share.shape) if noise else share
        sigma = max(noise, 1e-4)
        signal = float(((noisy - np.outer(shares[j], shares[k])) ** 2).sum() - noisy.size * sigma**2)
        targets.append(TargetMarginal((j, k), noisy.astype(np.float32), sigma, signal))
    return MarginalModel(codec, tuple(targets), 1.0)


def distance(marginal_model: MarginalModel, rows: np.ndarray, truth: np.ndarray) -> float:
    """Mean total variation over pairs."""
    one, other = (tables_of(table, marginal_model.codec.sizes, PAIRS) for table in (rows, truth))
    return float(np.mean([0.5 * np.abs(a - b).sum() for a, b in zip(one, other, strict=True)]))


def one_way(marginal_model: MarginalModel, rows: np.ndarray) -> float:
    """Largest total variation of a column against its released shares."""
    return max(
        0.5 * float(np.abs(np.bincount(rows[:, j], minlength=c.size) / len(rows) - c.shares).sum())
        for j, c in enumerate(marginal_model.codec.columns)
    )


@pytest.mark.parametrize("noise, least", [(0.0, 8.0), (0.003, 4.0)])
def test_population_leaves_independence_behind(noise: float, least: float) -> None:
    truth = real_rows()
    marginal_model = marginal_model_of(truth, noise)
    rng = np.random.default_rng(1)
    start = distance(marginal_model, marginal_model.independent(N, rng), truth)
    fitted = marginal_model.population(N, rng, 30)
    assert fitted.shape == (N, len(SIZES)) and fitted.dtype == np.int32
    assert start > 0.15  # the columns do hang together
    assert distance(marginal_model, fitted, truth) < start / least
    assert one_way(marginal_model, fitted) < 0.03


def test_a_population_follows_its_targets_alone() -> None:
    """A model of other rows' marginals leads to those rows: the truth is not used."""
    truth, other = real_rows(), real_rows(1)[:, [0, 1, 2, 3]]
    other[:, 1] = np.random.default_rng(0).permutation(other[:, 1])
    fitted = marginal_model_of(other).population(N, np.random.default_rng(1), 30)
    marginal_model = marginal_model_of(truth)
    assert distance(marginal_model, fitted, other) < 0.05 < 0.1 < distance(marginal_model, fitted, truth)


def test_what_nobody_has_is_not_invented() -> None:
    fitted = marginal_model_of(real_rows(), 0.01).population(N, np.random.default_rng(1), 10)
    assert np.all(fitted < np.array(SIZES))  # the code for "missing" has a released share of zero


def test_calibration_keeps_the_columns_and_repairs_the_pairs() -> None:
    truth = real_rows()
    marginal_model = marginal_model_of(truth)
    rng = np.random.default_rng(2)
    good = marginal_model.population(N, rng, 30)
    calibrated = marginal_model.calibrated(good, rng)
    assert one_way(marginal_model, calibrated) < 0.03 and distance(marginal_model, calibrated, truth) < 0.05
    independent = marginal_model.independent(N, rng)
    before = distance(marginal_model, independent, truth)
    repaired = marginal_model.calibrated(independent, rng)
    assert distance(marginal_model, repaired, truth) < before / 3 and one_way(marginal_model, repaired) < 0.05


def test_calibration_does_not_touch_its_input_and_any_number_of_rows_goes() -> None:
    truth = real_rows()
    marginal_model = marginal_model_of(truth)
    for n in (0, 1, 7, 2500):
        rows = truth[:n].copy()
        assert marginal_model.calibrated(rows, np.random.default_rng(0)).shape == (n, len(SIZES))
        assert np.array_equal(rows, truth[:n])


def test_large_samples_are_calibrated_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privsynth.marginals.population.BLOCK", 1000)
    truth = real_rows()
    marginal_model = marginal_model_of(truth)
    found = marginal_model.calibrated(
        marginal_model.independent(5500, np.random.default_rng(0)), np.random.default_rng(0)
    )
    assert found.shape == (5500, len(SIZES)) and distance(marginal_model, found, truth) < 0.1


TRIPLES = list(combinations(range(len(SIZES)), 3))


def test_a_balanced_sample_follows_the_triples_of_a_larger_one() -> None:
    """No released table has three columns here: a sample is off by chance alone, and less so when balanced."""
    marginal_model, rng = marginal_model_of(real_rows()), np.random.default_rng(2)
    rows = marginal_model.population(8 * N, rng, 20)
    plain, balanced = rows[:N], marginal_model.balanced(rows, N, rng)
    many, before, after = (tables_of(table, marginal_model.codec.sizes, TRIPLES) for table in (rows, plain, balanced))
    off = [sum(float(np.abs(a - b).sum()) for a, b in zip(many, of, strict=True)) for of in (before, after)]
    assert balanced.shape == plain.shape and not np.array_equal(balanced, plain)
    assert off[1] < 0.5 * off[0]  # seen: .40 to .43
    assert distance(marginal_model, balanced, real_rows()) < 0.02 and one_way(marginal_model, balanced) < 0.01
    assert np.all(balanced < np.array(SIZES))  # nothing is invented


def test_balancing_takes_the_triples_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, rng = real_rows(), np.random.default_rng(0)
    model = marginal_model_of(truth)
    largest = max(np.prod([model.codec.sizes[c] for c in columns]) for columns in TRIPLES)
    assert {target_marginal.columns for target_marginal in model._triples(truth, N, rng)} == set(TRIPLES)
    monkeypatch.setattr(marginal_model, "TRIPLE_CELLS", largest - 1)
    found = [target_marginal.columns for target_marginal in model._triples(truth, N, rng)]
    assert 0 < len(found) < len(TRIPLES)
    assert sum(np.prod([model.codec.sizes[c] for c in columns]) for columns in found) < largest
    monkeypatch.setattr(marginal_model, "TRIPLE_CELLS", 0)
    assert model.balanced(truth, 2500, rng).shape == (2500, len(SIZES))


def test_triples_weigh_the_same_in_blocks_of_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marginal_model, "BLOCK", 1000)
    truth, rng = real_rows(), np.random.default_rng(0)
    for n in (1000, 1002, 2997):
        (weight,) = {
            g.weight(n // marginal_model.blocks_of(n), 1.0) for g in marginal_model_of(truth)._triples(truth, n, rng)
        }
        assert weight == pytest.approx(marginal_model.MIN_WEIGHT / marginal_model.TRIPLE_SIGMA**2)


class Drawing(Network):
    """Draws rows of a fitted population."""

    def __init__(self, rows: np.ndarray):
        self.rows = rows

    def draw(self, n: int, rng: Any = None) -> Any:
        return torch.as_tensor(self.rows)[torch.randint(len(self.rows), (n,), generator=rng)]


def test_models_balance_their_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = marginal_model_of(real_rows(), 0.003)
    population = fitted.population(N, np.random.default_rng(2), 20)
    many = np.concatenate([fitted.resampled(population, np.random.default_rng(i)) for i in range(10)])
    for model in (PopulationModel(fitted, population), NetworkModel(fitted.codec, fitted, Drawing(population))):
        off = []
        for short in (marginal_model.SHORT, 0):  # nothing is so short as to be balanced
            monkeypatch.setattr(marginal_model, "SHORT", short)
            sample = model.sample(N, np.random.default_rng(3), silent)
            one, other = (tables_of(rows, fitted.codec.sizes, TRIPLES) for rows in (sample, many))
            off.append(sum(float(np.abs(a - b).sum()) for a, b in zip(one, other, strict=True)))
        monkeypatch.undo()
        assert off[0] < 0.8 * off[1], off  # seen: .67 to .69


def test_some_triples_of_many_columns() -> None:
    rng = np.random.default_rng(0)
    assert sorted(marginal_model.some_triples(4, rng)) == TRIPLES and marginal_model.some_triples(2, rng) == []
    for columns in (20, 40, 300):
        found = marginal_model.some_triples(columns, rng)
        assert (
            len(found)
            == len(set(found))
            == min(marginal_model.TRIPLES, 1140 if columns == 20 else marginal_model.TRIPLES)
        )
        assert all(0 <= a < b < c < columns for a, b, c in found)


def test_how_many_rows_a_sample_is_balanced_against(monkeypatch: pytest.MonkeyPatch) -> None:
    model = marginal_model_of(real_rows())
    assert [model.oversampling_factor(n) for n in (1, 2000, 2001, 40_000, 100_000, 110_000, 110_001)] == [
        1,
        1,
        8,
        8,
        3,
        2,
        1,
    ]
    assert model.oversampling_factor(40_000, 160_000) == 4
    monkeypatch.setattr(marginal_model, "POOL_CODES", 480_000)  # of four columns
    assert [model.oversampling_factor(n) for n in (40_000, 60_000)] == [3, 2]
    narrow = replace(model, codec=replace(model.codec, columns=model.codec.columns[:2]), targets=())
    assert narrow.oversampling_factor(40_000) == 1


@pytest.mark.parametrize("n", [1, 10, 3000, 5000, 9001])
def test_samples_of_every_size(n: int) -> None:
    truth = real_rows()
    marginal_model = marginal_model_of(truth)
    model = PopulationModel(marginal_model, marginal_model.population(N, np.random.default_rng(1), 10))
    rows = model.sample(n, np.random.default_rng(3), silent)
    assert rows.shape == (n, len(SIZES)) and rows.dtype == np.int32
    assert np.all((rows >= 0) & (rows < np.array(SIZES)))
    if n >= 3000:
        assert distance(marginal_model, rows, truth) < 0.06


def test_a_marginal_model_comes_back_from_its_tensors() -> None:
    rows = real_rows()
    plain = marginal_model_of(rows, 0.003)
    triple = TargetMarginal((len(SIZES), 2, 3), np.full((2, 6, 3), 1 / 36, np.float32), 0.01, 0.5)
    marginal_model = replace(plain, targets=(*plain.targets, triple), groups={1: np.array([0, 0, 1, 1, 1], np.int32)})
    again = MarginalModel.restore(marginal_model.codec, marginal_model.tensors())
    assert again.signal_weight == marginal_model.signal_weight and list(again.groups) == [1]
    assert np.array_equal(again.groups[1], marginal_model.groups[1])
    for one, other in zip(again.targets, marginal_model.targets, strict=True):
        assert one.columns == other.columns and (one.sigma, one.signal) == (other.sigma, other.signal)
        assert np.array_equal(one.share, other.share)


def test_cells_that_are_known_to_be_empty_stay_empty() -> None:
    """Without forces many of a code's rows lie where the target says that nobody is; forces come back from tensors, too."""
    rng = np.random.default_rng(0)
    rows = np.stack([rng.choice(3, N, p=[0.9, 0.07, 0.03]), *(rng.integers(0, size, N) for size in SIZES[1:])], 1)
    rows[rows[:, 0] == 2, 3] = 0
    model = marginal_model_of(rows.astype(np.int32), 0.002)
    share = tables_of(rows, model.codec.sizes, [(0, 3)])[0].astype(np.float32)
    off = {}
    for certain in (False, True):
        targets = tuple(replace(t, share=share, certain=certain) if t.columns == (0, 3) else t for t in model.targets)
        fitted, population = replace(model, targets=targets).fitted(N, np.random.default_rng(1), 16)
        again = MarginalModel.restore(fitted.codec, fitted.tensors())
        sample = PopulationModel(again, population).sample(N, np.random.default_rng(2), silent)
        off[certain] = [float((table[table[:, 0] == 2, 3] == 1).mean()) for table in (population, sample)]
    assert min(off[False]) > 2 * max(off[True]) and max(off[True]) < 0.08, off


def test_total_comes_from_released_tables_only() -> None:
    codec = codec_of(real_rows())
    assert table_total({(0, 1): np.full((4, 5), 7.0)}, codec) == N  # declared
    measured = Codec(Domain(codec.domain.columns, None), codec.columns, 1.0)
    assert table_total({(0, 1): np.full((4, 5), 7.0)}, measured) == pytest.approx(140)
    assert table_total({(0, 1): np.full((4, 5), -7.0)}, measured) == 1


# --- triples, and columns in groups -----------------------------------------------------------------------------------


def parity_rows(n: int = N) -> np.ndarray:
    """Columns that are independent two by two; the last one tells whether the codes of the first two are alike."""
    rng = np.random.default_rng(5)
    rows = np.stack([rng.integers(0, size, n) for size in SIZES], 1)
    rows[:, 3] = (rows[:, 0] // 2 + rows[:, 1] // 2) % 2
    return rows.astype(np.int32)


@pytest.mark.parametrize("grouped", [False, True])
def test_triples_carry_what_pairs_do_not_say(grouped: bool) -> None:
    """The second column's codes 0, 1 and 2, 3 behave alike: groups of codes lose nothing."""
    truth = parity_rows()
    plain = marginal_model_of(truth)
    coarse = {1: np.array([0, 0, 1, 1, 2], np.int32)} if grouped else {}
    seen = truth.copy()
    if grouped:
        seen[:, 1] = coarse[1][seen[:, 1]]
    sizes = tuple(3 if grouped and j == 1 else size for j, size in enumerate(plain.codec.sizes))
    share = tables_of(seen, sizes, [(0, 1, 3)])[0]
    target_marginal = TargetMarginal((0, len(SIZES) if grouped else 1, 3), share.astype(np.float32), 1e-4, 0.1)
    marginal_model = replace(plain, targets=(*plain.targets, target_marginal), groups=coarse)

    def held(rows: np.ndarray) -> float:
        return float(np.mean((rows[:, 0] // 2 + rows[:, 1] // 2) % 2 == rows[:, 3]))

    without, fitted = (a.population(N, np.random.default_rng(1), 30) for a in (plain, marginal_model))
    assert held(without) < 0.7 and held(fitted) > 0.97
    assert distance(marginal_model, fitted, truth) < 0.03 and one_way(marginal_model, fitted) < 0.03
    assert fitted.shape == (N, len(SIZES))


def test_layouts_count_every_copy_of_every_table() -> None:
    rng = np.random.default_rng(0)
    sizes, tables = (3, 4, 2, 5), [(0, 1), (1, 3, 2), (3, 0), (0, 2, 3), (3, 1, 0, 2)]
    rows = np.stack([rng.integers(0, size, 500) for size in sizes], 1).astype(np.int32)
    layout = Layout.of(sizes, tables)
    shares = tables_of(rows, sizes, tables)
    assert layout.length == 2 * 12 + 3 * 40 + 2 * 15 + 3 * 30 + 4 * 120
    assert layout.count(rows) == pytest.approx(500 * layout.flat(shares), abs=1e-3)
    assert [cells.stop - cells.start for cells in layout.tables] == [24, 120, 30, 90, 480]
    assert layout.tables[0].start == 0 and layout.tables[-1].stop == layout.length


def test_what_a_sweep_keeps_current_is_what_a_new_count_says() -> None:
    from privsynth.marginals.gibbs import Blocks, Energy, Views, sweep

    rng = np.random.default_rng(0)
    sizes, tables = (
        (3, 4, 2, 5, 2),
        [(0, 1), (1, 3, 2), (3, 0), (0, 2, 4), (2, 1, 0, 3)],
    )  # the last view: two groups of column 3
    group = np.concatenate([np.zeros(9, np.int32), np.array([0, 0, 1, 1, 1], np.int32)])
    rows = np.stack([rng.integers(0, size, 500) for size in sizes], 1).astype(np.int32)
    rows[:, 4] = group[9 + rows[:, 3]]
    layout, width = Layout.of(sizes, tables), sum(sizes[:4])
    weight, before = np.full(len(layout.table), 0.1, np.float32), rows.copy()
    wanted = np.full(layout.length, 25.0, np.float32)
    residual, ones = (layout.count(rows) - wanted) * np.float32(0.1), np.zeros(width, np.float32)
    offset = np.array([0, 3, 7, 9], np.int64)
    views = Views(np.array(sizes, np.int64), offset, np.array([-1, -1, -1, 4], np.int32), group)
    energy = Energy(weight, residual, ones, ones.copy(), ones + 0.25)
    sweep(rows, rng.permutation(500), views, layout.entries, energy, Blocks.of([(0, 1), (3, 2)]), np.float32(0.5), 7)
    assert np.mean(rows != before) > 0.2
    assert np.array_equal(rows[:, 4], group[9 + rows[:, 3]])
    assert residual == pytest.approx((layout.count(rows) - wanted) * 0.1, abs=1e-2)
