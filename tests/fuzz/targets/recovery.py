"""Journals and chunk extents as a damaged disk shows them to recovery.

The input says what was written, in which groups (each synced, then proven by a MARK), and what
happened to the bytes. The oracle: nothing comes back that was not written; what was damaged is
named; and only the unproven end may be gone in silence.
"""

from __future__ import annotations

from contextlib import suppress

from tests.fuzz.target import Choices, target
from tests.storage.memory_ordered_store import MemoryOrderedStore
from tests.storage.recorded_disk import DiskEvent, RecordedDisk

from trilith.errors import DataDirectoryUnusable
from trilith.storage.extent import (
    CHUNK,
    CHUNK_ID_BYTES,
    DELETE,
    INDEX_END,
    INDEX_PREFIX,
    TOUCH,
    ChunkLocation,
    extent_path,
    extent_seed,
    record_head,
)
from trilith.storage.extent import MAGIC as EXTENT_MAGIC
from trilith.storage.extent_recovery import recover_extents
from trilith.storage.file_header import FILE_HEADER_BYTES, FileHeader
from trilith.storage.journal_index import JournalIndex
from trilith.storage.journal_reader import JournalReader
from trilith.storage.journal_recovery import recover
from trilith.storage.segment import ENTRY, MAGIC, MARK, STATE, segment_path, segment_seed
from trilith_native.crc import crc32c
from trilith_native.record import frame

NODE = "node-1"


def damage(choices: Choices, image: bytearray, *, first: int = 0) -> int | None:
    """Does something to the bytes from `first` on; where it began, None when nothing changed."""
    if not choices.flag() or len(image) <= first:
        return None
    before = bytes(image)
    place = first + choices.integer(0, 65535) % (len(image) - first)
    kind = choices.integer(0, 4)
    if kind == 0:
        image[place] ^= choices.integer(0, 255)
    elif kind == 1:  # a sector that was never written
        image[place : place + 64] = bytes(len(image[place : place + 64]))
    elif kind == 2:  # a misdirected write
        source = choices.integer(0, 65535) % len(image)
        piece = image[source : source + 64][: len(image) - place]
        image[place : place + len(piece)] = piece
    elif kind == 3:
        del image[place:]
    else:
        piece = choices.blob(60)[: len(image) - place]
        image[place : place + len(piece)] = piece
    if bytes(image) == before:
        return None
    same = next((i for i, (a, b) in enumerate(zip(before, image, strict=False)) if a != b), None)
    return len(image) if same is None else same


def disk_with(path: str, image: bytes) -> RecordedDisk:
    disk = RecordedDisk(record=False)
    disk.make_directory(path.rpartition("/")[0])
    disk.apply(DiskEvent("replace", path, data=image))
    return disk


@target(native=True)
def journal_recovery(data: bytes) -> None:
    choices = Choices(data)
    seed = segment_seed(NODE, 1)
    image = bytearray(FileHeader(MAGIC, 1, 0, NODE).encode())
    written: dict[int, list[bytes]] = {}
    proven: dict[int, int] = {}  # of each partition: entries that a MARK follows
    states: dict[int, set[bytes]] = {}
    epochs: dict[int, int] = {}
    for _ in range(choices.integer(0, 12)):
        partition = choices.integer(1, 3)
        step = choices.integer(0, 5)
        if step == 0:
            image += frame(seed, MARK, 0, 0, 0, b"")
            proven = {one: len(entries) for one, entries in written.items()}
            last_mark = len(image)
        elif step == 1:
            states.setdefault(partition, set()).add(state := choices.blob(8))
            image += frame(seed, STATE, partition, 1, 0, state)
        else:
            entries = written.setdefault(partition, [])
            entries.append(choices.blob(200) + b"e%d" % len(entries))
            epoch = epochs[partition] = epochs.get(partition, 1) + choices.integer(0, 1)
            image += frame(seed, ENTRY, partition, epoch, len(entries), entries[-1])
    last_mark = 0 if not proven else last_mark
    clean_size = len(image)
    image += bytes(choices.integer(0, 400))  # reserved ahead
    place = damage(choices, image, first=FILE_HEADER_BYTES if choices.flag() else 0)
    disk = disk_with(segment_path("journal", 1), bytes(image))
    index = JournalIndex()
    try:
        recovered = recover(disk, "journal", NODE, index)
    except DataDirectoryUnusable:
        assert place is not None
        return
    # Damage behind the last MARK looks as a torn group does, and damage of what was never written
    # is of no interest; all other must be known.
    silent = place is None or place >= clean_size or place >= last_mark
    anything_known = recovered.scars or any(log.damaged for log in index.logs.values())
    reader = JournalReader(disk, "journal", index, 0)
    for partition, entries in written.items():
        log = index.logs.get(partition)
        if log is None:
            assert not proven.get(partition) or anything_known or not silent
            continue
        found = reader.read(partition, log.first_index, max_bytes=1 << 30, max_entries=1 << 30)
        for _, number, payload in found:
            assert entries[number - 1] == payload
        assert log.state is None or log.state in states[partition]
        if log.damaged:
            assert not silent, "damaged without damage"
            continue
        if place is None:
            assert log.last_index == len(entries)
        elif not recovered.scars:
            intact = log.last_index >= proven.get(partition, 0)
            assert intact or not last_mark or place < last_mark
            assert intact or place < FILE_HEADER_BYTES or len(image) <= last_mark, (
                "a proven entry is gone in silence"
            )
    assert index.logs.keys() <= written.keys() | states.keys()


