"""Attribute inference: a person's secret is guessed from the synthetic records closest to what is known of them.

After Stadler, Oprisanu, Troncoso (USENIX Security 2022) and Houssiau et al. (TAPAS, 2022): what counts is not how
often a guess is right, since a good table lets anybody learn how the world is, but how much more often it is right
for people who were in the data than for people who were not.

Two attackers: one knows everything but the secret, one only the quasi-identifiers; the second is tried on people
whose quasi-identifiers are rarest, where there is most to hope for. Both are tried on people whose secret is *not* the
most common value: the usual guess is wrong for all of them, a rare value is mostly what needs protection, and where
nearly everybody has the same value nothing else could show a leak. The choice of people looks at their own values and
at counts over both sides together, so it favours neither.

The second is left out, and `untested` says so, where even the rarest quasi-identifiers are shared by several training
people: a table that copied everybody would not betray them to that attacker, so it would prove nothing.

Several secrets are several findings, whose intervals are widened together (`statistics`): a mean over secrets would
hide the one that leaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privsynth.audit.base import Attack, Family, advantage
from privsynth.audit.coding import SCALE, Coded
from privsynth.audit.kernels import vote
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement

MOST_SECRETS = 3
_RAREST = 0.1  # share of people that the second attacker is tried on,
_FEWEST = 400  # but so many on each side at least: with fewer the interval is too wide to say anything


@dataclass(frozen=True)
class Inference:
    """Guesses column `secret` from the columns `known`; `rare`: on people with rare known values only."""

    secret: int
    known: tuple[int, ...]
    title: str  # the secret's column name
    rare: bool
    family: Family = "inference"
    statistic: str = "success of training people less success of others"
    threshold_key: str = "inference"

    @property
    def name(self) -> str:
        return f"inference: {self.title} from {'quasi-identifiers' if self.rare else 'all else'}"

    @property
    def meaning(self) -> str:
        who = "the quasi-identifiers (tried on people with the rarest)" if self.rare else "every other column"
        return (
            f"How much more often {self.title} is guessed for training people than for people who were not in the "
            f"data, by an attacker who knows {who}. Tried on people whose value is not the most common one, so the "
            "usual guess is right for none; numbers count as right within one of about 20 bins. What others reach is "
            "knowledge about the population, not a leak."
        )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        known, missing = list(self.known), scene.sizes[self.secret] - 1
        told = np.flatnonzero(released.cells[:, self.secret] != missing)
        if len(told) == 0:
            return Measurement.nothing()
        table = released.take(told)
        sides = self.people(scene)
        members, others = (
            vote(side.columns(known), table.columns(known), table.cells[:, self.secret], missing, np.int32(SCALE))
            == side.cells[:, self.secret]
            for side in sides
        )
        return advantage(members.astype(float), others.astype(float), confidence)

    def people(self, scene: Scene) -> tuple[Coded, Coded]:
        """Members and others who are attacked: the same number on each side, at most `scene.targets`."""
        missing = scene.sizes[self.secret] - 1
        told = scene.synthetic.cells[:, self.secret]
        usual = np.bincount(told[told != missing], minlength=missing + 1).argmax()
        chosen = []
        for side in (scene.members, scene.others):
            value = side.cells[:, self.secret]
            chosen.append(side.take(np.flatnonzero((value != usual) & (value != missing))))
        if self.rare:
            chosen = _rarest(chosen, scene, list(self.known))
        count = min(len(chosen[0]), len(chosen[1]), scene.targets)
        return chosen[0].take(np.arange(count)), chosen[1].take(np.arange(count))


def _rarest(sides: list[Coded], scene: Scene, known: list[int]) -> list[Coded]:
    """Of each side those with the rarest known values, by one cut for both.

    Rare among members, others and reference together: every side counts alike, so the choice favours none.
    """
    crowd = [scene.members, scene.others, scene.reference]
    stack = np.concatenate([group.cells[:, known] for group in [*sides, *crowd]])
    _, group = np.unique(stack, axis=0, return_inverse=True)
    group = group.ravel()
    first, second = len(sides[0]), len(sides[0]) + len(sides[1])
    common = np.bincount(group[second:], minlength=len(stack))[group[:second]]
    wanted = max(_RAREST * second, 2 * _FEWEST)
    cut = np.sort(common)[min(int(wanted), second - 1)] if second else 0
    return [sides[0].take(np.flatnonzero(common[:first] <= cut)), sides[1].take(np.flatnonzero(common[first:] <= cut))]


def secrets(scene: Scene) -> list[int]:
    """Columns to guess: sensitive ones, then targets, at most three; else the last category, else the last column."""
    named = scene.index("sensitive", "target")[:MOST_SECRETS]
    if named:
        return named
    categories = [i for i, flag in enumerate(scene.categorical) if flag]
    return [categories[-1] if categories else len(scene.names) - 1]


def attacks(scene: Scene) -> list[Attack]:
    """Two for each secret, one where quasi-identifiers cannot tell people apart; none if there is a single column."""
    found: list[Attack] = []
    for secret in secrets(scene):
        rest = tuple(i for i in range(len(scene.names)) if i != secret)
        if rest:
            found.append(Inference(secret, rest, scene.names[secret], rare=False))
        second = _from_quasi_identifiers(scene, secret)
        if second and second.known != rest and _telling(scene, second):
            found.append(second)
    return found


def untested(scene: Scene) -> list[str]:
    """What was left out since it could not have found anything."""
    planned = [_from_quasi_identifiers(scene, secret) for secret in secrets(scene)]
    return [
        f"Guessing {one.title} from the quasi-identifiers alone: too many people share even the rarest combinations, "
        "so this attack would not notice a leak."
        for one in planned
        if one and not _telling(scene, one)
    ]


def _from_quasi_identifiers(scene: Scene, secret: int) -> Inference | None:
    known = tuple(i for i in scene.index("quasi_identifier") if i != secret)
    return Inference(secret, known, scene.names[secret], rare=True) if known else None


def _telling(scene: Scene, one: Inference) -> bool:
    """Whether at least half the members that would be attacked share their known values with one other at most."""
    chosen, known = one.people(scene)[0], list(one.known)
    stack = np.concatenate([chosen.cells[:, known], scene.train.cells[:, known]])
    _, group = np.unique(stack, axis=0, return_inverse=True)
    group = group.ravel()
    size = np.bincount(group[len(chosen) :], minlength=len(stack))[group[: len(chosen)]]
    return bool(len(size) and np.median(size) <= 2)
