"""What a policy states of one column: kind, role, values, how cells are written, what may become of them."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from privsynth.policy.moments import DAY, clock_of, duration_of, padded

Kind = Literal[
    "id", "category", "boolean", "integer", "number", "date", "datetime", "time", "duration", "text",
]  # fmt: skip
Role = Literal["direct_identifier", "quasi_identifier", "sensitive", "target", "attribute"]
ReleaseRule = Literal["keep", "drop", "regenerate"]
Unexpected = Literal["clip", "missing", "refuse"]
Generator = Literal[
    "name", "first_name", "last_name", "email", "phone_number", "address", "street_address", "city", "postcode",
    "company", "ssn", "iban", "uuid",
]  # fmt: skip
TEMPORAL: tuple[Kind, ...] = ("date", "datetime", "time", "duration")
NUMERIC: tuple[Kind, ...] = ("integer", "number", *TEMPORAL)
CATEGORICAL: tuple[Kind, ...] = ("category", "boolean")
MODELLED: tuple[Kind, ...] = (*CATEGORICAL, *NUMERIC)
DURATION_FORMATS = ("clock", "iso", "days")  # 36:15:00, P1DT12H15M, 1 days 12:15:00
FAR = 1e15  # of bounds, cuts and spikes on both sides of zero
MIN_PLACES = 4  # decimals of a number for which the policy states none
EPOCH = 719163  # date(1970, 1, 1).toordinal()
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # what no readable cell holds (`table.cells`)
RESOLUTIONS = {
    "%f": 1e-6,
    "%S": 1.0,
    "%T": 1.0,
    "%X": 1.0,
    "%c": 1.0,
    "%M": 60.0,
    "%H": 3600.0,
    "%I": 3600.0,
}  # seconds
NAMES = ("%a", "%A", "%b", "%B", "%p")  # directives of strptime that are names
LETTER_CASES = ("as names", "UPPER", "lower")  # of these, in a table; in this order in histograms
# spelled so in a table without types; another pair of words is declared as `categories: [no, yes]`, the false one first
TRUTHS = (
    ("False", "True"), ("false", "true"), ("FALSE", "TRUE"), ("0", "1"), ("no", "yes"), ("No", "Yes"), ("NO", "YES"),
    ("N", "Y"), ("n", "y"), ("F", "T"), ("f", "t"),
)  # fmt: skip


def _text(value: Any) -> Any:
    """Whole and decimal numbers may stand unquoted; what YAML turned into something else may not."""
    if isinstance(value, bool) or value is None or isinstance(value, date):
        raise ValueError("YAML reads this word as a truth value, a date or nothing; put it in quotes")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("YAML reads this word as no finite number; put it in quotes")
    if isinstance(value, (int, float)):
        return str(value)
    return value


Text = Annotated[str, BeforeValidator(_text)]
Thousands = Literal[",", ".", " ", "'", "\u2019", "\u00a0", "\u202f", "_"]
Bound = int | float | datetime | date


class Strict(BaseModel):
    """A part of the policy: unknown keys are refused, and so are truth values where none belong."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any, info: ValidationInfo) -> Any:
        listed = isinstance(value, list) and info.field_name in ("bounds", "cuts", "spikes")
        truths = [value, *value] if listed else [value]
        if any(isinstance(v, bool) for v in truths) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("YAML reads this word as a truth value; write a number, or put it in quotes")
        return value


