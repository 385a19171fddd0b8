"""Rows of the released table that break rules: each kind is counted in the table as it leaves, and one of them fails the check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from privsynth import Policy, Synthesizer, assess, fit, run
from privsynth.assess import broken_promises, judge
from privsynth.evidence import Audit, Finding, Utility
from privsynth.sampling.checked import broken_when_released

RULES: list[dict[str, Any]] = [
    {"inequality": ["left", ">=", "came"]},
    {"when": {"age": "<15", "ward": "a"}, "then": {"sex": "missing"}},
    {"combinations": ["ward", "floor"], "file": "floors.csv"},
    {"derived": "band", "from": ["age"], "file": "bands.csv"},
    {"derived": "total", "formula": "rent + food"},
    {"one_hot": ["p", "q"]},
    {"unique": ["case"]},
    {"together": ["tested", "result"]},
]
DATE = {"kind": "date", "bounds": ["2020-01-01", "2020-12-31"], "format": "%d.%m.%Y"}
COLUMNS: dict[str, Any] = {
    "case": {"kind": "id", "release": "regenerate"}, "came": DATE, "left": DATE,
    "age": {"kind": "integer", "bounds": [0, 99]}, "sex": {"kind": "category", "categories": ["f", "m"]},
    "ward": {"kind": "category", "categories": "private"}, "floor": {"kind": "category", "categories": ["1", "2"]},
    "band": {"kind": "category", "categories": ["young", "old"]},
    "rent": {"kind": "number", "bounds": [0, 50], "decimals": 2}, "food": {"kind": "integer", "bounds": [0, 50]},
    "total": {"kind": "number", "bounds": [0, 200], "decimals": 2},
    "p": {"kind": "boolean", "categories": ["no", "yes"]}, "q": {"kind": "boolean", "categories": ["no", "yes"]},
    "tested": DATE, "result": {"kind": "number", "bounds": [0, 9], "decimals": 1, "censored": {"above": [">9"]}},
}  # fmt: skip


def rows(n: int = 300) -> pd.DataFrame:
    """Rows of which many break rules: what leaves must not depend on them."""
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 300, (3, n)).ravel(), unit="D")
    came, left, tested = days.strftime("%d.%m.%Y").to_numpy().reshape(3, n)
    ward = rng.integers(0, 2, n)
    return pd.DataFrame({
        "case": [f"c{i}" for i in range(n)], "came": came, "left": left, "age": rng.integers(0, 100, n),
        "sex": rng.choice(["f", "m", ""], n), "ward": np.array(["a", "b"])[ward], "floor": rng.integers(1, 3, n),
        "band": "old", "rent": rng.integers(0, 5001, n) / 100, "food": rng.integers(0, 51, n), "total": 0.0,
        "p": rng.random(n) < 0.5, "q": rng.random(n) < 0.5, "tested": np.where(rng.random(n) < 0.5, tested, ""),
        "result": np.where(rng.random(n) < 0.3, ">9", (rng.integers(0, 91, n) / 10).astype(str)),
    })  # fmt: skip


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Policy, Synthesizer, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("policy")
    (folder / "floors.csv").write_text("ward,floor\na,1\nb,2\n__other__,1\n")
    (folder / "bands.csv").write_text(
        "age,band\n" + "".join(f"{a},{'young' if a < 30 else 'old'}\n" for a in range(100))
    )
    path = Path(folder) / "policy.yaml"
    path.write_text(yaml.safe_dump({
        "privsynth": 1, "dataset": {"id": "ruled", "rows": 300}, "unit": "row", "seed": 1,
        "budget": {"epsilon": 5.0, "delta": 1e-6}, "columns": COLUMNS, "constraints": RULES,
        "trainer": {"name": "marginals", "options": {"sweeps": 4}},
    }, sort_keys=False))  # fmt: skip
    policy = Policy.load(path)
    model = fit(policy, rows())
    return policy, model, model.sample(400, seed=1)


def test_no_released_row_breaks_a_rule_of_any_kind(fitted: tuple[Policy, Synthesizer, pd.DataFrame]) -> None:
    policy, model, released = fitted
    found = broken_when_released(released, model.layout, policy.knowledge)
    assert list(found) == [c.stated for c in policy.model.constraints] and len(found) == len(RULES)
    assert set(found.values()) == {0}


@pytest.mark.parametrize(("kind", "change"), [
    ("inequality", {"came": "02.01.2020", "left": "01.01.2020"}),
    ("when", {"age": 14, "band": "young", "ward": "a", "sex": "f", "floor": 1}),
    ("combinations", {"ward": "b", "floor": 1}), ("derived", {"age": 20, "band": "old", "ward": "b", "floor": 2}),
    ("derived", {"rent": 0.3, "food": 1, "total": 1.31}), ("one_hot", {"p": True, "q": True}),
    ("one_hot", {"p": False, "q": False}), ("together", {"tested": None, "result": ">9"}),
    ("together", {"tested": "01.01.2020", "result": None}),
], ids=str)  # fmt: skip
def test_one_broken_row_is_found(
    fitted: tuple[Policy, Synthesizer, pd.DataFrame], kind: str, change: dict[str, Any]
) -> None:
    """With each rule by itself: the row that is made to break it, and no other."""
    policy, model, released = fitted
    broken = released.copy()
    for name, value in change.items():
        if broken[name].dtype.kind == "M":
            value = None if value is None else pd.to_datetime(value, format="%d.%m.%Y")
        broken.loc[7, name] = value
    found = broken_when_released(broken, model.layout, policy.knowledge)
    assert {stated: n for stated, n in found.items() if n} == {
        c.stated: 1 for entry, c in zip(RULES, policy.model.constraints, strict=True)
        if kind in entry and set(change) & set(c.columns) and (kind != "derived" or entry["derived"] in change)
    }  # fmt: skip


def test_repeats_are_counted(fitted: tuple[Policy, Synthesizer, pd.DataFrame]) -> None:
    policy, model, released = fitted
    broken = released.copy()
    broken.loc[3, "case"] = broken.loc[4, "case"]
    found = broken_when_released(broken, model.layout, policy.knowledge)
    assert {stated: n for stated, n in found.items() if n} == {"no two rows have the same case": 2}


def test_a_policy_without_rules_reads_nothing(fitted: tuple[Policy, Synthesizer, pd.DataFrame]) -> None:
    policy, model, released = fitted
    bare = policy.knowledge.__class__((), {}, {}, {}, {})
    assert broken_when_released(released, model.layout, bare) == {}


def test_a_broken_rule_is_a_failed_check() -> None:
    policy = Policy.from_text("""
