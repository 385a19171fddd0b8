"""The within-bin copula: where values lie inside their bins, and how numbers depend on each other there. Post-processing of
released rows.

Noisy tables say how bins depend on each other, not what happens inside them: two bills of one account that are nearly equal
would be drawn anywhere in their bins, a square where people lie on a line. How little mass lies in the bins beside the
diagonal shows how narrow the line is. So a bin is taken as an interval of normal scores, and a mixture of Gaussians is fitted
to released rows of which only these intervals are known: stochastic EM (Celeux, Diebolt 1985), with the scores drawn by Gibbs
sampling from truncated normals (Geweke 1991). Bins stay as they are; only the place inside them is drawn.

The rows of a bin with many rows are stratified, one to each equal part of it, so that single columns lose little to chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from privsynth.loading import Damaged, Tensors, take, take_shares
from privsynth.parallel import in_blocks

MIN_ROWS, ROWS = 2_000, 10_000  # released rows that a mixture is fitted to: as many as the table has, within these
COMPONENTS, MOST = 8, 64  # of a mixture; numbers that it is about, since its cost grows with their square
ROUNDS, SWEEPS = 20, 2  # of fitting, and of drawing
RIDGE = 1e-4  # added to variances, so that scores that are all equal have one as well
LAST = 1 - 1e-12  # the last place inside of a bin
BLOCK = 8192  # rows that are drawn together
FARTHEST = 9.0  # where the outermost bins end, in normal scores
ENOUGH = 20  # rows of a bin from which they are stratified; fewer lie where their scores put them
LARGEST_CENTER, LARGEST_PRECISION = 1e6, 1e9  # of a mixture that is loaded: what is computed of them stays finite
NARROW = 1e-12  # share of rows in an interval below which the mixture gives no place inside it

Edges = list[np.ndarray]  # for each number the edges of its bins as normal scores, ascending: (bins + 1,)


@dataclass(frozen=True)
class Copula:
    """A mixture of Gaussians over normal scores. columns: (d,) the numbers it is about. chance: (k,); center: (k, d);
    precision: (k, d, d), inverse covariances."""

    columns: np.ndarray
    chance: np.ndarray
    center: np.ndarray
    precision: np.ndarray

    @classmethod
    def learn(cls, columns: np.ndarray, edges: Edges, codes: np.ndarray, rng: np.random.Generator) -> Copula:
        """codes: (rows, d) released rows of these columns; a code beyond the last bin is "missing"."""
        most = int(np.clip(len(codes) // (10 * len(columns)), 1, COMPONENTS))
        low, high = _intervals(edges, codes)
        scores = _truncated(np.zeros_like(low), 1.0, low, high, rng)
        # at random: k-means would cut a narrow line into squares, which further rounds do not repair
        part = rng.integers(0, most, len(codes))
        for _ in range(ROUNDS):
            mixture = cls._fitted(columns, scores, part, most)
            scores = mixture._moved(scores, part, low, high, rng)
            part = mixture._parts(scores, rng)
        return cls._fitted(columns, scores, part, most)

    @classmethod
    def restore(cls, tensors: Tensors, numbers: Sequence[int] | None = None) -> Copula:
        """What `tensors` gave. numbers: the columns that it may be about, if not any. Raises Damaged."""
        columns, chance = take(tensors, "columns", "int64", (None,)), take_shares(tensors, "chance", "float64", (None,))
        k, d = len(chance), len(columns)
        if d == 0 or len(np.unique(columns)) < d or not (numbers is None or np.isin(columns, numbers).all()):
            raise Damaged("tensor `within.columns` must name columns of numbers, each of them once")
        center = take(tensors, "center", "float64", (k, d), -LARGEST_CENTER, LARGEST_CENTER)
        return cls(columns, chance, center, _precisions(tensors, (k, d, d)))

    @classmethod
    def _fitted(cls, columns: np.ndarray, scores: np.ndarray, part: np.ndarray, components: int) -> Copula:
        """Moments of each component; one with too few rows gets those of all rows."""
        chance, center, precision = np.zeros(components), [], []
        for k in range(components):
            here = scores[part == k]
            chance[k] = (len(here) + 1) / (len(scores) + components)
            if len(here) < 5 * len(columns):
                here = scores
            covariance = np.atleast_2d(np.cov(here.T)) + RIDGE * np.eye(len(columns))
            center.append(here.mean(0))
            precision.append(np.linalg.inv(covariance))
        return cls(columns, chance, np.array(center), np.array(precision))

    def draw(self, edges: Edges, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(rows, d) codes -> (rows, d) scores inside their bins."""
        count = max(1, -(-len(codes) // BLOCK))
        parts, rngs = np.array_split(codes, count), rng.spawn(count)
        return in_blocks(lambda i, report: self._drawn(edges, parts[i], rngs[i]), count, lambda share: None)

    def _drawn(self, edges: Edges, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low, high = _intervals(edges, codes)
        scores = _truncated(np.zeros_like(low), 1.0, low, high, rng)
        for _ in range(SWEEPS):
            scores = self._moved(scores, self._parts(scores, rng), low, high, rng)
        return scores

    def cdf(self, column: int, edges: np.ndarray, codes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """(rows,) each score of a column as its share of its bin, 0 to 1, by the mixture's own distribution function; NaN where
        the mixture has hardly any mass in the bin."""
        j = int(np.flatnonzero(self.columns == column)[0])
        low, high = _intervals([edges], codes[:, None])
        variance = np.linalg.inv(self.precision)[:, j, j]

        def below(x: np.ndarray) -> np.ndarray:
            return np.asarray(ndtr((x[:, None] - self.center[:, j]) / np.sqrt(variance)) @ self.chance)

        start, stop = below(low[:, 0]), below(high[:, 0])
        return np.where(stop - start < NARROW, np.nan, (below(scores) - start) / np.maximum(stop - start, NARROW))

    def _parts(self, scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(rows,) a component for each row, drawn by its chances given the scores."""
        logs = np.empty((len(scores), len(self.chance)))
        for k, (center, precision) in enumerate(zip(self.center, self.precision, strict=True)):
            root = np.linalg.cholesky(precision)
            logs[:, k] = np.log(self.chance[k]) + np.log(np.diag(root)).sum()
            logs[:, k] -= 0.5 * (((scores - center) @ root) ** 2).sum(1)
        rising = np.exp(logs - logs.max(1, keepdims=True)).cumsum(1)
        return np.asarray((rising <= rng.random((len(scores), 1)) * rising[:, -1:]).sum(1))

    def _moved(
        self, scores: np.ndarray, part: np.ndarray, low: np.ndarray, high: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """The scores after one sweep: each redrawn given the others of its row, inside its interval."""
        moved = scores.copy()
        for k, (center, precision) in enumerate(zip(self.center, self.precision, strict=True)):
            here = np.flatnonzero(part == k)
            own, lows, highs = moved[here] - center, low[here] - center, high[here] - center
            for j in rng.permutation(own.shape[1]):
                mean = own[:, j] - own @ precision[:, j] / precision[j, j]
                own[:, j] = _truncated(mean, precision[j, j] ** -0.5, lows[:, j], highs[:, j], rng)
            moved[here] = own + center
        return moved

    def tensors(self) -> Tensors:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def _precisions(tensors: Tensors, shape: tuple[int, ...]) -> np.ndarray:
    """Inverse covariances: symmetric and positive definite. Raises Damaged."""
    precision = take(tensors, "precision", "float64", shape, -LARGEST_PRECISION, LARGEST_PRECISION)
    if np.abs(precision - precision.transpose(0, 2, 1)).max() <= 1e-6 * np.abs(precision).max():
        try:
            np.linalg.cholesky(precision)
            return precision
        except np.linalg.LinAlgError:
            pass
    raise Damaged("tensor `precision` must hold symmetric, positive definite matrices")


def bin_edges(shares: np.ndarray) -> np.ndarray:
    """Edges of bins as normal scores. shares: (bins,) of rows."""
    rising = np.concatenate([[0.0], np.cumsum(shares)])
    inner = ndtri(np.clip(rising[1:-1] / max(rising[-1], 1e-300), 0, 1)).clip(1 - FARTHEST, FARTHEST - 1)
    return np.concatenate([[-FARTHEST], inner, [FARTHEST]])


def stratified_places(codes: np.ndarray, scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(rows,) places in [0, 1) inside each code: one row in each of as many equal parts, in the order of their scores."""
    count = np.bincount(codes)
    rank = np.empty(len(codes))
    rank[np.lexsort((scores, codes))] = np.arange(len(codes)) - np.repeat(np.cumsum(count) - count, count)
    return np.asarray(np.minimum((rank + rng.random(len(codes))) / count[codes], LAST))


def _intervals(edges: Edges, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, d) where each code's interval starts, and where it ends; that of "missing" is the whole line."""
    low, high = np.empty(codes.shape), np.empty(codes.shape)
    for j, own in enumerate(edges):
        at = codes[:, j]
        low[:, j] = np.append(own[:-1], -FARTHEST)[at]
        high[:, j] = np.append(own[1:], FARTHEST)[at]
    return low, high


def _truncated(
    mean: np.ndarray, deviation: float, low: np.ndarray, high: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Normal numbers between `low` and `high`, by inversion in the left tail, where it is exact; the nearer end where
    even that tail has no mass."""
    start, end = (low - mean) / deviation, (high - mean) / deviation
    right = start > 0
    start, end = np.where(right, -end, start), np.where(right, -start, end)
    below, above = ndtr(start), ndtr(end)
    drawn = ndtri(below + rng.random(np.shape(start)) * (above - below))
    drawn = np.where(above - below > 1e-300, drawn, np.clip(0.0, start, end)).clip(start, end)
    return np.asarray(mean + deviation * np.where(right, -drawn, drawn))
