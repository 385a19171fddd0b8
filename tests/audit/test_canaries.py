"""The audit twin of the measuring stage: all mechanisms are heard, sound ones keep to their claim, planted defects are found."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri
from typer.testing import CliRunner

from privsynth.audit import canaries as module
from privsynth.audit.canaries import SURE, Account, Measured, audit_measuring, claimed_mu, privacy_loss
from privsynth.audit.planted import KINDS, audit_canaries, canary, kinds_of, neighbours, text_of
from privsynth.cli import app
from privsynth.errors import InputError, Refused
from privsynth.planning import make_plan
from privsynth.policy import Policy
from privsynth.privacy.events import (
    ApproximateDP,
    DiscreteGaussian,
    Gaussian,
    Geometric,
    SampledGaussian,
    ThresholdedGaussian,
)
from privsynth.privacy.mechanisms import dpsgd, tables
from privsynth.privacy.mechanisms.categories import OpenCategories
from privsynth.privacy.mechanisms.counts import RowCount
from privsynth.privacy.mechanisms.tables import Histograms, Marginals
from privsynth.privacy.noise import Randomness
from privsynth.privacy.plan import Plan
from privsynth.table.private import _FENCED
from privsynth.table.reader import read_table

POLICY = """\
privsynth: 1
dataset: {id: wards, missing: ["?"]}
unit: {column: who, max_rows: 3}
budget: {epsilon: 8.0, delta: 1.0e-3}
columns:
  who: {kind: id, role: direct_identifier, release: drop}
  sex: {kind: category, categories: [a, b, c]}
  ward: {kind: category, categories: private}
  age: {kind: integer, bounds: [0, 5]}
  cost: {kind: integer, bounds: private}
  moved: {kind: boolean, nullable: false}
  ill: {kind: category, role: target, categories: ["yes", "no"]}
"""
CHAINS, DRAWS = 2, 60


def people(units: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    who = np.repeat([f"P{i}" for i in range(units)], rng.integers(1, 4, units))
    n = len(who)
    return pd.DataFrame({
        "who": who,
        "sex": rng.choice(["a", "b"], n),
        "ward": rng.choice(["east", "west", "north"], n),
        "age": rng.integers(0, 6, n).astype(str),
        "cost": rng.integers(1, 8, n).astype(str),
        "moved": rng.choice(["no", "yes"], n),
        "ill": rng.choice(["yes", "no"], n),
    })  # fmt: skip


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.from_text(POLICY)


@pytest.fixture(scope="module")
def plan(policy: Policy) -> Plan:
    return make_plan(policy)


@pytest.fixture
def audit(policy: Policy, plan: Plan) -> Callable[..., dict[str, Measured]]:
    def run(kind: str = "rare", seed: int = 7) -> dict[str, Measured]:
        table = people()
        worlds = neighbours(policy, table, canary(policy, table, kind), Randomness(seed))
        found = audit_measuring(policy, plan, worlds, CHAINS, DRAWS, seed=seed)
        return {measured.name: measured for measured in found}

    return run


@pytest.mark.parametrize("kind", ["unseen", "copies"])
def test_sound_mechanisms_keep_to_their_claim(audit: Callable[..., dict[str, Measured]], plan: Plan, kind: str) -> None:
    """Every mechanism of the plan is heard, moved as far as it allows, with the noise that it states. Seeded."""
    found = audit(kind)
    assert list(found) == [*(item.name for item in plan.items if item.name != "unit numbers"), "whole run"]
    for measured in found.values():
        assert not measured.broken, measured
        assert abs(measured.mu - measured.claimed) < 5 * measured.error
        assert math.isnan(measured.noise) or measured.noise == pytest.approx(1, abs=6 * measured.noise_error)
        assert math.isnan(measured.distance) or 0.99 < measured.distance <= 1 + 1e-9, (
            "the canary is near the worst there is"
        )
    assert found["whole run"].worlds.mu > 0.4 * found["whole run"].claimed


def test_noise_of_half_its_size_is_found(
    audit: Callable[..., dict[str, Measured]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By all three: the spread, the gap over the spread, and the game, with 120 answers a world. Seeded."""
    thin(monkeypatch, Marginals, "marginals", 0.5)
    found = audit()
    assert found["marginals"].noise == pytest.approx(0.5, abs=0.01)
    assert found["marginals"].mu == pytest.approx(2 * found["marginals"].claimed, rel=0.2)
    assert found["whole run"].mu > 1.2 * found["whole run"].claimed
    assert found["marginals"].broken
    assert not any(measured.broken for name, measured in found.items() if name not in ("marginals", "whole run"))


