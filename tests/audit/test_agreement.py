"""What an agreement is worth, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from privsynth.audit import agreement
from privsynth.audit.coding import Coder


def coded(letters: str, numbers: list[float]) -> np.ndarray:
    frame = pd.DataFrame({"c": pd.Categorical(list(letters), list("abz")), "x": np.array(numbers, float)})
    return Coder.fit(pd.DataFrame({"c": frame["c"], "x": np.linspace(0, 1, len(frame))}), (frame,)).encode(frame).close


def test_rare_agreement_is_worth_more() -> None:
    reference = coded("a" * 90 + "b" * 10, [0.0] * 50 + [1.0] * 50)
    worth = agreement.weights(reference, reference)
    assert worth[0, 0, 0] == pytest.approx(np.log(101 / 91)) and worth[-1, 0, 0] == pytest.approx(np.log(101 / 11))
    assert worth[0, 1, 0] == pytest.approx(np.log(101 / 51))  # the same number: half of the reference has it
    assert (worth[:, 2:] == 0).all()  # columns that pad
    assert (worth[:, :, -1] == 0).all() and (
        np.diff(worth, axis=2) <= 0
    ).all()  # nothing for another category, less for less
    unseen = agreement.weights(coded("z" + "a" * 99, [0.5] * 100)[:1], reference)
    assert unseen[0, 0, 0] == pytest.approx(np.log(101)) and np.isfinite(unseen).all()


def test_a_copy_with_columns_changed_still_points_at_its_person() -> None:
    rng = np.random.default_rng(0)
    people, table, reference = (rng.integers(0, 2048, (n, 8)).astype(np.int32) for n in (50, 500, 300))
    table[:50, :4] = people[:, :4]  # half of the columns of each person
    worth = agreement.weights(people, reference)
    assert np.mean(agreement.closest(people, table, worth)[1][:, 0] == np.arange(50)) > 0.95


def test_density_in_blocks_is_the_density(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    rows, reference = (rng.integers(0, 2048, (n, 8)).astype(np.int32) for n in (20, 100))
    whole = agreement.log_density(rows, reference)
    monkeypatch.setattr(agreement, "_BLOCK", 33)
    assert np.allclose(agreement.log_density(rows, reference), whole, rtol=1e-5)
