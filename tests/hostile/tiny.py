"""Small models of every trainer that hold all that a model may: gaps, rules, dates, strata, identifiers of each kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privsynth import Policy, Synthesizer, fit
from privsynth.encoding import codec, copula
from privsynth.marginals import population
from privsynth.trainers import vae

COMPONENTS, MIN_FITTED = 2, 300  # of the prior of a vae, and rows that are fitted together: at their full size slow
NETWORK = "steps: 4, pretrain_steps: 1, hidden: 8, sweeps: 4, sampling_rate: 0.3"
PERSON = "{column: who, max_rows: 3}"
MODELS = {  # name: (trainer, unit)
    "marginals": ("{name: marginals, options: {sweeps: 4}}", PERSON),
    "ctgan": (f"{{name: ctgan, options: {{{NETWORK}, latent: 4}}}}", "row"),
    "vae": (f"{{name: vae, options: {{{NETWORK}, latent: 4}}}}", PERSON),
    "autoregressive": (f"{{name: autoregressive, options: {{{NETWORK}}}}}", PERSON),
    "ctgan alone": (f"{{name: ctgan, options: {{anchor: 0, {NETWORK}, latent: 4}}}}", "row"),
}
POLICY = """\
privsynth: 1
dataset: {{id: tiny, missing: ["?"]}}
unit: {unit}
budget: {{epsilon: 30.0, delta: 1.0e-3}}
columns:
  who: {{kind: id, role: direct_identifier, release: regenerate}}
  name: {{kind: text, role: direct_identifier, release: regenerate, generator: name}}
  card: {{kind: text, role: direct_identifier, release: regenerate, pattern: "?-##"}}
  sex: {{kind: category, categories: ["1", "2"]}}
  ward: {{kind: category, categories: private}}
  age: {{kind: integer, bounds: [0, 60]}}
  work: {{kind: integer, bounds: [0, 90]}}
  cost: {{kind: number, bounds: private, decimals: 2}}
  seen: {{kind: date, bounds: [2015-01-01, 2024-12-31], format: "%d.%m.%Y"}}
  gone: {{kind: date, bounds: [2015-01-01, 2024-12-31]}}
constraints: [{{inequality: [seen, "<=", gone]}}, {{inequality: [work, "<", age]}}]
trainer: {trainer}
"""


def people(rows: int = 300) -> pd.DataFrame:
    """A table that fits the policy, as text. Two rows each."""
    rng = np.random.default_rng(0)
    seen = np.datetime64("2015-01-01") + rng.integers(0, 3000, rows)
    return pd.DataFrame({
        "who": [f"p{i // 2}" for i in range(rows)], "name": "x", "card": "y",
        "sex": rng.choice(["1", "2"], rows), "ward": rng.choice(list("abc"), rows),
        "age": rng.integers(20, 60, rows).astype(str), "work": rng.integers(0, 20, rows).astype(str),
        "cost": rng.lognormal(3, 1, rows).round(2).astype(str),
        "seen": pd.Series(seen).dt.strftime("%d.%m.%Y"), "gone": (seen + rng.integers(0, 30, rows)).astype(str),
    })  # fmt: skip


def small(patch: pytest.MonkeyPatch) -> None:
    """Makes everything small that has nothing to do with what is tested."""
    patch.setattr(vae, "COMPONENTS", COMPONENTS)
    patch.setattr(population, "MIN_FITTED", MIN_FITTED)
    patch.setattr(codec, "ROWS", 200)
    patch.setattr(copula, "ROUNDS", 2)


def fitted(folder: Path) -> dict[str, tuple[Synthesizer, Path]]:
    """Each model, and where it is saved."""
    found = {}
    for name, (trainer, unit) in MODELS.items():
        made = fit(Policy.from_text(POLICY.format(trainer=trainer, unit=unit)), people(), ledger="sqlite://")
        found[name] = made, made.save(folder / name)
    return found
