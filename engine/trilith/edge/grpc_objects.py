"""The Objects service: wire messages to typed calls of the object model, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, cast

from trilith.edge.grpc_bodies import DATA_BYTES_MAX, ReceivedBody
from trilith.edge.grpc_call import Call
from trilith.errors import InvalidRequest
from trilith.objects.types import (
    NO_CONDITIONS,
    BucketInfo,
    ObjectInfo,
    ObjectMetadata,
    ObjectReader,
    Objects,
    WriteConditions,
)
from trilith.s3.headers import USER_METADATA_BYTES_MAX
from trilith.s3.names import KEY_BYTES_MAX, is_bucket_name
from trilith.wire.v1 import objects_pb2 as wire

OBJECT_BYTES_MAX = 5 << 40
LIST_LIMIT_MAX = 1000
_STANDARD_HEADERS = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    }
)
# RFC 9110 §5.6.2, in lower case: S3 answers with these names as headers.
_HEADER_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")
_HEADER_VALUE_BYTES_MAX = 2048


class ObjectsService:
    """Thin: what is checked here is what S3's own protocol layer checks."""

    def __init__(self, objects: Objects, region: str) -> None:
        self._objects = objects
        self._region = region

    # --- buckets ---------------------------------------------------------------------------------

    async def create_bucket(self, call: Call, request: wire.CreateBucketRequest) -> wire.Bucket:
        name = call.resource = bucket_name(request.name)
        owner = call.identity.canonical_user_id
        return _bucket(await self._objects.create_bucket(name, owner=owner, region=self._region))

    async def delete_bucket(
        self, call: Call, request: wire.DeleteBucketRequest
    ) -> wire.DeleteBucketResponse:
        call.resource = bucket_name(request.name)
        await self._objects.delete_bucket(call.resource)
        return wire.DeleteBucketResponse()

    async def list_buckets(
        self, call: Call, request: wire.ListBucketsRequest
    ) -> wire.ListBucketsResponse:
        buckets, following = await self._objects.list_buckets(
            owner=call.identity.canonical_user_id,
            prefix=request.prefix,
            after=request.after,
            limit=limit_of(request.limit),
        )
        return wire.ListBucketsResponse(
            buckets=[_bucket(one) for one in buckets], next_after=following or ""
        )

    # --- objects ---------------------------------------------------------------------------------

    async def put_object(self, call: Call, messages: AsyncIterator[bytes]) -> wire.ObjectInfo:
        first = await call.next_message(messages, wire.PutObjectRequest)
        if first is None or not first.HasField("head"):
            raise InvalidRequest("the first message of PutObject has the head")
        head: wire.PutObjectHead = first.head
        bucket, key = named(call, head.bucket, head.key)
        body = ReceivedBody(call, messages, first, size_max=OBJECT_BYTES_MAX)
        return info_message(
            await self._objects.put_object(
                bucket,
                key,
                body,
                metadata_of(head.metadata),
                conditions=conditions_of(head.conditions),
                token=lambda: call.token(body.token),
            )
        )

    async def get_object(self, call: Call, request: wire.GetObjectRequest) -> None:
        bucket, key = named(call, request.bucket, request.key)
        reader = await self._open(bucket, key, consistent=not request.eventual)
        size = reader.info.size
        first, last = 0, size - 1
        if request.HasField("range"):
            first, last = _selected(request.range, size)
        info = info_message(reader.info)
        small = reader.small_body()
        if small is not None and last + 1 - first <= DATA_BYTES_MAX:
            await call.send(wire.GetObjectResponse(info=info, data=small[first : last + 1]))
            return
        await call.send(wire.GetObjectResponse(info=info))
        if first > last:
            return
        async with aclosing(cast(Any, reader.stream(first, last))) as runs:
            async for run in runs:
                for at in range(0, len(run), DATA_BYTES_MAX):
                    piece = bytes(run[at : at + DATA_BYTES_MAX])
                    await call.send(wire.GetObjectResponse(data=piece))

    async def _open(self, bucket: str, key: str, *, consistent: bool) -> ObjectReader:
        reader = self._objects.try_open_object(bucket, key)
        if reader is not None:
            return reader
        return await self._objects.open_object(bucket, key, consistent=consistent)

    async def head_object(self, call: Call, request: wire.HeadObjectRequest) -> wire.ObjectInfo:
        bucket, key = named(call, request.bucket, request.key)
        consistent = not request.eventual
        return info_message(await self._objects.head_object(bucket, key, consistent=consistent))

    async def delete_object(
        self, call: Call, request: wire.DeleteObjectRequest
    ) -> wire.DeleteObjectResponse:
        bucket, key = named(call, request.bucket, request.key)
        existed = await self._objects.delete_object(
            bucket,
            key,
            conditions=conditions_of(request.conditions),
            token=call.token(request.token),
        )
        return wire.DeleteObjectResponse(existed=existed)

    async def copy_object(self, call: Call, request: wire.CopyObjectRequest) -> wire.ObjectInfo:
        source_bucket, source_key = named(call, request.source_bucket, request.source_key)
        bucket, key = named(call, request.bucket, request.key)
        source = await self._open(source_bucket, source_key, consistent=True)
        metadata = source.info.metadata
        if request.HasField("metadata"):
            metadata = metadata_of(request.metadata)
        return info_message(
            await self._objects.copy_object(
                source,
                bucket,
                key,
                metadata,
                conditions=conditions_of(request.conditions),
                token=call.token(request.token),
            )
        )

    async def list_objects(
        self, call: Call, request: wire.ListObjectsRequest
    ) -> wire.ListObjectsResponse:
        call.resource = bucket_name(request.bucket)
        page = await self._objects.list_objects(
            call.resource,
            prefix=request.prefix,
            delimiter=request.delimiter,
            after=request.after,
            limit=limit_of(request.limit),
            consistent=not request.eventual,
        )
        return wire.ListObjectsResponse(
            objects=[
                wire.ListedObject(
                    key=one.key,
                    size=one.size,
                    etag=one.etag,
                    last_modified_ms=one.last_modified_ms,
                )
                for one in page.entries
            ],
            common_prefixes=page.common_prefixes,
            next_after=page.next_after or "",
        )


