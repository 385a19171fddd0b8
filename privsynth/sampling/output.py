"""From typed rows to the released table: rules enforced, identifiers invented, written as the input is."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from privsynth.encoding.codec import Codec
from privsynth.encoding.column_codec import ColumnCodec
from privsynth.policy import Policy
from privsynth.policy.column import CATEGORICAL, TEMPORAL, TRUTHS, Column
from privsynth.policy.constraints.chains import at_least
from privsynth.policy.fakes import can_write
from privsynth.policy.model import CsvSpec
from privsynth.policy.moments import DAY
from privsynth.sampling.computed import Computed
from privsynth.sampling.identifiers import Identifiers, Wanted, refuse_repeats
from privsynth.sampling.types import are_whole, arrow_type, output_type, raised, usual_dtype
from privsynth.table.names import state_of
from privsynth.table.raw import RawTable
from privsynth.table.values import Form, NumberReader

Table: TypeAlias = pd.DataFrame | Iterable[pd.DataFrame]  # whole, or block after block


@dataclass(frozen=True)
class OutputColumn:
    """How one column is released.

    type: in Parquet, by name (`types.arrow_type`). dtype: in a data frame, by name; None: what follows from `type`. Both are
    of the source's declared schema where that has types, and follow from the policy otherwise: no cell decides them.
    marks: texts that stand in place of a value. truths: the words that the policy declares for false and true, if it does.
    missing: those of its marks, and of an identifier's texts, that mean that there is no value. categories: as the policy lists
    them, in order where it says that they are `ordered`.
    """

    name: str
    release: str
    generator: str | None
    pattern: str | None
    form: Form
    type: str
    dtype: str | None = None
    marks: tuple[str, ...] = ()
    truths: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    ordered: bool = False

    @property
    def kind(self) -> str:
        return self.form.kind

    @property
    def as_text(self) -> bool:
        """True if it leaves as text whatever its kind is."""
        return self.type in ("string", "dictionary")

    def word_of(self, text: str) -> str:
        """The word of the policy for a text in a table, which may have truth values in place of the declared words."""
        return dict(zip(("False", "True"), self.truths, strict=False)).get(text, text) if self.truths else text

    def released(self, typed: pd.DataFrame) -> pd.Series:
        """Its values as they leave, with the same type in every block: nullable, and text where it has marks that are none
        of its own kind."""
        values = typed[self.name]
        if self.kind in CATEGORICAL:
            return self._categories(values)
        numbers = values.to_numpy(float)
        states = typed[state_of(self.name)].to_numpy() if state_of(self.name) in typed else None
        if self.as_text:
            texts = self.form.texts_of(numbers)
            return pd.Series(
                texts if states is None else self._marked(texts, states, self.marks), typed.index, dtype=object
            )
        if states is not None:
            numbers = self._marked(numbers, states, [self.form.value_of_mark(mark) for mark in self.marks])
        return self._moments(numbers, typed.index) if self.kind in TEMPORAL else self._numbers(numbers, typed.index)

    @staticmethod
    def _marked(values: np.ndarray, states: np.ndarray, marks: Iterable[Any]) -> np.ndarray:
        return np.where(states >= 0, np.array([*marks, None], values.dtype)[states.astype(np.int64)], values)

    def _categories(self, values: pd.Series) -> pd.Series:
        if self.as_text or (self.type == "bool" and self.dtype is None):
            return values
        if self.type == "bool" and self.dtype == "object":  # it may hold truth values, words for them, or both
            return pd.Series([_TRUTHS.get(word, word) for word in values], values.index, dtype=object)
        if self.type == "bool":
            return pd.Series(self.truth_values(values), values.index, dtype="boolean")
        numbers = pd.Series(pd.to_numeric(values, errors="coerce"), values.index)
        return numbers.astype("Int64" if pa.types.is_integer(arrow_type(self.type)) else float)

    def truth_values(self, words: Iterable[Any]) -> list[bool | None]:
        """Of the spellings of a boolean; None for a missing value."""
        pairs = (self.truths,) if self.truths else TRUTHS
        known: dict[Any, bool] = {True: True, False: False}
        known |= {word: bool(place) for pair in (("False", "True"), *pairs) for place, word in enumerate(pair)}
        return [known.get(word) for word in words]

    def _numbers(self, numbers: np.ndarray, index: pd.Index) -> pd.Series:
        found = pd.Series(numbers, index)
        return found.astype("Int64") if pa.types.is_integer(arrow_type(self.type)) else found

    def _moments(self, values: np.ndarray, index: pd.Index) -> pd.Series:
        """pandas' own reader knows the years 1677 to 2262 only: numpy's types of seconds or microseconds know all."""
        if self.kind == "time":
            return pd.Series(_clock_times(values), index, dtype=object)
        unit = "us" if self.form.step < 1 and self.kind != "date" else "s"
        scale = {"date": DAY, "datetime": 1, "duration": 1}[self.kind] * (10**6 if unit == "us" else 1)
        missing = np.isnan(values)
        whole = np.round(np.where(missing, 0, values) * scale).astype(np.int64)
        found = whole.astype(f"{'timedelta64' if self.kind == 'duration' else 'datetime64'}[{unit}]")
        found[missing] = "NaT"
        return pd.Series(found, index)


def _clock_times(values: np.ndarray) -> list[Any]:
    midnight = datetime(1970, 1, 1)
    return [None if np.isnan(v) else (midnight + timedelta(microseconds=round(v * 1e6))).time() for v in values]


@dataclass(frozen=True)
class Layout:
    """Columns in the input's order; rules: (small, large, strict, step); csv, line_end: how a CSV is written; computed: columns
    that follow from others, each behind those that it needs."""

    columns: tuple[OutputColumn, ...]
    rules: tuple[tuple[str, str, bool, float], ...]
    csv: CsvSpec = field(default_factory=CsvSpec)
    line_end: str = "\n"
    computed: tuple[Computed, ...] = ()

    @classmethod
    def of(cls, policy: Policy, raw: RawTable, codec: Codec | None = None) -> Layout:
        """From the policy, the order of the columns, their declared types, and what was measured; no value is read."""
        by_name = policy.model.columns
        rules = tuple(
            (small, large, strict, by_name[large].step if large in by_name else 1.0)
            for small, large, strict in (c.rising for c in policy.model.inequalities)
        )
        highest = raised({n: c.limits[1] if c.limits else math.inf for n, c in by_name.items()}, rules)
        learned = {column.domain.name: column for column in codec.columns} if codec else {}
        columns = tuple(
            _output_column(n, policy, raw, highest[n], learned.get(n))
            for n in raw.columns
            if by_name[n].released_as != "drop"
        )
        csv = policy.model.dataset.csv
        if raw.bom and csv.encoding == "utf-8":
            csv = csv.model_copy(update={"encoding": "utf-8-sig"})
        texts = (text for column in learned.values() for text in column.domain.categories)
        if not all(can_write(text, csv.encoding) for text in texts):  # of a source that is no CSV
            csv = csv.model_copy(update={"encoding": "utf-8"})
        return cls(columns, rules, csv, "\r\n" if raw.crlf else "\n", Computed.all_of(policy.knowledge))

    def finish(self, typed: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        """Typed rows -> the released table as a data frame, with the data types of the input."""
        frame = self.finish_block(typed, self.invented(len(typed), rng))
        for column in self.columns:
            frame[column.name] = _as_dtype(frame[column.name], column)
        return frame

    @property
    def wanted(self) -> list[Wanted]:
        """What is to be invented."""
        return [
            Wanted(c.name, c.generator, c.pattern, c.form.language, not c.as_text, c.kind == "id", self.csv.encoding)
            for c in self.columns if c.release == "regenerate"
        ]  # fmt: skip

    def refuse_repeats(self, rows: int, unit: str = "row") -> None:
        """Raises InputError if so many rows cannot each have an identifier of their own. unit: as in `Privacy`."""
        refuse_repeats(self._wanted_of(unit), rows)

    def most_rows(self, rows: int, unit: str = "row") -> int:
        """So many rows, or fewer where there are not so many different identifiers."""
        return min([rows, *(c.most for c in self._wanted_of(unit) if c.unique and c.most is not None)])

    def _wanted_of(self, unit: str) -> list[Wanted]:
        """Two rows that shared an identifier of the unit would count as one person's, whatever its kind."""
        return [replace(column, unique=column.unique or column.name == unit) for column in self.wanted]

    def invented(self, total: int, rng: np.random.Generator) -> Identifiers:
        """Identifiers for `total` rows, which may be taken block by block. Raises InputError if there are too few."""
        return Identifiers(self.wanted, [c.name for c in self.columns if c.kind in CATEGORICAL], total, rng)

    def finish_block(self, typed: pd.DataFrame, invented: Identifiers) -> pd.DataFrame:
        """As `finish`, but each column has the same type in every block: whole numbers are Int64."""
        typed, out = self._obeying(typed), dict[str, Any]()
        for computed in self.computed:
            typed = computed.added_to(typed)
        made = invented.take(typed)
        for column in self.columns:
            if column.release == "regenerate":
                out[column.name] = made[column.name]
            else:
                out[column.name] = column.released(typed)
        return pd.DataFrame(out)

    def write_csv(self, table: Table, path: Path) -> None:
        """In the input's dialect, encoding and formats; marks as they are, other missing values as blank cells."""
        spec = self.csv
        quoting = csv.QUOTE_MINIMAL if spec.quote else csv.QUOTE_NONE
        with path.open("w", encoding=spec.encoding, newline="") as file:
            for i, frame in enumerate(_blocks(table)):
                shown = pd.DataFrame({c.name: self.texts_of(c, frame[c.name]) for c in self.columns}, frame.index)
                shown.to_csv(
                    file, sep=spec.delimiter, quotechar=spec.quote or '"', quoting=quoting, index=False, header=i == 0,
                    lineterminator=self.line_end,
                )  # fmt: skip

    def texts_of(self, column: OutputColumn, values: pd.Series) -> Any:
        """(rows,) texts of a released column in a CSV, None for a blank cell."""
        if column.release == "regenerate" or column.kind in CATEGORICAL or column.as_text:
            texts = values.astype(object).where(values.notna(), None)
            if column.release == "regenerate" and not self.csv.quote:  # nothing could protect a delimiter
                texts = [str(text).replace(self.csv.delimiter, " ") for text in texts]
            return texts
        numbers = _numbers_of(values, column)
        texts = column.form.texts_of(numbers)
        for mark in (
            column.marks
        ):  # a cell that is the same number is the mark (`NumberReader`): 999 leaves as 999, not as 999.0
            texts[numbers == column.form.value_of_mark(mark)] = mark
        return texts

    def write_parquet(self, table: Table, path: Path) -> None:
        """With the types of the input, or of the policy where it has none; each block is a row group."""
        schema = pa.schema([(column.name, arrow_type(column.type)) for column in self.columns])
        with pyarrow.parquet.ParquetWriter(path, schema) as writer:
            for frame in _blocks(table):
                arrays = [_as_arrow(frame[c.name], c, kind) for c, kind in zip(self.columns, schema.types, strict=True)]
                writer.write_table(pa.table(arrays, schema))

    def _obeying(self, typed: pd.DataFrame) -> pd.DataFrame:
        """Raises the larger side wherever a rule does not hold yet (rules that are not stored as gaps)."""
        for _ in self.rules:  # as often as the longest chain can need
            for small, large, strict, step in self.rules:
                broken = typed[large] <= typed[small] if strict else typed[large] < typed[small]
                raised = at_least(typed[small].to_numpy(float), step, strict)
                typed = typed.assign(**{large: typed[large].where(~broken, raised)})
        return typed

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": [asdict(column) for column in self.columns],
            "rules": self.rules,
            "csv": self.csv.model_dump(),
            "computed": [asdict(each) for each in self.computed],
            "line_end": self.line_end,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Layout:
        columns = tuple(
            OutputColumn(
                **column
                | {"form": Form.from_json(column["form"])}
                | {n: tuple(column.get(n, ())) for n in ("marks", "truths", "missing", "categories")}
            )
            for column in data["columns"]
        )
        rules = tuple((a, b, bool(s), float(t)) for a, b, s, t in data["rules"])
        computed = tuple(
            Computed(
                **each
                | {
                    "needs": tuple(each["needs"]),
                    "marks": tuple(each["marks"]),
                    "rows": tuple(map(tuple, each["rows"])),
                    "told": tuple(None if told is None else tuple(told) for told in each["told"]),
                }
            )
            for each in data["computed"]
        )
        return cls(columns, rules, CsvSpec(**data["csv"]), data.get("line_end", "\n"), computed)


