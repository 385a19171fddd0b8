"""What is wrong with the constraints of a policy: names, files, cycles, and rules that no row can meet."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError
from itertools import islice
from pathlib import Path

import numpy as np

from privsynth.errors import PolicyError, Problem
from privsynth.policy.beside import Lines, lines_of
from privsynth.policy.column import Column
from privsynth.policy.constraints import Combinations, Constraint, Derived, Inequality, OneHot, Unique, When
from privsynth.policy.constraints.base import Impossible, Rows
from privsynth.policy.constraints.chains import Ordered, falling
from privsynth.policy.constraints.conditions import END, Cell, Condition, condition_of
from privsynth.policy.constraints.feasible import Component, TooMany, components
from privsynth.policy.knowledge import Knowledge
from privsynth.policy.lifting import lifting
from privsynth.policy.model import PolicyModel
from privsynth.policy.reach import beyond_bounds

Violation = tuple[tuple[str | int, ...], str, str]  # (place in the policy, rule, hint)
Marks = Mapping[str, tuple[str, ...]]
MOST_CUTS = 1_500  # of one column
NOTHING = Knowledge((), {}, {}, {}, {})


def knowledge_of(
    policy: PolicyModel, marks: Marks, folder: Path | None, sound: bool = True
) -> tuple[Knowledge, list[Violation]]:  # fmt: skip
    """The constraints with their files, and all that is wrong with them; inequalities alone are checked by `rules`. sound: False if
    these found something, so that contradictions cannot be told."""
    wrong = [v for i, c in enumerate(policy.constraints) for v in _alone(i, c, policy.columns)]
    wrong += _derivations(policy.constraints) if not wrong else []
    wrong += [] if wrong else [
        (place, told, "mend the formula or the bounds") for place, told, never in beyond_bounds(policy) if never
    ]  # fmt: skip
    if wrong:
        return NOTHING, wrong
    rows, digests = dict[tuple[str, ...], Rows](), dict[str, str]()
    for i, constraint in enumerate(policy.constraints):
        if constraint.reads is None:
            continue
        try:
            lines = lines_of(constraint.reads, folder, "constraint")
            own = rows[(constraint.reads, *constraint.columns)] = _ordered(lines, constraint)
            digests[constraint.reads] = lines.sha256
            wrong += [
                (("constraints", i, "file"), f"{constraint.reads}: {rule}", hint)
                for rule, hint in _unfit(constraint, own, policy.columns)
            ]
        except PolicyError as error:
            wrong += [(("constraints", i, "file"), f"{p.place}: {p.rule}", p.hint) for p in error.problems]
    if wrong:
        return NOTHING, wrong
    known = tuple(c for c in policy.constraints if set(c.columns) <= set(policy.columns))
    found = Knowledge(known, rows, digests, policy.columns, marks)
    wrong += _edges(found, policy) or (_impossible(found, policy) if sound else ())
    return found, wrong


def _alone(index: int, constraint: Constraint, columns: Mapping[str, Column]) -> Iterator[Violation]:
    """What is wrong with one constraint by itself."""
    if isinstance(constraint, Inequality):
        if any(columns[name].computed for name in constraint.columns if name in columns):
            rule = "an inequality cannot be about a column that is derived from others"
            yield ("constraints", index, "inequality"), rule, "state it about the columns that it is derived from"
        return
    place = ("constraints", index)
    unknown = [name for name in constraint.columns if name not in columns]
    for name in unknown:
        near = difflib.get_close_matches(name, list(columns), 1)
        yield place, f"column {name!r} is not declared", f"did you mean {near[0]!r}?" if near else "declare it"
    if unknown:
        return
    free = isinstance(constraint, Unique)
    own = constraint.derived if isinstance(constraint, Derived) else None
    for name in constraint.columns:
        if name == own or free or columns[name].modelled or (own and columns[name].computed):
            continue
        if columns[name].computed:
            rule = f"column {name!r} is derived from others, so it cannot be ruled by itself"
            yield place, rule, "state the rule about the columns that it is derived from"
        else:
            yield place, f"column {name!r} is not kept", "keep it, or drop the constraint"
    for key, rule, hint in constraint.broken(columns):
        yield (*place, *key), rule, hint


def _derivations(constraints: Sequence[Constraint]) -> Iterator[Violation]:
    """A column is derived once, from columns that do not come from it; and is in one group of `one_hot` at most."""
    seen: dict[str, str] = {}
    for i, constraint in enumerate(constraints):
        names = [constraint.derived] if isinstance(constraint, Derived) else []
        for name in [*names, *(constraint.one_hot if isinstance(constraint, OneHot) else ())]:
            key = "derived" if names else "one_hot"
            if seen.setdefault(name, key) == key and list(seen).count(name) and (name, key) in _said(constraints[:i]):
                yield ("constraints", i, key), f"column {name!r} is in two constraints of this kind", "keep one of them"
    found = Knowledge(tuple(constraints), {}, {}, {}, {})
    try:
        _ = found.derived
    except CycleError:
        at = next(i for i, c in enumerate(constraints) if isinstance(c, Derived))
        yield (
            ("constraints", at, "derived"),
            "columns are derived from each other in a circle",
            "break it: one of them must be measured",
        )


def _said(constraints: Sequence[Constraint]) -> set[tuple[str, str]]:
    return {(c.derived, "derived") for c in constraints if isinstance(c, Derived)} | {
        (name, "one_hot") for c in constraints if isinstance(c, OneHot) for name in c.one_hot
    }


def _ordered(lines: Lines, constraint: Constraint) -> Rows:
    """The rows of a file with its columns in the constraint's order (of a derived one, what it is derived from comes first)."""
    wanted = (*constraint.needs, constraint.derived) if isinstance(constraint, Derived) else constraint.columns
    if sorted(lines.header) != sorted(wanted):
        hint = f"let the first line be `{','.join(wanted)}`"
        raise PolicyError(Problem(str(constraint.reads), "has another header than the constraint has columns", hint))
    at = [lines.header.index(name) for name in wanted]
    rows = tuple(tuple(row[i] for i in at) for row in lines.rows if len(row) == len(at))
    if len(rows) < len(lines.rows) or not rows:
        raise PolicyError(
            Problem(str(constraint.reads), "a line does not have a cell for each column", "mend the file")
        )
    return rows