def test_noise_that_is_three_per_cent_thin_is_found(
    audit: Callable[..., dict[str, Measured]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its spread over all cells; no game of this size could tell. Seeded."""
    thin(monkeypatch, Marginals, "marginals", 0.97)
    found = audit()
    assert [name for name, measured in found.items() if measured.broken] == ["marginals"]
    assert found["marginals"].thin and found["marginals"].worlds.mu < found["marginals"].claimed


def thin(patch: pytest.MonkeyPatch, kind: type[Any], name: str, factor: float) -> None:
    """Noise too small by a factor, in one mechanism, which states the same event as before."""
    honest = kind.noised

    def noised(self: Any, exact: Any, randomness: Randomness) -> Any:
        if self.name == name:
            self = replace(self, event=Gaussian(factor * self.event.noise_multiplier))
        return honest(self, exact, randomness)

    patch.setattr(kind, "noised", noised)


def test_a_unit_that_counts_by_its_rows_is_found(
    audit: Callable[..., dict[str, Measured]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three copies of a row then move the answer by three times the stated sensitivity."""
    monkeypatch.setattr(tables, "unit_weights", lambda codes, units, *_: np.ones(len(units)))
    found = audit("copies")
    assert found["marginals"].broken and found["histograms"].broken
    assert found["marginals"].distance == pytest.approx(3, abs=0.01)
    assert found["marginals"].mu == pytest.approx(3 * found["marginals"].claimed, rel=0.2)


def test_noise_that_is_left_out_is_found(
    audit: Callable[..., dict[str, Measured]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Marginals, "noised", lambda self, exact, randomness: exact)
    found = audit()
    assert found["marginals"].noise == 0.0 and found["marginals"].mu > 1e9
    assert found["marginals"].broken and found["whole run"].broken


# --- DP-SGD -----------------------------------------------------------------------------------------------------------

NETWORK = "{name: ctgan, options: {anchor: 0, steps: 3, hidden: 8, latent: 4, sampling_rate: %s, max_grad_norm: 0.1}}"


def steps_of(rate: float, draws: int = 80) -> Measured:
    """DP-SGD alone, heard over one fit of three steps."""
    policy = Policy.from_text(f"{POLICY}trainer: {NETWORK % rate}\n")
    table, plan = people(), make_plan(policy)
    worlds = neighbours(policy, table, canary(policy, table, "copies"), Randomness(7))
    found = {each.name: each for each in audit_measuring(policy, plan, worlds, 1, draws, seed=7)}
    assert list(found) == [*(item.name for item in plan.items if item.name != "unit numbers"), "whole run"]
    return found["dp-sgd"]


def test_sound_steps_keep_to_their_claim() -> None:
    """With everybody in each step, the canary's gradient as long as the clip allows. Seeded."""
    steps = steps_of(1.0)
    assert steps.distance == pytest.approx(1, abs=1e-4) and steps.distance <= 1
    assert steps.noise == pytest.approx(1, abs=6 * steps.noise_error + 1e-3)  # rounding adds a little
    assert abs(steps.mu - steps.claimed) < 5 * steps.error and not steps.broken
    assert steps.worlds.mu > 0.4 * steps.claimed


def test_a_sampling_rate_that_doubles_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units join with twice the probability that was paid. Seeded."""
    sound = steps_of(0.25)
    assert not sound.broken and abs(sound.mu - sound.claimed) < 3 * sound.error
    honest = dpsgd.poisson_rows
    monkeypatch.setattr(dpsgd, "poisson_rows", lambda first, count, rate, r: honest(first, count, min(1, 2 * rate), r))
    double = steps_of(0.25, 250)
    assert double.mu > double.claimed + 4 * double.error


def test_gradients_without_a_clip_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = dpsgd.clipped_sum
    monkeypatch.setattr(
        dpsgd, "clipped_sum", lambda module, loss, codes, noise, _: honest(module, loss, codes, noise, 1e9)
    )
    steps = steps_of(1.0)
    assert steps.distance > 2 and steps.broken


# --- parts ------------------------------------------------------------------------------------------------------------


def test_privacy_loss_is_that_of_the_noise() -> None:
    """The log ratio of two normal densities; for tables, of scaled noise."""
    count = RowCount(DiscreteGaussian(2.0))
    assert privacy_loss(count, np.array([9]), np.array([5]), np.array([6])) == pytest.approx((9 - 5.5) / 4)
    marginals = Marginals(Gaussian(2.0), (2, 2), ((0, 1),), (0.25,))
    exact = {(0, 1): np.zeros((2, 2))}
    moved = {(0, 1): np.array([[1.0, 0], [0, 0]])}
    assert privacy_loss(marginals, moved, exact, moved) == pytest.approx(0.5 / 16)


def test_the_loss_of_a_geometric_count_has_two_values() -> None:
    """Its noise on one number: e^epsilon on one side of both counts, e^-epsilon on the other."""
    mechanism = RowCount(Geometric(0.5))
    losses = [privacy_loss(mechanism, np.array([y]), np.array([5]), np.array([6])) for y in (2, 5, 6, 9)]
    assert losses == [-0.5, -0.5, 0.5, 0.5]
    heard = module.hear(mechanism, np.array([5]), np.array([6]), 400, Randomness(1))
    fpr = 1 / (1 + math.exp(0.5))
    assert np.mean(heard.losses[0] > 0) == pytest.approx(fpr, abs=5 * math.sqrt(fpr / 400))
    assert heard.squares / heard.cells == pytest.approx(1, abs=0.3)


def test_a_category_of_the_canary_alone_is_seen_only_if_it_is_released() -> None:
    mechanism = OpenCategories(ThresholdedGaussian(2.0, 1e-3), "ward")
    without, with_canary = {"east": 40}, {"east": 40, "new": 1}
    assert privacy_loss(mechanism, {"east": 39, "new": mechanism.threshold - 1}, without, with_canary) == 0.0
    assert privacy_loss(mechanism, {"east": 39, "new": mechanism.threshold}, without, with_canary) == SURE
    assert privacy_loss(mechanism, {"east": 39}, without, with_canary) == 0.0
    assert privacy_loss(mechanism, {"new": mechanism.threshold}, {"new": 1}, {}) == -SURE


def test_claims_add_up() -> None:
    assert claimed_mu([Gaussian(2.0)] * 4) == pytest.approx(1.0)
    assert claimed_mu([DiscreteGaussian(10.0)]) == pytest.approx(0.1, rel=1e-3)
    with pytest.raises(TypeError, match="ApproximateDP"):
        claimed_mu([ApproximateDP(0.0, 1e-9)])
    assert claimed_mu([SampledGaussian(10.0, 1, 25)]) == pytest.approx(0.5)
    sampled = [SampledGaussian(1.0, 0.01, 25)]
    assert 0.05 < claimed_mu(sampled, 0.5) < claimed_mu(sampled, 1e-3) < 1
    at = 1 / (1 + math.e)  # the corner of pure epsilon = 1
    assert claimed_mu([Geometric(1.0)], at) == pytest.approx(-2 * ndtri(at), rel=1e-3)


def test_the_twin_pays_for_what_is_planned_alone(plan: Plan) -> None:
    account = Account(plan, Randomness(1))
    account.charge("histograms", plan["histograms"])
    for name, event in (("histograms", plan["histograms"]), ("another", Gaussian(1.0)), ("marginals", Gaussian(0.1))):
        with pytest.raises(Refused, match="not in the plan"):
            account.charge(name, event)


def test_an_untapped_mechanism_goes_on_as_before(policy: Policy, plan: Plan) -> None:
    """What was heard of a mechanism leaves no trace on it."""
    mechanism = Histograms(Gaussian(1.0), (2,))
    twin = module.Twin(neighbours(policy, people(), canary(policy, people(), "rare")), False, 1, {})
    with pytest.raises(Refused):
        twin.measure(mechanism, Account(plan, Randomness(1)))
    assert "noised" not in vars(mechanism)


# --- canaries ---------------------------------------------------------------------------------------------------------


def test_neighbours_differ_by_the_canary(policy: Policy) -> None:
    table = people()
    found = neighbours(policy, table, canary(policy, table, "copies"))
    without, with_canary, alone = (_FENCED[side] for side in (found.without, found.with_canary, found.alone))
    ours = ~np.isin(with_canary.units, without.units)
    assert ours.sum() == policy.max_rows == 3
    pd.testing.assert_frame_equal(with_canary.values[~ours].reset_index(drop=True), without.values)
    pd.testing.assert_frame_equal(with_canary.values[ours].reset_index(drop=True), alone.values)


def test_what_canaries_are(policy: Policy) -> None:
    table = people()
    rare, extreme = (canary(policy, table, kind).iloc[0].to_dict() for kind in ("rare", "extreme"))
    assert rare["who"] == "canary" and rare["ward"] == table["ward"].value_counts().idxmin()
    assert extreme == rare | {"sex": "c", "age": "5", "ill": "no"}  # the rest has no declared end
    unseen = canary(policy, table, "unseen")
    assert unseen["sex"].tolist() == ["c"] and unseen["ill"][0] == table["ill"].mode()[0]
    assert len(canary(policy, table, "copies")) == 3
    assert kinds_of(Policy.from_text(POLICY.replace("{column: who, max_rows: 3}", "row"))) == KINDS[:3]


def test_a_table_of_any_format_becomes_text(policy: Policy) -> None:
    table = people().assign(cost=lambda frame: frame["cost"].astype(int))
    table.loc[3, "cost"] = None
    found = text_of(read_table(table, policy.model.dataset), 50)
    assert found["cost"].tolist() == ["" if v != v else f"{v:g}" for v in table["cost"][:: len(table) // 50]]
    assert found["ward"].tolist() == table["ward"][:: len(table) // 50].tolist()
    assert canary(policy, found, "rare")["cost"][0] != ""


def test_all_kinds_together(policy: Policy, plan: Plan) -> None:
    """Their bounds share the allowed error."""
    names = [item.name for item in plan.items if item.name != "unit numbers"]
    found = audit_canaries(policy, plan, people(), 1, 2, seed=7)
    assert list(found) == list(KINDS)
    assert {tuple(measured.name for measured in each) for each in found.values()} == {(*names, "whole run")}
    assert not any(measured.broken for each in found.values() for measured in each)


def test_what_is_no_canary_is_refused(policy: Policy) -> None:
    with pytest.raises(InputError, match="kind"):
        canary(policy, people(), "yellow")
    with pytest.raises(InputError, match="taken"):
        canary(policy, people().assign(who="canary"), "rare")


def test_the_command_tells_what_is_claimed_and_measured(
    tmp_path: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = partial(audit_canaries, chains=CHAINS, draws=DRAWS)
    monkeypatch.setattr(import_module("privsynth.audit.planted"), "audit_canaries", few)
    file, data = tmp_path / "policy.yaml", tmp_path / "people.csv"
    file.write_text(POLICY, encoding="utf-8")
    people().to_csv(data, index=False)
    sound = CliRunner().invoke(app, ["canaries", str(file), "--data", str(data), "--json"])
    assert sound.exit_code == 0, sound.output
    told = json.loads(sound.stdout)
    assert set(told) == set(kinds_of(policy))
    for measured in told.values():
        assert measured[-1]["mechanism"] == "whole run" and not any(each["broken"] for each in measured)
        assert all(each["mu"] <= 1.3 * each["claimed"] for each in measured)
