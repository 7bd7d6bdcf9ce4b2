"""What a table's stream holds can be read for a day after the table was deleted, as on AWS."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from trilith.errors import OutcomeUnknown
from trilith.runtime.clock import SystemClock
from trilith.tables import layout
from trilith.tables.changes import ChangeLog
from trilith.tables.commands import CloseFeeds, DropFeeds, RemoveTable
from trilith.tables.ended import Ended
from trilith.tables.layout import (
    ABOVE_ALL,
    CHANGE,
    FED,
    ITEM,
    SHARD,
    SYSTEM_KEYSPACE,
    TABLE_ENDED,
    TABLE_NAME,
    TABLES_KEYSPACE,
)
from trilith.tables.service import Wanted

from .local_app import LocalApp
from .test_streams import (
    ANN,
    KEYS,
    arn_of,
    described,
    iterator,
    records_of,
    refusal,
    spec,
    streaming,
    write,
)

DAY_MS = 24 * 3600 * 1000
INDEXED: dict[str, Any] = {
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_age",
            "KeySchema": [{"AttributeName": "age", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "AttributeDefinitions": [
        *KEYS["AttributeDefinitions"],
        {"AttributeName": "age", "AttributeType": "N"},
    ],
}


class LaterClock(SystemClock):
    def __init__(self, by_ms: int) -> None:
        super().__init__()
        self._by_ms = by_ms

    def wall_ms(self) -> int:
        return super().wall_ms() + self._by_ms


def deleted() -> tuple[LocalApp, str]:
    """An application whose table was written to and deleted, and the stream's name."""
    app = streaming()
    arn = arn_of(app)
    for age in "12":
        write(app, age)
    app.ok("DeleteTable", TableName="people")
    assert app.call("DescribeTable", TableName="people").error == "ResourceNotFoundException"
    return app, arn


def ages(app: LocalApp, arn: str) -> list[str]:
    return [one["dynamodb"]["NewImage"]["age"]["N"] for one in records_of(app, arn)]


def listed(app: LocalApp, **members: Any) -> list[str]:
    return [one["StreamArn"] for one in app.ok("ListStreams", **members)["Streams"]]


def test_the_stream_of_a_deleted_table_is_read_to_its_end() -> None:
    app, arn = deleted()
    assert ages(app, arn) == ["1", "2"]
    found = described(app, arn)
    assert (found["StreamStatus"], found["TableName"]) == ("DISABLED", "people")
    assert found["KeySchema"] == KEYS["KeySchema"]
    for shard in found["Shards"]:
        assert "EndingSequenceNumber" in shard["SequenceNumberRange"]
        for kind in ("TRIM_HORIZON", "LATEST"):
            at = iterator(app, arn, shard["ShardId"], kind)
            assert "NextShardIterator" not in app.ok("GetRecords", ShardIterator=at)
    assert listed(app) == listed(app, TableName="people") == [arn]


def test_a_reader_in_the_middle_goes_on_over_the_deletion() -> None:
    app = streaming()
    arn = arn_of(app)
    write(app, "1")
    places = [
        iterator(app, arn, shard["ShardId"], "TRIM_HORIZON")
        for shard in described(app, arn)["Shards"]
    ]
    first = [app.ok("GetRecords", ShardIterator=at, Limit=1) for at in places]
    write(app, "2")
    app.ok("DeleteTable", TableName="people")
    seen = [record for page in first for record in page["Records"]]
    for page in first:
        following = app.ok("GetRecords", ShardIterator=page["NextShardIterator"])
        assert "NextShardIterator" not in following
        seen += following["Records"]
    assert [one["dynamodb"]["NewImage"]["age"]["N"] for one in seen] == ["1", "2"]


def test_the_deletion_of_a_table_is_no_change_of_its_items() -> None:
    app, arn = deleted()
    assert {one["eventName"] for one in records_of(app, arn)} == {"INSERT", "MODIFY"}
    assert app.tables.records(ITEM, TABLES_KEYSPACE) == {}


