"""Attribute inference: a person's secret is guessed from the synthetic records closest to what is known of them.

After Stadler, Oprisanu, Troncoso (USENIX Security 2022) and Houssiau et al. (TAPAS, 2022): what counts is not how
often a guess is right, since a useful table lets anybody learn about the population, but how much more often it is
right for members (people who were in the training data) than for non-members.

Two attackers: one knows everything but the secret, the other only the quasi-identifiers; the second attacks the people
with the rarest quasi-identifiers, where it is most likely to succeed. Both attack people whose secret is *not* the most
common value: guessing the most common value is wrong for all of them, a rare value is usually what needs protection,
and where nearly everybody has the same value nothing else could show a leak. People are selected by their own values
and by counts over members and non-members together, so the selection favours neither.

The second attack is left out, and `needs` says so, where even the rarest quasi-identifiers are shared by several
people in the training data: that attacker would not succeed even on a table that copied everybody, so a low figure
would prove nothing.

Several secrets give several findings, whose intervals are widened together (`statistics`): a mean over secrets would
hide the one that leaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privsynth.audit.base import Attack, advantage
from privsynth.audit.coding import SCALE, Coded
from privsynth.audit.kernels import vote
from privsynth.audit.scene import Scene
from privsynth.audit.statistics import Measurement
from privsynth.evidence import Family

MAX_SECRETS = 3
_RAREST = 0.1  # share of people whom the second attacker attacks,
_FEWEST = 400  # but at least so many members and as many non-members: with fewer the interval is too wide to be useful


@dataclass(frozen=True)
class Inference(Attack):
    """Guesses column `secret` from the columns `known`; `rare`: attacks only people whose known values are rare."""

    secret: int
    known: tuple[int, ...]
    title: str  # the secret's column name
    rare: bool

    family: Family = "inference"
    statistic = "success rate, members minus non-members"
    threshold_key = "inference"

    @property
    def name(self) -> str:
        return f"inference: {self.title} from {'quasi-identifiers' if self.rare else 'all else'}"

    @property
    def question(self) -> str:
        return f"inference: {self.title}"

    @property
    def assumes(self) -> str:
        return f"An attacker who has the synthetic table and knows {self._known} of a person."

    @property
    def _known(self) -> str:
        if self.rare:
            return "the quasi-identifiers (tested on the people whose combinations are rarest)"
        return "every other column"

    @property
    def meaning(self) -> str:
        return (
            f"How much more often {self.title} is guessed correctly for people in the training data than for people who "
            f"were not in the data, by an attacker who knows {self._known}. Tested on people whose value is not the most common "
            "one, so that guessing the most common value is never right; a number counts as right if it falls into the "
            "right one of about 20 bins. The success rate for people who were not in the data is knowledge about the "
            "population, not a leak."
        )

    def run(self, released: Coded, scene: Scene, rng: np.random.Generator, confidence: float) -> Measurement:
        known, missing = list(self.known), scene.sizes[self.secret] - 1
        present = np.flatnonzero(released.cells[:, self.secret] != missing)
        if len(present) == 0:
            return Measurement.nothing()
        table = released.take(present)
        sides = self.people(scene)
        members, non_members = (
            vote(side.columns(known), table.columns(known), table.cells[:, self.secret], missing, np.int32(SCALE))
            == side.cells[:, self.secret]
            for side in sides
        )
        return advantage(members.astype(float), non_members.astype(float), confidence)

    def needs(self, scene: Scene) -> str:
        """The second attack: at least half of the members to be attacked share their known values with at most one other member."""
        if not self.rare:
            return ""
        chosen, known = self.people(scene)[0], list(self.known)
        stack = np.concatenate([chosen.cells[:, known], scene.train.cells[:, known]])
        _, group = np.unique(stack, axis=0, return_inverse=True)
        group = group.ravel()
        size = np.bincount(group[len(chosen) :], minlength=len(stack))[group[: len(chosen)]]
        if len(size) and np.median(size) <= 2:
            return ""
        return (
            f"Guessing {self.title} from the quasi-identifiers alone: too many people share even the rarest combinations, "
            "so this attack could not detect a leak."
        )

    def people(self, scene: Scene) -> tuple[Coded, Coded]:
        """Members and non-members who are attacked: as many of either, at most `scene.targets`."""
        missing = scene.sizes[self.secret] - 1
        released = scene.synthetic.cells[:, self.secret]
        most_common = np.bincount(released[released != missing], minlength=missing + 1).argmax()
        chosen = []
        for side in (scene.members, scene.non_members):
            value = side.cells[:, self.secret]
            chosen.append(side.take(np.flatnonzero((value != most_common) & (value != missing))))
        if self.rare:
            chosen = _rarest(chosen, scene, list(self.known))
        count = min(len(chosen[0]), len(chosen[1]), scene.targets)
        return chosen[0].take(np.arange(count)), chosen[1].take(np.arange(count))


def _rarest(sides: list[Coded], scene: Scene, known: list[int]) -> list[Coded]:
    """The members and non-members with the rarest known values, by one cutoff for both.

    Rare among members, non-members and reference together: all three count alike, so the selection favours none.
    """
    everybody = [scene.members, scene.non_members, scene.reference]
    stack = np.concatenate([group.cells[:, known] for group in [*sides, *everybody]])
    _, group = np.unique(stack, axis=0, return_inverse=True)
    group = group.ravel()
    first, second = len(sides[0]), len(sides[0]) + len(sides[1])
    common = np.bincount(group[second:], minlength=len(stack))[group[:second]]
    wanted = max(_RAREST * second, 2 * _FEWEST)
    cutoff = np.sort(common)[min(int(wanted), second - 1)] if second else 0
    rare = common <= cutoff
    return [sides[0].take(np.flatnonzero(rare[:first])), sides[1].take(np.flatnonzero(rare[first:]))]


def secrets(scene: Scene) -> list[int]:
    """Columns to guess: sensitive ones, then targets, at most three; else the last category, else the last column."""
    named = scene.index("sensitive", "target")[:MAX_SECRETS]
    if named:
        return named
    categories = [i for i, flag in enumerate(scene.categorical) if flag]
    return [categories[-1] if categories else len(scene.names) - 1]


def attacks(scene: Scene) -> list[Attack]:
    """Two for each secret, if there are quasi-identifiers and other columns; none if there is a single column."""
    found: list[Attack] = []
    for secret in secrets(scene):
        rest = tuple(i for i in range(len(scene.names)) if i != secret)
        if rest:
            found.append(Inference(secret, rest, scene.names[secret], rare=False))
        second = _from_quasi_identifiers(scene, secret)
        if second and second.known != rest:
            found.append(second)
    return found


def _from_quasi_identifiers(scene: Scene, secret: int) -> Inference | None:
    known = tuple(i for i in scene.index("quasi_identifier") if i != secret)
    return Inference(secret, known, scene.names[secret], rare=True) if known else None
