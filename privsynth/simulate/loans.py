"""The finance demo: loan applications to one invented bank, one per person.

    prudence (hidden), age, postcode ──► employment ──► income
    prudence, income ─────────────────► debt, delinquencies, existing products
    prudence, delinquencies, debt, age ► credit score
    age, debt ────────────────────────► purpose ──► loan amount (with income) ──► term
    credit score, term ───────────────► interest rate
    credit score, income, loan amount ► status ──► decided (weekdays only; later for the self-employed)
    delinquencies, debt and loan against income, score, employment ──► default within 12 months
    missing: income (self-employed), credit score (young, thin file), interest rate (declined),
             decided (withdrawn before a decision), years employed (not in work)

`default_12m` is a credit bureau's record of the applicant, on any credit: it exists whether or not this loan was
granted, so the target is known in every row. Names are drawn from Faker's pools and combined at random; account
numbers start with ZZ, which ISO 3166 assigns to no country.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from privsynth.simulate.people import (
    Array,
    Rng,
    calendar_days,
    check_size,
    choose,
    names,
    postcodes,
    sigmoid,
    to_dates,
    weekday,
)

FIRST_DAY, LAST_DAY = "2022-01-01", "2024-12-31"  # of an application
LONGEST_WAIT = 45  # days from application to decision
EMPLOYMENT = ("employed", "public service", "self-employed", "retired", "student", "unemployed")
PURPOSES = (
    "car",
    "home improvement",
    "debt consolidation",
    "furniture",
    "education",
    "medical",
    "moving",
    "travel",
    "other",
)
TERMS = (12, 24, 36, 48, 60, 72, 84)
STATUS = ("approved", "declined", "withdrawn")
_WEEKDAYS = (1.3, 1.15, 1.05, 1.0, 1.0, 0.5, 0.35)
# The usual amount of each purpose.
_AMOUNTS = np.array([14_000, 12_000, 15_000, 4_000, 6_500, 4_500, 3_000, 3_500, 5_000.0])


@dataclass(frozen=True)
class _Applicants:
    age: Array
    female: Array
    deprivation: Array
    postcode: Array
    prudence: Array
    employment: Array
    income: Array  # true yearly income, stated or not


def finance(applications: int, seed: int = 0) -> pd.DataFrame:
    """One row per application, in order of date; the module's docstring has the causal graph."""
    check_size(applications, "applications")
    rng = np.random.default_rng(seed)
    n = applications
    people = _make_applicants(rng, n)
    applied = np.sort(calendar_days(rng, n, FIRST_DAY, LAST_DAY, _WEEKDAYS, winter=-0.12))
    past = _credit_past(rng, people)
    loan = _loan(rng, people, past)
    called = names(rng, people.female)
    working = np.isin(people.employment, ["employed", "public service", "self-employed"])
    unstated = rng.random(n) < np.select([people.employment == "self-employed", ~working], [0.28, 0.08], 0.02)
    years = np.minimum(rng.gamma(1.3, 6.0, n), np.maximum(people.age - 17, 0)).round(1)
    table = pd.DataFrame(
        {
            "application_id": [f"LA-{number:07d}" for number in range(1, n + 1)],
            "name": called.full,
            "email": called.email,
            "account_number": _accounts(rng, n),
            "birth_date": to_dates(applied - np.floor(people.age * 365.25).astype(np.int64)),
            "postcode": people.postcode,
            "sex": np.where(rng.random(n) < 0.002, "unknown", np.where(people.female, "female", "male")),
            "employment": people.employment,
            "years_employed": np.where(working, years, np.nan),
            "income": pd.array(np.where(unstated, np.nan, people.income), dtype="Int64"),
            **past,
            **loan,
        }
    )
    table["credit_score"] = table["credit_score"].mask(rng.random(n) < sigmoid(-1.2 - 0.12 * (people.age - 22)))
    status, decided = _decision(rng, people, past, loan, applied)
    table["interest_rate"] = table["interest_rate"].mask(status == "declined")
    table["status"], table["applied"], table["decided"] = status, to_dates(applied), decided
    table["default_12m"] = np.where(rng.random(n) < _default(people, past, loan), "yes", "no")
    return table


def _make_applicants(rng: Rng, n: int) -> _Applicants:
    age = np.clip(18 + rng.gamma(3.0, 8.0, n), 18, 88)
    female = rng.random(n) < 0.47
    postcode, deprivation = postcodes(rng, n)
    prudence = rng.normal(0, 1, n)
    old, young = sigmoid((age - 65.5) / 1.2), sigmoid((24 - age) / 1.8)
    weights = np.stack(
        [6 * (1 - old) * (1 - 0.6 * young),
         1.6 * (1 - old) * np.exp(0.3 * prudence),
         1.1 * (1 - old) * (1 - 0.7 * young),
         9 * old,
         4 * young,
         0.5 * (1 - old) * np.exp(0.7 * deprivation - 0.4 * prudence)],
        axis=1,
    )  # fmt: skip
    employment = choose(rng, EMPLOYMENT, weights)
    centre = np.select([employment == name for name in EMPLOYMENT], [10.55, 10.60, 10.60, 10.05, 9.2, 9.25])
    spread = np.where(employment == "self-employed", 0.75, 0.42)
    career = 0.012 * np.clip(age - 40, -20, 15)
    income = np.exp(rng.normal(centre + career - 0.15 * deprivation - 0.1 * female, spread))
    income = income * np.where(rng.random(n) < 0.015, 1 + rng.pareto(1.8, n), 1.0)  # a few very rich
    return _Applicants(
        age, female, deprivation, postcode, prudence, employment, _rounded(rng, np.clip(income, 3_000, 5e6))
    )


