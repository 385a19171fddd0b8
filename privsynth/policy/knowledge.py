"""What the constraints of a policy come to: where cells must end, which combinations of them no row has, what contradicts what."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from privsynth.policy.ages import age_range
from privsynth.policy.column import TRUTHS, Column
from privsynth.policy.constraints import Constraint, Derived, Inequality, OneHot, When
from privsynth.policy.constraints.base import Impossible, Rows
from privsynth.policy.constraints.conditions import Cell, Written, condition_of, token_cells, word_cell
from privsynth.policy.constraints.one_hot import truths_of
from privsynth.policy.gaps import Side, gaps_of

NONE = ""  # the category of a group in rows in which no member is true
FINE = 40  # cells of a number in an inequality, as many as codes it may get at most, for the listing of combinations


@dataclass(frozen=True)
class Knowledge:
    """Constraints of a valid policy.

    rows: of the CSVs that they name, by file and columns; digests: SHA-256 of these. columns: of the policy. marks: of each column,
    the texts that stand in place of a value.
    """

    constraints: tuple[Constraint, ...]
    rows: Mapping[tuple[str, ...], Rows]
    digests: Mapping[str, str]
    columns: Mapping[str, Column]
    marks: Mapping[str, tuple[str, ...]]

    def rows_of(self, constraint: Constraint) -> Rows:
        return self.rows[(constraint.reads, *constraint.columns)] if constraint.reads else ()

    @cached_property
    def cuts(self) -> dict[str, tuple[int, ...]]:
        """{column: grid units at which a cell must begin}"""
        found: dict[str, set[int]] = {}
        for constraint in self.constraints:
            for name, unit in constraint.cuts(self.columns, self.rows_of(constraint)):
                found.setdefault(name, set()).add(unit)
        return {name: tuple(sorted(units)) for name, units in found.items()}

    @cached_property
    def named(self) -> frozenset[str]:
        """Modelled columns whose cells a constraint rules out in combination, and the dates at which their ages count."""
        tied = [c for c in self.constraints if not isinstance(c, (Inequality, OneHot, Derived))]
        found = {name for c in tied for name in c.columns if self.columns[name].modelled}
        return frozenset(found | {ages.at for name in found if (ages := self.columns[name].ages)})

    @cached_property
    def coded(self) -> frozenset[str]:
        """Columns that are stored as themselves, since constraints are about their values, not only about missing ones."""
        found = set(self.cuts)
        for _ in self.rising:  # and what lies below, or they would be lifted: as often as the longest chain can need
            found |= {small for small, large, _ in self.rising if large in found}
        return frozenset(found)

    def side(self, name: str, low: int, high: int) -> Side:
        """A column as a side of an inequality. low, high: its bounds in grid units."""
        column = self.columns[name]
        cuts = [*column.in_steps(column.stops), *self.cuts.get(name, ())]
        last_cut = max((cut for cut in cuts if cut <= high), default=-math.inf)
        cut = bool(cuts) or name in self.coded
        return Side(low, high, column.step, column.nullable, cut, last_cut, column.ages is not None, name in self.named)

    @cached_property
    def gaps(self) -> dict[str, str]:
        """{larger column of an inequality that is stored as its gap: the smaller one}, by public bounds."""
        ends = {name: self.columns[name].steps for rule in self.rising for name in rule[:2]}
        return gaps_of(self.rising, {name: self.side(name, *own) for name, own in ends.items() if own})

    def age_bounds(self, name: str) -> tuple[int, int]:
        """The lowest and the highest age of a column that is modelled as an age, in units of `ages`."""
        column = self.columns[name]
        assert column.ages and column.steps
        at = self.columns[column.ages.at]
        assert at.steps
        ruled = any(rule[:2] == (name, column.ages.at) for rule in self.rising)
        return age_range(column.steps, (at.steps[0] // at.a_day, at.steps[1] // at.a_day), ruled)

    @cached_property
    def rising(self) -> list[tuple[str, str, bool]]:
        """Of inequalities, those of two columns as one: (smaller column, larger column, strict)."""
        found: dict[tuple[str, str], bool] = {}
        for small, large, strict in (c.rising for c in self.constraints if isinstance(c, Inequality)):
            found[small, large] = found.get((small, large), False) or strict
        return [(*pair, strict) for pair, strict in found.items()]

    @cached_property
    def derived(self) -> tuple[Derived, ...]:
        """Each behind those that it needs."""
        found = {c.derived: c for c in self.constraints if isinstance(c, Derived)}
        order = TopologicalSorter(
            {name: [n for n in c.needs if n in found] for name, c in found.items()}
        ).static_order()
        return tuple(found[name] for name in order)

    @cached_property
    def groups(self) -> dict[str, OneHot]:
        """{name of the stored column: the columns that it stands for}"""
        return {group_name(c): c for c in self.constraints if isinstance(c, OneHot)}

    @cached_property
    def group_of(self) -> dict[str, str]:
        """{column of a group: name of the stored column}"""
        return {member: name for name, group in self.groups.items() for member in group.one_hot}

    def is_stored(self, name: str) -> bool:
        """False for a column that another one of its group stands for."""
        if name not in self.group_of:
            return True
        members = self.groups[self.group_of[name]].one_hot
        return next(column for column in self.columns if column in members) == name

    def impossible(self, cells: Mapping[str, Sequence[Cell]]) -> Iterator[tuple[Constraint, Impossible]]:
        """What the constraints rule out of these cells of stored columns; those with a column that has none here say nothing.
        A constraint on a column of a group is one on the column that is stored for the group."""
        there = dict(cells)
        for name, group in self.groups.items():
            if name in cells:
                there |= {member: self._as_member(group, member) for member in group.one_hot}
        for constraint in self.constraints:
            own = {name: there[name] for name in constraint.columns if name in there}
            if len(own) == len(set(constraint.columns)):
                for rule in constraint.impossible(own, self.columns, self.rows_of(constraint)):
                    yield constraint, self._on_stored(rule)
                for name in own:
                    yield from ((constraint, rule) for rule in self._ageless(name, cells))

    def _ageless(self, name: str, cells: Mapping[str, Sequence[Cell]]) -> Iterator[Impossible]:
        """A date of birth that is modelled as an age has none where the date at which ages count is missing."""
        ages = self.columns[name].ages
        if ages is not None and ages.at in cells:
            absent, there = (np.array([cell.absent for cell in cells[n]], bool) for n in (ages.at, name))
            yield Impossible((ages.at, name), np.logical_and.outer(absent, ~there))

    def is_yes(self, name: str, text: str | None) -> bool:
        """True for a word that means true in a column of a group."""
        own = truths_of(self.columns[name]) or TRUTHS[0]
        spelled = TRUTHS if self.columns[name].kind == "boolean" and self.columns[name].categories is None else (own,)
        return text in {yes for _, yes in spelled}

    def held(self, name: str, written: Written, cells: Mapping[str, Sequence[Cell]]) -> NDArray[np.bool_]:
        """(cells of the column that is stored for it,) where a condition on a column holds."""
        stored, condition = self.group_of.get(name), condition_of(written, self.columns[name])
        own = cells[name] if stored is None else self._as_member(self.groups[stored], name)
        return np.array([condition.holds(cell) for cell in own], bool)

    def _as_member(self, group: OneHot, member: str) -> list[Cell]:
        """What each cell of a group's column says of one of its members."""
        no, yes = truths_of(self.columns[member]) or ("", "")
        return [
            Cell(absent=True) if c.absent else word_cell(yes if c.text == member else no) for c in group_cells(group)
        ]

    def _on_stored(self, rule: Impossible) -> Impossible:
        names, cells = [self.group_of.get(name, name) for name in rule.columns], rule.cells
        while twice := next((name for name in names if names.count(name) > 1), None):
            a = names.index(twice)
            b = names.index(twice, a + 1)
            cells = np.diagonal(cells, 0, a, b)
            names = [name for i, name in enumerate(names) if i not in (a, b)] + [twice]
        return Impossible(tuple(names), cells)

    def public_cells(self, name: str) -> list[Cell]:
        """The cells of a stored column by public facts, as coarse as constraints allow."""
        if name in self.groups:
            return group_cells(self.groups[name])
        column = self.columns[name]
        cells = [*token_cells(column, self.marks[name])]
        if column.nullable:
            cells.append(Cell(absent=True))
        if column.categorical:
            known = column.public_categories
            if known is None:  # measured or grouped: those that constraints name, and any other
                known = [*self._named(name), "__other__"]
            return [*(word_cell(text) for text in known if text not in self.marks[name]), *cells]
        low, high = self.age_bounds(name) if column.ages else column.steps or (-(2**40), 2**40)
        edges = {low, *(unit for unit in self.cuts.get(name, ()) if low < unit <= high)}
        if any(isinstance(c, Inequality) and name in c.columns for c in self.constraints):
            edges |= {int(unit) for unit in np.linspace(low, high, min(FINE, high - low + 1))}
        ends = sorted(edges)
        return [*(Cell(a, b - 1) for a, b in zip(ends, [*ends[1:], high + 1], strict=True)), *cells]

    def _named(self, name: str) -> list[str]:
        """Texts that constraints name of a column."""
        found: dict[str, None] = {}
        for constraint in self.constraints:
            if isinstance(constraint, When):
                for key, written in (*constraint.when.items(), *constraint.then.items()):
                    if key == name:
                        found |= dict.fromkeys(sorted(condition_of(written, self.columns[name]).texts))
            elif name in constraint.columns and constraint.reads:
                at = constraint.columns.index(name)
                found |= {row[at]: None for row in self.rows_of(constraint) if at < len(row) and row[at]}
        return list(found)


