"""Constraints in codes: which cells they treat alike, and which combinations of codes no row has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from privsynth.encoding.domain import ColumnDomain
from privsynth.encoding.possible import Wall
from privsynth.loading import Damaged, Tensors, take
from privsynth.policy.constraints.base import MOST_WAYS, Impossible
from privsynth.policy.constraints.chains import Ordered, Rule, falling
from privsynth.policy.constraints.conditions import Cell
from privsynth.policy.constraints.feasible import classes_of
from privsynth.policy.knowledge import Knowledge

Ints = NDArray[np.int64]
MAX_WALLS, MAX_WALL_CELLS = 50_000, 200_000_000  # of a model that is loaded


def alike(knowledge: Knowledge, columns: Sequence[ColumnDomain]) -> dict[str, Ints]:
    """{column: (cells, the blank one last) the class of each, for columns that constraints distinguish}. A bin holds cells of one
    class only, so that constraints are exact on codes."""
    cells = {c.name: c.as_cells(knowledge.columns.get(c.name)) for c in columns if c.clock_of is None}
    first, place = dict[str, list[Cell]](), dict[str, Ints]()  # of numbers one cell stands for all between two cuts
    for name, own in cells.items():
        cuts = np.array(knowledge.cuts.get(name, ()), np.int64)
        kinds = [
            cell if cell.text is not None or cell.absent else int(np.searchsorted(cuts, cell.low, "right"))
            for cell in own
        ]
        at = {kind: i for i, kind in enumerate(dict.fromkeys(kinds))}
        place[name] = np.array([at[kind] for kind in kinds], np.int64)
        first[name] = [own[kinds.index(kind)] for kind in at]
    rules = [rule for _, rule in knowledge.impossible(first)]
    ruled = {name for rule in rules for name in rule.columns}
    return {name: classes_of(name, rules, len(first[name]))[place[name]] for name in ruled}


def walls_of(
    knowledge: Knowledge, columns: Sequence[ColumnDomain], cells: Mapping[str, Sequence[Cell]], rules: Sequence[Rule]
) -> tuple[Wall, ...]:
    """The constraints on codes. cells: of each column what its codes stand for. rules: inequalities between columns that are stored
    as themselves."""
    place = {column.name: j for j, column in enumerate(columns)}
    found = [rule for _, rule in knowledge.impossible(cells)]
    ruled = {name for rule in found for name in rule.columns}
    found += [
        Impossible((column.name,), np.array([cell.absent for cell in cells[column.name]], bool))
        for column in columns if column.name in ruled and not column.nullable
    ]  # fmt: skip
    ends = {
        c.name: Ordered(cells[c.name], c.step, c.low, c.high, c.nullable, c.fixed)
        for c in columns if any(c.name in rule[:2] for rule in rules)
    }  # fmt: skip
    found += falling(rules, ends)
    return tuple(_wall([place[name] for name in rule.columns], rule.cells) for rule in found if rule.cells.any())


def _wall(columns: list[int], cells: NDArray[np.bool_]) -> Wall:
    order = np.argsort(columns)
    return Wall(tuple(columns[i] for i in order), np.ascontiguousarray(np.transpose(cells, order)))


def to_tensors(walls: Sequence[Wall]) -> Tensors:
    if not walls:
        return {}
    columns = np.full((len(walls), MOST_WAYS), -1, np.int32)
    for line, wall in zip(columns, walls, strict=True):
        line[: len(wall.columns)] = wall.columns
    return {
        "walls.columns": columns,
        "walls.cells": np.concatenate([wall.cells.ravel() for wall in walls]).astype(np.uint8),
    }


def from_tensors(tensors: Tensors, sizes: Sequence[int]) -> tuple[Wall, ...]:
    """From what `to_tensors` returned. Raises Damaged."""
    if "walls.columns" not in tensors:
        return ()
    lines = take(tensors, "walls.columns", "int32", (None, MOST_WAYS), -1, len(sizes) - 1)
    columns = [tuple(c for c in line if c >= 0) for line in lines.tolist()]
    counts = [int(np.prod([sizes[c] for c in own], dtype=object)) for own in columns]
    if (
        len(columns) > MAX_WALLS
        or sum(counts) > MAX_WALL_CELLS
        or any(list(own) != sorted(set(own)) or not own for own in columns)
    ):
        raise Damaged("tensor `walls.columns` must name one to four different columns of each, in order")
    cells = take(tensors, "walls.cells", "uint8", (sum(counts),), 0, 1)
    parts = np.split(cells.astype(bool), np.cumsum(counts)[:-1])
    return tuple(Wall(own, part.reshape([sizes[c] for c in own])) for own, part in zip(columns, parts, strict=True))
