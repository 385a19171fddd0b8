# ruff: noqa: E501
"""What is refused before any row is read: with the rule, the place in the file, the hint and the right exit code."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privsynth.errors import PolicyError, Refused
from privsynth.planning import make_plan
from privsynth.policy import Policy
from privsynth.policy import load as reading

CAPPED = ("delta: 1.0e-6", "delta: 1.0e-6\n  hard_cap: 4")

# (what is replaced, by what, the key that is named, what the rule says, what the hint says); all exit with 2
CASES: dict[str, tuple[str, str, str, str, str]] = {
    "epsilon above the cap": ("delta: 1.0e-6", "delta: 1.0e-6\n  hard_cap: 2", "budget.epsilon", "epsilon = 3, above the hard cap of 2", "ask for less"),
    "delta of 1/rows": ("delta: 1.0e-6", "delta: 0.01", "budget.delta", "not below 1/rows", "write at most 3.3e-04"),
    "delta of nothing": ("delta: 1.0e-6", "delta: 2.4e-13", "budget", "no amount of noise in these mechanisms meets the target at delta 2.4e-13", "or a larger delta"),
    "delta of a shared number": ("delta: 1.0e-6", "delta: 2.2e-13", "budget.delta", "not above 2.3e-13, the probability that the hashes of two units collide", "write more than 2.3e-13"),
    "epsilon of nothing": ("epsilon: 3.0", "epsilon: 1.0e-300", "budget", "an epsilon below 0.0001", "state at least that"),
    "fpr of nothing": ("epsilon: 3.0", "risk: {fpr: 1.0e-300, max_tpr: 0.5}", "budget.risk", "an fpr below 1e-09", "state at least that"),
    "format that is no date": ("admitted: {kind: date, ", 'admitted: {kind: date, format: "%", ', "columns.admitted.format", "'%' does not round-trip dates", "`%Y-%m-%d`"),
    "run above its lifetime": ("delta: 1.0e-6", "delta: 1.0e-6\n  lifetime: {epsilon: 1, delta: 1.0e-5}", "budget", "must fit into the lifetime budget", "ask for less"),
    "kept identifier": ("ward: {kind: category, ", "ward: {kind: category, role: direct_identifier, ", "columns.ward", "a direct identifier must not leave", "`release: drop`"),
    "number without bounds": ("bounds: [0, 110]", "nullable: false", "columns.age", "numbers and dates need bounds", "`bounds: private` (measured)"),
    "no rows per unit": ("unit: row", "unit: {column: visit}", "unit.max_rows", "key `max_rows` is missing", "how many rows of one person are used at most"),
    "no unit column": ("unit: row", "unit: {max_rows: 2}", "unit.column", "key `column` is missing", "identify people"),
    "undeclared unit column": ("unit: row", "unit: {column: visits, max_rows: 2}", "unit.column", "'visits' is not declared", "did you mean 'visit'?"),
    "no unit": ("unit: row\n", "", "unit", "key `unit` is missing", "`unit: row` if every row is another person"),
    "no delta": ("  delta: 1.0e-6\n", "", "budget.delta", "key `delta` is missing", "delta: 1.0e-6"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_check_refuses_and_says_how_to_correct_it(
    case: str, clinic_policy: Callable[..., Path], command: Callable[..., Any]
) -> None:
    old, new, key, rule, hint = CASES[case]
    path = clinic_policy((old, new))
    said = command("check", path)
    assert said.code == 2 and not said.out
    assert rule in said.err and hint in said.err
    place = said.err.removeprefix(f"error: {path}:")
    assert int(place.split(":")[0]) > 0 and place.split(": ")[1] == key


def test_more_cells_than_noise_is_exact_enough_for(
    clinic_policy: Callable[..., Path], command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """privacy/noise.py says how exact; as shipped it takes some 2,700 tables and the most rows of a unit."""
    path = clinic_policy(("unit: row", "unit: {column: visit, max_rows: 1000}"))
    assert command("check", path).code == 0
    monkeypatch.setattr("privsynth.planning.MAX_MOVED", 5_000)
    said = command("check", path)
    assert said.code == 2 and "one unit could move" in said.err and "exact enough for 5,000" in said.err
    most = int(said.err.split("let `max_rows` be at most ")[1].split(",")[0])
    assert command("check", clinic_policy(("unit: row", f"unit: {{column: visit, max_rows: {most}}}"))).code == 0


def test_an_epsilon_of_the_command_line_above_the_cap_is_refused(
    clinic_policy: Callable[..., Path], command: Callable[..., Any], tmp_path: Path
) -> None:
    path = clinic_policy(CAPPED)
    for words in (["check", path], ["run", path, "--data", "nowhere.csv", "--out", tmp_path / "out"]):
        said = command(*words, "--epsilon", 5)
        assert said.code == 3 and "epsilon = 5, above the hard cap of 4" in said.err
        assert f"{path}:10: budget.hard_cap" in said.err and "hint: ask for less" in said.err
    assert command("check", path, "--epsilon", 4).code == 0
    assert not (tmp_path / "out").exists()


def test_a_risk_that_comes_to_more_than_the_cap_is_refused(clinic_text: str) -> None:
    asked = clinic_text.replace(*CAPPED).replace("epsilon: 3.0", "risk: {fpr: 0.01, max_tpr: 0.5}")
    with pytest.raises(PolicyError, match=r"this risk comes to epsilon = .*, above the hard cap of 4") as error:
        make_plan(Policy.from_text(asked, "p.yaml"))
    assert error.value.problems[0].place == "p.yaml:8: budget.risk" and error.value.problems[0].hint
    allowed = asked.replace("max_tpr: 0.5", "max_tpr: 0.05")
    assert make_plan(Policy.from_text(allowed)).epsilon < 4


def test_a_delta_below_that_of_unit_numbers_can_be_corrected_by_stating_rows(clinic_text: str) -> None:
    unstated = clinic_text.replace("  rows: 300\n", "").replace("delta: 1.0e-6", "delta: 2.0e-10")
    with pytest.raises(PolicyError, match=r"not above 2\.3e-10") as error:
        Policy.from_text(unstated)
    (problem,) = error.value.problems
    assert "state the number of rows as `dataset.rows`" in problem.hint
    assert Policy.from_text(unstated.replace("2.0e-10", "2.4e-10")).most_rows == 2**30
    assert Policy.from_text(clinic_text.replace("delta: 1.0e-6", "delta: 2.0e-10")).most_rows == 2**20
    assert Policy.from_text(clinic_text.replace("rows: 300", "rows: 900000")).most_rows == 3_600_000


DATES = ["%Y-%m-%d", "%d.%m.%Y", "%y%m%d", "%b %d, %Y", "%Y-%j", "%Y-%m-%dT%H:%M:%S", "%m/%d/%Y %I:%M %p", "%Y-%m-%d%z"]
NO_DATES = [
    "%", "", " ", "date", "%Y", "%Y-%m", "%d.%m.", "%H:%M", "%Y-%m-%d %", "%Y-%m-%d %Q", "%Y%Y-%m-%d", "%F", "%s", "%e.%m.%Y",
    " %Y-%m-%d", "%Y-%m-%d\\0", "%Y\\n%m\\n%d", "%Y\\t%m-%d", "%Y-%m-%d\\x85", "%Y-%m-%d" + "x" * 93,
]  # fmt: skip


@pytest.mark.parametrize("form", DATES)
def test_formats_of_dates(clinic_text: str, form: str) -> None:
    text = clinic_text.replace("admitted: {kind: date, ", f'admitted: {{kind: date, format: "{form}", ')
    assert Policy.from_text(text).model.columns["admitted"].format == form


@pytest.mark.parametrize("form", NO_DATES)
def test_a_format_that_loses_the_day_is_refused_before_anything_is_reserved(clinic_text: str, form: str) -> None:
    text = clinic_text.replace("admitted: {kind: date, ", f'admitted: {{kind: date, format: "{form}", ')
    with pytest.raises(PolicyError) as error:
        Policy.from_text(text, "p.yaml")
    (problem,) = error.value.problems
    assert problem.place.endswith(": columns.admitted.format") and "does not round-trip dates" in problem.rule
    assert "`%Y-%m-%d`" in problem.hint and problem.rule.isprintable()


CONTROLS = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) == "Cc"]
HELD = {
    "dataset.description": ("  rows: 300", '  description: "a{}b"\n  rows: 300'),
    "dataset.missing[1]": ('missing: ["?"]', 'missing: ["a{}b"]'),
    "columns.sex.categories[2]": ("[F, M]", '[F, "a{}b"]'),
    "columns": ("  sex:", '  "a{}b":'),
}  # where a control character may stand: (what is replaced, by what)


@pytest.mark.parametrize("key", HELD)
def test_control_characters_are_refused_where_no_cell_could_meet_them(clinic_text: str, key: str) -> None:
    assert len(CONTROLS) == 65
    old, new = HELD[key]
    for character in CONTROLS:
        text = clinic_text.replace(old, new.format(f"\\x{ord(character):02x}"))
        if character in "\t\n\r":  # Excel's headers have line breaks
            assert Policy.from_text(text)
            continue
        with pytest.raises(PolicyError) as error:
            Policy.from_text(text, "p.yaml")
        (problem,) = error.value.problems
        assert problem.place.split(": ")[1] == key and "holds a control character" in problem.rule
        assert problem.rule.isprintable() and problem.hint


def test_half_a_character_is_refused(clinic_text: str) -> None:
    """It could never be written to a table, and would stop a run when its budget is spent."""
    for old, new in (("[F, M]", '[F, "\\ud800"]'), ("  sex:", '  "\\udfff":'), ("id: clinic", 'id: "x\\ud83d"')):
        text = clinic_text.replace(old, new)
        with pytest.raises(PolicyError, match="half a character") as error:
            Policy.from_text(text, "p.yaml")
        line = next(n for n, line in enumerate(text.splitlines(), 1) if "\\ud" in line)
        assert error.value.problems[0].place == f"p.yaml:{line}"


def test_the_command_line_cannot_take_the_cap_away(clinic_text: str) -> None:
    policy = Policy.from_text(clinic_text.replace(*CAPPED))
    assert policy.with_changes(epsilon=3.5).model.budget.hard_cap == 4
    with pytest.raises(Refused):
        policy.with_changes(epsilon=3.5).with_changes(epsilon=4.01)
    with pytest.raises(Refused):
        policy.with_changes(epsilon=float("nan"))  # not known to be below the cap


def test_a_measured_number_of_units_that_delta_does_not_suit_is_refused(clinic_text: str) -> None:
    policy = Policy.from_text(clinic_text.replace("delta: 1.0e-6", "delta: 1.0e-3"), "p.yaml")
    policy.refuse_large_delta(999)
    for units in (1000, 5000, 0, -3):
        if units > 0:
            with pytest.raises(Refused, match="not below 1/units") as error:
                policy.refuse_large_delta(units)
            assert error.value.problems[0].place == "p.yaml:9: budget.delta"
            assert "write at most" in error.value.problems[0].hint
        else:
            policy.refuse_large_delta(units)  # of one unit, delta below 1 is all that can be asked


def test_a_policy_that_is_too_large_is_refused_at_once(clinic_text: str, tmp_path: Path) -> None:
    nested = "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n" + "".join(
        f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 10)}]\n" for i in range(1, 12)
    )  # ten lines that stand for a trillion values
    flat = f"x: [{'a,' * reading.MAX_NODES}a]\n"
    long = "#" * (reading.MAX_CHARACTERS + 1)
    for more, rule in ((nested, "holds more than 100,000 values"), (flat, "holds more than"), (long, "is longer than")):
        with pytest.raises(PolicyError, match=rule) as error:
            Policy.from_text(clinic_text + more, "p.yaml")
        assert len(error.value.problems) == 1 and "list fewer values" in error.value.problems[0].hint
    (tmp_path / "p.yaml").write_text(clinic_text + long)
    with pytest.raises(PolicyError, match="is longer than"):
        Policy.load(tmp_path / "p.yaml")


def test_aliases_in_measure_are_fine(clinic_text: str) -> None:
    text = clinic_text.replace("categories: [F, M]", "categories: &two [F, M]").replace('["yes", "no"]', "*two")
    assert Policy.from_text(text).model.columns["ill"].categories == ["F", "M"]


def test_check_tells_what_a_risk_target_comes_to(
    clinic_policy: Callable[..., Path], command: Callable[..., Any]
) -> None:
    path = clinic_policy(("epsilon: 3.0", "risk: {fpr: 0.01, max_tpr: 0.05}"))
    said = command("check", path, "--json")
    target = json.loads(said.out)["risk_target"]
    assert set(target) == {"fpr", "max_tpr", "epsilon", "epsilon_generic", "noise_saved"}
    assert target["epsilon"] == json.loads(said.out)["epsilon"] > target["epsilon_generic"] > 0
    text = command("check", path).out
    assert (
        f"{100 * target['noise_saved']:.0f} % less noise" in text and "with 1 % false alarms find at most 5 %" in text
    )
    assert json.loads(command("check", clinic_policy(), "--json").out)["risk_target"] is None


def test_check_shows_the_plan_in_words(clinic_policy: Callable[..., Path], command: Callable[..., Any]) -> None:
    text = command("check", clinic_policy()).out
    for words in (
        "categories: ward", "a value that one alone has shows with a chance of at most 1.0e-07", "(standard deviation)",
        "15 tables, each count off by", "21 tables, each count off by", "ThresholdedGaussian(", "Together: epsilon = ",
        "recognises a member with a chance of at most", "For one row, whoever attacks", "singles out anybody at all of 300",
    ):  # fmt: skip
        assert words in text, words
    assert " 0.0%" not in text and re.search("unit numbers +–  which rows belong together", text)
    seeded = clinic_policy(("unit: row", "unit: row\nseed: 1"))
    assert "no privacy claim" in command("check", seeded).out and "whoever attacks" not in command("check", seeded).out
