"""Reading the ordered store's files as they lie on the medium.

RocksDB verifies the blocks that it reads, and reads few of them: much comes from its cache, and a
table's filter, index and footer are seldom looked at again. Its tables and blob files never change
once they are whole, so a digest is taken of each when it is first seen, and compared in every later
round. (The first look reads every record through RocksDB, see scrub.py.) Digests are kept in memory
only: after a restart RocksDB may use a file's number again. The manifest grows; its records have
checksums of their own (the log format of LevelDB and RocksDB).
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

import xxhash

from trilith.errors import Corruption
from trilith.runtime.disk import Disk, ReadFile
from trilith.runtime.workers import Workers
from trilith_native.crc import crc32c

PIECE_BYTES = 1024 * 1024
TABLE_MAGIC = struct.pack("<Q", 0x88E241B785F4CFF7)  # the last bytes of a whole table
BLOB_MAGIC = struct.pack("<I", 2395959)  # at the start of a blob file's footer
BLOB_FOOTER_BYTES = 32
LOG_BLOCK_BYTES = 32 * 1024
LOG_HEADER = struct.Struct("<IHB")  # masked crc of type and payload, length, type
LOG_TYPES_WITH_NUMBER = range(5, 9)  # "recyclable": four more bytes of header
MASK_DELTA = 0xA282EAD8


class StoreFiles:
    """What is known of the files of one ordered store, in this process."""

    def __init__(self, disk: Disk, directory: str, workers: Workers) -> None:
        self._disk = disk
        self._directory = directory
        self._workers = workers
        self._digests: dict[str, tuple[int, int]] = {}  # name -> size, digest
        self._unfinished: tuple[str, int] | None = None  # manifest, and where it ended badly

    async def steps(self) -> AsyncIterator[int]:
        """Bytes read. Raises Corruption for a file that has changed; OSError."""
        names = await self._workers.run(self._disk.list, self._directory)
        self._digests = {name: d for name, d in self._digests.items() if name in names}
        for name in names:
            if name.endswith((".sst", ".blob")):
                async for size in self._compare(name):
                    yield size
        yield await self._workers.run(self._check_manifest)

    async def _compare(self, name: str) -> AsyncIterator[int]:
        try:
            path = f"{self._directory}/{name}"
            file = await self._workers.run(self._disk.open_read, path, from_media=True)
        except FileNotFoundError:
            return  # compacted away meanwhile
        try:
            known = self._digests.get(name)
            if known is None and not await self._workers.run(_is_whole, file, name):
                return  # being written
            digest, offset = xxhash.xxh3_64(), 0
            while piece := await self._workers.run(file.read_at, offset, PIECE_BYTES):
                digest.update(piece)
                offset += len(piece)
                yield len(piece)
        finally:
            file.close()
        found = (offset, digest.intdigest())
        if known is not None and known != found:
            raise Corruption(f"ordered store: the bytes of {name} have changed")
        self._digests[name] = found

    def _check_manifest(self) -> int:
        current = self._disk.read_small(f"{self._directory}/CURRENT")
        name = current.decode("ascii", "replace").rstrip("\n")
        path = f"{self._directory}/{name}"
        if not name.startswith("MANIFEST-") or not self._disk.exists(path):
            if current == self._disk.read_small(f"{self._directory}/CURRENT"):
                raise Corruption(f"ordered store: CURRENT names {name!r}, which is no manifest")
            return 0  # replaced meanwhile
        file = self._disk.open_read(path, from_media=True)
        try:
            data = file.read_at(0, file.size)
        finally:
            file.close()
        bad = first_bad_log_record(data)
        seen, self._unfinished = self._unfinished, None
        if bad is not None:
            # Perhaps its last record is being written: then the next round finds it whole.
            self._unfinished = (name, bad)
            if seen == self._unfinished:
                raise Corruption(f"ordered store: {name} has a bad record at {bad}")
        return len(data)


def _is_whole(file: ReadFile, name: str) -> bool:
    """Whether its footer, which is written last, is there."""
    if name.endswith(".sst"):
        length = len(TABLE_MAGIC)
        return file.size > length and file.read_at(file.size - length, length) == TABLE_MAGIC
    footer = file.read_at(max(0, file.size - BLOB_FOOTER_BYTES), BLOB_FOOTER_BYTES)
    return file.size > BLOB_FOOTER_BYTES and footer.startswith(BLOB_MAGIC)


def first_bad_log_record(data: bytes) -> int | None:
    """Offset of the first record that is not valid or not whole; None: all are."""
    offset = 0
    while offset < len(data):
        left = LOG_BLOCK_BYTES - offset % LOG_BLOCK_BYTES
        if left < LOG_HEADER.size:
            if data[offset : offset + left].strip(b"\0"):
                return offset
            offset += left
            continue
        if len(data) - offset < LOG_HEADER.size:
            return offset
        masked, length, kind = LOG_HEADER.unpack_from(data, offset)
        header = LOG_HEADER.size + (4 if kind in LOG_TYPES_WITH_NUMBER else 0)
        end = offset + header + length
        if end > len(data) or end > offset + left:
            return offset
        rotated = (masked - MASK_DELTA) & 0xFFFFFFFF
        expected = (rotated >> 17 | rotated << 15) & 0xFFFFFFFF
        if crc32c(data[offset + LOG_HEADER.size - 1 : end]) != expected:
            return offset
        offset = end
    return None
