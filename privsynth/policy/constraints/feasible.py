"""Which combinations of values constraints leave, without a list of them: by eliminating one column after another.

Cells that all constraints treat alike form classes. The columns that constraints tie together are put into an order in which each
depends on few of those behind it (Koller, Friedman 2009, Probabilistic Graphical Models, section 9.3): so sums over all
combinations, and draws from them, take tables of a few columns only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from privsynth.policy.constraints.base import Impossible

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
MOST_CELLS = 4_000_000  # of one table: columns that depend on each other at once


class TooMany(Exception):
    """Some columns depend on each other in more ways than a table of them can hold."""

    def __init__(self, columns: Sequence[str]):
        super().__init__(*columns)
        self.columns = tuple(columns)


class Step(NamedTuple):
    """One column is eliminated. others: columns behind it on which it depends, by place; table: 1 for what walls leave, axes of the
    others and of the column itself; parent: the step of the first of the others, if there are some."""

    column: int
    others: tuple[int, ...]
    table: Floats
    parent: int | None


@dataclass(frozen=True)
class Component:
    """Columns that constraints tie together, directly or through others. classes: of each column (cells,) the class of each
    cell."""

    columns: tuple[str, ...]
    classes: tuple[Ints, ...]
    steps: tuple[Step, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Classes of each column."""
        return tuple(int(own.max()) + 1 for own in self.classes)

    @property
    def all_alike(self) -> list[Floats]:
        """A weight of 1 for every class."""
        return [np.ones((1, size)) for size in self.sizes]

    def eliminated(self, weights: Sequence[Floats]) -> tuple[list[Floats], NDArray[np.bool_]]:
        """weights: of each column (batch, classes). Returns for each step (batch, others..., classes) the weight of all that is
        decided up to it, each relative to the largest, and (batch,) True where some combination has weight."""
        found: list[Floats] = []
        waiting: list[list[tuple[tuple[int, ...], Floats]]] = [[] for _ in self.steps]
        some = np.ones(len(weights[0]), bool)
        for step, messages in zip(self.steps, waiting, strict=True):
            axes = (*step.others, step.column)
            table = step.table[None] * _spread(weights[step.column], (step.column,), axes)
            for own, message in messages:
                table = table * _spread(message, own, axes)
            found.append(table)
            message = table.sum(-1)
            most = message.reshape(len(message), -1).max(1)
            some &= most > 0
            message = message / np.where(most > 0, most, 1.0).reshape(-1, *[1] * (message.ndim - 1))
            if step.parent is not None:
                waiting[step.parent].append((step.others, message))
        return found, some

    def draw(self, weights: Sequence[Floats], which: Ints, rng: np.random.Generator) -> Ints:
        """(rows, columns) classes by their weights. which: (rows,) the batch of each row. Rows of one batch that agree so far get
        classes in proportion to their weight, up to a rounding."""
        tables, _ = self.eliminated(weights)
        found = np.zeros((len(which), len(self.columns)), np.int64)
        for step, table in zip(reversed(self.steps), reversed(tables), strict=True):
            group = which.copy()
            for other in step.others:
                group = group * self.sizes[other] + found[:, other]
            lines = table.reshape(-1, table.shape[-1])
            reach = np.cumsum(lines, 1)
            order = np.lexsort((rng.random(len(group)), group))
            begin = np.searchsorted(group[order], group[order])
            size = np.searchsorted(group[order], group[order], side="right") - begin
            shift = rng.random(len(lines))[group[order]]
            place = (
                np.arange(len(order)) - begin + shift
            ) / size  # systematic: from 0 to below 1 within the rows of a group
            wanted = place * reach[group[order], -1]
            found[order, step.column] = np.minimum(
                (reach[group[order]] <= wanted[:, None]).sum(1), _last_positive(lines)[group[order]]
            )
        return found

    def margins(self, weights: Sequence[Floats]) -> list[Floats]:
        """(classes,) share of each class of each column, for one batch of weights."""
        tables, _ = self.eliminated(weights)
        joint: dict[int, tuple[tuple[int, ...], Floats]] = {}
        found: list[Floats] = [np.zeros(size) for size in self.sizes]
        for at in reversed(range(len(self.steps))):
            step, table = self.steps[at], tables[at][0]
            given = np.divide(
                table, table.sum(-1, keepdims=True), out=np.zeros_like(table), where=table.sum(-1, keepdims=True) > 0
            )
            if step.parent is not None:
                axes, parent = joint[step.parent]
                given = given * _summed(parent, axes, step.others)[..., None]
            joint[at] = ((*step.others, step.column), given)
            found[step.column] = given.reshape(-1, given.shape[-1]).sum(0)
        return found

    def is_possible(self, weights: Sequence[Floats]) -> NDArray[np.bool_]:
        """(batch,) True where some combination has weight."""
        return self.eliminated(weights)[1]

    def reachable(self, column: str) -> NDArray[np.bool_]:
        """(cells,) True for the cells that some possible row has."""
        at = self.columns.index(column)
        size = self.sizes[at]
        weights = [np.ones((size, other)) for other in self.sizes]
        weights[at] = np.eye(size)
        return np.asarray(self.is_possible(weights)[self.classes[at]])


