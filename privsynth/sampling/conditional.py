"""Rows that are given in part: read as strictly as an input, and the rest of each drawn given its known cells.

A gap that was stored in place of the larger side of an inequality is known where both sides are known. Where only the larger
side is given, the gap is drawn first and the smaller side computed from it, so that lengths of stay keep their distribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import pyarrow as pa

from privsynth.encoding.codec import Codec
from privsynth.encoding.decoding import rounded
from privsynth.encoding.domain import ColumnDomain
from privsynth.errors import InputError, Problem
from privsynth.policy.column import TRUTHS
from privsynth.policy.constraints.chains import at_most
from privsynth.policy.model import DatasetSpec
from privsynth.privacy.unit import Rows
from privsynth.progress import Progress
from privsynth.sampling.output import Layout, OutputColumn
from privsynth.table.cells import UNREADABLE
from privsynth.table.names import state_of
from privsynth.table.raw import BLANK, Numbers, RawTable
from privsynth.table.reader import read_table
from privsynth.table.values import NumberReader

DATES = 40  # draws of the date at which an age counts, until constraints allow the age


@runtime_checkable
class Filling(Protocol):
    """A model that knows every conditional distribution."""

    def fill(
        self,
        codes: np.ndarray,
        rng: np.random.Generator,
        absent: Mapping[str, tuple[str, ...]] | None,
        progress: Progress,
    ) -> np.ndarray:
        """(n, columns) int32 codes, -1 for what is unknown -> all of them. absent: the marks of each column that mean that
        there is no value; neither these nor blank cells are drawn. None: anything is."""


@dataclass(frozen=True)
class Given:
    """known: typed values of all modelled columns, None or NaN where there is none. most: the largest value that an
    inequality leaves to a cell that is not given. identifiers: as given. All have one row for each row given. absent: the
    marks of each column that mean that there is no value."""

    known: pd.DataFrame
    most: pd.DataFrame
    identifiers: pd.DataFrame
    absent: Mapping[str, tuple[str, ...]]

    @classmethod
    def of_rows(cls, table: pd.DataFrame | str | Path, codec: Codec, layout: Layout) -> Given:
        """Raises InputError with all problems; no message quotes a value, since rows may be real people's."""
        raw = read_table(table, DatasetSpec(id="given", csv=layout.csv))
        problems = _unknown_columns(raw, layout, isinstance(table, pd.DataFrame))
        known, identifiers = {}, {}
        computed = {each.name for each in layout.computed}
        stored = {name: c for c in codec.domain.columns for name in (c.members or (c.name,))}
        for column in layout.columns:
            there = column.name in raw.columns
            if column.release == "regenerate":
                if there:
                    identifiers[column.name] = _as_given(raw, column.name, column.missing)
                continue
            if column.name in computed:
                if there:
                    problems.append(Problem(f"column {column.name!r}", "follows from others", "leave it out"))
                continue
            domain = stored[column.name]
            if domain.categorical:
                names = {*domain.categories, *domain.marks} if not domain.members else _truths(domain, column.name)
                known[column.name], wrong = _words(raw, column, names) if there else (np.full(len(raw), None), "")
            else:
                found, wrong = _numbers(raw, column, domain) if there else (Numbers.none(len(raw)), "")
                known[column.name] = found.values
                if domain.marks:
                    known[state_of(column.name)] = found.states
            if wrong:
                problems.append(Problem(f"column {column.name!r}", wrong, f"the model knows {_range(domain)}"))
        if not problems:
            problems += [wrong for c in codec.domain.columns if c.members for wrong in _whole_group(known, c)]
        if problems:
            raise InputError(problems)
        return cls._ruled(pd.DataFrame(known), pd.DataFrame(identifiers, index=range(len(raw))), codec, layout)

    @classmethod
    def of_values(cls, values: Mapping[str, Any], codec: Codec, layout: Layout) -> Given:
        """One row of which some values are given."""
        given = cls.of_rows(pd.DataFrame({str(name): [value] for name, value in values.items()}), codec, layout)
        problems = [
            Problem(f"column {name!r}", "holds invented identifiers, on which nothing depends", "leave it out")
            for name in given.identifiers
        ]
        problems += [
            Problem(f"column {name!r}", "is given without a value", "leave it out, or give one")
            for name in map(str, values)
            if name in given.known and given.known[name].isna().all() and not _marked(given.known, name)
        ]  # fmt: skip
        if problems:
            raise InputError(problems)
        return given

    def repeated(self, n: int) -> Given:
        """The first row n times."""
        first = np.zeros(n, np.int64)
        known, most, identifiers = (
            f.iloc[first].reset_index(drop=True) for f in (self.known, self.most, self.identifiers)
        )
        return Given(known, most, identifiers, self.absent)

    @classmethod
    def _ruled(cls, known: pd.DataFrame, identifiers: pd.DataFrame, codec: Codec, layout: Layout) -> Given:
        ruled = {name for small, large, *_ in layout.rules for name in (small, large)}
        most = {name: known[name].fillna(np.inf).to_numpy(float) for name in known if name in ruled}
        for _ in layout.rules:  # as often as the longest chain can need
            for small, large, strict, _ in layout.rules:
                below = at_most(most[large], codec.domain[small].step, strict)
                most[small] = np.where(known[small].isna(), np.minimum(most[small], below), most[small])
        problems = [
            Problem(f"columns {small!r} and {large!r}", f"break the rule {small} {'<' if strict else '<='} {large}")
            for small, large, strict, _ in layout.rules
            if (known[small] >= most[large] if strict else known[small] > most[large]).any()
        ]
        if problems:
            raise InputError(problems)
        absent = {column.name: column.missing for column in layout.columns}
        return cls(known, pd.DataFrame(most, index=known.index), identifiers, absent)


