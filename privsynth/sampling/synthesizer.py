"""The result of training: a synthesizer that samples, saves and loads, and holds no data.

Saved as safetensors and JSON; loading runs no code from the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from privsynth.encoding.codec import Codec
from privsynth.encoding.domain import Domain
from privsynth.errors import InputError, Problem
from privsynth.evidence import Privacy
from privsynth.loading import Damaged, Tensors, no_others, part, read_json, read_tensors
from privsynth.privacy.noise import Randomness
from privsynth.progress import Progress, silent
from privsynth.sampling.output import Layout
from privsynth.trainers.base import Model

if TYPE_CHECKING:
    from privsynth.sampling.conditional import Filling, Given

Values = Mapping[str, Any]  # {column: value}

FORMAT = 1
# rows that are sampled together: above the sizes that are calibrated with more sweeps or balanced, so that large samples
# take no longer
BLOCK = 200_000


@dataclass(frozen=True)
class Synthesizer:
    """privacy: the claim that covers everything this object will ever return."""

    trainer: str
    codec: Codec
    model: Model
    layout: Layout
    privacy: Privacy
    facts: dict[str, Any] = field(default_factory=dict)  # public: dataset id, policy hash, version

    @property
    def warnings(self) -> list[str]:
        """What measured facts say against the table: cells that cannot be read, ranges and lists that lost values."""
        from privsynth.encoding.lost import losses

        return [told for told, _ in losses(self.codec)]

    def sample(
        self, n: int, seed: int | None = None, progress: Progress = silent, given: Values | None = None
    ) -> pd.DataFrame:
        """n synthetic rows, columns and types as in the input. A seed only repeats a sample; it weakens nothing.

        given: {column: value} that all rows have; everything else is drawn given these, as in `impute`. All rows
        are in memory at once; `sample_blocks` gives any number. Raises InputError if n is not a whole number of at
        least 1 or above the number of different identifiers, or for what `impute` refuses.
        """
        typed, rng = self.sample_typed(n, seed, progress, given)
        return self.layout.finish(typed, rng)

    def sample_blocks(
        self, n: int, seed: int | None = None, block: int = BLOCK, progress: Progress = silent,
        given: Values | None = None,
    ) -> Iterator[pd.DataFrame]:  # fmt: skip
        """n synthetic rows in data frames of about equal size, none of more than `block` rows: memory does not grow with n.

        Each block is sampled and calibrated by itself; identifiers go on from block to block. Types are those of
        `sample`, but whole numbers are always Int64, so that all blocks are alike. One block is what `sample` gives.
        Raises InputError, before any row is drawn, if block is not a whole number of at least 1, or as `sample`.
        """
        n, block = at_least_one(n, "the number of rows"), at_least_one(block, "the size of a block")
        self.layout.refuse_repeats(n, self.privacy.unit)
        return self._blocks(n, -(-n // block), Randomness(seed).generator(), progress, self._read(given))

    def impute(
        self, table: pd.DataFrame | str | Path, seed: int | None = None, progress: Progress = silent
    ) -> pd.DataFrame:
        """The rows of a table with a value in every cell: known ones as they are, the others drawn.

        Only the trainer `autoregressive` knows the conditional distributions: a missing cell is drawn given all known cells of
        its row, by the network alone, not calibrated; call again for another draw. The rows are the caller's
        own; this costs nothing, and nothing of them is kept. Columns are the released ones, a column that is left out is
        missing in all rows, and identifiers that are missing are invented. The policy's inequalities hold: where only
        the larger side is given, the smaller one is drawn by their gap, or lowered to fit.

        Raises InputError for another trainer, columns that are not released, values outside of the released categories
        or bounds, rows that break an inequality, and a table without rows.
        """
        from privsynth.sampling.conditional import Given, completed

        model, rng = self._filling(), Randomness(seed).generator()
        given = Given.of_rows(table, self.codec, self.layout)
        self.layout.refuse_repeats(len(given.known), self.privacy.unit)
        frame = self.layout.finish(completed(given, self.codec, model, True, rng, progress), rng)
        for name, there in given.identifiers.items():
            frame[name] = there.where(there.notna(), frame[name])
        return frame.set_axis(table.index) if isinstance(table, pd.DataFrame) else frame

    def sample_typed(
        self, n: int, seed: int | None = None, progress: Progress = silent, given: Values | None = None
    ) -> tuple[pd.DataFrame, np.random.Generator]:
        """n rows before identifiers and output types: text or None; float64 or NaN, dates in days."""
        n, rng = at_least_one(n, "the number of rows"), Randomness(seed).generator()
        self.layout.refuse_repeats(n, self.privacy.unit)
        return self._typed(n, rng, progress, self._read(given)), rng

    def _blocks(
        self, n: int, count: int, rng: np.random.Generator, progress: Progress, given: Given | None
    ) -> Iterator[pd.DataFrame]:
        invented = None
        for i in range(count):
            before, after = n * i // count, n * (i + 1) // count
            typed = self._typed(after - before, rng, _part(progress, before / n, after / n), given)
            if invented is None:  # after the first block, as in `sample`: the same seed then gives the same rows
                invented = self.layout.invented(n, rng)
            yield self.layout.finish_block(typed, invented)

    def _typed(self, n: int, rng: np.random.Generator, progress: Progress, given: Given | None) -> pd.DataFrame:
        if given is None:
            drawn = self.codec.possible.repaired(self._mixed(n, rng, progress), rng)
            return self.codec.decode(drawn, rng)
        from privsynth.sampling.conditional import completed

        return completed(given.repeated(n), self.codec, self._filling(), False, rng, progress)

    def _read(self, values: Values | None) -> Given | None:
        if not values:
            return None
        from privsynth.sampling.conditional import Given

        self._filling()
        return Given.of_values(values, self.codec, self.layout)

    def _filling(self) -> Filling:
        """The model, if it can complete rows."""
        from privsynth.sampling.conditional import Filling

        if not isinstance(self.model, Filling):
            rule = f"was trained by `{self.trainer}`; conditional samples need the trainer `autoregressive`"
            raise InputError(Problem("model", rule, "fit again with `trainer: {name: autoregressive}`"))
        return self.model

    def _mixed(self, n: int, rng: np.random.Generator, progress: Progress) -> np.ndarray:
        """Codes in the measured mix of strata: people with many rows weigh less in training than in the table."""
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
        return np.asarray(drawn[rng.permutation(np.concatenate(chosen))])

    def save(self, folder: str | Path) -> Path:
        """Writes model.safetensors and model.json. Returns the folder."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._tensors(), folder / "model.safetensors")
        meta = {
            "format": FORMAT, "trainer": self.trainer, "settings": self.model.settings(), "domain": self.codec.domain.to_json(),
            "total": self.codec.total, "layout": self.layout.to_json(),
            "privacy": self.privacy.model_dump(mode="json"), "facts": self.facts,
        }  # fmt: skip
        (folder / "model.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
        return folder

    def _tensors(self) -> Tensors:
        own = {f"model.{name}": np.ascontiguousarray(value) for name, value in self.model.tensors().items()}
        return own | self.codec.tensors()

    @classmethod
    def load(cls, folder: str | Path) -> Synthesizer:
        """Reads what `save` wrote. Raises InputError if the folder does not hold a model, or one that has been edited into
        something that no fit gives."""
        folder = Path(folder)
        try:
            return cls._read_files(folder)
        except Damaged as error:
            rule = f"does not hold a privsynth model: {error}"
        except OSError as error:
            rule = f"does not hold a privsynth model that can be read: {error.strerror}"
        raise InputError(Problem(str(folder), rule, "name the folder that `save` or `privsynth fit` wrote, unchanged"))

    @classmethod
    def _read_files(cls, folder: Path) -> Synthesizer:
        """Raises OSError or Damaged."""
        from privsynth.sampling.saved import SavedModel
        from privsynth.trainers import TRAINERS

        saved = read_json(folder / "model.json", SavedModel)
        if saved.trainer not in TRAINERS:
            raise Damaged(f"`model.json`, `trainer`: must be one of {', '.join(TRAINERS)}")
        tensors = read_tensors(folder / "model.safetensors")
        codec = Codec.restore(Domain.from_json(saved.domain.model_dump()), saved.total, tensors)
        model = TRAINERS[saved.trainer].restore(codec, part(tensors, "model."), saved.settings)
        layout = Layout.from_json(saved.layout.model_dump())
        synthesizer = cls(saved.trainer, codec, model, layout, saved.privacy, saved.facts)
        no_others(tensors, synthesizer._tensors())
        return synthesizer


def at_least_one(number: Any, what: str) -> int:
    """A whole number of at least 1. Raises InputError for anything else: text, True, NaN."""
    whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
    if not (whole or (isinstance(number, (float, np.floating)) and number.is_integer())) or number < 1:
        raise InputError(Problem("sample", f"{what} must be a whole number of at least 1"))
    return int(number)


def _part(progress: Progress, start: float, end: float) -> Progress:
    """Progress of a part of the work, reported as progress of the whole."""
    return lambda what, share: progress(what, start + (end - start) * share)
