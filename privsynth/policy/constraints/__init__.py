"""What is publicly known about rows: one file for each kind of constraint, and one line here."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from privsynth.policy.constraints.base import Constraint
from privsynth.policy.constraints.combinations import Combinations
from privsynth.policy.constraints.derived import Derived
from privsynth.policy.constraints.inequality import Inequality
from privsynth.policy.constraints.one_hot import OneHot
from privsynth.policy.constraints.together import Together
from privsynth.policy.constraints.unique import Unique
from privsynth.policy.constraints.when import When

KINDS: dict[str, type[Constraint]] = {
    "inequality": Inequality,
    "when": When,
    "combinations": Combinations,
    "derived": Derived,
    "one_hot": OneHot,
    "unique": Unique,
    "together": Together,
}


def _kind(entry: Any) -> str | None:
    """Which kind an entry is: by its own key."""
    keys = [key for key, kind in KINDS.items() if (isinstance(entry, dict) and key in entry) or isinstance(entry, kind)]
    return f"<{keys[0]}>" if len(keys) == 1 else None


AnyConstraint = Annotated[
    Annotated[Inequality, Tag("<inequality>")]
    | Annotated[When, Tag("<when>")]
    | Annotated[Combinations, Tag("<combinations>")]
    | Annotated[Derived, Tag("<derived>")]
    | Annotated[OneHot, Tag("<one_hot>")]
    | Annotated[Unique, Tag("<unique>")]
    | Annotated[Together, Tag("<together>")],
    Discriminator(
        _kind,
        custom_error_type="constraint",
        custom_error_message=f"a constraint has one of the keys {', '.join(f'`{key}`' for key in KINDS)}",
    ),
]

__all__ = [
    "KINDS",
    "AnyConstraint",
    "Combinations",
    "Constraint",
    "Derived",
    "Inequality",
    "OneHot",
    "Together",
    "Unique",
    "When",
]
