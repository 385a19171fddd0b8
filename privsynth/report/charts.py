"""Charts made by altair and converted to inline SVG: no script, no network, no font to load.

In the dark scheme the style sheet replaces their fill and stroke colours (see `INK` and the others in style.css).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from privsynth.evidence import Evidence
from privsynth.report import facts, words

# The style sheet repeats these colours: change both; a test compares them.
INK, SOFT, GRID, ACCENT, BARRED = "#1c2730", "#4d5a66", "#dfe3e1", "#1f4e6b", "#f4e3dc"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_WIDTH = 420
_FLOOR = 0.001  # smallest rate on log axes
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 3], [4, 6]]
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]


def budget(evidence: Evidence) -> Markup:
    """Shares of the budget, one bar per mechanism."""
    import altair as alt

    rows = [{"name": _cut(m.name), "share": m.share, "label": words.percent(m.share)} for m in _mechanisms(evidence)]
    if not rows:
        return Markup("")
    order = list(dict.fromkeys(row["name"] for row in rows))
    base = alt.Chart(_data(rows)).encode(
        y=alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=170, ticks=False, domain=False)),
        x=alt.X("share:Q", title=None, axis=None, scale=alt.Scale(domainMin=0)),
    )
    bars = base.mark_bar(color=ACCENT, height=14, aria=False)
    text = base.mark_text(align="left", dx=5, color=INK, fontSize=13, aria=False).encode(text="label:N")
    chart = (bars + text).properties(width=250, height=alt.Step(28))
    description = "Shares of the budget: " + "; ".join(f"{row['name']} {row['label']}" for row in rows)
    return _to_svg(chart, description)


def roc(evidence: Evidence) -> Markup:
    """The ROC curve that bounds every attack, and the measured curves below it. Logarithmic axes: low rates matter most."""
    import altair as alt

    guarantee = _points(evidence.privacy.risk.roc)
    if not guarantee:
        return Markup("")
    measured = [(finding.attack, _points(finding.roc)) for finding in evidence.audit.findings if finding.roc]
    axes = _axes(alt)
    area = (
        alt.Chart(_data(guarantee))
        .mark_area(color=BARRED, aria=False)
        .encode(x=axes["x"], y=axes["y"], y2=alt.datum(1))
    )
    line = alt.Chart(_data(guarantee)).mark_line(color=INK, strokeWidth=2.5, aria=False)
    guess = alt.Chart(_data([{"fpr": v, "tpr": v} for v in (_FLOOR, 1.0)]))
    guess = guess.mark_line(color=SOFT, strokeDash=[3, 4], strokeWidth=1.3, aria=False)
    layers = [area, guess.encode(x=axes["x"], y=axes["y"]), line.encode(x=axes["x"], y=axes["y"])]
    layers += _measured(alt, measured, axes)
    layers.append(_notes(alt, guarantee))
    chart = alt.layer(*layers).properties(width=_WIDTH - 70, height=300)
    return _to_svg(chart, _description(evidence, [name for name, _ in measured]))


def _axes(alt: Any) -> dict[str, Any]:
    def axis(title: str) -> dict[str, Any]:
        ticks = alt.Axis(values=[0.001, 0.01, 0.1, 1], format="~%", gridColor=GRID)
        return {"title": title, "scale": alt.Scale(type="log", domain=[_FLOOR, 1], nice=False), "axis": ticks}

    return {
        "x": alt.X("fpr:Q", **axis("False positives (people not in the table)")),
        "y": alt.Y("tpr:Q", **axis("True positives (people in the table)")),
    }


def _measured(alt: Any, measured: list[tuple[str, list[dict[str, float]]]], axes: dict[str, Any]) -> list[Any]:
    """Measured curves, distinguished by dashes and marks, with a legend below."""
    if not measured:
        return []
    names = [_cut(name, 48) for name, _ in measured]
    rows = [point | {"attack": name} for name, (_, points) in zip(names, measured, strict=True) for point in points]
    marks = [
        point | {"attack": name}
        for name, (_, points) in zip(names, measured, strict=True)
        for point in points[:: max(1, len(points) // 4)]
    ]
    n = len(_DASHES)
    dash = alt.Scale(domain=names, range=[_DASHES[i % n] for i in range(len(names))])
    shape = alt.Scale(domain=names, range=[_SHAPES[i % n] for i in range(len(names))])
    legend = alt.Legend(title=None, orient="bottom", columns=1, labelLimit=340, symbolSize=70, symbolStrokeWidth=1.6)
    lines = alt.Chart(_data(rows)).mark_line(color=ACCENT, strokeWidth=1.6, aria=False)
    dots = alt.Chart(_data(marks)).mark_point(color=ACCENT, filled=True, size=34, aria=False)
    return [
        lines.encode(x=axes["x"], y=axes["y"], strokeDash=alt.StrokeDash("attack:N", scale=dash, legend=legend)),
        dots.encode(x=axes["x"], y=axes["y"], shape=alt.Shape("attack:N", scale=shape, legend=legend)),
    ]


def _notes(alt: Any, guarantee: list[dict[str, float]]) -> Any:
    near = min(guarantee, key=lambda point: abs(point["fpr"] - 0.003))
    rows = [
        {"fpr": 0.0012, "tpr": 0.75, "text": "ruled out by the guarantee"},
        {"fpr": 0.12, "tpr": 0.075, "text": "guessing"},
    ]
    if near["tpr"] > 0.4:  # little is ruled out: the text would overlap the curve
        rows = rows[1:]
    chart = alt.Chart(_data(rows)).mark_text(align="left", color=SOFT, fontSize=12, aria=False)
    return chart.encode(x="fpr:Q", y="tpr:Q", text="text:N")


def _description(evidence: Evidence, names: list[str]) -> str:
    below = f"Measured curves: {words.listed(names)}." if names else "Measured curves are not shown here."
    return f"The guarantee as a ROC curve on logarithmic axes. {facts.risk_sentence(evidence)} {below}"


def _points(curve: list[tuple[float, float]] | None) -> list[dict[str, float]]:
    """A curve cut to the log axes and thinned to about 120 points: more cannot be seen."""
    points = sorted((x, y) for x, y in curve or [] if words.is_figure(x) and words.is_figure(y))
    inside = [(max(x, _FLOOR), max(y, _FLOOR)) for x, y in points if x >= _FLOOR or y >= _FLOOR]
    left = [point for point in inside if point[0] == _FLOOR]
    inside = [*left[-1:], *(point for point in inside if point[0] > _FLOOR)]
    step = max(1, len(inside) // 120)
    kept = inside[::step] + ([inside[-1]] if inside and (len(inside) - 1) % step else [])
    return [{"fpr": round(x, 5), "tpr": round(y, 5)} for x, y in kept]


def _mechanisms(evidence: Evidence) -> list[Any]:
    """Those that have a share of the budget: one that costs delta alone would be a bar of no length."""
    return [mechanism for mechanism in evidence.privacy.mechanisms if mechanism.share][:40]


def _data(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows embedded in the chart."""
    import altair as alt

    return alt.Data(values=rows)  # type: ignore[no-untyped-call]  # altair's generated classes have no annotations