def _unfit(constraint: Constraint, rows: Rows, columns: Mapping[str, Column]) -> Iterator[tuple[str, str]]:
    """Values in a file that its columns cannot have."""
    names = (*constraint.needs, constraint.derived) if isinstance(constraint, Derived) else constraint.columns
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        column = columns[name]
        for value in dict.fromkeys(values):
            try:
                if value and not _within(condition_of([value], column), column):
                    raise ValueError(f"{value!r} is outside of the column's bounds")
            except ValueError as error:
                yield f"column {name!r}: {error}", "mend the file, or declare the value"
                break
    if isinstance(constraint, Derived):
        first: dict[tuple[str, ...], str] = {}
        if any(first.setdefault(row[:-1], row[-1]) != row[-1] for row in rows):
            yield (
                f"gives two values of {constraint.derived!r} for the same {', '.join(constraint.needs)}",
                "keep one line of each",
            )
    if isinstance(constraint, Combinations) and len(rows) > 200_000:
        yield "has more than 200,000 lines", "state fewer combinations"


def _within(condition: Condition, column: Column) -> bool:
    """False for numbers that are beyond the bounds."""
    low, high = column.steps or (-END, END)
    return all(low <= a and b <= high for a, b in condition.ranges)


def _edges(known: Knowledge, policy: PolicyModel) -> list[Violation]:
    """Conditions that cells cannot respect: on the time of day of a datetime, and more than a column can have."""
    found: list[Violation] = [
        (("constraints",), f"constraints divide {name!r} at more than {MOST_CUTS:,} values", "name it in coarser ones")
        for name, units in known.cuts.items() if len(units) > MOST_CUTS
    ]  # fmt: skip
    for i, constraint in enumerate(policy.constraints):
        if isinstance(constraint, (Inequality, Unique, OneHot, Derived)):
            continue
        for name, unit in constraint.cuts(policy.columns, known.rows_of(constraint)):
            if policy.columns[name].kind == "datetime" and unit % policy.columns[name].a_day:
                rule = f"a condition on the datetime {name!r} divides a day, and days are what is modelled"
                found.append((("constraints", i), rule, "state whole days"))
                break
    return found


