"""Which tables are measured, by which facts, and what becomes of them. No noise, or seeded noise far from the bounds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from privsynth import Policy
from privsynth.encoding.bins import MOST_APART, rare_together
from privsynth.encoding.codec import Codec, Groups
from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.domain import ColumnDomain, Domain
from privsynth.marginals import choice as rules
from privsynth.marginals import measure as m
from privsynth.planning import make_plan, noise_in_words
from privsynth.privacy.accountant import epsilon_of
from privsynth.privacy.events import Gaussian
from privsynth.privacy.unit import Rows

N = 4000


def policy(
    columns: int, rows: int | None = N, target: bool = True, epsilon: float = 1.0, codes: int = 4,
    trainer: str = "marginals",
) -> Policy:  # fmt: skip
    names = ", ".join(f"v{i}" for i in range(codes))
    lines = [f"  c{j}: {{kind: category, categories: [{names}], nullable: false}}" for j in range(columns)]
    if target:
        lines[-1] = lines[-1].replace("kind: category", "kind: category, role: target")
    dataset = "{id: some}" if rows is None else f"{{id: some, rows: {rows}}}"
    budget = f"{{epsilon: {epsilon}, delta: 1.0e-6}}"
    head = ["privsynth: 1", f"dataset: {dataset}", "unit: row", f"budget: {budget}", f"trainer: {{name: {trainer}}}"]
    return Policy.from_text("\n".join([*head, "columns:", *lines]))


def shares_of(p: Policy) -> dict[str, float]:
    """Share of each mechanism of the marginal model in all of them."""
    items = {i.name: i.share for i in make_plan(p).items if i.share and i.name not in ("histograms", "row count")}
    return {name: share / sum(items.values()) for name, share in items.items()}


def test_public_facts_decide_what_is_measured() -> None:
    assert shares_of(policy(8, rows=400, target=False)) == pytest.approx({"marginals": 0.6, "second look": 0.4})
    assert shares_of(policy(2, rows=400)) == {"marginals": 1.0}
    looks = ["marginals", "second look", "target triples"]
    assert list(shares_of(policy(8, rows=400))) == looks
    assert list(shares_of(policy(8, rows=None))) == looks  # a measured number of rows is not public
    assert list(shares_of(policy(8, rows=900_000))) == ["marginals", "triples", "quadruples"]
    assert list(shares_of(policy(8, rows=9_000))) == ["marginals", "triples"]
    assert list(shares_of(policy(40))) == ["relations", "marginals", "target triples"]
    assert shares_of(policy(8, rows=400))["target triples"] == pytest.approx(rules.TARGET_SHARE)


def test_a_second_look_is_for_many_pairs_that_noise_blurs() -> None:
    """Not for few pairs, where most say much, nor where the first look is clear."""
    assert [rules.Facts((4,) * d, 400, 1.0, False).second_look for d in (4, 5, 8)] == [0, 4, 11]
    blurred, clear = (rules.Facts((30,) * 8, rows, 1.0, False) for rows in (47_000, 48_000))
    assert blurred.snr(2) < rules.SECOND_SNR < clear.snr(2) and blurred.order == clear.order == 2
    assert (blurred.second_look, clear.second_look) == (11, 0)
    assert rules.Facts((4,) * 37, 400, 1.0, False).second_look == 0  # wide: screened before


def test_the_signal_to_noise_ratio_is_rows_in_a_cell_over_its_noise() -> None:
    few, many = (rules.Facts.of(policy(8, rows=rows)) for rows in (1000, 50_000))
    for ways in (3, 4):
        assert many.snr(ways) == pytest.approx(50 * few.snr(ways))
        assert few.snr(ways) == pytest.approx(1000 / 4**ways * few.mu / np.sqrt(comb(8, ways)))  # of 4 codes each
    assert epsilon_of([Gaussian(1 / few.mu)], 1e-6) == pytest.approx(1.0, rel=1e-3)
    sizes = (2, 3, 5, 7)
    mean = np.mean([np.prod(three) for three in combinations(sizes, 3)])
    assert rules.Facts(sizes, 100, 2.0, False).snr(3) == pytest.approx(100 / mean * 2.0 / 2)
    for sizes in (2, 2), (2,) * 50:  # too few columns, too many tables
        assert rules.Facts(sizes, 10**9, 9.0, False).order == 2


def test_the_plan_names_every_mechanism_and_its_tables() -> None:
    few, many = (noise_in_words(Gaussian(2.0), 9, at_most) for at_most in (False, True))
    assert few == "9 tables, each count off by 6 (standard deviation, on average)"
    assert many == "at most 9 tables, each count off by at most 6 (standard deviation, on average)"
    noise = {item.name: item.noise for item in make_plan(policy(40)).items}
    assert noise["relations"].startswith("780 tables") and noise["marginals"].startswith("630 tables")
    assert noise["target triples"].startswith("300 tables") and noise["histograms"].startswith("40 tables")


TARGETS = "; tables of the target and two others are measured as well"
WHY: dict[str, tuple[dict[str, Any], str]] = {  # what is public, and the one reason that it is
    "enough for triples": ({"columns": 8, "rows": 9_000}, "the budget is enough for all tables of three columns: a cell holds 4.4"),
    "too few for quadruples": ({"columns": 8, "rows": 9_000}, "; tables of four columns would be lost in noise: with 9,000 rows"),
    "too many quadruples": ({"columns": 20, "rows": 900_000, "codes": 2}, "; of four columns there would be 4,845 tables"),
    "there are no quadruples": ({"columns": 3, "rows": 9_000}, "on average, and 2 are enough"),
    "enough for quadruples": ({"columns": 8, "rows": 900_000}, "for all tables of three and of four columns: a cell holds 44"),
    "below noise": ({"columns": 8, "rows": 400}, "measured; tables of three columns would be lost in noise: with 400 rows a cell"),
    "too many tables": ({"columns": 30, "rows": 900_000, "codes": 2}, "measured; of three columns there would be 4,060 tables"),
    "too many tables, whatever the rows": ({"columns": 30, "rows": None}, "measured; of three columns there would be 4,060"),
    "rows are not public": ({"columns": 8, "rows": None}, "cannot be known beforehand (declare `dataset.rows` if it is)"),
    "many columns": ({"columns": 40}, "the encoded table has 40 columns, and more than 36 have too many pairs"),
    "many cells": ({"columns": 10, "codes": 2_000}, "would have 180,000,000 cells and no more than 20,000,000 are measured"),
    "two columns": ({"columns": 2}, "there are two columns, and their table is all that can be measured"),
}  # fmt: skip
CAUSES = (
    "lost in noise",
    "there would be",
    "not public",
    "encoded table",
    "cells and no more",
    "two columns",
    "are enough",
)


@pytest.mark.parametrize("target", [True, False])
@pytest.mark.parametrize("case", WHY)
def test_auto_says_the_true_reason(case: str, target: bool) -> None:
    public, why = WHY[case]
    chosen = policy(**public, target=target, trainer="auto")
    tables, network = rules.reasons_for_marginals(rules.Facts.of(chosen))
    assert tables.startswith("auto chose `marginals`: ") and why in tables
    facts = rules.Facts.of(chosen)
    assert (TARGETS in tables) == (target and facts.order == 2 and len(facts.sizes) > 2)
    causes = 2 if facts.order == 3 and len(facts.sizes) > 3 else 1  # one for three columns, one for four
    assert sum(cause in tables for cause in CAUSES) == causes
    rows = public.get("rows", N)
    assert ("declares" in network) == (rows is not None) and (rows is None or network.endswith(f"declares {rows:,}"))
    assert ".md" not in tables + network


def test_reasons_are_in_the_plan_for_programs() -> None:
    chosen = policy(8, trainer="auto")
    assert make_plan(chosen).as_checked()["reasons"] == rules.reasons_for_marginals(rules.Facts.of(chosen))
    assert make_plan(policy(8)).as_checked()["reasons"] == []  # nothing was chosen by rule


def test_what_falls_short_of_enough_is_not_rounded_up_to_it() -> None:
    facts = rules.Facts((2,) * 8, 3_000_000, 3.99e-5, False)
    assert 1.99 < facts.snr(3) < 2 and facts.order == 2
    assert "would hold 1.99 " in rules._below_noise(facts, 3)


# --- what becomes of the answers --------------------------------------------------------------------------------------


def codec_of(rows: np.ndarray, sizes: tuple[int, ...], kind: str = "category") -> Codec:
    """Exact shares; a last code for "missing" that nobody has."""
    columns = []
    for j, size in enumerate(sizes):
        names = tuple(f"v{i}" for i in range(size))
        shares = np.append(np.bincount(rows[:, j], minlength=size) / len(rows), 0.0)
        domain = ColumnDomain(f"c{j}", kind, names, nullable=False)
        columns.append(
            ColumnCodec.of(
                domain, np.arange(size + 1, dtype=np.int32), np.ones(size + 1), shares, np.full(size + 1, 1e-3)
            )
        )
    return Codec(Domain(tuple(c.domain for c in columns), len(rows)), tuple(columns), float(len(rows)))


class Exact:
    """Stands for a private table; answers are exact, and mechanisms are recorded."""

    def __init__(self, rows: np.ndarray, mechanisms: list[Any]):
        self.rows, self.mechanisms = Rows(rows, np.arange(len(rows))), mechanisms

    def measure(self, mechanism: Any, run: Any) -> Any:
        self.mechanisms.append(mechanism)
        return mechanism.query(self.rows)

    def encoded(self, groups: Groups) -> Exact:
        return Exact(groups.encode(self.rows).values, self.mechanisms)


@dataclass(frozen=True)
class Planned:
    """Stands for a plan of these mechanisms."""

    names: tuple[str, ...]
    epsilon: float = 1.0

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def event(self, name: str, kind: type[Gaussian]) -> Gaussian:
        return kind(2.0)


def measured(rows: np.ndarray, sizes: tuple[int, ...], names: list[str], target: str | None) -> tuple[Any, list[Any]]:
    mechanisms: list[Any] = []
    table: Any = Exact(rows, mechanisms)
    run: Any = SimpleNamespace(plan=Planned(tuple(names)))
    return m.measure_marginals(table, codec_of(rows, sizes), target, run), mechanisms


def related(n: int, columns: int, size: int, seed: int = 0) -> np.ndarray:
    """Neighbours 0-1, 2-3, ... go together; all others are independent."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, size, (n, columns))
    alike = rng.random((n, columns // 2)) < 0.7
    rows[:, 1::2] = np.where(alike, rows[:, 0::2], rows[:, 1::2])
    return rows.astype(np.int32)


def test_pairs_that_say_most_are_measured_twice_and_averaged() -> None:
    rows = related(N, 8, 5)
    marginal_model, (first, second) = measured(rows, (5,) * 8, ["marginals", "second look"], "c7")
    strong = {(0, 1), (2, 3), (4, 5), (6, 7)}
    assert len(first.tables) == 28 and set(second.tables) >= strong and len(second.tables) <= 11
    ratio = np.array(second.shares) / second.shares[second.tables.index((0, 1))]
    assert ratio[second.tables.index((6, 7))] == pytest.approx(m.TARGET_AGAIN, rel=1e-6)
    noise = {c: s / N for c, s in zip(first.tables, first.sigmas, strict=True)}
    again = {c: s / N for c, s in zip(second.tables, second.sigmas, strict=True)}
    by_pair = {g.columns: g.sigma for g in marginal_model.targets}
    for c in strong:  # what is left of noise is never more than both looks together have
        assert by_pair[c] <= (noise[c] ** -2 + again[c] ** -2) ** -0.5 * 1.001 < noise[c]


def test_two_looks_are_weighted_by_their_precision() -> None:
    rng, seen = np.random.default_rng(0), []
    for _ in range(2000):
        one, other = (m.Noisy(rng.normal(0.25, sigma, (2, 2)), sigma) for sigma in (0.01, 0.02))
        seen.append(m.averaged(one, other))
    assert seen[0].sigma == pytest.approx((0.01**-2 + 0.02**-2) ** -0.5)
    assert np.std([table.share[0, 0] for table in seen]) == pytest.approx(seen[0].sigma, rel=0.1)  # six standard errors


def test_where_noise_drowns_every_pair_all_are_measured_twice() -> None:
    rows = np.random.default_rng(0).integers(0, 4, (N, 6)).astype(np.int32)
    codec = codec_of(rows, (4,) * 6)
    independent = {c: m.Noisy(np.outer(*(codec.columns[j].shares for j in c)), 0.01) for c in combinations(range(6), 2)}
    chosen = m.looked_at_again(independent, codec)
    assert chosen and set(chosen) <= set(independent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(m, "denoised", lambda *_: {})
        assert m.looked_at_again(independent, codec) == sorted(independent)


def test_triples_with_the_target_come_in_groups_after_pairs() -> None:
    rows = related(N, 4, 9)
    rows[:, 3] = (rows[:, 0] > 4) ^ (rows[:, 2] > 4)
    marginal_model, mechanisms = measured(rows, (9, 9, 9, 2), ["marginals", "target triples"], "c3")
    pairs, triples = mechanisms
    assert pairs.tables == tuple(combinations(range(4), 2)) and pairs.sizes == (10, 10, 10, 3)
    assert triples.tables == ((0, 1, 3), (0, 2, 3), (1, 2, 3)) and triples.sizes == (7, 7, 7, 3)
    ratio = np.array(pairs.shares) / pairs.shares[0]
    assert ratio[2] == pytest.approx(3 * (30 / 100) ** 0.33, rel=1e-6)  # three times for the target, less for few cells
    views = [target_marginal.columns for target_marginal in marginal_model.targets if len(target_marginal.columns) == 3]
    assert (4, 6, 3) in views and sorted(marginal_model.groups) == [0, 1, 2]
    fitted = marginal_model.population(N, np.random.default_rng(0), 40)
    assert np.mean(((fitted[:, 0] > 4) ^ (fitted[:, 2] > 4)) == fitted[:, 3]) > 0.8  # pairs say nothing of it


def test_all_triples_tell_their_pairs_as_well() -> None:
    rows = related(N, 4, 3)
    marginal_model, (_, triples) = measured(rows, (3,) * 4, ["marginals", "triples"], None)
    assert triples.tables == tuple(combinations(range(4), 3)) and marginal_model.groups == {}
    one = m.Noisy(np.full((2, 2), 0.25), 0.1)
    cube = m.Noisy(np.full((2, 2, 3), 0.1), 0.05)
    other = m.Noisy(np.zeros((2, 3)), 1.0)
    together = m.combined_with_margins({(0, 1): one, (0, 2): other, (1, 2): other}, {(0, 1, 2): cube})[1]
    weight = np.array([0.1**-2, 1 / (3 * 0.05**2)])
    assert together[0, 1].share == pytest.approx((weight * [0.25, 0.3]).sum() / weight.sum())
    assert together[0, 1].sigma == pytest.approx(weight.sum() ** -0.5)


def test_a_pair_is_as_precise_as_all_measurements_of_it() -> None:
    """Against direct sums, noise and all: what came through several tables counts once."""
    rng = np.random.default_rng(0)
    pairs, higher = (
        {c: m.Noisy(np.zeros((2,) * len(c)), 1.0) for way in ways for c in combinations(range(5), way)}
        for ways in ((2,), (3, 4))
    )
    assert m.combined_with_margins(pairs, higher)[1][0, 1].sigma ** -2 == pytest.approx(1 + 3 / 2 + 3 / 4)
    assert m.combined_with_margins(pairs, higher)[0][0, 1, 2].sigma ** -2 == pytest.approx(1 + 2 / 2)
    seen = []
    for _ in range(2000):
        noisy, more = (
            {c: m.Noisy(rng.normal(size=t.share.shape), 1.0) for c, t in some.items()} for some in (pairs, higher)
        )
        seen.append(m.combined_with_margins(noisy, more)[1][0, 1].share[0, 0])
    assert np.std(seen) == pytest.approx((1 + 3 / 2 + 3 / 4) ** -0.5, rel=0.1)  # six standard errors


def test_quadruples_carry_parities_of_four() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 3, (N, 5)).astype(np.int32)
    rows[:, 3] = rows[:, :3].sum(1) % 3
    marginal_model, mechanisms = measured(rows, (3,) * 5, ["marginals", "triples", "quadruples"], None)
    assert [len(mechanism.tables) for mechanism in mechanisms] == [10, 10, 5]
    assert (0, 1, 2, 3) in [target_marginal.columns for target_marginal in marginal_model.targets]
    fitted = marginal_model.population(N, rng, 40)
    assert np.mean(fitted[:, :3].sum(1) % 3 == fitted[:, 3]) > 0.95


@pytest.mark.parametrize(("snr", "many", "more"), [(1280, 10, 5), (640, 10, 2), (400, 6, 0), (70, 1, 0)])
def test_tables_of_more_columns_than_fit_into_memory_are_left_out(
    snr: int, many: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(m, "MAX_CELLS", snr)  # pairs have 160 cells, triples 640, quadruples 1,280
    rows = np.random.default_rng(0).integers(0, 3, (N, 5)).astype(np.int32)
    marginal_model, mechanisms = measured(rows, (3,) * 5, ["marginals", "triples", "quadruples"], "c4")
    triples, quadruples = (mechanism.tables for mechanism in mechanisms[1:])
    assert (len(triples), len(quadruples)) == (many, more)
    assert all(set(combinations(table, 3)) <= set(triples) for table in quadruples)
    assert sum(4 in table for table in triples) == min(many, 6)  # those with the target come first
    assert len(marginal_model.population(100, np.random.default_rng(0), 4)) == 100


def test_screening_finds_the_pairs_that_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(m, "most_pairs", lambda columns: 3)
    rows = related(N, 12, 8)
    marginal_model, (screening, pairs) = measured(rows, (8,) * 12, ["relations", "marginals"], None)
    assert len(screening.tables) == 66 and max(screening.sizes) == 5  # four groups, and one for missing
    assert len(pairs.tables) == 3 and set(pairs.tables) <= {(j, j + 1) for j in range(0, 12, 2)}
    coarse = [
        target_marginal.columns
        for target_marginal in marginal_model.targets
        if target_marginal.columns not in pairs.tables
    ]
    assert set(coarse) == {(12 + j, 13 + j) for j in range(0, 12, 2)} - {(12 + j, 12 + k) for j, k in pairs.tables}


def test_a_table_is_wide_by_cells_too() -> None:
    plan = make_plan(policy(10, codes=2_000))
    noise = {item.name: item.noise for item in plan.items}
    assert noise["relations"].startswith("45 tables") and noise["marginals"].startswith("at most 45 tables")
    many_rows = rules.Facts((2_000,) * 10, 10**12, 1.0, False)
    assert many_rows.snr(3) > rules.MIN_SNR and many_rows.order == 2  # signal enough, but 8e9 cells a table
    sizes = (2, 3, 5, 7)
    assert rules.Facts(sizes, 1, 1.0, False).pair_cells == sum(a * b for a, b in combinations(sizes, 2))
    assert rules.Facts((4_470,) * 2, 1, 1.0, False).wide is False and rules.Facts((4_480,) * 2, 1, 1.0, False).wide
    assert not rules.Facts((3_000,) + (30,) * 30, 1, 1.0, True).wide  # one column of many codes alone


def test_the_strongest_pairs_stop_at_the_limit_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    def table(signal: float) -> m.Noisy:
        return m.Noisy(np.full((2, 2), 0.25) + signal * np.array([[1, -1], [-1, 1]]), 0.01)

    sizes, even = (10, 100, 5, 20), [np.array([0.5, 0.5])] * 4
    screened = {(0, 1): table(0.2), (0, 2): table(0.05), (0, 3): table(0.1), (1, 3): table(0.15), (2, 3): table(0.01)}
    shuffled = dict(sorted(screened.items(), reverse=True))
    for limit, most, chosen in [
        (20_000_000, 9, sorted(screened)), (20_000_000, 2, [(0, 1), (1, 3)]),
        (1_300, 9, [(0, 1), (0, 2), (0, 3)]),  # (1, 3) has 2,000 cells: passed over; (2, 3) no longer fits
        (1_300, 2, [(0, 1), (0, 3)]), (999, 9, [(0, 2), (0, 3), (2, 3)]), (49, 9, []),
    ]:  # fmt: skip
        monkeypatch.setattr(m, "MAX_CELLS", limit)
        assert (
            m.strongest(screened, even, sizes, most, None) == m.strongest(shuffled, even, sizes, most, None) == chosen
        )
    monkeypatch.setattr(m, "MAX_CELLS", 20_000_000)
    assert m.strongest(screened, even, sizes, 1, 3) == [(1, 3)]  # with the target: it counts three times


def test_measured_categories_that_are_too_many_leave_tables_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Public sizes let expect few codes, so nothing says which pairs are strong: small ones, with the target first."""
    monkeypatch.setattr(m, "MAX_CELLS", 149)
    marginal_model, (pairs, triples) = measured(related(N, 6, 4), (4, 4, 4, 4, 4, 9), ["marginals", "triples"], "c5")
    assert pairs.tables == ((0, 1), (0, 5), (1, 5))  # of 25, 50 and 50 cells, with that for missing values
    assert triples.tables == ((0, 1, 2),)  # of 125; those with the target have 250
    assert {g.columns for g in marginal_model.targets} >= set(pairs.tables)


def test_groups_keep_order_lean_and_missing() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(0, 12, N), np.zeros(N, int)], 1)
    rows[:, 1] = rng.random(N) < np.where(rows[:, 0] % 2, 0.9, 0.1)  # odd codes lean one way
    codec = codec_of(rows, (12, 2))
    share = np.zeros((13, 3))
    np.add.at(share, (rows[:, 0], rows[:, 1]), 1 / N)
    target_marginal = m.TargetMarginal((0, 1), share, 1e-3, 1.0)
    lean = m.groups_of(codec, 4, [target_marginal], 1).columns[0]
    assert len({lean[code] for code in range(0, 12, 2)} & {lean[code] for code in range(1, 12, 2)}) <= 1
    assert m.groups_of(codec, 4).columns[1] == (0, 1, 2) and lean[-1] == max(lean) and lean.count(lean[-1]) == 1
    numbers = codec_of(rows, (12, 2), "integer")
    order = m.groups_of(numbers, 4, [target_marginal], 1).columns[0]
    assert list(order) == sorted(order) and len(set(order)) == 5


def test_groups_encode_row_by_row() -> None:
    groups = Groups(((0, 0, 1), (1, 0)))
    rows = Rows(np.array([[0, 1], [2, 0], [1, 1]], np.int32), np.array([5, 5, 7]))
    encoded = groups.encode(rows)
    assert groups.sizes == (2, 2) and encoded.values.tolist() == [[0, 0], [1, 1], [0, 0]]
    assert encoded.units is rows.units and encoded.values.dtype == np.int32


def test_rare_categories_share_a_code_where_there_are_many() -> None:
    shares = np.concatenate([np.full(30, 0.03), np.full(40, 0.002), [0.02]])
    codes = rare_together(shares, 0.001)
    assert codes[:30].tolist() == list(range(30)) and codes[-1] == 30 and set(codes[30:-1]) == {31}
    assert rare_together(shares, 1e-6).tolist() == list(range(71))  # nothing is lost in noise
    few = np.array([0.9, 0.05, 0.001, 0.001, 0.0])
    assert rare_together(few, 0.01).tolist() == [0, 1, 2, 3, 4]


def test_rare_categories_that_most_rows_have_keep_codes_of_their_own() -> None:
    shares = np.concatenate([np.full(10, 0.05), np.full(100, 0.005), [-0.001, 0.0]])
    codes = rare_together(shares, 0.002)  # four standard deviations are .008
    assert codes[:110].tolist() == list(range(110)) and set(codes[110:]) == {110}
    assert rare_together(np.full(1000, 0.001), 0.001).max() == MOST_APART  # for time and memory
