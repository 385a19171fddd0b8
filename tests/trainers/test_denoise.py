"""Denoising removes noise from tables and keeps what is no noise. Seeded tables; figures far from their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from privsynth.marginals.denoise import (
    FALSE_SHARE,
    UNLIKELY,
    WIDEST,
    Denoised,
    beyond_margins,
    chance_of,
    denoised,
    exceeding,
    low_rank,
    noise_part,
    standing_out,
    without_interaction,
)

SIZES = (3, 5, 2, 8, 4, 6, 7, 5)
EVERY = list(combinations(range(len(SIZES)), 2))
Pairs = dict[tuple[int, ...], tuple[np.ndarray, float]]


def table(seed: int, classes: int) -> tuple[dict[tuple[int, ...], np.ndarray], list[np.ndarray]]:
    """(pairs, shares) of a mixture of independent columns; one class: independent columns."""
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.full(classes, 5.0))
    each = [rng.dirichlet(np.ones(size), classes) for size in SIZES]
    return {(j, k): (each[j].T * weight) @ each[k] for j, k in EVERY}, [weight @ e for e in each]


def noised(pairs: dict[tuple[int, ...], np.ndarray], scale: float, seed: int) -> Pairs:
    """With noise that differs by the pairs' sizes, as that of measured pairs does."""
    rng = np.random.default_rng(seed)
    sigma = {c: scale / share.size**0.16 for c, share in pairs.items()}
    return {c: (share + rng.normal(0, sigma[c], share.shape), sigma[c]) for c, share in pairs.items()}


def error(some: Mapping[tuple[int, ...], Any], pairs: dict[tuple[int, ...], np.ndarray]) -> float:
    return float(np.sqrt(sum(((some[c][0] - share) ** 2).sum() for c, share in pairs.items())))


@pytest.mark.parametrize("scale", [0.003, 0.01, 0.05])
@pytest.mark.parametrize("classes", [1, 2, 4])
def test_less_noise_is_left(classes: int, scale: float) -> None:
    pairs, shares = table(1, classes)
    noisy = noised(pairs, scale, 2)
    better = denoised(noisy, shares)
    assert list(better) == list(noisy)
    assert error(better, pairs) < (0.5 if classes == 1 else 0.85) * error(noisy, pairs)
    assert all(0.5 * noisy[c][1] <= better[c][1] <= noisy[c][1] for c in pairs)


def test_next_to_no_noise_moves_next_to_nothing() -> None:
    pairs, shares = table(3, 3)
    noisy = noised(pairs, 1e-6, 4)
    better = denoised(noisy, shares)
    apart = {c: (np.outer(shares[c[0]], shares[c[1]]), 0.0) for c in pairs}
    assert error(better, pairs) < 2e-5 * error(apart, pairs) + error(noisy, pairs)
    assert all(better[c][1] == pytest.approx(noisy[c][1], rel=1e-3) for c in pairs)


def test_the_margins_are_the_released_shares() -> None:
    pairs, shares = table(5, 3)
    some = {c: pairs[c] for c in EVERY[1:]}  # as of a wide table: each is judged by itself
    for better in (denoised(noised(pairs, 0.02, 6), shares), denoised(noised(some, 0.005, 6), shares)):
        assert len(better) > 10
        for (j, k), one in better.items():
            assert one.share.shape == (SIZES[j], SIZES[k])
            assert one.share.sum(1) == pytest.approx(shares[j], abs=1e-9)
            assert one.share.sum(0) == pytest.approx(shares[k], abs=1e-9)


def test_pure_noise_has_no_rank() -> None:
    """Its largest eigenvalue lies at the edge, give or take width^(-2/3) of it: what is left is next to nothing."""
    sigma = np.where(np.eye(60, dtype=bool), 0.0, 1.0)
    column = np.repeat(np.arange(60), 4)
    for seed in range(5):
        noise = np.triu(np.random.default_rng(seed).normal(size=(240, 240)), 1)
        noise = np.where(column[:, None] == column[None, :], 0.0, noise + noise.T)
        assert (low_rank(noise, sigma, column) ** 2).sum() < 0.02 * (noise**2).sum()


