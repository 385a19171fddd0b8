"""The style sheet: contrast in both schemes, and colours that charts and sheet share."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from privsynth.report import charts

CSS = (Path(charts.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
_TEXT = [("ink", "paper"), ("ink", "wash"), ("soft", "paper"), ("soft", "wash"), ("accent", "paper"),
         ("accent", "wash"),         ("ink", "fail-bg"), ("ink", "info-bg"), ("soft", "barred"),
         *((name, f"{name}-bg") for name in ("pass", "warn", "fail", "none", "info")),
         *((name, "paper") for name in ("pass", "warn", "fail"))]  # fmt: skip
_PICTURE = [("accent", "paper"), ("rule", "paper"), ("accent", "ref"), ("ink", "paper")]


def scheme(dark: bool) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    values = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[0]))
    return values | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[1])) if dark else values


def contrast(a: str, b: str) -> float:
    def light(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(a), light(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_what_it_should_be() -> None:
    assert round(contrast("#000000", "#ffffff"), 1) == 21.0 and round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("pair", _TEXT)
def test_text_can_be_read(pair: tuple[str, str], dark: bool) -> None:
    colors = scheme(dark)
    assert contrast(colors[pair[0]], colors[pair[1]]) >= 4.5


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("pair", _PICTURE)
def test_pictures_can_be_seen(pair: tuple[str, str], dark: bool) -> None:
    colors = scheme(dark)
    assert contrast(colors[pair[0]], colors[pair[1]]) >= 3.0


def test_charts_and_sheet_share_their_colors() -> None:
    light = scheme(False)
    names = ("ink", "soft", "grid", "accent", "barred")
    assert [light[name] for name in names] == [getattr(charts, name.upper()) for name in names]
    assert all(f'"{light[name]}"' in CSS for name in names)


def test_sheet_loads_nothing_and_prints() -> None:
    assert not re.search(r"@import|url\(|</", CSS)
    assert "@media print" in CSS and "size: A4" in CSS and "prefers-color-scheme: dark" in CSS