def _output_column(
    name: str, policy: Policy, raw: RawTable, highest: float, learned: ColumnCodec | None
) -> OutputColumn:
    """Marks that were not seen do not decide the type: a table's tokens are declared for all of its columns."""
    column, marks = policy.model.columns[name], policy.marks(name)
    form = replace(Form.of(policy, name), letter_case=learned.domain.letter_case if learned else None)
    source, dtype = raw.type_of(name), raw.dtypes.get(name)
    if source is not None and dtype is None:
        dtype = usual_dtype(source)
    truths = tuple(column.categories or ()) if column.kind == "boolean" and column.categories != "private" else ()
    if column.computed:  # only what its file gives
        given = {
            row[-1]
            for rule in policy.knowledge.derived
            if rule.derived == name
            for row in policy.knowledge.rows_of(rule)
        }
        seen = tuple(mark for mark in marks if mark in given)
    else:
        seen = marks if learned is None else learned.found_marks
    seen = tuple(mark for mark in marks if mark in seen or _is_of_kind(mark, column, form))
    kind = output_type(column, form, seen, source, dtype, highest)
    plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    if source is not None and any(is_one(source) for is_one in plain) and kind != str(source):
        dtype = None  # it holds too little: values would be cut to fit
    return OutputColumn(
        name, column.released_as, column.generator, column.pattern, form, kind, dtype,
        marks if column.modelled or column.computed else (), truths, tuple(policy.missing(name)),
        tuple(column.public_categories or ()) if dtype == "category" and column.kind == "category" else (), column.ordered,
    )  # fmt: skip


