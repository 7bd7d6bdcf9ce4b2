"""Table definitions between protobuf and DynamoDB's documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trilith.edge.grpc_values import Document
from trilith.errors import InvalidRequest
from trilith.wire.v1 import tables_pb2 as wire

_TYPES = {
    wire.KEY_TYPE_STRING: "S",
    wire.KEY_TYPE_NUMBER: "N",
    wire.KEY_TYPE_BINARY: "B",
}
_TYPE_NUMBERS = {letter: number for number, letter in _TYPES.items()}
_PROJECTIONS = {
    wire.PROJECTION_ALL: "ALL",
    wire.PROJECTION_KEYS_ONLY: "KEYS_ONLY",
    wire.PROJECTION_INCLUDE: "INCLUDE",
}
_PROJECTION_NUMBERS = {name: number for number, name in _PROJECTIONS.items()}
_VIEWS = {
    wire.STREAM_VIEW_KEYS_ONLY: "KEYS_ONLY",
    wire.STREAM_VIEW_NEW_IMAGE: "NEW_IMAGE",
    wire.STREAM_VIEW_OLD_IMAGE: "OLD_IMAGE",
    wire.STREAM_VIEW_NEW_AND_OLD_IMAGES: "NEW_AND_OLD_IMAGES",
}
VIEW_NUMBERS = {name: number for number, name in _VIEWS.items()}


class _Attributes:
    """AttributeDefinitions, collected from the keys that name them."""

    def __init__(self) -> None:
        self._types: dict[str, str] = {}

    def name(self, key: wire.KeyAttribute) -> str:
        kind = _TYPES.get(key.type)
        if kind is None:
            raise InvalidRequest(f"the key attribute {key.name!r} has no type")
        if self._types.setdefault(key.name, kind) != kind:
            raise InvalidRequest(f"the key attribute {key.name!r} has two types")
        return key.name

    def definitions(self) -> list[Document]:
        return [
            {"AttributeName": name, "AttributeType": kind} for name, kind in self._types.items()
        ]


def creation_document(request: wire.CreateTableRequest) -> Document:
    """CreateTable's request. Raises InvalidRequest."""
    attributes = _Attributes()
    document: Document = {
        "TableName": request.name,
        "KeySchema": _key_schema(attributes, request, request.partition_key),
    }
    local = [_index(attributes, one, request.partition_key) for one in request.local_indexes]
    if local:
        document["LocalSecondaryIndexes"] = local
    if request.global_indexes:
        document["GlobalSecondaryIndexes"] = [
            _index(attributes, one, one.partition_key)
            | _provisioned(one.throughput if one.HasField("throughput") else request.throughput)
            for one in request.global_indexes
        ]
    document["AttributeDefinitions"] = attributes.definitions()
    document |= _billing(request.throughput)
    if request.tags:
        document["Tags"] = tags_document(request.tags)
    if request.deletion_protection:
        document["DeletionProtectionEnabled"] = True
    if request.stream:
        document["StreamSpecification"] = _stream(request.stream)
    return document


def update_document(request: wire.UpdateTableRequest) -> Document:
    """UpdateTable's request. Raises InvalidRequest."""
    document: Document = {"TableName": request.name}
    if request.HasField("throughput"):
        document |= _billing(request.throughput)
    updates: list[Document] = []
    if request.HasField("add_index"):
        attributes = _Attributes()
        index = request.add_index
        created = _index(attributes, index, index.partition_key) | _provisioned(index.throughput)
        updates.append({"Create": created})
        document["AttributeDefinitions"] = attributes.definitions()
    if request.remove_index:
        updates.append({"Delete": {"IndexName": request.remove_index}})
    for name, throughput in request.index_throughput.items():
        units = {"IndexName": name, "ProvisionedThroughput": _units(throughput)}
        updates.append({"Update": units})
    if updates:
        document["GlobalSecondaryIndexUpdates"] = updates
    if request.HasField("deletion_protection"):
        document["DeletionProtectionEnabled"] = request.deletion_protection
    if request.HasField("stream"):
        document["StreamSpecification"] = _stream(request.stream)
    return document


def share_units(document: Document, description: Document) -> None:
    """Give global indexes that are named no units those of their table, in UpdateTable's request:
    all of a table that was on demand, and the one that is added.
    """
    before = _provisioned(_throughput(description))
    after = before if "BillingMode" not in document else _provisioned_in(document)
    if not after:
        return
    updates = document.setdefault("GlobalSecondaryIndexUpdates", [])
    named = {one["IndexName"] for update in updates for one in update.values()}
    for update in updates:
        if "Create" in update:
            update["Create"] = after | update["Create"]
    if not before:
        updates += [
            {"Update": {"IndexName": one["IndexName"]} | after}
            for one in description.get("GlobalSecondaryIndexes", ())
            if one["IndexName"] not in named
        ]
    if not updates:
        del document["GlobalSecondaryIndexUpdates"]


