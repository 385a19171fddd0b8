"""Fidelity within subgroups: a table can be accurate on the whole and inaccurate for a minority."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from privsynth.evidence import GroupUtility
from privsynth.utility.cells import Grid, is_category, tvd
from privsynth.utility.labels import day, short

MIN_ROWS = 50
MAX_GROUPS = 12
MAX_COLUMNS = 2
_PARTS = 4  # a number or date is split at its quartiles


def subgroups(
    synthetic: pd.DataFrame, real: pd.DataFrame, groups: list[str], kinds: dict[str, str]
) -> list[GroupUtility]:
    """tvd1 over the other columns within each level of the first two of `groups`: the largest levels, twelve in all.

    Only levels with at least 50 real rows are reported. `tvd1` is None for a level that the synthetic table lacks.
    `kinds`: "date" columns are labelled as dates.
    """
    chosen = [name for name in groups if name in real.columns][:MAX_COLUMNS]
    grid = Grid.fit(real)
    made, truth = grid.encode(synthetic), grid.encode(real)
    found = []
    for name in chosen:
        rest = [i for i, other in enumerate(grid.names) if other != name]
        if not rest:
            continue
        parts = Grid.fit(real[[name]], _PARTS)
        here, there = parts.encode(synthetic[[name]])[0], parts.encode(real[[name]])[0]
        texts = _texts(real[name], parts.edges[0], kinds.get(name, ""))
        counts = np.bincount(there, minlength=len(texts))
        largest = np.argsort(-counts, kind="stable")[: MAX_GROUPS // len(chosen)]
        for level in np.sort(largest[counts[largest] >= MIN_ROWS]):
            inside = (made[rest][:, here == level], truth[rest][:, there == level])
            distance = tvd(*inside, [grid.sizes[i] for i in rest], 1)
            found.append(GroupUtility(group=f"{name} = {texts[level]}", rows_real=int(counts[level]), tvd1=distance))
    return found


def _texts(column: pd.Series, edges: np.ndarray | None, kind: str) -> list[str]:
    if is_category(column):
        return [*(str(value) for value in column.cat.categories), "missing"]
    if edges is None or len(edges) == 0:
        return ["any value", "missing"]
    write = day if kind == "date" else short
    inner = [f"{write(a)} to {write(b)}" for a, b in itertools.pairwise(edges)]
    return [f"below {write(edges[0])}", *inner, f"{write(edges[-1])} or more", "missing"]
