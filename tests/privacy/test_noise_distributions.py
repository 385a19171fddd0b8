"""Every sampler against its exact law, its tails and its stream; variants that are wrong by a little are found.

False alarms: `checks` gives at most 13 p-values (a tail counts each side), and a law is refused where one lies below
7e-11: 9.1e-10 for a right sampler. Binomials are exact; moments and chi-squares are normal to that depth (no cell expects
fewer than 200; the least normal statistic is the variance of the discrete Gaussian of 0.3, whose skewness of .011 lifts
its own alarms by 1.7). With that, below 1e-9 a law. Power: see `test_two_per_cent`.
LEAKS 22 (a stream that repeats).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import fft, stats
from scipy.special import ndtr, ndtri

from privsynth.privacy import noise
from privsynth.privacy.accountant import NUMERICAL_SLACK
from privsynth.privacy.noise import LATTICE, MAX_MOVED, Randomness

MILLION = 1_000_000
ALARM = 7e-11  # of each p-value: 6.5 deviations
Array = np.ndarray


@dataclass(frozen=True)
class Law:
    """An exact law. above(x): P(X > x). variance and fourth: central moments. step: of its lattice, 0 for none."""

    draw: Callable[[Randomness, int], Array]
    above: Callable[[Array], Array]
    variance: float
    fourth: float
    mean: float = 0.0
    step: float = 0.0

    @property
    def sd(self) -> float:
        return math.sqrt(self.variance)


# --- the laws, each by its scale --------------------------------------------------------------------------------------


def normal(scale: float) -> Law:
    return Law(lambda r, n: scale * r.normal(n), lambda x: ndtr(-x / scale), scale**2, 3 * scale**4)


def rounded(scale: float, step: float = 1.0) -> Law:
    """In units of the lattice. Moments by Sheppard's corrections, exact to exp(-2 pi^2 scale^2)."""
    s = scale / step
    return Law(
        lambda r, n: r.rounded_gaussian(s, n) if step == 1 else r.lattice_gaussian(scale, n) / step,
        lambda x: ndtr(-(np.floor(x) + 0.5) / s),
        s**2 + 1 / 12, 3 * s**4 + s**2 / 2 + 1 / 80, step=1.0,
    )  # fmt: skip


def lattice(scale: float) -> Law:
    return rounded(scale, LATTICE)


def discrete(scale: float) -> Law:
    """Summed up to 40 deviations where that is short; above, the integral to half-integers, right to .02 / scale^2."""
    if scale > 1000:
        law = rounded(scale)
        return Law(lambda r, n: r.discrete_gaussian(scale, n), law.above, scale**2, 3 * scale**4, step=1.0)
    most = int(40 * scale) + 5
    k = np.arange(-most, most + 1)
    chance = np.exp(-(k**2) / (2 * scale**2))
    chance /= chance.sum()
    beyond = np.append(np.cumsum(chance[::-1])[::-1], 0.0)  # P(X >= k)
    return Law(
        lambda r, n: r.discrete_gaussian(scale, n),
        lambda x: beyond[np.clip(np.floor(x).astype(int) + 1 + most, 0, len(k))],
        float(chance @ k**2), float(chance @ k.astype(float) ** 4), step=1.0,
    )  # fmt: skip


def geometric(scale: float) -> Law:
    """Parameter 1 / scale. P(X > k) = a^(k + 1) / (1 + a) for k >= 0, and by symmetry."""
    a = math.exp(-1 / scale)
    short = -math.expm1(-1 / scale)

    def above(x: Array) -> Array:
        k = np.floor(x)
        tail = np.exp(-np.where(k >= 0, k + 1, -k) / scale) / (1 + a)
        return np.where(k >= 0, tail, 1 - tail)

    variance, fourth = 2 * a / short**2, 2 * a * (1 + 10 * a + a * a) / short**4
    return Law(lambda r, n: r.geometric(1 / scale, n), above, variance, fourth, step=1.0)


