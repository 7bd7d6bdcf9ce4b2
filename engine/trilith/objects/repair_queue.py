"""The durable repair queue, as the repair worker of a zone sees it (chunks/repair.py: RepairQueue).

Entries were committed with the manifest that names the chunk. They lie in the partitions of their
objects, so listing walks the partitions; there is no order of age between objects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from trilith.objects.commands import CompleteRepairs, DropRepair, GetRepair, ListRepairs, Records
from trilith.objects.keys import OBJECTS_KEYSPACE, split_repair_key, successor
from trilith.objects.work_lists import work_pages
from trilith.replication.parts import execute_part
from trilith.replication.state_machine import Partitions

_PAGE = 256


class RepairQueue:
    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def list_missing(self, zone: str, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to `limit` entries of a zone: (token for `complete`, chunk id)."""
        entries: list[tuple[bytes, bytes]] = []
        page = min(limit, _PAGE)
        pages = work_pages(self._partitions, lambda start: ListRepairs(start, zone, page))
        async for keys in pages:
            entries += [(key, split_repair_key(key)[1]) for key in keys]
            if len(entries) >= limit:
                break
        return entries[:limit]

    async def is_empty(self, zone: str) -> bool:
        """Whether the zone has every chunk that was committed before the call."""
        return not await self.list_missing(zone, 1)

    async def give_up(self, token: bytes, is_lost: Callable[[], Awaitable[bool]]) -> bool:
        """Take an entry off, durably, if its chunk is lost; whether it is off.

        `is_lost` is asked once the entry was read: a manifest that is committed later, and makes
        it anew, keeps it.
        """
        only = (token, successor(token))
        query = self._partitions.query(OBJECTS_KEYSPACE, token, GetRepair(token), touched=only)
        found = cast(Records, await query)
        if not found.records:
            return True
        if not await is_lost():
            return False
        command = DropRepair(token, found.records[0][0])
        await self._partitions.execute(OBJECTS_KEYSPACE, token, command)
        return True

    async def complete(self, tokens: Sequence[bytes]) -> None:
        """Take entries off, durably, once their chunks are durable in the zone. Repeatable."""
        left = sorted(tokens)
        while left:
            page = left[:_PAGE]

            def command_of(end: bytes, page: list[bytes] = page) -> CompleteRepairs:
                return CompleteRepairs([key for key in page if key < end])

            _, end = await execute_part(
                self._partitions, OBJECTS_KEYSPACE, page[0], page[-1] + b"\x00", command_of
            )
            left = [key for key in left if key >= end]
