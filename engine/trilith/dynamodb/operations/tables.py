"""Table operations: create, describe, list, update, delete, tags, limits, endpoints."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import DynamoDBError, table_not_found, validation
from trilith.dynamodb.operations.index_requests import (
    check_updates,
    not_served,
    with_billing,
    with_updates,
)
from trilith.dynamodb.operations.stream_settings import changed_streams
from trilith.dynamodb.operations.table_descriptions import description, without_schema
from trilith.dynamodb.operations.table_requests import (
    changed_billing,
    new_record,
)
from trilith.dynamodb.operations.table_settings import (
    INVALID,
    changed_warm_throughput,
    checked_tags,
    with_table_class,
    with_tags,
)
from trilith.dynamodb.wire import encode
from trilith.errors import OutcomeUnknown, TableNotFound, Unavailable
from trilith.tables.definitions import Stream, TableRecord, ended

LIST_LIMIT_MAX = 100
_NOTHING_TO_UPDATE = (
    "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, "
    "GlobalSecondaryIndexUpdates, SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, "
    "ReplicaTransitRoleArn, MultiRegionConsistency, DeletionProtectionEnabled, "
    "OnDemandThroughput, WarmThroughput or TableClass is required"
)
_UPDATE_NOT_SERVED = (
    "SSESpecification",
    "ReplicaUpdates",
    "MultiRegionConsistency",
    "GlobalTableWitnessUpdates",
    "OnDemandThroughput",
    "GlobalTableSettingsReplicationMode",
    "DisassociationProtectionEnabled",
    "VectorIndexUpdates",
)


async def create_table(context: Context, document: dict[str, Any]) -> bytes:
    before: list[Stream] = []
    if document.get("StreamSpecification") is not None:
        deleted = await context.streams.ended.named(document["TableName"])
        before = [stream for record in deleted for stream in record.streams]
    record = new_record(
        document, context.catalog.new_table_id, context.clock.wall_ms(), tuple(before)
    )
    await context.catalog.create(record)
    # The table serves from now on; AWS answers CREATING, and clients then wait for ACTIVE.
    return encode({"TableDescription": description(context, record, "CREATING")})


async def describe_table(context: Context, document: dict[str, Any]) -> bytes:
    record = await _record(context, document["TableName"])
    found = description(context, record, _status(record))
    usage = await context.usage.of(record)
    found["ItemCount"], found["TableSizeBytes"] = usage.items
    for index in record.indexes:
        shown = found["LocalSecondaryIndexes"][record.indexes.index(index)]
        shown["ItemCount"], shown["IndexSizeBytes"] = usage.indexes[index.number]
    for place, global_index in enumerate(record.global_indexes):
        shown = found["GlobalSecondaryIndexes"][place]
        size = usage.global_indexes[global_index.index_id]
        shown["ItemCount"], shown["IndexSizeBytes"] = size
    return encode({"Table": found})


async def list_tables(context: Context, document: dict[str, Any]) -> bytes:
    limit = document.get("Limit", LIST_LIMIT_MAX)
    after = document.get("ExclusiveStartTableName", "")
    names, more = await context.catalog.list_names(after, limit)
    answer: dict[str, Any] = {"TableNames": names}
    if more:
        answer["LastEvaluatedTableName"] = names[-1]
    return encode(answer)


async def update_table(context: Context, document: dict[str, Any]) -> bytes:
    name = document["TableName"]
    for member in _UPDATE_NOT_SERVED:
        if document.get(member):
            raise not_served(member)
    members = (
        "BillingMode",
        "ProvisionedThroughput",
        "DeletionProtectionEnabled",
        "TableClass",
        "GlobalSecondaryIndexUpdates",
        "StreamSpecification",
        "WarmThroughput",
    )
    if all(document.get(member) in (None, []) for member in members):
        raise validation(_NOTHING_TO_UPDATE)
    check_updates(document)
    index_id = context.catalog.new_table_id()

    def change(record: TableRecord) -> TableRecord:
        _require_serving(record)
        mode, read_units, write_units = changed_billing(document, record)
        changed = msgspec.structs.replace(
            record,
            billing_mode=mode,
            read_units=read_units,
            write_units=write_units,
            is_protected=document.get("DeletionProtectionEnabled", record.is_protected),
            warm=changed_warm_throughput(record.warm, document, mode, read_units, write_units),
            streams=changed_streams(
                document, record, context.clock.wall_ms(), context.streams.retention_ms
            ),
        )
        changed = with_table_class(changed, document, context.clock.wall_ms())
        changed = with_billing(changed, document, record.billing_mode)
        return with_updates(changed, document, index_id, context.clock.wall_ms())

    record = await _changed(context, name, change)
    if "StreamSpecification" in document:
        # Should a partition be out of reach, the next DescribeStream or write sees to it.
        with suppress(Unavailable, OutcomeUnknown):
            await context.streams.roll(record)
    return encode({"TableDescription": description(context, record, "UPDATING")})


async def delete_table(context: Context, document: dict[str, Any]) -> bytes:
    name = document["TableName"]

    def mark(record: TableRecord) -> TableRecord:
        _require_serving(record)
        if record.is_protected:
            raise validation(
                "Resource cannot be deleted as it is currently protected against deletion. "
                "Disable deletion protection first."
            )
        streams = ended(record.streams, context.clock.wall_ms())
        return msgspec.structs.replace(record, deleting=True, streams=streams)

    record = await _changed(context, name, mark)
    described = without_schema(description(context, record, "DELETING"))
    return encode({"TableDescription": described})


async def tag_resource(context: Context, document: dict[str, Any]) -> bytes:
    name = _resource(document)
    tags = checked_tags(document)
    if not tags:
        raise validation("Atleast one Tag needs to be provided as Input.")

    def change(record: TableRecord) -> TableRecord:
        return msgspec.structs.replace(record, tags=with_tags(record.tags, tags))

    await _changed(context, name, change)
    return b""


async def untag_resource(context: Context, document: dict[str, Any]) -> bytes:
    name = _resource(document)
    keys = document["TagKeys"]
    if not keys:
        raise validation("Atleast one Tag Key needs to be provided as Input.")

    def change(record: TableRecord) -> TableRecord:
        left = {key: value for key, value in record.tags.items() if key not in keys}
        return msgspec.structs.replace(record, tags=left)

    await _changed(context, name, change)
    return b""


async def list_tags_of_resource(context: Context, document: dict[str, Any]) -> bytes:
    record = await _record(context, _resource(document))
    return encode({"Tags": [{"Key": k, "Value": v} for k, v in record.tags.items()]})


async def describe_limits(_context: Context, _document: dict[str, Any]) -> bytes:
    """AWS's defaults: nothing here is bounded by account."""
    return encode(
        {
            "AccountMaxReadCapacityUnits": 80_000,
            "AccountMaxWriteCapacityUnits": 80_000,
            "TableMaxReadCapacityUnits": 40_000,
            "TableMaxWriteCapacityUnits": 40_000,
        }
    )


