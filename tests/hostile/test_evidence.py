"""Edited evidence and manifests: a page or one clear refusal, nothing else."""

from __future__ import annotations

import copy
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from model_mutants import change_json
from repeated import examples

from privsynth.errors import InputError, printable
from privsynth.release import verify
from privsynth.report import report

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "report"))

from example import evidence  # the report's own example

MUTANTS = examples(100, full=200)
RISK = ("privacy", "risk")


def plain(face: Any) -> Any:
    return json.loads(json.dumps(face.model_dump(mode="json")))


WHOLE = plain(evidence())


def edited(*path: Any) -> Any:
    """The example with another value at a path of keys, the last of `path`."""
    *keys, last, value = path
    at = whole = copy.deepcopy(WHOLE)
    for key in keys:
        at = at[key]
    at[last] = value
    return whole


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


REFUSED = {
    "a rate that is no number": (edited(*RISK, "max_tpr", {"abc": 0.5}), "max_tpr"),
    "a rate of nothing": (edited(*RISK, "reconstruction", {"0": 0.5}), "reconstruction"),
    "a rate hardly above nothing": (edited(*RISK, "max_tpr", {"1e-400": 0.5}), "max_tpr"),
    "a rate that is none": (edited(*RISK, "singling_out", {"nan": 0.5}), "singling_out"),
    "a bound beyond one": (edited(*RISK, "attribute_inference", {"0.1": 1e300}), "attribute_inference"),
    "an advantage without end": (edited(*RISK, "advantage", 1e30), "advantage"),
    "an epsilon of 26 digits": (edited("privacy", "epsilon", 1e26), "epsilon"),
    "a delta below zero": (edited("privacy", "delta", -1.0), "delta"),
    "rows of 400 digits": (edited("dataset", "rows", 10**400), "rows"),
    "correlations that are no lists": (edited("utility", "correlations", {"columns": 5}), "correlations"),
    "correlations of text": (
        edited("utility", "correlations", {"columns": ["a", "b"], "synthetic": ["ab", "cd"]}),
        "corr",
    ),
    "correlations of 400 digits": (
        edited("utility", "correlations", {"columns": [], "synthetic": [[10**400]]}),
        "corr",
    ),
    "deep options": (edited("trainer", "options", {"a": nested(100)}), "trainer.options"),
    "many attacks": (edited("audit", "findings", WHOLE["audit"]["findings"] * 500), "findings"),
    "an unknown framework": (edited("report", "frameworks", ["../../etc/passwd"]), "framework"),
    "a key more": (edited("\x1b[31mred", 1), "Extra"),
}
DRAWN = {
    "a curve of one point": edited(*RISK, "roc", [[0.5, 0.5]]),
    "a curve below zero": edited(*RISK, "roc", [[0, 0], [-1, -5], [7, 7]]),
    "shares of another length": edited("utility", "columns", 0, "synthetic", [0.1] * 7),
    "shares below zero": edited("utility", "columns", 0, "synthetic", [-5.0] * len(WHOLE["utility"]["columns"][0]["labels"])),
    "no labels": edited("utility", "columns", 0, "labels", []),
    "many labels": edited("utility", "columns", 0, "labels", ["x"] * 10_000),
    "HTML": edited("dataset", "id", "<script>alert(1)</script>"),
    "a unit without a name": edited("privacy", "unit", ""),
    "a matrix of other lengths": edited("utility", "correlations", {"columns": ["a", "b"], "synthetic": [[1], [2, 3]]}),
    "no columns": edited("dataset", "columns", []),
    "intervals turned around": edited("audit", "findings", 0, "low", 1e9),
}  # fmt: skip


@pytest.mark.parametrize("name", list(REFUSED))
def test_evidence_that_cannot_be_drawn_is_refused(tmp_path: Path, name: str) -> None:
    whole, word = REFUSED[name]
    file, out = tmp_path / "evidence.json", tmp_path / "report.html"
    file.write_text(json.dumps(whole), encoding="utf-8")
    for source in (file, whole):
        with pytest.raises(InputError) as caught:
            report(source, out)
        text = str(caught.value)
        assert len(caught.value.problems) == 1 and len(text) < 1000 and "\x1b" not in text and not out.exists()
    assert word in text


@pytest.mark.parametrize("name", list(DRAWN))
def test_strange_evidence_is_drawn(tmp_path: Path, name: str) -> None:
    file = tmp_path / "evidence.json"
    file.write_text(json.dumps(DRAWN[name]), encoding="utf-8")
    assert "<script" not in report(file) and "</html>" in report(file)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[" * 1_000_000,
        b"[]",
        b"null",
        b"\xff",
        b"NaN",
        b'{"schema_version": NaN}',
        b'"\\ud800"',
        b" " * 2**25,
    ],
)
def test_files_that_are_no_evidence_are_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "evidence.json").write_bytes(raw)
    with pytest.raises(InputError):
        report(tmp_path / "evidence.json")
    with pytest.raises(InputError):
        report(tmp_path)


def test_correlations_of_many_columns_take_no_time(tmp_path: Path) -> None:
    """They were put together with a copy of all before for each cell: a thousand columns took eight minutes."""
    import time

    start = time.perf_counter()
    report(edited("utility", "correlations", {"columns": ["a"] * 400, "synthetic": [[0.5] * 400] * 400}))
    assert time.perf_counter() - start < 10  # seen: 1.5


@pytest.mark.slow
def test_mutants_are_drawn_or_refused(tmp_path: Path) -> None:
    """Any other exception fails the test. The printed seed repeats it."""
    first = random.SystemRandom().randrange(10**9)
    print(f"first seed: {first}")
    faces, drawn = [WHOLE, plain(evidence("do_not_release")), plain(evidence().public())], 0
    for seed in range(first, first + MUTANTS):
        rng = random.Random(seed)
        mutant = copy.deepcopy(rng.choice(faces))
        change_json(mutant, list(WHOLE["audit"]["findings"][0].values()), rng)
        (tmp_path / "evidence.json").write_text(json.dumps(mutant), encoding="utf-8")
        try:
            report(tmp_path / "evidence.json")
            drawn += 1
        except InputError as error:
            assert len(str(error)) < 2000, seed
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}") from error
    print(f"{drawn} drawn, {MUTANTS - drawn} refused")
    assert MUTANTS / 20 < drawn < MUTANTS


# --- manifests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", "null", "{}", '{"files": []}', '{"files": {"a": 1}}', '{"files": {"a": {}}}', '{"files": null}', "\xff"],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest, encoding="latin-1")
    with pytest.raises(InputError, match="manifest"):
        verify(tmp_path)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "..", ".", "", "manifest.json", "a/../../secret", "\0", "x" * 5000]
)
def test_names_that_lead_elsewhere_are_files_that_are_missing(tmp_path: Path, name: str) -> None:
    """They are compared with what lies in the folder, and never opened."""
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"files": {name: {"sha256": "0" * 64}}}))
    assert verify(folder) == [f"{printable(name)} is missing"]
