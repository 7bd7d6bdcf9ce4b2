"""The repair queue of this node's zone, and whether a replica may rejoin (DESIGN §4, rule 3).

A chunk that a zone missed is an entry in the partition of the object that needs it, committed with
the manifest. A replica is taken into the in-sync set only when its zone's entries of that partition
are gone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

import msgspec

from trilith.chunks.pipeline import ChunkPipeline
from trilith.chunks.rebuild import Rebuild
from trilith.chunks.repair import RepairWorker
from trilith.chunks.service import ChunkService
from trilith.cluster.bootstrap import OBJECTS
from trilith.cluster.cluster_map import ClusterMap
from trilith.cluster.placement import Placement
from trilith.cluster.router import Router
from trilith.config import Chunks
from trilith.edge.metrics import Metrics
from trilith.errors import TrilithError
from trilith.node.lost_chunks import BucketNames, LostChunks
from trilith.node.owed_chunks import OwedChunks
from trilith.node.quarantine import Quarantine
from trilith.objects.commands import Keys, ListRepairs
from trilith.objects.references import ObjectReferences
from trilith.objects.repair_queue import RepairQueue
from trilith.peers.hub import PeerHub
from trilith.replication.descriptor import IN_SYNC_MIN
from trilith.replication.host import ReplicaHost
from trilith.replication.state_machine import Model, View
from trilith.runtime.network import Buffer
from trilith.runtime.ports import Runtime

COUNTED_MAX = 10_000
REBUILT = "repair.rebuilt"
REBUILT_DEADLINE_S = 1.0
# Whoever asks for the status wants to know now, above all while a partition has no leader.
COUNTING_S_MAX = 1.0


async def is_missing_chunks(model: Model, view: View, start: bytes, zone: str) -> bool:
    """Whether the partition that begins at `start` has an entry of the zone's, by its view."""
    while True:
        found = cast(Keys, model.answer(ListRepairs(start, zone, 1), view))
        if found.keys:
            return True
        if not found.next_start:
            return False
        start = found.next_start  # behind many of other zones
        await asyncio.sleep(0)


