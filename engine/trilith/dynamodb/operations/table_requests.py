"""CreateTable's and UpdateTable's requests, checked and turned into a table's record."""

from __future__ import annotations

import re
from typing import Any

from trilith.dynamodb.errors import DynamoDBError, serialization, validation
from trilith.tables.definitions import (
    PAY_PER_REQUEST,
    PROVISIONED,
    KeyAttribute,
    LocalIndex,
    TableRecord,
)

LOCAL_INDEXES_MAX = 5
INCLUDED_MAX = 100
_NAME = re.compile(r"[a-zA-Z0-9_.-]+").fullmatch
_INVALID = "One or more parameter values were invalid: "
TABLE_CLASSES = ("STANDARD", "STANDARD_INFREQUENT_ACCESS")

# Members of CreateTable whose effect is not built: refused by name, never ignored.
_NOT_SERVED = (
    "GlobalSecondaryIndexes",
    "StreamSpecification",
    "ResourcePolicy",
    "OnDemandThroughput",
    "WarmThroughput",
    "GlobalTableSourceArn",
    "GlobalTableSettingsReplicationMode",
)


def not_served(member: str) -> DynamoDBError:
    return validation(f"{_INVALID}{member} is not supported")


def constraint(value: Any, member: str, rule: str) -> DynamoDBError:
    shown = "null" if value is None else f"'{value}'"
    return validation(
        f"1 validation error detected: Value {shown} at '{member}' failed to satisfy constraint: "
        f"{rule}"
    )


def table_name(document: dict[str, Any], member: str = "TableName") -> str:
    """A table's name, or the one in its ARN. Raises DynamoDBError."""
    name = document.get(member)
    shown = member[0].lower() + member[1:]
    if name is None:
        raise constraint(None, shown, "Member must not be null")
    if type(name) is not str:
        raise serialization("Unexpected value type in payload")
    if name.startswith("arn:"):
        name = name.rpartition(":table/")[2]
    if len(name) < 3:
        raise (
            validation(
                f"Invalid table/index name.  Table/index names must be between 3 and 255 characters "
                "long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'"
                if member != "TableName"
                else "TableName must be at least 3 characters long and at most 255 characters long"
            )
            if name
            else constraint("", shown, "Member must have length greater than or equal to 1")
        )
    if len(name) > 255:
        raise validation(
            "TableName must be at least 3 characters long and at most 255 characters long"
        )
    if _NAME(name) is None:
        raise constraint(
            name, shown, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        )
    return name


def objects(document: dict[str, Any], member: str) -> list[dict[str, Any]]:
    """A list of structures; empty when it is missing."""
    found = document.get(member)
    if found is None:
        return []
    if type(found) is not list or any(type(one) is not dict for one in found):
        raise serialization("Unexpected field type")
    return found


def structure(document: dict[str, Any], member: str) -> dict[str, Any] | None:
    found = document.get(member)
    if found is not None and type(found) is not dict:
        raise serialization("Unexpected field type")
    return found


def text(document: dict[str, Any], member: str, shown: str) -> str:
    found = document.get(member)
    if found is None:
        raise constraint(None, shown, "Member must not be null")
    if type(found) is not str:
        raise serialization("Unexpected field type")
    return found


def boolean(document: dict[str, Any], member: str, default: bool) -> bool:
    found = document.get(member)
    if found is None:
        return default
    if type(found) is not bool:
        raise serialization("Unexpected token received from parser")
    return found


def new_record(document: dict[str, Any], table_id: bytes, now_ms: int) -> TableRecord:
    """The record of a CreateTable request. Raises DynamoDBError."""
    name = table_name(document)
    for member in _NOT_SERVED:
        if document.get(member) and not _is_off(document[member]):
            raise not_served(member)
    attributes = _attributes(document)
    partition, sort = _key_schema(document, "keySchema", attributes)
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
        is_protected=boolean(document, "DeletionProtectionEnabled", default=False),
        table_class=table_class(document) or "STANDARD",
        tags=tags_of(document),
    )


def _is_off(member: Any) -> bool:
    return type(member) is dict and member.get("StreamEnabled") is False


def table_class(document: dict[str, Any]) -> str | None:
    found = document.get("TableClass")
    if found is not None and found not in TABLE_CLASSES:
        raise constraint(
            found, "tableClass", f"Member must satisfy enum value set: [{', '.join(TABLE_CLASSES)}]"
        )
    return found


def _attributes(document: dict[str, Any]) -> dict[str, KeyAttribute]:
    if document.get("AttributeDefinitions") is None:
        raise constraint(None, "attributeDefinitions", "Member must not be null")
    found: dict[str, KeyAttribute] = {}
    for number, one in enumerate(objects(document, "AttributeDefinitions"), 1):
        where = f"attributeDefinitions.{number}.member"
        name = text(one, "AttributeName", f"{where}.attributeName")
        kind = text(one, "AttributeType", f"{where}.attributeType")
        if kind not in ("S", "N", "B"):
            raise constraint(
                kind, f"{where}.attributeType", "Member must satisfy enum value set: [B, N, S]"
            )
        if not 1 <= len(name) <= 255:
            raise constraint(
                name, f"{where}.attributeName", "Member must have length between 1 and 255"
            )
        if name in found:
            raise validation(f"{_INVALID}Duplicate AttributeName in AttributeDefinitions: {name}")
        found[name] = KeyAttribute(name, kind)
    return found


