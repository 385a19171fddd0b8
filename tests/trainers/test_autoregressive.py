"""The masked net on a table of three columns whose joint distribution is known: every conditional, and filling in."""

from __future__ import annotations

from itertools import combinations, permutations, product
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from privsynth.policy.options import NetworkOptions
from privsynth.progress import silent
from privsynth.trainers import autoregressive
from privsynth.trainers.autoregressive import MaskedPrediction

SIZES = (2, 3, 4)
JOINT = np.random.default_rng(1).dirichlet(np.full(24, 0.3)).reshape(SIZES)
SUBSETS = [known for size in range(3) for known in combinations(range(3), size)]


def untrained() -> MaskedPrediction:
    torch.manual_seed(0)
    columns = [SimpleNamespace(shares=JOINT.sum(tuple({0, 1, 2} - {j}))) for j in range(3)]
    return MaskedPrediction(SimpleNamespace(sizes=SIZES, columns=columns), NetworkOptions(hidden=32))


@pytest.fixture(scope="module")
def trained() -> MaskedPrediction:
    network = untrained()
    draws = np.random.default_rng(2).choice(24, 40_000, p=JOINT.ravel())
    network.pretrain(np.stack(np.unravel_index(draws, SIZES), 1), 800, silent)
    return network


def conditionals(network: MaskedPrediction, row: tuple[int, ...], known: tuple[int, ...]) -> list[np.ndarray]:
    """What the net says of every column where `known` of the row are known."""
    mask = torch.zeros(1, 3, dtype=torch.bool)
    mask[0, list(known)] = True
    with torch.no_grad():
        logits = network.private(*network._seen(torch.tensor([row]), mask))
    return [block[0].softmax(0).numpy() for block in logits.split(list(SIZES), 1)]


def truth(row: tuple[int, ...], known: tuple[int, ...], column: int) -> np.ndarray:
    given = JOINT[tuple(slice(v, v + 1) if j in known else slice(None) for j, v in enumerate(row))]
    margin = given.sum(tuple({0, 1, 2} - {column}))
    return margin / margin.sum()


@pytest.mark.parametrize("known", SUBSETS)
def test_every_conditional_is_learned(trained: MaskedPrediction, known: tuple[int, ...]) -> None:
    """Mean distance from the truth over what is known, as often as it is seen; independent columns are far off."""
    far, apart = 0.0, 0.0
    for row in product(*map(range, SIZES)):
        predicted = conditionals(trained, row, known)
        for column in set(range(3)) - set(known):
            want = truth(row, known, column)
            far += JOINT[row] * 0.5 * np.abs(predicted[column] - want).sum() / (3 - len(known))
            apart += JOINT[row] * 0.5 * np.abs(truth(row, (), column) - want).sum() / (3 - len(known))
    assert far < 0.045
    assert not known or apart > 0.1  # there is something to learn


@pytest.mark.parametrize("known", SUBSETS)
def test_filling_in_follows_the_truth_and_keeps_what_is_given(
    trained: MaskedPrediction, known: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoregressive, "ORDER_BLOCK", 500)  # many orders
    row = np.unravel_index(JOINT.argmax(), SIZES)
    codes = torch.full((20_000, 3), -1)
    for j in known:
        codes[:, j] = int(row[j])
    before = codes.clone()
    filled = trained.fill(codes)
    assert torch.equal(codes, before), "the argument stays as it was"
    assert torch.equal(filled[:, list(known)], codes[:, list(known)])
    seen = np.zeros(SIZES)
    np.add.at(seen, tuple(filled.numpy().T), 1 / len(filled))
    given = np.zeros(SIZES)
    here = tuple(slice(int(row[j]), int(row[j]) + 1) if j in known else slice(None) for j in range(3))
    given[here] = JOINT[here] / JOINT[here].sum()
    assert 0.5 * np.abs(seen - given).sum() < 0.05


def test_rows_with_different_gaps_are_filled_together(trained: MaskedPrediction) -> None:
    rows = trained.draw(4000)
    assert rows.min() >= 0 and all(int(rows[:, j].max()) < size for j, size in enumerate(SIZES))
    gaps = rows.clone()
    gaps[torch.rand(rows.shape) < 0.5] = -1
    filled = trained.fill(gaps)
    assert torch.equal(filled[gaps >= 0], gaps[gaps >= 0]) and filled.min() >= 0
    assert torch.equal(trained.fill(rows), rows)
    assert len(trained.fill(rows[:0])) == 0


def test_the_loss_is_unbiased() -> None:
    """Over all orders and cuts its mean is the mean over orders of -log p(row), as the chain rule has it."""
    network, row = untrained(), (1, 2, 0)
    orders = list(permutations(range(3)))
    noise = []
    for order, cut in product(orders, range(3)):
        place = {column: rank for rank, column in enumerate(order)}
        noise.append([place[j] / 2 - 0.7 for j in range(3)] + [NormalDist().inv_cdf((cut + 0.5) / 3)])
    with torch.no_grad():
        each = network.loss(network.private, torch.tensor([row] * 18), torch.tensor(noise, dtype=torch.float64))
    chain = [
        -sum(np.log(conditionals(network, row, order[:i])[order[i]][row[order[i]]]) for i in range(3))
        for order in orders
    ]
    assert float(each.mean()) == pytest.approx(np.mean(chain), rel=1e-5)
    assert float(each.max()) > float(each.min())


def test_hidden_values_do_not_reach_the_prediction() -> None:
    network = untrained()
    for known in SUBSETS:
        predicted = [
            np.concatenate(conditionals(network, row, known))
            for row in product(*([1] if j in known else range(size) for j, size in enumerate(SIZES)))
        ]
        assert all(np.array_equal(predicted[0], other) for other in predicted)
