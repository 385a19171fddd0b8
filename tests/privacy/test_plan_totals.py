"""The plan's total, recomputed from its items by hand, against what the policy asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from privsynth.policy import Policy
from privsynth.policy.plan import Plan, make_plan
from privsynth.privacy.accountant import PrivacyLoss, compose
from privsynth.privacy.events import from_json
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


def recomputed(plan: Plan) -> Any:
    """The distribution of the written plan, convolved one by one without merging."""
    from dp_accounting.pld import common
    from dp_accounting.pld import privacy_loss_distribution as pld

    total = None
    for line in plan.to_json():
        event, i = line["event"], {"value_discretization_interval": 1e-4}
        if event["kind"] == "Gaussian":
            one = pld.from_gaussian_mechanism(event["noise_multiplier"], **i)
        elif event["kind"] == "Geometric":
            one = pld.from_discrete_laplace_mechanism(event["epsilon"], **i)
        elif event["kind"] == "ThresholdedGaussian":
            seen = pld.from_privacy_parameters(common.DifferentialPrivacyParameters(0.0, event["delta"]), **i)
            one = pld.from_gaussian_mechanism(event["noise_multiplier"], **i).compose(seen)
        else:
            one = pld.from_gaussian_mechanism(
                event["noise_multiplier"], sampling_prob=event["sampling_rate"], **i
            ).self_compose(event["steps"])
        total = one if total is None else total.compose(one)
    return total


def check_epsilon(path: Path, epsilon: float, trainer: str) -> Plan:
    plan = make_plan(asked(path, f"epsilon: {epsilon}", trainer))
    mine = compose([from_json(line["event"]) for line in plan.to_json()])
    assert mine.epsilon(plan.delta) == pytest.approx(plan.epsilon)
    assert 0.995 * epsilon <= plan.epsilon <= epsilon
    by_hand = recomputed(plan).get_epsilon_for_delta(plan.delta)  # its grid errs upwards once for each event
    assert 0.995 * epsilon <= by_hand <= epsilon * 1.002 + 5e-4
    assert sum(item.share for item in plan.items) == pytest.approx(1, abs=1e-9)
    assert all(item.share > 0 for item in plan.items)
    assert len({item.name for item in plan.items}) == len(plan.items)
    return plan


@pytest.mark.parametrize("path", SHIPPED, ids=names)
def test_total_meets_epsilon(path: Path) -> None:
    check_epsilon(path, 0.8, "{name: ctgan}")


@pytest.mark.parametrize("path", SHIPPED, ids=names)
def test_total_meets_a_small_epsilon(path: Path) -> None:
    check_epsilon(path, 0.1, "{name: vae, options: {steps: 50}}")
    check_epsilon(path, 0.1, "{name: marginals}")


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [10.0, 50.0])
def test_total_meets_a_large_epsilon(epsilon: float) -> None:
    check_epsilon(SHIPPED[-1], epsilon, "{name: ctgan}")


def test_without_anchor_dp_sgd_has_it_all() -> None:
    path = next(p for p in SHIPPED if p.stem == "credit-default")
    plan = check_epsilon(path, 0.5, "{name: ctgan, options: {anchor: 0, steps: 20}}")
    assert [item.name for item in plan.items] == ["histograms", "dp-sgd"]
    with_it = check_epsilon(path, 0.5, "{name: ctgan, options: {steps: 20}}")
    assert [item.name for item in with_it.items] == ["histograms", "marginals", "dp-sgd"]
    assert plan["dp-sgd"].noise_multiplier < with_it["dp-sgd"].noise_multiplier


@pytest.mark.parametrize("fpr, most", [pytest.param(0.01, 0.10, marks=pytest.mark.slow), (0.001, 0.003)])
def test_total_meets_a_risk(fpr: float, most: float) -> None:
    plan = make_plan(asked(SHIPPED[0], f"risk: {{fpr: {fpr}, max_tpr: {most}}}", "{name: marginals}"))
    reached = float(max_tpr(PrivacyLoss(recomputed(plan)), [fpr])[0])
    assert fpr + 0.99 * (most - fpr) <= reached <= most * 1.002
    assert max_tpr(compose([item.event for item in plan.items]), [fpr])[0] <= most


def test_every_bought_thing_stands_in_the_plan() -> None:
    path = next(p for p in SHIPPED if p.stem == "demo-hospital")
    plan = make_plan(asked(path, "epsilon: 0.5", "{name: marginals}"))
    assert {item.name for item in plan.items} == {
        "unit sizes", "bounds: charge", "categories: diagnosis", "categories: secondary_diagnosis", "histograms",
        "marginals",
    }  # fmt: skip
    deltas = [item.event.delta for item in plan.items if item.name.startswith("categories")]
    assert sum(deltas) == pytest.approx(0.1 * plan.delta)


def test_planning_imports_no_torch() -> None:
    code = (
        "import sys\nfrom privsynth.policy import Policy\nfrom privsynth.policy.plan import make_plan\n"
        f"make_plan(Policy.load({str(SHIPPED[0])!r}).with_changes('marginals', 0.1))\n"
        "import privsynth.privacy.ledger, privsynth.privacy.risk\nassert 'torch' not in sys.modules, 'torch'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