class NumberSpec(Strict):
    """How the numbers of one column are written, where that is not plainly: 1,234.50, (12.00), € 3, 85%."""

    decimal: Literal[".", ","] | None = None  # None: as in `dataset.csv`
    thousands: Thousands | None = None
    currency: str | None = Field(default=None, min_length=1, max_length=10)  # before or behind the digits
    parentheses: bool = False  # (12.00) is -12.00, as accountants write it
    percent: bool = False  # 85% is read, and written, as 85
    written: str | None = Field(default=None, max_length=40)  # where signs stand, {} being the digits: "{} €", "{}-"

    @model_validator(mode="after")
    def _distinct(self) -> NumberSpec:
        if self.thousands is not None and self.thousands == self.decimal:
            raise ValueError("`decimal` and `thousands` are the same character")
        if self.written is not None:
            self._check_written(self.written)
        return self

    def _check_written(self, written: str) -> None:
        """All that stands in it is what the other keys declare: what is written can be read."""
        digits = re.search(r"-\{\}|\{\}-?", written)
        rest = written.replace(digits[0], "", 1) if digits else written
        for sign in (self.currency or "", "%" if self.percent else ""):
            if sign not in rest:
                raise ValueError(f"`written` is without {sign!r}, which is declared")
            rest = rest.replace(sign, "", 1)
        if digits is None or rest.strip() or written != written.strip():
            raise ValueError(
                '`written` is `{}` for the digits, perhaps with a minus, and the signs declared: "{} €", "{}-"'
            )
        if self.percent and written.index("%") < written.index("{}"):
            raise ValueError("`written` puts the per cent sign before the digits, where it is not read")
        if self.parentheses and digits[0] != "{}":
            raise ValueError("`written` puts a minus where `parentheses` stand for it; keep one of the two")


class Censored(Strict):
    """What stands in place of a number beyond a limit of detection or a top code, such as <0.6. Each text is a value of its own."""

    below: Text | list[Text] = []
    above: Text | list[Text] = []

    @property
    def texts(self) -> tuple[str, ...]:
        return (*self.lower, *self.upper)

    @property
    def lower(self) -> tuple[str, ...]:
        return tuple(_listed(self.below))

    @property
    def upper(self) -> tuple[str, ...]:
        return tuple(_listed(self.above))


class AgeCuts(Strict):
    """Breakpoints of a date of birth: ages in years at another date of the row. The date is then modelled as that age."""

    ages: list[Annotated[int, Field(strict=True, ge=0, le=150)]] = Field(default=[], max_length=100)
    at: str


