"""Transactions by boto3 over real sockets, also while a zone is killed."""

from __future__ import annotations

import random
import secrets
import threading
import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .cluster import Cluster
from .processes import wait_until

START = 1000
ACCOUNTS = 24


def client_of(cluster: Cluster, attempts: int = 1) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{cluster.ports['dynamodb']}",
        aws_access_key_id=cluster.credentials.access_key,
        aws_secret_access_key=cluster.credentials.secret_key,
        region_name=cluster.credentials.region,
        config=Config(
            retries={"total_max_attempts": attempts},
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=20,
        ),
    )


def create_table(client: Any) -> str:
    name = f"bank-{secrets.token_hex(6)}"
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def key(number: int) -> dict[str, Any]:
    return {"pk": {"S": f"account-{number}"}}


def transfer(table: str, source: int, target: int, amount: int) -> list[dict[str, Any]]:
    def add(account: int, change: int, **more: Any) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": table,
                "Key": key(account),
                "UpdateExpression": "SET n = n + :a",
                "ExpressionAttributeValues": {":a": {"N": str(change)}},
                **more,
            }
        }

    return [add(source, -amount, ConditionExpression="attribute_exists(pk)"), add(target, amount)]


class Bank:
    """Threads that move money, and threads that count it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.client = client_of(cluster, attempts=5)
        self.table = create_table(self.client)
        for number in range(ACCOUNTS):
            self.client.put_item(TableName=self.table, Item={**key(number), "n": {"N": str(START)}})
        self.moved = 0
        self.counted = 0
        self.torn: list[int] = []

    def _move(self, seed: int) -> None:
        client, draw = client_of(self._cluster, attempts=3), random.Random(seed)
        while not self._stop.is_set():
            source, target = draw.sample(range(ACCOUNTS), 2)
            try:
                client.transact_write_items(
                    TransactItems=transfer(self.table, source, target, draw.randrange(1, 20))
                )
            except (ClientError, BotoCoreError):
                continue  # refused, or unknown: all or nothing either way
            self.moved += 1

    def _count(self) -> None:
        client = client_of(self._cluster, attempts=1)
        while not self._stop.is_set():
            total = self.total(client)
            if total is None:
                continue
            self.counted += 1
            if total != START * ACCOUNTS:
                self.torn.append(total)

    def total(self, client: Any) -> int | None:
        gets = [{"Get": {"TableName": self.table, "Key": key(n)}} for n in range(ACCOUNTS)]
        try:
            answer = client.transact_get_items(TransactItems=gets)
        except (ClientError, BotoCoreError):
            return None
        return sum(int(one["Item"]["n"]["N"]) for one in answer["Responses"])

    def start(self, movers: int = 4) -> None:
        works: list[Any] = [(self._move, (seed,)) for seed in range(movers)]
        works.append((self._count, ()))
        self._threads = [threading.Thread(target=work, args=given) for work, given in works]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_transaction_writes_everywhere_or_nowhere(cluster: Cluster) -> None:
    client = client_of(cluster)
    table = create_table(client)
    puts = [{"Put": {"TableName": table, "Item": {**key(n), "v": {"S": "1"}}}} for n in range(100)]
    client.transact_write_items(TransactItems=puts)
    assert client.scan(TableName=table, ConsistentRead=True)["Count"] == 100
    with pytest.raises(client.exceptions.TransactionCanceledException) as refused:
        client.transact_write_items(
            TransactItems=[
                {"Delete": {"TableName": table, "Key": key(1)}},
                {
                    "ConditionCheck": {
                        "TableName": table,
                        "Key": key(2),
                        "ConditionExpression": "v = :v",
                        "ExpressionAttributeValues": {":v": {"S": "2"}},
                        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                    }
                },
            ]
        )
    reasons = refused.value.response["CancellationReasons"]
    assert [one["Code"] for one in reasons] == ["None", "ConditionalCheckFailed"]
    assert reasons[1]["Item"] == {**key(2), "v": {"S": "1"}}
    assert client.scan(TableName=table, ConsistentRead=True)["Count"] == 100


def test_a_transaction_is_seen_by_every_read_that_follows_it(cluster: Cluster) -> None:
    client = client_of(cluster)
    table = create_table(client)
    for turn in range(30):
        names = [turn * 10 + n for n in range(4)]
        client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": table, "Item": {**key(n), "v": {"N": str(turn)}}}}
                for n in names
            ]
        )
        for n in names:
            assert client.get_item(TableName=table, Key=key(n))["Item"]["v"] == {"N": str(turn)}
        found = client.scan(TableName=table, ConsistentRead=True)["Items"]
        assert len(found) == 4 * (turn + 1)


def test_a_client_token_applies_once_over_all_gateways(cluster: Cluster) -> None:
    table = create_table(client_of(cluster))
    adding = [
        {
            "Update": {
                "TableName": table,
                "Key": key(n),
                "UpdateExpression": "ADD n :one",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            }
        }
        for n in range(3)
    ]
    for _ in range(6):  # each client has a connection, and so perhaps a gateway, of its own
        client_of(cluster).transact_write_items(TransactItems=adding, ClientRequestToken="once")
    client = client_of(cluster)
    for n in range(3):
        found = client.get_item(TableName=table, Key=key(n), ConsistentRead=True)
        assert found["Item"]["n"] == {"N": "1"}
    with pytest.raises(client.exceptions.IdempotentParameterMismatchException):
        client.transact_write_items(TransactItems=adding[:2], ClientRequestToken="once")


def test_transfers_preserve_the_sum_while_a_zone_is_killed(own_cluster: Cluster) -> None:
    own_cluster.spread_tables()
    bank = Bank(own_cluster)
    bank.start()
    try:
        wait_until(
            lambda: bank.moved > 30 and bank.counted > 1, what="transfers begin", deadline_s=60
        )
        for zone in ("az1", "az2"):
            own_cluster.zone("kill", zone)
            wait_until(
                lambda moved=bank.moved: bank.moved > moved + 30,
                what="transfers go on",
                deadline_s=60,
            )
            own_cluster.zone("start", zone)
            own_cluster.wait_in_sync()
    finally:
        bank.stop()
    deadline = time.monotonic() + 60
    total = bank.total(bank.client)
    while total is None and time.monotonic() < deadline:
        total = bank.total(bank.client)
    assert total == START * ACCOUNTS
    assert not bank.torn
    assert bank.counted > 1
