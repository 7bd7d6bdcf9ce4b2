"""Manifest segments: chunk references, sealed in bounded runs.

A segment covers at most CHUNKS_PER_SEGMENT chunks (512 chunks of 1 MiB on average: half a GiB of
plaintext in some 35 KB). Chunk ids stay readable (reference counting and repair work without
keys); chunk keys and sizes are sealed as a whole under the owner's segment key, with the ids as
additional authenticated data and the segment's offset as nonce. An offset is written once per
owner, so a nonce is never used for two messages.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from blake3 import blake3

from trilith.chunks.types import ChunkRef
from trilith.errors import Corruption
from trilith.objects.records import Segment
from trilith_native.convergent import open as open_sealed
from trilith_native.convergent import seal

CHUNKS_PER_SEGMENT = 512
CHUNK_ID_SIZE = 32
_KEY_SIZE = 32


def _segment_key(data_key: bytes, owner: bytes) -> bytes:
    return blake3(owner, key=data_key).digest()


def seal_segment(
    data_key: bytes, owner: bytes, offset: int, references: Sequence[ChunkRef]
) -> Segment:
    """The segment that starts at plaintext byte `offset` of the owner."""
    count = len(references)
    assert 0 < count <= CHUNKS_PER_SEGMENT, count
    sizes = [reference.size for reference in references]
    chunk_ids = b"".join([reference.chunk_id for reference in references])
    secret = struct.pack(f">{count}I", *sizes) + b"".join([r.key for r in references])
    nonce = offset.to_bytes(12, "big")
    sealed = seal(_segment_key(data_key, owner), nonce, secret, chunk_ids)
    return Segment(offset, sum(sizes), chunk_ids, sealed)


def open_segment(data_key: bytes, owner: bytes, segment: Segment) -> list[ChunkRef]:
    """The references of a segment. Raises Corruption when it is not what was sealed."""
    try:
        nonce = segment.offset.to_bytes(12, "big")
        secret = open_sealed(
            _segment_key(data_key, owner), nonce, segment.sealed, segment.chunk_ids
        )
    except (ValueError, OverflowError) as error:
        raise Corruption("a manifest segment does not authenticate") from error
    ids = segment.chunk_ids
    count = len(ids) // CHUNK_ID_SIZE
    sizes = struct.unpack_from(f">{count}I", secret)
    keys_at = 4 * count
    return [
        ChunkRef(
            ids[CHUNK_ID_SIZE * i : CHUNK_ID_SIZE * (i + 1)],
            secret[keys_at + _KEY_SIZE * i : keys_at + _KEY_SIZE * (i + 1)],
            sizes[i],
        )
        for i in range(count)
    ]
