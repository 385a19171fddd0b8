"""The plan's total, recomputed from its items by hand, against what the policy asked for."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from privsynth.ledger.filter import spending
from privsynth.planning import make_plan
from privsynth.policy import Policy
from privsynth.privacy.accountant import PrivacyLoss, compose
from privsynth.privacy.events import ApproximateDP, Gaussian, from_json
from privsynth.privacy.plan import Plan
from privsynth.privacy.risk import max_tpr

ROOT = Path(__file__).parents[2]
SHIPPED = sorted({p.resolve() for p in [*ROOT.glob("policies/*.yaml"), *ROOT.glob("privsynth/policy/demo/*.yaml")]})
names = [path.stem for path in SHIPPED]


def asked(path: Path, budget: str, trainer: str = "{name: ctgan}") -> Policy:
    """A shipped policy with another budget line and trainer, and no lifetime cap in the way."""
    text = re.sub(r"(?m)^  lifetime:.*\n", "", path.read_text())
    text, found = re.subn(r"(?m)^  epsilon:.*$", f"  {budget}", text)
    assert found == 1
    text, found = re.subn(r"(?m)^trainer:.*$", f"trainer: {trainer}", text)
    assert found == 1
    return Policy.from_text(text, folder=path.parent)


def recomputed(plan: Plan, interval: float = 1e-4) -> PrivacyLoss:
    """The distribution of the written plan by dp_accounting's own function for each event, one by one, not merged."""
    from dp_accounting.pld import common
    from dp_accounting.pld import privacy_loss_distribution as pld

    total = pld.identity(interval)
    for line in plan.to_json():
        event, i = line["event"], {"value_discretization_interval": interval}
        noise = event.get("noise_multiplier")
        if event["kind"] == "Gaussian":
            one = pld.from_gaussian_mechanism(noise, **i)
        elif event["kind"] == "Geometric":
            one = pld.from_discrete_laplace_mechanism(event["epsilon"], **i)
        elif event["kind"] == "ApproximateDP":
            assert event["epsilon"] == 0
            one = pld.identity(interval)
        elif event["kind"] in ("DiscreteGaussian", "ThresholdedGaussian"):
            one = pld.from_discrete_gaussian_mechanism(noise, use_connect_dots=True, **i)
        else:
            assert event["kind"] == "SampledGaussian"
            one = pld.from_gaussian_mechanism(noise, sampling_prob=event["sampling_rate"], **i).self_compose(
                event["steps"]
            )
        total = total.compose(one)
        if "delta" in event:
            seen = common.DifferentialPrivacyParameters(0.0, event["delta"])
            total = total.compose(pld.from_privacy_parameters(seen, **i))
    return PrivacyLoss(total)


def check_epsilon(path: Path, epsilon: float, trainer: str) -> Plan:
    plan = make_plan(asked(path, f"epsilon: {epsilon}", trainer))
    mine = compose([from_json(line["event"]) for line in plan.to_json()])
    assert mine.epsilon(plan.delta) == pytest.approx(plan.epsilon, rel=1e-12)
    assert 0.995 * epsilon <= plan.epsilon <= epsilon
    # coarser or finer than ours; it errs upwards too, and follows discrete Gaussians where ours bounds them
    by_hand = recomputed(plan, 1e-4 * max(1.0, epsilon)).epsilon(plan.delta)
    assert 0.99 * epsilon <= by_hand <= epsilon * 1.003 + 5e-4
    assert sum(item.share for item in plan.items) == pytest.approx(1, abs=1e-9)
    assert all((item.share > 0) == (item.name != "unit numbers") and item.noise for item in plan.items)
    assert len({item.name for item in plan.items}) == len(plan.items)
    return plan


@pytest.mark.parametrize("trainer", ["{name: ctgan}", "{name: vae, options: {steps: 50}}", "{name: marginals}"])
@pytest.mark.parametrize("path", SHIPPED, ids=names)
@pytest.mark.parametrize("epsilon", [0.1, 0.8, 3.0, 10.0, 50.0])
def test_total_meets_epsilon(path: Path, epsilon: float, trainer: str) -> None:
    check_epsilon(path, epsilon, trainer)


