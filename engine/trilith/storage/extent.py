"""Chunk extents: names, records, and the index entry of a chunk.

An extent is a file header and records. A record is a framed header (the same framing as the
journal's, with a seed of its own per extent) whose payload is the chunk id, and then, for a CHUNK,
the sealed bytes. The frame's integer fields mean: partition = length of the sealed bytes, epoch =
time of the touch in wall-clock milliseconds, index = CRC32C of the sealed bytes.

Keys in the ordered store: keyspace 0; family 1: chunk id -> where it is; family 2: the checkpoint.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from trilith.storage.file_header import FILE_HEADER_BYTES, file_seed
from trilith_native.record import HEADER_SIZE, frame

MAGIC: Final = b"TRILEXTN"
FIRST_RECORD_OFFSET: Final = FILE_HEADER_BYTES

CHUNK: Final = 1
TOUCH: Final = 2
DELETE: Final = 3  # of no chunk, where an extent begins early; a reader must honour any other too

CHUNK_ID_BYTES: Final = 32
RECORD_HEAD_BYTES: Final = HEADER_SIZE + CHUNK_ID_BYTES
FRAME_FIELDS: Final = struct.Struct("<IIB3xIQQQ")  # crc, payload length, kind, then the integers

INDEX_PREFIX: Final = b"\x00\x01"
INDEX_END: Final = b"\x00\x02"
CHECKPOINT_KEY: Final = b"\x00\x02checkpoint"

_LOCATION = struct.Struct("<IQIIQ")
_CHECKPOINT = struct.Struct("<IQQQQ")


@dataclass(frozen=True, slots=True)
class ChunkLocation:
    """Where a chunk's sealed bytes are. `offset` is that of the bytes, behind the record's head."""

    extent: int
    offset: int
    length: int
    checksum: int
    touched_ms: int

    def is_at(self, other: ChunkLocation) -> bool:
        """Whether both name the same bytes."""
        return (self.extent, self.offset) == (other.extent, other.offset)

    def encode(self) -> bytes:
        return _LOCATION.pack(self.extent, self.offset, self.length, self.checksum, self.touched_ms)

    @classmethod
    def decode(cls, value: bytes) -> ChunkLocation:
        return cls(*_LOCATION.unpack(value))


@dataclass(slots=True)
class Checkpoint:
    """The index holds every record before (extent, offset). With it, the running totals."""

    extent: int = 0
    offset: int = 0
    chunks: int = 0
    bytes_stored: int = 0
    bytes_deduplicated: int = 0

    def encode(self) -> bytes:
        return _CHECKPOINT.pack(
            self.extent, self.offset, self.chunks, self.bytes_stored, self.bytes_deduplicated
        )

    @classmethod
    def decode(cls, value: bytes) -> Checkpoint:
        return cls(*_CHECKPOINT.unpack(value))


def record_head(
    seed: int, kind: int, chunk_id: bytes, *, length: int, checksum: int, touched_ms: int
) -> bytes:
    return frame(seed, kind, length, touched_ms, checksum, chunk_id)


def extent_path(directory: str, number: int) -> str:
    return f"{directory}/extents/{number:08d}.ext"


def extent_number(name: str) -> int | None:
    stem, _, suffix = name.partition(".")
    # Other scripts have digits too; no file of ours has them in its name.
    return int(stem) if suffix == "ext" and stem.isascii() and stem.isdigit() else None


def extent_seed(node_id: str, number: int) -> int:
    return file_seed(MAGIC, node_id, number)
