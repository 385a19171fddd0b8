"""The one source of noise: exact lattice, right scale, strict uniforms; LEAKS 22 and 23."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from privsynth.privacy.noise import LATTICE, Randomness, to_lattice

MILLION = 1_000_000


class Wide(Randomness):
    """A wrong variant: two per cent too wide."""

    def normal(self, shape: Any) -> Any:
        return 1.02 * super().normal(shape)


def check_normal(values: np.ndarray, scale: float) -> None:
    """Mean, variance and Kolmogorov-Smirnov against N(0, scale^2); each refuses a right one once in 10^7."""
    z, n = values / scale, len(values)
    assert abs(z.mean()) < 5.4 / np.sqrt(n)
    assert abs(z.var() - 1) < 5.4 * np.sqrt(2 / n)
    assert np.sqrt(n) * stats.kstest(z, "norm").statistic < 2.9


@pytest.mark.statistical
def test_normal_is_normal() -> None:
    """False alarms: below 4e-7 (three tests of 1e-7)."""
    check_normal(Randomness().normal(MILLION), 1.0)
    with pytest.raises(AssertionError):
        check_normal(Wide().normal(MILLION), 1.0)


@pytest.mark.statistical
def test_lattice_noise_has_the_scale_it_is_asked_for() -> None:
    """False alarms: below 4e-7 (three tests of 1e-7)."""
    check_normal(Randomness().lattice_gaussian(12.3, MILLION), 12.3)
    with pytest.raises(AssertionError):
        check_normal(Wide().lattice_gaussian(12.3, MILLION), 12.3)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(scale=st.floats(1e-3, 1e6), count=st.floats(0, 1e7))
def test_released_counts_are_whole_multiples_of_the_lattice(scale: float, count: float) -> None:
    x = to_lattice(np.full(50, count))
    noise = Randomness(1).lattice_gaussian(scale, 50)
    assert np.all(noise / LATTICE == np.rint(noise / LATTICE))
    assert np.all((x + noise) - x == noise)  # the sum is exact: no low bit distinguishes x from its neighbour
    assert np.all(x <= count) and np.all(count - x < LATTICE)


def test_low_bits_are_those_of_the_noise_alone() -> None:
    """A variant that adds plain doubles leaves bits below the lattice."""
    assert np.any(Randomness(1).normal(100) / LATTICE != np.rint(Randomness(1).normal(100) / LATTICE))


@pytest.mark.parametrize("first, near", [(2**64 - 1, 1.0), (0, 0.0)])
def test_nothing_touches_its_ends(first: int, near: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first words drawn have all bits set, or none; the words that come after are real."""
    plain, calls = Randomness.words, 0

    def words(self: Randomness, size: int) -> np.ndarray:
        nonlocal calls
        calls += 1
        return np.full(size, first, np.uint64) if calls == 1 else plain(self, size)

    def start(draw: Any) -> Any:
        nonlocal calls
        calls = 0
        return draw

    monkeypatch.setattr(Randomness, "words", words)
    found = start(Randomness().uniform)(4)
    assert np.all((found > 0) & (found < 1)) and abs(found[0] - near) < 1e-15
    drawn = start(Randomness().normal)(4)  # all bits set: the middle; none set: the outermost tail
    assert np.all(np.isfinite(drawn)) and np.all((np.abs(drawn) > 9) if near == 0 else (np.abs(drawn) < 1e-9))
    waited = start(Randomness().exponential)(4)
    assert np.all(np.isfinite(waited)) and np.all((waited > 43) if near == 0 else (waited >= 0) & (waited < 1e-9))


def test_integers_stand_at_the_ends_of_their_bounds() -> None:
    """Whole, within the bounds that the docstrings state, and refused outside, NaN and infinity too."""
    source = Randomness(1)
    for draw, lowest, highest, most in (
        (source.geometric, 2.0**-40, 1e300, 2**50),
        (source.discrete_gaussian, 2.0**-40, 2.0**39, 2**50),
        (source.rounded_gaussian, 2.0**-40, 2.0**47, 2**53),
    ):
        for scale in (lowest, highest):
            drawn = draw(scale, (20, 50))
            assert drawn.dtype == np.int64 and drawn.shape == (20, 50) and np.abs(drawn).max() < most
        for wrong in (lowest / 2, highest * 2 if highest < 1e300 else np.inf, np.nan, -1.0, 0.0, np.inf):
            with pytest.raises(ValueError, match="finite number from"):
                draw(wrong, 3)
    with pytest.raises(ValueError, match="finite number from"):
        source.lattice_gaussian(2.0**38, 3)


def test_all_shapes() -> None:
    """Nothing, a number, and more than a block at a time; () is one number."""
    source = Randomness(1)
    for draw in (source.normal, source.uniform, source.exponential, lambda shape: source.geometric(0.01, shape)):
        for shape in (0, (0, 3), 5, (), (3, 70_001)):
            assert draw(shape).shape == (shape if isinstance(shape, tuple) else (shape,))
    assert len(source.bytes(0)) == 0 and len(source.bytes(13)) == 13 and len(source.bernoulli(0.5, 7)) == 7


def test_words_are_those_of_aes_in_counter_mode() -> None:
    """However they are asked for: the stream of NIST SP 800-38A, F.5.5, by the same key."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = hashlib.sha256(b"privsynth development 5").digest()
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(8 * 100_004))
    source = Randomness(5)
    found = np.concatenate([source.words(n) for n in (1, 0, 3, 100_000)])
    same = found.tobytes() == stream  # not in the assertion: pytest would take an hour to show where they differ
    assert same


def test_a_forked_process_gets_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """LEAKS 22: it would draw what its parent draws."""
    source = Randomness()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    for draw in (source.normal, source.uniform, source.bytes, lambda n: source.lattice_gaussian(1.0, n)):
        with pytest.raises(RuntimeError, match="Randomness of its own"):
            draw(3)


@pytest.mark.statistical
def test_uniform_and_bernoulli() -> None:
    """False alarms: below 1e-6 (one test of 1e-7, three of 2e-7)."""
    u = Randomness().uniform((1000, 1000))
    assert u.shape == (1000, 1000) and u.min() > 0 and u.max() < 1
    assert np.sqrt(MILLION) * stats.kstest(u.ravel(), "uniform").statistic < 2.9
    for rate in (0.001, 0.02, 0.5):
        heads = int(Randomness().bernoulli(rate, MILLION).sum())
        assert abs(heads - MILLION * rate) < 5.3 * np.sqrt(MILLION * rate * (1 - rate)) + 1


def test_two_sources_differ_and_one_stream_goes_on() -> None:
    one, two = Randomness(), Randomness()
    assert one.bytes(32) != two.bytes(32)
    assert one.bytes(32) != one.bytes(32)
    assert not np.array_equal(one.normal(8), two.normal(8))
    assert Randomness(1).bytes(32) != Randomness(2).bytes(32)


def test_a_seed_repeats() -> None:
    assert np.array_equal(Randomness(7).normal(20), Randomness(7).normal(20))
    assert np.array_equal(Randomness(7).lattice_gaussian(3.0, 20), Randomness(7).lattice_gaussian(3.0, 20))
    assert np.array_equal(Randomness(7).geometric(0.1, 20), Randomness(7).geometric(0.1, 20))
    assert Randomness(7).integer_source() == Randomness(7).integer_source() is not None
    assert Randomness().seed is None and Randomness().integer_source() is None


def test_postprocessing_generator_comes_from_the_stream() -> None:
    assert Randomness(3).generator().random() == Randomness(3).generator().random()
    assert Randomness().generator().random() != Randomness().generator().random()
