"""Diagnoses of the hospital demo: 143 ICD-10 codes with a long tail, by age, sex, diabetes and season."""

from __future__ import annotations

import numpy as np
import pandas as pd

from privsynth.simulate.people import NOTHING, Array, Rng

# department | codes, the commonest first | share | age: peak, spread | factor for women | severity | planned | winter
_BLOCKS = """
medicine    | A41.9 A09 A49.9 A04.7 B34.9 B37.0 A46 B02.9              | 5.0 | 72 30 | 1.0 | 0.9 | 0.02 | 1.2
surgery     | C18.9 C34.9 C50.9 C20 C25.9 C67.9 C56 C43.9 D12.6        | 5.0 | 68 14 | 1.0 | 1.0 | 0.75 | 1.0
urology     | C61 N40.1                                                | 2.0 | 72 10 | 0.0 | 0.5 | 0.70 | 1.0
medicine    | D64.9 D50.9 D62 D69.6 D70.9                              | 2.5 | 70 22 | 1.1 | 0.5 | 0.25 | 1.0
medicine    | E11.9 E11.65 E11.22 E11.40 E11.51 E10.65 E10.10          | 2.0 | 65 22 | 0.9 | 0.6 | 0.20 | 1.0
medicine    | E87.1 E86.0 E87.6 E05.9 E66.01                           | 3.0 | 72 25 | 1.2 | 0.5 | 0.10 | 1.0
psychiatry  | F32.9 F10.20 F20.9 F43.2 F41.9 F33.2 F11.20              | 5.0 | 42 16 | 0.9 | 0.4 | 0.25 | 1.0
medicine    | F05 G30.9 G20 F03.90                                     | 3.0 | 83 9  | 1.1 | 0.8 | 0.10 | 1.0
neurology   | G40.9 G45.9 G43.9 G35 G47.33 G62.9                       | 4.0 | 55 24 | 1.1 | 0.5 | 0.30 | 1.0
ophthalmology | H25.9 H40.9 H33.0 H81.1                                | 2.5 | 72 14 | 1.1 | 0.1 | 0.80 | 1.0
cardiology  | I50.9 I48.91 I25.10 I10 I35.0 I47.1 I71.4                | 10. | 75 13 | 0.9 | 0.9 | 0.30 | 1.2
cardiology  | I21.4 I20.0 I21.9 I26.99                                 | 5.0 | 70 13 | 0.6 | 1.0 | 0.01 | 1.2
neurology   | I63.9 I61.9 I67.9                                        | 4.0 | 76 12 | 1.0 | 1.1 | 0.03 | 1.0
surgery     | I83.9 I70.2 I80.2                                        | 2.0 | 66 14 | 1.0 | 0.5 | 0.50 | 1.0
medicine    | J18.9 J44.1 J20.9 J96.01 J69.0 J15.9                     | 8.0 | 74 20 | 0.9 | 0.9 | 0.04 | 2.2
paediatrics | J21.9 J06.9 J45.901 J03.90 A08.0 R56.00 P59.9            | 6.0 | 2  5  | 0.9 | 0.3 | 0.05 | 2.2
surgery     | K80.20 K40.90 K57.32                                     | 4.0 | 58 18 | 0.9 | 0.4 | 0.60 | 1.0
surgery     | K35.80 K56.60 K85.9 K81.0                                | 4.0 | 42 24 | 0.9 | 0.6 | 0.02 | 1.0
medicine    | K92.2 K29.70 K50.90 K70.30 K21.9 K59.00                  | 5.0 | 60 22 | 0.9 | 0.6 | 0.15 | 1.0
surgery     | L03.115 L02.91 L97.9 L89.90                              | 3.0 | 62 22 | 0.9 | 0.6 | 0.10 | 1.0
orthopaedics | M17.1 M16.1 M54.5 M51.2 M48.06 M75.1 M23.2              | 8.0 | 64 15 | 1.1 | 0.3 | 0.85 | 1.0
medicine    | N39.0 N17.9 N18.6 N10                                    | 5.0 | 74 22 | 1.4 | 0.7 | 0.08 | 1.0
urology     | N20.1 N13.30 R31.9                                       | 2.5 | 52 17 | 0.6 | 0.3 | 0.40 | 1.0
obstetrics  | O80 O82 O42.9 O14.9 O62.1 O70.1 O03.9                    | 30. | 31 5  | inf | 0.1 | 0.45 | 1.0
gynaecology | D25.9 N81.4 N92.1                                        | 2.0 | 50 12 | inf | 0.2 | 0.85 | 1.0
medicine    | R07.9 R55 R10.9 R06.0 R50.9                              | 6.0 | 60 24 | 1.1 | 0.2 | 0.05 | 1.0
orthopaedics | S72.00 S82.6 S52.50 S42.20 S32.0                        | 6.0 | 76 22 | 1.5 | 0.8 | 0.04 | 1.2
surgery     | S06.0 S01.0 T81.4 T50.9                                  | 3.0 | 38 26 | 0.8 | 0.4 | 0.03 | 1.0
medicine    | M06.1                                                    | 0.0 | 45 20 | 1.0 | 0.8 | 0.20 | 1.0
"""
_AGE_BIN, _AGE_BINS = 5, 21
ADULT = 15  # years from which on a patient is admitted as adults are
# What children below that come with, besides the diseases of paediatrics.
_OF_CHILDREN = (
    "A09", "A49.9", "B34.9", "E10.65", "E10.10", "G40.9", "G43.9", "K35.80", "K59.00", "L02.91", "R10.9", "R50.9", "R55",
    "S06.0", "S01.0", "T50.9",
)  # fmt: skip
# Diseases of the first years of life: the age from which on it is a common cold instead. Jaundice is what newborns come with.
_UNTIL = {"P59.9": 28 / 365, "J21.9": 2.0, "R56.00": 6.0}
_JAUNDICE = 0.6
_ZIPF = 1.1
# Chronic conditions recorded in addition to the main diagnosis: weight and the age at which they become common.
_SECONDARY = {"I10": (3.0, 50), "E78.5": (1.6, 50), "I25.10": (1.0, 62), "I48.91": (1.0, 68), "N18.3": (0.8, 68),
              "J44.9": (0.9, 58), "E66.9": (0.8, 30), "F17.210": (0.9, 18), "F32.9": (0.7, 18), "E03.9": (0.6, 40),
              "M81.0": (0.5, 68), "J45.909": (0.25, 3), "D64.9": (0.3, 60), "G47.33": (0.3, 40)}  # fmt: skip
