"""What a user can do wrong, said once: the place, the rule broken, what was expected, how to mend it (the hint).

No message may hold a value of a private row: a message goes to logs, tickets and e-mails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One broken rule.

    place: where, e.g. "policies/bank.yaml:12: columns.age.bounds" or "column 'age'".
    rule: what is wrong, without any private value.
    hint: what to do about it.
    """

    place: str
    rule: str
    hint: str = ""

    def __str__(self) -> str:
        return printable(f"{self.place}: {self.rule}" + (f"\n    hint: {self.hint}" if self.hint else ""))


def printable(text: str) -> str:
    """Names in a message come from files: control sequences in them would steer the terminal or log that shows it.

    >>> printable("a key \x1b[2J")
    'a key \\\\x1b[2J'
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


class PrivsynthError(Exception):
    """Base of all that a person is told without a traceback; `exit_code` is the command's."""

    exit_code = 1

    def __init__(self, problems: Problem | Sequence[Problem]):
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class InputError(PrivsynthError):
    """The policy, the table or an argument is wrong. Nothing has been written."""

    exit_code = 2


class PolicyError(InputError):
    """The policy itself is wrong; all of its problems are in `problems`."""


class Refused(PrivsynthError):
    """Asked for properly, but a rule forbids it: budget, threshold, release rule."""

    exit_code = 3
