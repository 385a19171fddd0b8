"""How the cells of one column are read: a function from one text to its value, by what the policy declares alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property, partial
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from privsynth.policy import Policy
from privsynth.policy.column import TEMPORAL
from privsynth.policy.moments import DAY, clock_of, duration_of, padded
from privsynth.table.language import ENGLISH, in_english
from privsynth.table.parse import day_of, in_century, moment_of, number_of, plain_number, time_of
from privsynth.table.written import texts_of

_MINUS = re.compile(r"-\{\}|\{\}-")  # where a pattern of numbers puts the minus
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class Form:
    """How the cells of one column are written, by what the policy declares alone.

    format: of dates, datetimes and times as in strptime, of durations one of `DURATION_FORMATS`. letter_case: of names in
    dates, one of LETTER_CASES. step: resolution, in the column's units. places: decimal places that are written always; None:
    as many as a number needs. written: of numbers, as in `NumberSpec`. months: their names, if declared. low, high: bounds, which
    tell the century of a year of two digits.
    """

    kind: str
    format: str | None = None
    timezone: str | None = None
    decimal: str = "."
    thousands: str = ""
    currency: str = ""
    parentheses: bool = False
    percent: bool = False
    written: str = ""
    language: str = ENGLISH
    months: tuple[str, ...] = ()
    letter_case: str | None = None
    step: float = 1.0
    places: int | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, policy: Policy, name: str) -> Form:
        column, csv = policy.model.columns[name], policy.model.dataset.csv
        own, (low, high) = column.number, column.limits or (None, None)
        decimal = (own.decimal if own else None) or csv.decimal
        thousands = (own.thousands if own else None) or csv.thousands or ""
        return cls(
            column.kind, column.format, column.timezone, decimal, "" if thousands == decimal else thousands,
            (own.currency or "") if own else "", bool(own and own.parentheses), bool(own and own.percent),
            (own.written or "") if own else "", policy.model.dataset.language, tuple(policy.model.dataset.months), None,
            column.step, column.decimals, low, high,
        )  # fmt: skip

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Form:
        return cls(**data | {"months": tuple(data.get("months", ()))})

    @property
    def plain(self) -> bool:
        """True if numbers are written as Python writes them."""
        return self.decimal == "." and not (
            self.thousands or self.currency or self.parentheses or self.percent or self.written
        )

    @cached_property
    def value_of(self) -> Callable[[str], float]:
        """A text -> its value (days, seconds or the number itself); NaN if it is not one of its kind."""
        form = self.format and padded(self.format)
        if self.kind == "date":
            return self._in_century(lambda text: day_of(in_english(text, self.language, form, self.months), form), 1)
        if self.kind == "datetime":
            zone = ZoneInfo(self.timezone) if self.timezone else None
            english = partial(in_english, language=self.language, form=form, months=self.months)
            return self._in_century(lambda text: moment_of(english(text), form, zone), DAY)
        if self.kind == "time":
            return clock_of if form is None else lambda text: time_of(text, form)
        if self.kind == "duration":
            return duration_of
        if self.plain:
            return number_of
        signs = self.decimal, self.thousands, self.currency, self.parentheses, self.percent, "{}-" in self.written
        return lambda text: plain_number(text, *signs)

    def value_of_mark(self, mark: str) -> float:
        """As `value_of`, of a text in place of a value: NaN too where the kind cannot hold the number, such as -9.5."""
        value = self.value_of(mark)
        held = math.isfinite(value) and (self.kind != "integer" or (value == round(value) and abs(value) <= 2**53))
        return value if held else math.nan

    def _in_century(self, read: Callable[[str], float], unit: int) -> Callable[[str], float]:
        """Two-digit years in the century of the bounds. unit: of a day, in the column's units."""
        if self.low is None or self.high is None or "%y" not in padded(self.format or "").replace("%%", ""):
            return read
        first, last = math.floor(self.low / unit), math.floor(self.high / unit)

        def within(text: str) -> float:
            value = read(text)
            if math.isnan(value):
                return value
            day = float(math.floor(value / unit))
            return value + (in_century(day, first, last) - day) * unit

        return within

    def written_alike(self, text: str, other: str) -> bool:
        """True if two texts of one value differ in letter case alone, or in zeros at the end that `decimals` states."""
        point = re.escape(self.decimal)
        if self.kind in ("integer", "number") and self.places is not None:
            text, other = (re.sub(rf"{point}0*(?!\d)|({point}\d*[1-9])0+(?!\d)", r"\1", one) for one in (text, other))
        elif self.kind == "number":  # 18 beside 18.5 is written as the number with a point that it is
            text, other = (re.sub(rf"{point}0(?!\d)", "", one) for one in (text, other))
        return text.casefold() == other.casefold()

    def texts_of(self, values: np.ndarray) -> np.ndarray:
        """(rows,) text of each value, None for NaN: what `value_of` reads."""
        if self.kind in TEMPORAL:
            how = self.format, self.step, self.timezone, self.language, self.letter_case, self.months
            return texts_of(values, self.kind, *how)
        there = ~np.isnan(values)
        distinct, place = np.unique(values[there], return_inverse=True)
        texts = np.empty(len(values), object)
        if len(distinct):
            texts[there] = np.array([self._number(float(value)) for value in distinct], object)[place]
        return texts

    def _number(self, value: float) -> str:
        value = value + 0.0  # no negative zero
        if self.places is not None or self.kind == "integer":
            text = f"{abs(value):{',' if self.thousands else ''}.{self.places or 0}f}"
        else:
            text = format(Decimal(repr(abs(value))), "," if self.thousands else "f")
        negative = value < 0 and any(digit not in "0.," for digit in text)
        if not self.plain:
            text = text.translate({ord(","): self.thousands, ord("."): self.decimal})
            if negative and _MINUS.search(self.written):
                return self.written.replace("{}", text)
            form = _MINUS.sub("{}", self.written) or f"{self.currency}{{}}{'%' if self.percent else ''}"
            text = form.replace("{}", text)
        return (f"({text})" if self.parentheses else f"-{text}") if negative else text


