"""Open object versions: what `open_object` answers.

A reader pins the record it was opened with. Its manifest is read lazily, so memory stays bounded by
a few segments and chunks whatever the object's size; released segments outlive an overwrite
(rules/manifests.py), so an open reader goes on with the version that it pinned.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from trilith.chunks.types import ChunkRef
from trilith.errors import ConditionalConflict, Corruption
from trilith.objects.chunk_port import ChunkPipeline
from trilith.objects.commands import GetPartList, Records
from trilith.objects.key_ring import KeyRing
from trilith.objects.keys import OBJECTS_KEYSPACE, successor
from trilith.objects.manifests import ManifestReader
from trilith.objects.records import PART_LIST_PAGE, SEGMENT_RECORD, ObjectRecord, PartEntry
from trilith.objects.types import BucketInfo, ObjectInfo, ObjectPart
from trilith.replication.state_machine import Partitions


class InlineReader:
    """A small object, at hand in full."""

    __slots__ = ("_body", "_keys", "_sealed", "bucket", "info")

    def __init__(self, bucket: BucketInfo, info: ObjectInfo, sealed: bytes, keys: KeyRing) -> None:
        self.bucket = bucket
        self.info = info
        self._sealed = sealed
        self._keys = keys
        self._body: bytes | None = None

    def small_body(self) -> bytes | None:
        """Raises Corruption."""
        if self._body is None:
            self._body = self._keys.open_inline(
                self.bucket.bucket_id, self.info.version_id, self._sealed
            )
        return self._body

    async def stream(self, first: int, last: int) -> AsyncIterator[bytes]:
        body = self.small_body()
        assert body is not None
        if first <= last:
            yield body[first : last + 1]


class ChunkedReader:
    """An object with one manifest."""

    def __init__(
        self,
        bucket: BucketInfo,
        info: ObjectInfo,
        manifests: ManifestReader,
        pipeline: ChunkPipeline,
        first_segment: bytes | None,
    ) -> None:
        self.bucket = bucket
        self.info = info
        self._manifests = manifests
        self._pipeline = pipeline
        self._first_segment = first_segment

    def small_body(self) -> bytes | None:
        return None

    def stream(self, first: int, last: int) -> AsyncIterator[bytes]:
        return self._pipeline.stream(self.references(first, last), first, last)

    def references(self, first: int, last: int) -> AsyncIterator[tuple[int, ChunkRef]]:
        """(offset in the object, reference) of the chunks that hold bytes first..last."""
        raw = self._first_segment
        at_hand = SEGMENT_RECORD.decode(raw) if raw is not None else None
        return self._manifests.references(self.info.version_id, first, last, at_hand)


class MultipartReader:
    """An object made of parts, each with its manifest."""

    def __init__(
        self,
        bucket: BucketInfo,
        info: ObjectInfo,
        manifests: ManifestReader,
        pipeline: ChunkPipeline,
        part_list: PartList,
    ) -> None:
        self.bucket = bucket
        self.info = info
        self._manifests = manifests
        self._pipeline = pipeline
        self.part_list = part_list

    def small_body(self) -> bytes | None:
        return None

    def stream(self, first: int, last: int) -> AsyncIterator[bytes]:
        return self._pipeline.stream(self.references(first, last), first, last)

    async def references(self, first: int, last: int) -> AsyncIterator[tuple[int, ChunkRef]]:
        """(offset in the object, reference) of the chunks that hold bytes first..last."""
        async for start, part in self.part_list.parts(first, last):
            in_part_first = max(0, first - start)
            in_part_last = min(part.size - 1, last - start)
            async for offset, reference in self._manifests.references(
                part.owner, in_part_first, in_part_last
            ):
                yield start + offset, reference


class PartList:
    """The pages of a completed object's part list."""

    def __init__(
        self,
        partitions: Partitions,
        stem: bytes,
        version_id: bytes,
        part_count: int,
        *,
        consistent: bool,
    ) -> None:
        self._partitions = partitions
        self._stem = stem
        self._version_id = version_id
        self._part_count = part_count
        self._consistent = consistent

    async def parts(self, first: int, last: int) -> AsyncIterator[tuple[int, PartEntry]]:
        """(offset in the object, part) of the parts that hold bytes first..last; no empty ones."""
        offset = first
        while offset <= last:
            page_offset, entries = await self._page(offset)
            start = page_offset
            for part in entries:
                if start > last:
                    return
                if part.size and start + part.size > first:
                    yield start, part
                start += part.size
            if start <= offset:
                raise Corruption("the part list of an object is shorter than the object")
            offset = start

    async def all(self) -> list[ObjectPart]:
        """All parts in order."""
        found: dict[int, ObjectPart] = {}
        offset = 0
        while len(found) < self._part_count:
            page_offset, entries = await self._page(offset)
            before = len(found)
            for part in entries:
                found[part.number] = ObjectPart(part.number, part.size, part.checksum)
            offset = page_offset + sum(part.size for part in entries)
            if len(found) == before:
                raise Corruption("the part list of an object is shorter than its count")
        return list(found.values())

    async def _page(self, offset: int) -> tuple[int, list[PartEntry]]:
        found = cast(
            Records,
            await self._partitions.query(
                OBJECTS_KEYSPACE,
                self._stem,
                GetPartList(self._stem, self._version_id, offset, 1),
                consistent=self._consistent,
                touched=(self._stem, successor(self._stem)),
            ),
        )
        if not found.records:
            raise ConditionalConflict("the object was overwritten while it was being read")
        page_offset, raw = found.records[0]
        return page_offset, PART_LIST_PAGE.decode(raw).parts


Reader = InlineReader | ChunkedReader | MultipartReader


def object_info(key: str, record: ObjectRecord) -> ObjectInfo:
    return ObjectInfo(
        key,
        record.version_id,
        record.size,
        record.etag,
        record.last_modified_ms,
        record.metadata,
        record.checksum,
        record.part_count,
    )
