"""Copies, by reference to chunks where possible.

Within one account chunks have one salt, so a copy of a chunked object is its references, re-sealed
under the new object's data key segment by segment; the bytes are not touched, and the copy keeps
the source's ETag (also one of the multipart form). Bytes are read where they must be: between
accounts, for a checksum that the source does not carry, for a range, and for a part whose source
has no plain MD5. There deduplication still saves the disk: equal chunks are stored once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from trilith.chunks.types import StoredChunk
from trilith.objects.commands import PutObject
from trilith.objects.digests import DEFAULT_ALGORITHM, RunningChecksum
from trilith.objects.keys import stem_of
from trilith.objects.manifest import CHUNKS_PER_SEGMENT
from trilith.objects.manifests import ManifestWriter
from trilith.objects.multipart import MultipartOperations, no_checksum
from trilith.objects.readers import ChunkedReader, MultipartReader
from trilith.objects.types import (
    NO_CONDITIONS,
    BucketInfo,
    Checksum,
    ObjectInfo,
    ObjectMetadata,
    ObjectReader,
    PartInfo,
    WriteConditions,
)
from trilith.objects.writing import Incoming, given
from trilith.runtime.disk import Buffer

_WholeReader = ChunkedReader | MultipartReader


def _carries(checksum: Checksum | None, algorithm: str | None) -> bool:
    """Whether a source's checksum is what the copy shall state (None: whatever there is)."""
    if algorithm is None:
        return True
    return (
        checksum is not None and checksum.algorithm == algorithm and checksum.kind == "FULL_OBJECT"
    )


def by_reference(
    source: ObjectReader, bucket: BucketInfo, algorithm: str | None
) -> _WholeReader | None:
    """The source, if its references can be taken over as they are."""
    if (
        isinstance(source, ChunkedReader | MultipartReader)
        and source.bucket.owner == bucket.owner
        and _carries(source.info.checksum, algorithm)
    ):
        return source
    return None


def reread(
    source: ObjectReader,
    first: int,
    last: int,
    running: RunningChecksum | None,
    otherwise: Checksum | None,
) -> Incoming:
    """Bytes of a source as a body. Its checksum: the running one, or else the given one."""

    async def runs() -> AsyncIterator[Buffer]:
        async for run in source.stream(first, last):
            if running is not None:
                running.update(run)
            yield run

    return Incoming(
        runs(),
        running.result if running is not None else lambda: otherwise,
        expected_bytes=last + 1 - first,
    )


async def take_over(manifest: ManifestWriter, source: _WholeReader) -> None:
    """All references of the source into another manifest, a bounded number at a time.

    Its chunks are touched before they are committed, as if they had been stored anew.
    """
    chunks: list[StoredChunk] = []
    async for _, reference in source.references(0, source.info.size - 1):
        chunks.append(StoredChunk(reference))
        if len(chunks) == CHUNKS_PER_SEGMENT:
            await manifest.add(chunks)
            chunks = []
    await manifest.add(chunks)
    await manifest.renew()


class CopyOperations(MultipartOperations):
    async def copy_object(
        self,
        source: ObjectReader,
        bucket: str,
        key: str,
        metadata: ObjectMetadata,
        *,
        conditions: WriteConditions = NO_CONDITIONS,
        checksum_algorithm: str | None = None,
        token: bytes | None = None,
    ) -> ObjectInfo:
        """The source may be the destination itself: that changes its metadata."""
        info = await self._bucket(bucket)
        small = source.small_body()
        if small is not None:
            checksum = source.info.checksum
            if not _carries(checksum, checksum_algorithm):
                running = RunningChecksum(cast(str, checksum_algorithm))
                running.update(small)
                checksum = running.result()
            return await self._put_inline(
                info, key, small, source.info.etag, metadata, checksum, conditions, token
            )
        whole = by_reference(source, info, checksum_algorithm)
        if whole is not None:
            return await self._copy_references(whole, info, key, metadata, conditions, token)
        carried = source.info.checksum
        computed = (
            None
            if _carries(carried, checksum_algorithm)
            else RunningChecksum(cast(str, checksum_algorithm))
        )
        body = reread(source, 0, source.info.size - 1, computed, carried)
        return await self._put_streamed(info, key, body, metadata, conditions, lambda: token)

    async def _copy_references(
        self,
        source: _WholeReader,
        bucket: BucketInfo,
        key: str,
        metadata: ObjectMetadata,
        conditions: WriteConditions,
        token: bytes | None,
    ) -> ObjectInfo:
        stem = stem_of(bucket.bucket_id, key)
        version_id = self._partitions.new_token()
        data_key, wrapped_key = self._keys.new_data_key(bucket.bucket_id)
        manifest = ManifestWriter(self._partitions, self._pipeline, stem, version_id, data_key)
        facts = source.info
        try:
            await take_over(manifest, source)
            command = PutObject(
                stem,
                facts.size,
                facts.etag,
                metadata,
                None,
                facts.checksum,
                given(conditions),
                wrapped_key,
                manifest.last_segment(),
                manifest.pieces_ahead,
                manifest.missed,
                manifest.expires_ms,
            )
            stored = await self._commit_object(bucket, command, version_id, token)
            if stored.version_id != version_id:
                await manifest.abandon()
        except BaseException:
            await manifest.abandon()
            raise
        return ObjectInfo(
            key,
            stored.version_id,
            facts.size,
            facts.etag,
            stored.last_modified_ms,
            metadata,
            facts.checksum,
        )

    async def copy_part(
        self,
        source: ObjectReader,
        first: int,
        last: int,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
    ) -> PartInfo:
        """Bytes first..last of the source become a part."""
        handle = await self._upload(bucket, key, upload_id)
        algorithm = handle.record.checksum_algorithm
        facts = source.info
        is_whole = first == 0 and last == facts.size - 1 and "-" not in facts.etag
        whole = by_reference(source, handle.bucket, algorithm) if is_whole else None
        if whole is None:
            # The bytes pass through here anyway.
            running = RunningChecksum(algorithm or DEFAULT_ALGORITHM)
            body = reread(source, first, last, running, None)
            if algorithm is not None:
                return await self._put_part(handle, number, body)
            body.checksum = no_checksum
            return await self._put_part(handle, number, body, running.result)
        owner = self._partitions.new_token()
        manifest = ManifestWriter(
            self._partitions, self._pipeline, handle.stem, owner, handle.data_key
        )
        try:
            await take_over(manifest, whole)
            whole_checksum = None
            if algorithm is None and _carries(facts.checksum, DEFAULT_ALGORITHM):
                whole_checksum = facts.checksum
            return await self._commit_part(
                handle,
                number,
                owner,
                manifest,
                facts.size,
                facts.etag,
                facts.checksum,
                whole_checksum,
            )
        except BaseException:
            await manifest.abandon()
            raise
