"""What a trainer is: public options, the mechanisms that it requests, and a fit that returns a model without data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from privsynth.progress import Progress

if TYPE_CHECKING:
    import numpy as np

    from privsynth.encoding.codec import Codec
    from privsynth.marginals.choice import Facts
    from privsynth.privacy.plan import Request
    from privsynth.privacy.run import Run
    from privsynth.table.private import PrivateTable


class Model(Protocol):
    """What was learned: tensors and plain settings, nothing else. codec: with shares improved by what the trainer measured."""

    @property
    def codec(self) -> Codec: ...

    def sample(self, n: int, rng: np.random.Generator, progress: Progress) -> np.ndarray:
        """(n, columns) int32 codes."""

    def tensors(self) -> dict[str, np.ndarray]: ...

    def settings(self) -> dict[str, Any]: ...


class Trainer(ABC):
    """One way to learn a table."""

    name: ClassVar[str]
    Options: ClassVar[type[Any]]

    def __init__(self, options: Any):
        self.options = options

    @abstractmethod
    def requests(self, facts: Facts) -> list[Request]:
        """The mechanisms that it needs, from public facts only; their shares sum to 1."""

    @abstractmethod
    def fit(
        self, table: PrivateTable[np.ndarray], codec: Codec, target: str | None, run: Run, progress: Progress
    ) -> Model:
        """Learns from codes; every touch of them goes through `table.measure(mechanism, run)`."""

    @staticmethod
    @abstractmethod
    def restore(codec: Codec, tensors: dict[str, np.ndarray], settings: dict[str, Any]) -> Model:
        """The model from its saved tensors and settings. Raises Damaged if no model could have saved them."""
