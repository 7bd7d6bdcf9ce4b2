"""Which nodes there are: this node's own record, and the map of all, kept fresh by a watch.

A node announces what its software can do before it takes part; one of an older version overwrites
the record with one that announces less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from trilith.cluster.cluster_map import ABILITIES, MERGES, ClusterMap, NodeRecord
from trilith.errors import CoordinatorUnavailable, RevisionConflict
from trilith.replication.coordinator import Coordinator

PREFIX = "nodes/"
RETRY_S = 0.2

_decoder = msgspec.json.Decoder(NodeRecord)


class Membership:
    """Registers this node and follows the others into the cluster map."""

    def __init__(
        self, coordinator: Coordinator, cluster_map: ClusterMap, log: Callable[..., None]
    ) -> None:
        self._coordinator = coordinator
        self._map = cluster_map
        self._log = log

    async def register(self, record: NodeRecord) -> NodeRecord | None:
        """Write this node's record, with what this version can do; returns what stood there before.

        Raises CoordinatorUnavailable.
        """
        record = msgspec.structs.replace(record, abilities=ABILITIES)
        key = PREFIX + record.node_id
        encoded = msgspec.json.encode(record)
        while True:
            found = await self._coordinator.get(key)
            if found is not None and found.value == encoded:
                return record
            try:
                await self._coordinator.compare_and_swap(
                    key, found.revision if found else 0, encoded
                )
            except RevisionConflict:
                continue
            return None if found is None else _decoder.decode(found.value)

    async def load(self) -> int:
        found, revision = await self._coordinator.list(PREFIX)
        self._map.replace([_decoder.decode(v.value) for v in found.values()])
        return revision

    async def refresh(self) -> int:
        """As `load`: what every node has announced by now (replication/abilities.py)."""
        return await self.load()

    def unable_to_merge(self, nodes: Iterable[str]) -> list[str]:
        return self._map.unable(MERGES, nodes)

    async def wait_for_zones(self, zones: tuple[str, ...]) -> list[NodeRecord]:
        """Returns once every zone has a node. Its caller may cancel."""
        while True:
            try:
                await self.load()
            except CoordinatorUnavailable as error:
                self._log("coordinator_unavailable", error=str(error))
            nodes = list(self._map.nodes.values())
            if set(zones) <= {node.zone for node in nodes}:
                return nodes
            await asyncio.sleep(RETRY_S)

    async def follow(self) -> None:
        """Keep the map fresh until cancelled, whatever one look meets."""
        while True:
            try:
                revision = await self.load()
                async for _ in self._coordinator.watch(PREFIX, revision):
                    await self.load()
            except CoordinatorUnavailable as error:
                self._log("watch_broken", error=str(error))
            except Exception as error:  # noqa: BLE001 - a defect: logged, and looked at again
                self._log("background_failed", error=repr(error), traceback=True)
            await asyncio.sleep(RETRY_S)
