"""The Streams service: wire messages to DynamoDB Streams' operations, and back.

A reader's place in a shard is a sequence number here, which does not run out as iterators do.
"""

from __future__ import annotations

from typing import Any

from trilith import errors
from trilith.dynamodb.errors import DynamoDBError
from trilith.dynamodb.operations.streams import Iterator, iterator_text, parse_iterator
from trilith.edge.grpc_call import Call
from trilith.edge.grpc_table_descriptions import VIEW_NUMBERS
from trilith.edge.grpc_tables import TablesService, domain_error
from trilith.edge.grpc_values import Document, fill_given, fill_item
from trilith.errors import InvalidRequest, TrilithError
from trilith.tables.streams import sequence_of, sequence_text
from trilith.wire.v1 import streams_pb2 as wire

_STARTS = {
    wire.SHARD_START_OLDEST: "TRIM_HORIZON",
    wire.SHARD_START_LATEST: "LATEST",
    wire.SHARD_START_TIME: "AT_TIMESTAMP",
}
_KINDS = {
    "INSERT": wire.CHANGE_KIND_INSERT,
    "MODIFY": wire.CHANGE_KIND_MODIFY,
    "REMOVE": wire.CHANGE_KIND_REMOVE,
}
_ERRORS: dict[str, type[TrilithError]] = {
    "ResourceNotFoundException": errors.StreamNotFound,
    "TrimmedDataAccessException": errors.ChangesTrimmed,
}
_SEQUENCES = range(-1, 1 << 63)


class StreamsService:
    """`tables` runs DynamoDB's operations."""

    def __init__(self, tables: TablesService) -> None:
        self._tables = tables

    async def _ask(self, operation: str, document: Document) -> Any:
        try:
            return await self._tables.run(operation, document)
        except DynamoDBError as error:
            kind = _ERRORS.get(error.name)
            raise (domain_error(error) if kind is None else kind(error.message)) from None

    async def list_streams(
        self, call: Call, request: wire.ListStreamsRequest
    ) -> wire.ListStreamsResponse:
        document: Document = {}
        if request.table:
            call.resource = document["TableName"] = request.table
        if request.after:
            document["ExclusiveStartStreamArn"] = request.after
        if request.limit:
            document["Limit"] = request.limit
        answer = await self._ask("ListStreams", document)
        return wire.ListStreamsResponse(
            streams=[
                wire.Stream(arn=one["StreamArn"], table=one["TableName"], label=one["StreamLabel"])
                for one in answer["Streams"]
            ],
            next_after=answer.get("LastEvaluatedStreamArn", ""),
        )

    async def describe_stream(
        self, call: Call, request: wire.DescribeStreamRequest
    ) -> wire.StreamDescription:
        call.resource = request.arn
        document: Document = {"StreamArn": request.arn}
        if request.after:
            document["ExclusiveStartShardId"] = request.after
        if request.limit:
            document["Limit"] = request.limit
        found = (await self._ask("DescribeStream", document))["StreamDescription"]
        return wire.StreamDescription(
            arn=found["StreamArn"],
            table=found["TableName"],
            label=found["StreamLabel"],
            view=VIEW_NUMBERS[found["StreamViewType"]],
            status=found["StreamStatus"],
            shards=[
                wire.Shard(
                    name=one["ShardId"],
                    parent=one.get("ParentShardId", ""),
                    first=one["SequenceNumberRange"]["StartingSequenceNumber"],
                    last=one["SequenceNumberRange"].get("EndingSequenceNumber", ""),
                )
                for one in found["Shards"]
            ],
            next_after=found.get("LastEvaluatedShardId", ""),
        )

    async def get_shard_position(
        self, call: Call, request: wire.GetShardPositionRequest
    ) -> wire.ShardPosition:
        call.resource, call.key = request.arn, request.shard
        document: Document = {
            "StreamArn": request.arn,
            "ShardId": request.shard,
            "ShardIteratorType": _STARTS.get(request.start, str(request.start)),
        }
        if request.start == wire.SHARD_START_TIME:
            document["Timestamp"] = request.time_ms / 1000
        answer = await self._ask("GetShardIterator", document)
        _, iterator = parse_iterator(answer["ShardIterator"])
        return wire.ShardPosition(after=sequence_text(iterator.after))

    async def get_records(
        self, call: Call, request: wire.GetRecordsRequest
    ) -> wire.GetRecordsResponse:
        call.resource, call.key = request.arn, request.shard
        now_ms = self._tables.context.clock.wall_ms()
        place = Iterator(request.shard, _sequence(request.after), now_ms)
        document: Document = {"ShardIterator": iterator_text(request.arn, place)}
        if request.limit:
            document["Limit"] = request.limit
        answer = await self._ask("GetRecords", document)
        response = wire.GetRecordsResponse(
            after=request.after, is_end="NextShardIterator" not in answer
        )
        for record in answer["Records"]:
            _fill_change(response.changes.add(), record)
        if response.changes:
            response.after = response.changes[-1].sequence
        return response


def _sequence(text: str) -> int:
    """Raises InvalidRequest."""
    try:
        sequence = sequence_of(text)
    except ValueError:
        raise InvalidRequest("a position is a sequence number: see GetShardPosition") from None
    if sequence not in _SEQUENCES:
        raise InvalidRequest(f"{text} is no sequence number of a stream")
    return sequence


def _fill_change(message: wire.Change, record: Document) -> None:
    change = record["dynamodb"]
    message.id = record["eventID"]
    message.kind = _KINDS[record["eventName"]]
    message.sequence = change["SequenceNumber"]
    message.time_s = int(change["ApproximateCreationDateTime"])
    message.is_expiry = "userIdentity" in record
    fill_item(message.keys, change["Keys"])
    fill_given(message.old_image, change.get("OldImage"))
    fill_given(message.new_image, change.get("NewImage"))