def _cut(text: str, most: int = 26) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _to_svg(chart: Any, description: str) -> Markup:
    """The chart as a scalable SVG with a text alternative, which loads nothing."""
    import vl_convert

    quiet = {"labelColor": SOFT, "titleColor": SOFT, "tickColor": SOFT, "domainColor": SOFT}
    config = {
        "font": _FONT,
        "background": None,
        "padding": {"left": 14, "top": 6, "right": 10, "bottom": 4},
        "view": {"stroke": None},
        "axis": quiet | {"labelFontSize": 13, "titleFontSize": 13, "titleFontWeight": "normal"},
        "legend": {"labelColor": INK, "labelFontSize": 13, "symbolStrokeColor": ACCENT, "symbolFillColor": ACCENT},
    }
    spec = chart.to_dict() | {"config": config}
    svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    size = re.search(r'viewBox="0 0 (\S+) (\S+)"', svg)
    assert size is not None  # vega writes a viewBox into every SVG
    width, height = size.groups()
    head = f'<svg class="chart" role="img" aria-label="{escape(description)}" viewBox="0 0 {width} {height}">'
    body = re.sub(r' (?:role|aria-roledescription|aria-hidden|pointer-events)="[^"]*"', "", svg[svg.index(">") + 1 :])
    return Markup(head + body)  # vega escapes the text it renders; a test checks that
