"""`check --suggest`: what noisy pairs show is found, what they do not show is not, and the bounds on exceptions hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from privsynth import Policy, fit
from privsynth.cli import app
from privsynth.errors import InputError
from privsynth.marginals.answers import Noisy
from privsynth.marginals.dependencies import Claim, Side, _split, claims
from privsynth.sampling.suggestions import as_text, suggestions
from privsynth.sampling.synthesizer import Synthesizer

ROWS, NOISE = 20_000, 20.0  # rows of noise on each cell
WARDS = np.arange(20) % 5  # of each of twenty diagnoses


def answers(rows: np.ndarray, rng: np.random.Generator, noise: float = NOISE) -> dict[tuple[int, ...], Noisy]:
    """Noisy shares of all pairs."""
    sizes = rows.max(0) + 1
    found: dict[tuple[int, ...], Noisy] = {}
    for j, k in combinations(range(rows.shape[1]), 2):
        counts = np.bincount(rows[:, j] * sizes[k] + rows[:, k], minlength=sizes[j] * sizes[k]).reshape(
            sizes[j], sizes[k]
        )
        found[j, k] = Noisy((counts + noise * rng.standard_normal(counts.shape)) / len(rows), noise / len(rows))
    return found


def hospital(exceptions: float, rng: np.random.Generator) -> np.ndarray:
    """Diagnosis, ward, two columns that depend on nothing; the last code of each means missing and does not occur, but once."""
    diagnosis = rng.integers(0, 20, ROWS)
    other = (WARDS[diagnosis] + rng.integers(1, 5, ROWS)) % 5
    ward = np.where(rng.random(ROWS) < exceptions, other, WARDS[diagnosis])
    rows = np.stack([diagnosis, ward, rng.integers(0, 6, ROWS), rng.integers(0, 3, ROWS)], 1)
    rows[0] = [20, 5, 6, 3]
    return rows


def sides(rows: np.ndarray, ordered: bool = False) -> list[Side]:
    sizes = rows.max(0) + 1
    return [Side(np.ones(size, bool), np.arange(size) < size - 1, ordered) for size in sizes]


def found(rows: np.ndarray, rng: np.random.Generator, noise: float = NOISE) -> list[Claim]:
    return claims(answers(rows, rng, noise), sides(rows), {}, {})


def test_a_dependency_is_found() -> None:
    """Twenty tables. A true one may be taken for one with exceptions in one of twenty (`UNSEEN`): more than five of twenty
    are so with a probability of 3e-4."""
    missed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        own = [claim for claim in found(hospital(0.0, rng), rng) if claim.kind == "dependency"]
        missed += not own
        for claim in own:
            assert claim.columns == (0, 1) and claim.values == tuple(WARDS[list(claim.lines)])
            assert len(claim.lines) == 20 and claim.at_most < 0.05 < 0.7 < claim.independent
    assert missed <= 5


@pytest.mark.statistical
def test_nothing_is_found_where_nothing_is() -> None:
    """200 tables of independent columns, in each of which a claim may be made with a probability of 1 %: more than eight with
    one of 1e-4."""
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rows = np.stack([rng.integers(0, size, 5_000) for size in (12, 5, 4)], 1)
        alarms += bool(found(rows, rng))
    assert alarms <= 8


@pytest.mark.statistical
def test_a_dependency_with_exceptions_is_none() -> None:
    """One row of twenty in another ward, 60 tables of little noise: exceptions are seen, with a probability of 99 % at least.
    More than five of 60 with one of 3e-5."""
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        alarms += any(
            {*claim.columns} == {0, 1} and claim.kind != "excluded" for claim in found(hospital(0.05, rng), rng)
        )
    assert alarms <= 5


@pytest.mark.statistical
def test_bounds_hold() -> None:
    """With so much noise that exceptions of 4 % are often not seen: in 200 tables a bound is below the truth with a probability
    of 1 % each, in more than eight with one of 1e-4."""
    wrong, many = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rows = hospital(0.04, rng)
        own = found(rows, rng, noise=60.0)
        true = [claim.broken[rows[:, claim.columns[0]], rows[:, claim.columns[1]]].mean() for claim in own]
        many += bool(own)
        wrong += any(claim.at_most < share for claim, share in zip(own, true, strict=True))
    assert many > 50 and wrong <= 8


@pytest.mark.statistical
def test_both_answers_are_independent() -> None:
    """Noise of an empty table of 90,000 cells: correlation and variances within five standard errors, false-alarm rate 2e-6."""
    rng, shape, sigma = np.random.default_rng(7), (300, 300), 3.0
    empty = {columns: Noisy(sigma * rng.standard_normal(shape), sigma) for columns in ((0, 1), (0, 2), (1, 2))}
    pair, _ = next(_split(empty, {}))
    one, two = pair.first.share.ravel() / pair.first.noise, pair.second.share.ravel() / pair.second.noise
    error = 5 / np.sqrt(one.size)
    assert abs((one * two).mean()) < error
    assert abs((one**2).mean() - 1) < error * np.sqrt(2) and abs((two**2).mean() - 1) < error * np.sqrt(2)
    for half in (pair.first, pair.second):  # of the lines, in the other pair
        assert abs((half.margin**2).mean() / half.variance - 1) < 5 * np.sqrt(2 / 300)


def test_what_is_known_is_not_said_again() -> None:
    rng = np.random.default_rng(1)
    rows = hospital(0.0, rng)
    cells = np.ones((21, 6), bool)
    cells[np.arange(20), WARDS] = False
    told = claims(answers(rows, rng), sides(rows), {(0, 1): cells}, {})
    assert not [claim for claim in told if claim.columns in ((0, 1), (1, 0))]
    half = cells & (np.arange(6) < 2)  # two wards of each line
    for ordered in (False, True):  # as one dependency, and line by line
        told = claims(answers(rows, rng, 2.0), sides(rows, ordered), {(0, 1): half}, {})
        assert told and not any((c.broken & (half if c.columns == (0, 1) else half.T)).any() for c in told)


def test_an_order_of_two_numbers() -> None:
    rng = np.random.default_rng(2)
    low = rng.integers(0, 8, ROWS)
    rows = np.stack([low, rng.integers(low, 8), rng.integers(0, 8, ROWS)], 1)
    rows[0] = 8  # missing
    above = np.arange(9)[:, None] > np.arange(9)
    above[8] = above[:, 8] = False
    cells = {(j, k): above for j in range(3) for k in range(3) if j != k}
    told = [
        claim
        for claim in claims(answers(rows, rng, 5.0), sides(rows, ordered=True), {}, cells)
        if claim.kind == "order"
    ]
    assert [claim.columns for claim in told] == [(0, 1)]


POLICY = """
privsynth: 1
unit: row
dataset: {id: wards, rows: 4000}
budget: {epsilon: 8.0, delta: 1.0e-6}
columns:
  diagnosis: {kind: category, categories: [A0, B1, C2, D3, E4, F5, "none", rare], nullable: false}
  ward: {kind: category, categories: [surgery, medicine, "no", eyes]}
  planned: {kind: boolean, categories: ["no", "yes"], nullable: false}
  triage: {kind: integer, bounds: [1, 5]}
  age: {kind: integer, bounds: [0, 99], nullable: false}
  first: {kind: date, bounds: [2024-01-01, 2024-12-31], cuts: [2024-07-01]}
