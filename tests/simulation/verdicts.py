"""Judgements on a whole cluster that do not ask the code under test."""

from __future__ import annotations

from tests.linearizability.checker import Kind
from tests.simulation.cluster import SimCluster
from tests.simulation.registers import Registers

from trilith.replication import descriptor as descriptors
from trilith.replication.descriptor import Descriptor
from trilith.replication.entry import applied_key
from trilith.replication.ranges import RangeRecord, decode_range, range_key, ranges_of
from trilith.storage.ordered_store import OrderedReader


def converged(cluster: SimCluster) -> bool:
    """Whether every replica is in sync, follows one leader and has applied the same log."""
    for descriptor in cluster.descriptors():
        if len(descriptor.in_sync) != len(descriptor.replicas):
            return False
        replicas = [cluster.replica(n, descriptor.partition_id) for n in descriptor.replica_nodes()]
        if any(r is None or r.damaged for r in replicas):
            return False
        leaders = [r for r in replicas if r is not None and r.leader is not None]
        if len(leaders) != 1 or leaders[0].ports.node_id != descriptor.leader:
            return False
        if not leaders[0].is_published or any(r.retired for r in replicas if r is not None):
            return False  # the coordinator is yet to be told of a split or a merge
        positions = {(r.applied_index, r.log.last_index, r.epoch) for r in replicas if r}
        if len(positions) != 1 or leaders[0].applied_index != leaders[0].log.last_index:
            return False
    return all(node.booted for node in cluster.nodes)


def covers(descriptor: Descriptor, key: bytes) -> bool:
    return descriptor.start_key <= key and (not descriptor.end or key < descriptor.end_key)


def acknowledged_alone(cluster: SimCluster, workload: Registers) -> list[str]:
    """Writes acknowledged although fewer than two zones were in sync all the while (P1)."""
    calls = [(call, workload.routing_key(call)) for call in workload.calls]
    service = cluster.coordinator
    history: dict[int, list[tuple[float, Descriptor]]] = {}
    for moment, change in zip(service.moments, service.changes, strict=True):
        if change.key.startswith(descriptors.PREFIX) and change.value is not None:
            descriptor = descriptors.decode(change.value)
            if descriptor.keyspace != workload.keyspace:
                continue
            history.setdefault(descriptor.partition_id, []).append((moment, descriptor))
    found = []
    for number, states in history.items():
        taken = [  # by splits: when, and from which key on
            (others[0][0], others[0][1].start_key)
            for others in history.values()
            if others[0][1].parent == number
        ]
        alone = [
            (moment, until)
            for (moment, held), until in zip(
                states, [*(m for m, _ in states[1:]), float("inf")], strict=True
            )
            if len(held.in_sync) < 2 and not held.absorbed_by
        ]
        if not alone:
            continue
        for call, key in calls:
            if call.kind is Kind.READ or not call.applied or call.holds is False:
                continue
            ends = min((when for when, first in taken if first <= key), default=float("inf"))
            if covers(states[0][1], key) and any(
                since < call.called and call.returned < min(until, ends) for since, until in alone
            ):
                found.append(f"acknowledged with one zone in sync: {call}")
    return found


def held_range(store: OrderedReader, descriptor: Descriptor) -> RangeRecord:
    stored = store.get(range_key(descriptor.partition_id))
    if stored is None:
        return RangeRecord(descriptor.start_key, descriptor.first_end_key)
    return decode_range(stored)


def differences(cluster: SimCluster) -> list[str]:
    """Replicas that do not hold the same bytes."""
    found = []
    for descriptor in cluster.descriptors():
        contents = {}
        for node_id in descriptor.replica_nodes():
            store = cluster.node(node_id).store
            number = descriptor.partition_id
            record = held_range(store, descriptor)
            owned = ranges_of(store, descriptor.keyspace, number, record)
            pairs = [p for start, end in owned for p in store.scan(start, end)]
            pairs.append((b"applied", store.get(applied_key(number)) or b""))
            pairs.append((b"range", record.start + b" to " + record.end))
            if (record.start, record.end) != (descriptor.start_key, descriptor.end_key):
                found.append(f"{node_id}: {record} is not what is known of {descriptor}")
            contents[node_id] = pairs
        first_id, first = next(iter(contents.items()))
        for node_id, pairs in contents.items():
            if pairs != first:
                differing = sorted(set(pairs) ^ set(first))[:3]
                found.append(
                    f"partition {descriptor.partition_id}: {node_id} differs from {first_id}: "
                    f"{differing}"
                )
    return found
