"""Requests of the Objects and Admin services, for both clients."""

from __future__ import annotations

import json
from collections.abc import Mapping

from trilith.client import types
from trilith.client.access import new_request_token
from trilith.client.rpc import Call, Rpc, rpc_of
from trilith.wire.v1 import admin_pb2
from trilith.wire.v1 import objects_pb2 as wire

Metadata = Mapping[str, str]
Range = tuple[int, int | None]


def _rpc(name: str) -> Rpc:
    return rpc_of(wire.DESCRIPTOR, "Objects", name)


PUT_OBJECT = _rpc("PutObject")
GET_OBJECT = _rpc("GetObject")
_CREATE_BUCKET = _rpc("CreateBucket")
_DELETE_BUCKET = _rpc("DeleteBucket")
_LIST_BUCKETS = _rpc("ListBuckets")
_HEAD = _rpc("HeadObject")
_DELETE = _rpc("DeleteObject")
_COPY = _rpc("CopyObject")
_LIST = _rpc("ListObjects")
_STATUS = rpc_of(admin_pb2.DESCRIPTOR, "Admin", "Status")
_LIST_NODES = rpc_of(admin_pb2.DESCRIPTOR, "Admin", "ListNodes")


def create_bucket(name: str) -> Call[types.BucketInfo]:
    request = wire.CreateBucketRequest(name=name)
    return Call(_CREATE_BUCKET, request, types.bucket_info, repeatable=False)


def delete_bucket(name: str) -> Call[None]:
    request = wire.DeleteBucketRequest(name=name)
    return Call(_DELETE_BUCKET, request, lambda _: None, repeatable=False)


def list_buckets(prefix: str, after: str) -> Call[tuple[list[types.BucketInfo], str | None]]:
    request = wire.ListBucketsRequest(prefix=prefix, after=after)

    def parse(answer: wire.ListBucketsResponse) -> tuple[list[types.BucketInfo], str | None]:
        return [types.bucket_info(one) for one in answer.buckets], answer.next_after or None

    return Call(_LIST_BUCKETS, request, parse, repeatable=True)


def conditions(if_match: str | None, if_absent: bool) -> wire.WriteConditions | None:
    if if_match is None and not if_absent:
        return None
    return wire.WriteConditions(if_match=(if_match or "").strip('"'), if_absent=if_absent)


def metadata_message(
    content_type: str | None, metadata: Metadata | None, headers: Metadata | None
) -> wire.ObjectMetadata | None:
    """None where nothing is given."""
    all_headers = dict(headers or {})
    if content_type is not None:
        all_headers["content-type"] = content_type
    if not all_headers and not metadata:
        return None
    return wire.ObjectMetadata(headers=all_headers, user=metadata or {})


def put_head(
    bucket: str,
    key: str,
    *,
    size: int | None,
    content_type: str | None,
    metadata: Metadata | None,
    headers: Metadata | None,
    if_match: str | None,
    if_absent: bool,
) -> wire.PutObjectHead:
    return wire.PutObjectHead(
        bucket=bucket,
        key=key,
        metadata=metadata_message(content_type, metadata, headers),
        conditions=conditions(if_match, if_absent),
        size=size,
    )


def get_request(
    bucket: str, key: str, wanted: Range | None, *, eventual: bool
) -> wire.GetObjectRequest:
    """`wanted`: first and last byte, inclusive; a negative first counts from the end."""
    byte_range = None
    if wanted is not None:
        first, last = wanted
        if first < 0:
            if last is not None:
                raise ValueError("a range from the end has no last byte: give (-n, None)")
            byte_range = wire.ByteRange(suffix=-first)
        else:
            byte_range = wire.ByteRange(first=first, last=last)
    return wire.GetObjectRequest(bucket=bucket, key=key, range=byte_range, eventual=eventual)


def head_object(bucket: str, key: str, *, eventual: bool) -> Call[types.ObjectInfo]:
    request = wire.HeadObjectRequest(bucket=bucket, key=key, eventual=eventual)
    return Call(_HEAD, request, types.object_info, repeatable=True)


def delete_object(bucket: str, key: str, *, if_match: str | None) -> Call[bool]:
    request = wire.DeleteObjectRequest(
        bucket=bucket,
        key=key,
        conditions=conditions(if_match, if_absent=False),
        token=new_request_token(),
    )
    return Call(_DELETE, request, lambda answer: bool(answer.existed), repeatable=True)


def copy_object(
    source: tuple[str, str],
    bucket: str,
    key: str,
    *,
    metadata: wire.ObjectMetadata | None,
    if_match: str | None,
    if_absent: bool,
) -> Call[types.ObjectInfo]:
    request = wire.CopyObjectRequest(
        source_bucket=source[0],
        source_key=source[1],
        bucket=bucket,
        key=key,
        metadata=metadata,
        conditions=conditions(if_match, if_absent),
        token=new_request_token(),
    )
    return Call(_COPY, request, types.object_info, repeatable=True)


def list_objects(
    bucket: str, *, prefix: str, delimiter: str, after: str, limit: int, eventual: bool
) -> Call[types.ObjectPage]:
    request = wire.ListObjectsRequest(
        bucket=bucket,
        prefix=prefix,
        delimiter=delimiter,
        after=after,
        limit=limit,
        eventual=eventual,
    )
    return Call(_LIST, request, types.object_page, repeatable=True)


def status() -> Call[types.ClusterStatus]:
    def parse(answer: admin_pb2.StatusResponse) -> types.ClusterStatus:
        return types.ClusterStatus(
            answer.version,
            answer.answered_by,
            answer.ready,
            [types.node_info(one) for one in answer.nodes],
            json.loads(answer.document),
        )

    return Call(_STATUS, admin_pb2.StatusRequest(), parse, repeatable=True)


def list_nodes() -> Call[list[types.NodeInfo]]:
    def parse(answer: admin_pb2.ListNodesResponse) -> list[types.NodeInfo]:
        return [types.node_info(one) for one in answer.nodes]

    return Call(_LIST_NODES, admin_pb2.ListNodesRequest(), parse, repeatable=True)