@target(native=True)
def extent_recovery(data: bytes) -> None:
    choices = Choices(data)
    seed = extent_seed(NODE, 1)
    image = bytearray(FileHeader(EXTENT_MAGIC, 1, 0, NODE).encode())
    places: dict[bytes, set[tuple[int, bytes]]] = {}
    living: set[bytes] = set()
    for _ in range(choices.integer(0, 10)):
        kind = choices.pick((CHUNK, CHUNK, CHUNK, TOUCH, DELETE))
        chunk_id = bytes((choices.integer(0, 5),)) * CHUNK_ID_BYTES
        sealed = choices.blob(200) if kind == CHUNK else b""
        image += record_head(
            seed,
            kind,
            chunk_id,
            length=len(sealed),
            checksum=crc32c(sealed),
            touched_ms=choices.integer(0, 255),
        )
        if kind == CHUNK:
            places.setdefault(chunk_id, set()).add((len(image), sealed))
            living.add(chunk_id)
        elif kind == DELETE:
            living.discard(chunk_id)
        image += sealed
    image += bytes(choices.integer(0, 300))
    place = damage(choices, image, first=FILE_HEADER_BYTES)
    disk = disk_with(extent_path("chunks", 1), bytes(image))
    store = MemoryOrderedStore()
    try:
        recover_extents(disk, "chunks", NODE, store)
    except DataDirectoryUnusable:
        assert place is not None
        return
    kept = bytes(disk.content(extent_path("chunks", 1)))
    found = {}
    for key, value in store.scan(INDEX_PREFIX, INDEX_END):
        location = ChunkLocation.decode(value)
        sealed = kept[location.offset : location.offset + location.length]
        found[key[len(INDEX_PREFIX) :]] = (location.offset, sealed)
    for chunk_id, where in found.items():
        assert where in places[chunk_id], "a chunk that was never written"
    if place is None:
        assert found.keys() == living
    # Once more: what recovery left is what it finds.
    again = MemoryOrderedStore()
    recover_extents(disk, "chunks", NODE, again)
    assert dict(again.scan(INDEX_PREFIX, INDEX_END)) == dict(store.scan(INDEX_PREFIX, INDEX_END))


@target(native=True, words=(FileHeader(MAGIC, 1, 0, NODE).encode(),))
def arbitrary_files(data: bytes) -> None:
    """Any bytes as a segment or an extent, with the right header or without one."""
    choices = Choices(data)
    header, number = choices.flag(), choices.integer(1, 2)
    rest = choices.rest()
    image = (FileHeader(MAGIC, 1, number, NODE).encode() if header else b"") + rest
    index = JournalIndex()
    with suppress(DataDirectoryUnusable):
        recover(disk_with(segment_path("journal", 1), image), "journal", NODE, index)
    assert not any(len(log.positions) for log in index.logs.values())
    image = (FileHeader(EXTENT_MAGIC, 1, number, NODE).encode() if header else b"") + rest
    store = MemoryOrderedStore()
    try:
        recover_extents(disk_with(extent_path("chunks", 1), image), "chunks", NODE, store)
    except DataDirectoryUnusable:
        return
    assert not list(store.scan(INDEX_PREFIX, INDEX_END))
