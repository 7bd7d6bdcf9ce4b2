"""The requests of DynamoDB Streams: botocore's service model as a table, as request_shapes.py."""

from __future__ import annotations

from trilith.dynamodb.shapes import SHAPES, String, Structure, Timestamp

INPUTS = {
    "DescribeStream": "DescribeStreamInput",
    "GetRecords": "GetRecordsInput",
    "GetShardIterator": "GetShardIteratorInput",
    "ListStreams": "ListStreamsInput",
}

SHAPES.update(
    {
        "DescribeStreamInput": Structure(
            {
                "StreamArn": "StreamArn",
                "Limit": "PositiveIntegerObject",
                "ExclusiveStartShardId": "ShardId",
                "ShardFilter": "ShardFilter",
            },
            ("StreamArn",),
        ),
        "GetRecordsInput": Structure(
            {"ShardIterator": "ShardIterator", "Limit": "PositiveIntegerObject"},
            ("ShardIterator",),
        ),
        "GetShardIteratorInput": Structure(
            {
                "StreamArn": "StreamArn",
                "ShardId": "ShardId",
                "ShardIteratorType": "ShardIteratorType",
                "SequenceNumber": "SequenceNumber",
                "Timestamp": "Timestamp",
            },
            ("StreamArn", "ShardId", "ShardIteratorType"),
        ),
        "ListStreamsInput": Structure(
            {
                "TableName": "TableName",
                "Limit": "PositiveIntegerObject",
                "ExclusiveStartStreamArn": "StreamArn",
            }
        ),
        "SequenceNumber": String(least=21, most=40),
        "ShardFilter": Structure({"Type": "ShardFilterType", "ShardId": "ShardId"}),
        "ShardFilterType": String(one_of=("CHILD_SHARDS",)),
        "ShardId": String(least=28, most=65),
        "ShardIterator": String(least=1, most=2048),
        "ShardIteratorType": String(
            one_of=(
                "TRIM_HORIZON",
                "LATEST",
                "AT_SEQUENCE_NUMBER",
                "AFTER_SEQUENCE_NUMBER",
                "AT_TIMESTAMP",
            )
        ),
        "StreamArn": String(least=37, most=1024),
        "Timestamp": Timestamp(),
    }
)
