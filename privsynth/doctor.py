"""Reads a table against a policy and shows every mismatch, with examples. Spends nothing and writes nothing.

What it shows is private: exact counts and values of real rows, for the eyes of an officer who may see the table. No
mechanism is involved and nothing is learned for a release. What a person changes in a policy after a look is outside the
claim (docs/privacy.md, section 9).
"""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privsynth.errors import InputError, printable
from privsynth.policy import Policy
from privsynth.policy.column import TEMPORAL
from privsynth.table.cells import Cells
from privsynth.table.intake import category_reader, check_header, check_types, finer, is_text_column
from privsynth.table.raw import NO_VALUE, REGULAR, RawTable
from privsynth.table.reader import Source, read_header, read_table, read_types
from privsynth.table.suggest import NO_TEXT, other_form, same_form
from privsynth.table.values import Form, NumberReader

EXAMPLES = 5  # distinct values that are shown of each kind of mismatch
SOME = 500  # distinct texts that suggestions are tried on, at most
_NO = frozenset(
    (
        "0",
        "0.0",
        "n",
        "no",
        "f",
        "false",
        "nein",
        "falsch",
        "non",
        "faux",
        "falso",
        "nie",
        "nee",
        "nej",
        "ne",
        "não",
        "nao",
        "ei",
    )
)
_STOPS = "would stop the run"


@dataclass
class Finding:
    """One mismatch of a column. cells: how many; examples: [value, how often], most frequent first. Private."""

    what: str
    cells: int
    examples: list[tuple[str, int]] = field(default_factory=list)
    hint: str = ""


