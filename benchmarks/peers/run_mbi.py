"""mbi (Private-PGM): the graphical model yardstick. AIM and MST after the published algorithms, on mbi's estimators.

The package holds the estimators alone, so the two mechanisms stand here: MST after McKenna, Miklau, Sheldon 2021, AIM
after McKenna, Mullins, Sheldon, Miklau 2022 (Algorithms 1 and 2 there), all pairs as workload. Both spend zCDP: rho is
the largest that converts to (epsilon, delta), a tenth of it for bins of the numeric columns. Noise is plain numpy:
good for a yardstick, not for a release.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import jax
import networkx as nx
import numpy as np
import pandas as pd
from harness import Sampler, Task, main
from scipy.optimize import brentq, minimize_scalar

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)

from mbi import Dataset, Domain, LinearMeasurement, estimation, junction_tree  # noqa: E402  # after 64 bits are on

Clique = tuple[str, ...]

BINS, BIN_SHARE = 20, 0.1
CELLS = 400  # public cells of a numeric column, before they are merged into bins
ITERATIONS = 1000
AIM_ROUNDS = 45  # its default of 16 a column ends far beyond any time limit on two cores
AIM_MODEL_MB = 80.0  # largest junction tree at the end, as published


def rho_of(epsilon: float, delta: float) -> float:
    """Largest rho of zCDP that implies (epsilon, delta) (Canonne, Kamath, Steinke 2020, Proposition 12)."""

    def log_delta(rho: float) -> float:
        def at(alpha: float) -> float:
            spent = (alpha - 1) * (alpha * rho - epsilon) + alpha * np.log1p(-1 / alpha)
            return float(spent - np.log(alpha - 1))

        return float(minimize_scalar(at, bounds=(1.0001, 10_000), method="bounded").fun)

    return float(brentq(lambda rho: log_delta(rho) - np.log(delta), 1e-8, epsilon + 10))


@dataclass
class Bins:
    """A numeric column's public cells, and the bins and density inside them that a noisy histogram tells."""

    edges: np.ndarray
    bin_of: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    density: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def public(cls, low: int, high: int) -> Bins:
        """Every step if there are few; else evenly on a scale that is a logarithm far from zero."""
        if high - low < CELLS:
            return cls(np.arange(low, high + 2))
        even = np.linspace(np.arcsinh(low), np.arcsinh(high + 1), CELLS + 1)
        return cls(np.unique(np.concatenate([np.round(np.sinh(even)).astype(int), [low, high + 1]])))

    def learn(self, values: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
        """(rows,) bin of each value; bins of about equal noisy mass."""
        cells = np.searchsorted(self.edges, values, side="right") - 1
        noisy = np.bincount(cells, minlength=len(self.edges) - 1) + rng.normal(0, sigma, len(self.edges) - 1)
        self.density = np.where(noisy > 2 * sigma, noisy, 0.0) + 1e-3
        mass = np.cumsum(self.density) / self.density.sum()
        self.bin_of = np.unique(np.minimum((mass * BINS).astype(int), BINS - 1), return_inverse=True)[1]
        return np.asarray(self.bin_of[cells])

    def draw(self, bins: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        out = np.zeros(len(bins))
        for b in np.unique(bins):
            here, inside = np.flatnonzero(bins == b), np.flatnonzero(self.bin_of == b)
            cell = rng.choice(inside, len(here), p=self.density[inside] / self.density[inside].sum())
            out[here] = np.floor(self.edges[cell] + rng.random(len(here)) * (self.edges[cell + 1] - self.edges[cell]))
        return out


def fit(task: Task) -> Sampler:
    rng = np.random.default_rng(task.seed)
    rho = rho_of(task.epsilon, task.delta)
    numeric = {name: Bins.public(*bounds) for name, bounds in task.bounds.items()}
    sigma = np.sqrt(len(numeric) / (2 * BIN_SHARE * rho))
    codes = {n: b.learn(task.frame[n].to_numpy(), sigma, rng) for n, b in numeric.items()}
    codes |= {n: pd.Categorical(task.frame[n], categories=c).codes.astype(int) for n, c in task.categories.items()}
    codes = {name: codes[name] for name in task.frame.columns}
    sizes = {n: int(numeric[n].bin_of.max()) + 1 if n in numeric else len(task.categories[n]) for n in codes}
    data = Dataset(codes, Domain(list(sizes), list(sizes.values())))
    model = {"mst": mst, "aim": aim}[task.method](data, (1 - BIN_SHARE) * rho, rng)

    def sample(n: int) -> pd.DataFrame:
        drawn = model.synthetic_data(rows=n).to_dict()
        names = {name: np.array(values) for name, values in task.categories.items()}
        return pd.DataFrame(
            {n: numeric[n].draw(drawn[n], rng) if n in numeric else names[n][drawn[n]] for n in task.frame.columns}
        )

    return sample


def counts(data: Any, clique: Clique) -> np.ndarray:
    return np.asarray(data.project(clique).datavector(), float)


def measured(data: Any, clique: Clique, sigma: float, rng: np.random.Generator) -> LinearMeasurement:
    exact = counts(data, clique)
    return LinearMeasurement(exact + rng.normal(0, sigma, exact.size), clique, sigma)


def estimated(data: Any, told: list[LinearMeasurement], before: Any = None) -> Any:
    estimator = estimation.MirrorDescent()
    return estimator.estimate(data.domain, told, iters=ITERATIONS, warm_start=before, tol=1e-4)


def chosen(scores: np.ndarray, epsilon: float, sensitivity: float, rng: np.random.Generator) -> int:
    """Exponential mechanism, by Gumbel noise; costs epsilon^2 / 8 of zCDP."""
    return int(np.argmax(0.5 * epsilon / sensitivity * scores + rng.gumbel(size=len(scores))))


def mst(data: Any, rho: float, rng: np.random.Generator) -> Any:
    """A third for 1-way tables, a third to choose a spanning tree, a third to measure its edges."""
    names = list(data.domain.attributes)
    told = [measured(data, (name,), np.sqrt(3 * len(names) / (2 * rho)), rng) for name in names]
    model = estimated(data, told)
    gap = {p: np.abs(counts(data, p) - counts(model, p)).sum() for p in itertools.combinations(names, 2)}
    tree, epsilon = nx.Graph(), np.sqrt(8 * rho / 3 / (len(names) - 1))
    tree.add_nodes_from(names)
    while tree.number_of_edges() < len(names) - 1:
        part = {name: i for i, names_of in enumerate(nx.connected_components(tree)) for name in names_of}
        open_pairs = [pair for pair in gap if part[pair[0]] != part[pair[1]]]
        tree.add_edge(*open_pairs[chosen(np.array([gap[p] for p in open_pairs]), epsilon, 1.0, rng)])
    told += [measured(data, tuple(edge), np.sqrt(3 * (len(names) - 1) / (2 * rho)), rng) for edge in tree.edges]
    return estimated(data, told)


def aim(data: Any, rho: float, rng: np.random.Generator) -> Any:
    """Rounds of: choose the worst known pair that the model can carry, measure it; halve the noise where it told nothing."""
    names = list(data.domain.attributes)
    pairs = list(itertools.combinations(names, 2))
    weight = {p: sum(len({*p} & {*q}) for q in pairs) for p in pairs}
    exact = {p: counts(data, p) for p in pairs}
    rounds = max(AIM_ROUNDS, len(names) + 1)
    sigma, epsilon = np.sqrt(rounds / (2 * 0.9 * rho)), np.sqrt(8 * 0.1 * rho / rounds)
    told = [measured(data, (name,), sigma, rng) for name in names]
    used, last = len(names) * 0.5 / sigma**2, False
    model = estimated(data, told)
    while not last:
        if rho - used < 2 * (0.5 / sigma**2 + epsilon**2 / 8):
            sigma, epsilon, last = np.sqrt(1 / (2 * 0.9 * (rho - used))), np.sqrt(8 * 0.1 * (rho - used)), True
        used += 0.5 / sigma**2 + epsilon**2 / 8
        small = [p for p in pairs if fits(data.domain, told, p, AIM_MODEL_MB * min(1.0, used / rho))]
        bias = np.sqrt(2 / np.pi) * sigma
        scores = [weight[p] * (np.abs(exact[p] - counts(model, p)).sum() - bias * exact[p].size) for p in small]
        pair = small[chosen(np.array(scores), epsilon, max(weight[p] for p in small), rng)]
        before = counts(model, pair)
        told.append(measured(data, pair, sigma, rng))
        model = estimated(data, told, model)
        if np.abs(counts(model, pair) - before).sum() <= bias * before.size:
            sigma, epsilon = sigma / 2, epsilon * 2
    return model


def fits(domain: Domain, told: list[LinearMeasurement], pair: Clique, most: float) -> bool:
    """True if the junction tree with this pair stays small, or holds it already."""
    cliques = [measurement.clique for measurement in told]
    return pair in cliques or junction_tree.hypothetical_model_size(domain, [*cliques, pair]) <= most


if __name__ == "__main__":
    main(fit)
