"""Values of the chunk pipeline that others keep."""

from __future__ import annotations

import msgspec


class ChunkRef(msgspec.Struct, frozen=True, array_like=True):
    """What it takes to find, open and verify a chunk. Whoever has `key` can read the plaintext."""

    chunk_id: bytes  # 32 bytes; derived from salt and plaintext
    key: bytes  # 32 bytes; as above
    size: int  # plaintext bytes


class StoredChunk(msgspec.Struct, frozen=True, array_like=True):
    """A durable chunk. `missed_zones` lack it: their repair must be recorded with the manifest.

    `expires_ms` (wall clock): by then a manifest that names it must be committed, or it must be
    touched anew; later the garbage collector may have taken it (chunks/collector.py).
    """

    ref: ChunkRef
    missed_zones: tuple[str, ...] = ()
    expires_ms: int = 0
