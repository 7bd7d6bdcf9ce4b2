"""What the SDK answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from trilith.wire.v1 import admin_pb2, objects_pb2, tables_pb2, uploads_pb2


def _when(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """A bucket."""

    name: str
    created: datetime
    region: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object's facts. `size` in bytes, `etag` without quotes.

    `headers` are content-type and its like, `metadata` the caller's own (x-amz-meta-*).
    `checksum`: CRC64NVME of the bytes in base64, where it is kept.
    """

    key: str
    size: int
    etag: str
    last_modified: datetime
    headers: Mapping[str, str]
    metadata: Mapping[str, str]
    checksum: str | None
    version_id: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "binary/octet-stream")


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object in a listing."""

    key: str
    size: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """A page of a listing; `next_after` continues it, None at the end."""

    objects: list[ListedObject]
    common_prefixes: list[str]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """An upload in parts that was begun."""

    key: str
    id: str
    initiated: datetime


@dataclass(frozen=True, slots=True)
class PartInfo:
    """A part of an upload: `size` in bytes, `etag` the MD5 of its bytes in hex."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index. `partition_key` and `sort_key` are (name, "S" | "N" | "B").

    A local index has the table's partition key. `projection`: ALL, KEYS_ONLY, or INCLUDE with the
    names in `included`. `throughput`: of a global index of a provisioned table, (read, write)
    units; its table gives its own where there is none. `more_partition` and `more_sort`: the
    further attributes that a global index's keys are made of, up to three each.
    """

    name: str
    partition_key: tuple[str, str] | None = None
    sort_key: tuple[str, str] | None = None
    projection: str = "ALL"
    included: tuple[str, ...] = ()
    status: str = ""
    throughput: tuple[int, int] | None = None
    more_partition: tuple[tuple[str, str], ...] = ()
    more_sort: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table. `status`: CREATING, ACTIVE, UPDATING or DELETING. Units 0: on demand.

    `stream`: the view of the stream that runs; `stream_arn` is told of one that has ended, too.
    `item_count` and `size_bytes` are counted from the items when a table is described.
    """

    name: str
    status: str
    partition_key: tuple[str, str]
    sort_key: tuple[str, str] | None
    local_indexes: list[Index]
    global_indexes: list[Index]
    read_units: int
    write_units: int
    created: datetime
    id: str
    arn: str
    deletion_protection: bool
    stream: str | None = None
    stream_arn: str | None = None
    item_count: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TimeToLive:
    """Items expire at the time in `attribute` (epoch seconds, a number); None: they do not.

    `status`: ENABLING, ENABLED, DISABLING or DISABLED.
    """

    attribute: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an item. `kind`: INSERT, MODIFY or REMOVE; the images are as the stream's view
    has them, None where there is none.

    `time` in whole seconds, by the clock of who led the item. `is_expiry`: time to live removed it.
    `id` is the same however often the change is read.
    """

    kind: str
    keys: dict[str, Any]
    old: dict[str, Any] | None
    new: dict[str, Any] | None
    time: datetime
    sequence: str
    shard: str
    id: str
    is_expiry: bool


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A page of Query or Scan; `last_key` continues it, None at the end.

    `scanned_count` counts what was read, `count` what the filter let through.
    """

    items: list[dict[str, Any]]
    last_key: dict[str, Any] | None
    count: int
    scanned_count: int


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node. `address` of its gRPC services, empty where it is not told."""

    id: str
    zone: str
    address: str
    reachable: bool


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """The cluster as one node sees it. `document` is what `trilith status --json` shows."""

    version: str
    answered_by: str
    ready: bool
    nodes: list[NodeInfo]
    document: dict[str, Any] = field(repr=False)


_TYPES = {
    "S": tables_pb2.KEY_TYPE_STRING,
    "N": tables_pb2.KEY_TYPE_NUMBER,
    "B": tables_pb2.KEY_TYPE_BINARY,
}
_LETTERS = {number: letter for letter, number in _TYPES.items()}
PROJECTIONS = {
    "ALL": tables_pb2.PROJECTION_ALL,
    "KEYS_ONLY": tables_pb2.PROJECTION_KEYS_ONLY,
    "INCLUDE": tables_pb2.PROJECTION_INCLUDE,
}
STREAM_VIEWS = {
    "KEYS_ONLY": tables_pb2.STREAM_VIEW_KEYS_ONLY,
    "NEW_IMAGE": tables_pb2.STREAM_VIEW_NEW_IMAGE,
    "OLD_IMAGE": tables_pb2.STREAM_VIEW_OLD_IMAGE,
    "NEW_AND_OLD_IMAGES": tables_pb2.STREAM_VIEW_NEW_AND_OLD_IMAGES,
}
_VIEW_NAMES = {number: name for name, number in STREAM_VIEWS.items()}
_PROJECTION_NAMES = {number: name for name, number in PROJECTIONS.items()}


def bucket_info(message: objects_pb2.Bucket) -> BucketInfo:
    return BucketInfo(message.name, _when(message.created_ms), message.region)


def object_info(message: objects_pb2.ObjectInfo) -> ObjectInfo:
    checksum = message.checksum
    return ObjectInfo(
        message.key,
        message.size,
        message.etag,
        _when(message.last_modified_ms),
        dict(message.metadata.headers),
        dict(message.metadata.user),
        checksum.value if checksum.algorithm == "CRC64NVME" else None,
        message.version_id,
    )


def object_page(message: objects_pb2.ListObjectsResponse) -> ObjectPage:
    objects = [
        ListedObject(one.key, one.size, one.etag, _when(one.last_modified_ms))
        for one in message.objects
    ]
    return ObjectPage(objects, list(message.common_prefixes), message.next_after or None)


def upload_info(message: uploads_pb2.Upload) -> UploadInfo:
    return UploadInfo(message.key, message.id, _when(message.initiated_ms))


def part_info(message: uploads_pb2.Part) -> PartInfo:
    return PartInfo(message.number, message.size, message.etag)


def key_message(key: tuple[str, str]) -> tables_pb2.KeyAttribute:
    """Raises ValueError."""
    name, kind = key
    if kind not in _TYPES:
        raise ValueError(f"a key attribute is S, N or B, not {kind!r}")
    return tables_pb2.KeyAttribute(name=name, type=_TYPES[kind])


def _key(message: tables_pb2.KeyAttribute) -> tuple[str, str]:
    return message.name, _LETTERS.get(message.type, "")


def _index(message: tables_pb2.Index) -> Index:
    return Index(
        message.name,
        _key(message.partition_key),
        _key(message.sort_key) if message.HasField("sort_key") else None,
        _PROJECTION_NAMES[message.projection],
        tuple(message.included),
        message.status,
        (message.throughput.read_units, message.throughput.write_units)
        if message.HasField("throughput")
        else None,
        tuple([_key(key) for key in message.more_partition_keys]),
        tuple([_key(key) for key in message.more_sort_keys]),
    )


def table_info(message: tables_pb2.Table) -> TableInfo:
    return TableInfo(
        message.name,
        message.status,
        _key(message.partition_key),
        _key(message.sort_key) if message.HasField("sort_key") else None,
        [_index(one) for one in message.local_indexes],
        [_index(one) for one in message.global_indexes],
        message.throughput.read_units,
        message.throughput.write_units,
        _when(message.created_ms),
        message.id,
        message.arn,
        message.deletion_protection,
        _VIEW_NAMES.get(message.stream),
        message.stream_arn or None,
        message.item_count,
        message.size_bytes,
    )


def node_info(message: admin_pb2.Node) -> NodeInfo:
    return NodeInfo(message.id, message.zone, message.grpc_address, message.reachable)
