"""Requests of the Uploads service, for both clients, and how a file is cut into parts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import NamedTuple

from trilith.client import object_calls, types
from trilith.client.bodies import FileSlice
from trilith.client.rpc import Call, Rpc, rpc_of
from trilith.wire.v1 import objects_pb2
from trilith.wire.v1 import uploads_pb2 as wire

PARTS_MAX = 10_000
PART_BYTES_MIN = 5 << 20
PART_BYTES = 32 << 20
_MIB = 1 << 20


def _rpc(name: str) -> Rpc:
    return rpc_of(wire.DESCRIPTOR, "Uploads", name)


PUT_PART = _rpc("PutPart")
_CREATE = _rpc("CreateUpload")
_LIST_PARTS = _rpc("ListParts")
_LIST_UPLOADS = _rpc("ListUploads")
_COMPLETE = _rpc("CompleteUpload")
_ABORT = _rpc("AbortUpload")


class UploadName(NamedTuple):
    """Which upload."""

    bucket: str
    key: str
    upload_id: str


class Parts(NamedTuple):
    """A file in parts, and what it was like when it was cut."""

    slices: list[FileSlice]
    size: int
    changed_ns: int


def parts_of(path: str | os.PathLike[str], part_bytes: int) -> Parts:
    """Parts of `part_bytes`, or larger ones where those would be too many. Raises OSError,
    ValueError.
    """
    if part_bytes < PART_BYTES_MIN:
        raise ValueError(f"a part has at least {PART_BYTES_MIN} bytes, all but the last")
    found = os.stat(path)
    least = -(-found.st_size // PARTS_MAX)
    part_bytes = max(part_bytes, -(-least // _MIB) * _MIB)
    slices = [
        FileSlice(path, offset, min(part_bytes, found.st_size - offset))
        for offset in range(0, max(found.st_size, 1), part_bytes)
    ]
    return Parts(slices, found.st_size, found.st_mtime_ns)


def is_unchanged(path: str | os.PathLike[str], parts: Parts) -> bool:
    found = os.stat(path)
    return (found.st_size, found.st_mtime_ns) == (parts.size, parts.changed_ns)


def has_bytes_of(part: types.PartInfo, piece: FileSlice) -> bool:
    """Whether a part that is there holds a piece of the file. Reads it all. Raises OSError."""
    if part.size != piece.size:
        return False
    digest = hashlib.md5(usedforsecurity=False)
    for data in piece.pieces():
        digest.update(data)
    return digest.hexdigest() == part.etag


def create_upload(
    bucket: str, key: str, metadata: objects_pb2.ObjectMetadata | None
) -> Call[types.UploadInfo]:
    request = wire.CreateUploadRequest(bucket=bucket, key=key, metadata=metadata)
    return Call(_CREATE, request, types.upload_info, repeatable=False)


def part_head(name: UploadName, number: int, size: int | None) -> wire.PutPartRequest:
    head = wire.PutPartHead(
        bucket=name.bucket, key=name.key, upload_id=name.upload_id, number=number, size=size
    )
    return wire.PutPartRequest(head=head)


def list_parts(name: UploadName, after: int) -> Call[tuple[list[types.PartInfo], int]]:
    """A page, and after which number the next begins; 0 at the end."""

    def parse(answer: wire.ListPartsResponse) -> tuple[list[types.PartInfo], int]:
        return [types.part_info(one) for one in answer.parts], answer.next_after

    request = wire.ListPartsRequest(
        bucket=name.bucket, key=name.key, upload_id=name.upload_id, after=after
    )
    return Call(_LIST_PARTS, request, parse, repeatable=True)


def list_uploads(
    bucket: str, prefix: str, after: tuple[str, str]
) -> Call[tuple[list[types.UploadInfo], tuple[str, str] | None]]:
    def parse(
        answer: wire.ListUploadsResponse,
    ) -> tuple[list[types.UploadInfo], tuple[str, str] | None]:
        following = (answer.next_after_key, answer.next_after_id)
        found = [types.upload_info(one) for one in answer.uploads]
        return found, following if answer.next_after_key else None

    request = wire.ListUploadsRequest(
        bucket=bucket, prefix=prefix, after_key=after[0], after_id=after[1]
    )
    return Call(_LIST_UPLOADS, request, parse, repeatable=True)


def complete_upload(
    name: UploadName, parts: Iterable[types.PartInfo], *, if_match: str | None, if_absent: bool
) -> Call[types.ObjectInfo]:
    request = wire.CompleteUploadRequest(
        bucket=name.bucket,
        key=name.key,
        upload_id=name.upload_id,
        parts=[wire.Part(number=one.number, etag=one.etag) for one in parts],
        conditions=object_calls.conditions(if_match, if_absent),
    )
    return Call(_COMPLETE, request, types.object_info, repeatable=True)


def abort_upload(name: UploadName) -> Call[None]:
    request = wire.AbortUploadRequest(bucket=name.bucket, key=name.key, upload_id=name.upload_id)
    return Call(_ABORT, request, lambda _: None, repeatable=True)
