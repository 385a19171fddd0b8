"""The output of a run: release/ (public) and dossier/ (internal), written next to the target and moved there in one step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from privsynth.errors import InputError, Problem, printable
from privsynth.evidence import Evidence
from privsynth.report import report

if TYPE_CHECKING:
    import pandas as pd

    from privsynth.sampling.output import Layout, Table
    from privsynth.sampling.synthesizer import Synthesizer

PARTS = {"release", "dossier"}


def check_target(folder: Path) -> Path:
    """The folder to write to. Raises InputError if it contains anything but an earlier run, or cannot be written."""
    if folder.exists() and (
        not folder.is_dir()
        or {p.name for p in folder.iterdir()} - PARTS
        or not all((p / "evidence.json").is_file() for p in folder.iterdir())
    ):
        raise InputError(
            Problem(str(folder), "exists and is not an earlier run's output", "name another folder with --out")
        )
    if os.path.ismount(folder):  # it cannot be replaced by one rename
        raise InputError(Problem(str(folder), "is a mount point", "name a folder inside it with --out"))
    _writable(folder.absolute().parent)
    return folder


def check_model_target(folder: Path) -> None:
    """Raises InputError if a model cannot be written to `folder` or would overwrite something else."""
    if folder.exists() and (
        not folder.is_dir() or {p.name for p in folder.iterdir()} - {"model.json", "model.safetensors"}
    ):
        raise InputError(Problem(str(folder), "exists and is not a model", "name another folder with --out"))
    _writable(folder.absolute().parent)


def check_table_target(path: Path) -> None:
    """Raises InputError if no table can be written to `path`."""
    if path.is_dir():
        raise InputError(Problem(str(path), "is a folder", "name a file with --out"))
    _writable(path.absolute().parent)


def write_table(layout: Layout, rows: Table, path: Path) -> None:
    """Writes a sample, whole or block by block, as CSV or (by the suffix of `path`) Parquet: all of it, or nothing.

    Raises InputError if it cannot.
    """
    check_table_target(path)
    stage = path.with_name(f".{path.name}.part")
    try:
        (layout.write_parquet if path.suffix == ".parquet" else layout.write_csv)(rows, stage)
        stage.replace(path)
    finally:
        stage.unlink(missing_ok=True)


def _writable(parent: Path) -> None:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise InputError(
            Problem(str(parent), f"cannot be written: {error.strerror}", "name another folder with --out")
        ) from None


def publish(
    folder: Path, evidence: Evidence, synthesizer: Synthesizer, synthetic: pd.DataFrame, ledger: list[dict[str, Any]]
) -> Evidence:
    """Writes release/ and dossier/, or the dossier alone if the verdict is do_not_release: all of it, or nothing."""
    folder = folder.resolve()  # so that `.` has a name and a parent, too
    stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        if evidence.verdict != "do_not_release":
            evidence = _write_release(stage / "release", evidence, synthesizer, synthetic)
        _write_dossier(stage / "dossier", evidence, synthesizer, ledger)
        stage.chmod(0o755)
        _swap(stage, folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return evidence


def _write_release(folder: Path, evidence: Evidence, synthesizer: Synthesizer, synthetic: pd.DataFrame) -> Evidence:
    folder.mkdir()
    writers = {"csv": synthesizer.layout.write_csv, "parquet": synthesizer.layout.write_parquet}
    for kind in evidence.report.formats:
        writers[kind](synthetic, folder / f"synthetic.{kind}")
    first = folder / f"synthetic.{evidence.report.formats[0]}"
    provenance = evidence.provenance.model_copy(update={"synthetic_sha256": sha256(first)})
    evidence = evidence.model_copy(update={"provenance": provenance})
    public = evidence.public()
    public.write(folder / "evidence.json")
    report(public, folder / "report.html")
    files = {p.name: {"sha256": sha256(p), "bytes": p.stat().st_size} for p in sorted(folder.iterdir())}
    manifest = {
        "dataset": evidence.dataset.id, "verdict": evidence.verdict, "epsilon": evidence.privacy.epsilon,
        "delta": evidence.privacy.delta, "unit": evidence.privacy.unit, "rows": len(synthetic),
        "privsynth": evidence.provenance.privsynth, "policy_sha256": evidence.provenance.policy_sha256,
        "ledger_head": evidence.provenance.ledger_head, "created": evidence.provenance.created, "files": files,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return evidence


def _write_dossier(folder: Path, evidence: Evidence, synthesizer: Synthesizer, ledger: list[dict[str, Any]]) -> None:
    folder.mkdir(mode=0o700)
    internal = evidence.internal()
    internal.write(folder / "evidence.json")
    report(internal, folder / "report.html")
    (folder / "ledger.json").write_text(json.dumps(ledger, indent=1) + "\n", encoding="utf-8")
    synthesizer.save(folder / "model")
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


def _swap(stage: Path, folder: Path) -> None:
    """stage -> folder in one rename; an earlier run's output is deleted only once the new one is in place."""
    if not folder.exists():
        os.rename(stage, folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.absolute().parent))
    os.rename(folder, old)
    try:
        os.rename(stage, folder)
    except OSError:
        os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(folder: str | Path) -> list[str]:
    """What differs between a release folder and its manifest; empty if nothing. Raises InputError without a manifest."""
    folder = Path(folder)
    folder = folder / "release" if (folder / "release" / "manifest.json").is_file() else folder
    try:
        files = from_json((folder / "manifest.json").read_bytes())[
            "files"
        ]  # the json module raises RecursionError on deep nesting
        wanted = {str(name): str(facts["sha256"]) for name, facts in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        rule = f"has no readable manifest.json ({type(error).__name__})"
        raise InputError(Problem(str(folder), rule, "name the release folder of a run")) from None
    there = {p.name for p in folder.iterdir()} - {"manifest.json"}
    wrong = [f"{printable(name)} is missing" for name in sorted(set(wanted) - there)]
    wrong += [f"{printable(name)} is not in the manifest" for name in sorted(there - set(wanted))]
    same = {n for n in there & set(wanted) if (folder / n).is_file() and sha256(folder / n) == wanted[n]}
    return wrong + [f"{printable(n)} has been changed" for n in sorted((there & set(wanted)) - same)]
