"""The audit detects copies, reports nothing on tables that leak nothing, and says so when it has no power."""

from __future__ import annotations

import dataclasses
import pkgutil
import warnings
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from privsynth.audit.attack import ATTACKS, NOT_TESTED, attack
from privsynth.audit.scene import PLANTED_SHARE, one_row_each, prepare
from privsynth.audit.tables import AuditTables
from privsynth.evidence import Audit

Make = Callable[..., AuditTables]


def leak(tables: AuditTables, share: float, seed: int = 0) -> AuditTables:
    """A share of the synthetic rows becomes distinct training rows.

    The generator is a separate one: with the audit's seed the copied rows could be the very people the audit draws.
    """
    rng, count = np.random.default_rng([999, seed]), int(share * len(tables.synthetic))
    kept = tables.synthetic.iloc[: len(tables.synthetic) - count]
    copied = tables.train.iloc[rng.permutation(len(tables.train))[:count]]
    return dataclasses.replace(tables, synthetic=pd.concat([kept, copied], ignore_index=True))


def run(tables: AuditTables, thresholds: dict[str, float], seed: int = 0, effort: str = "standard") -> Audit:
    return attack(tables, thresholds, effort, np.random.default_rng(seed))


@pytest.mark.statistical
def test_nothing_is_found_where_nothing_is(tables: Make, thresholds: dict[str, float]) -> None:
    """20 seeded tables, 8 findings each: the bound on false alarms is 10 % per table, the seeds give none or one."""
    audits = [run(tables(4000, 1000, 4000, seed), thresholds, seed) for seed in range(20)]
    failed = [f.attack for audit in audits for f in audit.findings if f.verdict == "fail"]
    assert len(failed) <= 1, failed
    clean = [c.ok for audit in audits for c in audit.controls if c.kind == "negative"]
    assert np.mean(clean) >= 0.98


def test_every_attack_finds_copies(tables: Make, thresholds: dict[str, float]) -> None:
    audit = run(leak(tables(4000, 1000, 4000, 50), 0.5), thresholds)
    assert {f.verdict for f in audit.findings} == {"fail"}, [(f.attack, f.value, f.low) for f in audit.findings]
    assert {f.family for f in audit.findings} == {"membership", "singling_out", "linkability", "inference"}
    assert audit.verdict == "fail"
    copies = next(r for r in audit.identifier_risk if r.name == "exact copies")
    assert copies.value > 0.4 and copies.baseline < 0.01


def test_a_clean_table_passes_with_power(tables: Make, thresholds: dict[str, float]) -> None:
    audit = run(tables(12000, 6000, 12000, 60), thresholds)
    assert {f.verdict for f in audit.findings} == {"pass"}, [
        (f.attack, f.value, f.high, f.power) for f in audit.findings
    ]
    assert all(f.power > 0.95 for f in audit.findings)
    assert all(c.ok for c in audit.controls)
    assert len(audit.controls) == 2 * len(audit.findings)
    assert audit.not_tested[: len(NOT_TESTED)] == NOT_TESTED


def test_findings_are_complete(tables: Make, thresholds: dict[str, float]) -> None:
    audit = run(tables(3000, 900, 3000, 70), thresholds, effort="quick")
    assert audit.targets == 500
    for finding in audit.findings:
        assert finding.low <= finding.value <= finding.high and finding.meaning and finding.threshold is not None
        if finding.family == "membership":
            assert finding.roc[0][0] == 0 and finding.roc[-1] == (1.0, 1.0) and len(finding.roc) <= 60
            assert finding.auc[1] <= finding.auc[0] <= finding.auc[2]
    assert Audit.model_validate_json(audit.model_dump_json()) == audit


@pytest.mark.parametrize(
    ("train", "holdout", "synthetic"), [(100, 25, 100), (3, 1, 5), (2, 0, 1), (0, 0, 4), (50, 400, 9)]
)
def test_few_people_are_no_power(
    tables: Make, thresholds: dict[str, float], train: int, holdout: int, synthetic: int
) -> None:
    audit = run(tables(train, holdout, synthetic, 80), thresholds)
    assert {f.verdict for f in audit.findings} == {"no_power"}
    assert audit.verdict == "pass" and audit.findings


def test_copies_of_few_people_are_seen_all_the_same(tables: Make, thresholds: dict[str, float]) -> None:
    small = tables(400, 100, 400, 90)
    audit = run(dataclasses.replace(small, synthetic=small.train.copy()), thresholds)
    found = {f.family for f in audit.findings if f.verdict == "fail"}
    assert {"membership", "singling_out", "linkability"} <= found


@pytest.mark.statistical
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_membership_measures_the_share_copied(tables: Make, thresholds: dict[str, float], share: float) -> None:
    """Seeded. Copied members are found, the rest at the false-positive rate: the figure is share + 0.01 (1 - share)."""
    whole = tables(12000, 6000, 12000, 95)
    found = [run(leak(whole, share, seed), thresholds, seed) for seed in range(3)]
    values = [f.value for audit in found for f in audit.findings if f.family == "membership"]
    assert np.mean(values) == pytest.approx(share + 0.01 * (1 - share), abs=0.015)


