"""DynamoDB by boto3 over real sockets: the everyday use of a table."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

from .cluster import Cluster

KEYS: dict[str, Any] = {
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "N"},
        {"AttributeName": "rank", "AttributeType": "S"},
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by_rank",
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "rank", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}


def options(cluster: Cluster) -> dict[str, Any]:
    return {
        "endpoint_url": f"http://127.0.0.1:{cluster.ports['dynamodb']}",
        "aws_access_key_id": cluster.credentials.access_key,
        "aws_secret_access_key": cluster.credentials.secret_key,
        "region_name": cluster.credentials.region,
        "config": Config(retries={"total_max_attempts": 1}),
    }


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Any:
    return boto3.client("dynamodb", **options(cluster))


@pytest.fixture(scope="module")
def resource(cluster: Cluster) -> Any:
    return boto3.resource("dynamodb", **options(cluster))


@pytest.fixture(scope="module")
def make_table(resource: Any) -> Iterator[Callable[[], Any]]:
    """Creates tables that are deleted at the end."""
    made = []

    def make() -> Any:
        table = resource.create_table(TableName=f"conformance-{secrets.token_hex(6)}", **KEYS)
        table.wait_until_exists()
        made.append(table)
        return table

    yield make
    for table in made:
        table.delete()
    gone = resource.meta.client.get_waiter("table_not_exists")
    for table in made:
        gone.wait(TableName=table.name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


@pytest.fixture
def table(make_table: Callable[[], Any]) -> Any:
    return make_table()


def failure(call: Callable[..., Any], **members: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as failed:
        call(**members)
    response: dict[str, Any] = failed.value.response
    return response


def test_every_type_comes_back_as_it_went(table: Any) -> None:
    item = {
        "pk": "types",
        "sk": Decimal("-1.5"),
        "text": "\u00e9\U0001f600",
        "empty": "",
        "number": Decimal("123456789012345678901234567890.12345678"),
        "raw": b"\x00\xff",
        "yes": True,
        "none": None,
        "list": [1, "two", [b"3"], {"four": {5}}],
        "texts": {"a", ""},
        "numbers": {Decimal(1), Decimal("2.5")},
        "raws": {b"a", b"b"},
    }
    table.put_item(Item=item)
    found = table.get_item(Key={"pk": "types", "sk": Decimal("-1.5")}, ConsistentRead=True)["Item"]
    assert found == item


def test_a_counter_counts_every_update_once(table: Any) -> None:
    key = {"pk": "counter", "sk": 0}
    for expected in range(1, 11):
        answer = table.update_item(
            Key=key,
            UpdateExpression="ADD hits :one",
            ExpressionAttributeValues={":one": 1},
            ReturnValues="UPDATED_NEW",
        )
        assert answer["Attributes"] == {"hits": expected}


def test_a_failed_condition_shows_the_item_and_changes_nothing(table: Any) -> None:
    key = {"pk": "guarded", "sk": 1}
    table.put_item(Item={**key, "version": 3}, ConditionExpression=Attr("pk").not_exists())
    failed = failure(
        table.put_item,
        Item={**key, "version": 4},
        ConditionExpression=Attr("version").eq(2),
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    assert failed["Error"]["Code"] == "ConditionalCheckFailedException"
    assert failed["Item"]["version"] == {"N": "3"}
    assert table.get_item(Key=key, ConsistentRead=True)["Item"]["version"] == 3


def test_a_query_runs_in_both_directions_with_filters_and_pages(table: Any) -> None:
    with table.batch_writer() as batch:
        for number in range(-20, 20):
            batch.put_item(Item={"pk": "q", "sk": number, "even": number % 2 == 0})
    condition = Key("pk").eq("q") & Key("sk").between(-5, 5)
    found = table.query(KeyConditionExpression=condition, ConsistentRead=True)
    assert [item["sk"] for item in found["Items"]] == list(range(-5, 6))
    last = table.query(
        KeyConditionExpression=Key("pk").eq("q"),
        ScanIndexForward=False,
        Limit=3,
        ConsistentRead=True,
    )
    assert [item["sk"] for item in last["Items"]] == [19, 18, 17]
    even = table.query(
        KeyConditionExpression=Key("pk").eq("q"),
        FilterExpression=Attr("even").eq(True),
        ProjectionExpression="sk",
        Limit=10,
        ConsistentRead=True,
    )
    assert (even["Count"], even["ScannedCount"]) == (5, 10)
    assert even["Items"][0] == {"sk": -20}


def test_a_scan_in_segments_and_pages_finds_every_item_once(table: Any) -> None:
    with table.batch_writer() as batch:
        for number in range(150):
            batch.put_item(Item={"pk": f"p{number}", "sk": number})
    found = []
    for segment in range(4):
        start: dict[str, Any] = {}
        while True:
            page = table.scan(
                Segment=segment, TotalSegments=4, Limit=17, ConsistentRead=True, **start
            )
            found += [item["sk"] for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert sorted(found) == list(range(150))


def test_a_local_index_is_as_fresh_as_its_table(table: Any) -> None:
    for number, rank in enumerate(["c", "a", "b"]):
        table.put_item(Item={"pk": "i", "sk": number, "rank": rank, "note": "n"})

    def ranks(**members: Any) -> list[Any]:
        answer = table.query(
            IndexName="by_rank",
            KeyConditionExpression=Key("pk").eq("i"),
            ConsistentRead=True,
            **members,
        )
        return list(answer["Items"])

    assert [item["rank"] for item in ranks()] == ["a", "b", "c"]
    assert "note" not in ranks()[0]
    assert ranks(Select="ALL_ATTRIBUTES")[0]["note"] == "n"
    table.update_item(
        Key={"pk": "i", "sk": 1},
        UpdateExpression="REMOVE #r",
        ExpressionAttributeNames={"#r": "rank"},
    )
    table.delete_item(Key={"pk": "i", "sk": 2})
    assert [item["rank"] for item in ranks()] == ["c"]


def test_a_batch_reads_what_is_there(client: Any, table: Any) -> None:
    table.put_item(Item={"pk": "b", "sk": 1})
    keys = [{"pk": {"S": "b"}, "sk": {"N": str(number)}} for number in range(3)]
    answer = client.batch_get_item(
        RequestItems={table.name: {"Keys": keys, "ConsistentRead": True}}
    )
    assert answer["Responses"][table.name] == [{"pk": {"S": "b"}, "sk": {"N": "1"}}]
    assert answer["UnprocessedKeys"] == {}


def test_legacy_parameters_still_work(client: Any, table: Any) -> None:
    key = {"pk": {"S": "old"}, "sk": {"N": "1"}}
    client.put_item(TableName=table.name, Item=key, Expected={"pk": {"Exists": False}})
    answer = client.update_item(
        TableName=table.name,
        Key=key,
        AttributeUpdates={"hits": {"Action": "ADD", "Value": {"N": "4"}}},
        ReturnValues="ALL_NEW",
    )
    assert answer["Attributes"] == {**key, "hits": {"N": "4"}}
    found = client.query(
        TableName=table.name,
        KeyConditions={
            "pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "old"}]},
        },
        AttributesToGet=["hits"],
        ConsistentRead=True,
    )
    assert found["Items"] == [{"hits": {"N": "4"}}]


def test_items_survive_a_restart_and_are_only_ciphertext_on_disk(
    start_cluster: Callable[..., Cluster],
) -> None:
    own = start_cluster()
    resource = boto3.resource("dynamodb", **options(own))
    table = resource.create_table(TableName="kept", **KEYS)
    value = "plain-" + secrets.token_hex(16)
    table.put_item(Item={"pk": "kept", "sk": 1, "rank": "r", "secret": value})
    table.update_item(
        Key={"pk": "kept", "sk": 1},
        UpdateExpression="SET more = :v",
        ExpressionAttributeValues={":v": value + "-more"},
        ReturnValues="ALL_NEW",
    )
    assert own.stop() == 0
    for path in own.data_dir.rglob("*"):
        if path.is_file() and "logs" not in path.parts:
            assert value.encode() not in path.read_bytes(), path
    own.start()
    found = table.get_item(Key={"pk": "kept", "sk": 1}, ConsistentRead=True)["Item"]
    assert found["secret"] == value
    assert found["more"] == value + "-more"


def test_a_dead_zone_loses_no_item(start_cluster: Callable[..., Cluster]) -> None:
    own = start_cluster()
    config = Config(retries={"total_max_attempts": 10, "mode": "standard"}, read_timeout=20)
    resource = boto3.resource("dynamodb", **{**options(own), "config": config})
    table = resource.create_table(TableName="alive", **KEYS)
    for number in range(60):
        table.put_item(Item={"pk": f"before{number}", "sk": number})
    (leads,) = {one["leader_zone"] for one in own.partitions("tables")}
    own.zone("kill", leads)
    for number in range(60):
        table.put_item(Item={"pk": f"after{number}", "sk": number})
    count = table.scan(ConsistentRead=True, Select="COUNT")["Count"]
    assert count == 120


def test_the_port_and_the_partitions_are_shown(cluster: Cluster) -> None:
    assert cluster.ports["dynamodb"]
    assert len(cluster.partitions("tables")) >= 3
    code, metrics = cluster.http_get("/metrics")
    assert code == 200
    assert "trilith_dynamodb_requests_total" in metrics
