"""Runs a test of this project inside another one, on sound code or with one defect patched in."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.internal.conjecture.engine import ConjectureRunner

import privsynth

ROOT = Path(__file__).resolve().parents[2]
QUIET = (
    "-q",
    "--no-header",
    "--tb=short",
    "--disable-warnings",
    f"--rootdir={ROOT}",
    "-c",
    str(ROOT / "pyproject.toml"),
)
WITHOUT = ("cacheprovider", "faulthandler", "xdist")  # the outer run has them, and keeps them

Mutant = Callable[[pytest.MonkeyPatch], None]


@dataclass
class Ran:
    """What happened to the tests of a nested run. failed: by test, what its body raised. broken: all else that went
    wrong, in fixtures or while collecting. statistical: tests that say that they may fail by chance."""

    passed: list[str] = field(default_factory=list)
    failed: dict[str, pytest.ExceptionInfo[BaseException]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    statistical: list[str] = field(default_factory=list)


class _Watch:
    """A plugin of the nested run: patches the defect in once the tests have been collected, and notes what they do."""

    def __init__(self, ran: Ran, patch: pytest.MonkeyPatch, mutant: Mutant | None):
        self.ran, self.patch, self.mutant = ran, patch, mutant

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        # not earlier: a module that is imported while the defect is there would keep it
        for module in pkgutil.walk_packages(privsynth.__path__, "privsynth."):
            importlib.import_module(module.name)
        _first_failure_is_enough(self.patch)
        if self.mutant is not None:
            try:
                self.mutant(self.patch)
            except Exception as error:
                self.ran.broken.append(f"the mutant itself: {error!r}")
                raise
        self.ran.statistical += [item.nodeid for item in session.items if item.get_closest_marker("statistical")]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.ran.broken.append(f"{report.nodeid}: {report.longrepr}")

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
        if call.excinfo is None:
            if call.when == "call":
                self.ran.passed.append(item.nodeid)
        elif call.when == "call":
            self.ran.failed[item.nodeid] = call.excinfo
        else:
            self.ran.broken.append(f"{item.nodeid}, {call.when}: {call.excinfo.exconly()}")


def _first_failure_is_enough(patch: pytest.MonkeyPatch) -> None:
    """Hypothesis ends at the first failure: it does not shrink it, which can take minutes, nor remember it."""
    honest = ConjectureRunner.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        honest(self, *args, **kwargs)
        phases = (Phase.explicit, Phase.generate)
        self.settings = settings(self.settings, phases=phases, report_multiple_bugs=False, database=None)

    patch.setattr(ConjectureRunner, "__init__", init)


@contextmanager
def _as_from_a_shell() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_CURRENT_TEST"):
            patch.delenv(name, raising=False)
        yield patch


def run_test(node: str, mutant: Mutant | None, folder: Path) -> Ran:
    """Runs one test, or a file of tests, in this process. folder: an empty place for its temporary files."""
    ran = Ran()
    with _as_from_a_shell() as patch:
        without = [argument for plugin in WITHOUT for argument in ("-p", f"no:{plugin}")]
        pytest.main([*QUIET, *without, f"--basetemp={folder}", f"{ROOT}/{node}"], plugins=[_Watch(ran, patch, mutant)])
    return ran


def causes(error: BaseException) -> list[BaseException]:
    """An exception, or all that a group of them holds."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for inner in error.exceptions for cause in causes(inner)]
    return [error]


def place(error: BaseException) -> str:
    """The file whose line raised an exception."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename if trace is not None else ""
