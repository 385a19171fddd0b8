"""Histograms of the synthetic and the real column over the same bars, at most 24, so that a person can read them."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from privsynth.evidence import ColumnUtility
from privsynth.utility.cells import Marked, is_category, known_numbers, numbers
from privsynth.utility.labels import clock, day, short, year

MAX_BARS = 24
_STEPS = (1, 2, 5, 10)
_CLOCK_STEPS = (60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200)  # seconds
_DAY = 86_400


def histogram(
    name: str, kind: str, synthetic: pd.Series, real: pd.Series, distance: float | None, marked: Marked | None = None
) -> ColumnUtility:
    """Shares of both tables in the same bars, each mark and "missing" in bars of their own if there are any.

    `kind`: as in the policy; dates are days and moments seconds since 1970, labelled by date or year, times and durations are
    seconds, labelled as hours and minutes. `distance`: the column's total variation distance, passed through. `marked`: texts
    in place of numbers.
    """
    if is_category(real):
        labels, one, two = _category_bars(synthetic, real)
    else:
        labels, one, two = _number_bars(name, synthetic, real, kind, marked or Marked())
    return ColumnUtility(
        name=name,
        kind=kind,
        tvd=distance,
        labels=labels,
        synthetic=one,
        reference=two,
        reference_name="real",
    )


def _category_bars(synthetic: pd.Series, real: pd.Series) -> tuple[list[str], list[float], list[float]]:
    """The most common categories (of both tables together) in their own order, then "other", then "missing"."""
    names = [str(value) for value in real.cat.categories]
    counts = [np.bincount(column.cat.codes.to_numpy() + 1, minlength=len(names) + 1) for column in (synthetic, real)]
    shares = [count / max(count.sum(), 1) for count in counts]
    both = shares[0][1:] + shares[1][1:]
    most = MAX_BARS - 2
    top = np.arange(len(names)) if len(names) <= most else np.sort(np.argsort(-both, kind="stable")[:most])
    rest = np.setdiff1d(np.arange(len(names)), top)
    bars = [[*share[1:][top], *([share[1:][rest].sum()] if len(rest) else []), share[0]] for share in shares]
    labels = [names[i] for i in top] + (["other"] if len(rest) else []) + ["missing"]
    return _without_empty_missing(labels, *bars)


def _number_bars(
    name: str, synthetic: pd.Series, real: pd.Series, kind: str, marked: Marked
) -> tuple[list[str], list[float], list[float]]:
    known, texts = known_numbers(real), marked.texts.get(name, ())
    edges, labels = _bins(known if len(known) else known_numbers(synthetic), kind)
    bars = []
    for column, places in ((numbers(synthetic), marked.synthetic.get(name)), (numbers(real), marked.train.get(name))):
        count = np.bincount(np.searchsorted(edges, column[~np.isnan(column)], side="right"), minlength=len(labels))
        marks = np.zeros(len(texts)) if places is None else np.bincount(places[places >= 0], minlength=len(texts))
        missing = np.isnan(column).sum() - marks.sum()
        bars.append([float(x) for x in np.array([*count, *marks, missing]) / max(len(column), 1)])
    names = [*labels, *texts, "missing"]
    unseen = {i for i in range(len(labels), len(names) - 1) if not bars[0][i] and not bars[1][i]}
    kept = [i for i in range(len(names)) if i not in unseen]
    return _without_empty_missing([names[i] for i in kept], *([bar[i] for i in kept] for bar in bars))


def _bins(known: np.ndarray, kind: str) -> tuple[np.ndarray, list[str]]:
    """(inner edges float[k], k + 1 labels). Bin i is [edge i-1, edge i); the outer bins are open."""
    if len(known) == 0:
        return np.empty(0), ["any value"]
    if kind == "datetime":
        edges, labels = _bins(np.floor(known / _DAY), "date")
        return edges * _DAY, labels
    distinct, clocks = np.unique(known), kind in ("time", "duration")
    if kind != "date" and len(distinct) <= MAX_BARS - 1:
        return distinct[1:], [clock(value) if clocks else short(value) for value in distinct]
    low, high = np.quantile(known, [0.01, 0.99])
    if low == high:
        low, high = distinct[0], distinct[-1]
    if kind == "date":
        return _date_bins(low, high)
    if clocks:
        return _clock_bins(low, high)
    whole = bool(np.all(distinct == np.rint(distinct)))
    step = _round_step((high - low) / (MAX_BARS - 6), whole)
    edges = np.arange(np.floor(low / step) + 1, np.floor(high / step) + 1) * step
    edges = np.unique(edges)[: MAX_BARS - 2]
    if len(edges) == 0:
        return np.empty(0), [short(low)]
    inner = [_span(a, b, step, whole) for a, b in itertools.pairwise(edges)]
    return edges, [f"< {short(edges[0])}", *inner, f"≥ {short(edges[-1])}"]


def _date_bins(low: float, high: float) -> tuple[np.ndarray, list[str]]:
    """Whole years if there are three or more, else whole days."""
    first, last = year(low), year(high)
    if last - first >= 3:
        step = int(_round_step((last - first + 1) / (MAX_BARS - 6), True))
        years = list(range(first - first % step + step, last + 1, step))[: MAX_BARS - 2]
        edges = np.array([np.datetime64(f"{start:04d}-01-01", "D").astype(np.int64) for start in years], float)
        inner = [str(a) if step == 1 else f"{a}–{b - 1}" for a, b in itertools.pairwise(years)]
        return edges, [f"before {years[0]}", *inner, f"{years[-1]} or later"]
    step = max(1.0, np.ceil((high - low) / (MAX_BARS - 6)))
    edges = np.unique(np.floor(low) + step * np.arange(1, MAX_BARS - 5))
    edges = edges[edges <= np.floor(high)]
    if len(edges) == 0:
        return np.empty(0), [day(low)]
    inner = [day(a) if step == 1 else f"{day(a)} to {day(b - 1)}" for a, b in itertools.pairwise(edges)]
    return edges, [f"before {day(edges[0])}", *inner, f"{day(edges[-1])} or later"]


def _clock_bins(low: float, high: float) -> tuple[np.ndarray, list[str]]:
    """Round times or durations."""
    least = (high - low) / (MAX_BARS - 6)
    step = next((s for s in _CLOCK_STEPS if s >= least), _DAY * _round_step(least / _DAY, True))
    edges = np.arange(np.floor(low / step) + 1, np.floor(high / step) + 1)[: MAX_BARS - 2] * step
    if len(edges) == 0:
        return np.empty(0), [clock(low)]
    inner = [f"{clock(a)} to {clock(b)}" for a, b in itertools.pairwise(edges)]
    return edges, [f"< {clock(edges[0])}", *inner, f"≥ {clock(edges[-1])}"]


def _round_step(least: float, whole: bool) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is no smaller than `least`; at least 1 for whole numbers."""
    if not least > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(least))
    step = next(power * k for k in _STEPS if power * k >= least * (1 - 1e-9))
    return max(float(step), 1.0) if whole else float(step)


def _span(low: float, high: float, step: float, whole: bool) -> str:
    if not whole:
        return f"{short(low)} to {short(high)}"
    return short(low) if step == 1 else f"{short(low)}–{short(high - 1)}"


def _without_empty_missing(
    labels: list[str], one: list[float], two: list[float]
) -> tuple[list[str], list[float], list[float]]:
    if one[-1] == 0 and two[-1] == 0:
        labels, one, two = labels[:-1], one[:-1], two[:-1]
    return labels, [round(float(x), 6) for x in one], [round(float(x), 6) for x in two]
