"""The runs of quality.py as one table and one chart."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from peers.setup import PEERS, WITHOUT_PRIVACY
from runs import BUSY, Row, is_busy

# tvd3 at most, AUC at least, for `auto`: what the project set itself (its issue 5), by (data, unit, epsilon)
TARGETS = {
    ("adult", "row", 1.0): (0.042, 0.914), ("adult", "row", 3.0): (0.030, 0.917), ("adult", "row", 10.0): (0.023, 0.921),
    ("credit_default", "row", 1.0): (0.155, 0.760), ("credit_default", "row", 3.0): (0.115, 0.765),
    ("credit_default", "row", 10.0): (0.082, 0.774),
    ("diabetes130", "row", 1.0): (0.028, 0.668), ("diabetes130", "row", 3.0): (0.018, 0.674),
    ("diabetes130", "row", 10.0): (0.0135, 0.684),
    ("diabetes130", "patient", 1.0): (0.043, 0.660), ("diabetes130", "patient", 3.0): (0.027, 0.665),
    ("diabetes130", "patient", 10.0): (0.020, 0.673),
}  # fmt: skip
NEAR = {"ctgan": (1.10, 0.01), "vae": (1.10, 0.01)}  # these may be so far behind the median of `auto`
GROUP = ("data", "unit", "epsilon", "trainer", "setting")
STRUCTURE = ("kept", "apart", "apart_floor")  # runs of earlier versions have none
FIGURES = ("tvd1", "tvd2", "tvd3", "auc", "fit_s", "total_s", "peak_mb")
Groups = dict[tuple[Any, ...], list[Row]]

HEAD = (
    "data", "unit", "epsilon", "method", "setting", "runs", "tvd1", "tvd2", "tvd3", "goal", "AUC", "goal", "strong kept",
    "told apart", "fit s", "total s", "peak MB", "machine", "code",
)  # fmt: skip
LEGEND = f"""
Medians over repeats, ranges of tvd3 and AUC behind them; best tvd3 of a budget first. Peers run in environments of
their own (`benchmarks/peers`), one row as unit, public bounds and categories, the same delta, stopped at the time
limit of `quality.py`. epsilon `none`: a reference without privacy. Setting `dpsgd-alone` has no anchor,
`uncalibrated` no live sweeps after sampling; the anchor alone is the trainer `marginals`.

Goals: what the project set itself for `auto`; for `ctgan` and `vae` within 10 % of the tvd3 and .01 of the AUC of
`auto` here. **met** or missed. Code: the commit that a run was made with; a verdict over different ones is as good as what
changed between them (CHANGELOG.md).

*Strong kept*: share of the pairs with a real association above .3 of which at least .8 is left. *Told apart*: area of a
classifier that tells synthetic from real rows, and behind it that of training rows against the holdout (`privsynth/utility/`).
Blank: runs from before they were measured.

Machine: 2 shared cores. `busy`: the load was above {BUSY} when a run began, or was not recorded: those seconds are too
long, by a factor of several at worst.

