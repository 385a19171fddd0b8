"""Which trainers a policy may name, and their options. All are public.

They are defined here and not with the trainers so that a policy is checked without importing these. `OPTIONS` lists the
trainers; `trainers.TRAINERS` has one for each.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterator
from typing import Any, Literal, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator


class MarginalOptions(BaseModel):
    """Options that all trainers share. All are public."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sweeps: int = Field(default=16, ge=4, le=400)  # annealed Gibbs sweeps that fit the synthetic records

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic reads `yes` as 1 and "300" as 300; whoever writes these means something else, or made a mistake."""
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


class NetworkOptions(MarginalOptions):
    """Options of trainers that add a network; step count, rate and clip norm are fixed before any data is read."""

    anchor: float = Field(default=0.9, ge=0, lt=1)  # share of the budget for the marginal model; 0: the network alone
    steps: int = Field(default=300, ge=1, le=100_000)  # DP-SGD steps
    batch: int = Field(default=1024, ge=16, le=65536)  # expected units of a step, where the row count is public
    sampling_rate: float | None = Field(default=None, ge=1e-6, le=1)
    max_grad_norm: float = Field(default=1.0, gt=0, le=1000)
    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    pretrain_steps: int = Field(
        default=1500, ge=0, le=100_000
    )  # on synthetic records of the marginal model: costs no privacy
    calibrate: bool = True  # live sweeps towards the noisy marginals after sampling
    hidden: int = Field(default=192, ge=8, le=2048)
    device: Literal["auto", "cpu"] = "auto"  # where networks train: on the machine's CUDA device, if it has one


class LatentOptions(NetworkOptions):
    """Options of networks that make a row from a latent code."""

    latent: int = Field(default=64, ge=2, le=1024)


class CTGANOptions(LatentOptions):
    """Options of a network that learns against a critic. Many steps of it help under DP-SGD (Bie, Kamath, Zhang 2023)."""

    critic_steps: int = Field(default=4, ge=1, le=1000)  # for each step of the generator


OPTIONS: dict[str, type[MarginalOptions]] = {
    "ctgan": CTGANOptions, "vae": LatentOptions, "autoregressive": NetworkOptions, "marginals": MarginalOptions,
    "auto": MarginalOptions,
}  # fmt: skip


def check_options(name: str, options: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(key, rule, hint) of each wrong option."""
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
    """(rule, hint) of an option that this trainer does not have."""
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
