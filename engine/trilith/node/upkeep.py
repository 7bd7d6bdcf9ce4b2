"""What a node does unasked so that deleted bytes come back to the disk.

*Housekeeping*, by the leader of each object partition: manifests whose gateway died are given up,
and released ones are dropped once no reader can use them any more. *Collection*, by every data
node: chunks without a reference are removed and their extents compacted (chunks/collector.py).
*Scrubbing*: everything on the disk is read in search of bad bytes. A bad chunk is fetched from
another zone; a bad log makes its replica ask its leader for a snapshot, as long as all zones are in
sync, so that it is never the last good one that gives up; the ordered store tells its owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import asdict
from typing import Any

from trilith.chunks.collector import Collector
from trilith.cluster.bootstrap import OBJECTS
from trilith.cluster.placement import Placement
from trilith.cluster.router import Router
from trilith.config import Config
from trilith.edge.metrics import Metrics
from trilith.errors import Corruption, TrilithError
from trilith.objects.housekeeping import Housekeeping
from trilith.objects.references import ObjectReferences
from trilith.replication.host import ReplicaHost
from trilith.replication.messages import Reject
from trilith.replication.replica import Replica
from trilith.runtime.ports import Runtime
from trilith.storage.chunk_store import ChunkStore
from trilith.storage.compaction import Compactor
from trilith.storage.scrub import Scrubber, Steps, chunk_steps, store_steps

LOG_READ_BYTES = 1024 * 1024


class Upkeep:
    """Housekeeping and collection of one node."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        host: ReplicaHost,
        router: Router,
        chunks: ChunkStore,
        placement: Placement,
        zone: str,
        config: Config,
        on_damaged: Callable[[bytes], None],
        on_missing: Callable[[bytes], None],
        log: Callable[..., None],
    ) -> None:
        self._clock = runtime.clock
        self._host = host
        self._log = log
        self._grace_s = config.chunks.gc_grace_seconds
        self._interval_s = config.chunks.gc_interval_seconds
        self._abandon_s = config.objects.abandon_after_seconds
        self._workers = runtime.workers
        self._chunks = chunks
        self._on_damaged = on_damaged
        self._scrub_interval_s = config.storage.scrub_interval_seconds
        self._scrubber = Scrubber(
            bytes_per_second_max=config.storage.scrub_bytes_per_second_max, log=log
        )
        self._housekeeping = Housekeeping(router)
        self._references_dropped = self._manifests_abandoned = 0
        self._compactor = Compactor(
            runtime,
            chunks,
            bytes_per_second_max=config.chunks.compaction_bytes_per_second_max,
            on_damaged=on_damaged,
        )
        self._collector = Collector(
            runtime,
            chunks,
            ObjectReferences(router),
            placement,
            self._compactor,
            node_id=host.node_id,
            zone=zone,
            grace_s=self._grace_s,
            interval_s=self._interval_s,
            changes=self._changes,
            on_missing=on_missing,
            log=log,
        )

    def _changes(self) -> Hashable:
        """How far the partitions' logs are applied here: the same while nothing is written."""
        indexes = []
        for partition_id, (descriptor, _) in sorted(self._host.descriptors.items()):
            if descriptor.keyspace == OBJECTS:
                replica = self._host.replicas.get(partition_id)
                if replica is None:
                    return object()  # unlike any other: nobody tells us of its changes
                indexes.append((partition_id, replica.applied_index))
        return tuple(indexes)

    async def collect(self) -> None:
        """Collect and scrub, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._collector.run())
            group.create_task(self._scrub())

    async def _scrub(self) -> None:
        while True:
            await asyncio.sleep(self._scrub_interval_s)
            replicas = list(self._host.replicas.values())
            sources: list[tuple[str, Steps]] = [
                ("extents", chunk_steps(self._chunks, self._workers, self._bad_chunk)),
                *((f"log of {r.partition_id}", self._log_steps(r)) for r in replicas),
            ]
            if replicas:
                sources.append(("ordered store", self._store_steps(replicas[0])))
            await self._scrubber.round(sources)

    def _bad_chunk(self, chunk_id: bytes) -> None:
        self._scrubber.progress.bad_chunks += 1
        self._log("scrub_found", source="extents", chunk_id=chunk_id.hex())
        self._on_damaged(chunk_id)

    async def _store_steps(self, replica: Replica) -> AsyncIterator[int]:
        try:
            async for size in store_steps(replica.ports.store):
                yield size
        except Corruption:
            self._scrubber.progress.bad_store_reads += 1
            raise

    async def _log_steps(self, replica: Replica) -> AsyncIterator[int]:
        """The entries that the journal keeps of one replica."""
        index = replica.log.first_index
        while not replica.damaged and index <= replica.log.durable_index:
            try:
                entries = replica.log.read(index, max_bytes=LOG_READ_BYTES, from_disk=True)
            except LookupError:  # dropped meanwhile
                index = max(index + 1, replica.log.first_index)
                continue
            except Corruption:
                self._scrubber.progress.bad_log_records += 1
                self._rebuild_replica(replica)
                raise
            if not entries:
                return
            index = entries[-1][1] + 1
            yield sum(len(payload) for _, _, payload in entries)

    def _rebuild_replica(self, replica: Replica) -> None:
        """Its leader, or the next one, sends a snapshot to a replica that says it is damaged."""
        descriptor = replica.descriptor
        if len(descriptor.in_sync) == len(descriptor.replicas):
            replica.step_down("its log has a bad record")
            replica.granted = False
            replica.damaged = True
            # An idle leader asks nothing that could be answered so. (Where we led, the next leader
            # asks when it begins.)
            reject = Reject(replica.partition_id, replica.epoch, replica.commit_index, True)
            replica.ports.send(replica.leader_node, reject)

    async def keep_house(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            routes = [
                replica.range.start
                for replica in self._host.replicas.values()
                if replica.leader is not None and replica.descriptor.keyspace == OBJECTS
            ]
            try:
                await self._keep_house(routes)
            except TrilithError as error:
                self._log("housekeeping_failed", error=error.code, message=error.message)

    async def _keep_house(self, routes: list[bytes]) -> None:
        now_ms = self._clock.wall_ms()
        self._manifests_abandoned += await self._housekeeping.abandon_stale(
            now_ms - self._abandon_s * 1000, routes
        )
        self._references_dropped += await self._housekeeping.collect_released(
            now_ms - self._grace_s * 1000, routes
        )

    def facts(self) -> dict[str, Any]:
        """For `trilith status`."""
        return {
            **asdict(self._collector.progress),
            "references_dropped": self._references_dropped,
            "manifests_abandoned": self._manifests_abandoned,
            "compaction": asdict(self._compactor.progress),
            "scrub": asdict(self._scrubber.progress),
        }

    def register(self, metrics: Metrics) -> None:
        """Progress, as metrics."""
        collected, compacted = self._collector.progress, self._compactor.progress
        scrubbed = self._scrubber.progress
        for name, text, read_total in (
            ("bad_chunks", "Chunks that the scrubber found damaged.", lambda: scrubbed.bad_chunks),
            (
                "bad_log_records",
                "Times that the scrubber could not read a replica's log.",
                lambda: scrubbed.bad_log_records,
            ),
            ("rounds", "Times that everything on the disk was read.", lambda: scrubbed.rounds),
        ):
            metrics.add_collector(f"trilith_scrub_{name}", text, "counter", _as_float(read_total))
        for name, text, kind, read in (
            (
                "gc_condemned_bytes",
                "Sealed bytes of chunks without a reference that are still kept.",
                "gauge",
                lambda: collected.condemned_bytes,
            ),
            (
                "gc_condemned_chunks",
                "Chunks without a reference that are still kept.",
                "gauge",
                lambda: collected.condemned_chunks,
            ),
            (
                "gc_removed_chunks",
                "Chunks removed for want of a reference.",
                "counter",
                lambda: collected.removed_chunks,
            ),
            (
                "gc_removed_bytes",
                "Sealed bytes of removed chunks.",
                "counter",
                lambda: collected.removed_bytes,
            ),
            (
                "gc_failed_cycles",
                "Looks for garbage that could not be finished.",
                "counter",
                lambda: collected.failed_cycles,
            ),
            (
                "compaction_reclaimed_bytes",
                "Bytes of dropped extents.",
                "counter",
                lambda: compacted.bytes_reclaimed,
            ),
            (
                "compaction_copied_bytes",
                "Bytes of living chunks copied out of dropped extents.",
                "counter",
                lambda: compacted.bytes_copied,
            ),
            (
                "compaction_dead_bytes",
                "Bytes of extents that nothing is found in, not yet given back.",
                "gauge",
                lambda: compacted.dead_bytes,
            ),
        ):
            metrics.add_collector(f"trilith_{name}", text, kind, _as_float(read))


def _as_float(read: Callable[[], int]) -> Callable[[], float]:
    return lambda: float(read())
