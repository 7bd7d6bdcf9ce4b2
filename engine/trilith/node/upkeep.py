"""What a node does unasked so that deleted bytes come back to the disk.

*Housekeeping*, by the leader of each object partition: manifests whose gateway died are given up,
and released ones are dropped once no reader can use them any more. *Collection*, by every data
node: chunks without a reference are removed and their extents compacted (chunks/collector.py).
(Reading it all in search of bad bytes: scrubbing.py.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import asdict
from typing import Any

from trilith.chunks.collector import Collector
from trilith.cluster.bootstrap import OBJECTS
from trilith.cluster.placement import Placement
from trilith.cluster.router import Router
from trilith.config import Config
from trilith.edge.metrics import Metrics
from trilith.errors import TrilithError
from trilith.objects.housekeeping import Housekeeping
from trilith.objects.references import ObjectReferences
from trilith.replication.host import ReplicaHost
from trilith.runtime.ports import Runtime
from trilith.storage.chunk_store import ChunkStore
from trilith.storage.compaction import Compactor


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
        """Until cancelled."""
        await self._collector.run()

    def retire_extent(self, number: int) -> None:
        """It has a bad byte: what lives in it is moved elsewhere, and its file goes."""
        self._compactor.retire(number)
        self._collector.compact_soon()

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
        }

    def register(self, metrics: Metrics) -> None:
        """Progress, as metrics."""
        collected, compacted = self._collector.progress, self._compactor.progress
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
