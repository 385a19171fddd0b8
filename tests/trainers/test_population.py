"""The anchor's populations: they come near the noisy pairs, keep the columns, and invent nothing."""

from __future__ import annotations

import numpy as np
import pytest

from privsynth.codec import Codec, ColumnCodec
from privsynth.domain import ColumnDomain, Domain
from privsynth.trainers.anchor import Anchor, pair_total
from privsynth.trainers.base import silent
from privsynth.trainers.gibbs import pair_counts
from privsynth.trainers.marginals import PopulationModel

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


def anchor_of(rows: np.ndarray, noise: float = 0.0) -> Anchor:
    codec = codec_of(rows)
    offset = np.concatenate([[0], np.cumsum(codec.sizes)[:-1]])
    goal = pair_counts(rows, offset, sum(codec.sizes)) / len(rows)
    if noise:
        goal = goal + np.random.default_rng(4).normal(0, noise, goal.shape).astype(np.float32)
        goal = (goal + goal.T) / 2
    sigma = np.full((len(SIZES),) * 2, max(noise, 1e-4))
    return Anchor(codec, goal.astype(np.float32), sigma, 1.0)


def distance(anchor: Anchor, rows: np.ndarray, truth: np.ndarray) -> float:
    """Mean total variation over pairs."""
    offset, width = anchor.offset, len(anchor.goal)
    gap = np.abs(pair_counts(rows, offset, width) / len(rows) - pair_counts(truth, offset, width) / len(truth))
    pairs = len(SIZES) * (len(SIZES) - 1) / 2
    return float(gap.sum() / 4 / pairs)  # each pair stands twice, and half the sum is the distance


def one_way(anchor: Anchor, rows: np.ndarray) -> float:
    """Largest total variation of a column against its released shares."""
    return max(
        0.5 * float(np.abs(np.bincount(rows[:, j], minlength=c.size) / len(rows) - c.shares).sum())
        for j, c in enumerate(anchor.codec.columns)
    )


@pytest.mark.parametrize("noise, least", [(0.0, 8.0), (0.003, 4.0)])
def test_population_leaves_independence_behind(noise: float, least: float) -> None:
    truth = real_rows()
    anchor = anchor_of(truth, noise)
    rng = np.random.default_rng(1)
    start = distance(anchor, anchor.independent(N, rng), truth)
    fitted = anchor.population(N, rng, 30)
    assert fitted.shape == (N, len(SIZES)) and fitted.dtype == np.int32
    assert start > 0.15  # the columns do hang together
    assert distance(anchor, fitted, truth) < start / least
    assert one_way(anchor, fitted) < 0.03


def test_population_answers_to_the_goal_alone() -> None:
    """A twin whose goal is that of other rows lands there: the truth is not looked at."""
    truth, other = real_rows(), real_rows(1)[:, [0, 1, 2, 3]]
    other[:, 1] = np.random.default_rng(0).permutation(other[:, 1])
    fitted = anchor_of(other).population(N, np.random.default_rng(1), 30)
    anchor = anchor_of(truth)
    assert distance(anchor, fitted, other) < 0.05 < 0.1 < distance(anchor, fitted, truth)


def test_what_nobody_has_is_not_invented() -> None:
    fitted = anchor_of(real_rows(), 0.01).population(N, np.random.default_rng(1), 10)
    assert np.all(fitted < np.array(SIZES))  # the code for "missing" has a released share of zero


def test_refining_keeps_the_columns_and_mends_the_pairs() -> None:
    truth = real_rows()
    anchor = anchor_of(truth)
    rng = np.random.default_rng(2)
    good = anchor.population(N, rng, 30)
    refined = anchor.refined(good, rng)
    assert one_way(anchor, refined) < 0.03 and distance(anchor, refined, truth) < 0.05
    independent = anchor.independent(N, rng)
    before = distance(anchor, independent, truth)
    mended = anchor.refined(independent, rng)
    assert distance(anchor, mended, truth) < before / 3 and one_way(anchor, mended) < 0.05


def test_refining_does_not_touch_its_input_and_any_number_of_rows_goes() -> None:
    truth = real_rows()
    anchor = anchor_of(truth)
    for n in (0, 1, 7, 2500):
        rows = truth[:n].copy()
        assert anchor.refined(rows, np.random.default_rng(0)).shape == (n, len(SIZES))
        assert np.array_equal(rows, truth[:n])


def test_large_samples_are_refined_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privsynth.trainers.anchor.BLOCK", 1000)
    truth = real_rows()
    anchor = anchor_of(truth)
    found = anchor.refined(anchor.independent(5500, np.random.default_rng(0)), np.random.default_rng(0))
    assert found.shape == (5500, len(SIZES)) and distance(anchor, found, truth) < 0.1


@pytest.mark.parametrize("n", [1, 10, 3000, 5000, 9001])
def test_samples_of_every_size(n: int) -> None:
    truth = real_rows()
    anchor = anchor_of(truth)
    model = PopulationModel(anchor, anchor.population(N, np.random.default_rng(1), 10))
    rows = model.sample(n, np.random.default_rng(3), silent)
    assert rows.shape == (n, len(SIZES)) and rows.dtype == np.int32
    assert np.all((rows >= 0) & (rows < np.array(SIZES)))
    if n >= 3000:
        assert distance(anchor, rows, truth) < 0.06


def test_an_anchor_comes_back_from_its_tensors() -> None:
    anchor = anchor_of(real_rows(), 0.003)
    again = Anchor.restore(anchor.codec, anchor.tensors())
    assert np.array_equal(again.goal, anchor.goal) and again.strength == anchor.strength
    assert np.allclose(again.sigma, anchor.sigma, rtol=1e-6)


def test_total_comes_from_released_tables_only() -> None:
    codec = codec_of(real_rows())
    assert pair_total({(0, 1): np.full((4, 5), 7.0)}, codec) == N  # declared
    bought = Codec(Domain(codec.domain.columns, None), codec.columns, 1.0)
    assert pair_total({(0, 1): np.full((4, 5), 7.0)}, bought) == pytest.approx(140)
    assert pair_total({(0, 1): np.full((4, 5), -7.0)}, bought) == 1
