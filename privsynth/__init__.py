"""privsynth: synthetic tables with a privacy claim that is accounted, enforced, attacked and reported.

    from privsynth import Policy, run, fit, Synthesizer, audit, report

Everything heavy loads when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from privsynth.audit import audit  # before any submodule of that name: the function is what `privsynth.audit` means
from privsynth.report import report

if TYPE_CHECKING:
    from privsynth.pipeline import fit, run
    from privsynth.policy import Policy
    from privsynth.sampling.synthesizer import Synthesizer

    __version__: str

__all__ = ["Policy", "Synthesizer", "audit", "fit", "report", "run"]

_LAZY = {"Policy": "policy", "Synthesizer": "sampling.synthesizer", "fit": "pipeline", "run": "pipeline"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("privsynth")
    if name not in _LAZY:
        raise AttributeError(f"module 'privsynth' has no attribute {name!r}")
    return getattr(import_module(f"privsynth.{_LAZY[name]}"), name)
