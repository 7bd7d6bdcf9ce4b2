"""The chunk store's behaviour without crashes: sharing, touching, limits, failures, damage."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import Awaitable, Callable

import pytest
from tests.storage.memory_ordered_store import MemoryOrderedStore
from tests.storage.recorded_disk import RecordedDisk
from tests.storage.recorded_runtime import SetClock, recorded_runtime

from trilith.errors import (
    Corruption,
    DataDirectoryUnusable,
    DiskFull,
    Overloaded,
    StorageFailure,
    TrilithError,
)
from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig

CONFIG = ChunkStoreConfig(
    "node-1",
    extent_bytes=65536,
    extent_bytes_min=16384,
    pending_bytes_max=20000,
    free_bytes_min=0,
    full_retry_s=0.0,
    touch_granularity_ms=1000,
)


def chunk_id(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class Bench:
    """A chunk store on a recorded disk, with what it reported."""

    def __init__(self, disk: RecordedDisk | None = None) -> None:
        self.disk = disk or RecordedDisk()
        self.index = MemoryOrderedStore()
        self.clock = SetClock()
        self.failures: list[OSError] = []

    async def open(self, config: ChunkStoreConfig = CONFIG) -> ChunkStore:
        return await ChunkStore.open(
            recorded_runtime(self.disk, self.clock),
            "chunks",
            self.index,
            config,
            on_failure=self.failures.append,
        )

    def writes(self) -> int:
        return sum(event.kind == "write" for event in self.disk.events)


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await body()

    asyncio.run(bounded())


def test_puts_of_one_chunk_at_once_share_one_write() -> None:
    async def body() -> None:
        bench = Bench()
        store = await bench.open()
        data = b"x" * 1000
        news = await asyncio.gather(*(store.store(chunk_id(data), data) for _ in range(5)))
        assert sorted(news) == [False] * 4 + [True]
        assert bench.writes() == 1
        assert (store.chunks, store.bytes_stored) == (1, 1000)
        assert store.bytes_deduplicated == 4000
        await store.close()

    run(body)


def test_puts_of_one_loop_tick_share_one_sync() -> None:
    async def body() -> None:
        bench = Bench()
        store = await bench.open()
        await store.store(chunk_id(b"first"), b"first")
        before = bench.writes()
        await asyncio.gather(*(store.store(chunk_id(bytes([i])), bytes([i])) for i in range(20)))
        assert bench.writes() == before + 1
        await store.close()

    run(body)


def test_a_chunk_is_not_found_before_it_is_durable() -> None:
    async def body() -> None:
        store = await Bench().open()
        data = b"data"
        outcome: asyncio.Future[OSError | TrilithError | None] = (
            asyncio.get_running_loop().create_future()
        )
        assert store.put(chunk_id(data), data, outcome.set_result)
        assert not store.contains(chunk_id(data))
        with pytest.raises(KeyError):
            store.read(chunk_id(data))
        assert await outcome is None
        assert store.contains(chunk_id(data))
        await store.close()

    run(body)


def test_putting_a_chunk_again_touches_it_durably() -> None:
    async def body() -> None:
        bench = Bench()
        store = await bench.open()
        data = b"data"
        await store.store(chunk_id(data), data)
        bench.clock.now_ms += 5000
        assert not await store.store(chunk_id(data), data)
        assert store.touched_ms(chunk_id(data)) == bench.clock.now_ms
        bench.index = MemoryOrderedStore()  # only the extents tell
        again = await bench.open()
        assert again.touched_ms(chunk_id(data)) == bench.clock.now_ms
        await again.close()
        await store.close()

    run(body)


def test_a_touch_soon_after_another_costs_no_write() -> None:
    async def body() -> None:
        bench = Bench()
        store = await bench.open()
        await store.store(chunk_id(b"a"), b"a")
        before = bench.writes()
        assert await store.touch([chunk_id(b"a"), chunk_id(b"absent")]) == [True, False]
        assert bench.writes() == before
        bench.clock.now_ms += CONFIG.touch_granularity_ms
        assert await store.touch([chunk_id(b"a")]) == [True]
        assert bench.writes() == before + 1
        await store.close()

    run(body)


def test_a_full_queue_refuses_puts_and_makes_stores_wait() -> None:
    async def body() -> None:
        bench = Bench()
        store = await bench.open()
        chunks = [bytes([i]) * 9000 for i in range(12)]
        outcomes: list[OSError | TrilithError | None] = []
        for data in chunks[:5]:
            store.put(chunk_id(data), data, outcomes.append)
        await asyncio.gather(*(store.store(chunk_id(data), data) for data in chunks[5:]))
        assert sum(isinstance(outcome, Overloaded) for outcome in outcomes) == 3
        assert outcomes.count(None) == 2
        assert all(store.contains(chunk_id(data)) for data in chunks[5:])
        assert store.queued_bytes == 0
        await store.close()

    run(body)


def test_a_damaged_chunk_is_refused_and_healed_by_replacing_it() -> None:
    async def body() -> None:
        bench = Bench()
        store = await bench.open()
        data = b"some sealed bytes" * 10
        await store.store(chunk_id(data), data)
        path = "chunks/extents/00000001.ext"
        bench.disk.flip(path, bench.disk.content(path).find(data) + 20)
        with pytest.raises(Corruption):
            store.read(chunk_id(data))
        assert await store.store(chunk_id(data), data, replace=True)
        assert store.read(chunk_id(data)) == data
        assert store.chunks == 1
        await store.close()

    run(body)


def test_a_damaged_chunk_found_by_the_scan_is_absent_and_its_neighbours_are_not() -> None:
    async def body() -> None:
        bench = Bench()
        store = await bench.open()
        chunks = [bytes([i]) * 500 for i in range(5)]
        for data in chunks:
            await store.store(chunk_id(data), data)
        await store.close()
        path = "chunks/extents/00000001.ext"
        bench.disk.flip(path, bench.disk.content(path).find(chunks[2]) + 7)
        bench.index = MemoryOrderedStore()
        again = await bench.open()
        found = [again.contains(chunk_id(data)) for data in chunks]
        assert found == [True, True, False, True, True]
        assert again.damaged_bytes > 500
        await again.close()

    run(body)


def test_a_full_disk_answers_disk_full_keeps_reads_and_recovers_with_room() -> None:
    async def body() -> None:
        bench = Bench(RecordedDisk(capacity_bytes=70000))
        store = await bench.open()
        chunks = [bytes([i]) * 15000 for i in range(8)]
        stored = []
        for data in chunks:
            try:
                await store.store(chunk_id(data), data)
                stored.append(data)
            except DiskFull:
                break
        assert len(stored) == 4
        assert not store.accepting
        assert all(store.read(chunk_id(data)) == data for data in stored)
        assert not store.contains(chunk_id(chunks[4]))
        bench.disk.capacity_bytes = 1 << 20
        await store.store(chunk_id(chunks[4]), chunks[4])
        assert store.accepting
        assert store.read(chunk_id(chunks[4])) == chunks[4]
        assert bench.failures == []
        await store.close()

    run(body)


def test_a_full_ordered_store_answers_disk_full_and_a_retry_succeeds() -> None:
    async def body() -> None:
        bench = Bench()
        store = await bench.open()
        bench.index.full = True
        with pytest.raises(DiskFull):
            await store.store(chunk_id(b"a"), b"a")
        assert not store.contains(chunk_id(b"a"))
        bench.index.full = False
        assert await store.store(chunk_id(b"a"), b"a")
        assert store.chunks == 1
        await store.close()

    run(body)


def test_a_failed_sync_is_reported_once_and_everything_after_it_is_refused() -> None:
    async def body() -> None:
        bench = Bench()
        store = await bench.open()
        await store.store(chunk_id(b"before"), b"before")
        bench.disk.fail_next_sync(errno.EIO)
        outcomes: list[OSError | TrilithError | None] = []
        store.put(chunk_id(b"a"), b"a", outcomes.append)
        while not bench.failures:
            await asyncio.sleep(0)
        assert [failure.errno for failure in bench.failures] == [errno.EIO]
        with pytest.raises(StorageFailure):
            await store.store(chunk_id(b"b"), b"b")
        assert outcomes == []
        assert store.read(chunk_id(b"before")) == b"before"
        assert not store.contains(chunk_id(b"a"))
        await store.close()
        assert len(bench.failures) == 1
        again = await bench.open()  # the cache still shows the bytes that the medium lost
        assert not again.contains(chunk_id(b"a"))
        await again.close()

    run(body)


def test_the_extents_of_another_node_are_refused() -> None:
    async def body() -> None:
        bench = Bench()
        store = await bench.open()
        await store.store(chunk_id(b"a"), b"a")
        await store.close()
        with pytest.raises(DataDirectoryUnusable):
            await bench.open(ChunkStoreConfig("node-2"))

    run(body)


def test_closing_makes_pending_puts_durable_and_gives_reserved_room_back() -> None:
    async def body() -> None:
        bench = Bench()
        store = await bench.open()
        outcomes: list[OSError | TrilithError | None] = []
        store.put(chunk_id(b"a"), b"a", outcomes.append)
        await store.close()
        assert outcomes == [None]
        assert bench.disk.size("chunks/extents/00000001.ext") < 300
        with pytest.raises(StorageFailure):
            await store.store(chunk_id(b"b"), b"b")

    run(body)
