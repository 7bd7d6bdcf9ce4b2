"""Every byte that a recovery would rely on is read: each flip in it is found, and healed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest
from tests.storage.memory_ordered_store import MemoryOrderedStore
from tests.storage.recorded_disk import RecordedDisk
from tests.storage.recorded_runtime import InPlaceWorkers, recorded_runtime

from trilith.errors import Corruption
from trilith.runtime.system_disk import SystemDisk
from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig
from trilith.storage.compaction import Compactor
from trilith.storage.extent import extent_path
from trilith.storage.extent_scrub import extent_steps
from trilith.storage.journal import CUT, ENTRY, RESET, STATE, Journal, JournalConfig
from trilith.storage.journal_scrub import journal_steps
from trilith.storage.ordered_store import PUT
from trilith.storage.rocks_store import RocksOrderedStore
from trilith.storage.segment import segment_path
from trilith.storage.store_scrub import StoreFiles, first_bad_log_record

CHUNKS = ChunkStoreConfig("n", extent_bytes=65536, extent_bytes_min=16384, free_bytes_min=0)
JOURNAL = JournalConfig("n", segment_bytes=16384, free_bytes_min=0, mark_delay_s=60.0)
WORKERS = InPlaceWorkers()


async def drain(steps: AsyncIterator[int]) -> int:
    return sum([size async for size in steps])


# -- the journal


async def open_journal(disk: RecordedDisk) -> Journal:
    return await Journal.open(recorded_runtime(disk), "journal", JOURNAL, on_failure=print)


async def fill(journal: Journal) -> None:
    """Records of every kind of two partitions, over several segments."""
    for index in range(1, 41):
        journal.append(ENTRY, 1, 1, index, b"e%d" % index * 200, None)
        await asyncio.sleep(0)
    journal.append(STATE, 1, 1, 40, b"what partition 1 acts under", None)
    journal.append(CUT, 1, 2, 38, b"", None)
    journal.append(ENTRY, 1, 2, 39, b"another 39", None)
    journal.append(ENTRY, 2, 1, 1, b"first of 2", None)
    journal.append(RESET, 2, 5, 100, b"", None)
    journal.append(ENTRY, 2, 5, 101, b"101", None)
    await settled(journal)


async def settled(journal: Journal) -> None:
    done = asyncio.Event()
    journal.probe(done.set)
    await done.wait()


async def bad_segments(journal: Journal, disk: RecordedDisk) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    steps = journal_steps(
        journal, disk, "journal", "n", WORKERS, lambda *place: found.append(place)
    )
    await drain(steps)
    return found


def test_a_good_journal_is_read_whole_and_nothing_is_found() -> None:
    async def story() -> None:
        disk = RecordedDisk(record=False)
        journal = await open_journal(disk)
        await fill(journal)
        steps = journal_steps(journal, disk, "journal", "n", WORKERS, lambda *_: None)
        assert await drain(steps) == sum(end for _, end in journal.durable_segments())
        assert await bad_segments(journal, disk) == []
        await journal.close()

    asyncio.run(story())


def test_a_flip_anywhere_in_the_journal_is_found() -> None:
    async def story() -> None:
        disk = RecordedDisk(record=False)
        journal = await open_journal(disk)
        await fill(journal)
        places = [
            (number, offset)
            for number, end in journal.durable_segments()
            for offset in range(0, end, 7)
        ]
        for number, offset in Random(0).sample(places, 400):
            disk.flip(segment_path("journal", number), offset)
            assert [bad for bad, _ in await bad_segments(journal, disk)] == [number]
            disk.flip(segment_path("journal", number), offset)
        await journal.close()

    asyncio.run(story())


@pytest.mark.parametrize("segment", range(4))
def test_a_retired_segment_goes_and_all_that_it_told_stays(segment: int) -> None:
    """Also the one that is being written to (the last)."""

    async def story() -> None:
        disk = RecordedDisk(record=False)
        journal = await open_journal(disk)
        await fill(journal)
        segments = journal.durable_segments()
        number, end = segments[min(segment, len(segments) - 1)]
        disk.flip(segment_path("journal", number), end // 2)
        ((found, _),) = await bad_segments(journal, disk)
        journal.retire(found)
        journal.trim({1: 39, 2: 101})
        await settled(journal)
        assert await bad_segments(journal, disk) == []
        assert found not in dict(journal.durable_segments())
        await journal.close()
        again = await open_journal(disk)
        first, second = again.recovered[1], again.recovered[2]
        assert (first.damaged, second.damaged) == (False, False)
        assert (first.last_index, first.last_epoch) == (39, 2)
        assert first.state == b"what partition 1 acts under"
        assert (second.last_index, second.last_epoch) == (101, 5)
        assert again.lost_regions == []
        await again.close()

    asyncio.run(story())


def test_a_retired_segment_stays_as_long_as_an_entry_is_needed() -> None:
    async def story() -> None:
        disk = RecordedDisk(record=False)
        journal = await open_journal(disk)
        await fill(journal)
        number = journal.durable_segments()[0][0]
        journal.retire(number)
        journal.trim({1: 0, 2: 101})
        await settled(journal)
        assert number in dict(journal.durable_segments())
        await journal.close()

    asyncio.run(story())


def test_a_segment_that_ends_while_nothing_is_written_lets_its_file_go() -> None:
    """A dropped segment whose file is open would keep its room on the disk."""

    async def story() -> None:
        disk = RecordedDisk(record=False)
        journal = await open_journal(disk)
        for index in range(1, 20):
            journal.append(ENTRY, 1, 1, index, bytes(9000), None)
            await settled(journal)
        # The one that is written to, and the next one.
        assert len(journal._reserve.files) <= 2
        await journal.close()

    asyncio.run(story())


# -- extents


async def filled_store(disk: RecordedDisk) -> tuple[ChunkStore, list[bytes]]:
    store = await ChunkStore.open(
        recorded_runtime(disk), "chunks", MemoryOrderedStore(), CHUNKS, on_failure=print
    )
    bodies = [bytes([n]) * 3000 for n in range(40)]
    ids = [hashlib.sha256(body).digest() for body in bodies]
    for chunk_id, body in zip(ids, bodies, strict=True):
        await store.store(chunk_id, body)
    return store, ids


async def bad_extents(store: ChunkStore, disk: RecordedDisk) -> list[int]:
    found: list[int] = []
    steps = extent_steps(store, disk, "chunks", "n", WORKERS, lambda n, _: found.append(n))
    await drain(steps)
    return found


def test_a_flip_anywhere_in_an_extent_is_found() -> None:
    async def story() -> None:
        disk = RecordedDisk(record=False)
        store, _ = await filled_store(disk)
        assert await bad_extents(store, disk) == []
        current, end = store.files.indexed_to()
        assert current > 1
        places = [(current, offset) for offset in range(0, end, 11)]
        places += [(1, offset) for offset in range(0, store.files.extent_sizes()[1], 11)]
        for number, offset in Random(0).sample(places, 300):
            disk.flip(extent_path("chunks", number), offset)
            assert await bad_extents(store, disk) == [number]
            disk.flip(extent_path("chunks", number), offset)
        await store.close()

    asyncio.run(story())


@pytest.mark.parametrize("which", ["first", "current"])
def test_a_retired_extent_is_emptied_and_dropped(which: str) -> None:
    async def story() -> None:
        disk = RecordedDisk(record=False)
        store, ids = await filled_store(disk)
        number = 1 if which == "first" else store.files.indexed_to()[0]
        disk.flip(extent_path("chunks", number), 5)  # its header: no chunk is damaged
        compactor = Compactor(recorded_runtime(disk), store, bytes_per_second_max=1 << 40)
        assert await bad_extents(store, disk) == [number]
        compactor.retire(number)
        assert await compactor.run()
        assert await bad_extents(store, disk) == []
        assert number not in store.files.extent_sizes()
        for chunk_id in ids:
            assert len(store.read(chunk_id)) == 3000
        await store.close()

    asyncio.run(story())


# -- the ordered store


def rocks(path: Path) -> RocksOrderedStore:
    return RocksOrderedStore(path / "store", block_cache_bytes=1 << 20)


def flips(path: Path, count: int) -> Iterator[None]:
    """One bit after another, each put back."""
    content, chance = path.read_bytes(), Random(0)
    for _ in range(count):
        place = chance.randrange(len(content))
        path.write_bytes(
            content[:place]
            + bytes([content[place] ^ 1 << chance.randrange(8)])
            + content[place + 1 :]
        )
        yield
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", ["sst", "blob"])
def test_a_flip_anywhere_in_a_file_of_the_store_is_found(tmp_path: Path, suffix: str) -> None:
    """Also in filters, footers and what RocksDB holds in its cache."""
    store = rocks(tmp_path)
    store.write(
        [(PUT, b"%06d" % n, bytes([n % 256]) * (2000 if n % 9 == 0 else 50)) for n in range(3000)]
    )
    store.flush()
    (file,) = (tmp_path / "store").glob(f"*.{suffix}")

    async def story() -> None:
        files = StoreFiles(SystemDisk(str(tmp_path)), "store", WORKERS)
        for _ in range(2):
            assert await drain(files.steps()) > file.stat().st_size
        for _ in flips(file, 60):
            with pytest.raises(Corruption, match=file.name):
                await drain(files.steps())
        assert await drain(files.steps()) > file.stat().st_size

    asyncio.run(story())
    store.close()


def test_files_that_come_and_go_are_no_damage(tmp_path: Path) -> None:
    store = rocks(tmp_path)

    async def story() -> None:
        files = StoreFiles(SystemDisk(str(tmp_path)), "store", WORKERS)
        for turn in range(12):
            store.write([(PUT, b"%06d" % n, b"%d" % turn * 40) for n in range(2000)])
            store.flush()
            await drain(files.steps())

    asyncio.run(story())
    store.close()


def test_a_flip_anywhere_in_the_manifest_is_found(tmp_path: Path) -> None:
    store = rocks(tmp_path)
    for turn in range(5):
        store.write([(PUT, b"%d" % turn, b"value")])
        store.flush()
    (manifest,) = (tmp_path / "store").glob("MANIFEST-*")
    assert first_bad_log_record(manifest.read_bytes()) is None
    for _ in flips(manifest, 100):
        assert first_bad_log_record(manifest.read_bytes()) is not None

    async def story() -> None:
        files = StoreFiles(SystemDisk(str(tmp_path)), "store", WORKERS)
        for _ in flips(manifest, 3):
            await drain(files.steps())  # perhaps it is only being written
            with pytest.raises(Corruption, match="MANIFEST"):
                await drain(files.steps())

    asyncio.run(story())
    store.close()
