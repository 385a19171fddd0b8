"""The best attack on a whole mechanism, run many times, stays under the risk that is claimed for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

from privsynth.privacy.accountant import compose
from privsynth.privacy.events import DiscreteGaussian, Gaussian, Geometric
from privsynth.privacy.mechanisms.counts import UnitSizes
from privsynth.privacy.mechanisms.tables import Histograms
from privsynth.privacy.noise import Randomness
from privsynth.privacy.risk import max_tpr
from privsynth.privacy.unit import Rows

RUNS = 20_000
ALPHA = 1e-7  # of each bound; two bounds at each of three thresholds


def beats(ins: np.ndarray, outs: np.ndarray, claimed: object) -> bool:
    """True if some threshold's true-positive rate lies above what its false-positive rate allows, both by
    Clopper-Pearson bounds. Thresholds come from a first half of the runs, the rates from the second."""
    for quantile in (0.5, 0.9, 0.98):
        cut = np.quantile(outs[::2], quantile)
        hits, alarms, n = int((ins[1::2] > cut).sum()), int((outs[1::2] > cut).sum()), len(ins[1::2])
        tpr = stats.beta.ppf(ALPHA, hits, n - hits + 1) if hits else 0.0
        fpr = stats.beta.isf(ALPHA, alarms + 1, n - alarms) if alarms < n else 1.0
        if tpr > max_tpr(claimed, [fpr])[0]:
            return True
    return False


def answers(mechanism: Any, rows: Rows[Any]) -> Iterator[Any]:
    """RUNS releases. The exact answer is the same in all of them."""
    exact, source = mechanism.query(rows), Randomness()
    return (mechanism.released(mechanism.noised(exact, source)) for _ in range(RUNS))


def scores(mechanism: Histograms, values: np.ndarray) -> np.ndarray:
    """The likelihood-ratio statistic of "one person, with the first cell in every column" against "nobody"."""
    rows = Rows(values, np.arange(len(values)))
    return np.array([mechanism.shares @ [table[0] for table in noisy] for noisy in answers(mechanism, rows)])


@pytest.mark.statistical
@pytest.mark.parametrize("sigma, less", [(80.0, 40.0), (4.0, 2.0)], ids=["epsilon 0.05", "epsilon 1"])
def test_the_best_attack_on_histograms_stays_under_the_claim(sigma: float, less: float) -> None:
    """False alarms: below 6e-7. The variant with less noise than it claims is caught (epsilon 0.05: 40 times less; 1: half)."""
    sizes = (2, 3)
    claimed = compose([Gaussian(sigma)])
    assert (sigma == 80.0) == (claimed.epsilon(1e-6) < 0.06)
    one, nobody = np.zeros((1, 2), np.int32), np.zeros((0, 2), np.int32)
    right, wrong = Histograms(Gaussian(sigma), sizes), Histograms(Gaussian(sigma / less), sizes)
    assert not beats(scores(right, one), scores(right, nobody), claimed)
    assert beats(scores(wrong, one), scores(wrong, nobody), claimed)


@pytest.mark.statistical
@pytest.mark.parametrize(
    "event, less", [(Geometric(0.3), Geometric(0.9)), (DiscreteGaussian(3.0), DiscreteGaussian(1.0))], ids=str
)
def test_the_best_attack_on_counts_stays_under_the_claim(
    event: Geometric | DiscreteGaussian, less: Geometric | DiscreteGaussian
) -> None:
    """False alarms: below 6e-7. The variant that claims three times its noise is caught."""
    claimed = compose([event])

    def counted(noise: Geometric | DiscreteGaussian, sizes: list[int]) -> np.ndarray:
        units = np.repeat(np.arange(len(sizes)), sizes)
        # thirty people besides, so that cutting at zero hides nothing
        return np.array([counts[0] for counts in answers(UnitSizes(noise, (1,)), Rows(units, units))])

    others = [1] * 30
    assert not beats(counted(event, [*others, 3]), counted(event, others), claimed)
    assert beats(counted(less, [*others, 3]), counted(less, others), claimed)
