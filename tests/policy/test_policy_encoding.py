"""What the encoding of a CSV cannot write is refused before anything is spent, by place and key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from privsynth.errors import InputError
from privsynth.policy import Policy
from privsynth.policy.fakes import can_write, faker_of, pool_of
from privsynth.sampling.identifiers import Invented

POLICY = """\
privsynth: 1
dataset: {id: t, rows: 1000, csv: {encoding: ENCODING}OF_TABLE}
unit: row
budget: {epsilon: 3, delta: 1.0e-6}
columns:
  x: {kind: integer, bounds: [0, 9]}
  z: {kind: integer, bounds: [0, 9]}
  y: {COLUMN}
"""
DAYS = 'kind: date, bounds: [2020-01-01, 2020-12-31], format: "%d %b %Y"'
MONTHS = ", months: [Jan, Feb, Mär, Apr, Mai, Jun, Jul, Aug, Sep, Okt, Nov, Dez]"


def policy_of(encoding: str, column: str, of_table: str = "", folder: Path | None = None) -> Policy:
    text = POLICY.replace("ENCODING", encoding).replace("OF_TABLE", of_table).replace("COLUMN", column)
    return Policy.from_text(text, folder=folder)


@pytest.mark.parametrize(
    ("encoding", "column", "of_table", "place"),
    [
        ("cp1252", 'kind: category, categories: ["<65", "≥65"]', "", "columns.y.categories[2]"),
        ("cp1252", "kind: category, categories: [a]", ', missing: ["→"]', "dataset.missing[1]"),
        ("cp1252", 'kind: number, bounds: [0, 9], censored: {above: "≥9"}', "", "columns.y.censored"),
        ("latin-1", 'kind: number, bounds: [0, 9], number: {currency: "€"}', "", "columns.y.number.currency"),
        ("cp1252", 'kind: number, bounds: [0, 9], number: {thousands: "\u202f"}', "", "columns.y.number.thousands"),
        ("cp1252", DAYS, ", language: pl", "columns.y.format"),
        ("ascii", DAYS, MONTHS, "columns.y.format"),
        ("ascii", 'kind: id, release: regenerate, pattern: "№##########"', "", "columns.y.pattern"),
        ("cp1252", "kind: text, release: regenerate, generator: name", ", language: ru", "columns.y.generator"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused(encoding: str, column: str, of_table: str, place: str) -> None:
    with pytest.raises(InputError) as refused:
        policy_of(encoding, column, of_table)
    assert place in str(refused.value) and "dataset.csv" in str(refused.value)
    policy_of("utf-8", column, of_table)


def test_what_can_be_written_or_does_not_leave_is_allowed() -> None:
    policy_of("ascii", DAYS)
    policy_of("cp1250", DAYS, ", language: pl")
    policy_of("cp1252", 'kind: category, categories: ["≥65"], release: drop')
    policy_of("ascii", "kind: text, release: regenerate, generator: email", ", language: ru")


def test_groups_of_a_file_are_written_too(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("code,group\n1,≤65\n2,>65\n")
    with pytest.raises(InputError, match=r"columns\.y\.grouping"):
        policy_of("cp1252", "kind: category, grouping: g.csv", folder=tmp_path)


@pytest.mark.parametrize("generator", ["name", "city"])
def test_only_names_that_can_be_written_are_invented(generator: str) -> None:
    """In Polish many cannot be written on a western Windows: a table from there holds none of these either."""
    rng = np.random.default_rng(0)
    found = Invented(500, generator, None, rng, "pl", encoding="cp1252").take(500)
    free = Invented(500, generator, None, np.random.default_rng(0), "pl").take(500)
    assert all(can_write(text, "cp1252") for text in found) and len({*found}) > 100
    assert not all(can_write(text, "cp1252") for text in free), "else this shows nothing"


def test_a_pool_of_none_is_empty() -> None:
    assert pool_of(faker_of("ru", 0).name, 5, "ascii") == []
