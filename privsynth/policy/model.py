"""The policy language, version 1: what the columns are, whom to protect, how much may leak.

Every field is public: a policy is written before the table is opened and is published with the release. Rules on
one field are defined beside it; rules on several are in `rules.py`, so that all broken ones are shown at once.
"""

from __future__ import annotations

import codecs
import math
import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

LANGUAGE_VERSION = 1

Kind = Literal["id", "category", "integer", "number", "date", "text"]
Role = Literal["direct_identifier", "quasi_identifier", "sensitive", "target", "attribute"]
ReleaseRule = Literal["keep", "drop", "regenerate"]
Unexpected = Literal["clip", "missing", "refuse"]
Generator = Literal[
    "name", "first_name", "last_name", "email", "phone_number", "address", "street_address", "city", "postcode",
    "company", "ssn", "iban", "uuid",
]  # fmt: skip
NUMERIC: tuple[Kind, ...] = ("integer", "number", "date")
MODELLED: tuple[Kind, ...] = ("category", *NUMERIC)
MIN_PLACES = 4  # decimals of a number for which the policy states none
EPOCH = 719163  # date(1970, 1, 1).toordinal()
MIN_EPSILON, MIN_FPR = 1e-4, 1e-9  # for far smaller ones the accountant's arithmetic overflows
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # what no readable cell holds (`reader.py`)


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
ENCODINGS = frozenset({
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii", "cp437", "cp850", "cp852", "cp866",
    "koi8-r", "koi8-u", "gbk", "gb18030", "big5", "shift_jis", "cp932", "euc_jp", "euc_kr", "cp949",
})  # fmt: skip
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Bound = int | float | date


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any, info: ValidationInfo) -> Any:
        truths = [value, *value] if isinstance(value, list) and info.field_name == "bounds" else [value]
        if any(isinstance(v, bool) for v in truths) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("YAML reads this word as a truth value; write a number, or put it in quotes")
        return value


class CsvSpec(_Strict):
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


class NumberSpec(_Strict):
    """How the numbers of one column are written, where that is not plainly: 1,234.50, (12.00), € 3, 85%."""

    decimal: Literal[".", ","] | None = None  # None: as in `dataset.csv`
    thousands: Thousands | None = None
    currency: str | None = Field(default=None, min_length=1, max_length=10)  # before or behind the digits
    parentheses: bool = False  # (12.00) is -12.00, as accountants write it
    percent: bool = False  # 85% is read, and written, as 85


class DatasetSpec(_Strict):
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

    @property
    def most_rows(self) -> int:
        """Rows that a table may have at most, by public facts alone."""
        return 2**30 if self.rows is None else max(2**20, 4 * self.rows)


class UnitSpec(_Strict):
    """Whom a neighbouring table adds or removes: all rows that share one value of `column`."""

    column: str
    max_rows: int = Field(ge=1, le=1000)  # at most so many rows of a unit are used, chosen at random
    called: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z ]{0,30}$")  # a word for one: patient, customer


class RiskTarget(_Strict):
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


class Lifetime(_Strict):
    """Cap on all runs on this data set together (`ledger.filter`); the ledger refuses the run that would pass it."""

    epsilon: Positive
    delta: Share
    locked: bool = False  # once true in the ledger, no later policy may raise it, for any id of the same content


class Budget(_Strict):
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


