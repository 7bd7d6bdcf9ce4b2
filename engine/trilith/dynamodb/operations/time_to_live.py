"""UpdateTimeToLive and DescribeTimeToLive."""

from __future__ import annotations

from typing import Any

import msgspec

from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import DynamoDBError, table_not_found, validation
from trilith.dynamodb.wire import encode
from trilith.errors import TableNotFound
from trilith.tables.definitions import TableRecord

SETTLE_S = 2.0  # a small table is ENABLED, or DISABLED, when its update is answered


async def update_time_to_live(context: Context, document: dict[str, Any]) -> bytes:
    name: str = document["TableName"]
    given = document["TimeToLiveSpecification"]

    def change(record: TableRecord) -> TableRecord:
        _check(record, given)
        return msgspec.structs.replace(
            record,
            ttl_attribute=given["AttributeName"] if given["Enabled"] else "",
            ttl_changed_ms=max(context.clock.wall_ms(), record.ttl_changed_ms + 1),
            ttl_settled=False,
        )

    try:
        record = await context.catalog.change(name, change)
    except TableNotFound:
        raise table_not_found(name) from None
    await context.expirer.try_settle(record, SETTLE_S)
    return encode({"TimeToLiveSpecification": given})


def _check(record: TableRecord, given: dict[str, Any]) -> None:
    if record.deleting:
        raise DynamoDBError(
            "ResourceInUseException",
            f"Attempt to change a resource which is still in use: Table is being deleted: "
            f"{record.name}",
        )
    if not record.ttl_settled:
        raise validation("Time to live has been modified multiple times within a fixed interval")
    active = record.ttl_attribute
    if active and active != given["AttributeName"]:
        raise validation(
            f"TimeToLive is active on a different AttributeName: current AttributeName is {active}"
        )
    if bool(active) == given["Enabled"]:
        raise validation(f"TimeToLive is already {'enabled' if active else 'disabled'}")


async def describe_time_to_live(context: Context, document: dict[str, Any]) -> bytes:
    name: str = document["TableName"]
    try:
        record = await context.catalog.describe(name)
    except TableNotFound:
        raise table_not_found(name) from None
    is_on = bool(record.ttl_attribute)
    if record.ttl_settled:
        status = "ENABLED" if is_on else "DISABLED"
    else:
        status = "ENABLING" if is_on else "DISABLING"
    description = {"TimeToLiveStatus": status}
    if is_on:
        description["AttributeName"] = record.ttl_attribute
    return encode({"TimeToLiveDescription": description})
