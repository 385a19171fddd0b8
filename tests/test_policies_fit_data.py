"""The example policies declare their tables whole, and hardly any cell falls outside of what they declare.

Only counts are printed or asserted, never a value: the messages of a test are read by many.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from privsynth import simulate
from privsynth.policy import Policy
from privsynth.policy.grouping import load_grouping
from privsynth.sampling.identifiers import Invented
from privsynth.simulate import diagnoses
from privsynth.simulate.loans import EMPLOYMENT, STATUS, TERMS
from privsynth.simulate.patients import PAYERS, TRIAGE
from privsynth.simulate.people import POSTCODES

ROOT = Path(__file__).resolve().parents[1]
POLICIES = sorted((ROOT / "policies").glob("*.yaml"))
SHARED = ROOT.parent / "shared" / "data"
REAL = {"hospital-readmissions": "diabetes130.csv.gz", "credit-default": "credit_default.csv.gz"}
UNEXPECTED_SHARE = 0.001
without_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the real tables are not at ../shared/data")


def declared(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "policies" / f"{name}.yaml").read_text(encoding="utf-8"))


def unexpected_cells(table: pd.DataFrame, policy: dict[str, Any]) -> dict[str, int]:
    """Per column, how many cells are neither missing (where allowed) nor within what the policy declares."""
    missing = {"", *policy["dataset"].get("missing", [])}
    counts: dict[str, int] = {}
    for name, spec in policy["columns"].items():
        cells = table[name]
        absent = cells.isin(missing).to_numpy()
        fits = np.ones(len(cells), bool)
        if isinstance(spec.get("categories"), list):
            fits = cells.isin([str(value) for value in spec["categories"]]).to_numpy()
        elif "grouping" in spec:
            group = load_grouping(spec["grouping"], ROOT / "policies")
            fits = cells.map({code: group(code) is not None for code in cells.unique()}).to_numpy(dtype=bool)
        elif spec["kind"] in ("integer", "number"):
            fits = _numbers_fit(cells, spec)
        elif spec["kind"] == "date":
            low, high = (day.isoformat() for day in spec["bounds"])
            fits = cells.str.fullmatch(r"\d{4}-\d{2}-\d{2}").to_numpy(dtype=bool) & cells.between(low, high).to_numpy()
        counts[name] = int((~fits & ~absent).sum() + (0 if spec.get("nullable", True) else absent.sum()))
    return counts


def _numbers_fit(cells: pd.Series, spec: dict[str, Any]) -> np.ndarray:
    number = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float)
    low, high = spec["bounds"] if isinstance(spec["bounds"], list) else (-np.inf, np.inf)
    places = 0 if spec["kind"] == "integer" else spec.get("decimals", 9)
    with np.errstate(invalid="ignore"):
        return (number >= low) & (number <= high) & (np.abs(number - number.round(places)) < 1e-9)


def broken_rows(table: pd.DataFrame, policy: dict[str, Any]) -> dict[str, int]:
    """Rows that break a constraint of the kinds that these policies state, those of which there are some."""
    missing = ["", *policy["dataset"].get("missing", [])]

    def met(conditions: dict[str, Any]) -> pd.Series:
        found = pd.Series(True, table.index)
        for name, written in conditions.items():
            if isinstance(written, dict):
                found &= _age_meets(table[name], table[policy["columns"][name]["cuts"]["at"]], written["age"])
                continue
            is_number = policy["columns"][name]["kind"] in ("integer", "number")
            values = pd.to_numeric(table[name]) if is_number else table[name]
            listed = [
                value if is_number else str(value) for value in (written if isinstance(written, list) else [written])
            ]
            found &= table[name].isin(missing) if written == "missing" else values.isin(listed)
        return found

    counts: dict[str, int] = {}
    for entry in policy.get("constraints", []):
        if "inequality" in entry:
            small, sign, large = entry["inequality"]
            assert sign == "<=" and {policy["columns"][name]["kind"] for name in (small, large)} == {"date"}
            wrong = (table[small] > table[large]) & ~(table[small].isin(missing) | table[large].isin(missing))
        else:
            when, then = met(entry["when"]), met(entry["then"])
            wrong = when != then if entry.get("iff") else when & ~then
        counts[str(entry)] = int(wrong.sum())
    return {entry: count for entry, count in counts.items() if count}


def _age_meets(born: pd.Series, at: pd.Series, written: Any) -> pd.Series:
    """A condition on an age by the calendar: from texts such as 2019-05-05, the digits of which are in order."""
    ages = at.str[:4].astype(int) - born.str[:4].astype(int) - (at.str[5:] < born.str[5:])
    if isinstance(written, list):
        return ages.between(*written)
    if isinstance(written, str):
        limit = int(written.lstrip("<>="))
        return {"<": ages < limit, ">=": ages >= limit}[written.rstrip("0123456789")]
    return ages == written


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_policy_is_valid_and_named_like_its_file(path: Path) -> None:
    assert Policy.load(path).model.dataset.id == path.stem


def test_the_four_examples_are_here() -> None:
    assert {path.stem for path in POLICIES} >= {*REAL, "demo-hospital", "demo-finance"}


@without_data
@pytest.mark.parametrize("name", REAL)
def test_real_table_fits_its_policy(name: str) -> None:
    policy, table = declared(name), read(SHARED / REAL[name])
    assert list(policy["columns"]) == list(table)
    assert policy["dataset"]["rows"] == len(table)
    found = {column: count for column, count in unexpected_cells(table, policy).items() if count}
    print(f"{name}: unexpected cells by column: {found or 'none'}")
    assert max(found.values(), default=0) < UNEXPECTED_SHARE * len(table)
    assert not broken_rows(table, policy)


@pytest.mark.parametrize(("kind", "seed"), [("hospital", 0), ("hospital", 1), ("finance", 0), ("finance", 1)])
def test_demo_table_fits_its_policy(tmp_path: Path, kind: simulate.Kind, seed: int) -> None:
    policy, table = declared(f"demo-{kind}"), read(simulate.write_demo(kind, tmp_path / "demo.csv", seed=seed))
    assert list(policy["columns"]) == list(table)
    assert policy["dataset"].get("rows", len(table)) == len(table)
    assert not any(unexpected_cells(table, policy).values())
    assert not broken_rows(table, policy)


def test_cells_outside_are_counted(tmp_path: Path) -> None:
    """The check above is not blind: one wrong cell in each kind of column is found."""
    table = read(simulate.write_demo("finance", tmp_path / "demo.csv", 200))
    wrong = {"sex": "robot", "birth_date": "1800-01-01", "credit_score": "9999", "income": "12.5", "default_12m": ""}
    for name, value in wrong.items():
        table.loc[3, name] = value
    found = {name: count for name, count in unexpected_cells(table, declared("demo-finance")).items() if count}
    assert found == dict.fromkeys(wrong, 1)


def test_ages_are_counted_by_the_calendar() -> None:
    born = pd.Series(["2004-02-29", "2004-02-29", "2019-05-05", "2001-01-01"])
    at = pd.Series(["2019-02-28", "2019-03-01", "2019-05-05", "2019-01-01"])
    told = [[14, 14], 15, "<1", ">=18"]
    assert [_age_meets(born, at, written).tolist().index(True) for written in told] == [0, 1, 2, 3]


def test_rows_that_break_rules_are_counted(tmp_path: Path) -> None:
    """The check above is not blind: each rule of the finance policy finds the row made for it."""
    table = read(simulate.write_demo("finance", tmp_path / "demo.csv", 200))
    table.loc[0, ["applied", "decided"]] = "2023-05-02", "2023-05-01"
    table.loc[1, ["status", "interest_rate"]] = "declined", "5.0"
    table.loc[2, ["employment", "years_employed"]] = "student", "3"
    assert list(broken_rows(table, declared("demo-finance")).values()) == [1, 1, 1]


@without_data
@pytest.mark.parametrize("column", ["diag_1", "diag_2", "diag_3"])
def test_every_diagnosis_has_a_group(column: str) -> None:
    policy = declared("hospital-readmissions")
    group = load_grouping(policy["columns"][column]["grouping"], None)
    codes = set(read(SHARED / REAL["hospital-readmissions"])[column]) - {"", *policy["dataset"]["missing"]}
    assert sum(group(code) is None for code in codes) == 0


@pytest.mark.parametrize(
    ("code", "group"),
    [
        ("250", "250 "), ("250.01", "250 "), ("249.5", "240-279 "), ("8.45", "001-139 "), ("38", "001-139 "),
        ("139.9", "001-139 "), ("140", "140-239 "), ("402.11", "401-405 "), ("414.01", "410-414 "), ("428", "428 "),
        ("427.31", "390-459 "), ("434.91", "430-438 "), ("999", "800-999 "), ("V57", "V01-V91 "),
        ("E885.9", "E000-E999 "),
    ],
)  # fmt: skip
def test_chapters_by_hand(code: str, group: str) -> None:
    assert (load_grouping("icd9-chapters.csv", None)(code) or "").startswith(group)


def test_chapters_are_few_and_cover_every_number() -> None:
    chapters = load_grouping("icd9-chapters.csv", None)
    assert len(chapters.groups) <= 25
    assert all(chapters(str(number)) for number in range(1, 1000))
    assert chapters("?") is None and chapters("") is None


def test_codes_of_the_published_list_are_all_declared() -> None:
    """The code book of the id columns, number by number; 16 stands in no list of admission sources."""
    columns = declared("hospital-readmissions")["columns"]
    expected = {
        "admission_type_id": set(range(1, 9)),
        "discharge_disposition_id": set(range(1, 31)),
        "admission_source_id": set(range(1, 27)) - {16},
    }
    for name, codes in expected.items():
        assert set(columns[name]["categories"]) == {str(code) for code in codes}


def test_demo_policies_list_what_the_simulation_can_make() -> None:
    hospital, finance = declared("demo-hospital")["columns"], declared("demo-finance")["columns"]
    assert tuple(hospital["postcode"]["categories"]) == tuple(finance["postcode"]["categories"]) == POSTCODES
    assert tuple(hospital["payer"]["categories"]) == PAYERS and tuple(hospital["triage"]["categories"]) == TRIAGE
    assert set(hospital["diagnosis"]["categories"]) == set(diagnoses.CODES)
    assert tuple(finance["employment"]["categories"]) == EMPLOYMENT and tuple(finance["status"]["categories"]) == STATUS
    assert tuple(finance["term_months"]["categories"]) == tuple(map(str, TERMS))


@pytest.mark.parametrize("name", ["demo-hospital", "demo-finance"])
def test_demo_policies_buy_domains_and_cap_a_lifetime(name: str) -> None:
    policy = declared(name)
    columns = policy["columns"].values()
    assert any(spec.get("bounds") == "private" for spec in columns)
    assert (
        any(spec.get("categories") == "private" for spec in columns) or name == "demo-hospital"
    )  # ICD codes are public
    assert policy["budget"]["lifetime"]["epsilon"] == pytest.approx(10 * policy["budget"]["epsilon"])
    assert policy["constraints"]
    assert all(isinstance(day, date) for spec in columns if spec["kind"] == "date" for day in spec["bounds"])


@pytest.mark.parametrize("kind", ["hospital", "finance"])
def test_invented_identifiers_of_the_demos_are_recognisable_and_nobodys(kind: simulate.Kind) -> None:
    """`real` is how the table writes them, and no invented value is one of the table's. Names alone may be somebody's."""
    policy, table = Policy.load(ROOT / "policies" / f"demo-{kind}.yaml"), getattr(simulate, kind)(2000)
    assert not any("invented" in warning or "identifier" in warning for warning in policy.warnings)
    for name, column in policy.model.columns.items():
        if column.released_as != "regenerate" or column.generator == "name":
            continue
        made = set(Invented(2000, column.generator, column.pattern, np.random.default_rng(1)).take(2000))
        assert made.isdisjoint(table[name]), name
        if column.generator is None:
            assert column.pattern == f"SYN-{column.real}"
            assert table[name].str.fullmatch(str(column.real).replace("#", "[0-9]")).all()
