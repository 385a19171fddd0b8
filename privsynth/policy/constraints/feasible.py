"""Which combinations of values constraints leave: found by listing them, over classes of cells that all constraints treat alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from privsynth.policy.constraints.base import Impossible

Ints = NDArray[np.int64]
MOST_COMBINATIONS = 400_000  # of classes, of the columns that constraints tie together


class TooMany(Exception):
    """The columns that are tied together have more possible combinations than can be listed."""

    def __init__(self, columns: Sequence[str]):
        super().__init__(*columns)
        self.columns = tuple(columns)


@dataclass(frozen=True)
class Component:
    """Columns that constraints tie together, directly or through others.

    classes: of each column (cells,) the class of each cell; cells of a class are treated alike. possible: (combinations, columns)
    the classes of every combination that no constraint rules out; none if they contradict each other.
    """

    columns: tuple[str, ...]
    classes: tuple[Ints, ...]
    possible: Ints

    @property
    def sizes(self) -> tuple[int, ...]:
        """Classes of each column."""
        return tuple(int(own.max()) + 1 for own in self.classes)

    def reachable(self, column: str) -> NDArray[np.bool_]:
        """(cells,) True for the cells that some possible row has."""
        place = self.columns.index(column)
        found = np.zeros(self.sizes[place], bool)
        found[self.possible[:, place]] = True
        return found[self.classes[place]]


def components(impossible: Iterable[Impossible], sizes: Mapping[str, int]) -> list[Component]:
    """sizes: number of cells of each column. Raises TooMany."""
    rules = [rule for rule in impossible if rule.cells.any()]
    groups: list[set[str]] = []
    for rule in rules:
        joined = set(rule.columns).union(*(group for group in groups if group & set(rule.columns)))
        groups = [group for group in groups if not group & joined] + [joined]
    order = {name: at for at, name in enumerate(sizes)}
    found = []
    for group in groups:
        columns = tuple(sorted(group, key=order.__getitem__))
        found.append(_component(columns, [rule for rule in rules if set(rule.columns) <= group], sizes))
    return found


def _component(columns: tuple[str, ...], rules: list[Impossible], sizes: Mapping[str, int]) -> Component:
    classes = {name: classes_of(name, rules, sizes[name]) for name in columns}
    first = {name: np.unique(own, return_index=True)[1] for name, own in classes.items()}  # a cell of each class
    small = [(rule.columns, rule.cells[np.ix_(*(first[name] for name in rule.columns))]) for rule in rules]
    placed: list[str] = []
    possible = np.zeros((1, 0), np.int64)
    while len(placed) < len(columns):
        name = _next(columns, placed, rules)
        size = len(first[name])
        if len(possible) * size > MOST_COMBINATIONS * 4:
            raise TooMany(columns)
        possible = np.hstack([np.repeat(possible, size, 0), np.tile(np.arange(size), len(possible))[:, None]])
        placed.append(name)
        for own, cells in small:
            if name in own and set(own) <= set(placed):
                possible = possible[~cells[tuple(possible[:, placed.index(c)] for c in own)]]
        if len(possible) > MOST_COMBINATIONS:
            raise TooMany(columns)
    return Component(columns, tuple(classes[name] for name in columns), possible[:, [placed.index(c) for c in columns]])


def _next(columns: tuple[str, ...], placed: list[str], rules: list[Impossible]) -> str:
    """The column that most constraints tie to those placed: so that combinations are ruled out as early as they can be."""
    left = [name for name in columns if name not in placed]
    tied = {
        name: sum(name in rule.columns and bool(set(rule.columns) & set(placed)) for rule in rules) for name in left
    }
    return max(left, key=lambda name: tied[name])


def classes_of(name: str, rules: list[Impossible], cells: int) -> Ints:
    """(cells,) class of each cell of a column, in the order of their first cells."""
    mine = [rule for rule in rules if name in rule.columns]
    lines = [np.moveaxis(rule.cells, rule.columns.index(name), 0).reshape(cells, -1) for rule in mine]
    first: dict[bytes, int] = {}
    return np.array(
        [first.setdefault(b"".join(line[i].tobytes() for line in lines), len(first)) for i in range(cells)], np.int64
    )