_OF_CHILDREN_TOO = "J45.909"


def _catalogue() -> pd.DataFrame:
    """One row per code, with the attributes of its block."""
    rows = []
    for line in _BLOCKS.strip().splitlines():
        department, codes, share, ages, women, severity, planned, winter = (cell.strip() for cell in line.split("|"))
        listed = codes.split()
        zipf = np.arange(1, len(listed) + 1) ** -_ZIPF
        shares = float(share) * zipf / zipf.sum()
        numbers = [float(cell) for cell in (*ages.split(), women, severity, planned, winter)]
        rows += [(code, department, part, *numbers) for code, part in zip(listed, shares, strict=True)]
    names = ["code", "department", "share", "peak", "spread", "women", "severity", "planned", "winter"]
    return pd.DataFrame(rows, columns=names)


_ALL = _catalogue()
CODES: Array = _ALL["code"].to_numpy(dtype=object)
DEPARTMENT: Array = _ALL["department"].to_numpy(dtype=object)
SEVERITY: Array = _ALL["severity"].to_numpy()
PLANNED: Array = _ALL["planned"].to_numpy()
_COLD = int(np.flatnonzero(CODES == "J06.9")[0])
RARE = int(np.flatnonzero(CODES == "M06.1")[0])  # adult-onset Still's disease
_LETTER = _ALL["code"].str[0]
INFLAMED: Array = np.where(
    _LETTER.isin(["A", "B", "J", "L"]) | _ALL["code"].isin(["M06.1", "K35.80", "K81.0", "N39.0", "N10"]), 1.0, 0.2
)
# Conditions for which nobody is admitted twice: an appendix is removed once.
REPEATS: Array = ~(
    _LETTER.isin(["O", "S", "H"]) | _ALL["code"].isin(["K35.80", "K80.20", "K40.90", "M17.1", "M16.1"])
).to_numpy()


