"""Partitions that are split and merged at random moments, in the middle of everything else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

from tests.simulation.cluster import SimCluster
from tests.simulation.node import SimNode
from tests.simulation.registers import ask

from trilith.errors import TrilithError
from trilith.objects.division import ObjectsDivision
from trilith.objects.keys import KEYSPACE_END, OBJECT, stem_end
from trilith.replication.replica import Replica

PARTITIONS_MAX = 9


class Splits:
    """Not a draw among the faults: seeds keep the faults that they had before.

    `merging`: as many merges, by a random generator of their own.
    """

    def __init__(self, cluster: SimCluster, *, ends_at: float, merging: bool = False) -> None:
        self.cluster = cluster
        self.merging = merging
        self.merge_random = Random(f"{cluster.seed}/merges")
        self.merges = 0
        self.random = Random(f"{cluster.seed}/splits")
        self.ends_at = ends_at
        self.mean_pause_s = self.random.choice((0.3, 1.0, 3.0))
        self.count = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        tasks = []
        while True:
            await asyncio.sleep(self.random.expovariate(1 / self.mean_pause_s))
            if self.cluster.loop.now >= self.ends_at:
                break
            if len(self.cluster.descriptors()) < PARTITIONS_MAX:
                tasks.append(loop.create_task(self._split()))
            if self.merging:
                tasks.append(loop.create_task(self._merge()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _place(self, replica: Replica, node: SimNode) -> bytes | None:
        random, record = self.random, replica.range
        if isinstance(node.plan.divisions[replica.descriptor.keyspace], ObjectsDivision):
            prefix = bytes((replica.descriptor.keyspace, OBJECT))
            found = node.store.scan(prefix + record.start, prefix + (record.end or KEYSPACE_END))
            stems = [key[2 : 2 + stem_end(key[2:])] for key, _ in found]
            return random.choice(stems) if stems else None
        low = record.start[:1] or b"\0"
        high = record.end[:1] or b"\xff"
        return bytes((random.randint(low[0], high[0]),)) + random.choice((b"", b"/1", b"\x80"))

    async def _merge(self) -> None:
        cluster, random = self.cluster, self.merge_random
        await asyncio.sleep(random.uniform(0.0, 0.3))
        candidates = [
            (node, partition_id)
            for node in cluster.nodes
            if node.booted
            for partition_id, replica in node.host.replicas.items()
            if replica.leader is not None and replica.descriptor.parent
        ]
        if not candidates:
            return
        node, partition_id = random.choice(candidates)
        cluster.trace(f"merge {node.node_id} {partition_id}")
        with suppress(TrilithError, TimeoutError):
            await ask(node, node.host.merging.merge(partition_id))
            self.merges += 1

    async def _split(self) -> None:
        cluster, random = self.cluster, self.random
        candidates = [
            (node, replica)
            for node in cluster.nodes
            if node.booted
            for replica in node.host.replicas.values()
            if replica.leader is not None and replica.descriptor.keyspace in node.plan.divisions
        ]
        if not candidates:
            return
        node, replica = random.choice(candidates)
        key = self._place(replica, node)
        if key is None:
            return
        cluster.trace(f"split {node.node_id} {replica.partition_id} {key!r}")
        with suppress(TrilithError, TimeoutError):
            await ask(node, node.host.splitting.split(replica.partition_id, key))
            self.count += 1
