"""Which node of each zone keeps a chunk: one consistent-hash ring per zone.

The token of a chunk is the xxh3-64 of its id. Every node computes the same owners from the same
cluster map. After a change of the map 1/N of the chunks have a new owner and still lie at an old
one: the last few rings are kept, so that readers know where else to look.
"""

from __future__ import annotations

from collections.abc import Callable

from trilith.cluster.cluster_map import ClusterMap, NodeState
from trilith_native.ring import ZoneRings

EARLIER_RINGS_MAX = 4

Members = tuple[tuple[str, str, int], ...]  # (node id, zone, weight)


class Placement:
    """Owners of chunks under the current map. Look-ups are safe from any thread."""

    def __init__(self, cluster_map: ClusterMap) -> None:
        self._map = cluster_map
        cluster_map.on_change(self._rebuild)
        self._members = _members(cluster_map)
        self._rings = ZoneRings(self._members)
        self._earlier: list[ZoneRings] = []  # the latest first

    def owners(self, chunk_id: bytes) -> dict[str, str]:
        """Zone -> the node that keeps the chunk there. Zones without a data node are left out."""
        return self._rings.owners_of(chunk_id)

    def owner_in(self, zone: str, chunk_id: bytes) -> str | None:
        """The zone's owner; None when the zone has no data node."""
        rings = self._rings
        return rings.ring(zone).owner_of(chunk_id) if zone in rings.zones else None

    def earlier_owners(self, zone: str, chunk_id: bytes) -> list[str]:
        """Former owners of the chunk in a zone that still are in the map, the latest first."""
        current = self.owner_in(zone, chunk_id)
        former = dict.fromkeys(
            rings.ring(zone).owner_of(chunk_id) for rings in self._earlier if zone in rings.zones
        )
        nodes = self._map.nodes
        return [node for node in former if node != current and node in nodes]

    def zones(self) -> tuple[str, ...]:
        """Zones that can keep chunks, sorted."""
        return self._rings.zones

    def reachable_zones(self, is_reachable: Callable[[str], bool]) -> set[str]:
        """Zones with at least one data node that can be reached."""
        return {zone for node_id, zone, _ in self._members if is_reachable(node_id)}

    def _rebuild(self) -> None:
        members = _members(self._map)
        if members == self._members:
            return  # an address changed: no chunk moves
        self._earlier = [self._rings, *self._earlier[: EARLIER_RINGS_MAX - 1]]
        self._members, self._rings = members, ZoneRings(members)


def _members(cluster_map: ClusterMap) -> Members:
    return tuple(
        (record.node_id, record.zone, record.weight)
        for _, record in sorted(cluster_map.nodes.items())
        if record.state is NodeState.ACTIVE and record.weight > 0
    )
