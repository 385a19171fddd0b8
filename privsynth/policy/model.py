"""The policy language, version 1: what the columns are, whom to protect, how much may leak.

Every field is public: a policy is written before the table is opened and is published with the release. Rules on
one field are defined beside it; rules on several are in `rules.py`, so that all broken ones are shown at once.
"""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from privsynth.policy.column import Column, Strict, Text, Thousands, Unexpected
from privsynth.policy.constraints import AnyConstraint, Derived, Inequality

LANGUAGE_VERSION = 1

MIN_EPSILON, MIN_FPR = 1e-4, 1e-9  # for far smaller ones the accountant's arithmetic overflows
ENCODINGS = frozenset({
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii", "cp437", "cp850", "cp852", "cp866",
    "koi8-r", "koi8-u", "gbk", "gb18030", "big5", "shift_jis", "cp932", "euc_jp", "euc_kr", "cp949",
})  # fmt: skip
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class CsvSpec(Strict):
    """How a CSV is written. What leaves as CSV is written in the same way."""

    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = "."
    thousands: Thousands | None = None
    quote: Literal['"', "'", ""] = '"'  # "" where no character quotes
    skip_rows: int = Field(default=0, ge=0, le=10_000)  # lines above the header, such as a title

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, delimiter: str) -> str:
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter.isalnum() or delimiter in "\"'\r\n\0.+-":
            raise ValueError('the delimiter is one ASCII character such as `","`, `";"`, `"|"` or `"\\t"`')
        return delimiter

    @field_validator("encoding")
    @classmethod
    def _stateless(cls, encoding: str) -> str:
        """In an encoding with shift states one line could change how the others are read."""
        try:
            name = codecs.lookup(encoding).name
        except (LookupError, ValueError):
            name = ""
        if name not in ENCODINGS and not name.startswith(("iso8859-", "cp12", "mac-")):
            raise ValueError(f"no such encoding, or one that is not offered; known: {', '.join(sorted(ENCODINGS))}")
        return name

    @model_validator(mode="after")
    def _distinct(self) -> CsvSpec:
        if self.thousands == self.decimal:
            raise ValueError("`decimal` and `thousands` are the same character")
        if self.delimiter == self.quote:
            raise ValueError("`delimiter` and `quote` are the same character")
        return self


