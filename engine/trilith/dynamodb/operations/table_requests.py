"""CreateTable's and UpdateTable's requests, checked and turned into a table's record."""

from __future__ import annotations

from typing import Any

from trilith.dynamodb.errors import DynamoDBError, validation
from trilith.tables.definitions import (
    PAY_PER_REQUEST,
    PROVISIONED,
    KeyAttribute,
    LocalIndex,
    TableRecord,
)

LOCAL_INDEXES_MAX = 5
INCLUDED_MAX = 100
_INVALID = "One or more parameter values were invalid: "

# Members of CreateTable whose effect is not built: refused by name, never ignored.
_NOT_SERVED = (
    "GlobalSecondaryIndexes",
    "SSESpecification",
    "StreamSpecification",
    "ResourcePolicy",
    "OnDemandThroughput",
    "WarmThroughput",
    "GlobalTableSourceArn",
    "GlobalTableSettingsReplicationMode",
)


def not_served(member: str) -> DynamoDBError:
    return validation(f"{_INVALID}{member} is not supported")


def new_record(document: dict[str, Any], table_id: bytes, now_ms: int) -> TableRecord:
    """The record of a CreateTable request. Raises DynamoDBError."""
    name = document["TableName"]
    for member in _NOT_SERVED:
        if document.get(member) and not _is_off(document[member]):
            raise not_served(member)
    attributes = _attributes(document)
    partition, sort = _key_schema(document["KeySchema"], attributes)
    billing_mode, read_units, write_units = _billing(document, PROVISIONED)
    indexes = _local_indexes(document, attributes, partition, sort)
    _require_used(attributes, partition, sort, indexes)
    return TableRecord(
        name=name,
        table_id=table_id,
        created_ms=now_ms,
        attributes=tuple(attributes.values()),
        partition=partition,
        sort=sort,
        indexes=indexes,
        billing_mode=billing_mode,
        read_units=read_units,
        write_units=write_units,
        is_protected=document.get("DeletionProtectionEnabled", False),
        table_class=document.get("TableClass", "STANDARD"),
        tags=tags_of(document),
    )


def _is_off(member: Any) -> bool:
    return type(member) is dict and not (member.get("StreamEnabled") or member.get("Enabled"))


def _attributes(document: dict[str, Any]) -> dict[str, KeyAttribute]:
    found: dict[str, KeyAttribute] = {}
    for one in document["AttributeDefinitions"]:
        name = one["AttributeName"]
        if name in found:
            raise validation(f"{_INVALID}Duplicate AttributeName in AttributeDefinitions: {name}")
        found[name] = KeyAttribute(name, one["AttributeType"])
    return found


def _key_schema(
    schema: list[dict[str, str]],
    attributes: dict[str, KeyAttribute],
    *,
    is_index: bool = False,
) -> tuple[KeyAttribute, KeyAttribute | None]:
    """Partition and sort key. The order of the checks is the service's."""
    names = [element["AttributeName"] for element in schema]
    if schema[0]["KeyType"] != "HASH":
        raise validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if len(names) == 2 and names[0] == names[1]:
        raise validation(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name"
        )
    if len(names) == 2 and schema[1]["KeyType"] != "RANGE":
        raise validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
    if any(name not in attributes for name in names):
        if not is_index:
            raise validation("Invalid KeySchema: Some index key attribute have no definition")
        raise validation(
            f"{_INVALID}Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(names)}], AttributeDefinitions: [{', '.join(attributes)}]"
        )
    return attributes[names[0]], attributes[names[1]] if len(names) == 2 else None


def _billing(document: dict[str, Any], default: str) -> tuple[str, int, int]:
    mode = document.get("BillingMode", default)
    throughput = document.get("ProvisionedThroughput")
    if mode == PAY_PER_REQUEST:
        if throughput is not None:
            raise validation(
                f"{_INVALID}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when "
                "BillingMode is PAY_PER_REQUEST"
            )
        return mode, 0, 0
    if throughput is None:
        raise validation(
            f"{_INVALID}ReadCapacityUnits and WriteCapacityUnits must both be specified when "
            "BillingMode is PROVISIONED"
        )
    return mode, throughput["ReadCapacityUnits"], throughput["WriteCapacityUnits"]