def exponential(scale: float) -> Law:
    return Law(
        lambda r, n: scale * r.exponential(n),
        lambda x: np.exp(-np.maximum(x / scale, 0)),
        scale**2,
        9 * scale**4,
        scale,
    )


def uniform(scale: float) -> Law:
    return Law(
        lambda r, n: scale * r.uniform(n),
        lambda x: 1 - np.clip(x / scale, 0, 1),
        scale**2 / 12,
        scale**4 / 80,
        scale / 2,
    )


CASES = [
    (normal, 1.0), (normal, 3e4), (exponential, 1.0), (exponential, 50.0), (uniform, 1.0),
    (lattice, 1e-3), (lattice, 0.06), (lattice, 0.07), (lattice, 12.3), (lattice, 1e4), (rounded, 1e13),
    (discrete, 0.3), (discrete, 0.7), (discrete, 1.0), (discrete, 12.3), (discrete, 700.0), (discrete, 1e9),
    (geometric, 0.25), (geometric, 1.0), (geometric, 31.9), (geometric, 33.0), (geometric, 1e9),
]  # fmt: skip
every_law = pytest.mark.parametrize("kind, scale", CASES, ids=[f"{kind.__name__}-{scale:g}" for kind, scale in CASES])


# --- the tests that a million draws must pass -------------------------------------------------------------------------


def checks(values: Array, law: Law) -> dict[str, float]:
    """p-values: mean, variance, tails beyond 2, 3, 4, 5 deviations, bins, serial, and granularity where there is one."""
    n, centred = len(values), values - law.mean
    found = {
        "mean": two_sided(centred.mean() * math.sqrt(n / law.variance)),
        "variance": two_sided(((centred**2).mean() - law.variance) * math.sqrt(n / (law.fourth - law.variance**2))),
        "bins": bins(values, law),
        "serial": serial(centred / law.sd),
    }
    for c in (2, 3, 4, 5):
        chance = float(law.above(np.array(law.mean + c * law.sd)))
        sides = [centred > c * law.sd] + ([centred < -c * law.sd] if law.mean == 0 else [])  # mean 0: symmetric
        found[f"tail {c}"] = min(binomial(int(side.sum()), n, chance) for side in sides)
    if law.step == 0 or law.sd > 2**20 * law.step:
        found["granularity"] = granularity(values, law)
    return found


def refused(values: Array, law: Law) -> set[str]:
    return {name for name, p in checks(values, law).items() if not p >= ALARM}


def two_sided(z: float) -> float:
    return float(2 * stats.norm.sf(abs(z)))


def binomial(seen: int, n: int, chance: float) -> float:
    return float(2 * min(stats.binom.cdf(seen, n, chance), stats.binom.sf(seen - 1, n, chance)))


def bins(values: Array, law: Law) -> float:
    """Chi-square over 64 cells within four deviations, put together until each expects 200."""
    edges = law.mean + law.sd * np.linspace(-4, 4, 65)
    seen = np.diff(np.r_[0, np.searchsorted(np.sort(values), edges, side="right"), len(values)])
    expected = -len(values) * np.diff(np.r_[1.0, law.above(edges), 0.0])
    return float(stats.chisquare(*merged(expected, seen)).pvalue)


def merged(expected: Array, *counts: Array, least: float = 200.0) -> tuple[Array, ...]:
    """Neighbouring cells summed until each expects enough: counts, then what is expected."""
    group, total = np.zeros(len(expected), int), 0.0
    for i, e in enumerate(expected[:-1]):
        total += e
        group[i + 1] = group[i] + (total >= least and expected[i + 1 :].sum() >= least)
        total *= group[i + 1] == group[i]
    return (*(np.bincount(group, c) for c in counts), np.bincount(group, expected))


def serial(z: Array) -> float:
    """Largest autocorrelation over all lags, each normal of variance 1 / n at most: finds a stream that repeats."""
    n = len(z)
    power = np.abs(fft.rfft(z, 2 * n)) ** 2
    largest = np.abs(fft.irfft(power, 2 * n)[1:n]).max() / math.sqrt(n)
    return float(min(1.0, n * two_sided(largest)))