trainer: {name: marginals}
"""


def visits(rng: np.random.Generator) -> pd.DataFrame:
    n = 4_000
    diagnosis = rng.choice(["A0", "B1", "C2", "D3", "E4", "F5", "none"], n)
    ward = pd.Series(diagnosis).map(
        dict(zip(["A0", "B1", "C2", "D3", "E4", "F5"], ["surgery", "medicine", "no"] * 2, strict=True))
    )
    planned, age = rng.random(n) < 0.4, rng.integers(0, 100, n)
    return pd.DataFrame({
        "diagnosis": diagnosis, "ward": np.where(age < 15, "eyes", ward.fillna("").to_numpy()),
        "planned": np.where(planned, "yes", "no"),
        "triage": np.where(planned, "", rng.integers(1, 6, n).astype(str)), "age": age,
        "first": pd.Series(np.datetime64("2024-01-01") + rng.integers(0, 366, n)).dt.strftime("%Y-%m-%d"),
    })  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A policy, and a model that was fitted by it."""
    place = tmp_path_factory.mktemp("suggest")
    (place / "policy.yaml").write_text(POLICY)
    visits(np.random.default_rng(5)).to_csv(place / "visits.csv", index=False)
    seeded = Policy.from_text(POLICY + "seed: 3\n")
    fit(seeded, place / "visits.csv", ledger="sqlite://").save(place / "model")
    yield place


