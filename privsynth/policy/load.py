"""Reads a policy file strictly and reports all of its problems at once, with file, line, key and hint."""

from __future__ import annotations

import difflib
import hashlib
import re
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from privsynth.errors import PolicyError, Problem, Refused
from privsynth.policy import column as c
from privsynth.policy import model as m
from privsynth.policy.constraints import KINDS
from privsynth.policy.constraints.conditions import AgeOf
from privsynth.policy.grouping import Grouping, load_grouping
from privsynth.policy.rules import CAP_HINT, above_cap, large_delta, policy_warnings, violations
from privsynth.policy.writable import unwritable

if TYPE_CHECKING:
    from privsynth.policy.knowledge import Knowledge

Path_ = tuple[str | int, ...]
MAX_CHARACTERS = 2_000_000
MAX_NODES = 100_000  # keys, values and items, each alias counted as what it stands for


def _nothing() -> Knowledge:
    from privsynth.policy.consistency import NOTHING

    return NOTHING


@dataclass(frozen=True)
class Policy:
    """A valid policy: the model, where it came from (with the line of every key), and the grouping files that it names.

    Everything here is public. sha256: of the text and of every grouping file that is used; equality and hash go by it.
    """

    model: m.PolicyModel = field(hash=False)
    source: str = "policy"
    sha256: str = ""
    groupings: dict[str, Grouping] = field(default_factory=dict, compare=False, repr=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
    lines: dict[Path_, int] = field(default_factory=dict, compare=False, repr=False)
    knowledge: Knowledge = field(default_factory=_nothing, compare=False, repr=False)

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Reads and checks a policy file. Raises PolicyError with all of its problems."""
        path = Path(path)
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(MAX_CHARACTERS + 1)  # `from_text` says what is wrong with more
        except FileNotFoundError:
            raise PolicyError(Problem(str(path), "no such policy file", "check the path")) from None
        except (OSError, UnicodeDecodeError) as error:
            reason = (
                "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
            )
            raise PolicyError(Problem(str(path), reason, "pass the path of a YAML policy")) from None
        return cls.from_text(text, source=str(path), folder=path.parent)

    @classmethod
    def from_text(cls, text: str, source: str = "policy", folder: Path | None = None) -> Policy:
        """Checks the text of a policy; `folder` is where its grouping files lie. Raises PolicyError as `load`."""
        content, lines = _parse(text, source)
        try:
            model = m.PolicyModel.model_validate(content)
        except ValidationError as error:
            raise PolicyError(list(_explained(error, content, lines, source))) from None
        problems = [Problem(_place(loc, lines, source), rule, hint) for loc, rule, hint in violations(model)]
        groupings: dict[str, Grouping] = {}
        for name, column in model.columns.items():
            if column.grouping and column.modelled:
                try:
                    groupings[name] = load_grouping(column.grouping, folder)
                    place = _place(("columns", name, "grouping"), lines, source)
                    found = (unwritable((), group, model.dataset.csv.encoding) for group in groupings[name].groups)
                    problems += [
                        Problem(place, rule, hint) for _, rule, hint in next(filter(None, map(list, found)), [])
                    ]
                except PolicyError as error:
                    place = _place(("columns", name, "grouping"), lines, source)
                    problems += [Problem(place, f"{p.place}: {p.rule}", p.hint) for p in error.problems]
        marks = {name: marks_of(model, name) for name in model.columns}
        from privsynth.policy.consistency import knowledge_of
        from privsynth.policy.lifting import coarse_gaps

        knowledge, wrong = knowledge_of(model, marks, folder, sound=not problems)
        problems += [Problem(_place(loc, lines, source), rule, hint) for loc, rule, hint in wrong]
        if problems:
            raise PolicyError(problems)
        digest = _digest(text, [*(g.sha256 for g in groupings.values()), *knowledge.digests.values()])
        told = (*policy_warnings(model), *coarse_gaps(knowledge, model))
        warnings = tuple(f"{_place(loc, lines, source)}: {warning}" for loc, warning in told)
        return cls(model, source, digest, groupings, warnings, lines, knowledge)

    def with_changes(self, trainer: str | None = None, epsilon: float | None = None) -> Policy:
        """The same policy with another trainer or epsilon, as options of the command line; checked anew.

        Raises PolicyError, or Refused if epsilon is above the policy's hard cap.
        """
        if epsilon is not None and (rule := above_cap(self.model.budget, epsilon, "epsilon")):
            raise Refused(Problem("command line", f"{rule} ({self.place('budget', 'hard_cap')})", CAP_HINT))
        data = self.model.model_dump(exclude_unset=True, by_alias=True)
        if trainer is not None:
            options = data.get("trainer", {}).get("options", {}) if trainer == self.model.trainer.name else {}
            data["trainer"] = {"name": trainer, "options": options}
        if epsilon is not None:
            data["budget"] = {k: v for k, v in data["budget"].items() if k != "risk"} | {"epsilon": epsilon}
        try:
            model = m.PolicyModel.model_validate(data)
        except ValidationError as error:
            rules = [Problem("command line", e["msg"].removeprefix("Value error, ")) for e in error.errors()]
            raise PolicyError(rules) from None
        problems = [Problem("command line", rule, hint) for _, rule, hint in violations(model)]
        if problems:
            raise PolicyError(problems)
        text = self.sha256 + model.model_dump_json()
        digest = self.sha256 if model == self.model else hashlib.sha256(text.encode()).hexdigest()
        return replace(self, model=model, sha256=digest)

    def refuse_large_delta(self, units: int) -> None:
        """Applies the rule on delta to the measured number of units. A refusal by a released number costs no privacy.

        Raises Refused.
        """
        for key, rule, hint in large_delta(self.model.budget, max(1, units), "units"):
            raise Refused(Problem(self.place(*key), f"{rule} (their number was measured)", hint))

    def place(self, *key: str | int) -> str:
        """The place of a key, as problems name it: file, line and dotted path."""
        return _place(key, self.lines, self.source)

    @property
    def unit_column(self) -> str | None:
        return None if self.model.unit == "row" else self.model.unit.column

    @property
    def unit_called(self) -> str | None:
        """The word for one unit, such as "patient", if the policy states one."""
        return None if self.model.unit == "row" else self.model.unit.called

    @property
    def max_rows(self) -> int:
        """Rows of one unit that are used at most."""
        return 1 if self.model.unit == "row" else self.model.unit.max_rows

    @property
    def stratified(self) -> bool:
        """True if it matters how many rows a unit has."""
        return self.max_rows > 1 or (self.unit_column is not None and self.model.release.weights == "rows")

    @property
    def most_rows(self) -> int:
        """Rows that the table may have at most; the plan pays for the collisions among so many."""
        return self.model.dataset.most_rows

    @property
    def gdp_mu(self) -> float:
        """The GDP parameter mu of the Gaussian mechanism that claims as much as the policy allows.

        By epsilon and delta: the analytic Gaussian mechanism. A risk target is a point of its trade-off curve,
        mu = Phi^-1(tpr) - Phi^-1(fpr) (Dong, Roth, Su 2022, equation 6).
        """
        from privsynth.privacy.accountant import gaussian_mu, mu_of_risk

        budget = self.model.budget
        if budget.risk is not None:
            return mu_of_risk(budget.risk.fpr, budget.risk.max_tpr)
        return gaussian_mu(budget.epsilon or 0.0, budget.delta)

    @property
    def target(self) -> str | None:
        return next((name for name, column in self.model.columns.items() if column.role == "target"), None)

    def missing(self, column: str) -> list[str]:
        """The tokens that mean "missing" in a column, besides the empty cell: its own, or the table's."""
        return missing_of(self.model, column)

    def marks(self, column: str) -> tuple[str, ...]:
        """All texts that stand in place of a value, each a value of its own: censored ones, then tokens for missing."""
        return marks_of(self.model, column)

    def unexpected(self, column: str) -> c.Unexpected:
        """What happens to a value that the policy does not allow: the column's rule, the table's, or the default."""
        spec = self.model.columns[column]
        rule = spec.unexpected or self.model.dataset.unexpected or ("missing" if spec.categorical else "clip")
        return "missing" if rule == "clip" and spec.categorical else rule


def missing_of(policy: m.PolicyModel, column: str) -> list[str]:
    """The tokens that mean "missing" in a column, besides the empty cell: its own, or the table's."""
    own = policy.columns[column].missing
    return [token.strip() for token in (policy.dataset.missing if own is None else own)]


def marks_of(policy: m.PolicyModel, column: str) -> tuple[str, ...]:
    """All texts that stand in place of a value."""
    censored, missing = policy.columns[column].censored, missing_of(policy, column)
    texts = [*(text.strip() for text in censored.texts), *missing] if censored else missing
    return tuple(text for text in dict.fromkeys(texts) if text)


def _digest(text: str, files: Sequence[str]) -> str:
    """SHA-256 of a policy's text; where it uses files, of the digests of the text and of each of them."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return hashlib.sha256("\n".join([digest, *files]).encode()).hexdigest() if files else digest


class _TooMuch(Exception):
    """More text or nodes than a policy may have."""


class _Loader(yaml.SafeLoader):
    """YAML whose keys are always text, as written, and that stops reading where a policy is too large."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _TooMuch(f"holds more than {MAX_NODES:,} values")
        return super().compose_node(parent, index)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    return {str(key.value): loader.construct_object(value, deep=True) for key, value in node.value}


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int | str:
    """Plain decimals alone are numbers: YAML would read the post code 01234 as 668 and 12:30 as 750."""
    return int(node.value) if _PLAIN.match(node.value) else node.value


_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN = re.compile(r"^[-+]?(0|[1-9][0-9]*)$")
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def _parse(text: str, source: str) -> tuple[Any, dict[Path_, int]]:
    """The content, and the line of every key and item."""
    lines: dict[Path_, int] = {}
    wrong: list[Problem] = []
    seen = count()

    def walk(node: yaml.Node, path: Path_) -> None:
        if next(seen) >= MAX_NODES:  # a few lines of nested aliases can stand for billions of values
            raise _TooMuch(f"holds more than {MAX_NODES:,} values")
        lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, str(key.value))
                wrong.extend(_half_characters(key, source))
                if here in lines:
                    rule = f"key {_dotted(here)!r} appears twice, first on line {lines[here]}"
                    wrong.append(Problem(f"{source}:{key.start_mark.line + 1}", rule, "remove one of them"))
                lines[here] = key.start_mark.line + 1
                walk(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                walk(item, (*path, index))
        else:
            wrong.extend(_half_characters(node, source))

    try:
        if len(text) > MAX_CHARACTERS:
            raise _TooMuch(f"is longer than {MAX_CHARACTERS:,} characters")
        loader = _Loader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise PolicyError(
                Problem(source, "this is not a policy", "a policy is a YAML mapping that starts `privsynth: 1`")
            )
        walk(root, ())
        content = loader.construct_document(root)
    except _TooMuch as error:
        hint = "list fewer values; a long list of categories can be a grouping file"
        raise PolicyError(Problem(source, f"this policy {error}", hint)) from None
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:  # PyYAML's own
        mark = getattr(error, "problem_mark", None)
        place = f"{source}:{mark.line + 1}" if mark else source
        what = getattr(error, "problem", None) or str(error)
        raise PolicyError(Problem(place, f"not valid YAML: {what}", "check indentation, colons and quotes")) from None
    if wrong:
        raise PolicyError(wrong)
    return content, lines


def _half_characters(node: yaml.Node, source: str) -> Iterator[Problem]:
    """A lone surrogate, as "\\ud800" in quotes, is text that could never be written to a table or a page."""
    if isinstance(node, yaml.ScalarNode) and _SURROGATE.search(node.value):
        place = f"{source}:{node.start_mark.line + 1}"
        yield Problem(place, "holds a lone surrogate (half a character)", "write the character itself")


def _dotted(loc: Path_) -> str:
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _place(loc: Path_, lines: dict[Path_, int], source: str) -> str:
    known = loc
    while known and known not in lines:
        known = known[:-1]
    return f"{source}:{lines.get(known, 1)}: {_dotted(loc)}".rstrip(": ")


def _explained(error: ValidationError, content: Any, lines: dict[Path_, int], source: str) -> Iterator[Problem]:
    """pydantic's errors in the words of the policy, one for each place."""
    found: dict[Path_, tuple[str, str]] = {}
    for entry in error.errors():
        loc: list[str | int] = []
        node = content
        for part in entry["loc"]:  # pydantic names branches of unions too: keep only what is in the file
            if (isinstance(node, dict) and part in node) or (
                isinstance(node, list) and isinstance(part, int) and part < len(node)
            ):
                loc.append(part)
                node = node[part]  # type: ignore[index]  # a key of a dict or a place in a list, as just seen
            elif entry["type"] == "missing" and isinstance(part, str) and part == entry["loc"][-1]:
                loc.append(part)
        if entry["type"] == "constraint" and isinstance(node, dict) and node:
            loc.append(next(iter(node)))  # the key by which it would have been told
        found.setdefault(tuple(loc), _words(entry, tuple(loc), node))
    for at, (rule, hint) in found.items():
        # a list that is wrong in one item is not also "not the word `private`"
        if not any(other != at and other[: len(at)] == at for other in found) or at == ():
            yield Problem(_place(at, lines, source), rule, hint)


_MISSING = {
    "max_rows": "write how many rows of one person are used at most, such as `unit: {column: NAME, max_rows: 4}`; rows "
    "beyond it are left out at random, and the more rows of a person are used, the less each of them weighs",
    "column": "name the column whose values identify people, as in `unit: {column: NAME, max_rows: 4}`",
    "unit": "write `unit: row` if every row is another person, else `unit: {column: NAME, max_rows: N}`",
    "delta": "add it, well below one part in the number of people, such as `delta: 1.0e-6`",
    "kind": "add it: category, integer, number, date, text or id",
}  # what to write for a key that people leave out


def _words(entry: Any, loc: Path_, value: Any) -> tuple[str, str]:
    """(rule, hint) of one error of pydantic."""
    kind, message = entry["type"], entry["msg"]
    if kind == "extra_forbidden" or (kind == "constraint" and loc[-1] not in KINDS):
        known = _known_keys(loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), known, 1)
        guess = f"did you mean `{near[0]}`? " if near else ""
        return f"unknown key `{loc[-1]}`", f"{guess}known here: {', '.join(known)}"
    if kind == "missing" and isinstance(entry["loc"][-1], str):
        return f"key `{loc[-1]}` is missing", _MISSING.get(str(loc[-1]), "add it")
    if loc[-1:] == ("inequality",) and kind != "value_error":
        return "an inequality is a column, a sign and a column", 'write `inequality: [a, "<=", b]`'
    if kind == "value_error":
        return message.removeprefix("Value error, "), ""
    if loc == ("privsynth",):
        return f"version {value!r} of the policy language", f"this privsynth reads version {m.LANGUAGE_VERSION}"
    if loc[-1:] == ("bounds",) or loc[-2:-1] == ("bounds",):
        return "bounds are two numbers, two dates, or the word `private`", "write `bounds: [low, high]`"
    if loc[-1:] == ("categories",):
        return "categories are a list of texts, or the word `private`", "write `categories: [a, b]`"
    if loc == ("unit",):
        return (
            "the unit is `row`, or a column with max_rows",
            "write `unit: row` or `unit: {column: NAME, max_rows: N}`",
        )
    if isinstance(value, (dict, list)):
        return re.sub(r"^Input should", "this should", message), ""
    return f"{reprlib.repr(value)}: {re.sub(r'^Input should', 'should', message)}", ""


def _known_keys(loc: Path_) -> list[str]:
    """The keys that are allowed at a place of the policy."""
    if loc[:1] == ("columns",) and len(loc) >= 2:
        own: dict[str, type[BaseModel]] = {"number": c.NumberSpec, "censored": c.Censored, "cuts": c.AgeCuts}
        inside = own.get(str(loc[2])) if len(loc) > 2 else c.Column
        return [field.alias or name for name, field in inside.model_fields.items()] if inside else []
    if loc[:1] == ("constraints",):
        if len(loc) > 3:  # a mapping in place of a condition
            return list(AgeOf.model_fields)
        known = [field.alias or name for kind in KINDS.values() for name, field in kind.model_fields.items()]
        return list(dict.fromkeys(known))
    here: type[BaseModel] = m.PolicyModel
    nested: dict[str, type[BaseModel]] = {"unit": m.UnitSpec, "risk": m.RiskTarget, "lifetime": m.Lifetime}
    for part in loc:
        kind = nested.get(str(part)) or here.model_fields[str(part)].annotation
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        here = kind
    return list(here.model_fields)
