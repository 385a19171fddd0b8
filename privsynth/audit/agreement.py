"""How strongly a row points at a person: the sum over columns of minus log of the share of people who agree as well.

Record linkage (Fellegi and Sunter, JASA 64, 1969) weighs an agreement by its rarity: to have the same occupation as a row
says more than to have the same sex, and the same income to the cent more than one within a thousand. So the weight of
column c for person x and row s is -log F(d), where d = |x_c - s_c| and F(d) is the share of the reference at most as
far from x_c. Other than Gower's distance it has no use for columns that disagree: they add nothing, so a row copied
with some columns changed still stands out. With independent columns exp(weight) is a likelihood ratio, that of a
row that was made from x over one that was not, and so the product kernel of `gen_lra`.

Distances are taken by powers of two (0, 1, 2 to 3, 4 to 7, ... in units of 1 / SCALE of a column).
"""

from __future__ import annotations

import numpy as np

from privsynth.audit.coding import SCALE
from privsynth.audit.neighbours import best_agreement, log_sum_agreement

_LEVEL = np.array([distance.bit_length() for distance in range(SCALE + 1)], np.int64)
_BLOCK = 4096  # people whose weights are held at a time


def weights(people: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """What agreement at each level of distance is worth for each person and column: float32[t, w, q].

    `people`, `reference`: int32[., w], `Coded.close`. Columns that pad are worth nothing. One person more in the
    reference, x themselves, keeps every weight finite.
    """
    worth = np.zeros((*people.shape, _LEVEL[-1] + 1), np.float32)  # the last level: another category, or far away
    for c in range(people.shape[1]):
        values = np.sort(reference[:, c])
        for q in range(_LEVEL[-1]):
            reach = 2**q - 1
            up_to, below = (
                np.searchsorted(values, people[:, c] + step, side)  # type: ignore[call-overload]
                for step, side in ((reach, "right"), (-reach, "left"))
            )
            worth[:, c, q] = np.log(len(reference) + 1) - np.log(up_to - below + 1)
    return worth


def closest(people: np.ndarray, table: np.ndarray, worth: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The k rows that point most strongly at each person: (float64[t, k] how strongly, int64[t, k] their numbers)."""
    order = np.argsort(-worth[:, :, 0], axis=1, kind="stable")
    strength, rows = best_agreement(people, table, worth, order, _LEVEL, k)
    return strength.astype(float), rows


def log_density(rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """log of the sum over the reference of exp(how strongly each row points at that person): float64[m]."""
    density = np.full(len(rows), -np.inf)
    for start in range(0, len(reference), _BLOCK):
        block = reference[start : start + _BLOCK]
        density = np.logaddexp(density, log_sum_agreement(rows, block, weights(block, reference), _LEVEL))
    return density
