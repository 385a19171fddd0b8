"""The demo tables keep the rules that their causal graphs state, at any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privsynth import simulate
from privsynth.errors import InputError
from privsynth.simulate.patients import CRP_LIMIT, MAX_VISITS, RARE_PREVALENCE

HOSPITAL = [
    "visit_id", "record_number", "name", "email", "birth_date", "sex", "postcode", "payer", "admission_type", "triage",
    "admitted", "discharged", "department", "diagnosis", "secondary_diagnosis", "num_medications", "prior_visits",
    "hba1c", "crp", "ferritin", "charge", "readmitted_30d",
]  # fmt: skip
FINANCE = [
    "application_id", "name", "email", "account_number", "birth_date", "postcode", "sex", "employment",
    "years_employed", "income", "debt", "existing_products", "delinquencies", "credit_score", "purpose", "loan_amount",
    "term_months", "interest_rate", "status", "applied", "decided", "default_12m",
]  # fmt: skip


@pytest.fixture(scope="module")
def visits() -> pd.DataFrame:
    return simulate.hospital(40_000, seed=7)


@pytest.fixture(scope="module")
def loans() -> pd.DataFrame:
    return simulate.finance(40_000, seed=7)


def rate(table: pd.DataFrame, where: pd.Series | np.ndarray, column: str, value: str = "yes") -> float:
    return float((table.loc[where, column] == value).mean())


def age(table: pd.DataFrame, on: str) -> pd.Series:
    return (table[on] - table["birth_date"]).dt.days / 365.25


# --- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 20, 300])
def test_any_size_works(size: int) -> None:
    visits, loans = simulate.hospital(size, seed=size), simulate.finance(size, seed=size)
    assert list(visits) == HOSPITAL and list(loans) == FINANCE
    assert visits["record_number"].nunique() == size and len(loans) == size
    assert set(visits["readmitted_30d"]) | set(loans["default_12m"]) <= {"yes", "no"}


@pytest.mark.parametrize("make", [simulate.hospital, simulate.finance])
def test_seed_repeats_and_another_seed_differs(make) -> None:
    first = make(200, seed=3)
    pd.testing.assert_frame_equal(first, make(200, seed=3))
    assert not first.equals(make(200, seed=4))


@pytest.mark.parametrize("make", [simulate.hospital, simulate.finance])
@pytest.mark.parametrize("size", [0, -5])
def test_no_people_is_refused(make, size: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        make(size)


@pytest.mark.parametrize("kind", ["hospital", "finance"])
def test_csv_holds_the_table(tmp_path: Path, kind: simulate.Kind) -> None:
    out = simulate.write_demo(kind, tmp_path / "new" / f"{kind}.csv", 50, seed=1)
    again = simulate.write_demo(kind, tmp_path / "again.csv", 50, seed=1)
    assert out.read_bytes() == again.read_bytes()
    read = pd.read_csv(out, dtype=str, keep_default_na=False)
    made = (simulate.hospital if kind == "hospital" else simulate.finance)(50, seed=1)
    assert list(read) == list(made) and len(read) == len(made)
    for name, column in made.items():
        assert ((read[name] == "") == column.isna()).all(), "missing is an empty cell, and nothing else is"
        if pd.api.types.is_datetime64_any_dtype(column):
            assert read[name].str.fullmatch(r"\d{4}-\d{2}-\d{2}|").all()
        if pd.api.types.is_integer_dtype(column):
            assert read[name].str.fullmatch(r"-?\d*").all()


def test_default_size_of_finance_is_what_its_policy_declares(tmp_path: Path) -> None:
    assert (
        len(pd.read_csv(simulate.write_demo("finance", tmp_path / "f.csv"))) == simulate.DEMO_SIZES["finance"] == 12_000
    )


def test_unknown_demo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hospital or finance"):
        simulate.write_demo("airport", tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


def test_addresses_and_accounts_can_belong_to_nobody(visits: pd.DataFrame, loans: pd.DataFrame) -> None:
    for table in (visits, loans):
        assert table["email"].dropna().str.fullmatch(r"[^@\s]+@(mail|post|web)\.example").all()
    assert loans["account_number"].str.fullmatch(r"ZZ\d{20}").all()


# --- hospital ---------------------------------------------------------------------------------------------------------


def test_patient_is_constant_over_visits(visits: pd.DataFrame) -> None:
    of_patient = visits.groupby("record_number")[["name", "email", "birth_date", "sex", "postcode", "payer"]]
    assert (of_patient.nunique(dropna=False) == 1).all(axis=None)
    assert visits["visit_id"].is_unique


def test_number_of_visits_is_skewed(visits: pd.DataFrame) -> None:
    counts = visits.groupby("record_number").size()
    assert counts.min() == 1 and 8 < counts.max() <= MAX_VISITS
    assert counts.median() < counts.mean() and counts.skew() > 2
    assert 0.2 < (counts > 1).mean() < 0.6


def test_dates_are_in_order(visits: pd.DataFrame) -> None:
    assert (visits["birth_date"] <= visits["admitted"]).all()
    assert (visits["admitted"] <= visits["discharged"]).all()
    assert visits["admitted"].is_monotonic_increasing


def test_prior_visits_count_up(visits: pd.DataFrame) -> None:
    step = visits.sort_values(["record_number", "admitted"]).groupby("record_number")["prior_visits"].diff().dropna()
    assert (step == 1).all()


def test_readmission_is_what_the_next_visit_says(visits: pd.DataFrame) -> None:
    ordered = visits.sort_values(["record_number", "admitted"])
    following = ordered.groupby("record_number")["admitted"].shift(-1)
    gap = (following - ordered["discharged"]).dt.days
    assert (gap.dropna() >= 1).all()
    assert ((gap <= 30) == (ordered["readmitted_30d"] == "yes")).all()


def test_rare_disease_is_rare_and_marked(visits: pd.DataFrame) -> None:
    ill = visits["diagnosis"] == "M06.1"
    share = visits.loc[ill, "record_number"].nunique() / visits["record_number"].nunique()
    assert 0.4 * RARE_PREVALENCE < share < 1.8 * RARE_PREVALENCE
    assert visits.loc[ill, "ferritin"].median() > 20 * visits.loc[~ill, "ferritin"].median()


def test_diagnoses_have_a_long_tail(visits: pd.DataFrame) -> None:
    counts = visits["diagnosis"].value_counts()
    assert 100 <= len(counts) <= 150
    assert counts.head(10).sum() > 0.2 * len(visits) and (counts < 0.002 * len(visits)).sum() > 10


def test_diagnoses_depend_on_age_and_sex(visits: pd.DataFrame) -> None:
    years = age(visits, "admitted")
    births = visits["diagnosis"].str.startswith("O")
    assert births.sum() > 50 and not (births & (visits["sex"] == "male")).any()
    assert years[births].between(14.9, 50.1).all()
    assert not ((visits["diagnosis"] == "C61") & (visits["sex"] == "female")).any()
    assert years[visits["diagnosis"] == "I50.9"].median() > years[visits["diagnosis"] == "F32.9"].median() + 10
    winter = visits["admitted"].dt.month.isin([12, 1, 2, 3])
    assert rate(visits, winter, "diagnosis", "J18.9") > 1.3 * rate(visits, ~winter, "diagnosis", "J18.9")


def test_children_are_treated_as_such(visits: pd.DataFrame) -> None:
    years = age(visits, "admitted")
    child = years < 14.99
    assert set(visits.loc[child, "department"]) == {"paediatrics", "surgery"}
    assert not (visits["department"] == "paediatrics")[years > 15.01].any()
    assert set(visits.loc[child, "secondary_diagnosis"].dropna()) == {"J45.909", "E10.9"}
    newborn = visits["diagnosis"] == "P59.9"
    assert newborn.sum() > 50 and years[newborn].max() < 0.1
    assert years[visits["diagnosis"].isin(["G30.9", "F03.90", "C61"])].min() > 40


def test_numbers_have_spikes_and_tails(visits: pd.DataFrame) -> None:
    charge = visits["charge"]
    assert ((charge == 0) == (visits["payer"] == "charity")).all() and 0.01 < (charge == 0).mean() < 0.15
    assert ((charge > 0) & (charge % 500 == 0)).mean() > 0.005
    assert charge.max() > 5 * charge.mean() and (charge.round(2) == charge).all()
    at_limit = (visits["crp"] == CRP_LIMIT).sum()
    assert (
        at_limit > 3 * visits["crp"].between(CRP_LIMIT + 0.05, CRP_LIMIT + 0.15).sum()
        and visits["crp"].min() == CRP_LIMIT
    )


def test_planned_stays_avoid_weekends(visits: pd.DataFrame) -> None:
    assert not ((visits["admission_type"] == "planned") & (visits["admitted"].dt.dayofweek >= 5)).any()


def test_hospital_missingness_depends(visits: pd.DataFrame) -> None:
    years, diabetic = age(visits, "admitted"), visits["diagnosis"].str.match("E1[01]")
    no_hba1c = visits["hba1c"].isna()
    assert no_hba1c[diabetic].mean() < 0.3 < no_hba1c[~diabetic].mean()
    assert no_hba1c[~diabetic & (years < 30)].mean() > no_hba1c[~diabetic & (years > 70)].mean() + 0.1
    assert visits.loc[visits["admission_type"] == "planned", "triage"].isna().all()
    assert visits["postcode"].isna()[visits["payer"] == "charity"].mean() > 0.1 > visits["postcode"].isna().mean() > 0
    assert visits["email"].isna()[years > 75].mean() > visits["email"].isna()[years < 40].mean() + 0.2


def test_readmission_depends_on_its_causes(visits: pd.DataFrame) -> None:
    years, nights = age(visits, "admitted"), (visits["discharged"] - visits["admitted"]).dt.days
    assert 0.05 < rate(visits, years > -1, "readmitted_30d") < 0.2
    assert rate(visits, years > 75, "readmitted_30d") > 1.5 * rate(visits, years < 45, "readmitted_30d")
    assert rate(visits, nights >= 7, "readmitted_30d") > 1.3 * rate(visits, nights <= 1, "readmitted_30d")
    assert rate(visits, visits["prior_visits"] >= 4, "readmitted_30d") > 1.5 * rate(
        visits, visits["prior_visits"] == 0, "readmitted_30d"
    )
    heart, eye = visits["diagnosis"] == "I50.9", visits["diagnosis"] == "H25.9"
    assert rate(visits, heart, "readmitted_30d") > 2 * rate(visits, eye, "readmitted_30d")


# --- finance ----------------------------------------------------------------------------------------------------------


def test_decisions_follow_applications(loans: pd.DataFrame) -> None:
    known = loans["decided"].notna()
    assert (loans.loc[known, "applied"] <= loans.loc[known, "decided"]).all()
    assert (known == (loans["status"] != "withdrawn")).all()
    assert (loans.loc[known, "decided"].dt.dayofweek < 5).all()
    assert loans["application_id"].is_unique and (age(loans, "applied") >= 17.99).all()


def test_sums_are_round_and_heavy_tailed(loans: pd.DataFrame) -> None:
    assert (loans["loan_amount"] % 1000 == 0).mean() > 0.5
    assert (loans["income"].dropna() % 1000 == 0).mean() > 0.4
    assert loans["income"].max() > 10 * loans["income"].median()
    assert (loans["debt"] == 0).mean() > 0.1 and (loans["debt"].round(2) == loans["debt"]).all()
    assert 0.6 < (loans["delinquencies"] == 0).mean() < 0.97 and loans["delinquencies"].max() >= 4
    assert loans["interest_rate"].dropna().astype(str).str.endswith(("49", "99")).mean() > 0.4


def test_finance_missingness_depends(loans: pd.DataFrame) -> None:
    own = loans["employment"] == "self-employed"
    assert loans["income"].isna()[own].mean() > 5 * loans["income"].isna()[loans["employment"] == "employed"].mean() > 0
    years = age(loans, "applied")
    assert loans["credit_score"].isna()[years < 25].mean() > 3 * loans["credit_score"].isna()[years > 45].mean()
    assert (loans["interest_rate"].isna() == (loans["status"] == "declined")).all()


def test_default_depends_on_its_causes(loans: pd.DataFrame) -> None:
    late, score = loans["delinquencies"], loans["credit_score"].astype(float)
    assert 0.04 < rate(loans, late >= 0, "default_12m") < 0.2
    assert rate(loans, late >= 2, "default_12m") > 2 * rate(loans, late == 0, "default_12m")
    assert rate(loans, score < 580, "default_12m") > 2 * rate(loans, score > 700, "default_12m")
    burden = (loans["debt"] + loans["loan_amount"]) / loans["income"].astype(float)
    assert rate(loans, burden > 1, "default_12m") > 1.5 * rate(loans, burden < 0.3, "default_12m")


def test_price_follows_risk(loans: pd.DataFrame) -> None:
    both = loans[["credit_score", "interest_rate"]].astype(float).dropna()
    assert both.corr().iloc[0, 1] < -0.5


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_seconds() -> None:
    assert len(simulate.hospital(55_000)) > 95_000
    assert len(simulate.finance(100_000)) == 100_000