![tvd3 and AUC against epsilon](quality.svg)
"""


def write_report(rows: list[Row], beside: Path) -> None:
    """quality.md and quality.svg beside the file of runs."""
    groups = grouped(rows)
    beside.with_suffix(".md").write_text(f"Made by\n\n{commands(rows)}\n{LEGEND}\n{table(groups)}")
    chart(groups, beside.with_suffix(".svg"))


def grouped(rows: list[Row]) -> Groups:
    groups: Groups = {}
    for row in rows:
        groups.setdefault(tuple(row[field] for field in GROUP), []).append(row)
    return groups


def finished(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if "tvd3" in row]


def medians(rows: Iterable[Row]) -> dict[str, float]:
    """Of all figures; empty if no run was finished."""
    found = finished(rows)
    return {k: statistics.median(row[k] for row in found) for k in FIGURES} if found else {}


def structure(rows: Iterable[Row]) -> tuple[str, str]:
    """Medians of the share of strong associations kept, and of the area of the classifier with its floor; blank if not measured."""
    there = {k: [row[k] for row in rows if row.get(k) is not None] for k in STRUCTURE}
    mid = {k: f"{statistics.median(values):.2f}" for k, values in there.items() if values}
    return mid.get("kept", ""), f"{mid['apart']} ({mid['apart_floor']})" if "apart" in mid else ""


def commands(rows: list[Row]) -> str:
    """The commands that make these rows anew: own trainers by setting, then peers; as often as each was run."""
    lines = []
    for peers in (False, True):
        for setting in sorted({row["setting"] for row in rows}):
            here = [row for row in rows if row["setting"] == setting and (row["trainer"] in PEERS) == peers]
            grids: dict[str, set[str]] = {}
            for method, times in sorted({(row["trainer"], times_of(row, rows)) for row in here}):
                grid = _grid([row for row in here if (row["trainer"], times_of(row, rows)) == (method, times)], times)
                grids.setdefault(grid, set()).add(method)
            how = ("--trainer --peer {}" if peers else "--trainer {} --setting " + setting) + " {}"
            lines += [how.format(" ".join(sorted(methods)), grid) for grid, methods in grids.items()]
    return "\n".join(f"    python benchmarks/quality.py {line}" for line in lines) + "\n"


def times_of(row: Row, rows: list[Row]) -> int:
    """How often a row's method was run at its setting on its table."""
    same = ("data", "unit", "trainer", "setting")
    return 1 + max(other["repeat"] for other in rows if all(other[field] == row[field] for field in same))


def _grid(rows: list[Row], times: int) -> str:
    data = sorted({row["data"] + ("/patient" if row["unit"] == "patient" else "") for row in rows})
    epsilons = [f"{e:g}" for e in sorted({row["epsilon"] for row in rows} - {None})]
    chosen = f" --epsilon {' '.join(epsilons)}" if epsilons else ""
    return f"--data {' '.join(data)}{chosen} --repeats {times}"


def table(groups: Groups) -> str:
    def place(name: tuple[Any, ...]) -> tuple[Any, ...]:
        data, unit, epsilon, *_ = name
        return data, unit, epsilon is None, epsilon, medians(groups[name]).get("tvd3", 9.0), *name[3:]

    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    lines += [f"| {' | '.join(cells(name, groups))} |" for name in sorted(groups, key=place)]
    return "\n".join(lines) + "\n"


def cells(name: tuple[Any, ...], groups: Groups) -> list[str]:
    """One line: a method at one setting and epsilon on one table."""
    data, unit, epsilon, method, setting = name
    rows, mid = groups[name], medians(groups[name])
    start = [data, unit, "none" if epsilon is None else f"{epsilon:g}", method, setting, str(len(finished(rows)))]
    machine = ", ".join(dict.fromkeys([*(["busy"] if any(map(is_busy, rows)) else []), *_remarks(rows)]))
    code = ", ".join(sorted({row["commit"] for row in rows}))
    if not mid:
        return [*start, *[""] * (len(HEAD) - len(start) - 2), machine, code]
    most, least = target_marginal(name, groups)
    return [
        *start, f"{mid['tvd1']:.4f}", f"{mid['tvd2']:.4f}",
        f"{mid['tvd3']:.4f} ({spread(rows, 'tvd3')})", _verdict(most, "≤", most is not None and mid["tvd3"] <= most),
        f"{mid['auc']:.3f} ({spread(rows, 'auc')})", _verdict(least, "≥", least is not None and mid["auc"] >= least),
        *structure(rows), f"{mid['fit_s']:.0f}", f"{mid['total_s']:.0f}", f"{mid['peak_mb']:.0f}", machine,
        code,
    ]  # fmt: skip


