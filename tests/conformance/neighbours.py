"""Neighbouring tables as hypothesis strategies: ordinary people, and one unit more that does its worst."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from collisions import variants
from hypothesis import strategies as st

# Text as a CSV would hold it: bounds, beyond them, no number at all, unseen, missing.
NASTY_NUMBERS = [
    "0", "30", "-1", "31", "1e308", "-1e308", "1e400", "inf", "-inf", "nan", "NaN", "", "?", "3.5", "0x10", "-0.0", "x",
    "9" * 40, "5e-324",
]  # fmt: skip
NASTY_WORDS = ["a", "b", "z", "unseen", "__other__", "", "?", "nan", "None", "a ", "\u00e9", "'; --", "9" * 40]
NASTY_DATES = ["2015-01-01", "2024-12-31", "1000-01-01", "9999-12-31", "2020-02-30", "", "?", "yesterday"]
NASTY_TRUTHS = ["true", "FALSE", "Yes", "0", "2", "", "?", "maybe", "-9"]
NASTY_MOMENTS = [
    "01-Jan-15 00:00",
    "31-DEC-24 23:59",
    "29-feb-60 12:00",
    "30-Feb-20 12:00",
    "01-Jan-15",
    "never",
    "",
    "?",
]
NASTY_TIMES = ["00:00", "23:59:59.999999", "24:00", "7", "12:00 AM", "", "?"]
NASTY_DURATIONS = ["PT0S", "P9D", "P999999D", "-1 days +23:00:00", "36:00:00", "5", "P1M", "", "?"]
NASTY_SUMS = ["1,234.50", "12,34", "(12.00)", "(1e308)", "<0.6", "90+", "-9", "-9.0", "", "?", "NaN"]
HEADER = ("who", "sex", "ward", "age", "cost", "seen", "smokes", "came", "woke", "took", "paid")
EXTREME = (
    "Z", "nobody else's", "z", "31", "1e308", "9999-12-31", "maybe", "31-DEC-24 23:59", "24:00", "P999999D", "(1e308)",
)  # fmt: skip


@dataclass(frozen=True)
class Neighbours:
    """table lacks the unit that neighbour has; all text, as in a CSV. place: where the unit's rows stand."""

    table: pd.DataFrame
    neighbour: pd.DataFrame


def people(seed: int, units: int, rows_each: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    owner = np.repeat([f"P{i}" for i in range(units)], rng.integers(1, rows_each + 1, units))
    n = len(owner)
    return pd.DataFrame({
        "who": owner,
        "sex": rng.choice(["a", "b"], n),
        "ward": rng.choice(["east", "west", "north", "rare"], n, p=[0.5, 0.3, 0.19, 0.01]),
        "age": rng.integers(0, 31, n).astype(str),
        "cost": rng.lognormal(3, 1, n).round(2).astype(str),
        "seen": (np.datetime64("2015-01-01") + rng.integers(0, 3000, n)).astype(str),
        "smokes": rng.choice(["TRUE", "FALSE", "no", ""], n),
        "came": pd.Series(np.datetime64("2015-01-01T00:00") + rng.integers(0, 4_000_000, n)).dt.strftime("%d-%b-%y %H:%M"),
        "woke": [f"{hour:02}:30" for hour in rng.integers(0, 24, n)],
        "took": [f"PT{hours}H" for hours in rng.integers(0, 90, n)],
        "paid": rng.choice(["1,234.50", "(12.00)", "7", "<0.6", "-9", ""], n),
    })  # fmt: skip


def _nasty(table: pd.DataFrame, name: str) -> Any:
    return st.sampled_from(WORDS_OF[name])


def _somebodys(table: pd.DataFrame, name: str) -> Any:
    return st.sampled_from(list(table[name].unique()[:5]))


def _nearly_somebodys(table: pd.DataFrame, name: str) -> Any:
    """What a comparison that is not exact takes for a value that occurs."""
    values = table[name].unique()[:5]
    return st.sampled_from(sorted({other for value in values for other in variants(value).values()}))


@st.composite
def neighbours(draw: Any, most_rows: int = 1000, rows_each: int = 3) -> Neighbours:
    """60 to 70 ordinary units; one more with 1 to `most_rows` rows, often all alike, placed anywhere in the file."""
    table = people(draw(st.integers(0, 2**32 - 1)), draw(st.integers(60, 70)), rows_each)
    rows = draw(st.sampled_from(sorted({1, 2, 3, 5, min(50, most_rows), most_rows} & set(range(1, most_rows + 1)))))
    kinds = [draw(st.sampled_from([_nasty, _somebodys, _nearly_somebodys]))(table, name) for name in HEADER[1:]]
    distinct = [draw(st.tuples(*kinds)) for _ in range(draw(st.integers(1, min(rows, 4))))]
    # nobody's in the table, spaces or not; a name with a control character is no name, and its rows are left out
    name = draw(st.sampled_from(["Z", "P", "P00", "0", " P ", "\u00e9", "p0", "P0\u200b", "\uff300", "P0\0"]))
    unit = pd.DataFrame([(name, *distinct[i % len(distinct)]) for i in range(rows)], columns=list(HEADER))
    if draw(st.booleans()):  # its twin is in the table already, under another name
        table = pd.concat([table, unit.assign(who="twin")], ignore_index=True)
    mixed = pd.concat([table, unit], ignore_index=True)
    everywhere = np.random.default_rng(draw(st.integers(0, 999))).permutation(len(mixed))
    order = draw(
        st.sampled_from([np.arange(len(mixed)), np.arange(len(mixed))[::-1], everywhere])
    )  # last, first, anywhere
    return Neighbours(table, mixed.iloc[order].reset_index(drop=True))


WORDS_OF = {
    "sex": NASTY_WORDS, "ward": NASTY_WORDS, "age": NASTY_NUMBERS, "cost": NASTY_NUMBERS, "seen": NASTY_DATES,
    "smokes": NASTY_TRUTHS, "came": NASTY_MOMENTS, "woke": NASTY_TIMES, "took": NASTY_DURATIONS, "paid": NASTY_SUMS,
}  # fmt: skip
