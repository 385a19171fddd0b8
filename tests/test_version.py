"""One version: that of pyproject.toml, in the package, on the command line and in the changelog."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import privsynth

ROOT = Path(__file__).resolve().parents[1]


def test_package_and_command_line_say_what_is_installed(command: Callable[..., object]) -> None:
    assert privsynth.__version__ == version("privsynth")
    assert command("--version").out == f"privsynth {privsynth.__version__}\n"


def test_the_changelog_has_the_version() -> None:
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    headings = [
        line for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if line.startswith("## ")
    ]
    assert headings[0].split()[1] == stated