def _provisioned_in(document: Document) -> Document:
    name = "ProvisionedThroughput"
    return {name: document[name]} if name in document else {}


def tags_document(tags: Mapping[str, str]) -> list[Document]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _billing(throughput: wire.Throughput) -> Document:
    provisioned = _provisioned(throughput)
    return {"BillingMode": "PROVISIONED" if provisioned else "PAY_PER_REQUEST"} | provisioned


def _provisioned(throughput: wire.Throughput) -> Document:
    """Nothing for on demand."""
    if not throughput.read_units and not throughput.write_units:
        return {}
    return {"ProvisionedThroughput": _units(throughput)}


def _units(throughput: wire.Throughput) -> Document:
    return {
        "ReadCapacityUnits": throughput.read_units,
        "WriteCapacityUnits": throughput.write_units,
    }


def _stream(view: wire.StreamView) -> Document:
    if not view:
        return {"StreamEnabled": False}
    # A view that is none of these is refused by name.
    return {"StreamEnabled": True, "StreamViewType": _VIEWS.get(view, str(view))}


def _key_schema(
    attributes: _Attributes,
    keys: wire.CreateTableRequest | wire.Index,
    partition: wire.KeyAttribute,
) -> list[Document]:
    hashes, ranges = [partition], [keys.sort_key] if keys.HasField("sort_key") else []
    if isinstance(keys, wire.Index):
        hashes += keys.more_partition_keys
        ranges += keys.more_sort_keys
    schema = [{"AttributeName": attributes.name(key), "KeyType": "HASH"} for key in hashes]
    schema += [{"AttributeName": attributes.name(key), "KeyType": "RANGE"} for key in ranges]
    return schema


def _index(attributes: _Attributes, index: wire.Index, partition: wire.KeyAttribute) -> Document:
    projection: Document = {"ProjectionType": _PROJECTIONS.get(index.projection)}
    if index.included:
        projection["NonKeyAttributes"] = list(index.included)
    return {
        "IndexName": index.name,
        "KeySchema": _key_schema(attributes, index, partition),
        "Projection": projection,
    }


def table_message(description: Document) -> wire.Table:
    """A TableDescription."""
    types = {
        one["AttributeName"]: one["AttributeType"] for one in description["AttributeDefinitions"]
    }
    (partition,), sort = _keys(description["KeySchema"], types)
    stream = description.get("StreamSpecification", {}).get("StreamViewType")
    return wire.Table(
        name=description["TableName"],
        status=description["TableStatus"],
        partition_key=partition,
        sort_key=sort[0] if sort else None,
        local_indexes=_indexes(description.get("LocalSecondaryIndexes", ()), types),
        global_indexes=_indexes(description.get("GlobalSecondaryIndexes", ()), types),
        throughput=_throughput(description),
        created_ms=round(description["CreationDateTime"] * 1000),
        id=description["TableId"],
        arn=description["TableArn"],
        deletion_protection=description.get("DeletionProtectionEnabled", False),
        stream=VIEW_NUMBERS.get(stream, wire.STREAM_VIEW_NONE),
        stream_arn=description.get("LatestStreamArn", ""),
        item_count=description["ItemCount"],
        size_bytes=description["TableSizeBytes"],
    )


def _throughput(description: Document) -> wire.Throughput:
    throughput = description.get("ProvisionedThroughput", {})
    return wire.Throughput(
        read_units=throughput.get("ReadCapacityUnits", 0),
        write_units=throughput.get("WriteCapacityUnits", 0),
    )


def _indexes(descriptions: Iterable[Document], types: dict[str, str]) -> list[wire.Index]:
    indexes = []
    for one in descriptions:
        partition, sort = _keys(one["KeySchema"], types)
        projection = one["Projection"]
        indexes.append(
            wire.Index(
                name=one["IndexName"],
                partition_key=partition[0],
                sort_key=sort[0] if sort else None,
                more_partition_keys=partition[1:],
                more_sort_keys=sort[1:],
                projection=_PROJECTION_NUMBERS[projection["ProjectionType"]],
                included=projection.get("NonKeyAttributes", ()),
                status=one.get("IndexStatus", "ACTIVE"),
                throughput=_throughput(one) if "ProvisionedThroughput" in one else None,
            )
        )
    return indexes


def _keys(
    schema: list[Document], types: dict[str, str]
) -> tuple[list[wire.KeyAttribute], list[wire.KeyAttribute]]:
    """What the partition key and the sort key are made of."""
    keys: dict[str, list[wire.KeyAttribute]] = {"HASH": [], "RANGE": []}
    for one in schema:
        name = one["AttributeName"]
        keys[one["KeyType"]].append(wire.KeyAttribute(name=name, type=_TYPE_NUMBERS[types[name]]))
    return keys["HASH"], keys["RANGE"]
