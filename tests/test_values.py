"""How cells are written and read: each is the inverse of the other, in every kind, format, dialect, language and time zone."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from privsynth.errors import PolicyError
from privsynth.policy import Policy
from privsynth.policy.column import EPOCH, LETTER_CASES
from privsynth.policy.moments import DAY, clock_of, duration_of
from privsynth.table.parse import plain_number
from privsynth.table.raw import NO_VALUE, REGULAR
from privsynth.table.reader import read_table
from privsynth.table.values import Form, NumberReader

FIXED = settings(max_examples=200, deadline=None)
SECOND = settings(max_examples=60, deadline=None)
FIRST, LAST = date.min.toordinal() - EPOCH, date.max.toordinal() - EPOCH
LANGUAGES = ("en", "de", "fr", "es", "pt", "it", "nl")


def written(form: Form, value: float) -> str:
    return str(form.texts_of(np.array([value]))[0])


def there_and_back(form: Form, value: float) -> None:
    text = written(form, value)
    assert text == text.strip(), "cells lose white space at their ends"
    assert form.value_of(text) == value, text


# --- numbers ----------------------------------------------------------------------------------------------------------

DIALECTS = [
    {},
    {"thousands": ","},
    {"decimal": ","},
    {"decimal": ",", "thousands": "."},
    {"decimal": ",", "thousands": " "},
    {"decimal": ",", "thousands": "\u202f", "currency": "€"},
    {"thousands": "'", "currency": "CHF"},
    {"thousands": "_"},
    {"thousands": ",", "currency": "$", "parentheses": True},
    {"parentheses": True},
    {"percent": True},
    {"decimal": ",", "percent": True, "parentheses": True},
    {"decimal": ",", "thousands": "\u2019", "currency": "kr.", "percent": False},
]


@FIXED
@given(st.sampled_from(DIALECTS), st.integers(-(10**13), 10**13), st.integers(0, 9))
def test_numbers_of_declared_places_come_back(dialect: dict[str, Any], units: int, places: int) -> None:
    assume(abs(units) < 10**9 or places < 3)
    there_and_back(Form("number", step=10.0**-places, places=places, **dialect), float(f"{units}e-{places}") + 0.0)
    there_and_back(Form("integer", **dialect), float(units))


@FIXED
@given(st.sampled_from(DIALECTS), st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_numbers_without_declared_places_are_written_with_as_many_as_they_need(
    dialect: dict[str, Any], value: float
) -> None:
    there_and_back(Form("number", **dialect), value + 0.0)


@FIXED
@given(st.floats(-1e15, 1e15), st.integers(0, 6))
def test_a_number_is_written_to_its_last_declared_place(value: float, places: int) -> None:
    text = written(Form("number", places=places), value)
    assert (
        len(text.partition(".")[2]) == places and abs(float(text) - value) <= 0.5 * 10.0**-places + abs(value) * 1e-15
    )
    assert text != "-0" and not (text.startswith("-") and float(text) == 0), "no negative zero"


@pytest.mark.parametrize(
    ("dialect", "value", "text"),
    [
        ({}, 1234567.5, "1234567.5"),
        ({"thousands": ","}, 1234567.5, "1,234,567.5"),
        ({"decimal": ",", "thousands": "."}, -1234.5, "-1.234,5"),
        ({"decimal": ",", "thousands": ".", "currency": "€"}, -1234.5, "-€1.234,5"),
        ({"thousands": ",", "currency": "$", "parentheses": True}, -12.0, "($12.0)"),
        ({"percent": True}, 85.0, "85.0%"),
        ({"places": 2}, 0.001, "0.00"),
        ({"places": 2, "parentheses": True}, -0.001, "0.00"),
        ({"places": 0}, 2.0, "2"),
        ({"places": 3, "thousands": ","}, 1e6, "1,000,000.000"),
        ({"places": 2, "decimal": ",", "currency": "€", "written": "{} €"}, -12.5, "-12,50 €"),
        ({"places": 2, "currency": "CHF", "written": "CHF -{}"}, -12.5, "CHF -12.50"),
        ({"places": 2, "currency": "CHF", "written": "CHF -{}"}, 12.5, "CHF 12.50"),
        ({"places": 2, "decimal": ",", "thousands": ".", "written": "{}-"}, -1234.5, "1.234,50-"),
        ({"places": 2, "currency": "EUR", "written": "{}- EUR"}, 1234.5, "1234.50 EUR"),
        ({"places": 1, "percent": True, "written": "{}\u00a0%"}, 85.0, "85.0\u00a0%"),
        ({"places": 0, "currency": "€", "parentheses": True, "written": "{} €"}, -5.0, "(5 €)"),
    ],
)
def test_what_a_number_looks_like(dialect: dict[str, Any], value: float, text: str) -> None:
    form = Form("number", **dialect)
    assert written(form, value) == text and form.value_of(text) == pytest.approx(value, abs=0.01)


ENGLISH: dict[str, Any] = {"thousands": ","}
GERMAN: dict[str, Any] = {"decimal": ",", "thousands": "."}
SWISS: dict[str, Any] = {"thousands": "'"}
MONEY: dict[str, Any] = {"thousands": ",", "currency": "$", "parentheses": True}


@pytest.mark.parametrize(
    ("how", "text", "value"),
    [
        (ENGLISH, "1,234.50", 1234.5),
        (ENGLISH, "1,234,567", 1_234_567),
        (ENGLISH, "1234.5", 1234.5),  # ungrouped is fine
        (ENGLISH, "-1,234", -1234),
        (ENGLISH, "+1,234", 1234),
        (ENGLISH, "\u22121,234", -1234),  # a minus as in typeset text
        (ENGLISH, "0.123", 0.123),
        (GERMAN, "1.234,50", 1234.5),
        (GERMAN, "1.234", 1234),
        (GERMAN, "0,5", 0.5),
        (GERMAN, ",5", 0.5),
        (GERMAN, "1,2e3", 1200),
        (SWISS, "1'234.50", 1234.5),
        (MONEY, "$1,234.50", 1234.5),
        (MONEY, "$ 1,234.50", 1234.5),
        (MONEY, "-$12", -12),
        (MONEY, "$-12", -12),
        (MONEY, "(12.00)", -12),
        (MONEY, "($12.00)", -12),
        (MONEY, "$(12.00)", -12),
        (MONEY, "12 $", 12),
        ({"currency": "€"}, "12,5", None),
        ({"decimal": ",", "currency": "€"}, "12,5 €", 12.5),
        ({"percent": True}, "85%", 85),
        ({"percent": True}, "85 %", 85),
        ({"percent": True}, "85", 85),
        ({"trailing": True}, "12.50-", -12.5),
        ({"trailing": True, "currency": "EUR"}, "12.50- EUR", -12.5),
        ({"trailing": True, "currency": "EUR"}, "12.50 EUR-", -12.5),
        ({"trailing": True}, "-12.50-", None),
        ({}, "12.50-", None),
    ],
)
def test_numbers_as_people_and_office_programs_write_them(how: dict[str, Any], text: str, value: float | None) -> None:
    found = plain_number(text, **how)
    assert math.isnan(found) if value is None else found == value


@pytest.mark.parametrize(
    ("how", "text"),
    [
        *((ENGLISH, text) for text in (
            "1,23", "12,34,567", "1,2345", ",123", "1,,234", "1234,567", "1,234,", "1.234,50", "1,234.5,6", "0,123", "00,123",
            "1, 234", "1 234", "$1", "(12)", "85%", "--1,234", "1,234-",
        )),
        *((GERMAN, text) for text in ("1.5", "1.23,4", "1,234.50", "0.123", "1.234.56", "1,5,5", "1.2345", ".5")),
        *((SWISS, text) for text in ("1,234", "12'34", "'123")),
        *((MONEY, text) for text in ("€12", "(12", "12)", "((12))", "(-12)", "(+12)", "-(12)", "$$12", "$", "()", "($)")),
        ({"percent": True}, "%"), ({"percent": True}, "85%%"), ({"percent": True}, "%85"),
        ({}, "1,234"), ({}, "1_000"), ({}, "½"), ({}, "٣"), ({}, "0x10"), ({}, "inf"), ({}, ""), ({}, "1e"),
    ],
)  # fmt: skip
def test_what_is_written_by_other_rules_is_no_number(how: dict[str, Any], text: str) -> None:
    """Groups of three, or none: 1.5 where the point groups is a number by other rules, and not fifteen."""
    assert math.isnan(plain_number(text, **how)), text


@FIXED
@given(
    st.sampled_from([ENGLISH, GERMAN, SWISS, MONEY, {"percent": True}, {}]),
    st.text("0123456789.,'-+()$%eE ", max_size=12),
)
def test_reading_a_number_never_fails_and_what_is_read_is_one(how: dict[str, Any], text: str) -> None:
    found = plain_number(text, **how)
    assert math.isnan(found) or float(found) == found
    if not math.isnan(found):
        bare = "".join(c for c in text if c not in "$%() ").replace(how.get("thousands", "\0"), "")
        value = float(bare.replace(how.get("decimal", "."), "."))
        assert abs(found) == abs(value)


# --- days and moments -------------------------------------------------------------------------------------------------

DATE_FORMS = [
    None, "%Y-%m-%d", "%d.%m.%Y", "%Y%m%d", "%m/%d/%Y", "%d-%b-%Y", "%d. %B %Y", "%d%b%Y", "%A, %d %B %Y", "%a %d %b %Y", "%Y-%j",
    "%d/%m/%Y %H:%M",
]  # fmt: skip
CLOCKS = {" %H:%M:%S": 1.0, " %H:%M": 60.0, "T%H": 3600.0, " %I:%M:%S %p": 1.0, " %H:%M:%S.%f": 1e-6}


@FIXED
@given(st.sampled_from(DATE_FORMS), st.sampled_from(LANGUAGES), st.sampled_from([None, *LETTER_CASES]),
       st.integers(FIRST, LAST))  # fmt: skip
def test_days_come_back(form: str | None, language: str, letter_case: str | None, day: int) -> None:
    """In the years 1 to 9999, and in every letter case."""
    there_and_back(Form("date", form, language=language, letter_case=letter_case), float(day))


@FIXED
@given(st.sampled_from(DATE_FORMS[:-1]), st.sampled_from(list(CLOCKS)), st.sampled_from(LANGUAGES),
       st.integers(FIRST, LAST), st.integers(0, DAY - 1))  # fmt: skip
def test_moments_come_back(form: str | None, clock: str, language: str, day: int, second: int) -> None:
    step = CLOCKS[clock] if form else 1.0
    seconds = day * DAY + second // max(step, 1) * max(step, 1)
    there_and_back(Form("datetime", form and form + clock, language=language, step=step), float(seconds))


@FIXED
@given(st.integers(-(285 * 366 * DAY), 285 * 366 * DAY), st.integers(0, 999_999))
def test_microseconds_come_back_as_far_as_a_policy_may_ask_for_them(second: int, part: int) -> None:
    value = round(second * 10**6 + part) / 10**6
    form = Form("datetime", "%Y-%m-%d %H:%M:%S.%f", step=1e-6)
    assert form.value_of(written(form, value)) == pytest.approx(value, abs=5e-7, rel=0)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", ["%d-%b-%Y", "%d. %B %Y", "%A, %d. %B %Y", "%a, %d %b %Y", "%d%b%Y"])
def test_every_month_and_weekday_of_a_language_comes_back(language: str, form: str) -> None:
    """Also where a short name is a long one of its own (März, Juni, août), or one of a month and of a day (mar)."""
    for letter_case in (None, *LETTER_CASES):
        for day in range(18_262, 18_262 + 366, 5):
            there_and_back(Form("date", form, language=language, letter_case=letter_case), float(day))


@pytest.mark.parametrize(
    ("language", "form", "text", "when"),
    [
        ("de", "%d-%b-%Y", "12-MRZ-2020", "2020-03-12"),
        ("de", "%d%b%Y", "01Okt2020", "2020-10-01"),
        ("de", "%d. %B %Y", "3. Jänner 2020", None),  # Austrian: de-AT says it
        ("de-AT", "%d. %B %Y", "3. Jänner 2020", "2020-01-03"),
        ("de", "%d. %b %Y", "3. Sept. 2020", "2020-09-03"),
        ("fr", "%d %b %Y", "14 juil. 2020", "2020-07-14"),
        ("fr", "%d %B %Y", "14 AOÛT 2020", "2020-08-14"),
        ("es", "%d de %B de %Y", "3 de marzo de 2020", "2020-03-03"),
        ("es", "%a %d %b %Y", "mar 3 mar 2020", "2020-03-03"),
        ("pt", "%d/%b/%Y", "07/set/2020", "2020-09-07"),
        ("de", "%d-%b-%Y", "12-MAX-2020", None),
        ("en", "%d-%b-%Y", "12-Mär-2020", None),
    ],
)
def test_months_as_programs_write_them(language: str, form: str, text: str, when: str | None) -> None:
    found = Form("date", form, language=language).value_of(text)
    assert math.isnan(found) if when is None else found == date.fromisoformat(when).toordinal() - EPOCH


# --- two digits of a year ---------------------------------------------------------------------------------------------


@FIXED
@given(
    st.integers(FIRST + 40_000, LAST - 80_000),
    st.integers(1, 36_524),
    st.floats(0, 1),
    st.sampled_from(["date", "datetime"]),
)
def test_two_digits_tell_the_year_between_bounds_less_than_a_century_apart(
    low: int, span: int, place: float, kind: str
) -> None:
    day = low + round(place * span)
    written_year = date.fromordinal(day + EPOCH).year
    first, last = date.fromordinal(low + EPOCH), date.fromordinal(low + span + EPOCH)
    assume((last.year - first.year, last.month, last.day) < (100, first.month, first.day))
    assume(1769 <= written_year <= 2268)  # strptime's own century, and up to two beside it
    assume(day not in _no_leap_day(day))
    unit = 1 if kind == "date" else DAY
    form = Form(
        kind, "%d-%m-%y" + ("" if kind == "date" else " %H:%M:%S"), low=low * unit, high=(low + span) * unit + unit - 1
    )
    there_and_back(form, float(day * unit + (0 if kind == "date" else 12_345)))


def _no_leap_day(day: int) -> set[int]:
    """29 February in a year whose last two digits strptime takes for another year without one, such as 1900's."""
    found = date.fromordinal(day + EPOCH)
    meant = found.year % 100 + (2000 if found.year % 100 < 69 else 1900)
    leap = meant % 4 == 0 and (meant % 100 != 0 or meant % 400 == 0)
    return {day} if (found.month, found.day) == (2, 29) and not leap else set()


