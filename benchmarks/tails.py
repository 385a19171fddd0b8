"""How well numbers of many shapes come out of their noisy counts, by how wide their bounds are: python benchmarks/tails.py [DRAWS]

Single columns, as `learn_codec` estimates them: before pairs add what they know ("alone"), and with shares of bins as exact as good
pairs make them ("with pairs"). Prints a table in Markdown: errors of the mean, of the cumulated distribution and of the deviation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd

from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.domain import ColumnDomain, Domain
from privsynth.encoding.histograms import Scales
from privsynth.encoding.learning import column_codec
from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms.tables import Histograms
from privsynth.privacy.unit import Rows

Draw = Callable[[int, np.random.Generator], np.ndarray]
SCHOOL = np.array([15, 52, 102, 195, 287, 357, 131, 32, 3225, 2236, 413, 326, 1644, 529, 177, 127]) / 9848
SHAPES: dict[str, Draw] = {
    "uniform": lambda n, r: r.uniform(0, 1000, n),
    "normal": lambda n, r: r.normal(500, 60, n),
    "below zero": lambda n, r: r.normal(-200, 300, n),
    "gamma": lambda n, r: r.gamma(2, 50, n),
    "exponential": lambda n, r: r.exponential(100, n),
    "stretched": lambda n, r: r.weibull(0.5, n) * 50,
    "weights": lambda n, r: np.clip(r.lognormal(4.3, 0.7, n), 1, 661),
    "lognormal": lambda n, r: r.lognormal(3, 1, n),
    "wide lognormal": lambda n, r: r.lognormal(4, 1.6, n),
    "Pareto 2.5": lambda n, r: (r.pareto(2.5, n) + 1) * 100,
    "Pareto 1.5": lambda n, r: (r.pareto(1.5, n) + 1) * 30,
    "zeros and a tail": lambda n, r: np.where(r.random(n) < 0.7, 0, r.lognormal(6, 1.2, n)),
    "gains": lambda n, r: np.where(r.random(n) < 0.92, 0, r.lognormal(8.5, 0.8, n)),
    "laboratory": lambda n, r: np.where(r.random(n) < 0.75, r.exponential(4, n), r.lognormal(3.3, 0.9, n)),
    "two modes": lambda n, r: np.where(r.random(n) < 0.8, r.normal(100, 20, n), r.normal(2000, 200, n)),
    "rare and far": lambda n, r: np.where(r.random(n) < 0.99, r.normal(50, 10, n), r.uniform(500, 5000, n)),
    "few values": lambda n, r: r.choice([100, 200, 250, 500, 1000], n, p=[0.4, 0.3, 0.15, 0.1, 0.05]),
    "school": lambda n, r: r.choice(np.arange(1, 17), n, p=SCHOOL),
    "stays": lambda n, r: r.geometric(0.2, n),
}
ROWS, WIDE, NOISE = (500, 2_000, 8_000, 20_000), (1.2, 5.0, 30.0, 1_000.0), (13.3, 2.7)


def figures(name: str, rows: int, wide: float, noise: float, seed: int) -> dict[str, float]:
    """Of one draw. wide: the bounds over the true range; noise: of a count, if it were the only table."""
    rng = np.random.default_rng(seed)
    values = np.round(SHAPES[name](rows, rng))
    low, high = (0 if values.min() >= 0 else int(values.min() * wide)), int(values.max() * wide) + 1
    column = ColumnDomain("x", "integer", low=low, high=high)
    scales = Scales(Domain((column,), None))
    mechanism = Histograms(Gaussian(noise), scales.sizes)
    cells = scales.encode(Rows(pd.DataFrame({"x": values}), np.arange(rows))).values
    exact = [np.bincount(cells[:, j], minlength=k).astype(float) for j, k in enumerate(scales.sizes)]
    noisy = [counts + rng.normal(0, s, len(counts)) for counts, s in zip(exact, mechanism.sigmas, strict=True)]
    alone = column_codec(column, scales.consistent(noisy, mechanism.sigmas)[0], float(rows))
    shares = np.bincount(alone.bins[cells[:, 0]], minlength=alone.size) / rows
    paired = alone.with_shares(shares, np.full(alone.size, 1e-9))
    found = {"bounds": wide} | errors(alone, exact[0], values, "")
    return found | errors(paired, exact[0], values, " with pairs")


def errors(codec: ColumnCodec, exact: np.ndarray, values: np.ndarray, how: str) -> dict[str, float]:
    regular = codec.domain.regular
    share, right = codec.density[:regular] / codec.density[:regular].sum(), exact[:regular] / exact[:regular].sum()
    middle = codec.domain.grid.value_at(np.arange(regular), np.full(regular, 0.5))
    mean = float(share @ middle)
    off, deviation = abs(mean - values.mean()) / abs(values.mean()), float(np.sqrt(share @ (middle - mean) ** 2))
    return {
        f"mean off{how}": min(off, 2.0),
        f"off by half{how}": float(off > 0.5),
        f"cumulated{how}": float(np.abs(np.cumsum(share - right)).max()),
        f"deviation, log{how}": abs(float(np.log(max(deviation, 1e-9) / values.std()))),
    }


def main(draws: int) -> None:
    cases = list(product(SHAPES, ROWS, WIDE, NOISE))
    table = pd.DataFrame([figures(*case, draws * i + k) for i, case in enumerate(cases) for k in range(draws)])
    means = pd.concat([table.groupby("bounds").mean(), table.mean().rename("all").to_frame().T.drop(columns="bounds")])
    print(f"{len(cases)} shapes, {draws} draws each\n\n| bounds, times the range | " + " | ".join(means.columns) + " |")
    print("|---" * (1 + len(means.columns)) + "|")
    for bounds, row in means.iterrows():
        print(f"| {bounds} | " + " | ".join(f"{value:.3f}" for value in row) + " |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
