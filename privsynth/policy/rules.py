"""Rules that need more than one field of the policy, and warnings that do not stop a run."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from privsynth.frameworks import known_frameworks
from privsynth.policy.column import CONTROL, NUMERIC
from privsynth.policy.constraints import Inequality
from privsynth.policy.formats import Violation, written_rules, written_warnings
from privsynth.policy.identifiers import identifier_rules, identifier_warnings
from privsynth.policy.model import Budget, PolicyModel
from privsynth.policy.reach import beyond_bounds
from privsynth.policy.writable import encoding_rules

CAP_HINT = "ask for less; only whoever is responsible for the data may raise `hard_cap`"


def violations(policy: PolicyModel) -> Iterator[Violation]:
    """Every rule that the policy breaks; none means that it is valid."""
    yield from _budget(policy)
    yield from _unit(policy)
    yield from _roles(policy)
    yield from _constraints(policy)
    yield from _ages(policy)
    yield from _names(policy)
    yield from written_rules(policy)
    yield from identifier_rules(policy)
    yield from _control_characters(policy)
    yield from encoding_rules(policy)


def shared_number(rows: int) -> float:
    """A bound on the probability that an added unit shares its number with another one, in a table of so many rows.

    Numbers are 63 bits of a keyed hash (`table.units.number_units`), so each other unit has the same one with probability
    2^-63. Where rows are units, a row is also taken for an equal one if 128-bit hashes of what differs in them agree; both
    together are below 2^-62 for each row.
    """
    return rows * 2.0**-62


def _budget(policy: PolicyModel) -> Iterator[Violation]:
    budget, rows = policy.budget, policy.dataset.rows
    if budget.delta <= (collision := shared_number(policy.dataset.most_rows)):
        rule = (
            f"delta {budget.delta:g} is not above {collision:.1e}, "
            "the probability that the hashes of two units collide and give both the same number"
        )
        hint = f"write more than {collision:.1e}" + ("" if rows else ", or state the number of rows as `dataset.rows`")
        yield ("budget", "delta"), rule, hint
    if rows is not None:
        yield from large_delta(budget, rows, "rows")
    if budget.epsilon is not None and (rule := above_cap(budget, budget.epsilon, "epsilon")):
        yield ("budget", "epsilon"), rule, CAP_HINT


def large_delta(budget: Budget, n: int, called: str) -> Iterator[Violation]:
    """delta must stay below 1/n: publishing the whole record of one of n people, drawn at random, is (0, 1/n)-DP.

    n counts everybody in the table and not only the training part: a person is published only if the split puts them into
    that part and the draw then picks them, and both together have probability 1/n. There are at least as many rows as
    units, so that a count of rows gives the stricter rule.
    """
    if budget.delta >= 1 / n:
        rule = (
            f"delta {budget.delta:g} is not below 1/{called} = {1 / n:.2g}: "
            "it would allow one person's complete record to be published"
        )
        yield ("budget", "delta"), rule, f"write at most {0.1 / n:.1e}"


def above_cap(budget: Budget, epsilon: float, asked: str) -> str:
    """The rule that an epsilon above the hard cap breaks, however it is requested; empty if it breaks none."""
    if budget.hard_cap is None or epsilon <= budget.hard_cap:
        return ""
    return f"{asked} = {epsilon:.4g}, above the hard cap of {budget.hard_cap:g}"


def _unit(policy: PolicyModel) -> Iterator[Violation]:
    if policy.unit == "row":
        return
    name = policy.unit.column
    if name not in policy.columns:
        near = difflib.get_close_matches(name, list(policy.columns), 1)
        yield (
            ("unit", "column"),
            f"column {name!r} is not declared",
            f"did you mean {near[0]!r}?" if near else "declare it",
        )
    elif policy.columns[name].modelled:
        rule = f"column {name!r} names the people to protect, so it cannot be kept"
        yield ("columns", name, "release"), rule, "write `kind: id` with `release: regenerate` or `drop`"


def _roles(policy: PolicyModel) -> Iterator[Violation]:
    targets = [name for name, column in policy.columns.items() if column.role == "target"]
    if len(targets) > 1:
        yield ("columns", targets[1], "role"), f"two targets: {targets[0]!r} and {targets[1]!r}", "keep one"
    for name in targets:
        if not policy.columns[name].modelled:
            yield ("columns", name, "role"), f"target {name!r} is not kept", "keep it, or give it another role"
    if sum(column.modelled for column in policy.columns.values()) < 2:
        yield ("columns",), "fewer than two columns are kept", "a synthetic table needs at least two modelled columns"


def _constraints(policy: PolicyModel) -> Iterator[Violation]:
    larger: dict[str, set[str]] = {}
    for index, constraint in enumerate(policy.constraints):
        if not isinstance(constraint, Inequality):
            continue  # `consistency` checks it
        place = ("constraints", index, "inequality")
        small, large, _ = constraint.rising
        if small == large:
            yield place, "a column cannot be compared with itself", "name two columns"
            continue
        kinds = [policy.columns[name].kind for name in (small, large) if name in policy.columns]
        comparable = len({"number" if kind == "integer" else kind for kind in kinds}) <= 1
        if any(kind not in NUMERIC for kind in kinds):
            yield (
                place,
                "only numbers, dates and moments can be compared",
                "name columns of kind integer, number or date",
            )
        elif not comparable:
            rule = f"a column of kind {kinds[0]} cannot be compared with one of kind {kinds[1]}"
            yield place, rule, "name two columns of one kind, or two numbers"
        elif len(kinds) == 2 and not all(policy.columns[name].modelled for name in (small, large)):
            yield place, "a rule cannot apply to a column that is not kept", "keep both columns, or drop the rule"
        above, ahead = set[str](), [large]
        while ahead:
            at = ahead.pop()
            ahead += larger.get(at, set()) - above
            above.add(at)
        if small in above:
            yield place, "the constraints form a cycle", "remove one of them"
        else:
            larger.setdefault(small, set()).add(large)


def _ages(policy: PolicyModel) -> Iterator[Violation]:
    """Ages need a date of the same row that is modelled as itself."""
    for name, column in policy.columns.items():
        if column.ages is None:
            continue
        at, place = policy.columns.get(column.ages.at), ("columns", name, "cuts", "at")
        if at is None:
            near = difflib.get_close_matches(column.ages.at, list(policy.columns), 1)
            hint = f"did you mean {near[0]!r}?" if near else "name the date at which ages count"
            yield place, f"column {column.ages.at!r} is not declared", hint
        elif at.kind not in ("date", "datetime") or not at.modelled or at.ages:
            rule = "ages count at a date or datetime that is kept and is not itself modelled as an age"
            yield place, rule, f"name another column than {column.ages.at!r}"
        elif at.nullable and not column.nullable:
            rule = f"{name!r} is never missing, but its age has no meaning where {column.ages.at!r} is"
            yield place, rule, "write `nullable: false` there, too, or leave it out here"


def _names(policy: PolicyModel) -> Iterator[Violation]:
    from privsynth.policy.options import OPTIONS, check_options

    if policy.trainer.name not in OPTIONS:
        yield ("trainer", "name"), f"no trainer {policy.trainer.name!r}", f"known: {', '.join(OPTIONS)}"
    else:
        for key, rule, hint in check_options(policy.trainer.name, policy.trainer.options):
            yield ("trainer", "options", key), rule, hint
    known = known_frameworks()
    for index, name in enumerate(policy.report.frameworks):
        if name not in known:
            yield ("report", "frameworks", index), f"no framework {name!r}", f"known: {', '.join(known)}"


def _control_characters(policy: PolicyModel) -> Iterator[Violation]:
    """A cell that holds a control character counts as unreadable, so no row could match such a value."""
    named: list[tuple[tuple[str | int, ...], str]] = [(("dataset", "description"), policy.dataset.description)]
    named += [(("dataset", "missing", i), token) for i, token in enumerate(policy.dataset.missing)]
    for name, column in policy.columns.items():
        if CONTROL.search(name):
            yield ("columns",), f"the column name {name!r} holds a control character", "name the column in plain text"
        if isinstance(column.categories, list):
            named += [(("columns", name, "categories", i), value) for i, value in enumerate(column.categories)]
    for place, text in named:
        if CONTROL.search(text):
            yield place, f"{text[:100]!r} holds a control character", "leave it out: no cell that holds one can be read"


def policy_warnings(policy: PolicyModel) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Warnings for a careful reader. `check` shows them; they stop nothing."""
    for index, constraint in enumerate(policy.constraints):
        for name in undeclared(constraint.columns, policy):
            yield ("constraints", index), f"column {name!r} is not declared; `run` will refuse until it is"
        for name in sorted(constraint.required & set(policy.columns)):
            if "private" in (policy.columns[name].categories, policy.columns[name].bounds):
                told = f"values of {name!r} are measured; where those that this needs are not found, no row can meet its condition"
                yield ("constraints", index), f"{told}. State the column's categories or bounds"
    for place, told, _ in beyond_bounds(policy):
        yield place, f"{told}; values beyond them leave as they are computed. State the bounds that the sum can have"
    for name, column in policy.columns.items():
        if column.ages and policy.columns[column.ages.at].nullable:
            told = f"it is modelled as an age, so it leaves as missing wherever {column.ages.at!r} is missing"
            yield ("columns", name, "cuts"), f"{told}; write `nullable: false` there if it never is"
        rule = column.unexpected or policy.dataset.unexpected
        if rule == "refuse":
            yield ("columns", name), "`unexpected: refuse` lets whoever sees the refusal learn about one row's value"
    yield from written_warnings(policy)
    yield from identifier_warnings(policy)
    if policy.unit != "row" and policy.release.weights is None:
        most = f"at most {policy.unit.max_rows} row{'s' * (policy.unit.max_rows > 1)} of each {policy.unit.called or 'unit'}"
        told = f"{most} are used, so that those with more weigh less than in the table"
        yield (
            ("unit", "max_rows"),
            f"{told}; `release: {{weights: rows}}` follows all rows, `weights: units` each unit alike",
        )
    if policy.seed is not None:
        yield ("seed",), "a seed makes the noise guessable: what this policy makes is never released"
    if policy.dataset.rows is None:
        yield ("dataset",), "rows is not declared: the number of rows is measured, which takes part of the budget"


def undeclared(names: tuple[str, ...], policy: PolicyModel) -> list[str]:
    return [name for name in names if name not in policy.columns]