class Column(_Strict):
    """What is publicly known of one column, and what may become of it."""

    kind: Kind
    role: Role = "attribute"
    release: ReleaseRule | None = None
    categories: list[Text] | Literal["private"] | None = None
    ordered: bool = False
    grouping: str | None = None  # CSV file `code,group`, beside the policy or shipped with privsynth
    bounds: tuple[Bound, Bound] | Literal["private"] | None = None
    decimals: int | None = Field(default=None, ge=0, le=9)
    nullable: bool = True  # false: publicly known never to be missing
    format: str | None = None  # of dates, as in strptime; ISO by default
    generator: Generator | None = None
    pattern: str | None = Field(default=None, max_length=1_000)  # invented identifiers: # is a digit, ? a letter
    unexpected: Unexpected | None = None

    @property
    def released_as(self) -> ReleaseRule:
        """`release`, or its default: modelled columns are kept."""
        return self.release or "keep"

    @property
    def modelled(self) -> bool:
        """True if the generator learns this column."""
        return self.kind in MODELLED and self.released_as == "keep"

    @property
    def places(self) -> int:
        """Decimal places of a number: as declared, else enough for about five digits of the public range, and at least four.

        The bounds of a ratio are often those of its outliers: with few places all that lies below one would fall together.
        """
        if self.kind != "number" or self.decimals is not None:
            return self.decimals or 0
        if self.limits is None:
            return MIN_PLACES
        low, high = self.limits
        wanted = max(4 - math.floor(math.log10(high - low)), MIN_PLACES)
        representable = math.floor(math.log10(2.0**53 / max(abs(low), abs(high))))
        return max(min(wanted, representable, 9), 0)

    @property
    def limits(self) -> tuple[float, float] | None:
        """Declared bounds as numbers, those of a date in days since 1970; None where the policy states none."""
        if not isinstance(self.bounds, tuple):
            return None
        low, high = self.bounds
        return _as_number(low), _as_number(high)

    @property
    def steps(self) -> tuple[int, int] | None:
        """The same in whole steps: of the last decimal place, of one, or of a day."""
        if self.limits is None:
            return None
        step = 10.0**-self.places
        return round(self.limits[0] / step), round(self.limits[1] / step)

    @field_validator("bounds")
    @classmethod
    def _finite_rising(cls, bounds: Any) -> Any:
        if isinstance(bounds, tuple):
            low, high = bounds
            if isinstance(low, date) != isinstance(high, date):
                raise ValueError("both bounds must be of one type")
            if (isinstance(low, float) and not math.isfinite(low)) or (
                isinstance(high, float) and not math.isfinite(high)
            ):
                raise ValueError("bounds must be finite numbers")
            if not isinstance(low, date) and max(abs(low), abs(high)) > 1e15:
                raise ValueError("bounds are too wide: they must lie within 1e15 on both sides of zero")
            if not low < high:
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
        kind = self.kind
        wrong: list[str] = []
        only = {
            "categories": ("category",), "ordered": ("category",), "grouping": ("category",), "bounds": NUMERIC,
            "decimals": ("number",), "format": ("date",), "generator": ("text", "id"), "pattern": ("text", "id"),
        }  # fmt: skip
        for key, kinds in only.items():
            if getattr(self, key) not in (None, False) and kind not in kinds:
                wrong.append(f"`{key}` does not belong to kind {kind}")
        if kind in ("id", "text") and self.released_as == "keep":
            wrong.append(f"a column of kind {kind} cannot be kept; write `release: drop` or `release: regenerate`")
        if self.role == "direct_identifier" and self.released_as == "keep":
            wrong.append("a direct identifier must not leave; write `release: drop` or `release: regenerate`")
        if self.modelled:
            wrong += self._needs()
        if self.release == "regenerate" and kind in MODELLED:
            wrong.append(f"only kinds id and text can be regenerated, not {kind}; drop it or declare it as text")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _needs(self) -> list[str]:
        """What a modelled column must state, by kind."""
        if self.kind == "category":
            if self.grouping and self.categories is not None:
                return ["`grouping` already names the groups; leave `categories` out"]
            if not self.grouping and self.categories is None:
                return ["state `categories: [...]` (public), `categories: private` (measured) or a `grouping` file"]
            return ["`clip` means nothing for categories; write missing or refuse"] if self.unexpected == "clip" else []
        if self.bounds is None:
            return [
                "numbers and dates need bounds; state `bounds: [low, high]` (public) or `bounds: private` (measured)"
            ]
        if self.bounds == "private":
            return ["private bounds of dates are not offered; state public ones"] if self.kind == "date" else []
        low = self.bounds[0]
        if (self.kind == "date") != isinstance(low, date):
            return [
                f"bounds of kind {self.kind} must be {'dates, like 1999-01-01' if self.kind == 'date' else 'numbers'}"
            ]
        if self.kind == "integer" and any(b != int(b) for b in self.bounds if isinstance(b, float)):
            return ["bounds of an integer must be whole numbers"]
        if self.limits and self.kind == "number" and max(map(abs, self.limits)) * 10**self.places > 2**53:
            rule = f"bounds are too wide for numbers of {self.places} decimals to be distinguished"
            return [f"{rule}; state fewer `decimals`, or narrower bounds"]
        return []


def _as_number(bound: Bound) -> float:
    return float(bound.toordinal() - EPOCH if isinstance(bound, date) else bound)


class Constraint(_Strict):
    """A logical rule that every synthetic row obeys: [a, "<=", b]; it holds where neither is missing."""

    inequality: tuple[str, Literal["<=", "<", ">=", ">"], str]

    @property
    def rising(self) -> tuple[str, str, bool]:
        """(smaller column, larger column, strict)."""
        a, op, b = self.inequality
        return (a, b, op == "<") if op in ("<=", "<") else (b, a, op == ">")


class TrainerSpec(_Strict):
    name: str = "auto"
    options: dict[str, int | float | str | bool] = {}


class AuditSpec(_Strict):
    holdout: float = Field(default=0.2, ge=0.05, le=0.5)  # share of units the trainer never sees
    effort: Literal["quick", "standard", "thorough"] = "standard"


class Thresholds(_Strict):
    """Maximum success of an attack, for each family; fixed before anything is measured. 0.09: EMA policy 0070, Health Canada."""

    membership_tpr_at_1pct_fpr: float = Field(default=0.05, gt=0, le=1)
    singling_out: float = Field(default=0.09, gt=0, le=1)
    linkability: float = Field(default=0.09, gt=0, le=1)
    inference: float = Field(default=0.09, gt=0, le=1)


class ReleaseSpec(_Strict):
    rows: int | None = Field(default=None, ge=1, le=100_000_000)
    formats: list[Literal["csv", "parquet"]] = Field(default=["csv", "parquet"], min_length=1)


class ReportSpec(_Strict):
    frameworks: list[str] = []
    recipient: str | None = None
    approver: str | None = None


class PolicyModel(_Strict):
    """The whole file. Use `privsynth.Policy`, which knows its place on disk too."""

    privsynth: Literal[1]
    dataset: DatasetSpec
    unit: Literal["row"] | UnitSpec
    budget: Budget
    columns: dict[str, Column] = Field(min_length=1)
    constraints: list[Constraint] = Field(default=[], max_length=200)
    trainer: TrainerSpec = TrainerSpec()
    audit: AuditSpec = AuditSpec()
    thresholds: Thresholds = Thresholds()
    release: ReleaseSpec = ReleaseSpec()
    report: ReportSpec = ReportSpec()
    seed: int | None = Field(default=None, ge=0)  # development only: what is made with a seed is never released

    @field_validator("columns")
    @classmethod
    def _names(cls, columns: dict[str, Column]) -> dict[str, Column]:
        for name in columns:
            if not name or re.match(r"^__.*__$", name):
                raise ValueError("a column needs a name, and names like __x__ are privsynth's own")
        return columns
