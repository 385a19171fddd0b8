"""Where values lie inside their bins: stratified column by column, and dependent on each other as the bins show."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from privsynth.encoding.codec import Codec
from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.copula import FARTHEST, MOST, Copula, _truncated, bin_edges, stratified_places
from privsynth.encoding.domain import ColumnDomain, Domain

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
        inside = np.append(domain.grid.widths / 1000, 0.0)
        raw = np.bincount(bins, inside)
        columns.append(ColumnCodec.of(domain, bins, inside, raw, np.full(BINS + 1, 1e-4)))
    return Codec(Domain(tuple(c.domain for c in columns), 1000), tuple(columns), 1000.0)


def knowing(codec: Codec, codes: np.ndarray, rng: np.random.Generator) -> Codec:
    """The codec that has learned from these rows, again and again if there are few."""
    return codec.learning_copula(lambda n: np.resize(codes, (n, codes.shape[1])), rng)


def coded(codec: Codec, values: np.ndarray) -> np.ndarray:
    return np.stack([c.bins[c.domain.grid.cell_of(values[:, j])] for j, c in enumerate(codec.columns)], 1)


def test_a_narrow_line_inside_wide_bins_is_found_again() -> None:
    """Each bin is 83 wide; three quarters of people lie within about 15 of the diagonal."""
    rng = np.random.default_rng(0)
    real, codec = ridge(8000, rng), codec_of_bins()
    codes = coded(codec, real)
    apart = {}
    for name, each in (("real", None), ("not knowing", codec), ("knowing", knowing(codec, codes, rng))):
        rows = real if each is None else each.decode(codes, rng).to_numpy()
        if each is not None:
            assert (coded(codec, rows) == codes).all(), "bins stay as they are"
        apart[name] = float((np.abs(rows[:, 0] - rows[:, 1]) < 20).mean())
    assert apart["not knowing"] < 0.8 * apart["real"]
    assert abs(apart["knowing"] - apart["real"]) < 0.5 * abs(apart["not knowing"] - apart["real"])


def test_rows_of_a_bin_are_stratified() -> None:
    """In each of 50 parts of each column as many values as its share says, to within one for each bin's two ends."""
    rng = np.random.default_rng(1)
    codec = codec_of_bins()
    codes = np.repeat(np.arange(BINS), 1000)[:, None].repeat(2, 1)
    for each in (codec, knowing(codec, codes[rng.permutation(len(codes))], rng)):
        places = each.places(codes, rng)
        assert places.shape == codes.shape and (places >= 0).all() and (places < 1).all()
        for j in range(2):
            for code in range(BINS):
                counts = np.histogram(places[codes[:, j] == code, j], 50, (0, 1))[0]
                assert np.abs(counts - 1000 / 50).max() <= 1


@pytest.mark.statistical
def test_small_samples_lie_in_bins_as_large_ones_do() -> None:
    """Bins of few rows are not stratified, and yet 300 samples of 40 rows, pooled, fill each bin as the histogram says:
    a shift of .12 in the distribution within a bin is seen, which 1,000 even places exceed with a chance below 1e-11."""
    rng = np.random.default_rng(2)
    codec = codec_of_bins()
    learned = knowing(codec, coded(codec, ridge(8000, rng)), rng)
    samples = [coded(codec, ridge(40, rng)) for _ in range(300)]
    codes, places = np.concatenate(samples), np.concatenate([learned.places(sample, rng) for sample in samples])
    for j in range(2):
        for code in range(BINS):
            inside = np.sort(places[codes[:, j] == code, j])
            assert np.abs(inside - (np.arange(len(inside)) + 0.5) / len(inside)).max() < 0.12


def test_rows_of_a_code_are_in_the_order_of_their_scores() -> None:
    rng = np.random.default_rng(3)
    codes, scores = rng.integers(0, 3, 200), rng.normal(size=200)
    places = stratified_places(codes, scores, rng)
    for code in range(3):
        assert (np.argsort(places[codes == code]) == np.argsort(scores[codes == code])).all()


def test_missing_values_and_empty_bins_do_no_harm() -> None:
    rng = np.random.default_rng(3)
    codec = codec_of_bins()
    codes = rng.integers(0, BINS + 1, (3000, 2))
    codes[codes[:, 0] == 3, 0] = 4
    learned = knowing(codec, codes, rng)
    rows = learned.decode(codes, rng)
    assert (rows.isna().to_numpy() == (codes == BINS)).all()
    assert len(learned.decode(codes[:1], rng)) == 1


def test_nothing_is_sampled_where_there_is_nothing_to_learn() -> None:
    """Numbers of which each bin is one value have nothing inside, one number by itself goes with none, and with very many
    it would take too long."""

    def sample(n: int) -> np.ndarray:
        raise AssertionError("there is nothing to learn")

    domain = ColumnDomain("a", "integer", (), 0, 4)
    closed = ColumnCodec.of(domain, np.arange(6, dtype=np.int32), np.full(6, 0.2), np.full(6, 1 / 6), np.full(6, 1e-3))
    opened = codec_of_bins().columns[0]
    for columns in ((closed, closed), (closed, opened), (opened,) * (MOST + 1)):
        codec = Codec(Domain(tuple(c.domain for c in columns), 100), columns, 100.0)
        assert codec.learning_copula(sample, np.random.default_rng(0)) is codec


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
    ends = bin_edges(np.array([0.0, 0.5, 0.0, 0.5, 0.0]))
    assert np.isfinite(ends).all() and (np.diff(ends) >= 0).all() and abs(ends[2]) < 1e-9
    assert np.isfinite(bin_edges(np.zeros(3))).all()


def test_it_is_saved_as_plain_arrays_and_damage_is_seen() -> None:
    rng = np.random.default_rng(5)
    codec = codec_of_bins()
    copula = knowing(codec, coded(codec, ridge(2000, rng)), rng).copula
    assert copula is not None
    again = Copula.restore(copula.tensors())
    assert all((getattr(again, name) == value).all() for name, value in copula.tensors().items())
    with pytest.raises(ValueError, match="inconsistent shapes"):
        Copula.restore(copula.tensors() | {"columns": np.arange(3)})
