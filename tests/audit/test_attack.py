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
from privsynth.audit.linked_records import Recognised, Scores
from privsynth.audit.scene import PLANTED_SHARES, one_row_each, prepare, spread
from privsynth.audit.tables import AuditTables
from privsynth.audit.verdicts import TITLES, judge
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
    """12 seeded tables, 16 findings each: the bound on false alarms is 12.75 % per table, the seeds give none or one."""
    audits = [run(tables(3000, 1000, 3000, seed), thresholds, seed, "quick") for seed in range(12)]
    failed = [f.attack for audit in audits for f in audit.findings if f.verdict == "fail"]
    assert len(failed) <= 1, failed
    clean = [c.ok for audit in audits for c in audit.controls if c.kind == "negative"]
    assert np.mean(clean) >= 0.98


def test_every_attack_finds_copies(tables: Make, thresholds: dict[str, float]) -> None:
    audit = run(leak(tables(4000, 2500, 4000, 50), 0.5), thresholds)
    assert {f.verdict for f in audit.findings} == {"fail"}, [(f.attack, f.value, f.low) for f in audit.findings]
    assert {f.family for f in audit.findings} == set(audit.families) == set(TITLES)
    assert set(audit.families.values()) == {"fail"}
    assert audit.verdict == "fail"
    copies = next(r for r in audit.identifier_risk if r.name == "exact copies")
    assert copies.value > 0.4 and copies.baseline < 0.01


def test_a_clean_table_passes_with_power(tables: Make, thresholds: dict[str, float]) -> None:
    audit = run(tables(8000, 8000, 8000, 60), thresholds)
    assert {f.verdict for f in audit.findings} == {"pass", "diagnostic"}, [
        (f.attack, f.value, f.high, f.smallest_leak) for f in audit.findings
    ]
    assert audit.families == {family: "diagnostic" if family in ("copying", "exposed") else "pass" for family in TITLES}
    recognised = next(f for f in audit.findings if f.family == "copying")
    assert all(0 < f.smallest_leak < 0.4 for f in audit.findings) and recognised.smallest_leak < 0.02
    largest = [c for c in audit.controls if c.share == PLANTED_SHARES[0]]
    negative = [c for c in audit.controls if c.kind == "negative"]
    assert len(largest) == len(negative) == len(audit.findings) and all(c.ok for c in [*largest, *negative])
    assert audit.not_tested[: len(NOT_TESTED)] == NOT_TESTED


def test_findings_are_complete(tables: Make, thresholds: dict[str, float]) -> None:
    audit = run(tables(3000, 900, 3000, 70), thresholds, effort="quick")
    assert audit.targets == 500
    for finding in audit.findings:
        assert finding.low <= finding.value <= finding.high and finding.threshold is not None
        assert finding.meaning and finding.assumes and finding.why and finding.level >= 0.95 and finding.seconds >= 0
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
    assert {f.verdict for f in audit.findings} <= {"no_power", "inconclusive", "diagnostic"}
    assert not {"pass", "fail"} & set(audit.families.values())
    assert audit.verdict == "pass" and audit.findings


def test_copies_of_few_people_are_seen_all_the_same(tables: Make, thresholds: dict[str, float]) -> None:
    small = tables(400, 100, 400, 90)
    audit = run(dataclasses.replace(small, synthetic=small.train.copy()), thresholds)
    found = {f.family for f in audit.findings if f.verdict == "fail"}
    assert {"copying", "singling_out", "linkability"} <= found