def test_pasted_lines_pass_the_check(folder: Path) -> None:
    """From the shell, as a person would: what is printed stands in the policy then, and no longer is suggested."""
    run = CliRunner().invoke
    done = run(
        app, ["check", str(folder / "policy.yaml"), "--suggest", str(folder / "model"), "--out", str(folder / "more")]
    )
    assert done.exit_code == 0, done.output
    assert "costs no privacy" in done.output and "99%" in done.output and done.output.count("TO BE CONFIRMED") >= 3
    entries = [{k: v for k, v in entry.items() if k != "note"} for entry in yaml.safe_load(done.output)["constraints"]]
    assert {"when": {"triage": "missing"}, "then": {"planned": "yes"}} in entries
    for file in (folder / "more").iterdir():
        (folder / file.name).write_text(file.read_text())
    (folder / "with.yaml").write_text(POLICY + done.output)
    assert run(app, ["check", str(folder / "with.yaml")]).exit_code == 0
    again = run(app, ["check", str(folder / "policy.yaml"), "--suggest", str(folder / "model"), "--json"])
    told = json.loads(again.stdout)["suggestions"]
    assert [one["constraint"] for one in told] == entries
    assert all(0 <= one["at_most"] <= one["independent"] / 8 and one["confidence"] == 0.99 for one in told)


def test_refusals(folder: Path) -> None:
    run = CliRunner().invoke
    there = folder / "there"
    there.mkdir()
    found = suggestions(Synthesizer.load(folder / "model"), Policy.load(folder / "policy.yaml"))
    for one in found:
        if one.file is not None:
            (there / one.constraint["file"]).write_text("mine")
            refused = run(
                app, ["check", str(folder / "policy.yaml"), "--suggest", str(folder / "model"), "--out", str(there)]
            )
            assert isinstance(refused.exception, InputError) and "there already" in str(refused.exception)
            assert (there / one.constraint["file"]).read_text() == "mine"
    assert isinstance(run(app, ["check", str(folder / "policy.yaml"), "--out", "x"]).exception, InputError)
    with pytest.raises(InputError, match="another data set"):
        suggestions(Synthesizer.load(folder / "model"), Policy.from_text(POLICY.replace("id: wards", "id: others")))


def test_a_model_without_answers(folder: Path) -> None:
    from dataclasses import replace

    own = Synthesizer.load(folder / "model")
    bare = replace(own.model, marginal_model=replace(own.model.marginal_model, answers={}))  # type: ignore[attr-defined, type-var]
    with pytest.raises(InputError, match="no noisy pairs"):
        suggestions(replace(own, model=bare), Policy.load(folder / "policy.yaml"))


def test_nothing_to_say() -> None:
    assert "nothing beyond doubt" in as_text([])


def test_lines_that_the_policy_does_not_allow_are_left_out(folder: Path) -> None:
    """A policy that has changed since: conditions that name a category which it no longer has would be refused by `check`."""
    model, policy = Synthesizer.load(folder / "model"), Policy.from_text(POLICY.replace(", rare]", "]"))
    every, left = suggestions(model, Policy.from_text(POLICY)), suggestions(model, policy)
    assert any("rare" in str(one.constraint) for one in every)
    assert left and not any("rare" in str(one.constraint) for one in left)
