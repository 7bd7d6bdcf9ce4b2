"""Judgements on a whole cluster that do not ask the code under test."""

from __future__ import annotations

import asyncio

from tests.replication.register_model import Write
from tests.simulation.cluster import SimCluster
from tests.simulation.registers import ask

from trilith.errors import TrilithError
from trilith.replication.entry import applied_key
from trilith.replication.snapshot import ranges_of


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
        positions = {(r.applied_index, r.log.last_index, r.epoch) for r in replicas if r}
        if len(positions) != 1 or leaders[0].applied_index != leaders[0].log.last_index:
            return False
    return all(node.booted for node in cluster.nodes)


async def progress(cluster: SimCluster, keyspace: int, within_s: float) -> list[str]:
    """Whether each partition takes a write soon, now that nothing is wrong any more."""
    problems = []
    deadline = cluster.loop.now + within_s
    for descriptor in cluster.descriptors():
        if descriptor.keyspace != keyspace:
            continue
        key = descriptor.start_key + b"\0progress"
        while cluster.loop.now < deadline:
            node = cluster.nodes[0]
            try:
                if node.booted:
                    await ask(node, node.router.execute(keyspace, key, Write(key, b"on")))
                    break
            except TrilithError:
                pass
            await asyncio.sleep(0.1)
        else:
            problems.append(f"no write on {descriptor} within {within_s} s of the last fault")
    return problems


def differences(cluster: SimCluster) -> list[str]:
    """Replicas that do not hold the same bytes."""
    found = []
    for descriptor in cluster.descriptors():
        contents = {}
        for node_id in descriptor.replica_nodes():
            store = cluster.node(node_id).store
            pairs = [p for start, end in ranges_of(descriptor) for p in store.scan(start, end)]
            pairs.append((b"applied", store.get(applied_key(descriptor.partition_id)) or b""))
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
