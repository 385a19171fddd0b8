"""`ctgan`: a conditional GAN for tables (Xu et al. 2019) whose critic learns from real rows by DP-SGD.

Real rows touch the critic alone, through one term of its loss: the mean score of real rows, whose gradient is clipped
and noised. The scores of generated rows and the gradient penalty are computed on generated rows and on synthetic records of
the marginal model, which cost no budget. The generator learns through the critic (Xie et al. 2018), with conditions drawn
from released histograms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from privsynth.policy.options import CTGANOptions
from privsynth.progress import Progress
from privsynth.trainers.network import PRETRAIN_RATE, PUBLIC_BATCH, Network, NetworkTrainer

if TYPE_CHECKING:
    import numpy as np
    import torch

    from privsynth.encoding.codec import Codec

PENALTY = 10.0  # weight of the gradient penalty (Gulrajani et al. 2017)


class CTGAN(NetworkTrainer):
    name = "ctgan"
    Options = CTGANOptions

    def network(self, codec: Codec) -> Network:
        return GAN(codec, self.options)


class GAN(Network):
    """Generator and critic; the critic is the module that sees real rows."""

    options: CTGANOptions

    def __init__(self, codec: Codec, options: CTGANOptions):
        import torch

        from privsynth.trainers.modules import Critic, Generator, OneHot

        self.options = options
        self.onehot = OneHot(codec.sizes)
        shares = [torch.tensor(c.shares / c.shares.sum(), dtype=torch.float32) for c in codec.columns]
        self.condition_shares = torch.cat(shares)  # (width,) of conditions, all columns equally often
        self.generator = Generator(options.latent, self.onehot.width, options.hidden)
        self.critic = self.private = Critic(self.onehot.width, options.hidden)

    def loss(self, module: Any, codes: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        scores: torch.Tensor = module(self.onehot(codes))
        return -scores

    def pretrain(self, population: np.ndarray, steps: int, progress: Progress) -> None:
        import torch

        self.population = torch.as_tensor(population.astype("int64"))
        critic, generator = self._optimizers(PRETRAIN_RATE * self.options.learning_rate)
        for step in range(steps):
            codes = self._public_rows(PUBLIC_BATCH)
            critic.zero_grad()
            torch.autograd.backward(self.loss(self.critic, codes).mean() + self._public_loss(codes))
            critic.step()
            if step % 2:
                self._generator_step(generator)
            progress("learning from synthetic records", (step + 1) / steps)

    @property
    def sampled(self) -> Any:
        return self.generator

    def learner(self) -> Callable[[int], None]:
        import torch

        critic, generator = self._optimizers(self.rate)
        every = self.options.critic_steps

        def learn(step: int) -> None:
            # .grad holds the noisy gradient of the real term; backward adds the public terms to it
            torch.autograd.backward(self._public_loss(self._public_rows(PUBLIC_BATCH)))
            critic.step()
            critic.zero_grad(set_to_none=True)
            if (step + 1) % every == 0:
                self._generator_step(generator)

        return learn

    def draw(self, n: int, rng: torch.Generator | None = None) -> torch.Tensor:
        logits, codes = self._generate(n, rng)[:2]
        drawn = self.onehot.draw(logits, rng)
        return codes.where(codes >= 0, drawn)

    def _optimizers(self, rate: float) -> list[torch.optim.Adam]:
        import torch

        return [
            torch.optim.Adam(module.parameters(), lr=rate, betas=(0.5, 0.9), fused=True)
            for module in (self.critic, self.generator)
        ]

    def _public_rows(self, n: int) -> torch.Tensor:
        """n rows that cost no budget, for the gradient penalty: synthetic records, or generated rows."""
        import torch

        if self.population is not None:
            return self.population[torch.randint(len(self.population), (n,))]
        with torch.no_grad():
            return self.draw(n)

    def _generate(self, n: int, rng: torch.Generator | None = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(n, width) logits, (n, columns) codes that are -1 except where conditioned, (n, width) conditions."""
        import torch

        place = torch.multinomial(self.condition_shares, n, replacement=True, generator=rng)
        column = torch.searchsorted(self.onehot.offset, place, right=True) - 1
        codes = torch.full((n, len(self.onehot.sizes)), -1)
        codes[torch.arange(n), column] = place - self.onehot.offset[column]
        condition = torch.zeros(n, self.onehot.width)
        condition[torch.arange(n), place] = 1.0
        noise = torch.randn(n, self.options.latent, generator=rng)
        return self.generator(noise, condition), codes, condition

    def _public_loss(self, public: torch.Tensor) -> torch.Tensor:
        """Mean score of generated rows and the gradient penalty between them and public rows: no real row in it."""
        import torch

        with torch.no_grad():
            fake = self.onehot.gumbel(self._generate(len(public))[0])
        real = self.onehot(public)
        mix = torch.rand(len(public), 1)
        between = (mix * real + (1 - mix) * fake).requires_grad_(True)
        slope: torch.Tensor = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)[0]
        scores: torch.Tensor = self.critic(fake)
        penalty: torch.Tensor = ((slope.norm(dim=1) - 1) ** 2).mean()
        return scores.mean() + PENALTY * penalty

    def _generator_step(self, optimizer: torch.optim.Optimizer) -> None:
        import torch

        logits, codes, _ = self._generate(PUBLIC_BATCH)
        chosen = codes.clamp(min=0)
        parts = self.onehot.softmax(logits).gather(1, chosen + self.onehot.offset)
        unmet = (-(parts + 1e-9).log() * (codes >= 0)).sum(1).mean()  # the condition must be met
        optimizer.zero_grad()
        torch.autograd.backward(unmet - self.critic(self.onehot.gumbel(logits)).mean())
        optimizer.step()
        self.critic.zero_grad(set_to_none=True)

    @property
    def saved(self) -> dict[str, Any]:
        return {"generator": self.generator}  # the critic is not saved
