"""Work that no request waits for: manifests that were abandoned, and released ones.

`routes` names the partitions to look at by their starts; all of them when None.

The repair queue is repair_queue.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import cast

from trilith.errors import TransactionConflict
from trilith.objects.commands import (
    AbandonManifest,
    Collected,
    CollectReleased,
    ListPending,
    ListReleased,
)
from trilith.objects.keys import OBJECTS_KEYSPACE, OWNER_SIZE
from trilith.objects.work_lists import work_pages
from trilith.replication.state_machine import Partitions

_PAGE = 256


class Housekeeping:
    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def abandon_stale(
        self, created_before_ms: int, routes: Sequence[bytes] | None = None
    ) -> int:
        """Release manifests written ahead that long ago and never committed; how many there were.

        A day is safe: an upload that is slower than that per object fails with ConditionalConflict.
        """
        count = 0
        async for keys in work_pages(
            self._partitions, lambda start: ListPending(start, created_before_ms, _PAGE), routes
        ):
            for key in keys:
                stem, owner = key[:-OWNER_SIZE], key[-OWNER_SIZE:]
                command = AbandonManifest(stem, owner)
                with suppress(TransactionConflict):  # it waits to be committed: not before then
                    await self._partitions.execute(OBJECTS_KEYSPACE, stem, command)
                    count += 1
        return count

    async def released(
        self, released_before_ms: int, routes: Sequence[bytes] | None = None
    ) -> AsyncIterator[bytes]:
        """RELEASED keys for `collect`, old enough that no reader uses them."""
        async for keys in work_pages(
            self._partitions, lambda start: ListReleased(start, released_before_ms, _PAGE), routes
        ):
            for key in keys:
                yield key

    async def collect_released(
        self, released_before_ms: int, routes: Sequence[bytes] | None = None
    ) -> int:
        """Drop all that was released that long ago; how many references to chunks that were."""
        count = 0
        async for key in self.released(released_before_ms, routes):
            async for _ in self.collect(key):
                count += 1
        return count

    async def collect(self, released_key: bytes) -> AsyncIterator[bytes]:
        """Drop what a RELEASED record holds, step by step; yields the ids that lost a reference.

        Ids that were dropped are not reported twice.
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
