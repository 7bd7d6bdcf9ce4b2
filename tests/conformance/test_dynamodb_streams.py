"""DynamoDB Streams by boto3 over real sockets, and that takeovers neither lose nor repeat."""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from trilith.config import section_types

from .cluster import ZONES, Cluster
from .processes import wait_until
from .test_dynamodb import options

SPEC = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
KEYS: dict[str, Any] = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
WRITERS = 8


class Consumer:
    """Reads all shards of a stream, parents before their children, as KCL does."""

    def __init__(self, streams: Any, arn: str) -> None:
        self._streams = streams
        self._arn = arn
        self._iterators: dict[str, str] = {}
        self._done: set[str] = set()
        self.records: list[dict[str, Any]] = []

    def poll(self) -> int:
        """Reads once what every shard that may be read has; how many records that were."""
        shards = {one["ShardId"]: one for one in self._shards()}
        count = 0
        for name, shard in shards.items():
            parent = shard.get("ParentShardId")
            if name in self._done or (parent in shards and parent not in self._done):
                continue
            if name not in self._iterators:
                self._iterators[name] = self._streams.get_shard_iterator(
                    StreamArn=self._arn, ShardId=name, ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]
            page = self._streams.get_records(ShardIterator=self._iterators[name])
            self.records += page["Records"]
            count += len(page["Records"])
            following = page.get("NextShardIterator")
            if following is None:
                self._done.add(name)
            else:
                self._iterators[name] = following
        return count

    def _shards(self) -> Iterator[dict[str, Any]]:
        found = self._streams.describe_stream(StreamArn=self._arn)["StreamDescription"]
        yield from found["Shards"]
        while "LastEvaluatedShardId" in found:
            found = self._streams.describe_stream(
                StreamArn=self._arn, ExclusiveStartShardId=found["LastEvaluatedShardId"]
            )["StreamDescription"]
            yield from found["Shards"]


def make_table(client: Any) -> tuple[str, str]:
    """Name and stream ARN of a new table."""
    name = f"streams-{secrets.token_hex(6)}"
    client.create_table(TableName=name, StreamSpecification=SPEC, **KEYS)
    client.get_waiter("table_exists").wait(TableName=name)
    arn: str = client.describe_table(TableName=name)["Table"]["LatestStreamArn"]
    return name, arn


def test_a_change_can_be_read_as_soon_as_it_is_acknowledged(cluster: Cluster) -> None:
    client = boto3.client("dynamodb", **options(cluster))
    streams = boto3.client("dynamodbstreams", **options(cluster))
    name, arn = make_table(client)
    consumer = Consumer(streams, arn)
    for number in range(20):
        item = {"pk": {"S": f"item-{number}"}, "raw": {"B": b"\x00\xff"}}
        client.put_item(TableName=name, Item=item)
        assert consumer.poll() == 1
        record = consumer.records[-1]
        assert record["eventName"] == "INSERT"
        assert record["dynamodb"]["NewImage"] == item
    client.delete_item(TableName=name, Key={"pk": {"S": "item-3"}})
    assert consumer.poll() == 1
    assert consumer.records[-1]["dynamodb"]["OldImage"]["pk"] == {"S": "item-3"}
    client.update_table(TableName=name, StreamSpecification={"StreamEnabled": False})
    description = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert description["StreamStatus"] == "DISABLED"
    assert consumer.poll() == 0
    assert streams.list_streams(TableName=name)["Streams"][0]["StreamArn"] == arn
    client.delete_table(TableName=name)
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    assert streams.list_streams(TableName=name)["Streams"][0]["StreamArn"] == arn


def delete(client: Any, name: str) -> None:
    client.delete_table(TableName=name)
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1})


def read_all(streams: Any, arn: str) -> list[dict[str, Any]]:
    consumer = Consumer(streams, arn)
    while consumer.poll():
        pass
    return consumer.records