@pytest.mark.parametrize("sizes, missing", [((4,), 0), ((4, 3), 0), ((WIDEST, 3, 2), 0), ((4, 3, 2, 5), 1)])
def test_few_columns_wide_ones_and_some_pairs_are_judged_one_by_one(sizes: tuple[int, ...], missing: int) -> None:
    """Those that say nothing are gone: their columns are independent, and nothing has to be followed for that."""
    shares = [np.full(size, 1 / size) for size in sizes]
    pairs = list(combinations(range(len(sizes)), 2))[missing:]
    nothing: Pairs = {(j, k): (np.outer(shares[j], shares[k]), 0.1) for j, k in pairs}
    assert denoised(nothing, shares) == {}
    if pairs:
        lean = np.zeros((sizes[pairs[-1][0]], sizes[pairs[-1][1]]))
        lean[:2, :2] = [[0.02, -0.02], [-0.02, 0.02]]
        something = nothing | {pairs[-1]: (nothing[pairs[-1]][0] + lean, 0.001)}
        better = denoised(something, shares)
        assert list(better) == [pairs[-1]]
        kept = better[pairs[-1]]
        assert kept.share - nothing[pairs[-1]][0] == pytest.approx(lean, abs=0.002) and kept.sigma < 0.001
        assert kept.signal == pytest.approx(4 * 0.02**2, rel=0.1)


def test_pairs_that_say_nothing_are_seldom_taken_to_say_something() -> None:
    """Of 400 pairs of independent columns any exceeds noise with a chance of 1 in 20: of 60 such tables three, and more than
    nine with a probability of .001."""
    rng, shares = np.random.default_rng(0), [np.full(size, 1 / size) for size in (2, 3, 5, 8) * 10]
    pairs = list(combinations(range(40), 2))[:400]
    alarms = sum(
        bool(denoised({(j, k): (np.outer(shares[j], shares[k]) + rng.normal(0, 0.01, (len(shares[j]), len(shares[k]))), 0.01)
                       for j, k in pairs}, shares))
        for _ in range(60)
    )  # fmt: skip
    assert alarms <= 9


def test_the_chance_of_noise_is_that_of_a_sum_of_squares() -> None:
    rng = np.random.default_rng(0)
    for free in (1, 4, 49):
        drawn = (rng.normal(size=(20_000, free)) ** 2).sum(1)
        chances = chance_of(drawn, free)
        for level in (0.5, 0.05, 0.01):
            # five standard errors: one in a million and a half
            assert np.mean(chances <= level) == pytest.approx(level, abs=5 * np.sqrt(level * (1 - level) / 20_000))
    assert chance_of(-3.0, 2) == 1


def test_how_many_tables_stand_out_depends_on_all_of_them() -> None:
    assert standing_out([]).tolist() == [] and standing_out([0.04, 0.9]).tolist() == [False, False]
    assert standing_out([0.02, 0.9]).tolist() == [True, False]
    assert standing_out([0.04, 0.04]).tolist() == [True, True]  # two of two may be false with .05 each
    assert not standing_out([0.001, *[0.5] * 99]).any()  # of a hundred, one such is no wonder


def test_tables_that_all_say_a_little_are_kept_where_one_alone_would_not_be() -> None:
    one = np.full((2, 2), 0.25)
    chances = {"a little": np.linspace(0.02, 0.6, 60), "nothing": np.linspace(0.02, 0.98, 60)}
    kept = {
        (name, together): len(exceeding({(i, 99): Denoised(one, 0.1, 1.0, p) for i, p in enumerate(some)}, together))
        for name, some in chances.items() for together in (False, True)
    }  # fmt: skip
    assert min(chances["a little"]) > FALSE_SHARE / 60 and kept["a little", False] == kept["nothing", True] == 0
    assert kept["a little", True] == sum(chances["a little"] <= UNLIKELY) == 2


# --- three columns ----------------------------------------------------------------------------------------------------


def cube(seed: int, lean: float) -> np.ndarray:
    """(4, 3, 2) shares; lean: how much the third column leans on whether the others are alike."""
    rng = np.random.default_rng(seed)
    share = np.einsum("a,b,c->abc", *(rng.dirichlet(np.full(size, 9.0)) for size in (4, 3, 2)))
    alike = (np.arange(4)[:, None] + np.arange(3)[None, :]) % 2
    share = share * (1 + lean * np.stack([2 * alike - 1, 1 - 2 * alike], 2))
    return np.asarray(share / share.sum())


