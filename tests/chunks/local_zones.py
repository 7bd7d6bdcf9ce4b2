"""A cluster of data nodes in memory: real chunk stores on recorded disks, joined by local peers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random

from tests.chunks.local_peers import LocalNetwork
from tests.storage.memory_ordered_store import MemoryOrderedStore
from tests.storage.recorded_disk import RecordedDisk
from tests.storage.recorded_runtime import InPlaceWorkers, SetClock, recorded_runtime

from trilith.chunks.pipeline import ChunkPipeline
from trilith.chunks.service import ChunkService
from trilith.chunks.types import StoredChunk
from trilith.cluster.cluster_map import ClusterMap, NodeRecord
from trilith.cluster.placement import Placement
from trilith.config import Chunks as ChunksConfig
from trilith.runtime.clock import Clock
from trilith.runtime.workers import ThreadWorkers, Workers
from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig
from trilith.storage.extent import INDEX_PREFIX, ChunkLocation, extent_path

SALT = bytes(range(32))
KIB = 1024
SMALL_CHUNKS = ChunksConfig(
    min_bytes=KIB, avg_bytes=4 * KIB, max_bytes=16 * KIB, inflight_bytes_max=256 * KIB
)
DEADLINE_S = 60.0
SILENT_S = 1.0  # for tests in which nodes do not answer; other tests must never get there


class LocalNode:
    """One data node, and the pipeline of its zone's gateway."""

    def __init__(self, cluster: LocalCluster, node_id: str, zone: str) -> None:
        self.node_id = node_id
        self.zone = zone
        self.cluster = cluster
        self.disk = RecordedDisk(record=False, sync_delay_s=cluster.sync_delay_s)
        self.index = MemoryOrderedStore()
        self.clock: Clock = SetClock()
        self.failures: list[OSError] = []
        self.damaged: list[tuple[bytes, str]] = []

    async def open(self) -> None:
        config = ChunkStoreConfig(
            node_id=self.node_id,
            extent_bytes=1024 * KIB,
            extent_bytes_min=256 * KIB,
            free_bytes_min=0,
        )
        self.runtime = recorded_runtime(self.disk, self.clock)
        self.store = await ChunkStore.open(
            self.runtime, "chunks", self.index, config, on_failure=self.failures.append
        )
        cluster = self.cluster
        self.peers = cluster.network.join(self.node_id)
        self.placement = Placement(cluster.map)
        self.service = ChunkService(
            self.peers,
            self.store,
            cluster.workers,
            timeout_s=cluster.timeout_s,
            inflight_bytes_max=cluster.config.inflight_bytes_max,
        )
        self.pipeline = ChunkPipeline(
            cluster.config,
            self.service,
            self.placement,
            cluster.workers,
            self.zone,
            turn_s=cluster.turn_s,
        )
        self.pipeline.reader.on_damaged = lambda chunk_id, zone: self.damaged.append(
            (chunk_id, zone)
        )

    def flip(self, chunk_id: bytes) -> None:
        """Damage this node's copy on its disk."""
        entry = self.index.get(INDEX_PREFIX + chunk_id)
        assert entry is not None
        location = ChunkLocation.decode(entry)
        self.disk.flip(extent_path("chunks", location.extent), location.offset + 3)


class LocalCluster:
    """Zones az1, az2, ... with the same number of nodes each."""

    def __init__(
        self,
        *,
        zones: int = 3,
        nodes_per_zone: int = 1,
        config: ChunksConfig = SMALL_CHUNKS,
        threads: int = 0,
        timeout_s: float = DEADLINE_S,
        turn_s: float = DEADLINE_S,
        sync_delay_s: Callable[[], float] | None = None,
    ) -> None:
        self.config = config
        self.timeout_s = timeout_s
        self.turn_s = turn_s
        self.sync_delay_s = sync_delay_s
        self.workers: Workers = ThreadWorkers(threads) if threads else InPlaceWorkers()
        self.network = LocalNetwork()
        self.map = ClusterMap()
        self.nodes: dict[str, LocalNode] = {}
        for zone_number in range(1, zones + 1):
            for number in range(1, nodes_per_zone + 1):
                node_id = f"n{zone_number}{number}"
                self.nodes[node_id] = LocalNode(self, node_id, f"az{zone_number}")
        self.map.replace(NodeRecord(n.node_id, n.zone, "local") for n in self.nodes.values())

    @property
    def gateway(self) -> ChunkPipeline:
        return self.nodes["n11"].pipeline

    def zones_with(self, chunk_id: bytes) -> set[str]:
        return {node.zone for node in self.nodes.values() if node.store.contains(chunk_id)}

    def assert_nothing_held(self) -> None:
        """No budget is out, and no task but the test's own runs."""
        for node in self.nodes.values():
            pipeline = node.pipeline
            budgets = (
                pipeline.windows.bytes,
                pipeline.small_windows.bytes,
                pipeline.storing,
                pipeline.reader.read_ahead,
            )
            for budget in budgets:
                assert (budget.used_bytes, budget.waiting) == (0, 0)

    async def settled(self) -> None:
        """Wait for what other nodes still do for callers that left."""
        while serving := [task for node in self.nodes.values() for task in node.peers.serving]:
            await asyncio.wait(serving)


@asynccontextmanager
async def open_cluster(cluster: LocalCluster) -> AsyncIterator[LocalCluster]:
    for node in cluster.nodes.values():
        await node.open()
    try:
        yield cluster
        await cluster.settled()
    finally:
        for node in cluster.nodes.values():
            await node.store.close()
        cluster.workers.close()


def run_on(cluster: LocalCluster, body: Callable[[LocalCluster], Awaitable[None]]) -> None:
    """Run a test body on an open cluster; afterwards nothing may be held or still running."""

    async def run() -> None:
        async with asyncio.timeout(DEADLINE_S), open_cluster(cluster):
            await body(cluster)
            await cluster.settled()
            cluster.assert_nothing_held()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not others, others

    asyncio.run(run())


async def upload(
    pipeline: ChunkPipeline,
    pieces: Sequence[bytes],
    *,
    salt: bytes = SALT,
    expected_bytes: int | None = None,
) -> list[StoredChunk]:
    async with pipeline.upload(salt, expected_bytes=expected_bytes) as body:
        stored: list[StoredChunk] = []
        for piece in pieces:
            await body.feed(piece)
            stored += body.take()
        await body.finish()
        return stored + body.take()


async def read_back(pipeline: ChunkPipeline, stored: Sequence[StoredChunk]) -> bytes:
    return b"".join([await pipeline.read(chunk.ref) for chunk in stored])


def random_bytes(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """`data` in pieces that end at the cuts (taken modulo its length)."""
    marks = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(marks)]
