"""Risk from quasi-identifiers and copies. Internal only: exact figures of private rows that the budget does not cover.

With f the size of a person's equivalence class (equal quasi-identifiers) in the training data, and F in all real data
available: prosecutor risk 1 / min f, marketer risk mean 1 / f, journalist risk 1 / min F over the classes that occur in
the release (El Emam and Dankar 2008; EMA policy 0070 allows 0.09). Replicated uniques and DiSCO: Raab, Nowok, Dibben
(arXiv 2406.16826). Cells of 1 to 10: the suppression rule of CMS.

Where a figure has a baseline, that is the same figure for as many people who were not in the training data.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from privsynth.audit.coding import SCALE
from privsynth.audit.inference import secrets
from privsynth.audit.kernels import nearest
from privsynth.audit.scene import Scene, one_row_each
from privsynth.audit.tables import AuditTables
from privsynth.evidence import IdentifierRisk

NEAR = 0.05  # a near copy differs by at most this share of the largest possible distance
SMALL_CELL = 10


def identifier_risk(tables: AuditTables, scene: Scene, rng: np.random.Generator) -> list[IdentifierRisk]:
    """All figures for which the roles are declared; only those on copies if no column is a quasi-identifier."""
    members, non_members = (
        frame.iloc[one_row_each(np.arange(len(frame)) if units is None else units, rng)]
        for frame, units in ((tables.train, tables.train_units), (tables.holdout, tables.holdout_units))
    )
    found = _copies(tables.synthetic, members, non_members) + _near_copies(scene)
    known = tables.columns_of("quasi_identifier")
    if known and len(members):
        keys = _keys([tables.synthetic, members, non_members], known)
        found = _classes(*keys) + _replicated(*keys) + _disco(tables, scene, members, non_members, keys) + found
    return found


def _keys(frames: list[pd.DataFrame], names: list[str]) -> list[np.ndarray]:
    """An equivalence class number for each row; equal rows of any of the frames share one: int64[n] each."""
    codes = np.zeros(sum(len(frame) for frame in frames), np.int64)
    for name in names:
        values = np.concatenate([_plain(frame[name]) for frame in frames])
        _, fresh = np.unique(values, return_inverse=True)  # NaN equals NaN here
        pair = codes * (fresh.max(initial=0) + 1) + fresh
        _, codes = np.unique(pair, return_inverse=True)
    return np.split(codes, np.cumsum([len(frame) for frame in frames])[:-1])


def _plain(column: pd.Series) -> np.ndarray:
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes: np.ndarray = column.cat.codes.to_numpy().astype(np.float64)
        return codes
    values: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def _classes(synthetic: np.ndarray, members: np.ndarray, non_members: np.ndarray) -> list[IdentifierRisk]:
    count = int(max(x.max(initial=0) for x in (synthetic, members, non_members))) + 1
    size, shown = np.bincount(members, minlength=count), np.bincount(synthetic, minlength=count)
    population = size + np.bincount(non_members, minlength=count)
    matched = population[(shown > 0) & (population > 0)]
    smallest = int(matched.min()) if len(matched) else 0
    cells, real = shown[shown > 0], size[size > 0]
    return [
        IdentifierRisk(
            name="prosecutor risk of the real data",
            value=float(1 / real.min()),
            meaning="Probability of identifying the most exposed person in the training data by the quasi-identifiers if "
            "the real rows were released; 1 means that somebody is unique. It describes what the synthetic table has to "
            "protect, not a failure of that table.",
        ),
        IdentifierRisk(
            name="marketer risk of the real data",
            value=float(len(real) / len(members)),
            meaning="Share of the people in the training data who would be identified correctly if the real rows were "
            "released and everybody were linked by quasi-identifiers.",
        ),
        IdentifierRisk(
            name="sample uniques",
            value=float(np.mean(size[members] == 1)),
            meaning="Share of the people in the training data whose combination of quasi-identifiers nobody else there has.",
        ),
        IdentifierRisk(
            name="journalist risk of the release",
            value=1 / smallest if smallest else 0.0,
            meaning="One divided by the smallest number of real people (training and holdout together) who share the "
            "quasi-identifiers of a synthetic row, over synthetic rows that match somebody. A synthetic row is nobody's "
            "record, so this is an upper bound.",
        ),
        IdentifierRisk(
            name="k-map of the release",
            value=float(smallest),
            meaning="The smallest number of real people who match a synthetic row, over rows that match somebody: the inverse of "
            "journalist risk.",
        ),
        IdentifierRisk(
            name="cells of 1 to 10",
            value=_small(cells),
            baseline=_small(real),
            meaning="Share of the combinations of quasi-identifiers in the synthetic table that occur in 1 to 10 rows "
            "(baseline: in the training data). Cross-tabulations of the release contain such cells, of invented people.",
        ),
    ]


def _small(counts: np.ndarray) -> float:
    """Share of the cells that hold `SMALL_CELL` rows at most."""
    return float(np.mean(counts <= SMALL_CELL)) if len(counts) else 0.0


def _same_number(members: np.ndarray, non_members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first entries of both lists, which are in random order: as many as the shorter list has."""
    count = min(len(members), len(non_members))
    return members[:count], non_members[:count]


