"""No row breaks a constraint, whoever made it; contradictions are refused by name, and nothing else is."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from rule_sets import RULE_SETS, RuleSet, rows_of, table

from privsynth import Policy, fit
from privsynth.errors import InputError, PolicyError

EXAMPLES = int(os.environ.get("PRIVSYNTH_EXAMPLES", "0"))  # the whole test takes 2000
FAST = "steps: 2, pretrain_steps: 3, sweeps: 4, hidden: 8, batch: 64"
TRAINERS = [
    "{name: marginals, options: {sweeps: 4}}", f"{{name: ctgan, options: {{{FAST}}}}}", f"{{name: vae, options: {{{FAST}}}}}",
    f"{{name: autoregressive, options: {{{FAST}}}}}", f"{{name: vae, options: {{anchor: 0, {FAST}}}}}",
]  # fmt: skip


@settings(max_examples=max(150, 5 * EXAMPLES), deadline=None, suppress_health_check=list(HealthCheck))
@given(RULE_SETS)
def test_rules_are_refused_if_and_only_if_no_row_could_meet_them(rules: RuleSet) -> None:
    try:
        Policy.from_text(rules.text("{name: marginals}"))
    except PolicyError as error:
        told = str(error)
        assert "cannot hold" in told or "cycle" in told, told
        assert not rules.sound or "cycle" in told
    else:
        assert rules.sound


@pytest.mark.slow
@settings(
    max_examples=max(10, EXAMPLES), deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(RULE_SETS, st.sampled_from(TRAINERS), st.integers(0, 5))
def test_no_row_breaks_a_rule(rules: RuleSet, trainer: str, seed: int) -> None:
    try:
        policy = Policy.from_text(rules.text(trainer))
    except PolicyError:
        assume(False)
    data = table(seed=seed)
    model = fit(policy, data)
    for n in (40, 2_100):
        wrong = [row for row in rows_of(model.sample(n, seed=1)) if not rules.allows(row)]
        assert not wrong, (rules, wrong[:3])
    if "autoregressive" in trainer:
        allowed = data[[rules.allows(row) for row in rows_of(data)]].head(40)
        holes = allowed.mask(np.random.default_rng(seed).random(allowed.shape) < 0.4)
        for name in holes.columns[:3]:
            try:
                filled = model.impute(holes.assign(**{name: allowed[name]}), seed=1)
            except InputError as error:
                assert "constraint" in str(error)
                continue
            assert all(rules.allows(row) for row in rows_of(filled))


def test_rows_of_the_table_may_break_rules() -> None:
    rules = RuleSet(({"when": {"age": "<15"}, "then": {"sex": "missing"}, "iff": True},))
    drawn = fit(Policy.from_text(rules.text(TRAINERS[0])), table()).sample(500, seed=1)
    assert all(rules.allows(row) for row in rows_of(drawn))
    assert isinstance(drawn, pd.DataFrame)
