"""Saved models with something changed, at random: a leaf of model.json, a tensor, or bytes of the file."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

NASTY: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 20, 2**31, 2_000_000_000, 2**53, 2**62, -(2**62), 2**63, 10**30, -0.0, 0.5, 1.5,
    1e-320, 1e-9, 1e300, -1e300, float("nan"), float("inf"), -float("inf"), "", "x", "x" * 100_000, "#" * 1_000_000,
    "#?" * 400, "../../../tmp/x", "/etc/passwd", "\0", "\ud800", "\u202e", "\x1b[31m", "%", "%Q", "%s", "%9999999d",
    "%n" * 90, "%c" * 90, "__rows__", "__other__", "__class__", "seed_instance", "binary", "zip", "name", "uuid", "email",
    "date", "integer", "category", "boolean", "datetime", "time", "duration", "number", "timestamp[ns]", "int8", "bool",
    "timestamp[us, tz=Nowhere/Land]", "decimal128(3, 2)", "double", "dictionary", "date32[day]", "S1000000000", "V1000000000",
    "datetime64[ns]", "complex128", "Int8", "Nowhere/Land", "Asia/Tokyo", "fr", "%d %b %y", "%H", "iso", "ascii", "utf-7", ";",
    ",", "€", "12:00", "<0,01", "keep", "regenerate", "ctgan", "marginals", "9" * 30, "-1", "1\n", "١", [], {}, [[]],
    [None], {"a": 1}, [[[[[[[[[[1]]]]]]]]]],
]  # fmt: skip
EXTREMES = [
    float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1.0, 2.0, 1e-300, 1e6, 1e30, 3e38, 1e300, -1e300, 5e-324, 2e9,
    -2e9, 2**31 - 1, -(2**31), 17, 100, 1e5,
]  # fmt: skip
TYPES = ["float32", "float64", "float16", "int32", "int64", "int16", "uint8", "uint64", "bool"]


@dataclass(frozen=True)
class Saved:
    """The files of a model."""

    meta: Any
    tensors: dict[str, np.ndarray]
    raw: bytes

    @classmethod
    def read(cls, folder: Path) -> Saved:
        meta = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "model.safetensors")
        return cls(meta, tensors, (folder / "model.safetensors").read_bytes())

    def mutant(self, seed: int, folder: Path) -> None:
        """Writes the mutant of this number."""
        rng = random.Random(seed)
        meta, tensors, raw = copy.deepcopy(self.meta), dict(self.tensors), self.raw
        kinds = rng.choices(["json", "tensor", "bytes"], [10, 12, 1], k=rng.choice([1, 1, 1, 2, 3]))
        others = [value for column in self.meta["domain"]["columns"] for value in column.values()]
        for kind in kinds:
            if kind == "json":
                change_json(meta, others, rng)
            elif kind == "tensor":
                _change_tensors(tensors, rng)
        if "tensor" in kinds:
            save_file(
                {name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / "model.safetensors"
            )
            raw = (folder / "model.safetensors").read_bytes()
        text = json.dumps(meta).encode()
        if "bytes" in kinds:
            raw, text = (_damaged(raw, rng), text) if rng.random() < 0.8 else (raw, _damaged(text, rng))
        (folder / "model.safetensors").write_bytes(raw)
        (folder / "model.json").write_bytes(text)


def change_json(meta: Any, others: list[Any], rng: random.Random) -> None:
    """Goes down from the root, each key as likely as any other, and changes what is there. others: values of other places."""
    holder, key, at = meta, None, meta
    while isinstance(at, (dict, list)) and at and (key is None or rng.random() < 0.9):
        holder = at
        key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
        at = holder[key]
    change = rng.choice([_replaced, _replaced, _replaced, _nudged, _nudged, _removed, _added, _lengthened, _moved])
    change(holder, key, others, rng)


def _replaced(holder: Any, key: Any, others: list[Any], rng: random.Random) -> None:
    holder[key] = copy.deepcopy(rng.choice(NASTY))


def _nudged(holder: Any, key: Any, others: list[Any], rng: random.Random) -> None:
    value = holder[key]
    if isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, (int, float)):
        holder[key] = rng.choice([value + 1, value - 1, value * 10, -value, value / 2, value * 1_000_000, value // 1])
    elif isinstance(value, str):
        holder[key] = rng.choice([value + "x", value[1:], value.upper(), value * 2])
    elif isinstance(value, list):
        holder[key] = rng.choice([value[::-1], value[1:], value[:-1], value[:1]])


def _removed(holder: Any, key: Any, others: list[Any], rng: random.Random) -> None:
    del holder[key]


def _added(holder: Any, key: Any, others: list[Any], rng: random.Random) -> None:
    if isinstance(holder, dict):
        holder[rng.choice(["x", "\x1b[0m", "name", "seed", "__init__"])] = copy.deepcopy(rng.choice(NASTY))
    else:
        holder.insert(key, copy.deepcopy(rng.choice([*NASTY, holder[key]])))


def _lengthened(holder: Any, key: Any, others: list[Any], rng: random.Random) -> None:
    for at in (holder[key], holder):
        if isinstance(at, list):
            at.extend(copy.deepcopy(at) * rng.choice([1, 5, 1000 if len(at) < 20 else 1]))
            return
    holder[key] = [holder[key]] * rng.choice([2, 50])


def _moved(holder: Any, key: Any, others: list[Any], rng: random.Random) -> None:
    """What stands somewhere else, in its place: of the right kind more often than not."""
    brothers = list(holder.values()) if isinstance(holder, dict) else list(holder)
    holder[key] = copy.deepcopy(rng.choice(rng.choice([brothers, others])))


Change = Callable[[np.ndarray, random.Random], np.ndarray]


def _change_tensors(tensors: dict[str, np.ndarray], rng: random.Random) -> None:
    name, other = rng.choice(list(tensors)), rng.choice(list(tensors))
    fate = rng.random()
    if fate < 0.75 and tensors[name].size:
        with np.errstate(all="ignore"):
            tensors[name] = rng.choice(CHANGES)(tensors[name].copy(), rng)
    elif fate < 0.80:
        tensors[name], tensors[other] = tensors[other], tensors[name]
    elif fate < 0.85:
        del tensors[name]
    elif fate < 0.90:
        tensors[rng.choice([name + "x", other, "model.groups.0", "model.groups.1", "within.columns", "x"])] = (
            tensors.pop(name)
        )
    elif fate < 0.97:
        j = rng.randrange(6)
        size = tensors.get(f"codec.{j}.raw", np.zeros(7)).size
        groups = np.arange(size) // 2 if rng.random() < 0.5 else np.full(size, 2_000_000_000)
        tensors[f"model.groups.{j}"] = groups.astype(np.int32)
    else:
        tensors[name] = np.zeros((0, 2**40), tensors[name].dtype)


def _some(value: np.ndarray, rng: random.Random) -> np.ndarray:
    """One, some or all entries at an extreme."""
    at = rng.choices(range(value.size), k=rng.choice([1, 1, 5, value.size]))
    flat = value.ravel()
    flat[at] = np.array(rng.choice(EXTREMES)).astype(value.dtype)
    return flat.reshape(value.shape)


def _shifted(value: np.ndarray, rng: random.Random) -> np.ndarray:
    """Numbers a little beside what they were, as codes that lie just outside."""
    step = rng.choice([-1, 1, 2])
    where = np.random.default_rng(rng.randrange(2**32)).random(value.shape) < rng.choice([0.1, 1.0])
    return np.where(where, value + np.array(step, value.dtype), value).astype(value.dtype)


def _scaled(value: np.ndarray, rng: random.Random) -> np.ndarray:
    return (value * rng.choice([-1, 0, 1.001, 10, 1e5, 1e20])).astype(value.dtype)


def _shuffled(value: np.ndarray, rng: random.Random) -> np.ndarray:
    """The same numbers in other places: they still sum to what they did."""
    return np.random.default_rng(rng.randrange(2**32)).permutation(value.ravel()).reshape(value.shape)


def _typed(value: np.ndarray, rng: random.Random) -> np.ndarray:
    return value.astype(rng.choice(TYPES))


def _shaped(value: np.ndarray, rng: random.Random) -> np.ndarray:
    return rng.choice(
        [value.ravel(), value[None], value[..., None], value.T, value[:0], value[:-1], np.repeat(value, 2, 0)]
    )


CHANGES: list[Change] = [_some, _some, _some, _shifted, _shifted, _scaled, _shuffled, _shuffled, _typed, _shaped]


def _damaged(raw: bytes, rng: random.Random) -> bytes:
    cut = rng.randrange(len(raw))
    if rng.random() < 0.3:
        return rng.choice([raw[:cut], raw + raw[:100], b"", raw[:8], b"\xff" * 8 + raw[8:]])
    changed = bytearray(raw)
    for _ in range(rng.choice([1, 1, 10])):  # half of them in the header
        changed[rng.randrange(min(len(raw), rng.choice([2000, len(raw)])))] = rng.randrange(256)
    return bytes(changed)
