"""Small pictures written directly as SVG: sixty histograms must cost neither sixty chart renderings nor megabytes.

No picture relies on colour: the reference is a wide outlined bar, the synthetic table a narrow dark bar inside it;
negative correlations carry a stroke.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from markupsafe import Markup

from privsynth.evidence import ColumnUtility, Finding
from privsynth.report import words

MAX_TILES = 60
_MAX_BARS, _MAX_LABELS = 24, 10
_LEAST_COLUMNS = 14  # that fill the width of a picture of correlations: fewer are drawn no larger
_WIDTH, _HEIGHT = 240, 92
Matrix = list[list[float | None]]
_ORDERED = ("integer", "number", "date", "datetime", "time")


@dataclass(frozen=True)
class Tile:
    """One column's picture and its labels."""

    name: str
    kind: str
    distance: str
    picture: Markup


def tiles(columns: Sequence[ColumnUtility]) -> list[Tile]:
    """A tile for each column that has a histogram, at most `MAX_TILES`."""
    drawn = [c for c in columns if c.labels and len(c.labels) == len(c.synthetic)]
    return [Tile(c.name, c.kind, words.number(c.tvd), _histogram(c)) for c in drawn[:MAX_TILES]]


def _histogram(column: ColumnUtility) -> Markup:
    labels = [str(label) for label in column.labels]
    synthetic = [_share(v) for v in column.synthetic]
    reference = None
    if column.reference is not None and len(column.reference) == len(labels):
        reference = [_share(v) for v in column.reference]
    description = _description(column, labels, synthetic, reference)
    if column.kind in _ORDERED or len(labels) > _MAX_BARS * 4:
        return _vertical(*_merge(labels, synthetic, reference), description)
    return _horizontal(*_top(labels, synthetic, reference), description)


def _description(
    column: ColumnUtility, labels: list[str], synthetic: list[float], reference: list[float] | None
) -> str:  # fmt: skip
    """The text alternative of the picture."""
    if reference is None:
        top = max(range(len(labels)), key=lambda i: synthetic[i])
        return f"{column.name}: largest share {words.percent(synthetic[top])} at {labels[top]}. No reference."
    worst = max(range(len(labels)), key=lambda i: abs(synthetic[i] - reference[i]))
    return (
        f"{column.name}: shares in the synthetic table and the reference ({column.reference_name}). Largest difference at "
        f"{labels[worst]}: {words.percent(synthetic[worst])} synthetic, {words.percent(reference[worst])} reference."
    )


def _merge(
    labels: list[str], synthetic: list[float], reference: list[float] | None
) -> tuple[list[str], list[float], list[float] | None]:
    """Adjacent bins merged until there are few enough to see."""
    step = math.ceil(len(labels) / _MAX_BARS)
    starts = range(0, len(labels), step)

    def join(values: list[float]) -> list[float]:
        return [sum(values[i : i + step]) for i in starts]

    names = [labels[i] for i in starts]
    if len(labels) > 1:
        names[-1] = labels[-1]
    return names, join(synthetic), join(reference) if reference else None


def _top(
    labels: list[str], synthetic: list[float], reference: list[float] | None
) -> tuple[list[str], list[float], list[float] | None]:
    """The most frequent labels in their own order, and all others as one."""
    if len(labels) <= _MAX_LABELS:
        return labels, synthetic, reference
    weight = reference or synthetic
    first = sorted(sorted(range(len(labels)), key=lambda i: (-weight[i], i))[: _MAX_LABELS - 1])

    def join(values: list[float]) -> list[float]:
        chosen = [values[i] for i in first]
        return [*chosen, max(0.0, sum(values) - sum(chosen))]

    names = [*(labels[i] for i in first), f"{len(labels) - len(first)} others"]
    return names, join(synthetic), join(reference) if reference else None


def _vertical(labels: list[str], synthetic: list[float], reference: list[float] | None, description: str) -> Markup:
    top = max([*synthetic, *(reference or []), 1e-9])
    base, width = _HEIGHT - 16, _WIDTH / len(labels)
    tall = (base - 4) / top
    wide, narrow = "", ""
    for i, value in enumerate(synthetic):
        x = i * width
        if reference:
            height = reference[i] * tall
            wide += f"M{_n(x + 0.08 * width)} {base}v-{_n(height)}h{_n(0.84 * width)}v{_n(height)}z"
        narrow += f"M{_n(x + 0.3 * width)} {base}v-{_n(value * tall)}h{_n(0.4 * width)}v{_n(value * tall)}z"
    ends = Markup('<text x="0" y="{y}">{a}</text><text x="{w}" y="{y}" class="end">{b}</text>').format(
        y=_HEIGHT - 3, w=_WIDTH, a=_cut(labels[0], 18), b=_cut(labels[-1], 18)
    )
    axis = Markup('<path class="axis" d="M0 {}h{}"/>').format(base, _WIDTH)
    return _svg(_WIDTH, _HEIGHT, description, _path("ref", wide) + _path("syn", narrow) + axis + ends, "hist")


