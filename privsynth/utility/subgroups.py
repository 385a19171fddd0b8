"""Fidelity inside subgroups: a table can be right on the whole and wrong for the few."""

from __future__ import annotations

import numpy as np

from privsynth.evidence import GroupUtility
from privsynth.utility.cells import Grid, tvd

FEWEST_ROWS = 50
MOST_GROUPS = 12
MOST_COLUMNS = 2


def subgroups(
    synthetic: np.ndarray, real: np.ndarray, grid: Grid, labels: dict[str, list[str]]
) -> list[GroupUtility]:
    """tvd1 over the other columns within each level of up to two columns; the largest groups, at most twelve.

    Args:
        synthetic, real: int64[d, n] cells of `grid`.
        grid: its columns.
        labels: columns to part by -> names of their cells. Only cells with at least 50 real rows are reported; `tvd1`
            is None for a group that the synthetic table does not have at all.
    """
    found = []
    for name, texts in list(labels.items())[:MOST_COLUMNS]:
        column = grid.names.index(name)
        rest = [i for i in range(len(grid.names)) if i != column]
        counts = np.bincount(real[column], minlength=grid.sizes[column])
        for cell in np.argsort(-counts, kind="stable")[: MOST_GROUPS // min(len(labels), MOST_COLUMNS)]:
            if counts[cell] < FEWEST_ROWS or not rest:
                continue
            one, two = (table[rest][:, table[column] == cell] for table in (synthetic, real))
            distance = tvd(one, two, [grid.sizes[i] for i in rest], 1)
            found.append(GroupUtility(group=f"{name} = {texts[cell]}", rows_real=int(counts[cell]), tvd1=distance))
    return found
