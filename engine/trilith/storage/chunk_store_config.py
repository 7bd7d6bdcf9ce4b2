"""Limits of a chunk store."""

from __future__ import annotations

from dataclasses import dataclass

from trilith.storage.extent import FIRST_RECORD_OFFSET, RECORD_HEAD_BYTES
from trilith.storage.file_header import NODE_ID_BYTES_MAX

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChunkStoreConfig:
    """Limits of a chunk store.

    `touch_granularity_ms`: a chunk that was touched less than this ago, and after the last stamp of
    `mark_time`, is not touched again.
    """

    node_id: str
    extent_bytes: int = 256 * MIB
    extent_bytes_min: int = 16 * MIB  # what a nearly full disk may still reserve
    pending_bytes_max: int = 32 * MIB
    group_bytes_max: int = 16 * MIB
    free_bytes_min: int = 64 * MIB  # left to the ordered store's flushes
    full_retry_s: float = 1.0
    open_files_max: int = 64
    touch_granularity_ms: int = 10 * 60 * 1000

    def __post_init__(self) -> None:
        if not 0 < len(self.node_id.encode()) <= NODE_ID_BYTES_MAX:
            raise ValueError(f"a node id has 1 to {NODE_ID_BYTES_MAX} bytes")
        if not 0 < self.extent_bytes_min <= self.extent_bytes < 1 << 32:
            raise ValueError("extent sizes: 0 < extent_bytes_min <= extent_bytes < 4 GiB")

    @property
    def chunk_bytes_max(self) -> int:
        return self.extent_bytes_min - FIRST_RECORD_OFFSET - RECORD_HEAD_BYTES
