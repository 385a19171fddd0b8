"""Privacy events: what the accountant needs to know of one mechanism. All fields are public.

Every event is for the policy's unit: sensitivities have been divided out, so that adding or removing one unit moves
the mechanism's input by at most 1 in the norm that the event belongs to.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0")


@dataclass(frozen=True)
class Gaussian:
    """Gaussian noise of standard deviation noise_multiplier on an input of L2 sensitivity 1.

    >>> round(Gaussian(2.0).mu, 3)
    0.5
    """

    noise_multiplier: float

    def __post_init__(self) -> None:
        _check_positive("noise_multiplier", self.noise_multiplier)

    @property
    def mu(self) -> float:
        """Its parameter in Gaussian differential privacy (Dong, Roth, Su 2022, Theorem 1)."""
        return 1 / self.noise_multiplier

    def __str__(self) -> str:
        return f"Gaussian(noise_multiplier={self.noise_multiplier:.4g})"


@dataclass(frozen=True)
class DiscreteGaussian:
    """Discrete Gaussian noise (Canonne, Kamath, Steinke 2020) on integers of which a unit moves one, by 1 at most."""

    noise_multiplier: float

    def __post_init__(self) -> None:
        _check_positive("noise_multiplier", self.noise_multiplier)

    def __str__(self) -> str:
        return f"DiscreteGaussian(noise_multiplier={self.noise_multiplier:.4g})"


@dataclass(frozen=True)
class PureDP:
    """Any mechanism that is epsilon-differentially private by itself. No mechanism here states it; it dominates `Geometric`."""

    epsilon: float

    def __post_init__(self) -> None:
        _check_positive("epsilon", self.epsilon)

    def __str__(self) -> str:
        return f"PureDP(epsilon={self.epsilon:.4g})"


@dataclass(frozen=True)
class Geometric:
    """Two-sided geometric noise with parameter epsilon on an integer input of L1 sensitivity 1 (Ghosh et al. 2009)."""

    epsilon: float

    def __post_init__(self) -> None:
        _check_positive("epsilon", self.epsilon)

    def __str__(self) -> str:
        return f"Geometric(epsilon={self.epsilon:.4g})"


@dataclass(frozen=True)
class ApproximateDP:
    """Any mechanism that is (epsilon, delta)-differentially private by itself."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon >= 0):
            raise ValueError("epsilon must be a finite number of at least 0")
        if not 0 < self.delta < 1:
            raise ValueError("delta must lie between 0 and 1")

    def __str__(self) -> str:
        return f"ApproximateDP(epsilon={self.epsilon:.4g}, delta={self.delta:.1e})"


@dataclass(frozen=True)
class ThresholdedGaussian:
    """Counts of categories with discrete Gaussian noise, released only above a threshold that a lone unit passes at
    most with probability delta. Neighbours either differ by 1 in one count (DiscreteGaussian) or in one category that a
    lone unit brings (seen with probability delta at most): the composition of both dominates either.
    """

    noise_multiplier: float
    delta: float

    def __post_init__(self) -> None:
        _check_positive("noise_multiplier", self.noise_multiplier)
        if not 0 < self.delta < 1:
            raise ValueError("delta must lie between 0 and 1")

    def __str__(self) -> str:
        return f"ThresholdedGaussian(noise_multiplier={self.noise_multiplier:.4g}, delta={self.delta:.1e})"


@dataclass(frozen=True)
class SampledGaussian:
    """`steps` Gaussian mechanisms, each on a Poisson sample of the units at `sampling_rate` (DP-SGD, Abadi et al. 2016)."""

    noise_multiplier: float
    sampling_rate: float
    steps: int

    def __post_init__(self) -> None:
        _check_positive("noise_multiplier", self.noise_multiplier)
        if not 0 < self.sampling_rate <= 1:
            raise ValueError("sampling_rate must lie in (0, 1]")
        if not (self.steps >= 1 and self.steps % 1 == 0):  # false for NaN and infinity too
            raise ValueError("steps must be a whole number of at least 1")

    def __str__(self) -> str:
        return (
            f"DP-SGD(noise_multiplier={self.noise_multiplier:.4g}, "
            f"sampling_rate={self.sampling_rate:.4g}, steps={self.steps})"
        )


Event = Gaussian | DiscreteGaussian | Geometric | PureDP | ApproximateDP | ThresholdedGaussian | SampledGaussian
_ALL = (Gaussian, DiscreteGaussian, Geometric, PureDP, ApproximateDP, ThresholdedGaussian, SampledGaussian)
_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in _ALL}


def to_json(event: Event) -> dict[str, Any]:
    """A plain dict that `from_json` reads back."""
    return {"kind": type(event).__name__} | asdict(event)


def from_json(data: dict[str, Any]) -> Event:
    """Inverse of `to_json`. Raises KeyError for an unknown kind."""
    fields = {key: value for key, value in data.items() if key != "kind"}
    return _KINDS[data["kind"]](**fields)


def gaussian_of_mu(mu: float) -> Gaussian:
    return Gaussian(1 / mu)


def sampled_gaussian_of_mu(mu: float, sampling_rate: float, steps: int) -> SampledGaussian:
    """DP-SGD about as private as one Gaussian mechanism of parameter mu, by the central limit theorem of subsampling.

    mu = q sqrt(T (exp(1/sigma^2) - 1)) (Bu, Dong, Long, Su 2020, Theorem 5), solved for sigma. It only divides the
    budget; claims come from the exact composition in `accountant`.

    >>> sampled_gaussian_of_mu(1.0, 0.01, 1000).noise_multiplier < 1
    True
    """
    return SampledGaussian(1 / math.sqrt(math.log1p((mu / sampling_rate) ** 2 / steps)), sampling_rate, steps)
