"""The chunk pipeline end to end: three data nodes in this process, real disks, calls in memory.

Every stored byte is written and synced three times to the same disk, so unique uploads measure
the disk more than the code; duplicates and reads measure the code. `extra_info` holds MB/s of
plaintext.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Coroutine, Iterator
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture
from tests.chunks.local_peers import LocalNetwork

from trilith.chunks.pipeline import ChunkPipeline
from trilith.chunks.reading import in_order
from trilith.chunks.service import ChunkService
from trilith.chunks.types import ChunkRef
from trilith.cluster.cluster_map import ClusterMap, NodeRecord
from trilith.cluster.placement import Placement
from trilith.config import Chunks as ChunksConfig
from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.runtime.ports import Runtime
from trilith.runtime.system_disk import SystemDisk
from trilith.runtime.tcp_network import TcpNetwork
from trilith.runtime.workers import ThreadWorkers
from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig
from trilith.storage.rocks_store import RocksOrderedStore

MIB = 1024 * 1024
PIECE_BYTES = 256 * 1024  # as the HTTP server delivers them
SALT = bytes(32)
T = TypeVar("T")


class Bench:
    """Three nodes and the pipeline of the first."""

    def __init__(self, directory: Path) -> None:
        self._loop = uvloop.new_event_loop()
        self._stores: list[ChunkStore] = []
        self._workers = ThreadWorkers(2)
        self.pipeline = self.run(self._open(directory))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    async def _open(self, directory: Path) -> ChunkPipeline:
        config, network, pipelines = ChunksConfig(), LocalNetwork(), []
        cluster_map = ClusterMap(NodeRecord(f"n{n}", f"az{n}", "local") for n in (1, 2, 3))
        for number in (1, 2, 3):
            index = RocksOrderedStore(
                str(directory / f"index{number}"),
                block_cache_bytes=8 * MIB,
                write_buffer_bytes=8 * MIB,
            )
            disk = SystemDisk(directory / f"n{number}")
            runtime = Runtime(SystemClock(), disk, TcpNetwork(), self._workers, SystemEntropy())
            store_config = ChunkStoreConfig(node_id=f"n{number}")
            store = await ChunkStore.open(
                runtime, "chunks", index, store_config, on_failure=_unexpected
            )
            self._stores.append(store)
            service = ChunkService(
                network.join(f"n{number}"),
                store,
                self._workers,
                timeout_s=30.0,
                inflight_bytes_max=config.inflight_bytes_max,
            )
            placement = Placement(cluster_map)
            pipelines.append(
                ChunkPipeline(config, service, placement, self._workers, f"az{number}")
            )
        return pipelines[0]

    async def put(self, data: bytes) -> list[ChunkRef]:
        async with self.pipeline.upload(SALT, expected_bytes=len(data)) as upload:
            upload.hashers.append(hashlib.md5(usedforsecurity=False))
            for start in range(0, len(data), PIECE_BYTES):
                await upload.feed(data[start : start + PIECE_BYTES])
            await upload.finish()
            return [chunk.ref for chunk in upload.take()]

    async def put_all(self, bodies: list[bytes]) -> None:
        await asyncio.gather(*(self.put(body) for body in bodies))

    async def get(self, references: list[ChunkRef], size: int) -> int:
        got = 0
        async for run in self.pipeline.stream(in_order(references), 0, size - 1):
            got += len(run)
        return got

    async def _close_stores(self) -> None:
        for store in self._stores:
            await store.close()

    def close(self) -> None:
        self.run(self._close_stores())
        self._workers.close()
        self._loop.close()


def _unexpected(error: OSError) -> None:
    raise error


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    opened = Bench(tmp_path)
    yield opened
    opened.close()


def report(benchmark: BenchmarkFixture, plaintext_bytes: int) -> None:
    if benchmark.stats is not None:
        seconds = benchmark.stats.stats.median
        benchmark.extra_info["MB/s"] = round(plaintext_bytes / seconds / 1e6)


SHAPES = pytest.mark.parametrize(
    ("size", "concurrency"), [(64 * 1024, 16), (8 * MIB, 4), (64 * MIB, 1)]
)


@SHAPES
def test_unique_bodies(
    benchmark: BenchmarkFixture, bench: Bench, size: int, concurrency: int
) -> None:
    seeds = itertools.count()

    def fresh() -> tuple[tuple[list[bytes]], dict[str, Any]]:
        return ([Random(next(seeds)).randbytes(size) for _ in range(concurrency)],), {}

    benchmark.pedantic(
        lambda bodies: bench.run(bench.put_all(bodies)), setup=fresh, rounds=5, warmup_rounds=1
    )
    report(benchmark, size * concurrency)


@SHAPES
def test_duplicate_bodies(
    benchmark: BenchmarkFixture, bench: Bench, size: int, concurrency: int
) -> None:
    bodies = [Random(seed).randbytes(size) for seed in range(concurrency)]
    bench.run(bench.put_all(bodies))
    benchmark.pedantic(lambda: bench.run(bench.put_all(bodies)), rounds=5, warmup_rounds=1)
    report(benchmark, size * concurrency)


@SHAPES
def test_reads(benchmark: BenchmarkFixture, bench: Bench, size: int, concurrency: int) -> None:
    bodies = [Random(seed).randbytes(size) for seed in range(concurrency)]
    stored = [bench.run(bench.put(body)) for body in bodies]

    async def get_all() -> None:
        got = await asyncio.gather(*(bench.get(references, size) for references in stored))
        assert got == [size] * concurrency

    benchmark.pedantic(lambda: bench.run(get_all()), rounds=5, warmup_rounds=1)
    report(benchmark, size * concurrency)
