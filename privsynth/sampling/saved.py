"""What model.json may hold: whatever a fit could not have written is refused before it is used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, field_validator, model_validator

from privsynth.encoding.domain import STRATA, STRATUM
from privsynth.evidence import Privacy
from privsynth.policy.model import EPOCH, Generator
from privsynth.sampling.output import are_whole

COLUMNS, CATEGORIES = 10_000, 2**20
RULES = 200  # each of them is applied as often as there are rules
MAX_ENTRIES = 20_000  # numbers and words of a claim
FARTHEST = 2**62  # grid units on both sides of zero
FIRST_DAY, LAST_DAY = 1 - EPOCH, 3_652_059 - EPOCH  # of the years 1 and 9999
STEP_SIZES = [10.0**-places for places in range(10)]
FORMAT = r"^(?:[^%\x00]|%[aAbBcdfGHIjmMpSuUVwWxXyYzZ%])*\z"  # of dates, as in strptime

Text = Annotated[str, Field(max_length=10_000)]
GridValue = Annotated[int, Field(ge=-FARTHEST, le=FARTHEST)]
Count = Annotated[int, Field(ge=0, le=FARTHEST)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class SavedColumn(_Part):
    """A `ColumnDomain`."""

    name: Text
    kind: Literal["category", "integer", "number", "date"]
    categories: Annotated[list[Text], Field(max_length=CATEGORIES), FailFast()]
    low: GridValue
    high: GridValue
    step: float
    nullable: bool
    gap_from: Text | None
    least_gap: Annotated[int, Field(ge=0, le=1)]
    source: Text

    @model_validator(mode="after")
    def _fits_kind(self) -> SavedColumn:
        if self.kind == "category":
            if not self.categories or len(set(self.categories)) < len(self.categories):
                raise ValueError("a category column needs categories, each of them once")
            if self.gap_from is not None:
                raise ValueError("only a number or a date can be stored as a gap")
            return self
        if self.categories:
            raise ValueError("only a category column has categories")
        if not 0 <= self.high - self.low <= (FARTHEST if self.gap_from is not None else 2 * FARTHEST):
            raise ValueError("`low` must not lie above `high`, nor far below it")
        if self.step not in (STEP_SIZES if self.kind == "number" else [1.0]):
            raise ValueError("`step` must be 1, or for a number 0.1, 0.01, down to nine decimals")
        if self.kind == "date" and not FIRST_DAY <= self.low <= self.high <= LAST_DAY:
            raise ValueError("dates must lie in the years 1 to 9999")
        return self


class SavedDomain(_Part):
    """A `Domain`."""

    columns: Annotated[list[SavedColumn], Field(min_length=1, max_length=COLUMNS), FailFast()]
    rows: Count | None
    mix: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(max_length=len(STRATA))]
    units: Count | None

    @model_validator(mode="after")
    def _fits_together(self) -> SavedDomain:
        by_name = {column.name: column for column in self.columns}
        if len(by_name) < len(self.columns):
            raise ValueError("a column stands twice")
        self._stratum()
        for column in self.columns:
            if column.gap_from is None:
                continue
            start = by_name.get(column.gap_from)
            if start is None or not comparable(start, column) or start.step != column.step:
                raise ValueError("`gap_from` must name another column of the same kind and step")
        gaps = [(c.gap_from, c.name) for c in self.columns if c.gap_from is not None]
        if len(gaps) > RULES:
            raise ValueError("too many columns are stored as gaps")
        no_cycle(gaps)
        return self

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


class SavedOutput(_Part):
    """An `OutputColumn`."""

    name: Text
    kind: Literal["id", "category", "integer", "number", "date", "text"]
    release: Literal["keep", "regenerate"]
    generator: Generator | None
    pattern: Annotated[str, Field(max_length=1_000)] | None
    format: Annotated[str, Field(max_length=200, pattern=FORMAT)] | None
    whole: bool

    @model_validator(mode="after")
    def _fits_kind(self) -> SavedOutput:
        if (self.release == "regenerate") != (self.kind in ("id", "text")):
            raise ValueError("columns of kind id and text are regenerated, all others are kept")
        if self.release == "keep" and (self.generator is not None or self.pattern is not None):
            raise ValueError("a column that is kept has neither `generator` nor `pattern`")
        if (self.format is not None and self.kind != "date") or (self.whole and self.kind != "category"):
            raise ValueError("`format` is for dates, `whole` for categories")
        return self


class SavedLayout(_Part):
    """A `Layout`."""

    columns: Annotated[list[SavedOutput], Field(min_length=1, max_length=2 * COLUMNS), FailFast()]
    missing: Text
    rules: Annotated[list[tuple[Text, Text, bool, float]], Field(max_length=RULES)]

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
        learned = {c.name: c for c in self.domain.columns if c.name != STRATUM}
        kept = {c.name: c for c in self.layout.columns if c.release == "keep"}
        if {n: c.kind for n, c in learned.items()} != {n: c.kind for n, c in kept.items()}:
            raise ValueError("`layout` and `domain` must name the same kept columns, of the same kinds")
        if not all(are_whole(learned[name].categories) for name, column in kept.items() if column.whole):
            raise ValueError("categories of a column that is `whole` must be whole numbers up to 2^53")
        for small, large, _, step in self.layout.rules:
            if small not in learned or large not in learned or not comparable(learned[small], learned[large]):
                raise ValueError("`layout.rules` must name kept numbers or dates")
            if step != learned[large].step:
                raise ValueError("`layout.rules` must have the step of the larger column")
        strict = sum(strict for _, _, strict, _ in self.layout.rules) + sum(c.least_gap for c in self.domain.columns)
        if any(c.kind == "date" and c.high + strict > LAST_DAY for c in self.domain.columns):
            raise ValueError("dates must lie in the years 1 to 9999 after the rules have raised them, too")
        return self


def comparable(one: SavedColumn, other: SavedColumn) -> bool:
    """Two dates, or two numbers."""
    dates = [column.kind == "date" for column in (one, other)]
    return "category" not in (one.kind, other.kind) and dates[0] == dates[1]


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
