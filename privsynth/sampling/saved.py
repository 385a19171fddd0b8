"""What model.json may hold: whatever a fit could not have written is refused before it is used."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, FailFast, Field, field_validator, model_validator

from privsynth.encoding.domain import STRATA, STRATUM
from privsynth.evidence import Privacy
from privsynth.policy.column import CATEGORICAL, DURATION_FORMATS, EPOCH, RESOLUTIONS, TEMPORAL, Generator, Thousands
from privsynth.policy.constraints.formula import Formula
from privsynth.policy.formats import is_language, is_timezone
from privsynth.policy.model import CsvSpec
from privsynth.policy.moments import DAY, YEAR
from privsynth.sampling.types import are_whole, arrow_type, fits_kind, holds, is_float, raised, whole_identifiers
from privsynth.table.values import Form

COLUMNS, CATEGORIES = 10_000, 2**20
RULES = 200  # each of them is applied as often as there are rules
MAX_ENTRIES = 20_000  # numbers and words of a claim
FARTHEST = 2**62  # grid units on both sides of zero
FIRST_DAY, LAST_DAY = 1 - EPOCH, 3_652_059 - EPOCH  # of the years 1 and 9999
STEPS = dict.fromkeys(("datetime", "time", "duration"), sorted({*RESOLUTIONS.values()}))
FORMAT = r"^(?:[^%\x00]|%-[dmyHIMSj]|%[aAbBcdfGHIjmMpSuUVwWxXyYzZ%])*\z"  # of dates, as in strptime
CUTS = 2_000  # of a column, those of constraints with them
MARKS = 200  # marks, cuts or spikes of a column
LONGEST = 10_000 * 366 * DAY  # seconds

Text = Annotated[str, Field(max_length=10_000)]
Age = Annotated[int, Field(ge=-10_000 * YEAR, le=10_000 * YEAR)]
GridValue = Annotated[int, Field(ge=-FARTHEST, le=FARTHEST)]
Count = Annotated[int, Field(ge=0, le=FARTHEST)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class SavedColumn(_Part):
    """A `ColumnDomain`."""

    name: Text
    kind: Literal["category", "boolean", "integer", "number", "date", "datetime", "time", "duration"]
    categories: Annotated[list[Text], Field(max_length=CATEGORIES), FailFast()]
    low: GridValue
    high: GridValue
    step: float
    nullable: bool
    gap_from: Text | None
    least_gap: Annotated[int, Field(ge=0, le=1)]
    floor: GridValue
    age_at: Text | None
    age_units: Annotated[int, Field(ge=1, le=FARTHEST)]
    ages: Annotated[list[Age], Field(min_length=2, max_length=2)]
    source: Text
    marks: Annotated[list[Text], Field(max_length=MARKS)]
    cuts: Annotated[list[GridValue], Field(max_length=CUTS)]
    members: Annotated[list[Text], Field(max_length=COLUMNS)]
    words: Annotated[list[tuple[Text, Text]], Field(max_length=COLUMNS)]
    spikes: Annotated[list[GridValue], Field(max_length=MARKS)]
    clock_of: Text | None
    letter_case: Literal["as names", "UPPER", "lower"] | None
    unreadable: Annotated[float, Field(ge=0, le=1)]

    @property
    def categorical(self) -> bool:
        return self.kind in CATEGORICAL

    @model_validator(mode="after")
    def _fits_kind(self) -> SavedColumn:
        if len({*self.categories, *self.marks}) < len(self.categories) + len(self.marks):
            raise ValueError("a category or a mark stands twice")
        if self.categorical:
            if not self.categories:
                raise ValueError("a category column needs categories")
            if self.members and (
                self.categories[: len(self.members)] != self.members or len(self.words) != len(self.members)
            ):
                raise ValueError("`members` must be the first categories, each with its two words")
            if (self.gap_from, self.clock_of, self.age_at) != (None, None, None) or self.cuts or self.spikes:
                raise ValueError("only a number or a moment can be stored as a gap or an age, or have cuts")
            return self
        if self.categories:
            raise ValueError("only a category column has categories")
        if not 0 <= self.high - self.low <= (FARTHEST if self.gap_from is not None else 2 * FARTHEST):
            raise ValueError("`low` must not lie above `high`, nor far below it")
        if self.gap_from is not None and not self.low <= self.floor <= self.high:
            raise ValueError("`floor` of a gap must lie within its bounds")
        if self.age_at is not None and (
            self.kind != "date" or self.gap_from or self.spikes or self.ages[0] >= self.ages[1]
        ):
            raise ValueError("only a date without a gap or spikes can be stored as an age, and `ages` must rise")
        cuts = self.cuts if self.age_at is None else []  # else those of ages
        if any(not self.low <= value <= self.high for value in (*cuts, *self.spikes)):
            raise ValueError("cuts and spikes must lie within the bounds")
        if not is_step(self.step, self.kind):
            raise ValueError(
                "`step` must be 1, of a number of nine decimals at most, of a moment its resolution in seconds"
            )
        self._in_the_calendar()
        return self

    def _in_the_calendar(self) -> None:
        a_day = 1 if self.kind == "date" else round(DAY / self.step)
        if (
            self.kind in ("date", "datetime")
            and not FIRST_DAY * a_day <= self.low <= self.high < (LAST_DAY + 1) * a_day
        ):
            raise ValueError("dates must lie in the years 1 to 9999")
        if self.kind == "time" and not 0 <= self.low <= self.high < a_day:
            raise ValueError("times of day must lie within a day")
        if self.kind == "duration" and max(abs(self.low), abs(self.high)) * self.step > LONGEST:
            raise ValueError("durations must be shorter than 10,000 years")


class SavedDomain(_Part):
    """A `Domain`."""

    columns: Annotated[list[SavedColumn], Field(min_length=1, max_length=COLUMNS), FailFast()]
    rows: Count | None
    mix: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(max_length=len(STRATA))]
    units: Count | None
    dropped: Annotated[float, Field(ge=0, le=1)]
    rising: Annotated[list[tuple[Text, Text, bool]], Field(max_length=RULES)]

    @model_validator(mode="after")
    def _fits_together(self) -> SavedDomain:
        by_name = {column.name: column for column in self.columns}
        if len(by_name) < len(self.columns):
            raise ValueError("a column stands twice")
        self._stratum()
        self._clocks(by_name)
        self._ages(by_name)
        for column in self.columns:
            if column.gap_from is None:
                continue
            start = by_name.get(column.gap_from)
            if start is None or not comparable(start, column) or start.step != column.step:
                raise ValueError("`gap_from` must name another column of the same kind and step")
        numbers = {n for n, c in by_name.items() if not c.categorical and c.gap_from is None and c.age_at is None}
        if not {name for small, large, _ in self.rising for name in (small, large)} <= numbers:
            raise ValueError("`rising` must name numbers or dates that are stored as themselves")
        no_cycle((small, large) for small, large, _ in self.rising)
        gaps = [(c.gap_from, c.name) for c in self.columns if c.gap_from is not None]
        if len(gaps) > RULES:
            raise ValueError("too many columns are stored as gaps")
        no_cycle(gaps)
        return self

    def _clocks(self, by_name: dict[str, SavedColumn]) -> None:
        """Each datetime that is stored as its day has one column for its time of day, and no other column is one."""
        clocks = [column for column in self.columns if column.clock_of is not None]
        days = {c.name for c in self.columns if c.kind == "datetime" and c.gap_from is None}
        if len(clocks) != len(days) or {c.clock_of for c in clocks} != days:
            raise ValueError("`clock_of` must name each datetime that is stored as its day, once")
        for clock in clocks:
            whole_day = round(DAY / clock.step) - 1
            if (
                clock.kind != "time"
                or clock.step != by_name[str(clock.clock_of)].step
                or (clock.low, clock.high) != (0, whole_day)
            ):
                raise ValueError("a column with `clock_of` must be a time of the whole day, of the same step")
            if clock.gap_from is not None or clock.marks or clock.cuts or clock.spikes:
                raise ValueError("a column with `clock_of` has no gap, marks, cuts or spikes")

    def _ages(self, by_name: dict[str, SavedColumn]) -> None:
        """Ages count at a date that is none itself, and no gap starts from one: so decoding comes to an end."""
        for column in self.columns:
            start, at = by_name.get(column.gap_from or ""), by_name.get(column.age_at or "")
            if start is not None and start.age_at is not None:
                raise ValueError("`gap_from` must not name a column that is stored as an age")
            if column.age_at is not None and (
                at is None or at.kind not in ("date", "datetime") or at.age_at is not None
            ):
                raise ValueError("`age_at` must name a date that is not itself stored as an age")
            if at is not None and column.age_units != (1 if at.kind == "date" else round(DAY / at.step)):
                raise ValueError("`age_units` must be the grid units of a day of the column that `age_at` names")

    def _stratum(self) -> None:
        """The mix of strata and their column belong together, and the column comes last."""
        if STRATUM in (column.name for column in self.columns[:-1]):
            raise ValueError(f"column {STRATUM} must come last")
        last = self.columns[-1]
        if (last.name == STRATUM) != bool(self.mix):
            raise ValueError(f"`mix` and a column {STRATUM} must come together")
        if not self.mix:
            return
        if last.categories != [str(lowest) for lowest in STRATA[: len(self.mix)]] or last.nullable:
            raise ValueError(f"column {STRATUM} must hold as many strata as `mix`")
        if abs(math.fsum(self.mix) - 1) > 1e-12:
            raise ValueError("`mix` must sum to 1")


class SavedForm(_Part):
    """A `Form`."""

    kind: Literal["id", "category", "boolean", "integer", "number", "date", "datetime", "time", "duration", "text"]
    format: Annotated[str, Field(max_length=200, pattern=FORMAT)] | None
    timezone: Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_+/-]+\z")] | None
    decimal: Literal[".", ","]
    thousands: Thousands | Literal[""]
    currency: Annotated[str, Field(max_length=10)]
    parentheses: bool
    percent: bool
    written: Annotated[str, Field(max_length=40)] = ""
    months: Annotated[list[Annotated[str, Field(max_length=50)]], Field(max_length=12)] = []
    letter_case: Literal["as names", "UPPER", "lower"] | None
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}([_-][A-Za-z]{2,4})?\z")]
    step: float
    places: Annotated[int, Field(ge=0, le=9)] | None
    low: float | None
    high: float | None

    @model_validator(mode="after")
    def _fits_kind(self) -> SavedForm:
        if self.format is not None and self.kind not in TEMPORAL:
            raise ValueError("`format` is for dates, moments, times and durations")
        if self.timezone is not None:
            if self.kind != "datetime":
                raise ValueError("`timezone` is for datetimes")
            if not is_timezone(self.timezone):
                raise ValueError("`timezone` is not known here")
        if not is_language(self.language):
            raise ValueError("`language` is not known")
        if not is_step(self.step, self.kind):
            raise ValueError(
                "`step` must be 1, of a number of nine decimals at most, of a moment its resolution in seconds"
            )
        if self.kind == "duration" and self.format not in (None, *DURATION_FORMATS):
            raise ValueError("`format` is none of durations")
        if self.decimal == self.thousands:
            raise ValueError("`decimal` and `thousands` are the same character")
        if self.written.count("{}") != bool(self.written) or len(self.months) not in (0, 12):
            raise ValueError("`written` holds one `{}`, and there are twelve `months` or none")
        return self


class SavedOutput(_Part):
    """An `OutputColumn`."""

    name: Text
    release: Literal["keep", "regenerate"]
    generator: Generator | None
    pattern: Annotated[str, Field(max_length=1_000)] | None
    form: SavedForm
    type: Annotated[str, Field(max_length=100)]
    dtype: Annotated[str, Field(max_length=200)] | None
    marks: Annotated[list[Text], Field(max_length=MARKS)]
    truths: Annotated[list[Text], Field(max_length=2)]
    missing: Annotated[list[Text], Field(max_length=MARKS)]
    categories: Annotated[list[Text], Field(max_length=CATEGORIES), FailFast()] = []
    ordered: bool = False

    @property
    def kind(self) -> str:
        return self.form.kind

    @property
    def categorical(self) -> bool:
        return self.kind in CATEGORICAL

    @model_validator(mode="after")
    def _fits_kind(self) -> SavedOutput:
        if (self.release == "regenerate") != (self.kind in ("id", "text")):
            raise ValueError("columns of kind id and text are regenerated, all others are kept")
        if self.release == "keep" and (self.generator is not None or self.pattern is not None):
            raise ValueError("a column that is kept has neither `generator` nor `pattern`")
        if self.truths and (self.kind != "boolean" or len(self.truths) != 2):
            raise ValueError("`truths` are the two words of a boolean")
        text = self.type in ("string", "dictionary")
        if not fits_kind(self.type, self.kind):
            raise ValueError("`type` does not fit the kind")
        zone = getattr(arrow_type(self.type), "tz", None)
        if zone is not None and not (is_timezone(zone) or re.fullmatch(r"[+-]\d\d:\d\d", zone)):
            raise ValueError("`type` has a time zone that is not known here")
        if self.release == "regenerate" and not (text or whole_identifiers(self.generator, self.pattern)):
            raise ValueError("`type` does not fit `generator` and `pattern`, whose values are text")
        if self.type == "int32" and self.release == "regenerate" and len(self.pattern or "") >= 10:
            raise ValueError("`type` does not fit `pattern`, whose numbers are longer")
        return self


class SavedComputed(_Part):
    """A `Computed`."""

    name: Text
    needs: Annotated[list[Text], Field(min_length=1, max_length=COLUMNS)]
    formula: Annotated[str, Field(max_length=2_000)] | None
    rows: Annotated[list[list[Text]], Field(max_length=CATEGORIES)]
    step: float | None
    marks: Annotated[list[Text], Field(max_length=MARKS)]
    told: Annotated[list[Annotated[list[Text], Field(max_length=MARKS)] | None], Field(max_length=COLUMNS)]

    @model_validator(mode="after")
    def _one_way(self) -> SavedComputed:
        if (self.formula is None) == (not self.rows) or any(len(row) != len(self.needs) + 1 for row in self.rows):
            raise ValueError("a computed column has a formula, or rows of all that it needs and its value")
        if self.formula is not None and set(Formula.of(self.formula).columns) != set(self.needs):
            raise ValueError("`needs` must be the columns of `formula`")
        if self.step is not None and not 0 < self.step < math.inf:
            raise ValueError("`step` must be a positive number")
        if self.step is not None and self.formula is None:
            for value in (row[-1] for row in self.rows if row[-1] and row[-1] not in self.marks):
                float(value)
        if len(self.told) != (0 if self.formula is not None else len(self.needs)):
            raise ValueError("`told` must say of each of `needs` what stands in place of a number")
        for place, told in enumerate(self.told):
            for value in [] if told is None else [row[place] for row in self.rows if row[place] not in ("", *told)]:
                float(value)
        return self


class SavedLayout(_Part):
    """A `Layout`."""

    columns: Annotated[list[SavedOutput], Field(min_length=1, max_length=2 * COLUMNS), FailFast()]
    rules: Annotated[list[tuple[Text, Text, bool, float]], Field(max_length=RULES)]
    csv: CsvSpec
    line_end: Literal["\n", "\r\n"] = "\n"
    computed: Annotated[list[SavedComputed], Field(max_length=COLUMNS)]

    @model_validator(mode="after")
    def _computed_in_order(self) -> SavedLayout:
        """Each from kept columns, or from computed ones before it; formulas from numbers."""
        kinds = {c.name: c.kind for c in self.columns if c.release == "keep"}
        left = {each.name for each in self.computed}
        if len(left) < len(self.computed) or not left <= set(kinds):
            raise ValueError("`computed` must name kept columns, each once")
        for each in self.computed:
            if left & set(each.needs) or not set(each.needs) <= set(kinds):
                raise ValueError("`computed` must be in an order in which each has what it needs")
            if each.formula is not None and {kinds[n] for n in (each.name, *each.needs)} - {"integer", "number"}:
                raise ValueError("a formula is about numbers")
            if (each.step is None) != (kinds[each.name] in CATEGORICAL):
                raise ValueError("`step` belongs to computed numbers")
            if each.formula is None and [t is None for t in each.told] != [kinds[n] in CATEGORICAL for n in each.needs]:
                raise ValueError("`told` belongs to numbers that columns are computed from")
            left.discard(each.name)
        return self

    @model_validator(mode="after")
    def _distinct(self) -> SavedLayout:
        if len({column.name for column in self.columns}) < len(self.columns):
            raise ValueError("a column stands twice")
        if len({(small, large) for small, large, _, _ in self.rules}) < len(self.rules):
            raise ValueError("a rule stands twice")
        no_cycle((small, large) for small, large, _, _ in self.rules)
        return self


class SavedModel(_Part):
    """model.json as a whole. Raises ValidationError for whatever a fit could not have written."""

    format: Annotated[int, Field(ge=1, le=1)]
    trainer: Text
    settings: dict[str, Any]
    domain: SavedDomain
    total: Annotated[float, Field(gt=0)]
    layout: SavedLayout
    privacy: Privacy
    facts: dict[Text, Text | bool | int | float | None]

    @field_validator("privacy", mode="before")
    @classmethod
    def _plain(cls, privacy: Any) -> Any:
        entries = list(islice(_parts(privacy), MAX_ENTRIES + 1))
        if len(entries) > MAX_ENTRIES or not all(math.isfinite(entry) for entry in entries if isinstance(entry, float)):
            raise ValueError(f"must hold at most {MAX_ENTRIES:,} entries, and finite numbers only")
        return privacy

    @field_validator("privacy")
    @classmethod
    def _a_claim(cls, privacy: Privacy) -> Privacy:
        if not (privacy.epsilon >= 0 and 0 <= privacy.delta < 1 and privacy.max_rows >= 1):
            raise ValueError("epsilon, delta or max_rows is none")
        return privacy

    @model_validator(mode="after")
    def _columns_agree(self) -> SavedModel:
        """Released columns are those that were learned, and invented ones."""
        learned = {c.name: c for c in self.domain.columns if c.name != STRATUM and c.clock_of is None and not c.members}
        members = {name for c in self.domain.columns for name in c.members}
        computed = {each.name for each in self.layout.computed}
        every = {c.name: c for c in self.layout.columns if c.release == "keep"}
        if not members <= {n for n, c in every.items() if c.categorical} - computed - set(learned):
            raise ValueError("`members` must be kept categories that are not learned by themselves")
        kept = {n: c for n, c in every.items() if n not in members and n not in computed}
        if {n: c.kind for n, c in learned.items()} != {n: c.kind for n, c in kept.items()}:
            raise ValueError("`layout` and `domain` must name the same kept columns, of the same kinds")
        for name, column in kept.items():
            own = learned[name]
            if own.marks != column.marks or own.step != column.form.step:
                raise ValueError("`layout` and `domain` must have the same marks and steps")
            if own.categorical and pa.types.is_integer(arrow_type(column.type)) and not are_whole(own.categories):
                raise ValueError("categories of a column of whole numbers must be whole numbers up to 2^53")
            if (
                own.categorical
                and pa.types.is_floating(arrow_type(column.type))
                and not all(map(is_float, own.categories))
            ):
                raise ValueError("categories of a column whose `type` is a number must be numbers")
        for small, large, _, step in self.layout.rules:
            if small not in learned or large not in learned or not comparable(learned[small], learned[large]):
                raise ValueError("`layout.rules` must name kept numbers or dates")
            if step != learned[large].step:
                raise ValueError("`layout.rules` must have the step of the larger column")
        self._types_hold(learned, kept)
        strict = sum(strict for _, _, strict, _ in self.layout.rules) + sum(c.least_gap for c in self.domain.columns)
        days = (c.high if c.kind == "date" else c.high * c.step / DAY for c in self.domain.columns if c.kind in _DATED)
        if any(day + strict >= LAST_DAY + 1 for day in days):
            raise ValueError("dates must lie in the years 1 to 9999 after the rules have raised them, too")
        return self

    def _types_hold(self, learned: dict[str, SavedColumn], kept: dict[str, SavedOutput]) -> None:
        """Each type holds whatever can be sampled: rules may raise a value beyond its own bounds."""
        gaps = [(str(c.gap_from), n, bool(c.least_gap), c.step) for n, c in learned.items() if c.gap_from is not None]
        highest = raised({n: c.high * c.step for n, c in learned.items()}, [*self.layout.rules, *gaps])
        for name, column in kept.items():
            own = learned[name]
            if own.categorical or column.type in ("string", "dictionary"):
                continue
            form = Form.from_json(column.form.model_dump())
            marks = [value for mark in own.marks if not math.isnan(value := form.value_of_mark(mark))]
            if not holds(column.type, own.kind, [own.low * own.step, highest[name], *marks], own.step):
                raise ValueError("`type` does not hold all values of its column")


def is_step(step: float, kind: str) -> bool:
    """True for what a policy can state."""
    if kind in ("integer", "number"):
        return 0 < step <= 1e12 and round(step, 9) > 0 and (kind == "number" or step == round(step))
    return step in STEPS.get(kind, [1.0])


_DATED = ("date", "datetime")


def comparable(one: SavedColumn, other: SavedColumn) -> bool:
    """Two numbers, or two moments of one kind."""
    if one.kind in TEMPORAL or other.kind in TEMPORAL:
        return one.kind == other.kind
    return not (one.categorical or other.categorical)


def no_cycle(pairs: Iterable[tuple[str, str]]) -> None:
    """pairs: (smaller column, larger column). Raises ValueError if some column comes out smaller than itself."""
    order = TopologicalSorter[str]()
    for small, large in pairs:
        order.add(large, small)
    try:
        order.prepare()
    except CycleError:  # its text quotes the columns
        raise ValueError("the inequalities form a cycle") from None


def _parts(value: Any) -> Iterator[Any]:
    """The value and everything inside it, at any depth."""
    yield value
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _parts(item)
