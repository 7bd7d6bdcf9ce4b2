"""Chunks that this node's zone was never given, as far as this node's own disk can tell.

A chunk may be stored while its node in one zone does not answer. Its manifest is then committed
with an entry of the repair queue: every replica that has the manifest knows what its zone is owed
(DESIGN: chunk pipeline), whether the others still exist or not. That is what a survivor must add
when it is asked what it has (DESIGN: replication, rule 9): its log may be complete, and the bytes
were in the two zones that are gone.

Counted is what the log says, applied or not, less what lies in the zone nevertheless (its entry is
only to be taken off yet) and what the object does not need any more. No entry tells what a lost
disk had: while it is being filled anew, that is said instead (a leader that is alone takes in who
has the log).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import islice
from typing import cast

import msgspec

from trilith.chunks.service import ChunkService
from trilith.cluster.bootstrap import OBJECTS
from trilith.cluster.placement import Placement
from trilith.errors import TrilithError
from trilith.objects.commands import FindUsers, Keys, ListRepairs, Users
from trilith.objects.keys import (
    BUCKET_ID_SIZE,
    OWNER_SIZE,
    RELEASED,
    key_of,
    split_repair_key,
    stem_end,
    successor,
)
from trilith.replication.host import ReplicaHost
from trilith.replication.replica import Replica
from trilith.replication.state_machine import View
from trilith.replication.view import logged_view

BucketNames = Callable[[], Awaitable[dict[bytes, str]]]

ENTRIES_MAX = 10_000  # of one partition: above it the counts are lower bounds
OBJECTS_MAX = 20  # named for each partition
_PAGE = 256
_SEGMENTS_PER_LOOK = 256
_STEMS_PER_TURN = 8  # half a millisecond
_NAMES_S_MAX = 0.5  # less than the deadline of whoever gathers the facts of all nodes


class Owed(msgspec.Struct, frozen=True):
    """Of one partition. `objects`: BUCKET/KEY of some that need the chunks. `more`: there are
    more entries than were looked at. `rebuilding`: this node's disk is being filled anew, and any
    chunk may be missing that no entry names."""

    partition: int
    chunks: int
    objects: tuple[str, ...] = ()
    more: bool = False
    rebuilding: bool = False


class OwedChunks:
    """Reads what this node has, a little at a time: there may be ten thousand objects to look at,
    and leases to renew meanwhile. Asking other nodes of the zone for chunks touches those.
    """

    def __init__(
        self,
        host: ReplicaHost,
        service: ChunkService,
        placement: Placement,
        zone: str,
        bucket_names: BucketNames,
        is_rebuilt: Callable[[], bool],
    ) -> None:
        self._host = host
        self._service = service
        self._placement = placement
        self._zone = zone
        self._bucket_names = bucket_names
        self._is_rebuilt = is_rebuilt

    async def of_all(self) -> list[Owed]:
        """By partition id; partitions whose log owes the zone nothing are left out."""
        found = [(one.partition_id, *await self._of(one)) for one in self._replicas()]
        rebuilding = not self._is_rebuilt()
        names = await self._names() if any(needed for _, needed, _ in found) else {}
        return [
            _owed(number, needed, more, names, rebuilding)
            for number, needed, more in found
            if needed or rebuilding
        ]

    async def chunk_ids(self) -> set[bytes]:
        """What the zone lacks by this node's log, of all partitions."""
        found = set[bytes]()
        for replica in self._replicas():
            needed, _ = await self._of(replica)
            found.update(*needed.values())
        return found

    def _replicas(self) -> list[Replica]:
        """Those of objects, by partition id."""
        replicas = (replica for _, replica in sorted(self._host.replicas.items()))
        return [one for one in replicas if one.descriptor.keyspace == OBJECTS and not one.retired]

    async def is_given_all(self, replica: Replica) -> bool:
        """Whether the zone has every chunk that this node's log of a partition says it missed, of
        objects that are yet to be stored, too.
        """
        view = logged_view(replica.ports.store, OBJECTS, replica.range, replica.pending)
        entries, more = await self._entries(replica, view)
        async for _ in self._absent({chunk_id for _, chunk_id in entries}):
            return False
        return not more

    async def _of(self, replica: Replica) -> tuple[dict[bytes, set[bytes]], bool]:
        """(stem -> chunks that are needed and not in the zone, whether there may be more)."""
        view = logged_view(replica.ports.store, OBJECTS, replica.range, replica.pending)
        entries, more = await self._entries(replica, view)
        ids = {chunk_id for _, chunk_id in entries}
        absent = {chunk_id async for chunk_id in self._absent(ids)} if ids else ids
        by_stem: dict[bytes, set[bytes]] = defaultdict(set)
        for stem, chunk_id in entries:
            if chunk_id in absent:
                by_stem[stem].add(chunk_id)
        for number, (stem, wanted) in enumerate(by_stem.items()):
            if not number % _STEMS_PER_TURN:
                await asyncio.sleep(0)
            by_stem[stem] = await self._needed(replica, view, stem, wanted)
        return {stem: needed for stem, needed in by_stem.items() if needed}, more

    async def _entries(
        self, replica: Replica, view: View
    ) -> tuple[list[tuple[bytes, bytes]], bool]:
        """(stem, chunk id) of each entry of this zone, and whether there are more."""
        entries: list[tuple[bytes, bytes]] = []
        start = replica.range.start
        while True:
            query = ListRepairs(start, self._zone, _PAGE)
            found = cast(Keys, replica.model.answer(query, view))
            entries += [(key[: stem_end(key)], split_repair_key(key)[1]) for key in found.keys]
            if not found.next_start or len(entries) >= ENTRIES_MAX:
                return entries, bool(found.next_start)
            start = found.next_start
            await asyncio.sleep(0)

    async def _absent(self, chunk_ids: set[bytes]) -> AsyncIterator[bytes]:
        """Those that the zone's owner does not say to have."""
        by_owner: dict[str, list[bytes]] = defaultdict(list)
        for chunk_id in sorted(chunk_ids):
            by_owner[self._placement.owner_in(self._zone, chunk_id) or ""].append(chunk_id)
        for owner, ids in by_owner.items():
            for page in _pages(ids):
                await asyncio.sleep(0)
                for chunk_id, there in zip(page, await self._there(owner, page), strict=True):
                    if not there:
                        yield chunk_id

    async def _there(self, owner: str, chunk_ids: list[bytes]) -> list[bool]:
        service = self._service
        if owner == service.node_id:
            return [service.store.contains(c) and not service.is_damaged(c) for c in chunk_ids]
        if not service.is_reachable(owner):
            return [False] * len(chunk_ids)
        try:
            return await service.touch(owner, chunk_ids)
        except TrilithError:
            return [False] * len(chunk_ids)

    async def _needed(
        self, replica: Replica, view: View, stem: bytes, wanted: set[bytes]
    ) -> set[bytes]:
        """Those that a segment names which is not released, to be collected."""
        ids, needed = b"".join(sorted(wanted)), set[bytes]()
        start = stem
        while True:
            query = FindUsers(start, successor(stem), ids, _SEGMENTS_PER_LOOK)
            found = cast(Users, replica.model.answer(query, view))
            for chunk_id, key in found.users:
                if view.get(RELEASED, key[: len(stem) + OWNER_SIZE]) is None:
                    needed.add(chunk_id)
            if not found.next_start or len(needed) == len(wanted):
                return needed
            start = found.next_start
            await asyncio.sleep(0)

    async def _names(self) -> dict[bytes, str]:
        try:
            async with asyncio.timeout(_NAMES_S_MAX):
                return await self._bucket_names()
        except (TrilithError, TimeoutError):
            return {}  # nobody leads, before `trilith recover`: by their ids, then


def _owed(
    partition: int,
    needed: dict[bytes, set[bytes]],
    more: bool,
    names: dict[bytes, str],
    rebuilding: bool,
) -> Owed:
    objects = tuple(_name(names, stem) for stem in islice(sorted(needed), OBJECTS_MAX))
    chunks = len(set[bytes]().union(*needed.values()))
    return Owed(partition, chunks, objects, more, rebuilding)


def _pages(ids: list[bytes]) -> Iterator[list[bytes]]:
    return (ids[at : at + _PAGE] for at in range(0, len(ids), _PAGE))


def _name(buckets: dict[bytes, str], stem: bytes) -> str:
    bucket_id = stem[:BUCKET_ID_SIZE]
    return f"{buckets.get(bucket_id, bucket_id.hex())}/{key_of(stem).decode(errors='replace')}"
