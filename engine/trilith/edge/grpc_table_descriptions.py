"""Table definitions between protobuf and DynamoDB's documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

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
    throughput = request.throughput
    provisioned = throughput.read_units or throughput.write_units
    units = {
        "ReadCapacityUnits": throughput.read_units,
        "WriteCapacityUnits": throughput.write_units,
    }
    if request.global_indexes:
        extra = {"ProvisionedThroughput": units} if provisioned else {}
        document["GlobalSecondaryIndexes"] = [
            {**_index(attributes, one, one.partition_key), **extra}
            for one in request.global_indexes
        ]
    document["AttributeDefinitions"] = attributes.definitions()
    if provisioned:
        document["BillingMode"] = "PROVISIONED"
        document["ProvisionedThroughput"] = units
    else:
        document["BillingMode"] = "PAY_PER_REQUEST"
    if request.tags:
        document["Tags"] = [{"Key": key, "Value": value} for key, value in request.tags.items()]
    if request.deletion_protection:
        document["DeletionProtectionEnabled"] = True
    return document


def _key_schema(
    attributes: _Attributes,
    keys: wire.CreateTableRequest | wire.Index,
    partition: wire.KeyAttribute,
) -> list[Document]:
    schema = [{"AttributeName": attributes.name(partition), "KeyType": "HASH"}]
    if keys.HasField("sort_key"):
        schema.append({"AttributeName": attributes.name(keys.sort_key), "KeyType": "RANGE"})
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
    partition, sort = _keys(description["KeySchema"], types)
    throughput = description.get("ProvisionedThroughput", {})
    return wire.Table(
        name=description["TableName"],
        status=description["TableStatus"],
        partition_key=partition,
        sort_key=sort,
        local_indexes=_indexes(description.get("LocalSecondaryIndexes", ()), types),
        global_indexes=_indexes(description.get("GlobalSecondaryIndexes", ()), types),
        throughput=wire.Throughput(
            read_units=throughput.get("ReadCapacityUnits", 0),
            write_units=throughput.get("WriteCapacityUnits", 0),
        ),
        created_ms=round(description["CreationDateTime"] * 1000),
        id=description["TableId"],
        arn=description["TableArn"],
        deletion_protection=description.get("DeletionProtectionEnabled", False),
    )


def _indexes(descriptions: Iterable[Document], types: dict[str, str]) -> list[wire.Index]:
    indexes = []
    for one in descriptions:
        partition, sort = _keys(one["KeySchema"], types)
        projection = one["Projection"]
        indexes.append(
            wire.Index(
                name=one["IndexName"],
                partition_key=partition,
                sort_key=sort,
                projection=_PROJECTION_NUMBERS[projection["ProjectionType"]],
                included=projection.get("NonKeyAttributes", ()),
                status=one.get("IndexStatus", "ACTIVE"),
            )
        )
    return indexes


def _keys(schema: list[Document], types: dict[str, str]) -> tuple[Any, Any]:
    """Partition key and sort key; None without one."""
    keys: dict[str, Any] = {
        one["KeyType"]: wire.KeyAttribute(
            name=one["AttributeName"], type=_TYPE_NUMBERS[types[one["AttributeName"]]]
        )
        for one in schema
    }
    return keys["HASH"], keys.get("RANGE")