def _profiles() -> Array:
    """Cumulative shares of the codes for each profile: age bin x man/woman x diabetic x winter."""
    age = (np.arange(_AGE_BINS) + 0.5)[:, None] * _AGE_BIN
    near = np.exp(-0.5 * ((age - _ALL["peak"].to_numpy()) / _ALL["spread"].to_numpy()) ** 2)
    only_women = np.isinf(_ALL["women"].to_numpy()) | (_ALL["code"] == "C56").to_numpy()
    sex = np.stack([np.where(only_women, 0.0, 1.0), np.where(only_women, 1.0, _ALL["women"].to_numpy())])
    of_diabetes = _ALL["code"].str.match("E1[01]").to_numpy()
    complication = _ALL["code"].isin(
        ["I50.9", "I21.4", "I25.10", "I63.9", "N18.6", "N17.9", "L97.9", "L03.115", "I70.2"]
    )
    diabetes = np.stack([np.where(of_diabetes, 0.0, 1.0), np.where(of_diabetes, 6.0, np.where(complication, 2.0, 1.0))])
    season = np.stack([np.ones(len(CODES)), _ALL["winter"].to_numpy()])
    # A small share of everything at every age at which it occurs (except births) keeps the tail long.
    department = _ALL["department"]
    occurs = np.abs(age - _ALL["peak"].to_numpy()) <= 2.5 * _ALL["spread"].to_numpy()
    by_age = np.where(department.isin(["obstetrics", "paediatrics"]), near, np.where(occurs, near + 0.02, 0.0))
    by_age[((age < 15) | (age > 50)) & (department == "obstetrics").to_numpy()] = 0.0
    by_age[(age > ADULT) & (department == "paediatrics").to_numpy()] = 0.0
    by_age[(age < ADULT) & ~(department.eq("paediatrics") | _ALL["code"].isin(_OF_CHILDREN)).to_numpy()] = 0.0
    share = (
        _ALL["share"].to_numpy()
        * by_age[:, None, None, None]
        * sex[None, :, None, None]
        * diabetes[None, None, :, None]
    )
    share = (share * season).reshape(-1, len(CODES))
    cumulative: Array = np.cumsum(share, axis=1) / share.sum(axis=1, keepdims=True)
    return cumulative


_CUMULATIVE = _profiles()
# All profiles end to end, profile p in [p, p + 1): one searchsorted draws for all rows at once.
_LADDER = (_CUMULATIVE + np.arange(len(_CUMULATIVE))[:, None]).ravel()


def draw(rng: Rng, age: Array, female: Array, diabetic: Array, day: Array) -> Array:
    """Index of the main diagnosis of each visit."""
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    winter = np.isin(month, [12, 1, 2, 3])
    bin_ = np.clip(age // _AGE_BIN, 0, _AGE_BINS - 1).astype(int)
    profile = ((bin_ * 2 + female) * 2 + diabetic) * 2 + winter
    place = np.searchsorted(_LADDER, profile + rng.random(len(age)), side="right")
    index = np.minimum(place - profile * len(CODES), len(CODES) - 1)
    newborn = (age < _UNTIL["P59.9"]) & (rng.random(len(age)) < _JAUNDICE)
    index = np.where(newborn, int(np.flatnonzero(CODES == "P59.9")[0]), index)
    for code, until in _UNTIL.items():
        index = np.where((CODES[index] == code) & (age >= until), _COLD, index)
    found: Array = index
    return found


def recurs(index: Array, age: Array) -> Array:
    """True for a diagnosis with which a patient may come again at an age."""
    grown_up = (age >= ADULT) & (DEPARTMENT[index] == "paediatrics")
    found: Array = REPEATS[index] & ~grown_up & ~np.isin(CODES[index], list(_UNTIL))
    return found


def department(index: Array, age: Array) -> Array:
    """Where a diagnosis is treated: children by paediatricians, unless it takes a surgeon."""
    own = DEPARTMENT[index]
    found: Array = np.where((age < ADULT) & (own != "surgery"), "paediatrics", own).astype(object)
    return found


def secondary(rng: Rng, age: Array, diabetic: Array, main: Array) -> Array:
    """A chronic condition in addition to the main diagnosis; None where there is none, which is likelier in the young."""
    codes = np.array([*_SECONDARY, "E11.9", "E10.9", None], dtype=object)
    weight = np.array([w for w, _ in _SECONDARY.values()])
    onset = np.array([a for _, a in _SECONDARY.values()])
    usual = weight / (1 + np.exp(-(age[:, None] - onset) / 6))
    usual = np.where((age[:, None] < ADULT) & (codes[: len(weight)] != _OF_CHILDREN_TOO), 0.0, usual)
    second, first = (np.where(diabetic & own, 4.0, 0.0) for own in (age >= 30, age < 30))  # type of diabetes
    weights = np.column_stack([usual, second, first, 1.5 + 0 * age])  # the last: none
    cumulative = np.cumsum(weights, axis=1)
    pick = (rng.random(len(age))[:, None] * cumulative[:, -1:] > cumulative).sum(axis=1)
    chosen = codes[pick]
    return np.where(chosen == CODES[main], NOTHING, chosen)