def _is_of_kind(mark: str, column: Column, form: Form) -> bool:
    """True for a mark that a typed column of its kind can hold, such as -8 among numbers."""
    return are_whole([mark]) if column.categorical else not math.isnan(form.value_of_mark(mark))


def _as_dtype(values: pd.Series, column: OutputColumn) -> pd.Series:
    """A column with a dtype of the input, or a nullable one where it has none for missing values."""
    dtype = column.dtype
    if values.dtype == "Int64" and dtype in (None, "object", "int64", "float64"):
        dtype = "int64"
    if dtype == "object" and len(values) and all(value is True or value is False for value in values):
        return values.astype(bool)
    if dtype == "category":
        return _categorical(values, column)
    if dtype is None and pa.types.is_decimal(arrow_type(column.type)):
        return pd.Series(_as_arrow(values, column, arrow_type(column.type)).to_pylist(), values.index, dtype=object)
    if dtype is None or dtype == "object" or str(values.dtype) == dtype:
        return values
    if values.isna().any() and dtype in ("bool", *_WITHOUT_MISSING):
        dtype = "boolean" if dtype == "bool" else _WITHOUT_MISSING[dtype]
    try:
        if dtype == f"{column.type}[pyarrow]":  # pandas knows only the simpler ones of these names
            found = pa.chunked_array([_as_arrow(values, column, arrow_type(column.type))])
            return pd.Series(pd.arrays.ArrowExtensionArray(found), values.index)
        if zoned := _ZONED.match(dtype):
            values = values.dt.tz_localize(
                column.form.timezone or zoned[1], ambiguous=True, nonexistent="shift_forward"
            )
        return values.astype(dtype)
    except (
        TypeError,
        ValueError,
        OverflowError,
        NotImplementedError,  # which pandas raises where it has no type of its own for one of Arrow's
        pa.ArrowException,
    ):  # such as marks among numbers
        return values


