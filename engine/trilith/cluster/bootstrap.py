"""The first partitions of a new cluster.

Every node computes the same layout from the same map and creates what is absent, so it does not
matter who is first, nor who dies half-way: a cluster of an earlier version is given what it lacks
in the same way. Object partitions cut the space of bucket ids evenly, table partitions the slots of
the hash space (tables/layout.py); leaders go round the zones.
"""

from __future__ import annotations

from collections.abc import Iterator

from trilith.cluster.cluster_map import NodeRecord
from trilith.errors import RevisionConflict
from trilith.replication import descriptor as descriptors
from trilith.replication.coordinator import Coordinator
from trilith.replication.descriptor import Descriptor

SYSTEM = 1
OBJECTS = 2
TABLES = 3
OBJECT_PARTITIONS = 6
# More make the batches of their leaders smaller, and writes dearer: load splits it when one node
# has no time for them all (node/auto_split.py).
TABLE_PARTITIONS = 1
TABLE_SLOTS = 12


def initial_layout(nodes: list[NodeRecord], zones: tuple[str, ...]) -> Iterator[Descriptor]:
    """One replica a zone, on the zone's first node by id."""
    by_zone = {
        zone: min((n for n in nodes if n.zone == zone), key=lambda n: n.node_id).node_id
        for zone in zones
    }
    members = list(by_zone.values())
    cuts = [b""]
    cuts += [bytes([256 * i // OBJECT_PARTITIONS]) for i in range(1, OBJECT_PARTITIONS)]
    ranges = [(SYSTEM, b"", b"")]
    ranges += [(OBJECTS, start, end) for start, end in zip(cuts, [*cuts[1:], b""], strict=True)]
    slots = [TABLE_SLOTS * i // TABLE_PARTITIONS for i in range(1, TABLE_PARTITIONS)]
    cuts = [b"", *(bytes([slot]) for slot in slots)]
    ranges += [(TABLES, start, end) for start, end in zip(cuts, [*cuts[1:], b""], strict=True)]
    for number, (keyspace, start, end) in enumerate(ranges):
        leader = members[number % len(members)]
        yield Descriptor(
            partition_id=number + 1,
            keyspace=keyspace,
            start=start.hex(),
            end=end.hex(),
            replicas=by_zone,
            leader=leader,
            epoch=1,
            in_sync=members,
            preferred_leader=leader,
        )


async def create_partitions(
    coordinator: Coordinator, nodes: list[NodeRecord], zones: tuple[str, ...]
) -> None:
    """Create the partitions that do not exist yet. Raises CoordinatorUnavailable."""
    existing, _ = await coordinator.list(descriptors.PREFIX)
    if existing:
        first = min(existing.values(), key=lambda v: v.revision)
        nodes_of_record = descriptors.decode(first.value).replicas.values()
        nodes = [n for n in nodes if n.node_id in nodes_of_record] or nodes
    for descriptor in initial_layout(nodes, zones):
        key = descriptors.key_of(descriptor.partition_id)
        if key in existing:
            continue
        try:
            await coordinator.compare_and_swap(key, 0, descriptors.encode(descriptor))
        except RevisionConflict:
            continue  # another node was first, with the same layout
