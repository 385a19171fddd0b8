"""Most tests of formats read in this process, which takes a hundredth of the time."""

from __future__ import annotations

from importlib import import_module

import pytest

from privsynth.table.formats import apart


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("header", "read"):
        monkeypatch.setattr(
            apart,
            name,
            lambda module, path, dataset, name=name: getattr(import_module(f"privsynth.table.formats.{module}"), name)(
                path, dataset
            ),
        )