def test_births_of_oracle_lie_in_the_past() -> None:
    """%d-%b-%y of births from 1925 to 1968, which strptime reads as 2025 to 2068."""
    low, high = (float(date.fromisoformat(text).toordinal() - EPOCH) for text in ("1915-01-01", "2010-12-31"))
    form = Form("date", "%d-%b-%y", low=low, high=high)
    for text, year in (
        ("01-JAN-25", 1925),
        ("31-DEC-68", 1968),
        ("29-FEB-60", 1960),
        ("05-MAR-99", 1999),
        ("05-MAR-10", 2010),
    ):
        assert date.fromordinal(int(form.value_of(text)) + EPOCH).year == year
    assert date.fromordinal(int(form.value_of("05-MAR-13")) + EPOCH).year == 2013, "in neither century: out of bounds"
    assert date.fromordinal(int(Form("date", "%d-%b-%y").value_of("01-JAN-25")) + EPOCH).year == 2025, (
        "no bounds to tell"
    )


@pytest.mark.parametrize(
    ("low", "high", "allowed"),
    [
        ("1920-01-01", "2019-12-31", True),
        ("1920-01-01", "2020-01-01", False),
        ("1900-01-01", "2000-01-01", False),
        ("1900-03-01", "2000-02-29", True),
        ("1910-06-15", "2010-06-14", True),
        ("1910-06-15", "2010-06-15", False),
        ("1800-01-01", "2020-01-01", False),
    ],
)
def test_bounds_of_two_digit_years_are_less_than_a_century_apart(
    clinic_text: str, low: str, high: str, allowed: bool
) -> None:
    """Else two days would be written alike."""
    text = clinic_text.replace(
        "constraints:", f'  born: {{kind: date, bounds: [{low}, {high}], format: "%d-%m-%y"}}\nconstraints:'
    )
    if allowed:
        assert Policy.from_text(text).model.columns["born"].two_digit_year
        return
    with pytest.raises(PolicyError, match="years of two digits do not tell the century") as error:
        Policy.from_text(text)
    assert "columns.born.format" in error.value.problems[0].place


