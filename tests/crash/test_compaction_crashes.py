"""Compaction, its files cut at every write, sync and removal, and reopened.

Every chunk that was acknowledged and not removed is there with its bytes; the index names nothing
that cannot be read.
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
)
from tests.storage.recorded_runtime import recorded_runtime

from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig
from trilith.storage.compaction import Compactor

CONFIG = ChunkStoreConfig(
    "node-1",
    extent_bytes=768 * 1024,
    extent_bytes_min=200_000,
    free_bytes_min=0,
    touch_granularity_ms=10,
)
SURVIVALS: dict[str, Survival] = {
    "all": all_survives,
    "nothing": nothing_survives,
    "torn": half_of_the_last_survives,
}


def unexpected_failure(error: OSError) -> None:
    raise AssertionError(error)


async def open_store(disk: RecordedDisk, index: MemoryOrderedStore) -> ChunkStore:
    return await ChunkStore.open(
        recorded_runtime(disk), "chunks", index, CONFIG, on_failure=unexpected_failure
    )


class Recording:
    """Rounds of puts, removals and compaction."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.disk = RecordedDisk()
        self.index = MemoryOrderedStore(tick=lambda: len(self.disk.events))
        self.acknowledged: dict[bytes, int] = {}  # chunk id -> count of events
        self.removed: dict[bytes, int] = {}

    async def run(self) -> None:
        store = await open_store(self.disk, self.index)
        compactor = Compactor(recorded_runtime(self.disk), store, bytes_per_second_max=1 << 40)
        for _ in range(3):
            for _ in range(5):
                data = self.random.randbytes(self.random.randrange(20_000, 90_000))
                chunk_id = hashlib.sha256(data).digest()
                await store.store(chunk_id, data)
                self.acknowledged[chunk_id] = len(self.disk.events)
            living = sorted(self.acknowledged.keys() - self.removed.keys())
            gone = self.random.sample(living, len(living) * 2 // 3)
            for chunk_id in gone:
                self.removed[chunk_id] = len(self.disk.events)
            count, _ = store.remove(gone, untouched_since=store.mark_time())
            assert count == len(gone)
            assert await compactor.run()
            for chunk_id in living:
                if chunk_id not in self.removed:
                    assert hashlib.sha256(store.read(chunk_id)).digest() == chunk_id
        assert compactor.progress.extents_dropped > 0
        living_bytes = store.bytes_stored
        assert sum(store.files.extent_sizes().values()) < living_bytes + 2 * CONFIG.extent_bytes
        await store.close()


@pytest.mark.parametrize("survival", SURVIVALS.values(), ids=SURVIVALS)
@pytest.mark.parametrize("seed", range(2))
def test_compaction_cut_anywhere_keeps_every_living_chunk(seed: int, survival: Survival) -> None:
    async def scenario() -> None:
        recording = Recording(seed)
        await recording.run()
        for cut in range(len(recording.disk.events) + 1):
            for kept in (0.0, 0.5, 1.0):
                disk = recording.disk.image(cut, survival)
                index = recording.index.image(cut, unflushed_kept=kept)
                store = await open_store(disk, index)
                for chunk_id, when in recording.acknowledged.items():
                    if when <= cut < recording.removed.get(chunk_id, 1 << 60):
                        assert store.contains(chunk_id), (cut, kept)
                found = store.files.entries(b"", 1000)
                assert len(found) == store.chunks
                for chunk_id, _ in found:
                    assert hashlib.sha256(store.read(chunk_id)).digest() == chunk_id, (cut, kept)

    asyncio.run(scenario())


def test_a_full_disk_gives_back_dead_extents_without_copying() -> None:
    async def scenario() -> None:
        disk = RecordedDisk(record=False)
        store = await open_store(disk, MemoryOrderedStore())
        compactor = Compactor(recorded_runtime(disk), store, bytes_per_second_max=1 << 40)
        bodies = [Random(n).randbytes(150_000) for n in range(30)]
        ids = [hashlib.sha256(body).digest() for body in bodies]
        for chunk_id, body in zip(ids, bodies, strict=True):
            await store.store(chunk_id, body)
        first = [i for i in ids if store.files.locate(i).extent == 1]  # type: ignore[union-attr]
        second = [i for i in ids if store.files.locate(i).extent == 2]  # type: ignore[union-attr]
        disk.capacity_bytes = disk.used_bytes() + 1000
        store.remove([*first, *second[1:]], untouched_since=store.mark_time())
        done = await compactor.run()
        assert compactor.progress.extents_dropped >= 1
        assert store.read(second[0]) == bodies[ids.index(second[0])]
        if not done:  # the room of the first extent is enough for the next one's living
            assert await compactor.run()
        assert compactor.progress.extents_dropped >= 2
        await store.close()

    asyncio.run(scenario())
