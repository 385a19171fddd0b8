"""Makes three tables comparable for the audit: the same columns, the same categories, numbers as numbers.

Tables may be made by any tool, so values are compared and not texts: 1 and 1.0, True and 1, a date with and without midnight.
A value that cannot be read as the column's kind is counted; a column of which a table holds nothing else is refused, since
nothing could be found in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth.audit.matching import AnyWriting, Words, is_nothing, number_key, truth_of
from privsynth.audit.tables import AuditTables
from privsynth.audit.writings import another_way
from privsynth.encoding.domain import OTHER
from privsynth.errors import InputError, Problem
from privsynth.policy import Policy
from privsynth.policy.identifiers import PREFIX
from privsynth.policy.model import CsvSpec, DatasetSpec, Thresholds
from privsynth.table.cells import MISSING, UNREADABLE, Cells
from privsynth.table.intake import category_reader
from privsynth.table.parse import day_of, number_of
from privsynth.table.raw import NO_VALUE, Numbers, RawTable
from privsynth.table.reader import read_table
from privsynth.table.values import Form, NumberReader

ID_LIKE = 0.5  # a text column in which more than this share of the values is distinct is taken for an identifier
MOST = 0.9  # without a policy, share of the cells of the real tables that decides a column's kind
TABLES = ("synthetic", "train", "holdout")


@dataclass(frozen=True)
class Compared(AuditTables):
    """The tables, and what was done to make them comparable. left_out: columns that are not compared, in sentences."""

    kinds: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Read:
    """One column of one table. values: (rows,) float64 or objects. present: cells with a value; unreadable: of these."""

    values: np.ndarray
    present: int
    unreadable: int


def comparable(synthetic: Any, train: Any, holdout: Any, policy: Any) -> tuple[Compared, dict[str, float], str]:
    """(tables, thresholds, effort). Raises InputError if the tables have no two columns in common, or a column holds nothing
    that can be read in one of them."""
    policy = policy if policy is None or isinstance(policy, Policy) else Policy.load(Path(policy))
    raws = [_table(str(t) if isinstance(t, PathLike) else t, policy) for t in (synthetic, train, holdout)]
    if policy is None:
        return _inferred(raws), Thresholds().values, "standard"
    columns = policy.model.columns
    modelled = [name for name, column in columns.items() if column.modelled]
    names, left_out = _in_all(modelled, raws)
    found = {n: (_categories if columns[n].categorical else _numbers)(raws, n, policy) for n in names}
    kinds: dict[str, str] = {name: columns[name].kind for name in names}
    roles: dict[str, str] = {name: columns[name].role for name in names}
    units = _units(raws[1:], policy)
    return (
        _compared(found, kinds, roles, units, left_out),
        policy.model.thresholds.values,
        policy.model.audit.effort,
    )


def _table(source: Any, policy: Policy | None) -> RawTable:
    """As the policy says that a CSV is written; else as other tools write one: the first dialect in which it is a table with
    columns of the policy. The first refusal stands where there is none."""
    dataset = DatasetSpec(id="audit") if policy is None else policy.model.dataset
    found: RawTable | None = None
    refusal: InputError | None = None
    for spec in _dialects(dataset.csv):
        try:
            raw = read_table(source, dataset.model_copy(update={"csv": spec}))
        except InputError as error:
            refusal = refusal or error
            continue
        if policy is None or any(name in policy.model.columns for name in raw.columns):
            return raw
        found = found or raw
    if found is None:
        raise refusal or AssertionError
    return found


def _dialects(declared: CsvSpec) -> Iterator[CsvSpec]:
    """Delimiters and encodings, the strictest ones first: what is no UTF-8 may be in code page 1252."""
    yield declared
    for encoding, delimiter in product(("utf-8", "utf-16", "cp1252"), (declared.delimiter, ",", ";", "\t", "|")):
        yield CsvSpec(delimiter=delimiter, encoding=encoding)


def _in_all(wanted: Iterable[str], raws: Sequence[RawTable]) -> tuple[list[str], list[str]]:
    """(columns that all tables have, what to say of the others)."""
    names, left_out = [], []
    for name in wanted:
        lacking = [table for table, raw in zip(TABLES, raws, strict=True) if name not in raw.columns]
        if lacking:
            left_out.append(f"Column {name!r}: the {lacking[0]} table does not have it.")
        else:
            names.append(name)
    _check_columns(names)
    return names, left_out


def _compared(
    found: Mapping[str, Sequence[Read]], kinds: dict[str, str], roles: dict[str, str],
    units: tuple[np.ndarray | None, np.ndarray | None], left_out: Sequence[str],
) -> Compared:  # fmt: skip
    """Raises InputError with every column of which a table holds nothing that can be read."""
    problems, unreadable = [], {}
    for name, reads in found.items():
        for table, read in zip(TABLES, reads, strict=True):
            if read.present and read.unreadable == read.present:
                rule = f"holds nothing that can be read as {kinds[name]}, so that no attack could find anything in it"
                hint = "write it as the other tables do, or leave the column out of all three"
                problems.append(Problem(f"column {name!r} of the {table} table", rule, hint))
        shares = (read.unreadable / max(read.present, 1) for read in reads)
        unreadable[name] = dict(zip(TABLES, shares, strict=True))
    if problems:
        raise InputError(problems)
    frames = [pd.DataFrame({n: reads[i].values for n, reads in found.items()}) for i in range(len(TABLES))]
    made, used, unused = shared_categories(frames)
    return Compared(made, used, unused, *units, roles, kinds, unreadable, tuple(left_out))


def shared_categories(frames: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Text columns as categoricals with one common list of categories; all else as float64."""
    out = [frame.copy() for frame in frames]
    for name in frames[0].columns:
        if any(frame[name].dtype == object for frame in frames):
            categories = sorted({str(value) for frame in frames for value in frame[name].dropna()})
            for frame in out:
                frame[name] = categorical(frame[name], categories)
        else:
            for frame in out:
                frame[name] = frame[name].astype(float)
    return out