@dataclass(frozen=True)
class NumberReader:
    """Numbers of one column, and the marks that may stand in place of one: codes for missing, censored values.

    marks: texts. Two marks that are the same number are one. or_iso: dates may be in ISO 8601, too, whatever their format: so
    they come from a source with types, such as a workbook, whose cells hold no format.
    """

    form: Form
    marks: tuple[str, ...] = ()
    or_iso: bool = False

    @classmethod
    def of(cls, policy: Policy, name: str) -> NumberReader:
        return cls(Form.of(policy, name), policy.marks(name))

    @cached_property
    def _mark_of(self) -> dict[str, int]:
        return {mark: place for place, mark in reversed(list(enumerate(self.marks)))}

    @cached_property
    def marked_numbers(self) -> dict[float, int]:
        """Marks that are numbers hold for a cell that is the same number, however it is written."""
        plain = ((self.form.value_of(mark), place) for place, mark in reversed(list(enumerate(self.marks))))
        return {value: place for value, place in plain if not math.isnan(value)}

    def __call__(self, text: str) -> tuple[float, int]:
        """(value, mark): one of them, or NaN and -1 for what cannot be read."""
        if (mark := self._mark_of.get(text)) is not None:
            return math.nan, mark
        value = self.form.value_of(text)
        if self.or_iso and math.isnan(value) and self.form.format is not None and self.form.kind in TEMPORAL:
            value = replace(self.form, format=None).value_of(text)
        mark = self.marked_numbers.get(value, -1)
        return (math.nan, mark) if mark >= 0 else (value, -1)

    def of_arrow(self, values: pa.ChunkedArray) -> np.ndarray | None:
        """(rows,) float64 of typed values, NaN for null; None where each cell has to be read as text."""
        kind = values.type
        if self.form.kind in ("integer", "number"):
            return _of_numbers(values) if pa.types.is_integer(kind) or pa.types.is_floating(kind) else None
        if self.form.kind in ("date", "datetime"):
            return self._of_moments(values) if pa.types.is_date(kind) or pa.types.is_timestamp(kind) else None
        if not (pa.types.is_time(kind) if self.form.kind == "time" else pa.types.is_duration(kind)):
            return None
        whole = values.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).cast(pa.int64())
        absent = values.is_null().to_numpy()
        return np.where(absent, np.nan, whole.fill_null(0).to_numpy() / PER_SECOND[kind.unit])

    def _of_moments(self, values: pa.ChunkedArray) -> np.ndarray:
        """Days or seconds of dates or moments, as a clock in their time zone, or in the declared one, shows them."""
        kind = values.type
        if pa.types.is_timestamp(kind) and kind.tz:
            if self.form.timezone:
                values = values.cast(pa.timestamp(kind.unit, self.form.timezone))
            values = pc.local_timestamp(values)
        absent = values.is_null().to_numpy()
        whole = values.cast(pa.int32() if kind == pa.date32() else pa.int64()).cast(pa.int64()).fill_null(0).to_numpy()
        a_day = 1 if kind == pa.date32() else DAY * PER_SECOND["ms" if kind == pa.date64() else kind.unit]
        days, rest = np.divmod(whole, a_day)
        if self.form.kind == "date":
            return np.where(absent, np.nan, days.astype(float))
        return np.where(absent, np.nan, days * float(DAY) + rest * (DAY / a_day))


def _of_numbers(values: pa.ChunkedArray) -> np.ndarray:
    """(rows,) float64."""
    return np.asarray(values.cast(pa.float64(), safe=False).to_pandas().to_numpy(dtype=float, na_value=np.nan))