def completed(
    given: Given, codec: Codec, model: Filling, present: bool, rng: np.random.Generator, progress: Progress
) -> pd.DataFrame:
    """Typed rows: given cells as they are, the others drawn conditionally. present: no cell stays missing."""
    known = _with_dates_of_ages(given, codec, model, rng, progress)
    gaps = [(j, column) for j, column in enumerate(codec.domain.columns) if column.gap_from is not None]
    for _ in gaps:  # as often as the longest chain can need
        from_above = [known[c.name].notna() & known[c.gap_from].isna() for _, c in gaps]
        rows = np.flatnonzero(np.any(from_above, 0))
        if len(rows) == 0:
            break
        codes = model.fill(codec.encode_known(known.iloc[rows].reset_index(drop=True)), rng, given.absent, progress)
        for j, column in gaps:
            small, value = codec.domain[str(column.gap_from)], known[column.name].to_numpy(float)[rows]
            gap = codec.columns[j].grid_values(*codec.columns[j].decode(codes[:, j], rng.random(len(codes))))
            start = np.maximum((np.round(value / column.step) - gap) * column.step, small.low * small.step)
            start = np.minimum(rounded(start, small.step), given.most[small.name].to_numpy(float)[rows])
            before = known[small.name].to_numpy(float)
            before[rows] = np.where(np.isnan(before[rows]), start, before[rows])
            known[small.name] = before
    there = codec.encode_known(known)
    codes = model.fill(there, rng, given.absent if present else None, progress)
    codes = codec.possible.repaired(codes, rng, there >= 0)
    _refuse_broken(codes, codec)
    typed = codec.decode(codes, rng, known)
    drawn = {n: np.minimum(typed[n], most).where(given.known[n].isna(), typed[n]) for n, most in given.most.items()}
    typed = typed.assign(**drawn)
    if codec.walls:  # what was lowered to fit a given value may have left its code
        _refuse_broken(codec.encode(Rows(typed, np.arange(len(typed)))).values, codec)
    return typed


def _refuse_broken(codes: np.ndarray, codec: Codec) -> None:
    """Raises InputError if some row is impossible."""
    if codec.possible.broken(codes).any():
        rule = "breaks a constraint of the policy, or can only be completed by breaking one"
        raise InputError(Problem("given rows", rule, "give fewer values, or other ones"))


def _with_dates_of_ages(
    given: Given, codec: Codec, model: Filling, rng: np.random.Generator, progress: Progress
) -> pd.DataFrame:
    """What is known, and the date at which ages count drawn wherever a date of birth is given without it: what depends on the
    age then follows from both. Drawn again, some times, where that age leaves no row."""
    known = given.known.copy()
    for name, at in [(column.name, column.age_at) for column in codec.domain.columns if column.age_at is not None]:
        rows = np.flatnonzero(known[name].notna() & known[at].isna())
        dates, most = known[at].to_numpy(float), given.most.get(at, pd.Series(np.inf, known.index)).to_numpy(float)
        for _ in range(DATES):
            if not len(rows):
                break
            part = given.known.iloc[rows].reset_index(drop=True)
            codes = model.fill(codec.encode_known(part), rng, given.absent, progress)
            dates[rows] = np.minimum(codec.decode(codes, rng, part)[at].to_numpy(float), most[rows])
            known[at] = dates
            there = codec.encode_known(known.iloc[rows].reset_index(drop=True))
            rows = rows[~codec.possible.completable(there, there >= 0)]
    return known


