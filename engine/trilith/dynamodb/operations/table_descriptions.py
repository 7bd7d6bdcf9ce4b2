"""What DescribeTable, and every operation that changes a table, says of it."""

from __future__ import annotations

from typing import Any

from trilith.dynamodb.context import Context
from trilith.dynamodb.operations.stream_settings import described
from trilith.dynamodb.operations.table_settings import warm_description
from trilith.tables.definitions import (
    CREATING,
    DELETING,
    PAY_PER_REQUEST,
    GlobalIndex,
    KeyAttribute,
    LocalIndex,
    TableRecord,
)


def description(context: Context, record: TableRecord, status: str) -> dict[str, Any]:
    """A TableDescription.

    ItemCount and sizes are 0: AWS brings them up to date every six hours at most.
    """
    arn = context.arn(record.name)
    table_id = record.table_id.hex()
    found: dict[str, Any] = {
        "AttributeDefinitions": [
            {"AttributeName": one.name, "AttributeType": one.kind} for one in record.attributes
        ],
        "TableName": record.name,
        "KeySchema": _key_schema((record.partition,), record.sort),
        "TableStatus": status,
        "CreationDateTime": record.created_ms / 1000,
        "ProvisionedThroughput": {
            "NumberOfDecreasesToday": 0,
            "ReadCapacityUnits": record.read_units,
            "WriteCapacityUnits": record.write_units,
        },
        "TableSizeBytes": 0,
        "ItemCount": 0,
        "TableArn": arn,
        "TableId": "-".join(
            (table_id[:8], table_id[8:12], table_id[12:16], table_id[16:20], table_id[20:])
        ),
        "DeletionProtectionEnabled": record.is_protected,
    }
    found.update(described(context, record))
    if record.billing_mode == PAY_PER_REQUEST:
        found["BillingModeSummary"] = {
            "BillingMode": PAY_PER_REQUEST,
            "LastUpdateToPayPerRequestDateTime": record.created_ms / 1000,
        }
    if record.table_class:
        summary: dict[str, Any] = {"TableClass": record.table_class}
        found["TableClassSummary"] = summary
        if record.table_class_changed_ms:
            summary["LastUpdateDateTime"] = record.table_class_changed_ms / 1000
    found["WarmThroughput"] = warm_description(
        record.warm, record.billing_mode, record.read_units, record.write_units
    )
    if record.indexes:
        found["LocalSecondaryIndexes"] = [
            _local_index(record, index, arn) for index in record.indexes
        ]
    if record.global_indexes:
        found["GlobalSecondaryIndexes"] = [
            _global_index(record, index, arn, status) for index in record.global_indexes
        ]
    return found


def without_schema(described: dict[str, Any]) -> dict[str, Any]:
    """A TableDescription as DeleteTable answers it: what the table was made of is not told."""
    return {member: value for member, value in described.items() if member not in _OF_SCHEMA}


_OF_SCHEMA = (
    "AttributeDefinitions",
    "KeySchema",
    "CreationDateTime",
    "LocalSecondaryIndexes",
    "GlobalSecondaryIndexes",
)


def _local_index(record: TableRecord, index: LocalIndex, arn: str) -> dict[str, Any]:
    return {
        "IndexName": index.name,
        "KeySchema": _key_schema((record.partition,), index.sort),
        "Projection": _projection(index),
        "IndexSizeBytes": 0,
        "ItemCount": 0,
        "IndexArn": f"{arn}/index/{index.name}",
    }


def _global_index(
    record: TableRecord, index: GlobalIndex, arn: str, table_status: str
) -> dict[str, Any]:
    """Those of a table that is being made or deleted share its fate."""
    status = index.status
    if table_status in (CREATING, DELETING):
        status = table_status
    found: dict[str, Any] = {
        "IndexName": index.name,
        "KeySchema": _key_schema(index.partition_attributes(), *index.sort_attributes()),
        "Projection": _projection(index),
        "IndexStatus": status,
        "ProvisionedThroughput": {
            "NumberOfDecreasesToday": 0,
            "ReadCapacityUnits": index.read_units,
            "WriteCapacityUnits": index.write_units,
        },
        "IndexSizeBytes": 0,
        "ItemCount": 0,
        "IndexArn": f"{arn}/index/{index.name}",
        "WarmThroughput": warm_description(
            index.warm, record.billing_mode, index.read_units, index.write_units
        ),
    }
    if index.status == CREATING:
        found["Backfilling"] = True
    return found


def _projection(index: LocalIndex | GlobalIndex) -> dict[str, Any]:
    projection: dict[str, Any] = {"ProjectionType": index.projection}
    if index.included:
        projection["NonKeyAttributes"] = list(index.included)
    return projection


def _key_schema(
    partition: tuple[KeyAttribute, ...], *sort: KeyAttribute | None
) -> list[dict[str, str]]:
    schema = [{"AttributeName": key.name, "KeyType": "HASH"} for key in partition]
    schema += [{"AttributeName": key.name, "KeyType": "RANGE"} for key in sort if key is not None]
    return schema