def test_the_stream_of_a_deleted_table_is_read_beside_that_of_a_new_one(cluster: Cluster) -> None:
    client = boto3.client("dynamodb", **options(cluster))
    streams = boto3.client("dynamodbstreams", **options(cluster))
    name, old = make_table(client)
    for number in range(5):
        client.put_item(TableName=name, Item={"pk": {"S": "a"}, "n": {"N": str(number)}})
    before = read_all(streams, old)
    assert len(before) == 5
    delete(client, name)
    client.create_table(TableName=name, StreamSpecification=SPEC, **KEYS)
    client.get_waiter("table_exists").wait(TableName=name)
    new = client.describe_table(TableName=name)["Table"]["LatestStreamArn"]
    assert new != old
    client.put_item(TableName=name, Item={"pk": {"S": "a"}, "n": {"N": "9"}})
    assert read_all(streams, old) == before
    (record,) = read_all(streams, new)
    assert (record["eventName"], record["dynamodb"]["NewImage"]["n"]) == ("INSERT", {"N": "9"})
    description = streams.describe_stream(StreamArn=old)["StreamDescription"]
    assert description["StreamStatus"] == "DISABLED"
    for shard in description["Shards"]:
        assert "EndingSequenceNumber" in shard["SequenceNumberRange"]
    listed = [one["StreamArn"] for one in streams.list_streams(TableName=name)["Streams"]]
    assert listed == sorted([old, new])
    delete(client, name)


class Writer:
    """Counts one item up, one acknowledged put after the other."""

    def __init__(self, client: Any, table: str, pk: str, stop: threading.Event) -> None:
        self._client = client
        self._table = table
        self.pk = pk
        self._stop = stop
        self.count = 0
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            number = str(self.count + 1)
            try:
                self._client.put_item(
                    TableName=self._table, Item={"pk": {"S": self.pk}, "n": {"N": number}}
                )
            except (ClientError, BotoCoreError):
                continue  # whether it was applied or not: putting the same again makes no record
            self.count += 1


def numbers_by_item(consumer: Consumer) -> dict[str, list[int]]:
    """What a consumer sees once everything is read, by partition key."""
    while consumer.poll():
        pass
    seen = defaultdict(list)
    for record in consumer.records:
        change = record["dynamodb"]
        seen[change["Keys"]["pk"]["S"]].append(int(change["NewImage"]["n"]["N"]))
    return seen


def assert_each_once_and_in_order(consumer: Consumer, writers: list[Writer]) -> None:
    seen = numbers_by_item(consumer)
    for writer in writers:
        numbers = seen[writer.pk]
        # The last put may have been applied without its acknowledgement.
        assert numbers == list(range(1, len(numbers) + 1))
        assert writer.count <= len(numbers) <= writer.count + 1


@pytest.mark.load
def test_takeovers_neither_lose_nor_repeat_a_change(own_cluster: Cluster) -> None:
    own_cluster.spread_tables()  # several shards
    client = boto3.client("dynamodb", **options(own_cluster))
    streams = boto3.client("dynamodbstreams", **options(own_cluster))
    name, arn = make_table(client)
    stop = threading.Event()
    writers = [Writer(client, name, f"item-{number}", stop) for number in range(WRITERS)]

    def let_run() -> None:
        goals = [writer.count + 20 for writer in writers]
        wait_until(
            lambda: all(w.count >= goal for w, goal in zip(writers, goals, strict=True)),
            deadline_s=60,
            what="every item is written on",
        )

    try:
        let_run()
        for zone in ZONES:
            own_cluster.zone("kill", zone)
            let_run()
            own_cluster.zone("start", zone)
            own_cluster.wait_in_sync()
        let_run()
    finally:
        stop.set()
        for writer in writers:
            writer.thread.join()
    assert_each_once_and_in_order(Consumer(streams, arn), writers)


@pytest.mark.load
def test_the_stream_of_a_deleted_table_survives_takeovers_and_a_restart(
    own_cluster: Cluster,
) -> None:
    own_cluster.spread_tables()  # several shards
    client = boto3.client("dynamodb", **options(own_cluster))
    streams = boto3.client("dynamodbstreams", **options(own_cluster))
    name, arn = make_table(client)
    for number in range(20):
        client.put_item(
            TableName=name, Item={"pk": {"S": str(number % 7)}, "n": {"N": str(number)}}
        )
    before = read_all(streams, arn)
    assert len(before) == 20
    client.delete_table(TableName=name)
    for zone in ZONES:
        own_cluster.zone("kill", zone)
        wait_until(
            lambda: is_read_as(streams, arn, before),
            deadline_s=60,
            what="the stream is read after a takeover",
        )
        own_cluster.zone("start", zone)
        own_cluster.wait_in_sync()
    own_cluster.stop()
    own_cluster.start()
    client = boto3.client("dynamodb", **options(own_cluster))
    streams = boto3.client("dynamodbstreams", **options(own_cluster))
    assert name not in client.list_tables()["TableNames"]
    assert read_all(streams, arn) == before