class RepairStation:
    """Built before the floors that it joins; `attach` gives it those."""

    def __init__(self, cluster_map: ClusterMap, zone: str, log: Callable[..., None]) -> None:
        self._map = cluster_map
        self._zone = zone
        self._log = log
        self._host: ReplicaHost
        self._queue: RepairQueue
        self._worker: RepairWorker[bytes]
        self._rebuild: Rebuild
        self._lost: LostChunks
        self._owed: OwedChunks
        self._owed_to: Callable[[str], OwedChunks]
        self._hub: PeerHub

    def attach(
        self,
        host: ReplicaHost,
        router: Router,
        service: ChunkService,
        pipeline: ChunkPipeline,
        placement: Placement,
        *,
        runtime: Runtime,
        hub: PeerHub,
        config: Chunks,
        quarantine: Quarantine,
        bucket_names: BucketNames,
    ) -> None:
        """Must come before the host starts."""
        self._host = host
        self._hub = hub
        self._queue = RepairQueue(router)
        self._worker = RepairWorker(
            self._queue,
            service,
            placement,
            self._zone,
            bytes_per_second_max=config.repair_bytes_per_second_max,
            log=self._log,
        )
        self._rebuild = Rebuild(
            runtime,
            service.store,
            ObjectReferences(router),
            self._worker,
            placement,
            node_id=service.node_id,
            zone=self._zone,
            grace_s=config.gc_grace_seconds,
            log=self._log,
        )

        def owed_to(zone: str) -> OwedChunks:
            return OwedChunks(host, service, placement, zone, bucket_names, lambda: self.is_rebuilt)

        self._owed_to = owed_to
        self._owed = owed_to(self._zone)
        self._worker.owed = self._owed.chunk_ids
        self._lost = LostChunks(
            quarantine,
            self._worker,
            ObjectReferences(router),
            service.store,
            bucket_names=bucket_names,
            interval_s=config.gc_interval_seconds,
            log=self._log,
        )
        hub.serve(REBUILT, self._serve_rebuilt)
        service.on_damaged = self._worker.heal_soon
        service.is_damaged = self._worker.is_damaged
        service.on_replaced = self._worker.forget
        pipeline.reader.on_damaged = self._damaged

    def heal_soon(self, chunk_id: bytes) -> None:
        """This node's copy was found bad."""
        self._worker.heal_soon(chunk_id)

    def heal_unless_queued(self, chunk_id: bytes) -> None:
        """This node lacks a chunk. While its queue or its rebuild is not through, they bring it."""
        if self._worker.progress.queued == 0 and self._rebuild.progress.done:
            self._worker.heal_soon(chunk_id)

    def _damaged(self, chunk_id: bytes, zone: str) -> None:
        if zone == self._zone:
            self._worker.heal_soon(chunk_id)

    async def ready_to_join(self, partition_id: int, node: str) -> bool:
        """Whether the node's zone lacks no chunk of this partition, which this node leads."""
        replica = self._host.replicas[partition_id]
        if replica.descriptor.keyspace != OBJECTS:
            return True
        if len(replica.descriptor.in_sync) < IN_SYNC_MIN:
            # A leader that is alone commits nothing, and so answers neither a rebuild that asks for
            # references nor a repair that strikes out an entry: they go on once the node is in.
            return True
        try:
            answer, _ = await self._hub.call(node, REBUILT, b"", deadline_s=REBUILT_DEADLINE_S)
        except TrilithError:
            return False
        if answer != b"\x01":
            return False  # it lost its disk, and does not have its zone's chunks yet
        if replica.leader is None:
            return False
        # Of what is logged, too: a commit waits for the node from when it joins, not before.
        view, zone = replica.leader.view, self._map.zone_of(node)
        if not await is_missing_chunks(replica.model, view, replica.range.start, zone):
            return True
        # Entries are taken off by commits. Where there is none without the node, its zone need but
        # have the chunks.
        others = [one for one in replica.descriptor.in_sync if one != self._host.node_id]
        if any(self._host.hears(one) for one in others):
            return False
        end = replica.log.last_index
        given = await self._owed_to(zone).is_given_all(replica)
        return given and replica.log.last_index == end  # else there may be an entry more

    async def pending_by_zone(self) -> dict[str, int] | None:
        """Chunks that each zone still lacks, counted up to a bound; None: nobody can tell now."""
        counts: Counter[str] = Counter()
        try:
            async with asyncio.timeout(COUNTING_S_MAX):
                for zone in self._map.zones():
                    missing = await self._queue.list_missing(zone, COUNTED_MAX)
                    if missing:
                        counts[zone] = len(missing)
        except TrilithError as error:
            self._log("repair_queue_unavailable", error=error.code, message=error.message)
            return None
        except TimeoutError:
            self._log("repair_queue_unavailable", error="Timeout", message="no answer in time")
            return None
        return dict(counts)

    async def _serve_rebuilt(
        self, peer: str, header: bytes, body: memoryview
    ) -> tuple[bytes, Buffer]:
        del peer, header, body
        return (b"\x01" if self._rebuild.progress.done else b"\x00"), b""

    async def run(self) -> None:
        """Repair this node's chunks until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rebuild.run())
            group.create_task(self._worker.run())
            group.create_task(self._lost.run())

    @property
    def queued(self) -> int | None:
        """Entries of the queue that this node sees to, at least; None: it cannot be read now."""
        return self._worker.progress.queued

    @property
    def is_rebuilt(self) -> bool:
        """Whether this node has what it had before its disk was lost, if one was."""
        return self._rebuild.progress.done

    async def owed(self) -> list[dict[str, Any]] | None:
        """What this zone was never given, by this node's own log; None: that cannot be read."""
        try:
            return [msgspec.structs.asdict(owed) for owed in await self._owed.of_all()]
        except TrilithError as error:
            self._log("owed_chunks_unreadable", error=error.code, message=error.message)
            return None

    def facts(self) -> dict[str, Any]:
        return {**asdict(self._worker.progress), "rebuild": asdict(self._rebuild.progress)}

    def register(self, metrics: Metrics) -> None:
        """Progress, as metrics."""
        progress = self._worker.progress
        metrics.add_collector(
            "trilith_repair_pending_chunks",
            "Chunks that this node knows to lack.",
            "gauge",
            lambda: float(progress.pending),
        )
        metrics.add_collector(
            "trilith_repaired_chunks",
            "Chunks copied from other zones.",
            "counter",
            lambda: float(progress.done),
        )
        metrics.add_collector(
            "trilith_repaired_bytes",
            "Bytes copied from other zones.",
            "counter",
            lambda: float(progress.bytes_copied),
        )