def test_planning_costs_few_compositions_at_any_epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds on shared cores are noise; what takes the time is counted instead."""
    from dp_accounting.pld import pld_pmf

    sizes: list[int] = []
    convolve = pld_pmf.DensePLDPmf.self_compose

    def counted(self: Any, *args: Any, **how: Any) -> Any:
        made = convolve(self, *args, **how)
        sizes.append(made.size)
        return made

    monkeypatch.setattr(pld_pmf.DensePLDPmf, "self_compose", counted)
    for epsilon in (0.1, 1.0, 50.0):
        sizes.clear()
        make_plan(asked(SHIPPED[-1], f"epsilon: {epsilon}"))
        assert 4 <= len(sizes) <= 30 and max(sizes) < 60_000  # both directions of at most 15 tries


def test_without_anchor_dp_sgd_has_it_all() -> None:
    path = next(p for p in SHIPPED if p.stem == "credit-default")
    plan = check_epsilon(path, 0.5, "{name: ctgan, options: {anchor: 0, steps: 20}}")
    assert [item.name for item in plan.items] == ["unit numbers", "unreadable cells", "histograms", "dp-sgd"]
    with_it = check_epsilon(path, 0.5, "{name: ctgan, options: {steps: 20}}")
    assert [item.name for item in with_it.items] == [
        "unit numbers", "unreadable cells", "histograms", "marginals", "second look", "target triples", "dp-sgd",
    ]  # fmt: skip
    assert plan["dp-sgd"].noise_multiplier < with_it["dp-sgd"].noise_multiplier


@pytest.mark.parametrize("fpr, most", [(0.01, 0.10), (0.001, 0.003), (0.1, 0.5), (0.5, 0.6)])
@pytest.mark.parametrize("trainer", ["{name: marginals}", "{name: ctgan}"])
def test_total_meets_a_risk(fpr: float, most: float, trainer: str) -> None:
    plan = make_plan(asked(SHIPPED[0], f"risk: {{fpr: {fpr}, max_tpr: {most}}}", trainer))
    assert 0.98 * most <= max_tpr(compose([item.event for item in plan.items]), [fpr])[0] <= most
    by_hand = float(max_tpr(recomputed(plan), [fpr])[0])
    assert fpr + 0.98 * (most - fpr) <= by_hand <= most * 1.002
    cost = plan.risk_target
    assert cost is not None and (cost.fpr, cost.max_tpr, cost.epsilon) == (fpr, most, plan.epsilon)


def test_what_a_risk_target_saves_is_the_noise_of_the_generic_epsilon() -> None:
    plan = make_plan(asked(SHIPPED[0], "risk: {fpr: 0.01, max_tpr: 0.10}", "{name: marginals}"))
    cost = plan.risk_target
    assert cost is not None and 0.2 < cost.noise_saved < 0.9
    # (epsilon, delta) alone: e^epsilon fpr + delta = max_tpr
    assert cost.epsilon_generic == pytest.approx(math.log((0.10 - plan.delta) / 0.01))
    assert cost.epsilon_generic < cost.epsilon
    generic = make_plan(asked(SHIPPED[0], f"epsilon: {cost.epsilon_generic}", "{name: marginals}"))
    assert generic.risk_target is None
    # of all tables together, since how they share the budget depends on its size
    precisions = [
        math.sqrt(sum(i.event.noise_multiplier**-2 for i in p.items if isinstance(i.event, Gaussian)))
        for p in (plan, generic)
    ]
    assert precisions[1] / precisions[0] == pytest.approx(1 - cost.noise_saved, rel=0.005)


def test_every_measurement_stands_in_the_plan() -> None:
    path = next(p for p in SHIPPED if p.stem == "demo-hospital")
    policy = asked(path, "epsilon: 0.5", "{name: marginals}")
    columns = policy.model.columns | {
        name: policy.model.columns[name].model_copy(update={"categories": "private"}) for name in ("postcode", "payer")
    }
    plan = make_plan(replace(policy, model=policy.model.model_copy(update={"columns": columns})))
    assert {item.name for item in plan.items} == {
        "unit numbers", "unreadable cells", "unit sizes", "bounds: charge", "categories: postcode", "categories: payer",
        "histograms", "marginals", "second look", "target triples",
    }  # fmt: skip
    deltas = [item.event.delta for item in plan.items if item.name.startswith("categories")]
    assert sum(deltas) == pytest.approx(0.1 * plan.delta)


@pytest.mark.parametrize("rows", ["", "  rows: 300000\n"])
def test_the_chance_of_a_shared_number_is_paid_for(rows: str) -> None:
    """By the accountant and by the ledger's filter, for the most rows that the table may have."""
    path = next(p for p in SHIPPED if p.stem == "demo-finance")
    text, found = re.subn(r"(?m)^  rows: 12000 .*\n", rows, path.read_text())
    assert found == 1
    policy = Policy.from_text(text)
    plan, chance = make_plan(policy), policy.most_rows * 2.0**-62
    assert (plan.items[0].name, plan.items[0].share) == ("unit numbers", 0)
    assert plan["unit numbers"] == ApproximateDP(0.0, chance)
    events = [item.event for item in plan.items]
    infinite = compose(events).delta(500.0) - compose(events[1:]).delta(500.0)  # what no epsilon covers
    assert infinite == pytest.approx(chance, rel=0.01, abs=0)
    cost, rest = (spending(plan.epsilon, plan.delta, some, 4.0) for some in (events, events[1:]))
    assert cost.approximate - rest.approximate == pytest.approx(chance, rel=1e-3, abs=0)
    assert cost.renyi == rest.renyi


@pytest.mark.parametrize("path", SHIPPED, ids=names)
def test_what_unit_numbers_take_from_the_noise_is_little(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def precisions(plan: Plan) -> list[float]:
        return [getattr(item.event, "noise_multiplier", 1.0) for item in plan.items]

    policy = asked(path, "epsilon: 1.0")
    paid = precisions(make_plan(policy))
    monkeypatch.setattr("privsynth.planning.shared_number", lambda rows: 1e-300)
    assert precisions(make_plan(policy)) == pytest.approx(paid, rel=1e-4)


def test_planning_imports_no_torch() -> None:
    code = (
        "import sys\nfrom privsynth.policy import Policy\nfrom privsynth.planning import make_plan\n"
        f"make_plan(Policy.load({str(SHIPPED[0])!r}).with_changes('marginals', 0.1))\n"
        "import privsynth.ledger.ledger, privsynth.privacy.risk\nassert 'torch' not in sys.modules, 'torch'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
