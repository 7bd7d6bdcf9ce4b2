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
from trilith.storage.segment import (
    ENTRY,
    MAGIC,
    MARK,
    STATE,
    UNRECORDED,
    segment_path,
    segment_seed,
)
from trilith_native.crc import crc32c
from trilith_native.record import HEADER_SIZE, frame

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


class WrittenJournal:
    """A segment being written, and what it must give back."""

    def __init__(self) -> None:
        self.seed = segment_seed(NODE, 1)
        self.image = bytearray(FileHeader(MAGIC, 1, 0, NODE).encode())
        self.entries: dict[int, list[bytes]] = {}
        self.states: dict[int, set[bytes]] = {}
        self.marks: list[tuple[int, dict[int, int]]] = []  # offset, entries before it
        self._ends: dict[int, list[int]] = {}  # of each entry, the offset behind it
        self._epochs: dict[int, int] = {}

    def mark(self) -> None:
        self.marks.append((len(self.image), self._counts()))
        self.image += frame(self.seed, MARK, 0, 0, 0, b"")

    def state(self, partition: int, state: bytes) -> None:
        self.states.setdefault(partition, set()).add(state)
        self.image += frame(self.seed, STATE, partition, 1, 0, state)

    def entry(self, partition: int, payload: bytes, *, next_epoch: bool) -> None:
        entries = self.entries.setdefault(partition, [])
        entries.append(payload + b"e%d" % len(entries))
        epoch = self._epochs[partition] = self._epochs.get(partition, 1) + next_epoch
        self.image += frame(self.seed, ENTRY, partition, epoch, len(entries), entries[-1])
        self._ends.setdefault(partition, []).append(len(self.image))

    def _counts(self) -> dict[int, int]:
        return {partition: len(entries) for partition, entries in self.entries.items()}

    def required(self, place: int | None, after: int) -> dict[int, int]:
        """Entries that may not be gone in silence: those before the damage at `place`, and those
        that a MARK behind the damage's end at `after` proves."""
        if place is None:
            return self._counts()
        needed = {
            partition: sum(end <= place for end in ends) for partition, ends in self._ends.items()
        }
        for offset, counts in self.marks:
            if offset >= after:
                needed |= counts
        return needed


def damage_end(before: bytes, after: bytes) -> int:
    """The offset behind the last byte that differs; that of the longer one when one was cut."""
    if len(before) != len(after):
        return max(len(before), len(after))
    return next((i + 1 for i in reversed(range(len(after))) if before[i] != after[i]), 0)


@target(native=True)
def journal_recovery(data: bytes) -> None:
    """Nothing that was not written; and nothing proven or undamaged is gone in silence."""
    choices = Choices(data)
    journal = WrittenJournal()
    for _ in range(choices.integer(0, 12)):
        partition, step = choices.integer(1, 3), choices.integer(0, 5)
        if step == 0:
            journal.mark()
        elif step == 1:
            journal.state(partition, choices.blob(8))
        else:
            journal.entry(partition, choices.blob(200), next_epoch=choices.flag())
    journal.image += bytes(choices.integer(0, 400))  # reserved ahead
    image = bytearray(journal.image)
    place = damage(choices, image)
    after = damage_end(bytes(journal.image), bytes(image))
    disk = disk_with(segment_path("journal", 1), bytes(image))
    index = JournalIndex()
    try:
        recovered = recover(disk, "journal", NODE, index)
    except DataDirectoryUnusable:
        assert place is not None
        return
    if place is None:
        assert not recovered.scars
    if not disk.exists(segment_path("journal", 1)):
        # Without a header, a first record or a MARK it is a segment that was never used.
        assert place is not None or not journal.entries
        assert not any(count for count in journal.required(place, after).values()) or (
            place is not None and place < FILE_HEADER_BYTES + HEADER_SIZE
        )
        return
    required = journal.required(place, after)
    reader = JournalReader(disk, "journal", index, 0)
    for partition, entries in journal.entries.items():
        log = index.logs.get(partition)
        if log is None:
            assert not required.get(partition) or recovered.scars, "a partition is gone in silence"
            continue
        found = reader.read(partition, log.first_index, max_bytes=1 << 30, max_entries=1 << 30)
        for _, number, payload in found:
            assert entries[number - 1] == payload, "an entry that was never written"
        assert log.damaged or log.last_index >= required.get(partition, 0), "gone in silence"
        assert not log.damaged or place is not None, "damaged without damage"
    for partition, log in index.logs.items():
        if partition == UNRECORDED:
            assert recovered.scars, "logs may be lacking without a lost region"
            continue
        assert log.state is None or log.state in journal.states[partition]
        assert partition in journal.entries or partition in journal.states


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
    for chunk_id, (_, sealed) in found.items():
        # Its place may be another: a misdirected write can repeat a whole record, sums and all.
        written = {body for _, body in places.get(chunk_id, ())}
        assert sealed in written, "a chunk that was never written"
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
