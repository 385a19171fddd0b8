"""`privsynth doctor`: each mismatch of a table and a policy is shown, nothing is spent and nothing is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from privsynth.cli import app
from privsynth.doctor import UNREADABLE, examine
from privsynth.errors import InputError
from privsynth.policy import Policy
from privsynth.policy.model import CsvSpec

POLICY = """\
privsynth: 1
dataset: {id: clinic, rows: 100}
unit: {column: who, max_rows: 2}
budget: {epsilon: 3, delta: 1.0e-3}
columns:
  who: {kind: id, release: drop}
  paid: {kind: number, bounds: [0, 10000], decimals: 2}
  crp: {kind: number, bounds: [0, 200], decimals: 1}
  age: {kind: integer, bounds: [0, 110], nullable: false}
  sex: {kind: category, categories: [F, M]}
  seen: {kind: date, bounds: [2020-01-01, 2024-12-31]}
"""


def written(folder: Path, **columns: list[str]) -> Path:
    """A table of 100 rows as declared, but for these columns."""
    good = {
        "who": [f"p{i}" for i in range(100)], "paid": ["12.50"] * 100, "crp": ["3.1"] * 100, "age": ["40"] * 100,
        "sex": ["F", "M"] * 50, "seen": ["2021-03-04"] * 100,
    } | columns  # fmt: skip
    lines = [",".join(good), *(",".join(row) for row in zip(*good.values(), strict=True))]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


def found(folder: Path, **columns: list[str]) -> dict[str, list[tuple[str, int]]]:
    columns_found = examine(Policy.from_text(POLICY), written(folder, **columns)).columns
    return {
        name: [(f.what.split(";")[0], f.cells) for f in findings]
        for name, findings in columns_found.items()
        if findings
    }


def test_a_table_as_declared_is_healthy(tmp_path: Path) -> None:
    diagnosis = examine(Policy.from_text(POLICY), written(tmp_path))
    assert diagnosis.healthy and not any(diagnosis.columns.values()) and not diagnosis.notes
    assert "A run can read this table." in "\n".join(diagnosis.lines())


@pytest.mark.parametrize(
    ("column", "cells", "what", "count"),
    [
        ("paid", ["1 234.50"] * 30 + ["12.50"] * 70, UNREADABLE, 30),
        ("paid", ["10000.01"] * 3 + ["12.50"] * 97, "lie outside the bounds", 3),
        ("paid", ["12.505"] * 7 + ["12.50"] * 93, "are finer than the column's resolution", 7),
        ("age", ["40.5"] * 4 + ["40"] * 96, "are not whole numbers", 4),
        ("age", [""] * 5 + ["40"] * 95, "are blank, though the column is declared `nullable: false`", 5),
        ("sex", ["female"] * 6 + ["F"] * 94, "are not among the categories", 6),
        ("seen", ["04.03.2021"] * 100, UNREADABLE, 100),
    ],
)
def test_each_mismatch_is_counted_apart(column: str, cells: list[str], what: str, count: int, tmp_path: Path) -> None:
    assert found(tmp_path, **{column: cells}) == {column: [(what.split(";")[0], count)]}


@pytest.mark.parametrize(
    ("column", "cell", "key"),
    [
        ("paid", '"1,234.50"', 'thousands: ","'),
        ("crp", '"3,1"', 'number: {decimal: ","}'),
        ("paid", "(12.50)", "parentheses: true"),
        ("paid", "12.50 €", 'currency: "€"'),
        ("crp", "<0.6", 'censored: {below: "<0.6"'),
        ("seen", "04.03.2021", 'format: "%d.%m.%Y"'),
        ("seen", "04-MAR-21", 'format: "%d-%b-%y"'),
        ("sex", "f", "declares 'F'"),
    ],
)
def test_it_says_what_to_declare(column: str, cell: str, key: str, tmp_path: Path) -> None:
    diagnosis = examine(Policy.from_text(POLICY), written(tmp_path, **{column: [cell] * 100}))
    assert key in diagnosis.columns[column][0].hint
    assert diagnosis.stops == ([] if column == "sex" else [column])


def test_units_with_more_rows_than_are_used_are_told(tmp_path: Path) -> None:
    who = ["p0"] * 12 + [f"p{i}" for i in range(86)] + ["", ""]
    left, more = examine(Policy.from_text(POLICY), written(tmp_path, who=who)).notes
    assert left.startswith("2 rows have no value in the unit column")
    assert more.startswith("1 units have more than `max_rows` = 2 rows: 11 rows (11 %)")


def test_columns_and_types_that_do_not_fit_are_problems_of_the_table(tmp_path: Path) -> None:
    table = written(tmp_path)
    table.write_text(table.read_text().replace("paid", "payed", 1))
    diagnosis = examine(Policy.from_text(POLICY), table)
    assert (
        not diagnosis.healthy and [p for p in diagnosis.problems if "'paid'" in p] and "paid" not in diagnosis.columns
    )
    with pytest.raises(InputError, match="no such file"):
        examine(Policy.from_text(POLICY), tmp_path / "none.csv")


def test_the_command_writes_nothing_and_says_that_it_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVSYNTH_LEDGER", f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    (tmp_path / "p.yaml").write_text(POLICY)
    table = written(tmp_path, crp=["<0.6"] * 20 + ["3.1"] * 80)
    before = sorted(tmp_path.iterdir())
    shown = CliRunner().invoke(app, ["doctor", str(tmp_path / "p.yaml"), "--data", str(table)])
    assert shown.exit_code == 2 and shown.output.startswith("PRIVATE") and "'<0.6' (20)" in shown.output
    assert "A run would stop: more than 2 % of the cells of crp cannot be read." in shown.output
    answer = CliRunner().invoke(app, ["doctor", str(tmp_path / "p.yaml"), "--data", str(written(tmp_path)), "--json"])
    assert answer.exit_code == 0 and json.loads(answer.output)["private"] is True
    assert sorted(tmp_path.iterdir()) == before, "no ledger, no output"


@pytest.mark.parametrize(
    ("entry", "cell", "other", "hint"),
    [
        ('kind: number, bounds: [0, 99], decimals: 2, number: {currency: "€"}', "12.50 €", "€12.50", 'written: "{} €"'),
        ("kind: number, bounds: [0, 99], decimals: 1, number: {percent: true}", "12.5\u00a0%", "12.5%", 'written: "{}\\u00a0%"'),
        ("kind: number, bounds: [0, 99]", "5.00", "5.0", "`decimals: 2`"),
        ("kind: integer, bounds: [0, 99]", "7.0", "7", "`kind: number, decimals: 1`"),
        ("kind: date, bounds: [2020-01-01, 2020-12-31]", "2020-03-01 07:45:00", "2020-03-01", "kind datetime keeps"),
        ("kind: integer, bounds: [0, 99]", "007", "7", "write them otherwise in the table"),
        ('kind: date, bounds: [2020-01-01, 2020-12-31], format: "%d.%m.%Y"', "1.3.2020", "01.03.2020", '"%-d.%-m.%Y"'),
        ('kind: date, bounds: [2020-01-01, 2020-12-31], format: "%d-%b-%Y"', "01-Mrz-2020", "01-März-2020", "`dataset.months`"),
        ("kind: datetime, bounds: [2020-01-01, 2020-12-31]", "2020-03-01T07:45:00", "2020-03-01 07:45:00", '"%Y-%m-%dT%H:%M:%S"'),
        ("kind: datetime, bounds: [2020-01-01, 2020-12-31], timezone: Europe/Berlin", "2020-03-01 07:45:00",
         "2020-03-01 07:45:00+01:00", '"%Y-%m-%d %H:%M:%S"'),
        ("kind: time", "7:45", "07:45:00", '"%-H:%M"'),
    ],
)  # fmt: skip
def test_what_would_leave_written_otherwise_is_told(
    entry: str, cell: str, other: str, hint: str, tmp_path: Path
) -> None:
    policy = Policy.from_text(
        POLICY.replace("rows: 100", "rows: 100, language: de").replace(
            "kind: integer, bounds: [0, 110], nullable: false", entry
        )
    )
    (finding,) = examine(policy, written(tmp_path, age=[cell] * 100)).columns["age"]
    assert "written otherwise" in finding.what and finding.cells == 100
    assert finding.examples == [(f"{cell} as {other}", 100)] and hint in finding.hint


def test_typed_moments_are_looked_at_as_a_run_reads_them(tmp_path: Path) -> None:
    """Those of a time zone were called unreadable, since they were read as text; and fractions of seconds were not told."""
    text = POLICY.replace("kind: date, bounds", "kind: datetime, bounds")
    moments = pd.Series(pd.Timestamp("2021-03-04 07:45:00.250", tz="Europe/Paris")).repeat(100)
    table = pd.read_csv(written(tmp_path)).assign(seen=moments.to_numpy(object))
    table["seen"] = pd.DatetimeIndex(table["seen"])
    (finding,) = examine(Policy.from_text(text), table).columns["seen"]
    assert "would be rounded" in finding.what and finding.cells == 100


@pytest.mark.parametrize(
    ("words", "hint"),
    [(("J", "N"), '["N", "J"]'), (("oui", "non"), '["non", "oui"]'), (("tak", "moze"), '["no", "yes"]')],
)
def test_truth_values_are_never_suggested_the_wrong_way_round(
    words: tuple[str, str], hint: str, tmp_path: Path
) -> None:
    policy = Policy.from_text(POLICY.replace("category, categories: [F, M]", "boolean"))
    (finding,) = examine(policy, written(tmp_path, sex=[*words] * 50)).columns["sex"]
    assert finding.what == UNREADABLE and hint in finding.hint


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("Who,paid,crp,age,sex,seen", "the table has 'Who'"),
        ("who,paid,crp,age,sex, seen\u00a0", None),
        ("who;paid;crp;age;sex;seen", 'delimiter: ";"'),
        ('"who"\t"paid"\t"crp"\t"age"\t"sex"\t"seen"', 'delimiter: "\\t"'),
        ("who~paid~crp~age~sex~seen", "correct `dataset.csv.delimiter`"),
    ],
)
def test_a_header_that_differs_a_little_is_told_how(header: str, hint: str | None, tmp_path: Path) -> None:
    path, mark = written(tmp_path), next(mark for mark in "\t;~," if mark in header)
    rows = path.read_text().replace(",", mark).splitlines()[1:]
    path.write_text("\n".join([header, *rows]) + "\n")
    try:
        said = " ".join(examine(Policy.from_text(POLICY), path).problems)
    except InputError as error:
        said = str(error)
    assert hint in said if hint else not said


def test_names_in_another_encoding_are_told_which(tmp_path: Path) -> None:
    policy = Policy.from_text(
        POLICY.replace("rows: 100", "rows: 100, csv: {encoding: cp1250}").replace("  sex:", "  Płeć:")
    )
    dataset = policy.model.dataset.model_copy(update={"csv": CsvSpec(encoding="cp1252")})
    policy = replace(policy, model=policy.model.model_copy(update={"dataset": dataset}))
    path = written(tmp_path)
    path.write_bytes(path.read_text().replace("sex", "Płeć", 1).encode("cp1250"))
    assert "declare `dataset: {csv: {encoding: cp1250}}`" in " ".join(examine(policy, path).problems)
