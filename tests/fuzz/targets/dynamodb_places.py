"""Where a DynamoDB reader goes on: shard iterators, sequence numbers, times, pagination keys.

Clients send back what they were given; these targets send back something else, that looks like it.
"""

from __future__ import annotations

import string
from typing import Any

from tests.dynamodb.local_app import LocalApp
from tests.fuzz.target import Choices, target
from tests.fuzz.targets.dynamodb_requests import begin, judge

from trilith.dynamodb.operations.streams import Iterator, iterator_text

SHARD_ITERATOR_TYPES = (
    "TRIM_HORIZON",
    "LATEST",
    "AT_SEQUENCE_NUMBER",
    "AFTER_SEQUENCE_NUMBER",
    "AT_TIMESTAMP",
)
# Around what sequences and times can be, and what a message can carry.
BIG = (0, 1, 1 << 31, 1 << 53, 1 << 63, 1 << 64, 10**20, 10**39)
TIMES = (0, 0.5, -1, 1_767_225_600, 1e15, 1e20, 1e308, -1e308, 1 << 70)
KINDS = ("S", "N", "B")
NAMES = ("p", "s", "g", "v", "")
LIMITS = (None, 1, 2)
PAGES_MAX = 20


def _number(choices: Choices) -> int:
    return choices.pick(BIG) + choices.integer(-600, 600)


def _edited(text: str, choices: Choices) -> str:
    """The text with up to three of its characters replaced, left out or doubled."""
    for _ in range(choices.integer(0, 3)):
        at = choices.integer(0, len(text))
        other = choices.pick((choices.text(2), choices.pick(string.printable), "", text[at:] * 2))
        text = text[:at] + other + text[at + 1 :]
    return text


def _ask(app: LocalApp, operation: str, document: dict[str, Any]) -> Any | None:
    """The answer; None for a refusal."""
    reply = app.call(operation, document)
    judge(operation, document, reply)
    return reply.json() if reply.status == 200 else None


@target(words=(b"shardId-", b"arn:aws:dynamodb:", b"/stream/", b"|1|", b"100000000000000000000"))
def dynamodb_stream_places(data: bytes) -> None:
    """Whatever place a reader names, it reads changes that were made, in order, or is refused."""
    choices, app = Choices(data), begin()
    arn = app.ok("ListStreams")["Streams"][0]["StreamArn"]
    shards = app.ok("DescribeStream", StreamArn=arn)["StreamDescription"]["Shards"]
    shard = choices.pick(shards)["ShardId"]
    if choices.flag():
        arn = _edited(arn, choices)
    if choices.flag():
        shard = _edited(shard, choices)
    _ask(app, "ListStreams", {"ExclusiveStartStreamArn": arn, "Limit": choices.integer(0, 3)})
    _ask(app, "DescribeStream", {"StreamArn": arn, "ExclusiveStartShardId": shard})
    document: dict[str, Any] = {
        "StreamArn": arn,
        "ShardId": shard,
        "ShardIteratorType": choices.pick(SHARD_ITERATOR_TYPES),
    }
    if choices.flag():
        document["SequenceNumber"] = str(10**20 + _number(choices))
    if choices.flag():
        document["Timestamp"] = choices.pick(TIMES)
    answer = _ask(app, "GetShardIterator", document)
    made_ms = app.context.clock.wall_ms() + choices.pick((0, -1, 1 << 62, -(1 << 62)))
    place = Iterator(shard, max(-(1 << 63), min(_number(choices), (1 << 64) - 1)), made_ms)
    forged = iterator_text(arn, place) if choices.flag() else choices.rest().decode("latin-1")
    given = [] if answer is None else [answer["ShardIterator"]]
    for text in (*given, *(_edited(one, choices) for one in given), forged):
        read = _ask(app, "GetRecords", {"ShardIterator": text})
        found = [] if read is None else [one["dynamodb"] for one in read["Records"]]
        assert len(found) <= 1, "one change was made"
        assert all(one["NewImage"] for one in found)


def _value(choices: Choices) -> dict[str, Any]:
    kind = choices.pick(KINDS)
    content = choices.pick(("a", "1", "AAE=", "", choices.text(4), "9" * 300, "-0.5e-130"))
    return {kind: content}


@target(words=(b"AAE=", b"\0", b"\xff"))
def dynamodb_pagination_keys(data: bytes) -> None:
    """Any key to go on behind is refused, or what follows is a part of what there is."""
    choices, app = Choices(data), begin()
    for number in range(choices.integer(0, 4)):
        item = {"p": {"S": "a"}, "s": {"N": str(number)}, "g": {"B": "AAE="}}
        app.ok("PutItem", TableName="things", Item=item)
    document: dict[str, Any] = {"TableName": "things"}
    index = choices.pick((None, "local", "global"))
    if index is not None:
        document["IndexName"] = index
    operation = "Scan"
    if choices.flag():
        operation, name = "Query", "g" if index == "global" else "p"
        value = {"B": "AAE="} if index == "global" else {"S": "a"}
        document["KeyConditions"] = {
            name: {"ComparisonOperator": "EQ", "AttributeValueList": [value]}
        }
        document["ScanIndexForward"] = choices.flag()
    elif choices.flag():
        document |= {"TotalSegments": 2, "Segment": choices.integer(0, 1)}
    whole = _ask(app, operation, document)
    assert whole is not None, document
    limit = choices.pick(LIMITS)
    if limit is not None:
        document["Limit"] = limit
    read: list[Any] = []
    for _ in range(PAGES_MAX):  # every page by its own key: together they are all, once
        page = _ask(app, operation, document)
        assert page is not None, document
        read += page["Items"]
        if "LastEvaluatedKey" not in page:
            break
        document["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    assert read == whole["Items"]
    while choices:
        key = dict(document.get("ExclusiveStartKey", {}))
        for _ in range(choices.integer(0, 4)):
            key[choices.pick(NAMES)] = _value(choices)
        for _ in range(choices.integer(0, 2)):
            key.pop(choices.pick(NAMES), None)
        page = _ask(app, operation, {**document, "ExclusiveStartKey": key})
        assert page is None or all(item in whole["Items"] for item in page["Items"])
