"""What the network trainers share: marginal model, pretraining, DP-SGD, calibration. A network adds its own three steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from privsynth.parallel import in_blocks
from privsynth.policy.options import NetworkOptions
from privsynth.privacy.events import SampledGaussian, sampled_gaussian_of_mu
from privsynth.privacy.mechanisms import DP_SGD
from privsynth.progress import Progress, silent
from privsynth.trainers.base import Model, Trainer

if TYPE_CHECKING:
    import numpy as np
    import torch

    from privsynth.encoding.codec import Codec
    from privsynth.marginals.choice import Facts
    from privsynth.marginals.population import MarginalModel
    from privsynth.privacy.plan import Request
    from privsynth.privacy.run import Run
    from privsynth.table.private import PrivateTable

DRAW_BLOCK = 8192
PUBLIC_BATCH = 500  # synthetic records in a training step that costs no privacy
# factors of `learning_rate`: on synthetic records gradients have no noise; later, near the optimum, larger steps would
# follow the noise
PRETRAIN_RATE, FINE_RATE = 4.0, 0.2


@contextmanager
def _one_thread() -> Iterator[None]:
    """The matrices are small: on busy cores two threads, which wait for each other, were seen to take 30 times longer."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _tiny_is_zero() -> Iterator[None]:
    """Numbers below 1e-38 become zero: a confident softmax is full of them, and processors take many times longer for each."""
    import torch

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@_one_thread()
def drawn(
    draw: Callable[[slice, torch.Generator], torch.Tensor],
    n: int,
    rng: np.random.Generator,
    progress: Callable[[float], None],
) -> np.ndarray:
    """(n, columns) int32 codes that a network draws, block by block. draw: takes a block's rows and a torch.Generator."""
    import numpy as np
    import torch

    count = -(-n // DRAW_BLOCK)
    seeds = rng.integers(2**62, size=count)

    def work(i: int, report_share: Callable[[float], None]) -> np.ndarray:
        with torch.no_grad():
            codes = draw(slice(n * i // count, n * (i + 1) // count), torch.Generator().manual_seed(int(seeds[i])))
        report_share(1.0)
        return np.asarray(codes.numpy(), np.int32)

    return in_blocks(work, count, progress)


def _default_device(wanted: str) -> AbstractContextManager[Any]:
    """Where new tensors go within the block: to the CUDA device, if there is one and "auto" is wanted."""
    import torch

    return torch.device("cuda") if wanted == "auto" and torch.cuda.is_available() else nullcontext()


class NetworkTrainer(Trainer):
    """Marginal model -> pretraining on its synthetic records -> DP-SGD on the rows -> calibrated samples."""

    Options: ClassVar[type[Any]] = NetworkOptions

    def requests(self, facts: Facts) -> list[Request]:
        from privsynth.marginals.choice import marginal_requests
        from privsynth.privacy.plan import Request

        o, rate = self.options, self._rate(facts)
        requests = [
            Request(
                DP_SGD, f"what {self.name} learns from rows beyond that", 1 - o.anchor,
                lambda mu: sampled_gaussian_of_mu(mu, rate, o.steps),
            )
        ]  # fmt: skip
        if o.anchor > 0:
            requests = marginal_requests(facts, o.anchor) + requests
        return requests

    def _rate(self, facts: Facts) -> float:
        """Sampling rate: the option, else batch / public row count, else 0.05."""
        rows = facts.rows
        if self.options.sampling_rate is not None:
            return float(self.options.sampling_rate)
        return min(0.25, max(0.002, self.options.batch / rows)) if rows else 0.05

    @_one_thread()
    def fit(
        self, table: PrivateTable[np.ndarray], codec: Codec, target: str | None, run: Run, progress: Progress
    ) -> Model:
        import torch

        from privsynth.marginals.measure import measure_marginals

        rng = run.randomness.generator()
        torch.manual_seed(int(rng.integers(2**62)))  # initial weights and latent noise protect nobody
        marginal_model, population = None, None
        if self.options.anchor > 0:
            marginal_model = measure_marginals(table, codec, target, run)
            if self.options.pretrain_steps:
                population = marginal_model.population(marginal_model.natural_size, rng, self.options.sweeps, progress)
                marginal_model = marginal_model.settled(population)
            codec = marginal_model.codec
        with _default_device(self.options.device):
            network = self.network(codec)
            if population is not None:
                with _tiny_is_zero():
                    network.pretrain(population, self.options.pretrain_steps, progress)
            self._learn_privately(network, table, codec, run, progress)
            network.finish()
        sampler = self.network(codec)  # on the CPU: a model is the same wherever it was trained
        sampler.load(network.tensors())
        return self.model(codec, marginal_model if self.options.calibrate else None, sampler)

    def _learn_privately(
        self, network: Network, table: PrivateTable[np.ndarray], codec: Codec, run: Run, progress: Progress
    ) -> None:
        """DP-SGD from the network's present weights; samples will come from the average of its weights."""
        from privsynth.privacy.mechanisms.dpsgd import DPSGD
        from privsynth.trainers.modules import Average

        network.private.double()  # from here on real rows are used, and gradients noised
        learn, average = network.learner(), Average(network.sampled)

        def after(step: int) -> None:
            learn(step)
            average.update()
            progress("learning from rows by DP-SGD", (step + 1) / self.options.steps)

        units = codec.domain.units or codec.domain.rows or codec.total
        mechanism = DPSGD(
            run.plan.event(DP_SGD, SampledGaussian), network.private, network.loss, after, self.options.max_grad_norm,
            float(units), network.latent,
        )  # fmt: skip
        table.measure(mechanism, run)
        average.apply()
        network.private.float()

    @abstractmethod
    def network(self, codec: Codec) -> Network:
        """A fresh network for this codec."""

    @staticmethod
    def model(codec: Codec, marginal_model: MarginalModel | None, network: Network) -> NetworkModel:
        """What a trained network becomes."""
        return NetworkModel(codec, marginal_model, network)

    @classmethod
    def restore(cls, codec: Codec, tensors: dict[str, np.ndarray], settings: dict[str, Any]) -> Model:
        import torch

        from privsynth.loading import Damaged, checked
        from privsynth.marginals.population import MarginalModel

        if settings.keys() != {"options"} or not isinstance(settings["options"], dict):
            raise Damaged("`settings` must hold `options` alone")
        trainer = cls(checked(cls.Options, settings["options"], "settings"))
        with torch.device("meta"):  # shapes without memory: the network is made only once its tensors have been checked
            trainer.network(codec).check(tensors)
        network = trainer.network(codec)
        network.load(tensors)
        return cls.model(codec, MarginalModel.restore(codec, tensors) if "goal" in tensors else None, network)


class Network:
    """One kind of network. `private`: the module whose loss sees real rows, and the only one that does."""

    private: Any
    options: NetworkOptions
    latent = 0  # standard normal numbers that the loss takes for each row
    population: torch.Tensor | None = None  # (rows, columns) int64 released rows it has learned from, if any

    @property
    def rate(self) -> float:
        """Learning rate of DP-SGD."""
        return self.options.learning_rate * (1.0 if self.population is None else FINE_RATE)

    @property
    def sampled(self) -> Any:
        """The module that samples come from; its weights are averaged over the steps of DP-SGD."""
        return self.private

    def pretrain(self, population: np.ndarray, steps: int, progress: Progress) -> None:
        """Learns from synthetic records, by the loss that real rows have: post-processing."""
        import torch

        self.population = rows = torch.as_tensor(population.astype("int64"))
        rate = PRETRAIN_RATE * self.options.learning_rate
        optimizer = torch.optim.Adam(self.private.parameters(), lr=rate, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, rate / 20)
        for step in range(steps):
            some, noise = rows[torch.randint(len(rows), (PUBLIC_BATCH,))], torch.randn(PUBLIC_BATCH, self.latent)
            optimizer.zero_grad()
            torch.autograd.backward(self.loss(self.private, some, noise).mean())
            optimizer.step()
            schedule.step()
            progress("learning from synthetic records", (step + 1) / steps)

    def loss(self, module: Any, codes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """(b, columns) real codes, (b, latent) normal numbers -> (b,) losses, each of one row alone."""
        raise NotImplementedError

    def learner(self) -> Callable[[int], None]:
        """Applies each step's noisy gradients, and clears them."""
        import torch

        optimizer = torch.optim.Adam(self.private.parameters(), lr=self.rate, fused=True)

        def learn(step: int) -> None:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return learn

    def finish(self) -> None:
        """Last step of learning, from released rows and the trained module alone: post-processing."""

    def draw(self, n: int, rng: torch.Generator | None = None) -> torch.Tensor:
        """(n, columns) int64 codes. rng: None for torch's own source of random numbers."""
        raise NotImplementedError

    @property
    def saved(self) -> dict[str, Any]:
        """The modules that sampling needs, by the prefix of their tensors' names."""
        raise NotImplementedError

    def tensors(self) -> dict[str, np.ndarray]:
        from privsynth.trainers.modules import arrays

        return {name: value for prefix, module in self.saved.items() for name, value in arrays(module, prefix).items()}

    def check(self, tensors: dict[str, np.ndarray]) -> None:
        """Raises Damaged if `load` could not take these."""
        from privsynth.trainers.modules import check_arrays

        for prefix, module in self.saved.items():
            check_arrays(module, prefix, tensors)

    def load(self, tensors: dict[str, np.ndarray]) -> None:
        from privsynth.trainers.modules import load_arrays

        for prefix, module in self.saved.items():
            load_arrays(module, prefix, tensors)


@dataclass(frozen=True)
class NetworkModel:
    """A trained network, and the marginal model that its samples are calibrated to."""

    codec: Codec
    marginal_model: MarginalModel | None
    network: Network

    def sample(self, n: int, rng: np.random.Generator, progress: Progress = silent) -> np.ndarray:
        from privsynth.marginals.population import NETWORK_POOL

        def draw(block: slice, rng: torch.Generator) -> torch.Tensor:
            return self.network.draw(block.stop - block.start, rng)

        factor = 1 if self.marginal_model is None else self.marginal_model.oversampling_factor(n, NETWORK_POOL)
        rows = self._known(drawn(draw, factor * n, rng, lambda share: progress("sampling", share)), rng)
        if self.marginal_model is None:
            return rows
        return self.marginal_model.balanced(self.marginal_model.calibrated(rows, rng, progress, n), n, rng, progress)

    def _known(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Redraws what the released histograms and the constraints rule out: a softmax gives every value some chance."""
        import numpy as np

        for j, column in enumerate(self.codec.columns):
            wrong = np.flatnonzero(column.shares[rows[:, j]] <= 0)
            rows[wrong, j] = rng.choice(column.size, len(wrong), p=column.shares / column.shares.sum())
        return self.codec.possible.apportioned(rows, rng)

    def tensors(self) -> dict[str, np.ndarray]:
        return self.network.tensors() | (self.marginal_model.tensors() if self.marginal_model is not None else {})

    def settings(self) -> dict[str, Any]:
        return {"options": self.network.options.model_dump()}
