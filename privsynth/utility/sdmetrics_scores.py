"""Column Shapes and Column Pair Trends as SDMetrics defines them, for comparison with other tools."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import pandas as pd

from privsynth.utility.cells import is_category

MAX_ROWS = 10_000
MOST_DAYS = 100_000  # from 1970 that pandas' dates reach, in both directions
_EPOCH = pd.Timestamp("1970-01-01")


def quality(
    synthetic: pd.DataFrame, real: pd.DataFrame, kinds: dict[str, str], rng: np.random.Generator
) -> tuple[float | None, float | None]:
    """(Column Shapes, Column Pair Trends), 0..1, on at most 10,000 rows of each table; None where undefined.

    `kinds`: as in the policy; "date" columns are days since 1970. Columns without any value in one of the tables are
    left out, since SDMetrics has no score for them.
    """
    names = [n for n in real.columns if real[n].notna().any() and synthetic[n].notna().any()]
    if not names:
        return None, None
    far = {n for n in names if kinds.get(n) == "date" and max(t[n].abs().max() for t in (real, synthetic)) > MOST_DAYS}
    kinds = {name: kind for name, kind in kinds.items() if name not in far}  # these as numbers: the scores are the same
    tables = []
    for frame in (real, synthetic):
        rows = np.sort(rng.permutation(len(frame))[:MAX_ROWS])
        tables.append(_plain(frame[names].iloc[rows].reset_index(drop=True), kinds))
    if any(table[name].isna().all() for table in tables for name in names):
        names = [n for n in names if not any(table[n].isna().all() for table in tables)]
        tables = [table[names] for table in tables]
    scores = _report(tables[0], tables[1], _metadata(tables[0], kinds))
    return scores.get("Column Shapes"), scores.get("Column Pair Trends")


def _plain(frame: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    """Dates as dates and categories as text: what SDMetrics reads."""
    columns = {}
    for name in frame.columns:
        column = frame[name]
        if is_category(column):
            columns[name] = column.astype(object).where(column.notna(), None).map(str, na_action="ignore")
        elif kinds.get(name) == "date":
            columns[name] = _EPOCH + pd.to_timedelta(column, unit="D")
        else:
            columns[name] = column
    return pd.DataFrame(columns)


def _metadata(frame: pd.DataFrame, kinds: dict[str, str]) -> dict[str, Any]:
    from sdv.metadata import Metadata

    def sdtype(name: str) -> str:
        if frame[name].dtype == object:
            return "categorical"
        return "datetime" if kinds.get(name) == "date" else "numerical"

    columns = {name: {"sdtype": sdtype(name)} for name in frame.columns}
    described = Metadata.load_from_dict({"tables": {"table": {"columns": columns}}}).to_dict()
    table: dict[str, Any] = described["tables"]["table"]
    return table


def _report(real: pd.DataFrame, synthetic: pd.DataFrame, metadata: dict[str, Any]) -> dict[str, float]:
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from sdmetrics.reports.single_table import QualityReport

            report = QualityReport()
            # Newer versions leave out pairs that are weakly associated in the real table, and have no score where all
            # pairs are; a table that invents an association should score lower, so all pairs count, as in older versions.
            report.real_correlation_threshold = report.real_association_threshold = 0
            report.generate(real, synthetic, metadata, verbose=False)
            table = report.get_properties()
    finally:
        logging.disable(level)
    scores = dict(zip(table["Property"], table["Score"], strict=True))
    return {name: float(score) for name, score in scores.items() if np.isfinite(score)}
