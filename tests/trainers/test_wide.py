"""Wide tables: what drowns in noise comes out as independent, what was measured well is kept, and `check` can say so beforehand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from privsynth import Policy, fit
from privsynth.marginals import choice, denoise
from privsynth.marginals.choice import MAX_COLUMNS, Facts, expected_signal
from privsynth.marginals.denoise import chance_of, to_margins
from privsynth.marginals.population import MAX_LOOKUPS, MIN_FITTED, MarginalModel, TargetMarginal
from privsynth.privacy.mechanisms.tables import HISTOGRAMS, MARGINALS

COLUMNS, ROWS = 60, 2000


def people() -> pd.DataFrame:
    """Blocks of six columns hang together, every tenth is nearly a copy of the one before; numbers, and 2 to 6 categories."""
    rng = np.random.default_rng(0)
    factor, values, last = rng.normal(size=(ROWS, COLUMNS // 6)), {}, np.zeros(ROWS)
    for j in range(COLUMNS):
        own = rng.normal(size=ROWS)
        z = 0.9 * last + 0.4 * own if j % 10 == 9 else 0.6 * factor[:, j // 6] + 0.8 * own
        codes = np.searchsorted(np.linspace(-1, 1, j % 5 + 1), z)
        values[f"c{j}"] = np.round(20 + 6 * z).clip(0, 40).astype(int) if j % 2 else np.char.add("v", codes.astype(str))
        last = z
    return pd.DataFrame(values)


def made(epsilon: float, rows: int) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """(real rows, synthetic ones, the synthesizer)"""
    table, columns = people(), {}
    for name in table:
        number = table[name].dtype.kind == "i"
        spec: dict[str, Any] = {"kind": "integer", "bounds": [0, 40]} if number else {
            "kind": "category", "categories": sorted(table[name].unique())
        }  # fmt: skip
        columns[name] = spec | {"nullable": False}
    policy = {
        "privsynth": 1, "dataset": {"id": "wide", "rows": ROWS}, "unit": "row", "seed": 1, "columns": columns,
        "budget": {"epsilon": epsilon, "delta": 1e-6},
    }  # fmt: skip
    synthesizer = fit(Policy.from_text(yaml.safe_dump(policy, sort_keys=False)), table, ledger="sqlite://")
    return table, synthesizer.sample(rows, seed=2), synthesizer


def correlations(table: pd.DataFrame) -> np.ndarray:
    """Of every two columns, categories by their place in order."""
    numbers = np.stack([np.asarray(c.astype(str).str.lstrip("v"), float) for _, c in table.items()], 1)
    return np.asarray(np.nan_to_num(np.corrcoef(numbers + 1e-9 * np.arange(len(numbers))[:, None], rowvar=False)))[
        np.triu_indices(COLUMNS, 1)
    ]


def errors(epsilon: float) -> tuple[float, np.ndarray]:
    """Mean absolute errors of correlations: of a sample, and of twenty tables with independent columns of the same shares."""
    real, synthetic, _ = made(epsilon, ROWS)
    truth, rng = correlations(real), np.random.default_rng(3)
    apart = [synthetic.apply(lambda column: rng.permutation(column.to_numpy())) for _ in range(20)]
    return np.abs(correlations(synthetic) - truth).mean(), np.array(
        [np.abs(correlations(a) - truth).mean() for a in apart]
    )


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_correlations_that_drown_are_no_worse_than_none(epsilon: float) -> None:
    """A table of independent columns lies above its own mean by five standard deviations, as estimated from twenty, with a
    probability of 5e-5 (Student's t)."""
    synthetic, independent = errors(epsilon)
    assert synthetic < independent.mean() + 5 * independent.std(ddof=1)


def test_correlations_come_out_where_the_budget_is_large() -> None:
    synthetic, independent = errors(100.0)
    assert synthetic < 0.8 * independent.mean()


def test_the_fault_that_drowning_mends_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoise, "standing_out", lambda chances: np.full(len(chances), True))
    monkeypatch.setattr(denoise, "denoised_pair", lambda share, sigma, *_: denoise.Denoised(share, sigma, 0.1, 0.0))
    synthetic, independent = errors(0.5)
    assert synthetic > independent.mean() + 5 * independent.std(ddof=1)


