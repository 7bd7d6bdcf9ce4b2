"""DynamoDB Streams: ListStreams, DescribeStream, GetShardIterator, GetRecords.

A shard iterator is the stream's ARN, the shard's name, the sequence that it stands behind and when
it was made; it is good for ITERATOR_MS. A record can be read as soon as its write is acknowledged.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import msgspec
from blake3 import blake3

from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import TRIMMED, DynamoDBError, validation
from trilith.dynamodb.operations.stream_settings import stream_arn
from trilith.dynamodb.shapes import fault
from trilith.dynamodb.wire import encode
from trilith.errors import TableNotFound
from trilith.tables.changes import BY_TTL, Shard
from trilith.tables.definitions import Stream, TableRecord
from trilith.tables.layout import SEQUENCE_MAX
from trilith.tables.streams import StreamRecord, parent_of, sequence_of, sequence_text
from trilith.undecodable import UNDECODABLE

LIST_LIMIT_MAX = 100
RECORDS_MAX = 1000
RECORDS_BYTES_MAX = 1 << 20
TIME_S_MAX = 1 << 50
ITERATOR_MS = 15 * 60 * 1000
TTL_IDENTITY = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
_NAMES = ("INSERT", "MODIFY", "REMOVE")
_CHECK_SIZE = 8


class Iterator(msgspec.Struct, frozen=True, array_like=True):
    """Where a reader is: behind the sequence `after` of a shard."""

    shard: str
    after: Annotated[int, msgspec.Meta(ge=-1, le=SEQUENCE_MAX)]
    made_ms: int


class _Named(NamedTuple):
    record: TableRecord
    stream: Stream


_decode_iterator = msgspec.msgpack.Decoder(Iterator).decode


async def list_streams(context: Context, document: dict[str, Any]) -> bytes:
    limit = _limit(document, LIST_LIMIT_MAX)
    name: str | None = document.get("TableName")
    after = document.get("ExclusiveStartStreamArn")
    start = None if after is None else _parse_arn(context, after)
    found: list[dict[str, str]] = []
    if name is not None:
        await _list_of(context, name, start, found)
    else:
        await _list_all(context, start, limit, found)
    answer: dict[str, Any] = {"Streams": found[:limit]}
    if len(found) > limit:
        answer["LastEvaluatedStreamArn"] = found[limit - 1]["StreamArn"]
    return encode(answer)


async def _list_all(
    context: Context, start: tuple[str, str] | None, limit: int, found: list[dict[str, str]]
) -> None:
    """Of all tables in the order of their names, until there are more than `limit`."""
    after, more = "", True
    if start is not None:
        await _list_of(context, start[0], start, found)
        after = start[0]
    while more and len(found) <= limit:
        living, more_living = await context.catalog.list_names(after, LIST_LIMIT_MAX)
        deleted, more_deleted = await context.streams.ended.page(after, LIST_LIMIT_MAX)
        ended = sorted({record.name for record in deleted})
        # Names up to where both lists are known.
        pages = ((living, more_living), (ended, more_deleted))
        known = [names[-1] for names, goes_on in pages if goes_on]
        more = bool(known)
        for name in sorted({*living, *ended}):
            if not known or name <= min(known):
                await _list_of(context, name, start, found)
        after = min(known, default=after)


async def _list_of(
    context: Context, name: str, start: tuple[str, str] | None, found: list[dict[str, str]]
) -> None:
    """Of the table of that name, and of deleted ones that had it."""
    records, now_ms = await context.streams.ended.named(name), context.clock.wall_ms()
    with suppress(TableNotFound):
        records.append(await context.catalog.describe(name))
    streams = [one for record in records for one in context.streams.kept(record, now_ms)]
    found += [
        {
            "StreamArn": stream_arn(context, name, stream),
            "TableName": name,
            "StreamLabel": stream.label,
        }
        for stream in sorted(streams, key=lambda one: one.label)
        if start is None or (name, stream.label) > start
    ]


async def describe_stream(context: Context, document: dict[str, Any]) -> bytes:
    arn: str = document["StreamArn"]
    limit = _limit(document, LIST_LIMIT_MAX)
    wanted_parent = _child_filter(document)
    record, stream = await _stream(context, arn)
    after = document.get("ExclusiveStartShardId", "")
    shards = await context.streams.shards(record, stream)
    page: list[dict[str, Any]] = []
    for name, shard in shards.items():
        if name <= after:
            continue
        parent = parent_of(shard, shards.values())
        if wanted_parent is not None and parent != wanted_parent:
            continue
        page.append(_shard_description(name, shard, parent))
        if len(page) > limit:
            break
    description: dict[str, Any] = {
        "StreamArn": arn,
        "StreamLabel": stream.label,
        "StreamStatus": "DISABLED" if stream.ended_ms else "ENABLED",
        "StreamViewType": stream.view,
        "CreationRequestDateTime": stream.created_ms / 1000,
        "TableName": record.name,
        "KeySchema": [
            {"AttributeName": key.name, "KeyType": kind}
            for key, kind in ((record.partition, "HASH"), (record.sort, "RANGE"))
            if key is not None
        ],
        "Shards": page[:limit],
    }
    if len(page) > limit:
        description["LastEvaluatedShardId"] = page[limit - 1]["ShardId"]
    return encode({"StreamDescription": description})


def _child_filter(document: dict[str, Any]) -> str | None:
    """The name of the shard whose children are asked for."""
    given = document.get("ShardFilter")
    if given is None:
        return None
    if "Type" not in given or "ShardId" not in given:
        raise validation("ShardFilter must have a Type and a ShardId")
    name: str = given["ShardId"]
    return name


def _shard_description(name: str, shard: Shard, parent: str | None) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": sequence_text(shard.first)}
    if shard.last:
        numbers["EndingSequenceNumber"] = sequence_text(shard.last)
    description: dict[str, Any] = {"ShardId": name, "SequenceNumberRange": numbers}
    if parent is not None:
        description["ParentShardId"] = parent
    return description


async def get_shard_iterator(context: Context, document: dict[str, Any]) -> bytes:
    arn: str = document["StreamArn"]
    name: str = document["ShardId"]
    kind = document["ShardIteratorType"]
    wanted = _wanted_sequence(document, kind)
    record, stream = await _stream(context, arn)
    shard = await context.streams.find(record, stream, name)
    if shard is None:
        raise _no_shard(name, arn)
    now, at, last = await context.streams.locate(shard, _moment_ms(document))
    if now is None:
        raise _no_shard(name, arn)
    after = max(now.trimmed, now.first - 1)
    if kind == "LATEST":
        after = max(after, last)
    elif kind == "AT_TIMESTAMP":
        after = at - 1 if at else max(after, last)
    elif wanted is not None:
        if not now.first <= wanted <= (now.last or SEQUENCE_MAX):
            raise validation(
                f"The SequenceNumber {document['SequenceNumber']} is not in the range of the shard "
                f"{name}"
            )
        if wanted <= now.trimmed:
            raise DynamoDBError("TrimmedDataAccessException", TRIMMED)
        after = wanted - 1 if kind == "AT_SEQUENCE_NUMBER" else wanted
    place = Iterator(name, after, context.clock.wall_ms())
    return encode({"ShardIterator": iterator_text(arn, place)})


def _moment_ms(document: dict[str, Any]) -> int:
    """Seconds of any size, as milliseconds; beyond all time: its first or its last."""
    seconds: float = document.get("Timestamp", 0)
    return int(max(0, min(seconds, TIME_S_MAX)) * 1000)


def _wanted_sequence(document: dict[str, Any], kind: str) -> int | None:
    """The sequence to begin at or after, which two types want and the others refuse, as AWS."""
    text = document.get("SequenceNumber")
    if kind == "AT_TIMESTAMP" and "Timestamp" not in document:
        raise validation("Timestamp is required when ShardIteratorType is AT_TIMESTAMP")
    if kind not in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        if text is not None:
            raise validation(f"SequenceNumber is not allowed when ShardIteratorType is {kind}")
        return None
    if text is None:
        raise validation(f"SequenceNumber is required when ShardIteratorType is {kind}")
    try:
        return sequence_of(text)
    except ValueError:
        raise validation(f"Invalid SequenceNumber: {text}") from None


async def get_records(context: Context, document: dict[str, Any]) -> bytes:
    limit = _limit(document, RECORDS_MAX)
    arn, iterator = parse_iterator(document["ShardIterator"])
    age_ms = context.clock.wall_ms() - iterator.made_ms
    if age_ms > ITERATOR_MS:
        raise DynamoDBError(
            "ExpiredIteratorException",
            f"Iterator expired. It was made {age_ms} milliseconds ago, which is more than the "
            f"tolerated {ITERATOR_MS} milliseconds.",
        )
    record, stream = await _stream(context, arn)
    shard = await context.streams.find(record, stream, iterator.shard)
    if shard is None:
        raise DynamoDBError("TrimmedDataAccessException", TRIMMED)
    read = await context.streams.read(
        shard, iterator.after, limit=limit, bytes_max=RECORDS_BYTES_MAX
    )
    if read.shard is None or iterator.after < read.shard.trimmed:
        raise DynamoDBError("TrimmedDataAccessException", TRIMMED)
    opened = await context.streams.open(record, stream, shard, read)
    answer: dict[str, Any] = {
        "Records": [_record(context, stream, one) for one in opened],
    }
    if not (read.is_whole and read.shard.last):
        after = opened[-1].sequence if opened else iterator.after
        following = Iterator(iterator.shard, after, context.clock.wall_ms())
        answer["NextShardIterator"] = iterator_text(arn, following)
    return encode(answer)


def _record(context: Context, stream: Stream, one: StreamRecord) -> dict[str, Any]:
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": one.change.time_ms // 1000,
        "Keys": one.keys,
        "SequenceNumber": sequence_text(one.sequence),
        "SizeBytes": one.size,
        "StreamViewType": stream.view,
    }
    if one.new is not None:
        change["NewImage"] = one.new
    if one.old is not None:
        change["OldImage"] = one.old
    record: dict[str, Any] = {
        "eventID": one.event_id,
        "eventName": _NAMES[one.change.kind],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": context.region,
        "dynamodb": change,
    }
    if one.change.flags & BY_TTL:
        record["userIdentity"] = TTL_IDENTITY
    return record


# --- names ---------------------------------------------------------------------------------------


def _limit(document: dict[str, Any], most: int) -> int:
    limit: int = document.get("Limit", most)
    if limit > most:
        rule = f"Member must have value less than or equal to {most}"
        raise validation(f"1 validation error detected: {fault(limit, 'limit', rule)}")
    return limit


async def _stream(context: Context, arn: str) -> _Named:
    """Of the table that there is, or of a deleted one. Raises DynamoDBError."""
    name, label = _parse_arn(context, arn)
    with suppress(TableNotFound):
        named = _labelled(context, await context.catalog.describe(name), label)
        if named is not None:
            return named
    for record in await context.streams.ended.named(name):
        named = _labelled(context, record, label)
        if named is not None:
            return named
    raise _no_stream(arn)


def _labelled(context: Context, record: TableRecord, label: str) -> _Named | None:
    for stream in context.streams.kept(record, context.clock.wall_ms()):
        if stream.label == label:
            return _Named(record, stream)
    return None


def _parse_arn(context: Context, arn: str) -> tuple[str, str]:
    """Table name and label."""
    table, found, label = arn.partition("/stream/")
    if not found or ":table/" not in table or not table.startswith("arn:"):
        raise validation(f"Invalid StreamArn: {arn}")
    name = table.partition(":table/")[2]
    if table != context.arn(name):
        raise _no_stream(arn)
    return name, label


def _no_stream(arn: str) -> DynamoDBError:
    return DynamoDBError(
        "ResourceNotFoundException", f"Requested resource not found: Stream: {arn} not found"
    )


def _no_shard(name: str, arn: str) -> DynamoDBError:
    return DynamoDBError(
        "ResourceNotFoundException",
        f"Requested resource not found: Shard: {name} in Stream: {arn} not found",
    )


def iterator_text(arn: str, iterator: Iterator) -> str:
    raw = msgspec.msgpack.encode(iterator)
    signed = blake3(arn.encode() + raw).digest(_CHECK_SIZE) + raw
    return f"{arn}|1|{base64.b64encode(signed).decode()}"


def parse_iterator(text: str) -> tuple[str, Iterator]:
    """ARN and place. Raises ValidationException for what is none of ours, whatever it is."""
    arn, _, encoded = text.partition("|1|")
    try:
        signed = base64.b64decode(encoded, validate=True)
        raw = signed[_CHECK_SIZE:]
        if blake3(arn.encode() + raw).digest(_CHECK_SIZE) != signed[:_CHECK_SIZE]:
            raise validation("Invalid ShardIterator")
        return arn, _decode_iterator(raw)
    except (binascii.Error, ValueError, *UNDECODABLE):
        raise validation("Invalid ShardIterator") from None
