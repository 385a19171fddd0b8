"""Simulated people: mixed columns that depend on each other through a latent class, some values missing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from privsynth.audit.tables import AuditTables

ROLES = {
    "sex": "quasi_identifier",
    "age": "quasi_identifier",
    "region": "quasi_identifier",
    "weight": "quasi_identifier",
    "disease": "sensitive",
}
THRESHOLDS = {
    "membership_tpr_at_1pct_fpr": 0.05,
    "copied": 0.001,
    "singling_out": 0.09,
    "linkability": 0.09,
    "inference": 0.09,
}


def people(rows: int, seed: int, extra: int = 2) -> pd.DataFrame:
    """Mixed table of 8 + 2 * extra columns."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 4, rows)

    def category(shares: np.ndarray, names: str) -> pd.Categorical:
        chance = shares[kind].cumsum(axis=1)
        return pd.Categorical.from_codes((rng.random(rows)[:, None] > chance).sum(axis=1), list(names))

    mix = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "sex": pd.Categorical.from_codes(rng.integers(0, 2, rows), ["F", "M"]),
            "age": np.clip(rng.normal(35 + 10 * kind, 15), 18, 90).round(),
            "region": category(mix.dirichlet(np.ones(8), 4), "abcdefgh"),
            "income": np.where(rng.random(rows) < 0.2, 0.0, rng.lognormal(8 + 0.3 * kind, 0.6).round(-1)),
            "weight": rng.normal(70 + 3 * kind, 12).round(1),
            "visits": rng.poisson(2 + 2 * kind).astype(float),
            "admitted": (12000 + rng.integers(0, 3000, rows)).astype(float),
            "disease": category(np.array([[0.6, 0.2, 0.1, 0.1]] * 2 + [[0.3, 0.3, 0.2, 0.2]] * 2), "uvwx"),
        }
    )
    for i in range(extra):
        frame[f"c{i}"] = category(mix.dirichlet(np.ones(5), 4), "pqrst")
        frame[f"n{i}"] = rng.normal(kind, 1 + i)
    frame.loc[rng.random(rows) < 0.1, "weight"] = np.nan
    frame.loc[rng.random(rows) < 0.05, "region"] = np.nan
    return frame


def make_tables(train: int, holdout: int, synthetic: int, seed: int, extra: int = 2) -> AuditTables:
    """Three independent samples of one population: a synthetic table that leaks nothing."""
    frames = [people(n, 3 * seed + i, extra) for i, n in enumerate((synthetic, train, holdout))]
    return AuditTables(*frames, None, None, dict(ROLES))


@pytest.fixture(scope="session")
def tables() -> Callable[..., AuditTables]:
    return make_tables


@pytest.fixture(scope="session")
def thresholds() -> dict[str, float]:
    return dict(THRESHOLDS)
