"""Work that no request waits for: the repair queue, abandoned manifests, released ones.

Work lists are read one partition and one bounded page at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import cast

from trilith.objects.commands import (
    AbandonManifest,
    Collected,
    CollectReleased,
    CompleteRepairs,
    Keys,
    ListPending,
    ListReleased,
    ListRepairs,
    Query,
)
from trilith.objects.keys import (
    KEYSPACE_END,
    OBJECTS_KEYSPACE,
    OWNER_SIZE,
    split_repair_key,
)
from trilith.replication.state_machine import Partitions

_PAGE = 256
_QueryFrom = Callable[[bytes], Query]


class RepairEntry:
    """A chunk that a zone lacks. `key` completes it."""

    __slots__ = ("chunk_id", "key", "zone")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.zone, self.chunk_id = split_repair_key(key)


class Housekeeping:
    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def repairs(self, zone: str = "") -> AsyncIterator[list[RepairEntry]]:
        """Pages of the repair queue (of one zone, or of all); each page is of one partition."""
        async for keys in self._pages(lambda start: ListRepairs(start, zone, _PAGE)):
            yield [RepairEntry(key) for key in keys]

    async def complete_repairs(self, entries: list[RepairEntry]) -> None:
        """Remove entries of one page of `repairs`, whose chunks are durable in their zones now."""
        if entries:
            keys = [entry.key for entry in entries]
            await self._partitions.execute(OBJECTS_KEYSPACE, keys[0], CompleteRepairs(keys))

    async def abandon_stale(self, created_before_ms: int) -> int:
        """Release manifests written ahead that long ago and never committed; how many there were.

        A day is safe: an upload that is slower than that per object fails with ConditionalConflict.
        """
        count = 0
        async for keys in self._pages(lambda start: ListPending(start, created_before_ms, _PAGE)):
            for key in keys:
                stem, owner = key[:-OWNER_SIZE], key[-OWNER_SIZE:]
                await self._partitions.execute(OBJECTS_KEYSPACE, stem, AbandonManifest(stem, owner))
                count += 1
        return count

    async def released(self, released_before_ms: int) -> AsyncIterator[bytes]:
        """RELEASED keys for `collect`, old enough that no reader uses them."""
        async for keys in self._pages(lambda start: ListReleased(start, released_before_ms, _PAGE)):
            for key in keys:
                yield key

    async def collect(self, released_key: bytes) -> AsyncIterator[bytes]:
        """Drop what a RELEASED record holds, in bounded steps; yields the 32-byte ids that lost a reference.

        Only for the chunk collector, which counts them: dropped ids are not reported twice.
        """
        more = True
        while more:
            step = cast(
                Collected,
                await self._partitions.execute(
                    OBJECTS_KEYSPACE, released_key, CollectReleased(released_key)
                ),
            )
            more = step.more
            for i in range(0, len(step.chunk_ids), 32):
                yield step.chunk_ids[i : i + 32]

    async def _pages(self, query_from: _QueryFrom) -> AsyncIterator[list[bytes]]:
        starts = self._partitions.partition_starts(OBJECTS_KEYSPACE, b"", KEYSPACE_END)
        for partition_start in starts:
            start = partition_start
            while True:
                found = cast(
                    Keys,
                    await self._partitions.query(
                        OBJECTS_KEYSPACE,
                        partition_start,
                        query_from(start),
                        touched=(start, KEYSPACE_END),
                    ),
                )
                if found.keys:
                    yield found.keys
                if not found.next_start:
                    break
                start = found.next_start
