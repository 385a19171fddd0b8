"""The oldest dependencies that `make matrix` installs are those that pyproject.toml allows; the tested ones lie within."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WANTED = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]


def pinned(file: str) -> dict[str, Version]:
    lines = [Requirement(line) for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    return {canonicalize_name(line.name): Version(next(iter(line.specifier)).version) for line in lines}


def test_the_oldest_are_the_lower_bounds() -> None:
    oldest = pinned("constraints-oldest.txt")
    bounds = {
        canonicalize_name(wanted.name): Version(one.version)
        for wanted in WANTED
        for one in wanted.specifier
        if one.operator == ">="
    }
    assert oldest.pop("torch") == pinned("constraints.txt")["torch"] >= bounds.pop("torch")
    assert oldest.pop("psycopg-binary") == bounds["psycopg"]
    assert oldest == bounds


def test_the_tested_ones_are_allowed() -> None:
    tested = pinned("constraints.txt")
    everything = WANTED + [Requirement(line) for line in PROJECT["optional-dependencies"]["docs"]]
    for wanted in everything:
        assert wanted.specifier.contains(tested[canonicalize_name(wanted.name)]), wanted
