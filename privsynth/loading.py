"""Reads model files that anybody may have edited. Each tensor is checked before it is used, because compiled kernels use
codes as array indices without bounds checks. `sampling/saved.py` defines what model.json may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

MAX_JSON, MAX_TENSORS = 2**24, 2**32  # bytes of a file
MAX_PARTS, MAX_KEYS = 200_000, 200  # objects and lists of JSON text; of an object

Checked = TypeVar("Checked", bound=BaseModel)
Tensors = dict[str, np.ndarray]
Limit = float | np.ndarray  # one for all values, or one for each, as far as the shapes broadcast


class Damaged(ValueError):
    """What is wrong with a file, described without any value from it."""


def check_file(path: Path, most: int) -> None:
    """Raises Damaged unless this is a regular file (a pipe might never end) of at most `most` bytes."""
    if not path.is_file():
        raise Damaged(f"there is no file `{path.name}`")
    if path.stat().st_size > most:
        raise Damaged(f"`{path.name}` has more than {most:,} bytes")


def read_json(path: Path, kind: type[Checked]) -> Checked:
    """Raises OSError or Damaged."""
    check_file(path, MAX_JSON)
    raw = path.read_bytes()
    try:
        _check_extent(from_json(raw))
    except ValueError as error:
        raise Damaged(f"`{path.name}` is not JSON text of a model: {error}") from None
    return checked(kind, raw, path.name)


def _check_extent(read: Any) -> None:
    """Raises ValueError for what is larger than any model: pydantic would collect every wrong key before it reports one."""
    left: list[Any] = [[read]]  # what JSON text holds: objects and lists
    parts = 0
    while left:
        part = left.pop()
        parts += 1
        if parts > MAX_PARTS or (isinstance(part, dict) and len(part) > MAX_KEYS):
            raise ValueError("too many parts")
        left += [item for item in (part.values() if isinstance(part, dict) else part) if isinstance(item, (dict, list))]


def read_tensors(path: Path) -> Tensors:
    """Raises OSError or Damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    check_file(path, MAX_TENSORS)
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")  # its length in bytes; it is JSON text as well
    if header > MAX_JSON:
        raise Damaged(f"`{path.name}` has a header of more than {MAX_JSON:,} bytes")
    try:
        return load_file(path)
    except (SafetensorError, KeyError, TypeError, ValueError):  # a damaged file, or a type that numpy does not have
        raise Damaged(f"`{path.name}` is not a whole safetensors file of plain numbers") from None


def part(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def take(
    tensors: Tensors, name: str, dtype: str, shape: tuple[int | None, ...], low: Limit = -np.inf,
    high: Limit = np.inf,
) -> np.ndarray:  # fmt: skip
    """The tensor of this name, checked: its type, its shape (None: any length), and that all values lie in [low, high].

    Raises Damaged.
    """
    if name not in tensors:
        raise Damaged(f"tensor `{name}` is missing")
    tensor = tensors[name]
    if tensor.dtype != np.dtype(dtype):
        raise Damaged(f"tensor `{name}` must be of type {dtype}")
    if tensor.ndim != len(shape) or any(n not in (m, None) for m, n in zip(tensor.shape, shape, strict=True)):
        wanted = " x ".join("any" if n is None else f"{n:,}" for n in shape)
        raise Damaged(f"tensor `{name}` must be of shape {wanted}: the tensors have inconsistent shapes")
    if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
        raise Damaged(f"tensor `{name}` must hold finite numbers only")
    if not np.all((tensor >= low) & (tensor <= high)):
        limits = " that exist"
        if not isinstance(low, np.ndarray) and not isinstance(high, np.ndarray):
            limits = f" from {low:g} to {high:g}"
        raise Damaged(f"tensor `{name}` must hold {'codes' if tensor.dtype.kind == 'i' else 'numbers'}{limits} only")
    return tensor


def take_shares(tensors: Tensors, name: str, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """As `take`, for shares that sum to 1. Raises Damaged."""
    shares = take(tensors, name, dtype, shape, 0.0, 1.0 + 1e-6)
    if abs(float(shares.sum(dtype=np.float64)) - 1) > 1e-5:
        raise Damaged(f"tensor `{name}` must hold shares that sum to 1")
    return shares


def no_others(tensors: Tensors, known: Tensors) -> None:
    """Raises Damaged if there are tensors that the model does not use."""
    strange = sorted(tensors.keys() - known.keys())
    if strange:
        raise Damaged(f"tensor `{plain(strange[0])}` does not belong to this model")


def checked(kind: type[Checked], raw: bytes | dict[str, Any], what: str) -> Checked:
    """JSON text, or a dict read from it, as a pydantic model. Raises Damaged, which names the first wrong key."""
    try:
        return kind.model_validate(raw) if isinstance(raw, dict) else kind.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(plain(str(key)) for key in first["loc"])
        rule = first["msg"].removeprefix("Value error, ")
        raise Damaged(f"`{what}`{f', `{place}`' if place else ''}: {rule}") from None


def plain(text: str) -> str:
    """Text from a file as it may be shown on a terminal: without control characters, and short."""
    shown = ascii(text)[1:-1]
    return shown if len(shown) <= 60 else shown[:60] + "..."