privsynth: 1
dataset: {id: a}
unit: row
budget: {epsilon: 1, delta: 1.0e-6}
columns: {x: {kind: integer, bounds: [0, 9]}, y: {kind: integer, bounds: [0, 9]}}
""")
    passed = Finding(
        attack="a", family="membership", statistic="s", value=0.0, low=0.0, high=0.0, baseline=0.0, threshold=1.0,
        verdict="pass", power=1.0,
    )  # fmt: skip
    audit = Audit(findings=[passed])
    assert broken_promises({"x < y": 0}) == [] and judge(policy, audit, []).verdict == "release"
    decided = judge(policy, audit, broken_promises({"x < y": 0, "x is 3": 1_200}))
    last = decided.reasons[-1]
    assert decided.verdict == "release_with_conditions" and "1,200 (x is 3)" in last and "x < y" not in last


def test_a_run_says_on_both_faces_what_is_broken(
    fitted: tuple[Policy, Synthesizer, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assess, "attack", lambda *_: Audit())
    monkeypatch.setattr(assess, "measure", lambda *_: Utility())
    monkeypatch.setattr(assess, "broken_when_released", lambda *_: {"p": 0, "q": 3})
    outcome = run(fitted[0], rows(), tmp_path / "out", ledger="sqlite://")
    assert [(rule.rule, rule.broken) for rule in outcome.evidence.utility.rules or []] == [("p", 0), ("q", 3)]
    assert any("break a rule" in reason and "3 (q)" in reason for reason in outcome.evidence.reasons)
    for page in (tmp_path / "out").glob("*/report.html"):
        assert "Failed check" in page.read_text(encoding="utf-8")
