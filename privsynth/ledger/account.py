"""The account of a data set: its budget according to the ledger's entries."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from privsynth.errors import InputError, Problem
from privsynth.ledger.chain import Entry
from privsynth.ledger.filter import Cap, Filter, Spending, smallest, spending, total
from privsynth.privacy.accountant import compose, epsilon_of
from privsynth.privacy.events import Event, Gaussian, from_json
from privsynth.privacy.risk import at_most, small


@dataclass
class Account:
    """One data set's reservations, as far as the entries were read. through, hash: of the last entry read.

    orders: what the first reservation fixed for the Rényi filter, returned or not; empty before it. kept: by run, without
    those that were returned. locks: runs whose policies locked the lifetime budget. units: whom the runs protect. seeded:
    runs that protect nobody, made with a seed.
    """

    dataset: str
    through: int = 0
    hash: str = ""
    orders: frozenset[float | None] = frozenset()
    kept: dict[str, tuple[Spending, tuple[Event, ...] | None]] = field(default_factory=dict)
    caps: dict[str, Cap] = field(default_factory=dict)
    locks: set[str] = field(default_factory=set)
    units: set[str] = field(default_factory=set)
    seeded: int = 0
    spent: Spending = field(default_factory=Spending)

    @property
    def cap(self) -> Cap | None:
        """The lifetime budget last stated by a run that was kept: leaving it out of a policy does not lift it."""
        return next(reversed(self.caps.values()), None)

    @property
    def locked(self) -> bool:
        """True if a policy said so once: the lifetime budget may then be lowered, and never be raised again."""
        return bool(self.locks)

    def raised_by(self, cap: Cap | None) -> bool:
        """True if a policy that states `cap` raises what was last stated, in epsilon or delta."""
        return bool(cap and self.cap and (cap.epsilon > self.cap.epsilon or cap.delta > self.cap.delta))

    def read(self, entry: Entry, sound: bool = True) -> None:
        """Adds the next entry, of kind reserve or return. Raises InputError if it is malformed, or not sound."""
        try:
            if not sound:
                raise ValueError("no run writes such an entry")
            if entry.kind == "return":
                self._give_back(entry.run)
            else:
                self._take(entry.run, json.loads(entry.body))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            rule = f"has an entry {entry.sequence} that cannot be read"
            raise InputError(Problem("ledger", rule, "`privsynth ledger verify` shows what was changed")) from None
        self.through, self.hash = entry.sequence, entry.hash

    def _take(self, run: str, body: dict[str, Any]) -> None:
        self.orders = self.orders or frozenset({body.get("order")})
        epsilon, delta = float(body["epsilon"]), float(body["delta"])
        if not (0 < epsilon < math.inf and 0 < delta < 1) or run in self.kept:
            raise ValueError("no run makes such a reservation")
        if stated := body.get("lifetime"):
            self.caps[run] = Cap(stated["epsilon"], stated["delta"])
            self.locks |= {run} if stated.get("locked") else set()
        events = _events(body.get("plan"))
        spent = spending(epsilon, delta, events, next(iter(self.orders)))
        self.kept[run] = spent, events
        self.units.add(str(body.get("unit", "row")))
        self.seeded += bool(body.get("seeded"))
        self.spent += spent

    def _give_back(self, run: str) -> None:
        self.caps.pop(run, None)
        self.locks.discard(run)
        if self.kept.pop(run, None):
            self.spent = total(spent for spent, _ in self.kept.values())


def _events(plan: Any) -> tuple[Event, ...] | None:
    """The events of a plan in the ledger; None if it is in a format that this version does not know."""
    try:
        return tuple(from_json(item["event"]) for item in plan)
    except (KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True)
class Statement:
    """The state of a data set's budget, together with every other id that was given its content."""

    accounts: tuple[Account, ...]  # the data set's own first

    @property
    def dataset(self) -> str:
        return self.accounts[0].dataset

    @property
    def linked(self) -> list[str]:
        """The other ids that share the budget."""
        return [account.dataset for account in self.accounts[1:]]

    @property
    def spent(self) -> Spending:
        return total(account.spent for account in self.accounts)

    @property
    def filter(self) -> Filter | None:
        """The filter that decides on the next run; None if no policy states a lifetime budget."""
        return filter_of(self.accounts)

    @property
    def locked(self) -> bool:
        """True if the lifetime budget of one of them is locked, and with it that of all."""
        return any(account.locked for account in self.accounts)

    @property
    def delta(self) -> float:
        """The delta at which `composed` is stated: the lifetime budget's, else the sum of all runs' deltas."""
        return self.filter.cap.delta if self.filter else self.spent.delta

    @cached_property
    def composed(self) -> float | None:
        """epsilon of all runs composed by privacy loss distributions, at `delta`; None if a plan cannot be read.

        It holds only if no run was chosen after looking at another. Takes seconds, so it is computed when asked for.
        """
        plans = [events for account in self.accounts for _, events in account.kept.values()]
        known = [events for events in plans if events is not None]
        if len(known) < len(plans):
            return None
        return compose(event for events in known for event in events).epsilon(self.delta) if known else 0.0

    @cached_property
    def largest_run(self) -> float | None:
        """The largest epsilon, at `delta`, of one more run of Gaussian noise that the Rényi filter lets pass, or None."""
        order = self.filter.order if self.filter else None
        left = self.filter.renyi_left(self.spent) if self.filter else 0.0
        return epsilon_of([Gaussian(math.sqrt(order / (2 * left)))], self.delta) if order and left > 0 else None

    def to_json(self) -> dict[str, Any]:
        """Plain facts. epsilon, delta: the sum of the data set's own runs; the other figures cover all linked ids."""
        own, rule = self.accounts[0].spent, self.filter
        return {
            "epsilon": own.epsilon, "delta": own.delta, "linked": self.linked, "composed_epsilon": self.composed,
            "composed_delta": self.delta, "lifetime": asdict(rule.cap) if rule else None, "locked": self.locked,
            "order": rule.order if rule else None, "largest_gaussian_run": self.largest_run,
        }  # fmt: skip

    def lines(self) -> list[str]:
        """The same in words."""
        own, rule = self.accounts[0], self.filter
        lines = [
            f"{own.dataset}: epsilon {at_most(own.spent.epsilon, 4)}, delta {small(own.spent.delta)} spent in all (runs added up)"
        ]
        seeded = sum(account.seeded for account in self.accounts)
        if seeded:
            lines.append(
                f"  {seeded} of the runs had a seed: whoever knows it can subtract the noise, so they claim nothing"
            )
        units = sorted(set[str]().union(*(account.units for account in self.accounts)))
        if len(units) > 1:
            lines.append(
                f"  runs protect different units ({', '.join(units)}): their total is a claim for none of them"
            )
        if self.linked:
            lines.append(f"  the same content or columns, and one budget, with {', '.join(self.linked)}")
        known = "not known, since a plan in the books cannot be read"
        composed = (
            known if self.composed is None else f"epsilon {at_most(self.composed, 4)} at delta {small(self.delta)}"
        )
        lines.append(f"  all releases composed: {composed}, if no run was chosen after looking at another")
        if rule:
            lines.append(
                f"  lifetime budget ({rule.cap}{', locked' if self.locked else ''}): {rule.in_words(self.spent)}"
            )
        if self.largest_run is not None:
            lines.append(
                f"  one more run of Gaussian noise may have epsilon {self.largest_run:.3g} at delta {self.delta:.1e}"
            )
        return lines


def filter_of(accounts: tuple[Account, ...] | list[Account]) -> Filter | None:
    """The filter of accounts that share a budget, by the smallest of their caps; None if none has one."""
    caps = [account.cap for account in accounts if account.cap]
    orders = frozenset[float | None]().union(*(account.orders for account in accounts))
    return Filter(smallest(caps), orders) if caps else None


__all__ = ["Account", "Statement", "filter_of"]
