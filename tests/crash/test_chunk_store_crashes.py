"""The chunk store, its files cut at every write and sync boundary of a recorded run, and reopened.

The ordered store beside it loses unflushed writes in the same crash. Every acknowledged chunk is
there with its bytes and its touch; nothing is found that cannot be read whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from random import Random

import pytest
from tests.storage.memory_ordered_store import MemoryOrderedStore
from tests.storage.recorded_disk import (
    RecordedDisk,
    Survival,
    all_survives,
    half_of_the_last_survives,
    nothing_survives,
    random_sectors_survive,
)
from tests.storage.recorded_runtime import SetClock, recorded_runtime

from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig

CONFIG = ChunkStoreConfig(
    "node-1", extent_bytes=16384, extent_bytes_min=4096, touch_granularity_ms=10
)
SURVIVALS: dict[str, Survival] = {
    "all": all_survives,
    "nothing": nothing_survives,
    "torn": half_of_the_last_survives,
    "sectors": random_sectors_survive(5),
}


def unexpected_failure(error: OSError) -> None:
    raise AssertionError(error)


def chunk_id(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def open_store(disk: RecordedDisk, index: MemoryOrderedStore) -> ChunkStore:
    return await ChunkStore.open(
        recorded_runtime(disk), "chunks", index, CONFIG, on_failure=unexpected_failure
    )


class Recording:
    """A run of puts and touches, and when (in disk events) each was acknowledged."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.disk = RecordedDisk()
        self.index = MemoryOrderedStore(tick=lambda: len(self.disk.events))
        self.clock = SetClock()
        self.chunks: dict[bytes, bytes] = {}
        self.acknowledged: list[tuple[int, bytes, int]] = []  # events, chunk id, touched at least

    async def put(self, store: ChunkStore, data: bytes) -> None:
        key = chunk_id(data)
        self.chunks[key] = data
        now = self.clock.now_ms
        await store.store(key, data)
        self.acknowledged.append((len(self.disk.events), key, now - CONFIG.touch_granularity_ms))

    async def touch(self, store: ChunkStore, key: bytes) -> None:
        now = self.clock.now_ms
        if (await store.touch([key]))[0]:
            touched = now - CONFIG.touch_granularity_ms
            self.acknowledged.append((len(self.disk.events), key, touched))

    async def run(self, steps: int) -> None:
        store = await ChunkStore.open(
            recorded_runtime(self.disk, self.clock),
            "chunks",
            self.index,
            CONFIG,
            on_failure=unexpected_failure,
        )
        for _ in range(steps):
            self.clock.now_ms += self.random.randint(0, 9)
            group = []
            for _ in range(self.random.randint(1, 4)):
                if self.chunks and self.random.random() < 0.4:
                    key = self.random.choice(list(self.chunks))
                    again = self.random.random() < 0.5
                    group.append(
                        self.put(store, self.chunks[key]) if again else self.touch(store, key)
                    )
                else:
                    size = self.random.choice([1, 100, 1500, 3000])
                    group.append(self.put(store, self.random.randbytes(size)))
            await asyncio.gather(*group)
            if self.random.random() < 0.2:
                self.index.flush()
        await store.close()


async def check_crash(
    recording: Recording, events: int, survival: Survival, unflushed_kept: float
) -> None:
    disk = recording.disk.image(events, survival)
    index = recording.index.image(events, unflushed_kept=unflushed_kept)
    for _ in range(2):  # what recovery made of it must itself survive a crash at once
        store = await open_store(disk, index)
        for when, key, touched_at_least in recording.acknowledged:
            if when <= events:
                assert store.read(key) == recording.chunks[key]
                touched = store.touched_ms(key)
                assert touched is not None
                assert touched >= touched_at_least
        found = [key for key in recording.chunks if store.contains(key)]
        for key in found:
            assert store.read(key) == recording.chunks[key]
        assert store.chunks == len(found)
        assert store.bytes_stored == sum(len(recording.chunks[key]) for key in found)
        disk, index = disk.crashed(), index.crashed()
    after = b"after the crash"
    store = await open_store(disk, index)
    assert await store.store(chunk_id(after), after)
    await store.close()
    again = await open_store(disk.crashed(), index.crashed())
    assert again.read(chunk_id(after)) == after
    for key in found:
        assert again.read(key) == recording.chunks[key]
    await again.close()


@pytest.mark.parametrize("unflushed_kept", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("survival", SURVIVALS)
def test_a_crash_at_any_boundary_keeps_every_acknowledged_chunk(
    survival: str, unflushed_kept: float
) -> None:
    async def body() -> None:
        recording = Recording(1)
        await recording.run(40)
        assert len(recording.disk.list("chunks/extents")) > 2, "the run must fill extents"
        for events in range(len(recording.disk.events) + 1):
            await check_crash(recording, events, SURVIVALS[survival], unflushed_kept)

    asyncio.run(body())


def test_the_index_is_rebuilt_from_the_extents_alone() -> None:
    async def body() -> None:
        recording = Recording(2)
        await recording.run(40)
        store = await open_store(recording.disk, MemoryOrderedStore())
        assert store.chunks == len(recording.chunks)
        assert store.damaged_bytes == 0
        for key, data in recording.chunks.items():
            assert store.read(key) == data
        await store.close()

    asyncio.run(body())
