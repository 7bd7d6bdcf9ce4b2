"""Limits of a journal, and what it reports of each partition when it is opened."""

from __future__ import annotations

from dataclasses import dataclass

from trilith.storage.file_header import NODE_ID_BYTES_MAX
from trilith.storage.segment import FIRST_RECORD_OFFSET
from trilith_native.record import HEADER_SIZE, MAX_PAYLOAD

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class JournalConfig:
    """Limits of a journal. `retain_bytes`: what `trim` keeps for peers that catch up."""

    node_id: str
    segment_bytes: int = 64 * MIB
    retain_bytes: int = 256 * MIB
    cache_bytes: int = 16 * MIB
    pending_bytes_max: int = 64 * MIB
    free_bytes_min: int = 64 * MIB  # left to the ordered store's flushes
    mark_delay_s: float = 0.25  # idle time after which the last group is proven by a MARK
    full_retry_s: float = 1.0

    def __post_init__(self) -> None:
        if not 4096 <= self.segment_bytes < 1 << 32:
            raise ValueError("segment_bytes must be at least 4 KiB and under 4 GiB")
        if not 0 < len(self.node_id.encode()) <= NODE_ID_BYTES_MAX:
            raise ValueError(f"a node id has 1 to {NODE_ID_BYTES_MAX} bytes")

    @property
    def record_bytes_max(self) -> int:
        """The largest payload: it fills a segment of its own."""
        return min(self.segment_bytes - FIRST_RECORD_OFFSET - 2 * HEADER_SIZE, MAX_PAYLOAD)


@dataclass(frozen=True, slots=True)
class RecoveredPartition:
    """One partition's log as found at `open`. `damaged`: records of it were lost; rebuild it from a
    peer and RESET. `last_epoch` is that of the entry at `last_index`, 0 when unknown."""

    first_index: int
    last_index: int
    last_epoch: int
    state: bytes | None
    damaged: bool
