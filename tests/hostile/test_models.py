"""Edited models: rows or one clear refusal, never a signal, a hang, a fault, or a file where none belongs."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from children import LONGEST, try_all
from model_mutants import Saved
from repeated import examples
from safetensors.numpy import save_file
from tiny import MODELS, fitted, small

from privsynth import Policy, Synthesizer, fit
from privsynth.errors import InputError
from privsynth.sampling.identifiers import GENERATORS, Invented

MUTANTS = examples(1_500, full=10_000)


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        yield


@pytest.fixture(scope="module")
def models(_small: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Synthesizer, Path]]:
    return fitted(tmp_path_factory.mktemp("models"))


# --- honest models ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(MODELS))
def test_an_honest_model_gives_the_same_rows(models: Any, name: str) -> None:
    made, folder = models[name]
    again = Synthesizer.load(folder)
    pd.testing.assert_frame_equal(again.sample(50, seed=1), made.sample(50, seed=1), check_exact=True)
    before, after = made._tensors(), again._tensors()
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) and before[key].dtype == after[key].dtype for key in before)


# --- one change each --------------------------------------------------------------------------------------------------


def put(*path: Any) -> Callable[[Any], None]:
    """Sets what stands at a path of keys; the last of `path` is the new value."""

    def change(meta: Any) -> None:
        *keys, last, value = path
        for key in keys:
            meta = meta[key]
        meta[last] = value

    return change


def lengthened(*path: Any) -> Callable[[Any], None]:
    """Repeats the list at a path of keys."""

    def change(meta: Any) -> None:
        for key in path:
            meta = meta[key]
        meta.extend(meta * 2)

    return change


COLUMN, OUTPUT = ("domain", "columns"), ("layout", "columns")
SEX, WARD, AGE, WORK, COST, SEEN, GONE, SMOKES, CAME, CLOCK, LEFT, WOKE, WAITED, PAID, STRATUM = range(
    15
)  # of the domain


def output(column: int, *more: Any) -> Callable[[Any], None]:
    """As `put`, for a column of the layout: three invented ones come first, and the clock of a datetime is none."""
    return put("layout", "columns", 3 + column - (column > CLOCK), *more)


JSON = {
    "another format": (put("format", 2), "format"),
    "a format that is no number": (put("format", True), "format"),
    "an unknown trainer": (put("trainer", "pickle"), "trainer"),
    "another trainer": (put("trainer", "vae"), "settings"),
    "settings of another": (put("settings", {"options": {}}), "settings"),
    "a key more": (put("more", 1), "more"),
    "a total of nothing": (put("total", 0), "total"),
    "a total that is none": (put("total", float("nan")), "finite"),
    "a total beyond all numbers": (put("total", 10**400), "total"),
    "no columns": (put(*COLUMN, []), "domain.columns"),
    "a column twice": (lengthened(*COLUMN), "stands twice"),
    "no categories": (put(*COLUMN, SEX, "categories", []), "categories"),
    "a category twice": (put(*COLUMN, SEX, "categories", ["1", "1"]), "stands twice"),
    "a category more": (put(*COLUMN, SEX, "categories", ["1", "2", "3"]), "codec.0.bins"),
    "a gap from itself": (put(*COLUMN, AGE, "gap_from", "age"), "cycle"),
    "gaps in a cycle": (put(*COLUMN, WORK, "gap_from", "age"), "cycle"),
    "a gap from nothing": (put(*COLUMN, AGE, "gap_from", "nothing"), "gap_from"),
    "a gap from a date": (put(*COLUMN, AGE, "gap_from", "seen"), "gap_from"),
    "a gap from a category": (put(*COLUMN, AGE, "gap_from", "sex"), "gap_from"),
    "a large gap": (put(*COLUMN, AGE, "least_gap", 2), "least_gap"),
    "bounds without end": (put(*COLUMN, WORK, "high", 2**80), "high"),
    "other bounds": (put(*COLUMN, WORK, "high", 5_000), "codec.3.bins"),
    "bounds that fall": (put(*COLUMN, WORK, "high", -1), "low"),
    "a year that is none": (put(*COLUMN, SEEN, "high", 10**9), "years"),
    "a step of nothing": (put(*COLUMN, COST, "step", 0.0), "step"),
    "a step that is no place": (put(*COLUMN, COST, "step", 0.02), "step"),
    "a mix that is none": (put("domain", "mix", [0.5, 0.4, 0.2]), "mix"),
    "a mix below zero": (put("domain", "mix", [1.5, -0.4, -0.1]), "mix"),
    "a mix of more strata": (put("domain", "mix", [0.25] * 4), "strata"),
    "a mix of none": (put("domain", "mix", []), "mix"),
    "strata that are no numbers": (put(*COLUMN, STRATUM, "categories", ["a", "b", "c"]), "strata"),
    "a method of Faker": (put(*OUTPUT, 1, "generator", "binary"), "generator"),
    "an attribute of Faker": (put(*OUTPUT, 1, "generator", "__class__"), "generator"),
    "a seed of Faker": (put(*OUTPUT, 1, "generator", "seed_instance"), "generator"),
    "a pattern without end": (put(*OUTPUT, 2, "pattern", "#" * 1_000_000), "pattern"),
    "numbers where names are": (put(*OUTPUT, 1, "type", "int64"), "type"),
    "numbers where a pattern has letters": (put(*OUTPUT, 2, "type", "int32"), "type"),
    "an identifier of moments": (put(*OUTPUT, 0, "type", "timestamp[s]"), "type"),
    "a share of rows that is none": (put("domain", "dropped", 1.5), "dropped"),
    "a column of the layout twice": (lengthened(*OUTPUT), "stands twice"),
    "a column that was not learned": (output(AGE, "name", "years"), "layout"),
    "a column of another kind": (output(AGE, "form", "kind", "integers"), "kind"),
    "a column of another kind than was learned": (output(AGE, "form", "kind", "number"), "layout"),
    "words as whole numbers": (output(WARD, "type", "int64"), "whole"),
    "a rule about nothing": (put("layout", "rules", 0, 1, "nothing"), "layout.rules"),
    "a rule about a category": (put("layout", "rules", 0, 1, "sex"), "layout.rules"),
    "a rule against itself": (put("layout", "rules", 0, 1, "seen"), "cycle"),
    "a rule with another step": (put("layout", "rules", 0, 3, 1e-300), "layout.rules"),
    "rules twice": (lengthened("layout", "rules"), "stands twice"),
    "no claim": (put("privacy", {}), "privacy"),
    "a claim that is none": (put("privacy", "epsilon", -1.0), "privacy"),
    "a claim with no number": (put("privacy", "risk", "advantage", float("inf")), "finite"),
    "facts that are none": (put("facts", {"dataset": [1]}), "facts"),
}  # fmt: skip
KINDS = {  # marks, kinds and breaks of the domain
    "a kind that is none": (put(*COLUMN, SEX, "kind", "text"), "kind"),
    "a kind for another": (put(*COLUMN, COST, "kind", "integer"), "step"),
    "a mark twice": (put(*COLUMN, PAID, "marks", ["<0,01", "<0,01"]), "stands twice"),
    "a mark that is a category": (put(*COLUMN, SMOKES, "marks", ["ja", "-9"]), "stands twice"),
    "a mark that is no text": (put(*COLUMN, PAID, "marks", [1, 2]), "marks"),
    "one mark more": (put(*COLUMN, PAID, "marks", ["<0,01", "9999+", "?", "more"]), "marks"),
    "marks in another order": (put(*COLUMN, PAID, "marks", ["9999+", "<0,01", "?"]), "marks"),
    "a mark less": (put(*COLUMN, SMOKES, "marks", ["-8"]), "marks"),
    "very many marks": (put(*COLUMN, PAID, "marks", [str(i) for i in range(10_000)]), "marks"),
    "a cut beyond the bounds": (put(*COLUMN, PAID, "cuts", [10**9]), "cuts"),
    "a cut between two steps": (put(*COLUMN, PAID, "cuts", [0.5]), "cuts"),
    "a cut of categories": (put(*COLUMN, SEX, "cuts", [1]), "cuts"),
    "a cut of truth values": (put(*COLUMN, SMOKES, "cuts", [1]), "cuts"),
    "very many cuts": (put(*COLUMN, PAID, "cuts", list(range(10_000))), "cuts"),
    "another cut": (put(*COLUMN, PAID, "cuts", [12_345]), "codec.13.bins"),
    "a spike beyond the bounds": (put(*COLUMN, WAITED, "spikes", [-(10**9)]), "spikes"),
    "a spike of a category": (put(*COLUMN, WARD, "spikes", [0]), "cuts"),
    "spikes without end": (put(*COLUMN, WAITED, "spikes", [2**80]), "spikes"),
    "categories of a number": (put(*COLUMN, PAID, "categories", ["a"]), "categories"),
    "a clock of nothing": (put(*COLUMN, CLOCK, "clock_of", "nothing"), "clock_of"),
    "a clock of a date": (put(*COLUMN, CLOCK, "clock_of", "gone"), "clock_of"),
    "a clock of a gap": (put(*COLUMN, CLOCK, "clock_of", "left"), "clock_of"),
    "a clock of itself": (put(*COLUMN, CLOCK, "clock_of", "__clock of came__"), "clock_of"),
    "no clock": (put(*COLUMN, CLOCK, "clock_of", None), "clock_of"),
    "two clocks": (put(*COLUMN, WOKE, "clock_of", "came"), "clock_of"),
    "a clock that is a category": (put(*COLUMN, SMOKES, "clock_of", "came"), "gap"),
    "a clock of half a day": (put(*COLUMN, CLOCK, "high", 719), "clock_of"),
    "a clock of another step": (put(*COLUMN, CLOCK, "step", 3600.0), "day"),
    "a clock with marks": (put(*COLUMN, CLOCK, "marks", ["never"]), "clock_of"),
    "a clock with cuts": (put(*COLUMN, CLOCK, "cuts", [720]), "clock_of"),
    "a clock that is a gap": (put(*COLUMN, CLOCK, "gap_from", "woke"), "clock_of"),
    "a datetime without a clock": (put(*COLUMN, LEFT, "gap_from", None), "clock_of"),
    "a datetime as a gap from a date": (put(*COLUMN, LEFT, "gap_from", "seen"), "gap_from"),
    "a gap from another step": (put(*COLUMN, LEFT, "step", 1.0), "gap_from"),
    "a time as a gap from a duration": (put(*COLUMN, WOKE, "gap_from", "waited"), "gap_from"),
    "a step of months": (put(*COLUMN, CAME, "step", 2.6e6), "step"),
    "a step of a date": (put(*COLUMN, SEEN, "step", 60.0), "step"),
    "a step of truth values": (put(*COLUMN, SMOKES, "step", 60.0), "step"),
    "a moment in the year 10,000": (put(*COLUMN, CAME, "high", 10**12), "years"),
    "a moment before the year 1": (put(*COLUMN, CAME, "low", -(10**12)), "years"),
    "a time of two days": (put(*COLUMN, WOKE, "high", 2_000), "day"),
    "a time below midnight": (put(*COLUMN, WOKE, "low", -1), "day"),
    "a duration of ages": (put(*COLUMN, WAITED, "high", 10**12), "durations"),
    "a letter case that is none": (put(*COLUMN, CAME, "letter_case", "mIxEd"), "letter_case"),
    "a letter case that was not measured": (put(*COLUMN, CAME, "letter_case", ""), "letter_case"),
}  # fmt: skip
WRITTEN = {  # how cells are written
    "a format that is none": (output(SEEN, "form", "format", "%Q"), "format"),
    "a format without end": (output(SEEN, "form", "format", "%d" * 1_000), "format"),
    "a format of a number": (output(PAID, "form", "format", "%d"), "format"),
    "a format of truth values": (output(SMOKES, "form", "format", "%d"), "format"),
    "a format of no duration": (output(WAITED, "form", "format", "%H"), "format"),
    "a time zone that is none": (output(LEFT, "form", "timezone", "Nowhere/Land"), "timezone"),
    "a time zone that is a file": (output(LEFT, "form", "timezone", "/etc/passwd"), "timezone"),
    "a time zone that leads away": (output(LEFT, "form", "timezone", "../../etc/passwd"), "timezone"),
    "a time zone of a date": (output(SEEN, "form", "timezone", "Europe/Berlin"), "timezone"),
    "a language that is none": (output(CAME, "form", "language", "xx"), "language"),
    "a language that is a file": (output(CAME, "form", "language", "../de"), "language"),
    "a decimal sign that is none": (output(PAID, "form", "decimal", ";"), "decimal"),
    "thousands by a letter": (output(PAID, "form", "thousands", "k"), "thousands"),
    "thousands by the decimal sign": (output(PAID, "form", "thousands", ","), "thousands"),
    "a currency of many words": (output(PAID, "form", "currency", "€" * 11), "currency"),
    "parentheses that are no truth value": (output(PAID, "form", "parentheses", 1), "parentheses"),
    "a percent that is no truth value": (output(PAID, "form", "percent", "yes"), "percent"),
    "too many places": (output(PAID, "form", "places", 10), "places"),
    "half a place": (output(PAID, "form", "places", 0.5), "places"),
    "a step that was not learned": (output(CAME, "form", "step", 1.0), "steps"),
    "a step of the form that is none": (output(CAME, "form", "step", 7.0), "step"),
    "bounds of the form that are none": (output(CAME, "form", "low", "1970"), "low"),
    "another key of the form": (output(CAME, "form", "more", 1), "more"),
    "no form": (output(CAME, "form", None), "form"),
    "marks that were not learned": (output(PAID, "marks", []), "marks"),
    "one truth": (output(SMOKES, "truths", ["ja"]), "truths"),
    "truths of a category": (output(SEX, "truths", ["1", "2"]), "truths"),
    "a type that is none": (output(AGE, "type", "int128"), "type"),
    "a type of Python": (output(AGE, "type", "object"), "type"),
    "whole numbers as days": (output(AGE, "type", "date32[day]"), "type"),
    "whole numbers as floats": (output(AGE, "type", "double"), "type"),
    "numbers as whole ones": (output(COST, "type", "int64"), "type"),
    "words as numbers": (output(WARD, "type", "double"), "type"),
    "truth values as days": (output(SMOKES, "type", "date32[day]"), "type"),
    "moments as days": (output(CAME, "type", "date32[day]"), "type"),
    "times as moments": (output(WOKE, "type", "timestamp[s]"), "type"),
    "durations as times": (output(WAITED, "type", "time64[us]"), "type"),
    "identifiers as floats": (put(*OUTPUT, 0, "type", "double"), "type"),
    "names as whole numbers": (put(*OUTPUT, 1, "type", "int64"), "type"),
    "whole numbers in too few bits": (output(AGE, "type", "int8"), "type"),
    "decimals of too few digits": (output(PAID, "type", "decimal128(3, 2)"), "type"),
    "decimals of too few places": (output(PAID, "type", "decimal128(12, 1)"), "type"),
    "a type with a time zone that is none": (output(GONE, "type", "timestamp[us, tz=Nowhere/Land]"), "type"),
    "a dtype that is no text": (output(AGE, "dtype", 1), "dtype"),
    "a delimiter of two": (put("layout", "csv", "delimiter", ";;"), "csv"),
    "a delimiter that is the decimal sign": (put("layout", "csv", "delimiter", "."), "csv"),
    "an encoding that is none": (put("layout", "csv", "encoding", "utf-99"), "csv"),
    "an encoding with shift states": (put("layout", "csv", "encoding", "utf-7"), "csv"),
    "an encoding that is a codec of Python": (put("layout", "csv", "encoding", "idna"), "csv"),
    "a quote that is none": (put("layout", "csv", "quote", "x"), "csv"),
    "lines below zero": (put("layout", "csv", "skip_rows", -1), "csv"),
    "no dialect": (put("layout", "csv", None), "csv"),
}  # fmt: skip
CHANGED = JSON | KINDS | WRITTEN


def refused(folder: Path) -> str:
    """What the model is refused with: one problem, one sentence."""
    with pytest.raises(InputError) as caught:
        Synthesizer.load(folder)
    text = str(caught.value)
    assert len(caught.value.problems) == 1 and str(folder) in text and len(text) < 400 + len(str(folder))
    return text


def edited(source: Path, folder: Path, meta: Callable[[Any], None] = lambda meta: None, **tensors: Any) -> Path:
    """A model with changes. tensors: what to make of the tensor of this name, dots as double underscores; None drops it."""
    saved = Saved.read(source)
    meta(saved.meta)
    for name, change in tensors.items():
        name = name.replace("__", ".")
        value = saved.tensors.pop(name, None)
        if change is not None:
            saved.tensors[name] = np.ascontiguousarray(change(value))
    (folder / "model.json").write_text(json.dumps(saved.meta), encoding="utf-8")
    save_file(saved.tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("name", list(CHANGED))
def test_a_change_of_model_json_is_told(models: Any, tmp_path: Path, name: str) -> None:
    change, word = CHANGED[name]
    assert word in refused(edited(models["marginals"][1], tmp_path, change))


def all_at(value: Any) -> Callable[[np.ndarray], np.ndarray]:
    return lambda tensor: np.full_like(tensor, value)


def one_at(value: Any) -> Callable[[np.ndarray], np.ndarray]:
    def change(tensor: np.ndarray) -> np.ndarray:
        changed = tensor.copy()
        changed.flat[0] = value
        return changed

    return change


def group(size: int, value: int) -> Callable[[Any], np.ndarray]:
    return lambda nothing: np.full(size, value, np.int32)


TENSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "codes of 2e9": ("marginals", {"model__population": all_at(2_000_000_000)}),
    "one code beyond its column": ("marginals", {"model__population": one_at(4)}),
    "a code below zero": ("marginals", {"model__population": one_at(-1)}),
    "codes of eight bytes": ("marginals", {"model__population": lambda t: t.astype(np.int64)}),
    "codes as numbers": ("marginals", {"model__population": lambda t: t.astype(np.float32)}),
    "a column less": ("marginals", {"model__population": lambda t: t[:, :-1]}),
    "no rows": ("marginals", {"model__population": lambda t: t[:0]}),
    "huge groups": ("marginals", {"model__groups__3": group(11, 2_000_000_000)}),
    "groups below zero": ("marginals", {"model__groups__3": group(11, -1)}),
    "groups of a column that is none": ("marginals", {"model__groups__99": group(11, 0)}),
    "groups of too few codes": ("marginals", {"model__groups__3": group(2, 0)}),
    "bins beyond the codes": ("marginals", {"codec__3__bins": all_at(2_000_000_000)}),
    "bins below zero": ("marginals", {"codec__3__bins": one_at(-5)}),
    "bins of one code": ("marginals", {"codec__3__bins": all_at(0)}),
    "no bins": ("marginals", {"codec__3__bins": None}),
    "a density that is none": ("marginals", {"codec__2__density": all_at(np.nan)}),
    "a density below zero": ("marginals", {"codec__2__density": one_at(-0.5)}),
    "a density of more than one": ("marginals", {"codec__2__density": lambda t: t * 2}),
    "noise below zero": ("marginals", {"codec__2__noise": one_at(-1.0)}),
    "a released share that is none": ("marginals", {"codec__2__raw": one_at(np.inf)}),
    "a goal of a column that is none": ("marginals", {"model__goal_columns": one_at(77)}),
    "a goal of one column twice": ("marginals", {"model__goal_columns": lambda t: np.tile(t[:, :1], 4)}),
    "goals cut off": ("marginals", {"model__goal": lambda t: t[:-1]}),
    "a goal that is none": ("marginals", {"model__goal": one_at(np.nan)}),
    "a goal beyond single precision": ("marginals", {"model__goal": one_at(3e38)}),
    "no noise": ("marginals", {"model__goal_sigma": all_at(0.0)}),
    "answers of a pair turned": ("marginals", {"model__noisy_columns": lambda t: t[:, ::-1].copy()}),
    "answers of a column that is none": ("marginals", {"model__noisy_columns": one_at(77)}),
    "answers cut off": ("marginals", {"model__noisy": lambda t: t[:-1]}),
    "answers without noise": ("marginals", {"model__noisy_sigma": all_at(0.0)}),
    "more signal than there is": ("marginals", {"model__goal_signal": all_at(1e300)}),
    "a strength that is none": ("marginals", {"model__strength": all_at(np.nan)}),
    "a mixture about a category": ("marginals", {"within__columns": one_at(0)}),
    "a mixture about a column twice": ("marginals", {"within__columns": all_at(2)}),
    "chances that are none": ("marginals", {"within__chance": all_at(-1.0)}),
    "a precision that is none": ("marginals", {"within__precision": lambda t: -t}),
    "a lopsided precision": ("marginals", {"within__precision": lambda t: t + np.triu(np.ones(t.shape[1:]), 1)}),
    "a center beyond the world": ("marginals", {"within__center": one_at(1e300)}),
    "a tensor more": ("marginals", {"model__more": group(1, 0)}),
    "a weight that is none": ("ctgan", {"model__generator__one__weight": one_at(np.nan)}),
    "weights of another width": ("ctgan", {"model__generator__three__weight": lambda t: t[:-1]}),
    "weights of eight bytes": ("autoregressive", {"model__masked__one__bias": lambda t: t.astype(np.float64)}),
    "no weights": ("autoregressive", {"model__masked__one__bias": None}),
    "chances of a prior below zero": ("vae", {"model__prior__chance": one_at(-1.0)}),
    "chances of a prior that are none": ("vae", {"model__prior__chance": all_at(0.0)}),
}


@pytest.mark.parametrize("name", list(TENSORS))
def test_a_change_of_a_tensor_is_told(models: Any, tmp_path: Path, name: str) -> None:
    model, changes = TENSORS[name]
    (tensor,) = changes
    told = refused(edited(models[model][1], tmp_path, **changes))
    assert tensor.replace("__", ".").removeprefix("model.").removeprefix("within.") in told


@pytest.mark.parametrize(
    "option, value", [("hidden", 2**40), ("hidden", 9), ("latent", 2**40), ("latent", 5), ("more", 1)]
)
def test_networks_are_not_made_larger_than_their_tensors(models: Any, tmp_path: Path, option: str, value: int) -> None:
    refused(edited(models["ctgan"][1], tmp_path, put("settings", "options", option, value)))


@pytest.mark.parametrize("model", ["ctgan", "vae", "autoregressive"])
def test_weights_that_overflow_are_told(models: Any, tmp_path: Path, model: str) -> None:
    """They are finite, so that only what they say shows it."""
    source = models[model][1]
    weights = [
        name for name, value in Saved.read(source).tensors.items() if name.endswith("weight") and value.ndim == 2
    ]
    changes = {name.replace(".", "__"): lambda t: np.where(t > 0, 3e38, -3e38).astype(np.float32) for name in weights}
    damaged = Synthesizer.load(edited(source, tmp_path, **changes))
    with pytest.raises(InputError, match="not finite"):
        damaged.sample(20)


FILES: dict[str, Callable[[Path], None]] = {
    "half of the tensors": lambda f: os.truncate(f / "model.safetensors", 5_000),
    "no tensors": lambda f: (f / "model.safetensors").unlink(),
    "nothing": lambda f: (f / "model.json").write_text(""),
    "a list": lambda f: (f / "model.json").write_text("[]"),
    "deep JSON": lambda f: (f / "model.json").write_text("[" * 1_000_000),
    "deep settings": lambda f: (f / "model.json").write_text('{"settings": ' + '{"a":' * 100_000 + "1" + "}" * 100_001),
    "half a character": lambda f: (f / "model.json").write_bytes(b'{"trainer": "\xff"}'),
    "large JSON": lambda f: os.truncate(f / "model.json", 2**25),
    "a large header": lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 7 + b"\0" + b" " * 100),
    "many keys": lambda f: (f / "model.json").write_text(json.dumps({f"a{i}": 1 for i in range(200_000)})),
    "a pipe": lambda f: ((f / "model.json").unlink(), os.mkfifo(f / "model.json"))[0],
}


@pytest.mark.parametrize("name", list(FILES))
def test_files_that_are_none_are_told(models: Any, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(models["marginals"][1], tmp_path / "model")
    FILES[name](folder)
    assert "does not hold a privsynth model" in refused(folder)


def test_no_message_quotes_a_file(models: Any, tmp_path: Path) -> None:
    """Neither a value, nor a key that a terminal would obey."""
    for change in (
        put("\x1b[31mred", 1),
        put("trainer", "SECRET"),
        put(*COLUMN, SEX, "kind", "SECRET"),
        put("a" * 5000, 1),
    ):
        told = refused(edited(models["marginals"][1], tmp_path, change))
        assert "SECRET" not in told and "\x1b" not in told and "a" * 100 not in told


def test_the_command_writes_nothing(models: Any, tmp_path: Path, command: Any) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    edited(models["marginals"][1], folder, model__population=all_at(2_000_000_000))
    said = command("sample", folder, "-n", 20, "--out", tmp_path / "rows.csv")
    assert said.code == 2 and "population" in said.err and "fault" not in said.err and "Traceback" not in said.err
    assert said.err.count("error:") == 1 and sorted(tmp_path.iterdir()) == [folder]


def test_only_listed_generators_are_called() -> None:
    rng = np.random.default_rng(0)
    for generator in ("binary", "seed_instance", "__class__", "zip", "password", ""):
        with pytest.raises(InputError, match="generator"):
            Invented(5, generator, None, rng)
    assert all(len(set(Invented(5, generator, None, rng).take(5))) > 1 for generator in GENERATORS)


# --- any change -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_mutants_give_rows_or_are_refused(models: Any) -> None:
    """No signal, no hang, no other exception, nothing written elsewhere. PRIVSYNTH_MUTANTS=FIRST repeats a run."""
    first = int(os.environ.get("PRIVSYNTH_MUTANTS") or random.SystemRandom().randrange(10**9))
    print(f"PRIVSYNTH_MUTANTS={first}")
    found = try_all([folder for _, folder in models.values()], range(first, first + MUTANTS))
    print(f"{dict(found.outcomes)}, the slowest took {found.slowest:.1f} s")
    assert not found.bad, (f"PRIVSYNTH_MUTANTS={first}", found.bad[:5])
    assert found.outcomes.total() == MUTANTS and found.slowest <= LONGEST
    assert found.outcomes["rows"] > MUTANTS / 10 and found.outcomes["refused"] > MUTANTS / 10  # neither is idle


def test_long_codes_leave_as_text_and_their_model_loads(tmp_path: Path) -> None:
    """Codes of 16 digits and more, as of SNOMED CT: what a fit writes must load, and no digit is lost."""
    codes = ["900000000000207008", "900000000000013009"]
    policy = Policy.from_text(
        "privsynth: 1\ndataset: {id: codes, rows: 60}\nunit: row\nbudget: {epsilon: 1.0, delta: 1.0e-6}\nseed: 1\n"
        f"columns: {{code: {{kind: category, categories: [{', '.join(codes)}]}}, age: {{kind: integer, bounds: [0, 9]}}}}\n"
        "trainer: {name: marginals, options: {sweeps: 4}}\n"
    )
    table = pd.DataFrame({"code": codes * 30, "age": ["1", "2", ""] * 20})
    fit(policy, table, ledger="sqlite://").save(tmp_path)
    found = set(Synthesizer.load(tmp_path).sample(200, seed=1)["code"].dropna())
    assert found <= set(codes) and found
