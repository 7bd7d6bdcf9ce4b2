"""Global indexes by boto3 on real processes: fed and made while writes go on and zones die."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Key
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .cluster import Cluster
from .processes import wait_until

FED_S_MAX = 20.0
ACTIVE_S_MAX = 90.0
BY_GROUP: dict[str, Any] = {
    "IndexName": "by_group",
    "KeySchema": [
        {"AttributeName": "group", "KeyType": "HASH"},
        {"AttributeName": "score", "KeyType": "RANGE"},
    ],
    "Projection": {"ProjectionType": "ALL"},
}
DEFINITIONS = [
    {"AttributeName": "pk", "AttributeType": "S"},
    {"AttributeName": "group", "AttributeType": "S"},
    {"AttributeName": "score", "AttributeType": "N"},
]


def resource_of(cluster: Cluster, attempts: int = 1) -> Any:
    return boto3.resource(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{cluster.ports['dynamodb']}",
        aws_access_key_id=cluster.credentials.access_key,
        aws_secret_access_key=cluster.credentials.secret_key,
        region_name=cluster.credentials.region,
        config=Config(
            retries={"total_max_attempts": attempts, "mode": "standard"},
            connect_timeout=5,
            read_timeout=30,
        ),
    )


@pytest.fixture(scope="module")
def resource(cluster: Cluster) -> Any:
    return resource_of(cluster)


def make_table(resource: Any, name: str, *, indexed: bool) -> Any:
    table = resource.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=DEFINITIONS if indexed else DEFINITIONS[:1],
        BillingMode="PAY_PER_REQUEST",
        **({"GlobalSecondaryIndexes": [BY_GROUP]} if indexed else {}),
    )
    table.wait_until_exists()
    return table


def all_of(read: Callable[..., Any], **members: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = read(**members)
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            return found
        members["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def by_key(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda one: str(one["pk"]))


def index_of(table: Any, name: str = "by_group") -> dict[str, Any] | None:
    table.reload()
    for one in table.global_secondary_indexes or []:
        if one["IndexName"] == name:
            return dict(one)
    return None


def equals_soon(table: Any, expected: dict[str, dict[str, Any]]) -> None:
    """The index holds exactly the items that have its keys, each once."""
    wanted = by_key([one for one in expected.values() if "group" in one and "score" in one])
    wait_until(
        lambda: by_key(all_of(table.scan, IndexName="by_group")) == wanted,
        deadline_s=FED_S_MAX,
        what="the index is what the table says",
    )


class Writer:
    """Writes random items until stopped; a write whose outcome is unknown is repeated."""

    def __init__(self, table: Any, seed: int) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self._table = table
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._prefix = f"w{seed}-"
        self.failure: BaseException | None = None
        self.writes = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._write()
                self.writes += 1
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.failure = error

    def _write(self) -> None:
        draw = self._random
        pk = f"{self._prefix}{draw.randrange(60)}"
        if draw.random() < 0.2:
            self._until_done(lambda: self._table.delete_item(Key={"pk": pk}))
            self.items.pop(pk, None)
            return
        item: dict[str, Any] = {"pk": pk, "note": "n" * draw.randrange(40)}
        if draw.random() < 0.8:
            item["group"] = f"g{draw.randrange(4)}"
        if draw.random() < 0.9:
            item["score"] = draw.randrange(10)
        self._until_done(lambda: self._table.put_item(Item=item))
        self.items[pk] = item

    def _until_done(self, write: Callable[[], Any]) -> None:
        for _ in range(200):
            try:
                write()
            except (ClientError, BotoCoreError):
                self._stop.wait(0.1)
            else:
                return
        raise AssertionError("a write did not go through")

    def stop(self) -> dict[str, dict[str, Any]]:
        self._stop.set()
        self._thread.join()
        assert self.failure is None, self.failure
        return self.items


def test_an_index_follows_puts_updates_and_deletes(resource: Any) -> None:
    table = make_table(resource, "followed", indexed=True)
    index = index_of(table)
    assert index is not None
    assert index["IndexStatus"] == "ACTIVE"
    expected: dict[str, dict[str, Any]] = {}
    for number in range(30):
        one: dict[str, Any] = {"pk": f"p{number}", "group": f"g{number % 3}", "score": number}
        expected[one["pk"]] = one
        table.put_item(Item=one)
    equals_soon(table, expected)
    query: dict[str, Any] = {
        "IndexName": "by_group",
        "KeyConditionExpression": Key("group").eq("g1") & Key("score").between(4, 20),
    }
    scores = [int(one["score"]) for one in all_of(table.query, Limit=2, **query)]
    assert scores == [4, 7, 10, 13, 16, 19]
    backwards = all_of(table.query, Limit=4, ScanIndexForward=False, **query)
    assert [int(one["score"]) for one in backwards] == scores[::-1]
    table.update_item(
        Key={"pk": "p1"},
        UpdateExpression="SET #g = :g",
        ExpressionAttributeNames={"#g": "group"},
        ExpressionAttributeValues={":g": "g9"},
    )
    table.update_item(
        Key={"pk": "p2"}, UpdateExpression="REMOVE #g", ExpressionAttributeNames={"#g": "group"}
    )
    table.delete_item(Key={"pk": "p3"})
    expected["p1"] = {**expected["p1"], "group": "g9"}
    del expected["p2"], expected["p3"]
    equals_soon(table, expected)
    table.delete()
    table.wait_until_not_exists()


def test_an_index_is_made_and_unmade_while_writes_go_on(resource: Any) -> None:
    table = make_table(resource, "online", indexed=False)
    old = {f"old{n}": {"pk": f"old{n}", "group": f"g{n % 5}", "score": n} for n in range(300)}
    with table.batch_writer() as batch:
        for one in old.values():
            batch.put_item(Item=one)
        batch.put_item(Item={"pk": "unfit", "group": 7, "score": 1})
    writers = [Writer(table, seed) for seed in (1, 2)]
    table.update(
        AttributeDefinitions=DEFINITIONS, GlobalSecondaryIndexUpdates=[{"Create": BY_GROUP}]
    )
    wait_until(
        lambda: (index_of(table) or {}).get("IndexStatus") == "ACTIVE",
        deadline_s=ACTIVE_S_MAX,
        what="the index is active",
    )
    expected = dict(old)
    for writer in writers:
        expected.update(writer.stop())
    equals_soon(table, expected)
    table.update(GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by_group"}}])
    wait_until(lambda: index_of(table) is None, deadline_s=ACTIVE_S_MAX, what="it is gone")
    table.reload()
    assert [one["AttributeName"] for one in table.attribute_definitions] == ["pk"]
    with pytest.raises(ClientError, match="does not have the specified index: by_group"):
        table.scan(IndexName="by_group")
    table.delete()


def test_an_index_is_exact_when_zones_die_while_it_is_made_and_fed(own_cluster: Cluster) -> None:
    own_cluster.spread_tables()  # entries are fed from partition to partition
    resource = resource_of(own_cluster, attempts=4)
    table = make_table(resource, "zones", indexed=False)
    old = {f"old{n}": {"pk": f"old{n}", "group": f"g{n % 5}", "score": n} for n in range(2000)}
    with table.batch_writer() as batch:
        for one in old.values():
            batch.put_item(Item=one)
    writers = [Writer(table, seed) for seed in (1, 2)]
    table.update(
        AttributeDefinitions=DEFINITIONS, GlobalSecondaryIndexUpdates=[{"Create": BY_GROUP}]
    )
    for zone in ("az1", "az2"):
        own_cluster.zone("kill", zone)
        wait_until(
            lambda: (index_of(table) or {}).get("IndexStatus") == "ACTIVE",
            deadline_s=ACTIVE_S_MAX,
            what="the index is active",
        )
        before = [writer.writes for writer in writers]
        wait_until(
            lambda before=before: all(  # type: ignore[misc]
                writer.writes > count + 20 or writer.failure
                for writer, count in zip(writers, before, strict=True)
            ),
            deadline_s=60,
            what="writes go on",
        )
        own_cluster.zone("start", zone)
        own_cluster.wait_in_sync(deadline_s=120)
    expected = dict(old)
    for writer in writers:
        expected.update(writer.stop())
    equals_soon(table, expected)
