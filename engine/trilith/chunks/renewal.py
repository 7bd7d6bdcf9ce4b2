"""Keeping chunks from the garbage collector until their manifest is committed.

A chunk is safe for the whole grace period after a touch. A manifest that names it must be committed
within the first half of it; the leader refuses it later, by its own clock. The other half is for
clocks that disagree: a quarter of the grace period each, in either direction. An upload that takes
longer touches its chunks again, a segment at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from trilith.chunks.service import ChunkService
from trilith.chunks.types import StoredChunk
from trilith.cluster.placement import Placement
from trilith.errors import NotEnoughZones, TrilithError

DURABLE_ZONES_MIN = 2


class Renewal:
    """Of one gateway."""

    def __init__(self, service: ChunkService, placement: Placement, *, grace_ms: int) -> None:
        self._service = service
        self._placement = placement
        self._valid_ms = grace_ms // 2

    def expiry_ms(self) -> int:
        """Of touches that begin now."""
        return self._service.wall_ms() + self._valid_ms

    async def renew(self, chunks: list[StoredChunk]) -> list[StoredChunk]:
        """See ChunkPipeline. Chunks with more than half of their time left are as they were."""
        soon_ms = self._service.wall_ms() + self._valid_ms // 2
        old = {chunk.ref.chunk_id for chunk in chunks if chunk.expires_ms < soon_ms}
        if not old:
            return chunks
        expires_ms = self.expiry_ms()
        missed = await self._touch_everywhere(sorted(old))
        return [
            StoredChunk(chunk.ref, missed[chunk.ref.chunk_id], expires_ms)
            if chunk.ref.chunk_id in missed
            else chunk
            for chunk in chunks
        ]

    async def _touch_everywhere(self, chunk_ids: Sequence[bytes]) -> dict[bytes, tuple[str, ...]]:
        """The zones that lack each of the chunks, or did not answer."""
        by_node: dict[tuple[str, str], list[bytes]] = {}
        for chunk_id in chunk_ids:
            for zone, node_id in self._placement.owners(chunk_id).items():
                by_node.setdefault((zone, node_id), []).append(chunk_id)
        missed: dict[bytes, list[str]] = {chunk_id: [] for chunk_id in chunk_ids}
        there = dict.fromkeys(chunk_ids, 0)

        async def touch(zone: str, node_id: str, ids: list[bytes]) -> None:
            try:
                flags = await self._service.touch(node_id, ids)
            except TrilithError:
                flags = [False] * len(ids)
            for chunk_id, is_there in zip(ids, flags, strict=True):
                there[chunk_id] += is_there
                if not is_there:
                    missed[chunk_id].append(zone)

        await asyncio.gather(*(touch(zone, node, ids) for (zone, node), ids in by_node.items()))
        if min(there.values()) < DURABLE_ZONES_MIN:
            raise NotEnoughZones("fewer than two zones have a chunk that is to be referenced")
        return {chunk_id: tuple(sorted(zones)) for chunk_id, zones in missed.items()}
