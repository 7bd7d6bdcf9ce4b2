"""Reading the extents as they lie on the medium: headers, record heads, chunks, living or dead.

Chunks that are found through the index are read through it as well (scrub.py): that is what readers
are given. This pass sees what they do not: the heads, from which a lost index is rebuilt. An extent
with a bad byte is given up: its living chunks move elsewhere, and the file goes (compaction.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from trilith.runtime.disk import Disk, ReadFile
from trilith.runtime.workers import Workers
from trilith.storage import file_header
from trilith.storage.chunk_store import ChunkStore
from trilith.storage.extent import (
    CHUNK,
    CHUNK_ID_BYTES,
    FIRST_RECORD_OFFSET,
    FRAME_FIELDS,
    MAGIC,
    RECORD_HEAD_BYTES,
    extent_path,
    extent_seed,
)
from trilith_native.crc import crc32c
from trilith_native.record import verify

PIECE_BYTES = 1024 * 1024


async def extent_steps(
    store: ChunkStore,
    disk: Disk,
    directory: str,
    node_id: str,
    workers: Workers,
    bad: Callable[[int, int], None],
) -> AsyncIterator[int]:
    """Bytes read. `bad(extent, offset)` is told of the first bad record of an extent.

    Raises OSError.
    """
    sizes = await workers.run(store.files.extent_sizes)
    current, current_end = store.files.indexed_to()
    for number in sorted(sizes):
        if number > current:
            return  # begun, and nothing of it is acknowledged yet
        end = current_end if number == current else sizes[number]
        if end <= FIRST_RECORD_OFFSET:
            continue
        try:
            path = extent_path(directory, number)
            file = await workers.run(disk.open_read, path, from_media=True)
        except FileNotFoundError:
            continue  # compacted away meanwhile
        try:
            is_good = file_header.is_good
            if not await workers.run(is_good, file, magic=MAGIC, number=number, node_id=node_id):
                bad(number, 0)
                continue
            seed, offset = extent_seed(node_id, number), FIRST_RECORD_OFFSET
            while offset < end:
                length = await workers.run(_record_length, file, offset, end, seed)
                if length is None:
                    if number == current or not await workers.run(_is_zero, file, offset, end):
                        bad(number, offset)
                    break
                offset += length
                yield length
        finally:
            file.close()


def _record_length(file: ReadFile, offset: int, end: int, seed: int) -> int | None:
    """Of the record at `offset`, all of it verified; None when it is not a valid one."""
    try:
        return _valid_length(file, offset, end, seed)
    except OSError:
        return None  # a sector that cannot be read


def _valid_length(file: ReadFile, offset: int, end: int, seed: int) -> int | None:
    head = file.read_at(offset, RECORD_HEAD_BYTES)
    if len(head) < RECORD_HEAD_BYTES or not verify(head, 0, seed):
        return None
    _, payload_bytes, kind, _, length, _, checksum = FRAME_FIELDS.unpack_from(head)
    if payload_bytes != CHUNK_ID_BYTES:
        return None
    if kind != CHUNK:
        return RECORD_HEAD_BYTES
    if offset + RECORD_HEAD_BYTES + length > end:
        return None
    found = 0
    at, left = offset + RECORD_HEAD_BYTES, int(length)
    while left:
        piece = file.read_at(at, min(PIECE_BYTES, left))
        if not piece:
            return None
        found = crc32c(piece, found)
        at, left = at + len(piece), left - len(piece)
    return RECORD_HEAD_BYTES + int(length) if found == checksum else None


def _is_zero(file: ReadFile, offset: int, end: int) -> bool:
    """Whether only reserved room is left, as a crash leaves it."""
    try:
        while offset < end and (piece := file.read_at(offset, min(PIECE_BYTES, end - offset))):
            if piece.strip(b"\0"):
                return False
            offset += len(piece)
    except OSError:
        return False
    return True
