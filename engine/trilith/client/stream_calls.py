"""Requests of the Streams service, for both clients."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from trilith.client import types
from trilith.client.rpc import Call, Rpc, rpc_of
from trilith.client.values import item_of
from trilith.wire.v1 import streams_pb2 as wire

Start = str | datetime  # "oldest", "latest", or a time
_KINDS = {
    wire.CHANGE_KIND_INSERT: "INSERT",
    wire.CHANGE_KIND_MODIFY: "MODIFY",
    wire.CHANGE_KIND_REMOVE: "REMOVE",
}
_STARTS = {"oldest": wire.SHARD_START_OLDEST, "latest": wire.SHARD_START_LATEST}


def _rpc(name: str) -> Rpc:
    return rpc_of(wire.DESCRIPTOR, "Streams", name)


_DESCRIBE = _rpc("DescribeStream")
_POSITION = _rpc("GetShardPosition")
_RECORDS = _rpc("GetRecords")


class ShardInfo(NamedTuple):
    """A shard; `parent` empty where none is kept."""

    name: str
    parent: str
    is_open: bool


class StreamPage(NamedTuple):
    """Shards of a stream, the oldest first, and whether it goes on; `next_after` continues them."""

    shards: list[ShardInfo]
    is_running: bool
    next_after: str | None


class ShardPage(NamedTuple):
    """Changes of a shard, the position behind them, and whether that is the shard's end."""

    changes: list[types.Change]
    after: str
    is_end: bool


def require_start(start: Start) -> Start:
    """Raises ValueError."""
    if isinstance(start, datetime):
        if start.tzinfo is None:
            raise ValueError("a time needs a time zone: datetime.now(UTC) has one")
    elif start not in _STARTS:
        raise ValueError(f'a stream is read from "oldest", "latest" or a time, not {start!r}')
    return start


def describe_stream(arn: str, after: str) -> Call[StreamPage]:
    def parse(answer: wire.StreamDescription) -> StreamPage:
        shards = [ShardInfo(one.name, one.parent, not one.last) for one in answer.shards]
        return StreamPage(shards, answer.status == "ENABLED", answer.next_after or None)

    request = wire.DescribeStreamRequest(arn=arn, after=after)
    return Call(_DESCRIBE, request, parse, repeatable=True)


def shard_position(arn: str, shard: str, start: Start) -> Call[str]:
    request = wire.GetShardPositionRequest(arn=arn, shard=shard)
    if isinstance(start, datetime):
        request.start = wire.SHARD_START_TIME
        request.time_ms = round(start.timestamp() * 1000)
    else:
        request.start = _STARTS[start]
    return Call(_POSITION, request, lambda answer: str(answer.after), repeatable=True)


def get_records(arn: str, shard: str, after: str) -> Call[ShardPage]:
    def parse(answer: wire.GetRecordsResponse) -> ShardPage:
        return ShardPage(
            [_change(shard, one) for one in answer.changes], answer.after, answer.is_end
        )

    request = wire.GetRecordsRequest(arn=arn, shard=shard, after=after)
    return Call(_RECORDS, request, parse, repeatable=True)


def _change(shard: str, message: wire.Change) -> types.Change:
    return types.Change(
        _KINDS.get(message.kind, ""),
        item_of(message.keys),
        item_of(message.old_image) if message.HasField("old_image") else None,
        item_of(message.new_image) if message.HasField("new_image") else None,
        datetime.fromtimestamp(message.time_s, UTC),
        message.sequence,
        shard,
        message.id,
        message.is_expiry,
    )