@pytest.mark.statistical
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_membership_measures_the_share_copied(tables: Make, share: float) -> None:
    """Seeded. Copied members are found, the rest at the false-positive rate: the figure is share + 0.01 (1 - share)."""
    whole = tables(5000, 4000, 5000, 95)
    scene = prepare(leak(whole, share), "standard", np.random.default_rng(0))
    attacks = [each for attacks_of in ATTACKS for each in attacks_of(scene) if each.family == "membership"]
    values = [each.run(scene.synthetic, scene, np.random.default_rng(1), 0.95).value for each in attacks]
    assert np.mean(values) == pytest.approx(share + 0.01 * (1 - share), abs=0.025)


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
    assert len(scene.reference) == len(scene.negative_control) == 20 * 5 and len(scene.reference_people) == 20
    assert [len(side) for side in scene.tested] == [100, 80] and len(scene.everybody) == 180
    rows = one_row_each(np.arange(1000) // 10, np.random.default_rng(1))
    assert sorted(rows // 10) == list(range(100))


def _copying(tables: AuditTables, threshold: float) -> str:
    """The verdict of one attack alone: whole audits take longer."""
    scene = prepare(tables, "standard", np.random.default_rng(0))
    measured = Recognised(Scores()).run(scene.synthetic, scene, np.random.default_rng(1), 0.995)
    return judge(measured, threshold, True, None, False).verdict


@pytest.mark.statistical
def test_one_copied_person_in_a_hundred_fails_a_table(tables: Make, thresholds: dict[str, float]) -> None:
    """Seeded. Also of half the columns only, and never where nobody is copied."""
    whole = tables(5000, 4000, 5000, 170)
    half = leak(whole, 0.3)
    for name in list(half.synthetic.columns)[1::2]:
        half.synthetic[name] = whole.synthetic[name].array
    verdicts = [_copying(made, thresholds["copied"]) for made in (whole, leak(whole, 0.01), half)]
    assert verdicts == ["diagnostic", "fail", "fail"]


@pytest.mark.statistical
def test_alike_rows_of_one_person_are_no_leak(tables: Make, thresholds: dict[str, float]) -> None:
    """Seeded. Those of the holdout were compared with each other once, and looked better known to the population than members."""
    whole = tables(1500, 600, 1500, 190)
    rows = {
        name: getattr(whole, name).loc[lambda f: f.index.repeat(4)].reset_index(drop=True)
        for name in ("train", "holdout")
    }
    units = {f"{name}_units": np.arange(len(frame)) // 4 for name, frame in rows.items()}
    assert _copying(dataclasses.replace(whole, **rows, **units), thresholds["copied"]) == "diagnostic"


@pytest.mark.statistical
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_as_many_are_recognised_as_were_copied(tables: Make, share: float) -> None:
    """Seeded; the interval at 99.9 % holds the share."""
    scene = prepare(leak(tables(3000, 2000, 3000, 200), share), "standard", np.random.default_rng(0))
    found = Recognised(Scores()).run(scene.synthetic, scene, np.random.default_rng(1), 0.999)
    assert found.low <= share <= found.high and found.value == pytest.approx(share, abs=0.04)


def test_strict_thresholds_are_not_kept(tables: Make, thresholds: dict[str, float]) -> None:
    """Thresholds that not even guessing keeps fail a table."""
    audit = run(tables(3000, 1500, 3000, 180), dict.fromkeys(thresholds, 1e-6), effort="quick")
    assert audit.verdict == audit.families["membership"] == "fail"  # one in a hundred is found by guessing


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


def test_twins_copy_their_share_of_members(tables: Make) -> None:
    for synthetic in (400, 4000):
        scene = prepare(tables(2000, 2000, synthetic, 130), "standard", np.random.default_rng(0))
        before: set[bytes] = set()
        for share, twin in reversed([*scene.twins()]):
            rows = {row.tobytes() for row in twin.below} - {row.tobytes() for row in scene.synthetic.below}
            copied = np.mean([row.tobytes() in rows for row in scene.members.below])
            assert copied == pytest.approx(share, abs=0.01) and len(twin) == synthetic
            assert before <= rows  # who is planted in a smaller twin is in all larger ones
            before = rows


def test_targets_are_planted_as_often_as_the_others() -> None:
    order = spread(500, 2000, np.random.default_rng(0))
    assert sorted(order) == list(range(2000))
    for beginning in (20, 60, 200, 800):
        assert np.count_nonzero(order[:beginning] < 500) == pytest.approx(beginning / 4, abs=2)


def test_same_seed_same_audit(tables: Make, thresholds: dict[str, float]) -> None:
    whole = tables(300, 200, 300, 140)
    one, other = (run(whole, thresholds, 3) for _ in range(2))
    for finding in (*one.findings, *other.findings):
        finding.seconds = None
    assert one == other


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