def _last_positive(lines: Floats) -> Ints:
    """(lines,) the last place with weight."""
    return np.asarray(lines.shape[1] - 1 - (lines[:, ::-1] > 0).argmax(1))


def _spread(array: Floats, own: tuple[int, ...], axes: tuple[int, ...]) -> Floats:
    """(batch, own...) as (batch, axes...), with axes of one where it has none."""
    order = sorted(range(len(own)), key=lambda i: axes.index(own[i]))
    array = np.transpose(array, (0, *(1 + i for i in order)))
    shape = iter(array.shape[1:])
    return array.reshape(len(array), *(next(shape) if axis in own else 1 for axis in axes))


def _summed(joint: Floats, axes: tuple[int, ...], kept: tuple[int, ...]) -> Floats:
    """A joint share, summed over all axes but these, in their order."""
    found = joint.sum(tuple(i for i, axis in enumerate(axes) if axis not in kept))
    left = [axis for axis in axes if axis in kept]
    return np.asarray(np.transpose(found, [left.index(axis) for axis in kept]))


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
    classes = [classes_of(name, rules, sizes[name]) for name in columns]
    first = {name: np.unique(own, return_index=True)[1] for name, own in zip(columns, classes, strict=True)}
    place = {name: at for at, name in enumerate(columns)}
    walls = [
        (tuple(place[n] for n in rule.columns), ~rule.cells[np.ix_(*(first[n] for n in rule.columns))])
        for rule in rules
    ]
    counts = [len(first[name]) for name in columns]
    order, others = _order([set(own) for own, _ in walls], counts)
    steps = []
    for column in order:
        behind = tuple(sorted(others[column], key=order.index))
        axes = (*behind, column)
        if prod(counts[c] for c in axes) > MOST_CELLS:
            raise TooMany([columns[c] for c in axes])
        mine = [(own, left) for own, left in walls if min(own, key=order.index) == column]
        left = reduce(
            np.multiply,
            (_spread(cells[None].astype(float), own, axes)[0] for own, cells in mine),
            np.ones([counts[c] for c in axes]),
        )
        steps.append(Step(column, behind, left, order.index(behind[0]) if behind else None))
    return Component(columns, tuple(classes), tuple(steps))


def _order(walls: list[set[int]], counts: list[int]) -> tuple[list[int], dict[int, set[int]]]:
    """Which column is eliminated after which, each time the one whose table is smallest; and on which of those behind it each
    depends."""
    near = {c: set[int]().union(*(w for w in walls if c in w)) - {c} for c in range(len(counts))}
    order, others = list[int](), dict[int, set[int]]()
    left = set(range(len(counts)))
    while left:
        column = min(left, key=lambda c: (prod(counts[o] for o in near[c]) * counts[c], c))
        others[column] = set(near[column])
        for one in near[column]:
            near[one] |= near[column] - {one}
            near[one].discard(column)
        left.discard(column)
        order.append(column)
    return order, others


def classes_of(name: str, rules: list[Impossible], cells: int) -> Ints:
    """(cells,) class of each cell of a column, in the order of their first cells."""
    mine = [rule for rule in rules if name in rule.columns]
    lines = [np.moveaxis(rule.cells, rule.columns.index(name), 0).reshape(cells, -1) for rule in mine]
    first: dict[bytes, int] = {}
    return np.array(
        [first.setdefault(b"".join(line[i].tobytes() for line in lines), len(first)) for i in range(cells)], np.int64
    )