async def describe_endpoints(context: Context, _document: dict[str, Any]) -> bytes:
    return encode({"Endpoints": [{"Address": context.address, "CachePeriodInMinutes": 1440}]})


def _resource(document: dict[str, Any]) -> str:
    """The name of the table whose ARN is given."""
    arn: str = document["ResourceArn"]
    if not arn.startswith("arn:"):
        raise validation(f"{INVALID}ARNs must start with 'arn:': {arn}")
    _, found, name = arn.rpartition(":table/")
    if not found:
        raise validation(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
    if "/" in name:
        raise validation(
            f"{INVALID}Invalid resource arn provided, only table or stream is accepted. "
            f"Provided resource arn: {arn}"
        )
    return name


async def _record(context: Context, name: str) -> TableRecord:
    try:
        return await context.catalog.describe(name)
    except TableNotFound:
        raise table_not_found(name) from None


async def _changed(context: Context, name: str, change: Any) -> TableRecord:
    try:
        return await context.catalog.change(name, change)
    except TableNotFound:
        raise table_not_found(name) from None


def _require_serving(record: TableRecord) -> None:
    if record.deleting:
        raise DynamoDBError(
            "ResourceInUseException",
            f"Attempt to change a resource which is still in use: Table is being deleted: "
            f"{record.name}",
        )


def _status(record: TableRecord) -> str:
    return "DELETING" if record.deleting else "ACTIVE"
