"""Where values lie inside of their bins: evenly by themselves, and together as the bins tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from privsynth.codec import Codec, ColumnCodec
from privsynth.domain import ColumnDomain, Domain
from privsynth.within import ENOUGH, FARTHEST, Within, _truncated, ends_of, spread

BINS = 12


def ridge(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) whole numbers below 1,000: three quarters of the second lie close to the first, the others anywhere."""
    one = rng.integers(0, 1000, n)
    near = np.clip(one + rng.normal(0, 15, n), 0, 999).astype(int)
    return np.stack([one, np.where(rng.random(n) < 0.75, near, rng.integers(0, 1000, n))], 1)


def codec_of_bins() -> Codec:
    """Two numbers from 0 to 999, each in BINS bins of the same width."""
    columns = []
    for name in "ab":
        domain = ColumnDomain(name, "integer", (), 0, 999)
        bins = np.append(np.arange(domain.cells) * BINS // domain.cells, BINS).astype(np.int32)
        inside = np.append(np.diff(domain.edges) / 1000, 0.0)
        raw = np.bincount(bins, inside)
        columns.append(ColumnCodec.of(domain, bins, inside, raw, np.full(BINS + 1, 1e-4)))
    return Codec(Domain(tuple(c.domain for c in columns), 1000), tuple(columns), 1000.0)


def coded(codec: Codec, values: np.ndarray) -> np.ndarray:
    return np.stack(
        [c.bins[np.searchsorted(c.domain.edges, values[:, j], side="right") - 1] for j, c in enumerate(codec.columns)],
        1,
    )


def test_a_narrow_line_inside_wide_bins_is_found_again() -> None:
    """Each bin is 83 wide; three quarters of people lie within about 15 of the diagonal."""
    rng = np.random.default_rng(0)
    real, codec = ridge(8000, rng), codec_of_bins()
    codes = coded(codec, real)
    knowing = codec.learning_within(codes, rng)
    assert knowing.within is not None
    apart = {}
    for name, each in (("real", None), ("not knowing", codec), ("knowing", knowing)):
        rows = real if each is None else each.decode(codes, rng).to_numpy()
        if each is not None:
            assert (coded(codec, rows) == codes).all(), "bins stay as they are"
        apart[name] = float((np.abs(rows[:, 0] - rows[:, 1]) < 20).mean())
    assert apart["not knowing"] < 0.8 * apart["real"]
    assert abs(apart["knowing"] - apart["real"]) < 0.5 * abs(apart["not knowing"] - apart["real"])


def test_rows_of_a_bin_lie_evenly_in_it() -> None:
    """In each of 50 parts of each column as many values as its share says, to within one for each bin's two ends."""
    rng = np.random.default_rng(1)
    codec = codec_of_bins()
    codes = np.repeat(np.arange(BINS), 1000)[:, None].repeat(2, 1)
    for each in (codec, codec.learning_within(codes[rng.permutation(len(codes))], rng)):
        places = each.places(codes, rng)
        assert places.shape == codes.shape and (places >= 0).all() and (places < 1).all()
        for j in range(2):
            for code in range(BINS):
                counts = np.histogram(places[codes[:, j] == code, j], 50, (0, 1))[0]
                assert np.abs(counts - 1000 / 50).max() <= 1


def test_a_few_rows_lie_where_their_scores_say() -> None:
    rng = np.random.default_rng(2)
    codes, through = np.array([0] * (ENOUGH - 1) + [1] * ENOUGH), rng.random(2 * ENOUGH - 1)
    places = spread(codes, through, through, rng)
    assert (places[: ENOUGH - 1] == through[: ENOUGH - 1]).all() and (
        places[ENOUGH - 1 :] != through[ENOUGH - 1 :]
    ).all()
    assert (np.argsort(places[ENOUGH - 1 :]) == np.argsort(through[ENOUGH - 1 :])).all(), "in the order of their scores"


def test_missing_values_and_empty_bins_do_no_harm() -> None:
    rng = np.random.default_rng(3)
    codec = codec_of_bins()
    codes = rng.integers(0, BINS + 1, (3000, 2))
    codes[codes[:, 0] == 3, 0] = 4
    knowing = codec.learning_within(codes, rng)
    rows = knowing.decode(codes, rng)
    assert (rows.isna().to_numpy() == (codes == BINS)).all()
    one = knowing.decode(codes[:1], rng)
    assert len(one) == 1


def test_nothing_is_learned_where_there_is_nothing_inside() -> None:
    """Numbers of which each bin is one value have nothing inside."""
    domain = ColumnDomain("a", "integer", (), 0, 4)
    closed = ColumnCodec.of(domain, np.arange(6, dtype=np.int32), np.full(6, 0.2), np.full(6, 1 / 6), np.full(6, 1e-3))
    codec = Codec(Domain((domain, domain), 100), (closed, closed), 100.0)
    assert codec.learning_within(np.zeros((100, 2), int), np.random.default_rng(0)) is codec


@pytest.mark.statistical
@pytest.mark.parametrize(("low", "high"), [(-1.0, 0.5), (2.0, 2.5), (-FARTHEST, 0.0), (6.0, FARTHEST)])
def test_truncated_normals_are_those_of_the_law(low: float, high: float) -> None:
    """Kolmogorov-Smirnov over 100,000 draws: false alarm below 1e-8."""
    rng = np.random.default_rng()
    drawn = np.sort(_truncated(np.full(100_000, 0.3), 1.2, np.full(100_000, low), np.full(100_000, high), rng))
    assert drawn[0] >= low - 1e-12 and drawn[-1] <= high + 1e-12
    at = [ndtr(-(x - 0.3) / 1.2) for x in (low, drawn, high)]  # by the right tail, which is small where low is far out
    law = (at[0] - at[1]) / (at[0] - at[2])
    assert np.abs(law - (np.arange(100_000) + 0.5) / 100_000).max() < 3.2 / np.sqrt(100_000)


def test_truncated_normals_far_out_stay_inside() -> None:
    low = np.array([40.0, -41.0, 1e6])
    drawn = _truncated(np.zeros(3), 1.0, low, low + 0.5, np.random.default_rng(4))
    assert (drawn >= low).all() and (drawn <= low + 0.5).all()


def test_ends_rise_and_are_numbers() -> None:
    ends = ends_of(np.array([0.0, 0.5, 0.0, 0.5, 0.0]))
    assert np.isfinite(ends).all() and (np.diff(ends) >= 0).all() and abs(ends[2]) < 1e-9
    assert np.isfinite(ends_of(np.zeros(3))).all()


def test_it_is_saved_as_plain_arrays() -> None:
    rng = np.random.default_rng(5)
    codec = codec_of_bins()
    within = codec.learning_within(coded(codec, ridge(2000, rng)), rng).within
    assert within is not None
    again = Within(**within.tensors())
    assert all((getattr(again, name) == value).all() for name, value in within.tensors().items())
