"""Every operation of DynamoDB and of DynamoDB Streams: served, or refused by name.

The table is compared with botocore's service models by a test, so that an operation that AWS adds
is noticed, and one that is not served answers with its name, never a wrong success.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import DynamoDBError, unsupported
from trilith.dynamodb.operations import (
    batches,
    items,
    pages,
    streams,
    tables,
    time_to_live,
    transactions,
    unset_features,
)

Handler = Callable[[Context, dict[str, Any]], Awaitable[bytes]]

TARGET_PREFIX = "DynamoDB_20120810."
STREAMS_PREFIX = "DynamoDBStreams_20120810."

SERVED: dict[str, Handler] = {
    "BatchGetItem": batches.batch_get_item,
    "BatchWriteItem": batches.batch_write_item,
    "CreateTable": tables.create_table,
    "DeleteItem": items.delete_item,
    "DeleteTable": tables.delete_table,
    "DescribeContinuousBackups": unset_features.describe_continuous_backups,
    "DescribeContributorInsights": unset_features.describe_contributor_insights,
    "DescribeEndpoints": tables.describe_endpoints,
    "DescribeGlobalTable": unset_features.describe_global_table,
    "DescribeKinesisStreamingDestination": unset_features.describe_kinesis_streaming_destination,
    "DescribeLimits": tables.describe_limits,
    "DescribeTable": tables.describe_table,
    "DescribeTimeToLive": time_to_live.describe_time_to_live,
    "GetItem": items.get_item,
    "ListBackups": unset_features.list_backups,
    "ListContributorInsights": unset_features.list_contributor_insights,
    "ListExports": unset_features.list_exports,
    "ListGlobalTables": unset_features.list_global_tables,
    "ListImports": unset_features.list_imports,
    "ListTables": tables.list_tables,
    "ListTagsOfResource": tables.list_tags_of_resource,
    "PutItem": items.put_item,
    "Query": pages.query,
    "Scan": pages.scan,
    "TagResource": tables.tag_resource,
    "TransactGetItems": transactions.transact_get_items,
    "TransactWriteItems": transactions.transact_write_items,
    "UntagResource": tables.untag_resource,
    "UpdateItem": items.update_item,
    "UpdateTable": tables.update_table,
    "UpdateTimeToLive": time_to_live.update_time_to_live,
}

SERVED_OF_STREAMS: dict[str, Handler] = {
    "DescribeStream": streams.describe_stream,
    "GetRecords": streams.get_records,
    "GetShardIterator": streams.get_shard_iterator,
    "ListStreams": streams.list_streams,
}

REFUSED = frozenset(
    {
        "BatchExecuteStatement",
        "CancelBulkOperation",
        "CreateBackup",
        "CreateGlobalTable",
        "DeleteBackup",
        "DeleteResourcePolicy",
        "DescribeBackup",
        "DescribeBulkOperation",
        "DescribeExport",
        "DescribeGlobalTableSettings",
        "DescribeImport",
        "DescribeTableReplicaAutoScaling",
        "DisableKinesisStreamingDestination",
        "EnableKinesisStreamingDestination",
        "ExecuteStatement",
        "ExecuteTransaction",
        "ExportTableToPointInTime",
        "GetResourcePolicy",
        "ImportTable",
        "ListBulkOperations",
        "PutResourcePolicy",
        "RestoreTableFromBackup",
        "RestoreTableToPointInTime",
        "SearchVectors",
        "StartBulkPutItems",
        "UpdateContinuousBackups",
        "UpdateContributorInsights",
        "UpdateGlobalTable",
        "UpdateGlobalTableSettings",
        "UpdateKinesisStreamingDestination",
        "UpdateTableReplicaAutoScaling",
    }
)
_BY_TARGET = {
    **{(TARGET_PREFIX + name).encode(): name for name in (*SERVED, *REFUSED)},
    **{(STREAMS_PREFIX + name).encode(): name for name in SERVED_OF_STREAMS},
}


def operation_of(target: bytes) -> str:
    """The operation that X-Amz-Target names. Raises UnknownOperationException."""
    operation = _BY_TARGET.get(target)
    if operation is None:
        raise DynamoDBError("UnknownOperationException", "")
    return operation


def handler_of(operation: str) -> Handler:
    """Raises UnknownOperationException with the operation's name when it is not served."""
    handler = SERVED.get(operation) or SERVED_OF_STREAMS.get(operation)
    if handler is None:
        raise unsupported(operation)
    return handler
