"""The source of the random numbers that protect privacy: AES-256 in counter mode (`cryptography`), keyed by the OS.

One exception: the noise of geometric counts is drawn by diffprivlib (`mechanisms/counts.py`), from the OS directly.

A seed is for development: it fixes the key, so that whoever knows the seed can subtract the noise. What is made with a
seed is marked and never released.

How exact the integer samplers are (`geometric`, `discrete_gaussian`, `rounded_gaussian`, `lattice_gaussian`). Rounding a
double is not exact enough at large scales: at 10^4 on the lattice, the edges of a cell 12 standard deviations out are off by
1e-7 of its width, which over 10,000 cells may come to 4e-3 in epsilon. So a draw has two parts. A block of 2^b integers is
found by inversion, with b such that a standard deviation has at most 64 blocks; then the integer in it, by uniform bits
and a rejection. Only the inversion is inexact, at any scale. For the Gaussian, z standard deviations out:
- an edge is off by a relative 3 2^-52 (`ndtri`, measured against 60 digits) + 2^-53 (its product with the scale), which
  moves the tail beyond it by a share of 3.5 (z^2 + 1) 2^-52; the uniform number that it comes from adds 2^-52;
- a block has two edges and holds a share 1 - exp(-z / 64) of the tail from its nearer one: together at most
  (7 (z^2 + 1) + 2) 2^-52 / (1 - exp(-z / 64));
- the rejection tests an exponent of z^2 / 2 at most, with four roundings and an exponential: 3 z^2 2^-52 at most.
For the geometric, at x = epsilon |k|, with blocks at least 1/32 wide and two numbers each, the other of which averages 1/2:
(3 x + 7) 2^-52 / (1 - exp(-1 / 32)).
So each probability is that of the exact law within a factor 1 +- eta, eta = 2^-39, wherever it is above 1e-31 (z <= 12,
x <= 72); beyond, eta grows in proportion to z or x until doubles end at 1e-300. A unit that moves m cells, all its rows in
all tables of a run, shifts its privacy loss by 2 m eta more: (epsilon, delta) becomes (epsilon + 2 m eta, (1 + m eta)
delta). For m = `MAX_MOVED`, all of them 12 deviations out, that is 9.9e-6 in epsilon; a plan with more is refused.
`tests/privacy/test_noise_distributions.py` computes these bounds and measures their premises.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from scipy.special import ndtri

MAX_MOVED = 2_700_000  # cells that one unit may move in a run: what `accountant.NUMERICAL_SLACK` is enough for
LATTICE = 2.0**-10  # counts, weights and their noise are whole multiples of this

Shape = int | tuple[int, ...]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Number = TypeVar("Number", np.float64, np.int64)

_BLOCK = 2**14  # numbers made at a time, so that intermediate results stay in the cache
_ZEROS = bytes(2**17)


class Randomness:
    """A stream of cryptographic random bits and the distributions drawn from it.

    seed: None in production (256 bits from the operating system); a number in development.
    """

    def __init__(self, seed: int | None = None):
        self.seed = seed
        key = (
            secrets.token_bytes(32)
            if seed is None
            else hashlib.sha256(f"privsynth development {seed}".encode()).digest()
        )
        self._stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        self._process = os.getpid()

    def words(self, size: int) -> Words:
        """(size,) random 64-bit words, the next of the stream.

        Raises RuntimeError in a forked process, which would draw the same noise as its parent.
        """
        if os.getpid() != self._process:
            raise RuntimeError("a forked process would repeat its parent's noise: give it a Randomness of its own")
        words = np.empty(size + 2, np.uint64)  # update_into wants 15 bytes more than it fills
        space = words.data.cast("B")
        for start in range(0, 8 * size, len(_ZEROS)):
            zeros = _ZEROS[: 8 * size - start]
            self._stream.update_into(zeros, space[start : start + len(zeros) + 15])
        return words[:size]

    def bytes(self, count: int) -> bytes:
        return self.words(-(-count // 8)).tobytes()[:count]

    def uniform(self, shape: Shape) -> Floats:
        """52-bit uniform numbers strictly between 0 and 1: a 53rd bit would round the largest of them up to 1."""
        return _in_blocks(lambda size: ((self.words(size) >> 12).astype(np.float64) + 0.5) * 2.0**-52, shape)

    def bernoulli(self, rate: float, count: int) -> NDArray[np.bool_]:
        """`count` independent Bernoulli draws, each true with probability `rate`, to 2^-53."""
        return self.uniform(count) < rate

    def exponential(self, shape: Shape) -> Floats:
        """Exponential numbers of mean 1, by inversion. P(E >= x) is exp(-x) to a relative (x + 1) 2^-52."""
        return _in_blocks(lambda size: -np.log(self._fine(self.words(size))), shape)

    def normal(self, shape: Shape) -> Floats:
        """Standard normal numbers by inversion of a tail probability and a sign; right tails however far out.

        Their low bits reveal what they were added to (Mironov 2012): for what is released as it is, use noise on a
        lattice.
        """

        def draw(size: int) -> Floats:
            words = self.words(size)
            tail = self._fine(words)
            tail *= 0.5
            value: Floats = ndtri(tail, out=tail)
            bits = value.view(np.uint64)
            bits ^= words << 63  # the lowest bit of a word is the sign
            return value

        return _in_blocks(draw, shape)

    def _fine(self, words: Words) -> Floats:
        """Uniform numbers in (0, 1] from the upper 63 bits of each word; the lowest bit stays free for a sign.

        Where those leave fewer than 53 significant bits, more are drawn: P(u <= t) is t to a relative 2^-52 however
        small t is, so that tails are right far beyond any delta.
        """
        upper = (words >> 1).astype(np.float64)
        short = np.flatnonzero(upper < 2.0**53)
        if len(short):
            upper[short] += self._fine(self.words(len(short)))
        upper *= 2.0**-63
        return upper

    def geometric(self, epsilon: float, shape: Shape) -> Ints:
        """Two-sided geometric noise (discrete Laplace): P(k) proportional to exp(-epsilon |k|), all integers k.

        The difference of two geometric numbers (Ghosh, Roughgarden, Sundararajan 2009). Each is V 2^b + U: V is
        geometric as the floor of an exponential, U uniform on b bits and kept with probability exp(-epsilon U)
        (Canonne, Kamath, Steinke 2020, Algorithm 2, with a power of two for its t). epsilon: from 2^-40; then |k| <
        2^50. Raises ValueError outside.
        """
        _check("epsilon", epsilon, 2.0**-40, math.inf)
        bits = max(0, -math.frexp(epsilon)[1] - 4)
        width = 1 << bits  # integers in a block; epsilon * width is at least 1/32

        def propose(places: Ints) -> tuple[Ints, NDArray[np.bool_]]:
            inside = (self.words(len(places)) & (width - 1)).astype(np.int64)
            block = np.floor(self.exponential(len(places)) / (epsilon * width)).astype(np.int64)
            return block * width + inside, self.exponential(len(places)) >= epsilon * inside

        return _in_blocks(lambda size: _first_accepted(size, propose) - _first_accepted(size, propose), shape)

    def discrete_gaussian(self, scale: float, shape: Shape) -> Ints:
        """Discrete Gaussian noise: P(k) proportional to exp(-k^2 / (2 scale^2)), all integers k.

        By rejection from two-sided geometric noise of parameter 1 / t, t = floor(scale) + 1 (Canonne, Kamath, Steinke
        2020, Algorithm 3); the Bernoulli draw of probability exp(-x) is an exponential number of at least x. scale:
        from 2^-40 to 2^39; then |k| < 2^50. Raises ValueError outside.
        """
        _check("scale", scale, 2.0**-40, 2.0**39)
        t = math.floor(scale) + 1

        def propose(places: Ints) -> tuple[Ints, NDArray[np.bool_]]:
            k = self.geometric(1 / t, len(places))
            needed = ((np.abs(k) - scale**2 / t) / scale) ** 2 / 2
            return k, self.exponential(len(places)) >= needed

        return _in_blocks(lambda size: _first_accepted(size, propose), shape)

    def rounded_gaussian(self, scale: float, shape: Shape) -> Ints:
        """Gaussian noise of standard deviation `scale`, rounded to whole numbers.

        The block of 2^b integers is that of a normal number. The real number x in it has the density exp(-x^2 / (2
        scale^2)): a uniform one is kept with that, over its value where the block is nearest to 0. Then x is rounded.
        scale: from 2^-40 to 2^47; then |k| < 2^53. Raises ValueError outside.
        """
        _check("scale", scale, 2.0**-40, 2.0**47)
        bits = max(0, math.frexp(scale)[1] - 6)
        width = 1 << bits  # integers in a block
        ratio = scale / width  # blocks in a standard deviation: 32 to 64 of them, or fewer of one integer each

        def draw(size: int) -> Ints:
            block = np.rint(self.normal(size) * ratio)
            if width == 1:
                return block.astype(np.int64)
            nearest = np.maximum(np.abs(block) - 0.5, 0)

            def propose(places: Ints) -> tuple[Ints, NDArray[np.bool_]]:
                inside = (self.words(len(places)) >> 11).astype(np.float64) * 2.0**-53
                near = nearest[places]
                beyond = np.abs(block[places] - 0.5 + inside) - near
                needed = beyond * (beyond + 2 * near) / (2 * ratio**2)
                return np.floor(inside * width + 0.5).astype(np.int64), self.exponential(len(places)) >= needed

            return block.astype(np.int64) * width - width // 2 + _first_accepted(size, propose)

        return _in_blocks(draw, shape)

    def lattice_gaussian(self, scale: float, shape: Shape) -> Floats:
        """Gaussian noise of standard deviation `scale`, rounded to multiples of LATTICE.

        Added to an input that is itself on the lattice, this equals rounding the output of the ideal Gaussian
        mechanism: round(x + z) = x + round(z). Rounding is post-processing, so the event is that of the Gaussian
        mechanism, and no low bit of a floating-point sum can distinguish neighbouring inputs (Mironov 2012): every
        output is an exact multiple of 2^-10, below 2^53 of them. scale: up to 2^37. Raises ValueError outside.
        """
        return self.rounded_gaussian(scale / LATTICE, shape).astype(np.float64) * LATTICE

    def integer_source(self) -> Any:
        """random_state for diffprivlib; None makes it use the operating system's generator."""
        return None if self.seed is None else int.from_bytes(self.bytes(4), "little") & 0x7FFFFFFF

    def generator(self) -> np.random.Generator:
        """A fast generator for post-processing only. It must never be used for noise that protects privacy."""
        return np.random.default_rng(np.frombuffer(self.bytes(32), dtype=np.uint32))