def _marked(known: pd.DataFrame, name: str) -> bool:
    """True if a column holds a mark in every row, such as a censored value."""
    return state_of(name) in known and bool((known[state_of(name)] >= 0).all())


def _as_given(raw: RawTable, name: str, missing: tuple[str, ...]) -> np.ndarray:
    """(rows,) identifiers: whole numbers as such, all else as text; None where there is none."""
    words = raw.cells(name, missing).words()
    if pa.types.is_integer(raw.frame.column(name).type):
        return np.array([None if word is None else int(word) for word in words], object)
    return words


def _unknown_columns(raw: RawTable, layout: Layout, has_header: bool) -> list[Problem]:
    """Columns that are not released. has_header: else the names of a file may be the first row's values."""
    names = [column.name for column in layout.columns]
    strange = [(i, name) for i, name in enumerate(raw.columns, 1) if name not in names]
    named = has_header or 2 * len(strange) <= len(raw.columns)
    hint = f"columns are {', '.join(names[:30])}" + (", ..." if len(names) > 30 else "")
    return [
        Problem(f"column {name!r}" if named else f"column {i}", "is not a released column", hint) for i, name in strange
    ]


def _truths(domain: ColumnDomain, name: str) -> set[str]:
    """All words for false and true of a column of which one of its group is true."""
    return {word for pair in (domain.words[domain.members.index(name)], *TRUTHS) for word in pair}


def _whole_group(known: dict[str, Any], domain: ColumnDomain) -> Iterator[Problem]:
    """Completes columns of which one is true, where the given ones tell which; the others cannot be drawn by themselves."""
    pairs = [
        {word: at for spelled in reversed((own, *TRUTHS)) for at, word in enumerate(spelled)} for own in domain.words
    ]
    given = np.stack([[pair.get(v, -1) for v in known[n]] for n, pair in zip(domain.members, pairs, strict=True)], 1)
    true, false, none = (given == 1).sum(1), (given == 0).sum(1), len(domain.categories) > len(domain.members)
    told = (true == 1) | ((true == 0) & (false == len(domain.members) - 1) & (not none))
    wrong = (true > 1) | ((true == 0) & (false == len(domain.members)) & (not none))
    names = ", ".join(map(repr, domain.members))
    if wrong.any():
        yield Problem(f"columns {names}", f"are not {'at most' if none else 'exactly'} one true in a row")
    elif (~told & (false > 0) & (false < len(domain.members))).any():
        yield Problem(
            f"columns {names}", "are given in part, without the one that is true", "give that one, or none of them"
        )
    else:
        for at, (name, words) in enumerate(zip(domain.members, domain.words, strict=True)):
            is_true = (given[:, at] == 1) | ((given[:, at] < 0) & (true == 0))
            full = np.where(is_true, words[1], words[0]).astype(object)
            missing = np.array([value is None for value in known[name]])
            known[name] = np.where(told & missing, full, known[name])


def _words(raw: RawTable, column: OutputColumn, names: set[str]) -> tuple[Any, str]:
    """(text or None, what is wrong). names: what may stand there."""
    cells = raw.cells(column.name, ())
    known = UNREADABLE not in cells.codes and {column.word_of(text) for text in cells.distinct} <= names
    words = cells.words(lambda text: None if text in column.missing else column.word_of(text))
    return words, "" if known else "holds a value that is not among its categories"


def _numbers(raw: RawTable, column: OutputColumn, domain: ColumnDomain) -> tuple[Numbers, str]:
    """(values, what is wrong)"""
    found = raw.numbers(domain.name, NumberReader(column.form, domain.marks))
    absent = [place for place, mark in enumerate(domain.marks) if mark in column.missing]
    found.states[np.isin(found.states, absent)] = BLANK  # to be drawn, as an empty cell is
    low, high = (float(rounded(np.array(end * domain.step), domain.step)) for end in (domain.low, domain.high))
    if found.unreadable:
        return found, f"holds a value that cannot be read as {_CALLED.get(domain.kind, 'a number')}"
    there = found.values[~np.isnan(found.values)]
    if domain.kind == "integer" and (there != np.round(there)).any():
        return found, "holds a value that is not a whole number"
    return found, "" if ((there >= low) & (there <= high)).all() else "holds a value outside of its bounds"


_CALLED = {"date": "a date", "datetime": "a moment", "time": "a time of day", "duration": "a duration"}


def _range(domain: ColumnDomain) -> str:
    some = ", ".join(domain.categories[:8]) + (", ..." if len(domain.categories) > 8 else "")
    return some if domain.categorical else domain.described