def _horizontal(labels: list[str], synthetic: list[float], reference: list[float] | None, description: str) -> Markup:
    top = max([*synthetic, *(reference or []), 1e-9])
    left, step = 96, 16
    long = (_WIDTH - left - 46) / top
    wide, narrow, text = "", "", Markup("")
    for i, value in enumerate(synthetic):
        y = 2 + i * step
        if reference:
            wide += f"M{left} {y}h{_n(reference[i] * long)}v12h-{_n(reference[i] * long)}z"
        narrow += f"M{left} {_n(y + 3.5)}h{_n(value * long)}v5h-{_n(value * long)}z"
        at = max(value, reference[i] if reference else 0.0) * long
        text += Markup('<text x="{}" y="{}" class="end">{}</text><text x="{}" y="{}">{}</text>').format(
            left - 5, y + 10, _cut(labels[i], 14), _n(left + at + 4), y + 10, words.percent(value)
        )
    height = 4 + step * len(labels)
    axis = Markup('<path class="axis" d="M{} 0v{}"/>').format(left, height)
    return _svg(_WIDTH, height, description, _path("ref", wide) + _path("syn", narrow) + axis + text, "hist")


def strip(finding: Finding) -> Markup:
    """Interval, value, baseline and threshold on one small axis. Repeats what the cells beside it say."""
    low, value, high = finding.low, finding.value, finding.high
    if low is None or value is None or high is None:
        return Markup("")
    marks = [v for v in (low, value, high, finding.baseline, finding.threshold) if v is not None and math.isfinite(v)]
    least, most = min([0.0, *marks]), max([*marks, 1e-9])

    def x(v: float) -> str:
        return _n(4 + 132 * (v - least) / (most - least or 1.0))

    body = Markup('<path class="axis" d="M4 9h132"/><path class="whisker" d="M{} 9H{}"/>').format(x(low), x(high))
    if words.is_figure(finding.baseline):
        body += Markup('<circle class="hollow" cx="{}" cy="9" r="3"/>').format(x(finding.baseline))
    if words.is_figure(finding.threshold):
        body += Markup('<path class="limit" d="M{} 1v16"/>').format(x(finding.threshold))
    body += Markup('<circle class="dot" cx="{}" cy="9" r="3.5"/>').format(x(value))
    return Markup('<svg class="strip" viewBox="0 0 140 18" aria-hidden="true" focusable="false">{}</svg>').format(body)


@dataclass(frozen=True)
class Heatmaps:
    """Correlations of both tables, the names of the numbered columns, and the largest differences."""

    pictures: list[tuple[str, Markup]]
    names: list[str]
    differences: list[tuple[str, str, str]]


def heatmaps(correlations: dict[str, Any] | None) -> Heatmaps | None:
    """Lower triangles of the correlation matrices, or None if there is nothing to show."""
    if not correlations or len(correlations.get("columns", [])) < 2:
        return None
    names = [str(name) for name in correlations["columns"]]
    synthetic, reference = correlations.get("synthetic"), correlations.get("reference")
    known = [(title, m) for title, m in (("Synthetic", synthetic), ("Reference", reference)) if _is_square(m, names)]
    if not known:
        return None
    differences = _differences(names, synthetic, reference) if len(known) == 2 else []
    return Heatmaps([(title, _heatmap(title, m, len(names))) for title, m in known], names, differences)


def _is_square(matrix: Any, names: list[str]) -> TypeGuard[Matrix]:
    return bool(matrix) and len(matrix) == len(names) and all(len(row) == len(names) for row in matrix)


def _heatmap(title: str, matrix: Matrix, n: int) -> Markup:
    """One path per shade, so that sixty columns cost tens of kilobytes. Cells of 10 units."""
    shades: dict[str, list[str]] = {}
    strokes = []
    for i in range(1, n):
        for j in range(i):
            value = matrix[i][j]
            if value is None or not math.isfinite(value):
                continue
            level = min(5, round(abs(value) * 5 + 0.2))
            sign = "n" if value < 0 else "p"
            shades.setdefault(f"{sign}{level}", []).append(f"M{j * 10} {i * 10}h10v10h-10z")
            if value < 0 and level:
                strokes.append(f"M{j * 10 + 3} {i * 10 + 5}h4")
    parts = [_path(shade, "".join(d)) for shade, d in sorted(shades.items())] + [_path("minus", "".join(strokes))]
    number = Markup('<text x="{}" y="{}">{}</text>')  # of the column, on the diagonal; the list below explains it
    body = Markup("").join([*parts, *(number.format(i * 10 + 5, i * 10 + 7.2, i + 1) for i in range(n))])
    description = f"{title}: correlations of {n} columns as a triangle. The largest differences are listed in the text."
    return _svg(10 * max(n, _LEAST_COLUMNS), 10 * n, description, body, "heat")


def _differences(names: list[str], synthetic: Any, reference: Any, most: int = 6) -> list[tuple[str, str, str]]:
    pairs = []
    for i in range(1, len(names)):
        for j in range(i):
            a, b = synthetic[i][j], reference[i][j]
            if words.is_figure(a) and words.is_figure(b):
                pairs.append((abs(a - b), f"{names[j]} and {names[i]}", a, b))
    pairs.sort(key=lambda pair: (-pair[0], pair[1]))
    return [(name, words.number(a), words.number(b)) for _, name, a, b in pairs[:most]]


def _svg(width: float, height: float, description: str, body: Markup, kind: str) -> Markup:
    return Markup('<svg class="{}" role="img" aria-label="{}" viewBox="0 0 {} {}" focusable="false">{}</svg>').format(
        kind, description, _n(width), _n(height), body
    )


def _path(kind: str, d: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(kind, d) if d else Markup("")


def _share(value: float | None) -> float:
    return max(0.0, float(value)) if value is not None and math.isfinite(value) else 0.0  # noise can make it negative


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
