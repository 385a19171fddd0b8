"""Noise taken out of histograms: what is certain stays, what noise could have made goes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.encoding.wavelets import denoise, wavelet_denoised


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_without_noise_nothing_changes(cells: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=cells)
    assert np.allclose(denoise(values, 0.0), values, atol=1e-12)
    widths = np.random.default_rng(seed).integers(1, 3, cells)
    assert np.allclose(wavelet_denoised(values, widths, 0.0), values, atol=1e-12)


@pytest.mark.parametrize("cells", [50, 128, 700, 1561])
def test_a_smooth_line_loses_most_of_its_noise(cells: int) -> None:
    """Mean of 20 lines; raw noise has a mean absolute error of 0.8."""
    rng = np.random.default_rng(0)
    truth = 20 * np.exp(-np.linspace(0, 5, cells)) + (np.arange(cells) > cells // 3) * 4.0
    errors = [np.abs(denoise(truth + rng.normal(size=cells), 1.0) - truth).mean() for _ in range(20)]
    assert np.mean(errors) < 0.45


@pytest.mark.parametrize("cells", [300, 401, 512])
def test_the_ends_of_a_line_do_not_lean_on_each_other(cells: int) -> None:
    """Mean of 200 ramps: the first cells are low, the last ones high."""
    rng, truth = np.random.default_rng(4), np.linspace(0, 3, cells)
    bias = np.mean([denoise(truth + rng.normal(size=cells), 1.0) - truth for _ in range(200)], 0)
    assert bias[:5].mean() < 0.3 and bias[-5:].mean() > -0.3


def test_noise_alone_becomes_flat() -> None:
    """False alarms: the universal threshold is passed by one of 512 differences in about one line of ten; 20 lines."""
    rng = np.random.default_rng(1)
    denoised = np.array([denoise(rng.normal(size=512), 1.0) for _ in range(20)])
    assert denoised.std(1).mean() < 0.25


def test_spikes_and_jumps_stay_where_they_are() -> None:
    rng = np.random.default_rng(2)
    truth = np.where(np.arange(300) < 150, 5.0, 25.0)
    truth[[40, 41, 200]] += 60.0
    denoised = denoise(truth + rng.normal(size=300), 1.0)
    assert np.abs(denoised - truth)[[40, 41, 200]].max() < 4
    assert np.abs(denoised[[39, 42, 199, 201]] - truth[[39, 42, 199, 201]]).max() < 4
    assert np.abs(denoised[145:155] - truth[145:155]).max() < 4


def test_round_values_and_the_cells_between_are_lines_of_their_own() -> None:
    """People who report 500 are not spread over 501 to 509, nor the other way round."""
    widths = np.tile([1, 9], 100)
    truth = np.where(widths == 1, 40.0, 2.0)
    denoised = wavelet_denoised(truth + np.random.default_rng(3).normal(size=200), widths, 1.0)
    assert np.abs(denoised - truth).mean() < 0.3
