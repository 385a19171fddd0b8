"""Constraints that a saved model's noisy answers show beyond doubt, as lines for a policy: `privsynth check --suggest`.

Post-processing of what the model holds, so it costs no budget. Whether a suggestion is public knowledge only a person can say.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

from privsynth.encoding.codec import Codec
from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.domain import OTHER
from privsynth.errors import InputError, Problem
from privsynth.marginals.dependencies import ERROR, Claim, Side, claims
from privsynth.policy import Policy
from privsynth.policy.column import decimals_of
from privsynth.policy.consistency import knowledge_of
from privsynth.policy.load import marks_of
from privsynth.policy.model import PolicyModel
from privsynth.policy.rules import violations
from privsynth.sampling.synthesizer import Synthesizer

NOTE = "TO BE CONFIRMED as public knowledge: suggested by check --suggest"
COMPARED = (("integer", "number"), ("date",))  # kinds of which one column can be above another
_PLAIN = re.compile(r"\w[\w .-]*")
_WORDS = ("missing", "present")

Entry = dict[str, Any]  # of `constraints`
Texts = list[tuple[str, str]]  # rows of a CSV


@dataclass(frozen=True)
class Suggestion:
    """A constraint as it stands in a policy, and what was seen. Of 1,000 rows it is about so many, at most so many break it, and so
    many would if its columns were independent. file: rows of the CSV that it names. undecided: values of the first column that
    are too rare to say, which the file allows with every value."""

    constraint: Entry
    about: float
    at_most: float
    independent: float
    file: Texts | None = None
    undecided: int = 0

    @property
    def said(self) -> str:
        """What was seen, in a line."""
        left = f"; {self.undecided} values are too rare to say: strike from the file what cannot be" * (
            self.undecided > 0
        )
        return (
            f"at most {self.at_most:.1f} of 1,000 rows break it, of {self.about:.0f} that it is about; "
            f"{self.independent:.0f} would if the columns were independent{left}"
        )

    def lines(self) -> list[str]:
        """The entry of `constraints`, with a comment."""
        text = yaml.safe_dump(
            self.constraint | {"note": NOTE}, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9
        )
        return [f"  # {self.said}", f"  - {text.strip()}"]

    def to_json(self) -> dict[str, Any]:
        """For programs; rows are of 1,000."""
        return {
            "constraint": self.constraint, "about": self.about, "at_most": self.at_most, "independent": self.independent,
            "confidence": 1 - ERROR, "undecided": self.undecided, "confirm": NOTE,
        }  # fmt: skip

    def csv(self) -> str:
        """The text of the CSV that it names."""
        out, names = (
            io.StringIO(),
            self.constraint.get("combinations") or [*self.constraint["from"], self.constraint["derived"]],
        )
        csv.writer(out, lineterminator="\n").writerows([names, *(self.file or [])])
        return out.getvalue()


def suggestions(synthesizer: Synthesizer, policy: Policy) -> list[Suggestion]:
    """What the model's noisy pairs show beyond doubt and the policy does not state, each such that the policy is valid with it and
    all before it. With a probability of 99 % all of their bounds hold.

    Raises InputError if the model is of another data set, or holds no answers: it was trained without tables, or saved by an
    earlier version.
    """
    marginal_model = getattr(synthesizer.model, "marginal_model", None)
    if marginal_model is None or not marginal_model.answers:
        rule = "holds no noisy pairs of columns: it was trained without tables, or saved by a version before 0.1.1"
        raise InputError(Problem("model", rule, "fit with `trainer: {name: auto}` by this version"))
    if synthesizer.facts.get("dataset") not in (None, policy.model.dataset.id):
        raise InputError(
            Problem("model", "is of another data set than the policy", "name a model fitted by this policy")
        )
    codec: Codec = synthesizer.codec
    sides = [_side(column, policy) for column in codec.columns]
    ruled_out: dict[tuple[int, ...], np.ndarray] = {}
    for wall in codec.walls:
        ruled_out[wall.columns] = ruled_out.get(wall.columns, np.zeros_like(wall.cells)) | wall.cells
    found = claims(marginal_model.answers, sides, ruled_out, _above(codec, sides))
    return list(_accepted((_written(claim, codec, policy) for claim in found), policy))


def _side(column: ColumnCodec, policy: Policy) -> Side:
    """Which codes of a column conditions can name: not those of gaps, ages, parts of moments, groups, marks or `__other__`."""
    domain, declared = column.domain, policy.model.columns.get(column.domain.name)
    usable, negatable = np.zeros(column.size, bool), np.zeros(column.size, bool)
    special = (
        domain.relative or domain.by_day or domain.clock_of is not None or bool(domain.members) or declared is None
    )
    if (
        special
        or declared is None
        or declared.kind != domain.kind
        or declared.computed
        or domain.name in policy.groupings
    ):
        return Side(usable, negatable, not domain.categorical)
    for code in range(column.size - 1):
        cells = np.flatnonzero(column.bins == code)
        usable[code] = (cells < domain.regular).all() and not (domain.categorical and OTHER in _names(column, code))
    usable[-1] = domain.nullable and domain.kind != "boolean"  # of truth values, other spellings lie there
    negatable[-1] = usable[-1]
    if domain.categorical and not domain.nullable:
        negatable[:-1] = usable[:-1]
    return Side(usable, negatable, not domain.categorical)


def _above(codec: Codec, sides: Sequence[Side]) -> dict[tuple[int, ...], np.ndarray]:
    """Of two columns of one kind whose ranges overlap, the codes all of whose values are larger in the first, either way round."""
    found: dict[tuple[int, ...], np.ndarray] = {}
    for j, one in enumerate(codec.columns):
        for k, other in enumerate(codec.columns):
            kinds = {one.domain.kind, other.domain.kind}
            if (
                j != k
                and any(kinds <= set(own) for own in COMPARED)
                and sides[j].usable.any()
                and sides[k].usable.any()
            ):
                lowest, highest = one.limits[:, 0] * one.domain.step, other.limits[:, 1] * other.domain.step
                cells = lowest[:, None] > highest[None]
                if cells.any():
                    found[j, k] = cells
    return found


def _names(column: ColumnCodec, code: int) -> list[str]:
    """The categories of a code."""
    return [
        column.domain.categories[cell] for cell in np.flatnonzero(column.bins == code) if cell < column.domain.regular
    ]


def _written(claim: Claim, codec: Codec, policy: Policy) -> list[Suggestion]:
    """The ways to state a claim, the strictest first."""
    one, other = (codec.columns[j] for j in claim.columns)
    a, b = one.domain.name, other.domain.name
    figures = (1000 * claim.about, 1000 * claim.at_most, 1000 * claim.independent)
    if claim.kind == "order":
        return [Suggestion({"inequality": [a, "<=", b]}, *figures)]
    if claim.kind == "dependency":
        return _as_file(claim, one, other, figures)
    premise = {a: _condition(one, claim.lines)}
    rest = [code for code in range(other.size - 1) if code not in claim.values]
    conclusion = (
        _condition(other, claim.values) if claim.kind == "determined" else _negated(other, claim.values[0], rest)
    )
    return [Suggestion({"when": premise, "then": {b: conclusion}}, *figures)]


def _negated(column: ColumnCodec, code: int, rest: Sequence[int]) -> Any:
    return "present" if code == column.size - 1 else _condition(column, rest)


def _condition(column: ColumnCodec, codes: Sequence[int]) -> Any:
    """These codes as a policy states them."""
    if codes[0] == column.size - 1:
        return "missing"
    if column.domain.categorical:
        names = [name for code in codes for name in _names(column, code)]
        plain = len(names) == 1 and _PLAIN.fullmatch(names[0]) and names[0] not in _WORDS
        return names[0] if plain else names
    low, high = column.limits[codes[0], 0], column.limits[codes[-1], 1]
    regular = np.unique(column.bins[: column.domain.regular])
    if low == high:
        return _value(column, low)
    if codes[0] == regular[0] and codes[-1] == regular[-1]:
        return "present"
    if codes[0] == regular[0]:
        return f"<={_value(column, high)}"
    if codes[-1] == regular[-1]:
        return f">={_value(column, low)}"
    return [_value(column, low), _value(column, high)]


def _value(column: ColumnCodec, units: float) -> int | float | str:
    """A number in grid units as a policy writes it."""
    domain = column.domain
    if domain.kind not in ("integer", "number"):
        return domain.text_of(int(units))
    value = round(float(units) * domain.step, decimals_of(domain.step))
    return int(value) if value == int(value) else value


def _as_file(
    claim: Claim, one: ColumnCodec, other: ColumnCodec, figures: tuple[float, float, float]
) -> list[Suggestion]:
    """A dependency as a derived column, where every value was seen, and as a list of combinations."""
    a, b = one.domain.name, other.domain.name
    seen = {
        name: code
        for line, code in zip(claim.lines, claim.values, strict=True)
        for name in _names(one, line)
        for code in [code]
    }
    blank = other.size - 1
    every = [*other.domain.categories, *([""] if blank in claim.values else [])]
    rows = [
        (name, value)
        for name in one.domain.categories
        for value in ((_names(other, seen[name]) if seen[name] != blank else [""]) if name in seen else every)
    ]
    undecided = sum(name not in seen for name in one.domain.categories)
    name = f"{_slug(a)}_{_slug(b)}.csv"
    ways = [Suggestion({"combinations": [a, b], "file": name}, *figures, rows, undecided)]
    if len(rows) == len(one.domain.categories) and not undecided:
        ways.insert(0, Suggestion({"derived": b, "from": [a], "file": name}, *figures, rows))
    return ways


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower() or "column"


def _accepted(found: Iterator[list[Suggestion]], policy: Policy) -> Iterator[Suggestion]:
    """Of each the first way that the policy allows, beside those before."""
    data = policy.model.model_dump(exclude_unset=True, by_alias=True)
    kept: list[Entry] = list(data.get("constraints") or [])
    with TemporaryDirectory() as folder:
        _copy_files(policy, Path(folder))
        taken = {path.name for path in Path(folder).iterdir()}
        for ways in found:
            for way in ways:
                entry = dict(way.constraint)
                if way.file is not None:
                    entry["file"] = _free(entry["file"], taken)
                    (Path(folder) / entry["file"]).write_text(way.csv(), encoding="utf-8")
                if _is_valid(data | {"constraints": [*kept, entry]}, Path(folder)):
                    kept.append(entry)
                    taken.add(entry.get("file", ""))
                    yield Suggestion(entry, way.about, way.at_most, way.independent, way.file, way.undecided)
                    break


def _is_valid(data: Mapping[str, Any], folder: Path) -> bool:
    model = PolicyModel.model_validate(data)
    if any(violations(model)):
        return False
    return not knowledge_of(model, {name: marks_of(model, name) for name in model.columns}, folder)[1]


def _copy_files(policy: Policy, folder: Path) -> None:
    """The files that the policy's constraints name; those that ship with privsynth are found anyway."""
    for constraint in policy.model.constraints:
        if constraint.reads and (file := Path(policy.source).parent / constraint.reads).is_file():
            (folder / constraint.reads).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / constraint.reads)


