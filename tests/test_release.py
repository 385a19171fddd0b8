"""What leaves and what stays: in one step or not at all, with the right modes, and checked against its manifest."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privsynth import evidence as e
from privsynth import release
from privsynth.errors import InputError
from privsynth.policy import Policy
from privsynth.sampling.output import Layout
from privsynth.table.reader import read_table

ROWS = pd.DataFrame(
    {
        "sex": ["F", "M"],
        "ward": ["east", "west"],
        "age": [3.0, 9.0],
        "weight": [70.5, 7.0],
        "admitted": [18262.0, 18263.0],
        "discharged": [18262.0, 18263.0],
        "ill": ["yes", "no"],
    }
)


class Trained:
    """Stands in for a synthesizer: a layout, and something to save."""

    def __init__(self, layout: Layout):
        self.layout = layout

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "model.json").write_text("{}")


@pytest.fixture
def trained(clinic_text: str, clinic_table: Callable[..., pd.DataFrame]) -> Trained:
    text = clinic_text.replace('  missing: ["?"]\n', "")
    return Trained(Layout.of(Policy.from_text(text), read_table(clinic_table())))


def evidence(verdict: str = "release", created: str = "2026-01-01T00:00:00+00:00") -> e.Evidence:
    risk = e.Risk(
        max_tpr={"0.01": 0.1, "0.001": 0.02, "0.1": 0.4},
        advantage=0.4,
        attribute_inference={"0.1": 0.3},
        roc=[(0.0, 0.0), (1.0, 1.0)],
    )
    finding = e.Finding(
        attack="membership: closest record",
        family="membership",
        statistic="TPR at 1 % FPR",
        value=0.0123,
        low=0.0,
        high=0.02,
        baseline=0.01,
        threshold=0.05,
        verdict="pass",
        power=0.9,
    )
    return e.Evidence(
        verdict=verdict,
        dataset=e.Dataset(id="clinic", rows=300),
        trainer=e.TrainerFacts(name="marginals"),
        privacy=e.Privacy(
            epsilon=3.0, delta=1e-6, unit="row", max_rows=1, composition="added", mechanisms=[], risk=risk
        ),
        audit=e.Audit(findings=[finding]),
        utility=e.Utility(tvd1=0.04321),
        handling=e.Handling(rows_read=314159),
        report=e.ReportMeta(formats=["csv", "parquet"], rows_released=2),
        seconds={"training": 1.0},
        provenance=e.Provenance(
            privsynth="0", python="3", policy_sha256="ab" * 32, created=created, ledger_head="cd" * 32
        ),
    )


def publish(
    folder: Path, trained: Any, verdict: str = "release", created: str = "2026-01-01T00:00:00+00:00"
) -> e.Evidence:
    synthetic = trained.layout.finish(ROWS, np.random.default_rng(0))
    return release.publish(
        release.check_target(folder), evidence(verdict, created), trained, synthetic, [{"sequence": 1}]
    )


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


DOSSIER = ["dossier/evidence.json", "dossier/ledger.json", "dossier/model/model.json", "dossier/report.html"]
RELEASE = [
    f"release/{name}"
    for name in ("evidence.json", "manifest.json", "report.html", "synthetic.csv", "synthetic.parquet")
]


def test_what_is_written(tmp_path: Path, trained: Trained) -> None:
    publish(tmp_path / "out", trained)
    assert files(tmp_path) == sorted(f"out/{name}" for name in DOSSIER + RELEASE), "and no staging folder"
    manifest = json.loads((tmp_path / "out/release/manifest.json").read_text())
    assert (manifest["dataset"], manifest["verdict"], manifest["epsilon"], manifest["rows"]) == (
        "clinic",
        "release",
        3.0,
        2,
    )
    assert manifest["policy_sha256"] == "ab" * 32 and manifest["ledger_head"] == "cd" * 32
    assert set(manifest["files"]) == {name.split("/")[1] for name in RELEASE} - {"manifest.json"}
    for name, facts in manifest["files"].items():
        content = (tmp_path / "out/release" / name).read_bytes()
        assert facts == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert json.loads((tmp_path / "out/dossier/ledger.json").read_text()) == [{"sequence": 1}]


def test_two_faces(tmp_path: Path, trained: Trained) -> None:
    publish(tmp_path / "out", trained)
    public, internal = (e.Evidence.read(tmp_path / f"out/{part}/evidence.json") for part in ("release", "dossier"))
    assert (public.visibility, internal.visibility) == ("public", "internal")
    assert public.handling is None and public.utility.tvd1 is None and public.audit.findings[0].value is None
    assert internal.handling is not None and internal.handling.rows_read == 314159 and internal.utility.tvd1 == 0.04321
    data = (tmp_path / "out/release/synthetic.csv").read_bytes()
    assert (
        public.provenance.synthetic_sha256 == internal.provenance.synthetic_sha256 == hashlib.sha256(data).hexdigest()
    )
    for path in (tmp_path / "out/release").iterdir():
        assert not any(secret in path.read_bytes() for secret in (b"314159", b"0.04321", b"0.0123")), path.name


def test_modes(tmp_path: Path, trained: Trained) -> None:
    publish(tmp_path / "out", trained)
    for path in [tmp_path / "out/dossier", *(tmp_path / "out/dossier").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755
    assert all(stat.S_IMODE(p.stat().st_mode) & 0o444 == 0o444 for p in (tmp_path / "out/release").iterdir())


def test_refused_leaves_the_dossier_alone(tmp_path: Path, trained: Trained) -> None:
    found = publish(tmp_path / "out", trained, "do_not_release")
    assert files(tmp_path / "out") == DOSSIER and found.provenance.synthetic_sha256 is None


@pytest.mark.parametrize("broken", ["report", "_write_dossier", "_swap", "sha256"])
def test_a_fault_in_the_middle_leaves_nothing(
    tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(release, broken, fail)
    with pytest.raises(OSError, match="disk full"):
        publish(tmp_path / "out", trained)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broken", ["report", "_write_dossier", "os.rename"])
def test_a_fault_in_the_middle_leaves_the_earlier_run(
    tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    publish(tmp_path / "out", trained)
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}
    rename = os.rename

    def fail(source: Any, target: Any = None, *_: Any) -> None:
        if broken == "os.rename" and not (Path(target).name == "out" and "-old-" not in str(source)):
            return rename(source, target)
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(release if "." not in broken else os, broken.split(".")[-1], fail)
        with pytest.raises(OSError, match="disk full"):
            publish(tmp_path / "out", trained, created="2027-01-01T00:00:00+00:00")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_earlier_run_is_replaced(tmp_path: Path, trained: Trained) -> None:
    publish(tmp_path / "out", trained)
    publish(tmp_path / "out", trained, "do_not_release", created="2027-01-01T00:00:00+00:00")
    assert files(tmp_path) == [f"out/{name}" for name in DOSSIER], "what may no longer leave is gone"
    assert e.Evidence.read(tmp_path / "out/dossier/evidence.json").provenance.created.startswith("2027")


def test_the_folder_one_stands_in(tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    publish(Path("."), trained)
    assert files(tmp_path / "here") == sorted(DOSSIER + RELEASE) and [p.name for p in tmp_path.iterdir()] == ["here"]


def foreign(folder: Path, what: str) -> None:
    if what == "a file":
        folder.write_text("mine")
    elif what == "other files":
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    elif what == "beside a run":
        (folder / "release").mkdir(parents=True)
        (folder / "release/evidence.json").write_text("{}")
        (folder / "notes.txt").write_text("mine")
    else:  # a folder of that name which no run has made
        (folder / "release").mkdir(parents=True)
        (folder / "release/notes.txt").write_text("mine")


@pytest.mark.parametrize("what", ["a file", "other files", "beside a run", "another release"])
def test_a_foreign_folder_is_refused_before_anything_is_spent(
    tmp_path: Path,
    what: str,
    clinic_policy: Callable[..., Path],
    clinic_table: Callable[..., pd.DataFrame],
    command: Callable[..., Any],
) -> None:
    foreign(tmp_path / "out", what)
    clinic_table().to_csv(tmp_path / "t.csv", index=False)
    said = command("run", clinic_policy(), "--data", tmp_path / "t.csv", "--out", tmp_path / "out")
    assert said.code == 2 and "is not an earlier run's output" in said.err and "--out" in said.err
    notes = tmp_path / "out" if what == "a file" else next((tmp_path / "out").rglob("notes.txt"))
    assert notes.read_text() == "mine"
    assert "no run has used it yet" in command("ledger", "show").err


def test_targets_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file/out", Path("/proc/out")):
        with pytest.raises(InputError, match="cannot be written"):
            release.check_target(target)
    with pytest.raises(InputError, match=r"a mount point|not an earlier run"):
        release.check_target(Path("/proc"))
    release.check_target(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    release.check_target(tmp_path / "empty")


def test_model_targets(tmp_path: Path) -> None:
    foreign(tmp_path / "out", "other files")
    with pytest.raises(InputError, match="is not a model"):
        release.check_model_target(tmp_path / "out")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.json").write_text("{}")
    release.check_model_target(tmp_path / "model")


def test_write_table(tmp_path: Path, trained: Trained) -> None:
    rows = trained.layout.finish(ROWS, np.random.default_rng(0))
    for name in ("s.csv", "s.parquet", "s.txt"):
        release.write_table(trained.layout, rows, tmp_path / name)
    assert (tmp_path / "s.txt").read_bytes() == (tmp_path / "s.csv").read_bytes()
    assert pd.read_parquet(tmp_path / "s.parquet")["age"].tolist() == [3, 9]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.csv", "s.parquet", "s.txt"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        release.write_table(trained.layout, rows, tmp_path / "folder")


class TestVerify:
    @pytest.fixture
    def out(self, tmp_path: Path, trained: Trained) -> Path:
        publish(tmp_path / "out", trained)
        return tmp_path / "out" / "release"

    def test_whole(self, out: Path, command: Callable[..., Any]) -> None:
        assert release.verify(out) == [] == release.verify(out.parent)
        said = command("verify", out)
        assert said.code == 0 and said.out == "Every file matches the manifest.\n"

    def test_changed_missing_and_extra(self, out: Path, command: Callable[..., Any]) -> None:
        content = (out / "synthetic.csv").read_bytes()
        (out / "synthetic.csv").write_bytes(content[:-2] + b"X\n")
        (out / "report.html").unlink()
        (out / "raw.csv").write_text("x")
        assert release.verify(out) == [
            "report.html is missing",
            "raw.csv is not in the manifest",
            "synthetic.csv has been changed",
        ]
        said = command("verify", out)
        assert said.code == 3 and "This release has been changed." in said.out and "report.html is missing" in said.out

    def test_one_byte_of_any_file(self, out: Path) -> None:
        for path in sorted(out.iterdir()):
            if path.name != "manifest.json":
                content = path.read_bytes()
                path.write_bytes(content + b" ")
                assert release.verify(out) == [f"{path.name} has been changed"]
                path.write_bytes(content)

    @pytest.mark.parametrize(
        "content", [None, "", "{}", "[]", '{"files": 3}', '{"files": {"a": {}}}', '{"files": {"a": 1}}', "\udcff"]
    )
    def test_no_readable_manifest(self, out: Path, command: Callable[..., Any], content: str | None) -> None:
        (out / "manifest.json").unlink()
        if content is not None:
            (out / "manifest.json").write_bytes(content.encode("utf-8", "surrogateescape"))
        said = command("verify", out)
        assert said.code == 2 and "no readable manifest.json" in said.err

    def test_a_folder_in_place_of_a_file(self, out: Path) -> None:
        (out / "report.html").unlink()
        (out / "report.html").mkdir()
        assert release.verify(out) == ["report.html has been changed"]
