"""Histograms of the synthetic and the real column over the same bars, at most 24, so that a person can read them."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from privsynth.evidence import ColumnUtility
from privsynth.utility.cells import is_category, known_numbers, numbers
from privsynth.utility.labels import day, short, year

MAX_BARS = 24
_STEPS = (1, 2, 5, 10)


def histogram(name: str, kind: str, synthetic: pd.Series, real: pd.Series, distance: float | None) -> ColumnUtility:
    """Shares of both tables in the same bars, "missing" in a bar of its own if there is any.

    `kind`: as in the policy; "date" columns are days since 1970 and are labelled by date or year. `distance`: the
    column's total variation distance, passed through.
    """
    if is_category(real):
        labels, one, two = _category_bars(synthetic, real)
    else:
        labels, one, two = _number_bars(synthetic, real, kind)
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


def _number_bars(synthetic: pd.Series, real: pd.Series, kind: str) -> tuple[list[str], list[float], list[float]]:
    known = known_numbers(real)
    values = [numbers(synthetic), numbers(real)]
    edges, labels = _bins(known if len(known) else known_numbers(synthetic), kind)
    bars = []
    for column in values:
        missing = np.isnan(column)
        count = np.bincount(np.searchsorted(edges, column[~missing], side="right"), minlength=len(labels))
        bars.append([*(count / max(len(column), 1)), missing.sum() / max(len(column), 1)])
    return _without_empty_missing([*labels, "missing"], *bars)


def _bins(known: np.ndarray, kind: str) -> tuple[np.ndarray, list[str]]:
    """(inner edges float[k], k + 1 labels). Bin i is [edge i-1, edge i); the outer bins are open."""
    if len(known) == 0:
        return np.empty(0), ["any value"]
    distinct = np.unique(known)
    if kind != "date" and len(distinct) <= MAX_BARS - 1:
        return distinct[1:], [short(value) for value in distinct]
    low, high = np.quantile(known, [0.01, 0.99])
    if low == high:
        low, high = distinct[0], distinct[-1]
    if kind == "date":
        return _date_bins(low, high)
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
