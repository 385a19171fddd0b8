"""How often tests repeat what they do at random: in CI a part of what `make thorough` does before a release."""

from __future__ import annotations

import os

FULL = os.environ.get("PRIVSYNTH_EXAMPLES") == "full"


def examples(few: int, full: int) -> int:
    """The number of examples of this run: few, or with PRIVSYNTH_EXAMPLES=full all."""
    return full if FULL else few
