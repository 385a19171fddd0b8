"""What the tests of formats share: tables as text, and how a policy says that a file is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from privsynth.policy.model import DatasetSpec
from privsynth.table.raw import RawTable
from privsynth.table.reader import read_table


def declared(table: str | None = None, query: str | None = None, **csv: Any) -> DatasetSpec:
    """`dataset` of a policy."""
    return DatasetSpec.model_validate({"id": "t", "csv": csv, "table": table, "query": query})


def texts_of(raw: RawTable, missing: tuple[str, ...] = ()) -> dict[str, list[str | None]]:
    """Each cell as text, None without one; an unreadable one is None, too."""
    columns = {name: raw.cells(name, missing).words() for name in raw.columns}
    return {name: [None if pd.isna(word) else word for word in words] for name, words in columns.items()}


def texts(source: str | Path | pd.DataFrame, dataset: DatasetSpec | None = None) -> dict[str, list[str | None]]:
    return texts_of(read_table(source, dataset))
