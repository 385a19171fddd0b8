"""What training leaves behind: a synthesizer that samples, saves and loads, and holds no data.

Saved as safetensors and JSON; loading runs no code from the files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth.codec import Codec, ColumnCodec
from privsynth.domain import Domain
from privsynth.errors import InputError, Problem
from privsynth.evidence import Privacy
from privsynth.finish import Layout
from privsynth.privacy.noise import Randomness
from privsynth.trainers.base import Model, Progress, silent

FORMAT = 1


@dataclass(frozen=True)
class Synthesizer:
    """privacy: the claim that covers everything this object will ever give out."""

    trainer: str
    codec: Codec
    model: Model
    layout: Layout
    privacy: Privacy
    facts: dict[str, Any] = field(default_factory=dict)  # public: dataset id, policy hash, version

    def sample(self, n: int, seed: int | None = None, progress: Progress = silent) -> pd.DataFrame:
        """n synthetic rows, columns and types as in the input. A seed only repeats a sample; it weakens nothing.

        Raises InputError if n is not a whole number of at least 1.
        """
        typed, rng = self.sample_typed(n, seed, progress)
        return self.layout.finish(typed, rng)

    def sample_typed(
        self, n: int, seed: int | None = None, progress: Progress = silent
    ) -> tuple[pd.DataFrame, np.random.Generator]:
        """n rows before identifiers and output types: text or None; float64 or NaN, dates in days."""
        if n != int(n) or n < 1:
            raise InputError(Problem("sample", "the number of rows must be a whole number of at least 1"))
        rng = Randomness(seed).generator()
        codes = self._mixed(int(n), rng, progress)
        return self.codec.decode(codes, rng), rng

    def _mixed(self, n: int, rng: np.random.Generator, progress: Progress) -> np.ndarray:
        """Codes in the bought mix of strata: people with many rows weigh less in training than in the table."""
        domain = self.codec.domain
        if not domain.stratified:
            return self.model.sample(n, rng, progress)
        drawn = self.model.sample(round(1.5 * n) + 100, rng, progress)
        stratum = drawn[:, -1]
        wanted = rng.multinomial(n, domain.mix)
        chosen = []
        for s, count in enumerate(wanted):
            there = rng.permutation(np.flatnonzero(stratum == s))
            if len(there) == 0:
                there = rng.permutation(len(drawn))
            chosen.append(np.resize(there, count))
        return drawn[rng.permutation(np.concatenate(chosen))]

    def save(self, folder: str | Path) -> Path:
        """Writes model.safetensors and model.json. Returns the folder."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{k}": np.ascontiguousarray(v) for k, v in self.model.tensors().items()}
        for j, column in enumerate(self.codec.columns):
            tensors |= {f"codec.{j}.{part}": getattr(column, part) for part in ("bins", "density", "raw", "noise")}
        save_file(tensors, folder / "model.safetensors")
        meta = {
            "format": FORMAT, "trainer": self.trainer, "settings": self.model.settings(), "domain": self.codec.domain.to_json(),
            "total": self.codec.total, "layout": self.layout.to_json(),
            "privacy": self.privacy.model_dump(mode="json"), "facts": self.facts,
        }  # fmt: skip
        (folder / "model.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Synthesizer:
        """Reads what `save` wrote. Raises InputError if the folder does not hold a model."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        from privsynth.trainers import TRAINERS

        folder = Path(folder)
        try:
            meta = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "model.safetensors")
            if meta["format"] != FORMAT:
                raise ValueError("another version of the format")
            domain = Domain.from_json(meta["domain"])
            columns = tuple(
                ColumnCodec(d, *(tensors[f"codec.{j}.{part}"] for part in ("bins", "density", "raw", "noise")))
                for j, d in enumerate(domain.columns)
            )
            codec = Codec(domain, columns, meta["total"])
            own = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
            model = TRAINERS[meta["trainer"]].restore(codec, own, meta["settings"])
            privacy = Privacy.model_validate(meta["privacy"])
            return cls(meta["trainer"], codec, model, Layout.from_json(meta["layout"]), privacy, meta["facts"])
        except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
            rule = f"does not hold a privsynth model ({type(error).__name__})"
            raise InputError(
                Problem(str(folder), rule, "name the folder that `save` or `privsynth fit` wrote")
            ) from None
