"""DynamoDB Streams on the wire: settings, descriptions, iterators, records."""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.local_tables import LocalTables

from trilith.dynamodb.errors import DynamoDBError
from trilith.dynamodb.operations.streams import Iterator, iterator_text, parse_iterator
from trilith.runtime.clock import SystemClock
from trilith.tables import layout
from trilith.tables.layout import TABLES_KEYSPACE

from .local_app import LocalApp

KEYS: dict[str, Any] = {
    "TableName": "people",
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "N"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
ANN = {"pk": {"S": "ann"}, "sk": {"N": "1"}}
VIEWS = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")


def spec(view: str = "NEW_AND_OLD_IMAGES") -> dict[str, Any]:
    return {"StreamEnabled": True, "StreamViewType": view}


def streaming(view: str = "NEW_AND_OLD_IMAGES") -> LocalApp:
    app = LocalApp()
    app.ok("CreateTable", **KEYS, StreamSpecification=spec(view))
    return app


def arn_of(app: LocalApp) -> str:
    arn: str = app.ok("DescribeTable", TableName="people")["Table"]["LatestStreamArn"]
    return arn


def described(app: LocalApp, arn: str, **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = app.ok("DescribeStream", StreamArn=arn, **members)
    return found["StreamDescription"]  # type: ignore[no-any-return]


def iterator(app: LocalApp, arn: str, shard: str, kind: str, **members: Any) -> str:
    answer = app.ok(
        "GetShardIterator", StreamArn=arn, ShardId=shard, ShardIteratorType=kind, **members
    )
    text: str = answer["ShardIterator"]
    return text


def records_of(app: LocalApp, arn: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for shard in described(app, arn)["Shards"]:
        at: str | None = iterator(app, arn, shard["ShardId"], "TRIM_HORIZON")
        while at is not None:
            page = app.ok("GetRecords", ShardIterator=at, Limit=2)
            found += page["Records"]
            at = page.get("NextShardIterator")
            if not page["Records"]:
                break
    return found


def home_of(app: LocalApp, arn: str) -> str:
    """The one shard that holds records."""

    def holds_any(name: str) -> bool:
        at = iterator(app, arn, name, "TRIM_HORIZON")
        return bool(app.ok("GetRecords", ShardIterator=at)["Records"])

    (home,) = (one["ShardId"] for one in described(app, arn)["Shards"] if holds_any(one["ShardId"]))
    return home


def refusal(app: LocalApp, operation: str, **members: Any) -> tuple[str, str]:
    reply = app.call(operation, **members)
    assert reply.status == 400
    return reply.error, reply.json()["message"]


def write(app: LocalApp, age: str) -> None:
    app.ok("PutItem", TableName="people", Item={**ANN, "age": {"N": age}})


@pytest.mark.parametrize("view", VIEWS)
def test_records_show_what_their_view_type_promises(view: str) -> None:
    app = streaming(view)
    write(app, "7")
    write(app, "7")
    write(app, "8")
    app.ok("DeleteItem", TableName="people", Key=ANN)
    records = records_of(app, arn_of(app))
    assert [one["eventName"] for one in records] == ["INSERT", "MODIFY", "REMOVE"]
    seven, eight = ({**ANN, "age": {"N": age}} for age in "78")
    images = [(None, seven), (seven, eight), (eight, None)]
    for record, (old, new) in zip(records, images, strict=True):
        change = record["dynamodb"]
        assert change["Keys"] == ANN
        assert change["StreamViewType"] == view
        assert change.get("OldImage") == (old if "OLD" in view else None)
        assert change.get("NewImage") == (new if "NEW" in view else None)
        shown = [ANN, *(one for one in (change.get("OldImage"), change.get("NewImage")) if one)]
        assert change["SizeBytes"] == sum(9 if one == ANN else 14 for one in shown)
        assert re.fullmatch(r"[0-9]{21,40}", change["SequenceNumber"])
        assert (record["eventVersion"], record["eventSource"]) == ("1.1", "aws:dynamodb")
        assert record["awsRegion"] == "us-east-1"
        assert "userIdentity" not in record
    numbers = [int(one["dynamodb"]["SequenceNumber"]) for one in records]
    assert numbers == sorted(set(numbers))
    assert len({one["eventID"] for one in records}) == 3


def test_each_change_of_a_transaction_has_a_record_of_its_own() -> None:
    app = streaming()
    puts = [
        {"Put": {"TableName": "people", "Item": {"pk": {"S": "ann"}, "sk": {"N": str(sk)}}}}
        for sk in range(20)
    ]
    app.ok("TransactWriteItems", TransactItems=puts)
    app.ok("TransactWriteItems", TransactItems=puts)  # which changes nothing
    records = records_of(app, arn_of(app))
    assert sorted(int(one["dynamodb"]["Keys"]["sk"]["N"]) for one in records) == list(range(20))
    assert len({one["dynamodb"]["SequenceNumber"] for one in records}) == 20


def test_a_table_names_its_latest_stream_even_when_it_has_ended() -> None:
    app = streaming()
    table = app.ok("DescribeTable", TableName="people")["Table"]
    assert table["StreamSpecification"] == spec()
    assert table["LatestStreamArn"] == f"{table['TableArn']}/stream/{table['LatestStreamLabel']}"
    app.ok("UpdateTable", TableName="people", StreamSpecification={"StreamEnabled": False})
    ended = app.ok("DescribeTable", TableName="people")["Table"]
    assert "StreamSpecification" not in ended
    assert ended["LatestStreamArn"] == table["LatestStreamArn"]


def test_an_ended_stream_is_read_to_its_end_beside_the_next_one() -> None:
    app = streaming()
    first = arn_of(app)
    write(app, "1")
    app.ok("UpdateTable", TableName="people", StreamSpecification={"StreamEnabled": False})
    write(app, "2")
    app.ok("UpdateTable", TableName="people", StreamSpecification=spec("NEW_IMAGE"))
    second = arn_of(app)
    write(app, "3")
    assert first != second
    ages = [
        [one["dynamodb"]["NewImage"]["age"]["N"] for one in records_of(app, arn)]
        for arn in (first, second)
    ]
    assert ages == [["1"], ["3"]]
    ended = described(app, first)
    assert (ended["StreamStatus"], ended["StreamViewType"]) == ("DISABLED", "NEW_AND_OLD_IMAGES")
    for shard in ended["Shards"]:
        assert "EndingSequenceNumber" in shard["SequenceNumberRange"]
        at = iterator(app, first, shard["ShardId"], "TRIM_HORIZON")
        assert "NextShardIterator" not in app.ok("GetRecords", ShardIterator=at)
    arns = [one["StreamArn"] for one in app.ok("ListStreams", TableName="people")["Streams"]]
    assert arns == [first, second]


@pytest.mark.parametrize(
    ("before", "given", "message"),
    [
        (spec(), spec(), "Table already has an enabled stream: TableName: people"),
        (spec(), spec("KEYS_ONLY"), "Table already has an enabled stream: TableName: people"),
        (None, {"StreamEnabled": False}, "Table has no stream to disable: TableName: people"),
        (
            None,
            {"StreamEnabled": True},
            (
                "One or more parameter values were invalid: If stream is being enabled then "
                "UpdateViewType is required"
            ),
        ),
        (
            spec(),
            {"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"},
            (
                "One or more parameter values were invalid: If stream is being disabled, then "
                "UpdateViewType must not be specified"
            ),
        ),
    ],
)
def test_a_change_of_the_stream_that_cannot_be_is_refused(
    before: dict[str, Any] | None, given: dict[str, Any], message: str
) -> None:
    app = LocalApp()
    app.ok("CreateTable", **KEYS, **({} if before is None else {"StreamSpecification": before}))
    found = refusal(app, "UpdateTable", TableName="people", StreamSpecification=given)
    assert found == ("ValidationException", message)


def test_a_stream_that_is_not_there_is_not_found() -> None:
    app = streaming()
    arn = arn_of(app)
    for other in (arn[:-1] + "x", arn.replace("people", "nobody")):
        assert refusal(app, "DescribeStream", StreamArn=other) == (
            "ResourceNotFoundException",
            f"Requested resource not found: Stream: {other} not found",
        )
    shard = f"shardId-{7:020d}-aaaaaaaa"
    members = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "LATEST"}
    assert refusal(app, "GetShardIterator", **members)[0] == "ResourceNotFoundException"
    junk = "arn:aws:dynamodb:us-east-1:000000000001:table/people"
    assert refusal(app, "DescribeStream", StreamArn=junk)[0] == "ValidationException"


@pytest.mark.parametrize("change", [lambda one: one[:-4], lambda one: one + "=", lambda _: "x"])
def test_an_iterator_that_we_did_not_make_is_refused(change: Any) -> None:
    app = streaming()
    arn = arn_of(app)
    at = iterator(app, arn, described(app, arn)["Shards"][0]["ShardId"], "LATEST")
    found = refusal(app, "GetRecords", ShardIterator=change(at))
    assert found == ("ValidationException", "Invalid ShardIterator")


@given(st.text(min_size=1, max_size=60), st.binary(max_size=40))
def test_no_text_is_taken_for_an_iterator(text: str, raw: bytes) -> None:
    for one in (text, f"arn|1|{text}", f"arn|1|{base64.b64encode(raw).decode()}"):
        with pytest.raises(DynamoDBError, match="Invalid ShardIterator"):
            parse_iterator(one)


class LaterClock(SystemClock):
    def __init__(self, by_ms: int) -> None:
        self._by_ms = by_ms

    def wall_ms(self) -> int:
        return super().wall_ms() + self._by_ms


def test_an_iterator_is_good_for_a_quarter_of_an_hour() -> None:
    app = streaming()
    arn = arn_of(app)
    at = iterator(app, arn, described(app, arn)["Shards"][0]["ShardId"], "LATEST")
    context = app.app._context
    app.app._context = msgspec.structs.replace(context, clock=LaterClock(14 * 60_000))
    assert app.call("GetRecords", ShardIterator=at).status == 200
    app.app._context = msgspec.structs.replace(context, clock=LaterClock(16 * 60_000))
    assert refusal(app, "GetRecords", ShardIterator=at)[0] == "ExpiredIteratorException"


def test_iterators_begin_where_their_type_says() -> None:
    app = streaming()
    arn = arn_of(app)
    for age in "12":
        write(app, age)
    shard = home_of(app, arn)
    latest = iterator(app, arn, shard, "LATEST")
    write(app, "3")
    numbers = [one["dynamodb"]["SequenceNumber"] for one in records_of(app, arn)]

    def ages(at: str) -> list[str]:
        page = app.ok("GetRecords", ShardIterator=at)
        return [one["dynamodb"]["NewImage"]["age"]["N"] for one in page["Records"]]

    second = {"SequenceNumber": numbers[1]}
    assert ages(latest) == ["3"]
    assert ages(iterator(app, arn, shard, "TRIM_HORIZON")) == ["1", "2", "3"]
    assert ages(iterator(app, arn, shard, "AT_SEQUENCE_NUMBER", **second)) == ["2", "3"]
    assert ages(iterator(app, arn, shard, "AFTER_SEQUENCE_NUMBER", **second)) == ["3"]
    assert ages(iterator(app, arn, shard, "AT_TIMESTAMP", Timestamp=1)) == ["1", "2", "3"]
    assert ages(iterator(app, arn, shard, "AT_TIMESTAMP", Timestamp=4e9)) == []
    members = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "AT_SEQUENCE_NUMBER"}
    for wrong in ({}, {"SequenceNumber": "0" * 21}, {"SequenceNumber": "x" * 21}):
        assert refusal(app, "GetShardIterator", **members, **wrong)[0] == "ValidationException"
    for kind in ("TRIM_HORIZON", "LATEST"):
        members["ShardIteratorType"] = kind
        assert refusal(app, "GetShardIterator", **members, **second)[0] == "ValidationException"


@pytest.mark.parametrize("text", ["9" * 21, "9" * 40, str(10**20 + (1 << 63))])
@pytest.mark.parametrize("kind", ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"])
def test_a_sequence_number_that_no_change_can_have_is_refused(kind: str, text: str) -> None:
    app = streaming()
    arn = arn_of(app)
    reply = app.call(
        "GetShardIterator",
        StreamArn=arn,
        ShardId=described(app, arn)["Shards"][0]["ShardId"],
        ShardIteratorType=kind,
        SequenceNumber=text,
    )
    assert (reply.status, reply.error) == (400, "ValidationException")
    assert "is not in the range of the shard" in reply.json()["message"]


@pytest.mark.parametrize(
    ("time_s", "is_before"), [(-1, True), (-1e308, True), (1e20, False), (1e308, False)]
)
def test_a_time_beyond_all_time_is_its_first_or_its_last(time_s: float, is_before: bool) -> None:
    app = streaming()
    arn = arn_of(app)
    app.ok("PutItem", TableName="people", Item=ANN)
    found = []
    for shard in described(app, arn)["Shards"]:
        at = iterator(app, arn, shard["ShardId"], "AT_TIMESTAMP", Timestamp=time_s)
        found += app.ok("GetRecords", ShardIterator=at)["Records"]
    assert bool(found) is is_before


@pytest.mark.parametrize("after", [-2, 1 << 63, (1 << 64) - 1])
def test_an_iterator_behind_no_possible_change_is_refused(after: int) -> None:
    app = streaming()
    arn = arn_of(app)
    shard = described(app, arn)["Shards"][0]["ShardId"]
    forged = iterator_text(arn, Iterator(shard, after, app.context.clock.wall_ms()))
    reply = app.call("GetRecords", ShardIterator=forged)
    assert (reply.error, reply.json()["message"]) == (
        "ValidationException",
        "Invalid ShardIterator",
    )


def test_what_was_trimmed_cannot_be_asked_for() -> None:
    app = streaming()
    arn = arn_of(app)
    write(app, "0")
    shard = home_of(app, arn)
    at = iterator(app, arn, shard, "TRIM_HORIZON")
    write(app, "1")
    write(app, "2")
    number = records_of(app, arn)[0]["dynamodb"]["SequenceNumber"]
    trim_all(app.tables)
    assert refusal(app, "GetRecords", ShardIterator=at)[0] == "TrimmedDataAccessException"
    members = {"StreamArn": arn, "ShardId": shard, "SequenceNumber": number}
    kind = "AT_SEQUENCE_NUMBER"
    refused = refusal(app, "GetShardIterator", ShardIteratorType=kind, **members)
    assert refused[0] == "TrimmedDataAccessException"
    assert records_of(app, arn) == []
    write(app, "3")
    assert len(records_of(app, arn)) == 1


def trim_all(tables: LocalTables) -> None:
    from trilith.tables.changes import SHARD_RECORD
    from trilith.tables.commands import TrimChanges

    for raw in tables.records(layout.SHARD, TABLES_KEYSPACE).values():
        shard = SHARD_RECORD.decode(raw)
        command = TrimChanges(shard.start, shard.table_id, 0, layout.SEQUENCE_MAX, 1000)
        tables.run(TABLES_KEYSPACE, shard.start, command)


def test_shards_follow_a_split_and_name_their_parent() -> None:
    app = streaming()
    arn = arn_of(app)
    write(app, "1")
    parent = home_of(app, arn)
    others = {one["ShardId"] for one in described(app, arn)["Shards"]} - {parent}
    table_id = next(iter(app.tables.records(layout.ITEM, TABLES_KEYSPACE)))[1:17]
    starts = app.tables.partition_starts(TABLES_KEYSPACE, b"", layout.ABOVE_ALL)
    cut = layout.stem_of(table_id, {"S": "ann"})
    app.tables.cut(TABLES_KEYSPACE, [*starts[1:], cut])
    write(app, "2")
    shards = described(app, arn)["Shards"]
    by_id = {one["ShardId"]: one for one in shards if one["ShardId"] not in others}
    assert "EndingSequenceNumber" in by_id.pop(parent)["SequenceNumberRange"]
    assert [one["ParentShardId"] for one in by_id.values()] == [parent, parent]
    filtered = described(app, arn, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": parent})
    assert {one["ShardId"] for one in filtered["Shards"]} == set(by_id)
    ages = [one["dynamodb"]["NewImage"]["age"]["N"] for one in records_of(app, arn)]
    assert ages == ["1", "2"]
    page = described(app, arn, Limit=1)
    assert page["LastEvaluatedShardId"] == page["Shards"][0]["ShardId"]
    rest = described(app, arn, ExclusiveStartShardId=page["LastEvaluatedShardId"])["Shards"]
    assert [*page["Shards"], *rest] == shards


def test_streams_are_listed_in_pages() -> None:
    app = LocalApp()
    for name in ("aaa", "bbb", "ccc"):
        app.ok("CreateTable", **{**KEYS, "TableName": name}, StreamSpecification=spec())
    app.ok("CreateTable", **{**KEYS, "TableName": "bbc"})
    page = app.ok("ListStreams", Limit=2)
    assert [one["TableName"] for one in page["Streams"]] == ["aaa", "bbb"]
    rest = app.ok("ListStreams", ExclusiveStartStreamArn=page["LastEvaluatedStreamArn"])
    assert [one["TableName"] for one in rest["Streams"]] == ["ccc"]
    assert "LastEvaluatedStreamArn" not in rest
    assert app.ok("ListStreams", TableName="nobody") == {"Streams": []}


@pytest.mark.parametrize(
    ("operation", "most"), [("ListStreams", 100), ("DescribeStream", 100), ("GetRecords", 1000)]
)
def test_limits_are_bounded(operation: str, most: int) -> None:
    app = streaming()
    arn = arn_of(app)
    members = {
        "ListStreams": {},
        "DescribeStream": {"StreamArn": arn},
        "GetRecords": {"ShardIterator": f"{arn}|1|AAAA"},
    }[operation]
    refused = refusal(app, operation, **members, Limit=most + 1)
    assert refused[0] == "ValidationException"
    assert str(most) in refused[1]
