"""Risk on quasi-identifiers and copies. Internal only: exact figures of private rows that no budget paid for.

With f the size of a person's class (equal quasi-identifiers) among the training people and F among all real people at
hand: prosecutor 1 / min f, marketer mean 1 / f, journalist 1 / min F over the classes that the release shows
(El Emam and Dankar 2008; EMA policy 0070 allows 0.09). Replicated uniques and DiSCO: Raab, Nowok, Dibben
(arXiv 2406.16826). Cells of 1 to 10: the suppression rule of CMS.

Figures that compare have people who were not in the training data as baseline, in the same number.
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

NEAR = 0.05  # a near copy differs by less than this share of all columns together
SMALL_CELL = 10


def identifier_risk(tables: AuditTables, scene: Scene, rng: np.random.Generator) -> list[IdentifierRisk]:
    """All figures that the table's roles allow: only copies if no column is a quasi-identifier."""
    people, strangers = (
        frame.iloc[one_row_each(np.arange(len(frame)) if units is None else units, rng)]
        for frame, units in ((tables.train, tables.train_units), (tables.holdout, tables.holdout_units))
    )
    found = _copies(tables.synthetic, people, strangers) + _near_copies(scene)
    known = tables.columns_of("quasi_identifier")
    if known and len(people):
        keys = _keys([tables.synthetic, people, strangers], known)
        found = _classes(*keys) + _replicated(*keys) + _disco(tables, scene, people, strangers, keys) + found
    return found


def _keys(frames: list[pd.DataFrame], names: list[str]) -> list[np.ndarray]:
    """One class number a row, the same number for equal rows of any of the frames: int64[n] each."""
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


def _classes(synthetic: np.ndarray, people: np.ndarray, strangers: np.ndarray) -> list[IdentifierRisk]:
    count = int(max(x.max(initial=0) for x in (synthetic, people, strangers))) + 1
    size, shown = np.bincount(people, minlength=count), np.bincount(synthetic, minlength=count)
    population = size + np.bincount(strangers, minlength=count)
    matched = population[(shown > 0) & (population > 0)]
    smallest = int(matched.min()) if len(matched) else 0
    cells, real = shown[shown > 0], size[size > 0]
    return [
        IdentifierRisk(
            name="prosecutor risk of the real data",
            value=float(1 / real.min()),
            meaning="Chance to name the most exposed training person from the quasi-identifiers, were the real rows "
            "released; 1 means that somebody is unique. It says what the synthetic table must hide, not that it fails.",
        ),
        IdentifierRisk(
            name="marketer risk of the real data",
            value=float(len(real) / len(people)),
            meaning="Share of training people named correctly if everybody were linked by quasi-identifiers, were the "
            "real rows released.",
        ),
        IdentifierRisk(
            name="sample uniques",
            value=float(np.mean(size[people] == 1)),
            meaning="Share of training people whose combination of quasi-identifiers nobody else has.",
        ),
        IdentifierRisk(
            name="journalist risk of the release",
            value=1 / smallest if smallest else 0.0,
            meaning="One over the fewest real people (training and holdout together) who share the quasi-identifiers "
            "of a synthetic row that fits anybody. A synthetic row is nobody's record, so this is an upper bound.",
        ),
        IdentifierRisk(
            name="k-map of the release",
            value=float(smallest),
            meaning="The fewest real people who fit a synthetic row that fits anybody; the inverse of journalist risk.",
        ),
        IdentifierRisk(
            name="cells of 1 to 10",
            value=_small(cells),
            baseline=_small(real),
            meaning="Share of the combinations of quasi-identifiers in the synthetic table that hold 1 to 10 rows "
            "(baseline: in the training data). Tables counted from the release show such cells, of invented people.",
        ),
    ]


def _small(counts: np.ndarray) -> float:
    """Share of the cells that hold `SMALL_CELL` rows at most."""
    return float(np.mean(counts <= SMALL_CELL)) if len(counts) else 0.0


