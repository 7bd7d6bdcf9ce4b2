"""Definitions of global indexes, made, changed and removed, against what ministack answers.

Intended differences, so that they are not compared: the wording of messages; and the indexes of
ministack are ACTIVE or gone at once, while UpdateTable's answer here still says so of none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.dynamodb.local_app import LocalApp
from tests.dynamodb.ministack import Ministack, running_ministack

PK, GROUP = ({"AttributeName": name, "AttributeType": "S"} for name in ("pk", "group"))
NAMES = iter(range(1_000_000))


def index(name: str, key: str = "group", **members: Any) -> dict[str, Any]:
    schema = [{"AttributeName": key, "KeyType": "HASH"}]
    projection = {"ProjectionType": "ALL"}
    return {"IndexName": name, "KeySchema": schema, "Projection": projection, **members}


STEPS: dict[str, dict[str, Any]] = {
    "create": {
        "GlobalSecondaryIndexUpdates": [{"Create": index("two")}],
        "AttributeDefinitions": [PK, GROUP],
    },
    "create what is there": {
        "GlobalSecondaryIndexUpdates": [{"Create": index("one")}],
        "AttributeDefinitions": [PK, GROUP],
    },
    "create on what is not defined": {
        "GlobalSecondaryIndexUpdates": [{"Create": index("two", "other")}],
        "AttributeDefinitions": [PK],
    },
    "delete": {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "one"}}]},
    "delete what is not there": {
        "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "three"}}]
    },
    "nothing": {},
    "nothing but attributes": {"AttributeDefinitions": [PK, GROUP]},
}


@pytest.fixture(scope="module")
def ministack() -> Iterator[Ministack]:
    with running_ministack() as running:
        yield running


def shape(table: dict[str, Any]) -> Any:
    """What a description says of keys and indexes."""
    members = ("IndexName", "KeySchema", "Projection", "IndexStatus", "ItemCount")
    indexes = table.get("GlobalSecondaryIndexes") or []
    return (
        sorted(one["AttributeName"] for one in table["AttributeDefinitions"]),
        [{member: one[member] for member in members} for one in indexes],
    )


@pytest.mark.parametrize("step", STEPS)
def test_a_change_of_indexes_comes_to_what_ministack_makes_of_it(
    ministack: Ministack, step: str
) -> None:
    app, name = LocalApp(), f"m{next(NAMES):05}"
    definition = {
        "TableName": name,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [PK, GROUP],
        "BillingMode": "PAY_PER_REQUEST",
        "GlobalSecondaryIndexes": [index("one")],
    }
    app.ok("CreateTable", **definition)
    ministack.dynamodb.create_table(**definition)
    ours = app.call("UpdateTable", {"TableName": name, **STEPS[step]}).error
    theirs = ""
    try:
        ministack.dynamodb.update_table(TableName=name, **STEPS[step])
    except ClientError as error:
        theirs = error.response["Error"]["Code"]
    assert ours == theirs
    described = ministack.dynamodb.describe_table(TableName=name)["Table"]
    assert shape(app.ok("DescribeTable", TableName=name)["Table"]) == shape(described)