def test_a_new_table_of_the_name_shares_nothing_with_the_old_one() -> None:
    app, old = deleted()
    app.ok("CreateTable", **KEYS, StreamSpecification=spec("NEW_IMAGE"))
    new = arn_of(app)
    assert new != old
    assert app.ok("Scan", TableName="people")["Items"] == []
    write(app, "3")
    assert (ages(app, old), ages(app, new)) == (["1", "2"], ["3"])
    assert described(app, new)["StreamStatus"] == "ENABLED"
    assert listed(app) == listed(app, TableName="people") == sorted([old, new])
    shard = described(app, new)["Shards"][0]["ShardId"]
    members = {"StreamArn": old, "ShardId": shard, "ShardIteratorType": "LATEST"}
    assert refusal(app, "GetShardIterator", **members)[0] == "ResourceNotFoundException"


def test_a_new_table_has_another_stream_though_the_clock_stands_still() -> None:
    app = LocalApp()

    class Stopped(SystemClock):
        def wall_ms(self) -> int:
            return 1_700_000_000_000

    app.app._context = msgspec.structs.replace(app.app._context, clock=Stopped())
    arns = []
    for age in "123":
        app.ok("CreateTable", **KEYS, StreamSpecification=spec())
        arns.append(arn_of(app))
        write(app, age)
        app.ok("DeleteTable", TableName="people")
    assert len(set(arns)) == 3
    assert [ages(app, arn) for arn in arns] == [["1"], ["2"], ["3"]]


def test_streams_of_living_and_deleted_tables_are_listed_in_pages() -> None:
    app = LocalApp()
    for name in ("ccc", "aaa", "bbb", "ddd", "aaa"):
        app.ok("CreateTable", **{**KEYS, "TableName": name}, StreamSpecification=spec())
        if name != "ddd":
            app.ok("DeleteTable", TableName=name)
    whole = [(one["TableName"], one["StreamArn"]) for one in app.ok("ListStreams")["Streams"]]
    assert [name for name, _ in whole] == ["aaa", "aaa", "bbb", "ccc", "ddd"]
    seen: list[str] = []
    members: dict[str, Any] = {"Limit": 1}
    while True:
        page = app.ok("ListStreams", **members)
        seen += [one["StreamArn"] for one in page["Streams"]]
        if "LastEvaluatedStreamArn" not in page:
            break
        members["ExclusiveStartStreamArn"] = page["LastEvaluatedStreamArn"]
    assert seen == [arn for _, arn in whole]


def test_a_table_without_a_stream_leaves_nothing() -> None:
    app = LocalApp()
    app.ok("CreateTable", **KEYS)
    write(app, "1")
    app.ok("DeleteTable", TableName="people")
    assert listed(app) == []
    assert left(app) == {}
    assert app.tables.records(TABLE_ENDED, SYSTEM_KEYSPACE) == {}


def left(app: LocalApp) -> dict[int, Any]:
    """What there is in the partitions of tables, by family."""
    found = {
        family: app.tables.records(family, TABLES_KEYSPACE)
        for family in (ITEM, layout.GLOBAL, CHANGE, SHARD, FED, layout.EXPIRY)
    }
    return {family: records for family, records in found.items() if records}


def test_after_a_day_the_stream_is_not_found_and_nothing_is_left_of_it() -> None:
    app, arn = deleted()
    place = iterator(app, arn, described(app, arn)["Shards"][0]["ShardId"], "TRIM_HORIZON")
    app.ok("CreateTable", **KEYS, StreamSpecification=spec())
    write(app, "3")
    new = arn_of(app)
    app.app._context = msgspec.structs.replace(app.app._context, clock=LaterClock(DAY_MS - 60_000))
    assert ages(app, arn) == ["1", "2"]
    app.app._context = msgspec.structs.replace(app.app._context, clock=LaterClock(DAY_MS + 60_000))
    assert refusal(app, "DescribeStream", StreamArn=arn)[0] == "ResourceNotFoundException"
    assert refusal(app, "GetRecords", ShardIterator=place)[0] == "ExpiredIteratorException"
    assert listed(app) == [new]
    (old_id,) = {raw_id(key) for key in app.tables.records(TABLE_ENDED, SYSTEM_KEYSPACE)}
    now_ms = app.app._context.clock.wall_ms()
    assert asyncio.run(Ended(app.tables).forget_old(now_ms - DAY_MS)) == 1
    assert app.tables.records(TABLE_ENDED, SYSTEM_KEYSPACE) == {}
    keys = [key for records in left(app).values() for key in records]
    assert keys
    assert not any(old_id in key for key in keys)
    assert ages(app, new) == ["3"]