def _same_number(people: np.ndarray, strangers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both lists come in random order: their first so many, as many as the shorter has."""
    count = min(len(people), len(strangers))
    return people[:count], strangers[:count]


def _replicated(synthetic: np.ndarray, people: np.ndarray, strangers: np.ndarray) -> list[IdentifierRisk]:
    people, strangers = _same_number(people, strangers)
    return [
        IdentifierRisk(
            name="replicated uniques",
            value=_reappear(synthetic, people),
            baseline=_reappear(synthetic, strangers),
            meaning="Of people unique on the quasi-identifiers, the share whose combination reappears in the synthetic "
            "table (baseline: the same for as many people who were not in the data). Only the excess is a leak.",
        )
    ]


def _reappear(synthetic: np.ndarray, people: np.ndarray) -> float | None:
    values, counts = np.unique(people, return_counts=True)
    unique = values[counts == 1]
    return float(np.isin(unique, synthetic).mean()) if len(unique) else None


def _disco(
    tables: AuditTables, scene: Scene, people: pd.DataFrame, strangers: pd.DataFrame, keys: list[np.ndarray]
) -> list[IdentifierRisk]:
    found = []
    for index in secrets(scene):
        name = scene.names[index]
        if tables.roles.get(name) == "quasi_identifier":
            continue
        values = _keys([tables.synthetic, people, strangers], [name])
        told = pd.Series(values[0]).groupby(keys[0]).agg(["min", "max"])
        sure = told.loc[told["min"] == told["max"], "min"]  # classes that show one value only
        rates = []
        for key, value in zip(keys[1:], values[1:], strict=True):
            guess = pd.Series(key).map(sure).to_numpy(float)
            rates.append(float(np.mean(guess == value)) if len(key) else None)
        found.append(
            IdentifierRisk(
                name=f"DiSCO: {name}",
                value=rates[0],
                baseline=rates[1],
                meaning=f"Share of training people whose quasi-identifiers show a single value of {name} in the "
                "synthetic table, and the right one (baseline: people who were not in the data). Only the excess is a "
                "leak.",
            )
        )
    return found


def _copies(synthetic: pd.DataFrame, people: pd.DataFrame, strangers: pd.DataFrame) -> list[IdentifierRisk]:
    made, real, other = _keys([synthetic, people, strangers], list(synthetic.columns))
    real, other = _same_number(real, other)
    return [
        IdentifierRisk(
            name="exact copies",
            value=_share_found(real, made),
            baseline=_share_found(other, made),
            meaning="Share of training people whose whole record stands in the synthetic table (baseline: people who "
            "were not in the data, who can be there by coincidence only). Common records are no secret; the excess is.",
        ),
        IdentifierRisk(
            name="synthetic rows that equal a real record",
            value=_share_found(made, real) if len(real) else None,
            baseline=_share_found(made, other) if len(other) else None,
            meaning="Share of synthetic rows equal to the record of a training person (baseline: of one of as many "
            "people who were not in the data).",
        ),
    ]


def _share_found(some: np.ndarray, among: np.ndarray) -> float | None:
    """Share of `some` keys that occur among others; None if there are none."""
    return float(np.isin(some, among).mean()) if len(some) else None


def _near_copies(scene: Scene) -> list[IdentifierRisk]:
    most = NEAR * len(scene.names) * SCALE
    rates = [
        float(np.mean(nearest(side.close[: scene.targets], scene.synthetic.close, np.int32(SCALE))[0] <= most))
        if scene.targets
        else None
        for side in (scene.members, scene.others)
    ]
    return [
        IdentifierRisk(
            name="near copies",
            value=rates[0],
            baseline=rates[1],
            meaning=f"Share of training people with a synthetic record that differs by at most {NEAR:.0%} of all "
            "columns together (baseline: people who were not in the data). Only the excess is a leak.",
        )
    ]
