"""What the ledger knows of a table's content: keyed marks. `table.fingerprint` makes them and gives the reasons for the rule."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

MIN_BITS = 32.0  # information in the columns that agree, from which on two tables count as data of the same people


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of one table's content. All marks are 64 hexadecimal digits.

    whole: of all columns. rows: of the modelled rows; None where they hold too little information. columns: the mark of each
    modelled column and its bits; columns of the same cells share one. former: of the whole as version 0.1.0 made it, if asked for.
    """

    whole: str
    rows: str | None = None
    columns: dict[str, float] = field(default_factory=dict)
    former: str | None = None

    @property
    def marks(self) -> list[str]:
        """All marks by which a part of the content is recognised."""
        return sorted({*self.columns, *([self.rows] if self.rows else [])})

    def likeness(self, marks: Collection[str]) -> str | None:
        """Why a table that shares these marks counts as the same content: "modelled columns" or "N columns"; None: it does not.

        >>> known = Fingerprint("w", "r", {"age": 40.0, "ward": 30.0, "sex": 3.0})
        >>> known.likeness({"r"}), known.likeness({"age", "ward", "sex"}), known.likeness({"age", "ward"})
        ('modelled columns', '3 columns', None)
        """
        if self.rows in marks:
            return "modelled columns"
        bits = sorted(bits for mark, bits in self.columns.items() if mark in marks)
        return f"{len(bits)} columns" if sum(bits[:-1]) >= MIN_BITS else None