def _replicated(synthetic: np.ndarray, members: np.ndarray, non_members: np.ndarray) -> list[IdentifierRisk]:
    members, non_members = _same_number(members, non_members)
    return [
        IdentifierRisk(
            name="replicated uniques",
            value=_reappear(synthetic, members),
            baseline=_reappear(synthetic, non_members),
            meaning="Of the people who are unique on the quasi-identifiers, the share whose combination occurs in the "
            "synthetic table (baseline: the same for as many people who were not in the data). Only the difference from "
            "the baseline is a leak.",
        )
    ]


def _reappear(synthetic: np.ndarray, members: np.ndarray) -> float | None:
    values, counts = np.unique(members, return_counts=True)
    unique = values[counts == 1]
    return float(np.isin(unique, synthetic).mean()) if len(unique) else None


def _disco(
    tables: AuditTables, scene: Scene, members: pd.DataFrame, non_members: pd.DataFrame, keys: list[np.ndarray]
) -> list[IdentifierRisk]:
    found = []
    for index in secrets(scene):
        name = scene.names[index]
        if tables.roles.get(name) == "quasi_identifier":
            continue
        values = _keys([tables.synthetic, members, non_members], [name])
        ranges = pd.Series(values[0]).groupby(keys[0]).agg(["min", "max"])
        single = ranges.loc[ranges["min"] == ranges["max"], "min"]  # classes that show one value only
        rates = []
        for key, value in zip(keys[1:], values[1:], strict=True):
            guess = pd.Series(key).map(single).to_numpy(float)
            rates.append(float(np.mean(guess == value)) if len(key) else None)
        found.append(
            IdentifierRisk(
                name=f"DiSCO: {name}",
                value=rates[0],
                baseline=rates[1],
                meaning=f"Share of the people in the training data whose quasi-identifiers occur in the synthetic table "
                f"with a single value of {name}, which is theirs (baseline: people who were not in the data). Only the "
                "difference from the baseline is a leak.",
            )
        )
    return found


def _copies(synthetic: pd.DataFrame, members: pd.DataFrame, non_members: pd.DataFrame) -> list[IdentifierRisk]:
    made, real, unused = _keys([synthetic, members, non_members], list(synthetic.columns))
    real, unused = _same_number(real, unused)
    return [
        IdentifierRisk(
            name="exact copies",
            value=_share_found(real, made),
            baseline=_share_found(unused, made),
            meaning="Share of the people in the training data whose whole record occurs in the synthetic table (baseline: "
            "people who were not in the data, whose records occur there by coincidence). Common records are no secret; "
            "only the difference from the baseline is a leak.",
        ),
        IdentifierRisk(
            name="synthetic rows that equal a real record",
            value=_share_found(made, real) if len(real) else None,
            baseline=_share_found(made, unused) if len(unused) else None,
            meaning="Share of synthetic rows equal to the record of a person in the training data (baseline: of one of "
            "as many people who were not in the data).",
        ),
    ]


def _share_found(some: np.ndarray, among: np.ndarray) -> float | None:
    """Share of the keys `some` that occur in `among`; None if there are none."""
    return float(np.isin(some, among).mean()) if len(some) else None


def _near_copies(scene: Scene) -> list[IdentifierRisk]:
    most = NEAR * len(scene.names) * SCALE
    rates = [
        float(np.mean(nearest(side.close[: scene.targets], scene.synthetic.close, np.int32(SCALE))[0] <= most))
        if scene.targets
        else None
        for side in (scene.members, scene.non_members)
    ]
    return [
        IdentifierRisk(
            name="near copies",
            value=rates[0],
            baseline=rates[1],
            meaning=f"Share of the people in the training data with a synthetic record at a distance of at most {NEAR:.0%} "
            "of the largest possible distance (baseline: people who were not in the data). Only the difference "
            "from the baseline is a leak.",
        )
    ]
