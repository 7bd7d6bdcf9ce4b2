"""Deleted bytes come back to the disk, and two zones may burn: on real processes and files."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from subprocess import CalledProcessError
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Key
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .cluster import Cluster, chunk_bytes_on_disk, run_trilith
from .conftest import Server
from .processes import wait_until

MIB = 1 << 20
READABLE_S_MAX = 30.0
SPLIT_WITHIN_S = 120.0
WRITERS = 6
EAGER_TO_SPLIT = {
    "TRILITH_PARTITIONS__COMMANDS_PER_SECOND_MAX": "5",
    "TRILITH_PARTITIONS__SPLIT_AFTER_SECONDS": "2",
}
SMALL_SETTINGS = {
    "TRILITH_CHUNKS__GC_GRACE_SECONDS": "6",
    "TRILITH_CHUNKS__GC_INTERVAL_SECONDS": "2",
    "TRILITH_CHUNKS__EXTENT_BYTES": str(16 * MIB),
}


@pytest.fixture
def own_cluster(start_cluster: Callable[..., Cluster]) -> Iterator[Cluster]:
    cluster = start_cluster(environment=SMALL_SETTINGS)
    yield cluster
    cluster.remove()


def succeeds(work: Callable[[], Any]) -> bool:
    try:
        work()
    except (ClientError, BotoCoreError):
        return False
    return True


def test_deleted_overwritten_and_aborted_bytes_come_back_to_the_disk(own_cluster: Cluster) -> None:
    s3 = Server(own_cluster.endpoint, own_cluster.credentials).client()
    s3.create_bucket(Bucket="garbage")
    kept = os.urandom(3 * MIB)
    s3.put_object(Bucket="garbage", Key="kept", Body=kept)
    s3.put_object(Bucket="garbage", Key="overwritten", Body=os.urandom(16 * MIB))
    s3.put_object(Bucket="garbage", Key="deleted", Body=os.urandom(16 * MIB))
    upload = s3.create_multipart_upload(Bucket="garbage", Key="aborted")["UploadId"]
    s3.upload_part(
        Bucket="garbage", Key="aborted", UploadId=upload, PartNumber=1, Body=os.urandom(16 * MIB)
    )
    assert chunk_bytes_on_disk(own_cluster.data_dir) >= 3 * 51 * MIB
    s3.put_object(Bucket="garbage", Key="overwritten", Body=b"small")
    s3.delete_object(Bucket="garbage", Key="deleted")
    s3.abort_multipart_upload(Bucket="garbage", Key="aborted", UploadId=upload)
    wait_until(
        lambda: chunk_bytes_on_disk(own_cluster.data_dir) <= 3 * (16 + 4) * MIB,
        deadline_s=120,
        what="the disk gets the bytes back",
    )
    assert s3.get_object(Bucket="garbage", Key="kept")["Body"].read() == kept


def test_two_zones_burn_and_the_third_goes_on(own_cluster: Cluster) -> None:
    s3 = Server(own_cluster.endpoint, own_cluster.credentials).client()
    s3.create_bucket(Bucket="survivor")
    bodies = {f"k{n}": os.urandom(3 * MIB if n % 3 == 0 else 2000) for n in range(9)}
    for key, body in bodies.items():
        s3.put_object(Bucket="survivor", Key=key, Body=body)

    def read_all() -> None:
        for key, body in bodies.items():
            assert s3.get_object(Bucket="survivor", Key=key)["Body"].read() == body

    recover = ("recover", "--from-zone", "az1", "--yes", "--data", str(own_cluster.data_dir))
    with pytest.raises(CalledProcessError):
        run_trilith(*recover)  # the others run
    table = _table_with_an_item(own_cluster)
    for zone in ("az2", "az3"):
        own_cluster.zone("kill", zone)
        shutil.rmtree(own_cluster.data_dir / zone)
    _reads_of_a_moment_ago_go_on(table)
    assert "everything that was ever acknowledged" in run_trilith(*recover)
    wait_until(lambda: succeeds(read_all), deadline_s=READABLE_S_MAX, what="reads from az1 alone")
    assert not succeeds(lambda: s3.put_object(Bucket="survivor", Key="no", Body=b"x"))
    for zone in ("az2", "az3"):
        own_cluster.zone("start", zone)
    own_cluster.wait_in_sync(deadline_s=120)
    s3.put_object(Bucket="survivor", Key="new", Body=b"x")
    own_cluster.zone("kill", "az1")
    wait_until(lambda: succeeds(read_all), deadline_s=60, what="reads from the rebuilt zones")


def _table_with_an_item(cluster: Cluster) -> Any:
    table = boto3.resource(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{cluster.ports['dynamodb']}",
        aws_access_key_id=cluster.credentials.access_key,
        aws_secret_access_key=cluster.credentials.secret_key,
        region_name=cluster.credentials.region,
        config=Config(retries={"total_max_attempts": 1}),
    ).create_table(
        TableName="survivor",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table.put_item(Item={"id": "item"})
    return table


def _reads_of_a_moment_ago_go_on(table: Any) -> None:
    """Before anybody recovers; nothing proves that they are current."""
    item = {"id": "item"}

    def refused() -> bool:
        return not succeeds(lambda: table.get_item(Key=item, ConsistentRead=True))

    wait_until(refused, deadline_s=60, what="the leases are over")
    assert not succeeds(lambda: table.put_item(Item=item))
    assert table.get_item(Key=item)["Item"] == item
    assert table.scan()["Items"] == [item]
    assert table.query(KeyConditionExpression=Key("id").eq("item"))["Items"] == [item]


def test_the_zone_that_is_left_has_all_it_had_before_splits_it_missed(
    start_cluster: Callable[..., Cluster],
) -> None:
    cluster = start_cluster(environment=EAGER_TO_SPLIT)
    try:
        _lose_all_but_one_that_missed_splits(cluster)
    finally:
        cluster.remove()


def _lose_all_but_one_that_missed_splits(cluster: Cluster) -> None:
    s3 = Server(cluster.endpoint, cluster.credentials).client()
    s3.create_bucket(Bucket="missed")
    bodies = {f"k{n:03}": b"body of %d" % n for n in range(12)}  # too few to be split for
    for key, body in bodies.items():
        s3.put_object(Bucket="missed", Key=key, Body=body)
    cluster.wait_in_sync(deadline_s=60)
    before = len(cluster.status()["partitions"])
    cluster.zone("kill", "az3")
    split = threading.Event()

    def overwrite(worker: int) -> None:
        own = Server(cluster.endpoint, cluster.credentials).client()
        keys = itertools.cycle(list(bodies)[worker::WRITERS])
        while not split.is_set():
            key = next(keys)
            succeeds(lambda key=key: own.put_object(Bucket="missed", Key=key, Body=b"later"))

    with ThreadPoolExecutor(WRITERS) as pool:
        try:
            writers = [pool.submit(overwrite, number) for number in range(WRITERS)]
            wait_until(
                lambda: len(cluster.status()["partitions"]) > before,
                deadline_s=SPLIT_WITHIN_S,
                what="a split",
            )
        finally:
            split.set()
    assert not any(writer.exception() for writer in writers)
    for zone in ("az1", "az2"):
        cluster.zone("kill", zone)
        shutil.rmtree(cluster.data_dir / zone)
    cluster.zone("start", "az3")
    recover = ("recover", "--from-zone", "az3", "--yes", "--data", str(cluster.data_dir), "--json")
    told = json.loads(run_trilith(*recover))
    assert told["settled"]
    assert len(told["partitions"]) == before
    assert all(p["complete"] or p["complete_until"] for p in told["partitions"])

    def read_all() -> None:
        for key, body in bodies.items():
            assert s3.get_object(Bucket="missed", Key=key)["Body"].read() in (body, b"later")

    wait_until(lambda: succeeds(read_all), deadline_s=READABLE_S_MAX, what="reads from az3 alone")
    for zone in ("az1", "az2"):
        cluster.zone("start", zone)
    cluster.wait_in_sync(deadline_s=120)
    s3.put_object(Bucket="missed", Key="new", Body=b"x")
    cluster.zone("kill", "az3")
    wait_until(lambda: succeeds(read_all), deadline_s=60, what="reads from the rebuilt zones")


def test_what_the_last_zone_was_never_given_is_named(
    start_cluster: Callable[..., Cluster],
) -> None:
    slow = {"TRILITH_CHUNKS__REPAIR_BYTES_PER_SECOND_MAX": str(MIB)}
    cluster = start_cluster(environment=slow)
    try:
        _lose_two_zones_while_the_third_repairs(cluster)
    finally:
        cluster.remove()


def _owed_to(cluster: Cluster, zone: str) -> list[dict[str, Any]]:
    status = cluster.status()
    (node,) = next(z for z in status["zones"] if z["name"] == zone)["nodes"]
    facts = status.get("node_facts", {}).get(node["id"], {})
    return list(facts.get("owed_chunks") or ())


def _lose_two_zones_while_the_third_repairs(cluster: Cluster) -> None:
    s3 = Server(cluster.endpoint, cluster.credentials).client()
    s3.create_bucket(Bucket="owed")
    whole = os.urandom(3 * MIB)
    s3.put_object(Bucket="owed", Key="whole", Body=whole)
    cluster.zone("kill", "az3")
    s3.put_object(Bucket="owed", Key="missed", Body=os.urandom(32 * MIB))
    cluster.zone("start", "az3")
    wait_until(lambda: bool(_owed_to(cluster, "az3")), deadline_s=60, what="az3 has the log")
    assert "chunks that a zone lacks: az3" in run_trilith("status", "--data", str(cluster.data_dir))
    for zone in ("az1", "az2"):
        cluster.zone("kill", zone)
        shutil.rmtree(cluster.data_dir / zone)
    recover = ("recover", "--from-zone", "az3", "--yes", "--data", str(cluster.data_dir))
    told = json.loads(run_trilith(*recover, "--json"))
    assert told["settled"]
    (lacking,) = [p for p in told["partitions"] if p["chunks_lacking"]]
    assert not lacking["complete"]
    assert lacking["objects"] == ["owed/missed"]
    assert "had not been given yet are lost with the other zones" in run_trilith(*recover)

    def read_whole() -> None:
        assert s3.get_object(Bucket="owed", Key="whole")["Body"].read() == whole

    wait_until(lambda: succeeds(read_whole), deadline_s=READABLE_S_MAX, what="reads from az3")
    for zone in ("az1", "az2"):
        cluster.zone("start", zone)
    cluster.wait_in_sync(deadline_s=120)
    named = [entry["objects"] for entry in cluster.status()["quarantine"]]
    assert ["owed/missed"] in named
    cluster.zone("kill", "az3")
    wait_until(lambda: succeeds(read_whole), deadline_s=60, what="reads from the others")
    cluster.zone("start", "az3")
    cluster.wait_in_sync(deadline_s=120)
    with pytest.raises((ClientError, BotoCoreError)):
        s3.get_object(Bucket="owed", Key="missed")["Body"].read()
