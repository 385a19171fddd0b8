"""What the README shows must run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from privsynth.cli import app
from privsynth.simulate import finance

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = {"steps": 5, "pretrain_steps": 20, "sweeps": 6, "hidden": 32}


@pytest.mark.slow
def test_the_python_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippet itself, on fewer people and with a smaller network than its policy asks for."""
    monkeypatch.chdir(tmp_path)
    policy = yaml.safe_load((ROOT / "policies" / "demo-finance.yaml").read_text(encoding="utf-8"))
    policy["trainer"]["options"] = SMALL
    policy["dataset"]["rows"] = 1500
    Path("policies").mkdir()
    Path("policies/demo-finance.yaml").write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")
    finance(1500, 1).to_csv("loans.csv", index=False, date_format="%Y-%m-%d")
    finance(500, 2).to_csv("others.csv", index=False, date_format="%Y-%m-%d")
    snippet = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert snippet is not None
    names: dict[str, object] = {}
    exec(compile(snippet[1], "README.md", "exec"), names)
    assert len(names["rows"]) == 1000
    assert names["found"].verdict in ("pass", "fail")
    assert Path("report.html").stat().st_size > 10_000 and Path("out/dossier/evidence.json").exists()


def test_every_command_is_in_the_readme() -> None:
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert re.search(rf"`{name}[ `]", README), f"`{name}` is missing in the README's table"


def test_files_that_the_readme_names_are_there() -> None:
    for place in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / place).exists(), place