def _impossible(known: Knowledge, policy: PolicyModel) -> list[Violation]:
    """What no row could meet, or no drawn row would."""
    return [*_contradictions(known, policy)] or [*lifting(known, policy)]


def _contradictions(known: Knowledge, policy: PolicyModel) -> Iterator[Violation]:
    """Constraints are added one after another: the first after which no row is left, or none that meets its own condition, or
    no value of a column, contradicts the ones before it."""
    modelled = {name for c in known.constraints for name in c.columns if policy.columns[name].modelled} | known.named
    names = dict.fromkeys(known.group_of.get(name, name) for name in sorted(modelled))
    cells = {name: known.public_cells(name) for name in names}
    sizes = {name: len(own) for name, own in cells.items()}
    rules = [*known.impossible(cells)]
    try:
        whole = components([*(rule for _, rule in rules), *_falling(known.constraints, known, cells)], sizes)
    except TooMany as error:
        rule = f"constraints tie columns {', '.join(map(repr, error.columns))} together in more ways than can be listed"
        yield ("constraints",), rule, "state fewer of them, or with coarser conditions"
        return
    if not _hopeless(known, whole, cells, len(known.constraints)):
        return
    for i, constraint in enumerate(known.constraints):
        some = known.constraints[: i + 1]
        own = [rule for c, rule in rules if any(c is one for one in some)]
        found = components([*own, *_falling(some, known, cells)], sizes)
        if reason := _hopeless(known, found, cells, i + 1):
            earlier = f"together with what is stated before it, {reason}" if i else reason
            yield (
                ("constraints", list[Constraint](policy.constraints).index(constraint)),
                f"`{constraint.stated}` cannot hold: {earlier}",
                ("change one of the constraints: they contradict each other, or the columns' values"),
            )
            return


def _falling(
    constraints: Sequence[Constraint], known: Knowledge, cells: Mapping[str, Sequence[Cell]]
) -> Iterator[Impossible]:
    """What inequalities rule out. Of births that are modelled as ages they rule out nothing here (`lifting`)."""
    of = dict[str, Ordered]()
    for name, column in known.columns.items():
        if name in cells and not column.categorical and not column.ages:
            low, high = column.steps or (-math.inf, math.inf)
            fixed = name in known.cuts or bool(column.stops)
            of[name] = Ordered(cells[name], column.step, low, high, column.nullable, fixed)
    yield from falling([c.rising for c in constraints if isinstance(c, Inequality) and set(c.columns) <= set(of)], of)


def _hopeless(known: Knowledge, found: list[Component], cells: Mapping[str, Sequence[Cell]], count: int) -> str:
    """Why the first constraints leave too little, if they do."""
    of = {name: component for component in found for name in component.columns}
    for component in found:
        if not component.is_possible([np.ones((1, size)) for size in component.sizes])[0]:
            return f"no row is possible in {', '.join(component.columns)}"
    for name, component in of.items():
        values = np.array([not cell.absent for cell in cells[name]])
        if not (component.reachable(name) & values).any():
            return f"column {name!r} is left without a value"
    for constraint in islice(known.constraints, count):
        if isinstance(constraint, When) and not _occurs(constraint, known, of, cells):
            return f"no row meets its condition ({' and '.join(constraint.when)})"
    return ""


def _occurs(
    constraint: When, known: Knowledge, of: Mapping[str, Component], cells: Mapping[str, Sequence[Cell]]
) -> bool:
    """True if some possible row meets the condition of a constraint."""
    by_component: dict[int, tuple[Component, list[str]]] = {}
    for name in constraint.when:
        if (stored := known.group_of.get(name, name)) in of:
            by_component.setdefault(id(of[stored]), (of[stored], []))[1].append(name)
        elif not known.held(name, constraint.when[name], cells).any():
            return False
    for component, names in by_component.values():
        weights = [np.ones((1, size)) for size in component.sizes]
        for name in names:
            at = component.columns.index(known.group_of.get(name, name))
            held = component.classes[at][known.held(name, constraint.when[name], cells)]
            weights[at] = weights[at] * np.isin(np.arange(component.sizes[at]), held)[None]
        if not component.is_possible(weights)[0]:
            return False
    return True
