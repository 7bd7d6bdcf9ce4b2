"""Partitions that are split at random moments, in the middle of everything else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

from tests.simulation.cluster import SimCluster
from tests.simulation.registers import ask

from trilith.errors import TrilithError

PARTITIONS_MAX = 9


class Splits:
    """Not a draw among the faults: seeds keep the faults that they had before."""

    def __init__(self, cluster: SimCluster, *, ends_at: float) -> None:
        self.cluster = cluster
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
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _split(self) -> None:
        cluster, random = self.cluster, self.random
        candidates = [
            (node, replica)
            for node in cluster.nodes
            if node.booted
            for replica in node.host.replicas.values()
            if replica.leader is not None
        ]
        if not candidates:
            return
        node, replica = random.choice(candidates)
        low = replica.range.start[:1] or b"\0"
        high = replica.range.end[:1] or b"\xff"
        key = bytes((random.randint(low[0], high[0]),)) + random.choice((b"", b"/1", b"\x80"))
        cluster.trace(f"split {node.node_id} {replica.partition_id} {key!r}")
        with suppress(TrilithError, TimeoutError):
            await ask(node, node.host.splitting.split(replica.partition_id, key))
            self.count += 1
