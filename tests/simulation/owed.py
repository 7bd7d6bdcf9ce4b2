"""What two lost zones may take along: chunks that the third had not been given yet.

Judged by the records as they lie in the survivor, apart from the code. A chunk may be missing in
the end only if, when the survivor was alone, an entry of the repair queue in its own log named it
for its own zone, its bytes did not lie there, and those who had it in both other zones are the lost
ones. And `trilith recover` must have said so, of exactly what was lacking then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tests.simulation.cluster import SimCluster
from tests.simulation.node import SimNode
from tests.simulation.ports import WALL_START_MS
from tests.simulation.registers import ask

from trilith.cluster.bootstrap import OBJECTS
from trilith.errors import Corruption, TrilithError
from trilith.objects.keys import (
    OWNER_SIZE,
    RELEASED,
    REPAIR,
    SEGMENT,
    split_repair_key,
    stem_end,
)
from trilith.objects.records import REPAIR_RECORD, SEGMENT_RECORD
from trilith.replication import descriptor as descriptors
from trilith.replication.descriptor import Descriptor
from trilith.storage.ordered_store import DELETE_RANGE, PUT

if TYPE_CHECKING:
    from tests.simulation.faults import Faults

CLOCKS_DIFFER_MS = 1_000
Needed = dict[bytes, set[bytes]]  # stem -> chunk ids


def records(node: SimNode, descriptor: Descriptor, family: int) -> Iterator[tuple[bytes, bytes]]:
    """(logical key, value) as a node's store has them."""
    prefix = bytes((OBJECTS, family))
    end = prefix + descriptor.end_key if descriptor.end else bytes((OBJECTS, family + 1))
    for key, value in node.store.scan(prefix + descriptor.start_key, end):
        yield key[2:], value


def logged(node: SimNode, descriptor: Descriptor, family: int) -> dict[bytes, bytes]:
    """The same with what is logged and not applied yet."""
    found = dict(records(node, descriptor, family))
    prefix = bytes((OBJECTS, family))
    replica = node.host.replicas.get(descriptor.partition_id)
    for entry in replica.pending if replica is not None else ():
        for kind, key, value in entry.effects():
            if kind == DELETE_RANGE:
                for gone in [k for k in found if key <= prefix + k < value]:
                    del found[gone]
            elif key.startswith(prefix):
                if kind == PUT:
                    found[key[2:]] = value
                else:
                    found.pop(key[2:], None)
    return found


def is_whole(node: SimNode, chunk_id: bytes) -> bool:
    """Whether the node can give the chunk."""
    station: Any = node
    try:
        station.chunks.read(chunk_id)
    except (KeyError, Corruption):
        return False
    return True


def owner_of(cluster: SimCluster, zone: str, chunk_id: bytes) -> SimNode:
    asked: Any = next(node for node in cluster.nodes if node.booted)
    return cluster.node(asked.placement.owner_in(zone, chunk_id))