# --- time zones -------------------------------------------------------------------------------------------------------

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns")


def wall(zone: str, moment: datetime) -> float:
    """Seconds since 1970 as a clock on the wall shows a moment in UTC."""
    return (moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()


@SECOND
@given(
    st.sampled_from(ZONES), st.sampled_from([None, "%Y-%m-%dT%H:%M:%S%z"]), st.integers(-2_000_000_000, 4_000_000_000)
)
def test_moments_in_a_time_zone_come_back_as_its_clock_shows_them(zone: str, form: str | None, second: int) -> None:
    """Also those of an hour that comes twice, when the clock is set back; the hour that is left out is no moment."""
    value = wall(zone, datetime.fromtimestamp(second, UTC))
    there_and_back(Form("datetime", form, zone), value)


@SECOND
@given(st.sampled_from(ZONES), st.sampled_from(ZONES), st.integers(0, 4_000_000_000))
def test_an_offset_is_converted_to_the_declared_zone(declared: str, of_cell: str, second: int) -> None:
    moment = datetime.fromtimestamp(second, UTC)
    text = moment.astimezone(ZoneInfo(of_cell)).isoformat(sep=" ")
    assert Form("datetime", None, declared).value_of(text) == wall(declared, moment)
    assert math.isnan(Form("datetime").value_of(text)), "without a zone it says nothing"
    bare = moment.astimezone(ZoneInfo(declared)).replace(tzinfo=None).isoformat()
    assert Form("datetime", None, declared).value_of(bare) == wall(declared, moment), (
        "without an offset it is the zone's"
    )


def test_the_days_on_which_clocks_are_set() -> None:
    berlin = Form("datetime", None, "Europe/Berlin")
    for text in ("2024-10-27 02:30:00+02:00", "2024-10-27 02:30:00+01:00"):
        assert berlin.value_of(text) == berlin.value_of("2024-10-27 02:30:00"), "the hour that comes twice"
    assert written(berlin, berlin.value_of("2024-10-27 02:30:00")) == "2024-10-27 02:30:00+02:00"
    assert written(berlin, berlin.value_of("2024-07-01 00:00:00Z")) == "2024-07-01 02:00:00+02:00"
    hours = [berlin.value_of(f"2024-03-31 0{hour}:00:00Z") for hour in (0, 1)]
    assert np.diff(hours).tolist() == [7_200], "the hour that is left out"


# --- times and durations ----------------------------------------------------------------------------------------------


TIMES = [(None, 1.0), ("%H:%M:%S", 1.0), ("%H:%M", 60.0), ("%I:%M %p", 60.0), ("%H%M", 60.0), ("%H.%M.%S,%f", 1e-6)]


@FIXED
@given(st.sampled_from(TIMES), st.integers(0, DAY - 1), st.integers(0, 999_999), st.sampled_from([None, *LETTER_CASES]))
def test_times_of_day_come_back(how: tuple[str | None, float], second: int, part: int, letter_case: str | None) -> None:
    form, step = how
    value = second + part / 1e6 if step < 1 else float(second // step * step)
    found = Form("time", form, step=step, letter_case=letter_case)
    assert found.value_of(written(found, value)) == pytest.approx(value, abs=5e-7)


@FIXED
@given(st.sampled_from([None, "clock", "iso", "days"]), st.integers(-(10**10), 10**10))
def test_durations_come_back(form: str | None, second: int) -> None:
    """Negative ones too, and years of them."""
    there_and_back(Form("duration", form), float(second))


@FIXED
@given(st.sampled_from(["clock", "iso", "days"]), st.integers(-(10**14), 10**14))
def test_durations_to_the_microsecond_come_back(form: str, part: int) -> None:
    found = Form("duration", form, step=1e-6)
    assert found.value_of(written(found, part / 1e6)) == pytest.approx(part / 1e6, abs=5e-7, rel=0)


@given(st.timedeltas(timedelta(days=-(10**6)), timedelta(days=10**6)))
def test_durations_are_read_as_python_and_pandas_write_them(span: timedelta) -> None:
    import pandas as pd

    seconds = span.total_seconds()
    assert duration_of(str(span)) == pytest.approx(seconds, abs=1e-6, rel=0)
    if abs(span) < timedelta(days=100_000):
        assert duration_of(str(pd.Timedelta(span))) == pytest.approx(seconds, abs=1e-6, rel=0)
        assert duration_of(pd.Timedelta(span).isoformat()) == pytest.approx(seconds, abs=1e-6, rel=0)


@pytest.mark.parametrize(
    "text", ["24:00", "7", "7:5", "07:60", "07:45:60", "-1:00", "07:45 PM", "07.45", "٠٧:٤٥", "", " 07:45"]
)
def test_what_is_no_time_of_day(text: str) -> None:
    assert math.isnan(clock_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "P",
        "PT",
        "P1DT",
        "P1M",
        "P1Y",
        "5",
        "1:2",
        "1:60",
        "1:00:60",
        "days",
        "P1D2H",
        "P--1D",
        "PT1.5H",
        "1h",
        "٣ days",
        "",
    ],
)
def test_what_is_no_duration(text: str) -> None:
    """A month and a year have no fixed length, and a bare number no unit."""
    assert math.isnan(duration_of(text))


# --- marks ------------------------------------------------------------------------------------------------------------


def test_a_mark_is_known_by_its_text_or_by_its_number() -> None:
    reader = NumberReader(Form("number", decimal=",", thousands="."), ("<0,6", "-9", "90+", "-9,0", "1.000"))
    for text, place in (
        ("<0,6", 0),
        ("-9", 1),
        ("-9,00", 1),
        ("90+", 2),
        ("-9,0", 3),
        ("1000", 4),
        ("1.000", 4),
        ("1000,0", 4),
    ):
        value, mark = reader(text)
        assert math.isnan(value) and mark == place, text
    assert reader("8") == (8.0, -1) and math.isnan(reader("<0.6")[0]) and reader("<0.6")[1] == -1


def test_a_mark_of_a_date_is_the_day_however_it_is_written() -> None:
    reader = NumberReader(Form("date"), ("9999-12-31", "unknown"))
    assert [reader(text)[1] for text in ("9999-12-31", "99991231", "9999-12-31T00:00:00", "unknown", "Unknown", "2020-01-01")] == [
        0, 0, 0, 1, -1, -1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "mark", "value"),
    [("integer", "-9", -9), ("integer", "-9.5", None), ("integer", "1e300", None), ("number", "-9.5", -9.5), ("number", "?", None),
     ("number", "1e400", None), ("date", "1970-01-02", 1), ("date", "-9", None), ("time", "00:01", 60)],
)  # fmt: skip
def test_the_value_of_a_mark_is_one_that_its_kind_can_hold(kind: str, mark: str, value: float | None) -> None:
    found = Form(kind).value_of_mark(mark)
    assert math.isnan(found) if value is None else found == value