def categorical(values: Iterable[Any], categories: Sequence[str]) -> pd.Categorical:
    """Values as codes of these categories; any other value is missing. Compares whole strings: pandas' hash stops at a NUL byte."""
    place = {category: code for code, category in enumerate(categories)}
    return pd.Categorical.from_codes([place.get(value, -1) for value in values], categories=list(categories))


def _check_columns(names: list[str]) -> None:
    if len(names) < 2:
        raise InputError(
            Problem(
                "audit", "the three tables have fewer than two columns in common", "name tables with the same columns"
            )
        )


# --- by a policy ------------------------------------------------------------------------------------------------------


def _units(raws: Sequence[RawTable], policy: Policy) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Numbers of the people behind the rows of train and holdout; a row without one is a person of its own."""
    name = policy.unit_column
    if name is None or not all(name in raw.columns for raw in raws):
        return None, None
    number: dict[object, int] = {}

    def numbers(raw: RawTable) -> np.ndarray:
        owners = raw.cells(name, policy.missing(name)).words(lambda text: number_key(text) or text)
        return np.array([number.setdefault(object() if o is None else o, len(number)) for o in owners])

    return numbers(raws[0]), numbers(raws[1])


def _numbers(raws: Sequence[RawTable], name: str, policy: Policy) -> list[Read]:
    """Numbers and moments. A censored value counts as the limit that it names."""
    form, marks = Form.of(policy, name), policy.marks(name)
    spec = policy.model.columns[name].censored
    censored = [i for i, mark in enumerate(marks) if spec and mark in {text.strip() for text in spec.texts}]
    found = []
    for raw in raws:
        reader, read = _read(raw, name, NumberReader(form, marks), policy)
        values = read.values.copy()
        for mark in censored:
            values[read.states == mark] = reader.censored_value(mark)
        nothing = _nothing(raw, name) & (read.states == NO_VALUE) if read.unreadable else np.zeros(1, bool)
        found.append(Read(values, read.present - int(nothing.sum()), read.unreadable - int(nothing.sum())))
    return found


def _nothing(raw: RawTable, name: str) -> np.ndarray:
    """(rows,) whether a cell holds a word for a missing value that the policy does not know."""
    cells = raw.cells(name, ())
    return np.isin(cells.codes, [place for place, text in enumerate(cells.distinct) if is_nothing(text)])


def _read(raw: RawTable, name: str, declared: NumberReader, policy: Policy) -> tuple[AnyWriting, Numbers]:
    """As the policy declares, and in the way that most of the other texts of this table are in."""
    column, kind = policy.model.columns[name], declared.form.kind
    low, high = column.limits or (-math.inf, math.inf)

    def fits(value: float) -> bool:
        return low <= value <= high and (kind != "integer" or value == math.floor(value))

    reader = AnyWriting(declared.form, declared.marks)
    read = raw.numbers(name, declared)
    there = read.values[np.isfinite(read.values)]
    if read.unreadable or not all(map(fits, np.unique(there))):
        texts = [text for text in raw.cells(name, declared.marks).distinct if not is_nothing(text)]
        other, first = another_way(kind, texts, lambda text: declared(text)[0], fits)
        reader = replace(reader, other=other, other_first=first)
        read = raw.numbers(name, reader)
    return reader, read


def _categories(raws: Sequence[RawTable], name: str, policy: Policy) -> list[Read]:
    column, missing = policy.model.columns[name], policy.missing(name)
    labels = {code: label for raw in reversed(raws) for code, label in raw.labels.get(name, {}).items()}
    cells = [raw.cells(name, missing) for raw in raws]
    declared = column.public_categories
    if name in policy.groupings:
        return [_matched(c, _grouped(name, policy, labels), missing) for c in cells]
    if column.kind == "boolean":
        pair = declared if declared is not None and len(declared) == 2 else ["False", "True"]
        match: Callable[[str], str | None] = Words.of(pair, {False: pair[0], True: pair[1]})
    elif declared is not None:
        match = Words.of(declared)
    else:
        return _by_train(name, cells, labels, missing)
    codes = {label: code for code, label in labels.items()}
    label = Words.of(codes)

    def read(text: str) -> str | None:
        """A code, its label, or the code of a label: whatever the policy names."""
        for word in (text, labels.get(number_key(text) or text), codes.get(label(text) or "")):
            if word is not None and (found := match(word)) is not None:
                return found
        return None

    return [_matched(c, read, missing) for c in cells]


def _grouped(name: str, policy: Policy, labels: Mapping[str, str]) -> Callable[[str], str | None]:
    """Codes by their groups; a synthetic table already holds groups."""
    group, groups = category_reader(name, policy, labels), Words.of(policy.groupings[name].groups)

    def read(text: str) -> str | None:
        found = group(text) if text not in groups.known else text
        return found or groups(text) or group(number_key(text) or text)

    return read


def _matched(cells: Cells, read: Callable[[str], str | None], missing: Iterable[str] = ()) -> Read:
    """Each text as the known word that it is; else as it stands, and counted. A token for missing holds for equal numbers."""
    tokens = {key for token in missing if (key := number_key(token)) is not None}
    value: dict[str, str | None] = {}
    unknown, nothing = set[int](), set[int]()
    for place, text in enumerate(cells.distinct):
        value[text] = read(text)
        if value[text] is None and (number_key(text) in tokens or is_nothing(text)):
            nothing.add(place)
        elif value[text] is None:
            value[text] = text
            unknown.add(place)
    there = cells.codes[cells.codes != MISSING]
    absent = int(np.isin(there, list(nothing)).sum())
    unreadable = int(np.isin(there, [*unknown, UNREADABLE]).sum())
    return Read(cells.words(value.__getitem__), len(there) - absent, unreadable)


def _by_train(name: str, cells: Sequence[Cells], labels: Mapping[str, str], missing: Iterable[str] = ()) -> list[Read]:
    """Words that no policy lists, as the training table writes them. Raises InputError if the synthetic table has none in
    common with the real ones: it then holds codes of its own, and no attack could find anything."""
    plain = {text: labels.get(number_key(text) or text, text) for cell in cells for text in cell.distinct}
    known = {plain[text] for text in cells[1].distinct}
    truths = Words.of(sorted(known)).truths
    if not truths and _share(cells[1], _is_truth) >= MOST:  # but for a few other words
        both = Words.of(sorted(word for word in known if _is_truth(word))).truths
        truths = both if len(both) == 2 else {}
    match = Words((*sorted(known), OTHER), truths)

    def read(text: str) -> str | None:
        return match(plain[text])

    found = [_matched(cell, read, missing) for cell in cells]
    words = [{value for value in read.values if value is not None} for read in found]
    if words[0] and not words[0] & (words[1] | words[2] | {OTHER}):
        rule = "has no value in common with the real tables, so that no attack could find anything in it"
        hint = "write its values as the other tables do, or leave the column out of all three"
        raise InputError(Problem(f"column {name!r} of the synthetic table", rule, hint))
    lost = [int((cell.codes == UNREADABLE).sum()) for cell in cells]
    return [Read(read.values, read.present, count) for read, count in zip(found, lost, strict=True)]


# --- without one ------------------------------------------------------------------------------------------------------


def _inferred(raws: Sequence[RawTable]) -> Compared:
    """Kinds by what most cells of the real tables are; one odd cell decides nothing."""
    shared = [name for name in raws[0].columns if name and all(name in raw.columns for raw in raws)]
    names, left_out = _in_all(shared, raws)
    found: dict[str, list[Read]] = {}
    kinds: dict[str, str] = {}
    for name in names:
        cells = [raw.cells(name, []) for raw in raws]
        labels = {code: label for raw in reversed(raws) for code, label in raw.labels.get(name, {}).items()}
        if _invented(cells[0]):
            left_out.append(f"Column {name!r}: the synthetic table holds invented identifiers.")
        elif not labels and (kind := _kind(cells)) != "category":
            kinds[name], found[name] = kind, [_as_numbers(cell, kind) for cell in cells]
        elif len(cells[1].distinct) <= ID_LIKE * max(cells[1].present, 1):
            kinds[name], found[name] = "category", _by_train(name, cells, labels)
        else:
            left_out.append(f"Column {name!r}: so many values differ that it was taken for an identifier.")
    _check_columns(list(found))
    return _compared(found, kinds, dict.fromkeys(found, "attribute"), (None, None), left_out)


def _invented(cells: Cells) -> bool:
    """True of what this package writes in place of identifiers."""
    there = cells.words(lambda text: "x" if text.startswith(PREFIX) else None)
    return cells.present > 0 and int((there != None).sum()) >= MOST * cells.present  # noqa: E711  # element by element


def _share(cells: Cells, holds: Callable[[str], bool]) -> float:
    """Of the cells that hold a value; 1 where there are none."""
    counts = np.bincount(cells.codes[cells.codes >= 0], minlength=len(cells.distinct))
    counts = counts * np.array([not is_nothing(text) for text in cells.distinct], bool)
    holding = counts[np.array([holds(text) for text in cells.distinct], bool)].sum()
    return float(holding / counts.sum()) if counts.sum() else 1.0


def _is_truth(text: str) -> bool:
    return truth_of(text) is not None


def _kind(cells: Sequence[Cells]) -> str:
    """number, date or category. Truth values are words, unless all tables write them as numbers."""
    numeric = all(_share(cell, lambda text: number_key(text) is not None) >= MOST for cell in cells)
    if not numeric and all(_share(cell, _is_truth) >= MOST for cell in cells):
        return "category"
    for kind in ("number", "date"):
        reads = [_as_numbers(cell, kind) for cell in cells[1:]]
        present = sum(read.present for read in reads)
        if present - sum(read.unreadable for read in reads) >= MOST * present:
            return kind
    return "category"


def _as_numbers(cells: Cells, kind: str) -> Read:
    """Numbers, or the days of dates, in the way that most cells of this table are written."""
    nothing = [place for place, text in enumerate(cells.distinct) if is_nothing(text)]
    plain = number_of if kind == "number" else partial(day_of, form=None)
    texts = [text for text in cells.distinct if not is_nothing(text)]
    other, first = another_way("plain" if kind == "number" else kind, texts, plain, math.isfinite)
    values, rest = (cells.numbers(way) for way in ((other, plain) if first else (plain, other)))
    values = np.where(np.isfinite(values), values, rest)
    values = np.where(np.isfinite(values), values, np.nan)
    present = int(((cells.codes != MISSING) & ~np.isin(cells.codes, nothing)).sum())
    return Read(values, present, present - int(np.isfinite(values).sum()))
