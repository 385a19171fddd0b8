"""Data frames of pandas: columns of objects as text, object by object, other columns with their own type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from privsynth.errors import InputError, Problem
from privsynth.policy.model import DatasetSpec
from privsynth.table.limits import check_names
from privsynth.table.raw import RawTable, as_written, chunked

_NO_TEXT = "\0"  # stands for an object that is no text: unreadable by the rule on control characters


def header(frame: pd.DataFrame, dataset: DatasetSpec) -> list[str]:
    return [str(name) for name in frame.columns]


def types(frame: pd.DataFrame, dataset: DatasetSpec) -> dict[str, pa.DataType]:
    """The type of each column whose dtype says it; columns of objects may hold anything."""
    found = {}
    for name, dtype in zip(header(frame, dataset), frame.dtypes, strict=True):
        try:
            found[name] = pa.from_numpy_dtype(dtype)
        except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
            continue
    return {name: kind for name, kind in found.items() if not pa.types.is_string(kind)}


def read(frame: pd.DataFrame, dataset: DatasetSpec) -> RawTable:
    """A data frame as an Arrow table: columns of objects as text, object by object, other columns with their own type."""
    names = check_names(header(frame, dataset), "data frame")
    dtypes = {name: str(dtype) for name, dtype in zip(names, frame.dtypes, strict=True)}
    try:
        columns = [_as_arrow(frame.iloc[:, j]) for j in range(len(names))]
        return RawTable(pa.table(columns, names) if names else pa.table({}), dtypes=dtypes)
    except (pa.ArrowException, TypeError, ValueError) as error:  # the error's own words may quote a value
        rule = f"has a column whose type cannot be taken ({type(error).__name__})"
        raise InputError(Problem("data frame", rule, "make every column text, numbers or dates")) from None


def _as_texts(column: pd.Series) -> pa.ChunkedArray:
    """Objects as text, object by object; where all are text, or nothing, Arrow takes them as they are, which is the same."""
    try:
        return pa.chunked_array([pa.array(column.to_numpy(object), pa.large_string(), from_pandas=True)])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # an odd object, or half a surrogate pair
        return chunked([_object_as_text(value) for value in column])


def _as_arrow(column: pd.Series) -> pa.ChunkedArray:
    one_by_one = (pd.StringDtype, pd.PeriodDtype, pd.IntervalDtype)
    if column.dtype == object or isinstance(column.dtype, one_by_one) or column.dtype.kind == "m":
        return _as_texts(column)
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.categories.dtype == object:
        texts = pa.array([_object_as_text(value) for value in column.cat.categories], pa.large_string())
        codes = pa.array(column.cat.codes.to_numpy(np.int64), mask=column.isna().to_numpy())
        return pa.chunked_array([pa.DictionaryArray.from_arrays(codes, texts)])
    return pa.Table.from_pandas(column.to_frame("x"), preserve_index=False).column(0)


def _object_as_text(value: Any) -> str | None:
    """Any object of a data frame as text; None where it means a missing value. What is not text is `_NO_TEXT`, not an error:
    a signalling NaN, a whole number too long to print, half a surrogate pair, bytes that are not UTF-8."""
    if type(value) is str and value.isascii():
        return value
    try:
        if pd.api.types.is_scalar(value) and pd.isna(value):
            return None
        text = as_written(value)
        text.encode()
        return text
    except Exception:  # an object may raise anything when it is printed
        return _NO_TEXT
