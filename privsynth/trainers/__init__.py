"""The trainers, by name. Adding one is one file, its options in `policy.options`, and one line here.

Importing this imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from privsynth.trainers.autoregressive import Autoregressive
from privsynth.trainers.base import Trainer
from privsynth.trainers.ctgan import CTGAN
from privsynth.trainers.marginals import Marginals
from privsynth.trainers.vae import VAE

if TYPE_CHECKING:
    from privsynth.marginals.choice import Facts

TRAINERS: dict[str, type[Trainer]] = {trainer.name: trainer for trainer in (CTGAN, VAE, Autoregressive, Marginals)}


def choose(name: str, options: Mapping[str, Any], facts: Facts) -> tuple[Trainer, list[str]]:
    """The trainer of this name with its options, and why, if a rule chose it. `auto` chooses by public facts only."""
    from privsynth.marginals.choice import reasons_for_marginals

    if name == "auto":
        return trainer_of(Marginals.name, options), reasons_for_marginals(facts)
    return trainer_of(name, options), []


def trainer_of(name: str, options: Mapping[str, Any]) -> Trainer:
    """The trainer of this name, which is one of `TRAINERS`."""
    return TRAINERS[name](TRAINERS[name].Options(**options))
