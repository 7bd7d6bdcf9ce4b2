"""Partitions that are hot are split while clients go on, over real sockets with boto3."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .cluster import Cluster
from .processes import wait_until

HOT = {
    "TRILITH_PARTITIONS__COMMANDS_PER_SECOND_MAX": "15",
    "TRILITH_PARTITIONS__SPLIT_AFTER_SECONDS": "2",
    "TRILITH_PARTITIONS__PARTITIONS_MAX": "40",
}
SMALL = {
    "TRILITH_PARTITIONS__SPLIT_BYTES": str(8 << 20),
    "TRILITH_PARTITIONS__MEASURE_INTERVAL_SECONDS": "2",
    "TRILITH_PARTITIONS__COMMANDS_PER_SECOND_MAX": "1000000",
}
READ = {
    "TRILITH_PARTITIONS__READS_PER_SECOND_MAX": "30",
    "TRILITH_PARTITIONS__COMMANDS_PER_SECOND_MAX": "1000000",
    "TRILITH_PARTITIONS__SPLIT_AFTER_SECONDS": "2",
    "TRILITH_PARTITIONS__PARTITIONS_MAX": "40",
}
WORKERS = 8
LOAD_S_MAX = 150.0


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Cluster]) -> Iterator[Cluster]:
    started = start_cluster(environment=HOT)
    yield started
    started.remove()


def _options() -> Config:
    return Config(retries={"total_max_attempts": 1}, read_timeout=60, max_pool_connections=32)


def _client(cluster: Cluster, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{cluster.ports[service]}",
        aws_access_key_id=cluster.credentials.access_key,
        aws_secret_access_key=cluster.credentials.secret_key,
        region_name="us-east-1",
        config=_options(),
    )


class _Load:
    """Clients that each write and read items of their own, until told to stop."""

    def __init__(self, work: Callable[[int, int], None]) -> None:
        self._stop = threading.Event()
        self._work = work
        self._pool = ThreadPoolExecutor(WORKERS)
        self._running = [self._pool.submit(self._run, number) for number in range(WORKERS)]

    def _run(self, worker: int) -> int:
        count = 0
        while not self._stop.is_set():
            self._work(worker, count)
            count += 1
        return count

    def failed(self) -> bool:
        return any(one.done() for one in self._running)

    def finish(self) -> list[int]:
        """How much each did. Raises the first error that reached a client."""
        self._stop.set()
        counts = [one.result() for one in self._running]
        self._pool.shutdown()
        return counts


def test_a_bucket_under_load_becomes_more_partitions_and_survives_a_crash_of_all(
    cluster: Cluster,
) -> None:
    s3 = _client(cluster, "s3")
    s3.create_bucket(Bucket="hot")
    before = len(cluster.partitions("objects"))
    fixed = [f"fixed/{n:04d}" for n in range(120)]
    for name in fixed:
        s3.put_object(Bucket="hot", Key=name, Body=name.encode())

    def work(worker: int, count: int) -> None:
        key = f"load/{worker}/{count:06d}"
        s3.put_object(Bucket="hot", Key=key, Body=key.encode())
        assert s3.get_object(Bucket="hot", Key=key)["Body"].read() == key.encode()

    def listed(prefix: str = "") -> list[str]:
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket="hot", Prefix=prefix, PaginationConfig={"PageSize": 61}
        )
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    load = _Load(work)
    deadline = time.monotonic() + LOAD_S_MAX
    while len(cluster.partitions("objects")) < before + 3 and time.monotonic() < deadline:
        assert listed("fixed/") == fixed
        names = listed()
        assert names == sorted(set(names))
        if load.failed():
            break
    counts = load.finish()
    assert len(cluster.partitions("objects")) >= before + 3
    written = [f"load/{w}/{n:06d}" for w, count in enumerate(counts) for n in range(count)]
    assert listed() == [*fixed, *written]
    cluster.kill_all()
    cluster.start()
    assert listed() == [*fixed, *written]
    for key in listed():
        s3.delete_object(Bucket="hot", Key=key)
    s3.delete_bucket(Bucket="hot")


def test_a_table_under_load_becomes_more_partitions_without_an_error(cluster: Cluster) -> None:
    dynamodb = _client(cluster, "dynamodb")
    dynamodb.create_table(
        TableName="hot",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    before = len(cluster.partitions("tables"))
    fixed = {f"fixed-{n}" for n in range(300)}
    for name in fixed:
        dynamodb.put_item(TableName="hot", Item={"id": {"S": name}})

    def work(worker: int, count: int) -> None:
        key = {"id": {"S": f"{worker}-{count}"}}
        dynamodb.put_item(TableName="hot", Item={**key, "n": {"N": "0"}})
        grown = dynamodb.update_item(
            TableName="hot",
            Key=key,
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="ALL_NEW",
        )
        assert grown["Attributes"]["n"] == {"N": "1"}
        found = dynamodb.get_item(TableName="hot", Key=key, ConsistentRead=True)
        assert found["Item"]["n"] == {"N": "1"}

    def scan() -> list[str]:
        names, start = [], {}
        while True:
            page = dynamodb.scan(TableName="hot", ConsistentRead=True, Limit=97, **start)
            names += [item["id"]["S"] for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return names
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    load = _Load(work)
    deadline = time.monotonic() + LOAD_S_MAX
    scans = 0
    while len(cluster.partitions("tables")) < before + 6 and time.monotonic() < deadline:
        names = scan()
        assert len(names) == len(set(names))
        assert fixed <= set(names)
        scans += 1
        if load.failed():
            break
    counts = load.finish()
    assert scans > 1
    held = cluster.partitions("tables")
    assert len(held) >= before + 6
    names = scan()
    assert len(names) == len(set(names))
    assert set(names) == fixed | {
        f"{w}-{n}" for w, count in enumerate(counts) for n in range(count)
    }
    bounds = sorted((one["start"], one["end"]) for one in held)
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]
    wait_until(
        lambda: len({one["leader"] for one in cluster.partitions("tables") if one["parent"]}) == 3,
        what="leaders of split partitions are spread over the nodes",
        deadline_s=120,
    )
    cluster.zone("kill", "az1")
    names = scan_when_it_can(scan)
    assert len(names) == len(set(names)) == len(fixed) + sum(counts)


def scan_when_it_can(scan: Callable[[], list[str]]) -> list[str]:
    deadline = time.monotonic() + 30
    while True:
        try:
            return scan()
        except (ClientError, BotoCoreError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_a_table_that_grows_too_large_becomes_more_partitions(
    start_cluster: Callable[..., Cluster],
) -> None:
    cluster = start_cluster(environment=SMALL)
    try:
        _grow(cluster)
    finally:
        cluster.remove()


def test_a_table_that_is_only_read_becomes_more_partitions_without_an_error(
    start_cluster: Callable[..., Cluster],
) -> None:
    cluster = start_cluster(environment=READ)
    try:
        _read(cluster)
    finally:
        cluster.remove()


def _read(cluster: Cluster) -> None:
    dynamodb = _client(cluster, "dynamodb")
    dynamodb.create_table(
        TableName="read",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    before = len(cluster.partitions("tables"))
    for n in range(200):
        dynamodb.put_item(TableName="read", Item={"id": {"S": f"{n}"}})

    def work(worker: int, count: int) -> None:
        key = {"id": {"S": f"{(worker * 31 + count) % 200}"}}
        found = dynamodb.get_item(TableName="read", Key=key, ConsistentRead=True)
        assert found["Item"] == key

    load = _Load(work)
    deadline = time.monotonic() + LOAD_S_MAX
    while len(cluster.partitions("tables")) < before + 3 and time.monotonic() < deadline:
        assert not load.failed()
        time.sleep(0.2)
    load.finish()
    assert len(cluster.partitions("tables")) >= before + 3
    pages = dynamodb.get_paginator("scan").paginate(TableName="read", ConsistentRead=True)
    names = sorted(one["id"]["S"] for page in pages for one in page["Items"])
    assert names == sorted(str(n) for n in range(200))


def _grow(cluster: Cluster) -> None:
    dynamodb = _client(cluster, "dynamodb")
    dynamodb.create_table(
        TableName="large",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    before = len(cluster.partitions("tables"))

    def work(worker: int, count: int) -> None:
        item = {"id": {"S": f"{worker}-{count}"}, "text": {"S": f"{worker}-{count} " * 4_000}}
        dynamodb.put_item(TableName="large", Item=item)

    load = _Load(work)
    deadline = time.monotonic() + LOAD_S_MAX
    while len(cluster.partitions("tables")) < before + 2 and time.monotonic() < deadline:
        assert not load.failed()
        time.sleep(0.2)
    counts = load.finish()
    assert len(cluster.partitions("tables")) >= before + 2
    pages = dynamodb.get_paginator("scan").paginate(TableName="large", ProjectionExpression="id")
    found = sorted(one["id"]["S"] for page in pages for one in page["Items"])
    assert found == sorted(f"{w}-{n}" for w, count in enumerate(counts) for n in range(count))
    last = f"0-{counts[0] - 1}"
    item = dynamodb.get_item(TableName="large", Key={"id": {"S": last}})["Item"]
    assert item["text"]["S"] == f"{last} " * 4_000
