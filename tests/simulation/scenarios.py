"""A small healthy cluster for stories in which the faults are told, not drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tests.linearizability.checker import Kind
from tests.replication.register_model import Anywhere, RegisterModel
from tests.simulation.cluster import SimCluster
from tests.simulation.node import NodePlan
from tests.simulation.registers import KEYSPACE, Call, Registers
from tests.simulation.verdicts import converged, differences


class Scene:
    """Three nodes, one partition, led by n1 at first."""

    def __init__(self, cluster: SimCluster) -> None:
        self.cluster = cluster
        self.calls = Registers(cluster, clients=0, keys=0, think_s=1.0)
        self.n1, self.n2, self.n3 = cluster.nodes[:3]

    async def write(self, node: object, value: bytes, key: bytes = b"k") -> Call:
        call = Call(Kind.WRITE, key, node.node_id, 0.0, value=value)  # type: ignore[attr-defined]
        await self.calls.perform(node, call)  # type: ignore[arg-type]
        return call

    async def append(self, node: object, value: bytes, key: bytes = b"a") -> Call:
        call = Call(Kind.APPEND, key, node.node_id, 0.0, value=value)  # type: ignore[attr-defined]
        await self.calls.perform(node, call)  # type: ignore[arg-type]
        return call

    async def read(self, node: object, key: bytes = b"k") -> Call:
        call = Call(Kind.READ, key, node.node_id, 0.0)  # type: ignore[attr-defined]
        await self.calls.perform(node, call)  # type: ignore[arg-type]
        return call

    async def healthy(self, within_s: float = 60.0) -> None:
        assert await self.cluster.until(lambda: converged(self.cluster), within_s)

    async def pass_time(self, seconds: float) -> None:
        """Virtual time."""
        await asyncio.sleep(seconds)

    def in_sync(self) -> list[str]:
        return self.cluster.descriptors()[0].in_sync

    def lines(self, word: str) -> list[str]:
        return [line for line in self.cluster.lines if word in line]


def registers_plan(retain_bytes: int = 64 * 1024) -> NodePlan:
    return NodePlan(
        models={KEYSPACE: RegisterModel},
        divisions={KEYSPACE: Anywhere()},
        retain_bytes=retain_bytes,
    )


def play(
    story: Callable[[Scene], Awaitable[None]],
    *,
    seed: int = 1,
    nodes: int = 3,
    cuts: Sequence[bytes] = (),
    retain_bytes: int = 64 * 1024,
) -> None:
    """Run a story on a healthy cluster; then everything must be consistent.

    `cuts`: where the keyspace is divided into partitions. `retain_bytes`: of each journal, for
    those who catch up.
    """
    cluster = SimCluster(seed, [registers_plan(retain_bytes) for _ in range(nodes)])
    cluster.create_partitions({KEYSPACE: list(cuts)})
    scene = Scene(cluster)

    async def run() -> None:
        for node in cluster.nodes:
            node.boot()
        await scene.healthy()
        await story(scene)
        await scene.healthy()
        assert await scene.calls.read_everything() == []

    try:
        cluster.run(run())
        assert scene.calls.problems() == []
        assert differences(cluster) == []
        assert cluster.loop.defects + cluster.defects == []
    finally:
        cluster.discard()
