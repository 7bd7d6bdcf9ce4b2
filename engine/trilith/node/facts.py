"""What a node says of itself: readiness, status, metrics. Health is never faked: what is missing
or under-replicated is named, with the reason."""

from __future__ import annotations

from collections import Counter
from typing import Any

from trilith.chunks.replicas import ReplicaWriter
from trilith.cluster.bootstrap import OBJECTS
from trilith.cluster.cluster_map import ClusterMap
from trilith.edge.metrics import Metrics
from trilith.node.quarantine import Damage, Quarantine
from trilith.node.repair import RepairStation
from trilith.peers.hub import PeerHub
from trilith.replication.descriptor import Descriptor
from trilith.replication.followers import Progress, State
from trilith.replication.host import ReplicaHost
from trilith.replication.leader import Leader
from trilith.replication.takeover import is_only_filled
from trilith.runtime.clock import Clock
from trilith.storage.chunk_store import ChunkStore
from trilith.storage.journal import Journal

KEYSPACE_NAMES = {1: "system", 2: "objects", 3: "tables"}


class NodeFacts:
    """Reads the node's parts; changes nothing."""

    def __init__(
        self,
        *,
        zone: str,
        clock: Clock,
        hub: PeerHub,
        host: ReplicaHost,
        journal: Journal,
        chunks: ChunkStore,
        cluster_map: ClusterMap,
        replicas: ReplicaWriter,
        quarantine: Quarantine,
        repair: RepairStation,
    ) -> None:
        self._zone = zone
        self._clock = clock
        self._hub = hub
        self._host = host
        self._journal = journal
        self._chunks = chunks
        self._map = cluster_map
        self._replicas = replicas
        self._quarantine = quarantine
        self._repair = repair

    def readiness(self) -> tuple[bool, list[tuple[str, bool, str]]]:
        """Ready when this node can serve writes and consistent reads of every partition."""
        now = self._clock.monotonic()
        unreadable, led_nowhere = [], []
        for partition_id, (descriptor, _) in sorted(self._host.descriptors.items()):
            replica = self._host.replicas.get(partition_id)
            leader = descriptor.leader
            if replica is not None and replica.leader is not None:
                if not replica.leader.may_read(now):
                    unreadable.append(partition_id)
            elif not self._hub.is_reachable(leader) or leader == self._hub.node_id:
                led_nowhere.append(partition_id)
            elif replica is not None and not replica.can_read(now):
                unreadable.append(partition_id)
        known = bool(self._host.descriptors)
        checks = [
            ("partitions", known, f"{len(self._host.descriptors)} known"),
            ("leaders", not led_nowhere, _naming("without a reachable leader", led_nowhere)),
            ("reads", not unreadable, _naming("not provably current here", unreadable)),
            (
                "journal",
                self._host.disk.accepting,
                "accepting writes" if self._host.disk.accepting else "the disk is full",
            ),
        ]
        ready = all(ok for _, ok, _ in checks)
        missing = sorted(
            partition_id
            for partition_id, (d, _) in self._host.descriptors.items()
            if len(d.in_sync) < len(d.replicas)
        )
        # Fewer than three zones in sync is a warning: two still acknowledge. So are chunks that are
        # in two zones yet, and damage that nobody can heal: everything else is served.
        why = "".join(f"; {line}" for line in self._reasons())
        checks.append(("in_sync", not missing, _naming("with fewer than all zones", missing) + why))
        whole = self._repair.queued == 0 and self._repair.is_rebuilt
        checks.append(("chunks", whole, self._missed()))
        checks.append(("quarantine", not self._quarantine.entries(), self._damage()))
        return ready, checks

    def is_reachable(self, node: str) -> bool:
        """Whether this node has a link to another; it is in touch with itself."""
        return node == self._hub.node_id or self._hub.is_reachable(node)

    def _missed(self) -> str:
        if not self._repair.is_rebuilt:
            return "this node's disk is being filled anew"
        queued = self._repair.queued
        if queued is None:
            return f"the repair queue of {self._zone} cannot be read now"
        if not queued:
            return f"none that {self._zone} missed is still to be copied here"
        what = "chunk" if queued == 1 else "chunks"
        return f"at least {queued} {what} that {self._zone} missed, still to be copied here"

    def _damage(self) -> str:
        entries = self._quarantine.entries()
        if not entries:
            return "nothing damaged that cannot be healed"
        counts = Counter(entry.kind for entry in entries)
        said = ", ".join(f"{count} {kind}s" for kind, count in sorted(counts.items()))
        return f"{said} damaged, the first: {entries[0].kind} {entries[0].id}: {entries[0].why}"

    def _reasons(self) -> list[str]:
        counts = Counter((e["zone"], e["node"], e["why"]) for e in self.under_replicated())
        return [
            f"{zone} ({node}) {why} [{count} partition{'s' if count > 1 else ''}]"
            for (zone, node, why), count in sorted(counts.items())
        ]

    def under_replicated(self) -> list[dict[str, Any]]:
        """Each replica that is missing from an in-sync set, and why, as far as this node can tell:
        of the partitions that it leads, and of those whose leader it cannot reach.
        """
        missing = []
        for partition_id, (descriptor, _) in sorted(self._host.descriptors.items()):
            replica = self._host.replicas.get(partition_id)
            leader = replica.leader if replica is not None else None
            here = descriptor.leader == self._hub.node_id
            for zone, node in descriptor.replicas.items():
                if node in descriptor.in_sync:
                    continue
                if leader is not None:
                    why = self._why_behind(leader.followers.progress[node], leader)
                elif here or not self._hub.is_reachable(descriptor.leader):
                    why = f"waits for a leader: {descriptor.leader} does not lead"
                else:
                    continue  # its leader knows
                missing.append(
                    {
                        "partition": partition_id,
                        "keyspace": KEYSPACE_NAMES.get(descriptor.keyspace, ""),
                        "zone": zone,
                        "node": node,
                        "why": why,
                        "complete_until_ms": descriptor.complete_until_ms.get(node),
                    }
                )
        return missing

    def _why_behind(self, progress: Progress, leader: Leader) -> str:
        if progress.state is State.DOWN or not self._hub.is_reachable(progress.node):
            return "is not reachable"
        if self._host.is_silent(progress.node):
            return "sends no heartbeats: it hangs, or packets are lost"
        if progress.state is State.SNAPSHOT:
            return "is being rebuilt from a snapshot"
        if progress.state is State.PROBE:
            return "does not answer for the partition yet"
        behind = leader.replica.log.last_index - progress.match_index
        if behind > 0:
            return "catches up with the log"
        if leader.replica.descriptor.keyspace == OBJECTS:
            return "has the log, and waits for its chunks or its turn to rejoin"
        return "has the log, and waits for its turn to rejoin"

    def partitions(self) -> list[dict[str, Any]]:
        return [self._partition(d) for d, _ in self._host.descriptors.values()]

    def _partition(self, descriptor: Descriptor) -> dict[str, Any]:
        replica = self._host.replicas.get(descriptor.partition_id)
        zones = {node: zone for zone, node in descriptor.replicas.items()}
        facts: dict[str, Any] = {
            "id": descriptor.partition_id,
            "keyspace": KEYSPACE_NAMES.get(descriptor.keyspace, str(descriptor.keyspace)),
            "start": descriptor.start,
            "end": descriptor.end,
            "leader": descriptor.leader,
            "leader_zone": zones.get(descriptor.leader, ""),
            "epoch": descriptor.epoch,
            "in_sync": descriptor.in_sync,
            "in_sync_zones": sorted(zones[n] for n in descriptor.in_sync if n in zones),
            "replicas": descriptor.replicas,
            "parent": descriptor.parent,
            "recovered": descriptor.recovered,
            "recovering": self._host.reclaiming.is_under_way(descriptor),
        }
        if replica is not None:
            facts["commit_index"] = replica.commit_index
            facts["log_index"] = replica.log.last_index
            facts["damaged"] = replica.damaged
            facts["filled"] = is_only_filled(replica)
        return facts

    def node(self) -> dict[str, Any]:
        return {
            "id": self._hub.node_id,
            "zone": self._zone,
            "chunks": self._chunks.chunks,
            "bytes_stored": self._chunks.bytes_stored,
            "bytes_deduplicated": self._replicas.known_bytes,
            "journal_bytes": self._journal.bytes_on_disk,
            "under_replicated": self.under_replicated(),
            "quarantine": self._quarantine.facts(),
            "peers": {
                node: self._hub.is_reachable(node)
                for node in self._map.nodes
                if node != self._hub.node_id
            },
        }

    def _register_splits(self, metrics: Metrics) -> None:
        add = metrics.add_collector
        add(
            "trilith_partition_splits",
            "Splits of partitions that this node has led.",
            "counter",
            lambda: float(self._host.splitting.splits),
        )
        add(
            "trilith_partition_merges",
            "Partitions that were absorbed by one that this node led.",
            "counter",
            lambda: float(self._host.merging.merges),
        )
        add(
            "trilith_partitions",
            "Partitions of the cluster, as this node knows them.",
            "gauge",
            lambda: float(len(self._host.descriptors)),
        )

    def register(self, metrics: Metrics) -> None:
        """Gauges and counters of the engine."""
        add = metrics.add_collector
        add(
            "trilith_partition_in_sync",
            "In-sync replicas of each partition that this node leads.",
            "gauge",
            lambda: {
                (str(p),): float(len(r.descriptor.in_sync))
                for p, r in self._host.replicas.items()
                if r.leader is not None
            },
            ("partition",),
        )
        add(
            "trilith_replication_lag_entries",
            "Log entries that each follower of this node's partitions has not acknowledged.",
            "gauge",
            self._lag,
            ("partition", "follower"),
        )
        self._register_splits(metrics)
        add(
            "trilith_partitions_led",
            "Partitions that this node leads.",
            "gauge",
            lambda: float(sum(r.leader is not None for r in self._host.replicas.values())),
        )
        add(
            "trilith_chunk_bytes_stored",
            "Sealed bytes of distinct chunks on this node.",
            "gauge",
            lambda: float(self._chunks.bytes_stored),
        )
        add(
            "trilith_chunk_bytes_deduplicated",
            "Bytes of bodies sent to this node whose chunks were stored already.",
            "counter",
            lambda: float(self._replicas.known_bytes),
        )
        add("trilith_chunks", "Distinct chunks here.", "gauge", lambda: float(self._chunks.chunks))
        add(
            "trilith_journal_bytes",
            "Bytes of records in the journal's segments.",
            "gauge",
            lambda: float(self._journal.bytes_on_disk),
        )
        add(
            "trilith_quarantined",
            "Damaged things that this node cannot heal now.",
            "gauge",
            lambda: {(kind,): float(len(self._quarantine.entries(kind))) for kind in Damage},
            ("kind",),
        )
        add(
            "trilith_peer_up",
            "Whether there is a link to the peer.",
            "gauge",
            lambda: {
                (node,): float(self._hub.is_reachable(node))
                for node in self._map.nodes
                if node != self._hub.node_id
            },
            ("peer",),
        )

    def _lag(self) -> dict[tuple[str, ...], float]:
        return {
            (str(partition_id), progress.node): float(
                max(0, replica.log.last_index - progress.match_index)
            )
            for partition_id, replica in self._host.replicas.items()
            if replica.leader is not None
            for progress in replica.leader.followers.progress.values()
        }


def _naming(what: str, partitions: list[int]) -> str:
    if not partitions:
        return f"none {what}"
    shown = ", ".join(str(p) for p in partitions[:10])
    return f"{len(partitions)} {what}: {shown}{', ...' if len(partitions) > 10 else ''}"
