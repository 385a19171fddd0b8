"""What measured ranges and category lists lose: seen in the noisy histograms, which are paid for already."""

from __future__ import annotations

from collections.abc import Iterator

from privsynth.encoding.codec import Codec, ColumnCodec
from privsynth.encoding.domain import OTHER
from privsynth.policy import Policy

MAX_CLIPPED, MAX_MERGED = 0.02, 0.5  # shares of rows above which a measured range, or a measured list, counts as failed


def lost_share(column: ColumnCodec) -> float | None:
    """The noisy share of rows whose value lies beyond a measured range, or was merged into `__other__`; None where bounds
    and categories are public."""
    domain = column.domain
    if domain.categorical:
        return float(column.density[len(domain.categories) - 1]) if domain.categories[-1] == OTHER else None
    if not domain.beyond:
        return None
    return float(column.density[0] + column.density[domain.regular - 1])


def failures(codec: Codec) -> Iterator[str]:
    """A sentence for each column whose measured range or list lost more than it may."""
    for column in codec.columns:
        name, lost = column.domain.title, lost_share(column)
        if lost is None:
            continue
        if column.domain.categorical and lost > MAX_MERGED:
            yield (
                f"Column {name!r}: {100 * lost:.0f} % of rows have a value that too few share to be found, and leave as "
                f"{OTHER}. List its categories, or group them."
            )
        elif not column.domain.categorical and lost > MAX_CLIPPED:
            yield (
                f"Column {name!r}: {100 * lost:.0f} % of rows have a value beyond the measured range, and leave as its ends. "
                "State public bounds."
            )


def remarks(codec: Codec, policy: Policy) -> Iterator[str]:
    """What measured facts say of the table that leaves: which rows it leaves out, and what its columns lost."""
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
    yield from failures(codec)