# --- words of the protocol -----------------------------------------------------------------------


def bucket_name(name: str) -> str:
    """Raises InvalidRequest."""
    if not is_bucket_name(name):
        raise InvalidRequest(
            "a bucket's name has 3 to 63 characters of a-z, 0-9, '.' and '-'", bucket=name[:100]
        )
    return name


def named(call: Call, bucket: str, key: str) -> tuple[str, str]:
    """An object's bucket and key. Raises InvalidRequest."""
    call.resource, call.key = bucket_name(bucket), key
    if not 1 <= len(key.encode()) <= KEY_BYTES_MAX:
        raise InvalidRequest(f"a key has 1 to {KEY_BYTES_MAX} bytes of UTF-8")
    return bucket, key


def limit_of(limit: int) -> int:
    """Entries of a page. Raises InvalidRequest."""
    if not 0 <= limit <= LIST_LIMIT_MAX:
        raise InvalidRequest(f"a page has at most {LIST_LIMIT_MAX} entries")
    return limit or LIST_LIMIT_MAX


def conditions_of(conditions: wire.WriteConditions) -> WriteConditions:
    """Raises InvalidRequest."""
    if conditions.if_absent and conditions.if_match:
        raise InvalidRequest("if_match and if_absent exclude each other")
    if conditions.if_absent:
        return WriteConditions(if_none_match_any=True)
    if conditions.if_match:
        return WriteConditions(if_match=conditions.if_match)
    return NO_CONDITIONS


def metadata_of(metadata: wire.ObjectMetadata) -> ObjectMetadata:
    """Whatever is stored can leave as headers through S3. Raises InvalidRequest."""
    headers, user = dict(metadata.headers), dict(metadata.user)
    for name, value in headers.items():
        if name not in _STANDARD_HEADERS:
            raise InvalidRequest(f"{name!r} is none of {', '.join(sorted(_STANDARD_HEADERS))}")
        if not (value.isascii() and value.isprintable()) or len(value) > _HEADER_VALUE_BYTES_MAX:
            raise InvalidRequest(f"the value of {name} is not printable ASCII, or too long")
    if not all(name and _HEADER_NAME.issuperset(name) for name in user):
        raise InvalidRequest("names of metadata are header names in lower case")
    if _size(user) > USER_METADATA_BYTES_MAX:
        raise InvalidRequest(f"metadata has at most {USER_METADATA_BYTES_MAX} bytes")
    return ObjectMetadata(headers, user)


def _size(user: Mapping[str, str]) -> int:
    return sum(len(name) + len(value.encode()) for name, value in user.items())


def _selected(wanted: wire.ByteRange, size: int) -> tuple[int, int]:
    """First and last byte of a range. Raises InvalidRequest for one that holds nothing."""
    if wanted.suffix:
        if wanted.suffix < 0 or wanted.first or wanted.HasField("last") or not size:
            raise InvalidRequest("the range holds no byte of the object", size=size)
        return max(0, size - wanted.suffix), size - 1
    last = wanted.last if wanted.HasField("last") else size - 1
    if not 0 <= wanted.first <= last or wanted.first >= size:
        raise InvalidRequest("the range holds no byte of the object", size=size)
    return wanted.first, min(last, size - 1)


def _bucket(info: BucketInfo) -> wire.Bucket:
    return wire.Bucket(name=info.name, created_ms=info.created_ms, region=info.region)


def info_message(info: ObjectInfo) -> wire.ObjectInfo:
    checksum = info.checksum
    return wire.ObjectInfo(
        key=info.key,
        size=info.size,
        etag=info.etag,
        last_modified_ms=info.last_modified_ms,
        metadata=wire.ObjectMetadata(headers=info.metadata.headers, user=info.metadata.user),
        checksum=None
        if checksum is None
        else wire.Checksum(algorithm=checksum.algorithm, value=checksum.value, kind=checksum.kind),
        version_id=info.version_id,
    )
