"""The hospital demo: visits of patients to one invented hospital.

    postcode ──► deprivation ──► payer, diabetes, frailty
    age, sex, deprivation ─────► diabetes ──► HbA1c
    age, sex, diabetes, season ► diagnosis ──► admission type, triage, CRP, length of stay, medications, charge
    rare disease (0.1 %) ──────► diagnosis M06.1, ferritin far above everyone else's, more visits
    age, diabetes, deprivation ► frailty ──► number of visits, prior visits
    age, severity of diagnosis, length of stay, prior visits, deprivation ──► readmitted within 30 days
    readmitted ────────────────► the next visit begins within 30 days, else after 30 (consistent with the column)
    payer, length of stay ─────► charge (0 for charity, round packages for private planned stays)
    missing: HbA1c (young, not diabetic), ferritin (unless suspected), triage (planned), e-mail (old),
             postcode (charity), secondary diagnosis (none)

The names are drawn from Faker's pools and combined at random; any resemblance to a real person is coincidence.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from privsynth.policy.ages import ages_at
from privsynth.policy.moments import YEAR
from privsynth.simulate import diagnoses
from privsynth.simulate.diagnoses import SEVERITY
from privsynth.simulate.people import (
    Array,
    Rng,
    blank,
    calendar_days,
    check_size,
    choose,
    names,
    postcodes,
    sigmoid,
    to_dates,
    weekday,
)

MAX_VISITS = 15
FIRST_DAY, LAST_DAY = "2019-01-01", "2023-12-31"  # of a patient's first admission
LAST_ADMISSION = np.datetime64("2024-10-31", "D").astype(np.int64)  # of readmissions; stays end in 2024
LONGEST_STAY = 60
RARE_PREVALENCE = 0.001
PAYERS = ("statutory", "private", "self-pay", "charity")
TRIAGE = ("1 immediate", "2 very urgent", "3 urgent", "4 standard", "5 non-urgent")
CRP_LIMIT = 0.6  # mg/L; below it the laboratory reports the limit itself
_WEEKDAYS = (1.2, 1.1, 1.05, 1.0, 1.0, 0.75, 0.7)


@dataclass(frozen=True)
class _Patients:
    """One entry per patient; days count from 1970."""

    born: Array
    female: Array
    deprivation: Array
    postcode: Array
    payer: Array
    diabetic: Array
    rare: Array
    frailty: Array
    history: Array  # visits before the table begins
    first_day: Array


@dataclass(frozen=True)
class _Stays:
    """One entry per visit."""

    patient: Array
    prior: Array
    admitted: Array
    nights: Array
    planned: Array
    diagnosis: Array  # index into diagnoses.CODES
    triage: Array  # index into TRIAGE
    readmitted: Array


def hospital(patients: int, seed: int = 0) -> pd.DataFrame:
    """One row per visit, in order of admission; the module's docstring has the causal graph."""
    check_size(patients, "patients")
    rng = np.random.default_rng(seed)
    people = _make_patients(rng, patients)
    stays = _make_stays(rng, people)
    order = np.lexsort((stays.patient, stays.admitted))
    stays = _Stays(*(getattr(stays, field.name)[order] for field in fields(_Stays)))
    identity = _identity(rng, people)
    table = pd.DataFrame({"visit_id": [f"V{number:08d}" for number in range(1, len(order) + 1)]})
    for name, values in identity.items():
        table[name] = values[stays.patient]
    for part in (_course(rng, people, stays), _laboratory(rng, people, stays)):
        for name, values in part.items():
            table[name] = values
    table["charge"] = _charge(rng, people, stays)
    table["readmitted_30d"] = np.where(stays.readmitted, "yes", "no")
    return table


def years(born: Array, day: Array) -> Array:
    """Ages in years, which are whole on birthdays."""
    found: Array = ages_at(born.astype(float), day.astype(float)) / YEAR
    return found


