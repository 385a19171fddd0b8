"""`marginals`: noisy marginals and the synthetic records fitted to them; no network, no DP-SGD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from privsynth.policy.options import MarginalOptions
from privsynth.progress import Progress
from privsynth.trainers.base import Model, Trainer

if TYPE_CHECKING:
    import numpy as np

    from privsynth.encoding.codec import Codec
    from privsynth.marginals.choice import Facts
    from privsynth.marginals.population import MarginalModel
    from privsynth.privacy.plan import Request
    from privsynth.privacy.run import Run
    from privsynth.table.private import PrivateTable


class Marginals(Trainer):
    name = "marginals"
    Options = MarginalOptions

    def requests(self, facts: Facts) -> list[Request]:
        from privsynth.marginals.choice import marginal_requests

        return marginal_requests(facts, 1.0)

    def fit(
        self, table: PrivateTable[np.ndarray], codec: Codec, target: str | None, run: Run, progress: Progress
    ) -> Model:
        from privsynth.marginals.measure import measure_marginals

        rng = run.randomness.generator()
        marginal_model = measure_marginals(table, codec, target, run)
        fitted = marginal_model.fitted(marginal_model.natural_size, rng, self.options.sweeps, progress)
        return PopulationModel(*fitted)

    @staticmethod
    def restore(codec: Codec, tensors: dict[str, np.ndarray], settings: dict[str, Any]) -> Model:
        import numpy as np

        from privsynth.loading import Damaged, take
        from privsynth.marginals.population import MarginalModel

        if settings:
            raise Damaged("`settings` must be empty")
        highest = np.array(codec.sizes) - 1
        population = take(tensors, "population", "int32", (None, len(highest)), 0, highest)
        if len(population) == 0:
            raise Damaged("tensor `population` has no rows")
        return PopulationModel(MarginalModel.restore(codec, tensors), population)


@dataclass(frozen=True)
class PopulationModel:
    """population: (rows, columns) synthetic records fitted to the noisy marginals alone. A sample starts from them and is
    resampled: returned as they are, two large samples would be the same records in another order."""

    marginal_model: MarginalModel
    population: np.ndarray

    @property
    def codec(self) -> Codec:
        return self.marginal_model.codec

    def sample(self, n: int, rng: np.random.Generator, progress: Progress) -> np.ndarray:
        import numpy as np

        from privsynth.marginals.population import MIN_FITTED

        size, many = len(self.population), max(n, MIN_FITTED)  # a small sample is fitted among more rows

        def copies() -> np.ndarray:
            return np.concatenate([rng.permutation(size)[:many], rng.integers(0, size, max(0, many - size))])

        start = np.concatenate([copies() for _ in range(self.marginal_model.oversampling_factor(n))])
        resampled = self.marginal_model.resampled(self.population[start].astype(np.int32), rng, progress)
        return self.marginal_model.balanced(resampled, n, rng, progress)

    def tensors(self) -> dict[str, np.ndarray]:
        return self.marginal_model.tensors() | {"population": self.population}

    def settings(self) -> dict[str, Any]:
        return {}
