"""Where all randomness that protects anybody comes from: AES-256 in counter mode (`cryptography`), keyed by the OS.

A seed is a development switch: it fixes the key, so that whoever knows the seed can subtract the noise. What is made
with a seed is marked and never released.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from scipy.special import ndtri

LATTICE = 2.0**-10  # counts, weights and their noise are whole multiples of this


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

    @property
    def releasable(self) -> bool:
        return self.seed is None

    def bytes(self, count: int) -> bytes:
        return self._stream.update(bytes(count))

    def uniform(self, shape: int | tuple[int, ...]) -> NDArray[np.float64]:
        """52-bit uniform numbers strictly between 0 and 1: a 53rd bit would round the largest of them up to 1."""
        size = int(np.prod(shape))
        bits = np.frombuffer(self.bytes(8 * size), dtype=np.uint64)
        return (((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52).reshape(shape)

    def coins(self, rate: float, count: int) -> NDArray[np.bool_]:
        """`count` independent coins, each true with probability `rate`."""
        return self.uniform(count) < rate

    def normal(self, shape: int | tuple[int, ...]) -> NDArray[np.float64]:
        """Standard normal numbers by inversion of a tail probability and a sign.

        The tail probability is (k + u) / 2^64 with 63 random bits k and a 53-bit uniform u: its relative precision is
        that of a double however far out, so that tails are right for any delta that a policy may ask for.
        """
        size = int(np.prod(shape))
        bits = np.frombuffer(self.bytes(8 * size), dtype=np.uint64)
        tail = ((bits >> np.uint64(1)).astype(np.float64) + self.uniform(size)) * 2.0**-64
        sign = 1.0 - 2.0 * (bits & np.uint64(1)).astype(np.float64)
        return np.asarray(sign * ndtri(tail)).reshape(shape)

    def lattice_gaussian(self, scale: float, shape: int | tuple[int, ...]) -> NDArray[np.float64]:
        """Gaussian noise of standard deviation `scale`, rounded to multiples of LATTICE.

        Added to an input that is itself on the lattice, this equals rounding the output of the ideal Gaussian
        mechanism: round(x + z) = x + round(z). Rounding is post-processing, so the event is that of the Gaussian
        mechanism, and no low bit of a floating-point sum can tell neighbouring inputs apart (Mironov 2012): every
        output is an exact multiple of 2^-10, below 2^53 of them.
        """
        return np.rint(self.normal(shape) * (scale / LATTICE)) * LATTICE

    def integer_source(self) -> Any:
        """random_state for diffprivlib: None lets it use the operating system's generator."""
        return None if self.seed is None else int.from_bytes(self.bytes(4), "little") & 0x7FFFFFFF

    def generator(self) -> np.random.Generator:
        """A fast generator for post-processing only: it must never protect anybody."""
        return np.random.default_rng(np.frombuffer(self.bytes(32), dtype=np.uint32))


def to_lattice(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounds non-negative weights down to the lattice, so that no norm grows."""
    return np.floor(values / LATTICE) * LATTICE
