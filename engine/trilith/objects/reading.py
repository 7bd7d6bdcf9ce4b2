"""Reads of single objects: open, head, part sizes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import cast

from trilith.errors import (
    Corruption,
    DeadlineExceeded,
    ObjectNotFound,
    OutcomeUnknown,
    Unavailable,
)
from trilith.objects.access import Access
from trilith.objects.commands import FoundObject, GetBucket, GetObject
from trilith.objects.keys import OBJECTS_KEYSPACE, SYSTEM_KEYSPACE, stem_of
from trilith.objects.manifests import ManifestReader
from trilith.objects.readers import (
    ChunkedReader,
    InlineReader,
    MultipartReader,
    PartList,
    Reader,
    object_info,
)
from trilith.objects.records import OBJECT_RECORD, Kind
from trilith.objects.types import BucketInfo, ObjectInfo, ObjectPart, ObjectReader


class ReadOperations(Access):
    def try_open_object(self, bucket: str, key: str) -> ObjectReader | None:
        """Two local lookups (bucket, object), no await; None when either needs a hop or a wait."""
        found = self._partitions.try_query(SYSTEM_KEYSPACE, bucket.encode(), GetBucket(bucket))
        if found is None:
            return None
        info: BucketInfo = found.bucket
        stem = stem_of(info.bucket_id, key)
        result = self._partitions.try_query(OBJECTS_KEYSPACE, stem, GetObject(stem))
        if result is None or result.lock is not None:
            return None
        return self._reader(info, stem, key, result, consistent=True)

    async def open_object(self, bucket: str, key: str, *, consistent: bool = True) -> ObjectReader:
        return await self._open(bucket, key, consistent=consistent)

    async def _open(self, bucket: str, key: str, *, consistent: bool) -> Reader:
        info = await self._bucket(bucket, consistent=consistent)
        stem = stem_of(info.bucket_id, key)
        found = await self._find(stem, with_body=True, consistent=consistent)
        return self._reader(info, stem, key, found, consistent=consistent)

    async def _find(self, stem: bytes, *, with_body: bool, consistent: bool) -> FoundObject:
        """The object's current record."""
        query = GetObject(stem, with_body)
        found: FoundObject | None = None
        if consistent:
            found = self._partitions.try_query(OBJECTS_KEYSPACE, stem, query)
        if found is None:
            found = cast(
                FoundObject,
                await self._partitions.query(OBJECTS_KEYSPACE, stem, query, consistent=consistent),
            )
        if found.lock is None:
            return found
        found = await self._find_behind_lock(stem, query, found, consistent=consistent)
        if not found.record:
            raise ObjectNotFound
        return found

    async def _find_behind_lock(
        self, stem: bytes, query: GetObject, found: FoundObject, *, consistent: bool
    ) -> FoundObject:
        def ask() -> Awaitable[FoundObject]:
            return self._partitions.query(OBJECTS_KEYSPACE, stem, query)

        try:
            return await self._recovery.behind_locks(
                OBJECTS_KEYSPACE,
                found,
                lambda answer: () if answer.lock is None else (answer.lock,),
                ask,
                lambda _first, _lock: True,
            )
        except Unavailable:
            if consistent:
                raise
        except OutcomeUnknown as error:
            if consistent:
                raise DeadlineExceeded(f"a transaction could not be settled: {error}") from None
        return found

    def _reader(
        self, bucket: BucketInfo, stem: bytes, key: str, found: FoundObject, *, consistent: bool
    ) -> Reader:
        raw = found.record
        record = OBJECT_RECORD.decode(raw)
        info = object_info(key, record)
        kind = OBJECT_RECORD.kind(raw)
        if kind == Kind.INLINE:
            if found.content is None:
                raise Corruption("an inline object has no body record")
            return InlineReader(bucket, info, found.content, self._keys)
        data_key = self._keys.unwrap(bucket.bucket_id, record.wrapped_key)
        manifests = ManifestReader(self._partitions, stem, data_key, consistent=consistent)
        if kind == Kind.CHUNKED:
            return ChunkedReader(bucket, info, manifests, self._pipeline, found.content)
        part_list = PartList(
            self._partitions, stem, info.version_id, record.part_count, consistent=consistent
        )
        return MultipartReader(bucket, info, manifests, self._pipeline, part_list)

    async def head_object(self, bucket: str, key: str, *, consistent: bool = True) -> ObjectInfo:
        info = await self._bucket(bucket, consistent=consistent)
        stem = stem_of(info.bucket_id, key)
        found = await self._find(stem, with_body=False, consistent=consistent)
        return object_info(key, OBJECT_RECORD.decode(found.record))

    async def object_parts(self, reader: ObjectReader) -> list[ObjectPart]:
        """Empty for what is not from a multipart upload."""
        if isinstance(reader, MultipartReader):
            return await reader.part_list.all()
        return []