class DatasetSpec(Strict):
    """Which table this is. `id` names its lifetime budget."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    description: str = ""
    rows: int | None = Field(default=None, ge=1, le=10**12)  # public row count; without it the count is measured
    missing: list[Text] = []  # tokens that mean "missing"; the empty cell always does
    unexpected: Unexpected | None = None  # the rule of every column that states none
    unreadable: float = Field(default=0.02, ge=0, lt=1)  # share of a column's cells above which a run stops
    csv: CsvSpec = CsvSpec()
    table: str | None = None  # of a database, or the sheet of a workbook
    query: str | None = None  # of a database, in place of a table
    language: str = Field(
        default="en", pattern=r"^[a-z]{2,3}([_-][A-Za-z]{2,4})?$"
    )  # of the names of months and weekdays

    months: list[Text] = []  # twelve names, where a table writes others than the language's: Jan, Feb, Mrz, ...

    @field_validator("months")
    @classmethod
    def _twelve(cls, months: list[str]) -> list[str]:
        names = [name.strip() for name in months]
        if months and (len({name.casefold().rstrip(".") for name in names}) != 12 or len(names) != 12):
            raise ValueError("`months` are twelve different names, from January on")
        if any(not re.fullmatch(r"[^\W\d_][^\d]*", name) for name in names):
            raise ValueError("the name of a month begins with a letter, and holds no digit")
        return names

    @property
    def most_rows(self) -> int:
        """Rows that a table may have at most, by public facts alone."""
        return 2**30 if self.rows is None else max(2**20, 4 * self.rows)


class UnitSpec(Strict):
    """Whom a neighbouring table adds or removes: all rows that share one value of `column`."""

    column: str
    max_rows: int = Field(ge=1, le=1000)  # at most so many rows of a unit are used, chosen at random
    called: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z ]{0,30}$")  # a word for one: patient, customer


class RiskTarget(Strict):
    """Asks for a risk in place of an epsilon: no attack has a true-positive rate above `max_tpr` at `fpr` false positives."""

    fpr: Share
    max_tpr: Share

    @model_validator(mode="after")
    def _above_chance(self) -> RiskTarget:
        if self.max_tpr <= self.fpr:
            raise ValueError("max_tpr must be above fpr: guessing alone reaches fpr")
        if self.fpr < MIN_FPR:
            raise ValueError(f"an fpr below {MIN_FPR:g} is lost in the arithmetic of the curve; state at least that")
        return self


class Lifetime(Strict):
    """Cap on all runs on this data set together (`ledger.filter`); the ledger refuses the run that would pass it."""

    epsilon: Positive
    delta: Share
    locked: bool = False  # once true in the ledger, no later policy may raise it, for any id of the same content


class Budget(Strict):
    """What one run may claim: an epsilon, or a risk in its place, at a delta."""

    epsilon: Positive | None = None
    risk: RiskTarget | None = None
    delta: Share
    lifetime: Lifetime | None = None
    hard_cap: Positive | None = None  # the largest epsilon that any run may have, however it is requested

    @model_validator(mode="after")
    def _one_target(self) -> Budget:
        if (self.epsilon is None) == (self.risk is None):
            raise ValueError("state either epsilon or risk, and not both")
        if self.epsilon is not None and self.epsilon > 100:
            raise ValueError("an epsilon above 100 protects nobody; state at most 100")
        if self.epsilon is not None and self.epsilon < MIN_EPSILON:
            raise ValueError(f"an epsilon below {MIN_EPSILON:g} leaves nothing but noise; state at least that")
        if (
            self.lifetime
            and self.epsilon
            and (self.epsilon > self.lifetime.epsilon or self.delta > self.lifetime.delta)
        ):
            raise ValueError(
                "one run's epsilon and delta must fit into the lifetime budget; ask for less than `lifetime`"
            )
        return self


class TrainerSpec(Strict):
    name: str = "auto"
    options: dict[str, int | float | str | bool] = {}


class AuditSpec(Strict):
    holdout: float = Field(default=0.2, ge=0.05, le=0.5)  # share of units the trainer never sees
    effort: Literal["quick", "standard", "thorough"] = "standard"


class Thresholds(Strict):
    """Maximum success of an attack, for each family; fixed before anything is measured. 0.09: EMA policy 0070, Health Canada.

    copied: of 1,000 people in the training data at most one whose record is recognised in the table beyond chance. It can only fail
    a table: to show so few takes tens of thousands of people. when_inconclusive: what it means for the run that the audit could not
    tell whether a threshold is kept.
    """

    membership_tpr_at_1pct_fpr: float = Field(default=0.05, gt=0, le=1)
    copied: float = Field(default=0.001, gt=0, le=1)
    singling_out: float = Field(default=0.09, gt=0, le=1)
    linkability: float = Field(default=0.09, gt=0, le=1)
    inference: float = Field(default=0.09, gt=0, le=1)
    when_inconclusive: Literal["condition", "refuse", "note"] = "condition"

    @property
    def values(self) -> dict[str, float]:
        """{threshold's name: its value}"""
        return self.model_dump(exclude={"when_inconclusive"})


class ReleaseSpec(Strict):
    rows: int | None = Field(default=None, ge=1, le=100_000_000)
    weights: Literal["rows", "units"] | None = (
        None  # whose distribution the table follows, where a unit has several rows
    )
    formats: list[Literal["csv", "parquet"]] = Field(default=["csv", "parquet"], min_length=1)


class ReportSpec(Strict):
    frameworks: list[str] = []
    recipient: str | None = None
    approver: str | None = None


class PolicyModel(Strict):
    """The whole file. Use `privsynth.Policy`, which knows its place on disk too."""

    privsynth: Literal[1]
    dataset: DatasetSpec
    unit: Literal["row"] | UnitSpec
    budget: Budget
    columns: dict[str, Column] = Field(min_length=1)
    constraints: list[AnyConstraint] = Field(default=[], max_length=200)
    trainer: TrainerSpec = TrainerSpec()
    audit: AuditSpec = AuditSpec()
    thresholds: Thresholds = Thresholds()
    release: ReleaseSpec = ReleaseSpec()
    report: ReportSpec = ReportSpec()
    seed: int | None = Field(default=None, ge=0)  # development only: what is made with a seed is never released

    @model_validator(mode="after")
    def _computed_columns(self) -> PolicyModel:
        for constraint in self.constraints:
            if isinstance(constraint, Derived) and constraint.derived in self.columns:
                self.columns[constraint.derived]._computed = True
        return self

    @model_validator(mode="after")
    def _tokens(self) -> PolicyModel:
        for column in self.columns.values():
            column._inherited = tuple(t.strip() for t in self.dataset.missing) if column.missing is None else ()
        return self

    @property
    def inequalities(self) -> list[Inequality]:
        return [constraint for constraint in self.constraints if isinstance(constraint, Inequality)]

    @field_validator("columns")
    @classmethod
    def _names(cls, columns: dict[str, Column]) -> dict[str, Column]:
        for name in columns:
            if not name or re.match(r"^__.*__$", name):
                raise ValueError("a column needs a name, and names like __x__ are privsynth's own")
        return columns
