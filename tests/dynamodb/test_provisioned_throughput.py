"""Throttling as a client sees it: provisioned tables run dry, on-demand tables do not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.dynamodb.local_app import LocalApp

from trilith.tables import layout
from trilith.tables.throughput import Kind

BURST = 300  # units that a table of one unit a second starts with


@pytest.fixture
def app() -> LocalApp:
    return LocalApp()


def create(app: LocalApp, name: str, **members: Any) -> None:
    app.ok(
        "CreateTable",
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        **members,
    )


def provisioned(app: LocalApp, name: str = "tight") -> str:
    create(app, name, ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1})
    return name


def put(app: LocalApp, name: str, pk: str = "a", size: int = 1) -> Any:
    item = {"pk": {"S": pk}, "v": {"S": "x" * size}}
    return app.call("PutItem", TableName=name, Item=item)


def run_dry(app: LocalApp, name: str) -> None:
    """One write of 300 KB costs what five minutes give."""
    assert put(app, name, size=301 * 1024).status == 200


def test_writes_beyond_the_burst_are_throttled_and_change_nothing(app: LocalApp) -> None:
    name = provisioned(app)
    run_dry(app, name)
    refused = put(app, name, "b")
    assert (refused.status, refused.error) == (400, "ProvisionedThroughputExceededException")
    assert refused.json()["message"].startswith(
        "The level of configured provisioned throughput for the table was exceeded."
    )
    key = {"pk": {"S": "b"}}
    assert app.ok("GetItem", TableName=name, Key=key, ConsistentRead=True) == {}


def test_reads_have_units_of_their_own(app: LocalApp) -> None:
    name = provisioned(app)
    run_dry(app, name)
    request = {"TableName": name, "Key": {"pk": {"S": "a"}}, "ConsistentRead": True}
    for _ in range(5):  # 76 units each
        reply = app.call("GetItem", **request)
    assert reply.error == "ProvisionedThroughputExceededException"
    assert app.call("Scan", TableName=name).error == "ProvisionedThroughputExceededException"
    query = app.call(
        "Query",
        TableName=name,
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": "a"}},
    )
    assert query.error == "ProvisionedThroughputExceededException"


def test_a_failed_condition_costs_as_much_as_a_write(app: LocalApp) -> None:
    name = provisioned(app)
    assert put(app, name, size=149 * 1024).status == 200
    request = {"TableName": name, "Key": {"pk": {"S": "a"}}}
    for _ in range(2):
        reply = app.call("DeleteItem", **request, ConditionExpression="attribute_not_exists(pk)")
        assert reply.error == "ConditionalCheckFailedException"
    assert app.call("DeleteItem", **request).error == "ProvisionedThroughputExceededException"


def test_a_batch_hands_back_what_there_were_no_units_for(app: LocalApp) -> None:
    create(app, "free", BillingMode="PAY_PER_REQUEST")
    name = provisioned(app)
    run_dry(app, name)
    writes = [{"PutRequest": {"Item": {"pk": {"S": "n"}}}}]
    answer = app.ok("BatchWriteItem", RequestItems={name: writes, "free": writes})
    assert answer["UnprocessedItems"] == {name: writes}
    only = app.call("BatchWriteItem", RequestItems={name: writes})
    assert only.error == "ProvisionedThroughputExceededException"
    for _ in range(4):
        app.call("GetItem", TableName=name, Key={"pk": {"S": "a"}}, ConsistentRead=True)
    keys = {"Keys": [{"pk": {"S": "n"}}]}
    answer = app.ok("BatchGetItem", RequestItems={"free": keys, name: keys})
    assert answer["UnprocessedKeys"] == {name: keys}
    assert answer["Responses"]["free"] == [{"pk": {"S": "n"}}]


def test_a_batch_takes_no_more_than_there_is_and_hands_back_the_rest(app: LocalApp) -> None:
    name = provisioned(app)  # 300 units
    large = {"S": "x" * 99 * 1024}
    writes = [{"PutRequest": {"Item": {"pk": {"S": str(n)}, "pad": large}}} for n in range(8)]
    left = app.ok("BatchWriteItem", RequestItems={name: writes})["UnprocessedItems"][name]
    assert left == writes[3:] or left == writes[4:], "each of 100 units"
    assert app.ok("Scan", TableName=name, Select="COUNT")["Count"] == 8 - len(left)


def test_a_raised_rate_lets_writes_through_again(app: LocalApp) -> None:
    name = provisioned(app)
    run_dry(app, name)
    assert put(app, name).error == "ProvisionedThroughputExceededException"
    units = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 40_000}
    app.ok("UpdateTable", TableName=name, ProvisionedThroughput=units)
    for _ in range(200):
        if put(app, name).status == 200:
            return
    pytest.fail("still throttled at 40,000 units a second")


def test_tables_on_demand_are_not_throttled(app: LocalApp) -> None:
    create(app, "free", BillingMode="PAY_PER_REQUEST")
    for _ in range(4):
        run_dry(app, "free")


def test_items_of_one_partition_have_more_units_than_one_partition_of_aws_has(
    app: LocalApp,
) -> None:
    units = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 5000}
    create(app, "large", ProvisionedThroughput=units)

    async def drain() -> dict[int, str]:
        names = [str(n) for n in range(200)]
        table = await app.tables.catalog.table("large")
        slots = {app.tables.service.slot_of(table, {"pk": {"S": n}}): n for n in names}
        key = {"pk": {"S": slots[2]}}
        app.context.meter.spend(table, Kind.WRITE, 2000.0 * BURST, key)
        return slots

    slots = asyncio.run(drain())
    assert len(slots) == layout.SLOTS
    assert put(app, "large", slots[2]).error == "ProvisionedThroughputExceededException"
    assert put(app, "large", slots[3]).status == 200, "beside it in its partition: see local_app.py"
