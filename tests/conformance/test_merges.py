"""Partitions of a table come together again while boto3 goes on, by command and by themselves."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from .cluster import Cluster
from .processes import wait_until
from .test_dynamodb_streams import Consumer
from .test_splits import _client, _Load

NEVER = {"TRILITH_PARTITIONS__MERGE_AFTER_SECONDS": "0"}
BY_ITSELF = {
    "TRILITH_PARTITIONS__COMMANDS_PER_SECOND_MAX": "30",
    "TRILITH_PARTITIONS__SPLIT_AFTER_SECONDS": "2",
    "TRILITH_PARTITIONS__PARTITIONS_MAX": "24",
    "TRILITH_PARTITIONS__MERGE_AFTER_SECONDS": "6",
}
TABLE = {
    "TableName": "merged",
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "owner", "AttributeType": "S"},
    ],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-owner",
            "KeySchema": [
                {"AttributeName": "owner", "KeyType": "HASH"},
                {"AttributeName": "id", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture
def cluster_of(start_cluster: Callable[..., Cluster]) -> Iterator[Callable[..., Cluster]]:
    started: list[Cluster] = []

    def start(environment: dict[str, str]) -> Cluster:
        started.append(start_cluster(environment=environment))
        return started[-1]

    yield start
    for one in started:
        one.remove()


def _scan(dynamodb: Any, **given: Any) -> list[dict[str, Any]]:
    pages = dynamodb.get_paginator("scan").paginate(TableName="merged", **given)
    return [item for page in pages for item in page["Items"]]


def _streams(cluster: Cluster) -> Any:
    return boto3.client(
        "dynamodbstreams",
        endpoint_url=f"http://127.0.0.1:{cluster.ports['dynamodb']}",
        aws_access_key_id=cluster.credentials.access_key,
        aws_secret_access_key=cluster.credentials.secret_key,
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
    )


def _worker(dynamodb: Any) -> Callable[[int, int], None]:
    """Writes, reads and transactions on items of its own; none may fail."""

    def work(worker: int, count: int) -> None:
        key = {"id": {"S": f"{worker}-{count}"}}
        owner = {"S": f"owner-{worker}"}
        dynamodb.put_item(TableName="merged", Item={**key, "n": {"N": "0"}, "owner": owner})
        grown = dynamodb.update_item(
            TableName="merged",
            Key=key,
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="ALL_NEW",
        )
        assert grown["Attributes"]["n"] == {"N": "1"}
        pair = [
            {"Put": {"TableName": "merged", "Item": {"id": {"S": f"{worker}-{count}/{half}"}}}}
            for half in "ab"
        ]
        dynamodb.transact_write_items(TransactItems=pair)
        found = dynamodb.get_item(TableName="merged", Key=key, ConsistentRead=True)
        assert found["Item"]["n"] == {"N": "1"}

    return work


def test_a_table_is_split_and_merged_by_command_without_an_error_to_clients(
    cluster_of: Callable[..., Cluster],
) -> None:
    cluster = cluster_of(NEVER)
    dynamodb = _client(cluster, "dynamodb")
    arn = dynamodb.create_table(**TABLE)["TableDescription"]["LatestStreamArn"]
    fixed = {f"fixed-{n}" for n in range(200)}
    for name in fixed:
        dynamodb.put_item(TableName="merged", Item={"id": {"S": name}})
    before = cluster.partitions("tables")
    load = _Load(_worker(dynamodb))
    for _ in range(3):
        children = [cluster.change_partition("split", str(one["id"]))["child"] for one in before]
        wait_until(
            lambda: len(cluster.partitions("tables")) == 2 * len(before),
            what="every partition is split",
            deadline_s=60,
        )
        names = [item["id"]["S"] for item in _scan(dynamodb, ConsistentRead=True)]
        assert len(names) == len(set(names))
        assert fixed <= set(names)
        for child in children:
            answer = cluster.change_partition("merge", str(child))
            assert answer["absorbed"] == child
        wait_until(
            lambda: len(cluster.partitions("tables")) == len(before),
            what="every partition is whole again",
            deadline_s=60,
        )
        names = [item["id"]["S"] for item in _scan(dynamodb, ConsistentRead=True)]
        assert len(names) == len(set(names))
        assert fixed <= set(names)
    counts = load.finish()
    assert min(counts) > 0
    written = {f"{w}-{n}" for w, count in enumerate(counts) for n in range(count)}
    halves = {f"{name}/{half}" for name in written for half in "ab"}
    bounds = [(one["start"], one["end"]) for one in before]
    assert [(one["start"], one["end"]) for one in cluster.partitions("tables")] == bounds
    cluster.kill_all()
    cluster.start()
    items = _scan(dynamodb, ConsistentRead=True)
    assert sorted(item["id"]["S"] for item in items) == sorted(fixed | written | halves)
    wait_until(
        lambda: len(_scan(dynamodb, IndexName="by-owner")) == len(written),
        what="the index has every item",
        deadline_s=60,
    )
    consumer = Consumer(_streams(cluster), arn)
    expected = len(fixed) + 2 * len(written) + len(halves)
    wait_until(
        lambda: consumer.poll() == 0 and len(consumer.records) >= expected,
        what="the stream has every change",
        deadline_s=90,
    )
    assert len(consumer.records) == expected
    seen: dict[str, list[str]] = {}
    for record in consumer.records:
        image = record["dynamodb"]["NewImage"]
        seen.setdefault(image["id"]["S"], []).append(image.get("n", {"N": ""})["N"])
    assert all(seen[name] == ["0", "1"] for name in written)


def test_what_cannot_be_merged_is_refused_by_name(cluster_of: Callable[..., Cluster]) -> None:
    cluster = cluster_of(NEVER)
    for keyspace, said in (("objects", "not merged"), ("tables", "what a split has made")):
        one = cluster.partitions(keyspace)[-1]
        with pytest.raises(subprocess.CalledProcessError) as refused:
            cluster.change_partition("merge", str(one["id"]))
        assert said in refused.value.stderr
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.change_partition("merge", "999999")
    assert "there is no partition" in refused.value.stderr


def test_a_table_that_cools_down_comes_together_by_itself(
    cluster_of: Callable[..., Cluster],
) -> None:
    cluster = cluster_of(BY_ITSELF)
    dynamodb = _client(cluster, "dynamodb")
    dynamodb.create_table(**TABLE)
    before = len(cluster.partitions("tables"))
    load = _Load(_worker(dynamodb))
    wait_until(
        lambda: load.failed() or len(cluster.partitions("tables")) >= before + 3,
        what="the hot table has more partitions",
        deadline_s=150,
    )
    counts = load.finish()
    stop = time.monotonic() + 150
    number = 0
    while len(cluster.partitions("tables")) > before and time.monotonic() < stop:
        number += 1  # now and then, as a calm table is written
        dynamodb.put_item(TableName="merged", Item={"id": {"S": f"calm-{number}"}})
        time.sleep(1.5)
    assert len(cluster.partitions("tables")) == before
    names = {item["id"]["S"] for item in _scan(dynamodb, ConsistentRead=True)}
    written = {f"{w}-{n}" for w, count in enumerate(counts) for n in range(count)}
    assert len(names) == 3 * len(written) + number
    assert written <= names