def _listed(texts: str | list[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


class Column(Strict):
    """What is publicly known of one column, and what may become of it."""

    kind: Kind
    role: Role = "attribute"
    release: ReleaseRule | None = None
    categories: list[Text] | Literal["private"] | None = None
    ordered: bool = False
    grouping: str | None = None  # CSV file `code,group`, beside the policy or shipped with privsynth
    bounds: tuple[Bound, Bound] | Literal["private"] | None = None  # of a time or duration in seconds, once read
    decimals: int | None = Field(default=None, ge=0, le=9)
    nullable: bool = True  # false: publicly known never to be missing
    format: str | None = (
        None  # of dates, datetimes and times, as in strptime; ISO by default. Of durations: DURATION_FORMATS
    )
    timezone: str | None = Field(
        default=None, max_length=100
    )  # of a datetime: cells with an offset are converted to it
    missing: list[Text] | None = None  # tokens of this column in place of the table's; each is a value of its own
    censored: Censored | None = None
    cuts: Annotated[list[Bound], Field(max_length=100)] | AgeCuts = []  # public breakpoints: no bin reaches across them
    spikes: list[Bound] = Field(default=[], max_length=100)  # public values that stand apart, such as 9999-12-31
    declared_step: float | None = Field(
        default=None, gt=0, le=1e12, alias="step"
    )  # of numbers: all are multiples of it
    number: NumberSpec | None = None  # how its numbers are written
    generator: Generator | None = None
    pattern: str | None = Field(default=None, max_length=1_000)  # invented identifiers: # is a digit, ? a letter
    real: str | None = Field(default=None, max_length=1_000)  # the pattern of real ones, which `pattern` must not meet
    unexpected: Unexpected | None = None

    _computed: bool = PrivateAttr(False)
    _inherited: tuple[str, ...] = PrivateAttr(())  # the table's tokens for missing, where it states none of its own

    @property
    def computed(self) -> bool:
        """True for a column that a constraint derives from others."""
        return self._computed

    @property
    def inherited(self) -> tuple[str, ...]:
        """Tokens of `dataset.missing` that count in this column."""
        return self._inherited

    @property
    def released_as(self) -> ReleaseRule:
        """`release`, or its default: modelled columns are kept."""
        return self.release or "keep"

    @property
    def modelled(self) -> bool:
        """True if the generator learns this column."""
        return self.kind in MODELLED and self.released_as == "keep" and not self.computed

    @property
    def categorical(self) -> bool:
        return self.kind in CATEGORICAL

    @property
    def public_categories(self) -> list[str] | None:
        """The values of a category or a boolean by the policy alone: declared, or all spellings of a truth value."""
        if self.kind == "boolean" and self.categories is None:
            return [word for pair in TRUTHS for word in pair]
        return self.categories if isinstance(self.categories, list) else None

    @property
    def places(self) -> int:
        """Decimal places of a number: as declared, else enough for about five digits of the public range, and at least four.

        The bounds of a ratio are often those of its outliers: with few places all that lies below one would fall together.
        """
        if self.kind != "number" or self.decimals is not None:
            return self.decimals or 0
        if self.declared_step is not None:
            return decimals_of(self.declared_step)
        if self.limits is None:
            return MIN_PLACES
        low, high = self.limits
        wanted = max(4 - math.floor(math.log10(high - low)), MIN_PLACES)
        representable = math.floor(math.log10(2.0**53 / max(abs(low), abs(high))))
        return max(min(wanted, representable, 9), 0)

    @property
    def step(self) -> float:
        """Size of a grid unit: the last decimal place of a number; one; a day; of moments in seconds, by their format."""
        if self.declared_step is not None:
            return self.declared_step
        if self.kind == "number":
            return 10.0**-self.places
        if self.kind not in ("datetime", "time", "duration"):
            return 1.0
        return min((size for code, size in RESOLUTIONS.items() if code in padded(self.format or "%S")), default=1.0)

    @property
    def a_day(self) -> int:
        """Grid units of a day, of dates and moments."""
        return round(DAY / self.step) if self.kind == "datetime" else 1

    @property
    def named(self) -> bool:
        """True if its format writes names of months or weekdays, or AM and PM: in capitals, in small letters or as names."""
        return self.kind in ("date", "datetime", "time") and any(code in padded(self.format or "") for code in NAMES)

    @property
    def two_digit_year(self) -> bool:
        """True if its format states years by their last two digits: the bounds then tell the century."""
        return self.kind in ("date", "datetime") and "%y" in padded(self.format or "").replace("%%", "")

    @property
    def limits(self) -> tuple[float, float] | None:
        """Declared bounds as numbers: days since 1970 of dates, seconds since 1970 of datetimes, seconds of times and
        durations. A date that bounds datetimes from above is its last moment. None where the policy states none."""
        if not isinstance(self.bounds, tuple):
            return (0.0, DAY - self.step) if self.kind == "time" and self.bounds is None else None
        low, high = self.bounds
        return self.value_of(low), self.value_of(high, last=True)

    def value_of(self, bound: Bound, last: bool = False) -> float:
        """A bound, a cut or a spike as a number. last: of a date the last moment, in a column of datetimes."""
        if self.kind == "datetime" and isinstance(bound, date):
            seconds = float(bound.toordinal() - EPOCH) * DAY
            if isinstance(bound, datetime):
                return seconds + 3600 * bound.hour + 60 * bound.minute + bound.second + bound.microsecond / 1e6
            return seconds + (DAY - self.step if last else 0.0)
        number = bound.toordinal() - EPOCH if isinstance(bound, date) else bound
        return float(number) if abs(number) <= FAR else math.inf if number > 0 else -math.inf  # too large for a float

    @property
    def ages(self) -> AgeCuts | None:
        """Cuts that are ages at another date."""
        return self.cuts if isinstance(self.cuts, AgeCuts) else None

    @property
    def stops(self) -> list[Bound]:
        """Cuts that are values of the column itself."""
        return self.cuts if isinstance(self.cuts, list) else []

    @property
    def steps(self) -> tuple[int, int] | None:
        """The bounds in whole steps."""
        if self.limits is None:
            return None
        return round(self.limits[0] / self.step), round(self.limits[1] / self.step)

    def in_steps(self, values: list[Bound]) -> list[int]:
        """Cuts or spikes in whole steps; a cut between two steps is the upper one."""
        return sorted({math.ceil(round(self.value_of(value) / self.step, 6)) for value in values})

    @model_validator(mode="before")
    @classmethod
    def _texts_of_moments(cls, content: Any) -> Any:
        """Times of day and durations stand as texts in a policy (`07:45`, `PT2H`), days as texts or as YAML's dates."""
        if not isinstance(content, dict):
            return content
        readers = {"time": clock_of, "duration": duration_of}

        def read(value: Any) -> Any:
            if isinstance(value, str) and str(content.get("kind")) in readers:
                seconds = readers[content["kind"]](value.strip())
                if math.isnan(seconds):
                    raise ValueError(
                        f"bounds, cuts and spikes of kind {content['kind']} are written like {_LIKE[content['kind']]}"
                    )
                return seconds
            if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
                return _day_or_text(value)
            return value

        keys = [k for k in ("bounds", "cuts", "spikes") if isinstance(content.get(k), (list, tuple))]
        return content | {k: [read(value) for value in content[k]] for k in keys}

    @field_validator("bounds")
    @classmethod
    def _finite_rising(cls, bounds: Any) -> Any:
        if isinstance(bounds, tuple):
            low, high = bounds
            if isinstance(low, date) != isinstance(high, date):
                raise ValueError("both bounds must be of one type")
            if any(isinstance(b, float) and not math.isfinite(b) for b in bounds):
                raise ValueError("bounds must be finite numbers")
            if any(isinstance(b, datetime) and b.tzinfo is not None for b in bounds):
                raise ValueError("bounds have no offset from UTC; state them in the column's `timezone`")
            if not isinstance(low, date) and max(abs(low), abs(high)) > FAR:
                raise ValueError("bounds are too wide: they must lie within 1e15 on both sides of zero")
            if not _comparable(low) < _comparable(high):
                raise ValueError("bounds must rise: the first must be below the second")
        return bounds

    @field_validator("categories")
    @classmethod
    def _distinct(cls, categories: Any) -> Any:
        if isinstance(categories, list):
            if not categories:
                raise ValueError("list at least one category, or write `private` to measure them")
            if len(set(categories)) < len(categories):
                raise ValueError("a category is listed twice")
        return categories

    @model_validator(mode="after")
    def _fits_kind(self) -> Column:
        wrong = [
            f"`{self.__class__.model_fields[key].alias or key}` does not belong to kind {self.kind}"
            for key, kinds in _KINDS_OF.items()
            if getattr(self, key) not in (None, False, []) and self.kind not in kinds
        ]
        if self.kind in ("id", "text") and self.released_as == "keep":
            wrong.append(f"a column of kind {self.kind} cannot be kept; write `release: drop` or `release: regenerate`")
        if self.role == "direct_identifier" and self.released_as == "keep":
            wrong.append("a direct identifier must not leave; write `release: drop` or `release: regenerate`")
        if self.modelled:
            wrong += self._categories_stated() if self.categorical else self._bounds_stated()
        if self.release == "regenerate" and self.kind in MODELLED:
            wrong.append(f"only kinds id and text can be regenerated, not {self.kind}; drop it or declare it as text")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _off_the_grid(self, low: float, high: float) -> str:
        step = self.declared_step or 1.0
        if not math.isclose(round(step, decimals_of(step)), step, rel_tol=1e-9) or (
            self.kind == "integer" and step != round(step)
        ):
            return (
                "`step` has more than nine decimals" if self.kind == "number" else "`step` of an integer must be whole"
            )
        if any(abs(end / step - round(end / step)) > 1e-6 for end in (low, high)):
            return f"the bounds are no multiples of `step`, {step:g}"
        if self.decimals is not None and self.decimals < decimals_of(step):
            return f"`decimals` cannot write multiples of `step`, {step:g}"
        return ""

    def _categories_stated(self) -> list[str]:
        if self.kind == "boolean":
            pair = self.categories is None or (isinstance(self.categories, list) and len(self.categories) == 2)
            return (
                []
                if pair
                else ['categories of a boolean are two words, the false one first: `categories: ["no", "yes"]`']
            )
        if self.grouping and self.categories is not None:
            return ["`grouping` already names the groups; leave `categories` out"]
        if not self.grouping and self.categories is None:
            return ["state `categories: [...]` (public), `categories: private` (measured) or a `grouping` file"]
        return ["`clip` means nothing for categories; write missing or refuse"] if self.unexpected == "clip" else []

    def _bounds_stated(self) -> list[str]:
        if self.ages and (self.kind != "date" or self.spikes):
            return [
                "`cuts` as ages belong to kind date, for a date of birth, and leave no `spikes`: it is modelled as an age"
            ]
        if self.bounds is None:
            return [] if self.kind == "time" else [
                "numbers and dates need bounds; state `bounds: [low, high]` (public) or `bounds: private` (measured)"
            ]  # fmt: skip
        stated = () if self.bounds == "private" else self.bounds
        if self.bounds == "private" and self.kind in TEMPORAL:
            return ["private bounds of dates are not offered; state public ones"]
        for value in (*stated, *self.stops, *self.spikes):
            if isinstance(value, date) != (self.kind in ("date", "datetime")) or (
                self.kind == "date" and isinstance(value, datetime)
            ):
                return [f"bounds, cuts and spikes of kind {self.kind} must be {_LIKE[self.kind]}"]
        if self.kind == "integer" and any(b != int(b) for b in stated if isinstance(b, float)):
            return ["bounds of an integer must be whole numbers"]
        if any(not abs(self.value_of(value)) <= FAR for value in (*self.stops, *self.spikes)):
            return ["cuts and spikes must lie within 1e15 on both sides of zero"]
        if self.limits is None:
            return []
        low, high = self.limits
        if self.declared_step is not None and (wrong := self._off_the_grid(low, high)):
            return [wrong]
        if any(not low <= self.value_of(value) <= high for value in (*self.stops, *self.spikes)):
            return ["cuts and spikes must lie within the bounds"]
        if max(abs(low), abs(high)) / self.step >= 2**53:  # the end of the last cell must be exact, too
            if self.kind in TEMPORAL:
                return ["bounds are too wide for so fine a `format`; leave %f out, or state narrower bounds"]
            rule = f"bounds are too wide for numbers of {self.places} decimals to be distinguished"
            return [f"{rule}; state fewer `decimals`, or narrower bounds"]
        return []


def decimals_of(step: float) -> int:
    """Decimal places of its multiples, at most 9.

    >>> decimals_of(0.25), decimals_of(10.0), decimals_of(0.001)
    (2, 0, 3)
    """
    return next((places for places in range(9) if math.isclose(round(step, places), step, rel_tol=1e-9)), 9)


_KINDS_OF: dict[str, tuple[Kind, ...]] = {
    "categories": CATEGORICAL, "ordered": ("category",), "grouping": ("category",), "bounds": NUMERIC,
    "declared_step": ("integer", "number"), "decimals": ("number",), "format": TEMPORAL, "timezone": ("datetime",),
    "censored": ("integer", "number"),
    "cuts": NUMERIC, "spikes": NUMERIC, "number": ("integer", "number"), "generator": ("text", "id"),
    "pattern": ("text", "id"), "real": ("text", "id"),
}  # fmt: skip
_LIKE = {
    "date": "dates, like 1999-01-01", "datetime": "dates or moments, like 1999-01-01 07:45:00",
    "time": '"07:45" or "07:45:00"', "duration": '"PT2H30M", "36:15:00" or "2 days 12:00:00"',
    "integer": "numbers", "number": "numbers",
}  # fmt: skip


def _day_or_text(text: str) -> date | str:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text


def _comparable(bound: Bound) -> Any:
    return datetime(bound.year, bound.month, bound.day) if type(bound) is date else bound
