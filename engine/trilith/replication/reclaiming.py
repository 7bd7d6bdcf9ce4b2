"""What a sole source makes of splits that it never had, and of replicas that are not whole.

DESIGN: replication, rule 9.

`trilith recover` names one node the sole source of every partition: what its disk holds is from
then on what there is. But descriptors tell of the world as it was last, and this node may have been
away when a partition was split:

* it never logged the split: its replica of the parent holds the whole range. Once the whole log of
  the parent is applied, so that no split can come of it any more, the parent's descriptor is given
  what the replica holds, and then the child's is deleted. Descriptors overlap between the two, as
  in a split. A child of that child is held by the same replica, and goes the same way;
* it logged a split while it was cut off, as a leader whom the others had replaced: the child is
  made now, as by any split, and what the others split off meanwhile is a part of one of the two;
* it has the parent of after the split, by a snapshot, and of the child nothing but the rows that
  the parent held before: they become the child's;
* a replica whose journal is damaged goes on from what was applied and what the journal still gives
  behind it, and one whose snapshot never became whole from the part that came.

The last two are *salvaged*: nobody knows how far they are complete, and their descriptors say so
(0 in `complete_until_ms`). Every step can be repeated; none is taken unless the descriptor names
this node the sole source. Nobody joins a partition before its descriptor tells its range
(`is_settled`), so that the others are given the map as it has become.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from itertools import takewhile
from typing import Any

import msgspec

from trilith.errors import Corruption, RevisionConflict
from trilith.replication import descriptor as descriptors
from trilith.replication.coordinator import Coordinator
from trilith.replication.descriptor import NOT_KNOWN_MS, Descriptor
from trilith.replication.entry import (
    Applied,
    applied_key,
    decode_applied,
    decode_entry,
    encode_applied,
)
from trilith.replication.ranges import (
    Division,
    RangeRecord,
    decode_range,
    encode_range,
    range_key,
)
from trilith.replication.replica import Replica
from trilith.replication.snapshot import target_of
from trilith.replication.swaps import Swaps
from trilith.replication.view import StoreView
from trilith.runtime.workers import Workers
from trilith.storage.ordered_store import PUT, Operation, OrderedStore

READ_BYTES = 1024 * 1024


class Reclaiming:
    """For one node's replicas; asked every tick about those whose descriptor says `recovered`."""

    def __init__(
        self,
        *,
        node_id: str,
        coordinator: Coordinator,
        store: OrderedStore,
        workers: Workers,
        replicas: Mapping[int, Replica],
        known: Mapping[int, tuple[Descriptor, int]],
        removed: Callable[[int, int], None],
        create: Callable[[Descriptor, Replica], Awaitable[None]],
        division_of: Callable[[int], Division | None],
        swaps: Swaps,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        log: Callable[..., None],
    ) -> None:
        """`known`: all descriptors; `removed(partition id, revision)` is told of a deletion;
        `create(parent's descriptor, parent)` makes the descriptor of a child (splitting.py).
        """
        self._node_id = node_id
        self._coordinator = coordinator
        self._store = store
        self._workers = workers
        self._replicas = replicas
        self._known = known
        self._removed = removed
        self._create = create
        self._division_of = division_of
        self._swaps = swaps
        self._spawn = spawn
        self._log = log
        self._busy: set[int] = set()

    def check(self, replica: Replica) -> None:
        """Take the next step for a partition of which this node may be the sole source."""
        if replica.partition_id in self._busy or not self._is_sole(replica.descriptor):
            return
        if replica.retired or replica.descriptor.absorbed_by:
            return
        work: Coroutine[Any, Any, None]
        if replica.leader is not None:
            if not _has_applied_all(replica) or self._is_told(replica):
                return
            work = self._tell(replica)
        elif replica.awaited or replica.damaged:
            holder = self._holder(replica)
            if holder is None:
                if replica.awaited and not self._others_are_told(replica.descriptor.keyspace):
                    return  # there may yet be one
                work = self._salvage(replica)
            elif _has_applied_all(holder) and self._is_told(holder):
                work = self._dissolve(replica, holder)
            else:
                return  # the holder may yet make it, or its descriptor comes first
        else:
            return
        self._busy.add(replica.partition_id)
        self._spawn(self._one(replica, work))

    def is_settled(self, partition_id: int) -> bool:
        """Whether a partition's range, and all that is to be a part of it, is told."""
        replica = self._replicas.get(partition_id)
        if replica is None or not replica.descriptor.recovered:
            return True
        return self._is_told(replica) and not any(
            other.awaited and self._is_sole(other.descriptor) and replica.may_make(other)
            for other in self._replicas.values()
        )

    def is_under_way(self, descriptor: Descriptor) -> bool:
        """Whether this node is the sole source of a partition, and cannot answer for it yet."""
        replica = self._replicas.get(descriptor.partition_id)
        return self._is_sole(descriptor) and not (
            replica is not None
            and _has_applied_all(replica)
            and self.is_settled(descriptor.partition_id)
        )

    async def _one(self, replica: Replica, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RevisionConflict:
            await self._swaps.refresh(replica.partition_id)
        finally:
            self._busy.discard(replica.partition_id)

    def _is_sole(self, descriptor: Descriptor) -> bool:
        return (
            descriptor.recovered
            and descriptor.leader == self._node_id
            and descriptor.in_sync == [self._node_id]
        )

    def _holder(self, child: Replica) -> Replica | None:
        """The replica here whose range, as far as it is applied, holds the child's."""
        if not child.awaited:
            return None
        return next(
            (r for r in self._replicas.values() if r is not child and r.may_make(child)), None
        )

    def _is_told(self, replica: Replica) -> bool:
        """Whether the descriptors tell the range that the log made, and the child of its split."""
        descriptor, record = replica.descriptor, replica.range
        return (
            descriptor.end_key == record.end
            and descriptor.generation == record.generation
            and self._has_told_child(record)
        )

    def _has_told_child(self, record: RangeRecord) -> bool:
        stored = self._store.get(range_key(record.child)) if record.child else None
        return stored is None or record.child in self._known or decode_range(stored).absorbed_by > 0

    def _others_are_told(self, keyspace: int) -> bool:
        """Whether every range that a log here makes, or could make, is known by now."""
        return all(
            _has_applied_all(replica) and self._is_told(replica)
            for replica in self._replicas.values()
            if replica.descriptor.keyspace == keyspace
            and self._is_sole(replica.descriptor)
            and not replica.awaited
            and not replica.retired
        )

    # splits that never came, or came of a log that nobody else has

    async def _tell(self, replica: Replica) -> None:
        """The descriptor is given the range that the log made."""
        record = replica.range
        if record.generation > replica.descriptor.generation:
            return  # a split of our own log: published as ever
        if not self._has_told_child(record) and await self._swaps.refresh(record.child) is None:
            await self._create(replica.descriptor, replica)
        wanted = msgspec.structs.replace(
            replica.descriptor, end=record.end.hex(), generation=record.generation
        )
        if await self._swaps.swap(replica, wanted):
            self._log("range_reclaimed", partition=replica.partition_id, end=wanted.end)

    async def _dissolve(self, child: Replica, holder: Replica) -> None:
        """The child never was, here: its keys are the holder's."""
        seen = await self._swaps.refresh(child.partition_id)
        if seen is None or not self._is_sole(seen[0]) or not holder.may_make(child):
            return
        descriptor, revision = seen
        until = _earlier(holder.descriptor, descriptor, self._node_id)
        if until != holder.descriptor.complete_until_ms:
            told = msgspec.structs.replace(holder.descriptor, complete_until_ms=until)
            if not await self._swaps.swap(holder, told):
                return
        key = descriptors.key_of(child.partition_id)
        revision = await self._coordinator.compare_and_swap(key, revision, None)
        self._log("split_undone", partition=holder.partition_id, child=child.partition_id)
        self._removed(child.partition_id, revision)

    # what is not whole

    async def _salvage(self, replica: Replica) -> None:
        """Go on from what the store holds of the range. Raises Unavailable, StorageFailure.

        The log begins anew above every index that any record here can have been made at.
        """
        wanted = msgspec.structs.replace(
            replica.descriptor,
            complete_until_ms={**replica.descriptor.complete_until_ms, self._node_id: NOT_KNOWN_MS},
        )
        if wanted != replica.descriptor and not await self._swaps.swap(replica, wanted):
            return
        number, keyspace = replica.partition_id, replica.descriptor.keyspace
        await self._apply_readable(replica)
        stored = self._store.get(range_key(number))
        record = decode_range(stored) if stored is not None else self._described(replica.descriptor)
        index = max(self._indexes(keyspace))
        adopted: list[Operation] = []
        if replica.awaited:
            record = msgspec.structs.replace(record, base_index=index, base_epoch=replica.epoch)
            adopted = list(self._carried(keyspace, record))
        replica.begin_install(self._node_id, replica.epoch, self, record)
        self._store.write(
            [
                *adopted,
                (PUT, range_key(number), encode_range(record)),
                (PUT, applied_key(number), encode_applied(index, replica.epoch)),
            ]
        )
        await self._workers.run(self._store.flush)
        if replica.installing_from is self:
            replica.install(index, replica.epoch)
            self._log("salvaged", partition=number, index=index)

    async def _apply_readable(self, replica: Replica) -> None:
        """What a damaged log still gives behind what is applied, up to the first entry that it
        does not, or that needs another partition's log to be whole.
        """
        if replica.awaited or decode_applied(
            self._store.get(applied_key(replica.partition_id))
        ) != (Applied(replica.applied_index, replica.applied_epoch)):
            return  # there is nothing yet, or a part of a snapshot
        replica.pending.clear()
        while replica.applied_index < replica.log.last_index:
            try:
                batch = replica.log.read(replica.applied_index + 1, max_bytes=READ_BYTES)
            except (LookupError, Corruption):
                return
            entries = [decode_entry(index, epoch, payload) for epoch, index, payload in batch]
            for entry in takewhile(lambda entry: entry.merge is None, entries):
                replica.add_pending(entry)
            last = replica.pending[-1].index if replica.pending else 0
            replica.apply_to(last)
            if replica.pending or last < entries[-1].index:
                return
            await asyncio.sleep(0)

    def _described(self, descriptor: Descriptor) -> RangeRecord:
        """A range as the map has it: up to the next partition, if that begins before it ends."""
        start, end = descriptor.start_key, descriptor.end_key
        if not descriptor.parent:
            return RangeRecord(start, descriptor.first_end_key)
        for other, _ in self._known.values():
            here = self._replicas.get(other.partition_id)
            if here is not None and here.retired:
                continue  # it was absorbed, and its descriptor is yet to say so again
            if other.keyspace == descriptor.keyspace and start < other.start_key:
                end = min(end, other.start_key) if end else other.start_key
        return RangeRecord(start, end, generation=descriptor.generation)

    def _indexes(self, keyspace: int) -> Iterator[int]:
        for replica in self._replicas.values():
            if replica.descriptor.keyspace == keyspace:
                applied = decode_applied(self._store.get(applied_key(replica.partition_id)))
                index = max(replica.log.last_index, applied.index, target_of(applied))
                yield index + replica.logged.lead

    def _carried(self, keyspace: int, record: RangeRecord) -> Iterator[Operation]:
        """What the split would have given the child, where there is nothing older."""
        starts = [
            r.range.start
            for r in self._replicas.values()
            if r.descriptor.keyspace == keyspace and not r.awaited and r.range.start < record.start
        ]
        division = self._division_of(keyspace)
        if division is None or not starts:
            return
        start = max(starts)
        view = StoreView(self._store, keyspace, start, record.end)
        for family, logical, value in division.carried(view, start, record.start):
            key = bytes((keyspace, family)) + logical
            if self._store.get(key) is None:
                yield PUT, key, value


def _has_applied_all(replica: Replica) -> bool:
    """Whether it leads, and nothing that it inherited waits to be applied."""
    leader = replica.leader
    return leader is not None and replica.commit_index >= leader.start_index


def _earlier(holder: Descriptor, child: Descriptor, node: str) -> dict[str, int]:
    """`complete_until_ms` of a partition that a child becomes a part of."""
    known = [d.complete_until_ms[node] for d in (holder, child) if node in d.complete_until_ms]
    return {**holder.complete_until_ms, node: min(known)} if known else holder.complete_until_ms
