"""The chunk pipeline of a node: uploads in, reads out, under common bounds of memory.

Memory: bodies in flight hold at most `inflight_bytes_max`, half of it gathering and half as chunks
under way; chunks that other nodes write here come on top, and each of them sends at most its own
half.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from trilith.chunks.budget import ByteBudget, GatherBudget
from trilith.chunks.reading import ChunkReader
from trilith.chunks.renewal import Renewal
from trilith.chunks.replicas import ReplicaWriter
from trilith.chunks.service import ChunkService
from trilith.chunks.types import ChunkRef, StoredChunk
from trilith.chunks.upload import ChunkUpload
from trilith.chunks.window import WindowCutter
from trilith.cluster.placement import Placement
from trilith.config import Chunks as ChunksConfig
from trilith.runtime.workers import Workers
from trilith_native.chunker import Chunker

TURN_S = 2.0
SMALL_WINDOW_BYTES = 256 * 1024


class ChunkPipeline:
    """What the object model sees of bulk bytes."""

    def __init__(
        self,
        config: ChunksConfig,
        service: ChunkService,
        placement: Placement,
        workers: Workers,
        local_zone: str,
        *,
        turn_s: float = TURN_S,
    ) -> None:
        self.workers = workers
        self.window_bytes = config.max_bytes
        gathering_bytes = config.inflight_bytes_max // 2
        small_bytes = min(gathering_bytes // 4, gathering_bytes - config.max_bytes)
        # Short bodies, and the beginnings of bodies of unknown length, have room of their own: they
        # do not queue behind long ones. Zero when the limits leave no room for it.
        self.small_window_bytes = min(SMALL_WINDOW_BYTES, small_bytes, config.max_bytes)
        self.small_windows = GatherBudget(small_bytes, turn_s)
        self.windows = GatherBudget(gathering_bytes - small_bytes, turn_s)
        self.storing = ByteBudget(config.inflight_bytes_max // 2)
        self.replicas = ReplicaWriter(service, placement, workers, local_zone)
        self.renewal = Renewal(service, placement, grace_ms=config.gc_grace_seconds * 1000)
        self.reader = ChunkReader(
            service, placement, workers, local_zone, config.inflight_bytes_max // 2
        )
        self._chunker = Chunker(config.min_bytes, config.avg_bytes, config.max_bytes)

    def upload(self, salt: bytes, *, expected_bytes: int | None = None) -> ChunkUpload:
        """A new body. `salt`: 32 bytes; only bodies of one salt share chunks.

        `expected_bytes`: the body's length, if it is known: short bodies then wait for less room.
        """
        cutter = WindowCutter(self._chunker, salt, self.replicas.is_known_here)
        return ChunkUpload(self, cutter, expected_bytes)

    async def renew(self, chunks: list[StoredChunk]) -> list[StoredChunk]:
        """The same chunks, none about to expire: touched anew in every zone where they would.

        Raises NotEnoughZones when fewer than two zones have one of them.
        """
        return await self.renewal.renew(chunks)

    async def read(self, reference: ChunkRef) -> bytes:
        """A chunk's verified plaintext. Raises Corruption, or PeerUnreachable (retryable)."""
        return await self.reader.read(reference)

    def stream(
        self, references: AsyncIterator[tuple[int, ChunkRef]], first: int, last: int
    ) -> AsyncIterator[bytes]:
        """Bytes first..last inclusive of a body, in runs of up to a chunk.

        `references`: (offset in the body, chunk) in order, at least those that hold these bytes;
        asked for as they are needed. `reading.in_order` makes them of a list.
        """
        return self.reader.stream(references, first, last)
