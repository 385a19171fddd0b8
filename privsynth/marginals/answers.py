"""Noisy tables as they were released, with their stated noise: what a model keeps of its answers beside what it made of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from privsynth.loading import Damaged, Tensors, take

Columns = tuple[int, ...]
# of those that are loaded: whatever is computed from them stays finite in single precision, which kernels rely on
MAX_TABLES, LARGEST_SHARE, LARGEST_SIGMA = 30_000, 1e6, 1e9


@dataclass(frozen=True)
class Noisy:
    """One released table as shares of rows. sigma: noise of one share."""

    share: np.ndarray
    sigma: float


Tables = dict[Columns, Noisy]


def to_tensors(answers: Tables) -> Tensors:
    """Pairs of columns, for a file; nothing if there are none."""
    if not answers:
        return {}
    return {
        "noisy": np.concatenate([table.share.ravel() for table in answers.values()]).astype(np.float32),
        "noisy_columns": np.array(list(answers), np.int32),
        "noisy_sigma": np.array([table.sigma for table in answers.values()]),
    }


def from_tensors(tensors: Tensors, sizes: tuple[int, ...]) -> Tables:
    """From what `to_tensors` returned; none in models of versions that did not keep them. Raises Damaged."""
    if "noisy_columns" not in tensors:
        return {}
    lines = take(tensors, "noisy_columns", "int32", (None, 2), 0, len(sizes) - 1).tolist()
    if len(lines) > MAX_TABLES:
        raise Damaged(f"tensor `noisy_columns` names more than {MAX_TABLES:,} tables")
    if len({tuple(line) for line in lines}) < len(lines) or any(one >= other for one, other in lines):
        raise Damaged("tensor `noisy_columns` must name each pair of columns once, the first of them first")
    shapes = [(sizes[one], sizes[other]) for one, other in lines]
    ends = np.cumsum([prod(shape) for shape in shapes], dtype=np.int64)
    share = take(tensors, "noisy", "float32", (int(ends[-1]) if lines else 0,), -LARGEST_SHARE, LARGEST_SHARE)
    sigma = take(tensors, "noisy_sigma", "float64", (len(lines),), np.finfo(float).tiny, LARGEST_SIGMA)
    parts = np.split(share, ends[:-1]) if lines else []
    return {
        (one, other): Noisy(part.reshape(shape).astype(float), float(s))
        for (one, other), part, shape, s in zip(lines, parts, shapes, sigma, strict=True)
    }
