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
        lifted = rules.moments and "that may lift" in told  # datetimes take no condition on values then
        assert "cannot hold" in told or "cycle" in told or lifted, told
        assert not rules.sound or "cycle" in told or lifted
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
    data = table(seed=seed, columns=rules.columns)
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


def test_given_columns_of_a_group_tell_the_true_one_or_are_refused() -> None:
    text = RuleSet(()).text(TRAINERS[3])
    words = '  {0}: {{kind: category, categories: ["0", "1"], nullable: false}}\n'
    text = text.replace("columns:\n", "columns:\n" + "".join(words.format(name) for name in "pqr"), 1)
    policy = Policy.from_text(text.replace("constraints: []", "constraints: [{one_hot: [p, q, r]}]"))
    one = np.random.default_rng(0).integers(0, 3, 200)
    data = table().assign(**{name: (one == at).astype(int).astype(str) for at, name in enumerate("pqr")})
    model = fit(policy, data)
    every = model.sample(300, seed=1)[list("pqr")].astype(int)
    assert (every.sum(axis=1) == 1).all() and (every.mean() > 0.2).all()
    for given_, told in (({"p": 1}, "100"), ({"p": 0, "q": 0}, "001"), ({"q": 1, "r": 0}, "010")):
        drawn = model.sample(5, seed=1, given=given_)[list("pqr")].astype(str)
        assert {"".join(row) for row in drawn.to_numpy()} == {told}
    for given_, told in (
        ({"p": 0}, "in part"),
        ({"p": 1, "q": 1}, "exactly one"),
        ({"p": 0, "q": 0, "r": 0}, "exactly one"),
    ):
        with pytest.raises(InputError, match=told):
            model.sample(5, seed=1, given=given_)
