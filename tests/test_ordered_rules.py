"""Inequalities beside conditions and bounds: differences stay fine, nothing is lifted beyond bounds or out of a condition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from privsynth import Policy, fit
from privsynth.errors import PolicyError

STAY = {"kind": "date", "bounds": ["2020-01-01", "2023-12-31"]}
MOMENT = {"kind": "datetime", "bounds": ["2020-01-01", "2023-12-31"]}
STATUS = {"kind": "category", "categories": ["in", "out"], "nullable": False}
HOURS = {"kind": "integer", "bounds": [0, 9]}
ORDER = {"inequality": ["came", "<=", "left"]}
STILL_IN = {"when": {"status": "in"}, "then": {"left": "missing"}, "iff": True}
NETWORK = {
    "name": "autoregressive",
    "options": {"steps": 2, "pretrain_steps": 5, "sweeps": 4, "hidden": 8, "batch": 64},
}


def policy(columns: dict[str, Any], rules: list[Any], trainer: Any = None, epsilon: float = 50.0) -> Policy:
    return Policy.from_text(yaml.safe_dump({
        "privsynth": 1, "dataset": {"id": "order"}, "unit": "row", "seed": 1,
        "budget": {"epsilon": epsilon, "delta": 1e-6}, "columns": columns, "constraints": rules,
        "trainer": trainer or {"name": "marginals", "options": {"sweeps": 4}},
    }, sort_keys=False))  # fmt: skip


def stays(kind: str, n: int = 2_000) -> pd.DataFrame:
    """Of 1, 2 or 3 days exactly; a fifth of the patients is still there."""
    rng = np.random.default_rng(0)
    came = np.datetime64("2020-01-01") + rng.integers(0, 1_400, n)
    still = rng.random(n) < 0.2
    left = pd.Series(came + rng.integers(1, 4, n)).astype(str).where(~still, None)
    end = "" if kind == "date" else " 12:00:00"
    texts = {"came": pd.Series(came).astype(str) + end, "left": left + end}
    return pd.DataFrame(texts | {"status": np.where(still, "in", "out")})


@pytest.mark.parametrize("column", [STAY, MOMENT])
def test_conditions_on_missing_values_leave_differences_as_they_are(column: dict[str, Any]) -> None:
    """At epsilon 50 noise hides no length of stay; a stay of two dates in bins of 40 days each has any length."""
    columns = {"came": column | {"nullable": False}, "left": column, "status": STATUS}
    model = fit(policy(columns, [ORDER, STILL_IN], NETWORK), stays(column["kind"]))
    end = " 12:00:00" if column is MOMENT else ""
    known = pd.DataFrame(
        {"came": [None, "2021-05-05" + end], "left": ["2021-05-05" + end, None], "status": [None, "in"]}
    )
    for drawn in (model.sample(1_000, seed=1), model.impute(known, seed=1)):
        assert ((drawn["status"].astype(str) == "in") == drawn["left"].isna()).all()
    drawn = model.sample(1_000, seed=1)
    days = (
        pd.to_datetime(drawn["left"].astype(str), errors="coerce") - pd.to_datetime(drawn["came"].astype(str))
    ).dropna()
    assert (days / pd.Timedelta(days=1)).between(1, 3).mean() > 0.95


def test_check_tells_where_conditions_make_differences_coarse() -> None:
    never, maybe = STAY | {"nullable": False}, STAY
    for came, rule, told in (
        (never, STILL_IN, ""),
        (maybe, STILL_IN, "'came' may be missing"),
        (never, {"when": {"status": "in"}, "then": {"left": ">2021-01-01"}}, "the values of 'left'"),
        (never, {"when": {"status": "in"}, "then": {"came": ">2021-01-01"}}, ""),
    ):
        found = [
            w for w in policy({"came": came, "left": STAY, "status": STATUS}, [ORDER, rule]).warnings if "coarse" in w
        ]
        assert [told in w for w in found] == ([True] if told else [])


@pytest.mark.parametrize("strict", ["<", "<="])
@pytest.mark.parametrize(
    ("came", "left"),
    [
        (["2020-01-01", "2023-12-31"], ["2020-01-01", "2023-06-30"]),  # admissions after the last discharge
        (["2020-01-01", "2023-12-31"], ["2021-01-01", "2023-12-31"]),  # and before the first one
        (["2020-01-01", "2023-12-31"], ["2000-01-01", "2023-06-30"]),  # too wide for a gap
    ],
)
def test_nothing_is_lifted_beyond_its_bounds(came: list[str], left: list[str], strict: str) -> None:
    columns = {"came": STAY | {"bounds": came, "nullable": False}, "left": STAY | {"bounds": left}, "status": STATUS}
    drawn = fit(policy(columns, [{"inequality": ["came", strict, "left"]}]), stays("date")).sample(1_500, seed=1)
    a, b = (pd.to_datetime(drawn[name].astype(str), errors="coerce") for name in ("came", "left"))
    there = b.notna()
    assert b[there].between(*left).all() and a.between(*came).all()
    assert (a[there] < b[there] if strict == "<" else a[there] <= b[there]).all()


@pytest.mark.parametrize("nullable", [True, False])
def test_chains_hold_within_bounds_and_conditions(nullable: bool) -> None:
    """a <= b and b <= c leave no room where c is small and a is large, though neither pair says so in bins as wide as these."""
    between = {"kind": "number", "bounds": [0, 20], "decimals": 1, "nullable": nullable}
    columns = {"a": HOURS | {"nullable": False}, "b": between, "c": HOURS | {"nullable": False}, "status": STATUS}
    chain = [{"inequality": ["a", "<=", "b"]}, {"inequality": ["b", "<=", "c"]}]
    ruled = [{"when": {"status": "in"}, "then": {"a": ">=5"}}, {"when": {"status": "out"}, "then": {"c": "<5"}}]
    rng = np.random.default_rng(0)
    data = pd.DataFrame(
        {n: rng.integers(0, 10, 300).astype(str) for n in "abc"} | {"status": rng.choice(["in", "out"], 300)}
    )
    data["b"] = (rng.integers(0, 200, 300) / 10).astype(str)
    for rules, high in ((ruled, 9), ([], 4)):
        of = columns | {"c": columns["c"] | {"bounds": [0, high]}}
        drawn = fit(policy(of, chain + rules, epsilon=1.0), data).sample(4_000, seed=1)
        inside = drawn["status"].astype(str) == "in"
        if rules:
            assert (drawn["a"][inside] >= 5).all() and (drawn["c"][~inside] < 5).all() and 0 < inside.mean() < 1
        assert drawn["c"].between(0, high).all() and drawn["a"].between(0, 9).all()
        b = drawn["b"].astype(float)
        assert ((drawn["a"] <= b) & (b <= drawn["c"]) | b.isna()).all()


@pytest.mark.parametrize("signs", [["<"], ["<", "<="], ["<=", "<"]])
def test_no_gap_moves_its_start_across_a_condition(signs: list[str]) -> None:
    """Whoever came on the last day cannot have left on a later one: a gap would move the day of coming."""
    columns = {"came": STAY | {"nullable": False}, "left": STAY, "status": STATUS}
    last = {"when": {"status": "in"}, "then": {"came": ">2023-12-30"}, "iff": True}
    data = stays("date")
    data["came"] = np.where(data["status"] == "in", "2023-12-31", np.minimum(data["came"], "2023-12-29"))
    data["left"] = data["left"].where(data["status"] == "out", "2023-12-31")  # as some tables have it
    model = fit(policy(columns, [*({"inequality": ["came", sign, "left"]} for sign in signs), last]), data)
    drawn = model.sample(1_000, seed=1)
    inside = drawn["status"].astype(str) == "in"
    assert ((drawn["came"].astype(str) == "2023-12-31") == inside).all()
    assert drawn["left"][inside].isna().all() and not drawn["left"].isna().all()


def test_a_given_text_in_place_of_a_number_is_known_whatever_its_gap_starts_from() -> None:
    dose = {"kind": "integer", "bounds": [0, 100]}
    columns = {"first": dose | {"nullable": False}, "last": dose | {"censored": {"above": ["100+"]}}, "status": STATUS}
    rules = [
        {"inequality": ["first", "<=", "last"]},
        {"when": {"last": ["100+"]}, "then": {"status": "in"}, "iff": True},
    ]
    rng = np.random.default_rng(0)
    first = rng.integers(0, 90, 500)
    last = pd.Series(first + rng.integers(0, 10, 500)).astype(str).where(rng.random(500) < 0.6, "100+")
    data = pd.DataFrame({"first": first.astype(str), "last": last, "status": np.where(last == "100+", "in", "out")})
    model = fit(policy(columns, rules, NETWORK), data)
    assert model.codec.columns[1].domain.gap_from == "first"
    filled = model.impute(pd.DataFrame({"first": [None] * 40, "last": ["100+"] * 40, "status": [None] * 40}), seed=1)
    assert (filled["status"].astype(str) == "in").all() and (filled["last"].astype(str) == "100+").all()


def test_a_gap_that_would_lift_another_column_is_none() -> None:
    """`paid` is no gap, so a late discharge would lift it beyond its last day."""
    paid = STAY | {"bounds": ["1990-01-01", "2023-06-30"]}
    columns = {"came": STAY | {"nullable": False}, "left": STAY, "paid": paid}
    known = policy(columns, [ORDER, {"inequality": ["left", "<=", "paid"]}])
    assert known.knowledge.gaps == {}
    data = stays("date").assign(paid=lambda t: t["left"]).drop(columns="status")
    drawn = fit(known, data).sample(1_000, seed=1)
    assert pd.to_datetime(drawn["paid"].astype(str), errors="coerce").max() <= pd.Timestamp("2023-06-30")
    seen, through = STAY | {"bounds": ["1990-01-01", "2023-12-31"]}, [["came", "<=", "left"], ["seen", "<=", "left"]]
    rules = [{"inequality": rule} for rule in (*through, ["left", "<=", "done"])]
    for end, gaps in (("2023-12-31", {"left": "came", "done": "left"}), ("2023-06-30", {})):
        of = columns | {"seen": seen, "done": STAY | {"bounds": ["2020-01-01", end]}}
        assert policy(of, rules).knowledge.gaps == gaps, "what was seen late would lift `left`, and that `done`"


def test_what_would_be_lifted_out_of_its_bounds_or_a_condition_is_refused() -> None:
    columns = {"came": MOMENT, "left": MOMENT | {"bounds": ["2000-01-01", "2023-06-30"]}, "status": STATUS}
    with pytest.raises(PolicyError, match="'came' may lie above the bounds of 'left'"):
        policy(columns, [ORDER])
    late = {"when": {"status": "in"}, "then": {"left": ">2021-01-01"}}
    with pytest.raises(PolicyError, match="a condition on the datetime 'left' cannot be kept"):
        policy(columns | {"left": MOMENT}, [ORDER, late])
