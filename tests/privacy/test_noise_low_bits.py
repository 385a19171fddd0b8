"""No low bit of a noisy number distinguishes neighbours (Mironov 2012; LEAKS 23); plain doubles do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from privsynth.privacy.noise import LATTICE, Randomness

MILLION = 1_000_000
ALARM = 7e-11  # of each p-value: 6.5 deviations
Array = np.ndarray


def naive_laplace(x: float, n: int) -> Array:
    u = Randomness().uniform(n)
    return x + np.where(Randomness().bernoulli(0.5, n), 1, -1) * np.log(u)


def naive_gaussian(x: float, n: int) -> Array:
    return x + Randomness().normal(n)


def on_the_grid_of_one(outputs: Array) -> Array:
    """Of outputs near 0: which are whole multiples of 2^-54, as every sum 1 + noise is, and few sums 0 + noise are."""
    near = outputs[np.abs(outputs) < 0.125]
    return np.ldexp(near, 54) == np.rint(np.ldexp(near, 54))


@pytest.mark.parametrize("naive", [naive_laplace, naive_gaussian])
def test_plain_doubles_are_told_apart_by_their_low_bits(naive: Callable[[float, int], Array]) -> None:
    """Of the outputs near 0 that come from 0, five in six cannot come from 1: odds without bound from one output, where a
    claim of epsilon = 1 allows e."""
    from_one, from_zero = (on_the_grid_of_one(naive(x, 200_000)) for x in (1.0, 0.0))
    assert from_one.mean() == 1 and len(from_one) > 1000
    assert from_zero.mean() < 0.25 and len(from_zero) > 1000


LATTICE_NOISE: list[tuple[Callable[[int], Array], float]] = [
    (lambda n: Randomness().lattice_gaussian(1.0, n), LATTICE),
    (lambda n: Randomness().lattice_gaussian(1e4, n), LATTICE),
    (lambda n: Randomness().discrete_gaussian(1e6, n), 1.0),
    (lambda n: Randomness().geometric(1e-6, n), 1.0),
]


@pytest.mark.statistical
@pytest.mark.parametrize("draw, step", LATTICE_NOISE)
def test_lattice_outputs_have_no_low_bits_of_their_own(draw: Callable[[int], Array], step: float) -> None:
    """All outputs of neighbours 0 and 1 are exact multiples, the sums are exact, and the lowest eight bits are alike and
    uniform. False alarms: below 1e-9 (three chi-squares of 7e-11)."""
    bits = []
    for x in (0.0, 1.0):
        drawn = draw(MILLION)
        outputs = x + drawn
        assert np.array_equal(outputs - x, drawn) and np.array_equal(np.rint(outputs / step) * step, outputs)
        bits.append(np.bincount((outputs / step).astype(np.int64) & 255, minlength=256))
        assert stats.chisquare(bits[-1]).pvalue > ALARM
    assert stats.chi2_contingency(bits).pvalue > ALARM


@pytest.mark.statistical
@pytest.mark.parametrize(
    "draw",
    [
        lambda n: Randomness().rounded_gaussian(40.0, n),
        lambda n: Randomness().rounded_gaussian(70.0, n),
        lambda n: Randomness().discrete_gaussian(40.0, n),
        lambda n: Randomness().geometric(1 / 40, n),
    ],
)
def test_neighbours_reach_the_same_outputs(draw: Any) -> None:
    """Every integer within two deviations comes from either input. False alarms: below 1e-60 (each is expected more than
    200 times). Rounded Gaussians of 40 and 70 stand for one integer a block and for two."""
    wanted = np.arange(-79, 81)
    for x in (0, 1):
        assert np.all(np.isin(wanted, x + draw(MILLION)))
