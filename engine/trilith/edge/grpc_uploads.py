"""The Uploads service: wire messages to the object model's multipart uploads, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

from trilith.edge.grpc_bodies import ReceivedBody
from trilith.edge.grpc_call import Call
from trilith.edge.grpc_objects import (
    bucket_name,
    conditions_of,
    info_message,
    limit_of,
    metadata_of,
    named,
)
from trilith.errors import InvalidPart, InvalidPartOrder, InvalidRequest
from trilith.objects.digests import DEFAULT_ALGORITHM
from trilith.objects.multipart import no_checksum
from trilith.objects.types import CompletedPart, Objects, PartInfo, UploadInfo
from trilith.s3.checksums import FULL_OBJECT
from trilith.s3.errors import S3Error
from trilith.s3.object_operations import OBJECT_BYTES_MAX, PARTS_MAX
from trilith.s3.upload_checksum import completed_checksum
from trilith.wire.v1 import objects_pb2
from trilith.wire.v1 import uploads_pb2 as wire


class UploadsService:
    """Thin: what is checked here is what S3's own protocol layer checks."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def create_upload(self, call: Call, request: wire.CreateUploadRequest) -> wire.Upload:
        bucket, key = named(call, request.bucket, request.key)
        return _upload(
            await self._objects.create_upload(
                bucket,
                key,
                metadata_of(request.metadata),
                checksum_algorithm=DEFAULT_ALGORITHM,
                checksum_kind=FULL_OBJECT,
            )
        )

    async def put_part(self, call: Call, messages: AsyncIterator[bytes]) -> wire.Part:
        first = await call.next_message(messages, wire.PutPartRequest)
        if first is None or not first.HasField("head"):
            raise InvalidRequest("the first message of PutPart has the head")
        head: wire.PutPartHead = first.head
        bucket, key = named(call, head.bucket, head.key)
        if not 1 <= head.number <= PARTS_MAX:
            raise InvalidRequest(f"part numbers are 1 to {PARTS_MAX}, not {head.number}")
        upload = await self._objects.get_upload(bucket, key, head.upload_id)
        algorithm = upload.checksum_algorithm or DEFAULT_ALGORITHM
        body = ReceivedBody(call, messages, first, size_max=OBJECT_BYTES_MAX, checksum=algorithm)
        part = await self._objects.put_part(
            bucket,
            key,
            head.upload_id,
            head.number,
            body,
            whole_checksum=no_checksum if upload.checksum_algorithm else body.checksum,
        )
        return _part(part)

    async def list_parts(
        self, call: Call, request: wire.ListPartsRequest
    ) -> wire.ListPartsResponse:
        bucket, key = named(call, request.bucket, request.key)
        page = await self._objects.list_parts(
            bucket,
            key,
            request.upload_id,
            after=request.after,
            limit=limit_of(request.limit),
        )
        return wire.ListPartsResponse(
            parts=[_part(one) for one in page.parts], next_after=page.next_after or 0
        )

    async def list_uploads(
        self, call: Call, request: wire.ListUploadsRequest
    ) -> wire.ListUploadsResponse:
        call.resource = bucket_name(request.bucket)
        page = await self._objects.list_uploads(
            call.resource,
            prefix=request.prefix,
            after_key=request.after_key,
            after_upload_id=request.after_id,
            limit=limit_of(request.limit),
        )
        key, upload_id = page.next_after or ("", "")
        return wire.ListUploadsResponse(
            uploads=[_upload(one) for one in page.uploads],
            next_after_key=key,
            next_after_id=upload_id,
        )

    async def complete_upload(
        self, call: Call, request: wire.CompleteUploadRequest
    ) -> objects_pb2.ObjectInfo:
        bucket, key = named(call, request.bucket, request.key)
        if not 1 <= len(request.parts) <= PARTS_MAX:
            raise InvalidRequest(f"an upload is completed with 1 to {PARTS_MAX} parts")
        if any(a.number >= b.number for a, b in pairwise(request.parts)):
            raise InvalidPartOrder("parts are named in the order of their numbers, each once")
        parts = [CompletedPart(one.number, one.etag.strip('"')) for one in request.parts]
        try:
            checksum = await completed_checksum(
                self._objects,
                bucket,
                key,
                request.upload_id,
                parts,
                None,
                None,
                checksums_required=False,
            )
        except S3Error as error:
            if error.code == "InvalidPart":
                raise InvalidPart("a part is not there, or not as it is named") from None
            raise InvalidRequest(error.message) from None
        return info_message(
            await self._objects.complete_upload(
                bucket,
                key,
                request.upload_id,
                parts,
                conditions=conditions_of(request.conditions),
                checksum=checksum,
            )
        )

    async def abort_upload(
        self, call: Call, request: wire.AbortUploadRequest
    ) -> wire.AbortUploadResponse:
        bucket, key = named(call, request.bucket, request.key)
        await self._objects.abort_upload(bucket, key, request.upload_id)
        return wire.AbortUploadResponse()


def _upload(info: UploadInfo) -> wire.Upload:
    return wire.Upload(key=info.key, id=info.upload_id, initiated_ms=info.initiated_ms)


def _part(info: PartInfo) -> wire.Part:
    return wire.Part(number=info.number, size=info.size, etag=info.etag)