def granularity(values: Array, law: Law) -> float:
    """Continuous: equal pairs, of which a million doubles on a grid of relative 2^-53 hold about 1e-4 (Poisson).
    Integers of a large scale: chi-square of the lowest eight bits."""
    if law.step == 0:
        return float(stats.poisson.sf(len(values) - len(np.unique(values)) - 1, 5e-4))
    return float(stats.chisquare(np.bincount(values.astype(np.int64) & 255, minlength=256)).pvalue)


@pytest.mark.statistical
@every_law
def test_draws_follow_the_exact_law(kind: Callable[[float], Law], scale: float) -> None:
    """False alarms: below 1e-9 for each law (the head of this file)."""
    law = kind(scale)
    assert refused(law.draw(Randomness(), MILLION), law) == set()


@pytest.mark.statistical
@every_law
def test_two_per_cent(kind: Callable[[float], Law], scale: float) -> None:
    """Noise too wide or too narrow by 2 % is refused, by its mean or variance alone with a power above 1 - 1e-6.

    ALARM is 6.5 deviations of the statistic, a power of 1 - 1e-6 another 4.8 of the variant's own, which are at most 6 %
    wider: together less than 12. What separates the variant is computed, and is more.
    """
    law = kind(scale)
    for factor in (0.98, 1.02):
        variant = kind(scale * factor)
        spread = math.sqrt((law.fourth - law.variance**2) / MILLION)
        assert abs(variant.variance - law.variance) > 12 * spread or abs(variant.mean - law.mean) > 12 * law.sd / 1000
        assert refused(variant.draw(Randomness(), MILLION), law)


