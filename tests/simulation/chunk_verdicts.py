"""Judgements on chunks that do not ask the code under test: records and files are read as they are.

* A node that is taken into an in-sync set has its zone's chunks of that partition (DESIGN: rule 3).
* No chunk that a manifest names is missing: at any time two zones have it, and when everything
  is whole again, each zone alone can give every object. Excused are only those that two zones took
  along when they were lost, by the survivor's own repair queue at that moment (owed.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.cluster import SimCluster
from tests.simulation.node import SimNode
from tests.simulation.owed import Owed, is_whole, owner_of, records
from tests.simulation.ports import WALL_START_MS

from trilith.cluster.bootstrap import OBJECTS
from trilith.objects.keys import REPAIR, SEGMENT, split_repair_key
from trilith.objects.records import REPAIR_RECORD, SEGMENT_RECORD
from trilith.replication import descriptor as descriptors
from trilith.replication.descriptor import IN_SYNC_MIN, Descriptor

NEW_ENTRY_S = 4.0  # an entry may come between the look at the queue and the swap; and clocks differ


def references(node: SimNode, descriptor: Descriptor) -> set[bytes]:
    """Ids of the chunks that the committed manifests of one partition name, by a node's store."""
    found: set[bytes] = set()
    for _, value in records(node, descriptor, SEGMENT):
        ids = SEGMENT_RECORD.decode(value).chunk_ids
        found.update(ids[i : i + 32] for i in range(0, len(ids), 32))
    return found


def _repairs(node: SimNode, descriptor: Descriptor) -> Iterator[tuple[str, bytes, int]]:
    """(zone, chunk id, since when in milliseconds of true time, roughly)."""
    for key, value in records(node, descriptor, REPAIR):
        yield *split_repair_key(key), REPAIR_RECORD.decode(value).created_ms - WALL_START_MS


def judge_joins(cluster: SimCluster, rotten: str, owed: Owed) -> None:
    """Look at every node that is taken into a set, at that moment; what is wrong is a defect."""

    judged_before = cluster.coordinator.on_change

    def changed(key: str, before: bytes | None, after: bytes | None) -> None:
        judged_before(key, before, after)
        if not key.startswith(descriptors.PREFIX) or before is None or after is None:
            return
        old, new = descriptors.decode(before), descriptors.decode(after)
        if new.keyspace != OBJECTS or len(old.in_sync) < IN_SYNC_MIN:
            return  # one that is alone takes in whoever has the log (node/repair.py)
        for node_id in set(new.in_sync) - set(old.in_sync):
            cluster.defects += _lacking(cluster, new, cluster.node(node_id), rotten, owed)

    cluster.coordinator.on_change = changed


def _lacking(
    cluster: SimCluster, new: Descriptor, joined: SimNode, rotten: str, owed: Owed
) -> Iterator[str]:
    leader = cluster.node(new.leader)
    led = cluster.replica(new.leader, new.partition_id)
    if led is None or led.pending:
        return  # its store is behind what is committed: references may be gone already
    now_ms = cluster.loop.now * 1000
    told = {c: ms for zone, c, ms in _repairs(leader, new) if zone == joined.zone}
    for chunk_id in sorted(references(leader, new)):
        owner = owner_of(cluster, joined.zone, chunk_id)
        if not owner.booted or owner.node_id == rotten or is_whole(owner, chunk_id):
            continue
        is_old = chunk_id not in told or now_ms - told[chunk_id] > NEW_ENTRY_S * 1000
        if is_old and not owed.is_lost(chunk_id):
            yield (
                f"{joined.node_id} joined partition {new.partition_id} at {now_ms / 1000:.3f}"
                f" without chunk {chunk_id.hex()[:12]} of its zone ({owner.node_id})"
            )


def lost_chunks(cluster: SimCluster, rotten: str, owed: Owed) -> Iterator[str]:
    """Chunks that fewer zones have than were told to their writer, now that all nodes run."""
    for descriptor in _object_partitions(cluster):
        leader = cluster.node(descriptor.leader)
        repairs = {(zone, chunk_id) for zone, chunk_id, _ in _repairs(leader, descriptor)}
        for chunk_id in sorted(references(leader, descriptor)):
            for zone in descriptor.replicas:
                owner = owner_of(cluster, zone, chunk_id)
                excused = owner.node_id == rotten or owner.burnt or (zone, chunk_id) in repairs
                excused = excused or chunk_id in owed.excused
                if not excused and not is_whole(owner, chunk_id):
                    name = chunk_id.hex()[:12]
                    yield f"{owner.node_id} lacks chunk {name}, which is referenced"


def every_zone_is_whole(cluster: SimCluster, owed: Owed | None = None) -> bool:
    """Whether each zone alone can give every object, by its own replicas and its own chunks."""
    for descriptor in _object_partitions(cluster):
        for zone, node_id in descriptor.replicas.items():
            node = cluster.node(node_id)
            for chunk_id in references(node, descriptor):
                if not is_whole(owner_of(cluster, zone, chunk_id), chunk_id) and not (
                    owed is not None and owed.is_lost(chunk_id)
                ):
                    return False
    return True


def _object_partitions(cluster: SimCluster) -> list[Descriptor]:
    return [d for d in cluster.descriptors() if d.keyspace == OBJECTS]
