"""`vae`: a variational autoencoder for tables (TVAE, Xu et al. 2019) whose encoder and decoder learn by DP-SGD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privsynth.policy.options import LatentOptions
from privsynth.trainers.network import Network, NetworkTrainer

if TYPE_CHECKING:
    import numpy as np
    import torch

    from privsynth.encoding.codec import Codec


COMPONENTS, COVARIANCES = 32, 2**17  # of the prior: at most, and numbers in their covariances
ENCODED = 10_000  # synthetic records that the prior is fitted to


class VAE(NetworkTrainer):
    name = "vae"
    Options = LatentOptions

    def network(self, codec: Codec) -> Network:
        return Autoencoder(codec, self.options)


class Autoencoder(Network):
    """Encoder and decoder in one module; all of it sees real rows, so all of it is trained privately."""

    options: LatentOptions

    def __init__(self, codec: Codec, options: LatentOptions):
        from privsynth.trainers.modules import VAE as Module
        from privsynth.trainers.modules import Mixture, OneHot

        self.options, self.latent = options, options.latent
        self.onehot = OneHot(codec.sizes)
        self.private = Module(self.onehot.width, options.hidden, options.latent)
        self.prior = Mixture(max(1, min(COMPONENTS, COVARIANCES // options.latent**2)), options.latent)

    def loss(self, module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Negative ELBO of each row (Kingma & Welling 2014, eq. 10)."""
        logits, mean, log_variance = module(self.onehot(codes), noise)
        divergence: torch.Tensor = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
        return self.onehot.cross_entropy(logits, codes) + divergence

    def finish(self) -> None:
        """Fits the prior to the latent codes of released rows, whose distribution differs from the normal one that the loss
        draws them to (aggregate posterior: Hoffman & Johnson 2016). Without synthetic records it stays normal."""
        import torch

        if self.population is None:
            return
        rows = self.population[torch.randperm(len(self.population))[:ENCODED]]
        with torch.no_grad():
            mean, log_variance = self.private.encode(self.onehot(rows))
            codes = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        self.prior.fit(codes.double().cpu().numpy(), int(torch.randint(2**31, ())))

    def draw(self, n: int, rng: torch.Generator | None = None) -> torch.Tensor:
        return self.onehot.draw(self.private.decode(self.prior.draw(n, rng)), rng)

    def check(self, tensors: dict[str, np.ndarray]) -> None:
        from privsynth.loading import take_shares

        super().check(tensors)
        take_shares(tensors, "prior.chance", "float32", tuple(self.prior.chance.shape))

    @property
    def saved(self) -> dict[str, Any]:
        return {"vae": self.private, "prior": self.prior}
