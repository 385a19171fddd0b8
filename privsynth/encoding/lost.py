"""What measured ranges and category lists lose: seen in the noisy histograms, which are paid for already."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from privsynth.encoding.codec import Codec
from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.domain import OTHER
from privsynth.encoding.histograms import SIGNIFICANT
from privsynth.encoding.requests import hidden_units
from privsynth.policy import Policy
from privsynth.privacy.events import DiscreteGaussian
from privsynth.privacy.mechanisms.counts import UNIT_SIZES
from privsynth.privacy.plan import Plan

MAX_CLIPPED, MAX_MERGED = 0.02, 0.5  # shares of rows above which a measured range, or a measured list, counts as failed
MAX_OF_REST = (
    0.05  # the same of those rows that do not have a number's most frequent value, such as the claims that are not 0
)


def lost_share(column: ColumnCodec) -> float | None:
    """The noisy share of rows whose value lies beyond a measured range, or was merged into `__other__`; None where bounds
    and categories are public."""
    domain = column.domain
    if domain.categorical:
        return float(column.density[len(domain.categories) - 1]) if domain.categories[-1] == OTHER else None
    if not domain.beyond:
        return None
    return float(column.density[0] + column.density[domain.regular - 1])


def losses(codec: Codec) -> Iterator[tuple[str, bool]]:
    """A sentence for each column with more unreadable cells than noise explains, or whose measured range or list lost more, and
    whether that counts as failed: the run stops above the policy's share of unreadable cells."""
    for column in codec.columns:
        if column.domain.unreadable:
            cells = (
                f"about {100 * column.domain.unreadable:.{0 if column.domain.unreadable >= 0.01 else 1}f} % of its cells cannot be "
                f"read as kind {column.domain.kind}"
            )
            yield f"Column {column.domain.title!r}: {cells}, and count as missing (measured with noise).", False
        lost = lost_share(column)
        if lost is not None:
            yield from _loss_of_list(column, lost) if column.domain.categorical else _loss_of_range(column, lost)


def _loss_of_list(column: ColumnCodec, lost: float) -> Iterator[tuple[str, bool]]:
    if lost > max(MAX_CLIPPED, SIGNIFICANT * float(column.noise[column.bins[len(column.domain.categories) - 1]])):
        yield (
            f"Column {column.domain.title!r}: {_percent(lost)} of rows have a value that too few share to be found, and leave as "
            f"{OTHER}. List its categories, or group them.",
            lost > MAX_MERGED,
        )


def _loss_of_range(column: ColumnCodec, lost: float) -> Iterator[tuple[str, bool]]:
    domain = column.domain
    found, what = f"Column {domain.title!r}: ", "have a value beyond the measured range, and leave as its ends"
    noise = float(np.hypot(*column.noise[column.bins[[0, domain.regular - 1]]]))
    others = 1 - float(column.density.max())
    if domain.high - domain.low <= 1:
        only = domain.text_of(domain.low)
        rest = (
            f"{_percent(lost)} of rows {what}"
            if lost >= SIGNIFICANT * noise
            else "others are too rare to be found, if there are any"
        )
        yield f"{found}the measured range holds no value but {only}; {rest}. State public bounds.", True
    elif lost > MAX_CLIPPED or (lost >= SIGNIFICANT * noise and lost > MAX_OF_REST * others):
        among = f", {_percent(lost / others)} of those without its most frequent value," if lost <= MAX_CLIPPED else ""
        yield f"{found}{_percent(lost)} of rows{among} {what}. State public bounds.", True
    elif lost >= SIGNIFICANT * noise:
        yield f"{found}{_percent(lost)} of rows {what}.", False


def failures(codec: Codec) -> Iterator[str]:
    """A sentence for each column whose measured range or list lost more than it may."""
    return (told for told, failed in losses(codec) if failed)


def _percent(share: float) -> str:
    """Two digits: a share is known to no more.

    >>> _percent(0.0123), _percent(0.3), _percent(0.998)
    ('1.2 %', '30 %', '100 %')
    """
    return f"{100 * share:.{0 if share >= 0.0995 else 1}f} %"


def remarks(codec: Codec, policy: Policy, plan: Plan) -> Iterator[str]:
    """What measured facts say of the table that leaves: which rows it leaves out, and what its columns lost."""
    if (
        hidden := hidden_units(policy, plan.event(UNIT_SIZES, DiscreteGaussian) if policy.unit_column else None)
    ) is not None:
        yield f"{hidden[0].upper()}{hidden[1:]}."
    dropped, most = codec.domain.dropped, policy.max_rows
    if dropped >= MAX_CLIPPED:
        follows = {
            "rows": f"The released table follows all rows, as far as the {most} that are used of each unit tell",
            "units": "The released table counts each unit alike",
        }.get(
            policy.model.release.weights or "",
            f"The released table follows the rows that were kept, at most {most} of a unit",
        )
        yield (
            f"About {100 * dropped:.0f} % of rows are beyond the {most} that are used of each unit (measured with noise). "
            f"{follows}."
        )
    yield from (told for told, _ in losses(codec))