def margins(share: np.ndarray) -> list[np.ndarray]:
    return [share.sum(axis) for axis in range(share.ndim)]


def test_margins_alone_lead_to_a_table_with_these_margins_and_no_more() -> None:
    plain, leaning = cube(1, 0.0), cube(1, 0.5)
    assert without_interaction(margins(plain)) == pytest.approx(plain, abs=1e-6)
    expected = without_interaction(margins(leaning))
    for one, other in zip(margins(expected), margins(leaning), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert np.abs(expected - leaning).max() > 0.01
    # no interaction: every odds ratio of the first two columns is the same at both codes of the third
    ratio = expected[:-1, :-1] * expected[1:, 1:] / (expected[:-1, 1:] * expected[1:, :-1])
    assert ratio[..., 0] == pytest.approx(ratio[..., 1], rel=1e-2)


@pytest.mark.parametrize("lean, sigma", [(0.0, 0.005), (0.5, 0.002), (0.5, 1e-5)])
def test_triples_keep_what_is_no_noise(lean: float, sigma: float) -> None:
    share, rng = cube(2, lean), np.random.default_rng(3)
    worse, closer, signals, chances = 0.0, 0.0, [], []
    for _ in range(50):
        noisy = share + rng.normal(0, sigma, share.shape)
        better, left, signal, chance, _ = beyond_margins(noisy, sigma, margins(share))
        assert 0.5 * sigma <= left <= sigma
        worse, closer = worse + float(((noisy - share) ** 2).sum()), closer + float(((better - share) ** 2).sum())
        signals.append(signal)
        chances.append(chance)
    deviation = float(((share - without_interaction(margins(share))) ** 2).sum())
    if lean == 0:
        assert (
            np.mean(np.array(chances) <= UNLIKELY) < 0.2
        )  # 1.5 of 50 are expected, and ten with a chance of one in a million
    else:
        assert np.mean(signals) == pytest.approx(deviation, abs=0.2 * deviation + 6 * sigma**2)
    assert closer < (0.35 if lean == 0 else 0.9) * worse


def test_tables_of_four_columns_shrink_to_their_margins() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((3, 3, 3, 3), 1 / 81)
    place = np.indices(flat.shape).sum(0) % 3 == 0
    parity = np.where(place, 1 / 27, 0.0)  # every margin is flat
    for share, deviates in ((flat, False), (parity, True)):
        noisy = share + rng.normal(0, 0.003, share.shape)
        better, _, signal, chance, _ = beyond_margins(noisy, 0.003, margins(flat))
        assert (signal > 0.01) == (chance < 1e-6) == deviates
        assert ((better - share) ** 2).sum() < (0.5 if deviates else 0.2) * ((noisy - share) ** 2).sum()


def test_cells_that_hardly_anybody_can_be_in_are_trusted_less() -> None:
    rng = np.random.default_rng(0)
    alone = np.outer(0.7 ** np.arange(12), 0.7 ** np.arange(12))
    alone /= alone.sum()
    truth = rng.normal(0, 0.02, alone.shape) * np.sqrt(alone)  # its variance is the prior's
    by_cell, by_table = 0.0, 0.0
    for _ in range(20):
        released = truth + rng.normal(0, 0.002, alone.shape)
        cells, whole = noise_part(released, 0.002, alone.size, alone)
        by_cell += float((((1 - cells) * released - truth) ** 2).sum())
        by_table += float((((1 - whole) * released - truth) ** 2).sum())
        assert cells[0, 0] < whole < cells[-1, -1] <= 1
    assert by_cell < 0.85 * by_table


def test_nothing_but_noise_is_all_noise_and_no_noise_is_none() -> None:
    alone = np.full((3, 4), 1 / 12)
    cells, whole = noise_part(np.full((3, 4), 0.001), 0.01, 6.0, alone)
    assert np.all(cells == 1) and whole == 1
    cells, whole = noise_part(np.full((3, 4), 0.001), 0.0, 6.0, alone)
    assert np.all(cells == 0) and whole == 0
