"""Leaks that are planted in sound tables, and sound tables: what `leaks.py` attacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor


@dataclass(frozen=True)
class People:
    """Rows of one real table, split at random: used for training, held out, and others that nobody sees (the sound table)."""

    train: pd.DataFrame
    holdout: pd.DataFrame
    others: pd.DataFrame

    @classmethod
    def of(cls, file: Path, rows: int, rng: np.random.Generator) -> People:
        """rows: of train and of the sound table; half as many are held out."""
        whole = pd.read_csv(file)
        numbers = [n for n in whole if pd.api.types.is_numeric_dtype(whole[n])]
        whole[[n for n in whole if n not in numbers]] = whole[[n for n in whole if n not in numbers]].fillna("?")
        whole = whole.iloc[rng.permutation(len(whole))].reset_index(drop=True)
        ends = np.cumsum([rows, rows // 2, rows])
        return cls(*(whole.iloc[a:b].reset_index(drop=True) for a, b in zip((0, *ends), ends)))  # noqa: B905


Leak = Callable[[People, np.random.Generator], pd.DataFrame]


def copies(share: float) -> Leak:
    """A share of the rows are copies of people of the training data."""

    def made(people: People, rng: np.random.Generator) -> pd.DataFrame:
        return planted(
            people, rng.permutation(len(people.train))[: round(share * len(people.others))], lambda x: x, rng
        )

    return made


def near_copies(share: float, jitter: float = 0.02) -> Leak:
    """As copies, but numbers are off by up to a share of their range, and one category is drawn anew."""

    def made(people: People, rng: np.random.Generator) -> pd.DataFrame:
        return planted(people, rng.permutation(len(people.train))[: round(share * len(people.others))], change, rng)

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rng, rows = np.random.default_rng(len(rows)), rows.copy()
        categories = []
        for name in rows:
            if pd.api.types.is_numeric_dtype(rows[name]) and rows[name].nunique() > 2:
                low, high = rows[name].quantile([0.01, 0.99])
                moved = rows[name] + rng.uniform(-jitter, jitter, len(rows)) * (high - low)
                rows[name] = moved.round() if pd.api.types.is_integer_dtype(rows[name]) else moved
            else:
                categories.append(rows.columns.get_loc(name))
        if categories:
            places = rng.choice(categories, len(rows))
            drawn = rng.permutation(len(rows))
            values = rows.to_numpy(object, copy=True)
            values[np.arange(len(rows)), places] = values[drawn, places]
            rows = pd.DataFrame(values, columns=rows.columns).astype(rows.dtypes.to_dict())
        return rows

    return made


def isolated(share: float) -> Leak:
    """Only the people farthest from their neighbours are copied."""

    def made(people: People, rng: np.random.Generator) -> pd.DataFrame:
        space = numeric(people.train, people.train)
        apart = NearestNeighbors(n_neighbors=2).fit(space).kneighbors(space)[0][:, 1]
        return planted(people, np.argsort(-apart)[: round(share * len(people.train))], lambda x: x, rng)

    return made


def half_the_columns(share: float) -> Leak:
    """In a share of the rows every second column is that of one person of the training data."""

    def made(people: People, rng: np.random.Generator) -> pd.DataFrame:
        table = people.others.copy()
        count = round(share * len(table))
        rows, places = rng.permutation(len(people.train))[:count], rng.permutation(len(table))[:count]
        for name in list(table.columns)[::2]:
            values = table[name].to_numpy(copy=True)
            values[places] = people.train[name].to_numpy()[rows]
            table[name] = values
        return table

    return made


def smote(people: People, rng: np.random.Generator) -> pd.DataFrame:
    """Every row lies between a person of the training data and one of the five next to them (Chawla et al. 2002)."""
    space = numeric(people.train, people.train)
    near = NearestNeighbors(n_neighbors=6).fit(space).kneighbors(space, return_distance=False)
    a = rng.integers(0, len(space), len(people.others))
    b = near[a, rng.integers(1, 6, len(a))]
    place, made = rng.random(len(a)), {}
    for name in people.train:
        one, two = (people.train[name].to_numpy()[rows] for rows in (a, b))
        if pd.api.types.is_numeric_dtype(people.train[name]):
            between = one + place * (two - one)
            made[name] = np.round(between) if pd.api.types.is_integer_dtype(people.train[name]) else between
        else:
            made[name] = np.where(rng.random(len(a)) < 0.5, one, two)
    return pd.DataFrame(made)


def trees(leaf: int) -> Leak:
    """Column by column from a tree on the columns before it, as synthpop does; leaves of one row are overfitted."""

    def made(people: People, rng: np.random.Generator) -> pd.DataFrame:
        train, rows = people.train, len(people.others)
        out: dict[str, np.ndarray] = {}
        order = list(train.columns)
        out[order[0]] = rng.choice(train[order[0]].to_numpy(), rows)
        for at, name in enumerate(order[1:], start=1):
            before = order[:at]
            given, asked = numeric(train[before], train[before]), numeric(train[before], pd.DataFrame(out)[before])
            kind = DecisionTreeRegressor if pd.api.types.is_numeric_dtype(train[name]) else DecisionTreeClassifier
            tree = kind(min_samples_leaf=leaf, random_state=0).fit(given, train[name])
            leaves, places = tree.apply(given), tree.apply(asked)
            ordered = np.argsort(leaves, kind="stable")
            first = np.searchsorted(leaves[ordered], places, "left")
            last = np.searchsorted(leaves[ordered], places, "right")
            out[name] = train[name].to_numpy()[ordered[rng.integers(first, last)]]
        return pd.DataFrame(out)

    return made


def sound(people: People, rng: np.random.Generator) -> pd.DataFrame:
    """Other real people."""
    return people.others


def independent(people: People, rng: np.random.Generator) -> pd.DataFrame:
    """Each column drawn by itself."""
    return pd.DataFrame({n: rng.permutation(people.others[n].to_numpy()) for n in people.others})


LEAKS: dict[str, Leak] = {
    "sound: other people": sound,
    "sound: independent columns": independent,
    **{f"copies, {100 * s:g} %": copies(s) for s in (0.005, 0.01, 0.05, 0.10, 0.25, 0.50)},
    **{f"near copies, {100 * s:g} %": near_copies(s) for s in (0.01, 0.05, 0.25)},
    "most isolated .5 % copied": isolated(0.005),
    **{f"half the columns, {100 * s:g} %": half_the_columns(s) for s in (0.05, 0.25, 1.0)},
    "SMOTE": smote,
    "trees, leaves of 1": trees(1),
    "trees, leaves of 5": trees(5),
}


def planted(
    people: People, rows: np.ndarray, change: Callable[[pd.DataFrame], pd.DataFrame], rng: np.random.Generator
) -> pd.DataFrame:
    """The sound table with rows of the training data in place of as many of its own."""
    kept = people.others.iloc[rng.permutation(len(people.others))[len(rows) :]]
    return pd.concat([kept, change(people.train.iloc[rows])], ignore_index=True)


def numeric(fitted: pd.DataFrame, frame: pd.DataFrame) -> np.ndarray:
    """float[rows, columns]: numbers in standard deviations, categories as codes far apart."""
    parts = []
    for name in fitted:
        if pd.api.types.is_numeric_dtype(fitted[name]):
            values = fitted[name].fillna(-1)
            parts.append(((frame[name].fillna(-1) - values.mean()) / (values.std() or 1)).to_numpy()[:, None])
        else:
            coder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(fitted[[name]])
            parts.append(3 * coder.transform(frame[[name]]))
    return np.hstack(parts)


def scenes(
    folder: Path, tables: Sequence[str], rows: int, seed: int
) -> Iterator[tuple[str, str, People, pd.DataFrame]]:
    """(real table, leak, people, synthetic table)"""
    for name in tables:
        people = People.of(folder / f"{name}.csv.gz", rows, np.random.default_rng([seed, len(name)]))
        for title, make in LEAKS.items():
            yield name, title, people, make(people, np.random.default_rng([seed, len(title)]))
