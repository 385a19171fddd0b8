"""What noisy pairs show beyond doubt: codes that determine another column's code, combinations that do not occur, orders.

Every released cell y = p + sigma Z of a pair is split into two answers with independent noise (Gaussian thinning; Rasines, Young
2023, Biometrika 110): y + c sigma W and y - sigma W / c, with W drawn anew from a fixed seed. The first choose what to claim, the
second test it, so that however many combinations were looked at, only the claims that are tested count: with m of them,

    e + z s,  z = Phi^-1(1 - ERROR / m)

is above the share of rows that break a claim, for all m claims at once, with probability 1 - ERROR at least (Bonferroni). e is the
share estimated from second answers and s its standard deviation, which follows from stated noise alone: of each line of the pair
the claim's cells are summed, and, as a second estimate, all others are taken from what the line holds in the other pairs; both
are averaged by precision.

Pairs that were measured twice were chosen by their first answers (`measure.looked_at_again`), which is left out of account: one
with such structure is chosen whatever the noise.

No noisy table shows that a count is 0. A claim is made where its bound is at most a part, ALLOWED, of what independent columns
would come to, and where exceptions are not seen: e does not exceed MISTAKES by more than noise does in one of twenty true claims.

Post-processing: it reads released tables, their stated noise, and what constraints say already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import ndtri

from privsynth.encoding.histograms import to_simplex
from privsynth.marginals.answers import Columns, Tables

ERROR = 0.01  # probability that any of the bounds is too low
MISTAKES = 0.002  # of the rows that a claim is about: typing errors
UNSEEN = 1.645  # standard deviations of noise above MISTAKES from which exceptions are seen
CLEAR = 3.0  # standard deviations of noise in the first answer from which a cell is not empty
NEAR = 2.0  # below which it may well be
FEW = 0.5  # of a line's largest cell: what the others hold at most, by the first answer and one standard deviation
SPLIT = 2.0  # c: choosing needs strong lines only, so most of the precision is left to the tests
SEED = 20_260_101

_Margin = tuple[Columns, np.ndarray, float]  # the pair it is taken from, its shares, their variance
Kind = Literal["dependency", "determined", "excluded", "order"]
# of the rows that would break a claim if columns were independent, at most so many may, by its bound. A dependency of many lines
# has the noise of all of them: for a hospital of 8,000 patients at epsilon 2, diagnosis and department, that alone is a twentieth
ALLOWED: dict[Kind, float] = {"dependency": 1 / 8, "determined": 1 / 20, "excluded": 1 / 20, "order": 1 / 20}


class Side(NamedTuple):
    """What can be said of a column. usable: (codes,) that have words, the last code being the missing value. negatable: (codes,) of
    which "not this one" has words. ordered: codes are ranges of numbers, of which only neighbours are named together."""

    usable: np.ndarray
    negatable: np.ndarray
    ordered: bool


@dataclass(frozen=True)
class Claim:
    """Rows with one of these codes of the first column have the code in `values` of the second (dependency: each its own;
    determined: all one) or do not have it (excluded); order: the first column is never above the second.

    broken: (codes, codes) cells that it rules out and no constraint did. about, at_most, independent: share of all rows in those
    lines, the bound on those that break it, and what would if the columns were independent.
    """

    kind: Kind
    columns: Columns
    lines: tuple[int, ...]
    values: tuple[int, ...]
    broken: np.ndarray
    about: float
    independent: float
    at_most: float = 1.0


class _Half(NamedTuple):
    """One of two answers with independent noise. margin: what the same answers to other pairs say of each line, with its variance,
    infinite if there are none."""

    share: np.ndarray
    noise: float
    margin: np.ndarray
    variance: float

    def line_variance(self, broken: np.ndarray) -> np.ndarray:
        """(lines,) of the estimate of the share in these cells of each line."""
        cells = broken.sum(1)
        direct, rest = cells * self.noise**2, self.variance + (broken.shape[1] - cells) * self.noise**2
        return np.asarray(direct * rest / (direct + rest)) if np.isfinite(self.variance) else direct

    def by_line(self, broken: np.ndarray) -> np.ndarray:
        """(lines,) estimated share of rows in these cells of each line."""
        cells, inside = broken.sum(1), np.where(broken, self.share, 0.0).sum(1)
        weight = self.line_variance(broken) / np.maximum(cells * self.noise**2, 1e-300)  # of the direct estimate
        other = self.margin - np.where(broken, 0.0, self.share).sum(1)
        return np.where(cells > 0, weight * inside + (1 - weight) * other, 0.0)

    def exceptions(self, broken: np.ndarray) -> tuple[float, float]:
        """Estimated share of rows in these cells, and its standard deviation."""
        return float(self.by_line(broken).sum()), float(np.sqrt(self.line_variance(broken).sum()))


class _Pair(NamedTuple):
    """A pair, one way round, with both answers. expected: of independent columns, by the first. known: cells ruled out."""

    columns: Columns
    first: _Half
    second: _Half
    expected: np.ndarray
    known: np.ndarray


def claims(
    answers: Tables, sides: Sequence[Side], known: Mapping[Columns, np.ndarray], above: Mapping[Columns, np.ndarray]
) -> list[Claim]:
    """All that these pairs show. known: cells that constraints rule out, by pair. above: of two columns of numbers that can be
    compared, the cells in which the first is larger, for either order."""
    turned = [way for pair in _split(answers, known) for way in pair]
    chosen = [(pair, claim) for pair in turned for claim in _candidates(pair, sides, above.get(pair.columns))]
    alike: dict[tuple[Columns, bytes], tuple[_Pair, Claim]] = {}
    for pair, claim in chosen:  # the same cells seen from either column are one claim
        straight = claim.columns[0] < claim.columns[1]
        cells = claim.broken if straight else claim.broken.T
        alike.setdefault((tuple(sorted(claim.columns)), cells.tobytes()), (pair, claim))
    z = float(-ndtri(ERROR / max(len(alike), 1)))
    tested = [_tested(pair, claim, z) for pair, claim in alike.values()]
    return list(_without_repeats([claim for claim in tested if claim is not None]))


def _tested(pair: _Pair, claim: Claim, z: float) -> Claim | None:
    """The claim with its bound, if it holds beyond doubt."""
    estimate, deviation = pair.second.exceptions(claim.broken)
    bound = max(estimate + z * deviation, 0.0)
    seen = estimate > MISTAKES * claim.about + UNSEEN * deviation
    return None if seen or bound > ALLOWED[claim.kind] * claim.independent else replace(claim, at_most=bound)


def _without_repeats(found: list[Claim]) -> Iterator[Claim]:
    """Without claims all of whose cells are ruled out by those before, or that say what a dependency left undecided."""
    covered, decided = dict[Columns, np.ndarray](), set[Columns]()
    order = ("order", "dependency", "determined", "excluded")
    for claim in sorted(found, key=lambda c: (order.index(c.kind), -c.independent)):
        straight = claim.columns[0] < claim.columns[1]
        cells, pair = (claim.broken if straight else claim.broken.T), tuple(sorted(claim.columns))
        before = covered.get(pair, np.zeros_like(cells))
        if (cells & ~before).any() and claim.columns not in decided:
            covered[pair] = before | cells
            decided |= {claim.columns} if claim.kind == "dependency" else set()
            yield claim


def _split(answers: Tables, known: Mapping[Columns, np.ndarray]) -> Iterator[tuple[_Pair, _Pair]]:
    """Every pair in two answers with independent noise, both ways round."""
    rng, halves = np.random.default_rng(SEED), (dict[Columns, np.ndarray](), dict[Columns, np.ndarray]())
    for columns, table in sorted(answers.items()):
        drawn = rng.standard_normal(table.share.shape) * table.sigma
        halves[0][columns], halves[1][columns] = table.share + SPLIT * drawn, table.share - drawn / SPLIT
    grown = (float(np.sqrt(1 + SPLIT**2)), float(np.sqrt(1 + SPLIT**-2)))
    sigmas = [{columns: table.sigma * g for columns, table in answers.items()} for g in grown]
    margins = [_margins(half, sigma) for half, sigma in zip(halves, sigmas, strict=True)]
    for columns, table in sorted(answers.items()):
        shares = [
            to_simplex(_mean([(m, v) for _, m, v in margins[0][j]], table.share.shape[i])[0])
            for i, j in enumerate(columns)
        ]
        ruled_out = known.get(columns, np.zeros(table.share.shape, bool))
        ways = []
        for axis, j in enumerate(columns):
            turn: Callable[[np.ndarray], np.ndarray] = np.transpose if axis else np.asarray
            lines = table.share.shape[axis]
            first, second = (
                _Half(
                    turn(half[columns]),
                    sigma[columns],
                    *_mean([(m, v) for c, m, v in margin[j] if c != columns], lines),
                )
                for half, sigma, margin in zip(halves, sigmas, margins, strict=True)
            )
            ways.append(
                _Pair(columns[::-1] if axis else columns, first, second, turn(np.outer(*shares)), turn(ruled_out))
            )
        yield ways[0], ways[1]


def _margins(tables: Mapping[Columns, np.ndarray], sigmas: Mapping[Columns, float]) -> dict[int, list[_Margin]]:
    """Of each column in each pair."""
    found: dict[int, list[_Margin]] = {}
    for columns, table in tables.items():
        for axis, j in enumerate(columns):
            variance = sigmas[columns] ** 2 * table.shape[1 - axis]
            found.setdefault(j, []).append((columns, table.sum(1 - axis), variance))
    return found


def _mean(parts: Sequence[tuple[np.ndarray, float]], lines: int) -> tuple[np.ndarray, float]:
    """By precision, with its variance."""
    if not parts:
        return np.zeros(lines), float("inf")
    precision = sum(1 / variance for _, variance in parts)
    return np.asarray(sum(margin / variance for margin, variance in parts) / precision), 1 / precision


def _candidates(pair: _Pair, sides: Sequence[Side], above: np.ndarray | None) -> Iterator[Claim]:
    """What the first answers of a pair say, if noise leaves a chance to show it."""
    side, other = (sides[j] for j in pair.columns)
    if above is not None:
        yield from _claimed(pair, "order", np.flatnonzero(above.any(1)), (), above, whole=True)
    if not side.usable.any() or not other.usable.any():
        return
    share, noise = np.where(pair.known, 0.0, pair.first.share), pair.first.noise
    value, top, width = share.argmax(1), share.max(1), share.shape[1]
    off = (np.arange(width) != value[:, None]) & ~pair.known
    rest, spread = pair.first.by_line(off), np.sqrt(pair.first.line_variance(off))
    alone = side.usable & other.usable[value] & (rest < NEAR * spread)
    clear = alone & (top > CLEAR * noise) & (rest + spread < FEW * top)
    lines = np.flatnonzero(clear[:-1])
    if not side.ordered and not other.ordered and len(lines) > 2 and len(set(value[lines])) > 1:
        yield from _claimed(pair, "dependency", lines, value, off)
    for b in sorted(set(value[clear])):
        may = alone & ((value == b) | (top <= CLEAR * noise)) if side.ordered else clear & (value == b)
        for part in _parts(may, clear & (value == b), side.ordered):
            cells = np.broadcast_to(np.arange(width) != b, off.shape)
            yield from _claimed(pair, "determined", part, (int(b),), cells, whole=side.ordered)
    for b in np.flatnonzero(other.negatable):
        empty = side.usable & ~pair.known[:, b] & (share[:, b] < NEAR * noise)
        cells = np.broadcast_to(np.arange(width) == b, off.shape)
        for part in _parts(empty, empty & (pair.expected[:, b] > pair.second.noise), side.ordered):
            yield from _claimed(pair, "excluded", part, (int(b),), cells, whole=side.ordered)


def _parts(may: np.ndarray, sure: np.ndarray, ordered: bool) -> Iterator[np.ndarray]:
    """Lines named together: the missing value by itself, of ordered codes each run that begins and ends with a sure one."""
    if sure[-1]:
        yield np.array([len(sure) - 1])
    inside = np.flatnonzero(sure[:-1])
    if not ordered:
        if len(inside):
            yield inside
        return
    gaps = np.cumsum(~may[:-1])
    for run in np.unique(gaps[inside]):
        own = inside[gaps[inside] == run]
        yield np.arange(own[0], own[-1] + 1)


def _claimed(
    pair: _Pair, kind: Kind, lines: np.ndarray, values: Sequence[int] | np.ndarray, cells: np.ndarray, whole: bool = False
) -> Iterator[Claim]:  # fmt: skip
    """The claim about as many of these lines, strong ones first, as noise is likely to leave below the bound; nothing if none.

    values: of each line of the pair, for a dependency; else of all. whole: all of these lines or none.
    """
    broken = np.zeros_like(pair.known)
    broken[lines] = cells[lines] & ~pair.known[lines]
    expected, variance = np.where(broken, pair.expected, 0.0).sum(1), pair.second.line_variance(broken)
    order = lines[np.argsort(-expected[lines], kind="stable")]
    reached, spread = np.cumsum(expected[order]), np.sqrt(np.cumsum(variance[order]))
    z, allowed = float(-ndtri(ERROR)), ALLOWED[kind]
    if not len(order) or reached[-1] <= 0:
        return
    ratio = spread / np.maximum(reached, 1e-300)
    # also if noise adds one deviation, and some claims more are tested
    sure = np.flatnonzero((z + 2) * ratio <= allowed)
    most = len(order) - 1 if whole else int(sure[-1]) if len(sure) else int(np.argmin(ratio))
    kept = np.sort(order[: most + 1])
    mask = np.zeros_like(broken)
    mask[kept] = broken[kept]
    estimate, deviation = pair.first.exceptions(mask)
    hopeless = z * ratio[most] > allowed or estimate > allowed * reached[most] + NEAR * deviation
    if hopeless or (kind == "dependency" and len({int(values[a]) for a in kept}) < 2):
        return
    about = float(pair.expected.sum(1)[kept].sum())
    own = tuple(int(values[a]) for a in kept) if kind == "dependency" else tuple(int(v) for v in values)
    yield Claim(kind, pair.columns, tuple(kept.tolist()), own, mask, about, float(reached[most]))
