"""What every trainer is: public options, the mechanisms it wants, and a fit that ends in a model without data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

if TYPE_CHECKING:
    import numpy as np

    from privsynth.codec import Codec
    from privsynth.policy import Policy
    from privsynth.policy.plan import Request
    from privsynth.privacy.ledger import Run
    from privsynth.table import PrivateTable

Progress = Callable[[str, float], None]  # (what is being done, share done)


def silent(what: str, share: float) -> None:
    """A progress that nobody watches."""


class Model(Protocol):
    """What was learned: tensors and plain settings, nothing else. codec: as refined by what the trainer bought."""

    @property
    def codec(self) -> Codec: ...

    def sample(self, n: int, rng: np.random.Generator, progress: Progress) -> np.ndarray:
        """(n, columns) int32 codes."""

    def tensors(self) -> dict[str, np.ndarray]: ...

    def settings(self) -> dict[str, Any]: ...


class AnchorOptions(BaseModel):
    """Options that all trainers share. All are public."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sweeps: int = Field(default=16, ge=4, le=400)  # annealed Gibbs sweeps that fit the population

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic takes `yes` for 1 and "300" for 300; who writes them means something else, or does not know."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if kind is bool:
            if not isinstance(value, bool):
                raise ValueError("should be true or false")
        elif get_origin(kind) is not Literal and isinstance(value, (bool, str)):
            read = "a truth value" if isinstance(value, bool) else "text"
            raise ValueError(
                f"YAML reads this as {read}, not as a valid number; write one such as 300 or 5.0e-4, no quotes"
            )
        return value


class NetworkOptions(AnchorOptions):
    """Options of trainers that add a network; step count, rate and clip norm are fixed before any data is read."""

    anchor: float = Field(default=0.9, ge=0, lt=1)  # share for noisy marginals; 0: the network alone
    steps: int = Field(default=300, ge=1, le=100_000)  # DP-SGD steps
    batch: int = Field(default=1024, ge=16, le=65536)  # expected units of a step, where the row count is public
    sampling_rate: float | None = Field(default=None, ge=1e-6, le=1)
    max_grad_norm: float = Field(default=1.0, gt=0, le=1000)
    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    pretrain_steps: int = Field(default=1500, ge=0, le=100_000)  # on the population: costs no privacy
    calibrate: bool = True  # live sweeps towards the noisy marginals after sampling
    hidden: int = Field(default=192, ge=8, le=2048)
    device: Literal["auto", "cpu"] = "auto"  # where networks learn: on the machine's CUDA device, if it has one


class LatentOptions(NetworkOptions):
    """Options of networks that make a row from a latent code."""

    latent: int = Field(default=64, ge=2, le=1024)


class Trainer(ABC):
    """One way to learn a table."""

    name: ClassVar[str]
    Options: ClassVar[type[Any]]

    def __init__(self, options: Any):
        self.options = options

    @abstractmethod
    def requests(self, policy: Policy) -> list[Request]:
        """The mechanisms it wants, from public facts only; their shares sum to 1."""

    @abstractmethod
    def fit(
        self, table: PrivateTable[np.ndarray], codec: Codec, target: str | None, run: Run, progress: Progress
    ) -> Model:
        """Learns from codes; every touch of them goes through `table.ask(mechanism, run)`."""

    @staticmethod
    @abstractmethod
    def restore(codec: Codec, tensors: dict[str, np.ndarray], settings: dict[str, Any]) -> Model:
        """The model back from its tensors and settings. Raises Damaged if they are not such as a model gives."""
