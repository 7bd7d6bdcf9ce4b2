"""Merging a partition into its left neighbour: what was split comes together again (rule 7).

The logs decide, as for splits, and the coordinator is told afterwards. B is the partition that
goes, A the one to its left; both have the same replicas, and any nodes may lead them.

1. B's leader logs a *closing* entry. From then on it takes no commands, and once the entry is in a
   replica's log that replica answers nothing that must be current: whoever may have answered before
   has the entry by its commit (Replica.closing). B's log goes on, but only with the empty entries
   of new leaders.
2. A's leader, who finds that the partition that begins where A ends is closed and applied here,
   logs an *absorbing* entry, which names B's closing entry. A replica takes it into its log only
   when all of B up to there is applied beside it (Replica._require_absorbable). So every replica
   that A's commit has waited for can do what the entry says, whoever leads next. Applied, in one
   write: A's range ends where B's did, and B's range record says whose its records are now. Nothing
   moves: records, and the results that make a retry apply once, lie in the order of their logical
   keys.
3. B's descriptor is marked `absorbed_by`: routers forget it. 4. A's descriptor is widened.

Nodes of a version that knows no merges would take the entries for mere writes, and keep answering
for B: neither 1 nor 2 is begun while a replica is on one (abilities.py).

There is no way back from 1 (a way back would need somebody to decide between the two logs), and
none is needed: the neighbour is found by where ranges end, not by its name. Should A split, or be
absorbed itself meanwhile, whoever ends at B's beginning then absorbs it. So B is closed only when
nothing stands in the way (`_require_whole`), and every later step is taken by the leaders of that
time, who find all that they need in their own replicas; each can be repeated. Between 1 and 2 B's
keys are refused (retryable): for two commits in health, for a takeover if a node dies then.

What has to go on:

* Sequences (Context.sequence): `lead` makes A's grow beyond whatever B gave out.
* The floor below which commands are forgotten: the higher of both.
* What models know of a partition as such: `Division.united`. Not built for objects, whose replicas
  must not only have the log but also the chunks: refused (`Division.merges`).

On one node: B's replica is *retired* when A's applies the entry, and its log leaves the journal
once the ordered store is flushed behind that (`forget`). A replica of A that lacks a part of B's
log gets it from B's leader; when B's descriptor is marked nobody leads B any more, and the replica
gets a snapshot of A, which takes the place of both (snapshot.py). The marked descriptor stays: a
survivor of two lost zones (`trilith recover`) may have nothing but B's own log, and then B is B
again, and closed, or not, as that log says. Ids are never used twice.

tests/model/Merging.tla is the specification; "in the model" below names its actions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from trilith.errors import (
    ConditionalConflict,
    InvalidRequest,
    NotLeader,
    StorageFailure,
    Unavailable,
)
from trilith.replication.abilities import Abilities
from trilith.replication.descriptor import Descriptor
from trilith.replication.followers import State
from trilith.replication.ranges import (
    Absorb,
    Close,
    Division,
    decode_range,
    encode_range,
    floor_key,
    range_key,
    tombstone,
)
from trilith.replication.replica import Replica
from trilith.replication.replica_ports import Readiness
from trilith.replication.swaps import Swaps
from trilith.storage.journal import Journal
from trilith.storage.ordered_store import DELETE_RANGE, PUT, Operation, OrderedStore
from trilith.storage.segment import DROP

COMMIT_WAIT_S = 5.0


class Merging:
    """See the module's text. One node's."""

    def __init__(
        self,
        *,
        node_id: str,
        replicas: dict[int, Replica],
        marked: Mapping[int, tuple[Descriptor, int]],
        journal: Journal,
        store: OrderedStore,
        division_of: Callable[[int], Division | None],
        swaps: Swaps,
        abilities: Abilities,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        is_silent: Callable[[str], bool],
        log: Callable[..., None],
    ) -> None:
        """`marked`: the descriptors of partitions that were absorbed."""
        self.merges = 0  # that this node led, as the one that absorbs
        self._node_id = node_id
        self._replicas = replicas
        self._marked = marked
        self._journal = journal
        self._store = store
        self._division_of = division_of
        self._swaps = swaps
        self._abilities = abilities
        self._spawn = spawn
        self._is_silent = is_silent
        self._log = log
        self._busy: set[int] = set()
        self._absorbed: dict[int, asyncio.Event] = {}

    # step 1

    async def merge(self, partition_id: int) -> int:
        """Merge a partition that this node leads into its left neighbour, whose id is returned.

        Close in the model, which does not need `_require_whole`.

        Raises NotLeader, InvalidRequest (it has none, or this kind is not merged),
        ConditionalConflict (not now: nothing was done) and CoordinatorUnavailable. TimeoutError,
        or an error of the log: it may have been closed, and then it will be absorbed.
        """
        replica = self._replicas.get(partition_id)
        if replica is None or replica.leader is None:
            raise NotLeader("a partition is merged by its leader", leader="")
        division = self._division_of(replica.descriptor.keyspace)
        if division is None or not division.merges:
            raise InvalidRequest("partitions of this kind are not merged")
        if not replica.descriptor.parent or not replica.range.start:
            raise InvalidRequest("only what a split has made is merged again")
        left = self.left_of(replica)
        if left is None:
            raise ConditionalConflict("the neighbour to the left has no replica here")
        await self._require_whole(replica, left)
        leader = replica.leader
        if leader is None or not leader.may_change_range():
            raise ConditionalConflict("the partition cannot be merged right now")
        progress = leader.followers.progress.values()
        if any(p.state is not State.STREAM or p.joining or p.dropping for p in progress):
            raise ConditionalConflict("a replica of the partition does not keep up")
        closed = msgspec.structs.replace(
            replica.range, closed=replica.log.last_index + 1, closed_epoch=leader.epoch
        )
        done = self._absorbed.setdefault(partition_id, asyncio.Event())
        try:
            index = leader.log_change(
                [(PUT, range_key(partition_id), encode_range(closed))], merge=Close()
            )
            self._log("closing", partition=partition_id, into=left.partition_id, index=index)
            async with asyncio.timeout(COMMIT_WAIT_S):
                await done.wait()
        finally:
            self._absorbed.pop(partition_id, None)
        tombstone = replica.range
        return tombstone.absorbed_by or left.partition_id

    def left_of(self, replica: Replica) -> Replica | None:
        """The neighbour's replica, if it is here and well."""
        for other in self._replicas.values():
            if (
                other.descriptor.keyspace == replica.descriptor.keyspace
                and not (other.awaited or other.retired or other.damaged)
                and other.range.end == replica.range.start
            ):
                return other
        return None

    async def _require_whole(self, replica: Replica, left: Replica) -> None:
        """Raises ConditionalConflict unless all replicas of both are in sync, on nodes that know
        merges, and nothing else is under way with their ranges; CoordinatorUnavailable.
        """
        await self._abilities.refresh()
        for one in (left, replica):
            seen = await self._swaps.refresh(one.partition_id)
            if seen is None or seen[0].absorbed_by:
                raise ConditionalConflict("the partitions have changed")
            descriptor = seen[0]
            if len(descriptor.in_sync) < len(descriptor.replicas) or descriptor.recovered:
                raise ConditionalConflict("a replica is not in sync")
            if self._is_silent(descriptor.leader):
                raise ConditionalConflict("a leader is silent")
        if left.descriptor.replicas != replica.descriptor.replicas:
            raise ConditionalConflict("the neighbour's replicas are on other nodes")
        older = self._abilities.unable_to_merge(replica.descriptor.replica_nodes())
        if older:
            raise ConditionalConflict(
                f"{' and '.join(older)} would not understand it: nodes of a version that cannot "
                "merge partitions; upgrade them first"
            )
        if left.range.end != replica.range.start or not left.is_settled or left.installing:
            raise ConditionalConflict("the neighbour is being split or merged")
        first = floor_key(replica.descriptor.keyspace, replica.partition_id)
        above = floor_key(replica.descriptor.keyspace, replica.partition_id + 1)
        if any(key != first for key, _ in self._store.scan(first, above)):
            raise ConditionalConflict("results recorded by an earlier version have yet to be swept")

    # step 2

    def closed(self, replica: Replica) -> None:
        """A replica here has applied the entry that closes it."""
        del replica
        asyncio.get_running_loop().call_soon(self.absorb_closed)

    def absorb_closed(self) -> None:
        """Called every tick, too: absorb what is closed, where the left neighbour is led here."""
        for replica in list(self._replicas.values()):
            if not replica.range.closed or replica.retired:
                continue
            for left in self._replicas.values():
                if (
                    left.leader is not None
                    and left.range.end == replica.range.start
                    and left.descriptor.keyspace == replica.descriptor.keyspace
                    and left.leader.may_change_range()
                ):
                    with suppress(Unavailable):  # no room: tried again by the next tick
                        self._absorb(left, replica)
                    break

    def _absorb(self, left: Replica, right: Replica) -> None:
        """Absorb in the model."""
        leader, record, gone = left.leader, left.range, right.range
        division = self._division_of(left.descriptor.keyspace)
        if (
            leader is None
            or division is None
            or right.awaited
            or right.damaged
            or right.applied_index < gone.closed
            or left.descriptor.replicas != right.descriptor.replicas
            or self._abilities.unable_to_merge(left.descriptor.replica_nodes())
        ):
            return
        keyspace, index = left.descriptor.keyspace, left.log.last_index + 1
        lead = max(leader.lead, gone.closed + gone.lead - index)
        wide = msgspec.structs.replace(
            record,
            end=gone.end,
            generation=record.generation + 1,
            child=0,
            child_end=b"",
            absorbed=right.partition_id,
            absorbed_at=index,
            lead=lead,
        )
        first = floor_key(keyspace, right.partition_id)
        operations: list[Operation] = [
            (PUT, range_key(left.partition_id), encode_range(wide)),
            tombstone(right.partition_id, gone, left.partition_id),
            (DELETE_RANGE, first, floor_key(keyspace, right.partition_id + 1)),
        ]
        floor = max(leader.floor, self._store.get(first) or b"")
        if floor:
            operations.append((PUT, floor_key(keyspace, left.partition_id), floor))
        known = division.united(leader.view, record.start, right.view, gone.start)
        operations += [(PUT, bytes((keyspace, family)) + key, v) for family, key, v in known]
        merge = Absorb(right.partition_id, gone.closed, gone.closed_epoch, lead)
        leader.log_change(operations, merge=merge)
        self._log("absorbing", partition=left.partition_id, absorbed=right.partition_id)

    def absorbable(self, merge: Absorb) -> Readiness:
        """Whether all of the log that the entry speaks of is applied here; what is merely logged
        here is applied now, since it is known to be committed (Takes, Lost and MadeReady in the
        model).
        """
        replica = self._replicas.get(merge.partition)
        missing = Readiness.LOST if merge.partition in self._marked else Readiness.AWAITED
        if replica is None or replica.damaged or replica.awaited:
            return missing
        if replica.retired:
            return Readiness.LOST  # the neighbour here was set back behind what it had absorbed
        log = replica.log
        if replica.applied_index < merge.index <= log.durable_index:
            if log.epoch_at(merge.index) != merge.epoch:
                return missing
            replica.commit_to(merge.index)
            missing = Readiness.AWAITED  # of the store
        return Readiness.READY if replica.applied_index >= merge.index else missing

    def make_ready(self, left: Replica, index: int) -> bool:
        """Apply what is before each entry up to `index` that absorbs a partition, and look whether
        all of that one is applied here; False: apply no more now (Apply in the model).
        """
        for entry in list(left.absorbs):
            if entry.index > index:
                break
            assert isinstance(entry.merge, Absorb)
            left.apply_to(entry.index - 1)  # a split, perhaps, that made what is absorbed
            if left.commit_index < entry.index - 1:
                return False
            if self.absorbable(entry.merge) is not Readiness.READY:
                return False
        return True

    def absorbed(self, left: Replica, partition_id: int) -> None:
        """A replica here has applied the entry that absorbs a partition."""
        replica = self._replicas.get(partition_id)
        if replica is not None:
            replica.retire()
        if partition_id in self._absorbed:
            self._absorbed[partition_id].set()
        if left.leader is not None:
            self.merges += 1
            asyncio.get_running_loop().call_soon(self.publish)  # until then B is asked in vain

    def replay(self) -> bool:
        """At a start: whoever has an entry that absorbs had applied here all that it speaks of, and
        so has it in the journal, or is damaged. Whether anything was applied. Up in the model.
        """
        progress = False
        for left in self._replicas.values():
            for entry in left.absorbs:
                assert isinstance(entry.merge, Absorb)
                right = self._replicas.get(entry.merge.partition)
                if right is None or right.awaited:
                    continue
                before = right.applied_index
                self.absorbable(entry.merge)
                progress = progress or right.applied_index > before
        return progress

    def require_replayed(self) -> None:
        """After all that can be replayed was."""
        for left in self._replicas.values():
            for entry in left.absorbs:
                assert isinstance(entry.merge, Absorb)
                if self.absorbable(entry.merge) is not Readiness.READY:
                    left.damaged = True

    # steps 3 and 4

    def publish(self) -> None:
        """Called every tick: tell the coordinator what the logs of led partitions have absorbed."""
        for replica in list(self._replicas.values()):
            if replica.leader is not None and replica.absorbs:
                self._apply_what_is_told(replica)
            if replica.retired and not replica.descriptor.absorbed_by:
                owner = self._owner_of(replica)
                widens = owner is not None and not owner.is_published
                if owner is not None and not widens:  # else that marks it, too
                    self._start(replica.partition_id, partial(self._mark, replica, owner))
                elif owner is None and self._is_set_back(replica):
                    self._start(replica.partition_id, partial(self._testify, replica))
            elif replica.leader is not None and replica.range.absorbed and not replica.is_published:
                self._start(replica.partition_id, partial(self._widen, replica))

    def _apply_what_is_told(self, left: Replica) -> None:
        """A mark proves that the entry was committed, which a leader may have forgotten in a crash:
        left alone in sync, it could neither commit it again, nor take in anybody, who would have to
        absorb what nobody leads any more. ApplyTold in the model.
        """
        for entry in list(left.absorbs):
            assert isinstance(entry.merge, Absorb)
            if entry.merge.partition in self._marked:
                left.commit_to(entry.index)

    def _owner_of(self, replica: Replica) -> Replica | None:
        start, keyspace = replica.range.start, replica.descriptor.keyspace
        for other in self._replicas.values():
            if (
                other.leader is not None
                and other.descriptor.keyspace == keyspace
                and other.covers(start)
            ):
                return other
        return None

    def _is_set_back(self, replica: Replica) -> bool:
        """Whether what had absorbed it here was damaged since, and filled with what it had been
        before, by a leader that had told nobody and forgot it in a crash.
        """
        start, owner = replica.range.start, self._replicas.get(replica.range.absorbed_by)
        return (
            owner is not None
            and not (owner.descriptor.recovered or replica.descriptor.recovered)
            and owner.range.end == start
            and not (owner.damaged or owner.descriptor.absorbed_by)
            and not any(other.covers(start) for other in self._of_keyspace(replica))
        )

    def _of_keyspace(self, replica: Replica) -> list[Replica]:
        keyspace = replica.descriptor.keyspace
        return [r for r in self._replicas.values() if r.descriptor.keyspace == keyspace]

    def _start(self, partition_id: int, work: Callable[[], Awaitable[None]]) -> None:
        if partition_id in self._busy:
            return
        self._busy.add(partition_id)

        async def run() -> None:
            try:
                await work()
            finally:
                self._busy.discard(partition_id)

        self._spawn(run())

    async def _mark(self, replica: Replica, owner: Replica) -> None:
        """Mark in the model."""
        seen = await self._swaps.refresh(replica.partition_id)
        if seen is None or seen[0].absorbed_by or owner.leader is None:
            return
        wanted = msgspec.structs.replace(seen[0], absorbed_by=owner.partition_id)
        await self._swaps.swap_from(wanted, seen[1])

    async def _testify(self, replica: Replica) -> None:
        """Its tombstone proves that the entry was committed, and nobody else may know it any more:
        the leader is waiting for us to take the entry, which we cannot do a second time (Testify in
        the model).
        """
        seen = await self._swaps.refresh(replica.partition_id)
        if seen is None or seen[0].absorbed_by or not self._is_set_back(replica):
            return
        wanted = msgspec.structs.replace(seen[0], absorbed_by=replica.range.absorbed_by)
        if await self._swaps.swap_from(wanted, seen[1]):
            self._log("merge_remembered", partition=wanted.absorbed_by, gone=replica.partition_id)

    async def _widen(self, replica: Replica) -> None:
        """Mark and Widen in the model: whoever takes over in between goes on with the second."""
        record = replica.range
        seen = await self._swaps.refresh(replica.partition_id)
        if seen is None or seen[0].leader != self._node_id or replica.leader is None:
            return
        current = seen[0]
        if current.generation >= record.generation:
            return
        gone = await self._swaps.refresh(record.absorbed)
        if gone is not None and not gone[0].absorbed_by:
            marked = msgspec.structs.replace(gone[0], absorbed_by=replica.partition_id)
            if not await self._swaps.swap_from(marked, gone[1]):
                return
        wanted = msgspec.structs.replace(
            replica.descriptor,
            end=record.end.hex(),
            generation=record.generation,
            first_end=current.end if current.first_end is None else current.first_end,
        )
        if await self._swaps.swap(replica, wanted):
            self._log("merged", partition=replica.partition_id, absorbed=record.absorbed)

    # the end of a replica

    def is_over(self, partition_id: int) -> bool:
        """Whether a marked partition has nothing here that could still be needed."""
        stored = self._store.get(range_key(partition_id))
        known = self._journal.last_index(partition_id) > 0
        if stored is None:
            return not known
        if decode_range(stored).absorbed_by:
            if known:
                self._drop(partition_id)
            return True
        return False

    def _drop(self, partition_id: int) -> bool:
        """Let go of a log; False when there is no room to say so: later, then."""
        try:
            self._journal.append(DROP, partition_id, 0, 0, b"", None)
        except (Unavailable, StorageFailure):
            return False
        return True

    def over(self) -> list[Replica]:
        """Replicas of marked partitions that are of no use here: to be forgotten once the store is
        flushed behind this moment.

        Retired ones; and those whose split was never applied here, because a snapshot of what has
        absorbed them was faster: they would hold on to the journal for ever.
        """
        marked = [r for r in self._replicas.values() if r.descriptor.absorbed_by]
        return [r for r in marked if r.retired or (r.awaited and self._is_covered(r))]

    def _is_covered(self, replica: Replica) -> bool:
        return any(
            other.can_tell(replica.range.start, None) and not other.absorbs
            for other in self._replicas.values()
            if other.descriptor.keyspace == replica.descriptor.keyspace and other is not replica
        )

    def forget(self, replicas: Iterable[Replica]) -> None:
        """The store was flushed. One whose mark an operator took away meanwhile (`trilith recover`)
        stays, so that it is marked again. Forget in the model.
        """
        for replica in [one for one in replicas if one in self.over()]:
            if self._drop(replica.partition_id):
                del self._replicas[replica.partition_id]
