"""Tables of known structure, to find out which order of dependence a trainer reproduces.

    parities(n, seed, ways)          groups of `ways` columns linked by their sum; every marginal of lower order is uniform
    latent_classes(n, seed, classes) a latent class explains all (naive Bayes): much of it shows in pairs
    sequence(n, seed)                each column depends on the three before it, mostly two at a time

All are invented: 12 category columns of 4 to 8 values "v0", "v1", ... A `seed` is that of the rows alone; their
distribution stays the same, so another seed gives new rows of the same structure. `law` is the seed of the random tables
that define the distribution. The dependence is so strong that a boosted classifier distinguishes a table made from all
pairs from new rows with an area under the ROC curve of about .9 (benchmarks/structure.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from privsynth.simulate.people import Array, Rng, check_size

SIZES = (4, 5, 6, 7, 8, 4, 5, 6, 7, 8, 4, 5)
PARITY_SIZES = {3: (4, 4, 4, 5, 5, 5, 6, 6, 6, 8, 8, 8), 4: (4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6)}
HELD = {3: 0.6, 4: 0.85}  # share of rows in which a group's sum holds
CLASS_SPREAD = 0.35  # Dirichlet parameter of a class's columns: the smaller, the sharper
PAIR_EFFECT_SD = 1.0  # standard deviation of the log odds contributed by each pair of the three preceding columns


def parities(
    n: int, seed: int = 0, ways: int = 4, sizes: Sequence[int] | None = None, held: float | None = None
) -> pd.DataFrame:
    """Groups of `ways` columns, the last of each the sum of the others modulo its size in a share `held` of the rows.

    Columns are uniform. Where all columns of a group have one size (the default), any `ways` - 1 columns of it are
    independent: marginals of lower order carry no information. With sizes that do not divide each other they carry some.

    Raises InputError if n is below 1, ValueError if the columns do not fall into groups of `ways`.
    """
    check_size(n, "rows")
    sizes = PARITY_SIZES[ways] if sizes is None else tuple(sizes)
    held = HELD[ways] if held is None else held
    if len(sizes) % ways:
        raise ValueError(f"{len(sizes)} columns do not fall into groups of {ways}")
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(size, size=n) for size in sizes], 1)
    for last in range(ways - 1, len(sizes), ways):
        total = codes[:, last - ways + 1 : last].sum(1) % sizes[last]
        codes[:, last] = np.where(rng.random(n) < held, total, codes[:, last])
    return _table(codes, sizes)


def latent_classes(
    n: int, seed: int = 0, classes: int = 30, law: int = 0, sizes: Sequence[int] = SIZES
) -> pd.DataFrame:
    """Columns that are independent within each of `classes` equally likely latent classes. Raises InputError if n is below 1."""
    check_size(n, "rows")
    rng, laws = np.random.default_rng(seed), np.random.default_rng(law)
    hidden = rng.integers(classes, size=n)
    shares = [laws.dirichlet([CLASS_SPREAD] * size, classes) for size in sizes]
    return _table(np.stack([_draw(rng, share, hidden) for share in shares], 1), sizes)


def sequence(n: int, seed: int = 0, law: int = 0, sizes: Sequence[int] = SIZES) -> pd.DataFrame:
    """Each column depends on the three before it (third-order Markov). Raises InputError if n is below 1.

    The log odds of its values are a sum of three random tables, one for each pair of the three columns: so the structure
    is of third order, and pairs and sets of four columns carry little of it.
    """
    check_size(n, "rows")
    rng, laws = np.random.default_rng(seed), np.random.default_rng(law)
    before, codes = (1, 1, 1), [np.zeros(n, np.int64)] * 3  # constants precede the first column
    for size in sizes:
        a, b, c = before
        odds = laws.normal(size=(a, b, 1, size)) + laws.normal(size=(a, 1, c, size)) + laws.normal(size=(1, b, c, size))
        share = np.exp(PAIR_EFFECT_SD * odds).reshape(-1, size)
        place = np.ravel_multi_index(tuple(codes[-3:]), before)
        codes.append(_draw(rng, share / share.sum(1, keepdims=True), place))
        before = (b, c, size)
    return _table(np.stack(codes[3:], 1), sizes)


def _draw(rng: Rng, shares: Array, place: Array) -> Array:
    """A code for each row: shares (k, size) of the values in k contexts, place (n,) the context of each row."""
    ladder = (np.cumsum(shares, 1)[:, :-1] + np.arange(len(shares))[:, None]).ravel()
    found = np.searchsorted(ladder, place + rng.random(len(place)), side="right")
    codes: Array = found - place * (shares.shape[1] - 1)
    return codes


def _table(codes: Array, sizes: Sequence[int]) -> pd.DataFrame:
    """Codes (n, columns) as category columns c01, c02, ... whose categories are "v0" to "v<size - 1>"."""
    return pd.DataFrame(
        {
            f"c{j + 1:02d}": pd.Categorical.from_codes(codes[:, j], [f"v{value}" for value in range(size)])
            for j, size in enumerate(sizes)
        }
    )
