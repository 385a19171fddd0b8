"""Utility of the synthetic table: fidelity overall and within subgroups, and usefulness for training a model."""

from privsynth.utility.measure import measure

__all__ = ["measure"]