def _free(name: str, taken: set[str]) -> str:
    stem, at = name.removesuffix(".csv"), 1
    while name in taken:
        at += 1
        name = f"{stem}_{at}.csv"
    return name


def as_text(found: Sequence[Suggestion]) -> str:
    """Suggestions for a person, to be pasted into a policy."""
    sure = f"{1 - ERROR:.0%}"
    if not found:
        return f"The model's noisy pairs show nothing beyond doubt ({sure}) that the policy does not state. Looking cost nothing."
    told = (
        "# Suggested by the noisy answers of a model already paid for: this costs no privacy. Noise cannot show that no row",
        f"# breaks a rule; the bounds on how many do hold with a probability of {sure}, all of them together.",
        "# A constraint is PUBLIC and leaves no exception: paste a line only if it is known without the data, and write in its",
        "# note whence.",
        "constraints:",
    )
    return "\n".join([*told, *(line for each in found for line in each.lines())])


def write_files(found: Sequence[Suggestion], folder: Path) -> None:
    """The CSV files that suggestions name. Raises InputError if one of them is there already, or cannot be written."""
    files = {folder / each.constraint["file"]: each.csv() for each in found if each.file is not None}
    for place in files:
        if place.exists():
            raise InputError(Problem(str(place), "is there already", "name another folder: nothing is replaced"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place, text in files.items():
            place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(Problem(str(folder), f"cannot be written: {error.strerror}", "name another folder")) from None
