"""What a policy says of kinds, marks, cuts and how cells are written: what it means, and what is refused with a mend."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from privsynth.errors import PolicyError
from privsynth.policy import Column, Policy
from privsynth.policy.column import EPOCH, TRUTHS
from privsynth.policy.moments import DAY

Write = Callable[..., Policy]


@pytest.fixture
def write(clinic_text: str) -> Write:
    """The small policy with one column more, and with changes elsewhere."""

    def make(entry: str, *changes: tuple[str, str]) -> Policy:
        text = clinic_text.replace("constraints:", f"  x: {{{entry}}}\nconstraints:")
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return Policy.from_text(text, "p.yaml")

    return make


# --- meaning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "limits", "step"),
    [
        ("kind: date, bounds: [1970-01-01, 1970-01-31]", (0, 30), 1),
        ("kind: date, bounds: [0001-01-01, 9999-12-31]", (1 - EPOCH, 3_652_059 - EPOCH), 1),
        ("kind: datetime, bounds: [1970-01-01, 1970-01-31]", (0, 31 * DAY - 1), 1),
        ('kind: datetime, format: "%Y-%m-%d %H:%M", bounds: [1970-01-01, 1970-01-31]', (0, 31 * DAY - 60), 60),
        ('kind: datetime, format: "%Y-%m-%d %H", bounds: [1970-01-01, 1970-01-31]', (0, 31 * DAY - 3_600), 3_600),
        ('kind: datetime, format: "%Y-%m-%d %H:%M:%S.%f", bounds: [1970-01-01, 1970-01-02]', (0, 2 * DAY - 1e-6), 1e-6),
        ("kind: datetime, bounds: [1970-01-01 08:00:00, 1970-01-31 20:30:00]", (28_800, 30 * DAY + 73_800), 1),
        ("kind: datetime, bounds: [1969-12-31, 1970-01-01 00:00:00]", (-DAY, 0), 1),
        ("kind: time", (0, DAY - 1), 1),
        ('kind: time, format: "%H:%M"', (0, DAY - 60), 60),
        ('kind: time, bounds: ["07:45", "18:00:30"]', (27_900, 64_830), 1),
        ('kind: duration, bounds: ["PT0S", "P1DT2H"]', (0, 93_600), 1),
        ('kind: duration, bounds: ["-1 days", "36:15:00"]', (-DAY, 130_500), 1),
        ("kind: duration, bounds: [0, 86400]", (0, DAY), 1),  # in seconds
    ],
)
def test_bounds_of_days_and_moments_are_numbers(
    write: Write, entry: str, limits: tuple[float, float], step: float
) -> None:
    """Days since 1970, or seconds; a day that bounds moments from above is its last moment."""
    column = write(entry).model.columns["x"]
    assert column.limits == pytest.approx(limits, abs=1e-9) and column.step == step
    assert column.steps == (round(limits[0] / step), round(limits[1] / step))


def test_cuts_and_spikes_are_steps_in_order(write: Write) -> None:
    def steps(entry: str) -> list[int]:
        column = write(entry).model.columns["x"]
        assert not column.spikes or column.in_steps(column.spikes) == column.in_steps(column.stops)
        return column.in_steps(column.stops)

    assert steps("kind: integer, bounds: [0, 110], cuts: [65, 18, 65], spikes: [18, 65]") == [18, 65]
    assert steps("kind: number, decimals: 1, bounds: [0, 110], cuts: [18.05, 0.3]") == [3, 181], "the next step above"
    assert steps('kind: time, format: "%H:%M", cuts: ["12:00", "12:00:30"]') == [720, 721]
    assert steps('kind: duration, bounds: ["PT0S", "P9D"], cuts: ["PT2H", "1 days"]') == [7_200, DAY]
    assert steps("kind: date, bounds: [1970-01-01, 1979-12-31], cuts: [1970-01-11]") == [10]
    assert steps("kind: datetime, bounds: [1970-01-01, 1970-12-31], cuts: [1970-01-02, 1970-01-02 12:00:00]") == [
        DAY, DAY + 43_200,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "marks", "missing"),
    [
        ("kind: integer, bounds: [0, 9]", ("?",), ["?"]),
        ("kind: integer, bounds: [0, 9], missing: [-8, -9.0]", ("-8", "-9.0"), ["-8", "-9.0"]),
        ("kind: integer, bounds: [0, 9], missing: []", (), []),
        ('kind: integer, bounds: [0, 9], missing: [" ? ", "?", "", -9]', ("?", "-9"), ["?", "?", "", "-9"]),
        ('kind: number, bounds: [0, 9], censored: {below: "<1"}', ("<1", "?"), ["?"]),
        ('kind: number, bounds: [0, 9], censored: {below: ["<1", "nd"], above: "9+"}, missing: [-9]',
         ("<1", "nd", "9+", "-9"), ["-9"]),
        ("kind: boolean, missing: [9]", ("9",), ["9"]),
        ('kind: date, bounds: [1970-01-01, 1979-12-31], missing: ["0000-00-00"]', ("0000-00-00",), ["0000-00-00"]),
    ],
)  # fmt: skip
def test_marks_are_censored_values_and_then_tokens_for_missing(
    write: Write, entry: str, marks: tuple[str, ...], missing: list[str]
) -> None:
    """Those of the column, if it states some, else the table's; each once, and none of them empty."""
    policy = write(entry)
    assert policy.marks("x") == marks and policy.missing("x") == missing
    assert policy.marks("age") == ("?",), "other columns have the table's"


