"""Names of the hidden columns of typed rows."""

from __future__ import annotations


def state_of(name: str) -> str:
    """The column of typed rows that says of each cell of `name` whether it holds a value, a mark or neither (`raw.Numbers`)."""
    return f"__state of {name}__"


def case_of(name: str) -> str:
    """The column of typed rows that says of each cell how its names of months are written: a place in `LETTER_CASES`, or -1."""
    return f"__letter case of {name}__"