@pytest.mark.statistical
@every_law
def test_twins_with_cut_tails_repeats_or_short_floats(kind: Callable[[float], Law], scale: float) -> None:
    """Misses: below 1e-9. Past the cut 28 draws or more are expected on each side, of which a right sampler lacks all with
    a chance below 7e-13. A stream that repeats has an autocorrelation of 1/2. Single precision has 2^24 numbers in an
    octave: a million draws hold thousands of equal pairs, and large integers are even. (Below 2^24 they lose nothing.)"""
    law = kind(scale)
    values = law.draw(Randomness(), MILLION + MILLION // 20)
    if kind is not uniform:
        cut = 4 if law.above(np.array(law.mean + 4 * law.sd)) > 28e-6 else 3
        kept = values[np.abs(values - law.mean) <= cut * law.sd][:MILLION]
        assert f"tail {cut}" in refused(kept, law)
    assert "serial" in refused(np.tile(values[: MILLION // 2], 2), law)
    if law.step == 0 or law.sd > 2**20:
        assert "granularity" in refused(values[:MILLION].astype(np.float32).astype(float), law)


@pytest.mark.statistical
@pytest.mark.parametrize("rate", [0.5, 0.1, 0.02])
def test_bernoulli(rate: float) -> None:
    """False alarms: below 1e-9 (an exact binomial and the autocorrelation, 7e-11 each). A rate wrong by 2 % is more
    than 12 deviations off, with as many draws as that takes."""
    count = int((12 / 0.02) ** 2 / rate * 1.05)
    bernoulli = Randomness().bernoulli(rate, count)
    assert bernoulli.dtype == np.bool_ and binomial(int(bernoulli.sum()), count, rate) > ALARM
    assert serial((bernoulli[:MILLION] - rate) / math.sqrt(rate * (1 - rate))) > ALARM
    for wrong in (0.98 * rate, 1.02 * rate):
        assert binomial(int(Randomness().bernoulli(wrong, count).sum()), count, rate) < ALARM


def test_a_scale_of_nothing_is_no_noise() -> None:
    """P(k = 1) = exp(-5000), exp(-1000), and 1 - Phi(50)."""
    assert not np.any(Randomness().discrete_gaussian(0.01, 1000)) and not np.any(Randomness().geometric(1000.0, 1000))
    assert not np.any(Randomness().rounded_gaussian(0.01, 1000))


# --- tails beyond any delta, reached by conditioning ------------------------------------------------------------------


class Deep(Randomness):
    """Every fine uniform number is below 2^-depth: its first bits are taken to be zero, the rest are its own."""

    def __init__(self, depth: int, recurse: bool = True):
        super().__init__()
        self.depth, self.recurse = depth, recurse

    def _fine(self, words: Array) -> Array:
        if not self.recurse:
            return ((words >> self.depth >> 1) + 0.5) * 2.0**-63
        return Randomness()._fine(words >> self.depth)


@pytest.mark.statistical
@pytest.mark.parametrize("depth", [40, 60])
def test_tails_keep_their_law_at_any_depth(depth: int) -> None:
    """Given that a tail probability is below 2^-depth, it is uniform there (Kolmogorov-Smirnov, false alarms below
    1e-9). A variant that stops at 63 bits has 4 to 8 values at a depth of 60 (1e-18)."""

    def uniform_below(p: Array) -> bool:
        return bool(math.sqrt(len(p)) * stats.kstest(p * 2.0**depth, "uniform").statistic < 3.5)

    source = Deep(depth)
    drawn = source.normal(100_000)
    assert uniform_below(2 * ndtr(-np.abs(drawn))) and uniform_below(np.exp(-source.exponential(100_000)))
    assert abs(int((drawn > 0).sum()) - 50_000) < 6.5 * math.sqrt(25_000)
    short = Deep(depth, recurse=False)
    assert depth == 40 or not uniform_below(2 * ndtr(-np.abs(short.normal(100_000))))


@pytest.mark.statistical
@pytest.mark.parametrize("scale", [40.0, 1e7, 1e11])
def test_discrete_gaussian_tail_at_12_deviations(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """False alarms: below 1e-9. Proposals are uniform from 11.9 to 12.1 deviations, and exponentials known to be above 59
    (memoryless: 59 more). What is accepted has the law exp(59 - (k - s^2 / t)^2 / 2 s^2), where P(k) is 1e-32."""
    low, high, plain = int(11.9 * scale), int(12.1 * scale), Randomness.exponential

    def flat(self: Randomness, epsilon: float, n: int) -> Array:
        return low + (self.uniform(n) * (high - low)).astype(np.int64)

    monkeypatch.setattr(Randomness, "geometric", flat)
    monkeypatch.setattr(Randomness, "exponential", lambda self, n: 59 + plain(self, n))
    drawn = Randomness().discrete_gaussian(scale, 100_000)
    k = np.unique(np.linspace(low, high - 1, 200_001).astype(np.int64))
    weight = np.exp(59 - ((k - scale**2 / (math.floor(scale) + 1)) / scale) ** 2 / 2)
    assert weight.max() <= 1
    edges = np.unique(np.linspace(low, high, 9).astype(np.int64))
    expected, seen = np.histogram(k, edges, weights=weight)[0], np.histogram(drawn, edges)[0]
    assert seen.sum() == len(drawn)
    assert stats.chisquare(seen, expected / expected.sum() * len(drawn)).pvalue > 1e-9
    assert stats.chisquare(seen).pvalue < 1e-9


@pytest.mark.statistical
@pytest.mark.parametrize("z", [0.0, -0.7, 3.0, 12.0, -12.0, 30.0])
def test_integers_within_a_block_have_the_law_of_the_real_gaussian(z: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """False alarms: below 1e-9 each. All draws fall into the block of the number z; sixteenths of it, by the normal law
    (in mpmath: doubles have no tail of 1e-197). A flat variant is refused wherever a block is steep."""
    mp = pytest.importorskip("mpmath")
    scale, width = 1e7, 2.0**18
    monkeypatch.setattr(Randomness, "normal", lambda self, n: np.full(n, z))
    drawn = Randomness().rounded_gaussian(scale, 200_000)
    block = np.rint(z * scale / width)
    edges = (block - 0.5 + np.arange(17) / 16) * width
    with mp.workdps(250):
        share = np.diff([mp.ncdf((mp.mpf(e) - mp.mpf("0.5")) / scale) for e in edges])
        expected = np.array([float(s / sum(share)) for s in share]) * len(drawn)
    seen = np.histogram(drawn, edges)[0]
    assert seen.sum() == len(drawn)
    assert stats.chisquare(seen, expected).pvalue > 1e-9
    if abs(z) >= 3:
        assert stats.chisquare(seen).pvalue < 1e-9


@pytest.mark.statistical
@pytest.mark.parametrize("epsilon", [2**-5 - 1e-9, 2.0**-20, 1e-9])
def test_integers_within_a_block_have_the_law_of_the_geometric(epsilon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """False alarms: below 1e-9 each. The remainder of a geometric number by the block's width is a cut geometric one. A
    flat variant is refused: blocks are at least 1/32 wide."""
    plain, one_sided = noise._first_accepted, []

    def record(size: int, propose: Any) -> Array:
        one_sided.append(plain(size, propose))
        return one_sided[-1]

    monkeypatch.setattr(noise, "_first_accepted", record)
    Randomness().geometric(epsilon, 2 * MILLION)
    width = 2 ** math.ceil(-math.log2(32 * epsilon))
    edges = np.arange(min(width, 16) + 1) * (width // min(width, 16))
    seen = np.histogram(np.concatenate(one_sided) % width, edges)[0]
    expected = -np.diff(np.exp(-epsilon * edges)) / -math.expm1(-epsilon * width) * seen.sum()
    assert seen.sum() == 4 * MILLION and stats.chisquare(seen, expected).pvalue > 1e-9
    assert stats.chisquare(seen).pvalue < 1e-9


# --- what precision rests on ------------------------------------------------------------------------------------------


def test_small_uniform_numbers_have_bits_below_their_word() -> None:
    """As many as a double holds: one below 2^53, four below 2^50, none where 53 stand already."""
    source = Randomness()
    for upper, values in ((2**53 - 1, 3), (2**49, 17), (2**53, 1), (2**60, 1)):
        found = np.unique(source._fine(np.full(1000, 2 * upper, np.uint64)) * 2.0**63)
        assert min(values, 2) <= len(found) <= values and upper <= found[0] and found[-1] <= upper + 1


def test_a_rejected_place_gets_a_proposal_of_its_own() -> None:
    """Place k is accepted at its k-th try."""
    tries = np.zeros(6, int)

    def propose(places: Array) -> tuple[Array, Array]:
        tries[places] += 1
        return 10 * places + tries[places], tries[places] > places

    assert noise._first_accepted(6, propose).tolist() == [1, 12, 23, 34, 45, 56]


def test_inversion_is_as_precise_as_the_bounds_say() -> None:
    """ndtri to a relative 3 * 2^-52 and log to 2^-52, against 60 digits, from the middle to 1e-300. Seeded."""
    mp = pytest.importorskip("mpmath")
    rng = np.random.default_rng(0)
    p = np.concatenate(
        [rng.uniform(0.05, 0.5, 700), 10 ** rng.uniform(-32, -0.3, 1000), 10 ** rng.uniform(-300, -32, 100)]
    )
    with mp.workdps(60):
        for chance, z, log in zip(p.tolist(), ndtri(p).tolist(), np.log(p).tolist(), strict=True):
            x = mp.mpf(z)
            for _ in range(3):  # Newton, from 16 digits to 60
                x -= (mp.erfc(-x / mp.sqrt(2)) / 2 - mp.mpf(chance)) / mp.npdf(x)
            assert abs(mp.mpf(z) / x - 1) < 3 * 2.0**-52
            assert abs(mp.mpf(log) / mp.log(mp.mpf(chance)) - 1) < 2.0**-52


def test_what_double_precision_adds_to_a_claim() -> None:
    """The bounds at the head of noise.py: all that a unit may move is within what every total holds for it; rounding a
    double would give 4e-3 for 10,000 cells."""
    z, x = np.linspace(0.01, 12, 1200), np.linspace(0, 72, 1000)
    edges = (7 * (z**2 + 1) + 2) * 2.0**-52
    block = np.where(z > 1, -np.expm1(-z / 64), 0.24 / 64 / 0.5)  # share of the tail; in the middle, density over 1/2
    gaussian = edges / block + 3 * z**2 * 2.0**-52
    laplace = (3 * x + 7) * 2.0**-52 / -math.expm1(-1 / 32)
    assert gaussian.max() < 2.0**-39 and laplace.max() < 2.0**-39
    discrete = np.interp(z, x, laplace) + 3 * z**2 * 2.0**-52  # a proposal z deviations out has x < z
    assert discrete.max() < 2.0**-39
    assert 2 * MAX_MOVED * 2.0**-39 < 9.9e-6 < NUMERICAL_SLACK
    one_cell = 2 * 12 * 3.5 * 2.0**-52 * 1e4 / LATTICE  # both edges of a rounded double
    assert 3e-3 < 2 * 10_000 * one_cell < 5e-3


# --- two other libraries ----------------------------------------------------------------------------------------------


def same_law(ours: Array, theirs: Array) -> float:
    """p-value of chi-square homogeneity over the values, cells put together until they expect 20."""
    low, high = min(ours.min(), theirs.min()), max(ours.max(), theirs.max())
    a, b = (np.bincount(v - low, minlength=high - low + 1) for v in (ours, theirs))
    a, b, _ = merged((a + b) * min(len(ours), len(theirs)) / (len(ours) + len(theirs)), a, b, least=20.0)
    return float(stats.chi2_contingency([a, b], correction=False).pvalue)


@pytest.mark.statistical
@pytest.mark.parametrize("scale", [0.8, 12.3])
def test_opendp_draws_the_same_discrete_gaussian(scale: float) -> None:
    """False alarms: below 1e-9. A variant of ours that is 10 % wider is refused (60,000 draws of theirs)."""
    dp = pytest.importorskip("opendp.prelude")
    dp.enable_features("contrib")
    mechanism = dp.m.make_gaussian(dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float), scale=scale)
    theirs = np.array(mechanism([0] * 60_000))
    assert same_law(Randomness().discrete_gaussian(scale, MILLION), theirs) > 1e-9
    assert same_law(Randomness().discrete_gaussian(1.1 * scale, MILLION), theirs) < 1e-9


@pytest.mark.statistical
@pytest.mark.parametrize("scale", [0.8, 12.3])
def test_opendp_draws_the_same_discrete_laplace(scale: float) -> None:
    """False alarms: below 1e-9."""
    dp = pytest.importorskip("opendp.prelude")
    dp.enable_features("contrib")
    mechanism = dp.m.make_laplace(dp.vector_domain(dp.atom_domain(T=int)), dp.l1_distance(T=int), scale=scale)
    theirs = np.array(mechanism([0] * 60_000))
    assert same_law(Randomness().geometric(1 / scale, MILLION), theirs) > 1e-9
    assert same_law(Randomness().geometric(1 / (1.1 * scale), MILLION), theirs) < 1e-9


@pytest.mark.statistical
@pytest.mark.parametrize("epsilon", [0.1, 1.3])
def test_diffprivlib_draws_the_same_geometric(epsilon: float) -> None:
    """False alarms: below 1e-9."""
    from diffprivlib.mechanisms import Geometric

    mechanism = Geometric(epsilon=epsilon, sensitivity=1)
    theirs = np.array([mechanism.randomise(0) for _ in range(60_000)])
    assert same_law(Randomness().geometric(epsilon, MILLION), theirs) > 1e-9
    assert same_law(Randomness().geometric(1.1 * epsilon, MILLION), theirs) < 1e-9
