"""Splitting the partitions of one node: logging a split, and making it known (rule 7).

The log decides; what is told to the coordinator follows it, by whoever leads the parent then:

1. an id for the child is counted up in the coordinator (a gap harms nobody);
2. the parent's leader logs the split. From its commit on the parent refuses the child's keys;
3. the child's descriptor is created: the replicas and the in-sync set that the parent has *now*.
   Whoever is in sync has the entry, since it was committed, or joined after it was. A node that is
   listed and yet lacks it (its disk was lost meanwhile) keeps the child awaited, and so neither
   acknowledges, leads nor answers: it is dropped as any follower that is stuck;
4. the parent's descriptor is shortened.

A step that fails is taken again at the next tick, by the leader of that time; every step can be
repeated. Between 3 and 4 the ranges of the descriptors overlap, and routers take the one that
starts last. The child is led by who created it, at once, and later moves to its preferred leader.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from trilith.errors import NotLeader, RevisionConflict
from trilith.replication import descriptor as descriptors
from trilith.replication.coordinator import Coordinator
from trilith.replication.descriptor import Descriptor
from trilith.replication.replica import Replica
from trilith.replication.swaps import Swaps
from trilith.replication.takeover import Takeover

COUNTER_KEY = "counters/partition"
FIRST_CHILD_ID = 1 << 20  # above what a new cluster begins with, also of later versions
COUNT_ATTEMPTS = 20
COMMIT_WAIT_S = 5.0


class Splitting:
    """See the module's text."""

    def __init__(
        self,
        *,
        node_id: str,
        coordinator: Coordinator,
        replicas: Mapping[int, Replica],
        known: Mapping[int, tuple[Descriptor, int]],
        changed: Callable[[Descriptor, int], None],
        swaps: Swaps,
        takeover: Takeover,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        log: Callable[..., None],
    ) -> None:
        """`known`: all descriptors; `changed` is told of newer ones."""
        self.splits = 0  # that this node led
        self._node_id = node_id
        self._coordinator = coordinator
        self._replicas = replicas
        self._known = known
        self._changed = changed
        self._swaps = swaps
        self._takeover = takeover
        self._spawn = spawn
        self._log = log
        self._busy: set[int] = set()
        self.creating: set[int] = set()  # children that are led as soon as they are known

    async def split(self, partition_id: int, key: bytes) -> int:
        """Split a partition that this node leads; the child's id. Returns when it is committed.

        Raises NotLeader, ConditionalConflict (another split is on its way), WrongRange, and
        CoordinatorUnavailable; TimeoutError when the commit does not come.
        """
        replica = self._replicas.get(partition_id)
        if replica is None or replica.leader is None:
            raise NotLeader("a partition is split by its leader", leader="")
        child = await self._new_id()
        leader = replica.leader
        if leader is None:
            raise NotLeader("the leader moved", leader="")
        index = leader.split(key, child)
        self._log("split_logged", partition=partition_id, child=child, key=key.hex(), index=index)
        async with asyncio.timeout(COMMIT_WAIT_S):
            await replica.wait_applied(index)
        self.splits += 1
        return child

    async def _new_id(self) -> int:
        for _ in range(COUNT_ATTEMPTS):
            found = await self._coordinator.get(COUNTER_KEY)
            number = FIRST_CHILD_ID if found is None else int(found.value) + 1
            try:
                await self._coordinator.compare_and_swap(
                    COUNTER_KEY, found.revision if found else 0, b"%d" % number
                )
            except RevisionConflict:
                continue
            return number
        raise RevisionConflict("others keep counting partitions")

    def replay(self) -> bool:
        """A child's log begins behind an entry that its parent had applied here: what the store
        lost of the parent since, up to there, is known to be committed, and applied again. Whether
        any was.
        """
        progress, count = True, 0
        while progress:
            progress = False
            for child in list(self._replicas.values()):
                parent = self._replicas.get(child.descriptor.parent)
                base = child.log.first_index - 1
                if (
                    child.awaited
                    and child.log.last_index > 0
                    and parent is not None
                    and not parent.damaged
                    and not parent.awaited
                    and parent.commit_index < base <= parent.log.last_index
                ):
                    parent.commit_to(base)
                    progress = not child.awaited
                    count += progress
        return count > 0

    def applied(self, parent: Replica, child_id: int) -> None:
        """A replica of this node has applied a split."""
        child = self._replicas.get(child_id)
        if child is not None:
            child.arrive()
        self.publish(parent)

    def publish(self, parent: Replica) -> None:
        """Called every tick, too: tell the coordinator what the log of a led partition says.

        What is applied was committed. A leader that is alone, and commits nothing itself, tells it
        too: nobody is taken into its in-sync set before (in_sync_set.py).
        """
        if parent.leader is None or parent.is_published or parent.partition_id in self._busy:
            return
        if not parent.range.child:
            return  # it has absorbed another: merging.py
        self._busy.add(parent.partition_id)

        async def run() -> None:
            try:
                await self._publish(parent)
            finally:
                self._busy.discard(parent.partition_id)

        self._spawn(run())

    async def _publish(self, parent: Replica) -> None:
        """Steps 3 and 4 (Create and Shorten in Merging.tla). Raises CoordinatorUnavailable."""
        record = parent.range
        seen = await self._swaps.refresh(parent.partition_id)
        if seen is None or seen[0].leader != self._node_id or parent.leader is None:
            return
        current, _ = seen
        if current.generation >= record.generation:
            return
        if await self._swaps.refresh(record.child) is None:
            await self.create(current, parent)
        wanted = msgspec.structs.replace(
            parent.descriptor,
            end=record.end.hex(),
            generation=record.generation,
            first_end=current.end if current.first_end is None else current.first_end,
        )
        if await self._swaps.swap(parent, wanted):
            self._log("split", partition=parent.partition_id, child=record.child, key=wanted.end)

    async def create(self, current: Descriptor, parent: Replica) -> None:
        """The child's descriptor; and lead the child, if it was certainly us who created it."""
        record = parent.range
        child = msgspec.structs.replace(
            current,
            partition_id=record.child,
            start=record.end.hex(),
            end=record.child_end.hex(),
            epoch=current.epoch + 1,
            preferred_leader=self.next_leader(current),
            generation=0,
            parent=parent.partition_id,
            first_end=None,
        )
        try:
            revision = await self._coordinator.compare_and_swap(
                descriptors.key_of(record.child), 0, descriptors.encode(child)
            )
        except RevisionConflict:
            await self._swaps.refresh(record.child)
            return
        self.creating.add(record.child)
        try:
            self._changed(child, revision)
            created = self._replicas.get(record.child)
            if created is not None:
                self._takeover.lead_first(created, child)
        finally:
            self.creating.discard(record.child)

    def next_leader(self, descriptor: Descriptor) -> str:
        """Who is to lead what a split makes: of the in-sync nodes that do not lead the parent, the
        one that is to lead the fewest.
        """
        counts = Counter(d.preferred_leader for d, _ in self._known.values())
        others = [node for node in descriptor.in_sync if node != descriptor.leader]
        return min(others or descriptor.in_sync, key=lambda node: (counts[node], node))
