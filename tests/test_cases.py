"""Tables as people have them: what a sensible first policy says of each, and what is right, case by case.

Here stand the table as its owner has it, what `check` and `doctor` say, and that the mended policy reads it. What is sampled and
written is tested where it is made, under the names in `ELSEWHERE`. The numbers are those of a list of public bug reports.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from privsynth.doctor import UNREADABLE, Diagnosis, examine
from privsynth.errors import InputError, PolicyError
from privsynth.policy import Policy

TESTS = Path(__file__).parent
ELSEWHERE = {
    "02": ("table_formats/test_csv.py", "test_a_line_break_in_a_header", "test_a_refusal_names_the_cause_and_the_key"),
    "03": ("test_kinds.py", "test_moments_keep_their_times_of_day", "test_an_inequality_of_two_moments_holds_to_the_second"),
    "04": ("test_kinds.py", "test_dates_of_five_centuries_and_the_one_that_never_comes"),
    "05": ("test_kinds.py", "test_a_german_export_leaves_as_it_came"),
    "06": ("test_readable.py", "test_a_table_written_otherwise_stops_the_run_and_says_what_it_cost"),
    "08": ("test_kinds.py", "test_month_ends_stay_month_ends", "test_a_default_date_at_the_bound_keeps_its_share"),
    "10": ("test_kinds.py", "test_the_dtypes_of_a_data_frame_come_back", "test_the_types_of_a_parquet_file_come_back"),
    "11": ("test_readable.py", "test_a_range_that_lost_its_tail_is_told", "test_a_list_that_lost_its_column_is_told"),
    "12": ("test_kinds.py", "test_codes_for_missing_answers_are_values_of_their_own"),
    "18": ("trainers/test_shares.py", "test_rare_fraud_is_as_rare_in_samples_of_every_size"),
    "20": ("test_identifiers.py", "test_a_sample_of_more_rows_than_fillings_is_refused_before_any_is_drawn"),
    "21": ("test_kinds.py", "test_codes_that_are_text_stay_text"),
    "24": ("test_readable.py", "test_weights_choose_whose_distribution_leaves"),
    "25": ("audit/test_by_hand.py", "test_exact_copies_fail_however_they_are_written"),
    "30": ("table_formats/test_formats.py", "test_the_same_table_in_every_format"),
    "33": ("test_kinds.py", "test_censored_values_keep_their_shares_and_the_others_their_decimals"),
}  # fmt: skip
HEAD = "privsynth: 1\ndataset: {id: case, rows: ROWS}\nunit: row\nbudget: {epsilon: 3, delta: 1.0e-5}\ncolumns:\n"


def policy(columns: str, dataset: str = "rows: 100", unit: str = "row") -> Policy:
    """columns: one a line, without their indent."""
    head = HEAD.replace("rows: ROWS", dataset).replace("unit: row", f"unit: {unit}")
    return Policy.from_text(head + "".join(f"  {line.strip()}\n" for line in columns.strip().splitlines()))


def looked(source: Any, of: Policy) -> Diagnosis:
    return examine(of, source)


def counts(found: Diagnosis) -> dict[str, tuple[str, int]]:
    return {name: (one.what.split(";")[0], one.cells) for name, each in found.columns.items() for one in each}


@pytest.mark.parametrize("case", list(ELSEWHERE))
def test_what_is_tested_elsewhere_is_there(case: str) -> None:
    file, *names = ELSEWHERE[case]
    text = (TESTS / file).read_text(encoding="utf-8")
    assert all(f"def {name}" in text for name in names)


def test_case_02_a_header_with_a_line_break(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,sex,"weight\n(kg)"\n' + "0,F,55.2\n" * 100)
    first = "id: {kind: id, release: drop}\nsex: {kind: category, categories: [F, M]}\nNAME: {kind: number, bounds: [0, 200]}"
    told = "\n".join(looked(path, policy(first.replace("NAME", "weight"))).problems)
    assert "'weight\\n(kg)' is not declared" in told and "'weight' of the policy is missing" in told
    assert looked(path, policy(first.replace("NAME", '"weight\\n(kg)"'))).healthy


def test_case_03_times_of_day() -> None:
    stays = pd.DataFrame({"come": ["2024-05-27 07:45:00"] * 100, "gone": ["2024-05-27 11:26:00"] * 100})
    first = """come: {kind: date, format: "%Y-%m-%d %H:%M:%S", bounds: [2024-01-01, 2024-06-30]}
        gone: {kind: date, format: "%Y-%m-%d %H:%M:%S", bounds: [2024-01-01, 2024-07-02]}"""
    told = [warning for warning in policy(first).warnings if "time of day" in warning]
    assert len(told) == 2 and all("Kind datetime keeps it" in warning for warning in told)
    mended = policy(first.replace("kind: date", "kind: datetime"))
    assert looked(stays, mended).healthy and not any("time of day" in warning for warning in mended.warnings)


def test_case_04_dates_of_all_centuries() -> None:
    days = pd.DataFrame({"born": ["15550312", "19800101"] * 50, "valid_to": ["9999-12-31", "2020-02-29"] * 50})
    columns = """born: {kind: date, bounds: [1500-01-01, 2010-12-31], format: "%Y%m%d"}
        valid_to: {kind: date, bounds: [2010-01-01, UNTIL]}"""
    found = looked(days, policy(columns.replace("UNTIL", "9999-12-31")))
    assert found.healthy and not counts(found)
    found = looked(days, policy(columns.replace("UNTIL", "2099-12-31")))  # 04b: each open end would be moved
    assert counts(found) == {"valid_to": ("lie outside the bounds", 50)}
    assert found.columns["valid_to"][0].examples == [("9999-12-31", 50)]


GERMAN = (
    "Fall-Nr;Gewicht [kg];Aufnahme am;Station;PLZ;Betrag €\n" + "F1;74,6;24.12.2023;Gynäkologie;01067;3.422,68\n" * 100
)
CLINIC = """Fall-Nr: {kind: id, release: regenerate}
    "Gewicht [kg]": {kind: number, bounds: [0, 250], decimals: 1}
    Aufnahme am: {kind: date, bounds: [2023-01-01, 2023-12-31], format: "%d.%m.%Y"}
    Station: {kind: category, categories: [Chirurgie, Gynäkologie]}
    PLZ: {kind: category, categories: ["01067", "99084"]}
    Betrag €: {kind: number, bounds: [0, 100000], decimals: 2}"""


@pytest.mark.parametrize(
    ("delimiter", "encoding", "said", "key"),
    [
        (";", "utf-8", "no comma, but 5 semicolons", 'delimiter: ";"'),
        ("\t", "utf-8", "no comma, but 5 tabs", 'delimiter: "\\t"'),
        (";", "utf-16", "byte order mark of UTF-16", "encoding: utf-16"),
        (";", "cp1252", "is not UTF-8 text", "encoding: cp1252"),
    ],
)
def test_case_05_exports_of_a_german_office(delimiter: str, encoding: str, said: str, key: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(GERMAN.replace(";", delimiter), encoding=encoding)
    with pytest.raises(InputError) as refused:
        looked(path, policy(CLINIC))
    assert said in str(refused.value) and key in str(refused.value)
    way = f"rows: 100, csv: {{delimiter: {json.dumps(delimiter)}, encoding: {encoding}, decimal: ',', thousands: '.'}}"
    found = looked(path, policy(CLINIC, way))
    assert found.healthy and not counts(found)


def test_case_06_numbers_as_offices_write_them() -> None:
    table = pd.DataFrame({
        "claim": ["1,234.50", "10,757.47", "12.00", "3,195.63"] * 25, "balance": ["(12.00)", "299.96"] * 50,
        "hb": ["13,5", "14"] * 50,
    })  # fmt: skip
    first = """claim: {kind: number, bounds: [0, 200000], decimals: 2}
        balance: {kind: number, bounds: [-10000, 10000], decimals: 2}
        hb: {kind: number, bounds: [3, 25], decimals: 1}"""
    found = looked(table, policy(first))
    what = UNREADABLE.split(";")[0]
    assert found.stops == ["claim", "balance", "hb"] and counts(found) == {
        "claim": (what, 75), "balance": (what, 50), "hb": (what, 50),
    }  # fmt: skip
    hints = [found.columns[name][0].hint for name in found.stops]
    assert 'thousands: ","' in hints[0] and "parentheses: true" in hints[1] and 'decimal: ","' in hints[2]
    mended = first
    for number in ('{thousands: ","}', "{parentheses: true}", '{decimal: ","}'):
        mended = mended.replace("decimals: ", f"number: {number}, decimals:", 1).replace("decimals:", "DONE:", 1)
    found = looked(table, policy(mended.replace("DONE:", "decimals: ")))
    assert found.healthy and not counts(found)


def test_case_10_and_21_types_that_hold_the_declared_words() -> None:
    table = pd.DataFrame({
        "flag": pd.array([True, None] * 50, "boolean"), "whole": pd.array([3, None] * 50, "Int64"), "plz": ["01067", "51701"] * 50,
        "kind": pd.Categorical([10, 20] * 50), "code": [1.0, None] * 50,
    })  # fmt: skip
    columns = """flag: {kind: category, categories: ["True", "False"]}
        whole: {kind: integer, bounds: [0, 9]}
        plz: {kind: category, categories: ["01067", "51701"]}
        kind: {kind: category, categories: [10, 20]}
        code: {kind: category, categories: [1, 2]}"""
    found = looked(table, policy(columns))
    assert found.healthy and not counts(found)


def test_case_12_codes_for_missing_answers_by_column() -> None:
    survey = pd.DataFrame({"hours": ["40", "-8", "-9", ""] * 25, "outdoor": ["-8", "-9", "15", "20"] * 25})
    columns = "hours: {kind: integer, bounds: [0, 100], MISSING}\noutdoor: {kind: integer, bounds: [-40, 45]}"
    stated = policy(columns.replace("MISSING", "missing: [-8, -9]"))
    assert stated.marks("hours") == ("-8", "-9") and stated.marks("outdoor") == ()
    assert not counts(looked(survey, stated))
    assert counts(looked(survey, policy(columns.replace(", MISSING", "")))) == {"hours": ("lie outside the bounds", 50)}


def test_case_20_a_pattern_that_is_too_short() -> None:
    columns = 'acct: {kind: id, release: regenerate, pattern: "SYN-###"}\ny: {kind: boolean}\nz: {kind: boolean}'
    with pytest.raises(PolicyError, match="1,000 fillings for 4,000 rows") as refused:
        policy(columns, "rows: 4000")
    assert "`SYN-####`" in str(refused.value)
    assert not policy(columns, "rows: 1000").warnings


def test_case_24_people_who_come_often() -> None:
    who = ["d"] * 96 + [f"p{i}" for i in range(4)]
    visits = pd.DataFrame({"who": who, "ward": ["dialysis"] * 96 + ["er"] * 4, "night": "no"})
    columns = (
        "who: {kind: id, release: drop}\nward: {kind: category, categories: [dialysis, er]}\nnight: {kind: boolean}"
    )
    told = policy(columns, unit="{column: who, max_rows: 4, called: person}")
    assert any("weights: rows" in warning and "at most 4 rows of each person" in warning for warning in told.warnings)
    assert any(
        "1 units have more than `max_rows` = 4 rows: 92 rows (92 %)" in note for note in looked(visits, told).notes
    )


def test_case_33_years_of_two_digits_and_censored_values() -> None:
    table = pd.DataFrame({
        "dob": ["12-MAR-97", "10-JUN-61", "19-MAR-25", "01-JAN-04"] * 25, "crp": ["5.2", "<0.6", ">200", ""] * 25,
        "age": ["90+", "62", "47", "8"] * 25,
    })  # fmt: skip
    first = """dob: {kind: date, format: "%d-%b-%y", bounds: [1920-01-01, 2010-12-31], nullable: false}
        crp: {kind: number, bounds: [0.6, 200], decimals: 1, CRP}
        age: {kind: integer, bounds: [0, 110], AGE}"""
    found = looked(table, policy(first.replace(", CRP", "").replace(", AGE", "")))
    what = UNREADABLE.split(";")[0]
    assert counts(found) == {"crp": (what, 50), "age": (what, 25)}, "births lie in the past"
    assert all("censored" in found.columns[name][0].hint for name in ("crp", "age"))
    stated = first.replace("CRP", 'censored: {below: "<0.6", above: ">200"}').replace("AGE", 'censored: {above: "90+"}')
    found = looked(table, policy(stated))
    assert found.healthy and not counts(found)
