"""Every chunk reference of the cluster, read through the partitions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import cast

from trilith.objects.commands import FindUsers, ListReferences, References, Settle, Users
from trilith.objects.keys import BUCKET_ID_SIZE, KEYSPACE_END, OBJECTS_KEYSPACE, key_of
from trilith.replication.parts import execute_part, query_part
from trilith.replication.state_machine import Partitions

_SEGMENTS_PER_PAGE = 64
_SEGMENTS_PER_LOOK = 256


class ObjectReferences:
    """Implements `chunks.collector.References`."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def settled_pages(self) -> AsyncIterator[bytes]:
        """Chunk ids end to end. Complete for what was evaluated before the first step.

        Raises TrilithError when a partition cannot be asked: then nothing is known. Partitions may
        split meanwhile: every key has its barrier before any is read, and is read after it.
        """
        start = b""
        while start < KEYSPACE_END:
            _, start = await execute_part(
                self._partitions,
                OBJECTS_KEYSPACE,
                start,
                KEYSPACE_END,
                partial(_settle, start),
            )
        async for page in self.pages():
            yield page

    async def pages(self) -> AsyncIterator[bytes]:
        """Chunk ids end to end: what is committed, without a barrier. Raises TrilithError."""
        async for page in self._pages(b"", KEYSPACE_END):
            yield page

    async def users(self, chunk_ids: set[bytes]) -> AsyncIterator[tuple[bytes, bytes, str]]:
        """(chunk id, bucket id, object key) for each segment that names one of a few chunks.

        Reads every segment there is. Raises TrilithError.
        """
        ids = b"".join(sorted(chunk_ids))
        start = b""
        while start < KEYSPACE_END:
            query = FindUsers(start, KEYSPACE_END, ids, _SEGMENTS_PER_LOOK)
            answer, last = await query_part(
                self._partitions,
                OBJECTS_KEYSPACE,
                start,
                KEYSPACE_END,
                query,
            )
            found = cast(Users, answer)
            for chunk_id, key in found.users:
                yield chunk_id, key[:BUCKET_ID_SIZE], key_of(key).decode(errors="replace")
            start = found.next_start or last

    async def _pages(self, start: bytes, end: bytes) -> AsyncIterator[bytes]:
        while start < end:
            query = ListReferences(start, end, _SEGMENTS_PER_PAGE)
            answer, last = await query_part(self._partitions, OBJECTS_KEYSPACE, start, end, query)
            found = cast(References, answer)
            if found.chunk_ids:
                yield found.chunk_ids
            start = found.next_start or last


def _settle(start: bytes, _end: bytes) -> Settle:
    return Settle(start)
