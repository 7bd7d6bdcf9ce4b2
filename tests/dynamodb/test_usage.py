"""What a table holds, as DescribeTable and ItemCollectionMetrics say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.dynamodb.local_app import LocalApp

from trilith.tables import usage as table_usage

NAME = "counted"


@pytest.fixture
def app() -> LocalApp:
    app = LocalApp()
    app.ok(
        "CreateTable",
        TableName=NAME,
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
            {"AttributeName": "rank", "AttributeType": "N"},
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by_rank",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "rank", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return app


def item(number: int, **others: Any) -> dict[str, Any]:
    return {"pk": {"S": f"p{number % 7}"}, "sk": {"N": str(number)}, **others}


def describe(app: LocalApp) -> dict[str, Any]:
    table: dict[str, Any] = app.ok("DescribeTable", TableName=NAME)["Table"]
    return table


def fill(app: LocalApp, count: int) -> None:
    for number in range(count):
        ranked = {"rank": {"N": "1"}} if number % 2 else {}
        app.ok("PutItem", TableName=NAME, Item=item(number, **ranked))


def test_items_and_index_entries_are_counted_as_they_are(app: LocalApp) -> None:
    assert describe(app)["ItemCount"] == 0
    fill(app, 30)
    app.ok("DeleteItem", TableName=NAME, Key=item(3))
    table = describe(app)
    assert table["ItemCount"] == 29
    # pk and p0, sk and a number of two bytes (but 0 has one), and half of them rank and another.
    assert table["TableSizeBytes"] == 29 * (2 + 2 + 2 + 2) - 1 + 14 * (4 + 2)
    index = table["LocalSecondaryIndexes"][0]
    assert index["ItemCount"] == 14
    assert index["IndexSizeBytes"] == 14 * (2 + 2 + 2 + 2 + 4 + 2)


def test_a_large_table_is_counted_in_the_background(
    app: LocalApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_usage, "AT_ONCE_RECORDS_MAX", 10)
    monkeypatch.setattr(table_usage, "RUN_RECORDS", 4)
    monkeypatch.setattr(table_usage, "PAUSE_S", 0.0)
    fill(app, 40)
    assert 0 < describe(app)["ItemCount"] < 40, "what has been counted so far"
    assert describe(app)["ItemCount"] == 40
    fill(app, 50)
    assert describe(app)["ItemCount"] == 40, "the last full count"
    monkeypatch.setattr(table_usage, "REFRESH_S", 0.0)
    describe(app)
    assert describe(app)["ItemCount"] == 50


def test_a_write_tells_the_size_of_its_collection_when_asked(app: LocalApp) -> None:
    expected = {"ItemCollectionKey": {"pk": {"S": "p1"}}, "SizeEstimateRangeGB": [0.0, 1.0]}
    asked = {"TableName": NAME, "ReturnItemCollectionMetrics": "SIZE"}
    assert app.ok("PutItem", Item=item(1), **asked)["ItemCollectionMetrics"] == expected
    update = {"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}
    found = app.ok("UpdateItem", Key=item(1), **asked, **update)
    assert found["ItemCollectionMetrics"] == expected
    assert app.ok("DeleteItem", Key=item(1), **asked)["ItemCollectionMetrics"] == expected
    batch = [{"PutRequest": {"Item": item(number)}} for number in (1, 2, 8)]
    answer = app.ok(
        "BatchWriteItem", RequestItems={NAME: batch}, ReturnItemCollectionMetrics="SIZE"
    )
    keys = [one["ItemCollectionKey"]["pk"]["S"] for one in answer["ItemCollectionMetrics"][NAME]]
    assert keys == ["p1", "p2"]
    assert app.ok("PutItem", TableName=NAME, Item=item(1)) == {}


def test_a_collection_is_measured_with_its_index_entries(
    app: LocalApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trilith.dynamodb.operations.collections._GIB", 10)
    fill(app, 3)
    asked = {"TableName": NAME, "ReturnItemCollectionMetrics": "SIZE"}
    found = app.ok("PutItem", Item=item(1, rank={"N": "1"}), **asked)["ItemCollectionMetrics"]
    assert found["SizeEstimateRangeGB"] == [2.0, 3.0], "an item and an entry of 14 bytes each"
