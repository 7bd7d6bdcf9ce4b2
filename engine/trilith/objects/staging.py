"""Objects made ready for a transaction: everything stored, nothing committed.

What was stored ahead of a transaction that comes to nothing has to be let go (`unstage`); what a
gateway leaves that dies is abandoned like any other manifest written ahead.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any

from trilith.errors import TrilithError
from trilith.objects.commands import AbandonManifest, DeleteObject, PutObject
from trilith.objects.copying import CopyOperations, by_reference, reread, take_over
from trilith.objects.digests import RunningChecksum
from trilith.objects.keys import OBJECTS_KEYSPACE, stem_of
from trilith.objects.manifests import ManifestWriter
from trilith.objects.types import (
    NO_CONDITIONS,
    BucketInfo,
    Checksum,
    ObjectMetadata,
    WriteConditions,
)
from trilith.objects.writing import Incoming, StreamedBody, given
from trilith.runtime.disk import Buffer

_log = logging.getLogger(__name__)


class StagedObject:
    """One object's part in a transaction. `source`: stem and version id of what it is a copy of."""

    __slots__ = ("bucket", "source", "write")

    def __init__(
        self,
        bucket: BucketInfo,
        write: PutObject | DeleteObject,
        source: tuple[bytes, bytes] | None = None,
    ) -> None:
        self.bucket = bucket
        self.write = write
        self.source = source

    @property
    def manifest(self) -> bytes | None:
        """The owner of what was written ahead."""
        write = self.write
        return write.version_id if isinstance(write, PutObject) and write.pieces_ahead else None


class _Facts:
    """What is said of an object beside its bytes."""

    __slots__ = ("checksum", "conditions", "etag", "metadata", "size")

    def __init__(
        self,
        size: int,
        etag: str,
        metadata: ObjectMetadata,
        checksum: Checksum | None,
        conditions: WriteConditions,
    ) -> None:
        self.size = size
        self.etag = etag
        self.metadata = metadata
        self.checksum = checksum
        self.conditions = conditions

    def put(
        self,
        stem: bytes,
        version_id: bytes,
        *,
        body: bytes | None = None,
        wrapped_key: bytes = b"",
        pieces_ahead: int = 0,
    ) -> PutObject:
        return PutObject(
            stem,
            self.size,
            self.etag,
            self.metadata,
            body,
            self.checksum,
            given(self.conditions),
            wrapped_key,
            pieces_ahead=pieces_ahead,
            version_id=version_id,
        )