def group_name(group: OneHot) -> str:
    """The name of the column that is stored for a group."""
    return f"__one of {', '.join(group.one_hot)}__"


def group_cells(group: OneHot) -> list[Cell]:
    """One for each member, one for none of them if that may be, and the blank cell."""
    words = [*group.one_hot, *([NONE] if group.at_most else [])]
    return [*(word_cell(word) for word in words), Cell(absent=True)]


def saved_by(knowledge: Knowledge) -> Iterator[str]:
    """What each constraint saves, by public facts: columns that are not measured, and combinations that hold no rows."""
    for constraint in knowledge.constraints:
        if isinstance(constraint, Derived):
            yield f"`{constraint.stated}`: nothing is measured of {constraint.derived}, which is computed"
        elif isinstance(constraint, OneHot):
            yield f"`{constraint.stated}`: {len(constraint.one_hot)} columns are measured as one"
        else:
            yield from _ruled_out(constraint, knowledge)


def _ruled_out(constraint: Constraint, knowledge: Knowledge) -> Iterator[str]:
    names = {knowledge.group_of.get(name, name) for name in constraint.columns if knowledge.columns[name].modelled}
    cells = {name: knowledge.public_cells(name) for name in names}
    rules = [rule for one, rule in knowledge.impossible(cells) if one is constraint]
    if rules:
        held, every = sum(int(rule.cells.sum()) for rule in rules), sum(rule.cells.size for rule in rules)
        yield f"`{constraint.stated}`: {held:,} of {every:,} combinations of values hold no rows, and take no noise"
