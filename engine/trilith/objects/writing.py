"""Storing and deleting single objects.

A body is committed only after `body.read()` answered b"" without an error, and all that was stored
on the way is reachable from the commit alone: a failure leaves nothing half-stored. Bodies up to
`inline_size_bytes_max` travel sealed in the command; larger ones stream through the chunk
pipeline, whose window bounds the memory, and leave one reference per chunk, up to a segment.

The token of the command is the version id: a retry of the same command is applied once. A caller
who may send the whole request again brings a token of its own; what a second attempt stored is let
go when the first turns out to have been applied.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar, cast

from trilith.errors import BodyMismatch
from trilith.objects.access import Access
from trilith.objects.commands import Deleted, DeleteObject, PutObject, PutTags
from trilith.objects.keys import stem_of
from trilith.objects.manifests import ManifestWriter
from trilith.objects.types import (
    NO_CONDITIONS,
    Body,
    BucketInfo,
    Checksum,
    ObjectInfo,
    ObjectMetadata,
    WriteConditions,
)
from trilith.replication.proposal import scoped_token
from trilith.runtime.disk import Buffer

_Committed = TypeVar("_Committed")
Token = Callable[[], bytes | None]  # of the caller; asked when the body has ended


def no_token() -> None:
    """Of a caller who does not send its request again."""


def given(conditions: WriteConditions) -> WriteConditions | None:
    """None when there is nothing to check: shorter on the wire."""
    if conditions.if_match is None and not conditions.if_none_match_any:
        return None
    return conditions


def require_md5(expected: bytes | None, found: bytes) -> None:
    if expected is not None and expected != found:
        raise BodyMismatch("the body's MD5 is not the announced Content-MD5")


class Incoming:
    """A body on its way into chunks: its runs, what is known of it, and what it must match.

    `checksum` is asked after the end of the runs.
    """

    __slots__ = ("checksum", "expected_bytes", "expected_md5", "runs")

    def __init__(
        self,
        runs: AsyncIterator[Buffer],
        checksum: Callable[[], Checksum | None],
        *,
        expected_bytes: int | None = None,
        expected_md5: bytes | None = None,
    ) -> None:
        self.runs = runs
        self.checksum = checksum
        self.expected_bytes = expected_bytes
        self.expected_md5 = expected_md5


def incoming(body: Body, read_before: list[Buffer], expected_md5: bytes | None) -> Incoming:
    """A request body of which some runs were read already."""

    async def runs() -> AsyncIterator[Buffer]:
        for run in read_before:
            yield run
        while run := await body.read():
            yield run

    return Incoming(runs(), body.checksum, expected_bytes=body.size, expected_md5=expected_md5)


class StreamedBody:
    """Facts about a body that went through the chunk pipeline."""

    __slots__ = ("manifest", "md5", "size")

    def __init__(self, size: int, md5: bytes, manifest: ManifestWriter) -> None:
        self.size = size
        self.md5 = md5
        self.manifest = manifest


class WriteOperations(Access):
    async def put_object(
        self,
        bucket: str,
        key: str,
        body: Body,
        metadata: ObjectMetadata,
        *,
        conditions: WriteConditions = NO_CONDITIONS,
        expected_md5: bytes | None = None,
        token: Token = no_token,
    ) -> ObjectInfo:
        info = await self._bucket(bucket)
        small, runs = await self._read_small(body)
        if small is None:
            source = incoming(body, runs, expected_md5)
            return await self._put_streamed(info, key, source, metadata, conditions, token)
        digest = hashlib.md5(small, usedforsecurity=False)
        if expected_md5 is not None:
            require_md5(expected_md5, digest.digest())
        return await self._put_inline(
            info, key, small, digest.hexdigest(), metadata, body.checksum(), conditions, token()
        )

    async def _read_small(self, body: Body) -> tuple[Buffer | None, list[Buffer]]:
        """The whole body if it is small; else None and the runs read so far."""
        limit = self._inline_size_bytes_max
        if body.size is not None and body.size > limit:
            return None, []
        runs: list[Buffer] = []
        size = 0
        while run := await body.read():
            runs.append(run)
            size += len(run)
            if size > limit:
                return None, runs
        return (runs[0] if len(runs) == 1 else b"".join(runs)), runs

    async def _put_inline(
        self,
        bucket: BucketInfo,
        key: str,
        body: Buffer,
        etag: str,
        metadata: ObjectMetadata,
        checksum: Checksum | None,
        conditions: WriteConditions,
        token: bytes | None = None,
    ) -> ObjectInfo:
        stem = stem_of(bucket.bucket_id, key)
        version_id = self._partitions.new_token()
        sealed = self._keys.seal_inline(bucket.bucket_id, version_id, body)
        command = PutObject(stem, len(body), etag, metadata, sealed, checksum, given(conditions))
        stored = await self._commit_object(bucket, command, version_id, token)
        return ObjectInfo(
            key, stored.version_id, len(body), etag, stored.last_modified_ms, metadata, checksum
        )

    async def _put_streamed(
        self,
        bucket: BucketInfo,
        key: str,
        source: Incoming,
        metadata: ObjectMetadata,
        conditions: WriteConditions,
        token: Token,
    ) -> ObjectInfo:
        stem = stem_of(bucket.bucket_id, key)
        version_id = self._partitions.new_token()
        data_key, wrapped_key = self._keys.new_data_key(bucket.bucket_id)

        async def commit(streamed: StreamedBody) -> ObjectInfo:
            checksum = source.checksum()
            etag = streamed.md5.hex()
            command = PutObject(
                stem,
                streamed.size,
                etag,
                metadata,
                None,
                checksum,
                given(conditions),
                wrapped_key,
                streamed.manifest.last_segment(),
                streamed.manifest.pieces_ahead,
                streamed.manifest.missed,
                streamed.manifest.expires_ms,
            )
            stored = await self._commit_object(bucket, command, version_id, token())
            if stored.version_id != version_id:
                await streamed.manifest.abandon()
            return ObjectInfo(
                key,
                stored.version_id,
                streamed.size,
                etag,
                stored.last_modified_ms,
                metadata,
                checksum,
            )

        manifest = ManifestWriter(self._partitions, self._pipeline, stem, version_id, data_key)
        return await self._stream(bucket, source, manifest, commit)

    async def _stream(
        self,
        bucket: BucketInfo,
        source: Incoming,
        manifest: ManifestWriter,
        commit: Callable[[StreamedBody], Awaitable[_Committed]],
    ) -> _Committed:
        """Feed runs through the pipeline, keep their manifest, and commit; or leave nothing."""
        md5 = hashlib.md5(usedforsecurity=False)
        size = 0
        try:
            salt = self._keys.chunk_salt(bucket.owner)
            async with self._pipeline.upload(salt, expected_bytes=source.expected_bytes) as upload:
                upload.hashers.append(md5)
                async for run in source.runs:
                    size += len(run)
                    await upload.feed(run)
                    if chunks := upload.take():
                        await manifest.add(chunks)
                await upload.finish()
                await manifest.add(upload.take())
            require_md5(source.expected_md5, md5.digest())
            await manifest.renew()
            return await commit(StreamedBody(size, md5.digest(), manifest))
        except BaseException:
            await manifest.abandon()
            raise

    async def put_tags(self, bucket: str, key: str, tags: dict[str, str]) -> None:
        info = await self._bucket(bucket)
        stem = stem_of(info.bucket_id, key)
        await self._execute(stem, PutTags(stem, tags))

    async def delete_object(
        self,
        bucket: str,
        key: str,
        *,
        conditions: WriteConditions = NO_CONDITIONS,
        token: bytes | None = None,
    ) -> bool:
        info = await self._bucket(bucket)
        stem = stem_of(info.bucket_id, key)
        command = DeleteObject(stem, given(conditions))
        scoped = None if token is None else scoped_token(token, "DeleteObject", stem)
        deleted = await self._execute(stem, command, scoped, repeated=token is not None)
        return cast(Deleted, deleted).existed
