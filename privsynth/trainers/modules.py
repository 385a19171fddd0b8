"""The networks, each on one page. Rows are codes; inside they are one-hot, side by side: (rows, width).

No batch norm, no packs, no dropout: no row of a batch may affect another's gradient. The modules that see real rows,
Critic, VAE and Masked, learn in double precision (see `privacy.mechanisms.dpsgd`) and take their input in whatever
precision it comes.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from privsynth.errors import InputError, Problem
from privsynth.loading import take

Rng = torch.Generator | None  # source of random numbers; None for torch's own


class OneHot:
    """Codes <-> one-hot blocks. sizes: codes of each column."""

    def __init__(self, sizes: tuple[int, ...]):
        self.sizes = list(sizes)
        self.width = sum(sizes)
        self.offset = torch.tensor(np.concatenate([[0], np.cumsum(sizes)[:-1]]), dtype=torch.int64)

    def __call__(self, codes: torch.Tensor) -> torch.Tensor:
        """(b, columns) int64 -> (b, width) float32"""
        out = torch.zeros(len(codes), self.width)
        return out.scatter_(1, codes + self.offset, 1.0)

    def softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """(b, width) logits -> one softmax for each column."""
        return torch.cat([F.softmax(block, 1) for block in torch.split(logits, self.sizes, 1)], 1)

    def gumbel(self, logits: torch.Tensor, temperature: float = 0.3) -> torch.Tensor:
        """(b, width) logits -> relaxed one-hot samples (Jang et al. 2017), as in CTGAN."""
        noise = -torch.log(-torch.log(torch.rand_like(logits).clamp(1e-9, 1 - 1e-7)))
        return self.softmax((logits + noise) / temperature)

    def cross_entropy(self, logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """(b,) sum over columns of -log p(code)."""
        return self.cross_entropies(logits, codes).sum(1)

    def cross_entropies(self, logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """(b, columns) -log p(code) of each column. Small blocks one by one: padded or segmented sums were slower."""
        normal = torch.stack([block.logsumexp(1) for block in torch.split(logits, self.sizes, 1)], 1)
        return normal - logits.gather(1, codes + self.offset)

    def draw(self, logits: torch.Tensor, rng: Rng = None) -> torch.Tensor:
        """(b, width) logits -> (b, columns) codes drawn column by column."""
        return torch.stack([draw_codes(block, rng) for block in torch.split(logits, self.sizes, 1)], 1)


def draw_codes(logits: torch.Tensor, rng: Rng = None) -> torch.Tensor:
    """(b, k) logits -> (b,) codes, each with its softmax probability; never one whose logit is -inf.

    Raises InputError if logits are not finite. By inversion, which takes less time than torch.multinomial. A
    single-precision uniform number is at most 1 - 2^-24, so its product with the last sum stays below that sum.
    """
    rising = logits.softmax(1).cumsum(1)
    if not rising[:, -1].isfinite().all():  # else codes that do not exist could be drawn
        rule = "its network has weights so large that its outputs are not finite"
        raise InputError(Problem("model", rule, "fit the model again, or copy it again: it has been damaged"))
    place = torch.rand(len(rising), 1, generator=rng) * rising[:, -1:]
    return torch.searchsorted(rising, place, right=True)[:, 0]


class Generator(nn.Module):
    """(b, latent) noise and (b, width) condition -> (b, width) logits (Xu et al. 2019, without batch norm)."""

    def __init__(self, latent: int, width: int, hidden: int):
        super().__init__()
        self.one = nn.Linear(latent + width, hidden)
        self.two = nn.Linear(hidden, hidden)
        self.three = nn.Linear(hidden, width)

    def forward(self, noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        h = F.silu(self.one(torch.cat([noise, condition], 1)))
        h = h + F.silu(self.two(h))
        logits: torch.Tensor = self.three(h)
        return logits


class Critic(nn.Module):
    """(b, width) rows -> (b,) scores."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.one = nn.Linear(width, hidden)
        self.two = nn.Linear(hidden, hidden)
        self.three = nn.Linear(hidden, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        h = F.leaky_relu(self.one(rows.to(self.one.weight.dtype)), 0.2)
        h = F.leaky_relu(self.two(h), 0.2)
        scores: torch.Tensor = self.three(h)
        return scores[:, 0]


class VAE(nn.Module):
    """(b, width) rows -> logits, mean and log-variance of the latent code (TVAE, Xu et al. 2019)."""

    def __init__(self, width: int, hidden: int, latent: int):
        super().__init__()
        self.enter = nn.Linear(width, hidden)
        self.moments = nn.Linear(hidden, 2 * latent)
        self.leave = nn.Linear(latent, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.logits = nn.Linear(hidden, width)

    def encode(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_variance = self.moments(F.silu(self.enter(rows.to(self.enter.weight.dtype)))).chunk(2, 1)
        return mean, log_variance.clamp(-8, 4)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        h = F.silu(self.leave(latent.to(self.leave.weight.dtype)))
        logits: torch.Tensor = self.logits(h + F.silu(self.middle(h)))
        return logits

    def forward(self, rows: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """noise: (b, latent) standard normal numbers."""
        mean, log_variance = self.encode(rows)
        latent = mean + noise.to(mean.dtype) * (0.5 * log_variance).exp()
        return self.decode(latent), mean, log_variance


class Mixture(nn.Module):
    """A mixture of k Gaussians.

    chance: (k,) their weights, which sum to 1 (model files use this name). center: (k, d) their means. spread: (k, d, d)
    Cholesky factors of their covariances.

    One standard Gaussian unless fitted.
    """

    chance: torch.Tensor
    center: torch.Tensor
    spread: torch.Tensor

    def __init__(self, components: int, dimensions: int):
        super().__init__()
        self.register_buffer("chance", torch.full((components,), 1 / components))
        self.register_buffer("center", torch.zeros(components, dimensions))
        self.register_buffer("spread", torch.eye(dimensions).repeat(components, 1, 1))

    def fit(self, points: np.ndarray, seed: int) -> None:
        """By expectation-maximisation from k-means centers. points: (n, d), released."""
        from sklearn.mixture import GaussianMixture

        model = GaussianMixture(len(self.chance), reg_covar=1e-3, tol=1e-2, max_iter=30, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about convergence: a few more iterations would change little
            model.fit(points)
        self.chance.copy_(torch.from_numpy(model.weights_))
        self.center.copy_(torch.from_numpy(model.means_))
        self.spread.copy_(torch.linalg.cholesky(torch.from_numpy(model.covariances_)))

    def draw(self, n: int, rng: Rng = None) -> torch.Tensor:
        """(n, d)"""
        which = torch.multinomial(self.chance, n, replacement=True, generator=rng).sort().values
        noise = torch.randn(n, self.center.shape[1], generator=rng)
        drawn = torch.empty_like(noise)
        for k in torch.unique(which).tolist():
            here = which == k
            drawn[here] = self.center[k] + noise[here] @ self.spread[k].T
        return drawn[torch.randperm(n, generator=rng)]


class Masked(nn.Module):
    """(b, width) rows with hidden columns zeroed, (b, columns) 1 where known -> (b, width) logits of every column.

    Two residual layers between the first and the last; all of them linear maps, for ghost clipping.
    """

    def __init__(self, width: int, columns: int, hidden: int):
        super().__init__()
        self.enter = nn.Linear(width + columns, hidden)
        self.one = nn.Linear(hidden, hidden)
        self.two = nn.Linear(hidden, hidden)
        self.logits = nn.Linear(hidden, width)

    def forward(self, rows: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        entered = self.enter(torch.cat([rows, known], 1).to(self.enter.weight.dtype))
        logits: torch.Tensor = self.logits(self.inside(entered))
        return logits

    def inside(self, entered: torch.Tensor) -> torch.Tensor:
        """(b, hidden) output of the first layer -> (b, hidden) input of the last."""
        h = F.silu(entered)
        h = h + F.silu(self.one(h))
        return h + F.silu(self.two(h))


class Average:
    """Exponential moving average of a module's weights while it learns: post-processing that averages the noise out."""

    def __init__(self, module: nn.Module, keep: float = 0.98):
        self.weights, self.keep = list(module.parameters()), keep
        self.mean = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def update(self) -> None:
        for mean, weight in zip(self.mean, self.weights, strict=True):
            mean.lerp_(weight, 1 - self.keep)

    @torch.no_grad()
    def apply(self) -> None:
        """Replaces the last weights by their average."""
        for mean, weight in zip(self.mean, self.weights, strict=True):
            weight.copy_(mean)


def arrays(module: nn.Module, prefix: str) -> dict[str, np.ndarray]:
    """A module's parameters as named arrays, for safetensors."""
    return {f"{prefix}.{name}": value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


def check_arrays(module: nn.Module, prefix: str, tensors: dict[str, np.ndarray]) -> None:
    """Raises Damaged if these are not a module's parameters."""
    for name, value in module.state_dict().items():
        take(tensors, f"{prefix}.{name}", "float32", tuple(value.shape))


def load_arrays(module: nn.Module, prefix: str, tensors: dict[str, np.ndarray]) -> nn.Module:
    state = {name: torch.from_numpy(tensors[f"{prefix}.{name}"].copy()) for name in module.state_dict()}
    module.load_state_dict(state)
    return module.eval()
