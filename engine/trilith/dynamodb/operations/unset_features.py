"""Operations that ask for what no table has here: backups, global tables, exports, ...

Programs ask for these of every table (Terraform, consoles, inventories). None of it can be set: the
operations that would are refused by name. So the answer is always AWS's for a table without.
"""

from __future__ import annotations

from typing import Any

from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import DynamoDBError, table_not_found
from trilith.dynamodb.wire import encode
from trilith.errors import TableNotFound


async def describe_continuous_backups(context: Context, document: dict[str, Any]) -> bytes:
    name: str = document["TableName"]
    try:
        await context.catalog.describe(name)
    except TableNotFound:
        raise DynamoDBError("TableNotFoundException", f"Table not found: {name}") from None
    recovery = {"PointInTimeRecoveryStatus": "DISABLED"}
    description = {
        "ContinuousBackupsStatus": "DISABLED",
        "PointInTimeRecoveryDescription": recovery,
    }
    return encode({"ContinuousBackupsDescription": description})


async def describe_contributor_insights(context: Context, document: dict[str, Any]) -> bytes:
    await _require_table(context, document["TableName"])
    return encode({**document, "ContributorInsightsStatus": "DISABLED"})


async def describe_kinesis_streaming_destination(
    context: Context, document: dict[str, Any]
) -> bytes:
    await _require_table(context, document["TableName"])
    return encode({"TableName": document["TableName"], "KinesisDataStreamDestinations": []})


async def describe_global_table(_context: Context, document: dict[str, Any]) -> bytes:
    name: str = document["GlobalTableName"]
    message = f"Global table with name '{name}' does not exist."
    raise DynamoDBError("GlobalTableNotFoundException", message)


async def list_global_tables(_context: Context, _document: dict[str, Any]) -> bytes:
    return encode({"GlobalTables": []})


async def list_backups(_context: Context, _document: dict[str, Any]) -> bytes:
    return encode({"BackupSummaries": []})


async def list_exports(_context: Context, _document: dict[str, Any]) -> bytes:
    return encode({"ExportSummaries": []})


async def list_imports(_context: Context, _document: dict[str, Any]) -> bytes:
    return encode({"ImportSummaryList": []})


async def list_contributor_insights(_context: Context, _document: dict[str, Any]) -> bytes:
    return encode({"ContributorInsightsSummaries": []})


async def _require_table(context: Context, name: str) -> None:
    try:
        await context.catalog.describe(name)
    except TableNotFound:
        raise table_not_found(name) from None