_ZONED = re.compile(r"datetime64\[\w+, (.+)\]\Z")


def _categorical(values: pd.Series, column: OutputColumn) -> pd.Series:
    """The policy's categories in its order, whatever the sample holds; then what else is there, such as marks."""
    seen = list(pd.unique(values.dropna()))
    listed = pd.Series(column.categories, dtype=object)
    known = list(listed if column.as_text else pd.to_numeric(listed, errors="coerce").dropna()) if seen else []
    known += sorted(set(seen) - set(known), key=str)
    return values.astype(pd.CategoricalDtype(known, ordered=column.ordered))


_TRUTHS = {"True": True, "False": False}
_WITHOUT_MISSING = {f"{sign}int{bits}": f"{sign.upper()}Int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def _numbers_of(values: pd.Series, column: OutputColumn) -> np.ndarray:
    """(rows,) float64 of a released column: days or seconds of moments."""
    if column.kind not in TEMPORAL:
        return np.asarray(values.to_numpy(dtype=float, na_value=np.nan))
    typed = pa.array(values, from_pandas=True)
    found = NumberReader(column.form).of_arrow(pa.chunked_array([typed]) if isinstance(typed, pa.Array) else typed)
    return np.full(len(values), np.nan) if found is None else found  # all are missing: without a type


def _as_arrow(values: pd.Series, column: OutputColumn, kind: pa.DataType) -> pa.Array:
    if column.release == "keep" and column.kind in TEMPORAL and not column.as_text:
        typed = pa.array(values, from_pandas=True)
        if pa.types.is_timestamp(kind) and kind.tz and getattr(typed.type, "tz", None) is None:
            zone = column.form.timezone or kind.tz  # whose wall clock the values are
            naive = typed.cast(pa.timestamp(kind.unit))
            typed = pa.compute.assume_timezone(naive, zone, ambiguous="earliest", nonexistent="latest")
        return typed.cast(kind)
    if pa.types.is_decimal(kind):
        texts = [None if pd.isna(v) else Decimal(f"{v:.{kind.scale}f}") for v in values]
        return pa.array(texts, kind)
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string(), from_pandas=True).dictionary_encode().cast(kind)
    if pa.types.is_boolean(kind) and values.dtype == object:
        return pa.array(column.truth_values(values), kind)
    return pa.array(values, kind, from_pandas=True)


def _blocks(table: Table) -> Iterable[pd.DataFrame]:
    return [table] if isinstance(table, pd.DataFrame) else table