@pytest.fixture
def forgetful_cluster(start_cluster: Callable[..., Cluster]) -> Iterator[Cluster]:
    """One whose streams are kept for some seconds."""
    cluster = start_cluster(
        environment={
            "TRILITH_TABLES__STREAM_RETENTION_SECONDS": "5",
            "TRILITH_TABLES__UPKEEP_INTERVAL_SECONDS": "1",
        }
    )
    yield cluster
    cluster.remove()


@pytest.mark.load
def test_the_stream_of_a_deleted_table_is_forgotten_when_its_time_is_over(
    forgetful_cluster: Cluster,
) -> None:
    cluster = forgetful_cluster
    client = boto3.client("dynamodb", **options(cluster))
    streams = boto3.client("dynamodbstreams", **options(cluster))
    name, arn = make_table(client)
    client.put_item(TableName=name, Item={"pk": {"S": "a"}})
    delete(client, name)

    def is_forgotten() -> bool:
        facts = cluster.status()["node_facts"].values()
        return sum(node["tables"]["deleted_tables_forgotten"] for node in facts) == 1

    wait_until(is_forgotten, deadline_s=60, what="nothing is left of the deleted table")
    assert streams.list_streams()["Streams"] == []
    with pytest.raises(streams.exceptions.ResourceNotFoundException):
        streams.describe_stream(StreamArn=arn)


def is_read_as(streams: Any, arn: str, wanted: list[dict[str, Any]]) -> bool:
    try:
        return read_all(streams, arn) == wanted
    except (ClientError, BotoCoreError):
        return False


@pytest.fixture
def hot_cluster(start_cluster: Callable[..., Cluster]) -> Iterator[Cluster]:
    """One whose partitions split under a light load."""
    if "partitions" not in section_types():
        pytest.skip("partitions do not split by themselves")
    cluster = start_cluster(
        environment={
            "TRILITH_PARTITIONS__COMMANDS_PER_SECOND_MAX": "15",
            "TRILITH_PARTITIONS__SPLIT_AFTER_SECONDS": "2",
            "TRILITH_PARTITIONS__PARTITIONS_MAX": "40",
        }
    )
    yield cluster
    cluster.remove()


@pytest.mark.load
def test_shards_follow_the_splits_of_a_hot_table(hot_cluster: Cluster) -> None:
    client = boto3.client("dynamodb", **options(hot_cluster))
    streams = boto3.client("dynamodbstreams", **options(hot_cluster))
    name, arn = make_table(client)
    consumer = Consumer(streams, arn)

    def shards() -> list[dict[str, Any]]:
        return streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]

    def has_split() -> bool:
        consumer.poll()
        return sum(1 for shard in shards() if "ParentShardId" in shard) >= 4

    first = {shard["ShardId"] for shard in shards()}
    stop = threading.Event()
    writers = [Writer(client, name, f"item-{number}", stop) for number in range(WRITERS)]
    try:
        wait_until(has_split, deadline_s=120, what="two partitions of the table are split")
        goals = [writer.count + 10 for writer in writers]
        wait_until(
            lambda: all(w.count >= goal for w, goal in zip(writers, goals, strict=True)),
            deadline_s=60,
            what="every item is written on",
        )
    finally:
        stop.set()
        for writer in writers:
            writer.thread.join()
    ended = {s["ShardId"] for s in shards() if "EndingSequenceNumber" in s["SequenceNumberRange"]}
    parents = {shard["ParentShardId"] for shard in shards() if "ParentShardId" in shard}
    assert parents & first
    assert parents <= ended
    assert_each_once_and_in_order(consumer, writers)
