"""Reading the journal's segments as they lie on the medium, every record of every kind.

Each byte that a recovery would rely on is looked at: the file header, and the records up to what is
durable. A segment with a bad byte is not mended: what its records say is known here (entries that
were applied are in the ordered store, all else is in memory), so the segment is retired. Everything
that only it tells is journaled anew, and the file goes (`Journal.retire`, `Journal.trim`).
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable

from trilith.runtime.disk import Disk, ReadFile
from trilith.runtime.workers import Workers
from trilith.storage import file_header
from trilith.storage.journal import Journal
from trilith.storage.segment import FIRST_RECORD_OFFSET, MAGIC, segment_path, segment_seed
from trilith_native.record import HEADER_SIZE, scan

PIECE_BYTES = 1024 * 1024


async def journal_steps(
    journal: Journal,
    disk: Disk,
    directory: str,
    node_id: str,
    workers: Workers,
    bad: Callable[[int, int], None],
) -> AsyncIterator[int]:
    """Bytes read. `bad(segment, offset)` is told of the first bad byte's record of a segment.

    Raises OSError.
    """
    for number, end in journal.durable_segments():
        seed = segment_seed(node_id, number)
        try:
            file = await workers.run(
                disk.open_read, segment_path(directory, number), from_media=True
            )
        except FileNotFoundError:
            continue  # trimmed meanwhile
        try:
            is_good = file_header.is_good
            if not await workers.run(is_good, file, magic=MAGIC, number=number, node_id=node_id):
                bad(number, 0)
                continue
            yield FIRST_RECORD_OFFSET
            offset = FIRST_RECORD_OFFSET
            while offset < end:
                read = await workers.run(_read_records, file, offset, end, seed)
                if not read:
                    bad(number, offset)
                    break
                offset += read
                yield read
        finally:
            file.close()


def _read_records(file: ReadFile, offset: int, end: int, seed: int) -> int:
    """Bytes of the valid records from `offset` on, in one piece; 0: the first one is bad."""
    try:
        return _valid_bytes(file, offset, end, seed)
    except OSError:
        return 0  # a sector that cannot be read


def _valid_bytes(file: ReadFile, offset: int, end: int, seed: int) -> int:
    piece = file.read_at(offset, min(PIECE_BYTES, end - offset))
    _, consumed = scan(piece, 0, seed)
    if consumed or len(piece) < HEADER_SIZE:
        return int(consumed)
    (payload_bytes,) = struct.unpack_from("<I", piece, 4)
    needed = HEADER_SIZE + payload_bytes
    if needed <= len(piece) or needed > end - offset:
        return 0
    _, consumed = scan(file.read_at(offset, needed), 0, seed)
    return int(consumed)