def _key_schema(
    document: dict[str, Any], shown: str, attributes: dict[str, KeyAttribute]
) -> tuple[KeyAttribute, KeyAttribute | None]:
    schema = objects(document, "KeySchema")
    if not schema:
        raise constraint(None, shown, "Member must not be null")
    if len(schema) > 2:
        raise constraint(schema, shown, "Member must have length less than or equal to 2")
    names = []
    for number, (element, kind) in enumerate(zip(schema, ("HASH", "RANGE"), strict=False), 1):
        where = f"{shown}.{number}.member"
        names.append(text(element, "AttributeName", f"{where}.attributeName"))
        given = text(element, "KeyType", f"{where}.keyType")
        if given not in ("HASH", "RANGE"):
            raise constraint(
                given, f"{where}.keyType", "Member must satisfy enum value set: [HASH, RANGE]"
            )
        if given != kind:
            ordinal = "first" if number == 1 else "second"
            raise validation(
                f"Invalid KeySchema: The {ordinal} KeySchemaElement is not a {kind} key type"
            )
    if len(names) == 2 and names[0] == names[1]:
        raise validation(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name"
        )
    missing = [name for name in names if name not in attributes]
    if missing:
        raise validation(
            f"{_INVALID}Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(missing)}], AttributeDefinitions: [{', '.join(attributes)}]"
        )
    return attributes[names[0]], attributes[names[1]] if len(names) == 2 else None


def _billing(document: dict[str, Any], default: str) -> tuple[str, int, int]:
    mode = document.get("BillingMode")
    if mode is not None and mode not in (PAY_PER_REQUEST, PROVISIONED):
        raise constraint(
            mode,
            "billingMode",
            "Member must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]",
        )
    mode = mode or default
    throughput = structure(document, "ProvisionedThroughput")
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
    return mode, _units(throughput, "ReadCapacityUnits"), _units(throughput, "WriteCapacityUnits")


def _units(throughput: dict[str, Any], member: str) -> int:
    units = throughput.get(member)
    shown = f"provisionedThroughput.{member[0].lower()}{member[1:]}"
    if units is None:
        raise constraint(None, shown, "Member must not be null")
    if type(units) is not int:
        raise serialization("Unexpected field type")
    if units < 1:
        raise constraint(units, shown, "Member must have value greater than or equal to 1")
    return units


def _local_indexes(
    document: dict[str, Any],
    attributes: dict[str, KeyAttribute],
    partition: KeyAttribute,
    sort: KeyAttribute | None,
) -> tuple[LocalIndex, ...]:
    given = objects(document, "LocalSecondaryIndexes")
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
        where = f"localSecondaryIndexes.{number + 1}.member"
        name = table_name(one, "IndexName")
        if any(index.name == name for index in indexes):
            raise validation(f"{_INVALID}Duplicate index name: {name}")
        index_partition, index_sort = _key_schema(one, f"{where}.keySchema", attributes)
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
        indexes.append(LocalIndex(number, name, index_sort, *_projection(one, where, name)))
    return tuple(indexes)


def _projection(index: dict[str, Any], where: str, name: str) -> tuple[str, tuple[str, ...]]:
    projection = structure(index, "Projection")
    if projection is None:
        raise constraint(None, f"{where}.projection", "Member must not be null")
    kind = projection.get("ProjectionType")
    if kind is None:
        raise validation(f"{_INVALID}Unknown ProjectionType: null")
    if kind not in ("ALL", "KEYS_ONLY", "INCLUDE"):
        raise constraint(
            kind,
            f"{where}.projection.projectionType",
            "Member must satisfy enum value set: [ALL, INCLUDE, KEYS_ONLY]",
        )
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
    if type(included) is not list or any(type(one) is not str for one in included):
        raise serialization("Unexpected field type")
    if not included or len(included) > INCLUDED_MAX or len(set(included)) != len(included):
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
    for number, one in enumerate(objects(document, "Tags"), 1):
        key = text(one, "Key", f"tags.{number}.member.key")
        value = text(one, "Value", f"tags.{number}.member.value")
        if not 1 <= len(key) <= 128:
            raise constraint(
                key, f"tags.{number}.member.key", "Member must have length between 1 and 128"
            )
        if len(value) > 256:
            raise constraint(
                value,
                f"tags.{number}.member.value",
                "Member must have length less than or equal to 256",
            )
        if key in tags:
            raise validation(f"{_INVALID}Duplicate tag key: {key}")
        tags[key] = value
    return tags


def changed_billing(document: dict[str, Any], record: TableRecord) -> tuple[str, int, int]:
    """UpdateTable's billing: mode and units after it."""
    mode = document.get("BillingMode") or record.billing_mode
    if document.get("BillingMode") is None and document.get("ProvisionedThroughput") is None:
        return record.billing_mode, record.read_units, record.write_units
    if mode == PAY_PER_REQUEST and document.get("ProvisionedThroughput") is None:
        return mode, 0, 0
    return _billing(document, mode)
