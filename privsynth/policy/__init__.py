"""The policy language: what the columns are, whom to protect and how much may leak. Imports no torch."""

from privsynth.policy.column import Column
from privsynth.policy.load import Policy
from privsynth.policy.model import LANGUAGE_VERSION, PolicyModel

__all__ = ["LANGUAGE_VERSION", "Column", "Policy", "PolicyModel"]
