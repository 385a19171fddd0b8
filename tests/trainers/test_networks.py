"""What the networks share: the average of weights, the VAE's fitted prior, learning rates."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from privsynth.policy.options import CTGANOptions, LatentOptions
from privsynth.progress import silent
from privsynth.trainers.ctgan import GAN
from privsynth.trainers.modules import Average, Mixture, draw_codes
from privsynth.trainers.network import FINE_RATE
from privsynth.trainers.vae import Autoencoder

SIZES = (2, 3, 4)


def autoencoder() -> Autoencoder:
    columns = [SimpleNamespace(shares=np.full(size, 1 / size)) for size in SIZES]
    return Autoencoder(SimpleNamespace(sizes=SIZES, columns=columns), LatentOptions(hidden=16, latent=3))


def test_the_average_follows_the_weights_and_takes_their_place() -> None:
    module = torch.nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        module.weight.fill_(1.0)
    average, want = Average(module, keep=0.9), 1.0
    for value in (3.0, -2.0, 5.0):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update()
        want = 0.9 * want + 0.1 * value
    assert module.weight.item() == 5.0
    average.apply()
    assert abs(module.weight.item() - want) < 1e-12


def test_codes_are_drawn_as_often_as_their_softmax_says() -> None:
    """Two rows of logits, 100,000 draws each from a fixed seed: 5 standard deviations, and nothing ruled out."""
    logits = torch.tensor([[0.0, 1.0, -torch.inf, -6.0], [-torch.inf, -torch.inf, 3.0, -torch.inf]])
    drawn = draw_codes(logits.repeat_interleave(100_000, 0), torch.Generator().manual_seed(0)).reshape(2, -1)
    for codes, wanted in zip(drawn, logits.softmax(1), strict=True):
        share = torch.bincount(codes, minlength=4) / len(codes)
        assert bool(((share - wanted).abs() <= 5 * (wanted * (1 - wanted) / len(codes)).sqrt()).all())


def test_the_largest_uniform_number_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum that rounds to a little below or above 1, and codes behind it that cannot come."""
    monkeypatch.setattr(torch, "rand", lambda n, one, generator: torch.full((n, one), 1 - 2.0**-24))
    logits = torch.randn(5_000, 300, generator=torch.Generator().manual_seed(1))
    logits[:, 200:] = -torch.inf
    assert int(draw_codes(logits).max()) == 199


def test_the_mixture_is_normal_until_it_is_fitted() -> None:
    torch.manual_seed(0)
    drawn = Mixture(4, 3).draw(20_000)
    assert float(drawn.mean(0).abs().max()) < 0.05 and float((drawn.T.cov() - torch.eye(3)).abs().max()) < 0.06


def test_a_fitted_mixture_draws_what_it_was_fitted_to() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    cluster = rng.random(6000) < 0.25
    points = np.where(cluster[:, None], [4.0, 0.0], [-1.0, 2.0]) + rng.normal(size=(6000, 2)) @ [[0.5, 0.4], [0.0, 0.2]]
    mixture = Mixture(2, 2)
    mixture.fit(points, 0)
    drawn = mixture.draw(20_000).numpy()
    assert abs((drawn[:, 0] > 1.5).mean() - 0.25) < 0.03
    for side in (True, False):
        there, here = points[cluster == side], drawn[(drawn[:, 0] > 1.5) == side]
        assert (
            np.abs(there.mean(0) - here.mean(0)).max() < 0.05 and np.abs(np.cov(there.T) - np.cov(here.T)).max() < 0.03
        )
    again = Mixture(2, 2)
    again.load_state_dict(mixture.state_dict())
    torch.manual_seed(3)
    one = mixture.draw(10)
    torch.manual_seed(3)
    assert torch.equal(one, again.draw(10))


def test_the_prior_is_fitted_where_there_is_a_population_and_stays_normal_where_not() -> None:
    torch.manual_seed(0)
    alone, network = autoencoder(), autoencoder()
    alone.finish()
    assert not alone.prior.center.any() and alone.rate == alone.options.learning_rate
    rng = np.random.default_rng(0)
    network.pretrain(np.stack([rng.integers(0, size, 3000) for size in SIZES], 1), 5, silent)
    network.finish()
    assert network.prior.center.any() and network.rate == FINE_RATE * network.options.learning_rate
    assert {name for name in network.tensors() if name.startswith("prior")} == {
        "prior.chance",
        "prior.center",
        "prior.spread",
    }
    codes = network.draw(500)
    assert codes.shape == (500, 3) and all(
        0 <= int(c.min()) <= int(c.max()) < s for c, s in zip(codes.T, SIZES, strict=True)
    )


def test_what_is_averaged_is_what_samples_come_from() -> None:
    columns = [SimpleNamespace(shares=np.full(size, 1 / size)) for size in SIZES]
    gan = GAN(SimpleNamespace(sizes=SIZES, columns=columns), CTGANOptions(hidden=8, latent=2))
    assert gan.sampled is gan.generator is not gan.private
    network = autoencoder()
    assert network.sampled is network.private
