"""The trainers, by name. Adding one is one file and one line here; importing this imports no torch."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from privsynth.trainers.autoregressive import Autoregressive
from privsynth.trainers.base import Trainer
from privsynth.trainers.ctgan import CTGAN
from privsynth.trainers.marginals import Marginals
from privsynth.trainers.vae import VAE

if TYPE_CHECKING:
    from privsynth.policy import Policy
    from privsynth.policy.plan import Request

TRAINERS: dict[str, type[Trainer]] = {trainer.name: trainer for trainer in (CTGAN, VAE, Autoregressive, Marginals)}
OPTIONS: dict[str, type[Any]] = {name: trainer.Options for name, trainer in TRAINERS.items()} | {
    "auto": Marginals.Options
}


def check_options(name: str, options: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(key, rule, mend) of each wrong option."""
    try:
        OPTIONS[name](**options)
    except ValidationError as error:
        for entry in error.errors():
            key = str(entry["loc"][0]) if entry["loc"] else ""
            if entry["type"] == "extra_forbidden":
                yield key, *_unknown(name, key)
            elif entry["type"] == "value_error":
                yield key, entry["msg"].removeprefix("Value error, "), ""
            else:
                value = reprlib.repr(entry["input"])
                yield key, f"{value}: {re.sub(r'^Input should', 'should', entry['msg'])}", ""


def _unknown(name: str, key: str) -> tuple[str, str]:
    """(rule, mend) of an option that this trainer does not have."""
    known = list(OPTIONS[name].model_fields)
    here = f"options of {name}: {', '.join(known)}"
    others = [other for other, options in OPTIONS.items() if other != "auto" and key in options.model_fields]
    if others and name == "auto":
        rule = f"`auto` takes no `{key}`, an option of {', '.join(others)}"
        return rule, f"name a trainer to set this, as in `trainer: {{name: {others[0]}, ...}}`; {here}"
    near = difflib.get_close_matches(key, known, 1)
    guess = f"did you mean `{near[0]}`? " if near else ""
    if others:
        guess = f"{', '.join(others)} have it; "
    return f"unknown option `{key}`", guess + here


def choose(policy: Policy) -> tuple[Trainer, list[str]]:
    """The policy's trainer with its options, and why, if a rule chose it. `auto` goes by public facts only."""
    from privsynth.trainers.rules import reasons_for_marginals

    name, options = policy.model.trainer.name, policy.model.trainer.options
    reasons = []
    if name == "auto":
        name, reasons = Marginals.name, reasons_for_marginals(policy)
    return TRAINERS[name](TRAINERS[name].Options(**options)), reasons


def trainer_requests(policy: Policy) -> tuple[str, list[str], list[Request]]:
    """(name, reasons, mechanisms it wants); shares sum to 1."""
    trainer, reasons = choose(policy)
    return trainer.name, reasons, trainer.requests(policy)