def test_a_wide_population_is_no_larger_than_its_time() -> None:
    _, _, synthesizer = made(0.5, 100)
    model: MarginalModel = synthesizer.model.marginal_model
    rows = replace(model.codec, domain=replace(model.codec.domain, rows=1_000_000))
    one, sizes = np.zeros((1, 1), np.float32), model.codec.sizes
    for tables in (0, 400, 4_000, 400_000):
        many = tuple(TargetMarginal((0, 1), one, 1.0, 1.0) for _ in range(tables))
        size = replace(model, codec=rows, targets=many).natural_size
        assert len(sizes) > MAX_COLUMNS and size >= MIN_FITTED
        assert size * tables * 2 <= max(MAX_LOOKUPS, MIN_FITTED * tables * 2)
        narrow = replace(rows, columns=rows.columns[:MAX_COLUMNS])
        assert replace(model, codec=narrow, targets=many).natural_size == 100_000


# --- what check can say ------------------------------------------------------------------------------------------------


def test_nothing_is_expected_where_the_number_of_rows_is_not_public() -> None:
    noise = {HISTOGRAMS: 10.0, MARGINALS: 10.0}
    assert expected_signal(Facts((4,) * 8, None, 1.0, False), noise) == []
    assert expected_signal(Facts((), 100, 1.0, False), noise) == []


def test_what_drowns_is_said_in_rows() -> None:
    facts = Facts((8,) * 100, 5000, 0.2, False)
    single, screening, pairs = expected_signal(facts, {HISTOGRAMS: 150.0, choice.RELATIONS: 400.0, MARGINALS: 310.0})
    assert (single.drowns, screening.drowns, pairs.drowns) == (False, False, True)
    assert single.sentence == (
        "single columns: each count is off by about 150 rows where a cell holds 625 on average; values that fewer than 6 % of "
        "the rows have will not be distinguished from noise"
    )
    assert pairs.sentence == (
        "pairs of columns: each count is off by about 310 rows where a cell holds 78.1 on average; no association will be "
        "distinguished from noise, and columns come out as if independent"
    )
    assert "associations weaker than about 0.37 (Cramér's V) will not" in screening.sentence
    (better,) = expected_signal(replace(facts, sizes=(8,) * 20), {MARGINALS: 10.0})
    assert not better.drowns and "associations weaker than about 0.03" in better.sentence
    assert [e.mechanism for e in expected_signal(facts, {MARGINALS: 1.0})] == [MARGINALS]


@pytest.mark.parametrize("values", [2, 8, 20])
def test_what_is_said_to_be_distinguished_is(values: int) -> None:
    """200 noisy tables each: of associations of .6 times the stated size few stand out, at 1 about half, at 1.5 most. A
    share of 200 differs by .18 from its expectation with a probability of 4e-7 at most."""
    sigma, pairs, rng = 0.002, 1000, np.random.default_rng(0)
    least = choice._weakest(sigma, values, choice.FALSE_SHARE / pairs)
    even = np.full((values, values), 1 / values**2)
    diagonal = to_margins(np.eye(values) / values - even)

    def stand_out(association: float) -> float:
        noisy = [to_margins(association * diagonal + rng.normal(0, sigma, even.shape)) for _ in range(200)]
        size = np.array([(one**2).sum() for one in noisy]) / sigma**2
        return float(np.mean(chance_of(size, (values - 1) ** 2) <= choice.FALSE_SHARE / pairs))

    assert stand_out(0.6 * least) < 0.25 and 0.25 < stand_out(least) < 0.75 < stand_out(1.5 * least)
