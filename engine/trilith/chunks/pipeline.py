"""The chunk pipeline of a node: uploads in, reads out, under common bounds of memory.

Memory: bodies in flight hold at most `inflight_bytes_max`, half of it gathering and half as chunks
under way; chunks that other nodes write here come on top, and each of them sends at most its own
half.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from trilith.chunks.budget import ByteBudget, GatherBudget
from trilith.chunks.reading import ChunkReader
from trilith.chunks.replicas import ReplicaWriter
from trilith.chunks.service import ChunkService
from trilith.chunks.types import ChunkRef
from trilith.chunks.upload import ChunkUpload
from trilith.chunks.window import WindowCutter
from trilith.cluster.placement import Placement
from trilith.config import Chunks as ChunksConfig
from trilith.runtime.workers import Workers
from trilith_native.chunker import Chunker

TURN_S = 2.0


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
        self.gathering = GatherBudget(config.inflight_bytes_max // 2, turn_s)
        self.storing = ByteBudget(config.inflight_bytes_max // 2)
        self.replicas = ReplicaWriter(service, placement, workers, local_zone)
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

    async def read(self, reference: ChunkRef) -> bytes:
        """A chunk's verified plaintext. Raises Corruption, or PeerUnreachable (retryable)."""
        return await self.reader.read(reference)

    def stream(self, references: Sequence[ChunkRef], first: int, last: int) -> AsyncIterator[bytes]:
        """Bytes first..last inclusive of the chunks laid end to end, in runs of up to a chunk."""
        return self.reader.stream(references, first, last)