@dataclass
class Diagnosis:
    """What was found. problems: why a run would not begin. notes: on the table as a whole. columns: name -> findings; one
    without any is as declared. present: cells with a value by column. limit: `dataset.unreadable`."""

    rows: int
    problems: list[str]
    notes: list[str]
    columns: dict[str, list[Finding]]
    present: dict[str, int]
    limit: float

    @property
    def stops(self) -> list[str]:
        """Columns for which a run would stop, noise aside: too many cells cannot be read."""
        unreadable = {n: sum(f.cells for f in found if f.what == UNREADABLE) for n, found in self.columns.items()}
        return [name for name, cells in unreadable.items() if cells > self.limit * max(self.present[name], 1)]

    @property
    def healthy(self) -> bool:
        return not self.problems and not self.stops

    def to_json(self) -> dict[str, Any]:
        return {
            "private": True, "rows": self.rows, "problems": self.problems, "notes": self.notes, "stops": self.stops,
            "columns": {
                name: [{"what": f.what, "cells": f.cells, "examples": f.examples, "hint": f.hint} for f in found]
                for name, found in self.columns.items()
            },
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """The same for a person."""
        yield "PRIVATE: what follows shows values of real rows. Nothing was written, and no privacy budget was spent."
        yield f"{self.rows:,} rows."
        yield from (*self.problems, *self.notes)
        for name, found in self.columns.items():
            for finding in found:
                share = _percent(finding.cells / max(self.rows, 1))
                yield f"\n{name}: {finding.cells:,} cells ({share}) {finding.what}"
                if finding.examples:
                    shown = ", ".join(f"{printable(repr(text))} ({times:,})" for text, times in finding.examples)
                    yield f"    such as {shown}"
                if finding.hint:
                    yield f"    hint: {finding.hint}"
        good = [name for name, found in self.columns.items() if not found]
        if good:
            yield f"\nAs declared: {', '.join(good)}."
        if self.stops:
            yield f"\nA run would stop: more than {100 * self.limit:g} % of the cells of {', '.join(self.stops)} cannot be read."
        elif not self.problems:
            yield "\nA run can read this table."


def _percent(share: float) -> str:
    """
    >>> _percent(1.0), _percent(0.124), _percent(0.00031)
    ('100 %', '12 %', '0.031 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


UNREADABLE = "cannot be read as their kind; they would turn missing"


def examine(policy: Policy, source: Source) -> Diagnosis:
    """Raises InputError if the source cannot be read as a table at all."""
    dataset = policy.model.dataset
    try:
        check_header(read_header(source, dataset), policy)
        check_types(read_types(source, dataset), policy)
        problems: list[str] = []
    except InputError as error:
        if not error.problems or not error.problems[0].place.startswith(("table", "column ")):
            raise
        problems = [str(problem) for problem in error.problems]
    raw = read_table(source, dataset)
    columns, present = {}, {}
    for name, column in policy.model.columns.items():
        if column.modelled and name in raw.columns:
            look = _categories if column.categorical else _numbers
            columns[name], present[name] = look(raw, name, policy)
    return Diagnosis(len(raw), problems, list(_table(raw, policy)), columns, present, dataset.unreadable)


def _table(raw: RawTable, policy: Policy) -> Iterator[str]:
    yield from raw.notes
    declared = policy.model.dataset.rows
    if declared is not None and abs(declared - len(raw)) > 0.1 * declared:
        yield f"`dataset.rows` says {declared:,}, and the table has {len(raw):,}: the claim holds, but accuracy suffers"
    if policy.unit_column is None or policy.unit_column not in raw.columns:
        return
    cells = raw.cells(policy.unit_column, policy.missing(policy.unit_column))
    sizes = np.bincount(cells.codes[cells.codes >= 0])
    lost = int(np.maximum(sizes - policy.max_rows, 0).sum())
    without = int(np.count_nonzero(cells.codes < 0))
    if without:
        yield f"{without:,} rows have no value in the unit column {policy.unit_column!r} and would be left out"
    if lost:
        large = int(np.count_nonzero(sizes > policy.max_rows))
        yield (
            f"{large:,} units have more than `max_rows` = {policy.max_rows} rows: {lost:,} rows "
            f"({_percent(lost / len(raw))}) would be left out, so that units with many rows weigh less than in the table"
        )


def _tally(cells: Cells, chosen: np.ndarray) -> list[tuple[str, int]]:
    """The most frequent texts among the cells chosen."""
    counts = Counter(dict(enumerate(np.bincount(cells.codes[chosen & (cells.codes >= 0)], minlength=1).tolist())))
    return [(cells.distinct[code], times) for code, times in counts.most_common(EXAMPLES) if times]


def _distinct(cells: Cells, chosen: np.ndarray) -> list[str]:
    """Some of the different texts among the cells chosen."""
    return [cells.distinct[code] for code in np.unique(cells.codes[chosen]) if code >= 0][:SOME]


def _numbers(raw: RawTable, name: str, policy: Policy) -> tuple[list[Finding], int]:
    column, reader, found = policy.model.columns[name], NumberReader.of(policy, name), []
    cells, numbers = raw.cells(name, ()), raw.numbers(name, reader)
    values, bad = numbers.values, numbers.states == NO_VALUE
    if bad.any():
        texts = _distinct(cells, bad)
        found.append(Finding(UNREADABLE, int(bad.sum()), _tally(cells, bad), other_form(texts, reader.form)))
    low, high = column.limits or (-math.inf, math.inf)
    with np.errstate(invalid="ignore"):
        outside = (values < low) | (values > high)
    rounded = finer(values, column) & ~outside
    done = {"clip": "would be moved to the nearest bound", "missing": "would turn missing"}
    rule = policy.unexpected(name)
    if outside.any():
        what = f"lie outside the bounds; they {done.get(rule, _STOPS)}"
        found.append(Finding(what, int(outside.sum()), _tally(cells, outside)))
    if rounded.any():
        what = "are finer than the column's resolution; they would be rounded"
        if column.kind == "integer":
            what = f"are not whole numbers; they {(done | {'clip': 'would be rounded'}).get(rule, _STOPS)}"
        found.append(Finding(what, int(rounded.sum()), _tally(cells, rounded)))
    if is_text_column(raw, name) and not (raw.iso and column.kind in TEMPORAL):
        found += rewritten(cells, (numbers.states == REGULAR) & ~outside & ~rounded, values, reader.form)
    found += _blanks(cells, column.nullable)
    return found, numbers.present


def _categories(raw: RawTable, name: str, policy: Policy) -> tuple[list[Finding], int]:
    column, read, marks = (
        policy.model.columns[name],
        category_reader(name, policy, raw.labels.get(name, {})),
        policy.marks(name),
    )
    cells, found = raw.cells(name, ()), []
    unknown = np.array([*(text not in marks and read(text) is None for text in cells.distinct), True, False])[
        cells.codes
    ]
    if unknown.any():
        texts = _tally(cells, unknown)
        groups = policy.groupings[name].groups if name in policy.groupings else []
        near = _near(texts, [*(column.public_categories or ()), *groups])
        if column.kind == "boolean":
            near = _two_words([text for text in cells.distinct if text not in marks])
        what = UNREADABLE if column.kind == "boolean" else "are not among the categories; they would turn missing"
        found.append(Finding(what, int(unknown.sum()), texts, near))
    return [*found, *_blanks(cells, column.nullable)], cells.present


def _blanks(cells: Cells, nullable: bool) -> list[Finding]:
    blank = cells.codes == -1
    if nullable or not blank.any():
        return []
    what = "are blank, though the column is declared `nullable: false`; no synthetic row would be"
    return [Finding(what, int(blank.sum()))]


def _two_words(words: list[str]) -> str:
    """Which one is false is said where it is known alone: truth values must not be turned round."""
    no = [word for word in words if word.casefold() in _NO]
    pair = [*no, *(word for word in words if word not in no)] if len(words) == 2 and len(no) == 1 else ["no", "yes"]
    shown = ", ".join(json.dumps(word, ensure_ascii=False) for word in pair)
    return f"declare its two words, the false one first, such as `categories: [{shown}]`"


def _near(texts: list[tuple[str, int]], known: list[str]) -> str:
    """Declared categories that differ from what was found in case or spelling alone."""
    if not texts:
        return NO_TEXT
    folded = {category.casefold(): category for category in known}
    for text, _ in texts:
        guess = folded.get(text.casefold()) or folded.get(text.removesuffix(".0").casefold())
        guess = guess or next(iter(difflib.get_close_matches(text, known, 1, 0.8)), None)
        if guess:
            return f"the policy declares {guess!r}: write categories exactly as they stand in the table"
    return "declare them in `categories`, or leave them to turn missing"


def rewritten(cells: Cells, chosen: np.ndarray, values: np.ndarray, form: Form) -> list[Finding]:
    """Cells that are read, and whose values would leave written in another way, such as 04390 as 4390."""
    codes, rows = np.unique(np.where(chosen, cells.codes, -1), return_index=True)
    rows = rows[codes >= 0]
    texts = [cells.distinct[code] for code in cells.codes[rows]]
    shown = dict(zip(texts, form.texts_of(values[rows]), strict=True))
    other = {text for text, written in shown.items() if not form.written_alike(text, written)}
    if not other:
        return []
    hit = chosen & np.isin(cells.codes, [code for code, text in enumerate(cells.distinct) if text in other])
    examples = [(f"{text} as {shown[text]}", times) for text, times in _tally(cells, hit)]
    what = "are read, and such values would leave written otherwise"
    return [Finding(what, int(hit.sum()), examples, same_form(sorted(other)[:SOME], form))]
