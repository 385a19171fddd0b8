"""The errors that a user can cause. Each names the place, the rule that is broken, and a hint how to correct it.

No message may hold a value of a private row: messages end up in logs, tickets and e-mails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One broken rule.

    place: where, e.g. "policies/bank.yaml:12: columns.age.bounds" or "column 'age'".
    rule: what is wrong, without any private value.
    hint: how to correct it.
    """

    place: str
    rule: str
    hint: str = ""

    def __str__(self) -> str:
        return printable(f"{self.place}: {self.rule}" + (f"\n    hint: {self.hint}" if self.hint else ""))


def printable(text: str) -> str:
    """Escapes control characters. Names in a message come from files, and control sequences in them would reach the terminal.

    >>> printable("a key \x1b[2J")
    'a key \\\\x1b[2J'
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


class PrivsynthError(Exception):
    """Base of all errors that are shown to a user without a traceback. `exit_code` is that of the command."""

    exit_code = 1
    cost = ""  # what it cost of the privacy budget, in words, once that is known

    def __init__(self, problems: Problem | Sequence[Problem]):
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __str__(self) -> str:
        return super().__str__() + (f"\n    cost: {self.cost}" if self.cost else "")


class InputError(PrivsynthError):
    """The policy, the table or an argument is wrong. Nothing has been written."""

    exit_code = 2


class PolicyError(InputError):
    """The policy itself is wrong; all of its problems are in `problems`."""


class Refused(PrivsynthError):
    """The request is well-formed, but a rule forbids it: budget, threshold or release rule."""

    exit_code = 3
