"""Bringing the chunk index up to date from the extents, in bounded memory.

Records behind the checkpoint are read back, their sealed bytes verified, and indexed. Bytes that
are no valid record are skipped up to the next valid one: at the end of the last extent they are a
torn, unacknowledged write; in the middle a damaged chunk, which is then absent here and is fetched
from another zone.
"""

from __future__ import annotations

from dataclasses import dataclass

from trilith.errors import DataDirectoryUnusable
from trilith.runtime.disk import Disk, ReadFile
from trilith.storage.extent import (
    CHECKPOINT_KEY,
    CHUNK,
    CHUNK_ID_BYTES,
    DELETE,
    FIRST_RECORD_OFFSET,
    FRAME_FIELDS,
    INDEX_PREFIX,
    MAGIC,
    RECORD_HEAD_BYTES,
    TOUCH,
    Checkpoint,
    ChunkLocation,
    extent_number,
    extent_path,
    extent_seed,
)
from trilith.storage.file_header import FILE_HEADER_BYTES, decode_file_header
from trilith.storage.ordered_store import DELETE as REMOVE
from trilith.storage.ordered_store import PUT, Operation, OrderedStore
from trilith_native.crc import crc32c
from trilith_native.record import HEADER_SIZE, find_valid_after, verify

PIECE_BYTES = 4 * 1024 * 1024
WRITE_EVERY = 1000  # operations


@dataclass(frozen=True, slots=True)
class RecoveredExtents:
    """`last_number`: the newest extent, 0 when there is none; `last_end`: behind its last record.

    `damaged_bytes`: bytes in the scanned part that had no valid record though one follows them.
    """

    checkpoint: Checkpoint
    last_number: int
    last_end: int
    damaged_bytes: int


def recover_extents(
    disk: Disk, directory: str, node_id: str, store: OrderedStore
) -> RecoveredExtents:
    """Blocking. Raises DataDirectoryUnusable for a newer format or another node's extents."""
    return _Recovery(disk, directory, node_id, store).run()


class _Recovery:
    def __init__(self, disk: Disk, directory: str, node_id: str, store: OrderedStore) -> None:
        self._disk = disk
        self._directory = directory
        self._node_id = node_id
        self._store = store
        stored = store.get(CHECKPOINT_KEY)
        self._checkpoint = Checkpoint() if stored is None else Checkpoint.decode(stored)
        self._pending: dict[bytes, ChunkLocation | None] = {}
        self._damaged_bytes = 0

    def run(self) -> RecoveredExtents:
        names = self._disk.list(f"{self._directory}/extents")
        numbers = sorted(n for n in map(extent_number, names) if n is not None)
        start = self._checkpoint
        last_end = 0
        for number in numbers:
            if number < start.extent:
                continue
            first = start.offset if number == start.extent else 0
            last_end = self._scan_extent(number, max(first, FIRST_RECORD_OFFSET))
        if numbers:
            self._write(numbers[-1], last_end)
            # What a killed process wrote may be in the cache only: cut the rest off and sync it.
            self._disk.open_append(extent_path(self._directory, numbers[-1]), at=last_end).close()
        return RecoveredExtents(
            self._checkpoint, numbers[-1] if numbers else 0, last_end, self._damaged_bytes
        )

    def _scan_extent(self, number: int, offset: int) -> int:
        """Index the records from `offset` on; the offset behind the last valid one."""
        seed = extent_seed(self._node_id, number)
        file = self._disk.open_read(extent_path(self._directory, number), from_media=True)
        try:
            header = file.read_at(0, FILE_HEADER_BYTES)
            decode_file_header(header, magic=MAGIC, number=number, node_id=self._node_id)
            size = file.size
            end = offset
            while offset < size:
                length = self._take_record(file, number, seed, offset)
                if length is not None:
                    offset += length
                    self._damaged_bytes += offset - length - end
                    end = offset
                    if len(self._pending) >= WRITE_EVERY:
                        self._write(number, end)
                    continue
                following = _next_head(file, offset + 1, size, seed)
                if following is None:
                    break
                offset = following
            return end
        finally:
            file.close()

    def _take_record(self, file: ReadFile, number: int, seed: int, offset: int) -> int | None:
        """Index the record at `offset`; its length, or None when it is not a valid one."""
        head = file.read_at(offset, RECORD_HEAD_BYTES)
        if not verify(head, 0, seed):
            return None
        _, payload_length, kind, _, length, touched_ms, checksum = FRAME_FIELDS.unpack_from(head)
        if payload_length != CHUNK_ID_BYTES:
            return None
        chunk_id = head[HEADER_SIZE:]
        if kind == CHUNK:
            data_offset = offset + RECORD_HEAD_BYTES
            if not _checksum_matches(file, data_offset, length, checksum):
                return None
            self._put(chunk_id, ChunkLocation(number, data_offset, length, checksum, touched_ms))
            return RECORD_HEAD_BYTES + int(length)
        if kind == TOUCH:
            self._touch(chunk_id, touched_ms)
        elif kind == DELETE:
            self._delete(chunk_id)
        else:
            raise DataDirectoryUnusable(f"extent {number} holds a newer release's record: {kind}")
        return RECORD_HEAD_BYTES

    def _current(self, chunk_id: bytes) -> ChunkLocation | None:
        if chunk_id in self._pending:
            return self._pending[chunk_id]
        value = self._store.get(INDEX_PREFIX + chunk_id)
        return None if value is None else ChunkLocation.decode(value)

    def _put(self, chunk_id: bytes, location: ChunkLocation) -> None:
        current = self._current(chunk_id)
        if current is None:
            self._checkpoint.chunks += 1
        self._checkpoint.bytes_stored += location.length - (current.length if current else 0)
        self._pending[chunk_id] = location

    def _touch(self, chunk_id: bytes, touched_ms: int) -> None:
        found = self._current(chunk_id)
        if found is not None:
            self._pending[chunk_id] = ChunkLocation(
                found.extent, found.offset, found.length, found.checksum, touched_ms
            )

    def _delete(self, chunk_id: bytes) -> None:
        found = self._current(chunk_id)
        if found is not None:
            self._checkpoint.chunks -= 1
            self._checkpoint.bytes_stored -= found.length
            self._pending[chunk_id] = None

    def _write(self, number: int, end: int) -> None:
        self._checkpoint.extent, self._checkpoint.offset = number, end
        operations: list[Operation] = [
            (REMOVE, INDEX_PREFIX + chunk_id, b"")
            if location is None
            else (PUT, INDEX_PREFIX + chunk_id, location.encode())
            for chunk_id, location in self._pending.items()
        ]
        operations.append((PUT, CHECKPOINT_KEY, self._checkpoint.encode()))
        self._store.write(operations)
        self._pending.clear()


def _checksum_matches(file: ReadFile, offset: int, length: int, checksum: int) -> bool:
    if offset + length > file.size:
        return False
    value = 0
    while length > 0:
        piece = file.read_at(offset, min(PIECE_BYTES, length))
        if not piece:
            return False
        value = crc32c(piece, value)
        offset += len(piece)
        length -= len(piece)
    return value == checksum


def _next_head(file: ReadFile, offset: int, end: int, seed: int) -> int | None:
    """Offset of the first valid record head at or behind `offset`."""
    while offset < end:
        piece = file.read_at(offset, min(PIECE_BYTES + RECORD_HEAD_BYTES, end - offset))
        if not piece:
            return None
        if piece.strip(b"\0"):
            found = find_valid_after(piece, 0, seed)
            if found >= 0:
                return offset + found
        offset += PIECE_BYTES
    return None
