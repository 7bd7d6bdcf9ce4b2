"""The repair queue of this node's zone, and whether a replica may rejoin (DESIGN: replication,
rule 3).

A chunk that a zone missed is an entry in the partition of the object that needs it, committed with
the manifest. A replica is taken into the in-sync set only when its zone's entries of that partition
are gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from trilith.chunks.service import ChunkService
from trilith.cluster.bootstrap import OBJECTS
from trilith.cluster.cluster_map import ClusterMap
from trilith.cluster.placement import Placement
from trilith.cluster.router import Router
from trilith.edge.metrics import Metrics
from trilith.objects.commands import Keys, ListRepairs
from trilith.objects.housekeeping import Housekeeping
from trilith.replication.host import ReplicaHost

COUNTED_MAX = 10_000


class RepairStation:
    """Built before the floors that it joins; `attach` gives it those."""

    def __init__(self, cluster_map: ClusterMap, zone: str, log: Callable[..., None]) -> None:
        self._map = cluster_map
        self._zone = zone
        self._log = log

    def attach(
        self, host: ReplicaHost, router: Router, service: ChunkService, placement: Placement
    ) -> None:
        self._host = host
        self._housekeeping = Housekeeping(router)
        self._service = service
        self._placement = placement

    async def ready_to_join(self, partition_id: int, node: str) -> bool:
        """Whether the node's zone lacks no chunk of this partition, which this node leads."""
        replica = self._host.replicas[partition_id]
        if replica.descriptor.keyspace != OBJECTS:
            return True
        query = ListRepairs(replica.descriptor.start_key, self._map.zone_of(node), 1)
        return not cast(Keys, replica.model.answer(query, replica.view)).keys

    async def pending_by_zone(self) -> dict[str, int]:
        """Chunks that each zone still lacks, counted up to a bound."""
        counts: Counter[str] = Counter()
        async for page in self._housekeeping.repairs():
            counts.update(entry.zone for entry in page)
            if counts.total() >= COUNTED_MAX:
                break
        return dict(counts)

    async def run(self) -> None:
        """Until cancelled."""

    def facts(self) -> dict[str, Any]:
        return {}

    def register(self, metrics: Metrics) -> None:
        """Progress, as metrics."""