class Owed:
    """`excused`: chunks that may be missing."""

    def __init__(self, cluster: SimCluster, faults: Faults) -> None:
        self.excused: set[bytes] = set()
        self._cluster = cluster
        self._faults = faults
        judged_before = cluster.coordinator.on_change

        def changed(key: str, before: bytes | None, after: bytes | None) -> None:
            if key.startswith(descriptors.PREFIX) and before is not None and after is not None:
                self._joined(descriptors.decode(before), descriptors.decode(after))
            judged_before(key, before, after)

        cluster.coordinator.on_change = changed

    def is_lost(self, chunk_id: bytes) -> bool:
        """Whether it may be missing, and no zone has it again (somebody may put it once more)."""
        cluster = self._cluster
        zones = {node.zone for node in cluster.nodes}
        return chunk_id in self.excused and not any(
            is_whole(owner_of(cluster, zone, chunk_id), chunk_id) for zone in zones
        )

    def excuses(self, chunk_id: bytes, stems: Sequence[bytes]) -> bool:
        """Whether it is lost, and one of these objects needs it."""
        cluster = self._cluster
        return self.is_lost(chunk_id) and any(
            chunk_id in named_chunks(cluster.node(descriptor.leader), descriptor).get(stem, ())
            for descriptor in cluster.descriptors()
            if descriptor.keyspace == OBJECTS
            for stem in stems
        )

    def _joined(self, old: Descriptor, new: Descriptor) -> None:
        """The survivor is alone no longer: nothing was committed since the two were lost."""
        survivor = self._faults.survivor
        if survivor is None or old.keyspace != OBJECTS or old.in_sync != [survivor.node_id]:
            return
        if len(new.in_sync) > 1:
            self.excused.update(*self._of(survivor, old).values())

    def _of(self, survivor: SimNode, descriptor: Descriptor) -> Needed:
        """Chunks that the survivor's log says its zone was never given, and nobody else has."""
        cluster, lost = self._cluster, self._faults.lost
        others = {node.zone for node in cluster.nodes} - {survivor.zone}
        until_ms = WALL_START_MS + self._faults.lost_at * 1000 + CLOCKS_DIFFER_MS
        found: Needed = defaultdict(set)
        for key, value in logged(survivor, descriptor, REPAIR).items():
            zone, chunk_id = split_repair_key(key)
            if zone != survivor.zone or REPAIR_RECORD.decode(value).created_ms > until_ms:
                continue
            owner = owner_of(cluster, zone, chunk_id)
            if owner.booted and is_whole(owner, chunk_id):
                continue
            if all(owner_of(cluster, other, chunk_id) in lost for other in others):
                found[key[: stem_end(key)]].add(chunk_id)
        return found

    async def judge_recovery(self, survivor: SimNode) -> None:
        """What `trilith recover` says is lacking, by its survivor, against the records."""
        station: Any = survivor
        before = self._told_by_records(survivor)
        try:
            said = await ask(survivor, station.repair.owed())
        except TrilithError:
            return  # it was killed; who asks then asks again
        if said is None or not survivor.booted or before != self._told_by_records(survivor):
            return
        told = {
            one["partition"]: (one["chunks"], len(one["objects"]))
            for one in said
            if one["chunks"] or not one["rebuilding"]
        }
        if told != before:
            self._cluster.defects.append(f"recover says that {told} are lacking, but {before} are")

    def _told_by_records(self, survivor: SimNode) -> dict[int, tuple[int, int]]:
        """Partition -> (chunks, objects), with what other nodes of lost zones may still have."""
        told = {}
        for descriptor in self._cluster.descriptors():
            if descriptor.keyspace != OBJECTS:
                continue
            named = named_chunks(survivor, descriptor)
            lacking: Needed = defaultdict(set)
            for key in logged(survivor, descriptor, REPAIR):
                zone, chunk_id = split_repair_key(key)
                stem = key[: stem_end(key)]
                if zone == survivor.zone and chunk_id in named.get(stem, ()):
                    owner = owner_of(self._cluster, zone, chunk_id)
                    if not owner.booted or not is_whole(owner, chunk_id):
                        lacking[stem].add(chunk_id)
            if lacking:
                told[descriptor.partition_id] = (len(set().union(*lacking.values())), len(lacking))
        return told


def named_chunks(node: SimNode, descriptor: Descriptor) -> Needed:
    """Chunks that the manifests of each object name, without those that wait to be collected."""
    released = logged(node, descriptor, RELEASED)
    named: Needed = defaultdict(set)
    for key, value in logged(node, descriptor, SEGMENT).items():
        end = stem_end(key)
        if key[: end + OWNER_SIZE] not in released:
            ids = SEGMENT_RECORD.decode(value).chunk_ids
            named[key[:end]].update(ids[i : i + 32] for i in range(0, len(ids), 32))
    return named
