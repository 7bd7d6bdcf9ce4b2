"""Every chunk reference of the cluster, read through the partitions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from trilith.errors import WrongRange
from trilith.objects.commands import FindUsers, ListReferences, References, Settle, Users
from trilith.objects.keys import BUCKET_ID_SIZE, KEYSPACE_END, OBJECTS_KEYSPACE, key_of
from trilith.replication.state_machine import Partitions

_SEGMENTS_PER_PAGE = 64
_SEGMENTS_PER_LOOK = 256


class ObjectReferences:
    """Implements `chunks.collector.References`."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def settled_pages(self) -> AsyncIterator[bytes]:
        """Chunk ids end to end. Complete for what was evaluated before the first step.

        Raises TrilithError when a partition cannot be asked, or the partitions changed meanwhile:
        then nothing is known.
        """
        routes = self._routes()
        for route in routes:
            await self._partitions.execute(OBJECTS_KEYSPACE, route, Settle(route))
        for route in routes:
            async for page in self._pages(route, route, KEYSPACE_END):
                yield page
        if self._routes() != routes:
            raise WrongRange("the partitions changed while references were read")

    async def pages(self) -> AsyncIterator[bytes]:
        """Chunk ids end to end: what is committed, without a barrier. Raises TrilithError."""
        for route in self._routes():
            async for page in self._pages(route, route, KEYSPACE_END):
                yield page

    async def is_referenced(self, stem: bytes, end: bytes, chunk_id: bytes) -> bool:
        """Whether a segment between two logical keys of one partition names the chunk."""
        async for page in self._pages(stem, stem, end):
            if any(page[i : i + 32] == chunk_id for i in range(0, len(page), 32)):
                return True
        return False

    async def users(self, chunk_ids: set[bytes]) -> AsyncIterator[tuple[bytes, bytes, str]]:
        """(chunk id, bucket id, object key) for each segment that names one of a few chunks.

        Reads every segment there is. Raises TrilithError.
        """
        ids = b"".join(sorted(chunk_ids))
        for route in self._routes():
            start = route
            while True:
                query = FindUsers(start, KEYSPACE_END, ids, _SEGMENTS_PER_LOOK)
                found = cast(
                    Users,
                    await self._partitions.query(
                        OBJECTS_KEYSPACE, route, query, touched=(route, KEYSPACE_END)
                    ),
                )
                for chunk_id, key in found.users:
                    yield chunk_id, key[:BUCKET_ID_SIZE], key_of(key).decode(errors="replace")
                if not found.next_start:
                    break
                start = found.next_start

    def _routes(self) -> list[bytes]:
        return self._partitions.partition_starts(OBJECTS_KEYSPACE, b"", KEYSPACE_END)

    async def _pages(self, route: bytes, start: bytes, end: bytes) -> AsyncIterator[bytes]:
        while True:
            found = cast(
                References,
                await self._partitions.query(
                    OBJECTS_KEYSPACE,
                    route,
                    ListReferences(start, end, _SEGMENTS_PER_PAGE),
                    touched=(route, end),
                ),
            )
            if found.chunk_ids:
                yield found.chunk_ids
            if not found.next_start:
                return
            start = found.next_start