def _rounded(rng: Rng, amount: Array) -> Array:
    """As people state a yearly sum: most round to 1,000, some to 500 or 5,000, some know it exactly."""
    step = rng.choice([1.0, 500.0, 1_000.0, 5_000.0], len(amount), p=[0.22, 0.13, 0.45, 0.20])
    stated: Array = (np.rint(amount / step) * step).astype(np.int64).clip(3_000)
    return stated


def _credit_past(rng: Rng, people: _Applicants) -> dict[str, Array]:
    n = len(people.age)
    share = np.exp(rng.normal(-1.4 - 0.25 * people.prudence, 0.9))
    debt = np.where(rng.random(n) < sigmoid(-1.1 + 0.35 * people.prudence), 0.0, people.income * share)
    troubled = rng.random(n) < sigmoid(-2.0 - 0.9 * people.prudence + 0.35 * people.deprivation)
    delinquencies = np.where(troubled, rng.geometric(0.5, n), 0).clip(0, 12)
    strain = np.log1p(debt / people.income)
    score = (
        660 + 50 * people.prudence - 28 * delinquencies - 60 * strain + 0.8 * (people.age - 40) + rng.normal(0, 28, n)
    )
    products = rng.poisson(np.clip(0.8 + 0.02 * (people.age - 20) + 0.25 * (debt > 0), 0.3, 3))
    return {
        "debt": debt.round(2),
        "existing_products": products.clip(0, 9),
        "delinquencies": delinquencies,
        "credit_score": pd.array(np.rint(score).clip(300, 850), dtype="Int64"),
    }


def _loan(rng: Rng, people: _Applicants, past: dict[str, Array]) -> dict[str, Array]:
    n, age = len(people.age), people.age
    one = np.ones(n)
    weights = np.stack(
        [2.2 * one,
         0.4 + 0.04 * (age - 18),
         0.3 + 2.2 * (past["debt"] > 0.3 * people.income),
         one,
         2.2 * sigmoid((28 - age) / 3),
         0.3 + 0.015 * (age - 18),
         0.9 * sigmoid((38 - age) / 6) + 0.1,
         0.7 * one,
         0.8 * one],
        axis=1,
    )  # fmt: skip
    purpose = choose(rng, PURPOSES, weights)
    usual = np.select([purpose == name for name in PURPOSES], list(_AMOUNTS))
    amount = usual * (people.income / 38_000) ** 0.35 * np.exp(rng.normal(0, 0.45, n))
    step = rng.choice([100.0, 500.0, 1_000.0, 5_000.0], n, p=[0.12, 0.23, 0.40, 0.25])  # people ask for round sums
    amount = np.clip(np.rint(amount / step) * step, 1_000, 75_000).astype(np.int64)
    length = np.log2(amount / 1_000) * 0.75 + rng.normal(0, 0.9, n)
    term = np.array(TERMS)[np.clip(np.rint(length), 0, len(TERMS) - 1).astype(int)]
    score = np.asarray(past["credit_score"], dtype=float)
    rate = 4.2 + np.maximum(790 - score, 0) / 32 + 0.012 * term + rng.normal(0, 0.5, n)
    listed = np.floor(rate) + np.where(rate % 1 < 0.5, 0.49, 0.99)  # price points of the bank's list
    rate = np.where(rng.random(n) < 0.6, listed, rate).clip(2.49, 24.99).round(2)
    return {"purpose": purpose, "loan_amount": amount, "term_months": term, "interest_rate": rate}


def _decision(
    rng: Rng, people: _Applicants, past: dict[str, Array], loan: dict[str, Array], applied: Array
) -> tuple[Array, Array]:
    """(status, day of the decision or NaT)."""
    n = len(applied)
    score = np.asarray(past["credit_score"], dtype=float)
    burden = (past["debt"] + loan["loan_amount"]) / people.income
    declined = rng.random(n) < sigmoid(-1.6 - (score - 640) / 45 + 0.9 * burden)
    withdrawn = rng.random(n) < 0.06
    wait = rng.poisson(np.where(people.employment == "self-employed", 7.0, 3.0) * rng.gamma(1.2, 1 / 1.2, n))
    decided = applied + wait.clip(0, LONGEST_WAIT - 2)
    decided = decided + np.maximum(7 - weekday(decided), 0) * (weekday(decided) >= 5)  # nobody decides on a weekend
    status = np.where(withdrawn, "withdrawn", np.where(declined, "declined", "approved")).astype(object)
    return status, np.where(withdrawn, np.datetime64("NaT", "ns"), to_dates(decided))


def _default(people: _Applicants, past: dict[str, Array], loan: dict[str, Array]) -> Array:
    """Probability of a default within twelve months."""
    burden = np.log1p((past["debt"] + loan["loan_amount"]) / people.income)
    score = np.asarray(past["credit_score"], dtype=float)
    unsafe = 0.8 * (people.employment == "unemployed") + 0.35 * (people.employment == "self-employed")
    return sigmoid(-3.4 + 0.40 * past["delinquencies"] + 1.3 * burden - (score - 650) / 110 + unsafe)


def _accounts(rng: Rng, n: int) -> Array:
    """Numbers that look like an IBAN."""
    check, bank, number = rng.integers(10, 99, n), rng.integers(10**7, 10**8, n), rng.integers(10**9, 10**10, n)
    return np.array([f"ZZ{a}{b}{c}" for a, b, c in zip(check, bank, number, strict=True)], dtype=object)
