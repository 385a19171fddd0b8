"""Empty cells and codes that determine codes are seen through noise; tables of another kind are left as they were. Seeded
tables; figures far from their bounds."""

from __future__ import annotations

import numpy as np
import pytest

from privsynth.marginals import denoise
from privsynth.marginals.denoise import noise_part, to_margins
from privsynth.marginals.sparse import Sparse, sparse, with_margins

SIGMA = 0.0025  # 20 of 8,000 rows, as on pairs of 14 columns at epsilon 2
NOISY_TABLES = 400


def functional(seed: int, codes: int = 60, values: int = 8) -> np.ndarray:
    """(codes, values) shares: each code goes with one value, which half of them share."""
    rng = np.random.default_rng(seed)
    table = np.zeros((codes, values))
    table[np.arange(codes), np.where(rng.random(codes) < 0.5, 0, rng.integers(0, values, codes))] = rng.dirichlet(
        np.full(codes, 2.0)
    )
    return table


def smooth(seed: int, codes: int = 12, values: int = 10) -> np.ndarray:
    """A mixture of two classes."""
    rng = np.random.default_rng(seed)
    one, other = rng.dirichlet(np.full(codes, 8.0), 2), rng.dirichlet(np.full(values, 8.0), 2)
    return np.asarray(0.5 * one.T @ other)


def seen(table: np.ndarray, seed: int, sigma: float = SIGMA) -> tuple[Sparse | None, np.ndarray]:
    """What `sparse` makes of the table with noise, and what a linear estimate does."""
    one, other = table.sum(1), table.sum(0)
    beyond = to_margins(table + np.random.default_rng(seed).normal(0, sigma, table.shape) - np.outer(one, other))
    part, _ = noise_part(beyond, sigma, float(beyond.size), np.outer(one, other))
    linear = np.outer(one, other) + to_margins((1 - part) * beyond)
    return sparse(beyond, sigma, one, other, np.zeros_like(beyond)), linear


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_dependency_is_seen_through_noise(seed: int, turned: bool) -> None:
    """A cell holds 130 rows where it is not empty, and noise is 20; linearly, .18 of the rows lie in empty cells."""
    table = functional(seed).T if turned else functional(seed)
    found, linear = seen(table, seed + 10)
    assert found is not None and found.certain
    empty = table == 0
    assert np.maximum(linear, 0)[empty].sum() > 0.15 and found.share[empty].sum() < 0.06
    assert np.abs(found.share - table).sum() < 0.5 * np.abs(linear - table).sum()
    assert found.sigma < 0.7 * SIGMA


def test_an_empty_cell_is_seen_in_a_small_table() -> None:
    """Women in an obstetric ward, 254 of 8,000: linearly, a third and more of them are men."""
    wards = np.array([0.4, 0.3, 0.2, 0.0683])
    table = np.vstack([np.outer(wards, [0.52, 0.48]), [[0.0317, 0.0]]])
    found, linear = seen(table, 1, 0.003)
    assert found is not None
    assert linear[-1, 1] > 3 * found.share[-1, 1] and found.share[-1, 1] < 0.1 * found.share[-1].sum()


@pytest.mark.parametrize("seed", range(3))
def test_a_smooth_table_does_not_become_certain(seed: int) -> None:
    found, linear = seen(smooth(seed), seed)
    assert found is None or not found.certain
    if found is not None:
        assert np.abs(found.share - smooth(seed)).sum() < 1.05 * np.abs(linear - smooth(seed)).sum()


def test_noise_alone_is_no_structure() -> None:
    """Independent columns, seen through noise: at most one table in twenty is taken. 400 tables with a true rate of .02 would pass
    .05 once in 10,000 times; counted .00."""
    rng, taken = np.random.default_rng(0), 0
    for _ in range(NOISY_TABLES):
        table = np.outer(rng.dirichlet(np.full(6, 3.0)), rng.dirichlet(np.full(5, 3.0)))
        taken += seen(table, int(rng.integers(2**31)))[0] is not None
    assert taken <= 0.05 * NOISY_TABLES


def test_margins_are_met_and_empty_cells_stay_empty() -> None:
    table = functional(0)
    one, other = table.sum(1), table.sum(0)
    variance = np.where(table == 0, 1e-12, 1e-6)
    noisy = table + np.random.default_rng(0).normal(0, 1e-3, table.shape) * (table > 0)
    met = with_margins(noisy, variance, one, other)
    assert np.all(met >= 0) and np.allclose(met.sum(1), one, atol=1e-6) and np.allclose(met.sum(0), other, atol=1e-4)
    assert met[table == 0].sum() < 0.01


def test_codes_that_nobody_has_are_no_trouble() -> None:
    table = np.vstack([functional(1), np.zeros((1, 8))])
    found, _ = seen(table, 3)
    assert found is not None and np.all(np.isfinite(found.share)) and found.share[-1].sum() < 1e-9


def test_without_noise_or_signal_a_table_is_left_alone() -> None:
    flat = np.full(4, 0.25)
    assert sparse(np.zeros((4, 4)), SIGMA, flat, flat, np.zeros((4, 4))) is None
    assert sparse(functional(0)[:4, :4], 0.0, flat, flat, np.zeros((4, 4))) is None


def test_the_joint_denoiser_takes_what_is_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    table = functional(2)
    third = rng.dirichlet(np.full(5, 5.0))
    exact = {(0, 1): table, (0, 2): np.outer(table.sum(1), third), (1, 2): np.outer(table.sum(0), third)}
    pairs = {c: (share + rng.normal(0, SIGMA, share.shape), SIGMA) for c, share in exact.items()}
    shares = [table.sum(1), table.sum(0), third]
    found = denoise.denoised(pairs, shares)
    assert [found[c].certain for c in exact] == [True, False, False]
    monkeypatch.setattr(denoise, "sparse", lambda *_: None)
    before = denoise.denoised(pairs, shares)
    assert np.abs(found[0, 1].share - table).sum() < 0.6 * np.abs(before[0, 1].share - table).sum()
    assert np.array_equal(found[0, 2].share, before[0, 2].share)


def test_where_most_cells_stand_out_of_noise_nothing_is_sought() -> None:
    """There the linear estimate is right, and a prior cost 2 % of tvd3 on Adult."""
    table = functional(2)
    exact = {(0, 1): table, (0, 2): np.outer(table.sum(1), [0.5, 0.5]), (1, 2): np.outer(table.sum(0), [0.5, 0.5])}
    pairs = {c: (share, 1 / (6 * share.size)) for c, share in exact.items()}
    assert not any(
        found.certain for found in denoise.denoised(pairs, [table.sum(1), table.sum(0), np.full(2, 0.5)]).values()
    )
    drowned = {c: (share, 1 / (2 * share.size)) for c, share in exact.items()}
    assert denoise.denoised(drowned, [table.sum(1), table.sum(0), np.full(2, 0.5)])[0, 1].certain