def to_lattice(values: Floats) -> Floats:
    """Rounds non-negative weights down to the lattice, so that no norm grows."""
    return np.floor(values / LATTICE) * LATTICE


def _check(name: str, value: float, low: float, high: float) -> None:
    if not (low <= value <= high and math.isfinite(value)):
        raise ValueError(f"{name} must be a finite number from {low:.3g} to {high:.3g}")


def _in_blocks(draw: Callable[[int], NDArray[Number]], shape: Shape) -> NDArray[Number]:
    """An array of this shape, filled by draw(size), at most _BLOCK numbers at a time."""
    size = math.prod(shape) if isinstance(shape, tuple) else int(shape)
    if size <= _BLOCK:
        return draw(size).reshape(shape)
    return np.concatenate([draw(min(_BLOCK, size - start)) for start in range(0, size, _BLOCK)]).reshape(shape)


def _first_accepted(size: int, propose: Callable[[Ints], tuple[Ints, NDArray[np.bool_]]]) -> Ints:
    """(size,) the first accepted proposal for each place. propose: (places,) -> (places,) values, and which to keep."""
    values, accepted = propose(np.arange(size))
    left = np.flatnonzero(~accepted)
    while len(left):
        values[left], accepted = propose(left)
        left = left[~accepted]
    return values
