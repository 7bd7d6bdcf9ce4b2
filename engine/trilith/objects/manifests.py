"""Writing and reading manifests through partitions, a bounded number of segments at a time."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import cast

from trilith.chunks.types import ChunkRef, StoredChunk
from trilith.errors import ConditionalConflict, Corruption, TrilithError
from trilith.objects.chunk_port import ChunkPipeline
from trilith.objects.commands import (
    AbandonManifest,
    GetSegments,
    Missed,
    PutSegment,
    Records,
)
from trilith.objects.keys import OBJECTS_KEYSPACE, successor
from trilith.objects.manifest import CHUNKS_PER_SEGMENT, open_segment, seal_segment
from trilith.objects.records import SEGMENT_RECORD, Segment
from trilith.replication.state_machine import Partitions

_SEGMENTS_PER_QUERY = 4
_log = logging.getLogger(__name__)


class ManifestWriter:
    """Collects the chunks of one owner in order; writes full segments ahead of the commit.

    Keeps at most one segment's references and what one `add` brings. The last segment is left for
    the command that commits: `last_segment`, `missed` and `pieces_ahead` go into it.
    """

    def __init__(
        self,
        partitions: Partitions,
        pipeline: ChunkPipeline,
        stem: bytes,
        owner: bytes,
        data_key: bytes,
    ) -> None:
        self._partitions = partitions
        self._pipeline = pipeline
        self.stem = stem
        self.owner = owner
        self._data_key = data_key
        self._chunks: list[StoredChunk] = []
        self._offset = 0
        self._attempted = False
        self.pieces_ahead = 0

    async def add(self, chunks: list[StoredChunk]) -> None:
        self._chunks += chunks
        while len(self._chunks) > CHUNKS_PER_SEGMENT:
            await self._write_ahead()

    async def _write_ahead(self) -> None:
        chunks = await self._pipeline.renew(self._chunks[:CHUNKS_PER_SEGMENT])
        segment = self._seal(chunks)
        command = PutSegment(
            self.stem,
            self.owner,
            segment,
            self.pieces_ahead,
            _missed(chunks),
            _expiry(chunks),
        )
        self._attempted = True
        await self._partitions.execute(OBJECTS_KEYSPACE, self.stem, command)
        self.pieces_ahead += 1
        self._offset += segment.length
        del self._chunks[:CHUNKS_PER_SEGMENT]

    def _seal(self, chunks: list[StoredChunk]) -> Segment:
        references = [chunk.ref for chunk in chunks]
        return seal_segment(self._data_key, self.owner, self._offset, references)

    async def write_all_ahead(self) -> None:
        """What is left too: for a commit that cannot be refused because it comes late."""
        while self._chunks:
            await self._write_ahead()

    async def renew(self) -> None:
        """To be called before a command that commits is built: its chunks are safe until then."""
        self._chunks = await self._pipeline.renew(self._chunks)

    def last_segment(self) -> Segment | None:
        """What is not written yet; None when there were no chunks at all."""
        return self._seal(self._chunks) if self._chunks else None

    @property
    def missed(self) -> list[Missed]:
        """Of the last segment."""
        return _missed(self._chunks)

    @property
    def expires_ms(self) -> int:
        """Of the last segment."""
        return _expiry(self._chunks)

    async def abandon(self) -> None:
        """After a failure: let go of what was written ahead. Harmless after the commit."""
        if self._attempted:
            await abandon(self._partitions, self.stem, self.owner)


def _missed(chunks: list[StoredChunk]) -> list[Missed]:
    return [(zone, chunk.ref.chunk_id) for chunk in chunks for zone in chunk.missed_zones]


def _expiry(chunks: list[StoredChunk]) -> int:
    return min((chunk.expires_ms for chunk in chunks), default=0)


async def abandon(partitions: Partitions, stem: bytes, owner: bytes) -> None:
    """Let go of what was written ahead under an owner; a failure to is left to housekeeping."""
    try:
        await partitions.execute(OBJECTS_KEYSPACE, stem, AbandonManifest(stem, owner))
    except TrilithError as error:
        _log.warning("a manifest written ahead is left to housekeeping: %r", error)


class ManifestReader:
    """Reads references of the manifests of one object version, lazily.

    The segments of an overwritten version stay until the collector drops them, long after; a
    reader that outlives even that fails cleanly with ConditionalConflict.
    """

    def __init__(
        self, partitions: Partitions, stem: bytes, data_key: bytes, *, consistent: bool
    ) -> None:
        self._partitions = partitions
        self._stem = stem
        self._data_key = data_key
        self._consistent = consistent

    async def segments(
        self, owner: bytes, first: int, last: int, at_hand: Segment | None = None
    ) -> AsyncIterator[Segment]:
        """The segments that hold bytes first..last of the owner."""
        offset = first
        if at_hand is not None and at_hand.offset <= offset < at_hand.offset + at_hand.length:
            yield at_hand
            offset = at_hand.offset + at_hand.length
        while offset <= last:
            records = await self._fetch(owner, offset)
            for segment in records:
                if not segment.offset <= offset < segment.offset + segment.length:
                    raise Corruption("the segments of a manifest do not join")
                yield segment
                offset = segment.offset + segment.length
                if offset > last:
                    break

    async def _fetch(self, owner: bytes, offset: int) -> list[Segment]:
        query = GetSegments(self._stem, owner, offset, _SEGMENTS_PER_QUERY)
        found = cast(
            Records,
            await self._partitions.query(
                OBJECTS_KEYSPACE,
                self._stem,
                query,
                consistent=self._consistent,
                touched=(self._stem, successor(self._stem)),
            ),
        )
        if not found.records:
            raise ConditionalConflict("the object was overwritten while it was being read")
        return [SEGMENT_RECORD.decode(raw) for _, raw in found.records]

    async def references(
        self, owner: bytes, first: int, last: int, at_hand: Segment | None = None
    ) -> AsyncIterator[tuple[int, ChunkRef]]:
        """(offset in the owner, reference) of the chunks that hold bytes first..last."""
        async for segment in self.segments(owner, first, last, at_hand):
            offset = segment.offset
            for reference in open_segment(self._data_key, owner, segment):
                if offset > last:
                    return
                if offset + reference.size > first:
                    yield offset, reference
                offset += reference.size
