"""Types of released columns: those of the source's declared schema where it has types, else those that the policy implies.

Missing values must not decide a type: pandas stores whole numbers as floats where one is missing, and truth values as
objects. So columns of one kind that differ in that alone leave with the same type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import pyarrow as pa

from privsynth.policy.column import Column
from privsynth.policy.moments import DAY
from privsynth.table.cells import is_text
from privsynth.table.values import Form

_PLAIN = {
    str(t): t
    for t in (
        pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
        pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.date32(), pa.date64(),
        *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")), *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
        pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"),
    )
}  # fmt: skip
_ZONED = re.compile(r"timestamp\[(s|ms|us|ns), tz=([A-Za-z0-9_+:/-]{1,60})\]\Z")
_DECIMAL = re.compile(r"decimal128\((\d{1,2}), (\d{1,2})\)\Z")


@lru_cache(256)
def arrow_type(name: str) -> pa.DataType:
    """The type of a name, as `output_type` gives it. Raises ValueError for any other name.

    >>> arrow_type("timestamp[us, tz=UTC]"), arrow_type("decimal128(9, 2)")
    (TimestampType(timestamp[us, tz=UTC]), Decimal128Type(decimal128(9, 2)))
    """
    if name in _PLAIN:
        return _PLAIN[name]
    if name == "dictionary":
        return pa.dictionary(pa.int32(), pa.string())
    if found := _ZONED.match(name):
        return pa.timestamp(found[1], found[2])
    if (found := _DECIMAL.match(name)) and int(found[2]) <= int(found[1]) <= 38:
        return pa.decimal128(int(found[1]), int(found[2]))
    raise ValueError(f"no type {name!r}")


def output_type(
    column: Column,
    form: Form,
    marks: tuple[str, ...],
    source: pa.DataType | None,
    dtype: str | None,
    highest: float | None = None,
) -> str:
    """The name of the type that a column leaves with.

    source: its declared type; None where the format has no types. dtype: its pandas dtype, if it is of a data frame. highest:
    to which rules may raise its values (`raised`).
    """
    if dtype == "object":  # whatever is in it
        source = None
    if column.released_as == "regenerate":
        return _of_identifiers(column, source)
    if column.categorical:
        return _of_categories(column, marks, source)
    values = tuple(form.value_of_mark(mark) for mark in marks)
    if _textual(source) if source is not None else any(math.isnan(value) for value in values):
        return "string"  # numbers and moments by their type hold no text
    ends = (*(column.limits or (-math.inf, math.inf)), math.nan if highest is None else highest, *values)
    return _of_numbers(column, source, tuple(end for end in ends if not math.isnan(end)))


def _of_identifiers(column: Column, source: pa.DataType | None) -> str:
    """Whole numbers only where the source declares numbers: text has room for a prefix."""
    if source is None or not whole_identifiers(column.generator, column.pattern):
        return "string"
    if str(source) == "int32" and len(column.pattern or "") < 10:
        return "int32"
    numbers = pa.types.is_integer(source) or pa.types.is_floating(source) or pa.types.is_decimal(source)
    return "int64" if numbers else "string"


def whole_identifiers(generator: str | None, pattern: str | None) -> bool:
    """True if invented identifiers can be whole numbers.

    >>> whole_identifiers(None, None), whole_identifiers(None, "99####"), whole_identifiers(None, "0###")
    (True, True, False)
    """
    return generator is None and (pattern is None or bool(_WHOLE_PATTERN.match(pattern)))


def _of_categories(column: Column, marks: tuple[str, ...], source: pa.DataType | None) -> str:
    words = [*(column.public_categories or ["x"]), *marks]
    if source is not None and pa.types.is_dictionary(source) and is_text(source.value_type):
        return "dictionary"
    if source is not None and _textual(source):
        return "string"
    truths = (column.kind == "boolean" and not marks) or set(words) == {"True", "False"}
    if truths and (source is None or pa.types.is_boolean(source)):
        return "bool"
    if not are_whole(words):
        floats = source is not None and str(source) in _PLAIN and pa.types.is_floating(source)
        return str(source) if floats and all(map(is_float, words)) else "string"
    if source is not None and pa.types.is_integer(source) and _fits(source, [int(word) for word in words]):
        return str(source)
    return "int64"


def _of_numbers(column: Column, source: pa.DataType | None, ends: tuple[float, ...]) -> str:
    if (
        source is not None
        and fits_kind(str(source), column.kind)
        and holds(str(source), column.kind, ends, column.step)
    ):
        return str(source)
    unit = "us" if column.step < 1 else "s"
    usual = {"integer": "int64", "number": "double", "date": "date32[day]", "time": "time64[us]"}
    return usual.get(column.kind, f"{'timestamp' if column.kind == 'datetime' else column.kind}[{unit}]")


def holds(name: str, kind: str, ends: Iterable[float], step: float) -> bool:
    """True if the type of this name holds all values of a kind between the ends, at such steps."""
    found, ends = arrow_type(name), list(ends)
    if pa.types.is_integer(found):
        return _fits(found, ends)
    farthest = max(map(abs, ends), default=0.0)
    if pa.types.is_decimal128(found):
        return bool(step >= 0.9 * 10.0**-found.scale and farthest < 10.0 ** (found.precision - found.scale))
    return bool(
        "[ns" not in name or pa.types.is_time(found) or farthest * (DAY if kind == "date" else 1) < _IN_NANOSECONDS
    )


def raised(highest: Mapping[str, float], rules: Iterable[tuple[str, str, bool, float]]) -> dict[str, float]:
    """The highest value of each column once the larger side of each rule, (small, large, strict, step), was raised.

    >>> raised({"a": 12, "b": 10}, [("a", "b", True, 1.0)])
    {'a': 12, 'b': 13.0}
    """
    found, rules = dict(highest), [rule for rule in rules if rule[0] in highest and rule[1] in highest]
    for _ in rules:  # as often as the longest chain can need
        for small, large, strict, step in rules:
            if math.isfinite(found[small]):
                found[large] = max(found[large], (math.ceil(found[small] / step - 1e-6) + strict) * step)
            else:
                found[large] = found[small]
    return found


def _textual(source: pa.DataType) -> bool:
    return bool(is_text(source.value_type if pa.types.is_dictionary(source) else source))


def _fits(source: pa.DataType, values: Iterable[float]) -> bool:
    bits = source.bit_width
    low, high = (0, 2**bits - 1) if pa.types.is_unsigned_integer(source) else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return all(low <= value <= high for value in values)


_IN_NANOSECONDS = 106_751.0 * DAY  # seconds that 64 bits hold in nanoseconds


_WHOLE_PATTERN = re.compile(r"-?[1-9][0-9#]{0,16}\Z")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,16})\Z")
MAX_WHOLE = 2**53  # longer codes stay text: pandas reads whole numbers as floats where one is missing


def are_whole(categories: Iterable[str]) -> bool:
    """True if all are whole numbers that leave as such."""
    return all(_WHOLE.match(category) and abs(int(category)) <= MAX_WHOLE for category in categories)


def is_float(word: str) -> bool:
    """True for a text that is written as Python writes the number: a category such as 1.5."""
    try:
        return repr(float(word)) == word or are_whole([word])
    except ValueError:
        return False


def fits_kind(name: str, kind: str) -> bool:
    """True if values of a kind can be stored in the type of this name, and if that is a type that `arrow_type` knows."""
    try:
        found = arrow_type(name)
    except ValueError:
        return False
    if name in ("string", "dictionary"):
        return True
    if kind in ("category", "boolean"):
        return bool(pa.types.is_integer(found) or pa.types.is_boolean(found) or pa.types.is_floating(found))
    if kind == "integer":
        return bool(pa.types.is_integer(found) or (pa.types.is_decimal128(found) and found.scale == 0))
    if kind == "number":
        return bool(pa.types.is_floating(found) or pa.types.is_decimal128(found))
    if kind in ("date", "datetime"):
        return bool(pa.types.is_timestamp(found) or (kind == "date" and pa.types.is_date(found)))
    if kind == "time":
        return bool(pa.types.is_time(found))
    return bool(pa.types.is_duration(found)) if kind == "duration" else name in ("int32", "int64")


def usual_dtype(source: pa.DataType) -> str | None:
    """The pandas dtype of a type where pandas has one of the same meaning."""
    if pa.types.is_dictionary(source):
        return "category"
    if pa.types.is_integer(source) or pa.types.is_floating(source) or pa.types.is_boolean(source):
        return str({"float": "float32", "double": "float64", "halffloat": "float16"}.get(str(source), str(source)))
    return None