class StagingOperations(CopyOperations):
    async def stage_put(
        self,
        bucket: str,
        key: str,
        body: bytes,
        metadata: ObjectMetadata,
        conditions: WriteConditions = NO_CONDITIONS,
        checksum_algorithm: str | None = None,
    ) -> StagedObject:
        """`checksum_algorithm`: of an additional checksum to keep."""
        info = await self._bucket(bucket)
        checksum: Checksum | None = None
        if checksum_algorithm is not None:
            running = RunningChecksum(checksum_algorithm)
            running.update(body)
            checksum = running.result()
        if len(body) <= self._inline_size_bytes_max:
            etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
            facts = _Facts(len(body), etag, metadata, checksum, conditions)
            return self._stage_inline(info, key, body, facts)

        async def runs() -> AsyncIterator[Buffer]:
            yield body

        source = Incoming(runs(), lambda: checksum, expected_bytes=len(body))
        return await self._stage_streamed(info, key, source, metadata, conditions)

    async def stage_copy(
        self,
        source_bucket: str,
        source_key: str,
        bucket: str,
        key: str,
        metadata: ObjectMetadata | None = None,
        conditions: WriteConditions = NO_CONDITIONS,
    ) -> StagedObject:
        """Without `metadata`: the source's. Raises ObjectNotFound where there is no source."""
        info = await self._bucket(bucket)
        source = await self._open(source_bucket, source_key, consistent=True)
        known = source.info
        kept = known.metadata if metadata is None else metadata
        facts = _Facts(known.size, known.etag, kept, known.checksum, conditions)
        small, whole = source.small_body(), by_reference(source, info, None)
        if small is not None:
            staged = self._stage_inline(info, key, small, facts)
        elif whole is not None:
            manifest, wrapped_key = self._manifest(info, key)
            try:
                await take_over(manifest, whole)
                staged = await _written_ahead(info, manifest, wrapped_key, facts)
            except BaseException:
                await manifest.abandon()
                raise
        else:
            body = reread(source, 0, known.size - 1, None, known.checksum)
            staged = await self._stage_streamed(info, key, body, kept, conditions)
        staged.source = (stem_of(source.bucket.bucket_id, source_key), known.version_id)
        return staged

    async def stage_delete(
        self, bucket: str, key: str, conditions: WriteConditions = NO_CONDITIONS
    ) -> StagedObject:
        info = await self._bucket(bucket)
        stem = stem_of(info.bucket_id, key)
        return StagedObject(info, DeleteObject(stem, given(conditions)))

    def _stage_inline(
        self, bucket: BucketInfo, key: str, body: bytes, facts: _Facts
    ) -> StagedObject:
        version_id = self._partitions.new_token()
        sealed = self._keys.seal_inline(bucket.bucket_id, version_id, body)
        stem = stem_of(bucket.bucket_id, key)
        return StagedObject(bucket, facts.put(stem, version_id, body=sealed))

    def _manifest(self, bucket: BucketInfo, key: str) -> tuple[ManifestWriter, bytes]:
        """A new object's manifest, and its data key, wrapped."""
        version_id = self._partitions.new_token()
        data_key, wrapped_key = self._keys.new_data_key(bucket.bucket_id)
        stem = stem_of(bucket.bucket_id, key)
        manifest = ManifestWriter(self._partitions, self._pipeline, stem, version_id, data_key)
        return manifest, wrapped_key

    async def _stage_streamed(
        self,
        bucket: BucketInfo,
        key: str,
        source: Incoming,
        metadata: ObjectMetadata,
        conditions: WriteConditions,
    ) -> StagedObject:
        manifest, wrapped_key = self._manifest(bucket, key)

        async def write_ahead(streamed: StreamedBody) -> StagedObject:
            etag = streamed.md5.hex()
            facts = _Facts(streamed.size, etag, metadata, source.checksum(), conditions)
            return await _written_ahead(bucket, manifest, wrapped_key, facts)

        return await self._stream(bucket, source, manifest, write_ahead)

    async def reopen(self, staged: StagedObject, closed_generation: int) -> None:
        """Take the bucket back from a deletion. Raises BucketNotFound when it is gone."""
        await self._reopen(staged.bucket, staged.write.stem, closed_generation)

    async def unstage(self, staged: Iterable[StagedObject]) -> None:
        """Let go of what was stored for a transaction that is not committed.

        Its locks may be there yet, and keep what they name: they are waited for. A failure to let
        go is left to housekeeping.
        """
        works = [self._abandon(one) for one in staged if one.manifest is not None]
        if works:
            await asyncio.gather(*works)

    async def _abandon(self, staged: StagedObject) -> None:
        assert staged.manifest is not None
        stem = staged.write.stem
        command = AbandonManifest(stem, staged.manifest)

        def abandon(_waiter: bytes) -> Awaitable[Any]:
            return self._partitions.execute(OBJECTS_KEYSPACE, stem, command)

        try:
            await self._recovery.around_locks(OBJECTS_KEYSPACE, abandon)
        except TrilithError as error:
            _log.warning("a manifest written ahead is left to housekeeping: %r", error)


async def _written_ahead(
    bucket: BucketInfo, manifest: ManifestWriter, wrapped_key: bytes, facts: _Facts
) -> StagedObject:
    await manifest.write_all_ahead()
    put = facts.put(
        manifest.stem,
        manifest.owner,
        wrapped_key=wrapped_key,
        pieces_ahead=manifest.pieces_ahead,
    )
    return StagedObject(bucket, put)