def test_missing_values_are_no_text() -> None:
    values = np.array([np.nan, 1.0, np.nan, 2.0, 1.0])
    for kind in ("number", "integer", "date", "datetime", "time", "duration"):
        texts = Form(kind).texts_of(values)
        assert [text is None for text in texts] == [True, False, True, False, False] and texts[1] == texts[4]
        assert Form(kind).texts_of(np.full(2, np.nan)).tolist() == [None, None]
        assert len(Form(kind).texts_of(np.zeros(0))) == 0


def test_only_a_source_that_has_days_is_read_in_two_ways(tmp_path: Path) -> None:
    """In a CSV a day is what somebody wrote: what is not in the declared format was written by other rules."""
    (tmp_path / "t.csv").write_text("day,x\n2020-03-01,1\n01.03.2020,1\n")
    reader = NumberReader(Form("date", "%d.%m.%Y"))
    assert read_table(tmp_path / "t.csv").numbers("day", reader).states.tolist() == [NO_VALUE, REGULAR]
    frame = pd.DataFrame({"day": ["2020-03-01", "01.03.2020"]})
    assert read_table(frame).numbers("day", reader).states.tolist() == [REGULAR, REGULAR]


MONTHS = ("Jan", "Feb", "Mrz", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez")
DOTTED = ("janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc.")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (Form("date", "%d-%b-%Y", language="de", months=MONTHS), "01-Mrz-2020"),
        (Form("date", "%d%b%Y", months=MONTHS, letter_case="UPPER"), "01MRZ2020"),
        (Form("date", "%-d %b %Y", language="fr", months=DOTTED), "9 déc. 2020"),
        (Form("date", "%d.%b.%Y", language="de"), "01.Feb.2020"),
        (Form("date", "%-m/%-d/%Y"), "3/1/2020"),
        (Form("date", "%-d.%-m.%y", low=0.0, high=20_000.0), "1.12.20"),
        (Form("datetime", "%-d.%-m.%Y %-H:%M", step=60.0), "1.3.2020 7:05"),
        (Form("time", "%-I:%M %p"), "7:05 PM"),
        (Form("date", "%Y-%m-%d 00:00:00"), "2020-03-01 00:00:00"),
    ],
)
def test_days_and_times_leave_as_programs_write_them(form: Form, text: str) -> None:
    """Declared names of months; no leading zeros."""
    assert written(form, form.value_of(text)) == text


@pytest.mark.parametrize("text", ["1164082531", "2024010112", "20240101112", "2024-01-01110:00"])
def test_digits_behind_a_day_are_not_passed_over(text: str) -> None:
    """Python's own reader of ISO 8601 takes some of these for the day."""
    assert math.isnan(Form("date").value_of(text)) and math.isnan(Form("datetime").value_of(text))