def _local_indexes(
    document: dict[str, Any],
    attributes: dict[str, KeyAttribute],
    partition: KeyAttribute,
    sort: KeyAttribute | None,
) -> tuple[LocalIndex, ...]:
    given = document.get("LocalSecondaryIndexes", [])
    if document.get("LocalSecondaryIndexes") == []:
        raise validation(f"{_INVALID}List of LocalSecondaryIndexes is empty")
    if given and sort is None:
        raise validation(
            f"{_INVALID}Table KeySchema does not have a range key, which is required "
            "when specifying a LocalSecondaryIndex"
        )
    if len(given) > LOCAL_INDEXES_MAX:
        raise validation(
            f"{_INVALID}Number of LocalSecondaryIndexes exceeds per-table limit of "
            f"{LOCAL_INDEXES_MAX}"
        )
    indexes: list[LocalIndex] = []
    for number, one in enumerate(given):
        name = one["IndexName"]
        if any(index.name == name for index in indexes):
            raise validation(f"{_INVALID}Duplicate index name: {name}")
        index_partition, index_sort = _key_schema(one["KeySchema"], attributes, is_index=True)
        if index_partition.name != partition.name:
            raise validation(
                f"{_INVALID}Index KeySchema does not have the same leading hash key as table "
                f"KeySchema for index: {name}. index hash key: {index_partition.name}, "
                f"table hash key: {partition.name}"
            )
        if index_sort is None:
            raise validation(
                f"{_INVALID}Index KeySchema does not have a range key for index: {name}"
            )
        indexes.append(LocalIndex(number, name, index_sort, *_projection(one["Projection"], name)))
    return tuple(indexes)


def _projection(projection: dict[str, Any], name: str) -> tuple[str, tuple[str, ...]]:
    kind = projection.get("ProjectionType")
    if kind is None:
        raise validation(f"{_INVALID}Unknown ProjectionType: null")
    included = projection.get("NonKeyAttributes")
    if kind != "INCLUDE":
        if included is not None:
            raise validation(
                f"{_INVALID}ProjectionType is {kind}, but NonKeyAttributes is specified"
            )
        return kind, ()
    if included is None:
        raise validation(
            f"{_INVALID}ProjectionType is INCLUDE, but NonKeyAttributes is not specified"
        )
    if len(included) > INCLUDED_MAX or len(set(included)) != len(included):
        raise validation(
            f"{_INVALID}NonKeyAttributes of index {name} must be 1 to {INCLUDED_MAX} distinct names"
        )
    return kind, tuple(included)


def _require_used(
    attributes: dict[str, KeyAttribute],
    partition: KeyAttribute,
    sort: KeyAttribute | None,
    indexes: tuple[LocalIndex, ...],
) -> None:
    used = {partition.name, *([] if sort is None else [sort.name]), *(i.sort.name for i in indexes)}
    if len(used) != len(attributes):
        raise validation(
            f"{_INVALID}Number of attributes in KeySchema does not exactly match number of "
            "attributes defined in AttributeDefinitions"
            if not indexes
            else f"{_INVALID}Some AttributeDefinitions are not used. AttributeDefinitions: "
            f"[{', '.join(attributes)}], keys used: [{', '.join(sorted(used))}]"
        )


def tags_of(document: dict[str, Any]) -> dict[str, str]:
    """`Tags` as a mapping. Raises DynamoDBError."""
    tags: dict[str, str] = {}
    for one in document.get("Tags", ()):
        if one["Key"] in tags:
            raise validation(f"{_INVALID}Duplicate tag key: {one['Key']}")
        tags[one["Key"]] = one["Value"]
    return tags


def changed_billing(document: dict[str, Any], record: TableRecord) -> tuple[str, int, int]:
    """UpdateTable's billing: mode and units after it."""
    mode = document.get("BillingMode") or record.billing_mode
    if document.get("BillingMode") is None and document.get("ProvisionedThroughput") is None:
        return record.billing_mode, record.read_units, record.write_units
    if mode == PAY_PER_REQUEST and document.get("ProvisionedThroughput") is None:
        return mode, 0, 0
    return _billing(document, mode)
