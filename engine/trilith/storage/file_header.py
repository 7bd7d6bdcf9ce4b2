"""The first 128 bytes of every journal segment and chunk extent.

Little-endian: magic (8), format version u32, header length u32, file number u64, end of the
previous file u64 (0: unknown), node id (64, zero-padded UTF-8), reserved (28), CRC32C u32 of all
that comes before it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import xxhash

from trilith.errors import DataDirectoryUnusable, TrilithError
from trilith.runtime.disk import ReadFile
from trilith_native.crc import crc32c

FORMAT_VERSION = 1
FILE_HEADER_BYTES = 128
NODE_ID_BYTES_MAX = 64
_LAYOUT = struct.Struct("<8sIIQQ64s28x")
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class FileHeader:
    """`previous_end`: offset behind the last record of the file with the number before this one."""

    magic: bytes
    number: int
    previous_end: int
    node_id: str

    def encode(self) -> bytes:
        body = _LAYOUT.pack(
            self.magic,
            FORMAT_VERSION,
            FILE_HEADER_BYTES,
            self.number,
            self.previous_end,
            self.node_id.encode(),
        )
        return body + _CHECKSUM.pack(crc32c(body))


def decode_file_header(
    data: bytes, *, magic: bytes, number: int, node_id: str
) -> FileHeader | None:
    """The header at the start of `data`; None when it is torn, damaged or never written.

    Raises DataDirectoryUnusable when the file is intact but of a newer format or another node.
    """
    if len(data) < FILE_HEADER_BYTES:
        return None
    body = data[: _LAYOUT.size]
    (checksum,) = _CHECKSUM.unpack_from(data, _LAYOUT.size)
    found_magic, version, _, found_number, previous_end, found_node = _LAYOUT.unpack(body)
    if crc32c(body) != checksum or found_magic != magic:
        return None
    if version > FORMAT_VERSION:
        raise DataDirectoryUnusable(
            f"file {number} is of format {version}; this release reads up to {FORMAT_VERSION}"
        )
    found_node_id = found_node.rstrip(b"\0").decode()
    if found_node_id != node_id or found_number != number:
        raise DataDirectoryUnusable(
            f"file {number} of node {node_id!r} says it is file {found_number} of {found_node_id!r}"
        )
    return FileHeader(magic, number, previous_end, node_id)


def is_good(file: ReadFile, *, magic: bytes, number: int, node_id: str) -> bool:
    """Whether a file on the medium begins with its own header. Blocking."""
    try:
        data = file.read_at(0, FILE_HEADER_BYTES)
        return decode_file_header(data, magic=magic, number=number, node_id=node_id) is not None
    except (TrilithError, UnicodeDecodeError):
        return False  # another file's: a misdirected write
    except OSError:
        return False  # a sector that cannot be read


def file_seed(magic: bytes, node_id: str, number: int) -> int:
    """Seed of the checksums of one file's records: a record is never valid in any other file."""
    return (
        xxhash.xxh3_64_intdigest(magic + node_id.encode() + number.to_bytes(8, "little"))
        & 0xFFFFFFFF
    )
