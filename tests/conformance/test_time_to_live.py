"""Time to live and the age of streams, by boto3, on a cluster that looks every second."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from .cluster import Cluster
from .processes import wait_until
from .test_dynamodb import options
from .test_dynamodb_streams import SPEC, Consumer

RETENTION_S = 10
ENVIRONMENT = {
    "TRILITH_TABLES__TTL_INTERVAL_SECONDS": "1",
    "TRILITH_TABLES__UPKEEP_INTERVAL_SECONDS": "1",
    "TRILITH_TABLES__STREAM_RETENTION_SECONDS": str(RETENTION_S),
}
KEYS: dict[str, Any] = {
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "group", "rank")
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by_rank",
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "rank", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_group",
            "KeySchema": [{"AttributeName": "group", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture(scope="module")
def hasty(start_cluster: Callable[..., Cluster]) -> Iterator[Cluster]:
    cluster = start_cluster(environment=ENVIRONMENT)
    yield cluster
    cluster.remove()


def sort_keys(client: Any, operation: str, **members: Any) -> set[str]:
    items = getattr(client, operation)(**members)["Items"]
    return {item["sk"]["S"] for item in items}


def test_items_leave_the_table_and_its_indexes_and_the_stream_tells(hasty: Cluster) -> None:
    client = boto3.client("dynamodb", **options(hasty))
    streams = boto3.client("dynamodbstreams", **options(hasty))
    name = f"ttl-{secrets.token_hex(6)}"
    client.create_table(TableName=name, StreamSpecification=SPEC, **KEYS)
    client.get_waiter("table_exists").wait(TableName=name)
    arn = client.describe_table(TableName=name)["Table"]["LatestStreamArn"]

    def put(sk: str, at: float) -> None:
        item = {"pk": "p", "sk": sk, "group": "g", "rank": "r"}
        wire: dict[str, Any] = {key: {"S": value} for key, value in item.items()}
        client.put_item(TableName=name, Item={**wire, "at": {"N": str(int(at))}})

    now = time.time()
    put("before", now - 60)
    given = {"AttributeName": "at", "Enabled": True}
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=given)
    described = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "at"}
    put("over", now - 60)
    put("soon", now + 3)
    put("later", now + 3600)
    consumer = Consumer(streams, arn)

    def only_later_is_left() -> bool:
        consumer.poll()
        return (
            sort_keys(client, "scan", TableName=name, ConsistentRead=True) == {"later"}
            and sort_keys(client, "scan", TableName=name, IndexName="by_rank") == {"later"}
            and sort_keys(client, "scan", TableName=name, IndexName="by_group") == {"later"}
        )

    wait_until(only_later_is_left, deadline_s=40, what="all that is over is deleted")
    consumer.poll()
    removed = [one for one in consumer.records if one["eventName"] == "REMOVE"]
    assert {one["dynamodb"]["Keys"]["sk"]["S"] for one in removed} == {"before", "over", "soon"}
    identity = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    assert all(one["userIdentity"] == identity for one in removed)
    deleted = sum(node["tables"]["items_expired"] for node in hasty.status()["node_facts"].values())
    assert deleted == 3


def test_a_stream_forgets_what_is_older_than_its_retention(hasty: Cluster) -> None:
    client = boto3.client("dynamodb", **options(hasty))
    streams = boto3.client("dynamodbstreams", **options(hasty))
    name = f"trim-{secrets.token_hex(6)}"
    client.create_table(TableName=name, StreamSpecification=SPEC, **KEYS)
    client.get_waiter("table_exists").wait(TableName=name)
    arn = client.describe_table(TableName=name)["Table"]["LatestStreamArn"]
    item = {key: {"S": "x"} for key in ("pk", "sk", "group", "rank")}
    client.put_item(TableName=name, Item=item)
    consumer = Consumer(streams, arn)
    assert consumer.poll() == 1
    number = consumer.records[0]["dynamodb"]["SequenceNumber"]
    shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]

    def iterator(shard: str, kind: str, **members: Any) -> str:
        text: str = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard, ShardIteratorType=kind, **members
        )["ShardIterator"]
        return text

    def holds_it(shard: str) -> bool:
        at = iterator(shard, "TRIM_HORIZON")
        return bool(streams.get_records(ShardIterator=at)["Records"])

    (shard,) = (one["ShardId"] for one in shards if holds_it(one["ShardId"]))

    def is_trimmed() -> bool:
        return Consumer(streams, arn).poll() == 0

    wait_until(is_trimmed, deadline_s=RETENTION_S + 40, what="the record is trimmed")
    with pytest.raises(ClientError) as refused:
        iterator(shard, "AT_SEQUENCE_NUMBER", SequenceNumber=number)
    assert refused.value.response["Error"]["Code"] == "TrimmedDataAccessException"
