"""Which node of each zone keeps a chunk: one consistent-hash ring per zone.

The token of a chunk is the xxh3-64 of its id. Every node computes the same owners from the same
cluster map. After a change of the map 1/N of the chunks have a new owner and still lie at an old
one: the last few rings are kept, so that readers know where else to look.
"""

from __future__ import annotations

from xxhash import xxh3_64_intdigest

from trilith.cluster.cluster_map import ClusterMap, NodeState
from trilith_native.ring import Ring

EARLIER_RINGS_MAX = 4
VIRTUAL_NODES = 128

Members = tuple[tuple[str, int], ...]


class _ZoneRings:
    """A zone's ring and, newest first, those before it."""

    __slots__ = ("earlier", "members", "ring")

    def __init__(self, members: Members) -> None:
        self.members = members
        self.ring = _ring(members)
        self.earlier: list[Ring] = []

    def change(self, members: Members) -> None:
        if members == self.members:
            return
        if self.ring is not None:
            self.earlier = [self.ring, *self.earlier[: EARLIER_RINGS_MAX - 1]]
        self.members, self.ring = members, _ring(members)


def _ring(members: Members) -> Ring | None:
    return Ring(list(members), VIRTUAL_NODES) if members else None


class Placement:
    """Owners of chunks under the current map. Rebuilt when the map's version moves."""

    def __init__(self, cluster_map: ClusterMap) -> None:
        self._map = cluster_map
        self._version = -1
        self._zones: dict[str, _ZoneRings] = {}

    def owners(self, chunk_id: bytes) -> dict[str, str]:
        """Zone -> the node that keeps the chunk there. Zones without a data node are left out."""
        if self._version != self._map.version:
            self._rebuild()
        token = xxh3_64_intdigest(chunk_id)
        return {
            zone: rings.ring.owner(token)
            for zone, rings in self._zones.items()
            if rings.ring is not None
        }

    def owner_in(self, zone: str, chunk_id: bytes) -> str | None:
        """The zone's owner; None when the zone has no data node."""
        if self._version != self._map.version:
            self._rebuild()
        rings = self._zones.get(zone)
        if rings is None or rings.ring is None:
            return None
        return rings.ring.owner(xxh3_64_intdigest(chunk_id))

    def earlier_owners(self, zone: str, chunk_id: bytes) -> list[str]:
        """Former owners of the chunk in a zone that still are in the map, the latest first."""
        if self._version != self._map.version:
            self._rebuild()
        rings = self._zones.get(zone)
        if rings is None or not rings.earlier:
            return []
        token = xxh3_64_intdigest(chunk_id)
        current = rings.ring.owner(token) if rings.ring is not None else None
        former = dict.fromkeys(ring.owner(token) for ring in rings.earlier)
        nodes = self._map.nodes
        return [node for node in former if node != current and node in nodes]

    def zones(self) -> tuple[str, ...]:
        """Zones that can keep chunks, sorted."""
        if self._version != self._map.version:
            self._rebuild()
        return tuple(zone for zone, rings in self._zones.items() if rings.ring is not None)

    def _rebuild(self) -> None:
        self._version = self._map.version
        names = sorted({*self._map.zones(), *self._zones})
        zones: dict[str, _ZoneRings] = {}
        for zone in names:
            members = tuple(
                (record.node_id, record.weight)
                for record in self._map.nodes_in(zone)
                if record.state is NodeState.ACTIVE and record.weight > 0
            )
            rings = self._zones.get(zone)
            if rings is None:
                rings = _ZoneRings(members)
            else:
                rings.change(members)
            zones[zone] = rings
        self._zones = zones