def test_empty_and_constant_columns(tables: Make, thresholds: dict[str, float]) -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(
            weight=np.nan,
            visits=3.0,
            region=pd.Categorical([np.nan] * len(frame), categories=list("abcdefgh")),
            disease=pd.Categorical(["u"] * len(frame), categories=list("uvwx")),
            sex=pd.Categorical(["F"] * len(frame), categories=["F", "M"]),
        )

    whole = tables(600, 200, 600, 100)
    frames = {name: spoil(getattr(whole, name)) for name in ("synthetic", "train", "holdout")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audit = run(dataclasses.replace(whole, **frames), thresholds, effort="quick")
    assert audit.verdict == "pass"
    constant = {name: frame[["visits", "weight", "sex"]] for name, frame in frames.items()}
    assert run(dataclasses.replace(whole, **constant), thresholds, effort="quick").verdict == "pass"
    single = {name: frame[["age"]] for name, frame in frames.items()}
    assert run(dataclasses.replace(whole, **single, roles={}), thresholds, effort="quick").findings


def test_a_person_is_attacked_once(tables: Make) -> None:
    whole = tables(1000, 500, 1000, 110)
    units = dataclasses.replace(whole, train_units=np.arange(1000) // 10, holdout_units=np.arange(500) // 5)
    scene = prepare(units, "standard", np.random.default_rng(0))
    assert scene.targets == 60 and len(scene.members) == len(scene.non_members) == 60  # 60 % of 100 people
    assert len(scene.train) == 100
    assert len(scene.reference) == len(scene.negative_control) == 20 * 5
    rows = one_row_each(np.arange(1000) // 10, np.random.default_rng(1))
    assert sorted(rows // 10) == list(range(100))


def test_parts_of_the_holdout_are_disjoint(tables: Make) -> None:
    whole = tables(500, 300, 500, 120)
    marked = {
        name: getattr(whole, name).assign(mark=np.arange(len(getattr(whole, name)), dtype=float))
        for name in ("synthetic", "train", "holdout")
    }
    marked["synthetic"] = marked["synthetic"].assign(mark=np.linspace(0, 300, 500))
    scene = prepare(dataclasses.replace(whole, **marked), "standard", np.random.default_rng(0))
    groups = [set(part.close[:, 12]) for part in (scene.non_members, scene.reference, scene.negative_control)]
    assert [len(g) for g in groups] == [180, 60, 60]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


def test_the_positive_control_copies_its_share_of_members(tables: Make) -> None:
    for synthetic in (400, 4000):
        scene = prepare(tables(2000, 2000, synthetic, 130), "standard", np.random.default_rng(0))
        rows = {row.tobytes() for row in scene.positive_control.close}
        copied = np.mean([row.tobytes() in rows for row in scene.members.close])
        assert copied == pytest.approx(PLANTED_SHARE, abs=0.01)
        assert len(scene.positive_control) == synthetic


def test_same_seed_same_audit(tables: Make, thresholds: dict[str, float]) -> None:
    whole = tables(300, 200, 300, 140)
    assert run(whole, thresholds, 3) == run(whole, thresholds, 3)


def test_what_is_wrong_is_said_without_values(tables: Make, thresholds: dict[str, float]) -> None:
    whole = tables(100, 50, 100, 150)
    with pytest.raises(ValueError, match="quick, standard, thorough"):
        run(whole, thresholds, effort="much")
    with pytest.raises(ValueError, match="no threshold for inference"):
        run(whole, {k: v for k, v in thresholds.items() if k != "inference"})
    with pytest.raises(ValueError, match="columns of the synthetic table"):
        dataclasses.replace(whole, train=whole.train[["age"]])
    with pytest.raises(ValueError, match="'sex' of the holdout table"):
        dataclasses.replace(whole, holdout=whole.holdout.assign(sex=1.0))
    with pytest.raises(ValueError, match="train_units has 3 entries"):
        dataclasses.replace(whole, train_units=np.arange(3))


def test_progress_ends_at_one(tables: Make, thresholds: dict[str, float]) -> None:
    shares: list[float] = []
    attack(
        tables(60, 30, 60, 160), thresholds, "quick", np.random.default_rng(0), lambda name, share: shares.append(share)
    )
    assert shares[0] == 0 and shares[-1] == 1 and shares == sorted(shares)


def test_every_module_with_attacks_is_listed() -> None:
    """A new attack's file that nobody adds to `ATTACKS` would never run."""
    folder = import_module("privsynth.audit").__path__  # the attribute of this name is the function
    modules = [import_module(f"privsynth.audit.{found.name}") for found in pkgutil.iter_modules(folder)]
    defined = [vars(module)["attacks"] for module in modules if "attacks" in vars(module)]
    assert sorted(ATTACKS, key=repr) == sorted(defined, key=repr)