def _make_patients(rng: Rng, n: int) -> _Patients:
    # Children, adults in the middle of life, and the old who fill most beds.
    group = rng.choice(3, n, p=[0.08, 0.47, 0.45])
    age = np.choose(group, [rng.gamma(1.2, 4.0, n), rng.normal(45, 14, n), rng.normal(73, 10, n)])
    age = np.clip(np.where((group > 0) & (age < 16), 16 + rng.gamma(2.0, 3.0, n), age), 0, 103)
    age = np.where((group == 0) & (rng.random(n) < 0.1), rng.uniform(0.01, 0.07, n), age)  # days old
    female = rng.random(n) < 0.53
    postcode, deprivation = postcodes(rng, n)
    diabetic = rng.random(n) < sigmoid(-3.0 + 0.04 * np.clip(age - 30, -20, 45) + 0.5 * deprivation - 0.2 * female)
    rare = rng.random(n) < RARE_PREVALENCE
    age_effect = 0.012 * np.clip(age - 40, 0, 45)
    frailty = rng.gamma(2.0, 0.5, n) * np.exp(age_effect + 0.4 * diabetic + 0.25 * deprivation + 0.8 * rare)
    poor = 1 + deprivation
    payer_weights = np.stack(
        [np.full(n, 8.0), np.clip(1.8 - poor, 0.2, None) * 1.2, 0.3 + 0.2 * poor, 0.1 + 0.35 * poor], 1
    )
    first_day = calendar_days(rng, n, FIRST_DAY, LAST_DAY, _WEEKDAYS, winter=0.15)
    return _Patients(
        born=first_day - np.floor(age * 365.25).astype(np.int64),
        female=female,
        deprivation=deprivation,
        postcode=postcode,
        payer=choose(rng, PAYERS, payer_weights),
        diabetic=diabetic,
        rare=rare,
        frailty=frailty,
        history=rng.poisson(0.5 * frailty * np.minimum(age / 3, 1)),
        first_day=first_day,
    )


def _make_stays(rng: Rng, people: _Patients) -> _Stays:
    """Visit by visit: each round holds the next visit of every patient who comes again."""
    who = np.arange(len(people.born))
    day, readmission, before = people.first_day, np.zeros(len(who), bool), np.full(len(who), -1)
    rounds: list[_Stays] = []
    for visit in range(MAX_VISITS):
        stay = _one_round(rng, people, who, day, readmission, before, visit)
        again = stay.readmitted
        gap = np.where(again, rng.integers(1, 31, len(who)), 31 + rng.exponential(240 / np.sqrt(people.frailty[who])))
        following = stay.admitted + stay.nights + gap.astype(np.int64)
        # The last possible visit cannot be followed by another, so it says so.
        open_end = (following <= LAST_ADMISSION) & (visit < MAX_VISITS - 1)
        again = again & open_end
        returns = rng.random(len(who)) < 1 - np.exp(-0.4 * people.frailty[who])
        in_window = following <= np.datetime64(LAST_DAY, "D").astype(np.int64)
        rounds.append(_Stays(**{**vars(stay), "readmitted": again}))
        comes = again | (returns & in_window & open_end & ~stay.readmitted)
        who, day, readmission, before = who[comes], following[comes], again[comes], stay.diagnosis[comes]
        if not len(who):
            break
    return _Stays(*(np.concatenate([getattr(r, field.name) for r in rounds]) for field in fields(_Stays)))


def _one_round(
    rng: Rng, people: _Patients, who: Array, day: Array, readmission: Array, before: Array, visit: int
) -> _Stays:
    n, age = len(who), years(people.born[who], day)
    diagnosis = diagnoses.draw(rng, age, people.female[who], people.diabetic[who], day)
    # Half of all returns are for what the patient came with before; the rare disease shows in most of its visits.
    same = (before >= 0) & (rng.random(n) < np.where(readmission, 0.6, 0.3)) & diagnoses.recurs(before, age)
    diagnosis = np.where(same, before, diagnosis)
    diagnosis = np.where(people.rare[who] & (age >= diagnoses.ADULT) & (rng.random(n) < 0.7), diagnoses.RARE, diagnosis)
    severity = SEVERITY[diagnosis]
    planned = ~readmission & (rng.random(n) < diagnoses.PLANNED[diagnosis])
    planned &= np.floor(years(people.born[who], day + 3)) == np.floor(age)  # nobody waits beyond a birthday
    # A planned stay does not begin on a weekend: it waits for Monday or Tuesday.
    late = weekday(day)
    admitted = day + np.where(planned & (late >= 5), 7 - late + rng.integers(0, 2, n), 0)
    urgency = 2.6 - 0.9 * severity - 0.008 * (age - 50) + rng.normal(0, 0.8, n)
    triage = np.clip(np.rint(urgency), 0, len(TRIAGE) - 1).astype(int)
    mean_nights = np.exp(0.35 + 0.75 * severity + 0.009 * (age - 50) - 0.5 * planned)
    # Nobody goes home on the day of a hip fracture.
    least = (severity > 0.5) & ~planned
    nights = np.clip(least + rng.poisson(rng.gamma(1.6, mean_nights / 1.6)), 0, LONGEST_STAY)
    prior = people.history[who] + visit
    logit = (
        -3.6 + 0.022 * (age - 50) + 1.1 * severity + 0.045 * np.minimum(nights, 20) + 0.42 * np.log1p(prior)
        + 0.3 * people.deprivation[who] - 0.6 * planned
    )  # fmt: skip
    return _Stays(who, prior, admitted, nights, planned, diagnosis, triage, rng.random(n) < sigmoid(logit))


