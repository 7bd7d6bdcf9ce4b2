"""Which led partitions this node lets their left neighbours absorb (replication/merging.py).

Splitting the other way round, and far from its thresholds, so that the two never take turns: a
partition that a split made is merged when it and its neighbour have both been *calm* for
`merge_after_seconds`, that is, each has taken less than a tenth of the commands and reads at which
one is split, and its node less than a third of the processor at which it splits one; and when
together they hold less than half of the bytes at which one is split. A partition that has just
been made, or has another leader, counts as calm from then on at the earliest.

The leader of the right one decides; it asks the leader of the left one how long that has been
calm. One merge at a time for each node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from trilith.config import Partitions
from trilith.errors import Corruption, NotLeader, TrilithError
from trilith.node.auto_split import MEASURE_BYTES_PER_SECOND, Marks, shares_of_limits, steps
from trilith.node.processor_load import ProcessorLoad
from trilith.node.read_heat import ReadHeat
from trilith.peers.hub import PeerHub
from trilith.replication.host import ReplicaHost
from trilith.replication.leader import Leader
from trilith.replication.ranges import Division
from trilith.replication.replica import Replica
from trilith.runtime.clock import Clock
from trilith.runtime.network import Buffer
from trilith.runtime.workers import Workers
from trilith.storage.ordered_store import OrderedStore

METHOD = "node.partition_calm"
CALM_SHARE = 0.1  # of the commands and reads a second at which a partition is split
CALM_BUSY_SHARE = 1 / 3  # of how busy a node may be before a partition is split
SIZE_SHARE = 0.5  # of the bytes at which a partition is split, for what a merge makes
LOOK_S = 1.0
ASK_S = 2.0
COOL_DOWN_S = 60.0  # after an attempt that came to nothing

_ids = msgspec.msgpack.Decoder(int)
_seconds = msgspec.msgpack.Decoder(float)


@dataclass(slots=True)
class _Calm:
    """One leadership of one range, as it was looked at last."""

    leader: Leader
    generation: int
    commands: int
    at: float
    since: float
    not_before: float = 0.0


class AutoMerge:
    """One node's. `store_bytes`: what the whole store holds, about."""

    def __init__(
        self,
        *,
        host: ReplicaHost,
        hub: PeerHub,
        reads: ReadHeat,
        load: ProcessorLoad,
        divisions: dict[int, Division],
        partitions: Partitions,
        clock: Clock,
        store: OrderedStore,
        store_bytes: Callable[[], int],
        workers: Workers,
        log: Callable[..., None],
    ) -> None:
        self._host = host
        self._hub = hub
        self._reads = reads
        self._load = load
        self._mergeable = {keyspace for keyspace, one in divisions.items() if one.merges}
        self._partitions = partitions
        self._after_s = partitions.merge_after_seconds
        self._clock = clock
        self._store = store
        self._store_bytes = store_bytes
        self._workers = workers
        self._log = log
        self._calm: dict[int, _Calm] = {}
        hub.serve(METHOD, self._answer)

    async def watch(self) -> None:
        """Until cancelled; returns when partitions are never to be merged."""
        if not self._after_s:
            return
        while True:
            await asyncio.sleep(LOOK_S)
            led = [
                replica
                for replica in self._host.replicas.values()
                if replica.leader is not None and replica.descriptor.keyspace in self._mergeable
            ]
            now = self._clock.monotonic()
            self._calm = {
                replica.partition_id: self._look(replica, replica.leader, now)
                for replica in led
                if replica.leader is not None
            }
            for replica in led:
                if self._is_due(replica, now):
                    await self._merge(replica)
                    break

    def _look(self, replica: Replica, leader: Leader, now: float) -> _Calm:
        calm = self._calm.get(replica.partition_id)
        generation = replica.range.generation
        if calm is None or calm.leader is not leader or calm.generation != generation:
            not_before = 0.0 if calm is None else calm.not_before
            return _Calm(leader, generation, leader.commands, now, now, not_before)
        rate = (leader.commands - calm.commands) / max(now - calm.at, 0.001)
        calm.commands, calm.at = leader.commands, now
        reads = self._reads.rate(replica.partition_id)
        heat = sum(shares_of_limits(self._partitions, rate, reads))
        busy = self._load.share * 100 / self._partitions.busy_percent_max
        if heat >= CALM_SHARE or busy >= CALM_BUSY_SHARE:
            calm.since = now
        return calm

    def _calm_s(self, partition_id: int, now: float) -> float:
        """For how long; raises NotLeader."""
        calm, replica = self._calm.get(partition_id), self._host.replicas.get(partition_id)
        if calm is None or replica is None or replica.leader is not calm.leader:
            raise NotLeader("the partition is not led here", leader="")
        return now - calm.since

    def _is_due(self, replica: Replica, now: float) -> bool:
        calm = self._calm.get(replica.partition_id)
        return (
            calm is not None
            and replica.descriptor.parent > 0
            and now >= calm.not_before
            and now - calm.since >= self._after_s
        )

    async def _answer(self, peer: str, header: bytes, body: memoryview) -> tuple[bytes, Buffer]:
        del peer, body
        seconds = self._calm_s(_ids.decode(header), self._clock.monotonic())
        return msgspec.msgpack.encode(seconds), b""

    async def _merge(self, replica: Replica) -> None:
        """If the neighbour is calm, too, and both are small enough."""
        calm = self._calm[replica.partition_id]
        calm.not_before = self._clock.monotonic() + COOL_DOWN_S
        left = self._host.merging.left_of(replica)
        if left is None:
            return
        try:
            calm_s = await self._ask(left)
            if calm_s < self._after_s:
                calm.not_before -= COOL_DOWN_S - LOOK_S
                return
            if not await self._are_small(left, replica):
                now = self._clock.monotonic()
                calm.not_before = now + self._partitions.measure_interval_seconds
                self._log("too_large_to_merge", partition=replica.partition_id)
                return
            into = await self._host.merging.merge(replica.partition_id)
        except Corruption:
            return  # whoever is told of damage rebuilds the store
        except (TrilithError, TimeoutError) as error:
            self._log("merge_failed", partition=replica.partition_id, error=repr(error))
        else:
            self._log("merged_partition", partition=replica.partition_id, into=into)

    async def _ask(self, left: Replica) -> float:
        """For how long the neighbour has been calm. Raises TrilithError."""
        node = left.descriptor.leader
        if node == self._host.node_id:
            return self._calm_s(left.partition_id, self._clock.monotonic())
        header = msgspec.msgpack.encode(left.partition_id)
        answer, _ = await self._hub.call(node, METHOD, header, deadline_s=ASK_S)
        return _seconds.decode(answer)

    async def _are_small(self, *replicas: Replica) -> bool:
        """Whether they hold little enough together; both are here. Raises Corruption."""
        most = self._partitions.split_bytes * SIZE_SHARE
        if self._store_bytes() < most:
            return True
        marks = Marks()
        reader = self._store.snapshot()
        for replica in replicas:
            keyspace, number = replica.descriptor.keyspace, replica.partition_id
            sizes: Iterator[int] = steps(reader, keyspace, number, replica.range, marks)
            while (size := await self._workers.run(next, sizes, None)) is not None:
                if marks.size >= most:
                    return False
                await asyncio.sleep(size / MEASURE_BYTES_PER_SECOND)
        return marks.size < most
