"""Formulas of derived columns: + - * /, constants, min, max, round. Read by Python's grammar, computed by a walk over it."""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # reading a policy needs no numpy
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
MAX_CHARACTERS, MAX_PARTS = 2_000, 200
_QUOTED = re.compile(r"`([^`]+)`")
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide",
}  # of numpy  # fmt: skip
Interval = tuple[float, float]
_HINT = "write columns, numbers, + - * /, min(a, b), max(a, b) or round(a, places); other names in backticks: `lab cost` + food"


class NoFormula(ValueError):
    """What cannot be read as a formula."""


@dataclass(frozen=True)
class Formula:
    """tree: of the expression. names: {its name there: column}."""

    tree: ast.expr
    names: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> Formula:
        """Raises NoFormula."""
        if len(text) > MAX_CHARACTERS:
            raise NoFormula(f"a formula has at most {MAX_CHARACTERS:,} characters")
        names: dict[str, str] = {}
        own = "column"  # which no plain name in the text begins with
        while own in text:
            own += "_"

        def named(found: re.Match[str]) -> str:
            names[f"{own}{len(names)}"] = found[1]
            return f" {list(names)[-1]} "

        try:
            tree = ast.parse(_QUOTED.sub(named, text).strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise NoFormula(f"cannot be read; {_HINT}") from None
        if sum(1 for _ in ast.walk(tree)) > 4 * MAX_PARTS:
            raise NoFormula("is too long")
        _check(tree)
        if not any(isinstance(node, ast.Name) and node.id not in _FUNCTIONS for node in ast.walk(tree)):
            raise NoFormula("names no column")
        plain = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(_FUNCTIONS)
        return cls(tree, names | {name: name for name in plain if name not in names})

    @property
    def columns(self) -> tuple[str, ...]:
        """In the order of their first mention."""
        used = [node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name) and node.id in self.names]
        return tuple(dict.fromkeys(self.names[name] for name in used))

    @property
    def divides(self) -> bool:
        return any(isinstance(node, ast.Div) for node in ast.walk(self.tree))

    def interval(self, ends: Mapping[str, Interval]) -> Interval:
        """The lowest and the highest value, or wider, where each column lies between its ends (Moore 1966, interval arithmetic)."""
        return _interval(self.tree, {name: ends[column] for name, column in self.names.items()})

    def __call__(self, values: Mapping[str, Floats], rows: int) -> Floats:
        """(rows,) NaN where a column is missing, and where something is divided by zero."""
        import numpy as np

        with np.errstate(all="ignore"):
            found = np.asarray(self._value(self.tree, values), float)
        found = np.broadcast_to(found, (rows,)).copy()
        found[~np.isfinite(found)] = np.nan
        return found

    def _value(self, node: ast.expr, values: Mapping[str, Floats]) -> Any:
        match node:
            case ast.Constant(int() | float() as value):  # by `_check` there are no others
                return float(value)
            case ast.Name(name):
                return values[self.names[name]]
            case ast.UnaryOp(operand=operand):
                return -self._value(operand, values)
            case ast.BinOp(left, operator, right):
                return _ufunc(_OPERATORS[type(operator)])(self._value(left, values), self._value(right, values))
            case ast.Call(ast.Name(name), arguments):
                return _FUNCTIONS[name](*(self._value(argument, values) for argument in arguments))
        raise AssertionError(node)


def _interval(node: ast.expr, ends: Mapping[str, Interval]) -> Interval:
    match node:
        case ast.Constant(int() | float() as value):
            return float(value), float(value)
        case ast.Name(name):
            return ends[name]
        case ast.UnaryOp(operand=operand):
            low, high = _interval(operand, ends)
            return -high, -low
        case ast.BinOp(left, operator, right):
            return _combined(_interval(left, ends), operator, _interval(right, ends))
        case ast.Call(ast.Name("round"), [value, *places]):
            digits = int(_interval(places[0], ends)[0]) if places else 0
            low, high = _interval(value, ends)
            return round(low, digits), round(high, digits)
        case ast.Call(ast.Name(name), arguments):
            lows, highs = zip(*(_interval(argument, ends) for argument in arguments), strict=True)
            choose = min if name == "min" else max
            return choose(lows), choose(highs)
    raise AssertionError(node)


def _combined(left: Interval, operator: ast.operator, right: Interval) -> Interval:
    (a, b), (c, d) = left, right
    match operator:
        case ast.Add():
            return a + c, b + d
        case ast.Sub():
            return a - d, b - c
        case ast.Div():
            if c <= 0 <= d:
                return -math.inf, math.inf
            c, d = 1 / d, 1 / c
    products = [x * y if x and y else 0.0 for x in (a, b) for y in (c, d)]  # 0 times infinity: no value is infinite
    return min(products), max(products)


def _ufunc(name: str) -> Callable[..., Any]:
    import numpy as np

    found: Callable[..., Any] = getattr(np, name)
    return found


def _rounded(value: Any, places: Any = 0.0) -> Any:
    import numpy as np

    return np.round(value, int(np.asarray(places).flat[0]))


def _all(name: str) -> Callable[..., Any]:
    return lambda *values: reduce(_ufunc(name), values)


_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": _all("minimum"), "max": _all("maximum"), "round": _rounded}


def _check(node: ast.expr) -> None:
    """Raises NoFormula for anything but what a formula is made of."""
    match node:
        case ast.Constant(value) if (
            isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
        ):
            return
        case ast.Name(name) if name not in _FUNCTIONS and not keyword.iskeyword(name):
            return
        case ast.UnaryOp(ast.USub(), operand):
            return _check(operand)
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            _check(left)
            return _check(right)
        case ast.Call(ast.Name("round"), [value, ast.Constant(places)], []) if (
            isinstance(places, int) and 0 <= places <= 9
        ):
            return _check(value)
        case ast.Call(ast.Name("round"), [value], []):
            return _check(value)
        case ast.Call(ast.Name("min" | "max"), [_, _, *_] as arguments, []):
            for argument in arguments:
                _check(argument)
            return
    raise NoFormula(f"holds something else than columns and sums; {_HINT}")
