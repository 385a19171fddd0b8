"""Small models of every trainer that hold all that a model may: gaps, rules, every kind, marks, strata, identifiers."""

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
dataset: {{id: tiny, missing: ["?"], language: de, csv: {{delimiter: ";"}}}}
unit: {unit}
budget: {{epsilon: 30.0, delta: 1.0e-3}}
columns:
  who: {{kind: id, role: direct_identifier, release: regenerate}}
  name: {{kind: text, role: direct_identifier, release: regenerate, generator: name}}
  card: {{kind: text, role: direct_identifier, release: regenerate, pattern: "?-##"}}
  sex: {{kind: category, categories: ["1", "2"]}}
  ward: {{kind: category, categories: private}}
  age: {{kind: integer, bounds: [0, 160]}}
  work: {{kind: integer, bounds: [0, 90]}}
  cost: {{kind: number, bounds: private, decimals: 2}}
  seen: {{kind: date, bounds: [2015-01-01, 2024-12-31], format: "%d.%m.%Y"}}
  gone: {{kind: date, bounds: [2015-01-01, 2024-12-31]}}
  smokes: {{kind: boolean, categories: [nein, ja], missing: [-8, -9]}}
  came: {{kind: datetime, bounds: [2015-01-01, 2015-12-31], format: "%d. %b %Y %H:%M", missing: [],
    cuts: [2015-03-01], spikes: [2015-07-01]}}
  left: {{kind: datetime, bounds: [2015-01-01, 2015-12-31], format: "%Y-%m-%d %H:%M", timezone: Europe/Berlin, missing: [never]}}
  woke: {{kind: time, format: "%H:%M", cuts: ["12:00"]}}
  waited: {{kind: duration, format: iso, bounds: ["-PT1H", "PT10H"], spikes: ["PT2H"], missing: []}}
  paid: {{kind: number, bounds: [-20, 20000], decimals: 2, censored: {{below: "<0,01", above: ["9999+"]}}, cuts: [0],
    number: {{decimal: ",", thousands: ".", currency: "€", parentheses: true}}}}
constraints:
  - {{inequality: [seen, "<=", gone]}}
  - {{inequality: [work, "<", age]}}
  - {{inequality: [came, "<=", left]}}
trainer: {trainer}
"""


def people(rows: int = 300) -> pd.DataFrame:
    """A table that fits the policy, as text. Two rows each."""
    rng = np.random.default_rng(0)
    seen = np.datetime64("2015-01-01") + rng.integers(0, 3000, rows)
    came = np.datetime64("2015-01-01T00:00") + rng.integers(0, 400_000, rows)
    left = pd.Series(came + rng.integers(0, 5_000, rows)).dt.strftime("%Y-%m-%d %H:%M")
    return pd.DataFrame({
        "who": [f"p{i // 2}" for i in range(rows)], "name": "x", "card": "y",
        "sex": rng.choice(["1", "2"], rows), "ward": rng.choice(list("abc"), rows),
        "age": rng.integers(20, 60, rows).astype(str), "work": rng.integers(0, 20, rows).astype(str),
        "cost": rng.lognormal(3, 1, rows).round(2).astype(str),
        "seen": pd.Series(seen).dt.strftime("%d.%m.%Y"), "gone": (seen + rng.integers(0, 30, rows)).astype(str),
        "smokes": rng.choice(["ja", "nein", "-8", "-9", ""], rows),
        "came": [f"{day}. {MONTHS[month - 1]} 2015 {hour}:30" for day, month, hour in
                 zip(*(pd.Series(came).dt.__getattribute__(part) for part in ("day", "month", "hour")), strict=True)],
        "left": left.where(rng.random(rows) < 0.8, "never"), "woke": [f"{i % 24}:30" for i in range(rows)],
        "waited": [f"PT{i % 9}H" for i in range(rows)],
        "paid": rng.choice(["1.234,50", "(€ 12,00)", "€ 7", "<0,01", "9999+", "?", ""], rows),
    })  # fmt: skip


MONTHS = ["Jan", "Feb", "März", "April", "Mai", "Juni", "Juli", "Aug", "Sep", "Okt", "Nov", "Dez"]


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
