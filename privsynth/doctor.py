"""Reads a table against a policy and shows every mismatch, with examples. Spends nothing and writes nothing.

What it shows is private: exact counts and values of real rows, for the eyes of an officer who may see the table. No
mechanism is involved and nothing is learned for a release. What a person changes in a policy after a look is outside the
claim (docs/privacy.md, section 9).
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from privsynth.errors import InputError, printable
from privsynth.policy import Policy
from privsynth.table.cells import Cells
from privsynth.table.intake import SHORT, category_reader, check_header, check_types
from privsynth.table.raw import RawTable
from privsynth.table.reader import Source, read_header, read_table, read_types
from privsynth.table.values import Form, NumberReader

EXAMPLES = 5  # distinct values that are shown of each kind of mismatch
ENOUGH = 0.9  # share of unreadable cells that another way of writing must explain to be suggested
SOME = 10_000  # distinct texts that suggestions are tried on, at most
FORMATS = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d-%m-%Y", "%d-%b-%Y", "%d-%b-%y", "%d%b%Y", "%d.%m.%y", "%m/%d/%y",
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M %p",
)  # fmt: skip


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


def _numbers(raw: RawTable, name: str, policy: Policy) -> tuple[list[Finding], int]:
    column, reader, found = policy.model.columns[name], NumberReader.of(policy, name), []
    cells = raw.cells(name, ())
    read = [reader(text) for text in cells.distinct]
    values = np.array([*(value for value, _ in read), math.nan, math.nan])
    marks = np.array([*(mark for _, mark in read), -1, -1])
    bad = np.array([*(~np.isfinite(values[:-2]) & (marks[:-2] < 0)), True, False])[cells.codes]
    if bad.any():
        texts = [
            text for text, (value, mark) in zip(cells.distinct, read, strict=True) if math.isnan(value) and mark < 0
        ]
        found.append(Finding(UNREADABLE, int(bad.sum()), _tally(cells, bad), _other_form(texts[:SOME], reader.form)))
    low, high = column.limits or (-math.inf, math.inf)
    with np.errstate(invalid="ignore"):
        outside = ((values < low) | (values > high))[cells.codes]
        off = np.abs(values - np.round(values / column.step) * column.step)
        finer = ((off > 1e-6 * column.step) & (off > SHORT * np.abs(values)))[cells.codes] & ~outside
    rule = policy.unexpected(name)
    if outside.any():
        done = {"clip": "would be moved to the nearest bound", "missing": "would turn missing"}.get(
            rule, "would stop the run"
        )
        found.append(Finding(f"lie outside the bounds; they {done}", int(outside.sum()), _tally(cells, outside)))
    if finer.any():
        if column.kind == "integer":
            done = (
                "would be rounded"
                if rule == "clip"
                else "would turn missing"
                if rule == "missing"
                else "would stop the run"
            )
            found.append(Finding(f"are not whole numbers; they {done}", int(finer.sum()), _tally(cells, finer)))
        else:
            what = "are finer than the column's resolution; they would be rounded"
            found.append(Finding(what, int(finer.sum()), _tally(cells, finer)))
    found += _blanks(cells, column.nullable)
    return found, cells.present - int(np.count_nonzero(marks[cells.codes] >= 0))


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
        what = UNREADABLE if column.kind == "boolean" else "are not among the categories; they would turn missing"
        found.append(Finding(what, int(unknown.sum()), texts, near))
    return [*found, *_blanks(cells, column.nullable)], cells.present


def _blanks(cells: Cells, nullable: bool) -> list[Finding]:
    blank = cells.codes == -1
    if nullable or not blank.any():
        return []
    what = "are blank, though the column is declared `nullable: false`; no synthetic row would be"
    return [Finding(what, int(blank.sum()))]


def _near(texts: list[tuple[str, int]], known: list[str]) -> str:
    """Declared categories that differ from what was found in case or spelling alone."""
    folded = {category.casefold(): category for category in known}
    for text, _ in texts:
        guess = folded.get(text.casefold()) or folded.get(text.removesuffix(".0").casefold())
        guess = guess or next(iter(difflib.get_close_matches(text, known, 1, 0.8)), None)
        if guess:
            return f"the policy declares {guess!r}: write categories exactly as they stand in the table"
    return "declare them in `categories`, or leave them to turn missing"


def _other_form(texts: list[str], form: Form) -> str:
    """What to declare, if another way of writing reads nearly all of the texts."""
    if not texts:
        return "they hold control characters, or are no text"
    if sum(bool(_CENSORED.match(text)) for text in texts) >= ENOUGH * len(texts):
        return 'declare what stands for values beyond a limit, such as `censored: {below: "<0.6", above: ["90+"]}`'
    best, words = 0.0, ""
    for other, words_of_it in _forms(form):
        read = sum(not math.isnan(other.value_of(text)) for text in texts) / len(texts)
        if read > best:
            best, words = read, words_of_it
    if best >= ENOUGH:
        return f"declare {words}: it reads {100 * best:.0f} % of these values"
    return "declare how they are written (`number`, `format`, `dataset.csv`), or what they mean (`missing`, `censored`)"


_CENSORED = re.compile(r"(?:[<>\u2264\u2265]=?\s*[\d.,]+|[\d.,]+\s*\+)\Z")


def _forms(form: Form) -> Iterator[tuple[Form, str]]:
    if form.kind in ("integer", "number"):
        for decimal, thousands in ((",", ""), (".", ","), (",", "."), (",", " "), (".", " "), (".", "'")):
            stated = f'decimal: "{decimal}"' + (f', thousands: "{thousands}"' if thousands else "")
            yield replace(form, decimal=decimal, thousands=thousands), f"`number: {{{stated}}}`"
            more = replace(form, decimal=decimal, thousands=thousands, parentheses=True)
            yield more, f"`number: {{{stated}, parentheses: true}}`"
        for currency in ("€", "$", "£", "CHF", "USD", "EUR"):
            yield (
                replace(form, thousands=",", currency=currency),
                f'`number: {{thousands: ",", currency: "{currency}"}}`',
            )
        yield replace(form, percent=True), "`number: {percent: true}`"
    elif form.kind in ("date", "datetime"):
        for other in FORMATS:
            if form.kind == "date" or "%H" in other or "%I" in other:
                yield replace(form, format=other), f'`format: "{other}"`'
        if form.kind == "datetime" and not form.timezone:
            yield replace(form, timezone="UTC"), "`timezone` (such as `UTC`), since the cells have offsets"
