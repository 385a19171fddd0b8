"""The constants that docs/privacy.md argues with are those of the code."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from privsynth.policy.model import DatasetSpec
from privsynth.policy.rules import shared_number
from privsynth.privacy.accountant import NUMERICAL_SLACK, STEP_SLACK, geometric_trace
from privsynth.privacy.events import ThresholdedGaussian
from privsynth.privacy.mechanisms.categories import OpenCategories
from privsynth.privacy.mechanisms.dpsgd import FINEST, MARGIN
from privsynth.privacy.noise import LATTICE, MAX_MOVED
from privsynth.privacy.unit import SHARE_UNIT
from privsynth.table.intake import MIN_ROWS

TEXT = " ".join((Path(__file__).parents[1] / "docs" / "privacy.md").read_text(encoding="utf-8").split())
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
NUMBER = r"([0-9.]*·?(?:2|10)[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+|[0-9]+(?:\.[0-9]+)?)"


def value(written: str) -> float:
    """The number that a document writes: 3·10⁻⁷, 2⁻¹⁰, 2.7.

    >>> value("3·10⁻⁷"), value("2⁻¹⁰"), value("2.7")
    (3e-07, 0.0009765625, 2.7)
    """
    power = re.fullmatch("(?:(.+)·)?(2|10)([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", written)
    if not power:
        return float(written)
    factor, base, exponent = power.groups()
    return (
        float(f"{factor or 1}e{exponent.translate(RAISED)}") if base == "10" else 2.0 ** int(exponent.translate(RAISED))
    )


def quoted(pattern: str) -> list[float]:
    """The numbers at each # of a phrase, which must stand in the document once."""
    found = re.findall(re.escape(pattern).replace(r"\#", NUMBER), TEXT)
    assert len(found) == 1, f"{pattern!r} stands {len(found)} times in docs/privacy.md"
    return [value(one) for one in ([found[0]] if isinstance(found[0], str) else found[0])]


PHRASES: dict[str, list[float]] = {
    "`accountant.NUMERICAL_SLACK` = # is part of every total": [NUMERICAL_SLACK],
    "the accountant adds `STEP_SLACK` = # in ε a step": [STEP_SLACK],
    "Counts are integers or multiples of #, and so is their noise": [LATTICE],
    "rounded down to a multiple of #": [LATTICE],
    "Shares are multiples of #": [SHARE_UNIT],
    "rows are clipped to C (1 - #)": [MARGIN],
    "rounded to multiples of a power of two that is at least σC/#": [1 / FINEST],
    "A unit that moves # million cells": [MAX_MOVED / 1e6],
    "a δ of N · # for a public bound N": [shared_number(1)],
    "(four times `dataset.rows`, at least #; # where it is not declared)": [
        DatasetSpec(id="x", rows=1).most_rows,
        DatasetSpec(id="x").most_rows,
    ],
    "fewer than # rows or units": [MIN_ROWS],
}


@pytest.mark.parametrize("phrase", PHRASES)
def test_constants(phrase: str) -> None:
    assert quoted(phrase) == PHRASES[phrase]


def test_rows_that_are_declared() -> None:
    assert DatasetSpec(id="x", rows=10**6).most_rows == 4 * 10**6
    assert shared_number(10**6) == 10**6 * shared_number(1)


@pytest.mark.parametrize("epsilon", [0.003, 0.1, 1.0, 3.0, 10.0])
def test_trace_of_the_geometric_sampler(epsilon: float) -> None:
    end, grid = quoted(
        "so the support is truncated near #/ε and has gaps before that: a δ of 36/ε · (1 + exp(ε)) · # that the accountant adds"
    )
    assert geometric_trace(epsilon) == pytest.approx(end / epsilon * (1 + math.exp(epsilon)) * grid, abs=0)


@pytest.mark.parametrize("sigma, delta", [(1.0, 1e-3), (12.9, 1e-7)])
def test_threshold_of_open_categories(sigma: float, delta: float) -> None:
    from scipy.stats import norm

    (least,) = quoted("threshold is # + ⌈σ Φ⁻¹(1 - δ₀)⌉")
    assert OpenCategories(ThresholdedGaussian(sigma, delta), "x").threshold == least + math.ceil(
        sigma * norm.isf(delta)
    )
