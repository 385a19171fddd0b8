"""From typed rows to the released table: rules enforced, identifiers invented, types and missing marks as in the input."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from privsynth.policy import Policy
from privsynth.sampling.identifiers import Invented
from privsynth.table.raw import RawTable

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,16})\Z")
MAX_WHOLE = 2**53  # longer codes stay text: pandas reads whole numbers as floats where one is missing

Table: TypeAlias = pd.DataFrame | Iterable[pd.DataFrame]  # whole, or block after block


@dataclass(frozen=True)
class OutputColumn:
    """How one column is released: by the policy alone. Types of the source would reveal something of its rows: a missing value
    turns whole numbers into floats, and one unreadable date turns a column of dates into text."""

    name: str
    kind: str
    release: str
    generator: str | None
    pattern: str | None
    format: str | None
    whole: bool  # categories that are all whole numbers, as 1 and 2 for sex

    @property
    def arrow(self) -> pa.DataType:
        """Its type in Parquet, the same for every block: one without any value must not be of type null."""
        if self.release == "regenerate":
            return pa.int64() if self.generator is None and self.pattern is None else pa.string()
        if self.kind == "category":
            return pa.int64() if self.whole else pa.string()
        return {"date": pa.date32(), "integer": pa.int64()}.get(self.kind, pa.float64())


@dataclass(frozen=True)
class Layout:
    """Columns in the input's order; missing: how the input writes a missing value; rules: (small, large, strict, step)."""

    columns: tuple[OutputColumn, ...]
    missing: str
    rules: tuple[tuple[str, str, bool, float], ...]

    @classmethod
    def of(cls, policy: Policy, raw: RawTable) -> Layout:
        """From the policy and the order of the columns; no value is read."""
        by_name = policy.model.columns
        columns = tuple(
            OutputColumn(
                n, by_name[n].kind, by_name[n].released_as, by_name[n].generator, by_name[n].pattern, by_name[n].format,
                isinstance(by_name[n].categories, list) and are_whole(by_name[n].categories or ()),
            )
            for n in raw.columns if by_name[n].released_as != "drop"
        )  # fmt: skip
        rules = tuple(
            (small, large, strict, _step(policy, large))
            for small, large, strict in (c.rising for c in policy.model.constraints)
        )
        return cls(columns, (policy.model.dataset.missing or [""])[0], rules)

    def finish(self, typed: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        """Typed rows -> the released table as a data frame (dates as datetime64, missing as NA)."""
        frame = self.finish_block(typed, self.invented(len(typed), rng))
        whole = [c for c in frame if frame[c].dtype == "Int64" and not frame[c].isna().any()]
        return frame.astype(dict.fromkeys(whole, "int64"))

    def invented(self, total: int, rng: np.random.Generator) -> dict[str, Invented]:
        """Identifiers for `total` rows, which may be taken block by block."""
        return {c.name: Invented(total, c.generator, c.pattern, rng) for c in self.columns if c.release == "regenerate"}

    def finish_block(self, typed: pd.DataFrame, invented: dict[str, Invented]) -> pd.DataFrame:
        """As `finish`, but each column has the same type in every block: whole numbers are Int64."""
        typed = self._obeying(typed)
        out: dict[str, Any] = {}
        for column in self.columns:
            if column.release == "regenerate":
                out[column.name] = invented[column.name].take(len(typed))
            elif column.kind == "category":
                out[column.name] = (
                    pd.to_numeric(typed[column.name]).astype("Int64") if column.whole else typed[column.name]
                )
            elif column.kind == "date":
                days = (
                    typed[column.name].to_numpy().astype("datetime64[D]")
                )  # pandas' own reader knows the years 1677 to 2262 only
                out[column.name] = pd.Series(days.astype("datetime64[s]"), typed.index)
            elif column.kind == "integer":
                out[column.name] = typed[column.name].astype("Int64")
            else:
                out[column.name] = typed[column.name].astype(float)
        return pd.DataFrame(out)

    def write_csv(self, table: Table, path: Path) -> None:
        """Dates in their format, missing as in the input."""
        with path.open("w", encoding="utf-8", newline="") as file:
            for i, frame in enumerate(_blocks(table)):
                shown = frame.copy(deep=False)
                for column in self.columns:
                    if column.kind == "date" and column.release == "keep":
                        days = frame[column.name].dt.tz_localize("UTC")  # so that a format with an offset has one
                        shown[column.name] = days.dt.strftime(column.format or "%Y-%m-%d")
                shown.to_csv(file, index=False, na_rep=self.missing, header=i == 0)

    def write_parquet(self, table: Table, path: Path) -> None:
        """Text, int64, double and date32; each block is a row group."""
        schema = pa.schema([(column.name, column.arrow) for column in self.columns])
        with pyarrow.parquet.ParquetWriter(path, schema) as writer:
            for frame in _blocks(table):
                arrays = []
                for column in self.columns:
                    values = frame[column.name]
                    values = values.dt.date if column.arrow == pa.date32() else values
                    arrays.append(pa.array(values, column.arrow, from_pandas=True))
                writer.write_table(pa.table(arrays, schema))

    def _obeying(self, typed: pd.DataFrame) -> pd.DataFrame:
        """Raises the larger side wherever a rule does not hold yet (rules that are not stored as gaps)."""
        for _ in self.rules:  # as often as the longest chain can need
            for small, large, strict, step in self.rules:
                broken = typed[large] <= typed[small] if strict else typed[large] < typed[small]
                least = np.ceil(typed[small] / step - 1e-6)  # in grid units of the larger side
                least = least + (strict & (least * step <= typed[small] + step * 1e-6))
                raised = np.round(least * step, max(0, round(-np.log10(step))))
                typed = typed.assign(**{large: typed[large].where(~broken, raised)})
        return typed

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Layout:
        columns = tuple(OutputColumn(**column) for column in data["columns"])
        return cls(columns, data["missing"], tuple((a, b, bool(s), float(t)) for a, b, s, t in data["rules"]))


def are_whole(categories: Iterable[str]) -> bool:
    """True if all are whole numbers that leave as such."""
    return all(_WHOLE.match(category) and abs(int(category)) <= MAX_WHOLE for category in categories)


def _blocks(table: Table) -> Iterable[pd.DataFrame]:
    return [table] if isinstance(table, pd.DataFrame) else table


def _step(policy: Policy, name: str) -> float:
    column = policy.model.columns.get(name)
    return 10.0**-column.places if column is not None else 1.0
