"""The scrubber finds every bad byte of what is stored, and says so."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from tests.storage.memory_ordered_store import MemoryOrderedStore
from tests.storage.recorded_disk import RecordedDisk
from tests.storage.recorded_runtime import InPlaceWorkers, recorded_runtime

from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig
from trilith.storage.extent import extent_path
from trilith.storage.ordered_store import PUT
from trilith.storage.rocks_store import RocksOrderedStore
from trilith.storage.scrub import Scrubber, chunk_steps, store_steps

CONFIG = ChunkStoreConfig("n", extent_bytes=65536, extent_bytes_min=16384, free_bytes_min=0)


def test_every_flipped_byte_of_a_chunk_is_found() -> None:
    async def story() -> None:
        disk = RecordedDisk(record=False)
        store = await ChunkStore.open(
            recorded_runtime(disk), "chunks", MemoryOrderedStore(), CONFIG, on_failure=print
        )
        bodies = [bytes([n]) * 3000 for n in range(40)]
        ids = [hashlib.sha256(body).digest() for body in bodies]
        for chunk_id, body in zip(ids, bodies, strict=True):
            await store.store(chunk_id, body)
        flipped = ids[::7]
        for number, chunk_id in enumerate(flipped):
            location = store.files.locate(chunk_id)
            assert location is not None
            disk.flip(extent_path("chunks", location.extent), location.offset + 101 * number)
        found: list[bytes] = []
        scrubber = Scrubber(bytes_per_second_max=1 << 40, log=lambda *_, **__: None)
        await scrubber.round([("extents", chunk_steps(store, InPlaceWorkers(), found.append))])
        assert sorted(found) == sorted(flipped)
        assert scrubber.progress.round_bytes == 40 * 3000
        await store.close()

    asyncio.run(story())


def test_a_bad_block_of_the_ordered_store_is_found(tmp_path: Path) -> None:
    store = RocksOrderedStore(tmp_path / "store", block_cache_bytes=1 << 20)
    store.write([(PUT, b"%06d" % n, bytes([n % 256]) * 500) for n in range(5000)])
    store.flush()
    store.close()
    (table,) = (tmp_path / "store").glob("*.sst")
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)
    store = RocksOrderedStore(tmp_path / "store", block_cache_bytes=1 << 20)
    told: list[dict[str, str]] = []
    scrubber = Scrubber(bytes_per_second_max=1 << 40, log=lambda event, **facts: told.append(facts))

    async def story() -> None:
        await scrubber.round([("ordered store", store_steps(store))])

    asyncio.run(story())
    assert [facts["source"] for facts in told] == ["ordered store"]
    store.close()