def test_truth_values_are_known_in_every_spelling_or_in_the_declared_one(write: Write) -> None:
    column = write("kind: boolean").model.columns["x"]
    assert column.public_categories == [word for pair in TRUTHS for word in pair] and column.modelled
    declared = write('kind: boolean, categories: ["nein", "ja"]').model.columns["x"]
    assert declared.public_categories == ["nein", "ja"]
    assert write("kind: boolean").unexpected("x") == "missing" and write("kind: time").unexpected("x") == "clip"


# --- refusals ---------------------------------------------------------------------------------------------------------

NUMBER = "kind: number, bounds: [0, 9]"
DAYS = "kind: date, bounds: [1970-01-01, 1979-12-31]"
MOMENTS = "kind: datetime, bounds: [1970-01-01, 1979-12-31]"
REFUSED: dict[str, tuple[str, str]] = {  # the column, and what is said of it
    "one truth": ('kind: boolean, categories: ["ja"]', "two words, the false one first"),
    "three truths": ('kind: boolean, categories: ["a", "b", "c"]', "two words"),
    "measured truths": ("kind: boolean, categories: private", "two words"),
    "truths that YAML takes for truth values": ("kind: boolean, categories: [no, yes]", "put it in quotes"),
    "ordered truths": ("kind: boolean, ordered: true", "`ordered` does not belong to kind boolean"),
    "bounds of truths": ("kind: boolean, bounds: [0, 1]", "`bounds` does not belong to kind boolean"),
    "cuts of categories": ("kind: category, categories: [a], cuts: [1]", "`cuts` does not belong to kind category"),
    "spikes of truths": ("kind: boolean, spikes: [1]", "`spikes` does not belong to kind boolean"),
    "a time zone of days": (f"{DAYS}, timezone: UTC", "`timezone` does not belong to kind date"),
    "censored days": (f'{DAYS}, censored: {{below: "<1970"}}', "`censored` does not belong to kind date"),
    "numbers of days": (f"{DAYS}, number: {{percent: true}}", "`number` does not belong to kind date"),
    "decimals of moments": (f"{MOMENTS}, decimals: 2", "`decimals` does not belong to kind datetime"),
    "a format of numbers": (f'{NUMBER}, format: "%d"', "`format` does not belong to kind number"),
    "categories of times": ("kind: time, categories: [a]", "`categories` does not belong to kind time"),
    "moments without bounds": ("kind: datetime", "need bounds"),
    "durations without bounds": ("kind: duration", "need bounds"),
    "measured bounds of moments": ("kind: datetime, bounds: private", "private bounds of dates are not offered"),
    "measured bounds of times": ("kind: time, bounds: private", "private bounds of dates are not offered"),
    "measured bounds of durations": ("kind: duration, bounds: private", "private bounds of dates are not offered"),
    "numbers for days": ("kind: date, bounds: [0, 9]", "must be dates, like 1999-01-01"),
    "moments for days": ("kind: date, bounds: [1970-01-01 00:00:00, 1979-12-31 00:00:00]", "must be dates"),
    "days for numbers": ("kind: integer, bounds: [1970-01-01, 1979-12-31]", "must be numbers"),
    "days for times": ("kind: time, bounds: [1970-01-01, 1979-12-31]", "must be"),
    "a day and a number": ("kind: date, bounds: [1970-01-01, 9]", "both bounds must be of one type"),
    "bounds that fall": ('kind: time, bounds: ["08:00", "07:00"]', "must rise"),
    "moments that fall": ("kind: datetime, bounds: [1970-01-01 12:00:00, 1970-01-01]", "must rise"),
    "a time that is none": ('kind: time, bounds: ["7:00", "24:00"]', 'are written like "07:45"'),
    "a duration that is none": ('kind: duration, bounds: ["PT0S", "P1M"]', 'are written like "PT2H30M"'),
    "bounds with an offset": (
        "kind: datetime, bounds: [1970-01-01 00:00:00+01:00, 1979-12-31 00:00:00+01:00]",
        "bounds have no offset from UTC; state them in the column's `timezone`",
    ),
    "a pattern without digits": (f'{NUMBER}, number: {{currency: "€", written: "€"}}', "`written` is `{}` for the digits"),
    "a pattern without its currency": (f'{NUMBER}, number: {{currency: "€", written: "{{}}-"}}', "`written` is without '€'"),
    "a pattern with another word": (f'{NUMBER}, number: {{written: "{{}} net"}}', "`written` is `{}` for the digits"),
    "a pattern with two minuses": (f'{NUMBER}, number: {{written: "-{{}}-"}}', "`written` is `{}` for the digits"),
    "two signs of loss": (f'{NUMBER}, number: {{parentheses: true, written: "{{}}-"}}', "keep one of the two"),
    "per cent in front": (f'{NUMBER}, number: {{percent: true, written: "% {{}}"}}', "where it is not read"),
    "days without zeros or signs": (f'{DAYS}, format: "%Y%-m%-d"', "does not round-trip"),
    "a cut beyond the bounds": (f"{NUMBER}, cuts: [10]", "must lie within the bounds"),
    "a spike beyond the bounds": (f"{DAYS}, spikes: [1999-12-31]", "must lie within the bounds"),
    "a cut of another kind": (f"{DAYS}, cuts: [5]", "must be dates"),
    "a cut that is a truth value": (f"{NUMBER}, cuts: [true]", "YAML reads this word as a truth value"),
    "very many cuts": (f"{NUMBER}, cuts: {[i / 20 for i in range(101)]}", "100"),
    "moments too fine for their bounds": (
        'kind: datetime, format: "%Y-%m-%d %H:%M:%S.%f", bounds: [0001-01-01, 9999-12-31]', "leave %f out",
    ),
    "a code for missing that is a truth value": (f"{NUMBER}, missing: [yes]", "put it in quotes"),
    "a code for missing that is a day": (f"{NUMBER}, missing: [1970-01-01]", "put it in quotes"),
    "no number format": (f"{NUMBER}, number: {{thousands: k}}", "thousands"),
    "thousands by the decimal sign": (f'{NUMBER}, number: {{decimal: ",", thousands: ","}}', "the same character"),
    "an unknown key of numbers": (f"{NUMBER}, number: {{thousand: ','}}", "did you mean `thousands`?"),
    "an unknown key of censored values": (f'{NUMBER}, censored: {{low: "<1"}}', "unknown key"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_column_that_contradicts_itself_is_refused(write: Write, case: str) -> None:
    entry, said = REFUSED[case]
    with pytest.raises(PolicyError) as error:
        write(entry)
    problem, *others = error.value.problems
    assert said in f"{problem.place} {problem.rule} {problem.hint}"
    assert len(others) == (case == "truths that YAML takes for truth values")
    assert re.match(r"p\.yaml:\d+: columns\.x", problem.place)


WRITTEN: dict[str, tuple[str, str, str]] = {  # the column, the key, and what is said
    "a time zone that is none": (f"{MOMENTS}, timezone: Europe/Berlyn", "timezone", "no time zone 'Europe/Berlyn'"),
    "a time zone that is a file": (f"{MOMENTS}, timezone: /etc/localtime", "timezone", "no time zone"),
    "moments without hours": (f'{MOMENTS}, format: "%Y-%m-%d"', "format", "does not round-trip moments"),
    "moments without days": (f'{MOMENTS}, format: "%H:%M"', "format", "does not round-trip moments"),
    "hours without halves of the day": (f'{MOMENTS}, format: "%Y-%m-%d %I:%M"', "format", "does not round-trip moments"),
    "times without hours": ('kind: time, format: "%M:%S"', "format", "does not round-trip times of day"),
    "durations as moments": ('kind: duration, bounds: [0, 9], format: "%H:%M"', "format", "write one of clock, iso, days"),
    "a censored code for missing": (f'{NUMBER}, censored: {{below: "?"}}', "censored", "'?' is a token for missing, too"),
    "a censored value with a control character": (f'{NUMBER}, censored: {{below: "a\\0"}}', "", "holds a control character"),
    "a code for missing with a control character": (f'{NUMBER}, missing: ["a\\x7f"]', "", "holds a control character"),
    "very many marks": (f"{NUMBER}, missing: {list(range(101))}", "", "more than 100 marks"),
    "a category with a space behind": ('kind: category, categories: ["a ", b]', "categories[1]", "white space"),
    "an empty category": ('kind: category, categories: [a, ""]', "categories[2]", "a category is empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITTEN)
def test_cells_that_could_not_be_read_back_are_refused(write: Write, case: str) -> None:
    entry, key, said = WRITTEN[case]
    with pytest.raises(PolicyError) as error:
        write(entry)
    (problem,) = error.value.problems
    assert said in f"{problem.rule} {problem.hint}" and problem.hint and problem.rule.isprintable()
    assert problem.place.endswith(f": columns.x.{key}" if key else ": columns.x")


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ("language: xx", "dataset.language", "no language 'xx'"),
        ("language: German", "dataset.language", ""),
        ("table: a\n  query: select 1", "dataset.query", "`table` and `query` are both stated"),
        ("csv: {delimiter: tab}", "dataset.csv.delimiter", "one ASCII character"),
        ('csv: {decimal: ",", thousands: ","}', "dataset.csv", "the same character"),
        ('csv: {delimiter: "\'", quote: "\'"}', "dataset.csv", ""),
        ("csv: {encoding: utf-7}", "dataset.csv.encoding", "no such encoding"),
    ],
)
def test_how_a_table_is_written_is_checked(write: Write, change: str, key: str, said: str) -> None:
    with pytest.raises(PolicyError) as error:
        write(NUMBER, ("  rows: 300", f"  rows: 300\n  {change}"))
    (problem,) = error.value.problems
    assert said in problem.rule and key in problem.place


@pytest.mark.parametrize("language", ["en", "de", "fr", "pt_BR", "pt-BR", "de-AT"])
def test_languages(write: Write, language: str) -> None:
    assert write(NUMBER, ("  rows: 300", f"  rows: 300\n  language: {language}")).model.dataset.language == language


# --- warnings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "change", "said"),
    [
        ('kind: date, bounds: [1970-01-01, 1979-12-31], format: "%Y-%m-%d %H:%M"', None, "Kind datetime keeps it"),
        ('kind: category, categories: [a, "?"]', None, "`missing: []` to keep it as a category"),
        ("kind: integer, bounds: [-10, 10]", ('["?"]', "[-9]"), "lies within the bounds of this column"),
        ("kind: number, bounds: [-10, 10]", ('["?"]', '["-9.5"]'), "lies within the bounds of this column"),
    ],
)
def test_what_is_likely_a_slip_is_a_warning(
    write: Write, entry: str, change: tuple[str, str] | None, said: str
) -> None:
    warnings = [w for w in write(entry, *([change] if change else [])).warnings if "columns.x" in w]
    assert len(warnings) == 1 and said in warnings[0]
    quiet = entry + ("" if "date" in entry else ", missing: []")
    if quiet != entry:
        assert not [w for w in write(quiet, *([change] if change else [])).warnings if "columns.x" in w]


@pytest.mark.parametrize("key", ["missing", "censored", "cuts", "spikes", "number", "timezone"])
def test_new_keys_have_a_default_that_changes_nothing(key: str) -> None:
    assert Column.model_fields[key].default in (None, [])
    assert not Column.model_fields[key].is_required()


def test_a_policy_survives_its_own_json(write: Write) -> None:
    """As the ledger and the release keep it."""
    policy = write(
        'kind: duration, bounds: ["PT0S", "3 days"], spikes: ["PT2H"], cuts: ["24:00:00"], missing: [never], format: iso'
    )
    dumped: dict[str, Any] = policy.model.model_dump(mode="json")
    assert Column.model_validate(dumped["columns"]["x"]) == policy.model.columns["x"]