def target_marginal(name: tuple[Any, ...], groups: Groups) -> tuple[float | None, float | None]:
    """tvd3 at most and AUC at least, where something was set."""
    data, unit, epsilon, method, setting = name
    if setting != "default":
        return None, None
    if method == "auto":
        return TARGETS.get((data, unit, epsilon), (None, None))
    auto = medians(groups.get((data, unit, epsilon, "auto", "default"), []))
    if method not in NEAR or not auto:
        return None, None
    factor, less = NEAR[method]
    return factor * auto["tvd3"], auto["auc"] - less


def _verdict(bound: float | None, sign: str, met: bool) -> str:
    return "" if bound is None else f"{sign} {bound:.4g} {'**met**' if met else 'missed'}"


def spread(rows: list[Row], field: str) -> str:
    """Lowest and highest of the finished runs."""
    values = [row[field] for row in finished(rows)]
    return f"{min(values):.3f}–{max(values):.3f}"


def _remarks(rows: list[Row]) -> list[str]:
    """Runs that did not end well, and notes."""
    stopped = [f"stopped after {row['stopped_s']:g} s" for row in rows if "stopped_s" in row]
    failed = [f"failed: {row['failed'].replace('|', '/')}" for row in rows if "failed" in row]
    return [*stopped, *failed, *(row["note"] for row in rows if row["note"])]


def chart(groups: Groups, file: Path) -> None:
    """tvd3 and AUC against epsilon: a column for each table, a line for each method as it comes."""
    import altair as alt

    points = [
        {
            "panel": data if unit == "row" else f"{data}, {unit} as unit", "method": method, "epsilon": epsilon,
            "kind": "peer" if method in PEERS else "privsynth", "tvd3": mid["tvd3"], "auc": mid["auc"],
        }
        for (data, unit, epsilon, method, setting), rows in groups.items()
        if setting == "default" and (mid := medians(rows))
    ]  # fmt: skip
    methods = sorted({point["method"] for point in points}, key=lambda m: (m in PEERS, m in WITHOUT_PRIVACY, m))
    color = alt.Color(
        "method:N", title=None, scale=alt.Scale(domain=methods, scheme="tableau20"), sort=methods,
        legend=alt.Legend(orient="right", symbolType="stroke", symbolStrokeWidth=3),
    )  # fmt: skip
    panels = sorted({point["panel"] for point in points})
    rows = [
        alt.hconcat(*(_panel(alt, points, panel, measure, title, color) for panel in panels))
        for measure, title in (("tvd3", "tvd3 (less is better)"), ("auc", "AUC (more is better)"))
    ]
    alt.vconcat(*rows).configure(background="white").save(file)


def _panel(alt: Any, points: list[Row], panel: str, measure: str, title: str, color: Any) -> Any:
    """Dots joined by lines, peers' dashed; a method without privacy is a level line."""
    here = [point for point in points if point["panel"] == panel]
    private = alt.Chart(alt.Data(values=[p for p in here if p["epsilon"] is not None]))
    level = alt.Chart(alt.Data(values=[p for p in here if p["epsilon"] is None]))
    x = alt.X("epsilon:Q", title="epsilon", scale=alt.Scale(type="log"), axis=alt.Axis(values=[1, 3, 10], format="g"))
    spread = "log" if measure == "tvd3" else "linear"  # peers lie up to a factor of twenty apart
    y = alt.Y(
        f"{measure}:Q", title=title, scale=alt.Scale(type=spread, zero=False, nice=False), axis=alt.Axis(format="~g")
    )
    dash = alt.StrokeDash("kind:N", legend=None, scale=alt.Scale(domain=["privsynth", "peer"], range=[[1, 0], [5, 3]]))
    layers = [
        private.mark_line(strokeWidth=1.8).encode(x=x, y=y, color=color, strokeDash=dash),
        private.mark_circle(size=34).encode(x=x, y=y, color=color),
        level.mark_rule(strokeDash=[2, 3]).encode(y=y, color=color),
    ]
    return alt.layer(*layers).properties(width=210, height=200, title=panel)