def _identity(rng: Rng, people: _Patients) -> dict[str, Array]:
    """Constant columns of a patient, one entry per patient."""
    n = len(people.born)
    called = names(rng, people.female)
    age = (people.first_day - people.born) / 365.25
    numbers = rng.choice(np.arange(10 * n), n, replace=False) + 10_000_000  # a record number tells no order
    sex = np.where(rng.random(n) < 0.003, "unknown", np.where(people.female, "female", "male")).astype(object)
    return {
        "record_number": np.array([f"MRN-{number:08d}" for number in numbers], dtype=object),
        "name": called.full,
        "email": blank(called.email, rng.random(n) < sigmoid(-3.0 + 0.05 * np.maximum(age - 30, -10))),
        "birth_date": to_dates(people.born),
        "sex": sex,
        "postcode": blank(people.postcode, rng.random(n) < np.where(people.payer == "charity", 0.25, 0.015)),
        "payer": people.payer,
    }


def _course(rng: Rng, people: _Patients, stays: _Stays) -> dict[str, Array]:
    """What happened during the stay."""
    n, who = len(stays.patient), stays.patient
    age, severity = years(people.born[who], stays.admitted), SEVERITY[stays.diagnosis]
    medications = rng.poisson(
        np.clip(1.0 + 0.05 * age + 2.0 * people.diabetic[who] + 2.0 * severity + 0.15 * stays.nights, 0.3, 30)
    )
    return {
        "admission_type": np.where(stays.planned, "planned", "emergency").astype(object),
        "triage": blank(np.array(TRIAGE, dtype=object)[stays.triage], stays.planned | (rng.random(n) < 0.01)),
        "admitted": to_dates(stays.admitted),
        "discharged": to_dates(stays.admitted + stays.nights),
        "department": diagnoses.department(stays.diagnosis, age),
        "diagnosis": diagnoses.CODES[stays.diagnosis],
        "secondary_diagnosis": diagnoses.secondary(rng, age, people.diabetic[who], stays.diagnosis),
        "num_medications": np.minimum(medications, 40),
        "prior_visits": stays.prior,
    }


def _laboratory(rng: Rng, people: _Patients, stays: _Stays) -> dict[str, Array]:
    n, who = len(stays.patient), stays.patient
    age, diabetic, rare = (stays.admitted - people.born[who]) / 365.25, people.diabetic[who], people.rare[who]
    habit = rng.normal(0, 0.9, len(people.born))[who]  # a patient's own level of glucose control
    hba1c = np.where(
        diabetic, 7.4 + habit + rng.gamma(1.5, 0.4, n), 5.3 + 0.006 * (age - 40) + 0.2 * habit
    ) + rng.normal(0, 0.15, n)
    unmeasured = rng.random(n) < np.where(diabetic, 0.12, sigmoid(1.6 - 0.02 * (age - 40)))
    crp = np.maximum(
        np.exp(rng.normal(1.0 + 2.0 * SEVERITY[stays.diagnosis] * diagnoses.INFLAMED[stays.diagnosis], 1.2)), CRP_LIMIT
    )
    ferritin = np.exp(
        rng.normal(np.where(rare, 8.7, np.where(people.female[who], 4.3, 4.9)), np.where(rare, 0.35, 0.75))
    )
    return {
        "hba1c": np.where(unmeasured, np.nan, np.clip(hba1c, 3.8, 16.0).round(1)),
        "crp": np.where(rng.random(n) < np.where(stays.planned, 0.5, 0.08), np.nan, np.minimum(crp, 600).round(1)),
        "ferritin": np.where(rng.random(n) < np.where(rare, 0.05, 0.7), np.nan, np.clip(ferritin, 3, 40_000).round()),
    }


def _charge(rng: Rng, people: _Patients, stays: _Stays) -> Array:
    """Lognormal with a long tail; 0 for charity, round packages for planned stays of private patients."""
    n, payer = len(stays.patient), people.payer[stays.patient]
    first = np.exp(rng.normal(6.9 + 0.9 * SEVERITY[stays.diagnosis], 0.7, n))
    daily = 620 * np.exp(rng.normal(0, 0.25, n)) * stays.nights
    amount = (first + daily) * np.where(payer == "private", 1.6, 1.0)
    package = (payer == "private") & stays.planned & (rng.random(n) < 0.7)
    amount = np.where(package, np.maximum(np.rint(amount / 500), 1) * 500, amount)
    return np.where(payer == "charity", 0.0, amount).round(2)
