"""What the ledger knows of a table's content: keyed marks, made by `table.fingerprint`, where the rule is argued for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

LEAST_BITS = 32.0  # that columns which agree must say before two tables count as the same people's


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of one table's content. All marks are 64 hexadecimal digits.

    whole: of all columns. rows: of the modelled rows; None where they say too little. columns: the mark of each modelled
    column and its bits; columns of the same cells share one. former: of the whole as version 0.1.0 made it, if asked for.
    """

    whole: str
    rows: str | None = None
    columns: dict[str, float] = field(default_factory=dict)
    former: str | None = None

    @property
    def marks(self) -> list[str]:
        """All by which a part of the content is known."""
        return sorted({*self.columns, *([self.rows] if self.rows else [])})

    def likeness(self, marks: Collection[str]) -> str | None:
        """By what a table that shares these marks is the same content: "modelled columns" or "N columns"; None: by nothing.

        >>> known = Fingerprint("w", "r", {"age": 40.0, "ward": 30.0, "sex": 3.0})
        >>> known.likeness({"r"}), known.likeness({"age", "ward", "sex"}), known.likeness({"age", "ward"})
        ('modelled columns', '3 columns', None)
        """
        if self.rows in marks:
            return "modelled columns"
        bits = sorted(bits for mark, bits in self.columns.items() if mark in marks)
        return f"{len(bits)} columns" if sum(bits[:-1]) >= LEAST_BITS else None
