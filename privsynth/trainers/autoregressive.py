"""`autoregressive`: each column predicted from any subset of the others, by one network that learns by DP-SGD.

It is order-agnostic (Uria, Murray, Larochelle 2014): a row is hidden from a random place of a random order on, and the
network predicts what is hidden. So it knows every conditional distribution: rows are drawn column by column in any order,
and rows that are given in part are filled in without training again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from privsynth.policy.options import NetworkOptions
from privsynth.progress import Progress, silent
from privsynth.trainers.network import Network, NetworkModel, NetworkTrainer, drawn

if TYPE_CHECKING:
    import numpy as np
    import torch

    from privsynth.encoding.codec import Codec
    from privsynth.marginals.population import MarginalModel

ORDER_BLOCK = 1024  # rows that are drawn in the same order of columns


class Autoregressive(NetworkTrainer):
    name = "autoregressive"

    def network(self, codec: Codec) -> Network:
        return MaskedPrediction(codec, self.options)

    @staticmethod
    def model(codec: Codec, marginal_model: MarginalModel | None, network: Network) -> NetworkModel:
        return FillingModel(codec, marginal_model, network)


class FillingModel(NetworkModel):
    """A model that also completes rows that are given in part. These come from the network alone and are not calibrated."""

    def fill(
        self, codes: np.ndarray, rng: np.random.Generator, absent: Mapping[str, tuple[str, ...]] | None = None,
        progress: Progress = silent,
    ) -> np.ndarray:  # fmt: skip
        """(n, columns) int32 codes, -1 for what is unknown -> the same, with the unknown drawn given the known.

        absent: the marks of each column that mean that there is no value: neither these nor blank cells are drawn. None:
        anything is.
        """
        import numpy as np
        import torch

        assert isinstance(self.network, MaskedPrediction)
        fill, known = self.network.fill, torch.as_tensor(codes.astype(np.int64))
        weights = torch.as_tensor(np.concatenate(self._weights(absent)), dtype=torch.float32).log()
        first = [len(self.codec.sizes) - 1] if self.codec.domain.stratified else []

        def draw(block: slice, rng: torch.Generator) -> torch.Tensor:
            return fill(known[block], rng, weights, first)

        return drawn(draw, len(codes), rng, lambda share: progress("filling in", share))

    def _weights(self, absent: Mapping[str, tuple[str, ...]] | None) -> list[np.ndarray]:
        """Factors for the network's probability of each code of each column.

        Zero for what the released histograms rule out. The stratum, which is drawn first, gets the table's mix: in training,
        people with many rows weigh less.
        """
        import numpy as np

        weights = [(column.shares > 0).astype(float) for column in self.codec.columns]
        for column, weight in zip(self.codec.columns, weights, strict=True):
            if absent is None:
                continue
            tokens, present = absent.get(column.domain.name, ()), weight.copy()
            places = [column.domain.regular + i for i, mark in enumerate(column.domain.marks) if mark in tokens]
            present[[*column.bins[places], -1]] = 0.0
            if present.any():
                weight[:] = present
        if self.codec.domain.stratified:
            mix, shares = np.array(self.codec.domain.mix), self.codec.columns[-1].shares
            weights[-1][:-1] *= mix / np.maximum(shares[:-1], 1e-9)
        return weights


class MaskedPrediction(Network):
    """One module; all of it sees real rows, so all of it is trained privately."""

    def __init__(self, codec: Codec, options: NetworkOptions):
        import torch

        from privsynth.trainers.modules import Masked, OneHot

        self.options, self.columns = options, len(codec.sizes)
        self.latent = self.columns + 1
        self.onehot = OneHot(codec.sizes)
        self.private = Masked(self.onehot.width, self.columns, options.hidden)
        shares = torch.cat([torch.tensor(c.shares / c.shares.sum(), dtype=torch.float32) for c in codec.columns])
        self.private.logits.bias.data.copy_(
            (shares + 1e-4).log()
        )  # released shares: training starts from independent columns

    def loss(self, module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """-log p(row), estimated without bias from one order and one cut (Hoogeboom et al. 2022, equation 5).

        noise: the ranks of a row's first numbers are its order of columns, and the last number is where the order is cut.
        """
        import torch

        rank = noise[:, :-1].argsort(1).argsort(1)
        cut = (torch.special.ndtr(noise[:, -1:]) * self.columns).long().clamp(max=self.columns - 1)
        hidden = rank >= cut
        each = self.onehot.cross_entropies(module(*self._seen(codes, ~hidden)), codes)
        estimate: torch.Tensor = (each * hidden).sum(1) * self.columns / hidden.sum(1)
        return estimate

    def _seen(self, codes: torch.Tensor, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the module takes: (b, width) one-hot rows in which columns that are not known are zero, and (b, columns)."""
        import torch

        rows = torch.zeros(len(codes), self.onehot.width)
        return rows.scatter_(1, codes + self.onehot.offset, known.float()), known.float()

    def draw(self, n: int, rng: torch.Generator | None = None) -> torch.Tensor:
        import torch

        return self.fill(torch.full((n, self.columns), -1), rng)

    def fill(
        self, codes: torch.Tensor, rng: torch.Generator | None = None, weights: torch.Tensor | float = 0.0,
        first: Sequence[int] = (),
    ) -> torch.Tensor:  # fmt: skip
        """(n, columns) int64 codes, -1 for what is unknown -> the same, with the unknown drawn given the known.

        Column by column, each given the columns that are known by then; each block of rows in a random order of its own.
        weights: (width,) added to the logits. first: columns that are drawn before all others.
        """
        import torch

        weights = torch.as_tensor(weights, dtype=torch.float32).expand(self.onehot.width)
        with torch.no_grad():
            return torch.cat(
                [self._filled(block.clone(), rng, weights, first) for block in torch.split(codes, ORDER_BLOCK)]
            )

    def _filled(
        self, codes: torch.Tensor, rng: torch.Generator | None, weights: torch.Tensor, first: Sequence[int]
    ) -> torch.Tensor:
        import torch
        import torch.nn.functional as F

        from privsynth.trainers.modules import draw_codes

        module, columns = self.private, self.private.enter.weight.T
        entered = module.enter(torch.cat(self._seen(codes.clamp(min=0), codes >= 0), 1))
        for j in sorted(torch.randperm(self.columns, generator=rng).tolist(), key=lambda j: j not in first):
            unknown = codes[:, j] < 0
            if not unknown.any():
                continue
            here = slice(None) if unknown.all() else torch.nonzero(unknown)[:, 0]  # whole rows: without a copy
            at = slice(int(self.onehot.offset[j]), int(self.onehot.offset[j]) + self.onehot.sizes[j])
            logits = F.linear(module.inside(entered[here]), module.logits.weight[at], module.logits.bias[at])
            codes[here, j] = new = draw_codes(logits + weights[at], rng)
            entered[here] += columns[at][new] + columns[self.onehot.width + j]  # one column more is known
        return codes

    @property
    def saved(self) -> dict[str, Any]:
        return {"masked": self.private}
