"""Shrinking takes noise out of pairs and leaves alone what is no noise. Seeded tables; figures far from their bounds."""

from __future__ import annotations

import numpy as np
import pytest

from privsynth.trainers.shrink import WIDEST, low_rank, shrunk

SIZES = (3, 5, 2, 8, 4, 6, 7, 5)
COLUMN = np.repeat(np.arange(len(SIZES)), SIZES)
WITHIN = COLUMN[:, None] == COLUMN[None, :]


def table(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(pairs, shares) of a mixture of independent columns; one class: independent columns."""
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.full(classes, 5.0))
    each = np.concatenate([rng.dirichlet(np.ones(size), classes) for size in SIZES], 1)
    return np.where(WITHIN, 0.0, (each.T * weight) @ each), weight @ each


def noised(pairs: np.ndarray, sigma: np.ndarray, seed: int) -> np.ndarray:
    noise = np.triu(np.random.default_rng(seed).normal(size=pairs.shape) * sigma[COLUMN][:, COLUMN])
    return pairs + noise + noise.T


def levels(scale: float) -> np.ndarray:
    """Noise of pairs that differs by their size, as that of an anchor does."""
    sigma = scale / np.outer(SIZES, SIZES) ** 0.16
    np.fill_diagonal(sigma, 0.0)
    return sigma


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(((one - other)[~WITHIN] ** 2).sum()))


@pytest.mark.parametrize("scale", [0.003, 0.01, 0.05])
@pytest.mark.parametrize("classes", [1, 2, 4])
def test_less_noise_is_left(classes: int, scale: float) -> None:
    pairs, shares = table(1, classes)
    noisy = noised(pairs, levels(scale), 2)
    better, sigma = shrunk(noisy, levels(scale), shares, SIZES)
    assert error(better, pairs) < (0.5 if classes == 1 else 0.85) * error(noisy, pairs)
    assert np.all(sigma <= levels(scale)) and np.all(sigma >= 0.5 * levels(scale))


def test_next_to_no_noise_moves_next_to_nothing() -> None:
    pairs, shares = table(3, 3)
    noisy = noised(pairs, levels(1e-6), 4)
    better, sigma = shrunk(noisy, levels(1e-6), shares, SIZES)
    assert error(better, pairs) < 2e-5 * error(pairs, np.outer(shares, shares)) + error(noisy, pairs)
    assert sigma == pytest.approx(levels(1e-6), rel=1e-3)


def test_the_margins_are_the_released_shares() -> None:
    pairs, shares = table(5, 3)
    better, _ = shrunk(noised(pairs, levels(0.02), 6), levels(0.02), shares, SIZES)
    assert np.allclose(better, better.T) and np.all(better[WITHIN] == 0)
    for j, size in enumerate(SIZES):
        for k in set(range(len(SIZES))) - {j}:
            block = better[np.ix_(j == COLUMN, k == COLUMN)]
            assert block.shape == (size, SIZES[k])
            assert block.sum(1) == pytest.approx(shares[j == COLUMN], abs=1e-2)


def test_pure_noise_has_no_rank() -> None:
    """Its largest eigenvalue lies at the edge, give or take width^(-2/3) of it: what is left is next to nothing."""
    sigma = np.where(np.eye(60, dtype=bool), 0.0, 1.0)
    column = np.repeat(np.arange(60), 4)
    within = column[:, None] == column[None, :]
    for seed in range(5):
        noise = np.triu(np.random.default_rng(seed).normal(size=within.shape), 1)
        noise = np.where(within, 0.0, noise + noise.T)
        assert (low_rank(noise, sigma, within, column) ** 2).sum() < 0.02 * (noise**2).sum()


@pytest.mark.parametrize("sizes", [(4,), (4, 3), (WIDEST, 3, 2)])
def test_few_columns_and_wide_ones_get_their_margins_alone(sizes: tuple[int, ...]) -> None:
    shares = np.concatenate([np.full(size, 1 / size) for size in sizes])
    column = np.repeat(np.arange(len(sizes)), sizes)
    goal = np.where(column[:, None] == column[None, :], 0.0, np.outer(shares, shares)).astype(np.float32)
    sigma = np.where(np.eye(len(sizes), dtype=bool), 0.0, 0.1)
    better, same = shrunk(goal, sigma, shares, sizes)
    assert np.allclose(better, goal, atol=1e-7) and np.array_equal(same, sigma)
