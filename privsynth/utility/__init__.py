"""What the synthetic table is good for: fidelity, usefulness for a model, and both for subgroups."""

from privsynth.utility.measure import measure

__all__ = ["measure"]
