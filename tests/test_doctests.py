"""Every example in a docstring runs, in the package and in the tests: none is there for show."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
THIS = Path(__file__).resolve()


def examples_in(path: Path) -> int:
    """Examples that a file shows, wherever they stand."""
    return len(re.findall(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE))


PLACES = [path for room in ("privsynth", "tests") for path in sorted((ROOT / room).rglob("*.py")) if path != THIS]
SHOWN = {str(path.relative_to(ROOT)): examples_in(path) for path in PLACES if examples_in(path)}


def module_at(place: str) -> ModuleType:
    """The module in a file: by its name in the package, by its path elsewhere."""
    name = place.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    if name.startswith("privsynth"):
        return import_module(name)
    spec = spec_from_file_location(name.replace(".", "_"), ROOT / place)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("place", SHOWN)
def test_examples(place: str) -> None:
    """All that a file shows are found, run, and right: one that doctest does not reach (in a function inside of a
    function, or a comment) counts as not run."""
    result = doctest.testmod(module_at(place))
    assert result.failed == 0
    assert result.attempted == SHOWN[place], f"{place} shows {SHOWN[place]} examples, {result.attempted} ran"


def test_there_are_examples() -> None:
    assert len(SHOWN) > 10 and sum(SHOWN.values()) > 30
