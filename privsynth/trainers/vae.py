"""`vae`: a variational autoencoder for tables (TVAE, Xu et al. 2019) whose encoder and decoder learn by DP-SGD."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from privsynth.trainers.anchored import AnchoredTrainer, Network
from privsynth.trainers.base import NetworkOptions, Progress

if TYPE_CHECKING:
    import numpy as np

    from privsynth.codec import Codec

PUBLIC_BATCH = 500
AVERAGE = 0.98  # exponential moving average of the weights: post-processing that smooths the noise


class VAE(AnchoredTrainer):
    name = "vae"

    def network(self, codec: Codec) -> Network:
        return Autoencoder(codec, self.options)


class Autoencoder(Network):
    """Encoder and decoder in one module; all of it sees real rows, so all of it is trained privately."""

    def __init__(self, codec: Codec, options: NetworkOptions):
        from privsynth.trainers.networks import VAE as Module
        from privsynth.trainers.networks import OneHot

        self.options, self.latent = options, options.latent
        self.onehot = OneHot(codec.sizes)
        self.private = Module(self.onehot.width, options.hidden, options.latent)

    def loss(self, module: Any, codes: Any, noise: Any) -> Any:
        """Negative ELBO of each row (Kingma & Welling 2014, eq. 10)."""
        logits, mean, log_variance = module(self.onehot(codes), noise)
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
        return self.onehot.cross_entropy(logits, codes) + divergence

    def pretrain(self, population: np.ndarray, steps: int, progress: Progress) -> None:
        import torch

        rows = torch.from_numpy(population.astype("int64"))
        optimizer = torch.optim.Adam(self.private.parameters(), lr=4 * self.options.learning_rate)
        for step in range(steps):
            optimizer.zero_grad()
            some, noise = rows[torch.randint(len(rows), (PUBLIC_BATCH,))], torch.randn(PUBLIC_BATCH, self.latent)
            self.loss(self.private, some, noise).mean().backward()
            optimizer.step()
            progress("learning the population", (step + 1) / steps)

    def learner(self, steps: int, progress: Progress) -> Callable[[int], None]:
        import torch

        optimizer = torch.optim.Adam(self.private.parameters(), lr=self.options.learning_rate)
        mean = {name: value.detach().clone() for name, value in self.private.named_parameters()}

        def after(step: int) -> None:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            with torch.no_grad():
                for name, value in self.private.named_parameters():
                    mean[name].lerp_(value, 1 - AVERAGE)
                    if step == steps - 1:
                        value.copy_(mean[name])
            progress("learning from rows by DP-SGD", (step + 1) / steps)

        return after

    def draw(self, n: int) -> Any:
        import torch

        return self.onehot.draw(self.private.decode(torch.randn(n, self.options.latent)))

    def tensors(self) -> dict[str, np.ndarray]:
        from privsynth.trainers.networks import arrays

        return arrays(self.private, "vae")

    def load(self, tensors: dict[str, np.ndarray]) -> None:
        from privsynth.trainers.networks import load_arrays

        load_arrays(self.private, "vae", tensors)