def raw_id(key: bytes) -> bytes:
    return key.partition(b"\x00")[2]


def test_what_is_not_old_is_not_forgotten() -> None:
    app, arn = deleted()
    assert asyncio.run(Ended(app.tables).forget_old(SystemClock().wall_ms() - DAY_MS)) == 0
    assert ages(app, arn) == ["1", "2"]


def test_a_write_that_comes_late_is_in_no_stream() -> None:
    app = streaming()
    arn = arn_of(app)
    write(app, "1")
    table = asyncio.run(app.tables.catalog.table("people"))
    app.ok("DeleteTable", TableName="people")

    async def late() -> None:
        item = {**ANN, "age": {"N": "9"}}
        await app.tables.service.put_item(table, item, 14, Wanted())

    asyncio.run(late())
    assert ages(app, arn) == ["1"]
    for shard in described(app, arn)["Shards"]:
        assert "EndingSequenceNumber" in shard["SequenceNumberRange"]


@pytest.mark.parametrize("step", [CloseFeeds, RemoveTable])
def test_a_deletion_that_broke_off_keeps_the_stream_when_another_node_finishes_it(
    step: type,
) -> None:
    app = streaming()
    arn = arn_of(app)
    write(app, "1")
    app.tables.lose_answers_to = step
    app.ok("DeleteTable", TableName="people")
    assert app.call("DescribeTable", TableName="people").error == "ResourceNotFoundException"
    assert ages(app, arn) == ["1"]


def test_forgetting_that_broke_off_is_done_again() -> None:
    app, _ = deleted()
    app.tables.lose_answers_to = DropFeeds
    ended = Ended(app.tables)
    with pytest.raises(OutcomeUnknown):
        asyncio.run(ended.forget_old(layout.SEQUENCE_MAX))
    assert asyncio.run(ended.forget_old(layout.SEQUENCE_MAX)) == 1
    assert left(app) == {}
    assert app.tables.records(TABLE_NAME, SYSTEM_KEYSPACE) == {}


@pytest.mark.parametrize("after", ["split", "merge"])
def test_the_stream_of_a_deleted_table_survives_splits_and_merges(after: str) -> None:
    app, arn = deleted()
    shards = described(app, arn)["Shards"]
    table_id = raw_id(next(iter(app.tables.records(TABLE_ENDED, SYSTEM_KEYSPACE))))
    stem = layout.stem_of(table_id, {"S": "ann"})
    app.tables.cut(TABLES_KEYSPACE, [stem] if after == "split" else [])
    assert ages(app, arn) == ["1", "2"]
    assert described(app, arn)["Shards"] == shards
    trim(app, before_ms=app.tables.now_ms + 2 * DAY_MS)
    asyncio.run(Ended(app.tables).forget_old(layout.SEQUENCE_MAX))
    assert left(app) == {}


def trim(app: LocalApp, before_ms: int) -> None:
    """As the leaders do."""

    async def run() -> None:
        log = ChangeLog(app.tables)
        starts = app.tables.partition_starts(TABLES_KEYSPACE, b"", ABOVE_ALL)
        for start, end in zip(starts, [*starts[1:], b""], strict=True):
            places = {(one.start, one.table_id) for one in await log.shards(start, end)}
            for shard_start, table_id in sorted(places):
                await log.trim(shard_start, table_id, 0, streamed_before_ms=before_ms)

    asyncio.run(run())


def test_records_that_its_indexes_needed_too_go_with_age() -> None:
    app = LocalApp()
    app.ok("CreateTable", **{**KEYS, **INDEXED}, StreamSpecification=spec())
    arn = arn_of(app)
    write(app, "1")
    app.ok("DeleteTable", TableName="people")
    assert ages(app, arn) == ["1"]
    trim(app, before_ms=app.tables.now_ms - DAY_MS)
    assert ages(app, arn) == ["1"]
    trim(app, before_ms=app.tables.now_ms + 2 * DAY_MS)
    assert app.tables.records(SHARD, TABLES_KEYSPACE) == {}
    heads_only = app.tables.records(CHANGE, TABLES_KEYSPACE)
    assert len(heads_only) == len(app.tables.partition_starts(TABLES_KEYSPACE, b"", ABOVE_ALL))
