"""Which segments the journal may drop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trilith.storage.segment import Segment


def droppable(
    segments: Iterable[Segment],
    *,
    before: int,
    applied_durable: Mapping[int, int],
    bytes_on_disk: int,
    retain_bytes: int,
    retired_to: int,
) -> list[Segment]:
    """The oldest segments, in order, up to the first that somebody needs.

    Needed: numbers from `before` on; those with an entry that is not flushed in the ordered store
    (`applied_durable`, by partition); and `retain_bytes` of the newest, for peers that catch up,
    but for those up to `retired_to`.
    """
    found: list[Segment] = []
    kept = bytes_on_disk
    for segment in segments:
        kept -= segment.end
        if segment.number >= before:
            break
        if kept < retain_bytes and segment.number > retired_to:
            break
        if any(
            index > applied_durable.get(partition, -1)
            for partition, index in segment.entry_index_max.items()
        ):
            break
        found.append(segment)
    return found
